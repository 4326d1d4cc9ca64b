/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the faces of the data path share: a face is a set of burst functions over one public buffer
 * structure. Whoever includes this has included that structure (memif_buffer_t) and defined
 * MIF_FACE_ERROR(code), which puts a core code into the numbering of the face.
 */
#ifndef MIF_FACE_H
#define MIF_FACE_H

#include "engine.h"

/* A call of either face on a queue that was entered. */
typedef int mif_burst_fn(struct mif_queue *q, uint32_t extra, memif_buffer_t *bufs, uint32_t count,
                         uint16_t *out);

/* Receives from the slots that are known to be filled, from entry *n of the caller's array on. */
typedef enum mif_step mif_take_fn(struct mif_queue *q, memif_buffer_t *bufs, uint32_t count,
                                  uint16_t *n, uint64_t *bytes, enum mif_kind kind);

/* What is left of a burst when its loop is over. */
MIF_INLINE int mif_rx_end(struct mif_queue *q, uint32_t n, uint64_t bytes, uint16_t *rx,
                          enum mif_step step)
{
    *rx = (uint16_t)n;
    mif_count(&q->packets, n);
    mif_count(&q->bytes, bytes);
    return mif_step_error(step, step == MIF_STEP_FULL ? MIF_ERR_NOBUF : MIF_ERR_SUCCESS);
}

/* A receive burst in interrupt mode. The eventfd is drained only when the ring was seen empty, and
 * the ring is looked at again afterwards: a signal that arrived with its packet in between is not
 * lost. What does not fit the array leaves the eventfd readable. */
MIF_INLINE int mif_rx_interrupt(struct mif_queue *q, memif_buffer_t *bufs, uint32_t count,
                                uint16_t *rx, mif_take_fn *take, enum mif_kind kind)
{
    bool drained = false;
    uint16_t n = 0;
    uint64_t bytes = 0;
    enum mif_step step;
    for (;;) {
        step = take(q, bufs, count, &n, &bytes, kind);
        if (step > MIF_STEP_WAIT)
            break;
        uint16_t before = q->limit;
        step = mif_advance(q, kind);
        if (step != MIF_STEP_OK)
            break;
        if (q->limit != before)
            continue;
        if (n == count || drained)
            break;
        mif_efd_drain(q->efd);
        drained = true;
    }
    if (MIF_UNLIKELY(drained && (step == MIF_STEP_FULL || step == MIF_STEP_NOMEM)))
        (void)mif_efd_signal(q->efd);
    return mif_rx_end(q, n, bytes, rx, step);
}

/* Defines name_of[kind]: the four instances of an inlined burst function, each of which leaves the
 * queue and puts its code into the numbering of the face. A burst of one has an instance to itself,
 * without loops and what they keep in registers. The arguments are in the order of the public
 * functions, so that they stay where they are; `extra` is in the place of the queue id. */
#define MIF_INSTANCE(name, suffix, kind)                                                           \
    static __attribute__((noinline)) int name##suffix##_one(struct mif_queue *q, uint32_t extra,   \
                                                            memif_buffer_t *bufs, uint16_t *out)   \
    {                                                                                              \
        int err = name(q, extra, bufs, 1, out, kind);                                              \
        mif_leave(q);                                                                              \
        return MIF_FACE_ERROR(err);                                                                \
    }                                                                                              \
    static __attribute__((noinline)) int name##suffix##_many(                                      \
        struct mif_queue *q, uint32_t extra, memif_buffer_t *bufs, uint32_t count, uint16_t *out)  \
    {                                                                                              \
        int err = name(q, extra, bufs, count, out, kind);                                          \
        mif_leave(q);                                                                              \
        return MIF_FACE_ERROR(err);                                                                \
    }                                                                                              \
    static int name##suffix(struct mif_queue *q, uint32_t extra, memif_buffer_t *bufs,             \
                            uint32_t count, uint16_t *out)                                         \
    {                                                                                              \
        return count == 1 ? name##suffix##_one(q, extra, bufs, out)                                \
                          : name##suffix##_many(q, extra, bufs, count, out);                       \
    }
#define MIF_INSTANCES(name)                                                                        \
    MIF_INSTANCE(name, _1_master, MIF_KIND_1_MASTER)                                               \
    MIF_INSTANCE(name, _1_slave, MIF_KIND_1_SLAVE)                                                 \
    MIF_INSTANCE(name, _2_master, MIF_KIND_2_MASTER)                                               \
    MIF_INSTANCE(name, _2_slave, MIF_KIND_2_SLAVE)                                                 \
    static mif_burst_fn *const name##_of[] = {name##_1_master, name##_1_slave, name##_2_master,    \
                                              name##_2_slave};

/* Why a burst could not begin; nothing was received or sent. */
static __attribute__((cold, noinline)) int
mif_burst_refused(void *handle, uint32_t qid, enum mif_direction direction, uint16_t *out)
{
    *out = 0;
    return MIF_FACE_ERROR(mif_why_not(handle, qid, direction));
}

#endif
