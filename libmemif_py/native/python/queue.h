/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the functions of the module _burst enter a queue.
 *
 * One lock keeps apart the threads that call: the interpreter's or, in a free-threaded Python, that
 * of the queue (queue_lock.h). It is held from before a queue is entered until the caller has done
 * with the packets, also after mif_leave: the queue may go down then, but its memory is not
 * unmapped. What follows says interpreter lock for both. Nothing that can wait is done under it, or
 * one peer would hold up all of Python. Only an eventfd can wait in a burst: any peer may make it
 * blocking, and full or empty. So the core signals in the way that never waits (signals.h), also to
 * trusted peers. Only where the kernel lacks that way, or cannot read without waiting, the burst
 * releases the interpreter lock for the system call (mif_py_interpreter_lock). To release it always
 * was measured: a thread that is alone sends a packet and its signal in 0.45 us instead of 0.85 us,
 * but beside a thread that computes it takes 30 us instead of 2 us, because now and then the other
 * thread takes the lock and keeps it for its whole 5 ms.
 *
 * A thread that released the lock is still inside the queue. MIF_SIGNAL_UNLOCKED keeps other
 * threads out, for the mif_leave of a second one would allow the queue to be unmapped under the
 * first. They get AGAIN, as they do while a burst holds slots.
 */
#ifndef MIF_PYTHON_QUEUE_H
#define MIF_PYTHON_QUEUE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "datapath/packet.h"
#include "python/queue_lock.h"

/* For an entry of a PyMethodDef table: a function that takes its arguments as an array. */
#define MIF_PY_FAST(function) (PyCFunction)(void (*)(void)) function, METH_FASTCALL

/* A queue as Python names it. */
struct queue_ref {
    void *handle;
    uint32_t qid; /* MIF_MAX_QUEUES for any number that no queue has */
};

/* Reads the first two arguments of a function, a handle and a queue number. Raises TypeError unless
 * there are `expected` arguments. */
bool mif_py_get_queue(PyObject *const *args, Py_ssize_t count, Py_ssize_t expected,
                      struct queue_ref *ref);
/* Reads a number. Raises ValueError if it is above `most`. */
bool mif_py_get_number(PyObject *object, unsigned long most, const char *what,
                       unsigned long *value);

/* The functions from here on are called with the queue locked. */

/* Lets other threads of a free-threaded Python wait until the queue is unlocked. Python code must
 * not run meanwhile, for it might use the queue too. */
static inline void mif_py_lock(const struct queue_ref *ref, enum mif_direction direction)
{
    if (MIF_PY_QUEUE_LOCKS)
        mif_queue_lock(mif_queue_at(ref->handle, ref->qid, direction));
}

static inline void mif_py_unlock(const struct queue_ref *ref, enum mif_direction direction)
{
    if (MIF_PY_QUEUE_LOCKS)
        mif_queue_unlock(mif_queue_at(ref->handle, ref->qid, direction));
}

/* True while another thread is inside the queue without the interpreter lock. */
bool mif_py_is_busy(const struct queue_ref *ref, enum mif_direction direction);
/* Enters a queue of which no burst holds slots; otherwise NULL and a code. Slots go back in order,
 * so nobody can receive or send behind those that a burst holds. */
struct mif_queue *mif_py_enter(const struct queue_ref *ref, enum mif_direction direction,
                               int *code);

/* Runs a burst on a queue that was entered, and leaves the queue. `count` is at most UINT16_MAX. */
static inline int mif_py_run(struct mif_queue *q, enum mif_call which, uint32_t extra,
                             memif_buffer_t *bufs, uint32_t count, uint16_t *out)
{
    mif_burst_fn *burst = atomic_load_explicit(&q->call[which], memory_order_relaxed);
    return burst(q, extra, bufs, (uint16_t)count, out);
}

/* Enters a queue, whoever holds its slots, and runs a burst on it. */
static inline int mif_py_call(const struct queue_ref *ref, enum mif_direction direction,
                              enum mif_call which, memif_buffer_t *bufs, uint32_t count,
                              uint16_t *out)
{
    return mif_call(ref->handle, ref->qid, direction, which, 0, bufs, count, out);
}

extern const struct mif_lock mif_py_interpreter_lock;

#endif
