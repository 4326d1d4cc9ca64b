/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals by eventfd, between processes that need not trust each other.
 *
 * Whoever has an eventfd can make it a blocking one for all, at any moment, for O_NONBLOCK belongs
 * to what both ends share. From then on a read of an empty one and a write to a full one wait,
 * inside a burst, for a peer that may never come. So neither is done where it could happen:
 *
 *  - reads say for themselves that they do not wait (RWF_NOWAIT), all of them; where the kernel has
 *    no such read they look first;
 *  - writes have no such flag for an eventfd. The kernel's own completion of a request signals one
 *    without ever waiting, so a request that comes to nothing (IOCB_FLAG_RESFD) takes the place of
 *    the write. It is one system call, too, but takes three times as long.
 *
 * Bursts signal so with peers of other users (MIF_WARY): one that is root or our own user could do
 * worse than hold us up. Who holds a lock that others need, which are control functions and bursts
 * of Python (MIF_LOCKED), always does: a peer must not hold up more than what has to do with it.
 * Where the kernel has no such call, a burst lets go of its lock before it does what may wait.
 */
#include "engine.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>

enum { REQUESTS = 64 }; /* how many signals go by before their completions are taken away */

static bool can_read_without_waiting;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static aio_context_t requests; /* 0: there are none to be had */

/* Without the C library's own preadv2, which does more than the call, and bursts end here. */
static MIF_UNGUARDED ssize_t read_now(int efd)
{
    uint64_t value;
    struct iovec to = {.iov_base = &value, .iov_len = sizeof(value)};
    return syscall(SYS_preadv2, efd, &to, 1, -1L, -1L, RWF_NOWAIT);
}

static bool reads_without_waiting(void)
{
    int efd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    bool good = efd >= 0 && read_now(efd) == (ssize_t)sizeof(uint64_t);
    if (efd >= 0)
        (void)close(efd);
    return good;
}

/* Also in a forked child: requests are of one process and are not inherited. */
void mif_signals_init(void)
{
    static const pthread_once_t not_yet = PTHREAD_ONCE_INIT;
    once = not_yet;
    requests = 0;
    can_read_without_waiting = reads_without_waiting();
}

const struct mif_lock *mif_lock;

/* An old kernel: all that is left is to look first. Better to wait for a peer that gets in between
 * than not to work with others. */
static void read_if_signalled(int efd)
{
    uint64_t value;
    struct pollfd signal = {.fd = efd, .events = POLLIN};
    if (poll(&signal, 1, 0) == 1)
        (void)!read(efd, &value, sizeof(value));
}

void mif_efd_drain(int efd)
{
    if (can_read_without_waiting)
        (void)!read_now(efd);
    else
        read_if_signalled(efd);
}

MIF_UNGUARDED bool mif_efd_signal(int efd)
{
    const uint64_t one = 1;
    for (;;) {
        if (write(efd, &one, sizeof(one)) == (ssize_t)sizeof(one) || errno == EAGAIN)
            return true;
        if (errno != EINTR)
            return false;
    }
}

/* They are scarce among all processes: only who needs them takes some. */
static void set_up_requests(void)
{
    if (syscall(SYS_io_setup, REQUESTS, &requests) != 0)
        requests = 0;
}

/* Makes room for more requests: all there ever were are complete. */
static void forget_requests(void)
{
    struct io_event events[REQUESTS];
    struct timespec at_once = {0};
    (void)syscall(SYS_io_getevents, requests, 0L, (long)REQUESTS, events, &at_once);
}

/* Reads no bytes from an eventfd, which it refuses, and that is a completion. */
static bool signal_by_request(int efd)
{
    struct iocb request = {
        .aio_fildes = (uint32_t)efd,
        .aio_lio_opcode = IOCB_CMD_PREAD,
        .aio_flags = IOCB_FLAG_RESFD,
        .aio_resfd = (uint32_t)efd,
    };
    struct iocb *list[] = {&request};
    for (int tries = 0; tries < 8; tries++) {
        if (syscall(SYS_io_submit, requests, 1L, list) == 1)
            return true;
        if (errno != EAGAIN)
            return false;
        forget_requests();
    }
    return false;
}

/* Without requests all that is left is to look first: between that and the write the peer can still
 * get in, if it tries for long enough. */
static bool signal_if_there_is_room(int efd)
{
    struct pollfd room = {.fd = efd, .events = POLLOUT};
    int ready = poll(&room, 1, 0);
    return ready == 0 || (ready == 1 && mif_efd_signal(efd));
}

static bool signal_without_waiting(int efd)
{
    (void)pthread_once(&once, set_up_requests);
    return requests != 0 && signal_by_request(efd);
}

bool mif_efd_signal_warily(int efd)
{
    return signal_without_waiting(efd) || signal_if_there_is_room(efd);
}

bool mif_signal_with_care(struct mif_queue *q)
{
    if (signal_without_waiting(q->efd))
        return true;
    bool locked = q->care & MIF_LOCKED;
    void *state = locked ? mif_lock->leave(q) : NULL;
    bool good = q->care & MIF_WARY ? signal_if_there_is_room(q->efd) : mif_efd_signal(q->efd);
    if (locked)
        mif_lock->take(q, state);
    return good;
}

static __attribute__((noinline, cold)) void drain_unlocked(struct mif_queue *q)
{
    bool locked = q->care & MIF_LOCKED;
    void *state = locked ? mif_lock->leave(q) : NULL;
    read_if_signalled(q->efd);
    if (locked)
        mif_lock->take(q, state);
}

MIF_UNGUARDED void mif_drain(struct mif_queue *q)
{
    if (MIF_LIKELY(can_read_without_waiting))
        (void)!read_now(q->efd);
    else
        drain_unlocked(q);
}
