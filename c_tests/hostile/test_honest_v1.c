/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A peer that plays by the rules, for comparison: each entry and each descriptor is exactly the one
 * of its slot, whatever the burst, the place in the ring and the path through our code.
 *
 * Packets and buffers differ from slot to slot in length and place, so that none passes for
 * another. Some take the fast paths, some are kept out of them: by a region that was not used last,
 * or by a flag that no version knows.
 */

#include "scene.h"

#include <string.h>

enum { LOG2_RING = 6, RING = 1 << LOG2_RING, ROUNDS = 3, OTHER_REGION = 5, STRANGE_FLAG = 11 };
/* With an array of buffers or a table of slots, in polling and in interrupt mode. */
enum { TABLE = 1, INTERRUPT = 2, MODES = 4 };
static const uint32_t counts[] = {1, 2, 3, 4, 5, 7, 8, 11, 16, 31, 60};
enum { COUNTS = sizeof(counts) / sizeof(counts[0]) };

/* How far a queue has come, as the test counts. */
static struct {
    uint64_t received, returned, reserved, sent, bytes;
} now;

static uint32_t slot_of(uint64_t counter)
{
    return (uint32_t)(counter % RING);
}

/* What the peer writes into a slot. As master it has no say in the place. */
static struct testbed_desc told(const struct testbed *bed, enum mif_direction direction,
                                uint64_t counter)
{
    uint32_t slot = slot_of(counter);
    uint32_t length = slot % 4 == 2 ? BUFFER : 1 + (uint32_t)(counter * 37 % BUFFER);
    struct testbed_desc desc = testbed_honest(bed, direction, slot, length);

    if (slot % 16 == OTHER_REGION && !testbed_is_slave(bed)) {
        desc.region = TESTBED_SMALL;
        desc.offset = slot * 16;
    }
    desc.flags = slot % 16 == STRANGE_FLAG ? 2 : 0;
    return desc;
}

static uint8_t *place_of(const struct testbed *bed, const struct testbed_desc *desc)
{
    return bed->regions[desc->region].base + desc->offset;
}

static struct testbed_desc read_back(const struct testbed *bed, enum mif_direction direction,
                                     uint32_t slot)
{
    struct mif_desc desc = mif_desc_read(bed->ring[direction] + 1, slot, bed->shape.kind);

    return (struct testbed_desc){.flags = (uint16_t)desc.head,
                                 .region = (uint16_t)(desc.head >> 16),
                                 .length = desc.length,
                                 .offset = desc.offset};
}

static void expect_desc(const struct testbed *bed, enum mif_direction direction, uint32_t slot,
                        const struct testbed_desc *expected)
{
    struct testbed_desc found = read_back(bed, direction, slot);

    ck_assert_uint_eq(found.flags, expected->flags);
    ck_assert_uint_eq(found.region, expected->region);
    ck_assert_uint_eq(found.length, expected->length);
    ck_assert_uint_eq(found.offset, expected->offset);
}

/* Version 256 publishes a slot; a slave of version 512 that receives is a ring ahead. */
static void expect_index(const struct testbed *bed, enum mif_direction direction, uint64_t done)
{
    bool ahead = direction == MIF_RX && bed->shape.kind == MIF_KIND_512_SLAVE;
    uint64_t index = testbed_is_256(bed) ? done % RING : done + (ahead ? RING : 0);

    ck_assert_uint_eq(atomic_load(testbed_our_index(bed, direction)), (uint16_t)index);
}

/* ---- receiving ---- */

static void peer_sends(const struct testbed *bed, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct testbed_desc desc = told(bed, MIF_RX, now.received + i);
        testbed_peer_write(bed, MIF_RX, slot_of(now.received + i), &desc);
    }
    testbed_peer_move(bed, MIF_RX, count);
}

static uint32_t length_of(const memif_buffer_t *entry)
{
#ifdef TESTBED_ENTRY_FACE
    ck_assert_uint_eq(entry->flags, 0);
    return entry->len;
#else
    ck_assert_uint_eq(entry->buffer_len, entry->data_len);
    return entry->data_len;
#endif
}

