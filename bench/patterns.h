/* SPDX-License-Identifier: Apache-2.0 */
/* The orders in which one thread sends and receives; shared with the bare loop. */
#ifndef BENCH_PATTERNS_H
#define BENCH_PATTERNS_H

#include <stddef.h>
#include <stdint.h>

#define PATTERN_MAX_BURST 256
#define PATTERN_RING_LOG2 10

/* Pieces that the time of one measurement is divided into. */
#define SLICES 5

struct pattern {
    const char *name;
    uint16_t burst;
    uint16_t ahead; /* bursts that are sent before the first of them is received */
};

static const struct pattern patterns[] = {
    {"1 each", 1, 1},   {"1 x 256", 1, 256}, {"4 each", 4, 1},
    {"32 each", 32, 1}, {"32 x 8", 32, 8},   {"256 each", 256, 1},
};

#define PATTERN_COUNT (sizeof(patterns) / sizeof(patterns[0]))

static inline uint32_t pattern_packets(const struct pattern *pattern)
{
    return (uint32_t)pattern->burst * pattern->ahead;
}

#endif
