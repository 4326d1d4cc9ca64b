/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring engine: what all faces do to a ring, written once for both protocol versions and both
 * roles. `kind` is a constant wherever it matters, so that each instance is straight code.
 *
 * Memory ordering, the whole of it:
 *  - our index is stored with release after the descriptors and data it covers: the peer that
 *    loads it with acquire sees them;
 *  - the peer's index is loaded with acquire before the descriptors it covers are read;
 *  - between the store of our index and the load of MASK_INT stands a full barrier. The receiver
 *    does the mirror image (clears MASK_INT, full barrier, looks at the index), so at least one of
 *    the two sees the other's store and no wake-up is lost;
 *  - descriptors are read word by word with relaxed atomic loads: once, never again.
 */
#ifndef MIF_ENGINE_H
#define MIF_ENGINE_H

#include "connection.h"
#include "errors.h"

#include <unistd.h>

#define MIF_INLINE static inline __attribute__((always_inline))
#define MIF_LIKELY(x) __builtin_expect(!!(x), 1)
#define MIF_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* The longest packet that is put together from several slots. */
#define MIF_MAX_PACKET 65535u

MIF_INLINE bool mif_kind_is_v1(enum mif_kind kind)
{
    return kind == MIF_KIND_1_MASTER || kind == MIF_KIND_1_SLAVE;
}

MIF_INLINE bool mif_kind_is_slave(enum mif_kind kind)
{
    return kind == MIF_KIND_1_SLAVE || kind == MIF_KIND_2_SLAVE;
}

/* A private copy of a descriptor: whatever the peer does now, this stays. */
struct mif_desc {
    uint16_t flags;
    uint16_t region;
    uint32_t length;
    uint32_t capacity; /* of the buffer; version 512 has it in length until it is filled */
    uint64_t offset;
};

MIF_INLINE struct mif_desc mif_desc_read(const struct mif_queue *q, uint16_t slot,
                                         enum mif_kind kind)
{
    if (mif_kind_is_v1(kind)) {
        struct mif_desc_1 *shared = (struct mif_desc_1 *)q->descs + slot;
        uint64_t w0 = atomic_load_explicit(&shared->flags_region_capacity, memory_order_relaxed);
        uint64_t w1 = atomic_load_explicit(&shared->length, memory_order_relaxed);
        uint64_t w2 = atomic_load_explicit(&shared->offset, memory_order_relaxed);
        return (struct mif_desc){.flags = (uint16_t)w0,
                                 .region = (uint16_t)(w0 >> 16),
                                 .length = (uint32_t)w1,
                                 .capacity = (uint32_t)(w0 >> 32),
                                 .offset = w2};
    }
    struct mif_desc_2 *shared = (struct mif_desc_2 *)q->descs + slot;
    uint64_t w0 = atomic_load_explicit(&shared->flags_region_length, memory_order_relaxed);
    uint64_t w1 = atomic_load_explicit(&shared->offset_metadata, memory_order_relaxed);
    uint32_t length = (uint32_t)(w0 >> 32);
    return (struct mif_desc){.flags = (uint16_t)w0,
                             .region = (uint16_t)(w0 >> 16),
                             .length = length,
                             .capacity = length,
                             .offset = (uint32_t)w1};
}

/* Says how much of a slot's buffer is filled. Region and offset stay as they are posted; they are
 * written from our copy, so that no shared memory is read. */
MIF_INLINE void mif_desc_fill(struct mif_queue *q, uint16_t slot, uint16_t flags, uint32_t length,
                              enum mif_kind kind)
{
    const struct mif_slot *own = &q->slots[slot];
    uint64_t flags_region = flags | (uint64_t)own->region << 16;
    if (mif_kind_is_v1(kind)) {
        struct mif_desc_1 *shared = (struct mif_desc_1 *)q->descs + slot;
        atomic_store_explicit(&shared->flags_region_capacity,
                              flags_region | (uint64_t)own->capacity << 32, memory_order_relaxed);
        atomic_store_explicit(&shared->length, length, memory_order_relaxed);
        return;
    }
    struct mif_desc_2 *shared = (struct mif_desc_2 *)q->descs + slot;
    atomic_store_explicit(&shared->flags_region_length, flags_region | (uint64_t)length << 32,
                          memory_order_relaxed);
}

