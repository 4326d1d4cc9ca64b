/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Packets of one slot or of many, reserved and sent in any portions, cut, left out, refused and
 * sent again, against a model of the rules (chain.h): what each call returns, each entry, the
 * counters, all of the ring after each call, and each byte when the peer takes it.
 */

#include "reserved_model.h"

#include <inttypes.h>

enum { STEPS = 1500 };
enum { ARRAY, TABLE, PERMUTED, MODES }; /* how a slave's buffers lie */

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

static void peer_takes(void)
{
    uint32_t count = below((uint32_t)(now.done - now.taken) + 1);

    for (uint32_t i = 0; i < count; i++, now.taken++) {
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

/* ---- reserving ---- */

/* In one piece, a packet is written where it is sent from. */
static void expect_entry(struct packet *packet, const memif_buffer_t *found)
{
    ck_assert_uint_eq(found->desc_index, slot_of(packet->first));
    ck_assert_uint_eq(found->buffer_len, packet->room);
    ck_assert_uint_eq(found->data_len, 0);
    ck_assert_int_eq(found->data == place_of(packet->first), packet->in_one_piece);
    packet->entry = *found;
    for (uint32_t i = 0; i < packet->room; i++)
        ((uint8_t *)found->data)[i] = byte_of(packet->seed, i);
}

static uint32_t size_to_reserve(void)
{
    switch (below(8)) {
    case 0:
        return 0;
    case 1:
        return below(2 * RING * SIZE);
    case 2:
        return SIZE * below(RING + 2) + below(2);
    default:
        return below(below(2) == 0 ? 16 : 4 * SIZE);
    }
}

static void reserve(void)
{
    static memif_buffer_t bufs[RING + GUARD];
    uint16_t count = (uint16_t)(below(3) == 0 ? 1 : below(12)), n = UINT16_MAX;
    uint32_t size = size_to_reserve(), expected;

    int err = mif_call(now.bed.handle, 0, MIF_TX, MIF_CALL_RESERVE, size, bufs, count, &n);
    int wanted = reserve_many(count, size, &expected);
    ck_assert_uint_eq(n, expected);
    ck_assert_int_eq(err, MIF_FACE_ERROR(wanted));
    for (uint32_t i = 0; i < n; i++)
        expect_entry(&now.held[now.held_count - n + i], &bufs[i]);
}

/* ---- sending ---- */

static uint32_t length_to_send(const struct packet *packet)
{
    uint32_t room = packet->room;

    switch (below(6)) {
    case 0:
        return below(packet->slots + 1) * SIZE;
    case 1:
        return room + below(2 * SIZE);
    case 2:
        return below(room + 1);
    default:
        return room - below(2);
    }
}

/* What programs get wrong. */
static void spoil_burst(struct burst *burst)
{
    uint32_t at = below(burst->count), other = below(burst->count);
    memif_buffer_t was = burst->bufs[at];

    switch (below(5)) {
    case 0:
        burst->bufs[at].desc_index = (uint16_t)below(RING);
        break;
    case 1:
        burst->bufs[at].desc_index = (uint16_t)(below(2) == 0 ? RING + below(2) : UINT16_MAX);
        break;
    case 2:
        burst->bufs[at] = burst->bufs[other];
        burst->bufs[other] = was;
        break;
    case 3:
        burst->count = (uint16_t)(burst->count - at);
        memmove(burst->bufs, burst->bufs + at, burst->count * sizeof(was));
        break;
    default:
        burst->bufs[burst->count] = was;
        burst->bufs[burst->count++].desc_index = (uint16_t)slot_of(now.next);
        break;
    }
}

/* Of what is held, from the first or from another on. */
static void choose_burst(struct burst *burst)
{
    uint32_t first = below(4) == 0 ? below(now.held_count + 1) : 0;

    burst->count = (uint16_t)below(now.held_count - first + 1);
    for (uint32_t i = 0; i < burst->count; i++) {
        burst->bufs[i] = now.held[first + i].entry;
        burst->bufs[i].data_len = length_to_send(&now.held[first + i]);
    }
    if (burst->count > 0 && below(3) == 0)
        spoil_burst(burst);
}

static void send_burst(const struct burst *burst)
{
    struct burst given = *burst;
    uint32_t expected;
    uint16_t n = UINT16_MAX;

    int err = mif_call(now.bed.handle, 0, MIF_TX, MIF_CALL_TX, 0, given.bufs, given.count, &n);
    int wanted = send_many(burst, &expected);
    ck_assert_uint_eq(n, expected);
    ck_assert_int_eq(err, MIF_FACE_ERROR(wanted));
}

static void cancel(void)
{
    mif_packet_cancel(now.bed.queue[MIF_TX]);
    take_back();
}

/* ---- the tests ---- */

static void exchange_buffers(uint32_t slot, uint32_t other)
{
    struct mif_slot *slots = now.bed.queue[MIF_TX]->slots, was = slots[slot];
    struct testbed_desc desc = now.posted[slot];

    slots[slot] = slots[other];
    slots[other] = was;
    now.posted[slot] = now.posted[other];
    now.posted[other] = desc;
}

static bool open_model(int way, int mode)
{
    struct testbed_shape shape;

    if (!shape_of(way, &shape))
        return false;
    shape.log2_ring_size = LOG2_RING;
    shape.buffer_size = SIZE;
    memset(&now, 0, sizeof(now));
    now.random = RANDOM_SEED + (uint64_t)way;
    testbed_open(&now.bed, &shape);
    now.given = now.capacity = mif_capacity(now.bed.queue[MIF_TX], shape.kind);
    for (uint32_t slot = 0; slot < RING; slot++)
        now.posted[slot] = testbed_honest(&now.bed, MIF_TX, slot, SIZE);
    if (mode != ARRAY)
        now.bed.queue[MIF_TX]->buffers =
            (struct mif_buffer_array){0}; /* as if one had been moved */
    for (uint32_t i = 0; mode == PERMUTED && testbed_is_slave(&now.bed) && i < RING / 4; i++)
        exchange_buffers(below(RING), below(RING));
    for (uint32_t slot = 0; slot < RING; slot++)
        if (testbed_is_slave(&now.bed)) {
            testbed_peer_write(&now.bed, MIF_TX, slot, &now.posted[slot]);
            now.ring[slot] = read_back(slot);
            now.seen[slot] = SIZE;
        } else {
            post(slot);
        }
    return true;
}

MEMIF_TEST_LOOP(packets_of_any_number_of_slots_are_reserved_and_sent, 0, WAYS *MODES)
{
    if (!open_model(_i % WAYS, _i / WAYS))
        return;
    for (uint32_t i = 0; i < STEPS; i++) {
        switch (below(32) == 0 ? 4 : below(4)) {
        case 0:
            peer_takes();
            break;
        case 1:
            reserve();
            break;
        case 2:
            choose_burst(&now.last);
            /* fall through */
        case 3:
            send_burst(&now.last);
            break;
        default:
            cancel();
            break;
        }
        expect_all();
    }
    testbed_close(&now.bed);
}

MEMIF_TEST_MAIN("reserved packets")
