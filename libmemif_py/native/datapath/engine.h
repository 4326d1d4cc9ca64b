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
 *  - the sender leaves its barrier out while it reads MASK_INT together with MIF_RING_FENCED: such
 *    a receiver clears MASK_INT and then calls membarrier, which is a full barrier on every running
 *    thread of this process, too (it asked for that; one that does not run has had its barrier when
 *    it was put aside). If the sender's load came before that barrier, so did its store, which the
 *    receiver's look finds; if it came after, it sees MASK_INT cleared;
 *  - descriptors are read word by word with relaxed atomic loads: once, never again.
 */
#ifndef MIF_ENGINE_H
#define MIF_ENGINE_H

#include "core/connection.h"
#include "core/errors.h"

#include <unistd.h>

#define MIF_INLINE static inline __attribute__((always_inline))
#define MIF_LIKELY(x) __builtin_expect(!!(x), 1)
#define MIF_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Four slots at a time, where the compiler may use such vectors. */
#ifdef __AVX2__
#include "datapath/vectors.h"
#endif

MIF_INLINE bool mif_kind_is_256(enum mif_kind kind)
{
    return kind == MIF_KIND_256_MASTER || kind == MIF_KIND_256_SLAVE;
}

MIF_INLINE bool mif_kind_is_slave(enum mif_kind kind)
{
    return kind == MIF_KIND_256_SLAVE || kind == MIF_KIND_512_SLAVE;
}

/* A private copy of a descriptor: whatever the peer does now, this stays. `head` is its first word,
 * from which the rest is taken. */
struct mif_desc {
    uint64_t head; /* flags:16 region:16 length:32 (512) or capacity:32 (256) */
    uint32_t length;
    uint64_t offset;
};

MIF_INLINE struct mif_desc mif_desc_read(const void *descs, uint32_t slot, enum mif_kind kind)
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

/* Of a posted buffer: version 512 has it where the length goes later. */
MIF_INLINE uint32_t mif_desc_capacity(const struct mif_desc *desc)
{
    return (uint32_t)(desc->head >> 32);
}

/* Says how much of a slot's buffer is filled. Region, capacity and offset stay as they are posted;
 * they are written from our copy, so that no shared memory is read. */
