/* SPDX-License-Identifier: Apache-2.0 */
/* The entry face's part of the fast paths (fast_path.h): the layout of an entry, and
 * memif_refill_queue. Defines MIF_FACE_CALLS, the table of the instances. */
#include "datapath/entry.h"

/* An entry in 64-bit words: index:16 unused:48 | queue | length:32 flags:8 unused:24 | data. */
_Static_assert(sizeof(memif_buffer_t) == 4 * sizeof(mif_word) &&
                   offsetof(memif_buffer_t, queue) == 8 && offsetof(memif_buffer_t, len) == 16 &&
                   offsetof(memif_buffer_t, flags) == 20 && offsetof(memif_buffer_t, data) == 24,
               "entry layout");

/* Writes whole words, because the store buffer limits the number of stores, not bytes. */
MIF_INLINE void set_entry(memif_buffer_t *buf, struct mif_queue *q, uint64_t slot, uint32_t length,
                          uint8_t flags, uint8_t *data)
{
    mif_word *words = (mif_word *)buf;
    words[0] = slot;
    words[1] = (uintptr_t)q;
    words[2] = length | (uint64_t)flags << 32;
    words[3] = (uintptr_t)data;
}

MIF_INLINE void set_received(memif_buffer_t *buf, struct mif_queue *q, uint64_t slot,
                             uint32_t length, uint8_t *data)
{
    set_entry(buf, q, slot, length, 0, data);
}

MIF_INLINE void set_reserved(memif_buffer_t *buf, struct mif_queue *q, uint64_t slot,
                             uint32_t capacity, uint32_t size, uint8_t *data)
{
    set_entry(buf, q, slot, size > 0 ? size : capacity, 0, data);
}

/* True if an entry is the reserved one of a slot and inside its buffer. Only a slave of version 512
 * may move the start of the data forward: all other buffers have the place that the peer knows. */
MIF_INLINE bool is_sendable(const memif_buffer_t *buf, const struct mif_queue *q, uint64_t slot,
                            const struct mif_slot *own, enum mif_kind kind)
{
    uintptr_t moved = (uintptr_t)buf->data - (uintptr_t)own->data;
    bool placed = kind == MIF_KIND_512_SLAVE ? moved <= mif_slot_capacity(own) &&
                                                   buf->len <= mif_slot_capacity(own) - moved
                                             : moved == 0 && buf->len <= mif_slot_capacity(own);
    return MIF_LIKELY(buf->desc_index == slot && buf->queue == q && placed);
}

/* Tells the peer where the data of an entry begins, which the application may have moved. If it
 * never has moved any, all descriptors name the right place already. */
MIF_INLINE void place(struct mif_queue *q, uint64_t slot, const memif_buffer_t *buf,
                      enum mif_kind kind)
{
    const struct mif_slot *own = &q->slots[slot];
    if (kind != MIF_KIND_512_SLAVE || MIF_LIKELY(q->buffers.data != NULL && buf->data == own->data))
        return;
    q->buffers.data = NULL;
    const uint8_t *base = q->regions[mif_slot_region(own)].base;
    mif_desc_place(q->descs, slot, (uint32_t)((const uint8_t *)buf->data - base));
}

MIF_INLINE bool is_plain(const memif_buffer_t *buf, struct mif_queue *q, uint64_t slot,
                         const struct mif_slot *own, uint32_t *length, enum mif_kind kind)
{
    *length = buf->len;
    if (MIF_UNLIKELY(!is_sendable(buf, q, slot, own, kind) ||
                     (buf->flags & MEMIF_BUFFER_FLAG_NEXT)))
        return false;
    place(q, slot, buf, kind);
    return true;
}

MIF_INLINE uint64_t entry_hash(const memif_buffer_t *buf, uint64_t hash)
{
    hash = mif_hash_step(hash, (uintptr_t)buf->data);
    hash = mif_hash_step(hash, (uintptr_t)buf->queue);
    return mif_hash_step(hash,
                         buf->desc_index | (uint64_t)buf->flags << 16 | (uint64_t)buf->len << 32);
}

MIF_INLINE uint32_t packet_entries(const memif_buffer_t *bufs, uint32_t count)
{
    uint32_t n = 0;
    while (n < count && (bufs[n++].flags & MEMIF_BUFFER_FLAG_NEXT))
        ;
    return n;
}

#ifdef MIF_VEC_SLOTS
MIF_INLINE void set_received_vectors(memif_buffer_t *bufs, struct mif_queue *q, mif_vec slots,
                                     mif_vec length, mif_vec data)
{
    mif_vec_write_fours(bufs, slots, mif_vec_all((uintptr_t)q), length, data);
}

