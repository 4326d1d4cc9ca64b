/* SPDX-License-Identifier: Apache-2.0 */
#include "python/pause.h"

#include "core/signals.h"

enum { PAUSED = MIF_RING_MASK_INT | MIF_RING_PAUSED };

/* Another thread may set the mode (mif_queue_set_polling) at any time. What it sets stays: it alone
 * stores the flags, and we replace only what we have read. */
static bool replace_flags(struct mif_queue *q, uint16_t before, uint16_t after)
{
    return atomic_compare_exchange_strong(&q->ring->flags, &before, after);
}

static void pause_signals(struct mif_queue *q)
{
    uint32_t sender = atomic_load_explicit(&q->ring->sender, memory_order_relaxed);
    uint16_t flags = atomic_load_explicit(&q->ring->flags, memory_order_relaxed);
    if (sender != MIF_SENDER_FENCES || (flags & PAUSED))
        return;
    /* The eventfd first: nobody takes its signal before we have resumed. */
    if (!mif_signal(q) || !replace_flags(q, flags, flags | PAUSED))
        return;
    q->signal_mode |= MIF_SIGNAL_PAUSED;
    mif_packet_bind_rx(q, true);
}

static void resume_signals(struct mif_queue *q)
{
    uint16_t flags = atomic_load_explicit(&q->ring->flags, memory_order_relaxed);
    uint8_t polling;
    q->signal_mode &= (uint8_t)~MIF_SIGNAL_PAUSED;
    if (flags & MIF_RING_PAUSED)
        (void)replace_flags(q, flags, flags & (uint16_t)~PAUSED);
    do {
        polling = atomic_load(&q->polling);
        mif_packet_bind_rx(q, polling != 0);
        atomic_thread_fence(memory_order_seq_cst); /* also the mirror of that in mif_wake */
    } while (atomic_load(&q->polling) != polling);
}

void mif_py_pause(const struct queue_ref *ref)
{
    struct mif_queue *q = mif_enter(ref->handle, ref->qid, MIF_RX);
    if (q == NULL)
        return;
    pause_signals(q);
    mif_leave(q);
}

int mif_py_resume(const struct queue_ref *ref, memif_buffer_t *bufs, uint32_t count, uint16_t *out)
{
    struct mif_queue *q = mif_enter(ref->handle, ref->qid, MIF_RX);
    if (q != NULL) {
        resume_signals(q);
        mif_leave(q);
    }
    return mif_py_call(ref, MIF_RX, MIF_CALL_RX, bufs, count, out);
}
