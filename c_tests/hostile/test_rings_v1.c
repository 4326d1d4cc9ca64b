/* SPDX-License-Identifier: Apache-2.0 */

/* Descriptors, indices and headers that an honest peer does not write. */

#include "scene.h"

/* ---- descriptors ---- */

MEMIF_TEST_LOOP(no_packet_is_handed_out_that_lies_outside_the_regions, 0, WAYS)
{
    struct testbed_shape shape;
    struct scene scene;

    if (!shape_of(_i, &shape))
        return;
    scene_open(&scene, &shape);
    for (size_t i = 0; i < HOSTILE * PLACES; i++) {
        uint32_t at = places[i % PLACES];

        start_anew(&scene.bed);
        struct testbed_desc desc = hostile(&scene.bed, i / PLACES);
        const char *wrong = wrong_with_packet(&scene.bed, &desc);
        spoil(&scene.bed, MIF_RX, at, &desc);
        uint32_t received = receive_all(&scene.bed, bursts[(i + i / PLACES) % BURSTS]);
        expect_fault(&scene.bed, wrong);
        if (wrong != NULL)
            ck_assert_uint_eq(received, at);
        else
            ck_assert_uint_eq(received, mif_capacity(scene.bed.queue[MIF_RX], shape.kind));
        exchange(&scene.other, 256);
    }
    scene_close(&scene);
}

MEMIF_TEST_LOOP(no_buffer_is_reserved_that_lies_outside_the_regions, 0, WAYS)
{
    struct testbed_shape shape;
    struct scene scene;

    if (!shape_of(_i, &shape))
        return;
    scene_open(&scene, &shape);
    for (size_t i = 0; i < HOSTILE * PLACES; i++) {
        uint32_t at = places[i % PLACES];

        start_anew(&scene.bed);
        struct testbed_desc desc = hostile(&scene.bed, i / PLACES);
        const char *wrong = wrong_with_buffer(&scene.bed, &desc);
        spoil(&scene.bed, MIF_TX, at, &desc);
        uint32_t reserved = reserve_all(&scene.bed, bursts[(i + i / PLACES) % BURSTS], 0);
        expect_fault(&scene.bed, wrong);
        if (wrong != NULL)
            ck_assert_uint_eq(reserved, at);
        else
            ck_assert_uint_eq(reserved, mif_capacity(scene.bed.queue[MIF_TX], shape.kind));
        exchange(&scene.other, 256);
    }
    scene_close(&scene);
}

/* The number of a region of another connection, if the table of this one had no end: 0 if there is
 * none. */
static uint16_t region_of(const struct testbed *bed, const struct testbed *other, uint16_t region)
{
    const struct mif_region *own = mif_lookup(bed->handle)->regions;
    const struct mif_region *theirs = &mif_lookup(other->handle)->regions[region];
    uintptr_t distance = ((uintptr_t)theirs - (uintptr_t)own) / sizeof(*own);

    return theirs > own && distance <= UINT16_MAX ? (uint16_t)distance : 0;
}

MEMIF_TEST_LOOP(no_region_number_leads_to_another_connection, 0, WAYS)
{
    struct testbed_shape shape;
    struct scene scene;

    if (!shape_of(_i, &shape) || mif_kind_is_slave(shape.kind))
        return;
    scene_open(&scene, &shape);
    for (int d = MIF_RX; d <= MIF_TX; d++) {
        start_anew(&scene.other);
        start_anew(&scene.bed);
        struct testbed *bed = &scene.bed, *other = &scene.other;
        if (region_of(bed, other, TESTBED_BUFFERS) == 0) {
            bed = &scene.other;
            other = &scene.bed;
        }
        struct testbed_desc desc = {.length = 60, .region = region_of(bed, other, TESTBED_BUFFERS)};
        ck_assert_uint_ge(desc.region, MIF_MAX_REGIONS);
        spoil(bed, (enum mif_direction)d, 0, &desc);
        ck_assert_uint_eq(d == MIF_RX ? receive_all(bed, 32) : reserve_all(bed, 32, 0), 0);
        expect_fault(bed, d == MIF_RX ? "descriptor out of range"
                                      : "posted buffer out of range or empty");
        testbed_disconnect(bed);
        testbed_connect(bed);
    }
    scene_close(&scene);
}

/* Eight packets of one region, and then eight of another. */
static struct testbed_desc in_region(uint32_t slot, uint16_t region)
{
    return (struct testbed_desc){
        .region = region,
        .length = 1 + slot,
        .offset = region == TESTBED_RINGS ? 0 : slot * BUFFER,
    };
}

