/* SPDX-License-Identifier: Apache-2.0 */

/* What is said to lie in a ring, for every pair of indices, whatever the peer writes there. */

#include "harness.h"

#include "core/ring.h"

enum { SLOTS = 8, MASK = SLOTS - 1, NO_END = SLOTS };

static const enum mif_kind kinds[] = {MIF_KIND_256_MASTER, MIF_KIND_256_SLAVE, MIF_KIND_512_MASTER,
                                      MIF_KIND_512_SLAVE};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static struct mif_ring *ring;
static uint8_t memory[sizeof(*ring) + SLOTS * sizeof(struct mif_desc_256)]
    __attribute__((aligned(64)));

/* All packets have one slot, but that which begins in a given slot, which has two. */
static struct mif_fill fill_of(enum mif_kind kind, bool is_tx, uint16_t head, uint16_t tail,
                               uint64_t done, uint32_t of_two)
{
    struct mif_queue q = {.kind = (uint8_t)kind, .mask = MASK, .done = done};
    struct mif_fill fill = {.slots = SLOTS + 1, .packets = SLOTS + 1};

    ring = (struct mif_ring *)(void *)memory;
    q.ring = ring;
    q.descs = memory + sizeof(*ring);
    atomic_store(&ring->head, head);
    atomic_store(&ring->tail, tail);
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        mif_desc_fill(q.descs, slot, &(struct mif_slot){0}, slot == of_two ? MIF_DESC_NEXT : 0, 60,
                      kind);
    mif_ring_fill(&q, is_tx, &fill);
    return fill;
}

/* A sender that is the slave, or anybody of version 256, fills from tail to head. A master of
 * version 512 fills what the slave has posted there, so what lies in the ring is the rest. */
static bool is_posted(enum mif_kind kind, bool is_tx)
{
    return !mif_kind_is_256(kind) && mif_kind_is_slave(kind) != is_tx;
}

static uint32_t expected(enum mif_kind kind, bool is_tx, uint16_t distance, uint64_t done)
{
    uint32_t known = distance < SLOTS ? distance : SLOTS;

    if (mif_kind_is_256(kind))
        return distance % SLOTS;
    if (!is_posted(kind, is_tx))
        return known;
    return is_tx && done < SLOTS - known ? (uint32_t)done : SLOTS - known;
}

MEMIF_TEST_LOOP(slots_in_use_are_those_between_the_indices, 0, 2 * KINDS)
{
    enum mif_kind kind = kinds[_i / 2];
    static const uint16_t tails[] = {0, 1, SLOTS - 1, SLOTS, UINT16_MAX - 2, UINT16_MAX};
    static const uint16_t beyond[] = {2 * SLOTS, 1 << 8, 1 << 15, UINT16_MAX};

    for (size_t t = 0; t < sizeof(tails) / sizeof(tails[0]); t++)
        for (uint16_t i = 0; i <= SLOTS + 1 + 4; i++)
            for (uint64_t done = 0; done <= SLOTS + 1; done++) {
                uint16_t distance = i <= SLOTS + 1 ? i : beyond[i - SLOTS - 2];
                struct mif_fill fill =
                    fill_of(kind, _i % 2, (uint16_t)(tails[t] + distance), tails[t], done, NO_END);
                uint32_t slots = expected(kind, _i % 2, distance, done);
                ck_assert_uint_eq(fill.slots, slots);
                ck_assert_uint_eq(fill.packets, slots);
            }
}

MEMIF_TEST_LOOP(a_packet_of_two_slots_counts_once_wherever_it_lies, 0, 2 * KINDS)
{
    enum mif_kind kind = kinds[_i / 2];
    bool is_tx = _i % 2;

    for (uint16_t tail = UINT16_MAX - SLOTS; tail != SLOTS; tail++)
        for (uint16_t slots = 1; slots < SLOTS; slots++)
            for (uint32_t of_two = 0; of_two < SLOTS; of_two++) {
                uint16_t distance = is_posted(kind, is_tx) ? SLOTS - slots : slots;
                uint16_t head = (uint16_t)(tail + distance);
                uint16_t end = is_posted(kind, is_tx) ? tail : head;
                uint16_t place = (uint16_t)(of_two - (uint16_t)(end - slots)) & MASK;
                struct mif_fill fill = fill_of(kind, is_tx, head, tail, SLOTS, of_two);
                ck_assert_uint_eq(fill.slots, slots);
                /* Without its second slot it is a packet all the same. */
                ck_assert_uint_eq(fill.packets, slots - (place + 1u < slots ? 1u : 0u));
            }
}

MEMIF_TEST_MAIN("fill")
