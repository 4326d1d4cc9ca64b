/* SPDX-License-Identifier: Apache-2.0 */
#include "packet.h"

#define MIF_FACE_ERROR(code) mif_error_to_1(code)
#include "face.h"

#include <stdlib.h>
#include <string.h>

/* An entry is written whole, in three stores. */
MIF_INLINE void set_entry(memif_buffer_t *buf, uint16_t slot, uint32_t capacity, uint32_t length,
                          uint8_t *data)
{
    *buf = (memif_buffer_t){
        .desc_index = slot, .buffer_len = capacity, .data_len = length, .data = data};
}

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
    struct mif_window window = mif_window_of(q, q->recent_region);
    uint16_t available = (uint16_t)(q->limit - q->next);
    const uint8_t *end = NULL;
    *contiguous = true;
    *length = 0;
    for (uint16_t i = 0; i < available; i++) {
        uint16_t slot = (uint16_t)(q->next + i) & q->mask;
        struct mif_desc desc = mif_desc_read(q->descs, slot, kind);
        uint8_t *data = mif_received_data(q, &window, &q->slots[slot], &desc, kind);
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
    if (available < q->capacity)
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
    uint16_t first = q->next & q->mask;
    step = begin_chain(q, first, count, length, contiguous);
    if (step != MIF_STEP_OK)
        return step;
    uint8_t *bounce = q->chain_of[first].bounce;
    for (uint16_t i = 0; bounce != NULL && i < count; i++) {
        uint16_t slot = (uint16_t)(first + i) & q->mask;
        memcpy(bounce, q->slots[slot].data, q->chain_of[slot].segment);
        bounce += q->chain_of[slot].segment;
    }
    set_entry(buf, first, length, length, chain_data(q, first));
    q->next = (uint16_t)(q->next + count);
    return MIF_STEP_OK;
}

/* Receives up to `run` packets from slots side by side, up to the first that is more than a plain
 * packet of one slot in the region that was used last. What the loop needs is in locals: the
 * compiler must take every store into bufs for one into q. */
MIF_INLINE uint32_t take_plain(struct mif_queue *q, memif_buffer_t *bufs, uint32_t run,
                               uint64_t *bytes, enum mif_kind kind)
{
    const struct mif_window window = mif_window_of(q, q->recent_region);
    const uint32_t first = q->next & q->mask;
    const uint32_t plain = mif_kind_is_slave(kind) ? 0 : (uint32_t)window.index << 16;
    const uint32_t checked = mif_kind_is_slave(kind) ? 0xFFFF : 0xFFFFFFFF;
    const struct mif_slot *own = &q->slots[first];
    const void *descs = q->descs;
    uint64_t sum = 0;
    uint32_t i = 0;
    for (; i < run; i++) {
        struct mif_desc desc = mif_desc_read(descs, first + i, kind);
        if (MIF_UNLIKELY(((uint32_t)desc.head & checked) != plain))
            break;
        uint8_t *data;
        if (mif_kind_is_slave(kind)) {
            if (MIF_UNLIKELY(desc.length > mif_slot_capacity(&own[i])))
                break;
            data = own[i].data;
        } else {
            if (MIF_UNLIKELY(!mif_in_window(&window, &desc, kind)))
                break;
            data = window.base + desc.offset;
        }
        set_entry(&bufs[i], (uint16_t)(first + i), desc.length, desc.length, data);
        sum += desc.length;
    }
    q->next = (uint16_t)(q->next + i);
    *bytes += sum;
    return i;
}

/* Receives the one packet that take_plain stopped at. */
static __attribute__((noinline)) enum mif_step take_other(struct mif_queue *q, memif_buffer_t *buf,
                                                          enum mif_kind kind)
{
    struct mif_window window = mif_window_of(q, q->recent_region);
    uint16_t slot = q->next & q->mask;
    struct mif_desc desc = mif_desc_read(q->descs, slot, kind);
    if (mif_desc_has_next(&desc))
        return take_chain(q, buf, kind);
    uint8_t *data = mif_received_data(q, &window, &q->slots[slot], &desc, kind);
    if (data == NULL)
        return mif_step_fault(q, "descriptor out of range");
    set_entry(buf, slot, desc.length, desc.length, data);
    q->next++;
    return MIF_STEP_OK;
}

