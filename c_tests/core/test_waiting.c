/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Who waits for another thread of the process to come to its end lets it run: a thread of
 * SCHED_FIFO that only yields keeps a lesser one from its processor for good. The linker leads the
 * yields and sleeps of the core here; the thread that is waited for comes to its end at the first
 * sleep, or when there were so many yields that there would never be one.
 */

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "loopback.h"

#include "core/arena.h"
#include "core/backoff.h"

enum { MOST_YIELDS = 10000 };

int __real_sched_yield(void);
int __wrap_sched_yield(void);
int __real_nanosleep(const struct timespec *time, struct timespec *rest);
int __wrap_nanosleep(const struct timespec *time, struct timespec *rest);

static atomic_bool waits; /* the thread under test is inside */
static unsigned yields, sleeps;
static sem_t inside, release;
static struct pollfd woken = {.fd = -1}; /* an eventfd, and what a thread may wait for there */
static unsigned early, later;            /* times that it need not wait: at a yield, at a sleep */

static bool is_woken(void)
{
    struct pollfd look = woken;

    /* Of a counter beyond its limit an error is reported, whatever one waits for. */
    return poll(&look, 1, 0) == 1 && look.revents & look.events;
}

int __wrap_sched_yield(void)
{
    if (atomic_load(&waits)) {
        early += is_woken();
        if (++yields == MOST_YIELDS)
            (void)sem_post(&release);
    }
    return __real_sched_yield();
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
    if (atomic_load(&waits)) {
        later += is_woken();
        if (sleeps++ == 0)
            (void)sem_post(&release);
    }
    return __real_nanosleep(time, rest);
}

static void stay_inside(void)
{
    (void)sem_post(&inside);
    while (sem_wait(&release) != 0)
        continue;
}

static void begin(pthread_t *thread, void *(*stay)(void *), void *argument)
{
    yields = sleeps = early = later = 0;
    ck_assert_int_eq(sem_init(&inside, 0, 0), 0);
    ck_assert_int_eq(sem_init(&release, 0, 0), 0);
    ck_assert_int_eq(pthread_create(thread, NULL, stay, argument), 0);
    while (sem_wait(&inside) != 0)
        continue;
    atomic_store(&waits, true);
}

static void end(pthread_t thread)
{
    atomic_store(&waits, false);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(yields, MIF_YIELDS);
    ck_assert_uint_gt(sleeps, 0);
    ck_assert_int_eq(sem_destroy(&inside), 0);
    ck_assert_int_eq(sem_destroy(&release), 0);
}

static int stay_in_control(uintptr_t poller, int fd, uint32_t events)
{
    (void)poller;
    (void)fd;
    (void)events;
    stay_inside();
    return MIF_ERR_SUCCESS;
}

static void *poll_once(void *poller)
{
    (void)mif_poller_poll(poller, -1);
    return NULL;
}

MEMIF_TEST(who_closes_a_hub_sleeps_until_the_pollers_have_left)
{
    struct mif_poller *poller = mif_poller_new();
    int efd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_t thread;

    ck_assert_ptr_nonnull(poller);
    ck_assert_int_eq(mif_poller_open(poller, NULL, stay_in_control), MIF_ERR_SUCCESS);
    ck_assert_int_eq(mif_poller_watch(poller, efd, MIF_WATCH_CONTROL, NULL, 0), MIF_ERR_SUCCESS);
    begin(&thread, poll_once, poller);
    mif_poller_close(poller);
    end(thread);
    mif_poller_free(poller);
    ck_assert_int_eq(close(efd), 0);
}

static uint32_t busy_qid;
static enum mif_direction busy_direction;

static void *stay_in_a_burst(void *handle)
{
    struct mif_queue *q = mif_enter(handle, busy_qid, busy_direction);

    stay_inside();
    mif_leave(q);
    return NULL;
}

/* A thread in a burst may wait for an eventfd that is empty, or full: it can go on before the first
 * sleep. */
MEMIF_TEST_LOOP(who_takes_queues_down_sleeps_until_the_bursts_have_left, 0, 4 * QUEUES)
{
    const uint64_t most = UINT64_MAX - 1;
    const bool full = _i >= 2 * QUEUES;
    pthread_t thread;

    open_loopback(512);
    raise_side(SLAVE);
    raise_side(MASTER);
    busy_qid = (uint32_t)_i / 2 % QUEUES;
    busy_direction = _i % 2 == 0 ? MIF_RX : MIF_TX;
    int efd = mif_queue_at(loopback.handles[MASTER], busy_qid, busy_direction)->efd;
    if (full)
        ck_assert_int_eq(write(efd, &most, sizeof(most)), sizeof(most));
    woken = (struct pollfd){.fd = efd, .events = full ? POLLOUT : POLLIN};
    begin(&thread, stay_in_a_burst, loopback.handles[MASTER]);
    mif_connection_down(loopback.handles[MASTER]);
    end(thread);
    ck_assert_uint_eq(early, 0);
    ck_assert_uint_eq(later, sleeps);
    woken.fd = -1;
    lower_side(MASTER);
    lower_side(SLAVE);
    close_loopback();
}

/* A queue that has the next id may be that of a link that had more of them. */
MEMIF_TEST_LOOP(no_queue_of_another_link_is_waited_for, 0, 2)
{
    open_loopback(512);
    raise_side(SLAVE);
    void *handle = loopback.handles[SLAVE];
    ck_assert_int_eq(mif_arena_open_queues(handle, QUEUES), MIF_ERR_SUCCESS);
    struct mif_queue *q = mif_queue_at(handle, QUEUES, _i == 0 ? MIF_RX : MIF_TX);
    q->efd = -1;
    yields = sleeps = 0;
    ck_assert_int_eq(sem_init(&release, 0, 0), 0);
    atomic_store(&q->busy, 1);
    atomic_store(&waits, true);
    alarm(10);
    mif_connection_down(handle);
    alarm(0);
    atomic_store(&waits, false);
    atomic_store(&q->busy, 0);
    ck_assert_uint_eq(yields + sleeps, 0);
    lower_side(SLAVE);
    close_loopback();
}

MEMIF_TEST(the_first_turns_yield_and_all_others_sleep)
{
    ck_assert_int_eq(sem_init(&release, 0, 0), 0);
    atomic_store(&waits, true);
    for (unsigned turn = 0; turn < MIF_YIELDS; turn++)
        mif_backoff(turn);
    ck_assert_uint_eq(yields, MIF_YIELDS);
    ck_assert_uint_eq(sleeps, 0);
    mif_backoff(MIF_YIELDS);
    mif_backoff(MIF_YIELDS + 1);
    mif_backoff(UINT32_MAX);
    ck_assert_uint_eq(yields, MIF_YIELDS);
    ck_assert_uint_eq(sleeps, 3);
    atomic_store(&waits, false);
}

MEMIF_TEST_MAIN("waiting")
