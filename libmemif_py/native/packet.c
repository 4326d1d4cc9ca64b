/* SPDX-License-Identifier: Apache-2.0 */
#include "packet.h"

#include "engine.h"
#include "errors.h"

#include <stdlib.h>
#include <string.h>

/* Marks slot `first` as the start of a packet of `count` slots. Unless its bytes lie in one piece
 * it gets memory of ours; the caller copies. */
static enum mif_step begin_chain(struct mif_queue *q, uint16_t first, uint16_t count,
                                 uint32_t length, bool contiguous)
{
    struct mif_slot *slot = &q->slots[first];
    if (!contiguous) {
        slot->bounce = malloc(length > 0 ? length : 1);
        if (slot->bounce == NULL)
            return MIF_STEP_NOMEM;
    }
    slot->chain = count;
    slot->length = length;
    q->chains++;
    return MIF_STEP_OK;
}

/* Forgets the mark; returns how many slots the packet took. */
static uint16_t end_chain(struct mif_queue *q, uint16_t first)
{
    struct mif_slot *slot = &q->slots[first];
    uint16_t count = slot->chain;
    if (count == 0)
        return 1;
    free(slot->bounce);
    slot->bounce = NULL;
    slot->chain = 0;
    q->chains--;
    return count;
}

/* ---- receive ---- */

/* Notes each segment of the chain that starts at q->next. *count is 0 when its end is not there
 * yet. */
static enum mif_step measure_rx_chain(struct mif_queue *q, uint16_t *count, uint32_t *length,
                                      bool *contiguous, enum mif_kind kind)
{
    uint16_t available = (uint16_t)(q->limit - q->next);
    const uint8_t *end = NULL;
    *contiguous = true;
    *length = 0;
    for (uint16_t i = 0; i < available; i++) {
        uint16_t slot = (uint16_t)(q->next + i) & q->mask;
        struct mif_desc desc = mif_desc_read(q, slot, kind);
        uint8_t *data = mif_received_data(q, slot, &desc, kind);
        if (data == NULL || desc.length > MIF_MAX_PACKET - *length) {
            mif_fault(q, data == NULL ? "descriptor out of range"
                                      : "chained packet longer than 65535 bytes");
            return MIF_STEP_FAULT;
        }
        *contiguous = *contiguous && (i == 0 || data == end);
        *length += desc.length;
        end = data + desc.length;
        q->slots[slot].data = data;
        q->slots[slot].segment = desc.length;
        if (!(desc.flags & MIF_DESC_NEXT)) {
            *count = (uint16_t)(i + 1);
            return MIF_STEP_OK;
        }
    }
    *count = 0;
    if (available < q->capacity)
        return MIF_STEP_WAIT;
    mif_fault(q, "chain without an end");
    return MIF_STEP_FAULT;
}

static enum mif_step rx_chain(struct mif_queue *q, memif_buffer_t *buf, enum mif_kind kind)
{
    uint16_t count;
    uint32_t length;
    bool contiguous;
    enum mif_step step = measure_rx_chain(q, &count, &length, &contiguous, kind);
    if (step != MIF_STEP_OK)
        return step;
    uint16_t first = q->next & q->mask;
    step = begin_chain(q, first, count, length, contiguous);
    if (step != MIF_STEP_OK)
        return step;
    struct mif_slot *head = &q->slots[first];
    uint32_t at = 0;
    for (uint16_t i = 0; head->bounce != NULL && i < count; i++) {
        const struct mif_slot *slot = &q->slots[(uint16_t)(first + i) & q->mask];
        memcpy(head->bounce + at, slot->data, slot->segment);
        at += slot->segment;
    }
    *buf = (memif_buffer_t){.desc_index = first,
                            .buffer_len = length,
                            .data_len = length,
                            .data = head->bounce != NULL ? head->bounce : head->data};
    q->next = (uint16_t)(q->next + count);
    return MIF_STEP_OK;
}

/* Receives from the slots that are known to be filled. */
MIF_INLINE enum mif_step take_packets(struct mif_queue *q, void *to, uint16_t count, uint16_t *n,
                                      uint64_t *bytes, enum mif_kind kind)
{
    memif_buffer_t *bufs = to;
    while (q->next != q->limit) {
        if (*n == count)
            return MIF_STEP_FULL;
        uint16_t slot = q->next & q->mask;
        struct mif_desc desc = mif_desc_read(q, slot, kind);
        memif_buffer_t *buf = &bufs[*n];
        if (MIF_UNLIKELY(desc.flags & MIF_DESC_NEXT)) {
            enum mif_step step = rx_chain(q, buf, kind);
            if (step != MIF_STEP_OK)
                return step;
        } else {
            uint8_t *data = mif_received_data(q, slot, &desc, kind);
            if (MIF_UNLIKELY(data == NULL)) {
                mif_fault(q, "descriptor out of range");
                return MIF_STEP_FAULT;
            }
            buf->desc_index = slot;
            buf->buffer_len = mif_kind_is_slave(kind) ? q->slots[slot].capacity : desc.length;
            buf->data_len = desc.length;
            buf->data = data;
            q->next++;
        }
        *bytes += buf->data_len;
        (*n)++;
    }
    return MIF_STEP_OK;
}

