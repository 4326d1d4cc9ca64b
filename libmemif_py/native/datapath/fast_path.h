/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fast paths of the data path: bursts of packets that take one slot each, on runs of adjacent
 * slots. Written once for both faces and compiled once for each, and on x86-64 once more with AVX2.
 *
 * The face that includes this file has defined, for its memif_buffer_t:
 *
 *      set_received, set_reserved      write an entry
 *      is_plain                        whether an entry is the reserved one of a slot, a whole
 *                                      packet, and fits
 *      entry_hash                      adds an entry to a hash
 *      packet_entries                  how many entries belong to the packet that begins at bufs
 *      and, where there are vectors, set_received_vectors, set_reserved_vectors, reserve_own, and
 *      get_plain_vectors               the same for four
 *
 * and declared the functions for the one packet that a run stopped at, because it is not plain:
 *
 *      mif_take_other, mif_reserve_other, mif_fill_other
 *
 * After this file it defines how it gives slots back, and MIF_FACE_CALLS.
 */
#ifndef MIF_FAST_PATH_H
#define MIF_FAST_PATH_H

/* Fewer slots than this are faster one by one. */
#define MIF_VEC_MIN_SLOTS 4

#ifdef MIF_VEC_SLOTS
#include "datapath/fast_path_vectors.h"
#endif

/* ---- receive ---- */

/* Reads the packet of a slot. False if it is not plain: one slot, in the region that was used last.
 */
MIF_INLINE bool read_packet(const struct mif_region_cache *cache, const struct mif_slot *own,
                            const void *descs, uint64_t slot, uint32_t *length, uint8_t **data,
                            enum mif_kind kind)
{
    struct mif_desc desc = mif_desc_read(descs, slot, kind);
    if (kind == MIF_KIND_512_MASTER) {
        /* The result is the length. If flags or region differ it is larger than any length. */
        uint64_t rotated = desc.head - cache->head;
        rotated = rotated << 32 | rotated >> 32;
        if (MIF_UNLIKELY(rotated > cache->max_packet))
            return false;
        desc.length = (uint32_t)rotated;
    } else if (kind == MIF_KIND_256_MASTER) {
        if (MIF_UNLIKELY((uint32_t)desc.head != cache->head))
            return false;
    } else if (MIF_UNLIKELY((uint16_t)desc.head != 0)) {
        return false;
    }
    *length = desc.length;
    if (mif_kind_is_slave(kind)) {
        uint32_t headroom = mif_slot_headroom(own);
        *data = own->data + headroom;
        return MIF_LIKELY(desc.length <= mif_slot_capacity(own) - headroom);
    }
    if (MIF_UNLIKELY(!mif_in_cached_region(cache, &desc, cache->max_packet, kind)))
        return false;
    *data = cache->base + desc.offset;
    return true;
}

/* Receives one packet. False if it is not plain. */
MIF_INLINE bool take_one(struct mif_queue *q, memif_buffer_t *buf, enum mif_kind kind)
{
    const uint64_t next = q->next;
    const uint64_t slot = mif_place_of(q, next);
    uint32_t length;
    uint8_t *data;
    if (!read_packet(&q->cache, &q->slots[slot], q->descs, slot, &length, &data, kind))
        return false;
    set_received(buf, q, slot, length, data);
    mif_store(&q->next, next + 1);
    mif_store(&q->bytes, q->bytes + length);
    return true;
}

/* Receives up to `run` packets, of at most `count`, from adjacent slots. Stops at the first that is
 * not plain. The loop works on locals, because for the compiler every store to bufs may change q.
 */
MIF_INLINE uint32_t take_run(struct mif_queue *q, memif_buffer_t *bufs, uint32_t run,
                             uint32_t count, enum mif_kind kind)
{
    const uint64_t next = q->next;
    const uint64_t first = mif_place_of(q, next);
    const struct mif_region_cache cache = q->cache;
    const struct mif_slot *own = &q->slots[first];
    const void *descs = q->descs;
    uint64_t sum = 0;
    uint32_t i = 0;
#ifdef MIF_VEC_SLOTS
    if (count >= MIF_VEC_MIN_SLOTS)
        i = take_vectors(q, bufs, first, run, &sum, kind);
#endif
    (void)count;
    for (; i < run; i++) {
        uint32_t length;
        uint8_t *data;
        if (!read_packet(&cache, &own[i], descs, first + i, &length, &data, kind))
            break;
        set_received(&bufs[i], q, first + i, length, data);
        sum += length;
    }
    mif_store(&q->next, next + i);
    mif_store(&q->bytes, q->bytes + sum);
    return i;
}