MIF_INLINE void set_reserved_vectors(memif_buffer_t *bufs, struct mif_queue *q, mif_vec slots,
                                     mif_vec capacity, uint32_t size, mif_vec data)
{
    set_received_vectors(bufs, q, slots, size > 0 ? mif_vec_all(size) : capacity, data);
}

/* For a slave whose buffers form an array: each entry differs from the one before by the same step.
 */
MIF_INLINE uint32_t reserve_own(struct mif_queue *q, memif_buffer_t *bufs, uint64_t first,
                                uint32_t run, uint32_t size)
{
    const struct mif_buffer_array array = q->buffers;
    if (MIF_UNLIKELY(array.data == NULL || size > array.word >> 32))
        return 0;
    const uint64_t data = (uintptr_t)array.data + (uint64_t)first * array.stride;
    const uint64_t length = size > 0 ? size : array.word >> 32;
    const uint64_t entry[] = {first, (uintptr_t)q, length, data};
    mif_vec_write_series_of_fours(bufs, mif_vec_slots(run), entry, array.stride);
    return mif_vec_slots(run);
}

MIF_INLINE mif_vec get_plain_vectors(const memif_buffer_t *bufs, const struct mif_queue *q,
                                     mif_vec slots, mif_vec data, mif_vec *length)
{
    const struct mif_vec_quad entries = mif_vec_read_fours(bufs);
    const mif_vec *word = entries.words;
    const mif_vec next = mif_vec_all((uint64_t)MEMIF_BUFFER_FLAG_NEXT << 32);
    const mif_vec all = mif_vec_all(UINT64_MAX);
    *length = mif_vec_low(word[2]);
    mif_vec bad = mif_vec_differ(word[0], slots, mif_vec_all(0xFFFF));
    bad = mif_vec_or(bad, mif_vec_differ(word[1], mif_vec_all((uintptr_t)q), all));
    bad = mif_vec_or(bad, mif_vec_differ(word[3], data, all));
    return mif_vec_or(bad, mif_vec_differ(word[2], mif_vec_all(0), next));
}
#endif

#include "datapath/fast_path.h"

/* ---- giving back ---- */

/* Sets how many bytes the peer is to leave free at the start of buffers that are about to be
 * posted.
 */
static __attribute__((noinline)) void set_headroom(struct mif_queue *q, uint32_t count,
                                                   uint32_t headroom)
{
    for (uint32_t i = 0; i < count; i++)
        mif_slot_set_headroom(&q->slots[mif_slot_of(q, q->done + i)], (uint16_t)headroom);
    q->buffers.data = NULL; /* the buffers are not all alike any more */
}

/* A slave of version 512 posts the buffers, with `headroom` bytes left free at the start. The
 * others give the slots back as they are: in version 256 each slot keeps its buffer for good. */
MIF_INLINE int refill_burst(struct mif_queue *q, uint32_t headroom, memif_buffer_t *bufs,
                            uint32_t count, uint16_t *out, enum mif_kind kind)
{
    const uint64_t done = q->done, consumed = q->next - done;
    (void)bufs;
    (void)out;
    if (mif_kind_is_slave(kind) && MIF_UNLIKELY(headroom > 0) &&
        (mif_kind_is_256(kind) || headroom >= q->buffer_size))
        return mif_end(q, MIF_ERR_INVAL_ARG);
    uint32_t n = count > consumed ? (uint32_t)consumed : count;
    if (kind == MIF_KIND_512_SLAVE && MIF_UNLIKELY(headroom > 0 || q->buffers.data == NULL))
        set_headroom(q, n, headroom);
    if (MIF_LIKELY(n > 0)) {
        if (count != 1)
            mif_post_all(q, done, n, kind);
        else if (kind == MIF_KIND_512_SLAVE)
            mif_post_one(q, mif_place_of(q, done));
        mif_store(&q->done, done + n);
        mif_publish_done(q, done + n, true, kind);
    }
    return mif_end(q, MIF_ERR_SUCCESS);
}

/* ---- instances ---- */

MIF_RX_INSTANCES
MIF_INSTANCES(refill_burst)
MIF_INSTANCES(alloc_burst)
MIF_INSTANCES(tx_burst)

MIF_FACE_CALLS = {
    .rx = MIF_INSTANCES_OF(rx_burst),
    .rx_interrupt = MIF_INSTANCES_OF(rx_interrupt),
    .give_back = MIF_INSTANCES_OF(refill_burst),
    .reserve = MIF_INSTANCES_OF(alloc_burst),
    .tx = MIF_INSTANCES_OF(tx_burst),
};