MIF_INLINE enum mif_step take_packets(struct mif_queue *q, memif_buffer_t *bufs, uint32_t count,
                                      uint16_t *n, uint64_t *bytes, enum mif_kind kind)
{
    uint32_t at = *n;
    enum mif_step step = MIF_STEP_OK;
    while (q->next != q->limit) {
        if (at == count) {
            step = MIF_STEP_FULL;
            break;
        }
        uint32_t known = (uint16_t)(q->limit - q->next), room = count - at;
        uint32_t run = mif_run(q, q->next, known < room ? known : room);
        uint32_t taken = take_plain(q, bufs + at, run, bytes, kind);
        at += taken;
        if (MIF_LIKELY(taken == run))
            continue;
        step = take_other(q, &bufs[at], kind);
        if (step != MIF_STEP_OK)
            break;
        *bytes += bufs[at++].data_len;
    }
    *n = (uint16_t)at;
    return step;
}

/* One instance for all kinds: a system call outweighs what it costs. */
static __attribute__((noinline)) int rx_interrupt(struct mif_queue *q, memif_buffer_t *bufs,
                                                  uint32_t count, uint16_t *rx)
{
    return mif_rx_interrupt(q, bufs, count, rx, take_packets, (enum mif_kind)q->kind);
}

/* The rest of a polling burst, from entry n on. */
static __attribute__((noinline)) int rx_any(struct mif_queue *q, memif_buffer_t *bufs,
                                            uint32_t count, uint16_t *rx, uint16_t n,
                                            uint64_t bytes)
{
    enum mif_step step = take_packets(q, bufs, count, &n, &bytes, (enum mif_kind)q->kind);
    return mif_rx_end(q, n, bytes, rx, step);
}

/* While the application polls, one look at the peer's index is enough, and none when enough packets
 * are known to wait: what comes later is for the next call. */
MIF_INLINE int rx_burst(struct mif_queue *q, uint32_t size, memif_buffer_t *bufs, uint32_t count,
                        uint16_t *rx, enum mif_kind kind)
{
    uint64_t bytes = 0;
    (void)size;
    if (MIF_UNLIKELY(!atomic_load_explicit(&q->polling, memory_order_relaxed)))
        return rx_interrupt(q, bufs, count, rx);
    if ((uint16_t)(q->limit - q->next) < count && MIF_UNLIKELY(!mif_refresh(q, kind)))
        return mif_rx_end(q, 0, 0, rx, mif_step_fault(q, MIF_BAD_INDEX));
    uint32_t known = (uint16_t)(q->limit - q->next);
    uint32_t run = mif_run(q, q->next, known < count ? known : count);
    uint32_t n = take_plain(q, bufs, run, &bytes, kind);
    if (MIF_UNLIKELY(q->next != q->limit)) /* full, the ring's end, or no plain packet */
        return rx_any(q, bufs, count, rx, (uint16_t)n, bytes);
    return mif_rx_end(q, n, bytes, rx, MIF_STEP_OK);
}

MIF_INLINE int free_end(struct mif_queue *q, uint32_t n, uint32_t count, uint16_t *freed,
                        enum mif_kind kind)
{
    *freed = (uint16_t)n;
    mif_publish(q, true, kind);
    /* Not the oldest packet that was received and not freed. */
    return MIF_LIKELY(n == count) ? MIF_ERR_SUCCESS : MIF_ERR_INVAL_ARG;
}

/* Any burst, one packet after the other. */
static __attribute__((noinline)) int free_any(struct mif_queue *q, memif_buffer_t *bufs,
                                              uint32_t count, uint16_t *freed)
{
    enum mif_kind kind = (enum mif_kind)q->kind;
    uint32_t n = 0;
    for (; n < count && q->done != q->next; n++) {
        uint16_t slot = q->done & q->mask;
        if (bufs[n].desc_index != slot)
            break;
        bufs[n].data = NULL;
        uint16_t slots = end_chain(q, slot);
        for (uint16_t i = 0; kind == MIF_KIND_2_MASTER && i + 1 < slots; i++)
            mif_desc_unchain(q->descs, (uint16_t)(slot + i) & q->mask);
        mif_post_slots(q, slots, kind);
    }
    return free_end(q, n, count, freed, kind);
}

