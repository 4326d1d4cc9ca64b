/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Packets of one slot or of many, received and given back in any portions, against a model of the
 * rules: what each call returns, each entry, the counters, and all of the ring after each call.
 */

#include "random.h"
#include "scene.h"

#include <inttypes.h>
#include <string.h>

enum { LOG2_RING = 5, RING = 1 << LOG2_RING, SIZE = 64, MOST = 3 * SIZE };
enum { STEPS = 1500, GUARD = 2 };
/* With an array of buffers or a table of slots, in polling and in interrupt mode. */
enum { TABLE = 1, INTERRUPT = 2, MODES = 4 };
enum { STRANGE_FLAG = 2 };

/* Slots by their counters; what a program holds begins at `done`. */
static struct {
    struct testbed bed;
    uint64_t random;
    uint64_t written, published, limit, next, done;
    uint64_t bytes, extra_slots;
    struct testbed_desc ring[RING]; /* as it must be */
    uint32_t of_packet[RING];       /* slots from this one to the packet's end */
    uint32_t going_on, bytes_so_far;
    bool polls, answers;
    bool plain; /* packets of one slot only, for now */
    memif_buffer_t held[RING];
    uint32_t held_count;
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
    const struct testbed_desc *desc = &now.ring[slot_of(counter)];

    return now.bed.regions[desc->region].base + desc->offset;
}

/* Each byte tells its packet's slot and its place there. */
static uint8_t byte_of(uint64_t counter, uint32_t at)
{
    return (uint8_t)(counter * 7 + at * 3);
}

/* ---- the peer ---- */

/* Buffers are adjacent in the order of their slots, so that what fills them up to the end, and what
 * begins where one begins, may be in one piece. A slave has no choice where a packet begins. */
static struct testbed_desc next_desc(uint32_t slot, uint32_t length)
{
    struct testbed_desc desc = testbed_honest(&now.bed, MIF_RX, slot, length);

    if (!testbed_is_slave(&now.bed) && below(2) == 0)
        desc.offset += SIZE - length;
    if (!testbed_is_slave(&now.bed) && length <= 16 && below(8) == 0) {
        desc.region = TESTBED_SMALL;
        desc.offset = slot * 16;
    }
    return desc;
}

static uint32_t slots_of_next_packet(void)
{
    uint32_t most = RING - (testbed_is_256(&now.bed) ? 1 : 0);

    return now.plain || below(2) == 0 ? 1 : 1 + below(below(8) == 0 ? most : 5);
}

static uint32_t next_length(void)
{
    static const uint32_t few[] = {0, 1, 16, SIZE - 1};
    uint32_t left = MOST - now.bytes_so_far;
    uint32_t length = below(3) > 0 ? SIZE : few[below(4)];

    return length < left ? length : left;
}

static void write_slot(void)
{
    uint32_t slot = slot_of(now.written);

    if (now.going_on == 0) {
        now.going_on = slots_of_next_packet();
        now.bytes_so_far = 0;
    }
    now.of_packet[slot] = now.going_on;
    struct testbed_desc *desc = &now.ring[slot];
    *desc = next_desc(slot, next_length());
    now.bytes_so_far += desc->length;
    now.going_on--;
    desc->flags =
        (uint16_t)((now.going_on > 0 ? MIF_DESC_NEXT : 0) | (below(16) == 0 ? STRANGE_FLAG : 0));
    for (uint32_t i = 0; i < desc->length; i++)
        place_of(now.written)[i] = byte_of(now.written, i);
    testbed_peer_write(&now.bed, MIF_RX, slot, desc);
    now.written++;
}

/* It may stop inside of a packet. */
static void peer_sends(void)
{
    uint32_t room = testbed_peer_room(&now.bed, MIF_RX), count = below(room + 1);

    for (uint32_t i = 0; i < count; i++)
        write_slot();
    testbed_peer_move(&now.bed, MIF_RX, count);
    now.published = now.written;
}

/* ---- what must hold after each call ---- */

static void expect_ring(void)
{
    for (uint32_t slot = 0; slot < RING; slot++) {
        struct mif_desc found = mif_desc_read(now.bed.ring[MIF_RX] + 1, slot, now.bed.shape.kind);
        const struct testbed_desc *desc = &now.ring[slot];
        if ((uint32_t)found.head != (desc->flags | (uint32_t)desc->region << 16) ||
            found.length != desc->length || found.offset != desc->offset)
            ck_abort_msg("slot %u has flags and region %x, length %u, offset %" PRIu64, slot,
                         (uint32_t)found.head, found.length, found.offset);
    }
}

