/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Packets of several slots, whole and in part, that a program receives with arrays of every size
 * and gives back with every headroom: after each call entries, descriptors, counters and the
 * eventfd are exactly those of a model of the rules, which are those of libmemif.h.
 */

#include "random.h"
#include "scene.h"

#include <sys/eventfd.h>
#include <unistd.h>

enum { LOG2_RING = 4, RING = 1 << LOG2_RING, ROUNDS = 300 };
/* With an array of buffers or a table of slots, in polling and in interrupt mode. */
enum { TABLE = 1, INTERRUPT = 2, MODES = 4 };

static struct {
    struct testbed_desc desc[RING]; /* as they are to be in the ring */
    uint32_t headroom[RING];
    uint64_t next, done, known, sent; /* `known` of what is sent: the index that was read last */
    uint64_t bytes, extra;
    bool signalled;
} model;

static uint64_t chance;

static bool one_in(uint32_t end)
{
    return random_below(&chance, end) == 0;
}

static uint16_t slot_of(uint64_t counter)
{
    return (uint16_t)(counter % RING);
}

static bool posts(const struct testbed *bed)
{
    return bed->shape.kind == MIF_KIND_512_SLAVE;
}

/* ---- the peer ---- */

static uint32_t most_in(uint16_t slot)
{
    uint32_t headroom = model.headroom[slot];

    return headroom <= TESTBED_TAILROOM ? BUFFER : BUFFER - headroom;
}

static void fill_slot(const struct testbed *bed, uint64_t counter, bool goes_on)
{
    uint16_t slot = slot_of(counter);
    uint32_t most = most_in(slot);
    uint32_t length = one_in(3) ? most : random_below(&chance, most + 1);
    struct testbed_desc *desc = &model.desc[slot];

    *desc = testbed_honest(bed, MIF_RX, slot, length);
    if (!testbed_is_slave(bed) && one_in(4)) {
        desc->region = TESTBED_SMALL;
        desc->offset = slot * 16u;
    }
    desc->offset += model.headroom[slot];
    desc->flags = (uint16_t)((goes_on ? MIF_DESC_NEXT : 0) | (one_in(4) ? 2 : 0));
    testbed_peer_write(bed, MIF_RX, slot, desc);
}

/* No packet is as long as the ring. */
static void peer_sends(const struct testbed *bed)
{
    uint32_t capacity = mif_capacity(bed->queue[MIF_RX], bed->shape.kind);
    uint32_t room = capacity - (uint32_t)(model.sent - model.done);
    uint32_t count = random_below(&chance, room + 1);

    for (uint32_t i = 0; i < count; i++)
        fill_slot(bed, model.sent + i, i + 1 < room && one_in(2));
    model.sent += count;
    testbed_peer_move(bed, MIF_RX, count);
    if (one_in(2)) {
        ck_assert_int_eq(eventfd_write(bed->efd[MIF_RX], 1), 0);
        model.signalled = true;
    }
}

/* ---- what must hold after each call ---- */

static void expect_ring(const struct testbed *bed)
{
    const struct mif_queue *q = bed->queue[MIF_RX];
    const bool is_256 = testbed_is_256(bed);

    for (uint64_t slot = 0; slot < RING; slot++) {
        struct mif_desc found = mif_desc_read(bed->ring[MIF_RX] + 1, slot, bed->shape.kind);
        ck_assert_uint_eq((uint16_t)found.head, model.desc[slot].flags);
        ck_assert_uint_eq((uint16_t)(found.head >> 16), model.desc[slot].region);
        ck_assert_uint_eq(found.length, model.desc[slot].length);
        ck_assert_uint_eq(found.offset, model.desc[slot].offset);
    }
    ck_assert_uint_eq(q->next, model.next);
    ck_assert_uint_eq(q->done, model.done);
    ck_assert_uint_eq(q->bytes, model.bytes);
    ck_assert_uint_eq(q->extra_slots, model.extra);
    ck_assert_uint_eq(atomic_load(testbed_our_index(bed, MIF_RX)),
                      is_256 ? slot_of(model.done)
                             : (uint16_t)(model.done + (posts(bed) ? RING : 0)));
    ck_assert(is_signalled(bed->efd[MIF_RX]) == model.signalled);
    ck_assert_uint_eq(atomic_load(&q->busy), 0);
}

