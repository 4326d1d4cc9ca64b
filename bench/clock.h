/* SPDX-License-Identifier: Apache-2.0 */
/* Time: nanoseconds for anything long, processor ticks for what a system call would drown. */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

static inline uint64_t clock_read(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t clock_ns(void)
{
    return clock_read(CLOCK_MONOTONIC);
}

/* Time that the thread was not kept from running. */
static inline uint64_t clock_cpu_ns(void)
{
    return clock_read(CLOCK_THREAD_CPUTIME_ID);
}

/* Not before all that precedes it is done, so that what lies between two readings is what passes
 * between them. */
static inline uint64_t clock_ticks(void)
{
#if defined(__x86_64__)
    _mm_lfence();
    return __rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return clock_ns();
#endif
}

/* For loops that wait: leaves the core's resources to its other thread. */
static inline void clock_relax(void)
{
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Nanoseconds of one tick, measured over 10 ms. */
static inline double clock_tick_ns(void)
{
    uint64_t ns = clock_ns();
    uint64_t ticks = clock_ticks();
    while (clock_ns() - ns < 10000000u)
        ;
    ticks = clock_ticks() - ticks;
    return (double)(clock_ns() - ns) / (double)ticks;
}

#endif
