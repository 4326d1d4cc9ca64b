/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets per second between two processes, each with one thread that polls.
 *
 * One process is started for each end. The end that sends leads: it stamps every packet with the
 * number of the case and its own number, so that the other end follows from case to case and finds
 * what was lost or came out of order. What is sent is measured where it arrives.
 */
#include "api.h"
#include "cases.h"
#include "chains.h"
#include "clock.h"
#include "inbox.h"
#include "link.h"
#include "options.h"
#include "payload.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TURNS_BETWEEN_LOOKS 16
#define SERVE_NS 1000000u
#define GAP_NS 5000000u
#define PATIENCE_NS 10000000000u
#define FAREWELL_NS 2000000000u
#define HOLD_MS 10

static struct {
    struct link_end end;
    struct link_options link;
    struct case_list list;
    struct meter_times times;
    struct meter meters[CASE_MAX];
    uint16_t current; /* index of the case */
    const char *role;
    bool leave;
    bool blind;
    uint64_t next_serve;
    uint32_t turns;
    uint64_t numbers[LINK_MAX_RINGS];
    struct inbox inboxes[LINK_MAX_RINGS];
    memif_buffer_t tx_bufs[INBOX_ENTRIES];
} program = {.times = {.warm_ms = 10, .count_ms = 40}};

static _Alignas(64) uint8_t outgoing[CASE_MAX_SIZE];
static _Alignas(64) uint8_t incoming[CASE_MAX_SIZE];

static const struct bench_case *current_case(void)
{
    return &program.list.cases[program.current];
}

static struct meter *current_meter(void)
{
    return &program.meters[program.current];
}

/* Entries that a packet of the case takes. */
static uint16_t entries_of(const struct bench_case *c)
{
#if MEMIF_API == 1
    (void)c;
    return 1;
#else
    uint32_t buffer = program.link.buffer_size;
    return (uint16_t)((c->size + buffer - 1) / buffer);
#endif
}

/* Once in a while: the clock, the meter, the control channel. False: the peer is gone. */
static bool look(void)
{
    uint64_t now = clock_ns();

    meter_look(current_meter(), &program.times, now);
    if (now >= program.next_serve) {
        link_serve(&program.end, 0);
        program.next_serve = clock_ns() + SERVE_NS;
    }
    return program.end.up;
}

static inline bool look_sometimes(void)
{
    return ++program.turns % TURNS_BETWEEN_LOOKS != 0 || look();
}

/* ---- send ---- */

static inline void fill_single(const struct bench_case *c, uint16_t count, uint64_t stamp)
{
    for (uint16_t i = 0; i < count; i++) {
        memif_buffer_t *buf = &program.tx_bufs[i];
        api_set_length(buf, c->size);
        if (c->copy)
            payload_copy(buf->data, outgoing, c->size);
        stamp_write(buf->data, stamp + i);
    }
}

/* Returns the packets that the entries make. */
static uint16_t fill_chained(const struct bench_case *c, uint16_t count, uint64_t stamp)
{
    uint16_t packets = 0;
    uint32_t at = 0;

    for (uint16_t i = 0; i < count; i++) {
        memif_buffer_t *buf = &program.tx_bufs[i];
        uint32_t length = c->size - at < api_room(buf) ? c->size - at : api_room(buf);
        api_set_length(buf, length);
        if (c->copy)
            payload_copy(buf->data, outgoing + at, length);
        if (at == 0)
            stamp_write(buf->data, stamp + packets);
        at += length;
        if (!api_continues(buf)) {
            packets++;
            at = 0;
        }
    }
    return packets;
}

static inline void transmit(uint16_t qid, uint16_t count)
{
    uint16_t sent = 0;

    for (uint16_t done = 0; done < count; done = (uint16_t)(done + sent)) {
        int err =
            api_tx(program.end.conn, qid, program.tx_bufs + done, (uint16_t)(count - done), &sent);
        link_must_work(&program.end, "tx", err);
        if (err == MEMIF_ERR_DISCONNECTED)
            return;
    }
}