/* ---- receiving ---- */

/* Slots of the next packet that are known, and whether its end is one of them. */
static uint32_t next_packet(bool *whole)
{
    uint32_t n = 0;

    *whole = false;
    for (uint64_t at = model.next; at != model.known && !*whole; at++, n++)
        *whole = !(model.desc[slot_of(at)].flags & MIF_DESC_NEXT);
    return n;
}

static void expect_entry(const struct testbed *bed, const memif_buffer_t *entry)
{
    uint16_t slot = slot_of(model.next);
    struct testbed_desc *desc = &model.desc[slot];

    ck_assert_uint_eq(entry->desc_index, slot);
    ck_assert_ptr_eq(entry->queue, bed->queue[MIF_RX]);
    ck_assert_uint_eq(entry->len, desc->length);
    ck_assert_uint_eq(entry->flags, desc->flags & MIF_DESC_NEXT);
    ck_assert_ptr_eq(entry->data, bed->regions[desc->region].base + desc->offset);
    if (bed->shape.kind == MIF_KIND_512_MASTER)
        desc->flags &= (uint16_t)~MIF_DESC_NEXT; /* for a DPDK slave: see mif_desc_unchain */
    model.bytes += desc->length;
    model.next++;
}

/* Receives what is known. True: there is more than fits. */
static bool take(const struct testbed *bed, const memif_buffer_t *bufs, uint32_t count, uint32_t *n)
{
    while (model.next != model.known) {
        bool whole;
        uint32_t slots = next_packet(&whole), room = count - *n;
        if (slots <= room && !whole)
            return false;
        if (slots > room && (*n > 0 || room == 0))
            return true;
        bool piece = slots > room;
        slots = piece ? room : slots;
        for (uint32_t i = 0; i < slots; i++)
            expect_entry(bed, &bufs[(*n)++]);
        model.extra += piece ? slots : slots - 1;
        if (piece)
            return true;
    }
    return false;
}

static void receive(struct testbed *bed)
{
    const uint32_t count = 1 + random_below(&chance, one_in(2) ? 4 : RING + 2);
    uint32_t n = 0;
    uint16_t received;

    bed->held_count[MIF_RX] = 0;
    int err = testbed_receive(bed, count, &received);
    if (!bed->shape.interrupt && model.known - model.next < count)
        model.known = model.sent;
    bool full = take(bed, bed->held[MIF_RX], count, &n);
    while (bed->shape.interrupt && !full && model.known != model.sent) {
        model.known = model.sent;
        full = take(bed, bed->held[MIF_RX], count, &n);
    }
    if (bed->shape.interrupt && !full && n < count)
        model.signalled = false;
    ck_assert_int_eq(err, full ? MEMIF_ERR_NOBUF : MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(received, n);
    expect_ring(bed);
}

/* ---- giving back ---- */

static void give_back_with(struct testbed *bed, uint32_t wanted, uint32_t headroom)
{
    const uint32_t held = (uint32_t)(model.next - model.done);
    const bool good = headroom == 0 || !testbed_is_slave(bed) || (posts(bed) && headroom < BUFFER);
    uint16_t none;

    ck_assert_int_eq(mif_call(bed->handle, 0, MIF_RX, MIF_CALL_GIVE_BACK, headroom, NULL,
                              (uint16_t)wanted, &none),
                     good ? MEMIF_ERR_SUCCESS : MEMIF_ERR_INVAL_ARG);
    for (uint32_t i = 0; good && i < wanted && i < held; i++, model.done++) {
        uint16_t slot = slot_of(model.done);
        if (!posts(bed))
            continue;
        model.headroom[slot] = headroom;
        model.desc[slot] = testbed_honest(bed, MIF_RX, slot, BUFFER - headroom);
        model.desc[slot].offset += headroom;
    }
    expect_ring(bed);
}

static void give_back(struct testbed *bed)
{
    static const uint32_t headrooms[] = {
        0,          0,          0,      1,         TESTBED_TAILROOM, TESTBED_TAILROOM + 1,
        BUFFER / 2, BUFFER - 1, BUFFER, UINT16_MAX};
    const uint32_t headroom = headrooms[random_below(&chance, sizeof(headrooms) / 4)];
    const uint32_t held = (uint32_t)(model.next - model.done);

    give_back_with(bed, one_in(4) ? UINT16_MAX : random_below(&chance, held + 2), headroom);
}

/* ---- the tests ---- */

static bool open_bed(struct testbed *bed, int way, int mode)
{
    struct testbed_shape shape;

    if (!shape_of(way, &shape))
        return false;
    shape.log2_ring_size = LOG2_RING;
    shape.interrupt = (mode & INTERRUPT) != 0;
    testbed_open(bed, &shape);
    if (mode & TABLE)
        bed->queue[MIF_RX]->buffers = (struct mif_buffer_array){0}; /* as if one had been moved */
    memset(&model, 0, sizeof(model));
    for (uint16_t slot = 0; slot < RING; slot++) {
        model.desc[slot] = testbed_honest(bed, MIF_RX, slot, BUFFER);
        testbed_peer_write(bed, MIF_RX, slot, &model.desc[slot]);
    }
    mif_efd_drain(bed->efd[MIF_RX]);
    return true;
}

MEMIF_TEST_LOOP(what_is_received_is_what_was_sent, 0, WAYS * MODES * 2)
{
    struct testbed bed;

    if (!open_bed(&bed, _i % WAYS, _i / WAYS % MODES))
        return;
    chance = RANDOM_SEED + (uint64_t)_i;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        if (one_in(3))
            peer_sends(&bed);
        if (one_in(2))
            receive(&bed);
        else
            give_back(&bed);
    }
    ck_assert_uint_gt(model.done, 5 * RING);
    ck_assert_ptr_null(testbed_fault(&bed));
    testbed_close(&bed);
}

