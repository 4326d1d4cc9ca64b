/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the memory system allows: the measurements of calls, throughput and latency with the ring of
 * bare.h in the place of a library. Two ends in two processes, or both in one thread.
 */
#include "bare.h"

#include "clock.h"
#include "options.h"
#include "patterns.h"
#include "samples.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_RINGS 16
#define GAP_NS 5000000u
#define FAREWELL_NS 2000000000u

struct shared {
    _Atomic bool over;
    struct bare_ring rings[2][MAX_RINGS]; /* there and back */
};

static struct {
    struct shared *shared;
    struct bare_side out[MAX_RINGS];
    struct bare_side in[MAX_RINGS];
    struct stamp_check checks[MAX_RINGS];
    uint64_t numbers[MAX_RINGS];
    struct meter meters[CASE_MAX];
    struct meter_times times;
    struct case_list list;
    uint16_t current;
    uint32_t rings;
    uint32_t cpus[2];
    uint32_t protocol;
    uint32_t rounds;
    uint32_t slice_us;
    uint32_t samples;
    uint32_t size;
    int events[2];
    bool echo;
    bool interrupt;
} program = {
    .times = {.warm_ms = 10, .count_ms = 40},
    .rings = 1,
    .cpus = {0, 1},
    .protocol = 512,
    .rounds = 5,
    .slice_us = 2000,
    .samples = 20000,
    .size = 64,
};