static uint32_t slots_at(uint64_t counter)
{
    return now.of_packet[slot_of(counter)];
}

static uint32_t chains(void)
{
    uint32_t count = 0;

    for (uint64_t at = now.done; at != now.next; at += slots_at(at))
        count += slots_at(at) > 1;
    return count;
}

static void expect_all(void)
{
    const struct mif_queue *q = now.bed.queue[MIF_RX];
    bool ahead = now.bed.shape.kind == MIF_KIND_512_SLAVE;
    uint64_t index = testbed_is_256(&now.bed) ? now.done % RING : now.done + (ahead ? RING : 0);

    expect_ring();
    ck_assert_uint_eq(atomic_load(testbed_our_index(&now.bed, MIF_RX)), (uint16_t)index);
    ck_assert_uint_eq(q->next, now.next);
    ck_assert_uint_eq(q->done, now.done);
    ck_assert_uint_eq(q->bytes, now.bytes);
    ck_assert_uint_eq(q->extra_slots, now.extra_slots);
    ck_assert_uint_eq(q->chains, chains());
    ck_assert_ptr_null(testbed_fault(&now.bed));
}

/* ---- receiving ---- */

/* In one piece, a packet is where the peer has put it; otherwise it is a copy. */
static void expect_packet(const memif_buffer_t *buf)
{
    uint32_t slots = slots_at(now.next), length = 0;
    const uint8_t *data = buf->data;
    bool in_one_piece = true;

    for (uint64_t at = now.next; at != now.next + slots; at++) {
        uint32_t part = now.ring[slot_of(at)].length;
        in_one_piece = in_one_piece && place_of(at) == place_of(now.next) + length;
        for (uint32_t i = 0; i < part; i++)
            if (data[length + i] != byte_of(at, i))
                ck_abort_msg("byte %u of slot %u differs", i, slot_of(at));
        length += part;
    }
    ck_assert_uint_eq(buf->desc_index, slot_of(now.next));
    ck_assert_uint_eq(buf->data_len, length);
    ck_assert_uint_eq(buf->buffer_len, length);
    ck_assert_int_eq(data == place_of(now.next), in_one_piece);
    now.bytes += length;
    now.extra_slots += slots - 1;
    now.next += slots;
}

/* Of what is known to wait, into the array from entry n on; returns how many are in it. */
static uint32_t expect_known(const memif_buffer_t *bufs, uint32_t count, uint32_t n)
{
    for (; n < count && now.next != now.limit; n++) {
        if (slots_at(now.next) > now.limit - now.next)
            break;
        expect_packet(&bufs[n]);
        now.held[now.held_count++] = bufs[n];
    }
    return n;
}

/* While it polls, a program that asks for no more than is known does not learn of more. */
static uint32_t expect_packets(const memif_buffer_t *bufs, uint32_t count)
{
    if (now.polls && now.limit - now.next < count)
        now.limit = now.published;
    uint32_t n = expect_known(bufs, count, 0);
    if (now.polls || (n == count && now.next != now.limit))
        return n;
    now.limit = now.published;
    return expect_known(bufs, count, n);
}

static void receive(void)
{
    static memif_buffer_t bufs[RING + GUARD];
    static const memif_buffer_t untouched = {.desc_index = 77};
    uint16_t count = (uint16_t)(below(4) == 0 ? 1 : below(RING + 1)), n = UINT16_MAX;

    for (uint32_t i = 0; i < RING + GUARD; i++)
        bufs[i] = untouched;
    int err = mif_call(now.bed.handle, 0, MIF_RX, MIF_CALL_RX, 0, bufs, count, &n);
    uint32_t expected = expect_packets(bufs, count);
    ck_assert_uint_eq(n, expected);
    bool full = n == count && now.next != now.limit;
    ck_assert_int_eq(err, MIF_FACE_ERROR(full ? MIF_ERR_NOBUF : MIF_ERR_SUCCESS));
    for (uint32_t i = count; i < RING + GUARD; i++)
        if (bufs[i].desc_index != untouched.desc_index || bufs[i].data != NULL)
            ck_abort_msg("entry %u of %u was written", i, count);
}

/* ---- giving back ---- */

static void slot_is_given_back(uint64_t counter)
{
    struct testbed_desc *desc = &now.ring[slot_of(counter)];

    if (now.bed.shape.kind == MIF_KIND_512_SLAVE)
        *desc = testbed_honest(&now.bed, MIF_RX, slot_of(counter), SIZE);
    if (now.bed.shape.kind == MIF_KIND_512_MASTER)
        desc->flags &= STRANGE_FLAG;
}

