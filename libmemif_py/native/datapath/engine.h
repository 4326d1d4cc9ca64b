/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring engine: the steps of a burst that both faces are made of, written once for both protocol
 * versions and both roles. `kind` is a constant wherever it matters, so that each instance is
 * straight code. Memory ordering: see ring.h.
 */
#ifndef MIF_ENGINE_H
#define MIF_ENGINE_H

#include "core/arena.h"
#include "core/errors.h"
#include "core/fault.h"
#include "core/regions.h"
#include "core/ring.h"
#include "core/room.h"
#include "core/signals.h"

/* Four slots at a time, where the compiler may use AVX2 or NEON. */
#if defined(__AVX2__) || (defined(__aarch64__) && defined(__ARM_NEON))
#include "datapath/vectors.h"
#endif

/* Calls the instance of an inlined function for the queue's kind, which is its last argument. */
#define MIF_BY_KIND(q, function, ...)                                                              \
    ((q)->kind == MIF_KIND_512_SLAVE    ? function(__VA_ARGS__, MIF_KIND_512_SLAVE)                \
     : (q)->kind == MIF_KIND_512_MASTER ? function(__VA_ARGS__, MIF_KIND_512_MASTER)               \
     : (q)->kind == MIF_KIND_256_SLAVE  ? function(__VA_ARGS__, MIF_KIND_256_SLAVE)                \
                                        : function(__VA_ARGS__, MIF_KIND_256_MASTER))

/* Posts one slot of a slave of version 512. */
MIF_INLINE void mif_post_one(struct mif_queue *q, uint64_t slot)
{
    if (MIF_LIKELY(q->buffers.data != NULL)) {
        mif_desc_offer(q->descs, slot, q->buffers.word,
                       q->buffers.offset + (uint32_t)slot * q->buffers.stride);
        return;
    }
    const struct mif_slot *own = &q->slots[slot];
    mif_desc_post(q->descs, slot, own, q->regions[mif_slot_region(own)].base, MIF_KIND_512_SLAVE);
}

/* Posts `run` adjacent slots of a slave of version 512. */
MIF_INLINE void mif_post_run(struct mif_queue *q, uint64_t first, uint32_t run)
{
    void *descs = q->descs;
    uint32_t i = 0;
    if (MIF_LIKELY(q->buffers.data != NULL)) {
        const struct mif_buffer_array array = q->buffers;
#ifdef MIF_VEC_SLOTS
        i = mif_vec_post(descs, first, run, &array);
#endif
        for (; i < run; i++)
            mif_desc_offer(descs, first + i, array.word,
                           array.offset + (uint32_t)(first + i) * array.stride);
        return;
    }
    const struct mif_slot *own = &q->slots[first];
    for (; i < run; i++)
        mif_desc_post(descs, first + i, &own[i], q->regions[mif_slot_region(&own[i])].base,
                      MIF_KIND_512_SLAVE);
}

/* Posts `n` slots from `done` on, if we are a slave of version 512. */
MIF_INLINE void mif_post_all(struct mif_queue *q, uint64_t done, uint32_t n, enum mif_kind kind)
{
    uint32_t left = kind == MIF_KIND_512_SLAVE ? n : 0;
    while (left > 0) {
        uint32_t run = mif_run(q, done, left);
        mif_post_run(q, mif_place_of(q, done), run);
        done += run;
        left -= run;
    }
}

/* Returns `n` slots from q->done on to the peer; a slave of version 512 posts them. */
MIF_INLINE void mif_post_slots(struct mif_queue *q, uint32_t n, enum mif_kind kind)
{
    mif_post_all(q, q->done, n, kind);
    mif_store(&q->done, q->done + n);
}

/* True if the bytes that a descriptor names lie in the cached region. They must be at most `most`,
 * which is at most the region's size. Callers check that the descriptor names this region, and in
 * version 512 also its length. */
MIF_INLINE bool mif_in_cached_region(const struct mif_region_cache *cache,
                                     const struct mif_desc *desc, uint64_t most, enum mif_kind kind)
{
    if (mif_kind_is_256(kind)) /* 64 bits of offset, the sum could overflow */
        return desc->length <= most && desc->offset <= cache->size - desc->length;
    return desc->offset + desc->length <= cache->size;
}

/* The address of the `length` bytes that a descriptor of the peer names; NULL when they do not lie
 * in a region. */
MIF_INLINE uint8_t *mif_peer_data(struct mif_queue *q, const struct mif_desc *desc, uint32_t length)
{
    uint16_t region = (uint16_t)(desc->head >> 16);
    if (MIF_UNLIKELY(region != q->cache.head >> 16)) {
        if (region >= q->region_count || q->regions[region].size == 0)
            return NULL;
        q->cache = mif_region_cache_of(q, region);
    }
    /* Offsets of version 256 have 64 bits, so that the sum could overflow. */
    if (MIF_UNLIKELY(length > q->cache.size || desc->offset > q->cache.size - length))
        return NULL;
    return q->cache.base + desc->offset;
}

