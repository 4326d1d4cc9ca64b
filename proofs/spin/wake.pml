/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No wake-up is lost between a sender and a receiver that changes its own mode (core/ring.h, the
 * ordering). The receiver sleeps until its eventfd is readable. If it sleeps for ever with packets
 * in the ring, that is an invalid end state.
 */
#define THREADS 2
#define PLACES 2
#define DEPTH 2
#define READS(t) (t == SENDER -> 1 << FLAGS : 1 << INDEX)
#define ACQUIRES(t) (t == RECEIVER -> 1 << INDEX : 0)
#include "ring.pml"

inline burst_polling() /* once: fast_path.h, the receive burst of a program that polls */
{
    load_acquire(RECEIVER, INDEX, limit);
    received = limit
}

inline set_polling(on) /* queue.c: mif_queue_set_polling */
{
    polling = on;
#ifdef FAULT_BARRIER_FIRST
    if
    :: !on -> barrier(RECEIVER); barrier_on_sender()
    :: else
    fi;
#endif
#ifdef FOREIGN_RECEIVER
    store_release(RECEIVER, FLAGS, POLLS * on);
    if
    :: on -> drain(RECEIVER)
    :: !on -> burst_polling() /* its last look before it sleeps */
    fi
#else
    store_ordered(RECEIVER, FLAGS, POLLS * on);
    if
    :: on -> drain(RECEIVER)
    :: !on ->
#if !defined(UNREACHING) && !defined(FAULT_NO_MEMBARRIER) && !defined(FAULT_BARRIER_FIRST)
        barrier(RECEIVER); /* barrier.c: mif_barrier_on_peers */
        barrier_on_sender();
#endif
#ifdef FAULT_NO_SIGNAL_AFTER_POLLING
        skip
#else
        signal(RECEIVER)
#endif
    fi
#endif
}

proctype receiver()
{
    byte limit, seen, n, taken, changes;
    bool polling, drained;
    do
    :: received == EXPECTED -> break
    :: received < EXPECTED && polling -> burst_polling()
    :: received < EXPECTED && polling -> set_polling(false)
    :: received < EXPECTED && !polling && changes < CHANGES -> changes++; set_polling(true)
    :: received < EXPECTED && !polling ->
        sleeps = true;
        efd > 0; /* epoll_wait */
        sleeps = false;
        burst_interrupt()
    od
}

init
{
    atomic { run processor(SENDER); run processor(RECEIVER); run sender(); run receiver() }
}
