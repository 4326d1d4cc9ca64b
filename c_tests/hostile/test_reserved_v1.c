/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Packets of one slot or of many, reserved and sent in any portions, cut, left out, refused and
 * sent again, against a model of the rules (chain.h): what each call returns, each entry, the
 * counters, all of the ring after each call, and each byte when the peer takes it.
 */

#include "reserved_model.h"

#include <sys/mman.h>

enum { STEPS = 1500 };
enum { ARRAY, TABLE, PERMUTED, MODES }; /* how a slave's buffers lie */

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
    if (now.plain)
        return below(2) == 0 ? 0 : below(2) * SIZE + below(2);
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

static void reserve(uint16_t count, uint32_t size)
{
    static memif_buffer_t bufs[RING + GUARD];
    uint16_t n = UINT16_MAX;
    uint32_t expected;

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

    switch (below(8)) {
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
    case 4: /* twice */
        burst->bufs[at] = burst->bufs[at > 0 ? at - 1 : 0];
        break;
    case 5: /* as if the ring went on behind its end */
        for (uint32_t i = 1; i < burst->count; i++)
            if (burst->bufs[i].desc_index < burst->bufs[0].desc_index)
                burst->bufs[i].desc_index = (uint16_t)(burst->bufs[i].desc_index + RING);
        break;
    case 6:
        burst->bufs[at].desc_index = (uint16_t)(burst->bufs[at].desc_index + RING);
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
    memif_buffer_t *given = (memif_buffer_t *)(void *)(now.end - burst->count * sizeof(*given));
    uint32_t expected;
    uint16_t n = UINT16_MAX;

    memcpy(given, burst->bufs, burst->count * sizeof(*given));
    int err = mif_call(now.bed.handle, 0, MIF_TX, MIF_CALL_TX, 0, given, burst->count, &n);
    int wanted = send_many(burst, &expected);
    ck_assert_uint_eq(n, expected);
    ck_assert_int_eq(err, MIF_FACE_ERROR(wanted));
}

/* The same burst, or one that differs from it in what is no slot and no length. */
static void send_again(void)
{
    if (now.last.count > 0 && below(4) == 0)
        now.last.bufs[below(now.last.count)].data = &now;
    send_burst(&now.last);
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

/* Bursts end where no more may be read. */
static uint8_t *end_of_access(void)
{
    const size_t page = 1 << 16;
    uint8_t *base = mmap(NULL, 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert(base != MAP_FAILED);
    ck_assert_int_eq(mprotect(base, page, PROT_READ | PROT_WRITE), 0);
    return base + page;
}

static void open_slave(int mode)
{
    struct mif_queue *q = now.bed.queue[MIF_TX];

    if (mode == ARRAY) /* as if the ring lay with the buffers */
        q->cache = mif_region_cache_of(q, TESTBED_BUFFERS);
    else /* as if one had been moved */
        q->buffers = (struct mif_buffer_array){0};
    for (uint32_t i = 0; mode == PERMUTED && i < RING / 4; i++)
        exchange_buffers(below(RING), below(RING));
    for (uint32_t slot = 0; slot < RING; slot++) {
        testbed_peer_write(&now.bed, MIF_TX, slot, &now.posted[slot]);
        now.ring[slot] = read_back(slot);
        now.seen[slot] = SIZE;
    }
}

/* Of version 512, the slave has posted some of its buffers or none. */
static void open_master(void)
{
    for (uint32_t slot = 0; slot < RING; slot++)
        post(slot);
    if (testbed_is_256(&now.bed))
        return;
    now.given = below(2) * below(RING);
    now.taken = now.given - RING;
    atomic_store(testbed_peer_index(&now.bed, MIF_TX), (uint16_t)now.given);
}

static bool open_model(int way, int mode)
{
    struct testbed_shape shape;

    if (!shape_of(way, &shape))
        return false;
    shape.log2_ring_size = LOG2_RING;
    shape.buffer_size = SIZE;
    uint8_t *end = now.end;
    memset(&now, 0, sizeof(now));
    now.end = end == NULL ? end_of_access() : end;
    now.random = RANDOM_SEED + (uint64_t)(way + WAYS * mode);
    testbed_open(&now.bed, &shape);
    now.given = now.capacity = mif_capacity(now.bed.queue[MIF_TX], shape.kind);
    for (uint32_t slot = 0; slot < RING; slot++)
        now.posted[slot] = testbed_honest(&now.bed, MIF_TX, slot, SIZE);
    if (testbed_is_slave(&now.bed))
        open_slave(mode);
    else
        open_master();
    return true;
}

MEMIF_TEST_LOOP(packets_of_any_number_of_slots_are_reserved_and_sent, 0, WAYS *MODES)
{
    if (!open_model(_i % WAYS, _i / WAYS))
        return;
    reserve(1, 2 * RING * SIZE);
    expect_all();
    for (uint32_t i = 0; i < STEPS; i++) {
        now.plain = i / 64 % 2 == 0;
        switch (below(32) == 0 ? 4 : below(4)) {
        case 0:
            peer_takes();
            break;
        case 1:
            reserve((uint16_t)(below(3) == 0 ? 1 : below(12)), size_to_reserve());
            break;
        case 2:
            choose_burst(&now.last);
            send_burst(&now.last);
            break;
        case 3:
            send_again();
            break;
        default:
            cancel();
            break;
        }
        expect_all();
    }
    testbed_close(&now.bed);
}

/* ---- what chance does not find ---- */

/* The entry of a slot, or of none. */
static memif_buffer_t entry_of(uint16_t slot)
{
    return (memif_buffer_t){.desc_index = slot, .data_len = 1};
}

static void send_slots(const uint16_t *slots, uint16_t count)
{
    struct burst burst = {.count = count};

    for (uint16_t i = 0; i < count; i++)
        burst.bufs[i] = entry_of(slots[i]);
    send_burst(&burst);
    expect_all();
}

static bool open_plain(int way)
{
    if (!open_model(way, TABLE))
        return false;
    now.plain = true;
    now.given = now.capacity;
    now.taken = 0;
    if (now.bed.shape.kind == MIF_KIND_512_MASTER)
        atomic_store(testbed_peer_index(&now.bed, MIF_TX), RING);
    return true;
}

/* Its first entry, which was refused, can be sent when its others are. */
MEMIF_TEST_LOOP(a_burst_goes_on_with_the_entries_that_are_left, 0, WAYS)
{
    static const uint16_t slots[] = {3, 0, 1, 2, UINT16_MAX};

    if (!open_plain(_i))
        return;
    reserve(2, 0);
    send_slots(slots, 5);
    reserve(2, 0);
    send_slots(slots, 5);
    ck_assert_uint_eq(now.held_count, 1);
    testbed_close(&now.bed);
}

/* What may be left out is what was reserved then. */
MEMIF_TEST_LOOP(what_is_reserved_after_a_refusal_is_sent_in_order, 0, WAYS)
{
    static const uint16_t second = 1, nothing = UINT16_MAX;

    if (!open_plain(_i))
        return;
    reserve(1, 0);
    send_slots(&nothing, 1);
    cancel();
    reserve(2, 0);
    send_slots(&second, 1);
    ck_assert_uint_eq(now.held_count, 2);
    testbed_close(&now.bed);
}

/* Wherever in the ring it is, and if it is larger by a byte only. */
MEMIF_TEST_LOOP(whether_a_packet_can_ever_fit_is_up_to_the_largest_buffer, 0, WAYS)
{
    for (uint32_t largest = 0; largest < RING - 1; largest++) {
        if (!open_plain(_i))
            return;
        for (uint32_t slot = 0; slot < RING && !testbed_is_slave(&now.bed); slot++) {
            now.posted[slot] =
                testbed_honest(&now.bed, MIF_TX, slot, slot == largest ? SIZE : SIZE - 1);
            testbed_peer_write(&now.bed, MIF_TX, slot, &now.posted[slot]);
            now.ring[slot] = read_back(slot);
        }
        reserve(1, 0);
        reserve(1, SIZE * now.capacity);
        reserve(1, SIZE * now.capacity + 1);
        ck_assert_uint_eq(now.full, 1);
        testbed_close(&now.bed);
    }
}

MEMIF_TEST_MAIN("reserved packets")
