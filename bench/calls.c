/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a packet costs in the four calls, both ends in one thread.
 *
 * "ns" comes from a loop that holds nothing but the calls. "parts" come from a second loop that
 * reads the time stamp counter between the calls; what these readings cost is the difference of the
 * two loops and is taken off in equal shares, so that the parts add up to "ns".
 *
 * One line of JSON for each case and round. With --instructions each case runs a fixed number of
 * packets between two calls of bench_mark, for a tool that counts. There, small bursts are also
 * received by calls with room for more packets than wait, as most programs do: these find the ring
 * empty.
 */
#include "api.h"
#include "clock.h"
#include "link.h"
#include "options.h"
#include "patterns.h"
#include "payload.h"
#include "samples.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SIZE 2048
#define BUFFER_SIZE 2048

/* Every slot of the ring is used this often, by one counted case. */
#define INSTRUCTION_LAPS 4

enum part { PART_ALLOC, PART_WRITE, PART_TX, PART_RX, PART_READ, PART_FREE, PARTS };

static const char *const part_names[PARTS] = {"alloc", "write", "tx", "rx", "read", "free"};

struct bench_case {
    const struct pattern *pattern;
    uint32_t size;
    bool copy;
    bool roomy; /* receives with room for more than waits */
    struct link_end *from;
    struct link_end *to;
};

static struct {
    struct link_end master;
    struct link_end slave;
    uint32_t rounds;
    uint32_t slice_us;
    uint32_t protocol;
    const char *only_pattern;
    const char *only_size;
    const char *only_payload;
    const char *only_direction;
    const char *only_mode;
    bool instructions;
    double tick_ns;
} program = {.rounds = 5, .slice_us = 2000};

static memif_buffer_t tx_bufs[PATTERN_MAX_BURST];
static memif_buffer_t rx_bufs[PATTERN_MAX_BURST];
static _Alignas(64) uint8_t outgoing[MAX_SIZE];
static _Alignas(64) uint8_t incoming[MAX_SIZE];

static void fail(const struct bench_case *c, const char *call, int err)
{
    fprintf(stderr, "%s: pattern %s, %" PRIu32 " bytes, to the %s: %s (%d)\n", call,
            c->pattern->name, c->size, c->to->name, memif_strerror(err), err);
    exit(EXIT_FAILURE);
}

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE uint64_t tick(bool timed)
{
    return timed ? clock_ticks() : 0;
}

/* What a turn of the loops needs, out of reach of the calls: nothing is loaded again for them. */
struct turn {
    const struct bench_case *c;
    memif_conn_handle_t from;
    memif_conn_handle_t to;
    uint16_t burst;
    uint16_t size;
    bool copy;
    bool empty;
};

ALWAYS_INLINE void write_packets(struct turn t, uint16_t count)
{
    for (uint16_t i = 0; i < count; i++) {
        api_set_length(&tx_bufs[i], t.size);
        if (t.copy)
            payload_copy(tx_bufs[i].data, outgoing, t.size);
    }
}

ALWAYS_INLINE void read_packets(struct turn t, uint16_t count)
{
    for (uint16_t i = 0; t.copy && i < count; i++) {
        payload_copy(incoming, rx_bufs[i].data, api_length(&rx_bufs[i]));
        /* Otherwise only the last copy would have to be made. */
        __asm__ volatile("" : : "r"(incoming) : "memory");
    }
}

/* Stands in for all calls where the loop around them is measured. */
static __attribute__((noinline)) int empty_call(memif_conn_handle_t conn, uint16_t qid,
                                                memif_buffer_t *bufs, uint16_t count, uint16_t *out)
{
    __asm__ volatile("" : : "r"(conn), "r"(bufs), "r"(qid) : "memory");
    *out = count;
    return MEMIF_ERR_SUCCESS;
}

