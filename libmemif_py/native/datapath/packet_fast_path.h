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
MIF_INLINE void set_entry(memif_buffer_t *buf, uint64_t slot, uint32_t capacity, uint32_t length,
                          uint8_t *data)
{
    mif_word *words = (mif_word *)buf;
    words[0] = slot | (uint64_t)capacity << 32;
    words[1] = length;
    words[2] = (uintptr_t)data;
}

MIF_INLINE void set_received(memif_buffer_t *buf, struct mif_queue *q, uint64_t slot,
                             uint32_t length, uint8_t *data)
{
    (void)q;
    set_entry(buf, slot, length, length, data);
}

MIF_INLINE void set_reserved(memif_buffer_t *buf, struct mif_queue *q, uint64_t slot,
                             uint32_t capacity, uint32_t size, uint8_t *data)
{
    (void)q;
    (void)size;
    set_entry(buf, slot, capacity, 0, data);
}

MIF_INLINE bool is_plain(const memif_buffer_t *buf, struct mif_queue *q, uint64_t slot,
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
MIF_INLINE void set_received_vectors(memif_buffer_t *bufs, struct mif_queue *q, mif_vec slots,
                                     mif_vec length, mif_vec data)
{
    (void)q;
    mif_vec_write_threes(bufs, mif_vec_join(slots, length), length, data);
}

MIF_INLINE void set_reserved_vectors(memif_buffer_t *bufs, struct mif_queue *q, mif_vec slots,
                                     mif_vec capacity, uint32_t size, mif_vec data)
{
    (void)q;
    (void)size;
    mif_vec_write_threes(bufs, mif_vec_join(slots, capacity), mif_vec_all(0), data);
}

/* For a slave whose buffers form an array: each entry differs from the one before by the same step.
 */
MIF_INLINE uint32_t reserve_own(struct mif_queue *q, memif_buffer_t *bufs, uint64_t first,
                                uint32_t run, uint32_t size)
{
    const struct mif_buffer_array array = q->buffers;
    if (MIF_UNLIKELY(array.data == NULL || size > array.word >> 32))
        return 0;
    const uint64_t head = first | (array.word & 0xFFFFFFFF00000000);
    const uint64_t data = (uintptr_t)array.data + (uint64_t)first * array.stride;
    mif_vec_write_series_of_threes(bufs, mif_vec_slots(run), head, data, array.stride);
    return mif_vec_slots(run);
}

/* Not zero in each element whose entry is not the one of its slot. */
MIF_INLINE mif_vec misplaced(mif_vec heads, mif_vec slots)
{
    return mif_vec_differ(heads, slots, mif_vec_all(0xFFFF));
}

MIF_INLINE mif_vec get_plain_vectors(const memif_buffer_t *bufs, const struct mif_queue *q,
                                     mif_vec slots, mif_vec data, mif_vec *length)
{
    struct mif_vec_pair words = mif_vec_read_two_of_three(bufs);
    (void)q;
    (void)data;
    *length = mif_vec_low(words.tail);
    return misplaced(words.head, slots);
}
#endif

#include "datapath/fast_path.h"

/* ---- giving back ---- */

#ifdef MIF_VEC_SLOTS
MIF_INLINE uint32_t forget_vectors(memif_buffer_t *bufs, uint64_t first, uint32_t count)
{
    mif_vec slots = mif_vec_series(first, 1);
    memif_buffer_t *at = bufs, *const end = bufs + mif_vec_slots(count);
    for (; at != end; at += MIF_VEC_SLOTS) {
        mif_vec heads = mif_vec_read_two_of_three(at).head;
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
MIF_INLINE uint32_t forget_run(memif_buffer_t *bufs, uint64_t first, uint32_t count)
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

static MIF_JUMP_TARGET int free_rest(struct mif_queue *q, uint32_t n, memif_buffer_t *bufs,
                                     uint32_t count, uint16_t *freed)
{
    enum mif_kind kind = (enum mif_kind)q->kind;
    while (n < count && q->done != q->next) {
        uint64_t held = q->next - q->done, first = mif_place_of(q, q->done);
        uint32_t left = count - n;
        uint32_t run = q->chains > 0 ? 1 : mif_run(q, q->done, held < left ? (uint32_t)held : left);
        uint32_t found = forget_run(bufs + n, first, run);
        uint32_t slots = q->chains > 0 && found > 0 ? mif_packet_end(q) : found;
        mif_post_slots(q, slots, kind);
        n += found;
        if (found < run)
            break;
    }
    return free_end(q, n, count, freed, kind);
}

MIF_INLINE int free_one(struct mif_queue *q, memif_buffer_t *buf, uint16_t *freed,
                        enum mif_kind kind)
{
    const uint64_t done = q->done, slot = mif_place_of(q, done);
    if (MIF_UNLIKELY(q->chains > 0 || q->next == done || buf->desc_index != slot))
        return free_rest(q, 0, buf, 1, freed);
    buf->data = NULL;
    if (kind == MIF_KIND_512_SLAVE)
        mif_post_one(q, slot);
    mif_store(&q->done, done + 1);
    mif_publish_done(q, done + 1, true, kind);
    *freed = 1;
    return mif_end(q, MIF_ERR_SUCCESS);
}

MIF_INLINE int free_burst(struct mif_queue *q, uint32_t extra, memif_buffer_t *bufs, uint32_t count,
                          uint16_t *freed, enum mif_kind kind)
{
    (void)extra;
    if (count == 1)
        return free_one(q, bufs, freed, kind);
    if (MIF_UNLIKELY(q->chains > 0 || count > q->next - q->done ||
                     mif_run(q, q->done, count) != count))
        return free_rest(q, 0, bufs, count, freed);
    uint32_t n = forget_run(bufs, mif_place_of(q, q->done), count);
    mif_post_slots(q, n, kind);
    return free_end(q, n, count, freed, kind);
}

/* ---- instances ---- */

MIF_RX_INSTANCES
MIF_INSTANCES(free_burst)
MIF_INSTANCES(alloc_burst)
MIF_INSTANCES(tx_burst)

MIF_FACE_CALLS = {
    .rx = MIF_INSTANCES_OF(rx_burst),
    .rx_interrupt = MIF_INSTANCES_OF(rx_interrupt),
    .give_back = MIF_INSTANCES_OF(free_burst),
    .reserve = MIF_INSTANCES_OF(alloc_burst),
    .tx = MIF_INSTANCES_OF(tx_burst),
};
