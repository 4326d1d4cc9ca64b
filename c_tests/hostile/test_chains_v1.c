/* SPDX-License-Identifier: Apache-2.0 */

/* Packets of many slots: without an end, or longer than may be. */

#include "core/debug.h"
#include "scene.h"

#include <string.h>

MEMIF_TEST_LOOP(a_chain_that_never_ends_closes_the_connection, 0, WAYS)
{
    struct testbed_shape shape;
    struct scene scene;

    for (uint32_t length = 0; shape_of(_i, &shape) && length < 2; length++) {
        scene_open(&scene, &shape);
        begin_endless(&scene.bed, testbed_peer_room(&scene.bed, MIF_RX), length);
        ck_assert_uint_eq(receive_all(&scene.bed, SLOTS), 0);
        expect_fault(&scene.bed, "chain without an end");
        scene_close(&scene);
    }
}

MEMIF_TEST_LOOP(nothing_is_read_of_a_chain_beyond_what_is_there, 0, 2 * WAYS)
{
    struct testbed_shape shape;
    struct scene scene;
    uint16_t n;

    if (!shape_of(_i % WAYS, &shape))
        return;
    shape.interrupt = _i >= WAYS;
    scene_open(&scene, &shape);
    for (uint32_t i = 0; i < 9; i++) {
        begin_endless(&scene.bed, 1, 7);
        ck_assert_uint_eq(receive_all(&scene.bed, 32), 0);
        expect_fault(&scene.bed, NULL);
    }
    testbed_peer_turn(&scene.bed, 7); /* its end, and others behind it */
    ck_assert_int_ne(testbed_receive(&scene.bed, 32, &n), MIF_FACE_ERROR(MIF_ERR_DISCONNECTED));
    ck_assert_uint_eq(n, 32);
#ifndef TESTBED_ENTRY_FACE
    ck_assert_uint_eq(scene.bed.held[MIF_RX][0].data_len, 70);
    ck_assert_uint_eq(scene.bed.held[MIF_RX][1].data_len, 7);
#endif
    expect_fault(&scene.bed, NULL);
    scene_close(&scene);
}

MEMIF_TEST_LOOP(a_chain_longer_than_a_packet_can_be, 0, WAYS)
{
    struct testbed_shape shape;
    struct scene scene;

    if (!shape_of(_i, &shape))
        return;
    scene_open(&scene, &shape);
    begin_endless(&scene.bed, 257, BUFFER); /* 65536 bytes are 256 */
    testbed_peer_turn(&scene.bed, 60);
    (void)receive_all(&scene.bed, SLOTS);
    expect_fault(&scene.bed, too_long(65536, MIF_MAX_PACKET));
    scene_close(&scene);
}

/* Around the limit, and around the power of two below it, to which vectors can see. */
static const uint32_t limits[] = {1, 200, 255, 256, 1000, 65535, 65536, 1u << 20, MOST_32};

static void check_limit(struct testbed *bed, uint32_t most, uint32_t length, size_t burst)
{
    struct testbed_desc desc = {.region = TESTBED_SMALL, .length = length, .offset = 4096};
    uint32_t at = places[burst % PLACES];

    testbed_disconnect(bed);
    bed->shape.max_packet = most;
    testbed_connect(bed);
    testbed_peer_turn(bed, 1);
    testbed_peer_write(bed, MIF_RX, at, &desc);
    testbed_peer_write(bed, MIF_RX, at + 1, &desc); /* now the region was used before */
    uint32_t received = receive_all(bed, bursts[burst]);
    if (length > most)
        ck_assert_uint_eq(received, at);
    else
        ck_assert_uint_eq(received, mif_capacity(bed->queue[MIF_RX], bed->shape.kind));
    expect_fault(bed, length > most ? too_long(length, most) : NULL);
}

/* In a region of 5 GiB, so that it is the limit alone that keeps a packet out. To make one takes an
 * emulator a tenth of a second. */
MEMIF_TEST_LOOP(no_packet_is_received_that_is_longer_than_the_limit, 0, WAYS)
{
    struct testbed_shape shape;
    struct scene scene;

    if (!shape_of(_i, &shape) || mif_kind_is_slave(shape.kind))
        return; /* a slave's packets lie in its own buffers */
    shape.giant = true;
    scene_open(&scene, &shape);
    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++)
        for (size_t burst = 0; burst < BURSTS; burst++) {
            check_limit(&scene.bed, limits[i], limits[i] - 1, burst);
            check_limit(&scene.bed, limits[i], limits[i], burst);
            if (limits[i] < MOST_32)
                check_limit(&scene.bed, limits[i], limits[i] + 1, burst);
            if (limits[i] < MOST_32)
                check_limit(&scene.bed, limits[i], MOST_32, burst);
        }
    scene_close(&scene);
}

