/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slow paths of the entry face: packets of several slots, buffers whose region changes from one
 * to the next, and moving buffers without a copy. Its fast paths: entry_fast_path.h.
 */
#define MIF_FACE_CALLS static const struct mif_face_calls entry_calls
#include "datapath/entry_fast_path.h"

#include <stddef.h>

/* ---- receive ---- */

/* True if all slots of the ring belong to one packet and its end is not among them. */
static bool chain_is_endless(const struct mif_queue *q)
{
    return q->done == q->next && q->limit - q->next == mif_capacity(q, (enum mif_kind)q->kind);
}

MIF_INLINE bool read_entry(struct mif_queue *q, uint64_t counter, memif_buffer_t *buf,
                           enum mif_kind kind)
{
    uint16_t slot = mif_slot_of(q, counter);
    struct mif_desc desc = mif_desc_read(q->descs, slot, kind);
    uint8_t *data = mif_received_data(q, &q->slots[slot], &desc, kind);
    set_entry(buf, q, slot, desc.length, (uint8_t)(desc.head & MIF_DESC_NEXT), data);
    return data != NULL;
}

/* Hands out `entries` entries of one packet. `whole`: they contain its end. */
MIF_INLINE void hand_out(struct mif_queue *q, const memif_buffer_t *bufs, uint32_t entries,
                         uint64_t bytes, bool whole, enum mif_kind kind)
{
    /* See mif_desc_unchain. */
    for (uint32_t i = 0; kind == MIF_KIND_512_MASTER && i < entries - (whole ? 1 : 0); i++)
        mif_desc_unchain(q->descs, bufs[i].desc_index);
    mif_store(&q->next, q->next + entries);
    mif_store(&q->bytes, q->bytes + bytes);
    mif_store(&q->extra_slots, q->extra_slots + entries - (whole ? 1 : 0));
}

/* A packet that has more segments than bufs has entries is handed out in pieces. */
MIF_INLINE enum mif_step take_packet(struct mif_queue *q, memif_buffer_t *bufs, uint32_t count,
                                     uint32_t *n, enum mif_kind kind)
{
    memif_buffer_t *first = &bufs[*n];
    uint64_t bytes = 0; /* of the packet, or of the piece of it */
    for (uint32_t i = 0; q->next + i != q->limit; i++) {
        if (*n + i == count) {
            if (*n > 0)
                return MIF_STEP_FULL;
            hand_out(q, first, i, bytes, false, kind);
            *n = i;
            return MIF_STEP_FULL;
        }
        if (MIF_UNLIKELY(!read_entry(q, q->next + i, &first[i], kind)))
            return mif_bad_slot(q, first[i].len);
        bytes += first[i].len;
        if (MIF_UNLIKELY(bytes > mif_max_packet(q)))
            return mif_too_long(q, bytes);
        if (!(first[i].flags & MEMIF_BUFFER_FLAG_NEXT)) {
            hand_out(q, first, i + 1, bytes, true, kind);
            *n += i + 1;
            return MIF_STEP_OK;
        }
    }
    return chain_is_endless(q) ? mif_step_fault(q, "chain without an end") : MIF_STEP_WAIT;
}

/* After a chain there is likely another one. */
MIF_INLINE enum mif_step take_chains(struct mif_queue *q, memif_buffer_t *bufs, uint32_t count,
                                     uint32_t *n, enum mif_kind kind)
{
    uint32_t before;
    enum mif_step step;
    do {
        before = *n;
        step = take_packet(q, bufs, count, n, kind);
    } while (step == MIF_STEP_OK && *n - before > 1 && *n < count && q->next != q->limit);
    return step;
}

enum mif_step mif_take_other(struct mif_queue *q, memif_buffer_t *bufs, uint32_t count, uint32_t *n)
{
    return MIF_BY_KIND(q, take_chains, q, bufs, count, n);
}

/* ---- transmit ---- */

/* How many entries a packet may have. Programs size their arrays by the interface's own buffer
 * size, so there are no more than that takes, whatever buffers a peer posts. */
static uint32_t entries_allowed(const struct mif_queue *q, uint32_t size)
{
    return size > q->buffer_size ? (size + q->buffer_size - 1) / q->buffer_size : 1;
}

