/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The packets of a program that joins, splits, shortens and moves what it has reserved, and errs:
 * after each call entries, descriptors and counters are exactly those of the model.
 */

#include "reserved.h"

enum { ROUNDS = 600, TABLE = 2, OTHER_FLAG = 2 };

/* ---- what a program may do with entries ---- */

static void move_data(memif_buffer_t *entry, uint32_t capacity)
{
    uint32_t by = random_below(&chance, one_in(2) ? TESTBED_TAILROOM + 1 : capacity + 1);
    bool whole = by <= TESTBED_TAILROOM && one_in(2);

    entry->data = (uint8_t *)entry->data + by;
    entry->len = whole ? capacity : capacity - by;
}

static void change(const struct testbed *bed, uint32_t i)
{
    struct reserved *held = &model.held[i];
    memif_buffer_t *entry = &held->entry;

    if (!held->bounced && entry->data == place_of(bed, held->at)) {
        if (bed->shape.kind == MIF_KIND_512_SLAVE && one_in(4))
            move_data(entry, capacity_of(held->at));
        else if (one_in(4))
            entry->len = capacity_of(held->at);
    }
    if (one_in(3))
        entry->len = random_below(&chance, entry->len + 1);
    if (!held->bounced && one_in(3))
        entry->flags = i + 1 < model.count && !model.held[i + 1].bounced && one_in(2)
                           ? MEMIF_BUFFER_FLAG_NEXT
                           : 0;
    if (!held->bounced || !entry->flags || !one_in(3))
        return;
    uint32_t rest = 0; /* a packet that ends before its last entry leaves them */
    while (model.held[i + ++rest].entry.flags)
        ;
    forget(i + 1, rest);
    entry->flags = 0;
}

/* ---- sending ---- */

static uint32_t entries_of(const memif_buffer_t *bufs, uint32_t count)
{
    for (uint32_t n = 1; n <= count; n++)
        if (!bufs[n - 1].flags)
            return n;
    return 0; /* its end is missing */
}

static void lay_out_as_it_is(const struct testbed *bed, const memif_buffer_t *bufs, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++, slots_expected++) {
        uint8_t *base = bed->regions[TESTBED_BUFFERS].base, *data = bufs[i].data;
        expected[slots_expected].desc = (struct testbed_desc){
            .flags = bufs[i].flags, .length = bufs[i].len, .offset = (uint64_t)(data - base)};
        memcpy(expected[slots_expected].bytes, data, bufs[i].len);
    }
}

/* From `done` on, each slot as full as it goes. */
static void lay_out_anew(uint64_t done, const memif_buffer_t *bufs, uint32_t n)
{
    uint32_t slot = slots_expected, used = 0;

    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < bufs[i].len; k++) {
            if (used == capacity_of(done + slot - slots_expected)) {
                expected[slot++].desc.length = used;
                used = 0;
            }
            expected[slot].bytes[used++] = ((uint8_t *)bufs[i].data)[k];
        }
    expected[slot++].desc.length = used;
    for (uint32_t i = slots_expected; i < slot; i++) {
        expected[i].desc.flags = i + 1 < slot ? MIF_DESC_NEXT : 0;
        expected[i].desc.offset = model.buffer[slot_of(done + i - slots_expected)].offset;
    }
    slots_expected = slot;
}

/* Sends what is whole of the oldest entries; how many they are. */
static uint32_t note_sent(const struct testbed *bed, const memif_buffer_t *bufs, uint32_t count)
{
    uint64_t done = model.done;
    uint32_t sent = 0;

    slots_expected = 0;
    for (uint32_t n; sent < count && (n = entries_of(bufs + sent, count - sent)) > 0; sent += n) {
        const struct reserved *first = &model.held[sent];
        const uint32_t before = slots_expected;
        if (first->bounced || first->at != done)
            lay_out_anew(done, bufs + sent, n);
        else
            lay_out_as_it_is(bed, bufs + sent, n);
        done += slots_expected - before;
        model.extra += slots_expected - before - 1;
        if (sent + n == model.count)
            model.next = done;
    }
    for (uint32_t i = 0; i < slots_expected; i++)
        model.bytes += expected[i].desc.length;
    return sent;
}

/* `good` entries are of packets before that which is refused. */
static void send_these(struct testbed *bed, const memif_buffer_t *bufs, uint32_t count,
                       uint32_t good, int err)
{
    static memif_buffer_t copy[RING + 1];
    const uint32_t sent = note_sent(bed, bufs, good);
    uint16_t n;

    memcpy(copy, bufs, count * sizeof(*bufs));
    for (uint32_t i = 0; i < count && one_in(4); i++)
        copy[i].flags |= OTHER_FLAG;
    ck_assert_int_eq(mif_call(bed->handle, 0, MIF_TX, MIF_CALL_TX, 0, copy, (uint16_t)count, &n),
                     err);
    ck_assert_uint_eq(n, sent);
    expect_slots(bed);
    model.done += slots_expected;
    forget(0, sent);
    if (sent < count)
        model.stopped = model.done;
    expect_counters(bed);
}

