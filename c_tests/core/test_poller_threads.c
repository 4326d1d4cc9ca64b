/* SPDX-License-Identifier: Apache-2.0 */

/* The end of a poller while threads are inside, and while callbacks poll one in another. */

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "harness.h"

#include "core/backoff.h"
#include "core/errors.h"
#include "core/poller.h"

static struct mif_poller first = MIF_POLLER_INIT, second = MIF_POLLER_INIT;

/* Waits that have begun, of both. */
static _Atomic int waits;

int __real_epoll_wait(int epoll_fd, struct epoll_event *events, int most, int timeout);
int __wrap_epoll_wait(int epoll_fd, struct epoll_event *events, int most, int timeout);
int __wrap_epoll_wait(int epoll_fd, struct epoll_event *events, int most, int timeout)
{
    atomic_fetch_add(&waits, 1);
    return __real_epoll_wait(epoll_fd, events, most, timeout);
}

/* Naps of who waits for others to leave. */
static _Atomic unsigned naps;

void __real_mif_backoff(unsigned turn);
void __wrap_mif_backoff(unsigned turn);
void __wrap_mif_backoff(unsigned turn)
{
    atomic_fetch_add(&naps, 1);
    __real_mif_backoff(turn);
}

/* What the next events do, the innermost last. */
static void (*todo[4])(void);
static _Atomic unsigned done;

static int serve(uintptr_t poller, int fd, uint32_t events)
{
    unsigned number = atomic_fetch_add(&done, 1);

    (void)poller;
    (void)fd;
    (void)events;
    if (number < sizeof(todo) / sizeof(todo[0]) && todo[number] != NULL)
        todo[number]();
    return MIF_ERR_SUCCESS;
}

static int ends[2]; /* of a pipe that always has a byte */

static void open_both(void)
{
    ck_assert_int_eq(mif_poller_open(&first, NULL, serve), MIF_ERR_SUCCESS);
    ck_assert_int_eq(mif_poller_open(&second, NULL, serve), MIF_ERR_SUCCESS);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(write(ends[1], "x", 1), 1);
}

static void watch_in(struct mif_poller *poller)
{
    ck_assert_int_eq(mif_poller_watch(poller, ends[0], MIF_WATCH_CONTROL, NULL, 0),
                     MIF_ERR_SUCCESS);
}

static void *poll_until_an_event(void *poller)
{
    return (void *)(intptr_t)mif_poller_poll(poller, -1);
}

static pthread_t thread;

static void start_in(struct mif_poller *poller)
{
    int before = atomic_load(&waits);

    ck_assert_int_eq(pthread_create(&thread, NULL, poll_until_an_event, poller), 0);
    while (atomic_load(&waits) == before)
        sched_yield();
}

/* How the thread's wait ended. */
static int join(void)
{
    void *result;

    ck_assert_int_eq(pthread_join(thread, &result), 0);
    return (int)(intptr_t)result;
}

MEMIF_TEST(who_closes_waits_for_all_that_are_inside)
{
    open_both();
    ck_assert_int_eq(mif_poller_poll(&first, 0), MIF_ERR_SUCCESS); /* is inside no more */
    start_in(&first);
    mif_poller_close(&first);
    ck_assert_uint_eq(atomic_load(&first.inside), 0);
    ck_assert_int_eq(join(), MIF_ERR_POLL_CANCEL);
    mif_poller_close(&second);
}

/* ---- in callbacks ---- */

static void close_first(void)
{
    mif_poller_close(&first);
}

static void close_second(void)
{
    mif_poller_close(&second);
    ck_assert_uint_eq(atomic_load(&second.inside), 0);
}

static void poll_first(void)
{
    ck_assert_int_eq(mif_poller_poll(&first, -1), MIF_ERR_SUCCESS);
}

static void poll_second(void)
{
    ck_assert_int_eq(mif_poller_poll(&second, -1), MIF_ERR_SUCCESS);
}

static void *close_it(void *poller)
{
    mif_poller_close(poller);
    return NULL;
}