static void packets_are_given_back(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t left = slots_at(now.done); left > 0; left--)
            slot_is_given_back(now.done++);
    now.held_count -= count;
    memmove(now.held, now.held + count, now.held_count * sizeof(*now.held));
}

/* Some bursts have entries that the program does not hold, or one that is not next. */
static void give_back(void)
{
    memif_buffer_t bufs[RING + GUARD];
    uint16_t count = (uint16_t)below(now.held_count + 1), n = UINT16_MAX;
    uint32_t good = count, wrong = below(8);

    if (wrong == 0)
        count = (uint16_t)(count + 1 + below(GUARD));
    for (uint32_t i = 0; i < count; i++)
        bufs[i] =
            i < now.held_count
                ? now.held[i]
                : (memif_buffer_t){.desc_index = (uint16_t)slot_of(now.next + i - now.held_count),
                                   .data = &now};
    if (wrong == 0)
        good = count < now.held_count ? count : now.held_count;
    if (wrong == 1 && count > 0) {
        good = below(count);
        bufs[good].desc_index = (uint16_t)((bufs[good].desc_index + 1 + below(RING - 1)) % RING);
    }
    if (wrong == 2 && count > 4) { /* the same four again */
        good = 4;
        for (uint32_t i = 4; i < count; i++)
            bufs[i].desc_index = bufs[i - 4].desc_index;
    }
    for (uint32_t i = 1; wrong == 3 && i < count; i++) /* as if the ring went on behind its end */
        if (bufs[i].desc_index < bufs[0].desc_index) {
            bufs[i].desc_index = (uint16_t)(bufs[i].desc_index + RING);
            good = i < good ? i : good;
        }
    int err = mif_call(now.bed.handle, 0, MIF_RX, MIF_CALL_GIVE_BACK, 0, bufs, count, &n);
    ck_assert_uint_eq(n, good);
    ck_assert_int_eq(err, MIF_FACE_ERROR(good == count ? MIF_ERR_SUCCESS : MIF_ERR_INVAL_ARG));
    for (uint32_t i = 0; i < count; i++)
        if ((bufs[i].data == NULL) != (i < good))
            ck_abort_msg("entry %u has data %p, %u were given back", i, bufs[i].data, good);
    packets_are_given_back(good);
    if (now.answers) /* whoever looks for a question sees the index */
        now.limit = now.published;
    now.answers = false;
}

/* ---- the test ---- */

static bool open_model(int way, int mode)
{
    struct testbed_shape shape;

    if (!shape_of(way, &shape))
        return false;
    shape.log2_ring_size = LOG2_RING;
    shape.buffer_size = SIZE;
    shape.interrupt = (mode & INTERRUPT) != 0;
    shape.max_packet = MOST;
    memset(&now, 0, sizeof(now));
    now.random = RANDOM_SEED + (uint64_t)way;
    testbed_open(&now.bed, &shape);
    now.polls = !shape.interrupt;
    if ((mode & TABLE) != 0)
        now.bed.queue[MIF_RX]->buffers =
            (struct mif_buffer_array){0}; /* as if one had been moved */
    for (uint32_t slot = 0; slot < RING; slot++) {
        struct mif_desc desc = mif_desc_read(now.bed.ring[MIF_RX] + 1, slot, shape.kind);
        now.ring[slot] = testbed_honest(&now.bed, MIF_RX, slot, desc.length);
    }
    return true;
}

MEMIF_TEST_LOOP(packets_of_any_number_of_slots_are_received_and_given_back, 0, WAYS *MODES)
{
    if (!open_model(_i % WAYS, _i / WAYS))
        return;
    for (uint32_t i = 0; i < STEPS; i++) {
        now.plain = i / 64 % 2 == 0;
        switch (below(16) == 0 ? 3 + below(2) : below(3)) {
        case 0:
            peer_sends();
            break;
        case 1:
            receive();
            break;
        case 2:
            give_back();
            break;
        case 3:
            now.answers = below(2) == 0;
            mif_face_answer(now.bed.queue[MIF_RX], now.answers);
            break;
        default:
            now.polls = below(2) == 0;
            mif_packet_bind_rx(now.bed.queue[MIF_RX], now.polls);
            break;
        }
        expect_all();
    }
    testbed_close(&now.bed);
}

MEMIF_TEST_MAIN("received packets")
