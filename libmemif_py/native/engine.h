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

/* Offers a slot of ours (we are the slave) to be filled: whole, empty, at its place. */
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
                          (uint64_t)own->region << 16 | (uint64_t)own->capacity << 32,
                          memory_order_relaxed);
    atomic_store_explicit(&shared->offset_metadata, (uint32_t)own->offset, memory_order_relaxed);
}

/* Takes NEXT off a slot that is about to go back to a slave of version 512: DPDK's writes a packet
 * of one slot over an older chain without clearing the flag. The slave has no use for the slot
 * before we publish it. */
MIF_INLINE void mif_desc_unchain(struct mif_queue *q, uint16_t slot)
{
    struct mif_desc_2 *shared = (struct mif_desc_2 *)q->descs + slot;
    uint64_t w0 = atomic_load_explicit(&shared->flags_region_length, memory_order_relaxed);
    atomic_store_explicit(&shared->flags_region_length, w0 & ~(uint64_t)MIF_DESC_NEXT,
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

#endif