/* Says that the bytes of a slot of ours begin `moved` into its buffer (slave of version 512). */
MIF_INLINE void mif_desc_place(struct mif_queue *q, uint16_t slot, uint32_t moved)
{
    struct mif_desc_2 *shared = (struct mif_desc_2 *)q->descs + slot;
    atomic_store_explicit(&shared->offset_metadata, (uint32_t)q->slots[slot].offset + moved,
                          memory_order_relaxed);
}

/* Offers a slot of ours (we are the slave) to be filled: empty, at its place, less the headroom. */
MIF_INLINE void mif_desc_post(struct mif_queue *q, uint16_t slot)
{
    const struct mif_slot *own = &q->slots[slot];
    if (mif_kind_is_v1((enum mif_kind)q->kind)) {
        struct mif_desc_1 *shared = (struct mif_desc_1 *)q->descs + slot;
        atomic_store_explicit(&shared->flags_region_capacity,
                              (uint64_t)own->region << 16 | (uint64_t)own->capacity << 32,
                              memory_order_relaxed);
        atomic_store_explicit(&shared->length, 0, memory_order_relaxed);
        atomic_store_explicit(&shared->offset, own->offset, memory_order_relaxed);
        return;
    }
    struct mif_desc_2 *shared = (struct mif_desc_2 *)q->descs + slot;
    atomic_store_explicit(&shared->flags_region_length,
                          (uint64_t)own->region << 16 | (uint64_t)(own->capacity - own->headroom)
                                                            << 32,
                          memory_order_relaxed);
    atomic_store_explicit(&shared->offset_metadata, (uint32_t)(own->offset + own->headroom),
                          memory_order_relaxed);
}

/* The address of [offset, offset + length) of a region of the peer's choice, or NULL. */
MIF_INLINE uint8_t *mif_peer_data(const struct mif_queue *q, uint16_t region, uint64_t offset,
                                  uint32_t length)
{
    if (MIF_UNLIKELY(region >= q->region_count))
        return NULL;
    const struct mif_region *r = &q->regions[region];
    if (MIF_UNLIKELY(length > r->size || offset > r->size - length))
        return NULL;
    return r->base + offset;
}

/* Takes note of how far the peer has come. False: its index is impossible. */
MIF_INLINE bool mif_refresh(struct mif_queue *q, enum mif_kind kind)
{
    uint16_t raw = atomic_load_explicit(q->peer_index, memory_order_acquire);
    uint16_t moved = (uint16_t)(raw - q->peer_raw);
    if (mif_kind_is_v1(kind)) {
        if (MIF_UNLIKELY(raw > q->mask))
            return false;
        moved &= q->mask;
    }
    if (MIF_UNLIKELY(moved > (uint16_t)(q->done + q->capacity - q->limit)))
        return false;
    q->peer_raw = raw;
    q->limit = (uint16_t)(q->limit + moved);
    return true;
}

/* Shows the peer that we are done with all slots before q->done. A slave of version 512 receives
 * into slots that it posted a ring ahead. */
MIF_INLINE void mif_publish(struct mif_queue *q, bool is_rx, enum mif_kind kind)
{
    uint16_t index = q->done;
    if (mif_kind_is_v1(kind))
        index &= q->mask;
    else if (is_rx && kind == MIF_KIND_2_SLAVE)
        index = (uint16_t)(index + q->capacity);
    atomic_store_explicit(q->own_index, index, memory_order_release);
}

/* Adds to a counter that one thread writes and others read. */
MIF_INLINE void mif_count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void mif_efd_drain(int efd)
{
    uint64_t value;
    (void)!read(efd, &value, sizeof(value));
}

/* False when the signal could not be sent; a counter that is full is a signal already. */
bool mif_efd_signal(int efd);

/* Wakes the peer for what was published, unless it polls. */
MIF_INLINE bool mif_notify(struct mif_queue *q)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&q->ring->flags, memory_order_relaxed) & MIF_RING_MASK_INT)
        return true;
    return mif_efd_signal(q->efd);
}

/* ---- what both faces do ---- */

/* What a step of a burst came to. */
enum mif_step {
    MIF_STEP_OK,    /* done with all that is known to be there */
    MIF_STEP_WAIT,  /* what comes next is not complete yet */
    MIF_STEP_FULL,  /* what comes next does not fit the caller's array */
    MIF_STEP_FAULT, /* the peer broke the rules */
    MIF_STEP_NOMEM,
};

static inline int mif_step_error(enum mif_step step, int otherwise)
{
    switch (step) {
    case MIF_STEP_FAULT:
        return MIF_ERR_DISCONNECTED;
    case MIF_STEP_NOMEM:
        return MIF_ERR_NOMEM;
    default:
        return otherwise;
    }
}

