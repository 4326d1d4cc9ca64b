/* SPDX-License-Identifier: Apache-2.0 */
#include "core/counters.h"

#include "core/arena.h"
#include "core/queue.h"

static struct mif_totals sum_totals(const struct mif_queue *q, bool is_tx)
{
    uint64_t slots = __atomic_load_n(is_tx ? &q->done : &q->next, __ATOMIC_RELAXED);
    return (struct mif_totals){
        .packets = __atomic_load_n(&q->before.packets, __ATOMIC_RELAXED) + slots -
                   __atomic_load_n(&q->extra_slots, __ATOMIC_RELAXED),
        .bytes = __atomic_load_n(&q->before.bytes, __ATOMIC_RELAXED) +
                 __atomic_load_n(&q->bytes, __ATOMIC_RELAXED),
        .full = __atomic_load_n(&q->before.full, __ATOMIC_RELAXED) +
                __atomic_load_n(&q->full, __ATOMIC_RELAXED),
        .signals = __atomic_load_n(&q->before.signals, __ATOMIC_RELAXED) +
                   __atomic_load_n(&q->signals, __ATOMIC_RELAXED),
        .refused = __atomic_load_n(&q->refused, __ATOMIC_RELAXED),
    };
}

void mif_queue_totals(const void *handle, uint16_t qid, int is_tx, struct mif_totals *totals)
{
    *totals = (struct mif_totals){0};
    mif_queues_lock(); /* the end of a connection adds its counts to those of former ones */
    if (mif_lookup(handle) != NULL && qid < MIF_MAX_QUEUES)
        *totals = sum_totals(mif_queue_at(handle, qid, is_tx ? MIF_TX : MIF_RX), is_tx);
    mif_queues_unlock();
}

void mif_totals_keep(struct mif_queue *q, bool is_tx)
{
    mif_queues_lock();
    struct mif_totals sum = sum_totals(q, is_tx);
    q->done = q->next = q->limit = q->extra_slots = q->bytes = q->full = q->signals = 0;
    q->before = (struct mif_former){
        .packets = sum.packets, .bytes = sum.bytes, .full = sum.full, .signals = sum.signals};
    mif_queues_unlock();
}

void mif_totals_forget(const void *handle)
{
    mif_queues_lock();
    for (uint32_t qid = 0; qid < MIF_MAX_QUEUES; qid++) {
        if (!mif_arena_has_queues(handle, qid))
            continue;
        mif_queue_at(handle, qid, MIF_RX)->before = (struct mif_former){0};
        mif_queue_at(handle, qid, MIF_TX)->before = (struct mif_former){0};
        mif_queue_at(handle, qid, MIF_TX)->refused = 0;
    }
    mif_queues_unlock();
}