/* Returns packets; 0 while the ring is full. */
static inline uint16_t send_burst(uint16_t qid, const struct bench_case *c)
{
    uint16_t count = 0;
    uint16_t packets;
    uint64_t stamp = stamp_make(program.current, program.numbers[qid]);

    int err = api_alloc(program.end.conn, qid, program.tx_bufs, c->burst, &count, c->size);
    if (count == 0) {
        link_must_work(&program.end, "alloc", err);
        return 0;
    }
    if (entries_of(c) == 1) {
        fill_single(c, count, stamp);
        packets = count;
    } else {
        packets = fill_chained(c, count, stamp);
    }
    transmit(qid, count);
    program.numbers[qid] += packets;
    return packets;
}

/* ---- receive ---- */

static void start_case(uint16_t index)
{
    if (index >= program.list.count || program.meters[index].running)
        return;
    meter_end(current_meter(), clock_ns());
    program.current = index;
    meter_begin(current_meter(), clock_ns());
}

static inline void check_stamp(struct stamp_check *check, const void *packet)
{
    uint64_t stamp = stamp_read(packet);

    if (__builtin_expect(stamp == check->expected, 1))
        check->expected++;
    else if (stamp_surprise(check, stamp))
        start_case(stamp_case(stamp));
}

static inline uint16_t collect(uint16_t qid, const struct bench_case *c, uint16_t *packets)
{
    uint32_t wanted = (uint32_t)c->burst * entries_of(c);
    return inbox_collect(&program.inboxes[qid], &program.end, qid, wanted, packets);
}

static inline void read_entries(const struct bench_case *c, struct inbox *in, uint16_t count)
{
    bool at_start = true;
    uint32_t at = 0;

    for (uint16_t i = 0; i < count; i++) {
        const memif_buffer_t *buf = &in->bufs[i];
        if (at_start && !program.blind)
            check_stamp(&in->check, buf->data);
        at_start = !api_continues(buf);
        if (c->copy) {
            payload_copy(incoming + at, buf->data, api_length(buf));
            /* Otherwise only the last copy would have to be made. */
            __asm__ volatile("" : : "r"(incoming) : "memory");
            at = at_start ? 0 : at + api_length(buf);
        }
    }
}

/* Returns packets. */
static inline uint16_t receive_burst(uint16_t qid, const struct bench_case *c)
{
    uint16_t packets;
    uint16_t count = collect(qid, c, &packets);

    if (count == 0)
        return 0;
    read_entries(c, &program.inboxes[qid], count);
    inbox_give_back(&program.inboxes[qid], &program.end, qid, count);
    return packets;
}

/* ---- echo ---- */

/* Returns packets. */
static uint16_t echo_burst(uint16_t qid, const struct bench_case *c)
{
    struct inbox *in = &program.inboxes[qid];
    uint16_t packets;
    uint16_t whole = collect(qid, c, &packets);
    uint16_t left = packets;
    uint16_t used = 0;

    if (whole == 0)
        return 0;
    uint16_t index = stamp_case(stamp_read(in->bufs[0].data));
    if (__builtin_expect(index != program.current, 0))
        start_case(index);
    c = current_case();
    uint16_t size = (uint16_t)chains_length(in->bufs);
    while (used < whole) {
        uint16_t count = 0;
        link_must_work(&program.end, "alloc",
                       api_alloc(program.end.conn, qid, program.tx_bufs, left, &count, size));
        if (count == 0) {
            if (!look_sometimes())
                return 0;
            continue;
        }
        uint16_t taken = chains_move(in->bufs + used, program.tx_bufs, count, c->copy);
        transmit(qid, count);
        for (uint16_t i = used; i < used + taken; i++)
            left = (uint16_t)(left - !api_continues(&in->bufs[i]));
        used = (uint16_t)(used + taken);
    }
    inbox_give_back(in, &program.end, qid, whole);
    return packets;
}

/* ---- the roles ---- */

