/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of fast_path.h that handles four slots at a time. Each function stops at the first four
 * that are not all plain, and returns how many slots it has handled.
 */
#ifndef MIF_FAST_PATH_VECTORS_H
#define MIF_FAST_PATH_VECTORS_H

/* Adjacent descriptors: where the vectors are, where they end, bytes of one vector. */
struct vectors {
    uint8_t *at;
    uint8_t *end;
    size_t step;
};

MIF_INLINE struct vectors vectors_at(const struct mif_queue *q, uint64_t first, uint32_t run,
                                     enum mif_kind kind)
{
    const size_t size =
        mif_kind_is_256(kind) ? sizeof(struct mif_desc_256) : sizeof(struct mif_desc_512);
    uint8_t *at = (uint8_t *)q->descs + first * size;
    return (struct vectors){at, at + mif_vec_slots(run) * size, MIF_VEC_SLOTS * size};
}

/* How many slots lie before the vector at `at`. */
MIF_INLINE uint32_t vectors_done(const struct vectors *all, const uint8_t *start)
{
    return (uint32_t)((size_t)(all->at - start) / (all->step / MIF_VEC_SLOTS));
}

/* Not zero where a word has more than 32 bits, so that a sum with it might overflow. */
MIF_INLINE mif_vec mif_vec_wide(mif_vec words)
{
    return mif_vec_high(words);
}

/* ---- receive ---- */

/* A mask of the length bits from 2^n on, the largest power of two up to `most` + 1. A shorter
 * length has none of them, which the check of flags and region finds at no extra cost. Longer ones,
 * up to `most`, are received one by one. */
MIF_INLINE uint64_t mif_length_bits_above(uint32_t most)
{
    return ~(uint64_t)0 << (63 - __builtin_clzll((uint64_t)most + 1));
}

MIF_INLINE uint32_t take_vectors(struct mif_queue *q, memif_buffer_t *bufs, uint64_t first,
                                 uint32_t run, uint64_t *bytes, enum mif_kind kind)
{
    const bool is_slave = mif_kind_is_slave(kind);
    const struct mif_region_cache cache = q->cache;
    const struct mif_buffer_array array = q->buffers;
    if (is_slave && MIF_UNLIKELY(array.data == NULL))
        return 0;
    const bool is_256 = mif_kind_is_256(kind);
    const mif_vec plain = mif_vec_all(is_slave ? 0 : cache.head);
    const mif_vec checked = mif_vec_all(
        is_slave ? 0xFFFF
                 : 0xFFFFFFFF | (is_256 ? 0 : mif_length_bits_above(cache.max_packet) << 32));
    const mif_vec longest = mif_vec_all(cache.max_packet);
    const mif_vec most = mif_vec_all(is_slave ? array.word >> 32 : cache.size);
    const mif_vec base = mif_vec_all((uintptr_t)cache.base);
    const mif_vec stride = mif_vec_all((uint64_t)MIF_VEC_SLOTS * array.stride);
    mif_vec data =
        mif_vec_series((uintptr_t)array.data + (uint64_t)first * array.stride, array.stride);
    mif_vec slots = mif_vec_series(first, 1), sum = mif_vec_all(0);
    struct vectors descs = vectors_at(q, first, run, kind);
    const uint8_t *const start = descs.at;
    for (; descs.at != descs.end; descs.at += descs.step, bufs += MIF_VEC_SLOTS) {
        struct mif_vec_desc desc = mif_vec_read_descs(descs.at, is_256);
        mif_vec length = desc.length, offset = desc.offset;
        mif_vec reach = is_slave ? length : mif_vec_add(offset, length);
        mif_vec bad =
            mif_vec_or(mif_vec_differ(desc.head, plain, checked), mif_vec_greater(reach, most));
        if (kind == MIF_KIND_256_MASTER)
            bad =
                mif_vec_or(bad, mif_vec_or(mif_vec_wide(offset), mif_vec_greater(length, longest)));
        if (MIF_UNLIKELY(mif_vec_any(bad)))
            break;
        set_received_vectors(bufs, q, slots, length, is_slave ? data : mif_vec_add(base, offset));
        sum = mif_vec_add(sum, length);
        slots = mif_vec_add(slots, mif_vec_all(MIF_VEC_SLOTS));
        data = mif_vec_add(data, stride);
    }
    *bytes = mif_vec_sum(sum);
    return vectors_done(&descs, start);
}