MIF_INLINE int rx_burst(struct mif_queue *q, memif_buffer_t *bufs, uint16_t count, uint16_t *rx,
                        enum mif_kind kind)
{
    return mif_rx_burst(q, bufs, count, rx, take_packets, kind);
}

MIF_INLINE int free_burst(struct mif_queue *q, memif_buffer_t *bufs, uint16_t count,
                          uint16_t *freed, enum mif_kind kind)
{
    int err = MIF_ERR_SUCCESS;
    uint16_t n = 0;
    for (; n < count; n++) {
        uint16_t slot = q->done & q->mask;
        if (MIF_UNLIKELY(q->done == q->next || bufs[n].desc_index != slot)) {
            err = MIF_ERR_INVAL_ARG; /* not the oldest packet that was received and not freed */
            break;
        }
        uint16_t slots = MIF_UNLIKELY(q->chains) ? end_chain(q, slot) : 1;
        for (uint16_t i = 0; kind == MIF_KIND_2_SLAVE && i < slots; i++)
            mif_desc_post(q, (uint16_t)(slot + i) & q->mask);
        q->done = (uint16_t)(q->done + slots);
        bufs[n].data = NULL;
    }
    *freed = n;
    if (n > 0)
        mif_publish(q, true, kind);
    return err;
}

/* ---- transmit ---- */

/* Reserves as many slots as `size` bytes take; none of them when not all are free. */
static enum mif_step alloc_chain(struct mif_queue *q, memif_buffer_t *buf, uint16_t size,
                                 enum mif_kind kind)
{
    uint16_t first = q->next & q->mask;
    uint16_t count = 0;
    uint32_t length = 0;
    bool contiguous = true;
    const uint8_t *end = NULL;
    while (length < size) {
        uint16_t counter = (uint16_t)(q->next + count);
        if (counter == q->limit) {
            enum mif_step step = mif_advance(q, kind);
            if (step != MIF_STEP_OK || counter == q->limit)
                return step == MIF_STEP_OK ? MIF_STEP_WAIT : step;
        }
        uint16_t slot = counter & q->mask;
        enum mif_step step = mif_know_tx_slot(q, slot, kind);
        if (step != MIF_STEP_OK)
            return step;
        const struct mif_slot *own = &q->slots[slot];
        contiguous = contiguous && (count == 0 || own->data == end);
        length += own->capacity;
        end = own->data + own->capacity;
        count++;
    }
    enum mif_step step = begin_chain(q, first, count, length, contiguous);
    if (step != MIF_STEP_OK)
        return step;
    struct mif_slot *head = &q->slots[first];
    *buf = (memif_buffer_t){.desc_index = first,
                            .buffer_len = length,
                            .data = head->bounce != NULL ? head->bounce : head->data};
    q->next = (uint16_t)(q->next + count);
    return MIF_STEP_OK;
}

