/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A model of the rules for reserved packets of the entry face (libmemif.h and datapath/chain.h):
 * what the program holds, and what its peer, whose buffers have several sizes, has offered.
 */

#ifndef MEMIF_C_TESTS_RESERVED_H
#define MEMIF_C_TESTS_RESERVED_H

#include "random.h"
#include "scene.h"

enum { LOG2_RING = 4, RING = 1 << LOG2_RING };

struct reserved {
    memif_buffer_t entry;
    uint64_t at;    /* the counter of its slot */
    uint16_t slots; /* of a packet in our own memory: all of them at its first entry */
    uint32_t most;  /* bytes, of a piece of such a packet */
    bool bounced;
    bool ends; /* the packet, as it was reserved */
};

static struct {
    struct reserved held[RING];
    uint32_t count; /* of them */
    uint64_t next, done, taken, bytes, extra, full, refused;
    uint64_t stopped;                 /* done when a burst stopped early last, or -1 */
    struct testbed_desc buffer[RING]; /* by slot */
} model;

/* What the peer is to find in the slots from model.done on. */
static struct {
    struct testbed_desc desc;
    uint8_t bytes[BUFFER];
} expected[RING];
static uint32_t slots_expected;

static uint64_t chance;

static bool one_in(uint32_t end)
{
    return random_below(&chance, end) == 0;
}

static uint16_t slot_of(uint64_t counter)
{
    return (uint16_t)(counter % RING);
}

static uint64_t limit(const struct testbed *bed)
{
    return model.taken + mif_capacity(bed->queue[MIF_TX], bed->shape.kind);
}

static uint8_t *place_of(const struct testbed *bed, uint64_t counter)
{
    return bed->regions[TESTBED_BUFFERS].base + model.buffer[slot_of(counter)].offset;
}

static uint32_t capacity_of(uint64_t counter)
{
    return model.buffer[slot_of(counter)].length;
}

/* ---- the peer ---- */

static void offer(const struct testbed *bed, uint64_t counter)
{
    static const uint32_t sizes[] = {BUFFER, BUFFER, BUFFER / 2, BUFFER / 4};
    uint32_t size = testbed_is_slave(bed) ? BUFFER : sizes[random_below(&chance, 4)];
    uint16_t slot = slot_of(counter);

    model.buffer[slot] = testbed_honest(bed, MIF_TX, slot, size);
    if (!testbed_is_slave(bed))
        testbed_peer_write(bed, MIF_TX, slot, &model.buffer[slot]);
}

static void peer_takes(const struct testbed *bed)
{
    uint32_t count = random_below(&chance, (uint32_t)(model.done - model.taken) + 1);

    for (uint32_t i = 0; i < count; i++)
        offer(bed, model.taken++);
    testbed_peer_move(bed, MIF_TX, count);
}

static void expect_slots(const struct testbed *bed)
{
    const void *descs = bed->ring[MIF_TX] + 1;

    for (uint32_t i = 0; i < slots_expected; i++) {
        uint16_t slot = slot_of(model.done + i);
        struct mif_desc found = mif_desc_read(descs, slot, bed->shape.kind);
        ck_assert_uint_eq((uint16_t)found.head, expected[i].desc.flags);
        ck_assert_uint_eq((uint16_t)(found.head >> 16), TESTBED_BUFFERS);
        ck_assert_uint_eq(found.length, expected[i].desc.length);
        ck_assert_uint_eq(found.offset, expected[i].desc.offset);
        if (testbed_is_256(bed))
            ck_assert_uint_eq(mif_desc_capacity(&found), capacity_of(slot));
        ck_assert_mem_eq(bed->regions[TESTBED_BUFFERS].base + found.offset, expected[i].bytes,
                         found.length);
    }
}

static void expect_counters(const struct testbed *bed)
{
    const struct mif_queue *q = bed->queue[MIF_TX];
    uint16_t mask = testbed_is_256(bed) ? RING - 1 : UINT16_MAX;

    ck_assert_uint_eq(q->next, model.next);
    ck_assert_uint_eq(q->done, model.done);
    ck_assert_uint_eq(q->bytes, model.bytes);
    ck_assert_uint_eq(q->extra_slots, model.extra);
    ck_assert_uint_eq(q->full, model.full);
    ck_assert_uint_eq(q->refused, model.refused);
    ck_assert_uint_eq(atomic_load(testbed_our_index(bed, MIF_TX)), (uint16_t)model.done & mask);
    ck_assert_uint_eq(atomic_load(&q->busy), 0);
}