/* Entry i of a packet in our own memory, divided as if into buffers of the interface's own size.
 * The packet has fewer entries than slots, and each entry has the index of one of its slots. */
static memif_buffer_t bounced_entry(struct mif_queue *q, uint16_t first, uint32_t i)
{
    const struct mif_chain *chain = &q->chain_of[first];
    uint32_t at = i * q->buffer_size, left = chain->length - at;
    bool last = left <= q->buffer_size;
    memif_buffer_t entry;
    set_entry(&entry, q, mif_slot_of(q, (uint64_t)first + i), last ? left : q->buffer_size,
              last ? 0 : MEMIF_BUFFER_FLAG_NEXT, chain->bounce->data + at);
    return entry;
}

/* The entries of a packet in its own slots. */
static void set_reserved_chain(struct mif_queue *q, memif_buffer_t *bufs, uint32_t slot,
                               uint32_t count, uint32_t size)
{
    const struct mif_slot *slots = q->slots;
    const uint32_t mask = q->mask;
    for (; count > 1; count--, bufs++, slot = (slot + 1) & mask) {
        uint32_t capacity = mif_slot_capacity(&slots[slot]);
        size -= capacity;
        set_entry(bufs, q, slot, capacity, MEMIF_BUFFER_FLAG_NEXT, slots[slot].data);
    }
    set_entry(bufs, q, slot, size > 0 ? size : mif_slot_capacity(&slots[slot]), 0,
              slots[slot].data);
}

enum mif_step mif_reserve_other(struct mif_queue *q, memif_buffer_t *bufs, uint32_t size,
                                uint32_t *entries)
{
    uint16_t first = mif_slot_of(q, q->next);
    uint32_t allowed = entries_allowed(q, size);
    struct mif_room room;
    enum mif_step step = mif_chain_measure(q, size, &room);
    bool bounced = step == MIF_STEP_OK && room.count > allowed;
    if (bounced)
        step = mif_chain_begin(q, first, room.count, size, false);
    if (step != MIF_STEP_OK)
        return step;
    *entries = bounced ? allowed : room.count;
    for (uint32_t i = 0; bounced && i < allowed; i++)
        bufs[i] = bounced_entry(q, first, i);
    if (!bounced)
        set_reserved_chain(q, bufs, first, room.count, size);
    mif_store(&q->next, q->next + room.count);
    return MIF_STEP_OK;
}

/* The same as is_sendable, but the entry may reach into the tail room behind its slot's buffer. */
static bool is_sendable_with_tailroom(const memif_buffer_t *buf, const struct mif_queue *q,
                                      uint64_t slot, enum mif_kind kind)
{
    const struct mif_slot *own = &q->slots[slot];
    return kind == MIF_KIND_512_SLAVE && buf->desc_index == slot && buf->queue == q &&
           mif_slot_holds(q, own, (uintptr_t)buf->data - (uintptr_t)own->data, buf->len);
}

/* True if buf is entry i of the packet that starts at counter `first`, and inside its buffer. */
static bool is_entry_of(struct mif_queue *q, uint64_t first, uint32_t i, const memif_buffer_t *buf)
{
    uint16_t begin = mif_slot_of(q, first), slot = mif_slot_of(q, first + i);
    if (q->chain_of[begin].bounce == NULL)
        return first + i < q->next && q->chain_of[slot].bounce == NULL &&
               (is_sendable(buf, q, slot, &q->slots[slot], (enum mif_kind)q->kind) ||
                is_sendable_with_tailroom(buf, q, slot, (enum mif_kind)q->kind));
    if (i >= entries_allowed(q, q->chain_of[begin].length))
        return false;
    memif_buffer_t own = bounced_entry(q, begin, i);
    return buf->desc_index == slot && buf->queue == q && buf->data == own.data &&
           buf->len <= own.len;
}

