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
#define MIF_VEC_MIN_SLOTS 8

/* A mask of the length bits from 2^n on, the largest power of two up to `most` + 1. A shorter
 * length has none of them, which the check of flags and region finds at no extra cost. Longer ones,
 * up to `most`, are received one by one. */
MIF_INLINE uint64_t mif_length_bits_above(uint32_t most)
{
    return ~(uint64_t)0 << (63 - __builtin_clzll((uint64_t)most + 1));
}

/* ---- receive ---- */

#ifdef MIF_VEC_SLOTS
MIF_INLINE uint32_t take_vectors(struct mif_queue *q, memif_buffer_t *bufs, uint32_t first,
                                 uint32_t run, uint64_t *bytes, enum mif_kind kind)
{
    const bool is_slave = mif_kind_is_slave(kind);
    const struct mif_region_cache cache = q->cache;
    const struct mif_buffer_array array = q->buffers;
    if (is_slave && MIF_UNLIKELY(array.data == NULL))
        return 0;
    const mif_vec plain = mif_vec_all(is_slave ? 0 : (uint64_t)cache.index << 16);
    const mif_vec checked =
        mif_vec_all(is_slave ? 0xFFFF : 0xFFFFFFFF | mif_length_bits_above(cache.max_packet) << 32);
    const mif_vec most = mif_vec_all(is_slave ? array.word >> 32 : cache.size);
    const mif_vec base = mif_vec_all((uintptr_t)cache.base);
    const mif_vec stride = mif_vec_all((uint64_t)MIF_VEC_SLOTS * array.stride);
    mif_vec data =
        mif_vec_series((uintptr_t)array.data + (uint64_t)first * array.stride, array.stride);
    mif_vec slots = mif_vec_series(first, 1), sum = mif_vec_all(0);
    const struct mif_desc_512 *from = (const struct mif_desc_512 *)q->descs + first;
    const struct mif_desc_512 *const start = from, *const end = from + mif_vec_slots(run);
    for (; from != end; from += MIF_VEC_SLOTS, bufs += MIF_VEC_SLOTS) {
        struct mif_vec_pair desc = mif_vec_read(from);
        mif_vec length = mif_vec_high(desc.head), offset = mif_vec_low(desc.tail);
        mif_vec reach = is_slave ? length : mif_vec_add(offset, length);
        if (MIF_UNLIKELY(mif_vec_any(mif_vec_or(mif_vec_differ(desc.head, plain, checked),
                                                mif_vec_greater(reach, most)))))
            break;
        set_received_vectors(bufs, q, slots, length, is_slave ? data : mif_vec_add(base, offset));
        sum = mif_vec_add(sum, length);
        slots = mif_vec_add(slots, mif_vec_all(MIF_VEC_SLOTS));
        data = mif_vec_add(data, stride);
    }
    *bytes = mif_vec_sum(sum);
    return (uint32_t)(from - start);
}
#endif

/* Receives up to `run` packets, of at most `count`, from adjacent slots. Stops at the first that is
 * not plain: one slot, in the region that was used last. The loop works on locals, because for the
 * compiler every store to bufs may change q. */
