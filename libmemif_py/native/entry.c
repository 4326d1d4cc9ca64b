/* SPDX-License-Identifier: Apache-2.0 */
#include "entry.h"

#include "engine.h"

#include <stddef.h>

/* ---- receive ---- */

MIF_INLINE uint8_t *entry_data(const struct mif_queue *q, uint16_t slot,
                               const struct mif_desc *desc, enum mif_kind kind)
{
    if (!mif_kind_is_slave(kind))
        return mif_peer_data(q, desc->region, desc->offset, desc->length);
    const struct mif_slot *own = &q->slots[slot];
    return desc->length <= own->capacity - own->headroom ? own->data + own->headroom : NULL;
}

MIF_INLINE bool read_entry(struct mif_queue *q, uint16_t slot, memif_buffer_t *buf,
                           enum mif_kind kind)
{
    struct mif_desc desc = mif_desc_read(q, slot, kind);
    uint8_t *data = entry_data(q, slot, &desc, kind);
    if (MIF_UNLIKELY(data == NULL)) {
        mif_fault(q, "descriptor out of range");
        return false;
    }
    buf->desc_index = slot;
    buf->queue = q;
    buf->len = desc.length;
    buf->flags = (uint8_t)(desc.flags & MIF_DESC_NEXT);
    buf->data = data;
    return true;
}

/* The whole ring is one packet, and still it goes on. */
static bool chain_is_endless(const struct mif_queue *q)
{
    return q->done == q->next && (uint16_t)(q->limit - q->next) == q->capacity;
}

/* Hands out whole packets while they fit; one that is longer than all of bufs goes out in pieces.
 */
MIF_INLINE enum mif_step take_entries(struct mif_queue *q, void *to, uint16_t count, uint16_t *n,
                                      uint64_t *bytes, enum mif_kind kind)
{
    memif_buffer_t *bufs = to;
    enum mif_step step = MIF_STEP_OK;
    uint16_t counter = q->next, read = *n;
    uint64_t read_bytes = *bytes;
    bool in_chain = false;
    while (counter != q->limit) {
        if (read == count) {
            step = MIF_STEP_FULL;
            break;
        }
        if (!read_entry(q, counter++ & q->mask, &bufs[read], kind))
            return MIF_STEP_FAULT;
        read_bytes += bufs[read].len;
        in_chain = bufs[read++].flags & MIF_DESC_NEXT;
        if (MIF_LIKELY(!in_chain)) {
            q->next = counter;
            *n = read;
            *bytes = read_bytes;
        }
    }
    if (MIF_LIKELY(!in_chain))
        return step;
    if (step == MIF_STEP_FULL && *n == 0) {
        q->next = counter;
        *n = read;
        *bytes = read_bytes;
    } else if (step == MIF_STEP_OK) {
        step = MIF_STEP_WAIT;
        if (chain_is_endless(q)) {
            mif_fault(q, "chain without an end");
            step = MIF_STEP_FAULT;
        }
    }
    return step;
}

MIF_INLINE int rx_burst(struct mif_queue *q, memif_buffer_t *bufs, uint16_t count, uint16_t *rx,
                        enum mif_kind kind)
{
    return mif_rx_burst(q, bufs, count, rx, take_entries, kind);
}

/* As slave of version 512 the buffers are posted, `headroom` bytes in; otherwise the slots are
 * given back as they are: in version 256 they keep their places for good. */
MIF_INLINE int refill(struct mif_queue *q, uint16_t count, uint16_t headroom, enum mif_kind kind)
{
    uint16_t consumed = (uint16_t)(q->next - q->done);
    bool post = kind == MIF_KIND_2_SLAVE;
    if (post ? headroom >= q->buffer_size : (mif_kind_is_slave(kind) && headroom > 0))
        return MIF_ERR_INVAL_ARG;
    if (count > consumed)
        count = consumed;
    for (uint16_t i = 0; post && i < count; i++) {
        uint16_t slot = (uint16_t)(q->done + i) & q->mask;
        q->slots[slot].headroom = headroom;
        mif_desc_post(q, slot);
    }
    q->done = (uint16_t)(q->done + count);
    if (count > 0)
        mif_publish(q, true, kind);
    return MIF_ERR_SUCCESS;
}