/* Receives the packets that are known to wait, run by run, from entry *n on. */
MIF_INLINE enum mif_step take_packets(struct mif_queue *q, memif_buffer_t *bufs, uint32_t count,
                                      uint32_t *n, enum mif_kind kind)
{
    while (q->next != q->limit) {
        uint64_t waiting = q->limit - q->next;
        uint32_t room = count - *n;
        if (room == 0)
            return MIF_STEP_FULL;
        uint32_t run = mif_run(q, q->next, waiting < room ? (uint32_t)waiting : room);
        uint32_t taken = take_run(q, bufs + *n, run, run, kind);
        *n += taken;
        if (MIF_LIKELY(taken == run))
            continue;
        enum mif_step step = mif_take_other(q, bufs, count, n);
        if (step != MIF_STEP_OK)
            return step;
    }
    return MIF_STEP_OK;
}

static MIF_NO_STACK_PROTECTOR MIF_JUMP_TARGET int
rx_rest(struct mif_queue *q, uint32_t n, memif_buffer_t *bufs, uint32_t count, uint16_t *rx)
{
    enum mif_step step = take_packets(q, bufs, count, &n, (enum mif_kind)q->kind);
    return mif_rx_end(q, n, rx, step);
}

/* The rest of a receive burst that found an impossible index. */
static __attribute__((cold)) MIF_JUMP_TARGET int
rx_lost(struct mif_queue *q, uint32_t n, memif_buffer_t *bufs, uint32_t count, uint16_t *rx)
{
    if (mif_room_asked(q))
        return rx_rest(q, n, bufs, count, rx);
    return mif_rx_end(q, 0, rx, mif_step_fault(q, MIF_BAD_INDEX));
}

/* The end of a receive burst in which all is done. */
MIF_INLINE int rx_end(struct mif_queue *q, uint32_t n, uint16_t *rx)
{
    *rx = (uint16_t)n;
    return mif_end(q, MIF_LIKELY(q->next == q->limit) ? MIF_ERR_SUCCESS : MIF_ERR_NOBUF);
}

/* The receive burst of `known` packets, of at most `count`; more may wait. */
MIF_INLINE int rx_known(struct mif_queue *q, uint32_t known, memif_buffer_t *bufs, uint32_t count,
                        uint16_t *rx, enum mif_kind kind)
{
    uint32_t n = take_run(q, bufs, mif_run(q, q->next, known), known, kind);
    if (MIF_UNLIKELY(n < known)) /* the ring's end, or a packet that is not plain */
        return rx_rest(q, n, bufs, count, rx);
    return rx_end(q, n, rx);
}

/* While the program polls the peer's index is read once, or not at all when enough packets are
 * known to wait. What comes later is left to the next call. Which code receives them depends on how
 * many wait, not on how many the program has room for. */
MIF_INLINE int rx_burst(struct mif_queue *q, memif_buffer_t *bufs, uint16_t count, uint16_t *rx,
                        enum mif_kind kind, mif_burst_fn *few, mif_burst_fn *many)
{
    uint32_t known = mif_known(q, count, UINT32_MAX, kind);
    if (MIF_UNLIKELY(known == UINT32_MAX))
        return rx_lost(q, 0, bufs, count, rx);
    if (known > count)
        known = count;
    if (MIF_LIKELY(known == 1))
        return MIF_LIKELY(take_one(q, bufs, kind)) ? rx_end(q, 1, rx)
                                                   : rx_rest(q, 0, bufs, count, rx);
    if (known >= MIF_VEC_MIN_SLOTS)
        return many(q, known, bufs, count, rx);
    return known > 0 ? few(q, known, bufs, count, rx) : rx_end(q, 0, rx);
}