static void receive(struct testbed *bed, uint32_t burst, uint32_t expected, bool more)
{
    const uint32_t before = bed->held_count[MIF_RX];
    uint16_t n;

    ck_assert_int_eq(testbed_receive(bed, burst, &n),
                     MIF_FACE_ERROR(more ? MIF_ERR_NOBUF : MIF_ERR_SUCCESS));
    ck_assert_uint_eq(n, expected);
    for (uint32_t i = 0; i < n; i++, now.received++) {
        const memif_buffer_t *entry = &bed->held[MIF_RX][before + i];
        struct testbed_desc desc = told(bed, MIF_RX, now.received);
        ck_assert_uint_eq(entry->desc_index, slot_of(now.received));
        ck_assert_uint_eq(length_of(entry), desc.length);
        ck_assert_ptr_eq(entry->data, place_of(bed, &desc));
        now.bytes += desc.length;
    }
    ck_assert_uint_eq(bed->queue[MIF_RX]->bytes, now.bytes);
}

/* A slave of version 512 posts each buffer again, whole, and none that the program still has. */
static void give_back(struct testbed *bed, uint32_t count)
{
    ck_assert_int_eq(testbed_give_back(bed, count, 0), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
    for (uint32_t i = 0; i < count; i++, now.returned++) {
        uint32_t slot = slot_of(now.returned);
        struct testbed_desc desc = bed->shape.kind == MIF_KIND_512_SLAVE
                                       ? testbed_honest(bed, MIF_RX, slot, BUFFER)
                                       : told(bed, MIF_RX, now.returned);
        expect_desc(bed, MIF_RX, slot, &desc);
    }
    if (now.returned < now.received) {
        struct testbed_desc desc = told(bed, MIF_RX, now.returned);
        expect_desc(bed, MIF_RX, slot_of(now.returned), &desc);
    }
    expect_index(bed, MIF_RX, now.returned);
}

/* ---- sending ---- */

/* The peer takes what we sent; a slave has buffers of other sizes there the next time. */
static void peer_makes_room(const struct testbed *bed, uint32_t count)
{
    uint64_t first = now.sent + RING - count;

    for (uint32_t i = 0; i < count && !testbed_is_slave(bed); i++) {
        struct testbed_desc desc = told(bed, MIF_TX, first + i);
        testbed_peer_write(bed, MIF_TX, slot_of(first + i), &desc);
    }
    testbed_peer_move(bed, MIF_TX, count);
}

static struct testbed_desc offered(const struct testbed *bed, uint64_t counter)
{
    return testbed_is_slave(bed) ? testbed_honest(bed, MIF_TX, slot_of(counter), BUFFER)
                                 : told(bed, MIF_TX, counter);
}

static void reserve(struct testbed *bed, uint32_t count, uint32_t size)
{
    const uint32_t before = bed->held_count[MIF_TX];
    uint16_t n;

    ck_assert_int_eq(testbed_reserve(bed, count, size, &n), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
    ck_assert_uint_eq(n, count);
    for (uint32_t i = 0; i < n; i++, now.reserved++) {
        const memif_buffer_t *entry = &bed->held[MIF_TX][before + i];
        struct testbed_desc desc = offered(bed, now.reserved);
        ck_assert_uint_eq(entry->desc_index, slot_of(now.reserved));
        ck_assert_ptr_eq(entry->data, place_of(bed, &desc));
#ifdef TESTBED_ENTRY_FACE
        ck_assert_uint_eq(entry->len, size > 0 ? size : desc.length);
        ck_assert_uint_eq(entry->flags, 0);
#else
        ck_assert_uint_eq(entry->buffer_len, desc.length);
        ck_assert_uint_eq(entry->data_len, 0);
#endif
    }
}

static uint32_t sent_length(const struct testbed *bed, uint64_t counter)
{
    uint32_t most = offered(bed, counter).length;

    return counter % 3 == 0 ? most : (uint32_t)(counter * 41 % (most + 1));
}

static void send_reserved(struct testbed *bed, uint32_t count)
{
    memif_buffer_t *bufs = bed->held[MIF_TX];
    uint64_t bytes = bed->queue[MIF_TX]->bytes;
    uint16_t n;

    for (uint32_t i = 0; i < count; i++)
#ifdef TESTBED_ENTRY_FACE
        bufs[i].len = sent_length(bed, now.sent + i);
#else
        bufs[i].data_len = sent_length(bed, now.sent + i);
#endif
    ck_assert_int_eq(mif_call(bed->handle, 0, MIF_TX, MIF_CALL_TX, 0, bufs, (uint16_t)count, &n),
                     MIF_FACE_ERROR(MIF_ERR_SUCCESS));
    ck_assert_uint_eq(n, count);
    bed->held_count[MIF_TX] -= count;
    memmove(bufs, bufs + count, bed->held_count[MIF_TX] * sizeof(*bufs));
    for (uint32_t i = 0; i < count; i++, now.sent++) {
        struct testbed_desc desc = offered(bed, now.sent);
        desc.flags = 0;
        desc.length = sent_length(bed, now.sent);
        expect_desc(bed, MIF_TX, slot_of(now.sent), &desc);
        bytes += desc.length;
    }
    ck_assert_uint_eq(bed->queue[MIF_TX]->bytes, bytes);
    expect_index(bed, MIF_TX, now.sent);
}

/* ---- the tests ---- */

static bool open_honest(struct testbed *bed, int way, int mode)
{
    struct testbed_shape shape;

    if (!shape_of(way, &shape))
        return false;
    shape.log2_ring_size = LOG2_RING;
    shape.interrupt = (mode & INTERRUPT) != 0;
    testbed_open(bed, &shape);
    for (int d = MIF_RX; d <= MIF_TX && (mode & TABLE) != 0; d++)
        bed->queue[d]->buffers = (struct mif_buffer_array){0}; /* as if one had been moved */
    memset(&now, 0, sizeof(now));
    return true;
}

MEMIF_TEST_LOOP(each_packet_is_received_from_its_slot_and_given_back, 0, WAYS *MODES)
{
    struct testbed bed;

    if (!open_honest(&bed, _i % WAYS, _i / WAYS))
        return;
    for (uint32_t i = 0; i < ROUNDS * COUNTS; i++) {
        uint32_t count = counts[i % COUNTS], burst = counts[(i + i / COUNTS) % COUNTS];
        peer_sends(&bed, count);
        for (uint32_t left = count, n; left > 0; left -= n) {
            n = left < burst ? left : burst;
            receive(&bed, burst, n, left > n);
        }
        for (uint32_t left = count, n; left > 0; left -= n) {
            n = i % 2 == 0 ? left / 2 + 1 : left < 7 ? left : 7;
            give_back(&bed, n);
        }
    }
    ck_assert_ptr_null(testbed_fault(&bed));
    testbed_close(&bed);
}

MEMIF_TEST_LOOP(each_packet_is_sent_from_its_slot, 0, WAYS *MODES)
{
    struct testbed bed;

    if (!open_honest(&bed, _i % WAYS, _i / WAYS))
        return;
    for (uint64_t i = 0; i < RING && !testbed_is_slave(&bed); i++) {
        struct testbed_desc desc = told(&bed, MIF_TX, i);
        testbed_peer_write(&bed, MIF_TX, slot_of(i), &desc);
    }
    for (uint32_t i = 0; i < ROUNDS * COUNTS; i++) {
        uint32_t count = counts[i % COUNTS];
        reserve(&bed, count, i % 2 == 0 || !testbed_is_slave(&bed) ? 0 : BUFFER);
        for (uint32_t left = count; left > 0; left -= left / 2 + 1)
            send_reserved(&bed, left / 2 + 1);
        peer_makes_room(&bed, count);
    }
    ck_assert_ptr_null(testbed_fault(&bed));
    testbed_close(&bed);
}

MEMIF_TEST_LOOP(empty_packets_are_sent_from_their_slots, 0, WAYS *MODES)
{
    enum { COUNT = 9 };
    struct testbed bed;
    uint16_t n;

    if (!open_honest(&bed, _i % WAYS, _i / WAYS))
        return;
    ck_assert_int_eq(testbed_reserve(&bed, COUNT, 0, &n), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
    ck_assert_int_eq(testbed_send(&bed, COUNT, 0, &n), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
    ck_assert_uint_eq(n, COUNT);
    for (uint32_t slot = 0; slot < COUNT; slot++) {
        struct testbed_desc desc = testbed_honest(&bed, MIF_TX, slot, 0);
        expect_desc(&bed, MIF_TX, slot, &desc);
    }
    testbed_close(&bed);
}

/* The entry of a slot, made up: the program does not hold it. */
static memif_buffer_t made_up(const struct testbed *bed, enum mif_direction direction,
                              uint32_t slot)
{
    struct testbed_desc desc = direction == MIF_TX ? offered(bed, slot) : told(bed, MIF_RX, slot);

    return (memif_buffer_t){
        .desc_index = (uint16_t)slot,
        .data = place_of(bed, &desc),
#ifdef TESTBED_ENTRY_FACE
        .queue = bed->queue[direction],
        .len = 1,
#else
        .buffer_len = desc.length,
        .data_len = 1,
#endif
    };
}

#ifdef TESTBED_ENTRY_FACE
static void change(memif_buffer_t *entry, int what)
{
    switch (what) {
    case 0:
        entry->desc_index++;
        break;
    case 1:
        entry->queue = NULL;
        break;
    case 2:
        entry->data = (uint8_t *)entry->data - 1;
        break;
    case 3:
        entry->data = (uint8_t *)entry->data + TESTBED_TAILROOM + 1;
        break;
    default:
        entry->len++;
        break;
    }
}

/* They are as long as their buffers, so that a byte more lies behind one. */
MEMIF_TEST_LOOP(an_entry_that_was_changed_ends_the_burst, 0, WAYS *MODES)
{
    enum { CHANGES = 5, COUNT = 9 };
    static const uint32_t at[] = {0, 2, 4, 8};
    struct testbed bed;
    uint16_t n;

    for (int i = 0; i < CHANGES * 4; i++) {
        if (!open_honest(&bed, _i % WAYS, _i / WAYS))
            return;
        uint32_t wrong = at[i / CHANGES], count = i % 2 == 0 ? COUNT : wrong + 1;
        ck_assert_int_eq(testbed_reserve(&bed, count, 0, &n), MEMIF_ERR_SUCCESS);
        change(&bed.held[MIF_TX][wrong], i % CHANGES);
        ck_assert_int_eq(
            mif_call(bed.handle, 0, MIF_TX, MIF_CALL_TX, 0, bed.held[MIF_TX], (uint16_t)count, &n),
            MEMIF_ERR_INVAL_ARG);
        ck_assert_uint_eq(n, wrong);
        expect_index(&bed, MIF_TX, wrong);
        testbed_close(&bed);
    }
}
#endif

enum { NOT_HELD = 8 };
static const uint16_t held_counts[] = {0, 1, 4, 7};

static void send_more_than_is_reserved(int way, int mode, uint16_t held)
{
    memif_buffer_t bufs[NOT_HELD];
    uint16_t n;
    struct testbed bed;

    if (!open_honest(&bed, way, mode))
        return;
    for (uint32_t i = 0; i < RING && !testbed_is_slave(&bed); i++) {
        struct testbed_desc desc = told(&bed, MIF_TX, i);
        testbed_peer_write(&bed, MIF_TX, i, &desc);
    }
    if (held > 0)
        reserve(&bed, held, 0);
    for (uint32_t i = 0; i < NOT_HELD; i++)
        bufs[i] = made_up(&bed, MIF_TX, i);
    ck_assert_int_eq(
        mif_call(bed.handle, 0, MIF_TX, MIF_CALL_TX, 0, bufs, held == 0 ? 1 : NOT_HELD, &n),
        MIF_FACE_ERROR(MIF_ERR_INVAL_ARG));
    ck_assert_uint_eq(n, held);
    expect_index(&bed, MIF_TX, held);
    testbed_close(&bed);
}

MEMIF_TEST_LOOP(nothing_is_sent_that_is_not_reserved, 0, WAYS *MODES)
{
    for (int i = 0; i < 4; i++)
        send_more_than_is_reserved(_i % WAYS, _i / WAYS, held_counts[i]);
}

static void give_back_more_than_is_held(int way, int mode, uint16_t held)
{
    memif_buffer_t bufs[NOT_HELD];
    uint16_t n = 0;
    struct testbed bed;

    if (!open_honest(&bed, way, mode))
        return;
    peer_sends(&bed, held);
    receive(&bed, NOT_HELD, held, false);
    for (uint32_t i = 0; i < NOT_HELD; i++)
        bufs[i] = made_up(&bed, MIF_RX, i);
    int err =
        mif_call(bed.handle, 0, MIF_RX, MIF_CALL_GIVE_BACK, 0, bufs, held == 0 ? 1 : NOT_HELD, &n);
#ifdef TESTBED_ENTRY_FACE
    ck_assert_int_eq(err, MEMIF_ERR_SUCCESS); /* a count is all that this call looks at */
#else
    ck_assert_int_eq(err, MIF_FACE_ERROR(MIF_ERR_INVAL_ARG));
    ck_assert_uint_eq(n, held);
#endif
    expect_index(&bed, MIF_RX, held);
    testbed_close(&bed);
}

MEMIF_TEST_LOOP(nothing_is_given_back_that_is_not_held, 0, WAYS *MODES)
{
    for (int i = 0; i < 4; i++)
        give_back_more_than_is_held(_i % WAYS, _i / WAYS, held_counts[i]);
}

#ifndef TESTBED_ENTRY_FACE
/* A packet that says it is longer than its buffer is cut. */
MEMIF_TEST_LOOP(no_more_is_sent_than_the_buffer_holds, 0, WAYS *MODES)
{
    enum { COUNT = 8 };
    struct testbed bed;
    uint16_t n;

    if (!open_honest(&bed, _i % WAYS, _i / WAYS))
        return;
    for (uint32_t i = 0; i < 3 * COUNT; i++) {
        uint32_t count = i % 3 == 0 ? 1 : COUNT, at = i % count, first = slot_of(now.sent);
        memif_buffer_t bufs[COUNT];
        ck_assert_int_eq(testbed_reserve(&bed, count, 0, &n), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
        ck_assert_uint_eq(n, count);
        memcpy(bufs, bed.held[MIF_TX], sizeof(bufs));
        for (uint32_t k = 0; k < count; k++)
            bufs[k].data_len = k == at ? bufs[k].buffer_len + 1 : k;
        ck_assert_int_eq(mif_call(bed.handle, 0, MIF_TX, MIF_CALL_TX, 0, bufs, (uint16_t)count, &n),
                         MIF_FACE_ERROR(MIF_ERR_SUCCESS));
        ck_assert_uint_eq(n, count);
        bed.held_count[MIF_TX] = 0;
        now.sent += count;
        for (uint32_t k = 0; k < count; k++)
            ck_assert_uint_eq(read_back(&bed, MIF_TX, slot_of(first + k)).length,
                              k == at ? bufs[k].buffer_len : k);
        testbed_peer_turn(&bed, 60);
    }
    testbed_close(&bed);
}
#endif

#ifdef MIF_HAVE_AVX2
MEMIF_TEST_LOOP(vectors_are_used_where_the_processor_has_them, 0, WAYS)
{
#ifdef TESTBED_ENTRY_FACE
    const struct mif_face_calls *vectors = &mif_entry_calls_avx2;
#else
    const struct mif_face_calls *vectors = &mif_packet_calls_avx2;
#endif
    struct testbed bed;

    if (!open_honest(&bed, _i, 0))
        return;
    for (int d = MIF_RX; d <= MIF_TX; d++) {
        mif_burst_fn *const *calls = d == MIF_RX ? vectors->rx : vectors->reserve;
        ck_assert_int_eq(atomic_load(&bed.queue[d]->call[0]) == calls[bed.shape.kind],
                         bed.shape.vectors);
    }
    testbed_close(&bed);
}
#endif

MEMIF_TEST_MAIN("honest peers")