/* While the buffers are still an array. */
MEMIF_TEST_LOOP(the_first_headroom_may_be_any, 0, WAYS)
{
    for (uint32_t headroom = 0; headroom < BUFFER; headroom++) {
        struct testbed bed;
        if (!open_bed(&bed, _i, 0))
            return;
        chance = RANDOM_SEED + headroom;
        while (model.next == 0) {
            peer_sends(&bed);
            receive(&bed);
        }
        give_back_with(&bed, 1, headroom);
        testbed_close(&bed);
    }
}

/* The packet has `slots` slots; the last is as long as it takes. */
static void send_long(const struct testbed *bed, uint32_t slots, uint32_t length)
{
    for (uint32_t i = 0; i < slots; i++) {
        bool last = i + 1 == slots;
        struct testbed_desc desc =
            testbed_honest(bed, MIF_RX, i, last ? length - (slots - 1) * (BUFFER - 1) : BUFFER - 1);
        desc.flags = (uint16_t)(last ? 0 : MIF_DESC_NEXT);
        testbed_peer_write(bed, MIF_RX, i, &desc);
    }
    testbed_peer_move(bed, MIF_RX, slots);
}

MEMIF_TEST_LOOP(a_packet_of_several_slots_may_be_as_long_as_the_limit, 0, WAYS * 2)
{
    for (uint32_t slots = 2; slots < 6; slots++)
        for (uint32_t more = 0; more < 2; more++) {
            struct testbed_shape shape;
            struct testbed bed;
            uint16_t n;
            if (!shape_of(_i % WAYS, &shape))
                return;
            shape.log2_ring_size = LOG2_RING;
            shape.interrupt = _i >= WAYS;
            shape.max_packet = (slots - 1) * (BUFFER - 1) + 7;
            testbed_open(&bed, &shape);
            send_long(&bed, slots, shape.max_packet + more);
            ck_assert_int_eq(testbed_receive(&bed, RING, &n),
                             more == 0 ? MEMIF_ERR_SUCCESS : MEMIF_ERR_DISCONNECTED);
            ck_assert_uint_eq(n, more == 0 ? slots : 0);
            expect_fault(&bed, more == 0 ? NULL : too_long(shape.max_packet + 1, shape.max_packet));
            testbed_close(&bed);
        }
}

MEMIF_TEST_MAIN("pieces")