MEMIF_TEST_LOOP(each_packet_is_received_from_its_region, 0, WAYS * 9)
{
    static const uint16_t regions[] = {TESTBED_RINGS, TESTBED_BUFFERS, TESTBED_SMALL};
    enum { EACH = 8 };
    const uint16_t of[] = {regions[_i / WAYS % 3], regions[_i / WAYS / 3]};
    struct testbed_shape shape;
    struct testbed bed;

    if (!shape_of(_i % WAYS, &shape) || mif_kind_is_slave(shape.kind))
        return;
    testbed_open(&bed, &shape);
    for (uint32_t slot = 0; slot < 2 * EACH; slot++) {
        struct testbed_desc desc = in_region(slot, of[slot / EACH]);
        testbed_peer_write(&bed, MIF_RX, slot, &desc);
        if (slot % EACH != EACH - 1)
            continue;
        testbed_peer_move(&bed, MIF_RX, EACH);
        ck_assert_uint_eq(receive_all(&bed, EACH), EACH);
    }
    for (uint32_t slot = 0; slot < 2 * EACH; slot++) {
        struct testbed_desc desc = in_region(slot, of[slot / EACH]);
        const memif_buffer_t *entry = &bed.held[MIF_RX][slot];
        ck_assert_uint_eq(testbed_room(entry), desc.length);
        ck_assert_ptr_eq(entry->data, bed.regions[desc.region].base + desc.offset);
    }
    testbed_close(&bed);
}

/* ---- indices and headers ---- */

static void put_index(const struct testbed *bed, enum mif_direction direction, uint32_t value)
{
    atomic_store(testbed_peer_index(bed, direction), (uint16_t)value);
}

/* The peer says that it has moved on by `jump`, from where it is after its turn. */
static void check_jump(const struct testbed_shape *shape, enum mif_direction direction,
                       uint32_t jump)
{
    struct scene scene;

    scene_open(&scene, shape);
    struct testbed *bed = &scene.bed;
    testbed_peer_turn(bed, 60);
    if (direction == MIF_TX)
        (void)reserve_all(bed, 256, 0);
    /* In version 256 any index of less than a ring is a good one, whatever it was before. */
    put_index(bed, direction,
              testbed_is_256(bed) ? SLOTS + jump - 1
                                  : atomic_load(testbed_peer_index(bed, direction)) + jump);
    if (direction == MIF_RX)
        (void)receive_all(bed, 32);
    else
        (void)reserve_all(bed, 32, 0);
    expect_fault(bed, "ring index out of range");
    scene_close(&scene);
}

MEMIF_TEST_LOOP(an_index_that_jumps_closes_the_connection, 0, WAYS)
{
    static const uint32_t jumps[] = {1, SLOTS, SLOTS + 1, 32767, 32768, 65535 - SLOTS};
    struct testbed_shape shape;

    for (size_t i = 0; shape_of(_i, &shape) && i < sizeof(jumps) / sizeof(*jumps); i++) {
        check_jump(&shape, MIF_RX, jumps[i]);
        check_jump(&shape, MIF_TX, jumps[i]);
    }
}

MEMIF_TEST_LOOP(an_index_that_goes_back_closes_the_connection, 0, WAYS)
{
    struct testbed_shape shape;
    struct scene scene;
    uint16_t n;

    if (!shape_of(_i, &shape))
        return;
    scene_open(&scene, &shape);
    testbed_peer_turn(&scene.bed, 60);
    (void)testbed_receive(&scene.bed, 8, &n);
    ck_assert_uint_eq(n, 8);
    testbed_peer_move(&scene.bed, MIF_RX, (uint32_t)-1);
    /* What is known to wait comes first, without a look at the index. */
    const struct mif_queue *q = scene.bed.queue[MIF_RX];
    (void)testbed_receive(&scene.bed, 8, &n);
    ck_assert_uint_eq(n, 8);
    uint32_t known = (uint32_t)(q->limit - q->next);
    (void)testbed_receive(&scene.bed, known, &n);
    ck_assert_uint_eq(n, known);
    expect_fault(&scene.bed, NULL);
    (void)receive_all(&scene.bed, 256);
    expect_fault(&scene.bed, "ring index out of range");
    scene_close(&scene);
}