/* ---- transmit ---- */

/* As master: what the peer has posted. */
MIF_INLINE uint32_t reserve_posted(struct mif_queue *q, memif_buffer_t *bufs, uint64_t first,
                                   uint32_t run, uint32_t size, enum mif_kind kind)
{
    const struct mif_region_cache cache = q->cache;
    const mif_vec region = mif_vec_all(cache.head);
    const mif_vec checked = mif_vec_all(0xFFFF0000);
    const mif_vec least = mif_vec_all(size > 0 ? size : 1), most = mif_vec_all(cache.size);
    const mif_vec base = mif_vec_all((uintptr_t)cache.base);
    mif_vec slots = mif_vec_series(first, 1);
    struct mif_slot *own = &q->slots[first];
    struct vectors descs = vectors_at(q, first, run, kind);
    const uint8_t *const start = descs.at;
    for (; descs.at != descs.end;
         descs.at += descs.step, own += MIF_VEC_SLOTS, bufs += MIF_VEC_SLOTS) {
        struct mif_vec_desc desc = mif_vec_read_descs(descs.at, mif_kind_is_256(kind));
        mif_vec capacity = mif_vec_high(desc.head), offset = desc.offset;
        mif_vec bad = mif_vec_or(mif_vec_greater(least, capacity),
                                 mif_vec_greater(mif_vec_add(offset, capacity), most));
        if (mif_kind_is_256(kind))
            bad = mif_vec_or(bad, mif_vec_wide(offset));
        if (MIF_UNLIKELY(mif_vec_any(mif_vec_or(bad, mif_vec_differ(desc.head, region, checked)))))
            break;
        mif_vec data = mif_vec_add(base, offset);
        mif_vec_write(own, data, mif_vec_join(region, capacity));
        set_reserved_vectors(bufs, q, slots, capacity, size, data);
        slots = mif_vec_add(slots, mif_vec_all(MIF_VEC_SLOTS));
    }
    return vectors_done(&descs, start);
}

MIF_INLINE uint32_t fill_vectors(struct mif_queue *q, const memif_buffer_t *bufs, uint64_t first,
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
    const struct mif_slot *own = &q->slots[first];
    struct vectors descs = vectors_at(q, first, run, kind);
    const uint8_t *const start = descs.at;
    for (; descs.at != descs.end;
         descs.at += descs.step, own += MIF_VEC_SLOTS, bufs += MIF_VEC_SLOTS) {
        if (!is_slave) {
            struct mif_vec_pair slot = mif_vec_read(own);
            data = slot.head;
            word = slot.tail;
        }
        mif_vec length;
        mif_vec bad = get_plain_vectors(bufs, q, slots, data, &length);
        if (MIF_UNLIKELY(mif_vec_any(mif_vec_or(bad, mif_vec_greater(length, mif_vec_high(word))))))
            break;
        if (mif_kind_is_256(kind))
            mif_vec_write_two_of_four(descs.at, word, length);
        else if (is_slave)
            mif_vec_write(descs.at, mif_vec_join(word, length), offset);
        else
            mif_vec_write_heads(descs.at, mif_vec_join(word, length));
        sum = mif_vec_add(sum, length);
        slots = mif_vec_add(slots, mif_vec_all(MIF_VEC_SLOTS));
        offset = mif_vec_add(offset, stride);
        if (is_slave)
            data = mif_vec_add(data, stride);
    }
    *bytes = mif_vec_sum(sum);
    return vectors_done(&descs, start);
}

#endif