/* One burst, in one turn unless the library hands out less. */
ALWAYS_INLINE void send_burst(struct turn t, uint64_t *parts, bool timed)
{
    uint16_t left = t.burst;
    uint16_t count;
    uint16_t sent;

    do {
        uint64_t t0 = tick(timed);
        int err = t.empty ? empty_call(t.from, 0, tx_bufs, left, &count)
                          : api_alloc(t.from, 0, tx_bufs, left, &count, t.size);
        if (__builtin_expect(count == 0, 0))
            fail(t.c, "alloc", err);
        uint64_t t1 = tick(timed);
        write_packets(t, count);
        uint64_t t2 = tick(timed);
        err = t.empty ? empty_call(t.from, 0, tx_bufs, count, &sent)
                      : api_tx(t.from, 0, tx_bufs, count, &sent);
        if (__builtin_expect(sent == 0, 0))
            fail(t.c, "tx", err);
        uint64_t t3 = tick(timed);
        if (timed) {
            parts[PART_ALLOC] += t1 - t0;
            parts[PART_WRITE] += t2 - t1;
            parts[PART_TX] += t3 - t2;
        }
        left = (uint16_t)(left - sent);
    } while (left > 0);
}

ALWAYS_INLINE void receive_burst(struct turn t, uint64_t *parts, bool timed, bool roomy)
{
    uint16_t left = t.burst;
    uint16_t count;
    uint16_t given;

    do {
        uint64_t t0 = tick(timed);
        int err = t.empty ? empty_call(t.to, 0, rx_bufs, left, &count)
                          : api_rx(t.to, 0, rx_bufs, roomy ? PATTERN_MAX_BURST : left, &count);
        if (__builtin_expect(count == 0, 0))
            fail(t.c, "rx", err);
        uint64_t t1 = tick(timed);
        read_packets(t, count);
        uint64_t t2 = tick(timed);
        err = t.empty ? empty_call(t.to, 0, rx_bufs, count, &given)
                      : api_give_back(t.to, 0, rx_bufs, count);
        if (__builtin_expect(err != MEMIF_ERR_SUCCESS, 0))
            fail(t.c, "free", err);
        uint64_t t3 = tick(timed);
        if (timed) {
            parts[PART_RX] += t1 - t0;
            parts[PART_READ] += t2 - t1;
            parts[PART_FREE] += t3 - t2;
        }
        left = (uint16_t)(left - count);
    } while (left > 0);
}

ALWAYS_INLINE void run(const struct bench_case *c, uint32_t times, uint64_t *parts, bool timed,
                       bool roomy, bool empty)
{
    const struct turn t = {.c = c,
                           .from = c->from->conn,
                           .to = c->to->conn,
                           .burst = c->pattern->burst,
                           .size = (uint16_t)c->size,
                           .copy = c->copy && !empty,
                           .empty = empty};
    const uint16_t ahead = c->pattern->ahead;

    for (uint32_t i = 0; i < times; i++) {
        for (uint16_t b = 0; b < ahead; b++)
            send_burst(t, parts, timed);
        for (uint16_t b = 0; b < ahead; b++)
            receive_burst(t, parts, timed, roomy);
    }
}

static __attribute__((noinline)) void run_plain(const struct bench_case *c, uint32_t times)
{
    run(c, times, NULL, false, false, false);
}

static __attribute__((noinline)) void run_roomy(const struct bench_case *c, uint32_t times)
{
    run(c, times, NULL, false, true, false);
}

static __attribute__((noinline)) void run_timed(const struct bench_case *c, uint32_t times,
                                                uint64_t *parts)
{
    run(c, times, parts, true, false, false);
}

static __attribute__((noinline)) void run_empty(const struct bench_case *c, uint32_t times)
{
    run(c, times, NULL, false, false, true);
}

/* How many times the pattern fits the slice of time. Warms up, too: in the first lap the kernel may
 * have to bring a page for each buffer. */
