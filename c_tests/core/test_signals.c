/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Signals where the kernel, or a filter, refuses one call after another: which is tried next, and
 * that no refused one is tried again. The linker leads the calls here.
 */

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "harness.h"
#include "held_locks.h"
#include "refused.h"
#include "system_calls.h"

#include "core/signals.h"
#include "core/state.h"

enum { MOST_TRIES = 8, REQUESTS = 64 };

static struct {
    int reads, set_ups, requests, collections, polls; /* calls */
    int read_errno, set_up_errno;                     /* 0: it works */
    int request_errno, request_errors;                /* so many of the next ones fail */
    int poll_errno;
    int write_errno, write_errors; /* likewise */
    bool reads_nothing;
} kernel;

static long on_system_call(long number, const long *a)
{
    switch (number) {
    case SYS_preadv2:
        kernel.reads++;
        if (kernel.reads_nothing)
            return 0;
        return kernel.read_errno != 0 ? refused_with(kernel.read_errno) : pass_on(number, a);
    case SYS_io_setup:
        kernel.set_ups++;
        return kernel.set_up_errno != 0 ? refused_with(kernel.set_up_errno) : pass_on(number, a);
    case SYS_io_submit:
        kernel.requests++;
        if (kernel.request_errors > 0) {
            kernel.request_errors--;
            return refused_with(kernel.request_errno);
        }
        return pass_on(number, a);
    case SYS_io_getevents:
        kernel.collections++;
        return pass_on(number, a);
    default:
        return pass_on(number, a);
    }
}

int __real_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
    kernel.polls++;
    return kernel.poll_errno != 0 ? refused_with(kernel.poll_errno)
                                  : __real_poll(fds, count, timeout);
}

ssize_t __real_write(int fd, const void *data, size_t bytes);
ssize_t __wrap_write(int fd, const void *data, size_t bytes);
ssize_t __wrap_write(int fd, const void *data, size_t bytes)
{
    if (kernel.write_errors == 0)
        return __real_write(fd, data, bytes);
    kernel.write_errors--;
    return refused_with(kernel.write_errno);
}

/* Each test program runs one test, so nothing was refused before. */
static int open_signal(unsigned value)
{
    int efd = eventfd(value, EFD_CLOEXEC | EFD_NONBLOCK);

    ck_assert_int_ge(efd, 0);
    mif_signals_init();
    return efd;
}

static bool is_signalled(int efd)
{
    struct pollfd look = {.fd = efd, .events = POLLIN};

    ck_assert_int_ge(__real_poll(&look, 1, 0), 0);
    return look.revents & POLLIN;
}

static void signal_it(int efd)
{
    uint64_t one = 1;

    ck_assert_int_eq(write(efd, &one, sizeof(one)), sizeof(one));
}

static void fill(int efd)
{
    uint64_t most = UINT64_MAX - 1;

    ck_assert_int_eq(write(efd, &most, sizeof(most)), sizeof(most));
}

/* ---- reads ---- */

MEMIF_TEST(a_read_that_does_not_wait_is_all_that_is_needed)
{
    int efd = open_signal(7);

    for (int round = 1; round <= 3; round++) {
        mif_efd_drain(efd);
        ck_assert(!is_signalled(efd));
        mif_efd_drain(efd); /* there is nothing left, and nobody waits */
        ck_assert_int_eq(kernel.reads, 2 * round);
        signal_it(efd);
    }
    kernel.reads_nothing = true;
    errno = EIO; /* of a call before */
    mif_efd_drain(efd);
    ck_assert_int_eq(kernel.set_ups + kernel.requests + kernel.polls, 0);
}

MEMIF_TEST(a_read_that_was_refused_is_not_tried_again)
{
    int efd = open_signal(7);

    kernel.read_errno = EOPNOTSUPP;
    for (int round = 1; round <= 3; round++) {
        mif_efd_drain(efd);
        ck_assert(!is_signalled(efd));
        mif_efd_drain(efd);
        ck_assert_int_eq(kernel.reads, 1);
        ck_assert_int_eq(kernel.requests, 2 * round);
        signal_it(efd);
    }
    ck_assert_int_eq(kernel.set_ups, 1);
    ck_assert_int_eq(kernel.polls, 0);
}

MEMIF_TEST(a_descriptor_that_is_none_says_nothing_of_the_call)
{
    int efd = open_signal(7);

    kernel.read_errno = EBADF;
    mif_efd_drain(efd);
    kernel.read_errno = 0;
    signal_it(efd);
    mif_efd_drain(efd);
    ck_assert_int_eq(kernel.reads, 2);
    ck_assert(!is_signalled(efd));
}

MEMIF_TEST(the_last_resort_reads_what_is_there)
{
    int efd = eventfd(7, EFD_CLOEXEC); /* whoever reads it empty waits */

    kernel.read_errno = ENOSYS;
    kernel.set_up_errno = ENOSYS;
    mif_efd_drain(efd);
    ck_assert(!is_signalled(efd));
    ck_assert_int_eq(kernel.polls, 1);
    mif_efd_drain(efd); /* empty: it is not read */
    signal_it(efd);
    kernel.poll_errno = EPERM; /* that too: it is read anyway */
    mif_efd_drain(efd);
    ck_assert(!is_signalled(efd));
    ck_assert_int_eq(kernel.polls, 3);
    ck_assert_int_eq(kernel.set_ups, 1); /* as the reads, not tried again */
    ck_assert_int_eq(kernel.requests, 0);
}