MIF_INLINE uint32_t take_run(struct mif_queue *q, memif_buffer_t *bufs, uint32_t run,
                             uint32_t count, enum mif_kind kind)
{
    const uint32_t first = mif_slot_of(q, q->next);
    const struct mif_region_cache cache = q->cache;
    const uint32_t plain = mif_kind_is_slave(kind) ? 0 : (uint32_t)cache.index << 16;
    const uint32_t checked = mif_kind_is_slave(kind) ? 0xFFFF : 0xFFFFFFFF;
    const struct mif_slot *own = &q->slots[first];
    const void *descs = q->descs;
    uint64_t sum = 0;
    uint32_t i = 0;
#ifdef MIF_VEC_SLOTS
    if (!mif_kind_is_256(kind) && count >= MIF_VEC_MIN_SLOTS)
        i = take_vectors(q, bufs, first, run, &sum, kind);
#endif
    (void)count;
    for (; i < run; i++) {
        struct mif_desc desc = mif_desc_read(descs, first + i, kind);
        if (kind == MIF_KIND_512_MASTER) {
            /* The result is the length. If flags or region differ it is larger than any length. */
            uint64_t length = (desc.head << 32 | desc.head >> 32) - ((uint64_t)plain << 32);
            if (MIF_UNLIKELY(length > cache.max_packet))
                break;
            desc.length = (uint32_t)length;
        } else if (MIF_UNLIKELY(((uint32_t)desc.head & checked) != plain)) {
            break;
        }
        uint8_t *data;
        if (mif_kind_is_slave(kind)) {
            uint32_t headroom = mif_slot_headroom(&own[i]);
            if (MIF_UNLIKELY(desc.length > mif_slot_capacity(&own[i]) - headroom))
                break;
            data = own[i].data + headroom;
        } else {
            if (MIF_UNLIKELY(!mif_in_cached_region(&cache, &desc, cache.max_packet, kind)))
                break;
            data = cache.base + desc.offset;
        }
        set_received(&bufs[i], q, first + i, desc.length, data);
        sum += desc.length;
    }
    mif_store(&q->next, q->next + i);
    mif_store(&q->bytes, q->bytes + sum);
    return i;
}

