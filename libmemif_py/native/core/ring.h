/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rings: reading and writing descriptors and indices, once for both protocol versions and both
 * roles. `kind` is a constant wherever it matters, so that each instance is straight code.
 *
 * Memory ordering, the whole of it:
 *  - our index is stored with release after the descriptors and data it covers: the peer that
 *    loads it with acquire sees them;
 *  - the peer's index is loaded with acquire before the descriptors it covers are read;
 *  - between the store of our index and the load of MASK_INT stands a full barrier. The receiver
 *    does the mirror image (clears MASK_INT, full barrier, looks at the index), so at least one of
 *    the two sees the other's store and no wake-up is lost;
 *  - the sender omits its barrier while it reads MASK_INT together with MIF_RING_FENCED: such a
 *    receiver clears MASK_INT and then calls membarrier, which is a full barrier on every running
 *    thread of this process too (we registered for that; a thread that is not running had its
 *    barrier when it was scheduled out). If the sender's load came before that barrier, so did its
 *    store, and the receiver's next look at the index finds it; if the load came after, it sees
 *    MASK_INT cleared;
 *  - descriptors are read word by word with relaxed atomic loads, each word once.
 */
#ifndef MIF_RING_H
#define MIF_RING_H

#include "core/attributes.h"
#include "core/state.h"

MIF_INLINE bool mif_kind_is_256(enum mif_kind kind)
{
    return kind == MIF_KIND_256_MASTER || kind == MIF_KIND_256_SLAVE;
}

MIF_INLINE bool mif_kind_is_slave(enum mif_kind kind)
{
    return kind == MIF_KIND_256_SLAVE || kind == MIF_KIND_512_SLAVE;
}

/* A private copy of a descriptor, which the peer cannot change. `head` is the first word; flags,
 * region and capacity are taken from it. */
struct mif_desc {
    uint64_t head; /* flags:16 region:16 length:32 (512) or capacity:32 (256) */
    uint32_t length;
    uint64_t offset;
};

MIF_INLINE struct mif_desc mif_desc_read(const void *descs, uint64_t slot, enum mif_kind kind)
{
    if (mif_kind_is_256(kind)) {
        const struct mif_desc_256 *shared = (const struct mif_desc_256 *)descs + slot;
        uint64_t w0 = atomic_load_explicit(&shared->flags_region_capacity, memory_order_relaxed);
        uint64_t w1 = atomic_load_explicit(&shared->length, memory_order_relaxed);
        uint64_t w2 = atomic_load_explicit(&shared->offset, memory_order_relaxed);
        return (struct mif_desc){.head = w0, .length = (uint32_t)w1, .offset = w2};
    }
    const struct mif_desc_512 *shared = (const struct mif_desc_512 *)descs + slot;
    uint64_t w0 = atomic_load_explicit(&shared->flags_region_length, memory_order_relaxed);
    uint64_t w1 = atomic_load_explicit(&shared->offset_metadata, memory_order_relaxed);
    return (struct mif_desc){.head = w0, .length = (uint32_t)(w0 >> 32), .offset = (uint32_t)w1};
}

MIF_INLINE bool mif_desc_has_next(const struct mif_desc *desc)
{
    return desc->head & MIF_DESC_NEXT;
}

/* Of a posted buffer. Version 512 keeps it in the word that later holds the length. */
MIF_INLINE uint32_t mif_desc_capacity(const struct mif_desc *desc)
{
    return (uint32_t)(desc->head >> 32);
}

/* Writes how much of a slot's buffer is filled. Region, capacity and offset stay as they were
 * posted; they are written from our copy, so that no shared memory is read. */