static uint32_t calibrate(const struct bench_case *c)
{
    uint32_t times = 1;
    uint64_t slice = (uint64_t)program.slice_us * 1000 / SLICES;

    run_plain(c, (1u << PATTERN_RING_LOG2) / pattern_packets(c->pattern) + 1);
    for (;;) {
        uint64_t start = clock_ns();
        run_plain(c, times);
        uint64_t ns = clock_ns() - start;
        if (ns > slice / 2 || times > 1u << 24)
            return (uint32_t)((double)times * (double)slice / (double)(ns + 1)) + 1;
        times *= 2;
    }
}

/* The medians of some short slices: what interrupts one of them does not count. */
static double plain_ns(const struct bench_case *c, uint32_t times,
                       void (*run_it)(const struct bench_case *, uint32_t))
{
    double ns[SLICES];

    for (int i = 0; i < SLICES; i++) {
        uint64_t start = clock_ns();
        run_it(c, times);
        ns[i] = (double)(clock_ns() - start);
    }
    return median(ns, SLICES) / ((double)times * pattern_packets(c->pattern));
}

static void timed_ns(const struct bench_case *c, uint32_t times, double parts_ns[PARTS])
{
    double ns[PARTS][SLICES];

    for (int i = 0; i < SLICES; i++) {
        uint64_t parts[PARTS] = {0};
        run_timed(c, times, parts);
        for (int part = 0; part < PARTS; part++)
            ns[part][i] = (double)parts[part] * program.tick_ns;
    }
    for (int part = 0; part < PARTS; part++)
        parts_ns[part] = median(ns[part], SLICES) / ((double)times * pattern_packets(c->pattern));
}

static void print_case(const struct bench_case *c, const char *mode)
{
    printf("{\"what\": \"calls\", \"interface\": \"" MEMIF_INTERFACE "\", \"protocol\": %" PRIu32
           ", \"mode\": \"%s\", \"to\": \"%s\", \"pattern\": \"%s\", \"burst\": %u, "
           "\"size\": %" PRIu32 ", \"payload\": \"%s\"",
           program.protocol, mode, c->to->name, c->pattern->name, c->pattern->burst, c->size,
           c->copy ? "copied" : "untouched");
}

static void measure(const struct bench_case *c, const char *mode, uint32_t round)
{
    uint32_t times = calibrate(c);
    double ns = plain_ns(c, times, run_plain);
    double loop = plain_ns(c, times, run_empty);
    double parts[PARTS];
    double whole = 0;

    timed_ns(c, times, parts);
    for (int part = 0; part < PARTS; part++)
        whole += parts[part];
    double reading = (whole - ns) / (double)PARTS;
    print_case(c, mode);
    printf(", \"round\": %" PRIu32 ", \"ns\": %.3f, \"loop\": %.3f, \"parts\": {", round, ns, loop);
    for (int part = 0; part < PARTS; part++) {
        double value = parts[part] - reading;
        printf("%s\"%s\": %.3f", part == 0 ? "" : ", ", part_names[part], value > 0 ? value : 0);
    }
    printf("}}\n");
}

/* A tool that counts starts a new count here. */
void bench_mark(void);
__attribute__((noinline)) void bench_mark(void)
{
    __asm__ volatile("" : : : "memory");
}

static void count_instructions(const struct bench_case *c, const char *mode)
{
    uint32_t times = (INSTRUCTION_LAPS << PATTERN_RING_LOG2) / pattern_packets(c->pattern);
    void (*run_it)(const struct bench_case *, uint32_t) = c->roomy ? run_roomy : run_plain;

    /* The first lap knows less of the ring than all later ones. */
    run_it(c, times);
    bench_mark();
    run_it(c, times);
    bench_mark();
    print_case(c, mode);
    printf(", \"room\": %u, \"packets\": %" PRIu32 "}\n",
           c->roomy ? PATTERN_MAX_BURST : c->pattern->burst, times * pattern_packets(c->pattern));
}

static bool wanted(const char *only, const char *value)
{
    return only == NULL || strcmp(only, value) == 0;
}