/* Defines an instance of rx_burst. Its parts are functions of their own, and have its arguments in
 * the same order, so that it jumps to them and saves no registers. */
#define MIF_RX_PART(name, kind, condition)                                                         \
    static MIF_JUMP_TARGET int name(struct mif_queue *q, uint32_t known, void *bufs,               \
                                    uint16_t count, uint16_t *rx)                                  \
    {                                                                                              \
        if (!(condition))                                                                          \
            __builtin_unreachable();                                                               \
        return rx_known(q, known, bufs, count, rx, kind);                                          \
    }
#define MIF_RX_INSTANCE(suffix, kind)                                                              \
    MIF_RX_PART(rx_few##suffix, kind, known < MIF_VEC_MIN_SLOTS)                                   \
    MIF_RX_PART(rx_many##suffix, kind, known >= MIF_VEC_MIN_SLOTS)                                 \
    static int rx_burst##suffix(struct mif_queue *q, uint32_t extra, void *bufs, uint16_t count,   \
                                uint16_t *rx)                                                      \
    {                                                                                              \
        (void)extra;                                                                               \
        return rx_burst(q, bufs, count, rx, kind, rx_few##suffix, rx_many##suffix);                \
    }                                                                                              \
    static MIF_NO_STACK_PROTECTOR int rx_interrupt##suffix(                                        \
        struct mif_queue *q, uint32_t extra, void *bufs, uint16_t count, uint16_t *rx)             \
    {                                                                                              \
        (void)extra;                                                                               \
        return mif_rx_interrupt(q, bufs, count, rx, take_packets, kind);                           \
    }
#define MIF_RX_INSTANCES                                                                           \
    MIF_RX_INSTANCE(_256_master, MIF_KIND_256_MASTER)                                              \
    MIF_RX_INSTANCE(_256_slave, MIF_KIND_256_SLAVE)                                                \
    MIF_RX_INSTANCE(_512_master, MIF_KIND_512_MASTER)                                              \
    MIF_RX_INSTANCE(_512_slave, MIF_KIND_512_SLAVE)

/* ---- transmit ---- */

/* Finds the buffer of a slot that is free to be filled, and notes it in `own`, the slot's record.
 * False if it is too small or, as master, does not lie in the region that was used last. */
MIF_INLINE bool read_room(const struct mif_region_cache *cache, struct mif_slot *own,
                          const void *descs, uint64_t slot, uint32_t size, struct mif_slot *room,
                          enum mif_kind kind)
{
    if (mif_kind_is_slave(kind)) {
        *room = *own;
        return MIF_LIKELY(size <= mif_slot_capacity(room));
    }
    struct mif_desc desc = mif_desc_read(descs, slot, kind);
    desc.length = mif_desc_capacity(&desc);
    if (MIF_UNLIKELY(((uint32_t)desc.head & 0xFFFF0000) != cache->head || desc.length == 0 ||
                     !mif_in_cached_region(cache, &desc, cache->size, kind)))
        return false;
    *room =
        (struct mif_slot){.data = cache->base + desc.offset, .word = desc.head & ~(uint64_t)0xFFFF};
    *own = *room;
    return MIF_LIKELY(size <= desc.length);
}

/* Reserves one slot. False as for read_room. */
MIF_INLINE bool reserve_one(struct mif_queue *q, memif_buffer_t *buf, uint32_t size,
                            enum mif_kind kind)
{
    const uint64_t next = q->next, slot = mif_place_of(q, next);
    struct mif_slot room;
    if (!read_room(&q->cache, &q->slots[slot], q->descs, slot, size, &room, kind))
        return false;
    set_reserved(buf, q, slot, mif_slot_capacity(&room), size, room.data);
    mif_store(&q->next, next + 1);
    return true;
}

/* Reserves up to `run` adjacent slots, of at most `count`. Stops at the first that read_room
 * refuses. */
MIF_INLINE uint32_t reserve_run(struct mif_queue *q, memif_buffer_t *bufs, uint32_t run,
                                uint32_t count, uint32_t size, enum mif_kind kind)
{
    const struct mif_region_cache cache = q->cache;
    const uint64_t next = q->next;
    const uint64_t first = mif_place_of(q, next);
    struct mif_slot *own = &q->slots[first];
    const void *descs = q->descs;
    uint32_t i = 0;
#ifdef MIF_VEC_SLOTS
    if (count >= MIF_VEC_MIN_SLOTS)
        i = mif_kind_is_slave(kind) ? reserve_own(q, bufs, first, run, size)
                                    : reserve_posted(q, bufs, first, run, size, kind);
#endif
    (void)count;
    for (; i < run; i++) {
        struct mif_slot room;
        if (!read_room(&cache, &own[i], descs, first + i, size, &room, kind))
            break;
        set_reserved(&bufs[i], q, first + i, mif_slot_capacity(&room), size, room.data);
    }
    mif_store(&q->next, next + i);
    return i;
}

/* The rest of a burst of which n packets, of one entry each, are reserved. */
static MIF_NO_STACK_PROTECTOR MIF_JUMP_TARGET int alloc_rest(struct mif_queue *q, uint32_t size,
                                                             memif_buffer_t *bufs, uint32_t count,
                                                             uint16_t *allocated, uint32_t n)
{
    enum mif_kind kind = (enum mif_kind)q->kind;
    enum mif_step step = MIF_STEP_OK;
    const uint64_t start = q->next - n;
    uint32_t entries = n;
    while (n < count && step == MIF_STEP_OK) {
        uint64_t known = q->limit - q->next;
        uint32_t wanted = count - n;
        uint32_t run = mif_run(q, q->next, known < wanted ? (uint32_t)known : wanted);
        uint32_t taken = reserve_run(q, bufs + entries, run, run, size, kind);
        n += taken;
        entries += taken;
        if (taken == run && run > 0)
            continue;
        uint32_t more = 0; /* mif_reserve_other also reads the peer's index */
        step = mif_reserve_other(q, bufs + entries, size, &more);
        n++;
        entries += more;
    }
    /* There is no room: give up the entries that were refused, and begin this burst again. */
    if (step == MIF_STEP_WAIT && mif_unreserve_refused(q, start))
        return alloc_rest(q, size, bufs, count, allocated, 0);
    *allocated = (uint16_t)entries;
    if (step == MIF_STEP_WAIT)
        mif_store(&q->full, q->full + 1);
    return mif_end(
        q, mif_step_error(step, step == MIF_STEP_WAIT ? MIF_ERR_NOBUF_RING : MIF_ERR_SUCCESS));
}

MIF_INLINE int alloc_burst(struct mif_queue *q, uint32_t size, memif_buffer_t *bufs, uint32_t count,
                           uint16_t *allocated, enum mif_kind kind)
{
    uint32_t n = 0;
    if (MIF_UNLIKELY(count > mif_known(q, count, 0, kind))) /* it reports a wrong index */
        return alloc_rest(q, size, bufs, count, allocated, 0);
    if (count == 1) {
        if (MIF_UNLIKELY(!reserve_one(q, bufs, size, kind)))
            return alloc_rest(q, size, bufs, 1, allocated, 0);
        *allocated = 1;
        return mif_end(q, MIF_ERR_SUCCESS);
    }
    if (MIF_LIKELY(mif_run(q, q->next, count) == count)) {
        n = reserve_run(q, bufs, count, count, size, kind);
        if (MIF_LIKELY(n == count)) {
            *allocated = (uint16_t)count;
            return mif_end(q, MIF_ERR_SUCCESS);
        }
    }
    return alloc_rest(q, size, bufs, count, allocated, n);
}

/* Fills adjacent slots with entries, as long as these are the oldest reserved ones in order. Stops
 * at the first that is not, or is not plain. */
MIF_INLINE uint32_t fill_run(struct mif_queue *q, const memif_buffer_t *bufs, uint32_t run,
                             uint32_t count, enum mif_kind kind)
{
    const uint64_t done = q->done;
    const uint64_t first = mif_place_of(q, done);
    const struct mif_slot *own = &q->slots[first];
    void *descs = q->descs;
    uint64_t sum = 0;
    uint32_t i = 0;
#ifdef MIF_VEC_SLOTS
    if (count >= MIF_VEC_MIN_SLOTS)
        i = fill_vectors(q, bufs, first, run, &sum, kind);
#endif
    (void)count;
    for (; i < run; i++) {
        uint32_t length;
        if (MIF_UNLIKELY(!is_plain(&bufs[i], q, first + i, &own[i], &length, kind)))
            break;
        mif_desc_fill(descs, first + i, &own[i], 0, length, kind);
        sum += length;
    }
    mif_store(&q->done, done + i);
    mif_store(&q->bytes, q->bytes + sum);
    return i;
}

/* A hash that tells the entries of a burst from those of another; never 0. */
static uint64_t burst_hash(const memif_buffer_t *bufs, uint32_t count)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < count; i++)
        hash = entry_hash(&bufs[i], hash);
    return hash | 1;
}

