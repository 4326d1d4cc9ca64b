/* SPDX-License-Identifier: Apache-2.0 */
#include "python/queue_lock.h"

#ifdef Py_GIL_DISABLED

#include <string.h>

#define LOCK_BITS 8

/* A few locks for all queues, chosen by address. Two queues may share one: then their threads wait
 * for each other now and then, which is no harm, as a thread holds one lock at a time. */
static struct {
    _Alignas(MIF_CACHE_LINE) PyMutex mutex;
} locks[1 << LOCK_BITS];

static PyMutex *lock_of(const struct mif_queue *q)
{
    uint64_t number = (uintptr_t)q / sizeof(*q);
    return &locks[number * 0x9E3779B97F4A7C15u >> (64 - LOCK_BITS)].mutex;
}

void mif_queue_lock(const struct mif_queue *q)
{
    PyMutex_Lock(lock_of(q));
}

void mif_queue_unlock(const struct mif_queue *q)
{
    PyMutex_Unlock(lock_of(q));
}

void mif_queue_settle(const struct mif_queue *q)
{
    mif_queue_lock(q);
    mif_queue_unlock(q);
}

void mif_queue_locks_forked(void)
{
    memset(locks, 0, sizeof(locks));
}

#endif
