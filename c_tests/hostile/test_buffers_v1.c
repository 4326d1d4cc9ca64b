/* SPDX-License-Identifier: Apache-2.0 */

/* Posted buffers that do not fit, and entries that the application spoils. */

#include "random.h"
#include "scene.h"

/* ---- posted buffers ---- */

/* Has the peer give out buffers of `length` bytes only. */
static void post_small(const struct testbed *bed, uint32_t length)
{
    uint32_t room = testbed_is_256(bed) ? SLOTS : testbed_peer_room(bed, MIF_TX);
    uint16_t at = atomic_load(testbed_peer_index(bed, MIF_TX));

    for (uint32_t i = 0; i < room; i++) {
        uint32_t slot = (at + i) & (SLOTS - 1);
        struct testbed_desc desc = testbed_honest(bed, MIF_TX, slot, length);
        testbed_peer_write(bed, MIF_TX, slot, &desc);
    }
    testbed_peer_move(bed, MIF_TX, testbed_is_256(bed) ? testbed_peer_room(bed, MIF_TX) : room);
}

/* The caller's array ends where access ends. */
MEMIF_TEST_LOOP(tiny_buffers_do_not_outgrow_the_array, 0, WAYS)
{
    static const uint32_t sizes[] = {0, 1, 2, BUFFER, BUFFER + 1, 10 * BUFFER, 65535};
    struct testbed_shape shape;
    struct scene scene;

    for (uint32_t i = 0; shape_of(_i, &shape) && i < 7 * BURSTS * 2; i++) {
        uint32_t size = sizes[i / BURSTS / 2], length = 1 + i % 2;

        scene_open(&scene, &shape);
        post_small(&scene.bed, length);
        (void)reserve_all(&scene.bed, bursts[i / 2 % BURSTS], size);
        uint16_t sent;
        (void)testbed_send(&scene.bed, SLOTS, size, &sent);
        expect_fault(&scene.bed, NULL);
        scene_close(&scene);
    }
}

/* What was reserved stays as large as it was, whatever the peer makes of its descriptors. */
MEMIF_TEST_LOOP(buffers_that_shrink_after_they_were_reserved, 0, WAYS)
{
    struct testbed_shape shape;
    struct scene scene;

    for (size_t i = 0; shape_of(_i, &shape) && i < HOSTILE; i++) {
        for (uint32_t length = 1; length <= BUFFER; length *= 4) {
            uint16_t sent;
            scene_open(&scene, &shape);
            post_small(&scene.bed, length);
            (void)reserve_all(&scene.bed, 32, 3 * length / 2);
            const struct testbed_desc desc = hostile(&scene.bed, i);
            for (uint32_t slot = 0; slot < SLOTS; slot++)
                testbed_peer_write(&scene.bed, MIF_TX, slot, &desc);
            uint32_t held = scene.bed.held_count[MIF_TX];
            ck_assert_int_eq(testbed_send(&scene.bed, SLOTS, BUFFER, &sent),
                             MIF_FACE_ERROR(MIF_ERR_SUCCESS));
            ck_assert_uint_eq(sent, held);
            expect_fault(&scene.bed, NULL);
            scene_close(&scene);
        }
    }
}

/* ---- entries that the application spoils ---- */

static void mistake(memif_buffer_t *entry, uint64_t *random)
{
    uint32_t value = random_below(random, 2) == 0 ? UINT32_MAX : random_below(random, 2 * BUFFER);

    switch (random_below(random, 3)) {
    case 0:
        entry->desc_index = (uint16_t)value;
        return;
#ifdef TESTBED_ENTRY_FACE
    case 1:
        entry->len = value;
        return;
    default:
        entry->flags ^= MEMIF_BUFFER_FLAG_NEXT;
        return;
#else
    default:
        entry->data_len = value;
        return;
#endif
    }
}