/* The same region as that of the packets before it: no look at another one comes in between. */
MEMIF_TEST_LOOP(a_packet_in_the_usual_region_is_no_longer_than_the_limit, 0, WAYS)
{
    static const uint32_t most = 200;
    struct testbed_shape shape;
    struct scene scene;

    if (!shape_of(_i, &shape) || mif_kind_is_slave(shape.kind))
        return;
    for (uint32_t i = 0; i < 2 * BURSTS * PLACES; i++) {
        uint32_t at = places[i / BURSTS % PLACES], length = most + i % 2;
        scene_open(&scene, &shape);
        testbed_disconnect(&scene.bed);
        scene.bed.shape.max_packet = most;
        testbed_connect(&scene.bed);
        testbed_peer_turn(&scene.bed, most);
        struct testbed_desc desc = testbed_honest(&scene.bed, MIF_RX, at, length);
        testbed_peer_write(&scene.bed, MIF_RX, at, &desc);
        uint32_t received = receive_all(&scene.bed, bursts[i / 2 % BURSTS]);
        ck_assert_uint_eq(
            received,
            length > most ? at : mif_capacity(scene.bed.queue[MIF_RX], scene.bed.shape.kind));
        expect_fault(&scene.bed, length > most ? too_long(length, most) : NULL);
        scene_close(&scene);
    }
}

