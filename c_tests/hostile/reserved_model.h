/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The rules of reserving and sending (chain.h), without rings and descriptors as the library has
 * them: which slots a packet takes, which may be sent next, what becomes of those that are refused.
 * With a peer that takes what is sent, and the comparison of all with what the library has.
 */

#ifndef MEMIF_C_TESTS_RESERVED_MODEL_H
#define MEMIF_C_TESTS_RESERVED_MODEL_H

#include "random.h"
#include "scene.h"

#include <inttypes.h>
#include <string.h>

enum { LOG2_RING = 5, RING = 1 << LOG2_RING, SIZE = 64, GUARD = 2 };

/* A packet that the program has reserved. Each byte tells its seed and its place in the packet. */
struct packet {
    memif_buffer_t entry;
    uint64_t first;
    uint32_t slots, room, seed;
    bool in_one_piece;
};

struct burst {
    memif_buffer_t bufs[RING + GUARD];
    uint16_t count;
};

/* Slots by their counters; those from `done` on are free or reserved, until `given`. */
static struct {
    struct testbed bed;
    uint64_t random;
    uint8_t *end; /* of the memory for bursts */
    bool plain;   /* packets of one slot only, for now */
    uint32_t capacity, seed;
    uint64_t taken, done, next, given;
    uint64_t bytes, extra_slots, full, refused, signals;
    struct testbed_desc posted[RING]; /* each slot's buffer; `length` is what it can hold */
    uint32_t seen[RING];              /* what the library knows that it can hold */
    struct mif_desc ring[RING];       /* as it must be */
    uint32_t seeds[RING], at[RING];   /* what bytes were sent in a slot */
    struct packet held[RING];
    uint32_t held_count;
    /* The last refusal; until a packet is sent, and packets are before `optional`. */
    struct burst stopped, last;
    bool is_stopped, is_refused;
    uint64_t optional;
} now;

static uint32_t below(uint32_t end)
{
    return random_below(&now.random, end);
}

static uint32_t slot_of(uint64_t counter)
{
    return (uint32_t)(counter % RING);
}

static uint8_t *place_of(uint64_t counter)
{
    const struct testbed_desc *desc = &now.posted[slot_of(counter)];

    return now.bed.regions[desc->region].base + desc->offset;
}

static uint8_t byte_of(uint32_t seed, uint32_t at)
{
    return (uint8_t)(seed * 7 + at * 3);
}

/* ---- reserving ---- */

/* Whether more free slots would not help: all are free, or all of them with the largest buffer that
 * was seen would be too small. */
static bool never_fits(uint32_t size)
{
    bool all_free = now.next == now.done && now.given - now.done == now.capacity;
    uint32_t largest = 0;

    for (uint32_t slot = 0; slot < RING; slot++)
        largest = now.seen[slot] > largest ? now.seen[slot] : largest;
    return largest > 0 && (all_free || largest * now.capacity < size);
}

/* One packet more. An error if it has no room. */
static int reserve_one(uint32_t size)
{
    struct packet packet = {.first = now.next, .seed = now.seed++, .in_one_piece = true};

    for (; packet.slots == 0 || packet.room < size; packet.slots++) {
        uint64_t at = now.next + packet.slots;
        if (at == now.given)
            return never_fits(size) ? MIF_ERR_INVAL_ARG : MIF_ERR_NOBUF_RING;
        uint8_t *end = place_of(now.next) + packet.room;
        packet.in_one_piece = packet.in_one_piece && place_of(at) == end;
        now.seen[slot_of(at)] = now.posted[slot_of(at)].length;
        packet.room += now.posted[slot_of(at)].length;
    }
    now.held[now.held_count++] = packet;
    now.next += packet.slots;
    return MIF_ERR_SUCCESS;
}

/* All that is reserved is free again. */
static void take_back(void)
{
    now.held_count = 0;
    now.next = now.done;
    now.is_refused = false;
    now.optional = now.optional < now.next ? now.optional : now.next;
}

/* What was refused, if it is all that was reserved before, gives way. */
static bool give_way(uint64_t start, uint32_t before)
{
    if (before == 0 || !now.is_stopped || !now.is_refused || now.optional < start)
        return false;
    take_back();
    return true;
}

static int reserve_many(uint32_t count, uint32_t size, uint32_t *n)
{
    const uint64_t start = now.next;
    const uint32_t before = now.held_count;
    int err = MIF_ERR_SUCCESS;

    for (*n = 0; *n < count && err == MIF_ERR_SUCCESS; *n += err == MIF_ERR_SUCCESS)
        err = reserve_one(size);
    if (err != MIF_ERR_NOBUF_RING)
        return err;
    if (give_way(start, before))
        return reserve_many(count, size, n);
    now.full++;
    return err;
}

/* ---- sending ---- */

/* Lays a packet out from `done` on. */
static void lay_out(const struct packet *packet, uint32_t length)
{
    uint32_t at = 0;

    do {
        uint32_t slot = slot_of(now.done++), room = now.seen[slot];
        uint32_t part = length - at < room ? length - at : room;
        uint64_t low =
            (uint64_t)now.posted[slot].region << 16 | (at + part < length ? MIF_DESC_NEXT : 0);
        now.ring[slot].head = low | (uint64_t)(testbed_is_256(&now.bed) ? room : part) << 32;
        now.ring[slot].length = part;
        now.seeds[slot] = packet->seed;
        now.at[slot] = at;
        at += part;
        now.extra_slots += at < length;
    } while (at < length);
    now.bytes += length;
}