MIF_INLINE void mif_desc_fill(void *descs, uint64_t slot, const struct mif_slot *own,
                              uint16_t flags, uint32_t length, enum mif_kind kind)
{
    if (mif_kind_is_256(kind)) {
        struct mif_desc_256 *shared = (struct mif_desc_256 *)descs + slot;
        atomic_store_explicit(&shared->flags_region_capacity, own->word | flags,
                              memory_order_relaxed);
        atomic_store_explicit(&shared->length, length, memory_order_relaxed);
        return;
    }
    struct mif_desc_512 *shared = (struct mif_desc_512 *)descs + slot;
    uint64_t region = own->word & 0xFFFF0000;
    atomic_store_explicit(&shared->flags_region_length, region | flags | (uint64_t)length << 32,
                          memory_order_relaxed);
}

/* Writes where in its region the data of a filled slot begins (slave of version 512). */
MIF_INLINE void mif_desc_place(void *descs, uint64_t slot, uint32_t offset)
{
    struct mif_desc_512 *shared = (struct mif_desc_512 *)descs + slot;
    atomic_store_explicit(&shared->offset_metadata, offset, memory_order_relaxed);
}

/* Offers a buffer at its place in a region (slave of version 512). */
MIF_INLINE void mif_desc_offer(void *descs, uint64_t slot, uint64_t word, uint32_t offset)
{
    struct mif_desc_512 *shared = (struct mif_desc_512 *)descs + slot;
    atomic_store_explicit(&shared->flags_region_length, word, memory_order_relaxed);
    atomic_store_explicit(&shared->offset_metadata, offset, memory_order_relaxed);
}

/* Offers a slot of ours (we are the slave) to be filled: empty, in its own buffer, after the
 * headroom. `base` is where the buffer's region begins. */
MIF_INLINE void mif_desc_post(void *descs, uint64_t slot, const struct mif_slot *own,
                              const uint8_t *base, enum mif_kind kind)
{
    uint64_t headroom = mif_slot_headroom(own);
    uint64_t word = own->word - headroom - (headroom << 32);
    uint64_t offset = (uint64_t)(own->data - base) + headroom;
    if (mif_kind_is_256(kind)) {
        struct mif_desc_256 *shared = (struct mif_desc_256 *)descs + slot;
        atomic_store_explicit(&shared->flags_region_capacity, word, memory_order_relaxed);
        atomic_store_explicit(&shared->length, 0, memory_order_relaxed);
        atomic_store_explicit(&shared->offset, offset, memory_order_relaxed);
        return;
    }
    mif_desc_offer(descs, slot, word, (uint32_t)offset);
}

/* Clears NEXT in a slot that is about to go back to a slave of version 512: a DPDK slave writes a
 * packet of one slot over an older chain without clearing the flag. The slave does not use the slot
 * before we publish it, so nobody else writes the descriptor now. */
MIF_INLINE void mif_desc_unchain(void *descs, uint64_t slot)
{
    struct mif_desc_512 *shared = (struct mif_desc_512 *)descs + slot;
    uint64_t w0 = atomic_load_explicit(&shared->flags_region_length, memory_order_relaxed);
    atomic_store_explicit(&shared->flags_region_length, w0 & ~(uint64_t)MIF_DESC_NEXT,
                          memory_order_relaxed);
}

/* How many of `most` slots from a counter on are adjacent, that is, lie before the ring's end.
 * Loops work on such runs, so that they advance pointers and need no mask. */
MIF_INLINE uint32_t mif_run(const struct mif_queue *q, uint64_t counter, uint32_t most)
{
    uint32_t to_end = (uint32_t)q->mask + 1 - ((uint32_t)counter & q->mask);
    return most < to_end ? most : to_end;
}

/* Slot of a counter, as wide as an address: narrower ones are extended again wherever they are
 * used. */
MIF_INLINE uint64_t mif_place_of(const struct mif_queue *q, uint64_t counter)
{
    return counter & q->mask;
}

/* Slot of a counter. */
MIF_INLINE uint16_t mif_slot_of(const struct mif_queue *q, uint64_t counter)
{
    return (uint16_t)mif_place_of(q, counter);
}

