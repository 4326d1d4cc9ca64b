/* SPDX-License-Identifier: Apache-2.0 */

/* Pseudo-random numbers, the same in every run: what a test does by chance it does again. */

#ifndef MEMIF_DEVTOOLS_RANDOM_H
#define MEMIF_DEVTOOLS_RANDOM_H

#include <stdint.h>

/* Where a sequence begins. Others begin at this plus a small number: 0 would be followed by 0s. */
#define RANDOM_SEED ((uint64_t)0x9E3779B97F4A7C15u)

static inline uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* 0 to end - 1. */
static inline uint32_t random_below(uint64_t *state, uint32_t end)
{
    return (uint32_t)(random_next(state) >> 32) % end;
}

#endif
