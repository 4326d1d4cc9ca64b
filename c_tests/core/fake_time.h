/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A sender that waits for room in a time that passes only while it sleeps: its clock, its naps and
 * the system calls of futexes are led here by the linker.
 */

#ifndef MEMIF_C_TESTS_FAKE_TIME_H
#define MEMIF_C_TESTS_FAKE_TIME_H

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "sender.h"
#include "system_calls.h"

enum { SHORTEST = 10000, LONGEST = 1000000, MOST_SLEEP = 20000000, MOST_NAPS = 64 };

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);

/* Near the end of a second, so that both parts of a time count. */
enum { START = 1999990000 };
static int64_t now, tick; /* tick: what passes at each look at the clock */
static int64_t naps[MOST_NAPS], sleeps[MOST_NAPS];
static unsigned nap_count, sleep_count, barriers, looks;
static void (*at_nap)(void), (*at_sleep)(void), (*at_barrier)(void), (*at_clock)(void);
/* How a sleep ends that is not answered. */
static long sleep_result;
static int sleep_errno;

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    ck_assert_int_eq(clock, CLOCK_MONOTONIC);
    if (looks++ > 0 && at_clock != NULL)
        at_clock();
    time->tv_sec = now / 1000000000;
    time->tv_nsec = now % 1000000000;
    now += tick;
    return 0;
}

static inline void pass(int64_t *all, unsigned *count, const struct timespec *time)
{
    ck_assert_int_eq(time->tv_sec, 0);
    ck_assert_uint_lt(*count, MOST_NAPS);
    all[(*count)++] = time->tv_nsec;
    now += time->tv_nsec;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
    ck_assert_ptr_null(rest);
    pass(naps, &nap_count, time);
    if (at_nap != NULL)
        at_nap();
    return 0;
}

static inline long sleep_here(const uint32_t *word, uint32_t value, const struct timespec *time)
{
    if (*word != value) {
        errno = EAGAIN;
        return -1;
    }
    pass(sleeps, &sleep_count, time);
    if (at_sleep != NULL)
        at_sleep();
    errno = sleep_errno;
    return sleep_result;
}

static long on_system_call(long number, const long *a)
{
    if (number == SYS_futex && a[1] == FUTEX_WAIT)
        return sleep_here((const uint32_t *)(uintptr_t)a[0], (uint32_t)a[2],
                          (const struct timespec *)(uintptr_t)a[3]);
    if (number == SYS_membarrier && a[0] == MEMBARRIER_CMD_GLOBAL_EXPEDITED) {
        barriers++;
        if (at_barrier != NULL)
            at_barrier();
    }
    return pass_on(number, a);
}

/* ---- the scene ---- */

static memif_buffer_t held[SLOTS];
static uint16_t received, given_back;

static inline int receiver_efd(void)
{
    return mif_queue_at(loopback.handles[to], 0, MIF_RX)->efd;
}

static inline bool is_signalled(void)
{
    struct pollfd ready = {.fd = receiver_efd(), .events = POLLIN};

    return poll(&ready, 1, 0) == 1;
}

static inline void give_back(uint16_t packets)
{
    uint16_t count = 0;

    ck_assert_int_eq(mif_call(loopback.handles[to], 0, MIF_RX, MIF_CALL_GIVE_BACK, 0,
                              held + given_back, packets, &count),
                     0);
    ck_assert_uint_eq(count, packets);
    given_back = (uint16_t)(given_back + packets);
}

static inline struct mif_ask *question(void)
{
    struct mif_queue *q = sender();

    return q->own_index == &q->ring->head ? &q->ring->head_ask : &q->ring->tail_ask;
}

/* The ring is full but for `free` slots, and its receiver has all that was sent. */
static inline void open_scene(int way, uint16_t free, uint16_t flags)
{
    at_nap = at_sleep = at_barrier = at_clock = NULL;
    open_way(way);
    send_packets((uint16_t)(capacity - free));
    received = given_back = 0;
    ck_assert_int_eq(
        mif_call(loopback.handles[to], 0, MIF_RX, MIF_CALL_RX, 0, held, SLOTS, &received), 0);
    ck_assert_uint_eq(received, capacity - free);
    mif_efd_drain(receiver_efd());
    atomic_store(&sender()->ring->flags, flags);
    now = START;
    tick = 0;
    nap_count = sleep_count = barriers = looks = 0;
    sleep_result = -1;
    sleep_errno = ETIMEDOUT;
}

static inline void close_scene(void)
{
    at_nap = at_sleep = at_barrier = at_clock = NULL;
    ck_assert_uint_eq(atomic_load(&sender()->busy), 0);
    close_way();
}

/* ---- what may happen at each of the calls ---- */

static inline void note_the_question(void)
{
    atomic_fetch_or(&question()->wanted, MIF_ASK_NOTED);
}

static inline void give_back_four(void)
{
    give_back(4);
}

static inline void break_the_ring(void)
{
    _Atomic uint16_t *index = sender()->peer_index;

    atomic_store(index, (uint16_t)(atomic_load(index) + 0x4000));
}

#endif