/* Sends a packet that is in the slots that are sent next: only descriptors need to be written. */
static void fill_in_place(struct mif_queue *q, const memif_buffer_t *bufs, uint32_t n)
{
    enum mif_kind kind = (enum mif_kind)q->kind;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint16_t slot = mif_slot_of(q, q->done + i);
        uint16_t next = bufs[i].flags & MEMIF_BUFFER_FLAG_NEXT;
        mif_desc_fill(q->descs, slot, &q->slots[slot], next, bufs[i].len, kind);
        place(q, slot, &bufs[i], kind);
        bytes += bufs[i].len;
    }
    mif_store(&q->done, q->done + n);
    mif_store(&q->bytes, q->bytes + bytes);
    mif_store(&q->extra_slots, q->extra_slots + n - 1);
}

static void scatter_packet(struct mif_queue *q, uint64_t first, const memif_buffer_t *bufs,
                           uint32_t n)
{
    const struct mif_chain *chain = &q->chain_of[mif_slot_of(q, first)];
    uint16_t own = chain->bounce != NULL ? chain->count : (uint16_t)n;
    struct mif_scatter scatter;
    mif_scatter_begin(&scatter, q, first);
    for (uint32_t i = 0; i < n; i++)
        mif_scatter_bytes(&scatter, bufs[i].data, bufs[i].len);
    mif_scatter_end(&scatter, own);
}

/* Sends the packet at bufs if its entries are all there, and those of the slots that are sent next,
 * which are adjacent. Returns how many entries it has, or 0. */
MIF_INLINE uint32_t fill_next(struct mif_queue *q, const memif_buffer_t *bufs, uint32_t count,
                              enum mif_kind kind)
{
    const uint64_t held = q->next - q->done;
    const uint32_t first = mif_slot_of(q, q->done);
    const uint32_t most = mif_run(q, q->done, count < held ? count : (uint32_t)held);
    const struct mif_slot *own = &q->slots[first];
    void *descs = q->descs;
    uint64_t bytes = 0;
    uint32_t n = 0;
    do {
        if (n == most || !is_sendable(&bufs[n], q, first + n, &own[n], kind))
            return 0;
    } while (bufs[n++].flags & MEMIF_BUFFER_FLAG_NEXT);
    for (uint32_t i = 0; i < n; i++) {
        uint16_t flags = i + 1 < n ? MIF_DESC_NEXT : 0;
        mif_desc_fill(descs, first + i, &own[i], flags, bufs[i].len, kind);
        place(q, first + i, &bufs[i], kind);
        bytes += bufs[i].len;
    }
    mif_store(&q->done, q->done + n);
    mif_store(&q->bytes, q->bytes + bytes);
    mif_store(&q->extra_slots, q->extra_slots + n - 1);
    return n;
}

/* The same with the packets after it. */
MIF_INLINE uint32_t fill_all(struct mif_queue *q, const memif_buffer_t *bufs, uint32_t count,
                             enum mif_kind kind)
{
    uint32_t n = 0, filled;
    do {
        filled = fill_next(q, bufs + n, count - n, kind);
        n += filled;
    } while (filled > 1 && n < count);
    return n;
}

/* Writes nothing before all entries are checked: a packet that is refused must leave the buffers
 * that a peer has posted as they are. */
static uint32_t fill_checked(struct mif_queue *q, const memif_buffer_t *bufs, uint32_t count,
                             int *err)
{
    uint32_t n = packet_entries(bufs, count);
    uint64_t first;
    bool good = mif_may_send(q, bufs[0].desc_index, &first);
    for (uint32_t i = 0; good && i < n; i++)
        good = is_entry_of(q, first, i, &bufs[i]);
    if (!good)
        *err = MIF_ERR_INVAL_ARG;
    if (!good || (bufs[n - 1].flags & MEMIF_BUFFER_FLAG_NEXT))
        return 0;
    if (first == q->done && q->chain_of[mif_slot_of(q, first)].bounce == NULL)
        fill_in_place(q, bufs, n);
    else
        scatter_packet(q, first, bufs, n);
    return n;
}

uint32_t mif_fill_other(struct mif_queue *q, const memif_buffer_t *bufs, uint32_t count, int *err)
{
    /* Without gaps and bounce buffers. */
    uint32_t n = q->chains == 0 ? MIF_BY_KIND(q, fill_all, q, bufs, count) : 0;
    return n > 0 ? n : fill_checked(q, bufs, count, err);
}