static void pause_between(uint64_t ns)
{
    uint64_t end = clock_ns() + ns;

    while (clock_ns() < end && look())
        ;
}

/* As receiver: cases come in order, so the last one is all of them. */
static bool all_done(void)
{
    return program.meters[program.list.count - 1].done;
}

/* Long enough that the other end, which starts to warm up a little later, is done as well. */
static uint64_t case_ns(void)
{
    return (uint64_t)(program.times.warm_ms + program.times.count_ms) * 1100000u + GAP_NS;
}

static void open_case(uint16_t index)
{
    program.current = index;
    meter_begin(current_meter(), clock_ns());
    for (uint16_t qid = 0; qid < program.link.rings; qid++) {
        program.numbers[qid] = 0;
        program.inboxes[qid].check.expected = stamp_make(index, 0);
    }
}

static void send_case(void)
{
    const struct bench_case *c = current_case();
    uint64_t end = clock_ns() + case_ns();

    do {
        for (uint32_t turn = 0; turn < case_turns(current_case()); turn++)
            for (uint16_t qid = 0; qid < program.link.rings; qid++)
                current_meter()->packets += send_burst(qid, c);
    } while (look() && clock_ns() < end);
}

static void run_send(void)
{
    for (uint16_t i = 0; i < program.list.count && program.end.up; i++) {
        open_case(i);
        send_case();
        pause_between(GAP_NS);
    }
    if (!program.leave)
        pause_between(FAREWELL_NS);
}

static void run_receive(void)
{
    do {
        if (program.blind && current_meter()->done)
            start_case((uint16_t)(program.current + 1));
        for (uint32_t turn = 0; turn < case_turns(current_case()); turn++) {
            for (uint16_t qid = 0; qid < program.link.rings; qid++) {
                uint16_t packets = receive_burst(qid, current_case());
                current_meter()->packets += packets;
            }
        }
    } while (look() && !all_done());
}

/*
 * Receives until as many packets came back as were sent. Rings keep the order and the echo returns
 * every packet once, so nothing is under way then: no packet of this case can meet the checks, the
 * meter or the other end's sizes of the next one. However long the other end is kept from running,
 * a time limit would break that; the one here tells a loss, and ends the program.
 */
static void drain(const struct bench_case *c, uint64_t sent, uint64_t received)
{
    uint64_t end = clock_ns() + PATIENCE_NS;

    while (received < sent && look()) {
        uint64_t before = received;
        for (uint16_t qid = 0; qid < program.link.rings; qid++)
            received += receive_burst(qid, c);
        if (received != before) {
            end = clock_ns() + PATIENCE_NS;
        } else if (clock_ns() >= end) {
            fprintf(stderr, "%" PRIu64 " of %" PRIu64 " packets did not come back\n",
                    sent - received, sent);
            exit(EXIT_FAILURE);
        }
    }
}

static void run_both(void)
{
    for (uint16_t i = 0; i < program.list.count && program.end.up; i++) {
        const struct bench_case *c = &program.list.cases[i];
        uint64_t sent = 0;
        open_case(i);
        do {
            for (uint32_t turn = 0; turn < case_turns(current_case()); turn++) {
                for (uint16_t qid = 0; qid < program.link.rings; qid++) {
                    sent += send_burst(qid, c);
                    current_meter()->packets += receive_burst(qid, c);
                }
            }
        } while (look() && !current_meter()->done);
        if (!program.leave)
            drain(c, sent, current_meter()->packets);
    }
}

static void run_echo(void)
{
    do {
        for (uint32_t turn = 0; turn < case_turns(current_case()); turn++) {
            for (uint16_t qid = 0; qid < program.link.rings; qid++) {
                uint16_t packets = echo_burst(qid, current_case());
                current_meter()->packets += packets;
            }
        }
    } while (look());
}

static const struct role {
    const char *name;
    void (*run)(void);
} roles[] = {
    {"send", run_send},
    {"receive", run_receive},
    {"both", run_both},
    {"echo", run_echo},
};

