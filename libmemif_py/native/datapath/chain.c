/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/chain.h"

#include "core/bounce.h"
#include "core/debug.h"

#include <string.h>

/* ---- packets of several slots ---- */

/* Writes a debug line, once, that says why a program waits in vain. */
static void report_that_it_never_fits(struct mif_queue *q, uint32_t size, uint32_t largest)
{
    if (!q->order->reported)
        MIF_DEBUG("a packet of %u bytes never fits queue %u: its ring holds %u buffers of at most "
                  "%u bytes, ours would have %u",
                  size, q->qid, mif_capacity(q, (enum mif_kind)q->kind), largest, q->buffer_size);
    q->order->reported = true;
}

/* For a packet that the free slots cannot hold: whether more free slots would not help. That is so
 * if they are the whole ring already, or if a ring full of the largest buffer that was seen in it
 * would be too small. */
static bool never_fits(struct mif_queue *q, uint32_t size)
{
    uint32_t slots = mif_capacity(q, (enum mif_kind)q->kind), largest = 0;
    bool all_free = q->next == q->done && q->limit - q->done == slots;
    for (uint32_t i = 0; i <= q->mask; i++) {
        uint32_t capacity = mif_slot_capacity(&q->slots[(q->next + i) & q->mask]);
        largest = capacity > largest ? capacity : largest;
        if (!all_free && (uint64_t)largest * slots >= size)
            return false;
    }
    if (largest == 0)
        return false; /* the peer has posted nothing yet */
    report_that_it_never_fits(q, size, largest);
    return true;
}

/* The same as mif_chain_measure, where a slave's buffers are equal and lie one after the other.
 * False: not so, or too few slots are known to be free. */
static bool measure_own(const struct mif_queue *q, uint32_t size, struct mif_room *room)
{
    const struct mif_buffer_array array = q->buffers;
    uint32_t capacity = (uint32_t)(array.word >> 32);
    if (array.data == NULL)
        return false;
    uint32_t count = size > capacity ? (size - 1) / capacity + 1 : 1;
    if (count > q->limit - q->next)
        return false;
    room->count = (uint16_t)count;
    room->length = (uint64_t)count * capacity;
    room->contiguous =
        count == 1 || (array.stride == capacity && mif_run(q, q->next, count) == count);
    return true;
}

MIF_INLINE enum mif_step measure(struct mif_queue *q, uint32_t size, struct mif_room *room,
                                 enum mif_kind kind)
{
    const uint64_t next = q->next;
    const uint8_t *end = NULL;
    struct mif_room found = {.contiguous = true};
    do {
        uint64_t counter = next + found.count;
        enum mif_step step = mif_claim_slot(q, counter, kind);
        if (step == MIF_STEP_WAIT && never_fits(q, size))
            return MIF_STEP_NEVER;
        if (MIF_UNLIKELY(step != MIF_STEP_OK))
            return step;
        const struct mif_slot *own = &q->slots[mif_slot_of(q, counter)];
        found.contiguous = found.contiguous && (found.count == 0 || own->data == end);
        found.length += mif_slot_capacity(own);
        found.count++;
        end = own->data + mif_slot_capacity(own);
    } while (found.length < size);
    *room = found;
    return MIF_STEP_OK;
}

enum mif_step mif_chain_measure(struct mif_queue *q, uint32_t size, struct mif_room *room)
{
    if (measure_own(q, size, room))
        return MIF_STEP_OK;
    return MIF_BY_KIND(q, measure, q, size, room);
}

enum mif_step mif_chain_begin(struct mif_queue *q, uint16_t first, uint16_t count, uint32_t length,
                              bool contiguous)
{
    struct mif_chain *chain = &q->chain_of[first];
    chain->bounce = contiguous ? NULL : mif_bounce_take(q, length);
    if (!contiguous && chain->bounce == NULL)
        return MIF_STEP_NOMEM;
    chain->count = count;
    chain->length = length;
    q->chains++;
    return MIF_STEP_OK;
}

uint16_t mif_chain_end(struct mif_queue *q, uint16_t first)
{
    struct mif_chain *chain = &q->chain_of[first];
    uint16_t count = chain->count;
    if (count == 0)
        return 1;
    mif_bounce_give_back(q, chain->bounce);
    chain->bounce = NULL;
    chain->count = 0;
    q->chains--;
    return count;
}

/* ---- which entry is next ---- */

bool mif_begins_unsent(const struct mif_queue *q, uint64_t at)
{
    uint64_t begin = mif_first_unsent(q);
    while (begin < at) {
        uint16_t slots = q->chain_of[mif_slot_of(q, begin)].count;
        begin += slots > 0 ? slots : 1;
    }
    return begin == at && at < q->next;
}

