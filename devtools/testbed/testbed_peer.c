/* SPDX-License-Identifier: Apache-2.0 */
/* The peer's end of the testbed. */

#include "testbed/testbed.h"

_Atomic uint16_t *testbed_peer_index(const struct testbed *bed, enum mif_direction direction)
{
    struct mif_ring *ring = bed->ring[direction];
    bool head = testbed_is_256(bed) ? direction == MIF_RX : !testbed_is_slave(bed);
    return head ? &ring->head : &ring->tail;
}

_Atomic uint16_t *testbed_our_index(const struct testbed *bed, enum mif_direction direction)
{
    struct mif_ring *ring = bed->ring[direction];
    return testbed_peer_index(bed, direction) == &ring->head ? &ring->tail : &ring->head;
}

uint32_t testbed_peer_room(const struct testbed *bed, enum mif_direction direction)
{
    uint16_t peer = atomic_load(testbed_peer_index(bed, direction));
    /* As it should be: somebody may have overwritten the one in the ring. */
    uint16_t ours = mif_own_index(bed->queue[direction], direction == MIF_RX, bed->shape.kind);
    uint16_t range = testbed_is_256(bed) ? (uint16_t)(testbed_slots(bed) - 1) : 0xFFFF;
    /* Where our index leads, the peer follows up to it; otherwise it is ahead by a ring at most. */
    bool follows = testbed_is_256(bed) ? direction == MIF_TX : testbed_is_slave(bed);
    uint32_t used = follows ? (uint16_t)(ours - peer) & range : (uint16_t)(peer - ours) & range;
    uint32_t capacity = testbed_slots(bed) - (testbed_is_256(bed) ? 1 : 0);
    if (used > capacity)
        return 0; /* the peer's is no good */
    return follows ? used : capacity - used;
}

void testbed_peer_move(const struct testbed *bed, enum mif_direction direction, uint32_t count)
{
    _Atomic uint16_t *index = testbed_peer_index(bed, direction);
    uint16_t moved = (uint16_t)(atomic_load_explicit(index, memory_order_relaxed) + count);
    if (testbed_is_256(bed))
        moved &= (uint16_t)(testbed_slots(bed) - 1);
    atomic_store_explicit(index, moved, memory_order_release);
}

void testbed_peer_write(const struct testbed *bed, enum mif_direction direction, uint32_t slot,
                        const struct testbed_desc *desc)
{
    uint64_t head = desc->flags | (uint64_t)desc->region << 16 | (uint64_t)desc->length << 32;
    void *descs = bed->ring[direction] + 1;
    if (testbed_is_256(bed)) {
        struct mif_desc_256 *to = (struct mif_desc_256 *)descs + slot;
        atomic_store_explicit(&to->flags_region_capacity, head, memory_order_relaxed);
        atomic_store_explicit(&to->length, desc->length, memory_order_relaxed);
        atomic_store_explicit(&to->offset, desc->offset, memory_order_relaxed);
        return;
    }
    struct mif_desc_512 *to = (struct mif_desc_512 *)descs + slot;
    atomic_store_explicit(&to->flags_region_length, head, memory_order_relaxed);
    atomic_store_explicit(&to->offset_metadata, desc->offset & 0xFFFFFFFF, memory_order_relaxed);
}

struct testbed_desc testbed_honest(const struct testbed *bed, enum mif_direction direction,
                                   uint32_t slot, uint32_t length)
{
    return (struct testbed_desc){
        .region = TESTBED_BUFFERS,
        .length = length,
        .offset = testbed_buffer_offset(bed, direction, slot),
    };
}

static void fill_honestly(const struct testbed *bed, enum mif_direction direction, uint32_t length)
{
    uint32_t room = testbed_peer_room(bed, direction);
    uint16_t at = atomic_load(testbed_peer_index(bed, direction));
    for (uint32_t i = 0; i < room; i++) {
        uint32_t slot = (at + i) & (testbed_slots(bed) - 1);
        struct testbed_desc desc = testbed_honest(bed, direction, slot, length);
        testbed_peer_write(bed, direction, slot, &desc);
    }
    testbed_peer_move(bed, direction, room);
}

void testbed_peer_turn(const struct testbed *bed, uint32_t length)
{
    fill_honestly(bed, MIF_RX, length);
    if (testbed_is_slave(bed) || testbed_is_256(bed))
        testbed_peer_move(bed, MIF_TX, testbed_peer_room(bed, MIF_TX));
    else
        fill_honestly(bed, MIF_TX, bed->shape.buffer_size);
}