/* ---- requests ---- */

MEMIF_TEST(requests_are_tried_again_when_there_were_none_left)
{
    int efd = open_signal(0);

    kernel.set_up_errno = EAGAIN;
    ck_assert(mif_efd_signal_nowait(efd));
    ck_assert(mif_efd_signal_nowait(efd));
    ck_assert_int_eq(kernel.set_ups, 2);
    ck_assert_int_eq(kernel.requests, 0);
    ck_assert_int_eq(kernel.polls, 2);
    kernel.set_up_errno = 0;
    ck_assert(mif_efd_signal_nowait(efd));
    ck_assert(mif_efd_signal_nowait(efd));
    ck_assert_int_eq(kernel.set_ups, 3);
    ck_assert_int_eq(kernel.requests, 2);
    ck_assert_int_eq(kernel.polls, 2);
    ck_assert(is_signalled(efd));
}

MEMIF_TEST(completed_requests_make_room_for_more)
{
    int efd = open_signal(0);

    for (int times = 0; times < 10 * REQUESTS; times++) {
        ck_assert(mif_efd_signal_nowait(efd));
        ck_assert(is_signalled(efd));
        mif_efd_drain(efd);
        ck_assert(!is_signalled(efd));
    }
    ck_assert_int_gt(kernel.collections, 0);
    ck_assert_int_eq(kernel.polls, 0);
}

MEMIF_TEST(a_request_is_tried_so_often)
{
    int efd = open_signal(0);

    kernel.request_errno = EAGAIN;
    kernel.request_errors = MOST_TRIES - 1;
    ck_assert(mif_efd_signal_nowait(efd));
    ck_assert_int_eq(kernel.requests, MOST_TRIES);
    ck_assert_int_eq(kernel.collections, MOST_TRIES - 1);
    ck_assert_int_eq(kernel.polls, 0);
    kernel.request_errors = 1000;
    ck_assert(mif_efd_signal_nowait(efd));
    ck_assert_int_eq(kernel.requests, 2 * MOST_TRIES);
    ck_assert_int_eq(kernel.polls, 1);
    kernel.request_errno = EINVAL; /* that will not change */
    ck_assert(mif_efd_signal_nowait(efd));
    ck_assert_int_eq(kernel.requests, 2 * MOST_TRIES + 1);
    ck_assert_int_eq(kernel.polls, 2);
    ck_assert(is_signalled(efd));
}

static int raced_efd;

static void signal_too(void)
{
    ck_assert(mif_efd_signal_nowait(raced_efd));
}

MEMIF_TEST(requests_are_set_up_once_whoever_comes_first)
{
    raced_efd = open_signal(0);
    locks.before = signal_too;
    ck_assert(mif_efd_signal_nowait(raced_efd));
    ck_assert_int_eq(kernel.set_ups, 1);
    ck_assert_int_eq(kernel.requests, 2);
    locks.last = NULL;
    (void)mif_efd_signal_nowait(raced_efd);
    bool locked = locks.last != NULL; /* Check locks too, with each assertion */
    ck_assert(!locked);
    ck_assert_int_eq(kernel.requests, 3);
}

MEMIF_TEST(a_forked_child_sets_up_requests_of_its_own)
{
    int efd = open_signal(0);

    (void)mif_efd_signal_nowait(efd);
    pthread_mutex_t *lock_of_parent = locks.last;
    ck_assert_int_eq(kernel.set_ups, 1);
    ck_assert_int_eq(__real_pthread_mutex_lock(lock_of_parent), 0);
    mif_signals_init(); /* in the child, where the thread that locked it is not */
    ck_assert(mif_efd_signal_nowait(efd));
    ck_assert_int_eq(kernel.set_ups, 2);
}

/* ---- writes ---- */

MEMIF_TEST(a_full_counter_is_a_signal_already)
{
    int efd = open_signal(0);

    fill(efd);
    ck_assert(mif_efd_signal(efd));
    ck_assert(mif_efd_signal_nowait(efd));
    ck_assert_int_eq(kernel.polls, 0);
}

MEMIF_TEST(a_full_counter_is_a_signal_already_without_requests)
{
    int efd = eventfd(0, EFD_CLOEXEC); /* whoever writes to it full waits */

    mif_signals_init();
    fill(efd);
    kernel.set_up_errno = ENOSYS;
    ck_assert(mif_efd_signal_nowait(efd));
    ck_assert_int_eq(kernel.polls, 1);
    ck_assert(is_signalled(efd));
}

MEMIF_TEST(a_write_that_was_interrupted_is_repeated)
{
    int efd = open_signal(0);

    kernel.write_errno = EINTR;
    kernel.write_errors = 3;
    ck_assert(mif_efd_signal(efd));
    ck_assert_int_eq(kernel.write_errors, 0);
    ck_assert(is_signalled(efd));
}

