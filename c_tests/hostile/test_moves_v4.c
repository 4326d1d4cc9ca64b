/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A slave of version 512 moves buffers between its rings without a copy: each buffer is in one slot
 * after every call, and descriptors follow it. What the program does not hold is not moved.
 * Between connections: test_exchange_v4.c.
 */

#include "random.h"
#include "scene.h"

enum { LOG2_RING = 4, RING = 1 << LOG2_RING, ROUNDS = 1000, VECTORS = 2 };

static struct testbed bed;
static uint64_t chance;

/* By direction and slot. */
static struct {
    uint8_t *buffer[2][RING];
    memif_buffer_t entry[2][RING];
    bool held[2][RING]; /* the entry has the slot's buffer */
    uint64_t next[2], done[2];
} model;

static uint16_t slot_of(uint64_t counter)
{
    return (uint16_t)(counter % RING);
}

static bool open_bed(enum mif_kind kind, bool vectors)
{
    struct testbed_shape shape;

    if (!shape_of((int)kind + (vectors ? KINDS : 0), &shape))
        return false;
    shape.log2_ring_size = LOG2_RING;
    testbed_open(&bed, &shape);
    memset(&model, 0, sizeof(model));
    for (int d = MIF_RX; d <= MIF_TX; d++)
        for (uint32_t slot = 0; slot < RING; slot++)
            model.buffer[d][slot] = bed.regions[TESTBED_BUFFERS].base +
                                    testbed_buffer_offset(&bed, (enum mif_direction)d, slot);
    bed.moved = true;
    return true;
}

static void expect_state(void)
{
    for (int d = MIF_RX; d <= MIF_TX; d++) {
        const struct mif_queue *q = bed.queue[d];
        for (uint32_t slot = 0; slot < RING; slot++)
            ck_assert_ptr_eq(q->slots[slot].data, model.buffer[d][slot]);
        ck_assert_uint_eq(q->next, model.next[d]);
        ck_assert_uint_eq(q->done, model.done[d]);
        ck_assert_uint_eq(atomic_load(&q->busy), 0);
    }
}

static void expect_offset(enum mif_direction direction, uint16_t slot, const uint8_t *data)
{
    struct mif_desc desc = mif_desc_read(bed.ring[direction] + 1, slot, MIF_KIND_512_SLAVE);

    ck_assert_ptr_eq(bed.regions[TESTBED_BUFFERS].base + desc.offset, data);
}

static void hold(enum mif_direction direction, const memif_buffer_t *entry)
{
    model.entry[direction][entry->desc_index] = *entry;
    model.held[direction][entry->desc_index] = true;
    model.next[direction]++;
}

static void change_buffers(enum mif_direction da, uint16_t a, enum mif_direction db, uint16_t b)
{
    uint8_t *was = model.buffer[da][a];

    model.buffer[da][a] = model.buffer[db][b];
    model.buffer[db][b] = was;
}

/* ---- what a program does ---- */

static void receive(uint32_t count)
{
    uint16_t n;

    testbed_peer_turn(&bed, 60);
    bed.held_count[MIF_RX] = 0;
    (void)testbed_receive(&bed, count, &n);
    for (uint16_t i = 0; i < n; i++) {
        const memif_buffer_t *entry = &bed.held[MIF_RX][i];
        uint16_t slot = slot_of(model.next[MIF_RX]);
        ck_assert_uint_eq(entry->desc_index, slot);
        ck_assert_ptr_eq(entry->data, model.buffer[MIF_RX][slot] +
                                          mif_slot_headroom(&bed.queue[MIF_RX]->slots[slot]));
        hold(MIF_RX, entry);
    }
    expect_state();
}

static void reserve(uint32_t count)
{
    uint16_t n;

    bed.held_count[MIF_TX] = 0;
    (void)testbed_reserve(&bed, count, 0, &n);
    for (uint16_t i = 0; i < n; i++) {
        const memif_buffer_t *entry = &bed.held[MIF_TX][i];
        ck_assert_ptr_eq(entry->data, model.buffer[MIF_TX][slot_of(model.next[MIF_TX])]);
        hold(MIF_TX, entry);
    }
    expect_state();
}