MEMIF_TEST_LOOP(headers_and_our_own_index_are_not_believed, 0, WAYS)
{
    struct testbed_shape shape;
    struct scene scene;

    if (!shape_of(_i, &shape))
        return;
    scene_open(&scene, &shape);
    for (uint32_t i = 0; i < 64; i++) {
        for (int d = MIF_RX; d <= MIF_TX; d++) {
            atomic_store(&scene.bed.ring[d]->cookie, i * 0x01010101u);
            atomic_store(&scene.bed.ring[d]->flags, (uint16_t)(1u << i % 16));
        }
        exchange(&scene.bed, 32);
    }
    for (int d = MIF_RX; d <= MIF_TX; d++)
        atomic_store(testbed_our_index(&scene.bed, (enum mif_direction)d), (uint16_t)0xDEAD);
    testbed_peer_turn(&scene.bed, 60);
    (void)receive_all(&scene.bed, 32);
    (void)reserve_all(&scene.bed, 32, 0);
    scene_close(&scene);
}

/* As slave, descriptors are there for the peer to read: what it writes into those of ours that it
 * has not been given, or into the places of its own, changes nothing for us. */
MEMIF_TEST_LOOP(a_slave_hands_out_its_own_buffers_whatever_the_master_writes, 0, WAYS)
{
    struct testbed_shape shape;
    struct scene scene;

    if (!shape_of(_i, &shape) || !mif_kind_is_slave(shape.kind))
        return;
    scene_open(&scene, &shape);
    for (uint32_t turn = 0; turn < 16; turn++) {
        for (uint32_t i = 0; i < SLOTS; i++) {
            struct testbed_desc desc = {.region = (uint16_t)(i * 7 + turn),
                                        .offset = i * 0x10001u * 99};
            testbed_peer_write(&scene.bed, MIF_TX, i, &desc);
        }
        testbed_peer_move(&scene.bed, MIF_TX, testbed_peer_room(&scene.bed, MIF_TX));
        for (uint32_t i = 0; i < SLOTS; i++) {
            struct testbed_desc desc = {.flags = i % 2 ? 0 : 0xFFFE,
                                        .region = (uint16_t)(i + turn),
                                        .length = i % BUFFER,
                                        .offset = MOST_64 - i};
            testbed_peer_write(&scene.bed, MIF_RX, i, &desc);
        }
        testbed_peer_move(&scene.bed, MIF_RX, testbed_peer_room(&scene.bed, MIF_RX));
        uint16_t n;
        ck_assert_uint_gt(receive_all(&scene.bed, 32), 0);
        ck_assert_int_eq(testbed_give_back(&scene.bed, SLOTS, 0), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
        ck_assert_uint_gt(reserve_all(&scene.bed, 32, 0), 0);
        ck_assert_int_eq(testbed_send(&scene.bed, SLOTS, 60, &n), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
        expect_fault(&scene.bed, NULL);
    }
    scene_close(&scene);
}

/* Four at a time, whose offsets and lengths add up to nothing. */
MEMIF_TEST_LOOP(no_offset_hides_from_a_slave_how_long_a_packet_is, 0, WAYS)
{
    enum { COUNT = 8 };
    struct testbed_desc desc = {.length = BUFFER + 1, .offset = MOST_64 - BUFFER};
    struct testbed_shape shape;
    struct testbed bed;

    if (!shape_of(_i, &shape) || !mif_kind_is_slave(shape.kind))
        return;
    testbed_open(&bed, &shape);
    for (uint32_t slot = 0; slot < COUNT; slot++)
        testbed_peer_write(&bed, MIF_RX, slot, &desc);
    testbed_peer_move(&bed, MIF_RX, COUNT);
    ck_assert_uint_eq(receive_all(&bed, COUNT), 0);
    expect_fault(&bed, "descriptor out of range");
    testbed_close(&bed);
}

#ifdef TESTBED_ENTRY_FACE
/* Fills all that is posted, without a look at how long it is. */
static void overfill(const struct testbed *bed)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct testbed_desc desc = testbed_honest(bed, MIF_RX, i, BUFFER);
        testbed_peer_write(bed, MIF_RX, i, &desc);
    }
    testbed_peer_move(bed, MIF_RX, SLOTS);
}

