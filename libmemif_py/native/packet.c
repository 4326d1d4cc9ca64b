/* SPDX-License-Identifier: Apache-2.0 */
#include "packet.h"

#include "engine.h"
#include "errors.h"

#include <stdlib.h>
#include <string.h>

/* What a step of a burst came to. */
enum step { STEP_OK, STEP_WAIT, STEP_FAULT, STEP_NOMEM };

static int error_of(enum step step, int otherwise)
{
    switch (step) {
    case STEP_FAULT:
        return MIF_ERR_DISCONNECTED;
    case STEP_NOMEM:
        return MIF_ERR_NOMEM;
    default:
        return otherwise;
    }
}

MIF_INLINE enum step refresh(struct mif_queue *q, enum mif_kind kind)
{
    if (MIF_LIKELY(mif_refresh(q, kind)))
        return STEP_OK;
    mif_fault(q, "ring index out of range");
    return STEP_FAULT;
}

/* Marks slot `first` as the start of a packet of `count` slots. Unless its bytes lie in one piece
 * it gets memory of ours; the caller copies. */
static enum step begin_chain(struct mif_queue *q, uint16_t first, uint16_t count, uint32_t length,
                             bool contiguous)
{
    struct mif_slot *slot = &q->slots[first];
    if (!contiguous) {
        slot->bounce = malloc(length > 0 ? length : 1);
        if (slot->bounce == NULL)
            return STEP_NOMEM;
    }
    slot->chain = count;
    slot->length = length;
    q->chains++;
    return STEP_OK;
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

/* Checks the filled slot against what we know of its buffer; NULL = the peer lies. */
MIF_INLINE uint8_t *received_data(const struct mif_queue *q, uint16_t slot,
                                  const struct mif_desc *desc, enum mif_kind kind)
{
    if (mif_kind_is_slave(kind)) /* our own buffer: the peer has no say in where it lies */
        return desc->length <= q->slots[slot].capacity ? q->slots[slot].data : NULL;
    return mif_peer_data(q, desc->region, desc->offset, desc->length);
}

/* Notes each segment of the chain that starts at q->next. *count is 0 when its end is not there
 * yet. */
static enum step measure_rx_chain(struct mif_queue *q, uint16_t *count, uint32_t *length,
                                  bool *contiguous, enum mif_kind kind)
{
    uint16_t available = (uint16_t)(q->limit - q->next);
    const uint8_t *end = NULL;
    *contiguous = true;
    *length = 0;
    for (uint16_t i = 0; i < available; i++) {
        uint16_t slot = (uint16_t)(q->next + i) & q->mask;
        struct mif_desc desc = mif_desc_read(q, slot, kind);
        uint8_t *data = received_data(q, slot, &desc, kind);
        if (data == NULL || desc.length > MIF_MAX_PACKET - *length) {
            mif_fault(q, data == NULL ? "descriptor out of range"
                                      : "chained packet longer than 65535 bytes");
            return STEP_FAULT;
        }
        *contiguous = *contiguous && (i == 0 || data == end);
        *length += desc.length;
        end = data + desc.length;
        q->slots[slot].data = data;
        q->slots[slot].segment = desc.length;
        if (!(desc.flags & MIF_DESC_NEXT)) {
            *count = (uint16_t)(i + 1);
            return STEP_OK;
        }
    }
    *count = 0;
    if (available < q->capacity)
        return STEP_WAIT;
    mif_fault(q, "chain without an end");
    return STEP_FAULT;
}

static enum step rx_chain(struct mif_queue *q, memif_buffer_t *buf, enum mif_kind kind)
{
    uint16_t count;
    uint32_t length;
    bool contiguous;
    enum step step = measure_rx_chain(q, &count, &length, &contiguous, kind);
    if (step != STEP_OK)
        return step;
    uint16_t first = q->next & q->mask;
    step = begin_chain(q, first, count, length, contiguous);
    if (step != STEP_OK)
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
    return STEP_OK;
}

/* Receives from the slots that are known to be filled. */
MIF_INLINE enum step rx_known(struct mif_queue *q, memif_buffer_t *bufs, uint16_t count,
                              uint16_t *n, uint64_t *bytes, enum mif_kind kind)
{
    while (*n < count && q->next != q->limit) {
        uint16_t slot = q->next & q->mask;
        struct mif_desc desc = mif_desc_read(q, slot, kind);
        memif_buffer_t *buf = &bufs[*n];
        if (MIF_UNLIKELY(desc.flags & MIF_DESC_NEXT)) {
            enum step step = rx_chain(q, buf, kind);
            if (step != STEP_OK)
                return step;
        } else {
            uint8_t *data = received_data(q, slot, &desc, kind);
            if (MIF_UNLIKELY(data == NULL)) {
                mif_fault(q, "descriptor out of range");
                return STEP_FAULT;
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
    return STEP_OK;
}

/* In interrupt mode the eventfd is drained only when the ring was seen empty, and the ring is
 * looked at again afterwards: a signal that arrived with its packet in between is not lost. What
 * does not fit into bufs leaves the eventfd readable. */
MIF_INLINE int rx_burst(struct mif_queue *q, memif_buffer_t *bufs, uint16_t count, uint16_t *rx,
                        enum mif_kind kind)
{
    bool interrupt = !atomic_load_explicit(&q->polling, memory_order_relaxed);
    bool drained = false;
    uint16_t n = 0;
    uint64_t bytes = 0;
    enum step step;
    for (;;) {
        step = rx_known(q, bufs, count, &n, &bytes, kind);
        if (step == STEP_FAULT || step == STEP_NOMEM)
            break;
        bool full = n == count;
        if (full && q->next != q->limit)
            break;
        uint16_t before = q->limit;
        step = refresh(q, kind);
        if (step != STEP_OK || full)
            break;
        if (q->limit != before)
            continue;
        if (!interrupt || drained)
            break;
        mif_efd_drain(q->efd);
        drained = true;
    }
    *rx = n;
    mif_count(&q->packets, n);
    mif_count(&q->bytes, bytes);
    bool more = step == STEP_OK && n == count && q->next != q->limit;
    if (MIF_UNLIKELY((more || step == STEP_NOMEM) && drained))
        (void)mif_efd_signal(q->efd);
    return error_of(step, more ? MIF_ERR_NOBUF : MIF_ERR_SUCCESS);
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
        for (uint16_t i = 0; kind == MIF_KIND_2_MASTER && i + 1 < slots; i++)
            mif_desc_unchain(q, (uint16_t)(slot + i) & q->mask);
        q->done = (uint16_t)(q->done + slots);
        bufs[n].data = NULL;
    }
    *freed = n;
    if (n > 0)
        mif_publish(q, true, kind);
    return err;
}

/* ---- transmit ---- */

/* Makes sure that we know the buffer of a free slot: a master takes what the peer has posted. */
MIF_INLINE enum step know_tx_slot(struct mif_queue *q, uint16_t slot, enum mif_kind kind)
{
    if (mif_kind_is_slave(kind))
        return STEP_OK;
    struct mif_desc desc = mif_desc_read(q, slot, kind);
    uint8_t *data = mif_peer_data(q, desc.region, desc.offset, desc.capacity);
    if (MIF_UNLIKELY(data == NULL || desc.capacity == 0)) {
        mif_fault(q, "posted buffer out of range or empty");
        return STEP_FAULT;
    }
    struct mif_slot *own = &q->slots[slot];
    own->data = data;
    own->capacity = desc.capacity;
    own->region = desc.region;
    return STEP_OK;
}

/* Reserves as many slots as `size` bytes take; none of them when not all are free. */
static enum step alloc_chain(struct mif_queue *q, memif_buffer_t *buf, uint16_t size,
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
            enum step step = refresh(q, kind);
            if (step != STEP_OK || counter == q->limit)
                return step == STEP_OK ? STEP_WAIT : step;
        }
        uint16_t slot = counter & q->mask;
        enum step step = know_tx_slot(q, slot, kind);
        if (step != STEP_OK)
            return step;
        const struct mif_slot *own = &q->slots[slot];
        contiguous = contiguous && (count == 0 || own->data == end);
        length += own->capacity;
        end = own->data + own->capacity;
        count++;
    }
    if (length > MIF_MAX_PACKET)
        length = MIF_MAX_PACKET; /* what a receiver accepts; the last buffer stays short */
    enum step step = begin_chain(q, first, count, length, contiguous);
    if (step != STEP_OK)
        return step;
    struct mif_slot *head = &q->slots[first];
    *buf = (memif_buffer_t){.desc_index = first,
                            .buffer_len = length,
                            .data = head->bounce != NULL ? head->bounce : head->data};
    q->next = (uint16_t)(q->next + count);
    return STEP_OK;
}

MIF_INLINE int alloc_burst(struct mif_queue *q, memif_buffer_t *bufs, uint16_t count,
                           uint16_t *allocated, uint16_t size, enum mif_kind kind)
{
    enum step step = STEP_OK;
    uint16_t n = 0;
    for (; n < count; n++) {
        if (q->next == q->limit) {
            step = refresh(q, kind);
            if (step == STEP_OK && q->next == q->limit)
                step = STEP_WAIT;
            if (step != STEP_OK)
                break;
        }
        uint16_t slot = q->next & q->mask;
        step = know_tx_slot(q, slot, kind);
        if (MIF_UNLIKELY(step != STEP_OK))
            break;
        if (MIF_UNLIKELY(size > q->slots[slot].capacity)) {
            step = alloc_chain(q, &bufs[n], size, kind);
            if (step != STEP_OK)
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
    return error_of(step, step == STEP_WAIT ? MIF_ERR_NOBUF_RING : MIF_ERR_SUCCESS);
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

#define FOR_KIND(q, result, function, ...)                                                         \
    switch ((enum mif_kind)(q)->kind) {                                                            \
    case MIF_KIND_1_MASTER:                                                                        \
        result = function(q, __VA_ARGS__, MIF_KIND_1_MASTER);                                      \
        break;                                                                                     \
    case MIF_KIND_1_SLAVE:                                                                         \
        result = function(q, __VA_ARGS__, MIF_KIND_1_SLAVE);                                       \
        break;                                                                                     \
    case MIF_KIND_2_MASTER:                                                                        \
        result = function(q, __VA_ARGS__, MIF_KIND_2_MASTER);                                      \
        break;                                                                                     \
    case MIF_KIND_2_SLAVE:                                                                         \
        result = function(q, __VA_ARGS__, MIF_KIND_2_SLAVE);                                       \
        break;                                                                                     \
    }

int mif_packet_rx(void *handle, uint16_t qid, memif_buffer_t *bufs, uint16_t count, uint16_t *rx)
{
    struct mif_queue *q = mif_enter(handle, qid, MIF_RX);
    int err = MIF_ERR_SUCCESS;
    *rx = 0;
    if (q == NULL)
        return mif_why_not(handle, qid, MIF_RX);
    FOR_KIND(q, err, rx_burst, bufs, count, rx)
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
    FOR_KIND(q, err, free_burst, bufs, count, freed)
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
    FOR_KIND(q, err, alloc_burst, bufs, count, allocated, size)
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
    FOR_KIND(q, err, tx_burst, bufs, count, tx)
    mif_leave(q);
    return err;
}
