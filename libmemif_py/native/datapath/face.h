/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the faces of the data path share. A face is a set of burst functions for one public buffer
 * structure: for each call one instance for each version and role. A queue gets its functions when
 * it is set up (mif_face_bind). A file that includes this one has included that structure
 * (memif_buffer_t) and defined MIF_FACE_ERROR(code), which translates a core error code to the
 * numbers of the face.
 *
 * A call consists of a fast path, which is inlined into each instance and handles ordinary bursts
 * completely, and of functions for all other cases. These end the call themselves, so that the fast
 * path jumps there and saves no registers.
 */
#ifndef MIF_FACE_H
#define MIF_FACE_H

#include "core/queue.h"
#include "datapath/engine.h"

/* For writing several fields of an entry with one store. */
typedef uint64_t __attribute__((may_alias)) mif_word;

/* One step of a hash over several values. */
MIF_INLINE uint64_t mif_hash_step(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 32;
}

/* The last thing that a call does with its queue. */
MIF_INLINE int mif_end(struct mif_queue *q, int err)
{
    mif_leave(q);
    return MIF_FACE_ERROR(err);
}

/* Receives from the slots that are known to be filled, into the caller's array from entry *n on. */
typedef enum mif_step mif_take_fn(struct mif_queue *q, memif_buffer_t *bufs, uint32_t count,
                                  uint32_t *n, enum mif_kind kind);

/* The end of a receive burst whose last step was `step`, with n entries received. */
MIF_INLINE int mif_rx_end(struct mif_queue *q, uint32_t n, uint16_t *rx, enum mif_step step)
{
    *rx = (uint16_t)n;
    return mif_end(q,
                   mif_step_error(step, step == MIF_STEP_FULL ? MIF_ERR_NOBUF : MIF_ERR_SUCCESS));
}

/* How often a burst checks for the rest of an incomplete packet. */
#define MIF_PATIENCE 32

/* A receive burst in interrupt mode. The eventfd is drained only after the ring was found empty,
 * and then the ring is checked again, so that a packet whose signal arrived in between is not lost.
 * The eventfd stays readable when packets do not fit the array, and when the rest of a packet does
 * not come: a peer that adds one slot at each check must not keep the burst here for ever.
 */
MIF_INLINE int mif_rx_interrupt(struct mif_queue *q, memif_buffer_t *bufs, uint32_t count,
                                uint16_t *rx, mif_take_fn *take, enum mif_kind kind)
{
    bool drained = false;
    uint32_t n = 0, waits = 0;
    enum mif_step step;
    for (;;) {
        step = take(q, bufs, count, &n, kind);
        if (MIF_UNLIKELY(step != MIF_STEP_OK) && (step > MIF_STEP_WAIT || ++waits == MIF_PATIENCE))
            break;
        uint64_t before = q->limit;
        step = mif_advance(q, kind);
        if (step != MIF_STEP_OK)
            break;
        if (q->limit != before)
            continue;
        if (n == count || drained)
            break;
        mif_drain(q);
        drained = true;
    }
    if (MIF_UNLIKELY(drained && step != MIF_STEP_OK && step != MIF_STEP_FAULT))
        (void)mif_signal(q);
    return mif_rx_end(q, n, rx, step);
}

/* The end of a send burst whose receiver may sleep. */
static __attribute__((noinline, unused)) int mif_tx_wake(struct mif_queue *q)
{
    return mif_end(q, mif_wake(q) ? MIF_ERR_SUCCESS : MIF_ERR_INT_WRITE);
}

/* The end of a send burst that has published all of its packets, at least one. */
MIF_INLINE int mif_tx_end(struct mif_queue *q)
{
    if (MIF_UNLIKELY(!mif_receiver_polls(q)))
        return mif_tx_wake(q);
    return mif_end(q, MIF_ERR_SUCCESS);
}

/* The burst functions of a face, by enum mif_kind. */
struct mif_face_calls {
    mif_burst_fn *rx[4]; /* while the program polls */
    mif_burst_fn *rx_interrupt[4];
    mif_burst_fn *give_back[4];
    mif_burst_fn *reserve[4];
    mif_burst_fn *tx[4];
};

/* Gives a queue its functions. */
static inline void mif_face_choose(struct mif_queue *q, enum mif_direction direction,
                                   const struct mif_face_calls *calls)
{
    mif_burst_fn *first = calls->reserve[q->kind], *second = calls->tx[q->kind];
    if (direction == MIF_RX) {
        first = (atomic_load(&q->polling) ? calls->rx : calls->rx_interrupt)[q->kind];
        second = calls->give_back[q->kind];
    }
    atomic_store_explicit(&q->call[0], first, memory_order_relaxed);
    atomic_store_explicit(&q->call[1], second, memory_order_relaxed);
}