/* True if buf is an entry of q whose slot is between done and next. */
static bool is_held(const struct mif_queue *q, const memif_buffer_t *buf)
{
    if (buf->queue != q || buf->desc_index > q->mask)
        return false;
    uint16_t ahead = (uint16_t)(buf->desc_index - q->done) & q->mask;
    return ahead < q->next - q->done;
}

static int set_next_free(struct mif_queue *q, const memif_buffer_t *buf)
{
    if (!is_held(q, buf))
        return MIF_ERR_INVAL_ARG;
    uint64_t at = q->done + ((uint16_t)(buf->desc_index - q->done) & q->mask);
    if (!mif_begins_unsent(q, at))
        return MIF_ERR_INVAL_ARG; /* sent already, or inside a packet in our own memory */
    mif_unreserve(q, at);
    return MIF_ERR_SUCCESS;
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

/* Exchanges the buffers of two slots. Between interfaces both must have mapped the memory, which is
 * so for external regions, and the buffers must have one size. Otherwise returns false. Buffers of
 * external regions have no tail room. */
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
    qa->buffers.data = qb->buffers.data = NULL;
    return true;
}

/* False for an entry whose buffer belongs to another slot now, or that reaches out of its buffer.
 */
static bool is_in_its_slot(const struct mif_queue *q, const memif_buffer_t *buf)
{
    const struct mif_slot *own = &q->slots[buf->desc_index];
    return mif_slot_holds(q, own, (uintptr_t)buf->data - (uintptr_t)own->data, buf->len);
}

/* Enters the queue that an entry came from. NULL if it is not the queue of a version 512 slave, or
 * if the program does not hold the entry. */
static struct mif_queue *enter_source(const memif_buffer_t *buf)
{
    struct mif_queue *q = mif_enter_queue(buf->queue);
    if (q == NULL)
        return NULL;
    if (q->kind == MIF_KIND_512_SLAVE && is_held(q, buf) && is_in_its_slot(q, buf))
        return q;
    mif_leave(q);
    return NULL;
}

static int enqueue_one(struct mif_queue *q, memif_buffer_t *buf)
{
    enum mif_step step = mif_claim_slot(q, q->next, MIF_KIND_512_SLAVE);
    if (step == MIF_STEP_WAIT && mif_unreserve_refused(q, q->next))
        step = MIF_STEP_OK;
    if (step != MIF_STEP_OK)
        return mif_step_error(step, MIF_ERR_NOBUF_RING);
    /* An entry that waits to be sent is no received buffer, and q must not be entered twice. */
    if (mif_direction_of(buf->queue) != MIF_RX)
        return MIF_ERR_INVAL_ARG;
    struct mif_queue *source = enter_source(buf);
    if (source == NULL)
        return MIF_ERR_INVAL_ARG;
    uint16_t slot = mif_slot_of(q, q->next);
    bool swapped = swap_slots(source, buf->desc_index, q, slot);
    mif_leave(source);
    if (!swapped)
        return MIF_ERR_INVAL_ARG;
    buf->desc_index = slot;
    buf->queue = q;
    mif_store(&q->next, q->next + 1);
    return MIF_ERR_SUCCESS;
}

static int enqueue_burst(struct mif_queue *q, memif_buffer_t *bufs, uint16_t count,
                         uint16_t *enqueued)
{
    int err = MIF_ERR_SUCCESS;
    uint16_t n = 0;
    if (q->kind != MIF_KIND_512_SLAVE)
        return MIF_ERR_INVAL_ARG;
    while (n < count && err == MIF_ERR_SUCCESS) {
        err = enqueue_one(q, &bufs[n]);
        n = (uint16_t)(n + (err == MIF_ERR_SUCCESS));
    }
    *enqueued = n;
    return err;
}

/* ---- the calls ---- */

static const struct mif_face_calls *calls_here(void)
{
#ifdef MIF_HAVE_AVX2
    if (__builtin_cpu_supports("avx2"))
        return &mif_entry_calls_avx2;
#endif
    return &entry_calls;
}

void mif_face_bind(struct mif_queue *q, enum mif_direction direction)
{
    mif_face_choose(q, direction, calls_here());
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
