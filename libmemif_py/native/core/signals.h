/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals by eventfd, between processes that need not trust each other.
 *
 * The peer can make a shared eventfd blocking at any moment, for both ends: O_NONBLOCK belongs to
 * the open file, which both share. From then on a read of an empty eventfd or a write to a full one
 * waits, inside a burst, for a peer that may never act. So we never use a plain read or write where
 * that can happen:
 *
 *  - All reads carry their own flag not to wait (RWF_NOWAIT). Where a seccomp filter or an
 * emulation denies preadv2, a request of the kernel's asynchronous I/O carries the same flag.
 *  - Writes to an eventfd have no such flag. But the kernel signals an eventfd when an asynchronous
 *    request completes (IOCB_FLAG_RESFD), and never waits for that. So we submit a request that the
 *    kernel rejects instead of the write. It is one system call too, but takes three times as long.
 *
 * Bursts signal that way when the peer belongs to another user (MIF_SIGNAL_UNTRUSTED); a peer that
 * is root or our own user could do worse than delay us. A thread that holds a lock that others need
 * always signals that way: control functions, and bursts of Python (MIF_SIGNAL_LOCKED). A peer must
 * not delay anything but its own connection. Where the kernel has no such call, a burst releases
 * its lock before it does what may wait.
 *
 * Where neither works (before Linux 5.8, eventfds reject reads with RWF_NOWAIT) we poll the eventfd
 * before we use it. A peer that drains or fills it between the two makes the thread wait until
 * another thread ends the connection. We considered refusing all peers of other users there; that
 * would shut out honest ones as well.
 *
 * A call that was refused once is not tried again. Refusals are detected at each call, not once at
 * the start: a filter may be installed later, and for some threads only.
 */
#ifndef MIF_SIGNALS_H
#define MIF_SIGNALS_H

#include "core/attributes.h"
#include "core/barrier.h"
#include "core/state.h"

/* One-time set-up; also in a forked child. */
void mif_signals_init(void);
/* Takes a signal away, if there is one. Does not wait, except where the kernel has no read that
 * does not wait and the peer takes the signal at the same moment. */
void mif_efd_drain(int efd);
/* False when the signal could not be sent. A full counter is a signal already. */
bool mif_efd_signal(int efd);
/* The same for an eventfd that the peer may have made blocking. Takes three times as long. */
bool mif_efd_signal_nowait(int efd);

/* The lock that is held during bursts, if there is one. Set once, before the first queue. */
struct mif_lock {
    /* Releases it; the result is passed to `take`. Nobody else may enter the queue meanwhile. */
    void *(*leave)(struct mif_queue *q);
    void (*take)(struct mif_queue *q, void *state);
    /* NULL, or waits until nobody holds it for a queue that went down: whoever received packets may
     * still be copying them. */
    void (*settle)(const struct mif_queue *q);
};
extern __attribute__((visibility("hidden"))) const struct mif_lock *mif_lock;

/* Both for the eventfd of a queue, inside a burst. If they have to wait they release the lock. */
void mif_drain(struct mif_queue *q);
bool mif_signal_nowait(struct mif_queue *q);

/* Signals a trusted peer by a plain write, the fastest way. */
MIF_INLINE bool mif_signal(struct mif_queue *q)
{
    return q->signal_mode != 0 ? mif_signal_nowait(q) : mif_efd_signal(q->efd);
}

/* After the index was published: true if the receiver certainly polls and need not be signalled.
 * Otherwise mif_wake decides. */
MIF_INLINE bool mif_receiver_polls(const struct mif_queue *q)
{
    atomic_signal_fence(memory_order_seq_cst);
    return MIF_LIKELY(atomic_load_explicit(&q->ring->flags, memory_order_relaxed) ==
                      mif_quiet_flags);
}

/* Puts a full barrier between the store of the index and the load of MASK_INT, and signals the
 * receiver unless it polls. False when the signal failed. */
bool mif_wake(struct mif_queue *q);

#endif