#ifndef TESTBED_ENTRY_FACE
/* In two buffers, of which the second is not used to its end. */
MEMIF_TEST_LOOP(no_more_is_reserved_than_a_receiver_accepts, 0, WAYS)
{
    enum { HALF = (MIF_MAX_PACKET + 1) / 2 };
    struct testbed_shape shape;
    struct testbed bed;
    uint16_t n;

    if (!shape_of(_i, &shape))
        return;
    shape.log2_ring_size = 3;
    shape.buffer_size = HALF;
    for (uint32_t less = 0; less < (mif_kind_is_slave(shape.kind) ? 1 : 4); less++) {
        testbed_open(&bed, &shape);
        struct testbed_desc desc = testbed_honest(&bed, MIF_TX, 1, HALF - less);
        if (!testbed_is_slave(&bed))
            testbed_peer_write(&bed, MIF_TX, 1, &desc);
        ck_assert_int_eq(testbed_reserve(&bed, 1, HALF + 1, &n), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
        ck_assert_uint_eq(n, 1);
        ck_assert_uint_eq(testbed_room(&bed.held[MIF_TX][0]),
                          less == 0 ? MIF_MAX_PACKET : 2 * HALF - less);
        ck_assert_uint_eq(bed.queue[MIF_TX]->next, 2);
        testbed_close(&bed);
    }
}

static void send_one(struct testbed *bed, uint32_t size, uint32_t length)
{
    uint16_t n;

    ck_assert_int_eq(testbed_reserve(bed, 1, size, &n), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
    ck_assert_int_eq(testbed_send(bed, 1, length, &n), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
    ck_assert_uint_eq(n, 1);
    testbed_peer_turn(bed, 1);
}

/* The last slot of the ring began a packet that went on in the first: nothing of it is left. */
MEMIF_TEST_LOOP(a_packet_of_one_slot_is_cut_where_a_longer_one_began, 0, WAYS)
{
    enum { LAST = 3 };
    struct testbed_shape shape;
    struct testbed bed;
    uint16_t n;

    if (!shape_of(_i, &shape))
        return;
    shape.log2_ring_size = 2;
    testbed_open(&bed, &shape);
    while (bed.queue[MIF_TX]->next < LAST)
        send_one(&bed, 1, 1);
    if (!testbed_is_slave(&bed)) { /* the two lie next to each other, so that nothing is copied */
        struct testbed_desc last = testbed_honest(&bed, MIF_TX, 1, BUFFER);
        struct testbed_desc first = testbed_honest(&bed, MIF_TX, 2, BUFFER);
        testbed_peer_write(&bed, MIF_TX, LAST, &last);
        testbed_peer_write(&bed, MIF_TX, 0, &first);
    }
    send_one(&bed, 2 * BUFFER, 2 * BUFFER);
    while ((bed.queue[MIF_TX]->next & LAST) != LAST)
        send_one(&bed, 1, 1);
    ck_assert_int_eq(testbed_reserve(&bed, 1, 1, &n), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
    ck_assert_int_eq(testbed_reserve(&bed, 1, 2 * BUFFER, &n), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
    memif_buffer_t entry = bed.held[MIF_TX][0];
    entry.data_len = 2 * BUFFER;
    ck_assert_int_eq(testbed_send_these(&bed, &entry, 1, &n), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
    struct mif_desc desc = mif_desc_read(bed.ring[MIF_TX] + 1, LAST, shape.kind);
    ck_assert_uint_eq(bed.queue[MIF_TX]->done, 8);
    ck_assert_uint_eq(desc.length, BUFFER);
    ck_assert_uint_eq(desc.head & MIF_DESC_NEXT, 0);
    testbed_close(&bed);
}
#else
/* A slave of version 512 may have sent another packet from within the buffer. */
MEMIF_TEST_LOOP(a_packet_that_is_moved_down_is_found_there, 0, WAYS)
{
    enum { RING = 4, MOVED = 8, LENGTH = 50 };
    struct testbed_shape shape;
    struct testbed bed;
    uint16_t n;

    if (!shape_of(_i, &shape) || shape.kind != MIF_KIND_512_SLAVE)
        return;
    shape.log2_ring_size = 2;
    testbed_open(&bed, &shape);
    memif_buffer_t *held = bed.held[MIF_TX];
    (void)testbed_reserve(&bed, RING, LENGTH, &n);
    for (int i = 0; i < RING; i++)
        held[i].data = (uint8_t *)held[i].data + MOVED;
    ck_assert_int_eq(testbed_send_these(&bed, held, RING, &n), MEMIF_ERR_SUCCESS);
    testbed_peer_move(&bed, MIF_TX, RING);

    (void)testbed_reserve(&bed, 2, LENGTH, &n);
    memset(held[1].data, 7, LENGTH);
    held[0].len = BUFFER + 1;
    ck_assert_int_eq(testbed_send_these(&bed, held, 2, &n), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(testbed_send_these(&bed, held + 1, 1, &n), MEMIF_ERR_SUCCESS);
    struct mif_desc desc = mif_desc_read(bed.ring[MIF_TX] + 1, 0, shape.kind);
    const uint8_t *bytes = bed.regions[TESTBED_BUFFERS].base + desc.offset;
    ck_assert_uint_eq(desc.offset, testbed_buffer_offset(&bed, MIF_TX, 0));
    ck_assert_uint_eq(desc.length, LENGTH);
    ck_assert_uint_eq(bytes[0], 7);
    ck_assert_mem_eq(bytes, bytes + 1, LENGTH - 1);
    testbed_close(&bed);
}

/* What the program holds is `bufs` again, whatever of it was sent. */
static void expect_send(struct testbed *bed, const memif_buffer_t *bufs, uint32_t count, int err,
                        uint16_t sent)
{
    uint16_t n;

    bed->held_count[MIF_TX] = count;
    ck_assert_int_eq(testbed_send_these(bed, bufs, count, &n), err);
    ck_assert_uint_eq(n, sent);
}

/* A packet, one of three slots whose entry `bad` is too long, and another one. */
static bool open_three(struct testbed *bed, int way, memif_buffer_t *bufs, uint32_t bad)
{
    struct testbed_shape shape;
    uint16_t n;

    if (!shape_of(way, &shape))
        return false;
    shape.log2_ring_size = 3;
    testbed_open(bed, &shape);
    (void)testbed_reserve(bed, 1, BUFFER, &n);
    (void)testbed_reserve(bed, 1, 3 * BUFFER, &n);
    (void)testbed_reserve(bed, 1, BUFFER, &n);
    ck_assert_uint_eq(bed->held_count[MIF_TX], 5);
    memcpy(bufs, bed->held[MIF_TX], 5 * sizeof(*bufs));
    bufs[bad].len = BUFFER + 1;
    return true;
}

MEMIF_TEST_LOOP(a_burst_that_goes_on_passes_over_a_bad_packet_whole, 0, WAYS * 3)
{
    memif_buffer_t bufs[5];
    struct testbed bed;

    if (!open_three(&bed, _i % WAYS, bufs, 1 + (uint32_t)_i / WAYS))
        return;
    expect_send(&bed, bufs, 5, MEMIF_ERR_INVAL_ARG, 1);
    expect_send(&bed, bufs, 5, MEMIF_ERR_SUCCESS, 5);
    ck_assert_uint_eq(bed.queue[MIF_TX]->done, 2);
    ck_assert_uint_eq(bed.queue[MIF_TX]->next, 2);
    ck_assert_uint_eq(bed.queue[MIF_TX]->refused, 3);
    testbed_close(&bed);
}

MEMIF_TEST_LOOP(nothing_is_read_behind_a_bad_packet_without_an_end, 0, WAYS)
{
    memif_buffer_t bufs[5];
    struct testbed bed;

    if (!open_three(&bed, _i, bufs, 1))
        return;
    expect_send(&bed, bufs, 2, MEMIF_ERR_INVAL_ARG, 1);
    expect_send(&bed, bufs, 2, MEMIF_ERR_SUCCESS, 2);
    testbed_close(&bed);
}

MEMIF_TEST_LOOP(a_packet_without_its_end_is_not_given_up_for_a_bad_one_before, 0, WAYS)
{
    memif_buffer_t bufs[5];
    struct testbed bed;
    uint16_t n;

    if (!open_three(&bed, _i, bufs, 1))
        return;
    expect_send(&bed, bufs, 4, MEMIF_ERR_INVAL_ARG, 1);
    bufs[1].len = BUFFER;
    expect_send(&bed, bufs + 1, 2, MEMIF_ERR_SUCCESS, 0);
    bed.held_count[MIF_TX] = 0;
    ck_assert_int_eq(testbed_reserve(&bed, SLOTS, 0, &n), MEMIF_ERR_NOBUF_RING);
    ck_assert_uint_eq(n, mif_capacity(bed.queue[MIF_TX], bed.shape.kind) - 5);
    expect_send(&bed, bufs + 1, 4, MEMIF_ERR_SUCCESS, 4);
    ck_assert_uint_eq(bed.queue[MIF_TX]->done, 5);
    testbed_close(&bed);
}

/* Of the packets reserved after a burst stopped, the first may follow, and no other. */
MEMIF_TEST_LOOP(giving_up_a_packet_lets_no_other_be_left_out, 0, WAYS)
{
    memif_buffer_t bufs[8];
    struct testbed bed;
    uint16_t n;

    if (!open_three(&bed, _i, bufs, 0))
        return;
    expect_send(&bed, bufs, 1, MEMIF_ERR_INVAL_ARG, 0);
    (void)testbed_reserve(&bed, 2, BUFFER, &n);
    ck_assert_uint_eq(n, 2);
    memcpy(bufs + 5, bed.held[MIF_TX] + 1, 2 * sizeof(*bufs));
    ck_assert_int_eq(mif_entry_set_next_free(bed.handle, 0, bufs + 6), MEMIF_ERR_SUCCESS);
    (void)testbed_reserve(&bed, 1, BUFFER, &n);
    ck_assert_uint_eq(bed.queue[MIF_TX]->next, 7);
    expect_send(&bed, bufs + 6, 1, MEMIF_ERR_INVAL_ARG, 0);
    expect_send(&bed, bufs + 5, 2, MEMIF_ERR_SUCCESS, 2);
    testbed_close(&bed);
}
#endif

/* In a ring of four, of which three can be in use in version 256. */
MEMIF_TEST_LOOP(a_debug_line_says_once_why_a_packet_never_fits, 0, WAYS)
{
    char expected[160], text[1024] = "";
    struct testbed_shape shape;
    struct testbed bed;
    uint16_t n;

    if (!shape_of(_i, &shape))
        return;
    shape.log2_ring_size = 2;
    testbed_open(&bed, &shape);
    (void)snprintf(expected, sizeof(expected),
                   "a packet of 2000 bytes never fits queue 0: its ring holds %u buffers of at "
                   "most %u bytes, ours would have %u",
                   mif_capacity(bed.queue[MIF_TX], shape.kind), BUFFER, BUFFER);
    FILE *real = stderr, *copy = fmemopen(text, sizeof(text), "w");
    stderr = copy;
    mif_debug_on = true;
    for (int i = 0; i < 3; i++)
        (void)testbed_reserve(&bed, 1, 2000, &n);
    mif_debug_on = false;
    stderr = real;
    ck_assert_int_eq(fclose(copy), 0);
    const char *found = strstr(text, expected);
    ck_assert_msg(found != NULL, "found %s, expected %s", text, expected);
    ck_assert_ptr_null(strstr(found + strlen(expected), expected));
    testbed_close(&bed);
}

MEMIF_TEST_MAIN("hostile chains")