/* The rest of a burst of which n entries are filled. It ends at an entry that cannot be sent. But
 * if the same burst has ended there before, it skips what it cannot send: a program that sends the
 * remaining entries in a loop until none are left must come to an end. */
static MIF_NO_STACK_PROTECTOR MIF_JUMP_TARGET int
tx_rest(struct mif_queue *q, uint32_t n, const memif_buffer_t *bufs, uint32_t count, uint16_t *tx)
{
    enum mif_kind kind = (enum mif_kind)q->kind;
    int err = MIF_ERR_SUCCESS;
    uint64_t hash = 0;
    bool again = false;
    while (n < count) {
        uint64_t held = q->chains > 0 ? 0 : q->next - q->done;
        uint32_t left = count - n;
        uint32_t run = mif_run(q, q->done, held < left ? (uint32_t)held : left);
        uint32_t filled = fill_run(q, bufs + n, run, run, kind);
        n += filled;
        if (filled == run && run > 0)
            continue;
        filled = mif_fill_other(q, bufs + n, left - filled, &err);
        if (filled == 0 && err == MIF_ERR_SUCCESS) {
            mif_wait_for_end(q);
            break;
        }
        if (filled == 0) {
            mif_store(&q->refused, q->refused + 1);
            hash = hash > 0 ? hash : burst_hash(bufs, count);
            again = mif_refuse(q, hash) || again;
            if (!again)
                break;
            filled = packet_entries(bufs + n, count - n);
            err = MIF_ERR_SUCCESS;
        }
        n += filled;
    }
    *tx = (uint16_t)n;
    if (n > 0) {
        mif_publish(q, false, kind);
        if (!mif_receiver_polls(q) && !mif_wake(q))
            err = MIF_ERR_INT_WRITE;
    }
    return mif_end(q, err);
}