/* Sends entries that are held, from one of them on, as they are or spoiled. */
static void send_spoiled(struct testbed *bed, uint64_t *random)
{
    static memif_buffer_t bufs[SLOTS];
    uint32_t held = bed->held_count[MIF_TX];
    uint32_t from = held > 0 && random_below(random, 3) == 0 ? random_below(random, held) : 0;
    uint32_t count = random_below(random, held - from + 1), spoiled = random_below(random, 3);
    uint16_t sent;

    memcpy(bufs, bed->held[MIF_TX] + from, count * sizeof(*bufs));
    while (count > 0 && spoiled-- > 0)
        mistake(&bufs[random_below(random, count)], random);
    (void)mif_call(bed->handle, 0, MIF_TX, MIF_CALL_TX, 0, bufs, (uint16_t)count, &sent);
    ck_assert_uint_le(sent, count);
    /* And it forgets them, or tries again what it may have sent, as long as it can note them. */
    if (random_below(random, 2) == 0 || bed->held_count[MIF_TX] > SLOTS / 2)
        bed->held_count[MIF_TX] = 0;
}

MEMIF_TEST_LOOP(spoiled_entries_leave_the_ring_as_it_was, 0, WAYS)
{
    static const memif_buffer_t none = {.desc_index = UINT16_MAX};
    struct testbed_shape shape;
    struct scene scene;
    uint64_t random = RANDOM_SEED + (uint64_t)_i;
    uint16_t n;

    for (uint32_t i = 0; shape_of(_i, &shape) && i < 50; i++) {
        scene_open(&scene, &shape);
        for (uint32_t round = 0; round < 100; round++) {
            (void)testbed_reserve(&scene.bed, random_below(&random, 40), random_below(&random, 700),
                                  &n);
            send_spoiled(&scene.bed, &random);
            if (random_below(&random, 4) == 0)
                testbed_peer_turn(&scene.bed, 60);
        }
        memif_buffer_t bad = none; /* so that all may be left out */
        (void)mif_call(scene.bed.handle, 0, MIF_TX, MIF_CALL_TX, 0, &bad, 1, &n);
        scene.bed.held_count[MIF_TX] = 0;
        testbed_peer_turn(&scene.bed, 60);
        ck_assert_int_eq(
            testbed_reserve(&scene.bed, mif_capacity(scene.bed.queue[MIF_TX], shape.kind), 0, &n),
            MIF_FACE_ERROR(MIF_ERR_SUCCESS));
        exchange(&scene.bed, 32);
        scene_close(&scene);
    }
}

MEMIF_TEST_LOOP(an_empty_posted_buffer_closes_the_connection, 0, WAYS)
{
    struct testbed_shape shape;
    struct scene scene;

    if (!shape_of(_i, &shape) || mif_kind_is_slave(shape.kind))
        return;
    for (uint32_t size = 0; size < 2; size++) {
        scene_open(&scene, &shape);
        post_small(&scene.bed, 0);
        ck_assert_uint_eq(reserve_all(&scene.bed, 32, size), 0);
        expect_fault(&scene.bed, "posted buffer out of range or empty");
        scene_close(&scene);
    }
}

/* Together they are longer than 32 bits can say. */
MEMIF_TEST_LOOP(buffers_of_gigabytes_are_counted_right, 0, WAYS)
{
    const struct testbed_desc giant = {.region = TESTBED_SMALL, .length = MOST_32};
    struct testbed_shape shape;
    struct scene scene;
    uint16_t n;

    if (!shape_of(_i, &shape) || mif_kind_is_slave(shape.kind))
        return;
    shape.giant = true;
    scene_open(&scene, &shape);
    testbed_peer_turn(&scene.bed, 60);
    uint16_t first = mif_slot_of(scene.bed.queue[MIF_TX], scene.bed.queue[MIF_TX]->next);
    testbed_peer_write(&scene.bed, MIF_TX, (first + 1u) & (SLOTS - 1), &giant);
    ck_assert_int_eq(testbed_reserve(&scene.bed, 1, 2 * BUFFER, &n),
                     MIF_FACE_ERROR(MIF_ERR_SUCCESS));
    ck_assert_uint_eq(scene.bed.queue[MIF_TX]->next - scene.bed.queue[MIF_TX]->done, 2);
    ck_assert_int_eq(testbed_send(&scene.bed, n, 2 * BUFFER, &n), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
    scene_close(&scene);
}

MEMIF_TEST_MAIN("hostile buffers")