/* Gives back as `give_back` does, and then answers a sender that asked for room. The queue is left
 * and entered again: `give_back` ends the call itself. */
MIF_INLINE int mif_give_back_answering(struct mif_queue *q, uint32_t extra, void *bufs,
                                       uint16_t count, uint16_t *out, mif_burst_fn *give_back)
{
    void *handle = mif_handle_of(q);
    uint32_t qid = q->qid;
    mif_face_answer(q, false);
    int err = give_back(q, extra, bufs, count, out);
    q = mif_enter(handle, qid, MIF_RX);
    if (q != NULL) {
        mif_room_answer(q);
        mif_leave(q);
    }
    return err;
}

/* Defines the four instances of an inlined call. A burst of one has its own code, without loops and
 * the registers that they need. The arguments have the order of the public functions, so that they
 * stay in their registers; `extra` takes the place of the queue id. */
#define MIF_INSTANCE(name, suffix, kind)                                                           \
    static MIF_JUMP_TARGET int name##suffix##_many(struct mif_queue *q, uint32_t extra,            \
                                                   void *bufs, uint16_t count, uint16_t *out)      \
    {                                                                                              \
        return name(q, extra, bufs, count, out, kind);                                             \
    }                                                                                              \
    static int name##suffix(struct mif_queue *q, uint32_t extra, void *bufs, uint16_t count,       \
                            uint16_t *out)                                                         \
    {                                                                                              \
        if (count != 1)                                                                            \
            return name##suffix##_many(q, extra, bufs, count, out);                                \
        return name(q, extra, bufs, 1, out, kind);                                                 \
    }
#define MIF_INSTANCES(name)                                                                        \
    MIF_INSTANCE(name, _256_master, MIF_KIND_256_MASTER)                                           \
    MIF_INSTANCE(name, _256_slave, MIF_KIND_256_SLAVE)                                             \
    MIF_INSTANCE(name, _512_master, MIF_KIND_512_MASTER)                                           \
    MIF_INSTANCE(name, _512_slave, MIF_KIND_512_SLAVE)
#define MIF_INSTANCES_OF(name)                                                                     \
    {                                                                                              \
        [MIF_KIND_256_MASTER] = name##_256_master,                                                 \
        [MIF_KIND_256_SLAVE] = name##_256_slave,                                                   \
        [MIF_KIND_512_MASTER] = name##_512_master,                                                 \
        [MIF_KIND_512_SLAVE] = name##_512_slave,                                                   \
    }

/* The error of a burst that could not begin; nothing was received or sent. Like all functions that
 * a public one jumps to, this one has its parameters in the same places. */
static __attribute__((cold, unused)) MIF_JUMP_TARGET int
mif_burst_refused(void *handle, uint16_t qid, enum mif_direction direction, uint16_t count,
                  uint16_t *out)
{
    (void)count;
    *out = 0;
    return MIF_FACE_ERROR(mif_why_not(handle, qid, direction));
}

/* A public burst function: enters the queue and calls the function that it is bound to. */
MIF_INLINE int mif_call(void *handle, uint16_t qid, enum mif_direction direction,
                        enum mif_call call, uint32_t extra, void *bufs, uint16_t count,
                        uint16_t *out)
{
    struct mif_queue *q = mif_enter(handle, qid, direction);
    if (MIF_UNLIKELY(q == NULL))
        return mif_burst_refused(handle, qid, direction, count, out);
    mif_burst_fn *burst = atomic_load_explicit(&q->call[call], memory_order_relaxed);
    return burst(q, extra, bufs, count, out);
}

/* A public burst function whose array is NULL, which only a burst of none may have. */
static __attribute__((cold, unused)) MIF_JUMP_TARGET int
mif_call_without(void *handle, uint16_t qid, uint32_t which, uint16_t count, uint16_t *out)
{
    return count > 0 ? MIF_FACE_ERROR(MIF_ERR_INVAL_ARG)
                     : mif_call(handle, qid, which & 1 ? MIF_TX : MIF_RX,
                                (enum mif_call)(which >> 1), 0, NULL, 0, out);
}

/* The same for arguments that a program may have got wrong. `out` is an output of every call, so
 * that a program that ignores the code finds no packets. */
MIF_INLINE int mif_call_checked(void *handle, uint16_t qid, enum mif_direction direction,
                                enum mif_call call, uint32_t extra, void *bufs, uint16_t count,
                                uint16_t *out)
{
    if (MIF_UNLIKELY(out == NULL))
        return MIF_FACE_ERROR(MIF_ERR_INVAL_ARG);
    if (MIF_UNLIKELY(bufs == NULL))
        return mif_call_without(handle, qid, (uint32_t)direction | (uint32_t)call << 1, count, out);
    return mif_call(handle, qid, direction, call, extra, bufs, count, out);
}

#endif