MEMIF_TEST(where_nothing_can_be_signalled_it_is_said)
{
    int efd = open_signal(0);

    ck_assert(!mif_efd_signal(-1));
    kernel.set_up_errno = ENOSYS;
    kernel.poll_errno = EPERM;
    ck_assert(!mif_efd_signal_nowait(efd));
    kernel.poll_errno = 0;
    kernel.write_errno = EPERM;
    kernel.write_errors = 1;
    ck_assert(!mif_efd_signal_nowait(efd));
    ck_assert(!is_signalled(efd));
    ck_assert(mif_efd_signal_nowait(efd));
    ck_assert(is_signalled(efd));
}

/* ---- in a burst: the lock ---- */

static struct {
    int left, taken;
    struct mif_queue *q;
} lock;

static void *leave(struct mif_queue *q)
{
    ck_assert_int_eq(lock.left++, lock.taken);
    lock.q = q;
    return &lock;
}

static void take(struct mif_queue *q, void *state)
{
    ck_assert(state == &lock && q == lock.q);
    ck_assert_int_eq(++lock.taken, lock.left);
}

MEMIF_TEST(a_lock_is_left_only_for_what_may_wait)
{
    static const struct mif_lock functions = {.leave = leave, .take = take};
    struct mif_queue q = {.efd = open_signal(3), .signal_mode = MIF_SIGNAL_LOCKED};

    mif_lock = &functions;
    mif_drain(&q);
    ck_assert(!is_signalled(q.efd));
    ck_assert_int_eq(kernel.requests, 0);
    ck_assert(mif_signal_nowait(&q));
    ck_assert(is_signalled(q.efd));
    kernel.read_errno = ENOSYS;
    mif_drain(&q); /* by a request */
    ck_assert(!is_signalled(q.efd));
    ck_assert_int_eq(lock.left, 0);
    kernel.request_errno = EINVAL;
    kernel.request_errors = 1000;
    ck_assert(mif_signal_nowait(&q)); /* by a write: the peer is trusted */
    ck_assert(is_signalled(q.efd));
    ck_assert_int_eq(lock.taken, 1);
    ck_assert_int_eq(kernel.polls, 0);
    int reads = kernel.reads;
    mif_drain(&q);
    ck_assert_int_eq(kernel.reads, reads); /* refused once */
    ck_assert(!is_signalled(q.efd));
    ck_assert_int_eq(lock.taken, 2);
    ck_assert_int_eq(kernel.polls, 1);
    q.signal_mode |= MIF_SIGNAL_UNTRUSTED;
    ck_assert(mif_signal_nowait(&q));
    ck_assert_int_eq(lock.taken, 3);
    ck_assert_int_eq(kernel.polls, 2);
    q.signal_mode = MIF_SIGNAL_UNTRUSTED;
    ck_assert(mif_signal_nowait(&q));
    mif_drain(&q);
    ck_assert_int_eq(lock.left, 3);
    ck_assert(!is_signalled(q.efd));
}

MEMIF_TEST(a_receiver_that_polls_is_not_signalled)
{
    struct mif_ring ring = {0};
    struct mif_queue q = {.efd = open_signal(0), .ring = &ring};

    atomic_store(&ring.flags, MIF_RING_MASK_INT);
    ck_assert(mif_wake(&q));
    ck_assert(!is_signalled(q.efd));
    ck_assert_uint_eq(q.signals, 0);
    for (uint64_t signals = 1; signals <= 2; signals++) {
        atomic_store(&ring.flags, (uint16_t)~MIF_RING_MASK_INT);
        ck_assert(mif_wake(&q));
        ck_assert(is_signalled(q.efd));
        ck_assert_uint_eq(q.signals, signals);
        mif_drain(&q);
    }
    q.efd = -1;
    ck_assert(!mif_wake(&q));
}

MEMIF_TEST(only_flags_that_promise_all_spare_the_barrier)
{
    struct mif_ring ring = {0};
    struct mif_queue q = {.ring = &ring};

    mif_quiet_flags = MIF_RING_MASK_INT | MIF_RING_FENCED;
    ck_assert(!mif_receiver_polls(&q));
    atomic_store(&ring.flags, MIF_RING_MASK_INT);
    ck_assert(!mif_receiver_polls(&q));
    atomic_store(&ring.flags, MIF_RING_MASK_INT | MIF_RING_FENCED);
    ck_assert(mif_receiver_polls(&q));
}

MEMIF_TEST(a_peer_that_is_trusted_is_signalled_by_a_write)
{
    struct mif_queue q = {.efd = open_signal(0)};

    ck_assert(mif_signal(&q));
    ck_assert(is_signalled(q.efd));
    ck_assert_int_eq(kernel.requests, 0);
    q.signal_mode = MIF_SIGNAL_UNTRUSTED;
    ck_assert(mif_signal(&q));
    ck_assert_int_eq(kernel.requests, 1);
}

MEMIF_TEST_MAIN("signals")
