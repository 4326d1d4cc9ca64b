/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The set-up of the data path, and what a forked child has of it: nothing of its parent's until it
 * starts over, and what it needs from then on. The linker leads the calls of the kernel here, which
 * says yes to all of them unless a test wants another answer.
 */

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "loopback.h"
#include "system_calls.h"

#include "core/arena.h"
#include "core/barrier.h"
#include "core/counters.h"
#include "core/errors.h"
#include "core/fork.h"
#include "core/lease.h"
#include "core/segment.h"
#include "core/signals.h"
#include "core/untrusted.h"

/* ---- the kernel ---- */

static struct {
    int registrations, request_set_ups, requests, fork_handlers; /* calls */
    bool refuses_to_map, refuses_to_empty, refuses_fork_handlers;
} kernel;

static long on_membarrier(int command)
{
    if (command == MEMBARRIER_CMD_QUERY)
        return MEMBARRIER_CMD_PRIVATE_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED;
    kernel.registrations += command == MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED;
    return 0;
}

static long on_system_call(long number, const long *a)
{
    switch (number) {
    case SYS_membarrier:
        return on_membarrier((int)a[0]);
    case SYS_io_setup:
        kernel.request_set_ups++;
        *(unsigned long *)(uintptr_t)a[1] = (unsigned long)getpid();
        return 0;
    case SYS_io_submit:
        /* Requests belong to the process that has set them up. */
        if (a[0] == getpid()) {
            kernel.requests++;
            return 1;
        }
        errno = EINVAL;
        return -1;
    default:
        return pass_on(number, a);
    }
}

void *__real_mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    if (kernel.refuses_to_map) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return __real_mmap64(at, bytes, protection, flags, fd, offset);
}

int __real_madvise(void *base, size_t bytes, int advice);
int __wrap_madvise(void *base, size_t bytes, int advice)
{
    if (kernel.refuses_to_empty) {
        errno = ENOMEM;
        return -1;
    }
    return __real_madvise(base, bytes, advice);
}

int __real_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    kernel.fork_handlers++;
    return kernel.refuses_fork_handlers ? ENOMEM : __real_pthread_atfork(prepare, parent, child);
}

/* ---- locks ---- */

enum { MOST_LOCKS = 32 };

static struct {
    bool collects;
    pthread_mutex_t *all[MOST_LOCKS]; /* that were taken meanwhile */
    int count, held;
} locks;

static void collect(pthread_mutex_t *lock)
{
    for (int i = 0; i < locks.count; i++)
        if (locks.all[i] == lock)
            return;
    if (locks.count == MOST_LOCKS)
        ck_abort_msg("the core has more locks");
    locks.all[locks.count++] = lock;
}

int __real_pthread_mutex_lock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_lock(pthread_mutex_t *lock)
{
    if (locks.collects)
        collect(lock);
    locks.held++;
    return __real_pthread_mutex_lock(lock);
}

int __real_pthread_mutex_unlock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *lock)
{
    if (locks.held-- == 0)
        ck_abort_msg("a lock is released that nobody has");
    return __real_pthread_mutex_unlock(lock);
}

/* ---- parent and child ---- */

static struct mif_poller poller = MIF_POLLER_INIT;
static int signal_fd;

static int serve(uintptr_t number, int fd, uint32_t events)
{
    (void)number;
    (void)fd;
    (void)events;
    return MIF_ERR_SUCCESS;
}

/* A process with a link, a watch and a signal that was sent. */
static void be_a_parent(void)
{
    open_loopback(MIF_VERSION_512);
    raise_side(SLAVE);
    signal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ck_assert_int_eq(mif_poller_open(&poller, NULL, serve), MIF_ERR_SUCCESS);
    ck_assert_int_eq(mif_poller_watch(&poller, signal_fd, MIF_WATCH_CONTROL, NULL, 0),
                     MIF_ERR_SUCCESS);
    ck_assert(mif_efd_signal_nowait(signal_fd));
}

static void cease(void)
{
    ck_assert_int_eq(mif_poller_unwatch(&poller, signal_fd), MIF_ERR_SUCCESS);
    mif_poller_close(&poller);
    ck_assert_int_eq(close(signal_fd), 0);
    lower_side(SLAVE);
    close_loopback();
}

