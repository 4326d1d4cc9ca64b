/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals by eventfd, between processes that need not trust each other.
 *
 * Whoever has an eventfd can make it a blocking one for all, at any moment, for O_NONBLOCK belongs
 * to what both ends share. From then on a read of an empty one and a write to a full one wait,
 * inside a burst, for a peer that may never come. So neither is done where it could happen:
 *
 *  - reads say for themselves that they do not wait (RWF_NOWAIT), all of them. Where preadv2 is
 *    denied, by a seccomp filter or an emulation, a request of the kernel's asynchronous I/O says
 *    the same;
 *  - writes have no such flag for an eventfd. The kernel's own completion of a request signals one
 *    without ever waiting, so a request that comes to nothing (IOCB_FLAG_RESFD) takes the place of
 *    the write. It is one system call, too, but takes three times as long.
 *
 * Bursts signal so with peers of other users (MIF_SIGNAL_UNTRUSTED): one that is root or our own
 * user could do worse than hold us up. Who holds a lock that others need, which are control
 * functions and bursts of Python (MIF_SIGNAL_LOCKED), always does: a peer must not hold up more
 * than what has to do with it. Where the kernel has no such call, a burst lets go of its lock
 * before it does what may wait.
 *
 * Where neither is to be had (before Linux 5.8 an eventfd knows no reads that do not wait), an
 * eventfd is looked at before it is used. A peer that takes or fills it just then makes the thread
 * wait, until another thread ends the connection. To refuse all peers of other users there was
 * considered: it would be the end of honest ones as well.
 *
 * What was refused once is not tried again, but is found out at each call: a filter may come later,
 * and for some threads only.
 */
#ifndef MIF_SIGNALS_H
#define MIF_SIGNALS_H

#include "core/attributes.h"
#include "core/barrier.h"
#include "core/state.h"

/* One-time set-up; also in a forked child. */
void mif_signals_init(void);
/* Takes a signal away, if there is one. Waits for nobody but, where the kernel cannot be told so, a
 * peer that takes it at the same moment. */
void mif_efd_drain(int efd);
/* False when the signal could not be sent; a counter that is full is a signal already. */
bool mif_efd_signal(int efd);
/* The same for an eventfd that somebody may have made blocking, at three times the price. */
bool mif_efd_signal_nowait(int efd);

/* The lock that is held during bursts, if there is one. Set once, before the first queue. */
struct mif_lock {
    /* Lets go of it; what is returned is for `take`. Nobody enters the queue meanwhile. */
    void *(*leave)(struct mif_queue *q);
    void (*take)(struct mif_queue *q, void *state);
};
extern __attribute__((visibility("hidden"))) const struct mif_lock *mif_lock;

/* Both for the eventfd of a queue, inside a burst: without the lock if they have to wait. */
void mif_drain(struct mif_queue *q);
bool mif_signal_nowait(struct mif_queue *q);

/* Peers that are trusted cost no more than they must. */
MIF_INLINE bool mif_signal(struct mif_queue *q)
{
    return q->signal_mode != 0 ? mif_signal_nowait(q) : mif_efd_signal(q->efd);
}

/* After the index was published: true if the receiver polls and no more is to be done. Otherwise
 * mif_wake has the last word. */
MIF_INLINE bool mif_receiver_polls(const struct mif_queue *q)
{
    atomic_signal_fence(memory_order_seq_cst);
    return MIF_LIKELY(atomic_load_explicit(&q->ring->flags, memory_order_relaxed) ==
                      mif_quiet_flags);
}

/* Puts the full barrier between the published index and MASK_INT, and signals the receiver unless
 * it polls. False when that failed. */
bool mif_wake(struct mif_queue *q);

#endif