static _Alignas(64) uint8_t outgoing[CASE_MAX_SIZE];
static _Alignas(64) uint8_t incoming[CASE_MAX_SIZE];

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static void map_memory(void)
{
    program.shared = mmap(NULL, sizeof(*program.shared), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (program.shared == MAP_FAILED)
        die("mmap");
}

/* direction: of what this side sends. */
static void take_side(uint32_t direction)
{
    for (uint32_t i = 0; i < program.rings; i++) {
        program.out[i] = (struct bare_side){.ring = &program.shared->rings[direction][i],
                                            .wide = program.protocol == 256};
        program.in[i] = program.out[i];
        program.in[i].ring = &program.shared->rings[1 - direction][i];
    }
}

/* Reads a received packet, or the piece that a slot holds. */
BARE_INLINE void read_piece(struct bare_packet packet, bool copy)
{
    if (copy)
        memcpy(incoming, packet.data, packet.length);
    __asm__ volatile("" : : "r"(incoming), "r"(packet.data), "r"(packet.length) : "memory");
}

/* ---- one thread ---- */

BARE_INLINE void thread_burst_out(struct bare_side *out, uint16_t burst, uint32_t size, bool copy)
{
    for (uint16_t left = burst; left > 0;) {
        uint16_t count = bare_room(out, left);
        for (uint16_t i = 0; i < count; i++) {
            uint16_t slot = out->own++ & BARE_MASK;
            bare_describe(out, slot, size, false);
            if (copy)
                memcpy(out->ring->buffers[slot], outgoing, size);
        }
        bare_produced(out);
        left = (uint16_t)(left - count);
    }
}

BARE_INLINE void thread_burst_in(struct bare_side *in, uint16_t burst, bool copy)
{
    for (uint16_t left = burst; left > 0;) {
        uint16_t count = bare_filled(in, left);
        for (uint16_t i = 0; i < count; i++)
            read_piece(bare_described(in, in->own++ & BARE_MASK), copy);
        bare_consumed(in);
        left = (uint16_t)(left - count);
    }
}

static __attribute__((noinline)) void run_pattern(const struct pattern *pattern, uint32_t size,
                                                  bool copy, uint32_t times)
{
    for (uint32_t i = 0; i < times; i++) {
        for (uint16_t b = 0; b < pattern->ahead; b++)
            thread_burst_out(&program.out[0], pattern->burst, size, copy);
        for (uint16_t b = 0; b < pattern->ahead; b++)
            thread_burst_in(&program.in[0], pattern->burst, copy);
    }
}

static double pattern_ns(const struct pattern *pattern, uint32_t size, bool copy, uint32_t times)
{
    uint64_t start = clock_ns();
    run_pattern(pattern, size, copy, times);
    return (double)(clock_ns() - start);
}

static void measure_pattern(const struct pattern *pattern, uint32_t size, bool copy, uint32_t round)
{
    double slice = (double)program.slice_us * 1000 / SLICES;
    double ns[SLICES];
    uint32_t times = 1;

    while ((ns[0] = pattern_ns(pattern, size, copy, times)) < slice / 2)
        times *= 2;
    times = (uint32_t)(times * slice / ns[0]) + 1;
    for (int i = 0; i < SLICES; i++)
        ns[i] = pattern_ns(pattern, size, copy, times);
    printf("{\"what\": \"bare calls\", \"protocol\": %" PRIu32 ", \"pattern\": \"%s\", "
           "\"burst\": %u, \"size\": %" PRIu32 ", \"payload\": \"%s\", \"round\": %" PRIu32
           ", \"ns\": %.3f}\n",
           program.protocol, pattern->name, pattern->burst, size, copy ? "copied" : "untouched",
           round, median(ns, SLICES) / times / pattern_packets(pattern));
}

static void run_calls(void)
{
    static const uint32_t sizes[] = {64, 1500};

    options_pin(program.cpus[0]);
    take_side(0);
    program.in[0].ring = program.out[0].ring;
    for (uint32_t round = 0; round < program.rounds; round++)
        for (size_t p = 0; p < PATTERN_COUNT; p++)
            for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
                for (int copy = 0; copy < 2; copy++)
                    measure_pattern(&patterns[p], sizes[s], copy != 0, round);
}

/* ---- two processes ---- */

/* Runs the child's half on the second processor and the parent's on the first. */
static void run_two(void (*child)(void), void (*parent)(void))
{
    pid_t pid = fork();

    if (pid < 0)
        die("fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        options_pin(program.cpus[1]);
        take_side(1);
        child();
        fflush(stdout);
        _exit(EXIT_SUCCESS);
    }
    options_pin(program.cpus[0]);
    take_side(0);
    parent();
    int status;
    if (waitpid(pid, &status, 0) < 0 || status != 0) {
        fprintf(stderr, "the other process failed\n");
        exit(EXIT_FAILURE);
    }
}

static const struct bench_case *current_case(void)
{
    return &program.list.cases[program.current];
}

static struct meter *current_meter(void)
{
    return &program.meters[program.current];
}

static bool look(void)
{
    meter_look(current_meter(), &program.times, clock_ns());
    return !atomic_load_explicit(&program.shared->over, memory_order_relaxed);
}

static void say_over(void)
{
    atomic_store_explicit(&program.shared->over, true, memory_order_relaxed);
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
            memcpy(out->ring->buffers[slot], from + at, length);
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
    uint64_t stamp = stamp_make(program.current, program.numbers[ring]);

    if (count == 0)
        return 0;
    if (slots == 1)
        for (uint16_t i = 0; i < count; i++)
            put_packet(out, c, 1, outgoing, stamp + i);
    else
        for (uint16_t i = 0; i < count; i++)
            put_packet(out, c, slots, outgoing, stamp + i);
    bare_produced(out);
    program.numbers[ring] += count;
    return count;
}

static void start_case(uint16_t index)
{
    if (index >= program.list.count || program.meters[index].running)
        return;
    meter_end(current_meter(), clock_ns());
    program.current = index;
    meter_begin(current_meter(), clock_ns());
}

BARE_INLINE uint16_t receive_burst(uint32_t ring, const struct bench_case *c)
{
    struct bare_side *in = &program.in[ring];
    struct stamp_check *check = &program.checks[ring];
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
            read_piece(packet, true);
        inside = packet.more;
        packets = (uint16_t)(packets + !inside);
    }
    in->inside = inside;
    bare_consumed(in);
    return packets;
}