/* The oldest entries, as the program has changed them. */
static uint32_t choose(const struct testbed *bed, memif_buffer_t *bufs)
{
    for (uint32_t i = 0; i < model.count; i++)
        if (one_in(2))
            change(bed, i);
    for (uint32_t i = 0; i + 1 < model.count; i++)
        if (!model.held[i].bounced && model.held[i + 1].bounced)
            model.held[i].entry.flags = 0;
    uint32_t count = one_in(2) ? model.count : random_below(&chance, model.count + 1);
    for (uint32_t i = 0; i < count; i++)
        bufs[i] = model.held[i].entry;
    return count;
}

static void send_some(struct testbed *bed)
{
    memif_buffer_t bufs[RING];
    uint32_t count = choose(bed, bufs);

    send_these(bed, bufs, count, count, MEMIF_ERR_SUCCESS);
}

/* ---- mistakes ---- */

static uint32_t begin_of_packet(const memif_buffer_t *bufs, uint32_t i)
{
    while (i > 0 && bufs[i - 1].flags)
        i--;
    return i;
}

/* The most bytes that an entry may have where its data is. */
static uint32_t most_of(const struct testbed *bed, const struct reserved *held)
{
    if (held->bounced)
        return held->most;
    uint32_t capacity = capacity_of(held->at);
    uint32_t moved = (uint32_t)((uint8_t *)held->entry.data - place_of(bed, held->at));
    return moved <= TESTBED_TAILROOM ? capacity : capacity - moved;
}

/* An entry that the program was not given: the slot's own buffer, or what would come next in our
 * own memory. */
static void make_up(const struct testbed *bed, memif_buffer_t *entry, uint64_t at, uint8_t *data)
{
    const struct mif_queue *q = bed->queue[MIF_TX];

    *entry = (memif_buffer_t){
        .desc_index = slot_of(at),
        .queue = bed->queue[MIF_TX],
        .data = data != NULL ? data : q->slots[slot_of(at)].data,
    };
}

static void misplace(const struct testbed *bed, const struct reserved *held, memif_buffer_t *entry)
{
    if (held == model.held && (held->bounced || held->at != model.done) && one_in(2)) {
        make_up(bed, entry, held->bounced ? held->at : model.done, NULL); /* or of a gap */
        entry->len = 1;
        return;
    }
    if (one_in(2)) {
        entry->data = held->bounced ? (uint8_t *)entry->data - 1 : place_of(bed, held->at) - 1;
        return;
    }
    if (held->bounced || bed->shape.kind != MIF_KIND_512_SLAVE) {
        entry->data = (uint8_t *)entry->data + 1;
        entry->len = 0;
        return;
    }
    bool beyond = one_in(2);
    entry->data = place_of(bed, held->at) + (beyond ? BUFFER : TESTBED_TAILROOM) + 1;
    entry->len = beyond ? 1 : BUFFER - TESTBED_TAILROOM;
}

/* Has a packet go on where it must end: behind one in our own memory, in front of one, or behind
 * all that is reserved. */
static bool join(const struct testbed *bed, memif_buffer_t *bufs, uint32_t *count, uint32_t i)
{
    const struct reserved *held = &model.held[i];

    if (bufs[i].flags)
        return false;
    if (held->bounced && held->ends && one_in(2)) {
        make_up(bed, &bufs[i + 1], held->at + 1, (uint8_t *)bufs[i].data + BUFFER);
        *count = i + 2;
    } else if (i + 1 < *count && (held->bounced || held[1].bounced)) {
        if (!held->bounced && one_in(2))
            make_up(bed, &bufs[i + 1], held[1].at, NULL);
    } else if (i + 1 == model.count) {
        make_up(bed, &bufs[i + 1], model.next, NULL);
        *count = i + 2;
    } else {
        return false;
    }
    bufs[i].flags = MEMIF_BUFFER_FLAG_NEXT;
    return true;
}

/* False: it is none after all. */
static bool mistake(const struct testbed *bed, memif_buffer_t *bufs, uint32_t *count, uint32_t i)
{
    switch (random_below(&chance, 6)) {
    case 0: /* after a burst that stopped others may be left out */
        bufs[i].desc_index = slot_of(bufs[i].desc_index + 1u);
        return begin_of_packet(bufs, i) > 0 || model.stopped != model.done;
    case 1:
        bufs[i].desc_index = (uint16_t)(bufs[i].desc_index + RING);
        return true;
    case 2:
        bufs[i].queue = bed->queue[MIF_RX];
        return true;
    case 3:
        bufs[i].len = most_of(bed, &model.held[i]) + 1;
        return true;
    case 4:
        misplace(bed, &model.held[i], &bufs[i]);
        return true;
    default:
        return join(bed, bufs, count, i);
    }
}

