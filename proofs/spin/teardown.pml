/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A burst, and a control function, against the end of the link (core/arena.h). No access to what is
 * not mapped, and none through pointers of an earlier link; the end of a link comes (otherwise the
 * end state is invalid). The handle stays the same from link to link, so the owner does too.
 *
 * Assumed: a mutex orders like a barrier; the burst's last access to the link's memory is a store.
 * Not modelled: cells that another handle uses later (the quarantine).
 */
#define THREADS 3
#define BURST 0
#define CONTROL 1
#define CALLER 2
#define PLACES 4
#define DEPTH 3
#define OWNER 0
#define BUSY 1
#define WHERE 2 /* q->ring and what else set_up writes: the number of the link */
#define DATA 3  /* in the link's memory */
#define READS(t) (t == CONTROL -> 1 << BUSY : 1 << OWNER | 1 << WHERE)
#define ACQUIRES(t) (t != CONTROL -> 1 << OWNER : 0)
#define WHEN_IT_REACHES(place, value) assert(place != DATA || mapped == value)
byte mapped; /* the link whose memory is mapped; 0 = none */
#include "memory.pml"

bool locked, stuck;

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

/* ---- the burst ---- */

inline leave() /* arena.h: mif_leave; face.h: mif_end */
{
#ifdef FAULT_LEAVE_RELAXED
    store_relaxed(BURST, BUSY, 0)
#else
    store_release(BURST, BUSY, 0)
#endif
}

inline use()
{
    load_relaxed(BURST, WHERE, where);
    assert(where != 0 && where == mapped);
    if /* signals.c: a peer made the eventfd blocking */
    :: true
    :: stuck = true; !stuck
    fi;
#ifdef FAULT_LEAVE_BEFORE_THE_LAST_ACCESS
    leave();
#endif
    store_relaxed(BURST, DATA, where);
#ifndef FAULT_LEAVE_BEFORE_THE_LAST_ACCESS
    leave();
#endif
    where = 0
}

proctype burst() /* arena.h: mif_enter; face.h: mif_call */
{
    byte calls, where, owner;
    do
    :: calls == CALLS -> break
    :: calls < CALLS ->
        calls++;
        load_relaxed(BURST, OWNER, owner);
        if
        :: owner == 0
        :: owner == 1 ->
            store_relaxed(BURST, BUSY, 1);
#ifdef FAULT_ENTER_WITHOUT_ACQUIRE
            load_relaxed(BURST, OWNER, owner);
#elif !defined(FAULT_OWNER_CHECKED_BEFORE_BUSY)
            load_acquire(BURST, OWNER, owner);
#endif
            if
            :: owner == 0 -> store_release(BURST, BUSY, 0)
            :: owner == 1 -> use()
            fi
        fi;
        owner = 0
    od
}

/* ---- a control function: queue.c, locked_queue and its callers ---- */

proctype caller()
{
    byte where, owner;
#ifdef FAULT_CALLER_CHECKS_BEFORE_THE_LOCK
    load_acquire(CALLER, OWNER, owner);
    lock(CALLER);
#else
    lock(CALLER);
    load_acquire(CALLER, OWNER, owner);
#endif
    if
    :: owner == 1 -> load_relaxed(CALLER, WHERE, where); assert(where != 0 && where == mapped)
    :: else
    fi;
    unlock(CALLER)
}

/* ---- the control plane ---- */

inline barrier_on_all_threads() /* barrier.c; the kernel begins and ends it with one here */
{
    barrier(CONTROL);
    barrier(BURST);
    barrier(CALLER);
    barrier(CONTROL)
}

inline wait_until_left() /* connection.c */
{
    do
    :: FOUND(CONTROL, BUSY) == 0 -> load_acquire(CONTROL, BUSY, busy); break
#ifndef FAULT_WAIT_WITHOUT_HELP
    :: stuck -> stuck = false /* mif_efd_drain, mif_efd_signal_nowait */
#endif
    od
}

proctype control()
{
    byte link, busy;
    do
    :: link == LINKS -> break
    :: link < LINKS ->
        link++;
        mapped = link;
#ifdef FAULT_OWNER_BEFORE_SET_UP
        store_release(CONTROL, OWNER, 1);
#endif
        store_relaxed(CONTROL, WHERE, link); /* queue.c: set_up */
#ifdef FAULT_SET_UP_CLEARS_BUSY
        store_relaxed(CONTROL, BUSY, 0);
#endif
#if defined(FAULT_OWNER_RELAXED)
        store_relaxed(CONTROL, OWNER, 1);
#elif !defined(FAULT_OWNER_BEFORE_SET_UP)
        store_release(CONTROL, OWNER, 1); /* connection.c: mif_connection_up */
#endif
        lock(CONTROL); /* connection.c: mif_connection_down */
#ifdef FAULT_BARRIER_BEFORE_OWNER
        barrier_on_all_threads();
#endif
        store_ordered(CONTROL, OWNER, 0);
#if !defined(FAULT_NO_MEMBARRIER) && !defined(FAULT_BARRIER_BEFORE_OWNER)
        barrier_on_all_threads();
#endif
#ifndef FAULT_NO_WAIT
        wait_until_left();
#endif
        unlock(CONTROL);
        store_relaxed(CONTROL, WHERE, 0); /* queue.c: mif_queue_release */
        barrier(CONTROL);
        mapped = 0 /* connection.c: mif_connection_release */
    od
}

init
{
    atomic {
        run processor(BURST);
        run processor(CONTROL);
        run processor(CALLER);
        run burst();
        run control();
        run caller()
    }
}