/* What a child finds: 0, or the number of what is wrong. Check is the parent's. */
static pid_t begin_child(int (*look)(void))
{
    pid_t child = fork();

    if (child == 0) {
        alarm(10);
        _exit(look());
    }
    return child;
}

static void end_child(pid_t child)
{
    int status;

    ck_assert_int_ge(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

static void expect_in_a_child(int (*look)(void))
{
    end_child(begin_child(look));
}

#define EXPECT(number, what)                                                                       \
    if (!(what))                                                                                   \
    return number

/* ---- the set-up ---- */

MEMIF_TEST(a_process_is_set_up_once)
{
    for (int times = 0; times < 3; times++) {
        ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
        ck_assert_int_eq(kernel.fork_handlers, 1);
        ck_assert_int_eq(kernel.registrations, 1);
    }
    ck_assert(!mif_in_forked_child());
    ck_assert_uint_eq(mif_generation(), 0);
}

static void expect_no_interface(void)
{
    void *handle = NULL;

    ck_assert(!mif_arena_is_published());
    ck_assert_int_eq(mif_connection_open(&handle, NULL, NULL, NULL), MIF_ERR_INVAL_ARG);
}

MEMIF_TEST(without_an_address_range_nothing_is_set_up)
{
    kernel.refuses_to_map = true;
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_NOMEM);
    kernel.refuses_to_map = false;
    expect_no_interface();
    ck_assert_int_eq(kernel.fork_handlers, 0);
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    ck_assert_int_eq(kernel.fork_handlers, 1);
    ck_assert(mif_arena_is_published());
}

MEMIF_TEST(whoever_would_not_learn_of_a_fork_has_no_interfaces)
{
    kernel.refuses_fork_handlers = true;
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_NOMEM);
    expect_no_interface();
    kernel.refuses_fork_handlers = false;
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    ck_assert(mif_arena_is_published());
}

/* ---- what a child has of its parent ---- */

static int find_nothing_that_is_up(void)
{
    void *handle = loopback.handles[SLAVE];
    int fd;

    EXPECT(1, mif_in_forked_child());
    EXPECT(2, mif_generation() == 1);
    for (uint32_t qid = 0; qid < QUEUES; qid++) {
        EXPECT(3, mif_enter(handle, qid, MIF_RX) == NULL);
        EXPECT(4, mif_enter(handle, qid, MIF_TX) == NULL);
        EXPECT(5, mif_queue_efd(handle, (uint16_t)qid, &fd) == MIF_ERR_DISCONNECTED);
    }
    EXPECT(6, !mif_segment_is_open());
    return 0;
}

/* With pages that others may read, and without. */
MEMIF_TEST_LOOP(nothing_of_its_parent_is_up_in_a_child, 0, 2)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    if (_i)
        mif_segment_open("Python");
    be_a_parent();
    expect_in_a_child(find_nothing_that_is_up);
    ck_assert(!mif_in_forked_child());
    ck_assert_uint_eq(mif_generation(), 0);
    struct mif_queue *q = mif_enter(loopback.handles[SLAVE], 0, MIF_RX);
    ck_assert_ptr_nonnull(q);
    mif_leave(q);
    cease();
    if (_i)
        mif_segment_close();
}

/* ---- a child that starts over ---- */

MEMIF_TEST(who_is_no_child_does_not_start_over)
{
    be_a_parent();
    ck_assert_int_eq(mif_start_over(), MIF_ERR_SUCCESS);
    ck_assert_int_eq(kernel.registrations, 1);
    ck_assert_ptr_nonnull(mif_lookup(loopback.handles[SLAVE]));
    ck_assert_int_eq(mif_poller_dispatch(signal_fd, MIF_EVENT_READ), MIF_ERR_SUCCESS);
    cease();
}

static int find_all_places_free(void)
{
    void *handle, *old = loopback.handles[SLAVE];
    int fd;

    EXPECT(1, mif_start_over() == MIF_ERR_SUCCESS);
    EXPECT(2, !mif_in_forked_child());
    EXPECT(3, mif_lookup(old) == NULL);
    open_side(SLAVE);
    handle = loopback.handles[SLAVE];
    EXPECT(4, mif_cell_of(handle) == 0);
    EXPECT(5, (uintptr_t)handle >> MIF_SERIAL_SHIFT > (uintptr_t)old >> MIF_SERIAL_SHIFT);
    raise_side(SLAVE);
    EXPECT(6, mif_queue_efd(handle, 0, &fd) == MIF_ERR_SUCCESS);
    EXPECT(7, fd == loopback.efds[QUEUES]);
    EXPECT(8, mif_generation() == 1);
    EXPECT(9, mif_start_over() == MIF_ERR_SUCCESS); /* it is no child any more */
    EXPECT(10, mif_lookup(handle) != NULL);
    return 0;
}