MIF_INLINE int tx_one(struct mif_queue *q, memif_buffer_t *buf, uint16_t *tx, enum mif_kind kind)
{
    const uint64_t done = q->done, slot = mif_place_of(q, done);
    const struct mif_slot *own = &q->slots[slot];
    uint32_t length;
    if (MIF_UNLIKELY(q->chains > 0 || q->next == done ||
                     !is_plain(buf, q, slot, own, &length, kind)))
        return tx_rest(q, 0, buf, 1, tx);
    mif_desc_fill(q->descs, slot, own, 0, length, kind);
    mif_store(&q->done, done + 1);
    mif_store(&q->bytes, q->bytes + length);
    mif_publish_done(q, done + 1, false, kind);
    *tx = 1;
    return mif_tx_end(q);
}

MIF_INLINE int tx_burst(struct mif_queue *q, uint32_t extra, memif_buffer_t *bufs, uint32_t count,
                        uint16_t *tx, enum mif_kind kind)
{
    (void)extra;
    if (count == 1)
        return tx_one(q, bufs, tx, kind);
    if (MIF_UNLIKELY(q->chains > 0 || count == 0 || count > q->next - q->done ||
                     mif_run(q, q->done, count) != count))
        return tx_rest(q, 0, bufs, count, tx);
    uint32_t n = fill_run(q, bufs, count, count, kind);
    if (MIF_UNLIKELY(n != count))
        return tx_rest(q, n, bufs, count, tx);
    *tx = (uint16_t)n;
    mif_publish(q, false, kind);
    return mif_tx_end(q);
}

#endif