MIF_INLINE int free_burst(struct mif_queue *q, uint32_t size, memif_buffer_t *bufs, uint32_t count,
                          uint16_t *freed, enum mif_kind kind)
{
    uint32_t first = q->done & q->mask, n = 0;
    (void)size;
    if (MIF_UNLIKELY(q->chains > 0 || count > (uint16_t)(q->next - q->done) ||
                     mif_run(q, q->done, count) != count))
        return free_any(q, bufs, count, freed);
    for (; n < count && MIF_LIKELY(bufs[n].desc_index == first + n); n++)
        bufs[n].data = NULL;
    mif_post_slots(q, n, kind);
    return free_end(q, n, count, freed, kind);
}

/* ---- transmit ---- */

/* Reserves as many slots as `size` bytes take; none of them when not all are free. */
static enum mif_step alloc_chain(struct mif_queue *q, memif_buffer_t *buf, uint32_t size,
                                 enum mif_kind kind)
{
    struct mif_window window = mif_window_of(q, q->recent_region);
    uint16_t first = q->next & q->mask;
    uint16_t count = 0;
    uint32_t length = 0;
    bool contiguous = true;
    const uint8_t *end = NULL;
    while (length < size) {
        uint16_t counter = (uint16_t)(q->next + count);
        enum mif_step step = mif_free_slot(q, &window, counter, kind);
        if (step != MIF_STEP_OK)
            return step;
        const struct mif_slot *own = &q->slots[counter & q->mask];
        contiguous = contiguous && (count == 0 || own->data == end);
        length += mif_slot_capacity(own);
        end = own->data + mif_slot_capacity(own);
        count++;
    }
    if (length > MIF_MAX_PACKET)
        length = MIF_MAX_PACKET; /* what a receiver accepts; the last buffer stays short */
    enum mif_step step = begin_chain(q, first, count, length, contiguous);
    if (step != MIF_STEP_OK)
        return step;
    set_entry(buf, first, length, 0, chain_data(q, first));
    q->next = (uint16_t)(q->next + count);
    return MIF_STEP_OK;
}

/* Reserves up to `run` slots side by side, up to the first whose buffer is too small or, as master,
 * is not plainly in the region that was used last. */
MIF_INLINE uint32_t alloc_plain(struct mif_queue *q, memif_buffer_t *bufs, uint32_t run,
                                uint32_t size, enum mif_kind kind)
{
    const struct mif_window window = mif_window_of(q, q->recent_region);
    const uint32_t first = q->next & q->mask;
    struct mif_slot *own = &q->slots[first];
    const void *descs = q->descs;
    uint32_t i = 0;
    for (; i < run; i++) {
        if (!mif_kind_is_slave(kind)) {
            struct mif_desc desc = mif_desc_read(descs, first + i, kind);
            desc.length = mif_desc_capacity(&desc);
            if (MIF_UNLIKELY((uint16_t)(desc.head >> 16) != window.index || desc.length == 0 ||
                             !mif_in_window(&window, &desc, kind)))
                break;
            own[i] = (struct mif_slot){.data = window.base + desc.offset,
                                       .word = desc.head & ~(uint64_t)0xFFFF};
        }
        if (MIF_UNLIKELY(size > mif_slot_capacity(&own[i])))
            break;
        set_entry(&bufs[i], (uint16_t)(first + i), mif_slot_capacity(&own[i]), 0, own[i].data);
    }
    q->next = (uint16_t)(q->next + i);
    return i;
}

