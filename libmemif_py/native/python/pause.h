/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receiving, with the peer's signals paused while they are of no use.
 *
 * To send a signal takes many times as long as to send a packet. So when a call leaves many packets
 * in the ring, the queue masks the signals, and receives as if it polled, until a call finds
 * nothing. Then it unmasks them and looks once more. To others nothing changes: during the pause
 * the eventfd is readable.
 *
 * The sender must put a full barrier between publishing and reading MASK_INT. One without it, such
 * as other implementations, may read a mask that we take away while we do not see its packet yet.
 * Ours say that they have it (MIF_SENDER_FENCES). One that lies only harms its own connection.
 */
#ifndef MIF_PYTHON_PAUSE_H
#define MIF_PYTHON_PAUSE_H

#include "python/queue.h"

/* Packets that a call leaves in the ring when it pauses signals. */
#define MIF_PY_PAUSE_FROM 16

/* Pauses signals, if that does no harm. */
void mif_py_pause(const struct queue_ref *ref);
/* Ends a pause, and receives once more. */
int mif_py_resume(const struct queue_ref *ref, memif_buffer_t *bufs, uint32_t count, uint16_t *out);

/* Receives from a queue that was entered, and leaves the queue. */
static inline int mif_py_receive(const struct queue_ref *ref, struct mif_queue *q,
                                 memif_buffer_t *bufs, uint32_t count, uint16_t *out)
{
    int code = mif_py_run(q, MIF_CALL_RX, 0, bufs, count, out);
    if (q->signal_mode & MIF_SIGNAL_PAUSED)
        return *out == 0 ? mif_py_resume(ref, bufs, count, out) : code;
    if (q->limit - q->next >= MIF_PY_PAUSE_FROM &&
        !atomic_load_explicit(&q->polling, memory_order_relaxed))
        mif_py_pause(ref);
    return code;
}

#endif
