/* SPDX-License-Identifier: Apache-2.0 */
/* The packet face's part of the fast paths (fast_path.h): the layout of an entry, and
 * memif_buffer_free. Defines MIF_FACE_CALLS, the table of the instances. */
#include "datapath/packet.h"

/* An entry in 64-bit words: index:16 unused:16 capacity:32 | length:32 unused:32 | data. */
_Static_assert(sizeof(memif_buffer_t) == 3 * sizeof(mif_word) &&
                   offsetof(memif_buffer_t, buffer_len) == 4 &&
                   offsetof(memif_buffer_t, data_len) == 8 && offsetof(memif_buffer_t, data) == 16,
               "entry layout");

/* Writes whole words, because the store buffer limits the number of stores, not bytes. */
MIF_INLINE void set_entry(memif_buffer_t *buf, uint32_t slot, uint32_t capacity, uint32_t length,
                          uint8_t *data)
{
    mif_word *words = (mif_word *)buf;
    words[0] = slot | (uint64_t)capacity << 32;
    words[1] = length;
    words[2] = (uintptr_t)data;
}

MIF_INLINE void set_received(memif_buffer_t *buf, struct mif_queue *q, uint32_t slot,
                             uint32_t length, uint8_t *data)
{
    (void)q;
    set_entry(buf, slot, length, length, data);
}

MIF_INLINE void set_reserved(memif_buffer_t *buf, struct mif_queue *q, uint32_t slot,
                             uint32_t capacity, uint32_t size, uint8_t *data)
{
    (void)q;
    (void)size;
    set_entry(buf, slot, capacity, 0, data);
}

MIF_INLINE bool is_plain(const memif_buffer_t *buf, struct mif_queue *q, uint32_t slot,
                         const struct mif_slot *own, uint32_t *length, enum mif_kind kind)
{
    (void)q;
    (void)kind;
    *length = buf->data_len;
    return MIF_LIKELY(buf->desc_index == slot && *length <= mif_slot_capacity(own));
}

MIF_INLINE uint64_t entry_hash(const memif_buffer_t *buf, uint64_t hash)
{
    hash = mif_hash_step(hash, (uintptr_t)buf->data);
    return mif_hash_step(hash, buf->desc_index | (uint64_t)buf->data_len << 32);
}

MIF_INLINE uint32_t packet_entries(const memif_buffer_t *bufs, uint32_t count)
{
    (void)bufs;
    (void)count;
    return 1;
}

#ifdef MIF_VEC_SLOTS
/* Writes four entries of 24 bytes. All but the last are stores of 32 bytes, whose last 8 bytes the
 * next store overwrites. */
MIF_INLINE void put_entries(memif_buffer_t *bufs, __m256i e0, __m256i e1, __m256i e2, __m256i e3)
{
    mif_vec_store(&bufs[0], e0);
    mif_vec_store(&bufs[1], e1);
    mif_vec_store(&bufs[2], e2);
    _mm_storeu_si128((__m128i *)(void *)&bufs[3], _mm256_castsi256_si128(e3));
    _mm_storel_epi64((__m128i *)(void *)&bufs[3].data, _mm256_extracti128_si256(e3, 1));
}

MIF_INLINE void set_vectors(memif_buffer_t *bufs, __m256i slots, __m256i capacity, __m256i length,
                            __m256i data)
{
    __m256i heads = mif_vec_join(slots, capacity);
    __m256i low = _mm256_unpacklo_epi64(heads, length);
    __m256i low_data = _mm256_unpacklo_epi64(data, data);
    __m256i high = _mm256_unpackhi_epi64(heads, length);
    __m256i high_data = _mm256_unpackhi_epi64(data, data);
    put_entries(bufs, _mm256_permute2x128_si256(low, low_data, 0x20),
                _mm256_permute2x128_si256(low, low_data, 0x31),
                _mm256_permute2x128_si256(high, high_data, 0x20),
                _mm256_permute2x128_si256(high, high_data, 0x31));
}

MIF_INLINE void set_received_vectors(memif_buffer_t *bufs, struct mif_queue *q, __m256i slots,
                                     __m256i length, __m256i data)
{
    (void)q;
    set_vectors(bufs, slots, length, length, data);
}

MIF_INLINE void set_reserved_vectors(memif_buffer_t *bufs, struct mif_queue *q, __m256i slots,
                                     __m256i capacity, uint32_t size, __m256i data)
{
    (void)q;
    (void)size;
    set_vectors(bufs, slots, capacity, mif_vec_all(0), data);
}

/* For a slave whose buffers form an array: each entry differs from the one before by the same step.
 */
MIF_INLINE uint32_t reserve_own(struct mif_queue *q, memif_buffer_t *bufs, uint32_t first,
                                uint32_t run, uint32_t size)
{
    const struct mif_buffer_array array = q->buffers;
    if (MIF_UNLIKELY(array.data == NULL || size > array.word >> 32))
        return 0;
    const uint64_t head = first | (array.word & 0xFFFFFFFF00000000);
    const uint64_t data = (uintptr_t)array.data + (uint64_t)first * array.stride;
    const __m256i next = _mm256_set_epi64x(0, array.stride, 0, 1);
    const __m256i step = _mm256_slli_epi64(next, 2);
    __m256i e0 = _mm256_set_epi64x(0, (long long)data, 0, (long long)head);
    __m256i e1 = mif_vec_add(e0, next), e2 = mif_vec_add(e1, next);
    __m256i e3 = mif_vec_add(e2, next);
    for (memif_buffer_t *const end = bufs + mif_vec_slots(run); bufs != end;
         bufs += MIF_VEC_SLOTS) {
        put_entries(bufs, e0, e1, e2, e3);
        e0 = mif_vec_add(e0, step);
        e1 = mif_vec_add(e1, step);
        e2 = mif_vec_add(e2, step);
        e3 = mif_vec_add(e3, step);
    }
    return mif_vec_slots(run);
}

