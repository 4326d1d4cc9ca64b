/* SPDX-License-Identifier: Apache-2.0 */
#include "entry.h"

#define MIF_FACE_ERROR(code) (code)
#include "face.h"

#include <stddef.h>

/* ---- receive ---- */

MIF_INLINE bool read_entry(struct mif_queue *q, struct mif_window *window, uint16_t slot,
                           memif_buffer_t *buf, enum mif_kind kind)
{
    struct mif_desc desc = mif_desc_read(q->descs, slot, kind);
    uint8_t *data = mif_received_data(q, window, &q->slots[slot], &desc, kind);
    *buf = (memif_buffer_t){.desc_index = slot,
                            .queue = q,
                            .len = desc.length,
                            .flags = (uint8_t)(desc.head & MIF_DESC_NEXT),
                            .data = data};
    return MIF_LIKELY(data != NULL);
}

/* Forgets that slots which were handed out belonged to chains; see mif_desc_unchain. */
static void unchain_entries(struct mif_queue *q, const memif_buffer_t *bufs, uint16_t count)
{
    for (uint16_t i = 0; i < count; i++)
        if (bufs[i].flags & MIF_DESC_NEXT)
            mif_desc_unchain(q->descs, bufs[i].desc_index);
}

/* The whole ring is one packet, and still it goes on. */
static bool chain_is_endless(const struct mif_queue *q)
{
    return q->done == q->next && (uint16_t)(q->limit - q->next) == q->capacity;
}

/* Where a burst stands: entries before `n` are handed out. */
MIF_INLINE void hand_out(struct mif_queue *q, const memif_buffer_t *bufs, uint16_t *n, uint16_t to,
                         uint16_t counter, enum mif_kind kind)
{
    uint16_t entries = (uint16_t)(to - *n);
    if (kind == MIF_KIND_2_MASTER && MIF_UNLIKELY(entries > 1))
        unchain_entries(q, &bufs[*n], entries);
    q->next = counter;
    *n = to;
}

/* Hands out whole packets while they fit; one that is longer than all of bufs goes out in pieces.
 */
MIF_INLINE enum mif_step take_entries(struct mif_queue *q, memif_buffer_t *bufs, uint32_t count,
                                      uint16_t *n, uint64_t *bytes, enum mif_kind kind)
{
    struct mif_window window = mif_window_of(q, q->recent_region);
    enum mif_step step = MIF_STEP_OK;
    uint16_t counter = q->next, read = *n;
    uint64_t read_bytes = *bytes;
    bool in_chain = false;
    while (counter != q->limit) {
        if (read == count) {
            step = MIF_STEP_FULL;
            break;
        }
        if (MIF_UNLIKELY(!read_entry(q, &window, counter++ & q->mask, &bufs[read], kind)))
            return mif_step_fault(q, "descriptor out of range");
        read_bytes += bufs[read].len;
        in_chain = bufs[read++].flags & MIF_DESC_NEXT;
        if (MIF_LIKELY(!in_chain)) {
            hand_out(q, bufs, n, read, counter, kind);
            *bytes = read_bytes;
        }
    }
    if (MIF_LIKELY(!in_chain))
        return step;
    if (step == MIF_STEP_FULL && *n == 0) {
        hand_out(q, bufs, n, read, counter, kind);
        *bytes = read_bytes;
    } else if (step == MIF_STEP_OK) {
        step = chain_is_endless(q) ? mif_step_fault(q, "chain without an end") : MIF_STEP_WAIT;
    }
    return step;
}

/* One instance for all kinds: a system call outweighs what it costs. */
static __attribute__((noinline)) int rx_interrupt(struct mif_queue *q, memif_buffer_t *bufs,
                                                  uint32_t count, uint16_t *rx)
{
    return mif_rx_interrupt(q, bufs, count, rx, take_entries, (enum mif_kind)q->kind);
}

/* While the application polls, one look at the peer's index is enough, and none when enough entries
 * are known to wait: what comes later is for the next call. */
MIF_INLINE int rx_burst(struct mif_queue *q, uint32_t size, memif_buffer_t *bufs, uint32_t count,
                        uint16_t *rx, enum mif_kind kind)
{
    uint16_t n = 0;
    uint64_t bytes = 0;
    (void)size;
    if (MIF_UNLIKELY(!atomic_load_explicit(&q->polling, memory_order_relaxed)))
        return rx_interrupt(q, bufs, count, rx);
    if ((uint16_t)(q->limit - q->next) < count && MIF_UNLIKELY(!mif_refresh(q, kind)))
        return mif_rx_end(q, 0, 0, rx, mif_step_fault(q, MIF_BAD_INDEX));
    enum mif_step step = take_entries(q, bufs, count, &n, &bytes, kind);
    return mif_rx_end(q, n, bytes, rx, step);
}

/* As slave of version 512 the buffers are posted, `headroom` bytes in; otherwise the slots are
 * given back as they are: in version 256 they keep their places for good. */