MIF_INLINE void mif_desc_fill(void *descs, uint32_t slot, const struct mif_slot *own,
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

/* Says where in its region the bytes of a filled slot begin (slave of version 512). */
MIF_INLINE void mif_desc_place(void *descs, uint32_t slot, uint32_t offset)
{
    struct mif_desc_512 *shared = (struct mif_desc_512 *)descs + slot;
    atomic_store_explicit(&shared->offset_metadata, offset, memory_order_relaxed);
}

/* Offers a buffer at its place in a region (slave of version 512). */
MIF_INLINE void mif_desc_offer(void *descs, uint32_t slot, uint64_t word, uint32_t offset)
{
    struct mif_desc_512 *shared = (struct mif_desc_512 *)descs + slot;
    atomic_store_explicit(&shared->flags_region_length, word, memory_order_relaxed);
    atomic_store_explicit(&shared->offset_metadata, offset, memory_order_relaxed);
}

/* Offers a slot of ours (we are the slave) to be filled: empty, at its place, less the headroom.
 * `base` is where the buffer's region begins. */
MIF_INLINE void mif_desc_post(void *descs, uint32_t slot, const struct mif_slot *own,
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

/* Takes NEXT off a slot that is about to go back to a slave of version 512: DPDK's writes a packet
 * of one slot over an older chain without clearing the flag. The slave has no use for the slot
 * before we publish it. */
MIF_INLINE void mif_desc_unchain(void *descs, uint32_t slot)
{
    struct mif_desc_512 *shared = (struct mif_desc_512 *)descs + slot;
    uint64_t w0 = atomic_load_explicit(&shared->flags_region_length, memory_order_relaxed);
    atomic_store_explicit(&shared->flags_region_length, w0 & ~(uint64_t)MIF_DESC_NEXT,
                          memory_order_relaxed);
}

/* How many of `most` slots from a counter on lie side by side, that is before the ring's end. Loops
 * go over such runs: pointers that move on, no masks. */
MIF_INLINE uint32_t mif_run(const struct mif_queue *q, uint64_t counter, uint32_t most)
{
    uint32_t to_end = (uint32_t)q->mask + 1 - ((uint32_t)counter & q->mask);
    return most < to_end ? most : to_end;
}

/* Slot of a counter. */
MIF_INLINE uint16_t mif_slot_of(const struct mif_queue *q, uint64_t counter)
{
    return (uint16_t)(counter & q->mask);
}

/* Slots of the ring; version 256 keeps one empty. */
MIF_INLINE uint32_t mif_capacity(const struct mif_queue *q, enum mif_kind kind)
{
    return q->mask + (mif_kind_is_256(kind) ? 0u : 1u);
}

/* Writes what other threads may look at. */
MIF_INLINE void mif_store(uint64_t *where, uint64_t value)
{
    __atomic_store_n(where, value, __ATOMIC_RELAXED);
}

/* Posts one slot of a slave of version 512. */
MIF_INLINE void mif_post_one(struct mif_queue *q, uint32_t slot)
{
    if (MIF_LIKELY(q->buffers.data != NULL)) {
        mif_desc_offer(q->descs, slot, q->buffers.word,
                       q->buffers.offset + slot * q->buffers.stride);
        return;
    }
    const struct mif_slot *own = &q->slots[slot];
    mif_desc_post(q->descs, slot, own, q->regions[mif_slot_region(own)].base, MIF_KIND_512_SLAVE);
}

/* Posts `run` slots side by side of a slave of version 512. */
MIF_INLINE void mif_post_run(struct mif_queue *q, uint32_t first, uint32_t run)
{
    void *descs = q->descs;
    uint32_t i = 0;
    if (MIF_LIKELY(q->buffers.data != NULL)) {
        const struct mif_buffer_array array = q->buffers;
#ifdef MIF_VEC_SLOTS
        i = mif_vec_post(descs, first, run, &array);
#endif
        for (; i < run; i++)
            mif_desc_offer(descs, first + i, array.word, array.offset + (first + i) * array.stride);
        return;
    }
    const struct mif_slot *own = &q->slots[first];
    for (; i < run; i++)
        mif_desc_post(descs, first + i, &own[i], q->regions[mif_slot_region(&own[i])].base,
                      MIF_KIND_512_SLAVE);
}

/* Gives `n` slots from q->done on, of a burst of `count`, to the peer again; as slave of version
 * 512 that is to post them. The code for bursts of one has no loop and no vectors, which would cost
 * it as much as all else: not every compiler sees by itself that no run is longer there. */
MIF_INLINE void mif_post_slots(struct mif_queue *q, uint32_t n, uint32_t count, enum mif_kind kind)
{
    const bool is_one = __builtin_constant_p(count) && count == 1;
    uint32_t left = kind == MIF_KIND_512_SLAVE ? n : 0;
    uint64_t done = q->done;
    if (is_one && left > 0)
        mif_post_one(q, mif_slot_of(q, done));
    while (!is_one && left > 0) {
        uint32_t run = mif_run(q, done, left);
        mif_post_run(q, mif_slot_of(q, done), run);
        done += run;
        left -= run;
    }
    mif_store(&q->done, q->done + n);
}

/* The most bytes that a packet may have, in one slot or in several, to be received. */
MIF_INLINE uint32_t mif_max_packet(const struct mif_queue *q)
{
    const uint8_t *regions = (const uint8_t *)q->regions;
    return ((const struct mif_connection *)(const void *)(regions -
                                                          offsetof(struct mif_connection, regions)))
        ->max_packet;
}

MIF_INLINE struct mif_region_cache mif_region_cache_of(const struct mif_queue *q, uint16_t index)
{
    const struct mif_region *r = &q->regions[index];
    uint32_t limit = mif_max_packet(q);
    return (struct mif_region_cache){.base = r->base,
                                     .size = r->size,
                                     .max_packet = r->size < limit ? (uint32_t)r->size : limit,
                                     .index = index};
}

/* True if the bytes that a descriptor names, at most `most`, which is no more than the size, lie in
 * the cache; its region is checked elsewhere. In version 512 so is the length. */
MIF_INLINE bool mif_in_cached_region(const struct mif_region_cache *cache,
                                     const struct mif_desc *desc, uint64_t most, enum mif_kind kind)
{
    if (mif_kind_is_256(kind)) /* 64 bits of offset, the sum could overflow */
        return desc->length <= most && desc->offset <= cache->size - desc->length;
    return desc->offset + desc->length <= cache->size;
}

/* The address of `length` bytes where a descriptor of the peer says, or NULL: they do not lie in a
 * region. */
MIF_INLINE uint8_t *mif_peer_data(struct mif_queue *q, const struct mif_desc *desc, uint32_t length)
{
    uint16_t region = (uint16_t)(desc->head >> 16);
    if (MIF_UNLIKELY(region != q->cache.index)) {
        if (region >= q->region_count || q->regions[region].size == 0)
            return NULL;
        q->cache = mif_region_cache_of(q, region);
    }
    /* Offsets of version 256 have 64 bits, so that the sum could overflow. */
    if (MIF_UNLIKELY(length > q->cache.size || desc->offset > q->cache.size - length))
        return NULL;
    return q->cache.base + desc->offset;
}

/* Takes note of how far the peer has come. False: its index is impossible. */
MIF_INLINE bool mif_refresh(struct mif_queue *q, enum mif_kind kind)
{
    uint16_t raw = atomic_load_explicit(q->peer_index, memory_order_acquire);
    uint16_t moved = (uint16_t)(raw - q->peer_raw);
    if (mif_kind_is_256(kind)) {
        if (MIF_UNLIKELY(raw > q->mask))
            return false;
        moved &= q->mask;
    }
    if (MIF_UNLIKELY(moved > q->done + mif_capacity(q, kind) - q->limit))
        return false;
    q->peer_raw = raw;
    q->limit += moved;
    return true;
}

/* What we show the peer: that we are done with all slots before q->done. A slave of version 512
 * receives into slots that it posted a ring ahead. */
MIF_INLINE uint16_t mif_own_index(const struct mif_queue *q, bool is_rx, enum mif_kind kind)
{
    if (mif_kind_is_256(kind))
        return mif_slot_of(q, q->done);
    return (uint16_t)(is_rx && kind == MIF_KIND_512_SLAVE ? q->done + q->mask + 1 : q->done);
}

MIF_INLINE void mif_publish(struct mif_queue *q, bool is_rx, enum mif_kind kind)
{
    atomic_store_explicit(q->own_index, mif_own_index(q, is_rx, kind), memory_order_release);
}

/* Signals: signals.c. One-time set-up. */
void mif_signals_init(void);
/* Takes a signal away, if there is one. Waits for nobody but, where the kernel cannot be told so, a
 * peer that takes it at the same moment. */
void mif_efd_drain(int efd);
/* False when the signal could not be sent; a counter that is full is a signal already. */
bool mif_efd_signal(int efd);
/* The same for an eventfd that somebody may have made blocking, at three times the price. */
bool mif_efd_signal_nowait(int efd);

/* The lock that is held during bursts, if there is one. Set once, before the first queue. */
struct mif_lock {
    /* Lets go of it; what is returned is for `take`. Nobody enters the queue meanwhile. */
    void *(*leave)(struct mif_queue *q);
    void (*take)(struct mif_queue *q, void *state);
};
extern __attribute__((visibility("hidden"))) const struct mif_lock *mif_lock;

/* Both for the eventfd of a queue, inside a burst: without the lock if they have to wait. */
void mif_drain(struct mif_queue *q);
bool mif_signal_nowait(struct mif_queue *q);

/* Peers that are trusted cost no more than they must. */
MIF_INLINE bool mif_signal(struct mif_queue *q)
{
    return q->signal_mode != 0 ? mif_signal_nowait(q) : mif_efd_signal(q->efd);
}

/* What a ring's flags are while its receiver polls and needs no barrier of ours: MASK_INT and
 * MIF_RING_FENCED, or a value that flags never have where this process could not ask for the
 * receivers' barriers. Set once, before the first queue. */
extern __attribute__((visibility("hidden"))) uint32_t mif_quiet_flags;

/* After the index was published: true if the receiver polls and no more is to be done. Otherwise
 * mif_wake has the last word. */
MIF_INLINE bool mif_receiver_polls(const struct mif_queue *q)
{
    atomic_signal_fence(memory_order_seq_cst);
    return MIF_LIKELY(atomic_load_explicit(&q->ring->flags, memory_order_relaxed) ==
                      mif_quiet_flags);
}

/* Puts the full barrier between the published index and MASK_INT, and signals the receiver unless
 * it polls. False when that failed. */
bool mif_wake(struct mif_queue *q);

/* ---- steps of a burst ---- */

/* What a step of a burst came to. */
enum mif_step {
    MIF_STEP_OK,    /* done with all that is known to be there */
    MIF_STEP_WAIT,  /* what comes next is not complete yet */
    MIF_STEP_FULL,  /* what comes next does not fit the caller's array */
    MIF_STEP_FAULT, /* the peer broke the rules */
    MIF_STEP_NOMEM,
    MIF_STEP_NEVER, /* what is asked for cannot be, however long one waits */
};

MIF_INLINE int mif_step_error(enum mif_step step, int otherwise)
{
    if (MIF_LIKELY(step < MIF_STEP_FAULT))
        return otherwise;
    if (step == MIF_STEP_NEVER)
        return MIF_ERR_INVAL_ARG;
    return step == MIF_STEP_FAULT ? MIF_ERR_DISCONNECTED : MIF_ERR_NOMEM;
}

/* mif_fault, for the place where a step ends. */
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

/* What is wrong with a slot that has no mif_received_data. */
MIF_INLINE enum mif_step mif_bad_slot(struct mif_queue *q, uint32_t length)
{
    return length > mif_max_packet(q) ? mif_too_long(q, length)
                                      : mif_step_fault(q, "descriptor out of range");
}

#define MIF_BAD_INDEX "ring index out of range"

MIF_INLINE enum mif_step mif_advance(struct mif_queue *q, enum mif_kind kind)
{
    if (MIF_LIKELY(mif_refresh(q, kind)))
        return MIF_STEP_OK;
    return mif_step_fault(q, MIF_BAD_INDEX);
}

/* True if `length` bytes lie in a buffer of ours, `start` bytes in. Where the start is within the
 * tail room, they may be as many as the whole buffer has: DPDK does not look at how much is posted,
 * so that it fills a buffer with a headroom past its end. */
MIF_INLINE bool mif_slot_holds(const struct mif_queue *q, const struct mif_slot *own,
                               uintptr_t start, uint32_t length)
{
    uint32_t capacity = mif_slot_capacity(own);
    return MIF_LIKELY(start <= capacity && length <= capacity - start) ||
           (start <= q->tailroom && length <= capacity);
}

/* Where the bytes of a filled slot are; NULL = the peer lies. As slave the buffer is our own and
 * the peer has no say in where it lies. */
MIF_INLINE uint8_t *mif_received_data(struct mif_queue *q, const struct mif_slot *own,
                                      const struct mif_desc *desc, enum mif_kind kind)
{
    if (!mif_kind_is_slave(kind))
        return MIF_LIKELY(desc->length <= mif_max_packet(q)) ? mif_peer_data(q, desc, desc->length)
                                                             : NULL;
    uint32_t headroom = mif_slot_headroom(own);
    return mif_slot_holds(q, own, headroom, desc->length) ? own->data + headroom : NULL;
}

/* As sending master: takes note of the buffer that the peer has posted. False: there is none. */
MIF_INLINE bool mif_take_posted(struct mif_queue *q, uint16_t slot, enum mif_kind kind)
{
    struct mif_desc desc = mif_desc_read(q->descs, slot, kind);
    uint32_t capacity = mif_desc_capacity(&desc);
    uint8_t *data = mif_peer_data(q, &desc, capacity);
    mif_slot_set(&q->slots[slot], data, capacity, (uint16_t)(desc.head >> 16), 0);
    return MIF_LIKELY(data != NULL && capacity > 0);
}

/* Makes sure that a slot may be filled and its buffer is known. */
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
