/* SPDX-License-Identifier: Apache-2.0 */
#include "core/signals.h"

#include "core/ring.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { REQUESTS = 64 }; /* completions that may queue up before we collect them */

static atomic_bool reads_are_refused, requests_are_refused;
static _Atomic aio_context_t requests; /* 0: none so far */
static pthread_mutex_t setting_up = PTHREAD_MUTEX_INITIALIZER;

/* Also in a forked child: a request context belongs to one process and is not inherited. */
void mif_signals_init(void)
{
    (void)pthread_mutex_init(&setting_up, NULL);
    atomic_store(&requests, 0);
}

/* ---- requests ---- */

/* All processes share a limited number of requests. So a context is set up only when it is needed,
 * and when none was left it is tried again at the next call. */
static bool have_requests(void)
{
    if (atomic_load_explicit(&requests, memory_order_acquire) != 0)
        return true;
    if (atomic_load_explicit(&requests_are_refused, memory_order_relaxed))
        return false;
    aio_context_t made = 0;
    pthread_mutex_lock(&setting_up);
    if (atomic_load(&requests) == 0) {
        if (syscall(SYS_io_setup, REQUESTS, &made) == 0)
            atomic_store_explicit(&requests, made, memory_order_release);
        else if (errno != EAGAIN)
            atomic_store(&requests_are_refused, true);
    }
    pthread_mutex_unlock(&setting_up);
    return atomic_load(&requests) != 0;
}

/* Makes room for more requests: all that were submitted are complete. */
static void forget_requests(void)
{
    struct io_event events[REQUESTS];
    struct timespec at_once = {0};
    (void)syscall(SYS_io_getevents, atomic_load(&requests), 0L, (long)REQUESTS, events, &at_once);
}

static bool submit(struct iocb *request)
{
    if (!have_requests())
        return false;
    for (int tries = 0; tries < 8; tries++) {
        if (syscall(SYS_io_submit, atomic_load(&requests), 1L, &request) == 1)
            return true;
        if (errno != EAGAIN)
            return false;
        forget_requests();
    }
    return false;
}

const struct mif_lock *mif_lock;

/* ---- reads ---- */

/* False if it was refused. Makes the system call itself: the C library's preadv2 does more, and
 * this is the last call of a burst. */
static MIF_NO_STACK_PROTECTOR bool read_now(int efd)
{
    uint64_t value;
    struct iovec to = {.iov_base = &value, .iov_len = sizeof(value)};
    if (syscall(SYS_preadv2, efd, &to, 1, -1L, -1L, RWF_NOWAIT) >= 0 || errno == EAGAIN)
        return true;
    if (errno != EBADF)
        atomic_store_explicit(&reads_are_refused, true, memory_order_relaxed);
    return false;
}

static bool read_by_request(int efd)
{
    static uint64_t nowhere; /* static, so that it outlives the request */
    struct iocb request = {
        .aio_fildes = (uint32_t)efd,
        .aio_lio_opcode = IOCB_CMD_PREAD,
        .aio_buf = (uintptr_t)&nowhere,
        .aio_nbytes = sizeof(nowhere),
        .aio_rw_flags = RWF_NOWAIT,
    };
    return submit(&request);
}

/* The last resort: poll first. If poll is denied too, read anyway. A peer that drains the eventfd
 * in between makes us wait; refusing to work with all other peers would be worse. */
static void read_if_signalled(int efd)
{
    uint64_t value;
    struct pollfd signal = {.fd = efd, .events = POLLIN};
    if (poll(&signal, 1, 0) != 0)
        (void)!read(efd, &value, sizeof(value));
}

void mif_efd_drain(int efd)
{
    if (!atomic_load_explicit(&reads_are_refused, memory_order_relaxed) && read_now(efd))
        return;
    if (!read_by_request(efd))
        read_if_signalled(efd);
}

/* ---- writes ---- */

/* Not inlined, so that mif_wake jumps here and saves no registers for it. */
MIF_NO_STACK_PROTECTOR __attribute__((noinline)) bool mif_efd_signal(int efd)
{
    const uint64_t one = 1;
    for (;;) {
        if (write(efd, &one, sizeof(one)) == (ssize_t)sizeof(one) || errno == EAGAIN)
            return true;
        if (errno != EINTR)
            return false;
    }
}

/* Submits a zero-length read; the kernel rejects it, and the completion signals `aio_resfd`. */
static bool signal_by_request(int efd)
{
    struct iocb request = {
        .aio_fildes = (uint32_t)efd,
        .aio_lio_opcode = IOCB_CMD_PREAD,
        .aio_flags = IOCB_FLAG_RESFD,
        .aio_resfd = (uint32_t)efd,
    };
    return submit(&request);
}

/* Without requests the last resort is to poll first. A peer that tries long enough can still fill
 * the eventfd between poll and write. */
static bool signal_if_there_is_room(int efd)
{
    struct pollfd room = {.fd = efd, .events = POLLOUT};
    int ready = poll(&room, 1, 0);
    return ready == 0 || (ready == 1 && mif_efd_signal(efd));
}

bool mif_efd_signal_nowait(int efd)
{
    return signal_by_request(efd) || signal_if_there_is_room(efd);
}

/* ---- in a burst, with the lock released if it may wait ---- */

bool mif_signal_nowait(struct mif_queue *q)
{
    if (signal_by_request(q->efd))
        return true;
    bool locked = q->signal_mode & MIF_SIGNAL_LOCKED;
    void *state = locked ? mif_lock->leave(q) : NULL;
    bool good = q->signal_mode & MIF_SIGNAL_UNTRUSTED ? signal_if_there_is_room(q->efd)
                                                      : mif_efd_signal(q->efd);
    if (locked)
        mif_lock->take(q, state);
    return good;
}

static __attribute__((noinline, cold)) void drain_otherwise(struct mif_queue *q)
{
    if (read_by_request(q->efd))
        return;
    bool locked = q->signal_mode & MIF_SIGNAL_LOCKED;
    void *state = locked ? mif_lock->leave(q) : NULL;
    read_if_signalled(q->efd);
    if (locked)
        mif_lock->take(q, state);
}

MIF_NO_STACK_PROTECTOR void mif_drain(struct mif_queue *q)
{
    bool may_read = !atomic_load_explicit(&reads_are_refused, memory_order_relaxed);
    if (MIF_UNLIKELY(!may_read || !read_now(q->efd)))
        drain_otherwise(q);
}

/* ---- the receiver of a burst ---- */

bool mif_wake(struct mif_queue *q)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&q->ring->flags, memory_order_relaxed) & MIF_RING_MASK_INT)
        return true;
    mif_store(&q->signals, q->signals + 1);
    return mif_signal(q);
}
