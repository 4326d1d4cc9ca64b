/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Who waits for another thread of the process to come to its end lets it run: a thread of
 * SCHED_FIFO that only yields keeps a lesser one from its processor for good. The linker leads the
 * yields and sleeps of the core here; the thread that is waited for comes to its end at the first
 * sleep, or when there were so many yields that there would never be one.
 */

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "loopback.h"

enum { MOST_YIELDS = 10000 };

int __real_sched_yield(void);
int __wrap_sched_yield(void);
int __real_nanosleep(const struct timespec *time, struct timespec *rest);
int __wrap_nanosleep(const struct timespec *time, struct timespec *rest);

static atomic_bool waits; /* the thread under test is inside */
static unsigned yields, sleeps;
static sem_t inside, release;

int __wrap_sched_yield(void)
{
    if (atomic_load(&waits) && ++yields == MOST_YIELDS)
        (void)sem_post(&release);
    return __real_sched_yield();
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
    if (atomic_load(&waits) && sleeps++ == 0)
        (void)sem_post(&release);
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
    yields = sleeps = 0;
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
    ck_assert_uint_lt(yields, MOST_YIELDS);
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

static void *stay_in_a_burst(void *handle)
{
    struct mif_queue *q = mif_enter(handle, 0, MIF_RX);

    stay_inside();
    mif_leave(q);
    return NULL;
}

MEMIF_TEST(who_takes_queues_down_sleeps_until_the_bursts_have_left)
{
    pthread_t thread;

    open_loopback(512);
    raise_side(SLAVE);
    raise_side(MASTER);
    begin(&thread, stay_in_a_burst, loopback.handles[MASTER]);
    mif_connection_down(loopback.handles[MASTER]);
    end(thread);
    lower_side(MASTER);
    lower_side(SLAVE);
    close_loopback();
}

MEMIF_TEST_MAIN("waiting")