/* Reserves the one packet that alloc_plain stopped at. */
static __attribute__((noinline)) enum mif_step alloc_other(struct mif_queue *q, memif_buffer_t *buf,
                                                           uint32_t size, enum mif_kind kind)
{
    struct mif_window window = mif_window_of(q, q->recent_region);
    uint16_t slot = q->next & q->mask;
    enum mif_step step = mif_free_slot(q, &window, q->next, kind);
    if (step != MIF_STEP_OK)
        return step;
    if (size > mif_slot_capacity(&q->slots[slot]))
        return alloc_chain(q, buf, size, kind);
    set_entry(buf, slot, mif_slot_capacity(&q->slots[slot]), 0, q->slots[slot].data);
    q->next++;
    return MIF_STEP_OK;
}

/* Any burst, from entry n on. */
static __attribute__((noinline)) int alloc_any(struct mif_queue *q, memif_buffer_t *bufs,
                                               uint32_t count, uint16_t *allocated, uint32_t size,
                                               uint32_t n)
{
    enum mif_kind kind = (enum mif_kind)q->kind;
    enum mif_step step = MIF_STEP_OK;
    while (n < count) {
        uint32_t known = (uint16_t)(q->limit - q->next), room = count - n;
        uint32_t run = mif_run(q, q->next, known < room ? known : room);
        uint32_t taken = alloc_plain(q, bufs + n, run, size, kind);
        n += taken;
        if (taken == run && run > 0)
            continue;
        step = alloc_other(q, &bufs[n], size, kind); /* looks for more free slots, too */
        if (step != MIF_STEP_OK)
            break;
        n++;
    }
    *allocated = (uint16_t)n;
    return mif_step_error(step, step == MIF_STEP_WAIT ? MIF_ERR_NOBUF_RING : MIF_ERR_SUCCESS);
}

MIF_INLINE int alloc_burst(struct mif_queue *q, uint32_t size, memif_buffer_t *bufs, uint32_t count,
                           uint16_t *allocated, enum mif_kind kind)
{
    uint32_t n = 0;
    if (MIF_LIKELY(count <= (uint16_t)(q->limit - q->next) &&
                   mif_run(q, q->next, count) == count)) {
        n = alloc_plain(q, bufs, count, size, kind);
        if (MIF_LIKELY(n == count)) {
            *allocated = (uint16_t)count;
            return MIF_ERR_SUCCESS;
        }
    }
    return alloc_any(q, bufs, count, allocated, size, n);
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
        uint16_t slot = (uint16_t)(first + i) & q->mask;
        uint32_t segment =
            segment_length(mif_slot_capacity(&q->slots[slot]), remaining, (uint32_t)count - 1 - i);
        q->chain_of[slot].segment = segment;
        remaining -= segment;
    }
    uint32_t at = length;
    for (uint16_t i = count; i-- > 0;) {
        uint16_t index = (uint16_t)(first + i) & q->mask;
        const struct mif_slot *slot = &q->slots[index];
        uint32_t segment = q->chain_of[index].segment;
        at -= segment;
        if (slot->data != bytes + at)
            memmove(slot->data, bytes + at, segment);
        mif_desc_fill(q->descs, index, slot, i + 1 < count ? MIF_DESC_NEXT : 0, segment, kind);
    }
}

/* Fills slots side by side with the entries that are, in order, the oldest reserved ones. */
MIF_INLINE uint32_t fill_run(struct mif_queue *q, const memif_buffer_t *bufs, uint32_t run,
                             uint64_t *bytes, enum mif_kind kind)
{
    const uint32_t first = q->done & q->mask;
    const struct mif_slot *own = &q->slots[first];
    void *descs = q->descs;
    uint64_t sum = 0;
    uint32_t i = 0;
    for (; i < run; i++) {
        uint32_t length = bufs[i].data_len;
        if (MIF_UNLIKELY(bufs[i].desc_index != first + i || length > mif_slot_capacity(&own[i])))
            break;
        mif_desc_fill(descs, first + i, &own[i], 0, length, kind);
        sum += length;
    }
    q->done = (uint16_t)(q->done + i);
    *bytes += sum;
    return i;
}