/* Whoever comes too late has nothing to wait for. */
static void close_first_twice(void)
{
    mif_poller_close(&first);
    ck_assert_int_eq(pthread_create(&thread, NULL, close_it, &first), 0);
    (void)join();
}

static const struct {
    void (*todo[3])(void);
    unsigned events;
} endings[] = {
    {{close_first}, 1},
    {{close_first_twice}, 1},
    {{poll_first, close_first}, 2},
    {{poll_first, poll_first, close_first}, 3},
    {{poll_first, NULL}, 2},
};
enum { ENDINGS = sizeof(endings) / sizeof(endings[0]) };

MEMIF_TEST_LOOP(a_callback_may_close_the_poller_that_calls_it, 0, ENDINGS)
{
    open_both();
    watch_in(&first);
    memset(todo, 0, sizeof(todo));
    memcpy(todo, endings[_i].todo, sizeof(endings[_i].todo));
    atomic_store(&done, 0);
    poll_first();
    ck_assert_uint_eq(atomic_load(&done), endings[_i].events);
    ck_assert_uint_eq(atomic_load(&first.inside), 0);
    mif_poller_close(&first);
    ck_assert_int_eq(first.epoll_fd, -1);
    mif_poller_close(&second);
    /* It can be used again, and whoever was inside is not counted. */
    open_both();
    start_in(&first);
    mif_poller_close(&first);
    ck_assert_uint_eq(atomic_load(&first.inside), 0);
    ck_assert_int_eq(join(), MIF_ERR_POLL_CANCEL);
    mif_poller_close(&second);
}

MEMIF_TEST(a_callback_that_closes_another_poller_waits_for_those_inside)
{
    open_both();
    watch_in(&first);
    start_in(&second);
    todo[0] = close_second;
    poll_first();
    ck_assert_int_eq(join(), MIF_ERR_POLL_CANCEL);
    mif_poller_close(&first);
}

static void close_first_from_second(void)
{
    poll_second();
}

MEMIF_TEST(a_callback_of_one_poller_in_another_may_close_the_outer_one)
{
    int inner[2];

    open_both();
    watch_in(&first);
    ck_assert_int_eq(pipe2(inner, O_CLOEXEC), 0);
    ck_assert_int_eq(write(inner[1], "x", 1), 1);
    ck_assert_int_eq(mif_poller_watch(&second, inner[0], MIF_WATCH_CONTROL, NULL, 0),
                     MIF_ERR_SUCCESS);
    todo[0] = close_first_from_second;
    todo[1] = close_first;
    poll_first();
    ck_assert_uint_eq(atomic_load(&done), 2);
    ck_assert_int_eq(first.epoll_fd, -1);
    /* The turn in the outer one has ended with it. */
    ck_assert_int_eq(mif_poller_poll(&second, 0), MIF_ERR_SUCCESS);
    mif_poller_close(&second);
}

/* ---- while it closes ---- */

static _Atomic int late_poll, late_cancel;

static void come_too_late(void)
{
    while (atomic_load(&naps) == 0) /* until somebody waits for us to leave */
        sched_yield();
    atomic_store(&late_poll, mif_poller_poll(&first, 0));
    atomic_store(&late_cancel, mif_poller_cancel(&first));
}

MEMIF_TEST(nobody_enters_a_poller_that_closes)
{
    open_both();
    watch_in(&first);
    todo[0] = come_too_late;
    ck_assert_int_eq(pthread_create(&thread, NULL, poll_until_an_event, &first), 0);
    while (atomic_load(&done) == 0)
        sched_yield();
    mif_poller_close(&first);
    ck_assert_uint_eq(atomic_load(&first.inside), 0);
    ck_assert_int_eq(join(), MIF_ERR_SUCCESS);
    ck_assert_int_eq(atomic_load(&late_poll), MIF_ERR_INVAL_ARG);
    ck_assert_int_eq(atomic_load(&late_cancel), MIF_ERR_INVAL_ARG);
    ck_assert_uint_eq(atomic_load(&done), 1);
    mif_poller_close(&second);
}

MEMIF_TEST_MAIN("poller_threads")
