/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the packet face does off the fast path (packet_run.h): packets of several slots, buffers in
 * regions that change.
 */
#define MIF_FACE_CALLS static const struct mif_face_calls packet_calls
#include "packet_run.h"

#include <stdlib.h>
#include <string.h>

/* ---- packets of several slots ---- */

/* Marks slot `first` as the start of a packet of `count` slots. Unless its bytes lie in one piece
 * it gets memory of ours; the caller copies. */
static enum mif_step begin_chain(struct mif_queue *q, uint16_t first, uint16_t count,
                                 uint32_t length, bool contiguous)
{
    struct mif_chain *chain = &q->chain_of[first];
    chain->bounce = contiguous ? NULL : malloc(length > 0 ? length : 1);
    if (!contiguous && chain->bounce == NULL)
        return MIF_STEP_NOMEM;
    chain->count = count;
    chain->length = length;
    q->chains++;
    return MIF_STEP_OK;
}

/* Forgets the mark; returns how many slots the packet took. */
static uint16_t end_chain(struct mif_queue *q, uint16_t first)
{
    struct mif_chain *chain = &q->chain_of[first];
    uint16_t count = chain->count;
    if (count == 0)
        return 1;
    free(chain->bounce);
    chain->bounce = NULL;
    chain->count = 0;
    q->chains--;
    return count;
}

/* Where the bytes of a marked packet are for the application. */
static uint8_t *chain_data(const struct mif_queue *q, uint16_t first)
{
    uint8_t *bounce = q->chain_of[first].bounce;
    return bounce != NULL ? bounce : q->slots[first].data;
}

/* ---- receive ---- */

/* Notes each segment of the chain that starts at q->next. MIF_STEP_WAIT: its end is not there yet.
 */