/* What is left of a burst when its slots are filled. */
MIF_INLINE int tx_end(struct mif_queue *q, uint32_t n, uint32_t count, uint64_t bytes, uint16_t *tx,
                      enum mif_kind kind)
{
    *tx = (uint16_t)n;
    if (MIF_LIKELY(n > 0)) {
        mif_count(&q->packets, n);
        mif_count(&q->bytes, bytes);
        if (MIF_UNLIKELY(!mif_publish_sent(q, kind)))
            return MIF_ERR_INT_WRITE;
    }
    /* Not the oldest reserved entry, or longer than its buffer. */
    return MIF_LIKELY(n == count) ? MIF_ERR_SUCCESS : MIF_ERR_INVAL_ARG;
}

/* Any burst, one packet after the other. */
static __attribute__((noinline)) int tx_any(struct mif_queue *q, const memif_buffer_t *bufs,
                                            uint32_t count, uint16_t *tx)
{
    enum mif_kind kind = (enum mif_kind)q->kind;
    uint64_t bytes = 0;
    uint32_t n = 0;
    for (; n < count && q->done != q->next; n++) {
        uint16_t slot = q->done & q->mask;
        const struct mif_chain *chain = &q->chain_of[slot];
        uint32_t length = bufs[n].data_len;
        if (bufs[n].desc_index != slot ||
            length > (chain->count > 0 ? chain->length : mif_slot_capacity(&q->slots[slot])))
            break;
        if (chain->count > 0)
            fill_chain(q, slot, length, kind);
        else
            mif_desc_fill(q->descs, slot, &q->slots[slot], 0, length, kind);
        q->done = (uint16_t)(q->done + end_chain(q, slot));
        bytes += length;
    }
    return tx_end(q, n, count, bytes, tx, kind);
}

MIF_INLINE int tx_burst(struct mif_queue *q, uint32_t size, memif_buffer_t *bufs, uint32_t count,
                        uint16_t *tx, enum mif_kind kind)
{
    uint64_t bytes = 0;
    (void)size;
    if (MIF_UNLIKELY(q->chains > 0 || count > (uint16_t)(q->next - q->done) ||
                     mif_run(q, q->done, count) != count))
        return tx_any(q, bufs, count, tx);
    uint32_t n = fill_run(q, bufs, count, &bytes, kind);
    return tx_end(q, n, count, bytes, tx, kind);
}

/* ---- the four calls ---- */

MIF_INSTANCES(rx_burst)
MIF_INSTANCES(free_burst)
MIF_INSTANCES(alloc_burst)
MIF_INSTANCES(tx_burst)

int mif_packet_rx(void *handle, uint32_t qid, memif_buffer_t *bufs, uint32_t count, uint16_t *rx)
{
    struct mif_queue *q = mif_enter(handle, qid, MIF_RX);
    if (MIF_UNLIKELY(q == NULL))
        return mif_burst_refused(handle, qid, MIF_RX, rx);
    return rx_burst_of[q->kind](q, 0, bufs, count, rx);
}

int mif_packet_free(void *handle, uint32_t qid, memif_buffer_t *bufs, uint32_t count,
                    uint16_t *freed)
{
    struct mif_queue *q = mif_enter(handle, qid, MIF_RX);
    if (MIF_UNLIKELY(q == NULL))
        return mif_burst_refused(handle, qid, MIF_RX, freed);
    return free_burst_of[q->kind](q, 0, bufs, count, freed);
}

int mif_packet_alloc(void *handle, uint32_t qid, memif_buffer_t *bufs, uint32_t count,
                     uint16_t *allocated, uint32_t size)
{
    struct mif_queue *q = mif_enter(handle, qid, MIF_TX);
    if (MIF_UNLIKELY(q == NULL))
        return mif_burst_refused(handle, qid, MIF_TX, allocated);
    return alloc_burst_of[q->kind](q, size, bufs, count, allocated);
}

int mif_packet_tx(void *handle, uint32_t qid, memif_buffer_t *bufs, uint32_t count, uint16_t *tx)
{
    struct mif_queue *q = mif_enter(handle, qid, MIF_TX);
    if (MIF_UNLIKELY(q == NULL))
        return mif_burst_refused(handle, qid, MIF_TX, tx);
    return tx_burst_of[q->kind](q, 0, bufs, count, tx);
}
