/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slow paths of the packet face: packets of several slots, and buffers whose region changes
 * from one to the next. Its fast paths: packet_fast_path.h.
 */
#define MIF_FACE_CALLS static const struct mif_face_calls packet_calls
#include "datapath/packet_fast_path.h"

#include <string.h>

/* ---- receive ---- */

/* Records address and length of each segment of the chain that starts at q->next. MIF_STEP_WAIT:
 * the peer has not published its end yet. */
MIF_INLINE enum mif_step measure_rx_chain(struct mif_queue *q, uint16_t *count, uint32_t *length,
                                          bool *contiguous, enum mif_kind kind)
{
    uint32_t available = (uint32_t)(q->limit - q->next);
    const uint8_t *end = NULL;
    *contiguous = true;
    *length = 0;
    for (uint32_t i = 0; i < available; i++) {
        uint16_t slot = mif_slot_of(q, q->next + i);
        struct mif_desc desc = mif_desc_read(q->descs, slot, kind);
        uint8_t *data = mif_received_data(q, &q->slots[slot], &desc, kind);
        if (data == NULL)
            return mif_bad_slot(q, desc.length);
        if (desc.length > mif_max_packet(q) - *length)
            return mif_too_long(q, (uint64_t)*length + desc.length);
        *contiguous = *contiguous && (i == 0 || data == end);
        *length += desc.length;
        end = data + desc.length;
        q->slots[slot].data = data;
        q->chain_of[slot].segment = desc.length;
        if (!mif_desc_has_next(&desc)) {
            *count = (uint16_t)(i + 1);
            return MIF_STEP_OK;
        }
    }
    if (available < mif_capacity(q, kind))
        return MIF_STEP_WAIT;
    return mif_step_fault(q, "chain without an end");
}

/* Copies the segments of a measured chain. */
static void gather(const struct mif_queue *q, uint16_t first, uint16_t count, uint8_t *to)
{
    for (uint16_t i = 0; i < count; i++) {
        uint16_t slot = mif_slot_of(q, (uint64_t)first + i);
        memcpy(to, q->slots[slot].data, q->chain_of[slot].segment);
        to += q->chain_of[slot].segment;
    }
}

MIF_INLINE enum mif_step take_chain(struct mif_queue *q, memif_buffer_t *buf, enum mif_kind kind)
{
    uint16_t count;
    uint32_t length;
    bool contiguous;
    enum mif_step step = measure_rx_chain(q, &count, &length, &contiguous, kind);
    if (step != MIF_STEP_OK)
        return step;
    uint16_t first = mif_slot_of(q, q->next);
    step = mif_chain_begin(q, first, count, length, contiguous);
    if (step != MIF_STEP_OK)
        return step;
    if (q->chain_of[first].bounce != NULL)
        gather(q, first, count, q->chain_of[first].bounce->data);
    set_entry(buf, first, length, length, mif_chain_data(q, first));
    mif_store(&q->next, q->next + count);
    mif_store(&q->bytes, q->bytes + length);
    mif_store(&q->extra_slots, q->extra_slots + count - 1);
    return MIF_STEP_OK;
}

/* After a chain there is likely another one. */
MIF_INLINE enum mif_step take_other(struct mif_queue *q, memif_buffer_t *bufs, uint32_t count,
                                    uint32_t *n, enum mif_kind kind)
{
    uint16_t slot = mif_slot_of(q, q->next);
    struct mif_desc desc = mif_desc_read(q->descs, slot, kind);
    while (mif_desc_has_next(&desc)) {
        enum mif_step step = take_chain(q, &bufs[*n], kind);
        *n += step == MIF_STEP_OK;
        if (step != MIF_STEP_OK || *n == count || q->next == q->limit)
            return step;
        slot = mif_slot_of(q, q->next);
        desc = mif_desc_read(q->descs, slot, kind);
    }
    uint8_t *data = mif_received_data(q, &q->slots[slot], &desc, kind);
    if (data == NULL)
        return mif_bad_slot(q, desc.length);
    set_entry(&bufs[*n], slot, desc.length, desc.length, data);
    mif_store(&q->next, q->next + 1);
    mif_store(&q->bytes, q->bytes + desc.length);
    (*n)++;
    return MIF_STEP_OK;
}

enum mif_step mif_take_other(struct mif_queue *q, memif_buffer_t *bufs, uint32_t count, uint32_t *n)
{
    return MIF_BY_KIND(q, take_other, q, bufs, count, n);
}

uint32_t mif_packet_end(struct mif_queue *q)
{
    uint16_t slot = mif_slot_of(q, q->done), count = mif_chain_end(q, slot);
    for (uint16_t i = 0; q->kind == MIF_KIND_512_MASTER && i + 1 < count; i++)
        mif_desc_unchain(q->descs, mif_slot_of(q, (uint64_t)slot + i));
    return count;
}

/* ---- transmit ---- */