static enum mif_step measure_rx_chain(struct mif_queue *q, uint16_t *count, uint32_t *length,
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
            return mif_step_fault(q, "descriptor out of range");
        if (desc.length > MIF_MAX_PACKET - *length)
            return mif_step_fault(q, "chained packet longer than 65535 bytes");
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

static enum mif_step take_chain(struct mif_queue *q, memif_buffer_t *buf, enum mif_kind kind)
{
    uint16_t count;
    uint32_t length;
    bool contiguous;
    enum mif_step step = measure_rx_chain(q, &count, &length, &contiguous, kind);
    if (step != MIF_STEP_OK)
        return step;
    uint16_t first = mif_slot_of(q, q->next);
    step = begin_chain(q, first, count, length, contiguous);
    if (step != MIF_STEP_OK)
        return step;
    uint8_t *bounce = q->chain_of[first].bounce;
    for (uint16_t i = 0; bounce != NULL && i < count; i++) {
        uint16_t slot = mif_slot_of(q, (uint64_t)first + i);
        memcpy(bounce, q->slots[slot].data, q->chain_of[slot].segment);
        bounce += q->chain_of[slot].segment;
    }
    set_entry(buf, first, length, length, chain_data(q, first));
    mif_store(&q->next, q->next + count);
    mif_store(&q->bytes, q->bytes + length);
    mif_store(&q->folded, q->folded + count - 1);
    return MIF_STEP_OK;
}

enum mif_step mif_take_other(struct mif_queue *q, memif_buffer_t *bufs, uint32_t count, uint32_t *n)
{
    enum mif_kind kind = (enum mif_kind)q->kind;
    memif_buffer_t *buf = &bufs[*n];
    uint16_t slot = mif_slot_of(q, q->next);
    struct mif_desc desc = mif_desc_read(q->descs, slot, kind);
    (void)count;
    if (mif_desc_has_next(&desc)) {
        enum mif_step step = take_chain(q, buf, kind);
        *n += step == MIF_STEP_OK;
        return step;
    }
    uint8_t *data = mif_received_data(q, &q->slots[slot], &desc, kind);
    if (data == NULL)
        return mif_step_fault(q, "descriptor out of range");
    set_entry(buf, slot, desc.length, desc.length, data);
    mif_store(&q->next, q->next + 1);
    mif_store(&q->bytes, q->bytes + desc.length);
    (*n)++;
    return MIF_STEP_OK;
}

uint32_t mif_packet_end(struct mif_queue *q)
{
    uint16_t slot = mif_slot_of(q, q->done), count = end_chain(q, slot);
    for (uint16_t i = 0; q->kind == MIF_KIND_2_MASTER && i + 1 < count; i++)
        mif_desc_unchain(q->descs, mif_slot_of(q, (uint64_t)slot + i));
    return count;
}

/* ---- transmit ---- */

/* Reserves as many slots as `size` bytes take; none of them when not all are free. */
static enum mif_step alloc_chain(struct mif_queue *q, memif_buffer_t *buf, uint32_t size,
                                 enum mif_kind kind)
{
    uint16_t first = mif_slot_of(q, q->next);
    uint16_t count = 0;
    uint64_t length = 0; /* a peer's buffer alone may have all that 32 bits can say */
    bool contiguous = true;
    const uint8_t *end = NULL;
    while (length < size) {
        uint64_t counter = q->next + count;
        enum mif_step step = mif_free_slot(q, counter, kind);
        if (step != MIF_STEP_OK)
            return step;
        const struct mif_slot *own = &q->slots[mif_slot_of(q, counter)];
        contiguous = contiguous && (count == 0 || own->data == end);
        length += mif_slot_capacity(own);
        end = own->data + mif_slot_capacity(own);
        count++;
    }
    if (length > MIF_MAX_PACKET)
        length = MIF_MAX_PACKET; /* what a receiver accepts; the last buffer stays short */
    enum mif_step step = begin_chain(q, first, count, (uint32_t)length, contiguous);
    if (step != MIF_STEP_OK)
        return step;
    set_entry(buf, first, (uint32_t)length, 0, chain_data(q, first));
    mif_store(&q->next, q->next + count);
    return MIF_STEP_OK;
}

enum mif_step mif_reserve_other(struct mif_queue *q, memif_buffer_t *buf, uint32_t room,
                                uint32_t size, uint32_t *entries)
{
    enum mif_kind kind = (enum mif_kind)q->kind;
    uint16_t slot = mif_slot_of(q, q->next);
    enum mif_step step = mif_free_slot(q, q->next, kind);
    (void)room;
    if (step != MIF_STEP_OK)
        return step;
    if (size > mif_slot_capacity(&q->slots[slot])) {
        step = alloc_chain(q, buf, size, kind);
        *entries = step == MIF_STEP_OK;
        return step;
    }
    set_entry(buf, slot, mif_slot_capacity(&q->slots[slot]), 0, q->slots[slot].data);
    mif_store(&q->next, q->next + 1);
    *entries = 1;
    return MIF_STEP_OK;
}

/* How many of the remaining bytes go into a segment: as many as fit, but at least one is kept for
 * each segment that follows, because some peers take an empty segment for an error. */
static uint32_t segment_length(uint32_t capacity, uint32_t remaining, uint32_t following)
{
    if (remaining <= following)
        return remaining > 0 ? 1 : 0;
    return remaining - following < capacity ? remaining - following : capacity;
}

/* Lays `length` bytes out over the reserved slots and fills their descriptors. The copy runs from
 * the back, for in place each segment moves towards the end or not at all. */
static void fill_chain(struct mif_queue *q, uint16_t first, uint32_t length, enum mif_kind kind)
{
    const uint8_t *bytes = chain_data(q, first);
    uint16_t count = q->chain_of[first].count;
    uint32_t remaining = length;
    for (uint16_t i = 0; i < count; i++) {
        uint16_t slot = mif_slot_of(q, (uint64_t)first + i);
        uint32_t segment =
            segment_length(mif_slot_capacity(&q->slots[slot]), remaining, (uint32_t)count - 1 - i);
        q->chain_of[slot].segment = segment;
        remaining -= segment;
    }
    uint32_t at = length;
    for (uint16_t i = count; i-- > 0;) {
        uint16_t index = mif_slot_of(q, (uint64_t)first + i);
        const struct mif_slot *slot = &q->slots[index];
        uint32_t segment = q->chain_of[index].segment;
        at -= segment;
        if (slot->data != bytes + at)
            memmove(slot->data, bytes + at, segment);
        mif_desc_fill(q->descs, index, slot, i + 1 < count ? MIF_DESC_NEXT : 0, segment, kind);
    }
}

uint32_t mif_fill_other(struct mif_queue *q, const memif_buffer_t *buf, uint32_t count, int *err)
{
    enum mif_kind kind = (enum mif_kind)q->kind;
    uint16_t slot = mif_slot_of(q, q->done);
    const struct mif_chain *chain = &q->chain_of[slot];
    uint32_t length = buf->data_len;
    (void)count;
    if (q->done == q->next || buf->desc_index != slot ||
        length > (chain->count > 0 ? chain->length : mif_slot_capacity(&q->slots[slot]))) {
        *err = MIF_ERR_INVAL_ARG;
        return 0;
    }
    if (chain->count > 0)
        fill_chain(q, slot, length, kind);
    else
        mif_desc_fill(q->descs, slot, &q->slots[slot], 0, length, kind);
    uint16_t slots = end_chain(q, slot);
    mif_store(&q->done, q->done + slots);
    mif_store(&q->bytes, q->bytes + length);
    mif_store(&q->folded, q->folded + slots - 1);
    return 1;
}

void mif_packet_cancel(struct mif_queue *q)
{
    for (uint64_t at = q->done; at != q->next && q->chains > 0; at++)
        (void)end_chain(q, mif_slot_of(q, at));
    mif_store(&q->next, q->done);
}

/* ---- binding ---- */

void mif_face_bind(struct mif_queue *q, enum mif_direction direction)
{
    const struct mif_face_calls *calls = &packet_calls;
#ifdef MIF_HAVE_AVX2
    if (__builtin_cpu_supports("avx2"))
        calls = &mif_packet_calls_avx2;
#endif
    mif_face_choose(q, direction, calls);
}