/* Slots of the ring; version 256 keeps one empty. */
MIF_INLINE uint32_t mif_capacity(const struct mif_queue *q, enum mif_kind kind)
{
    return q->mask + (mif_kind_is_256(kind) ? 0u : 1u);
}

/* Writes a counter that other threads may read. */
MIF_INLINE void mif_store(uint64_t *where, uint64_t value)
{
    __atomic_store_n(where, value, __ATOMIC_RELAXED);
}

/* Moves `limit`, which is q->limit, to what the peer's index says, and adds the distance to *slots.
 * False: the index is impossible. */
MIF_INLINE bool mif_move_limit(struct mif_queue *q, uint64_t limit, uint32_t *slots, uint16_t raw,
                               enum mif_kind kind)
{
    uint16_t moved = (uint16_t)(raw - q->peer_raw);
    if (mif_kind_is_256(kind)) {
        if (MIF_UNLIKELY(raw > q->mask))
            return false;
        moved &= q->mask;
    }
    if (MIF_UNLIKELY(moved > (uint32_t)q->done - (uint32_t)limit + mif_capacity(q, kind)))
        return false;
    q->peer_raw = raw;
    q->limit = limit + moved;
    *slots += moved;
    return true;
}

/* Reads the peer's index and moves `limit`. False: the index is impossible. If we receive, the peer
 * may be asking for room: see mif_room_asked. */
MIF_INLINE bool mif_refresh(struct mif_queue *q, enum mif_kind kind)
{
    uint32_t slots = 0;
    uint16_t raw = atomic_load_explicit(q->peer_index, memory_order_acquire);
    return mif_move_limit(q, q->limit, &slots, raw, kind);
}

/* How many slots lie between next and limit, which is moved only if they are fewer than `wanted`.
 * `lost` if it would have to be, and the peer's index is impossible. */
MIF_INLINE uint32_t mif_known(struct mif_queue *q, uint32_t wanted, uint32_t lost,
                              enum mif_kind kind)
{
    const uint64_t limit = q->limit;
    uint32_t slots = (uint32_t)limit - (uint32_t)q->next;
    if (slots < wanted) {
        uint16_t raw = atomic_load_explicit(q->peer_index, memory_order_acquire);
        if (MIF_UNLIKELY(!mif_move_limit(q, limit, &slots, raw, kind)))
            return lost;
    }
    return slots;
}

/* The index that we publish when we are done with all slots before `done`. A receiving slave of
 * version 512 publishes one ring more, because it has posted those slots again. */
MIF_INLINE uint16_t mif_index_of(const struct mif_queue *q, uint64_t done, bool is_rx,
                                 enum mif_kind kind)
{
    if (mif_kind_is_256(kind))
        return mif_slot_of(q, done);
    return (uint16_t)(is_rx && kind == MIF_KIND_512_SLAVE ? done + q->mask + 1 : done);
}

MIF_INLINE uint16_t mif_own_index(const struct mif_queue *q, bool is_rx, enum mif_kind kind)
{
    return mif_index_of(q, q->done, is_rx, kind);
}

/* Publishes it for `done`, which is q->done. */
MIF_INLINE void mif_publish_done(struct mif_queue *q, uint64_t done, bool is_rx, enum mif_kind kind)
{
    atomic_store_explicit(q->own_index, mif_index_of(q, done, is_rx, kind), memory_order_release);
}

MIF_INLINE void mif_publish(struct mif_queue *q, bool is_rx, enum mif_kind kind)
{
    mif_publish_done(q, q->done, is_rx, kind);
}

/* What lies in a ring and was not given back by its receiver. */
struct mif_fill {
    uint32_t slots;
    uint32_t packets; /* an incomplete one counts as one */
};
/* For the control plane, while the queue is up: reads every descriptor that is in use, which the
 * peer may change meanwhile. */
void mif_ring_fill(const struct mif_queue *q, bool is_tx, struct mif_fill *fill);

#endif