static bool send_one(const memif_buffer_t *entry)
{
    uint32_t i = 0;

    while (i < now.held_count && slot_of(now.held[i].first) != entry->desc_index)
        i++;
    if (i == now.held_count || (i > 0 && !(now.is_stopped && now.held[i].first <= now.optional)))
        return false;
    const struct packet packet = now.held[i];
    lay_out(&packet, entry->data_len < packet.room ? entry->data_len : packet.room);
    now.held_count -= i + 1;
    memmove(now.held, now.held + i + 1, now.held_count * sizeof(*now.held));
    if (now.held_count == 0)
        now.next = now.done;
    now.is_stopped = false;
    return true;
}

static bool is_same(const struct burst *a, const struct burst *b)
{
    bool same = a->count == b->count;

    for (uint32_t i = 0; same && i < a->count; i++)
        same = a->bufs[i].desc_index == b->bufs[i].desc_index &&
               a->bufs[i].data_len == b->bufs[i].data_len && a->bufs[i].data == b->bufs[i].data;
    return same;
}

/* True if the same burst was refused when it was last tried. */
static bool refuse(const struct burst *burst)
{
    bool again = now.is_stopped && now.is_refused && is_same(burst, &now.stopped);

    now.stopped = *burst;
    now.is_stopped = now.is_refused = true;
    now.optional = now.next;
    now.refused++;
    return again;
}

static int send_many(const struct burst *burst, uint32_t *n)
{
    bool again = false;
    int err = MIF_ERR_SUCCESS;

    for (*n = 0; *n < burst->count; (*n)++) {
        if (send_one(&burst->bufs[*n]))
            continue;
        again = refuse(burst) || again;
        if (!again) {
            err = MIF_ERR_INVAL_ARG;
            break;
        }
    }
    now.signals += *n > 0 && (atomic_load(&now.bed.ring[MIF_TX]->flags) & MIF_RING_MASK_INT) == 0;
    return err;
}

/* ---- the peer ---- */

static struct mif_desc read_back(uint32_t slot)
{
    return mif_desc_read(now.bed.ring[MIF_TX] + 1, slot, now.bed.shape.kind);
}

/* Some buffers are adjacent to that of the next slot, some are short, some in another region. */
static void post(uint32_t slot)
{
    uint32_t room = below(2) == 0 ? SIZE : 1 + below(below(2) == 0 ? 16 : SIZE);
    struct testbed_desc desc = testbed_honest(&now.bed, MIF_TX, slot, room);

    if (below(2) == 0)
        desc.offset += SIZE - room;
    if (room <= 16 && below(4) == 0) {
        desc.region = TESTBED_SMALL;
        desc.offset = slot * 16;
    }
    now.posted[slot] = desc;
    testbed_peer_write(&now.bed, MIF_TX, slot, &desc);
    if (testbed_is_256(&now.bed)) { /* which says the capacity in a field of its own */
        struct mif_desc_256 *shared = (struct mif_desc_256 *)(now.bed.ring[MIF_TX] + 1) + slot;
        atomic_store(&shared->length, below(2 * SIZE));
    }
    now.ring[slot] = read_back(slot);
}

static void expect_bytes(uint32_t slot)
{
    const struct mif_desc desc = read_back(slot);
    const uint8_t *data = now.bed.regions[(uint16_t)(desc.head >> 16)].base + desc.offset;

    for (uint32_t i = 0; i < desc.length; i++)
        if (data[i] != byte_of(now.seeds[slot], now.at[slot] + i))
            ck_abort_msg("byte %u of slot %u differs", i, slot);
}

/* A slave of version 512 may have posted less than the ring holds when the first packets are sent;
 * then those that it takes are none yet. */
static void peer_takes(void)
{
    uint32_t count = below(testbed_peer_room(&now.bed, MIF_TX) + 1);

    for (uint32_t i = 0; i < count; i++, now.taken++) {
        if (now.taken < now.done)
            expect_bytes(slot_of(now.taken));
        if (!testbed_is_slave(&now.bed))
            post(slot_of(now.taken));
    }
    now.given = now.taken + now.capacity;
    testbed_peer_move(&now.bed, MIF_TX, count);
    atomic_store(&now.bed.ring[MIF_TX]->flags, below(2) == 0 ? MIF_RING_MASK_INT : 0);
}

/* ---- what must hold after each call ---- */

static void expect_ring(void)
{
    for (uint32_t slot = 0; slot < RING; slot++) {
        const struct mif_desc found = read_back(slot), *desc = &now.ring[slot];
        if (found.head != desc->head || found.length != desc->length ||
            found.offset != desc->offset)
            ck_abort_msg("slot %u has %" PRIx64 ", length %u, offset %" PRIu64, slot, found.head,
                         found.length, found.offset);
    }
}

/* A gap counts as a packet of several slots. */
static uint32_t chains(void)
{
    uint32_t count = now.held_count > 0 && now.held[0].first != now.done;

    for (uint32_t i = 0; i < now.held_count; i++)
        count += now.held[i].slots > 1;
    return count;
}

static void expect_all(void)
{
    const struct mif_queue *q = now.bed.queue[MIF_TX];
    uint64_t index = testbed_is_256(&now.bed) ? now.done % RING : now.done;

    expect_ring();
    ck_assert_uint_eq(atomic_load(testbed_our_index(&now.bed, MIF_TX)), (uint16_t)index);
    ck_assert_uint_eq(q->next, now.next);
    ck_assert_uint_eq(q->done, now.done);
    ck_assert_uint_eq(q->bytes, now.bytes);
    ck_assert_uint_eq(q->extra_slots, now.extra_slots);
    ck_assert_uint_eq(q->full, now.full);
    ck_assert_uint_eq(q->refused, now.refused);
    ck_assert_uint_eq(q->signals, now.signals);
    ck_assert_uint_eq(q->chains, chains());
    ck_assert_ptr_null(testbed_fault(&now.bed));
}

#endif