enum mif_step mif_reserve_other(struct mif_queue *q, memif_buffer_t *buf, uint32_t size,
                                uint32_t *entries)
{
    uint16_t first = mif_slot_of(q, q->next);
    struct mif_room room;
    enum mif_step step = mif_chain_measure(q, size, &room);
    if (step == MIF_STEP_OK && room.count > 1) {
        /* A receiver accepts no longer packet, so the last buffer is not used to its end. */
        room.length = room.length < MIF_MAX_PACKET ? room.length : MIF_MAX_PACKET;
        step = mif_chain_begin(q, first, room.count, (uint32_t)room.length, room.contiguous);
    }
    if (step != MIF_STEP_OK)
        return step;
    set_entry(buf, first, (uint32_t)room.length, 0, mif_chain_data(q, first));
    mif_store(&q->next, q->next + room.count);
    *entries = 1;
    return MIF_STEP_OK;
}

/* Sends a packet of several adjacent slots whose bytes lie where they are sent from, and that fills
 * its slots but for the end of the last. False: it is none. */
MIF_INLINE bool fill_next(struct mif_queue *q, const memif_buffer_t *buf, enum mif_kind kind)
{
    const uint16_t first = mif_slot_of(q, q->done);
    const struct mif_slot *own = &q->slots[first];
    struct mif_chain *chain = &q->chain_of[first];
    const uint32_t last = chain->count - 1u;
    uint32_t left = buf->data_len;
    if (buf->desc_index != first || chain->count < 2 || chain->bounce != NULL ||
        left > chain->length || first + last > q->mask || q->order->passed > q->done ||
        (kind == MIF_KIND_512_SLAVE && q->buffers.data == NULL))
        return false;
    for (uint32_t i = 0; i < last; i++) {
        uint32_t capacity = mif_slot_capacity(&own[i]);
        if (left <= capacity)
            return false; /* the last slots are not needed */
        left -= capacity;
    }
    for (uint32_t i = 0; i < last; i++)
        mif_desc_fill(q->descs, first + i, &own[i], MIF_DESC_NEXT, mif_slot_capacity(&own[i]),
                      kind);
    mif_desc_fill(q->descs, first + last, &own[last], 0, left, kind);
    (void)mif_chain_end(q, first);
    mif_store(&q->done, q->done + last + 1);
    mif_store(&q->bytes, q->bytes + buf->data_len);
    mif_store(&q->extra_slots, q->extra_slots + last);
    return true;
}

/* The same with the packets after it; returns how many. */
MIF_INLINE uint32_t fill_all(struct mif_queue *q, const memif_buffer_t *bufs, uint32_t count,
                             enum mif_kind kind)
{
    uint32_t n = 0;
    while (n < count && q->done != q->next && fill_next(q, &bufs[n], kind))
        n++;
    return n;
}

static uint32_t fill_checked(struct mif_queue *q, const memif_buffer_t *buf, int *err)
{
    struct mif_scatter scatter;
    uint64_t first;
    if (!mif_may_send(q, buf->desc_index, &first)) {
        *err = MIF_ERR_INVAL_ARG;
        return 0;
    }
    uint16_t slot = mif_slot_of(q, first);
    const struct mif_chain *chain = &q->chain_of[slot];
    uint16_t own = chain->count > 0 ? chain->count : 1;
    uint32_t most = chain->count > 0 ? chain->length : mif_slot_capacity(&q->slots[slot]);
    mif_scatter_begin(&scatter, q, first);
    mif_scatter_bytes(&scatter, mif_chain_data(q, slot),
                      buf->data_len < most ? buf->data_len : most);
    mif_scatter_end(&scatter, own);
    return 1;
}

uint32_t mif_fill_other(struct mif_queue *q, const memif_buffer_t *bufs, uint32_t count, int *err)
{
    uint32_t n = MIF_BY_KIND(q, fill_all, q, bufs, count);
    return n > 0 ? n : fill_checked(q, bufs, err);
}

void mif_packet_cancel(struct mif_queue *q)
{
    mif_unreserve(q, mif_first_unsent(q));
}

/* ---- binding ---- */

static const struct mif_face_calls *calls_here(void)
{
#ifdef MIF_HAVE_AVX2
    if (__builtin_cpu_supports("avx2"))
        return &mif_packet_calls_avx2;
#endif
    return &packet_calls;
}

void mif_face_bind(struct mif_queue *q, enum mif_direction direction)
{
    mif_face_choose(q, direction, calls_here());
}

void mif_packet_bind_rx(struct mif_queue *q, bool as_polling)
{
    const struct mif_face_calls *calls = calls_here();
    mif_burst_fn *call = (as_polling ? calls->rx : calls->rx_interrupt)[q->kind];
    atomic_store_explicit(&q->call[MIF_CALL_RX], call, memory_order_relaxed);
}

static int give_back_answering(struct mif_queue *q, uint32_t extra, void *bufs, uint16_t count,
                               uint16_t *out)
{
    return mif_give_back_answering(q, extra, bufs, count, out, calls_here()->give_back[q->kind]);
}

void mif_face_answer(struct mif_queue *q, bool answers)
{
    mif_burst_fn *call = answers ? give_back_answering : calls_here()->give_back[q->kind];
    atomic_store_explicit(&q->call[MIF_CALL_GIVE_BACK], call, memory_order_relaxed);
}