MIF_INLINE int alloc_burst(struct mif_queue *q, memif_buffer_t *bufs, uint16_t count,
                           uint16_t *allocated, uint16_t size, enum mif_kind kind)
{
    enum mif_step step = MIF_STEP_OK;
    uint16_t n = 0;
    for (; n < count; n++) {
        if (q->next == q->limit) {
            step = mif_advance(q, kind);
            if (step == MIF_STEP_OK && q->next == q->limit)
                step = MIF_STEP_WAIT;
            if (step != MIF_STEP_OK)
                break;
        }
        uint16_t slot = q->next & q->mask;
        step = mif_know_tx_slot(q, slot, kind);
        if (MIF_UNLIKELY(step != MIF_STEP_OK))
            break;
        if (MIF_UNLIKELY(size > q->slots[slot].capacity)) {
            step = alloc_chain(q, &bufs[n], size, kind);
            if (step != MIF_STEP_OK)
                break;
            continue;
        }
        bufs[n].desc_index = slot;
        bufs[n].buffer_len = q->slots[slot].capacity;
        bufs[n].data_len = 0;
        bufs[n].data = q->slots[slot].data;
        q->next++;
    }
    *allocated = n;
    return mif_step_error(step, step == MIF_STEP_WAIT ? MIF_ERR_NOBUF_RING : MIF_ERR_SUCCESS);
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
static void tx_chain(struct mif_queue *q, uint16_t first, uint32_t length, enum mif_kind kind)
{
    const struct mif_slot *head = &q->slots[first];
    const uint8_t *bytes = head->bounce != NULL ? head->bounce : head->data;
    uint16_t count = head->chain;
    uint32_t remaining = length;
    for (uint16_t i = 0; i < count; i++) {
        struct mif_slot *slot = &q->slots[(uint16_t)(first + i) & q->mask];
        slot->segment = segment_length(slot->capacity, remaining, (uint32_t)count - 1 - i);
        remaining -= slot->segment;
    }
    uint32_t at = length;
    for (uint16_t i = count; i-- > 0;) {
        uint16_t index = (uint16_t)(first + i) & q->mask;
        const struct mif_slot *slot = &q->slots[index];
        at -= slot->segment;
        if (slot->data != bytes + at)
            memmove(slot->data, bytes + at, slot->segment);
        mif_desc_fill(q, index, i + 1 < count ? MIF_DESC_NEXT : 0, slot->segment, kind);
    }
}

MIF_INLINE int tx_burst(struct mif_queue *q, const memif_buffer_t *bufs, uint16_t count,
                        uint16_t *tx, enum mif_kind kind)
{
    int err = MIF_ERR_SUCCESS;
    uint16_t n = 0;
    uint64_t bytes = 0;
    for (; n < count; n++) {
        uint16_t slot = q->done & q->mask;
        uint32_t length = bufs[n].data_len;
        bool chain = MIF_UNLIKELY(q->chains) && q->slots[slot].chain != 0;
        uint32_t capacity = chain ? q->slots[slot].length : q->slots[slot].capacity;
        if (MIF_UNLIKELY(q->done == q->next || bufs[n].desc_index != slot || length > capacity)) {
            err = MIF_ERR_INVAL_ARG; /* not the oldest reserved buffer, or more than it holds */
            break;
        }
        if (MIF_UNLIKELY(chain)) {
            tx_chain(q, slot, length, kind);
            q->done = (uint16_t)(q->done + end_chain(q, slot));
        } else {
            mif_desc_fill(q, slot, 0, length, kind);
            q->done++;
        }
        bytes += length;
    }
    *tx = n;
    if (n == 0)
        return err;
    mif_publish(q, false, kind);
    mif_count(&q->packets, n);
    mif_count(&q->bytes, bytes);
    if (MIF_UNLIKELY(!mif_notify(q)) && err == MIF_ERR_SUCCESS)
        err = MIF_ERR_INT_WRITE;
    return err;
}

/* ---- the four calls: enter the queue, pick the instance for its kind, leave ---- */

int mif_packet_rx(void *handle, uint16_t qid, memif_buffer_t *bufs, uint16_t count, uint16_t *rx)
{
    struct mif_queue *q = mif_enter(handle, qid, MIF_RX);
    int err = MIF_ERR_SUCCESS;
    *rx = 0;
    if (q == NULL)
        return mif_why_not(handle, qid, MIF_RX);
    MIF_FOR_KIND(q, err, rx_burst, bufs, count, rx)
    mif_leave(q);
    return err;
}

int mif_packet_free(void *handle, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                    uint16_t *freed)
{
    struct mif_queue *q = mif_enter(handle, qid, MIF_RX);
    int err = MIF_ERR_SUCCESS;
    *freed = 0;
    if (q == NULL)
        return mif_why_not(handle, qid, MIF_RX);
    MIF_FOR_KIND(q, err, free_burst, bufs, count, freed)
    mif_leave(q);
    return err;
}

int mif_packet_alloc(void *handle, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                     uint16_t *allocated, uint16_t size)
{
    struct mif_queue *q = mif_enter(handle, qid, MIF_TX);
    int err = MIF_ERR_SUCCESS;
    *allocated = 0;
    if (q == NULL)
        return mif_why_not(handle, qid, MIF_TX);
    MIF_FOR_KIND(q, err, alloc_burst, bufs, count, allocated, size)
    mif_leave(q);
    return err;
}

int mif_packet_tx(void *handle, uint16_t qid, memif_buffer_t *bufs, uint16_t count, uint16_t *tx)
{
    struct mif_queue *q = mif_enter(handle, qid, MIF_TX);
    int err = MIF_ERR_SUCCESS;
    *tx = 0;
    if (q == NULL)
        return mif_why_not(handle, qid, MIF_TX);
    MIF_FOR_KIND(q, err, tx_burst, bufs, count, tx)
    mif_leave(q);
    return err;
}