static const struct role *find_role(const char *name)
{
    for (size_t i = 0; name != NULL && i < sizeof(roles) / sizeof(roles[0]); i++)
        if (strcmp(roles[i].name, name) == 0)
            return &roles[i];
    fprintf(stderr, "--role: expected send, receive, both or echo\n");
    exit(EXIT_FAILURE);
}

static void print_results(void)
{
    uint64_t lost = 0;
    uint64_t disordered = 0;

    meter_end(current_meter(), clock_ns());
    for (uint16_t qid = 0; qid < program.link.rings; qid++) {
        lost += program.inboxes[qid].check.lost;
        disordered += program.inboxes[qid].check.disordered;
    }
    for (uint16_t i = 0; i < program.list.count; i++) {
        if (!program.meters[i].done)
            continue;
        printf("{\"what\": \"throughput\", \"interface\": \"" MEMIF_INTERFACE
               "\", \"role\": \"%s\", \"rings\": %u, ",
               program.role, program.link.rings);
        meter_print(&program.meters[i], &program.list.cases[i]);
        printf(", \"lost\": %" PRIu64 ", \"disordered\": %" PRIu64 "}\n", lost, disordered);
    }
}

/* Some peers crash when a link goes down while they forward; whoever commands them stops them
 * first, and then ends our input. */
static void hold_link(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

    fclose(stdout);
    while (poll(&input, 1, 0) == 0)
        link_serve(&program.end, HOLD_MS);
}

int main(int argc, char **argv)
{
    bool is_master = false;
    bool hold = false;
    uint32_t cpu = UINT32_MAX;
    uint32_t rings = 1;
    uint32_t buffer_size = 2048;
    const char *cases = "64:1:head,64:32:head,64:256:head";
    const struct option_spec specs[] = {
        {"role", "send, receive, both (what is sent comes back) or echo", NULL, &program.role,
         NULL},
        {"socket", "path of the socket", NULL, &program.link.path, NULL},
        {"master", "be the master; else the slave", NULL, NULL, &is_master},
        {"cpu", "processor to run on", &cpu, NULL, NULL},
        {"rings", "in each direction (default 1)", &rings, NULL, NULL},
        {"buffer", "bytes of a buffer (default 2048)", &buffer_size, NULL, NULL},
        {"cases", "SIZE:BURST:head|copied,...", NULL, &cases, NULL},
        {"warm", "milliseconds before counting (default 10)", &program.times.warm_ms, NULL, NULL},
        {"count", "milliseconds of counting (default 40)", &program.times.count_ms, NULL, NULL},
        {"leave", "end when all is sent: wait neither for the peer nor for what it still has", NULL,
         NULL, &program.leave},
        {"blind", "as receiver: packets are not stamped", NULL, NULL, &program.blind},
        {"hold", "after the results stay connected until the standard input ends", NULL, NULL,
         &hold},
        {NULL, NULL, NULL, NULL, NULL},
    };

    options_parse(argc, argv, specs);
    const struct role *role = find_role(program.role);
    cases_parse(cases, &program.list);
    if (program.link.path == NULL || program.list.count == 0 || rings < 1 ||
        rings > LINK_MAX_RINGS) {
        fprintf(stderr, "expected a --socket, some --cases, and 1 to %d --rings\n", LINK_MAX_RINGS);
        return EXIT_FAILURE;
    }
    program.link.rings = (uint8_t)rings;
    program.link.buffer_size = (uint16_t)buffer_size;
    program.link.log2_ring_size = 10;
    program.link.polling = true;
    if (cpu != UINT32_MAX)
        options_pin(cpu);
    link_start();
    link_open(&program.end, &program.link, is_master);
    link_wait(&program.end, NULL);
    if (!is_master || program.blind)
        fprintf(stderr, "library: %s\n", link_library());
    meter_begin(&program.meters[0], clock_ns());
    role->run();
    print_results();
    if (hold)
        hold_link();
    link_close(&program.end);
    link_stop();
    return EXIT_SUCCESS;
}
