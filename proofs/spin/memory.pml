/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared memory as processors show it, for the models beside this file. A model defines THREADS,
 * PLACES (of memory, at most 5), DEPTH (stores that a thread can have on their way), and as bits
 * READS(t), the places that a thread loads, and ACQUIRES(t), those of them with load_acquire. It may
 * define WHEN_IT_REACHES(place, value), for a store that reaches memory.
 *
 * x86, without WEAK: a thread's stores wait in a buffer, first in, first out, and the thread itself
 * finds its own there. The processor() of the thread moves them to memory at any time.
 *
 * WEAK, what C11 and aarch64 leave open: a store that is no release overtakes others to other
 * places, and a load is satisfied at any time since the place was last seen, so that loads of
 * different places change their order. After a load-acquire, no load is satisfied from before it.
 * What the models leave out: a store that others see before an earlier load of its thread is done.
 * Where that could matter, the model says how it stands for it.
 */
#define AT(t, place) ((t) * PLACES + (place))
byte memory[PLACES];
byte newest[THREADS * PLACES];  /* the value of a thread's last store to a place */
byte pending[THREADS * PLACES]; /* its stores to the place that are on their way */
chan stores[THREADS] = [DEPTH] of { byte, byte, bit }; /* place, value, whether it is a release */
hidden byte any_place, any_value;
hidden byte any_release;

#ifdef WEAK
byte view[THREADS * PLACES];  /* what an early load has found at a place */
byte older[THREADS * PLACES]; /* the places, as bits, that were seen before this one */
hidden byte each, those;
#define ALL ((1 << PLACES) - 1)
#define SEEN(t, place) view[AT(t, place)]
#define LATE(t, place) ((READS(t) & (1 << (place))) && view[AT(t, place)] != memory[place])

inline see(t, place) /* the load of a place is satisfied now */
{
    d_step {
        view[AT(t, place)] = memory[place];
        older[AT(t, place)] = (ACQUIRES(t) & (1 << (place)) -> READS(t) & ~(1 << (place)) : 0);
        each = 0;
        do
        :: each < PLACES ->
            older[AT(t, each)] = older[AT(t, each)] & ~(1 << (place));
            each++
        :: else -> break
        od;
        each = 0
    }
}

inline see_those(t, places)
{
    those = (places) & READS(t);
    each = 0;
    do
    :: each == PLACES -> break
    :: each < PLACES ->
        if
        :: those & (1 << each) -> view[AT(t, each)] = memory[each]
        :: else
        fi;
        older[AT(t, each)] = older[AT(t, each)] & ~those;
        each++
    od;
    each = 0;
    those = 0
}
#else
#define SEEN(t, place) memory[place]
#endif

/* ---- what a thread does ---- */

inline put(t, place, value, release)
{
    atomic {
        stores[t]!place, value, release;
        newest[AT(t, place)] = value;
        pending[AT(t, place)]++
    }
}
#define store_relaxed(t, place, value) put(t, place, value, 0)
#define store_release(t, place, value) put(t, place, value, 1)

#define FOUND(t, place) (pending[AT(t, place)] > 0 -> newest[AT(t, place)] : SEEN(t, place))
#define load_relaxed(t, place, into) into = FOUND(t, place)

inline load_acquire(t, place, into)
{
    d_step {
        into = FOUND(t, place);
#ifdef WEAK
        see_those(t, older[AT(t, place)]);
#endif
        any_place = 0
    }
}

inline reaches(t)
{
#ifdef WHEN_IT_REACHES
    WHEN_IT_REACHES(any_place, any_value);
#endif
    memory[any_place] = any_value;
    pending[AT(t, any_place)]--;
#ifdef WEAK
    if
    :: pending[AT(t, any_place)] == 0 -> view[AT(t, any_place)] = any_value
    :: else
    fi;
#endif
    any_place = 0;
    any_value = 0
}

/* All stores so far reach memory. */
inline drain_stores(t)
{
    do
    :: nempty(stores[t]) -> stores[t]?any_place, any_value, _; reaches(t)
    :: empty(stores[t]) -> break
    od
}

/* A full barrier on a thread: its own, or one that another puts there (membarrier). */
inline barrier(t)
{
    d_step {
        drain_stores(t);
#ifdef WEAK
        see_those(t, ALL);
#endif
        any_place = 0
    }
}

/* A store that is sequentially consistent: on x86 with a barrier, on aarch64 a release. */
inline store_ordered(t, place, value)
{
    store_release(t, place, value);
#ifndef WEAK
    barrier(t)
#endif
}

/* Atomic exchange; into `good` whether it took place; `got` is for it alone. On aarch64 a later load
 * may be satisfied between the two halves. */
inline replace(t, place, before, after)
{
#ifdef WEAK
    d_step { see(t, place); see_those(t, older[AT(t, place)]); got = memory[place] };
#else
    got = before;
#endif
    d_step {
        drain_stores(t);
        good = (got == before && memory[place] == before);
        if
        :: good ->
            memory[place] = after;
#ifdef WEAK
            view[AT(t, place)] = after
#endif
        :: else
        fi;
        got = 0
    };
#ifndef WEAK
    barrier(t)
#endif
}

/* ---- what its processor does ---- */

/* The first store to the place, whatever else waits before it. */
#define OVERTAKE(t, place) \
    atomic { \
        stores[t]?? <place, any_value, any_release> -> \
        if \
        :: any_release \
        :: else -> stores[t]??place, any_value, any_release; any_place = place; reaches(t) \
        fi; \
        any_value = 0; \
        any_release = 0 \
    }

proctype processor(byte t)
{
end:
    do
    :: atomic { nempty(stores[t]) -> stores[t]?any_place, any_value, _; reaches(t) }
#ifdef WEAK
    :: OVERTAKE(t, 0)
    :: OVERTAKE(t, 1)
    :: atomic { LATE(t, 0) -> see(t, 0) }
    :: atomic { LATE(t, 1) -> see(t, 1) }
#if PLACES > 2
    :: OVERTAKE(t, 2)
    :: atomic { LATE(t, 2) -> see(t, 2) }
#endif
#if PLACES > 3
    :: OVERTAKE(t, 3)
    :: atomic { LATE(t, 3) -> see(t, 3) }
#endif
#if PLACES > 4
    :: OVERTAKE(t, 4)
    :: atomic { LATE(t, 4) -> see(t, 4) }
#endif
#endif
    od
}
