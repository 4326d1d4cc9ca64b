/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Slaves of two connections exchange buffers: only where each has mapped the other's buffer whole,
 * and both have one size. Each then names the buffer by its own index of that region.
 */

#include "scene.h"

enum { FROM, TO, BEDS, PIECE = 7, WRONG_REGION = 77, CALLS = 2 };

static struct testbed beds[BEDS];
static memif_buffer_t first, second; /* that change places */

static struct mif_slot *slot_of(enum mif_direction direction, int i)
{
    return &beds[i].queue[direction]->slots[0];
}

/* A packet received on each, and both slots with `capacity` bytes at these addresses. */
static void open_beds(enum mif_kind from)
{
    const enum mif_kind kinds[BEDS] = {from, MIF_KIND_512_SLAVE};
    uint16_t n;

    for (int i = 0; i < BEDS; i++) {
        const struct testbed_shape shape = {
            .kind = kinds[i], .log2_ring_size = 4, .buffer_size = BUFFER};
        testbed_open(&beds[i], &shape);
        testbed_peer_turn(&beds[i], 60);
        ck_assert_int_eq(testbed_receive(&beds[i], 1, &n), MEMIF_ERR_NOBUF);
    }
}

static void close_beds(void)
{
    for (int i = 0; i < BEDS; i++) {
        ck_assert_uint_eq(atomic_load(&beds[i].queue[MIF_RX]->busy), 0);
        ck_assert_uint_eq(atomic_load(&beds[i].queue[MIF_TX]->busy), 0);
        testbed_close(&beds[i]);
    }
}

/* By memif_buffer_enq_tx the slot of the other is one of its send queue, by memif_buffer_requeue
 * that of a packet which it has received. */
static enum mif_direction other_of(int call)
{
    return call == 0 ? MIF_TX : MIF_RX;
}

static void give_slots(int call, uint8_t *data[BEDS], uint32_t capacity, uint32_t other_capacity)
{
    mif_slot_set(slot_of(MIF_RX, FROM), data[FROM], capacity, WRONG_REGION, 0);
    mif_slot_set(slot_of(other_of(call), TO), data[TO], other_capacity, WRONG_REGION, 0);
    first = (memif_buffer_t){.queue = beds[FROM].queue[MIF_RX], .data = data[FROM], .len = 1};
    second = (memif_buffer_t){.queue = beds[TO].queue[MIF_RX], .data = data[TO], .len = 1};
}

static int exchange_slots(int call)
{
    uint16_t n = 2;

    if (call != 0)
        return mif_entry_requeue(beds[FROM].handle, &first, &second);
    int err = mif_entry_enqueue(beds[TO].handle, 0, &first, 1, &n);
    ck_assert_uint_eq(n, err == MEMIF_ERR_SUCCESS);
    return err;
}

static void expect_slot(const struct mif_slot *slot, const uint8_t *data, uint32_t capacity,
                        uint16_t region)
{
    ck_assert_ptr_eq(slot->data, data);
    ck_assert_uint_eq(mif_slot_capacity(slot), capacity);
    ck_assert_uint_eq(mif_slot_region(slot), region);
}

static void expect_exchanged(int call, uint8_t *data[BEDS], uint32_t capacity,
                             const uint16_t region[BEDS])
{
    expect_slot(slot_of(MIF_RX, FROM), data[TO], capacity, region[FROM]);
    expect_slot(slot_of(other_of(call), TO), data[FROM], capacity, region[TO]);
    ck_assert_ptr_eq(first.queue, beds[TO].queue[other_of(call)]);
    ck_assert_ptr_eq(first.data, data[FROM]);
    if (call != 0)
        ck_assert_ptr_eq(second.queue, beds[FROM].queue[MIF_RX]);
    ck_assert_ptr_null(beds[FROM].queue[MIF_RX]->buffers.data);
    ck_assert_ptr_null(beds[TO].queue[other_of(call)]->buffers.data);
}

static void expect_as_before(int call, uint8_t *data[BEDS], uint32_t capacity,
                             uint32_t other_capacity)
{
    expect_slot(slot_of(MIF_RX, FROM), data[FROM], capacity, WRONG_REGION);
    expect_slot(slot_of(other_of(call), TO), data[TO], other_capacity, WRONG_REGION);
    ck_assert_ptr_eq(first.queue, beds[FROM].queue[MIF_RX]);
    ck_assert_ptr_eq(second.queue, beds[TO].queue[MIF_RX]);
}

/* ---- where a buffer may lie ---- */

/* In the region of the one that gets it. */
struct place {
    bool from_end;
    int32_t offset;
    int32_t capacity; /* of the whole region, or more */
    bool good;
};

static const struct place places_of_buffers[] = {
    {.offset = 0, .capacity = PIECE, .good = true},
    {.offset = 1, .capacity = PIECE, .good = true},
    {.offset = -1, .capacity = PIECE, .good = false},
    {.from_end = true, .offset = -PIECE, .capacity = PIECE, .good = true},
    {.from_end = true, .offset = -PIECE + 1, .capacity = PIECE, .good = false},
    {.from_end = true, .offset = 0, .capacity = PIECE, .good = false},
};
enum { PLACES_OF_BUFFERS = sizeof(places_of_buffers) / sizeof(places_of_buffers[0]) };
/* The first, the last, and one between. */
static const uint16_t regions[] = {TESTBED_RINGS, TESTBED_BUFFERS, TESTBED_SMALL};
enum { REGIONS = sizeof(regions) / sizeof(regions[0]) };