/* ---- transmit ---- */

/* The most entries that a packet may take, so that an array sized by the interface's own buffer
 * size is never outgrown, whatever a peer posts. */
static uint32_t entries_allowed(const struct mif_queue *q, uint16_t size)
{
    uint32_t entries = (size + q->buffer_size - 1) / q->buffer_size;
    return entries > 0 ? entries : 1;
}

/* Makes sure that the slot is free and its buffer known. */
MIF_INLINE enum mif_step free_slot(struct mif_queue *q, uint16_t counter, enum mif_kind kind)
{
    if (counter == q->limit) {
        enum mif_step step = mif_advance(q, kind);
        if (step != MIF_STEP_OK)
            return step;
        if (counter == q->limit)
            return MIF_STEP_WAIT;
    }
    return mif_know_tx_slot(q, counter & q->mask, kind);
}

/* Reserves one packet, or none of it. */
MIF_INLINE enum mif_step alloc_packet(struct mif_queue *q, memif_buffer_t *bufs, uint16_t *entries,
                                      uint16_t size, uint32_t allowed, enum mif_kind kind)
{
    uint32_t left = size;
    uint16_t n = 0;
    do {
        uint16_t counter = (uint16_t)(q->next + n);
        if (n == allowed)
            return MIF_STEP_WAIT; /* the peer's buffers are smaller than ours are said to be */
        enum mif_step step = free_slot(q, counter, kind);
        if (MIF_UNLIKELY(step != MIF_STEP_OK))
            return step;
        const struct mif_slot *own = &q->slots[counter & q->mask];
        uint32_t length = size == 0 || left > own->capacity ? own->capacity : left;
        bufs[n++] = (memif_buffer_t){
            .desc_index = counter & q->mask, .queue = q, .len = length, .data = own->data};
        left -= size == 0 ? 0 : length;
        if (left > 0)
            bufs[n - 1].flags = MEMIF_BUFFER_FLAG_NEXT;
    } while (left > 0);
    q->next = (uint16_t)(q->next + n);
    *entries = n;
    return MIF_STEP_OK;
}

MIF_INLINE int alloc_burst(struct mif_queue *q, memif_buffer_t *bufs, uint16_t count,
                           uint16_t *allocated, uint16_t size, enum mif_kind kind)
{
    enum mif_step step = MIF_STEP_OK;
    uint32_t allowed = entries_allowed(q, size);
    uint16_t total = 0, entries = 0;
    for (uint16_t i = 0; i < count; i++) {
        step = alloc_packet(q, bufs + total, &entries, size, allowed, kind);
        if (MIF_UNLIKELY(step != MIF_STEP_OK))
            break;
        total = (uint16_t)(total + entries);
    }
    *allocated = total;
    return mif_step_error(step, step == MIF_STEP_WAIT ? MIF_ERR_NOBUF_RING : MIF_ERR_SUCCESS);
}

/* True if buf is an entry of q whose slot is between done and next. */
static bool is_held(const struct mif_queue *q, const memif_buffer_t *buf)
{
    if (buf->queue != q || buf->desc_index > q->mask)
        return false;
    uint16_t ahead = (uint16_t)(buf->desc_index - q->done) & q->mask;
    return ahead < (uint16_t)(q->next - q->done);
}

static int set_next_free(struct mif_queue *q, const memif_buffer_t *buf)
{
    if (!is_held(q, buf))
        return MIF_ERR_INVAL_ARG;
    q->next = (uint16_t)(q->done + ((uint16_t)(buf->desc_index - q->done) & q->mask));
    return MIF_ERR_SUCCESS;
}

/* How far the entry's data has moved forward in its buffer; -1 when the entry is not good to send:
 * not the oldest reserved one, outside its buffer, or moved where the buffer is not ours. */
