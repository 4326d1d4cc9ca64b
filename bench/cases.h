/* SPDX-License-Identifier: Apache-2.0 */
/* What both ends of a measurement run one after the other, given to both as the same text. */
#ifndef BENCH_CASES_H
#define BENCH_CASES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define CASE_MAX 64
#define CASE_MAX_BURST 256
#define CASE_MAX_SIZE 16384

struct bench_case {
    uint16_t size;
    uint16_t burst;
    bool copy; /* the whole payload is copied in and out; else only the stamp is touched */
};

struct case_list {
    struct bench_case cases[CASE_MAX];
    uint16_t count;
};

/* "64:32:head,1500:256:copied"; ends the program when it is not like that. */
void cases_parse(const char *text, struct case_list *list);

/*
 * The stamp: where a packet belongs. Behind the addresses, which a peer in the middle may swap, and
 * within the first cache line.
 */
#define STAMP_OFFSET 16
#define STAMP_MIN_SIZE (STAMP_OFFSET + 8)
#define STAMP_NUMBER_BITS 48

static inline uint64_t stamp_make(uint16_t case_index, uint64_t number)
{
    return (uint64_t)case_index << STAMP_NUMBER_BITS | number;
}

static inline uint16_t stamp_case(uint64_t stamp)
{
    return (uint16_t)(stamp >> STAMP_NUMBER_BITS);
}

static inline uint64_t stamp_read(const void *packet)
{
    uint64_t stamp;
    memcpy(&stamp, (const uint8_t *)packet + STAMP_OFFSET, sizeof(stamp));
    return stamp;
}

static inline void stamp_write(void *packet, uint64_t stamp)
{
    memcpy((uint8_t *)packet + STAMP_OFFSET, &stamp, sizeof(stamp));
}

/* Follows the stamps of one ring. */
struct stamp_check {
    uint64_t expected;
    uint64_t lost;
    uint64_t disordered;
};

/* For a stamp that is not the expected one. Returns true when it opens another case. */
bool stamp_surprise(struct stamp_check *check, uint64_t stamp);

/* Turns of a loop after which it is time to look at the clock, without paying for that. */
static inline uint32_t case_turns(const struct bench_case *c)
{
    return CASE_MAX_BURST / c->burst;
}

#define METER_MAX_WINDOWS 256

/*
 * One case on the receiving end's clock: warm up from the first packet on, then count in windows of
 * a millisecond. The rate is the median of the windows, so that what keeps either end from running
 * for less than half of the time does not change it.
 */
struct meter {
    uint64_t begun;
    uint64_t start;
    uint64_t start_cpu;
    uint64_t packets; /* since it was begun; kept by the program */
    uint64_t at_start;
    uint64_t window_start;
    uint64_t at_window_start;
    double windows[METER_MAX_WINDOWS];
    uint32_t window_count;
    double rate;  /* packets per second, once done */
    double mean;  /* likewise, over all of the time */
    double share; /* of the time counted in which the thread had its processor */
    bool running, counting, done;
};

struct meter_times {
    uint32_t warm_ms;
    uint32_t count_ms;
};

void meter_begin(struct meter *meter, uint64_t now);
void meter_look(struct meter *meter, const struct meter_times *times, uint64_t now);

/* The other end went on before the time was over: what was counted so far has to do. */
void meter_end(struct meter *meter, uint64_t now);

/* The middle of a result line. */
void meter_print(const struct meter *meter, const struct bench_case *c);

#endif