/* And then the same without the mistake. */
static void err_and_mend(struct testbed *bed)
{
    memif_buffer_t good[RING], bad[RING + 1];
    const uint32_t count = choose(bed, good);
    uint32_t spoiled = count;

    if (count == 0)
        return;
    memcpy(bad, good, sizeof(good));
    uint32_t at = random_below(&chance, count), begin = begin_of_packet(good, at);
    if (!mistake(bed, bad, &spoiled, at))
        return;
    model.refused++;
    send_these(bed, bad, spoiled, begin, MEMIF_ERR_INVAL_ARG);
    send_these(bed, good + begin, count - begin, count - begin, MEMIF_ERR_SUCCESS);
}

/* ---- the test ---- */

static void open_bed(struct testbed *bed, const struct testbed_shape *shape, bool table)
{
    testbed_open(bed, shape);
    if (table)
        bed->queue[MIF_TX]->buffers = (struct mif_buffer_array){0}; /* as if one had been moved */
    memset(&model, 0, sizeof(model));
    model.stopped = UINT64_MAX;
    for (uint64_t slot = 0; slot < RING; slot++)
        offer(bed, slot);
}

MEMIF_TEST_LOOP(what_is_sent_is_what_the_program_made_of_it, 0, WAYS * TABLE * 4)
{
    struct testbed_shape shape;
    struct testbed bed;

    if (!shape_of(_i % WAYS, &shape))
        return;
    shape.log2_ring_size = LOG2_RING;
    chance = RANDOM_SEED + (uint64_t)_i;
    open_bed(&bed, &shape, _i / WAYS % TABLE != 0);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        static void (*const turns[])(struct testbed *) = {reserve,   reserve,      send_some,
                                                          send_some, err_and_mend, take_back};
        turns[random_below(&chance, sizeof(turns) / sizeof(turns[0]))](&bed);
        if (one_in(2))
            peer_takes(&bed);
    }
    ck_assert_uint_gt(model.done, 5 * RING);
    ck_assert_uint_gt(model.refused, 10);
    ck_assert_ptr_null(testbed_fault(&bed));
    testbed_close(&bed);
}

/* ---- the same burst again ---- */

static void alter(memif_buffer_t *entry, int field, uintptr_t how)
{
    switch (field) {
    case 0:
        entry->data = (uint8_t *)entry->data - how;
        break;
    case 1:
        entry->queue = (void *)how;
        break;
    case 2:
        entry->desc_index = (uint16_t)(RING * how);
        break;
    case 3:
        entry->len = BUFFER + (uint32_t)how;
        break;
    default:
        entry->len = BUFFER + 1;
        entry->flags = (uint8_t)(how << 1); /* that have no meaning */
    }
}

static void send_spoiled(struct testbed *bed, int field, uintptr_t how, uint16_t skipped)
{
    memif_buffer_t entry = bed->held[MIF_TX][0];
    uint16_t n;

    alter(&entry, field, how);
    ck_assert_int_eq(mif_call(bed->handle, 0, MIF_TX, MIF_CALL_TX, 0, &entry, 1, &n),
                     skipped > 0 ? MEMIF_ERR_SUCCESS : MEMIF_ERR_INVAL_ARG);
    ck_assert_uint_eq(n, skipped);
}

/* A program that sends the rest in a loop must come to an end, and one that mends it must not. */
MEMIF_TEST_LOOP(a_burst_is_skipped_only_if_it_is_the_same_again, 0, WAYS)
{
    struct testbed_shape shape;
    struct testbed bed;
    uint16_t n;

    for (int field = 0; field < 5; field++) {
        if (!shape_of(_i, &shape))
            return;
        testbed_open(&bed, &shape);
        ck_assert_int_eq(testbed_reserve(&bed, 1, 0, &n), MEMIF_ERR_SUCCESS);
        send_spoiled(&bed, field, 1, 0);
        send_spoiled(&bed, field, 2, 0);
        send_spoiled(&bed, field, 1, 0);
        send_spoiled(&bed, field, 1, 1);
        ck_assert_uint_eq(bed.queue[MIF_TX]->refused, 4);
        ck_assert_uint_eq(bed.queue[MIF_TX]->done, 0);
        testbed_close(&bed);
    }
}

MEMIF_TEST_MAIN("reserved")