/* ---- steps of a burst ---- */

/* How a step of a burst ended. */
enum mif_step {
    MIF_STEP_OK,    /* did all that it knew of */
    MIF_STEP_WAIT,  /* the next packet, or room for it, is not complete yet */
    MIF_STEP_FULL,  /* the next packet does not fit the caller's array */
    MIF_STEP_FAULT, /* the peer broke the rules */
    MIF_STEP_NOMEM,
    MIF_STEP_NEVER, /* the request can never be met */
};

MIF_INLINE int mif_step_error(enum mif_step step, int otherwise)
{
    if (MIF_LIKELY(step < MIF_STEP_FAULT))
        return otherwise;
    if (step == MIF_STEP_NEVER)
        return MIF_ERR_INVAL_ARG;
    return step == MIF_STEP_FAULT ? MIF_ERR_DISCONNECTED : MIF_ERR_NOMEM;
}

/* mif_fault, as the end of a step. */
MIF_INLINE enum mif_step mif_step_fault(struct mif_queue *q, const char *reason)
{
    mif_fault(q, reason);
    return MIF_STEP_FAULT;
}

MIF_INLINE enum mif_step mif_too_long(struct mif_queue *q, uint64_t length)
{
    mif_fault_too_long(q, length);
    return MIF_STEP_FAULT;
}

/* The fault of a slot for which mif_received_data gave NULL. */
MIF_INLINE enum mif_step mif_bad_slot(struct mif_queue *q, uint32_t length)
{
    return length > mif_max_packet(q) ? mif_too_long(q, length)
                                      : mif_step_fault(q, "descriptor out of range");
}

#define MIF_BAD_INDEX "ring index out of range"

MIF_INLINE enum mif_step mif_advance(struct mif_queue *q, enum mif_kind kind)
{
    if (MIF_LIKELY(mif_refresh(q, kind)) || mif_room_asked(q))
        return MIF_STEP_OK;
    return mif_step_fault(q, MIF_BAD_INDEX);
}

/* True if `length` bytes from `start` on lie in a buffer of ours. If `start` is within the tail
 * room, they may be as many as the whole buffer has: DPDK ignores how much is posted, so it fills a
 * buffer that has a headroom past its end. */
MIF_INLINE bool mif_slot_holds(const struct mif_queue *q, const struct mif_slot *own,
                               uintptr_t start, uint32_t length)
{
    uint32_t capacity = mif_slot_capacity(own);
    return MIF_LIKELY(start <= capacity && length <= capacity - start) ||
           (start <= q->tailroom && length <= capacity);
}

/* The address of the data of a filled slot; NULL when the descriptor is invalid. As slave the
 * buffer is our own, and the address does not depend on what the peer wrote. */
MIF_INLINE uint8_t *mif_received_data(struct mif_queue *q, const struct mif_slot *own,
                                      const struct mif_desc *desc, enum mif_kind kind)
{
    if (!mif_kind_is_slave(kind))
        return MIF_LIKELY(desc->length <= mif_max_packet(q)) ? mif_peer_data(q, desc, desc->length)
                                                             : NULL;
    uint32_t headroom = mif_slot_headroom(own);
    return mif_slot_holds(q, own, headroom, desc->length) ? own->data + headroom : NULL;
}

/* As sending master: records the buffer that the peer has posted. False: it is invalid or empty. */
MIF_INLINE bool mif_take_posted(struct mif_queue *q, uint16_t slot, enum mif_kind kind)
{
    struct mif_desc desc = mif_desc_read(q->descs, slot, kind);
    uint32_t capacity = mif_desc_capacity(&desc);
    uint8_t *data = mif_peer_data(q, &desc, capacity);
    mif_slot_set(&q->slots[slot], data, capacity, (uint16_t)(desc.head >> 16), 0);
    return MIF_LIKELY(data != NULL && capacity > 0);
}

/* Makes sure that we may fill a slot and know its buffer. MIF_STEP_WAIT: not yet. */
MIF_INLINE enum mif_step mif_claim_slot(struct mif_queue *q, uint64_t counter, enum mif_kind kind)
{
    if (counter == q->limit) {
        enum mif_step step = mif_advance(q, kind);
        if (step != MIF_STEP_OK)
            return step;
        if (counter == q->limit)
            return MIF_STEP_WAIT;
    }
    if (!mif_kind_is_slave(kind) &&
        MIF_UNLIKELY(!mif_take_posted(q, mif_slot_of(q, counter), kind)))
        return mif_step_fault(q, "posted buffer out of range or empty");
    return MIF_STEP_OK;
}

#endif