/* Receives the packets that are known to wait, run by run, from entry *n on. */
static enum mif_step take_packets(struct mif_queue *q, memif_buffer_t *bufs, uint32_t count,
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

static MIF_NO_STACK_PROTECTOR __attribute__((noinline)) int
rx_rest(struct mif_queue *q, memif_buffer_t *bufs, uint32_t count, uint16_t *rx, uint32_t n)
{
    enum mif_step step = take_packets(q, bufs, count, &n, (enum mif_kind)q->kind);
    return mif_rx_end(q, n, rx, step);
}

/* One instance for all kinds: its cost is small beside the system call. */
static MIF_NO_STACK_PROTECTOR int rx_interrupt(struct mif_queue *q, uint32_t extra, void *bufs,
                                               uint32_t count, uint16_t *rx)
{
    (void)extra;
    return mif_rx_interrupt(q, bufs, count, rx, take_packets, (enum mif_kind)q->kind);
}

/* The rest of a receive burst that found an impossible index. */
static __attribute__((cold, noinline)) int rx_lost(struct mif_queue *q, memif_buffer_t *bufs,
                                                   uint32_t count, uint16_t *rx)
{
    if (mif_room_asked(q))
        return rx_rest(q, bufs, count, rx, 0);
    return mif_rx_end(q, 0, rx, mif_step_fault(q, MIF_BAD_INDEX));
}

/* While the program polls the peer's index is read once, or not at all when enough packets are
 * known to wait. What comes later is left to the next call. */
MIF_INLINE int rx_burst(struct mif_queue *q, uint32_t extra, memif_buffer_t *bufs, uint32_t count,
                        uint16_t *rx, enum mif_kind kind)
{
    (void)extra;
    if (MIF_LIKELY(q->limit - q->next < count) && MIF_UNLIKELY(!mif_refresh(q, kind)))
        return rx_lost(q, bufs, count, rx);
    uint64_t waiting = q->limit - q->next;
    uint32_t known = waiting < count ? (uint32_t)waiting : count;
    uint32_t n = take_run(q, bufs, count == 1 ? known : mif_run(q, q->next, known), count, kind);
    if (MIF_UNLIKELY(n < known)) /* the ring's end, or a packet that is not plain */
        return rx_rest(q, bufs, count, rx, n);
    *rx = (uint16_t)n;
    return mif_end(q, MIF_LIKELY(n == waiting) ? MIF_ERR_SUCCESS : MIF_ERR_NOBUF);
}

/* ---- transmit ---- */

#ifdef MIF_VEC_SLOTS
/* As master: what the peer has posted. */
MIF_INLINE uint32_t reserve_posted(struct mif_queue *q, memif_buffer_t *bufs, uint32_t first,
                                   uint32_t run, uint32_t size)
{
    const struct mif_region_cache cache = q->cache;
    const mif_vec region = mif_vec_all((uint64_t)cache.index << 16);
    const mif_vec checked = mif_vec_all(0xFFFF0000);
    const mif_vec least = mif_vec_all(size > 0 ? size : 1), most = mif_vec_all(cache.size);
    const mif_vec base = mif_vec_all((uintptr_t)cache.base);
    mif_vec slots = mif_vec_series(first, 1);
    const struct mif_desc_512 *from = (const struct mif_desc_512 *)q->descs + first;
    const struct mif_desc_512 *const start = from, *const end = from + mif_vec_slots(run);
    struct mif_slot *own = &q->slots[first];
    for (; from != end; from += MIF_VEC_SLOTS, own += MIF_VEC_SLOTS, bufs += MIF_VEC_SLOTS) {
        struct mif_vec_pair desc = mif_vec_read(from);
        mif_vec capacity = mif_vec_high(desc.head), offset = mif_vec_low(desc.tail);
        mif_vec bad = mif_vec_or(mif_vec_greater(least, capacity),
                                 mif_vec_greater(mif_vec_add(offset, capacity), most));
        if (MIF_UNLIKELY(mif_vec_any(mif_vec_or(bad, mif_vec_differ(desc.head, region, checked)))))
            break;
        mif_vec data = mif_vec_add(base, offset);
        mif_vec_write(own, data, mif_vec_join(region, capacity));
        set_reserved_vectors(bufs, q, slots, capacity, size, data);
        slots = mif_vec_add(slots, mif_vec_all(MIF_VEC_SLOTS));
    }
    return (uint32_t)(from - start);
}
#endif

/* Reserves up to `run` adjacent slots, of at most `count`. Stops at the first whose buffer is too
 * small or, as master, does not lie in the region that was used last. */
MIF_INLINE uint32_t reserve_run(struct mif_queue *q, memif_buffer_t *bufs, uint32_t run,
                                uint32_t count, uint32_t size, enum mif_kind kind)
{
    const struct mif_region_cache cache = q->cache;
    const uint32_t first = mif_slot_of(q, q->next);
    struct mif_slot *own = &q->slots[first];
    const void *descs = q->descs;
    uint32_t i = 0;
#ifdef MIF_VEC_SLOTS
    if (!mif_kind_is_256(kind) && count >= MIF_VEC_MIN_SLOTS)
        i = mif_kind_is_slave(kind) ? reserve_own(q, bufs, first, run, size)
                                    : reserve_posted(q, bufs, first, run, size);
#endif
    (void)count;
    for (; i < run; i++) {
        if (!mif_kind_is_slave(kind)) {
            struct mif_desc desc = mif_desc_read(descs, first + i, kind);
            desc.length = mif_desc_capacity(&desc);
            if (MIF_UNLIKELY((uint16_t)(desc.head >> 16) != cache.index || desc.length == 0 ||
                             !mif_in_cached_region(&cache, &desc, cache.size, kind)))
                break;
            own[i] = (struct mif_slot){.data = cache.base + desc.offset,
                                       .word = desc.head & ~(uint64_t)0xFFFF};
        }
        if (MIF_UNLIKELY(size > mif_slot_capacity(&own[i])))
            break;
        set_reserved(&bufs[i], q, first + i, mif_slot_capacity(&own[i]), size, own[i].data);
    }
    mif_store(&q->next, q->next + i);
    return i;
}

/* The rest of a burst of which n packets, of one entry each, are reserved. */
static MIF_NO_STACK_PROTECTOR __attribute__((noinline)) int
alloc_rest(struct mif_queue *q, uint32_t size, memif_buffer_t *bufs, uint32_t count,
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
    if (MIF_UNLIKELY(count > q->limit - q->next))
        (void)mif_refresh(q, kind); /* alloc_rest reports a wrong index */
    if (MIF_LIKELY(count <= q->limit - q->next &&
                   (count == 1 || mif_run(q, q->next, count) == count))) {
        n = reserve_run(q, bufs, count, count, size, kind);
        if (MIF_LIKELY(n == count)) {
            *allocated = (uint16_t)count;
            return mif_end(q, MIF_ERR_SUCCESS);
        }
    }
    return alloc_rest(q, size, bufs, count, allocated, n);
}

#ifdef MIF_VEC_SLOTS
MIF_INLINE uint32_t fill_vectors(struct mif_queue *q, const memif_buffer_t *bufs, uint32_t first,
                                 uint32_t run, uint64_t *bytes, enum mif_kind kind)
{
    const bool is_slave = mif_kind_is_slave(kind);
    const struct mif_buffer_array array = q->buffers;
    if (is_slave && MIF_UNLIKELY(array.data == NULL))
        return 0;
    const mif_vec stride = mif_vec_all((uint64_t)MIF_VEC_SLOTS * array.stride);
    mif_vec data =
        mif_vec_series((uintptr_t)array.data + (uint64_t)first * array.stride, array.stride);
    mif_vec offset = mif_vec_series(array.offset + (uint64_t)first * array.stride, array.stride);
    mif_vec slots = mif_vec_series(first, 1), sum = mif_vec_all(0);
    mif_vec word = mif_vec_all(array.word);
    struct mif_desc_512 *to = (struct mif_desc_512 *)q->descs + first;
    struct mif_desc_512 *const start = to, *const end = to + mif_vec_slots(run);
    const struct mif_slot *own = &q->slots[first];
    for (; to != end; to += MIF_VEC_SLOTS, own += MIF_VEC_SLOTS, bufs += MIF_VEC_SLOTS) {
        if (!is_slave) {
            struct mif_vec_pair slot = mif_vec_read(own);
            data = slot.head;
            word = slot.tail;
        }
        mif_vec length;
        mif_vec bad = get_plain_vectors(bufs, q, slots, data, &length);
        if (MIF_UNLIKELY(mif_vec_any(mif_vec_or(bad, mif_vec_greater(length, mif_vec_high(word))))))
            break;
        if (is_slave)
            mif_vec_write(to, mif_vec_join(word, length), offset);
        else
            mif_vec_write_heads(to, mif_vec_join(word, length));
        sum = mif_vec_add(sum, length);
        slots = mif_vec_add(slots, mif_vec_all(MIF_VEC_SLOTS));
        offset = mif_vec_add(offset, stride);
        if (is_slave)
            data = mif_vec_add(data, stride);
    }
    *bytes = mif_vec_sum(sum);
    return (uint32_t)(to - start);
}
#endif

/* Fills adjacent slots with entries, as long as these are the oldest reserved ones in order. Stops
 * at the first that is not, or is not plain. */
MIF_INLINE uint32_t fill_run(struct mif_queue *q, const memif_buffer_t *bufs, uint32_t run,
                             uint32_t count, enum mif_kind kind)
{
    const uint32_t first = mif_slot_of(q, q->done);
    const struct mif_slot *own = &q->slots[first];
    void *descs = q->descs;
    uint64_t sum = 0;
    uint32_t i = 0;
#ifdef MIF_VEC_SLOTS
    if (!mif_kind_is_256(kind) && count >= MIF_VEC_MIN_SLOTS)
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
    mif_store(&q->done, q->done + i);
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
static MIF_NO_STACK_PROTECTOR __attribute__((noinline)) int
tx_rest(struct mif_queue *q, const memif_buffer_t *bufs, uint32_t count, uint16_t *tx, uint32_t n)
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

MIF_INLINE int tx_burst(struct mif_queue *q, uint32_t extra, memif_buffer_t *bufs, uint32_t count,
                        uint16_t *tx, enum mif_kind kind)
{
    (void)extra;
    if (MIF_UNLIKELY(q->chains > 0 || count == 0 || count > q->next - q->done ||
                     (count != 1 && mif_run(q, q->done, count) != count)))
        return tx_rest(q, bufs, count, tx, 0);
    uint32_t n = fill_run(q, bufs, count, count, kind);
    if (MIF_UNLIKELY(n != count))
        return tx_rest(q, bufs, count, tx, n);
    *tx = (uint16_t)n;
    return mif_tx_end(q, kind);
}

#endif