static void open_case(uint16_t index)
{
    program.current = index;
    meter_begin(current_meter(), clock_ns());
    for (uint32_t ring = 0; ring < program.rings; ring++) {
        program.numbers[ring] = 0;
        program.checks[ring].expected = stamp_make(index, 0);
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
        lost += program.checks[ring].lost;
        disordered += program.checks[ring].disordered;
    }
    for (uint16_t i = 0; i < program.list.count; i++) {
        if (!program.meters[i].done)
            continue;
        printf("{\"what\": \"bare throughput\", \"protocol\": %" PRIu32
               ", \"role\": \"%s\", \"rings\": %" PRIu32 ", ",
               program.protocol, role, program.rings);
        meter_print(&program.meters[i], &program.list.cases[i]);
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
    } while (look() && !program.meters[program.list.count - 1].done);
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
            memcpy(out->ring->buffers[slot], packet.data, packet.length);
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
    if (index != program.current)
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

/* ---- latency ---- */

static void send_one(const void *data, uint32_t size)
{
    struct bare_side *out = &program.out[0];
    uint16_t slot = out->own++ & BARE_MASK;

    bare_describe(out, slot, size, false);
    memcpy(out->ring->buffers[slot], data, size);
    bare_produced(out);
}

static void signal_other(int event)
{
    uint64_t one = 1;
    if (program.interrupt && write(event, &one, sizeof(one)) != sizeof(one))
        die("write");
}

/* False: it is over. */
static bool receive_one(int event)
{
    struct bare_side *in = &program.in[0];
    uint64_t count;

    while (bare_filled(in, 1) == 0) {
        if (program.interrupt && read(event, &count, sizeof(count)) != sizeof(count))
            die("read");
        if (atomic_load_explicit(&program.shared->over, memory_order_relaxed))
            return false;
    }
    struct bare_packet packet = bare_described(in, in->own++ & BARE_MASK);
    memcpy(incoming, packet.data, packet.length);
    bare_consumed(in);
    return true;
}

static void run_ping(void)
{
    uint64_t *ticks = calloc(program.samples, sizeof(*ticks));
    uint32_t warm = program.samples / 10;

    if (ticks == NULL)
        die("calloc");
    for (uint32_t i = 0; i < warm + program.samples; i++) {
        uint64_t start = clock_ticks();
        send_one(outgoing, program.size);
        signal_other(program.events[0]);
        receive_one(program.events[1]);
        if (i >= warm)
            ticks[i - warm] = clock_ticks() - start;
    }
    say_over();
    signal_other(program.events[0]);
    printf("{\"what\": \"bare latency\", \"protocol\": %" PRIu32
           ", \"mode\": \"%s\", \"size\": %" PRIu32 ", ",
           program.protocol, program.interrupt ? "interrupt" : "polling", program.size);
    samples_print(ticks, program.samples, clock_tick_ns());
    printf("}\n");
    free(ticks);
}

static void run_ping_echo(void)
{
    while (receive_one(program.events[0])) {
        send_one(incoming, program.size);
        signal_other(program.events[1]);
    }
}

static void run_throughput(void)
{
    if (program.echo)
        run_two(run_echo, run_both);
    else
        run_two(run_send, run_receive);
}

static void run_latency(void)
{
    for (int i = 0; i < 2; i++) {
        program.events[i] = eventfd(0, EFD_CLOEXEC);
        if (program.events[i] < 0)
            die("eventfd");
    }
    run_two(run_ping_echo, run_ping);
}

int main(int argc, char **argv)
{
    const char *what = "";
    const char *cases = "64:1:head,64:32:head,64:256:head";
    const struct option_spec specs[] = {
        {"what", "calls (in one thread), throughput or latency (two processes)", NULL, &what, NULL},
        {"protocol", "descriptors as in 256 or 512 (default 512)", &program.protocol, NULL, NULL},
        {"cpu", "processor of the first process (default 0)", &program.cpus[0], NULL, NULL},
        {"cpu2", "processor of the second process (default 1)", &program.cpus[1], NULL, NULL},
        {"rounds", "calls: times that all is measured (default 5)", &program.rounds, NULL, NULL},
        {"slice", "calls: microseconds of one measurement (default 2000)", &program.slice_us, NULL,
         NULL},
        {"rings", "throughput: in each direction (default 1)", &program.rings, NULL, NULL},
        {"cases", "throughput: SIZE:BURST:head|copied,...", NULL, &cases, NULL},
        {"warm", "throughput: milliseconds before counting (default 10)", &program.times.warm_ms,
         NULL, NULL},
        {"count", "throughput: milliseconds of counting (default 40)", &program.times.count_ms,
         NULL, NULL},
        {"echo", "throughput: what is sent comes back", NULL, NULL, &program.echo},
        {"interrupt", "latency: sleep until a packet comes", NULL, NULL, &program.interrupt},
        {"size", "latency: bytes (default 64)", &program.size, NULL, NULL},
        {"samples", "latency: round trips (default 20000)", &program.samples, NULL, NULL},
        {NULL, NULL, NULL, NULL, NULL},
    };
    static const struct {
        const char *name;
        void (*run)(void);
    } parts[] = {{"calls", run_calls}, {"throughput", run_throughput}, {"latency", run_latency}};

    options_parse(argc, argv, specs);
    cases_parse(cases, &program.list);
    if (program.rings < 1 || program.rings > MAX_RINGS || program.size > BARE_BUFFER ||
        program.samples == 0 || program.list.count == 0) {
        fprintf(stderr, "expected 1 to %d --rings, at most %d --size, some --samples and --cases\n",
                MAX_RINGS, BARE_BUFFER);
        return EXIT_FAILURE;
    }
    map_memory();
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (strcmp(parts[i].name, what) == 0) {
            parts[i].run();
            return EXIT_SUCCESS;
        }
    }
    fprintf(stderr, "--what: expected calls, throughput or latency\n");
    return EXIT_FAILURE;
}