/* Loads the first two words of two entries. */
MIF_INLINE __m256i get_two(const memif_buffer_t *bufs)
{
    return _mm256_loadu2_m128i((const __m128i *)(const void *)&bufs[1],
                               (const __m128i *)(const void *)&bufs[0]);
}

/* Not zero in each element whose entry is not the one of its slot. */
MIF_INLINE __m256i misplaced(__m256i heads, __m256i slots)
{
    return mif_vec_differ(heads, slots, mif_vec_all(0xFFFF));
}

MIF_INLINE __m256i get_plain_vectors(const memif_buffer_t *bufs, const struct mif_queue *q,
                                     __m256i slots, __m256i data, __m256i *length)
{
    __m256i low = get_two(bufs), high = get_two(bufs + 2);
    (void)q;
    (void)data;
    *length = mif_vec_low(_mm256_unpackhi_epi64(low, high));
    return misplaced(_mm256_unpacklo_epi64(low, high), slots);
}
#endif

#include "datapath/fast_path.h"

/* ---- giving back ---- */

#ifdef MIF_VEC_SLOTS
MIF_INLINE uint32_t forget_vectors(memif_buffer_t *bufs, uint32_t first, uint32_t count)
{
    __m256i slots = mif_vec_series(first, 1);
    memif_buffer_t *at = bufs, *const end = bufs + mif_vec_slots(count);
    for (; at != end; at += MIF_VEC_SLOTS) {
        __m256i heads = _mm256_unpacklo_epi64(get_two(at), get_two(at + 2));
        if (MIF_UNLIKELY(mif_vec_any(misplaced(heads, slots))))
            break;
        for (int i = 0; i < MIF_VEC_SLOTS; i++)
            at[i].data = NULL;
        slots = mif_vec_add(slots, mif_vec_all(MIF_VEC_SLOTS));
    }
    return (uint32_t)(at - bufs);
}
#endif

/* Clears the data pointers of the entries that are in ring order, starting with slot `first`;
 * returns how many. */
MIF_INLINE uint32_t forget_run(memif_buffer_t *bufs, uint32_t first, uint32_t count)
{
    uint32_t n = 0;
#ifdef MIF_VEC_SLOTS
    if (count >= MIF_VEC_MIN_SLOTS)
        n = forget_vectors(bufs, first, count);
#endif
    for (; n < count && MIF_LIKELY(bufs[n].desc_index == first + n); n++)
        bufs[n].data = NULL;
    return n;
}

MIF_INLINE int free_end(struct mif_queue *q, uint32_t n, uint32_t count, uint16_t *freed,
                        enum mif_kind kind)
{
    *freed = (uint16_t)n;
    mif_publish(q, true, kind);
    /* An entry that is not the oldest one received and not freed ends the burst. */
    return mif_end(q, MIF_LIKELY(n == count) ? MIF_ERR_SUCCESS : MIF_ERR_INVAL_ARG);
}

static __attribute__((noinline)) int free_rest(struct mif_queue *q, memif_buffer_t *bufs,
                                               uint32_t count, uint16_t *freed)
{
    enum mif_kind kind = (enum mif_kind)q->kind;
    uint32_t n = 0;
    while (n < count && q->done != q->next) {
        uint64_t held = q->next - q->done;
        uint32_t left = count - n, first = mif_slot_of(q, q->done);
        uint32_t run = q->chains > 0 ? 1 : mif_run(q, q->done, held < left ? (uint32_t)held : left);
        uint32_t found = forget_run(bufs + n, first, run);
        uint32_t slots = q->chains > 0 && found > 0 ? mif_packet_end(q) : found;
        mif_post_slots(q, slots, slots, kind);
        n += found;
        if (found < run)
            break;
    }
    return free_end(q, n, count, freed, kind);
}

MIF_INLINE int free_burst(struct mif_queue *q, uint32_t extra, memif_buffer_t *bufs, uint32_t count,
                          uint16_t *freed, enum mif_kind kind)
{
    (void)extra;
    if (MIF_UNLIKELY(q->chains > 0 || count > q->next - q->done ||
                     (count != 1 && mif_run(q, q->done, count) != count)))
        return free_rest(q, bufs, count, freed);
    uint32_t n = forget_run(bufs, mif_slot_of(q, q->done), count);
    mif_post_slots(q, n, count, kind);
    return free_end(q, n, count, freed, kind);
}

/* ---- instances ---- */

MIF_INSTANCES(rx_burst)
MIF_INSTANCES(free_burst)
MIF_INSTANCES(alloc_burst)
MIF_INSTANCES(tx_burst)

MIF_FACE_CALLS = {
    .rx = MIF_INSTANCES_OF(rx_burst),
    .rx_interrupt = rx_interrupt,
    .give_back = MIF_INSTANCES_OF(free_burst),
    .reserve = MIF_INSTANCES_OF(alloc_burst),
    .tx = MIF_INSTANCES_OF(tx_burst),
};
