/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ring.h"

/* The slots [end - slots, end) of a ring are in use. Whatever the peer writes to its index, a ring
 * has no more than its size. */
static uint32_t slots_in_use(const struct mif_queue *q, bool is_tx, uint16_t *end)
{
    enum mif_kind kind = (enum mif_kind)q->kind;
    uint16_t head = atomic_load_explicit(&q->ring->head, memory_order_acquire);
    uint16_t tail = atomic_load_explicit(&q->ring->tail, memory_order_acquire);
    uint32_t size = q->mask + 1u, distance = (uint16_t)(head - tail);
    *end = head;
    if (mif_kind_is_256(kind))
        return distance & q->mask;
    if (distance > size)
        distance = size;
    if (mif_kind_is_slave(kind) == is_tx)
        return distance;
    /* Master to slave: between tail and head are buffers that wait to be filled. Those before tail
     * are in use, but for those that the slave has not posted yet. */
    uint64_t sent = is_tx ? __atomic_load_n(&q->done, __ATOMIC_RELAXED) : size;
    *end = tail;
    return size - distance < sent ? size - distance : (uint32_t)sent;
}

void mif_ring_fill(const struct mif_queue *q, bool is_tx, struct mif_fill *fill)
{
    uint16_t end;
    bool has_next = false;
    *fill = (struct mif_fill){.slots = slots_in_use(q, is_tx, &end)};
    for (uint32_t left = fill->slots; left > 0; left--) {
        uint32_t slot = (end - left) & q->mask;
        struct mif_desc desc = mif_desc_read(q->descs, slot, (enum mif_kind)q->kind);
        has_next = mif_desc_has_next(&desc);
        fill->packets += !has_next;
    }
    fill->packets += has_next;
}
