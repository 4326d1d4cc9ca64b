/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same when another thread sets the mode. PYTHON: the receiver also pauses the peer's signals
 * (python/pause.h); otherwise it is the event loop of a C program (core/queue.c,
 * mif_queue_interrupt). Besides: at the end the mask and the burst function are those of the mode.
 *
 * Assumed: a mutex orders like a barrier.
 */
#define THREADS 3
#define SETTER 2
#define PLACES 4
#define DEPTH 2
#define POLLING 2 /* q->polling */
#define CALL 3    /* q->call[MIF_CALL_RX]: 1, that of a program that polls */
#ifdef PYTHON
#define READS(t) (t == SENDER -> 1 << FLAGS : (t == RECEIVER -> 15 : 0))
#define ACQUIRES(t) (t == RECEIVER -> 1 << INDEX | 1 << FLAGS | 1 << POLLING : 0)
#else
#define READS(t) (t == SENDER -> 1 << FLAGS : (t == RECEIVER -> 1 << INDEX | 1 << POLLING | 1 << CALL : 0))
#define ACQUIRES(t) (t == RECEIVER -> 1 << INDEX : 0)
#endif
#include "ring.pml"

bool locked, set_all;

inline lock(t)
{
    atomic { !locked -> locked = true };
    barrier(t)
}

inline unlock(t)
{
    barrier(t);
    locked = false
}

proctype setter() /* queue.c: mif_queue_set_polling, again and again */
{
    bool on;
    byte changes;
    do
    :: changes == CHANGES -> break
    :: changes < CHANGES ->
        changes++;
        on = !on;
        lock(SETTER);
        d_step { drain_stores(SETTER); memory[POLLING] = on };
        store_relaxed(SETTER, CALL, on); /* entry.c: mif_face_bind */
        store_ordered(SETTER, FLAGS, POLLS * on);
        if
        :: on -> drain(SETTER)
        :: !on ->
#ifndef UNREACHING
            barrier(SETTER); /* barrier.c: mif_barrier_on_peers */
            barrier(RECEIVER);
            barrier_on_sender();
#endif
            signal(SETTER)
        fi;
        unlock(SETTER)
    od;
    set_all = true
}

inline burst() /* face.h: mif_call */
{
    load_relaxed(RECEIVER, CALL, call);
    if
    :: call -> n = 0; load_acquire(RECEIVER, INDEX, limit); take()
    :: else -> burst_interrupt()
    fi;
    call = 0
}

#ifdef PYTHON
#ifdef FAULT_REPLACE_BLINDLY
#define exchange(before, after) store_ordered(RECEIVER, FLAGS, after); good = true
#else
#define exchange(before, after) replace(RECEIVER, FLAGS, before, after)
#endif

inline pause_signals() /* pause.c */
{
    load_relaxed(RECEIVER, FLAGS, flags);
    if
#if defined(FOREIGN_SENDER) && !defined(FAULT_PAUSE_OF_A_FOREIGN_SENDER)
    :: true
#else
    :: flags & (MASK_INT | PAUSED)
    :: else ->
#ifndef FAULT_PAUSE_WITHOUT_SIGNAL
        signal(RECEIVER);
#endif
        exchange(flags, flags | MASK_INT | PAUSED);
        if
        :: good -> paused = true; store_relaxed(RECEIVER, CALL, 1)
        :: else
        fi
#endif
    fi;
    flags = 0
}

inline resume_signals() /* pause.c */
{
    load_relaxed(RECEIVER, FLAGS, flags);
    paused = false;
    if
    :: flags & PAUSED -> exchange(flags, flags & ~(MASK_INT | PAUSED))
    :: else
    fi;
    do
    :: true ->
        load_acquire(RECEIVER, POLLING, mode);
        store_relaxed(RECEIVER, CALL, mode);
#ifndef FAULT_RESUME_WITHOUT_FENCE
        barrier(RECEIVER);
#endif
        load_acquire(RECEIVER, POLLING, again);
#ifdef FAULT_RESUME_WITHOUT_CHECK
        break;
#endif
        if
        :: again == mode -> break
        :: else
        fi
    od;
    flags = 0;
    mode = 0;
    again = 0
}

inline receive() /* pause.h: mif_py_receive */
{
    burst();
    if
    :: paused && n == 0 ->
        resume_signals();
#ifndef FAULT_RESUME_WITHOUT_LOOK
        burst()
#endif
    :: paused && n > 0
    :: !paused && n > 0 -> /* however many are left: MIF_PY_PAUSE_FROM is any number */
        load_relaxed(RECEIVER, POLLING, mode);
        if
        :: !mode -> pause_signals()
        :: else
        fi;
        mode = 0
    :: !paused
    fi
}
#else
inline receive() /* queue.c: mif_queue_interrupt, mif_queue_drop_signal */
{
    load_relaxed(RECEIVER, POLLING, mode);
    if
    :: mode ->
#ifdef FAULT_DROP_WITHOUT_LOCK
        drain(RECEIVER)
#else
        lock(RECEIVER);
        load_relaxed(RECEIVER, POLLING, again);
        if
        :: again -> drain(RECEIVER)
        :: else
        fi;
        unlock(RECEIVER);
        again = 0
#endif
    :: else -> burst()
    fi;
    mode = 0
}
#endif

proctype receiver()
{
    byte limit, seen, n, taken, flags, got;
    bool drained, paused, mode, again, call, good;
    do
    :: received == PACKETS && set_all && (!paused || efd == 0) -> break
    :: efd > 0 -> receive(); n = 0
    :: memory[POLLING] ->
#ifdef PYTHON
        receive();
#else
        burst();
#endif
        n = 0
    od;
    barrier(RECEIVER);
    assert(memory[CALL] == memory[POLLING]);
    assert(memory[FLAGS] == POLLS * memory[POLLING])
}

init
{
    atomic {
        run processor(SENDER);
        run processor(RECEIVER);
        run processor(SETTER);
        run sender();
        run receiver();
        run setter()
    }
}