/* The last counter at which a burst may continue. */
static uint64_t last_next(const struct mif_queue *q, uint64_t expected)
{
    const struct mif_order *order = q->order;
    return order->stopped == q->done && order->optional > expected ? order->optional : expected;
}

bool mif_may_send(const struct mif_queue *q, uint32_t slot, uint64_t *at)
{
    uint64_t expected = mif_first_unsent(q);
    *at = expected + ((slot - (uint32_t)expected) & q->mask);
    return slot <= q->mask && *at <= last_next(q, expected) && mif_begins_unsent(q, *at);
}

void mif_wait_for_end(struct mif_queue *q)
{
    struct mif_order *order = q->order;
    order->refused = 0;
    order->stopped = q->done;
    order->optional = q->next;
}

bool mif_refuse(struct mif_queue *q, uint64_t hash)
{
    struct mif_order *order = q->order;
    bool again = order->stopped == q->done && order->refused == hash;
    mif_wait_for_end(q);
    order->refused = hash;
    return again;
}

/* Records that all entries before a counter were sent, given up or taken back. */
static void pass(struct mif_queue *q, uint64_t passed)
{
    struct mif_order *order = q->order;
    bool had_gap = order->passed != 0;
    if (passed == q->next)
        mif_store(&q->next, q->done);
    if (order->optional > q->next)
        order->optional = q->next;
    order->passed = passed > q->done && q->next != q->done ? passed : 0;
    q->chains = (uint16_t)(q->chains + (order->passed != 0) - had_gap);
}

void mif_unreserve(struct mif_queue *q, uint64_t from)
{
    for (uint64_t at = from; at != q->next && q->chains > 0; at++)
        (void)mif_chain_end(q, mif_slot_of(q, at));
    mif_store(&q->next, from);
    q->order->refused = 0;
    pass(q, mif_first_unsent(q));
}

bool mif_unreserve_refused(struct mif_queue *q, uint64_t end)
{
    uint64_t from = mif_first_unsent(q);
    if (from == end || last_next(q, from) < end || q->order->refused == 0)
        return false;
    mif_unreserve(q, from);
    return true;
}

/* ---- sending ---- */

static void fill_slot(const struct mif_scatter *scatter, uint16_t flags)
{
    struct mif_queue *q = scatter->q;
    enum mif_kind kind = (enum mif_kind)q->kind;
    uint16_t slot = mif_slot_of(q, scatter->slot);
    const struct mif_slot *own = &q->slots[slot];
    mif_desc_fill(q->descs, slot, own, flags, scatter->used, kind);
    /* Where buffers were exchanged between slots, or data was moved inside of them, the descriptor
     * may still have the offset of another packet. */
    if (kind == MIF_KIND_512_SLAVE && q->buffers.data == NULL)
        mif_desc_place(q->descs, slot,
                       (uint32_t)(own->data - q->regions[mif_slot_region(own)].base));
}

void mif_scatter_begin(struct mif_scatter *scatter, struct mif_queue *q, uint64_t first)
{
    for (uint64_t at = mif_first_unsent(q); at != first; at++)
        (void)mif_chain_end(q, mif_slot_of(q, at));
    *scatter = (struct mif_scatter){.q = q, .first = first, .slot = q->done};
}

/* Copies forwards, because each byte's new address is its old one or a lower one. */
void mif_scatter_bytes(struct mif_scatter *scatter, const uint8_t *bytes, uint32_t length)
{
    struct mif_queue *q = scatter->q;
    scatter->bytes += length;
    while (length > 0) {
        const struct mif_slot *own = &q->slots[mif_slot_of(q, scatter->slot)];
        uint32_t room = mif_slot_capacity(own) - scatter->used;
        uint32_t part = length < room ? length : room;
        uint8_t *to = own->data + scatter->used;
        if (to != bytes)
            memmove(to, bytes, part);
        scatter->used += part;
        bytes += part;
        length -= part;
        if (length > 0) {
            fill_slot(scatter, MIF_DESC_NEXT);
            scatter->slot++;
            scatter->used = 0;
        }
    }
}

void mif_scatter_end(struct mif_scatter *scatter, uint16_t own)
{
    struct mif_queue *q = scatter->q;
    uint64_t slots = scatter->slot + 1 - q->done;
    fill_slot(scatter, 0);
    (void)mif_chain_end(q, mif_slot_of(q, scatter->first));
    mif_store(&q->done, q->done + slots);
    mif_store(&q->bytes, q->bytes + scatter->bytes);
    mif_store(&q->extra_slots, q->extra_slots + slots - 1);
    pass(q, scatter->first + own);
}