/* DPDK's driver does that. The packets are whole, and none lies over another one's headroom. */
MEMIF_TEST_LOOP(a_master_that_does_not_see_the_headroom_fills_the_tail_room, 0, WAYS)
{
    static const uint32_t headrooms[] = {1, TESTBED_TAILROOM, TESTBED_TAILROOM + 1};
    struct testbed_shape shape;
    struct scene scene;

    if (!shape_of(_i, &shape) || shape.kind != MIF_KIND_512_SLAVE)
        return;
    scene_open(&scene, &shape);
    testbed_peer_turn(&scene.bed, BUFFER);
    for (size_t i = 0; i < sizeof(headrooms) / sizeof(*headrooms); i++) {
        ck_assert_uint_eq(receive_all(&scene.bed, 32), SLOTS);
        for (uint32_t n = 0; n < SLOTS; n++)
            ck_assert_uint_eq(scene.bed.held[MIF_RX][n].len, BUFFER);
        ck_assert_int_eq(testbed_give_back(&scene.bed, SLOTS, headrooms[i]), MEMIF_ERR_SUCCESS);
        overfill(&scene.bed);
    }
    (void)receive_all(&scene.bed, 32);
    expect_fault(&scene.bed, "descriptor out of range");
    scene_close(&scene);
}

/* The bit that no version knows keeps a packet out of the fast path, which checks for itself. */
static uint32_t receive_after(struct testbed *bed, uint32_t headroom, uint16_t flags,
                              uint32_t length)
{
    testbed_peer_turn(bed, 60);
    (void)receive_all(bed, 32);
    ck_assert_int_eq(testbed_give_back(bed, SLOTS, headroom), MEMIF_ERR_SUCCESS);
    for (uint32_t i = 0; i < 8; i++) {
        struct testbed_desc desc = testbed_honest(bed, MIF_RX, i, length);
        desc.flags = flags;
        testbed_peer_write(bed, MIF_RX, i, &desc);
    }
    testbed_peer_move(bed, MIF_RX, 8);
    return receive_all(bed, 32);
}

MEMIF_TEST_LOOP(a_packet_behind_a_long_headroom_is_as_long_as_the_rest_of_its_buffer, 0, WAYS)
{
    enum { HEADROOM = TESTBED_TAILROOM + 1 };
    struct testbed_shape shape;
    struct scene scene;

    if (!shape_of(_i, &shape) || shape.kind != MIF_KIND_512_SLAVE)
        return;
    scene_open(&scene, &shape);
    for (uint16_t flags = 0; flags <= 2; flags = (uint16_t)(flags + 2)) {
        struct testbed *bed = &scene.bed;
        start_anew(bed);
        ck_assert_uint_eq(receive_after(bed, HEADROOM, flags, BUFFER - HEADROOM), 8);
        for (uint32_t i = 0; i < 8; i++)
            ck_assert_ptr_eq(bed->held[MIF_RX][i].data, bed->regions[TESTBED_BUFFERS].base +
                                                            testbed_buffer_offset(bed, MIF_RX, i) +
                                                            HEADROOM);
        start_anew(bed);
        ck_assert_uint_eq(receive_after(bed, HEADROOM, flags, BUFFER - HEADROOM + 1), 0);
        expect_fault(bed, "descriptor out of range");
    }
    scene_close(&scene);
}

MEMIF_TEST_LOOP(what_reaches_into_the_tail_room_can_be_sent_on_without_a_copy, 0, WAYS)
{
    enum { COUNT = 32 };
    struct testbed_shape shape;
    struct scene scene;
    uint16_t done;

    if (!shape_of(_i, &shape) || shape.kind != MIF_KIND_512_SLAVE)
        return;
    scene_open(&scene, &shape);
    testbed_peer_turn(&scene.bed, BUFFER);
    (void)receive_all(&scene.bed, COUNT);
    ck_assert_int_eq(testbed_give_back(&scene.bed, SLOTS, TESTBED_TAILROOM), MEMIF_ERR_SUCCESS);
    overfill(&scene.bed);
    (void)receive_all(&scene.bed, COUNT);
    memif_buffer_t *bufs = scene.bed.held[MIF_RX];
    ck_assert_int_eq(mif_entry_enqueue(scene.bed.handle, 0, bufs, COUNT, &done), MEMIF_ERR_SUCCESS);
    bufs[COUNT - 1].len++;
    ck_assert_int_eq(mif_call(scene.bed.handle, 0, MIF_TX, MIF_CALL_TX, 0, bufs, COUNT, &done),
                     MEMIF_ERR_INVAL_ARG);
    ck_assert_uint_eq(done, COUNT - 1);
    scene_close(&scene);
}
#endif

MEMIF_TEST_MAIN("hostile rings")
