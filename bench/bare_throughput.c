/* SPDX-License-Identifier: Apache-2.0 */
/* Packets per second between two processes, as throughput.c measures them with a library. */
#include "bare_program.h"

#include "clock.h"
#include "payload.h"

#include <inttypes.h>
#include <stdio.h>

#define GAP_NS 5000000u
#define FAREWELL_NS 2000000000u

/* Of this end. */
static struct {
    struct stamp_check checks[MAX_RINGS];
    uint64_t numbers[MAX_RINGS];
    struct meter meters[CASE_MAX];
    uint16_t current; /* index of the case */
} state;

static const struct bench_case *current_case(void)
{
    return &program.list.cases[state.current];
}

static struct meter *current_meter(void)
{
    return &state.meters[state.current];
}

static bool look(void)
{
    meter_look(current_meter(), &program.times, clock_ns());
    return !is_over();
}

static uint16_t slots_of(const struct bench_case *c)
{
    return (uint16_t)((c->size + BARE_BUFFER - 1) / BARE_BUFFER);
}

/* Fills the slots of one packet. */
BARE_INLINE void put_packet(struct bare_side *out, const struct bench_case *c, uint16_t slots,
                            const uint8_t *from, uint64_t stamp)
{
    uint32_t at = 0;

    for (uint16_t i = 0; i < slots; i++) {
        uint16_t slot = out->own++ & BARE_MASK;
        uint32_t left = c->size - at;
        uint32_t length = left < BARE_BUFFER ? left : BARE_BUFFER;
        bare_describe(out, slot, length, i + 1 < slots);
        if (c->copy)
            payload_copy(out->ring->buffers[slot], from + at, length);
        if (i == 0)
            stamp_write(out->ring->buffers[slot], stamp);
        at += length;
    }
}

BARE_INLINE uint16_t send_burst(uint32_t ring, const struct bench_case *c)
{
    struct bare_side *out = &program.out[ring];
    uint16_t slots = slots_of(c);
    uint32_t wanted = (uint32_t)c->burst * slots;
    uint16_t room = bare_room(out, (uint16_t)(wanted < BARE_SLOTS ? wanted : BARE_SLOTS));
    uint16_t count = slots == 1 ? room : room / slots;
    uint64_t stamp = stamp_make(state.current, state.numbers[ring]);

    if (count == 0)
        return 0;
    if (slots == 1)
        for (uint16_t i = 0; i < count; i++)
            put_packet(out, c, 1, outgoing, stamp + i);
    else
        for (uint16_t i = 0; i < count; i++)
            put_packet(out, c, slots, outgoing, stamp + i);
    bare_produced(out);
    state.numbers[ring] += count;
    return count;
}

static void start_case(uint16_t index)
{
    if (index >= program.list.count || state.meters[index].running)
        return;
    meter_end(current_meter(), clock_ns());
    state.current = index;
    meter_begin(current_meter(), clock_ns());
}

BARE_INLINE uint16_t receive_burst(uint32_t ring, const struct bench_case *c)
{
    struct bare_side *in = &program.in[ring];
    struct stamp_check *check = &state.checks[ring];
    uint16_t count = bare_filled(in, (uint16_t)(c->burst * slots_of(c)));
    uint16_t packets = 0;
    bool inside = in->inside;

    if (count == 0)
        return 0;
    for (uint16_t i = 0; i < count; i++) {
        struct bare_packet packet = bare_described(in, in->own++ & BARE_MASK);
        if (!inside) {
            uint64_t stamp = stamp_read(packet.data);
            if (__builtin_expect(stamp == check->expected, 1))
                check->expected++;
            else if (stamp_surprise(check, stamp))
                start_case(stamp_case(stamp));
        }
        if (c->copy)
            read_piece(packet, &in->read, true);
        inside = packet.more;
        packets = (uint16_t)(packets + !inside);
    }
    in->inside = inside;
    bare_consumed(in);
    return packets;
}

static void open_case(uint16_t index)
{
    state.current = index;
    meter_begin(current_meter(), clock_ns());
    for (uint32_t ring = 0; ring < program.rings; ring++) {
        state.numbers[ring] = 0;
        state.checks[ring].expected = stamp_make(index, 0);
    }
}

static void wait_ns(uint64_t ns)
{
    for (uint64_t end = clock_ns() + ns; clock_ns() < end;)
        clock_relax();
}