/* ---- reserving ---- */

/* How many slots a packet takes, or 0. */
static uint32_t measure(const struct testbed *bed, uint32_t size)
{
    uint64_t room = 0, at = model.next;

    do {
        if (at == limit(bed))
            return 0;
        room += capacity_of(at++);
    } while (room < size);
    return (uint32_t)(at - model.next);
}

static uint32_t note_packet(const struct testbed *bed, const memif_buffer_t *bufs, uint32_t size,
                            uint32_t slots)
{
    const uint32_t allowed = size > BUFFER ? (size + BUFFER - 1) / BUFFER : 1;
    const bool bounced = slots > allowed;
    const uint32_t entries = bounced ? allowed : slots;
    uint32_t left = size;

    for (uint32_t i = 0; i < entries; i++) {
        uint64_t at = model.next + i;
        bool last = i + 1 == entries;
        uint32_t most = bounced ? BUFFER : capacity_of(at), length = last && size > 0 ? left : most;
        uint8_t *data = bounced ? (uint8_t *)bufs->data + i * BUFFER : place_of(bed, at);
        ck_assert_uint_eq(bufs[i].desc_index, slot_of(at));
        ck_assert_ptr_eq(bufs[i].queue, bed->queue[MIF_TX]);
        ck_assert_uint_eq(bufs[i].len, length);
        ck_assert_uint_eq(bufs[i].flags, last ? 0 : MEMIF_BUFFER_FLAG_NEXT);
        ck_assert_ptr_eq(bufs[i].data, data);
        for (uint32_t k = 0; k < (bounced ? length : most); k++)
            data[k] = (uint8_t)random_next(&chance);
        model.held[model.count++] = (struct reserved){
            .entry = bufs[i],
            .at = at,
            .slots = (uint16_t)(bounced ? (i == 0 ? slots : 0) : 1),
            .most = length,
            .bounced = bounced,
            .ends = last,
        };
        left -= length;
    }
    model.next += slots;
    return entries;
}

static void reserve(struct testbed *bed)
{
    static const uint32_t sizes[] = {0,          1,          BUFFER / 2,     BUFFER - 1, BUFFER,
                                     BUFFER + 1, 2 * BUFFER, 2 * BUFFER + 9, 3 * BUFFER};
    const uint32_t size = sizes[random_below(&chance, sizeof(sizes) / sizeof(sizes[0]))];
    const uint32_t count = 1 + random_below(&chance, 6);
    uint32_t packets = 0, entries = 0;
    uint16_t n;

    bed->held_count[MIF_TX] = 0;
    int err = testbed_reserve(bed, count, size, &n);
    for (uint32_t slots; packets < count && (slots = measure(bed, size)) > 0; packets++)
        entries += note_packet(bed, bed->held[MIF_TX] + entries, size, slots);
    ck_assert_int_eq(err, packets == count ? MEMIF_ERR_SUCCESS : MEMIF_ERR_NOBUF_RING);
    ck_assert_uint_eq(n, entries);
    model.full += packets < count;
    expect_counters(bed);
}

static void forget(uint32_t from, uint32_t count)
{
    model.count -= count;
    memmove(&model.held[from], &model.held[from + count],
            (model.count - from) * sizeof(model.held[0]));
}

/* The slots of a gap are free again when nothing is reserved behind them. */
static void close_gap(void)
{
    if (model.count == 0)
        model.next = model.done;
}

static bool begins_packet(const struct reserved *held, uint16_t slot)
{
    return held->slots > 0 && slot_of(held->at) == slot;
}

static void take_back(struct testbed *bed)
{
    memif_buffer_t entry = {.desc_index = (uint16_t)random_below(&chance, 2 * RING),
                            .queue = one_in(8) ? bed->queue[MIF_RX] : bed->queue[MIF_TX]};
    uint32_t at = 0;

    while (at < model.count && !begins_packet(&model.held[at], entry.desc_index))
        at++;
    bool known = at < model.count && entry.queue == bed->queue[MIF_TX];
    ck_assert_int_eq(mif_entry_set_next_free(bed->handle, 0, &entry),
                     known ? MEMIF_ERR_SUCCESS : MEMIF_ERR_INVAL_ARG);
    if (known) {
        model.next = model.held[at].at;
        model.count = at;
        close_gap();
    }
    expect_counters(bed);
}

#endif