static void give_back(uint16_t count, uint32_t headroom)
{
    uint16_t none;

    ck_assert_int_eq(
        mif_call(bed.handle, 0, MIF_RX, MIF_CALL_GIVE_BACK, headroom, NULL, count, &none),
        MEMIF_ERR_SUCCESS);
    for (; count > 0 && model.done[MIF_RX] < model.next[MIF_RX]; count--) {
        uint16_t slot = slot_of(model.done[MIF_RX]++);
        model.held[MIF_RX][slot] = false;
        expect_offset(MIF_RX, slot, model.buffer[MIF_RX][slot] + headroom);
    }
    expect_state();
}

static void send_oldest(uint32_t count)
{
    memif_buffer_t bufs[RING];
    uint16_t n, all = 0;

    for (; all < count && model.done[MIF_TX] + all < model.next[MIF_TX]; all++)
        bufs[all] = model.entry[MIF_TX][slot_of(model.done[MIF_TX] + all)];
    ck_assert_int_eq(mif_call(bed.handle, 0, MIF_TX, MIF_CALL_TX, 0, bufs, all, &n),
                     MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(n, all);
    for (uint16_t i = 0; i < n; i++) {
        uint16_t slot = slot_of(model.done[MIF_TX]++);
        model.held[MIF_TX][slot] = false;
        expect_offset(MIF_TX, slot, bufs[i].data);
    }
    expect_state();
}

/* ---- moving ---- */

static bool pick(enum mif_direction *direction, uint16_t *slot)
{
    *direction = random_below(&chance, 2) == 0 ? MIF_RX : MIF_TX;
    *slot = (uint16_t)random_below(&chance, RING);
    return model.held[*direction][*slot];
}

/* Some of the received entries, in any order; they stay as they are but for their place. */
static void enqueue(void)
{
    memif_buffer_t bufs[RING];
    uint16_t count = 0, n, start = (uint16_t)random_below(&chance, RING);

    for (uint16_t i = 0; i < RING; i++) {
        uint16_t slot = slot_of(start + i * 5u);
        if (model.held[MIF_RX][slot])
            bufs[count++] = model.entry[MIF_RX][slot];
    }
    uint16_t wanted = (uint16_t)random_below(&chance, count + 1u);
    uint64_t room = atomic_load(testbed_peer_index(&bed, MIF_TX)) + (uint64_t)RING;
    room = (uint16_t)(room - model.next[MIF_TX]);
    uint16_t fit = wanted < room ? wanted : (uint16_t)room;
    ck_assert_int_eq(mif_entry_enqueue(bed.handle, 0, bufs, wanted, &n),
                     fit == wanted ? MEMIF_ERR_SUCCESS : MEMIF_ERR_NOBUF_RING);
    ck_assert_uint_eq(n, fit);
    for (uint16_t i = 0, seen = 0; seen < n; i++) {
        uint16_t from = slot_of(start + i * 5u), to = slot_of(model.next[MIF_TX]);
        if (!model.held[MIF_RX][from])
            continue;
        memif_buffer_t *was = &model.entry[MIF_RX][from], *now = &bufs[seen++];
        ck_assert_uint_eq(now->desc_index, to);
        ck_assert_ptr_eq(now->queue, bed.queue[MIF_TX]);
        ck_assert_ptr_eq(now->data, was->data);
        ck_assert_uint_eq(now->len, was->len);
        model.held[MIF_RX][from] = false;
        change_buffers(MIF_RX, from, MIF_TX, to);
        hold(MIF_TX, now);
    }
    expect_state();
}

static void requeue(void)
{
    enum mif_direction da, db;
    uint16_t a, b;

    if (!pick(&da, &a) || !pick(&db, &b))
        return;
    memif_buffer_t first = model.entry[da][a], second = model.entry[db][b];
    bool same = da == db && a == b;
    ck_assert_int_eq(mif_entry_requeue(bed.handle, &first, same ? &first : &second),
                     MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(first.desc_index, b);
    ck_assert_ptr_eq(first.queue, bed.queue[db]);
    ck_assert_ptr_eq(first.data, model.entry[da][a].data);
    if (!same) {
        ck_assert_uint_eq(second.desc_index, a);
        ck_assert_ptr_eq(second.queue, bed.queue[da]);
        ck_assert_ptr_eq(second.data, model.entry[db][b].data);
        model.entry[da][a] = second;
    }
    model.entry[db][b] = first;
    change_buffers(da, a, db, b);
    expect_state();
}

MEMIF_TEST_LOOP(each_buffer_is_in_one_slot, 0, VECTORS * 8)
{
    static const uint32_t headrooms[] = {0, 0, 0, 8, BUFFER / 2};

    if (!open_bed(MIF_KIND_512_SLAVE, _i % VECTORS != 0))
        return;
    chance = RANDOM_SEED + (uint64_t)_i;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t count = random_below(&chance, RING + 1);
        switch (random_below(&chance, 7)) {
        case 0:
            receive(count + 1);
            break;
        case 1:
            reserve(count / 4);
            break;
        case 2:
            give_back((uint16_t)count, headrooms[random_below(&chance, 5)]);
            break;
        case 3:
            send_oldest(count);
            break;
        case 4:
            enqueue();
            break;
        default:
            requeue();
        }
    }
    ck_assert_uint_gt(model.done[MIF_TX], 2 * RING);
    ck_assert_ptr_null(testbed_fault(&bed));
    testbed_close(&bed);
}

/* ---- what is not moved ---- */

enum { MISTAKES = 9 };

/* Entry 1 of three that were received; slot 0 was given back, slot 3 is empty. */
static memif_buffer_t mistaken(int which)
{
    memif_buffer_t entry = model.entry[MIF_RX][1];
    const memif_buffer_t mistakes[MISTAKES] = {
        model.entry[MIF_RX][0],
        {.desc_index = 3, .queue = entry.queue, .data = model.buffer[MIF_RX][3], .len = 1},
        {.desc_index = RING - 1, .queue = entry.queue, .data = model.buffer[MIF_RX][RING - 1]},
        {.desc_index = RING + 1, .queue = entry.queue, .data = entry.data, .len = 1},
        {.desc_index = 2, .queue = entry.queue, .data = entry.data, .len = 1},
        {.desc_index = 1, .queue = entry.queue, .data = (char *)entry.data - 1, .len = 1},
        {.desc_index = 1, .queue = entry.queue, .data = entry.data, .len = BUFFER + 1},
        {.desc_index = 1, .queue = NULL, .data = entry.data, .len = 1},
        {.desc_index = 1, .queue = &bed, .data = entry.data, .len = 1},
    };

    return mistakes[which];
}

static void expect_untouched(int err, int expected, const memif_buffer_t *now,
                             const memif_buffer_t *was)
{
    ck_assert_int_eq(err, expected);
    ck_assert_mem_eq(now, was, sizeof(*now));
    expect_state();
}

MEMIF_TEST_LOOP(what_is_not_held_is_not_moved, 0, MISTAKES)
{
    uint16_t n = 1;

    (void)open_bed(MIF_KIND_512_SLAVE, false);
    receive(3);
    give_back(1, 0);
    memif_buffer_t bad = mistaken(_i), good = model.entry[MIF_RX][2];
    const memif_buffer_t was_bad = bad, was_good = good;
    expect_untouched(mif_entry_enqueue(bed.handle, 0, &bad, 1, &n), MEMIF_ERR_INVAL_ARG, &bad,
                     &was_bad);
    ck_assert_uint_eq(n, 0);
    expect_untouched(mif_entry_requeue(bed.handle, &bad, &good), MEMIF_ERR_INVAL_ARG, &bad,
                     &was_bad);
    expect_untouched(mif_entry_requeue(bed.handle, &good, &bad), MEMIF_ERR_INVAL_ARG, &good,
                     &was_good);
    expect_untouched(mif_entry_requeue(bed.handle, &bad, &bad), MEMIF_ERR_INVAL_ARG, &bad,
                     &was_bad);
    testbed_close(&bed);
}

MEMIF_TEST_LOOP(who_is_no_slave_of_version_512_moves_nothing, 0, KINDS)
{
    uint16_t n = 1;

    if (_i == MIF_KIND_512_SLAVE || !open_bed((enum mif_kind)_i, false))
        return;
    testbed_peer_turn(&bed, 60);
    ck_assert_int_eq(testbed_receive(&bed, 2, &n), MEMIF_ERR_NOBUF);
    memif_buffer_t *bufs = bed.held[MIF_RX];
    ck_assert_int_eq(mif_entry_enqueue(bed.handle, 0, bufs, 1, &n), MEMIF_ERR_INVAL_ARG);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(mif_entry_enqueue(bed.handle, 0, bufs, 0, &n), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(mif_entry_requeue(bed.handle, &bufs[0], &bufs[1]), MEMIF_ERR_INVAL_ARG);
    ck_assert_uint_eq(atomic_load(&bed.queue[MIF_RX]->busy), 0);
    ck_assert_uint_eq(atomic_load(&bed.queue[MIF_TX]->busy), 0);
    testbed_close(&bed);
}

/* An entry of the send queue waits to be sent: it is none that was received. */
MEMIF_TEST(what_waits_to_be_sent_is_not_enqueued)
{
    uint16_t n = 1;

    (void)open_bed(MIF_KIND_512_SLAVE, false);
    reserve(2);
    memif_buffer_t entry = model.entry[MIF_TX][1];
    const memif_buffer_t was = entry;
    expect_untouched(mif_entry_enqueue(bed.handle, 0, &entry, 1, &n), MEMIF_ERR_INVAL_ARG, &entry,
                     &was);
    ck_assert_uint_eq(n, 0);
    testbed_close(&bed);
}

static void be_refused(void)
{
    memif_buffer_t bad = {.desc_index = UINT16_MAX};
    uint16_t n;

    ck_assert_int_eq(mif_call(bed.handle, 0, MIF_TX, MIF_CALL_TX, 0, &bad, 1, &n),
                     MEMIF_ERR_INVAL_ARG);
}

/* What was refused is given up, but only where there is no room otherwise. */
MEMIF_TEST_LOOP(a_ring_full_of_refused_entries_has_room_for_others, 0, 2)
{
    uint16_t n, reserved = _i == 0 ? RING : RING - 2;

    (void)open_bed(MIF_KIND_512_SLAVE, false);
    receive(1);
    reserve(reserved);
    memif_buffer_t entry = model.entry[MIF_RX][0];
    be_refused();
    ck_assert_int_eq(mif_entry_enqueue(bed.handle, 0, &entry, 1, &n), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(entry.desc_index, reserved % RING);
    ck_assert_uint_eq(bed.queue[MIF_TX]->next, reserved == RING ? 1 : reserved + 1u);
    testbed_close(&bed);
}

MEMIF_TEST(a_call_for_no_queue_says_why)
{
    uint16_t n = 1;

    (void)open_bed(MIF_KIND_512_SLAVE, false);
    receive(2);
    memif_buffer_t a = model.entry[MIF_RX][0], b = model.entry[MIF_RX][1];
    ck_assert_int_eq(mif_entry_enqueue(NULL, 0, &a, 1, &n), MEMIF_ERR_NOCONN);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(mif_entry_enqueue(bed.handle, 1, &a, 1, &n), MEMIF_ERR_QID);
    ck_assert_int_eq(mif_entry_set_next_free(NULL, 0, &a), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(mif_entry_set_next_free(bed.handle, 1, &a), MEMIF_ERR_QID);
    ck_assert_int_eq(mif_entry_requeue(NULL, &a, &b), MEMIF_ERR_NOCONN);
    mif_connection_down(bed.handle);
    n = 1;
    ck_assert_int_eq(mif_entry_enqueue(bed.handle, 0, &a, 1, &n), MEMIF_ERR_DISCONNECTED);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(mif_entry_set_next_free(bed.handle, 0, &a), MEMIF_ERR_DISCONNECTED);
    ck_assert_int_eq(mif_entry_requeue(bed.handle, &a, &b), MEMIF_ERR_DISCONNECTED);
    testbed_close(&bed);
}

MEMIF_TEST_MAIN("moves")