static void run_case(const struct bench_case *c, const char *mode, uint32_t round)
{
    if (!wanted(program.only_pattern, c->pattern->name) ||
        !wanted(program.only_payload, c->copy ? "copied" : "untouched") ||
        !wanted(program.only_direction, c->to->name))
        return;
    if (program.only_size != NULL && strtoul(program.only_size, NULL, 10) != c->size)
        return;
    if (!program.instructions) {
        measure(c, mode, round);
        return;
    }
    count_instructions(c, mode);
    /* With more bursts under way the first call would take what the others are to. */
    if (c->pattern->ahead == 1 && c->pattern->burst < PATTERN_MAX_BURST) {
        struct bench_case roomy = *c;
        roomy.roomy = true;
        count_instructions(&roomy, mode);
    }
}

static void run_mode(bool polling, uint32_t round)
{
    static const uint32_t sizes[] = {64, 1500};
    const char *mode = polling ? "polling" : "interrupt";

    if (!wanted(program.only_mode, mode))
        return;
    link_set_polling(&program.master, polling);
    link_set_polling(&program.slave, polling);
    for (size_t p = 0; p < PATTERN_COUNT; p++) {
        for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
            for (int way = 0; way < 4; way++) {
                struct bench_case c = {.pattern = &patterns[p],
                                       .size = sizes[s],
                                       .copy = (way & 1) != 0,
                                       .from = (way & 2) != 0 ? &program.master : &program.slave,
                                       .to = (way & 2) != 0 ? &program.slave : &program.master};
                run_case(&c, mode, round);
            }
        }
    }
}

static void run_all(void)
{
    program.tick_ns = clock_tick_ns();
    for (uint32_t round = 0; round < (program.instructions ? 1 : program.rounds); round++) {
        run_mode(true, round);
        run_mode(false, round);
    }
}

int main(int argc, char **argv)
{
    struct link_options options = {.rings = 1,
                                   .log2_ring_size = PATTERN_RING_LOG2,
                                   .buffer_size = BUFFER_SIZE,
                                   .polling = true};
    uint32_t cpu = UINT32_MAX;
    const struct option_spec specs[] = {
        {"rounds", "times that all cases are measured (default 5)", &program.rounds, NULL, NULL},
        {"slice", "microseconds of one measurement (default 2000)", &program.slice_us, NULL, NULL},
        {"protocol", "256 or 512, told to our library and printed", &program.protocol, NULL, NULL},
        {"pattern",
         "this one only: \"1 each\", \"1 x 256\", \"4 each\", \"32 each\", \"32 x 8\", "
         "\"256 each\"",
         NULL, &program.only_pattern, NULL},
        {"size", "64 or 1500 only", NULL, &program.only_size, NULL},
        {"payload", "untouched or copied only", NULL, &program.only_payload, NULL},
        {"to", "master or slave only: the receiver", NULL, &program.only_direction, NULL},
        {"mode", "polling or interrupt only", NULL, &program.only_mode, NULL},
        {"cpu", "processor to run on", &cpu, NULL, NULL},
        {"socket", "path of the socket (default: in a folder of its own)", NULL, &options.path,
         NULL},
        {"instructions", "run a fixed number of packets between calls of bench_mark", NULL, NULL,
         &program.instructions},
        {NULL, NULL, NULL, NULL, NULL},
    };

    options_parse(argc, argv, specs);
    if (cpu != UINT32_MAX)
        options_pin(cpu);
    if (program.protocol != 0) {
        char text[16];
        snprintf(text, sizeof(text), "%" PRIu32, program.protocol);
        setenv("LIBMEMIF_PROTOCOL", text, 1);
    }
    if (options.path == NULL)
        options.path = options_own_socket();
    link_start();
    link_open(&program.master, &options, true);
    link_open(&program.slave, &options, false);
    link_wait(&program.master, &program.slave);
    fprintf(stderr, "library: %s\n", link_library());
    run_all();
    link_close(&program.slave);
    link_close(&program.master);
    link_stop();
    return EXIT_SUCCESS;
}
