/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sender, and the receive burst of interrupt mode: for wake.pml and modes.pml.
 *
 * Assumed: system calls on an eventfd order like a barrier of the thread that makes them.
 * Peers: UNREGISTERED, a sender of ours that membarrier does not reach; UNREACHING, a receiver of
 * ours without membarrier; FOREIGN_SENDER and FOREIGN_RECEIVER, without any barrier. AT_REST: one
 * more packet comes when all else has come to rest.
 */
#define SENDER 0
#define RECEIVER 1
#define INDEX 0 /* that the sender publishes */
#define FLAGS 1 /* of the ring */
#include "memory.pml"

#define MASK_INT 1
#define FENCED 2
#define PAUSED 4
#if defined(UNREACHING) || defined(FOREIGN_RECEIVER)
#define POLLS MASK_INT
#else
#define POLLS (MASK_INT | FENCED)
#endif
#if defined(FAULT_QUIET_WITHOUT_FENCED)
#define IS_QUIET(flags) (flags & MASK_INT)
#elif defined(UNREGISTERED) && !defined(FAULT_QUIET_UNREGISTERED)
#define IS_QUIET(flags) false
#else
#define IS_QUIET(flags) (flags == (MASK_INT | FENCED)) /* barrier.c: mif_barrier_init */
#endif
#ifdef AT_REST
#define EXPECTED (PACKETS + 1)
#else
#define EXPECTED PACKETS
#endif

byte efd, received;
bool sleeps;

inline signal(t) /* signals.c: mif_efd_signal */
{
    d_step { drain_stores(t); efd = 1 };
    barrier(t)
}

inline drain(t) /* signals.c: mif_drain, mif_efd_drain */
{
    d_step { drain_stores(t); efd = 0 };
    barrier(t)
}

inline barrier_on_sender() /* barrier.c: mif_barrier_on_peers, where it arrives */
{
#if !defined(UNREGISTERED) && !defined(FOREIGN_SENDER)
    barrier(SENDER)
#else
    skip
#endif
}

/* ---- the sender ---- */

inline send() /* a burst of one packet */
{
    sent++;
    store_release(SENDER, INDEX, sent); /* ring.h: mif_publish_done */
#ifdef FOREIGN_SENDER
    if
    :: true ->
#else
    load_relaxed(SENDER, FLAGS, flags); /* face.h: mif_tx_end; signals.h: mif_receiver_polls */
    if
    :: IS_QUIET(flags)
    :: else ->
#ifndef FAULT_NO_FENCE
        barrier(SENDER); /* signals.c: mif_wake, the fence */
#endif
#endif
        load_relaxed(SENDER, FLAGS, flags); /* signals.c: mif_wake, the load */
        if
        :: flags & MASK_INT
        :: else -> signal(SENDER)
        fi
    fi;
    flags = 0
}

proctype sender()
{
    byte sent, flags;
    do
    :: sent < PACKETS -> send()
    :: else -> break
    od;
#ifdef AT_REST
    sleeps && empty(stores[SENDER]) && efd == 0;
    barrier(SENDER); /* its time has come */
    send()
#endif
}

/* ---- the receiver ---- */

inline take() /* fast_path.h: mif_take_fn, what the array has room for */
{
    d_step {
        taken = (limit - received < ARRAY - n -> limit - received : ARRAY - n);
        received = received + taken;
        n = n + taken;
        taken = 0
    }
}

/* face.h: mif_rx_interrupt. Packets have one slot, so that a step is FULL or good. */
inline burst_interrupt()
{
    n = 0;
    drained = false;
    do
    :: true ->
        take();
        if
        :: received < limit -> break /* MIF_STEP_FULL */
        :: else
        fi;
        load_acquire(RECEIVER, INDEX, seen); /* engine.h: mif_advance */
        if
        :: seen != limit -> limit = seen
        :: seen == limit && (n == ARRAY || drained) -> break
        :: seen == limit && !(n == ARRAY || drained) ->
            drain(RECEIVER);
#ifdef FAULT_NO_SECOND_LOOK
            break;
#endif
            drained = true
        fi
    od;
    if
#ifdef FAULT_DRAIN_WITH_PACKETS_LEFT
    :: received < limit -> drain(RECEIVER)
#elif !defined(FAULT_NO_SIGNAL_FOR_THE_REST)
    :: drained && received < limit -> signal(RECEIVER)
#endif
    :: else
    fi;
    drained = false;
    seen = 0
}