static void print_results(const char *role)
{
    uint64_t lost = 0;
    uint64_t disordered = 0;

    meter_end(current_meter(), clock_ns());
    for (uint32_t ring = 0; ring < program.rings; ring++) {
        lost += state.checks[ring].lost;
        disordered += state.checks[ring].disordered;
    }
    for (uint16_t i = 0; i < program.list.count; i++) {
        if (!state.meters[i].done)
            continue;
        printf("{\"what\": \"bare throughput\", \"protocol\": %" PRIu32
               ", \"role\": \"%s\", \"rings\": %" PRIu32 ", ",
               program.protocol, role, program.rings);
        meter_print(&state.meters[i], &program.list.cases[i]);
        printf(", \"lost\": %" PRIu64 ", \"disordered\": %" PRIu64 "}\n", lost, disordered);
    }
}

static void run_send(void)
{
    uint64_t ns = (uint64_t)(program.times.warm_ms + program.times.count_ms) * 1100000u + GAP_NS;

    for (uint16_t i = 0; i < program.list.count; i++) {
        uint64_t end = clock_ns() + ns;
        open_case(i);
        do {
            for (uint32_t turn = 0; turn < case_turns(current_case()); turn++)
                for (uint32_t ring = 0; ring < program.rings; ring++)
                    current_meter()->packets += send_burst(ring, current_case());
        } while (look() && clock_ns() < end);
        wait_ns(GAP_NS);
    }
    /* The receiver ends it when it has measured the last case. */
    for (uint64_t end = clock_ns() + FAREWELL_NS; look() && clock_ns() < end;)
        clock_relax();
    say_over();
    print_results("send");
}

static void run_receive(void)
{
    meter_begin(current_meter(), clock_ns());
    do {
        for (uint32_t turn = 0; turn < case_turns(current_case()); turn++) {
            for (uint32_t ring = 0; ring < program.rings; ring++) {
                uint16_t packets = receive_burst(ring, current_case());
                current_meter()->packets += packets;
            }
        }
    } while (look() && !state.meters[program.list.count - 1].done);
    say_over();
    print_results("receive");
}

/* Nothing may be under way between two cases; throughput.c says why. This echo loses nothing. */
static void drain(const struct bench_case *c, uint64_t sent, uint64_t received)
{
    while (received < sent)
        for (uint32_t ring = 0; ring < program.rings; ring++)
            received += receive_burst(ring, c);
}

static void run_both(void)
{
    for (uint16_t i = 0; i < program.list.count; i++) {
        const struct bench_case *c = &program.list.cases[i];
        uint64_t sent = 0;
        open_case(i);
        do {
            for (uint32_t turn = 0; turn < case_turns(current_case()); turn++) {
                for (uint32_t ring = 0; ring < program.rings; ring++) {
                    sent += send_burst(ring, c);
                    current_meter()->packets += receive_burst(ring, c);
                }
            }
        } while (look() && !current_meter()->done);
        drain(c, sent, current_meter()->packets);
    }
    say_over();
    print_results("both");
}

/* Sends back as much as there is room for; returns packets. */
BARE_INLINE uint16_t echo_burst(uint32_t ring)
{
    struct bare_side *in = &program.in[ring];
    struct bare_side *out = &program.out[ring];
    const struct bench_case *c = current_case();
    uint16_t wanted = (uint16_t)(c->burst * slots_of(c));
    uint16_t count = bare_filled(in, wanted);
    uint16_t packets = 0;

    if (count == 0)
        return 0;
    count = bare_room(out, count);
    if (count == 0)
        return 0;
    for (uint16_t i = 0; i < count; i++) {
        struct bare_packet packet = bare_described(in, in->own++ & BARE_MASK);
        uint16_t slot = out->own++ & BARE_MASK;
        bare_describe(out, slot, packet.length, packet.more);
        if (c->copy)
            payload_copy(out->ring->buffers[slot], packet.data, packet.length);
        else if (!in->inside)
            stamp_write(out->ring->buffers[slot], stamp_read(packet.data));
        in->inside = packet.more;
        packets = (uint16_t)(packets + !packet.more);
    }
    bare_produced(out);
    bare_consumed(in);
    return packets;
}

static void follow_case(uint32_t ring)
{
    struct bare_side *in = &program.in[ring];

    if (in->inside || bare_filled(in, 1) == 0)
        return;
    uint16_t index = stamp_case(stamp_read(bare_described(in, in->own & BARE_MASK).data));
    if (index != state.current)
        start_case(index);
}

static void run_echo(void)
{
    meter_begin(current_meter(), clock_ns());
    do {
        follow_case(0);
        for (uint32_t turn = 0; turn < case_turns(current_case()); turn++) {
            for (uint32_t ring = 0; ring < program.rings; ring++) {
                uint16_t packets = echo_burst(ring);
                current_meter()->packets += packets;
            }
        }
    } while (look());
    print_results("echo");
}

void run_throughput(void)
{
    if (program.echo)
        run_two(run_echo, run_both);
    else
        run_two(run_send, run_receive);
}