MIF_INLINE ptrdiff_t sendable_at(const struct mif_queue *q, const memif_buffer_t *buf,
                                 uint16_t slot, enum mif_kind kind)
{
    const struct mif_slot *own = &q->slots[slot];
    uintptr_t moved = (uintptr_t)buf->data - (uintptr_t)own->data;
    if (MIF_UNLIKELY(buf->desc_index != slot || buf->queue != q || moved > own->capacity ||
                     buf->len > own->capacity - moved))
        return -1;
    if (MIF_UNLIKELY(moved != 0 && kind != MIF_KIND_2_SLAVE))
        return -1;
    return (ptrdiff_t)moved;
}

/* Sends whole packets; the beginning of one whose end is not in bufs stays reserved. */
MIF_INLINE int tx_burst(struct mif_queue *q, const memif_buffer_t *bufs, uint16_t count,
                        uint16_t *tx, enum mif_kind kind)
{
    int err = MIF_ERR_SUCCESS;
    uint16_t n = 0;
    uint64_t bytes = 0, sent_bytes = 0;
    uint16_t counter = q->done;
    for (uint16_t i = 0; i < count; i++) {
        uint16_t slot = counter & q->mask;
        ptrdiff_t moved = counter == q->next ? -1 : sendable_at(q, &bufs[i], slot, kind);
        if (MIF_UNLIKELY(moved < 0)) {
            err = MIF_ERR_INVAL_ARG;
            break;
        }
        uint16_t flags = bufs[i].flags & MEMIF_BUFFER_FLAG_NEXT;
        mif_desc_fill(q, slot, flags, bufs[i].len, kind);
        if (kind == MIF_KIND_2_SLAVE)
            mif_desc_place(q, slot, (uint32_t)moved);
        bytes += bufs[i].len;
        counter++;
        if (MIF_LIKELY(!flags)) {
            q->done = counter;
            n = (uint16_t)(i + 1);
            sent_bytes = bytes;
        }
    }
    *tx = n;
    if (n == 0)
        return err;
    mif_publish(q, false, kind);
    mif_count(&q->packets, n);
    mif_count(&q->bytes, sent_bytes);
    if (MIF_UNLIKELY(!mif_notify(q)) && err == MIF_ERR_SUCCESS)
        err = MIF_ERR_INT_WRITE;
    return err;
}

/* ---- moving buffers without a copy (slave) ---- */

/* Where memory lies in the regions of a queue's connection. */
static bool locate(const struct mif_queue *q, const struct mif_slot *slot, uint16_t *region,
                   uint64_t *offset)
{
    for (uint16_t i = 0; i < q->region_count; i++) {
        const struct mif_region *r = &q->regions[i];
        uintptr_t at = (uintptr_t)slot->data - (uintptr_t)r->base;
        if (r->size >= slot->capacity && at <= r->size - slot->capacity) {
            *region = i;
            *offset = at;
            return true;
        }
    }
    return false;
}

/* Two slots change their buffers. Between interfaces that works only for memory which both share,
 * that is an external region, and for buffers of one size. False: it does not. */
static bool swap_slots(struct mif_queue *qa, uint16_t a, struct mif_queue *qb, uint16_t b)
{
    struct mif_slot to_a = qb->slots[b], to_b = qa->slots[a];
    if (qa->regions != qb->regions &&
        (to_a.capacity != to_b.capacity || !locate(qa, &to_a, &to_a.region, &to_a.offset) ||
         !locate(qb, &to_b, &to_b.region, &to_b.offset)))
        return false;
    qa->slots[a] = to_a;
    qb->slots[b] = to_b;
    return true;
}

/* False for an entry whose buffer is in another slot by now, or who reaches out of it. */
static bool is_in_its_slot(const struct mif_queue *q, const memif_buffer_t *buf)
{
    const struct mif_slot *own = &q->slots[buf->desc_index];
    uintptr_t at = (uintptr_t)buf->data - (uintptr_t)own->data;
    return at <= own->capacity && buf->len <= own->capacity - at;
}

/* The queue that an entry came from, entered; NULL when it is none of a slave of version 512 or the
 * entry is not held. */
static struct mif_queue *enter_source(const memif_buffer_t *buf)
{
    struct mif_queue *q = mif_enter_queue(buf->queue);
    if (q == NULL)
        return NULL;
    if (q->kind == MIF_KIND_2_SLAVE && is_held(q, buf) && is_in_its_slot(q, buf))
        return q;
    mif_leave(q);
    return NULL;
}