MIF_INLINE enum mif_step mif_advance(struct mif_queue *q, enum mif_kind kind)
{
    if (MIF_LIKELY(mif_refresh(q, kind)))
        return MIF_STEP_OK;
    mif_fault(q, "ring index out of range");
    return MIF_STEP_FAULT;
}

/* Checks the filled slot against what we know of its buffer; NULL = the peer lies. */
MIF_INLINE uint8_t *mif_received_data(const struct mif_queue *q, uint16_t slot,
                                      const struct mif_desc *desc, enum mif_kind kind)
{
    if (mif_kind_is_slave(kind)) /* our own buffer: the peer has no say in where it lies */
        return desc->length <= q->slots[slot].capacity ? q->slots[slot].data : NULL;
    return mif_peer_data(q, desc->region, desc->offset, desc->length);
}

/* Makes sure that we know the buffer of a free slot: a master takes what the peer has posted. */
MIF_INLINE enum mif_step mif_know_tx_slot(struct mif_queue *q, uint16_t slot, enum mif_kind kind)
{
    if (mif_kind_is_slave(kind))
        return MIF_STEP_OK;
    struct mif_desc desc = mif_desc_read(q, slot, kind);
    uint8_t *data = mif_peer_data(q, desc.region, desc.offset, desc.capacity);
    if (MIF_UNLIKELY(data == NULL || desc.capacity == 0)) {
        mif_fault(q, "posted buffer out of range or empty");
        return MIF_STEP_FAULT;
    }
    struct mif_slot *own = &q->slots[slot];
    own->data = data;
    own->capacity = desc.capacity;
    own->region = desc.region;
    return MIF_STEP_OK;
}

/* Receives from the slots that are known to be filled, from entry *n of the caller's array on. */
typedef enum mif_step mif_take_fn(struct mif_queue *q, void *to, uint16_t count, uint16_t *n,
                                  uint64_t *bytes, enum mif_kind kind);

/* A receive burst of either face.
 *
 * In interrupt mode the eventfd is drained only when the ring was seen empty, and the ring is
 * looked at again afterwards: a signal that arrived with its packet in between is not lost. What
 * does not fit the array leaves the eventfd readable. */
MIF_INLINE int mif_rx_burst(struct mif_queue *q, void *to, uint16_t count, uint16_t *rx,
                            mif_take_fn *take, enum mif_kind kind)
{
    bool interrupt = !atomic_load_explicit(&q->polling, memory_order_relaxed);
    bool drained = false;
    uint16_t n = 0;
    uint64_t bytes = 0;
    enum mif_step step;
    for (;;) {
        step = take(q, to, count, &n, &bytes, kind);
        if (step > MIF_STEP_WAIT)
            break;
        uint16_t before = q->limit;
        step = mif_advance(q, kind);
        if (step != MIF_STEP_OK)
            break;
        if (q->limit != before)
            continue;
        if (n == count || !interrupt || drained)
            break;
        mif_efd_drain(q->efd);
        drained = true;
    }
    *rx = n;
    mif_count(&q->packets, n);
    mif_count(&q->bytes, bytes);
    if (MIF_UNLIKELY(drained && (step == MIF_STEP_FULL || step == MIF_STEP_NOMEM)))
        (void)mif_efd_signal(q->efd);
    return mif_step_error(step, step == MIF_STEP_FULL ? MIF_ERR_NOBUF : MIF_ERR_SUCCESS);
}

/* Calls the instance of an always-inlined function for the queue's kind. */
#define MIF_FOR_KIND(q, result, function, ...)                                                     \
    switch ((enum mif_kind)(q)->kind) {                                                            \
    case MIF_KIND_1_MASTER:                                                                        \
        result = function(q, __VA_ARGS__, MIF_KIND_1_MASTER);                                      \
        break;                                                                                     \
    case MIF_KIND_1_SLAVE:                                                                         \
        result = function(q, __VA_ARGS__, MIF_KIND_1_SLAVE);                                       \
        break;                                                                                     \
    case MIF_KIND_2_MASTER:                                                                        \
        result = function(q, __VA_ARGS__, MIF_KIND_2_MASTER);                                      \
        break;                                                                                     \
    case MIF_KIND_2_SLAVE:                                                                         \
        result = function(q, __VA_ARGS__, MIF_KIND_2_SLAVE);                                       \
        break;                                                                                     \
    }

#endif