static void check_place(int call, int side, uint16_t region, const struct place *place)
{
    const struct testbed_memory *memory = &beds[!side].regions[region];
    uint8_t *data[BEDS];
    uint16_t found[BEDS] = {TESTBED_BUFFERS, TESTBED_BUFFERS};

    data[side] = memory->base + (place->from_end ? memory->size : 0) + place->offset;
    data[!side] = beds[side].regions[TESTBED_BUFFERS].base + 64;
    found[!side] = region;
    give_slots(call, data, (uint32_t)place->capacity, (uint32_t)place->capacity);
    ck_assert_int_eq(exchange_slots(call), place->good ? MEMIF_ERR_SUCCESS : MEMIF_ERR_INVAL_ARG);
    if (place->good)
        expect_exchanged(call, data, (uint32_t)place->capacity, found);
    else
        expect_as_before(call, data, (uint32_t)place->capacity, (uint32_t)place->capacity);
}

MEMIF_TEST_LOOP(each_must_have_mapped_the_others_buffer, 0, CALLS * BEDS * REGIONS)
{
    for (int i = 0; i < PLACES_OF_BUFFERS; i++) {
        open_beds(MIF_KIND_512_SLAVE);
        check_place(_i % CALLS, _i / CALLS % BEDS, regions[_i / CALLS / BEDS],
                    &places_of_buffers[i]);
        close_beds();
    }
}

/* The other side's region is larger, so it is this one that decides. */
MEMIF_TEST_LOOP(a_buffer_may_be_as_long_as_its_region, 0, CALLS *BEDS)
{
    for (int32_t more = 0; more < 2; more++) {
        open_beds(MIF_KIND_512_SLAVE);
        int side = _i / CALLS;
        uint64_t size = beds[!side].regions[TESTBED_SMALL].size;
        ck_assert_uint_gt(beds[side].regions[TESTBED_BUFFERS].size, size + 64);
        const struct place place = {.capacity = (int32_t)size + more, .good = more == 0};
        check_place(_i % CALLS, side, TESTBED_SMALL, &place);
        close_beds();
    }
}

MEMIF_TEST_LOOP(buffers_of_two_sizes_are_not_exchanged, 0, CALLS * 2)
{
    open_beds(MIF_KIND_512_SLAVE);
    uint32_t other = _i < CALLS ? PIECE - 1 : PIECE + 1;
    uint8_t *data[BEDS] = {beds[TO].regions[TESTBED_BUFFERS].base,
                           beds[FROM].regions[TESTBED_BUFFERS].base};
    give_slots(_i % CALLS, data, PIECE, other);
    ck_assert_int_eq(exchange_slots(_i % CALLS), MEMIF_ERR_INVAL_ARG);
    expect_as_before(_i % CALLS, data, PIECE, other);
    close_beds();
}

/* ---- what else is refused ---- */

MEMIF_TEST_LOOP(nobody_but_a_slave_of_version_512_gives_buffers_away, 0, CALLS *KINDS)
{
    enum mif_kind kind = (enum mif_kind)(_i / CALLS);

    open_beds(kind);
    uint8_t *data[BEDS] = {beds[TO].regions[TESTBED_BUFFERS].base,
                           beds[FROM].regions[TESTBED_BUFFERS].base};
    give_slots(_i % CALLS, data, PIECE, PIECE);
    ck_assert_int_eq(exchange_slots(_i % CALLS),
                     kind == MIF_KIND_512_SLAVE ? MEMIF_ERR_SUCCESS : MEMIF_ERR_INVAL_ARG);
    if (kind != MIF_KIND_512_SLAVE)
        expect_as_before(_i % CALLS, data, PIECE, PIECE);
    close_beds();
}

MEMIF_TEST_LOOP(what_the_other_one_does_not_hold_is_not_exchanged, 0, 3)
{
    open_beds(MIF_KIND_512_SLAVE);
    uint8_t *data[BEDS] = {beds[TO].regions[TESTBED_BUFFERS].base,
                           beds[FROM].regions[TESTBED_BUFFERS].base};
    give_slots(1, data, PIECE, PIECE);
    switch (_i) {
    case 0:
        second.desc_index = 1;
        second.data = beds[TO].queue[MIF_RX]->slots[1].data;
        break;
    case 1:
        second.data = data[TO] - 1;
        break;
    default:
        second.queue = beds;
    }
    const memif_buffer_t was = second;
    ck_assert_int_eq(exchange_slots(1), MEMIF_ERR_INVAL_ARG);
    ck_assert_mem_eq(&second, &was, sizeof(was));
    second.queue = beds[TO].queue[MIF_RX];
    expect_as_before(1, data, PIECE, PIECE);
    close_beds();
}

/* ---- what the peer is told ---- */

MEMIF_TEST_LOOP(the_peer_finds_the_packet_by_the_region_of_its_own_connection, 0, REGIONS)
{
    const struct mif_ring *ring;
    uint16_t n;

    open_beds(MIF_KIND_512_SLAVE);
    uint8_t *data[BEDS] = {beds[TO].regions[regions[_i]].base + 2048,
                           beds[FROM].regions[TESTBED_BUFFERS].base};
    give_slots(0, data, PIECE, PIECE);
    ck_assert_int_eq(exchange_slots(0), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(mif_call(beds[TO].handle, 0, MIF_TX, MIF_CALL_TX, 0, &first, 1, &n),
                     MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(n, 1);
    ring = beds[TO].ring[MIF_TX];
    struct mif_desc desc = mif_desc_read(ring + 1, 0, MIF_KIND_512_SLAVE);
    ck_assert_uint_eq(desc.head >> 16 & UINT16_MAX, regions[_i]);
    ck_assert_uint_eq(desc.offset, 2048);
    close_beds();
}

MEMIF_TEST_MAIN("exchange")