static int enqueue_one(struct mif_queue *q, memif_buffer_t *buf)
{
    enum mif_step step = free_slot(q, q->next, MIF_KIND_2_SLAVE);
    if (step != MIF_STEP_OK)
        return mif_step_error(step, MIF_ERR_NOBUF_RING);
    /* What waits to be sent is no received buffer, and q must not be entered twice. */
    if (mif_direction_of(buf->queue) != MIF_RX)
        return MIF_ERR_INVAL_ARG;
    struct mif_queue *source = enter_source(buf);
    if (source == NULL)
        return MIF_ERR_INVAL_ARG;
    uint16_t slot = q->next & q->mask;
    bool swapped = swap_slots(source, buf->desc_index, q, slot);
    mif_leave(source);
    if (!swapped)
        return MIF_ERR_INVAL_ARG;
    buf->desc_index = slot;
    buf->queue = q;
    q->next++;
    return MIF_ERR_SUCCESS;
}

static int enqueue_burst(struct mif_queue *q, memif_buffer_t *bufs, uint16_t count,
                         uint16_t *enqueued)
{
    int err = MIF_ERR_SUCCESS;
    uint16_t n = 0;
    if (q->kind != MIF_KIND_2_SLAVE)
        return MIF_ERR_INVAL_ARG;
    while (n < count && err == MIF_ERR_SUCCESS) {
        err = enqueue_one(q, &bufs[n]);
        n = (uint16_t)(n + (err == MIF_ERR_SUCCESS));
    }
    *enqueued = n;
    return err;
}

/* ---- the calls: enter the queue, pick the instance for its kind, leave ---- */

int mif_entry_rx(void *handle, uint16_t qid, memif_buffer_t *bufs, uint16_t count, uint16_t *rx)
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

int mif_entry_refill(void *handle, uint16_t qid, uint16_t count, uint16_t headroom)
{
    struct mif_queue *q = mif_enter(handle, qid, MIF_RX);
    int err = MIF_ERR_SUCCESS;
    if (q == NULL)
        return mif_why_not(handle, qid, MIF_RX);
    MIF_FOR_KIND(q, err, refill, count, headroom)
    mif_leave(q);
    return err;
}

int mif_entry_alloc(void *handle, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
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

int mif_entry_set_next_free(void *handle, uint16_t qid, const memif_buffer_t *buf)
{
    struct mif_queue *q = mif_enter(handle, qid, MIF_TX);
    if (q == NULL)
        return mif_why_not(handle, qid, MIF_TX);
    int err = set_next_free(q, buf);
    mif_leave(q);
    return err;
}

int mif_entry_tx(void *handle, uint16_t qid, memif_buffer_t *bufs, uint16_t count, uint16_t *tx)
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

int mif_entry_enqueue(void *handle, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                      uint16_t *enqueued)
{
    struct mif_queue *q = mif_enter(handle, qid, MIF_TX);
    *enqueued = 0;
    if (q == NULL)
        return mif_why_not(handle, qid, MIF_TX);
    int err = enqueue_burst(q, bufs, count, enqueued);
    mif_leave(q);
    return err;
}

int mif_entry_requeue(void *handle, memif_buffer_t *a, memif_buffer_t *b)
{
    const struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL)
        return MIF_ERR_NOCONN;
    if (!atomic_load(&conn->up))
        return MIF_ERR_DISCONNECTED;
    struct mif_queue *qa = enter_source(a);
    if (qa == NULL)
        return MIF_ERR_INVAL_ARG;
    struct mif_queue *qb = a->queue == b->queue ? qa : enter_source(b);
    bool good = qb != NULL && is_held(qb, b) && is_in_its_slot(qb, b) &&
                swap_slots(qa, a->desc_index, qb, b->desc_index);
    if (good) {
        memif_buffer_t was = *a;
        a->desc_index = b->desc_index;
        a->queue = b->queue;
        b->desc_index = was.desc_index;
        b->queue = was.queue;
    }
    if (qb != NULL && qb != qa)
        mif_leave(qb);
    mif_leave(qa);
    return good ? MIF_ERR_SUCCESS : MIF_ERR_INVAL_ARG;
}