MEMIF_TEST(all_places_are_free_in_a_child_that_starts_over)
{
    be_a_parent();
    expect_in_a_child(find_all_places_free);
    cease();
}

static int find_no_watch_and_own_signals(void)
{
    EXPECT(1, mif_start_over() == MIF_ERR_SUCCESS);
    EXPECT(2, mif_poller_dispatch(signal_fd, MIF_EVENT_READ) == MIF_ERR_BAD_FD);
    EXPECT(3, kernel.registrations == 2);
    EXPECT(4, kernel.request_set_ups == 1 && kernel.requests == 1);
    EXPECT(5, mif_efd_signal_nowait(signal_fd));
    EXPECT(6, kernel.request_set_ups == 2 && kernel.requests == 2);
    return 0;
}

MEMIF_TEST(a_child_that_starts_over_watches_and_signals_for_itself)
{
    be_a_parent();
    expect_in_a_child(find_no_watch_and_own_signals);
    cease();
}

static int fail_and_start_over(void)
{
    kernel.refuses_to_empty = true;
    EXPECT(1, mif_start_over() == MIF_ERR_NOMEM);
    EXPECT(2, mif_in_forked_child());
    kernel.refuses_to_empty = false;
    return find_all_places_free();
}

MEMIF_TEST(a_child_that_cannot_start_over_stays_a_child)
{
    be_a_parent();
    expect_in_a_child(fail_and_start_over);
    cease();
}

/* ---- locks that another thread of the parent has at that moment ---- */

/* Check is not called here: it has a lock too. */
static int take_each_lock(void)
{
    int fd;

    EXPECT(1, mif_data_path_init() == MIF_ERR_SUCCESS);
    EXPECT(2, mif_queue_efd(loopback.handles[SLAVE], 0, &fd) == MIF_ERR_SUCCESS);
    EXPECT(8, mif_arena_open_queues(loopback.handles[SLAVE], 0) == MIF_ERR_SUCCESS);
    mif_lease_drop(mif_lease_take(mif_lookup(loopback.handles[SLAVE])));
    mif_untrusted_begin();
    mif_untrusted_end();
    EXPECT(3, mif_poller_watch(&poller, signal_fd, MIF_WATCH_CONTROL, NULL, 0) == MIF_ERR_SUCCESS);
    EXPECT(4, mif_efd_signal_nowait(signal_fd));
    return 0;
}

static int start_over_and_take_each_lock(void)
{
    EXPECT(5, mif_data_path_init() == MIF_ERR_SUCCESS);
    mif_lease_drop(mif_lease_take(mif_lookup(loopback.handles[SLAVE])));
    EXPECT(6, mif_start_over() == MIF_ERR_SUCCESS);
    open_side(SLAVE);
    raise_side(SLAVE);
    poller = (struct mif_poller)MIF_POLLER_INIT;
    EXPECT(7, mif_poller_open(&poller, NULL, serve) == MIF_ERR_SUCCESS);
    return take_each_lock();
}

MEMIF_TEST(a_child_waits_for_no_lock_of_its_parent)
{
    open_loopback(MIF_VERSION_512);
    raise_side(SLAVE);
    signal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ck_assert_int_eq(mif_poller_open(&poller, NULL, serve), MIF_ERR_SUCCESS);
    locks.collects = true;
    int wrong = take_each_lock();
    locks.collects = false;
    ck_assert_int_eq(wrong, 0);
    ck_assert_int_ge(locks.count, 7);
    for (int i = 0; i < locks.count; i++)
        (void)__real_pthread_mutex_lock(locks.all[i]);
    pid_t child = begin_child(start_over_and_take_each_lock);
    for (int i = locks.count; i-- > 0;)
        (void)__real_pthread_mutex_unlock(locks.all[i]);
    end_child(child);
    cease();
}

MEMIF_TEST_MAIN("start over")
