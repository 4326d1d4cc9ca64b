/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A peer that writes into the shared memory what it likes, while packets flow: before a burst, with
 * the outcome that is promised, and during bursts, where all that counts is that nothing outside of
 * the connection is touched (testbed.h checks that after every burst).
 *
 * Loop tests run over the kinds of connections and, where the processor has them, the instances
 * with vectors.
 */

#include "datapath/testbed.h"
#include "harness.h"
#include "random.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

enum { KINDS = 4, WAYS = 2 * KINDS, LOG2_SLOTS = 9, SLOTS = 1 << LOG2_SLOTS, BUFFER = 256 };

static const uint32_t bursts[] = {1, 8, 32, 256};
enum { BURSTS = sizeof(bursts) / sizeof(*bursts) };

/* False: this processor has no such instance. */
static bool shape_of(int way, struct testbed_shape *shape)
{
    *shape = (struct testbed_shape){
        .kind = (enum mif_kind)(way % KINDS),
        .vectors = way >= KINDS,
        .log2_ring_size = LOG2_SLOTS,
        .buffer_size = BUFFER,
    };
    return !shape->vectors || testbed_has_vectors();
}

/* ---- honest traffic ---- */

/* A turn of the peer, and one of ours that takes, sends and reserves all there is. */
static void exchange(struct testbed *bed, uint32_t burst)
{
    uint16_t n, total = 0;

    testbed_peer_turn(bed, 60);
    do {
        ck_assert_int_ne(testbed_receive(bed, burst, &n), MIF_FACE_ERROR(MIF_ERR_DISCONNECTED));
        total = (uint16_t)(total + n);
        ck_assert_int_eq(testbed_give_back(bed, burst, 0), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
    } while (n > 0);
    ck_assert_uint_eq(total, mif_capacity(bed->queue[MIF_RX], bed->shape.kind));
    do {
        (void)testbed_reserve(bed, burst, BUFFER, &n);
        ck_assert_int_eq(testbed_send(bed, burst, 60, &n), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
    } while (n > 0);
    ck_assert_ptr_null(testbed_fault(bed));
}

/* Two connections of which the second must not hear of what happens to the first. */
struct scene {
    struct testbed bed;
    struct testbed other;
};

static void scene_open(struct scene *scene, const struct testbed_shape *shape)
{
    testbed_open(&scene->bed, shape);
    testbed_open(&scene->other, shape);
    exchange(&scene->bed, 32);
}

static void scene_close(struct scene *scene)
{
    exchange(&scene->other, 32);
    testbed_close(&scene->bed);
    testbed_close(&scene->other);
}

/* Another connection, whose indices are not at the beginning. */
static void start_anew(struct testbed *bed)
{
    testbed_disconnect(bed);
    testbed_connect(bed);
    exchange(bed, 256);
}

/* Bursts until the peer is found out, or there is no more to do; what they came to. */
static uint32_t receive_all(struct testbed *bed, uint32_t burst)
{
    uint32_t total = 0;
    uint16_t n;
    int err;

    do {
        err = testbed_receive(bed, burst, &n);
        total += n;
    } while (n > 0 && err != MIF_FACE_ERROR(MIF_ERR_DISCONNECTED));
    if (testbed_fault(bed) != NULL)
        ck_assert_int_eq(err, MIF_FACE_ERROR(MIF_ERR_DISCONNECTED));
    return total;
}

static uint32_t reserve_all(struct testbed *bed, uint32_t burst, uint32_t size)
{
    uint32_t total = 0;
    uint16_t n;
    int err;

    do {
        err = testbed_reserve(bed, burst, size, &n);
        total += n;
    } while (n > 0 && err != MIF_FACE_ERROR(MIF_ERR_DISCONNECTED));
    if (testbed_fault(bed) != NULL)
        ck_assert_int_eq(err, MIF_FACE_ERROR(MIF_ERR_DISCONNECTED));
    return total;
}

static void expect_fault(const struct testbed *bed, const char *reason)
{
    const char *found = testbed_fault(bed);

    if (reason == NULL)
        ck_assert_msg(found == NULL, "found fault with an honest peer: %s", found);
    else
        ck_assert_msg(found != NULL && strcmp(found, reason) == 0, "found %s, expected %s",
                      found == NULL ? "nothing" : found, reason);
}

/* ---- descriptors ---- */

#define MOST_32 0xFFFFFFFFu
#define MOST_64 0xFFFFFFFFFFFFFFFFu

/* Offsets are cut to 32 bits in version 512. */
static const struct testbed_desc table[] = {
    {.region = TESTBED_HOLE, .length = 60},
    {.region = TESTBED_REGIONS, .length = 60},
    {.region = 255, .length = 60},
    {.region = 65535, .length = 60},
    {.region = TESTBED_SMALL, .length = 60, .offset = 4096},
    {.region = TESTBED_SMALL, .length = 60, .offset = 4096 - 59},
    {.region = TESTBED_SMALL, .length = 60, .offset = 4096 - 60},
    {.region = TESTBED_SMALL, .length = 4097, .offset = 0},
    {.region = TESTBED_SMALL, .length = 4096, .offset = 0},
    {.region = TESTBED_SMALL, .length = 60, .offset = MOST_64},
    {.region = TESTBED_SMALL, .length = 60, .offset = MOST_64 - 59},
    {.region = TESTBED_SMALL, .length = 60, .offset = (uint64_t)1 << 63},
    {.region = TESTBED_SMALL, .length = 60, .offset = (uint64_t)1 << 32},
    {.region = TESTBED_SMALL, .length = MOST_32, .offset = 0},
    {.region = TESTBED_SMALL, .length = MOST_32, .offset = 1},
    {.region = TESTBED_SMALL, .length = MOST_32, .offset = MOST_64},
    {.region = TESTBED_SMALL, .length = MOST_32, .offset = MOST_32},
    {.region = TESTBED_SMALL, .length = 1u << 31, .offset = 1u << 31},
    {.region = TESTBED_SMALL, .length = 0, .offset = 0},
    {.region = TESTBED_SMALL, .length = 0, .offset = 4096},
    {.region = TESTBED_SMALL, .length = 0, .offset = 4097},
    {.region = TESTBED_SMALL, .length = 1, .offset = 4095},
    {.region = TESTBED_RINGS, .length = 1000, .offset = 3},
    {.region = TESTBED_BUFFERS, .length = BUFFER, .offset = 0},
    {.region = TESTBED_BUFFERS, .length = BUFFER + 1, .offset = 0},
    {.region = TESTBED_HOLE, .length = 0, .offset = 0},
    {.flags = 0xFFFE, .region = TESTBED_BUFFERS, .length = 60, .offset = 0},
};
enum { TABLE = sizeof(table) / sizeof(*table), HOSTILE = 2 * TABLE };

/* What is near the end of the small region is so in the small one, and then in that of the buffers,
 * which is the one that was used last. */
static struct testbed_desc hostile(const struct testbed *bed, size_t i)
{
    struct testbed_desc desc = table[i % TABLE];
    uint64_t size = bed->regions[TESTBED_BUFFERS].size;

    if (i < TABLE || desc.region != TESTBED_SMALL)
        return desc;
    desc.region = TESTBED_BUFFERS;
    if (desc.offset >= 4000 && desc.offset <= 4200)
        desc.offset += size - 4096;
    if (desc.length >= 4000 && desc.length <= 4200)
        desc.length += (uint32_t)size - 4096;
    return desc;
}

static bool is_in_region(const struct testbed *bed, const struct testbed_desc *desc)
{
    uint64_t offset = testbed_is_256(bed) ? desc->offset : desc->offset & MOST_32;
    unsigned __int128 end = (unsigned __int128)offset + desc->length;

    return desc->region < TESTBED_REGIONS && bed->regions[desc->region].size > 0 &&
           end <= bed->regions[desc->region].size;
}

static const char *too_long(uint64_t length, uint32_t most)
{
    static char text[80];

    (void)snprintf(text, sizeof(text), "packet of %llu bytes or more, expected at most %u",
                   (unsigned long long)length, most);
    return text;
}

/* What must be found wrong with a packet in such a slot. */
static const char *wrong_with_packet(const struct testbed *bed, const struct testbed_desc *desc)
{
    bool good = testbed_is_slave(bed) ? desc->length <= BUFFER : is_in_region(bed, desc);

    if (desc->length > MIF_MAX_PACKET)
        return too_long(desc->length, MIF_MAX_PACKET);
    return good ? NULL : "descriptor out of range";
}

static const char *wrong_with_buffer(const struct testbed *bed, const struct testbed_desc *desc)
{
    bool good = testbed_is_slave(bed) || (desc->length > 0 && is_in_region(bed, desc));

    return good ? NULL : "posted buffer out of range or empty";
}

/* Has the peer fill its ring honestly, but for the slot that is `at` ahead. */
static void spoil(const struct testbed *bed, enum mif_direction direction, uint32_t at,
                  const struct testbed_desc *desc)
{
    uint16_t index = atomic_load(testbed_peer_index(bed, direction));
    uint32_t ours = direction == MIF_TX && testbed_is_256(bed)
                        ? atomic_load(testbed_our_index(bed, direction))
                        : index;

    testbed_peer_turn(bed, 60);
    testbed_peer_write(bed, direction, (ours + at) & (SLOTS - 1), desc);
}

static const uint32_t places[] = {0, 1, 6, 37, SLOTS - 2};
enum { PLACES = sizeof(places) / sizeof(*places) };

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
              testbed_is_256(bed) ? SLOTS + jump % (65536 - SLOTS)
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
    /* What is known to wait comes first. */
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

/* ---- chains ---- */

/* Fills `count` slots, `length` bytes each, all of which say that the packet goes on. */
static void begin_endless(const struct testbed *bed, uint32_t count, uint32_t length)
{
    uint16_t at = atomic_load(testbed_peer_index(bed, MIF_RX));

    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = (at + i) & (SLOTS - 1);
        struct testbed_desc desc = testbed_honest(bed, MIF_RX, slot, length);
        desc.flags = MIF_DESC_NEXT;
        testbed_peer_write(bed, MIF_RX, slot, &desc);
    }
    testbed_peer_move(bed, MIF_RX, count);
}

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

static void check_limit(const struct testbed_shape *shape, uint32_t most, uint32_t length,
                        size_t burst)
{
    struct scene scene;
    struct testbed_desc desc = {.region = TESTBED_SMALL, .length = length, .offset = 4096};
    uint32_t at = places[burst % PLACES];

    scene_open(&scene, shape);
    testbed_disconnect(&scene.bed);
    scene.bed.shape.max_packet = most;
    testbed_connect(&scene.bed);
    testbed_peer_turn(&scene.bed, 1);
    testbed_peer_write(&scene.bed, MIF_RX, at, &desc);
    testbed_peer_write(&scene.bed, MIF_RX, at + 1, &desc); /* now the region was used before */
    uint32_t received = receive_all(&scene.bed, bursts[burst]);
    if (length > most)
        ck_assert_uint_eq(received, at);
    else
        ck_assert_uint_eq(received, mif_capacity(scene.bed.queue[MIF_RX], shape->kind));
    expect_fault(&scene.bed, length > most ? too_long(length, most) : NULL);
    scene_close(&scene);
}

/* In a region of 5 GiB, so that it is the limit alone that keeps a packet out. */
MEMIF_TEST_LOOP(no_packet_is_received_that_is_longer_than_the_limit, 0, WAYS)
{
    struct testbed_shape shape;

    if (!shape_of(_i, &shape) || mif_kind_is_slave(shape.kind))
        return; /* a slave's packets lie in its own buffers */
    shape.giant = true;
    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++)
        for (size_t burst = 0; burst < BURSTS; burst++) {
            check_limit(&shape, limits[i], limits[i] - 1, burst);
            check_limit(&shape, limits[i], limits[i], burst);
            if (limits[i] < MOST_32)
                check_limit(&shape, limits[i], limits[i] + 1, burst);
            if (limits[i] < MOST_32)
                check_limit(&shape, limits[i], MOST_32, burst);
        }
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
    (void)mif_call(bed->handle, 0, MIF_TX, MIF_CALL_TX, 0, bufs, count, &sent);
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

/* ---- eventfds ---- */

static bool is_signalled(int efd)
{
    struct pollfd poller = {.fd = efd, .events = POLLIN};

    return poll(&poller, 1, 0) == 1;
}

static void make_blocking(int efd, bool blocking)
{
    ck_assert_int_eq(fcntl(efd, F_SETFL, blocking ? 0 : O_NONBLOCK), 0);
}

static void saturate(int efd)
{
    const uint64_t most = MOST_64 - 1;
    uint64_t was;

    make_blocking(efd, false);
    (void)!read(efd, &was, sizeof(was));
    (void)!write(efd, &most, sizeof(most));
    make_blocking(efd, true);
}

MEMIF_TEST_LOOP(an_eventfd_that_blocks_holds_no_stranger_up, 0, WAYS)
{
    struct testbed_shape shape;
    struct scene scene;

    if (!shape_of(_i, &shape))
        return;
    shape.interrupt = shape.untrusted = true;
    scene_open(&scene, &shape);
    for (uint32_t turn = 0; turn < 200; turn++) { /* more than requests go unanswered */
        uint16_t n;
        make_blocking(scene.bed.efd[MIF_RX], true);
        ck_assert_int_eq(testbed_receive(&scene.bed, 32, &n), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
        testbed_peer_turn(&scene.bed, 60);
        saturate(scene.bed.efd[MIF_TX]);
        (void)testbed_reserve(&scene.bed, 1, 0, &n);
        ck_assert_int_eq(testbed_send(&scene.bed, 1, 60, &n), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
        ck_assert_uint_eq(n, 1);
        saturate(scene.bed.efd[MIF_RX]);
        ck_assert_int_eq(mif_queue_set_polling(scene.bed.handle, 0, 1), MIF_ERR_SUCCESS);
        mif_queue_drop_signal(scene.bed.handle, 0);
        saturate(scene.bed.efd[MIF_RX]);
        ck_assert_int_eq(mif_queue_set_polling(scene.bed.handle, 0, 0), MIF_ERR_SUCCESS);
        (void)receive_all(&scene.bed, 32);
        (void)testbed_give_back(&scene.bed, SLOTS, 0);
    }
    scene_close(&scene);
}

MEMIF_TEST(a_wary_signal_arrives_like_any_other)
{
    int efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    uint64_t count;

    for (uint64_t n = 1; n < 200; n++) {
        for (uint64_t i = 0; i < n; i++)
            ck_assert(mif_efd_signal_nowait(efd));
        ck_assert_int_eq(read(efd, &count, sizeof(count)), sizeof(count));
        ck_assert_uint_eq(count, n);
    }
    ck_assert_int_eq(close(efd), 0);
}

static atomic_int sender_task;

static void *send_one(void *argument)
{
    uint16_t n;

    atomic_store(&sender_task, gettid());
    (void)testbed_send(argument, 1, 60, &n);
    return NULL;
}

static bool sender_sleeps(void)
{
    char path[64], line[256] = "";

    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/stat", atomic_load(&sender_task));
    FILE *stat = fopen(path, "re");
    if (stat == NULL)
        return false;
    bool sleeps = fgets(line, sizeof(line), stat) != NULL && strstr(line, ") S") != NULL;
    ck_assert_int_eq(fclose(stat), 0);
    return sleeps;
}

/* A peer that is trusted not to do so can hold a sender up, but not the end of its connection. */
MEMIF_TEST(a_sender_that_is_held_up_is_let_go_at_the_end)
{
    struct testbed_shape shape;
    struct scene scene;
    pthread_t sender;
    uint16_t n;

    (void)shape_of(MIF_KIND_512_SLAVE, &shape);
    scene_open(&scene, &shape);
    testbed_peer_turn(&scene.bed, 60);
    (void)testbed_reserve(&scene.bed, 1, 0, &n);
    ck_assert_uint_eq(n, 1);
    saturate(scene.bed.efd[MIF_TX]);
    ck_assert_int_eq(pthread_create(&sender, NULL, send_one, &scene.bed), 0);
    while (!sender_sleeps())
        sched_yield();
    mif_connection_down(scene.bed.handle);
    ck_assert_int_eq(pthread_join(sender, NULL), 0);
    testbed_connect(&scene.bed);
    scene_close(&scene);
}

static atomic_bool receiver_is_back;
atomic_bool peer_takes_it; /* not static: fortified headers make poll an inline function */

/* The library's look at an eventfd, too: a peer takes the signal at once, so that it was there. */
int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    if (atomic_exchange(&peer_takes_it, false))
        return 1;
    struct timespec patience = {.tv_sec = timeout / 1000, .tv_nsec = timeout % 1000 * 1000000L};
    return ppoll(fds, count, timeout < 0 ? NULL : &patience, NULL);
}

static void *receive_nothing(void *argument)
{
    uint16_t n;

    atomic_store(&sender_task, gettid());
    (void)testbed_receive(argument, 1, &n);
    atomic_store(&receiver_is_back, true);
    return NULL;
}

/* Only where the system denies every read that does not wait is it held up at all. */
MEMIF_TEST(a_receiver_that_is_held_up_is_let_go_at_the_end)
{
    struct testbed_shape shape;
    struct scene scene;
    pthread_t receiver;

    (void)shape_of(MIF_KIND_512_SLAVE, &shape);
    shape.interrupt = true;
    scene_open(&scene, &shape);
    make_blocking(scene.bed.efd[MIF_RX], true);
    atomic_store(&peer_takes_it, true);
    ck_assert_int_eq(pthread_create(&receiver, NULL, receive_nothing, &scene.bed), 0);
    while (!sender_sleeps() && !atomic_load(&receiver_is_back))
        sched_yield();
    mif_connection_down(scene.bed.handle);
    ck_assert_int_eq(pthread_join(receiver, NULL), 0);
    testbed_connect(&scene.bed);
    scene_close(&scene);
}

/* ---- between check and use ---- */

enum theme { DESCRIPTORS, INDICES, HEADERS, ALL_OF_IT, THEMES };

struct flipper {
    struct testbed *bed;
    enum theme theme;
    uint32_t burst;
    uint64_t state;
    atomic_bool stop;
};

static uint32_t some(struct flipper *flipper)
{
    return (uint32_t)(random_next(&flipper->state) >> 20);
}

/* A slot that is likely to be looked at soon. */
static uint32_t near(struct flipper *flipper, enum mif_direction direction)
{
    uint16_t ours = atomic_load(testbed_our_index(flipper->bed, direction));
    return (ours + some(flipper) % (flipper->burst + 8)) & (SLOTS - 1);
}

static void flip_descriptor(struct flipper *flipper, enum mif_direction direction)
{
    const struct testbed *bed = flipper->bed;
    uint32_t slot = near(flipper, direction), length = some(flipper) % (BUFFER + 1);
    struct testbed_desc good =
        testbed_honest(bed, direction, slot, direction == MIF_RX ? length : BUFFER);
    struct testbed_desc bad = hostile(bed, some(flipper) % HOSTILE);

    /* Mostly what must not get through. */
    while (some(flipper) % 8 > 0 && wrong_with_packet(bed, &bad) == NULL)
        bad = hostile(bed, some(flipper) % HOSTILE);
    if (some(flipper) % 8 == 0)
        bad.flags = MIF_DESC_NEXT;
    for (int i = 0; i < 64; i++) {
        testbed_peer_write(bed, direction, slot, &bad);
        testbed_peer_write(bed, direction, slot, &good);
    }
}

static void flip_index(struct flipper *flipper, enum mif_direction direction)
{
    const struct testbed *bed = flipper->bed;
    _Atomic uint16_t *index = some(flipper) % 4 > 0 ? testbed_peer_index(bed, direction)
                                                    : testbed_our_index(bed, direction);
    uint16_t was = atomic_load(index);

    atomic_store(index, (uint16_t)(was + some(flipper) % (2 * SLOTS)));
    atomic_store(index, was);
}

static void flip_header(struct flipper *flipper, enum mif_direction direction)
{
    struct mif_ring *ring = flipper->bed->ring[direction];

    atomic_store(&ring->cookie, some(flipper));
    atomic_store(&ring->flags, (uint16_t)some(flipper));
    if (some(flipper) % 64 == 0)
        saturate(flipper->bed->efd[direction]);
    else if (some(flipper) % 64 == 0)
        make_blocking(flipper->bed->efd[direction], false);
}

static void flip(struct flipper *flipper)
{
    enum theme theme =
        flipper->theme == ALL_OF_IT ? (enum theme)(some(flipper) % ALL_OF_IT) : flipper->theme;
    enum mif_direction direction = some(flipper) % 2 ? MIF_RX : MIF_TX;

    if (theme == DESCRIPTORS)
        flip_descriptor(flipper, direction);
    else if (theme == INDICES)
        flip_index(flipper, direction);
    else
        flip_header(flipper, direction);
}

static void *flip_on(void *argument)
{
    struct flipper *flipper = argument;

    while (!atomic_load_explicit(&flipper->stop, memory_order_relaxed))
        flip(flipper);
    return NULL;
}

/* One turn of all four calls; true if something was received or reserved. */
static bool work(struct testbed *bed, uint32_t burst, uint32_t size)
{
    uint16_t received, reserved, sent;

    (void)testbed_receive(bed, burst, &received);
    (void)testbed_give_back(bed, burst, 0);
    (void)testbed_reserve(bed, burst, size, &reserved);
    (void)testbed_send(bed, burst, size, &sent);
    return received + reserved > 0;
}

enum { ROUNDS = 150, TURNS = 16 };

/* Adds to the number of times that the peer was found out; not before it is `wanted`, for then it
 * has met us at work. */
static void race(struct testbed *bed, enum theme theme, uint32_t burst, uint32_t *faults,
                 uint32_t wanted)
{
    static const uint32_t sizes[] = {0, 1, BUFFER, 3 * BUFFER, 65535};
    struct flipper flipper = {
        .bed = bed, .theme = theme, .burst = burst, .state = RANDOM_SEED + burst};
    pthread_t peer;

    ck_assert_int_eq(pthread_create(&peer, NULL, flip_on, &flipper), 0);
    for (uint32_t round = 0; round < ROUNDS || *faults < wanted; round++) {
        testbed_peer_turn(bed, round % (BUFFER + 1));
        for (int i = 0; i < TURNS && testbed_fault(bed) == NULL; i++)
            if (!work(bed, burst, sizes[round % 5]))
                break;
        if (testbed_fault(bed) != NULL) {
            (*faults)++;
            testbed_disconnect(bed);
            testbed_connect(bed);
        } else if (round % 64 == 0) {
            sched_yield();
        }
    }
    atomic_store(&flipper.stop, true);
    ck_assert_int_eq(pthread_join(peer, NULL), 0);
    start_anew(bed);
}

static void race_all(int way, enum theme theme)
{
    /* Headers have no wrong values that anybody looks at. */
    uint32_t faults = 0, wanted = theme == HEADERS ? 0 : 1;
    struct testbed_shape shape;
    struct scene scene;

    for (size_t i = 0; shape_of(way, &shape) && i < BURSTS; i++) {
        shape.interrupt = i % 2;
        shape.untrusted = true;
        scene_open(&scene, &shape);
        race(&scene.bed, theme, bursts[i], &faults, i == BURSTS - 1 ? wanted : 0);
        scene_close(&scene);
    }
}

MEMIF_TEST_LOOP(descriptors_that_change_under_our_eyes, 0, WAYS)
{
    race_all(_i, DESCRIPTORS);
}

MEMIF_TEST_LOOP(indices_that_change_under_our_eyes, 0, WAYS)
{
    race_all(_i, INDICES);
}

MEMIF_TEST_LOOP(headers_that_change_under_our_eyes, 0, WAYS)
{
    race_all(_i, HEADERS);
}

MEMIF_TEST_LOOP(everything_changes_under_our_eyes, 0, WAYS)
{
    race_all(_i, ALL_OF_IT);
}

/* ---- between one look and the next ---- */

/* Chance is no judge of what is read twice. Here the rings may not be accessed: each instruction
 * that does so is let through alone, and then the descriptors are other ones. */
#ifdef __x86_64__
enum { TRAP_FLAG = 0x100, LOOKS_LOG2 = 5, LOOKS = 200 };

static struct flipper watcher;
static uint64_t looks;
static const void *looked_at;
static void (*at_look)(void);

static void guard(int protection)
{
    const struct testbed_memory *rings = &watcher.bed->regions[TESTBED_RINGS];
    TESTBED_CHECK(mprotect(rings->base, rings->size, protection) == 0);
}

static void on_access(int signal, siginfo_t *info, void *context)
{
    const struct testbed_memory *rings = &watcher.bed->regions[TESTBED_RINGS];
    ucontext_t *interrupted = context;

    (void)signal;
    TESTBED_CHECK((uintptr_t)info->si_addr - (uintptr_t)rings->base < rings->size);
    guard(PROT_READ | PROT_WRITE);
    interrupted->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
    looked_at = info->si_addr;
    looks++;
}

static void put_other(enum mif_direction direction, uint32_t slot, bool good)
{
    const struct testbed *bed = watcher.bed;
    uint32_t length = direction == MIF_RX ? some(&watcher) % BUFFER : BUFFER;
    struct testbed_desc desc = testbed_honest(bed, direction, slot, length);

    if (!good && some(&watcher) % 2)
        desc = hostile(bed, some(&watcher) % HOSTILE);
    if (some(&watcher) % 16 == 0)
        desc.flags = MIF_DESC_NEXT;
    testbed_peer_write(bed, direction, slot, &desc);
}

/* Mostly all good, so that the next look does not end it, and then next to nothing is. */
static void put_others(void)
{
    bool good = some(&watcher) % 4 > 0;

    for (uint32_t slot = 0; slot < testbed_slots(watcher.bed); slot++) {
        put_other(MIF_RX, slot, good);
        put_other(MIF_TX, slot, good);
    }
}

static void on_accessed(int signal, siginfo_t *info, void *context)
{
    ucontext_t *interrupted = context;

    (void)signal;
    (void)info;
    at_look();
    guard(PROT_NONE);
    interrupted->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};

    ck_assert_int_eq(sigaction(signal, &action, NULL), 0);
}

static void watch(struct testbed *bed, void (*hook)(void))
{
    watcher = (struct flipper){.bed = bed, .state = RANDOM_SEED};
    looks = 0;
    at_look = hook;
    handle(SIGSEGV, on_access);
    handle(SIGTRAP, on_accessed);
}

MEMIF_TEST_LOOP(every_look_at_a_ring_sees_something_else, 0, WAYS)
{
    struct testbed_shape shape;
    struct testbed bed;

    if (!shape_of(_i, &shape))
        return;
    shape.log2_ring_size = LOOKS_LOG2;
    shape.interrupt = shape.untrusted = true;
    testbed_open(&bed, &shape);
    watch(&bed, put_others);
    for (uint32_t i = 0; i < LOOKS; i++) {
        testbed_peer_turn(&bed, i % BUFFER);
        guard(PROT_NONE);
        for (int turn = 0; turn < 4 && testbed_fault(&bed) == NULL; turn++)
            (void)work(&bed, bursts[i % 3], i % 2 ? BUFFER : 3 * BUFFER);
        guard(PROT_READ | PROT_WRITE);
        testbed_disconnect(&bed);
        testbed_connect(&bed);
    }
    ck_assert_uint_gt(looks, LOOKS);
    testbed_close(&bed);
}

static void grow(void)
{
    if (looked_at == testbed_peer_index(watcher.bed, MIF_RX) &&
        testbed_peer_room(watcher.bed, MIF_RX) > 0)
        begin_endless(watcher.bed, 1, 0);
}

/* Otherwise all of it is looked at again for each slot that it grows by. */
MEMIF_TEST_LOOP(a_packet_that_grows_whenever_it_is_looked_at_holds_nobody_up, 0, WAYS)
{
    struct testbed_shape shape;
    struct testbed bed;
    uint16_t n;

    if (!shape_of(_i, &shape))
        return;
    shape.interrupt = true;
    testbed_open(&bed, &shape);
    begin_endless(&bed, 1, 0);
    watch(&bed, grow);
    guard(PROT_NONE);
    (void)testbed_receive(&bed, 32, &n);
    guard(PROT_READ | PROT_WRITE);
    ck_assert_uint_eq(n, 0);
    ck_assert_uint_lt(looks, SLOTS * SLOTS / 16);
    ck_assert_ptr_null(testbed_fault(&bed));
    testbed_close(&bed);
}

static uint32_t looks_to_come;

/* The end of the packet comes right after a look at the index. */
static void finish(void)
{
    const uint64_t one = 1;

    if (looked_at != testbed_peer_index(watcher.bed, MIF_RX) || looks_to_come == 0)
        return;
    if (--looks_to_come > 0)
        return;
    uint16_t at = atomic_load(testbed_peer_index(watcher.bed, MIF_RX)) & (SLOTS - 1);
    struct testbed_desc desc = testbed_honest(watcher.bed, MIF_RX, at, 7);
    testbed_peer_write(watcher.bed, MIF_RX, at, &desc);
    testbed_peer_move(watcher.bed, MIF_RX, 1);
    TESTBED_CHECK(write(watcher.bed->efd[MIF_RX], &one, sizeof(one)) == sizeof(one));
}

MEMIF_TEST_LOOP(the_end_of_a_packet_wakes_its_receiver_whenever_it_comes, 0, WAYS)
{
    struct testbed_shape shape;
    struct testbed bed;

    if (!shape_of(_i, &shape))
        return;
    shape.interrupt = true;
    testbed_open(&bed, &shape);
    for (uint32_t look = 1; look < 8; look++) {
        uint32_t calls = 0;
        uint16_t n = 0;
        testbed_disconnect(&bed);
        testbed_connect(&bed);
        begin_endless(&bed, 1, 7);
        watch(&bed, finish);
        looks_to_come = look;
        /* Before its end is there, nobody calls but for other reasons. */
        do {
            guard(PROT_NONE);
            (void)testbed_receive(&bed, 32, &n);
            guard(PROT_READ | PROT_WRITE);
            calls++;
        } while (n == 0 && (looks_to_come > 0 || is_signalled(bed.efd[MIF_RX])));
        ck_assert_uint_gt(n, 0);
        ck_assert_uint_le(calls, 2 + look);
    }
    testbed_close(&bed);
}
#endif

MEMIF_TEST_MAIN("hostile peer")