MIF_INLINE int refill(struct mif_queue *q, uint32_t count, uint32_t headroom, enum mif_kind kind)
{
    uint16_t consumed = (uint16_t)(q->next - q->done);
    bool post = kind == MIF_KIND_2_SLAVE;
    if (post ? headroom >= q->buffer_size : (mif_kind_is_slave(kind) && headroom > 0))
        return MIF_ERR_INVAL_ARG;
    if (count > consumed)
        count = consumed;
    for (uint16_t i = 0; post && i < count; i++)
        mif_slot_set_headroom(&q->slots[(uint16_t)(q->done + i) & q->mask], (uint16_t)headroom);
    mif_post_slots(q, count, kind);
    if (MIF_LIKELY(count > 0))
        mif_publish(q, true, kind);
    return MIF_ERR_SUCCESS;
}

/* ---- transmit ---- */

/* The most entries that a burst may take, so that an array sized by the interface's own buffer size
 * is never outgrown, whatever a peer posts. */
MIF_INLINE uint32_t entries_allowed(const struct mif_queue *q, uint32_t count, uint32_t size)
{
    uint32_t each = (size + q->buffer_size - 1) / q->buffer_size;
    return count * (each > 0 ? each : 1);
}

/* Reserves one packet, or none of it. */
MIF_INLINE enum mif_step alloc_packet(struct mif_queue *q, struct mif_window *window,
                                      memif_buffer_t *bufs, uint16_t *entries, uint32_t size,
                                      uint32_t allowed, enum mif_kind kind)
{
    uint32_t left = size;
    uint16_t n = 0;
    do {
        uint16_t counter = (uint16_t)(q->next + n);
        if (n == allowed)
            return MIF_STEP_WAIT; /* the peer's buffers are smaller than ours are said to be */
        enum mif_step step = mif_free_slot(q, window, counter, kind);
        if (MIF_UNLIKELY(step != MIF_STEP_OK))
            return step;
        const struct mif_slot *own = &q->slots[counter & q->mask];
        uint32_t length =
            size == 0 || left > mif_slot_capacity(own) ? mif_slot_capacity(own) : left;
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

MIF_INLINE int alloc_burst(struct mif_queue *q, uint32_t size, memif_buffer_t *bufs, uint32_t count,
                           uint16_t *allocated, enum mif_kind kind)
{
    struct mif_window window = mif_window_of(q, q->recent_region);
    enum mif_step step = MIF_STEP_OK;
    uint32_t allowed = entries_allowed(q, count, size);
    uint16_t total = 0, entries = 0;
    for (uint16_t i = 0; i < count; i++) {
        step = alloc_packet(q, &window, bufs + total, &entries, size, allowed - total, kind);
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

/* True if the entry is the reserved one of this slot and lies in its buffer. Only a slave of
 * version 512 may have moved the data forward: other buffers stay where the peer has them. */
MIF_INLINE bool is_sendable(const struct mif_queue *q, const memif_buffer_t *buf, uint16_t slot,
                            const struct mif_slot *own, enum mif_kind kind)
{
    uintptr_t moved = (uintptr_t)buf->data - (uintptr_t)own->data;
    bool placed = kind == MIF_KIND_2_SLAVE ? moved <= mif_slot_capacity(own) &&
                                                 buf->len <= mif_slot_capacity(own) - moved
                                           : moved == 0 && buf->len <= mif_slot_capacity(own);
    return MIF_LIKELY(buf->desc_index == slot && buf->queue == q && placed);
}

/* Fills slots with the entries in order; returns how many belong to whole packets. The beginning of
 * a packet whose end is not in bufs stays reserved. */
MIF_INLINE uint16_t fill_entries(struct mif_queue *q, const memif_buffer_t *bufs, uint32_t count,
                                 uint64_t *bytes, int *err, enum mif_kind kind)
{
    void *descs = q->descs;
    const struct mif_slot *slots = q->slots;
    const struct mif_region *regions = q->regions;
    const uint16_t done = q->done, mask = q->mask, held = (uint16_t)(q->next - done);
    uint16_t whole = 0;
    uint64_t sum = 0;
    for (uint16_t i = 0; i < count; i++) {
        uint16_t slot = (uint16_t)(done + i) & mask;
        const struct mif_slot *own = &slots[slot];
        if (MIF_UNLIKELY(i == held || !is_sendable(q, &bufs[i], slot, own, kind))) {
            *err = MIF_ERR_INVAL_ARG;
            break;
        }
        uint16_t flags = bufs[i].flags & MEMIF_BUFFER_FLAG_NEXT;
        mif_desc_fill(descs, slot, own, flags, bufs[i].len, kind);
        if (kind == MIF_KIND_2_SLAVE)
            mif_desc_place(
                descs, slot,
                (uint32_t)((uint8_t *)bufs[i].data - regions[mif_slot_region(own)].base));
        sum += bufs[i].len;
        if (MIF_LIKELY(!flags)) {
            whole = (uint16_t)(i + 1);
            *bytes = sum;
        }
    }
    q->done = (uint16_t)(done + whole);
    return whole;
}

MIF_INLINE int tx_burst(struct mif_queue *q, uint32_t size, memif_buffer_t *bufs, uint32_t count,
                        uint16_t *tx, enum mif_kind kind)
{
    int err = MIF_ERR_SUCCESS;
    uint64_t bytes = 0;
    uint16_t n = fill_entries(q, bufs, count, &bytes, &err, kind);
    (void)size;
    *tx = n;
    if (MIF_UNLIKELY(n == 0))
        return err;
    mif_count(&q->packets, n);
    mif_count(&q->bytes, bytes);
    return MIF_LIKELY(mif_publish_sent(q, kind)) ? err : MIF_ERR_INT_WRITE;
}

/* ---- moving buffers without a copy (slave) ---- */

/* The region of a queue's connection that a buffer lies in, or -1. */
static int locate(const struct mif_queue *q, const struct mif_slot *slot)
{
    for (uint16_t i = 0; i < q->region_count; i++) {
        const struct mif_region *r = &q->regions[i];
        uintptr_t at = (uintptr_t)slot->data - (uintptr_t)r->base;
        if (r->size >= mif_slot_capacity(slot) && at <= r->size - mif_slot_capacity(slot))
            return i;
    }
    return -1;
}

/* Two slots change their buffers. Between interfaces that works only for memory which both share,
 * that is an external region, and for buffers of one size. False: it does not. */
static bool swap_slots(struct mif_queue *qa, uint16_t a, struct mif_queue *qb, uint16_t b)
{
    struct mif_slot to_a = qb->slots[b], to_b = qa->slots[a];
    if (qa->regions != qb->regions) {
        int region_a = locate(qa, &to_a), region_b = locate(qb, &to_b);
        if (mif_slot_capacity(&to_a) != mif_slot_capacity(&to_b) || region_a < 0 || region_b < 0)
            return false;
        mif_slot_set_region(&to_a, (uint16_t)region_a);
        mif_slot_set_region(&to_b, (uint16_t)region_b);
    }
    qa->slots[a] = to_a;
    qb->slots[b] = to_b;
    return true;
}

/* False for an entry whose buffer is in another slot by now, or who reaches out of it. */
static bool is_in_its_slot(const struct mif_queue *q, const memif_buffer_t *buf)
{
    const struct mif_slot *own = &q->slots[buf->desc_index];
    uintptr_t at = (uintptr_t)buf->data - (uintptr_t)own->data;
    return at <= mif_slot_capacity(own) && buf->len <= mif_slot_capacity(own) - at;
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
    struct mif_window none = {0}; /* a slave's buffers are its own */
    enum mif_step step = mif_free_slot(q, &none, q->next, MIF_KIND_2_SLAVE);
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

/* ---- the calls ---- */

MIF_INLINE int refill_burst(struct mif_queue *q, uint32_t headroom, memif_buffer_t *bufs,
                            uint32_t count, uint16_t *out, enum mif_kind kind)
{
    (void)bufs;
    (void)out;
    return refill(q, count, headroom, kind);
}

MIF_INSTANCES(rx_burst)
MIF_INSTANCES(refill_burst)
MIF_INSTANCES(alloc_burst)
MIF_INSTANCES(tx_burst)

int mif_entry_rx(void *handle, uint32_t qid, memif_buffer_t *bufs, uint32_t count, uint16_t *rx)
{
    struct mif_queue *q = mif_enter(handle, qid, MIF_RX);
    if (MIF_UNLIKELY(q == NULL))
        return mif_burst_refused(handle, qid, MIF_RX, rx);
    return rx_burst_of[q->kind](q, 0, bufs, count, rx);
}

int mif_entry_refill(void *handle, uint32_t qid, uint32_t count, uint32_t headroom)
{
    struct mif_queue *q = mif_enter(handle, qid, MIF_RX);
    if (MIF_UNLIKELY(q == NULL))
        return mif_why_not(handle, qid, MIF_RX);
    return refill_burst_of[q->kind](q, headroom, NULL, count, NULL);
}

int mif_entry_alloc(void *handle, uint32_t qid, memif_buffer_t *bufs, uint32_t count,
                    uint16_t *allocated, uint32_t size)
{
    struct mif_queue *q = mif_enter(handle, qid, MIF_TX);
    if (MIF_UNLIKELY(q == NULL))
        return mif_burst_refused(handle, qid, MIF_TX, allocated);
    return alloc_burst_of[q->kind](q, size, bufs, count, allocated);
}

int mif_entry_tx(void *handle, uint32_t qid, memif_buffer_t *bufs, uint32_t count, uint16_t *tx)
{
    struct mif_queue *q = mif_enter(handle, qid, MIF_TX);
    if (MIF_UNLIKELY(q == NULL))
        return mif_burst_refused(handle, qid, MIF_TX, tx);
    return tx_burst_of[q->kind](q, 0, bufs, count, tx);
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
