/* SPDX-License-Identifier: Apache-2.0 */

/* What becomes of a burst, and of those after it, when one of its entries cannot be sent. */

#include "harness.h"
#include "pair_v1.h"
#include "random.h"

enum { LOG2_RING = 6, RING = 1 << LOG2_RING, BUFFER = 64, COUNT = 12, LONG = 3 * BUFFER - 10 };

static memif_buffer_t buffers[RING];
static memif_buffer_t others[RING];

static struct flow open_way(struct pair *pair, int way)
{
    struct shape shape = {
        .version = version_of(way), .log2_ring_size = LOG2_RING, .buffer_size = BUFFER};

    pair_open(pair, &shape);
    return flow_of(pair, &shape, way);
}

static void reserve(const struct flow *flow, memif_buffer_t *bufs, uint16_t count, uint32_t length,
                    uint32_t first_seed)
{
    uint16_t done;

    ck_assert_int_eq(memif_buffer_alloc(flow->from, 0, bufs, count, &done, (uint16_t)length),
                     MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, count);
    for (uint16_t i = 0; i < count; i++) {
        write_pattern(bufs[i].data, length, first_seed + i);
        bufs[i].data_len = length;
    }
}

static void expect_tx(const struct flow *flow, memif_buffer_t *bufs, uint16_t count, int err,
                      uint16_t packets)
{
    uint16_t done = UINT16_MAX;

    ck_assert_int_eq(memif_tx_burst(flow->from, 0, bufs, count, &done), err);
    ck_assert_uint_eq(done, packets);
}

/* The next of the packets that wait. */
static void expect_one(const struct flow *flow, uint32_t length, uint32_t seed)
{
    memif_buffer_t buf;
    uint16_t done;

    (void)memif_rx_burst(flow->to, 0, &buf, 1, &done);
    ck_assert_uint_eq(done, 1);
    ck_assert_uint_eq(buf.data_len, length);
    ck_assert(holds_pattern(buf.data, length, seed));
    ck_assert_int_eq(memif_buffer_free(flow->to, 0, &buf, 1, &done), MEMIF_ERR_SUCCESS);
}

/* ---- entries that cannot be sent ---- */

static void never_reserved(memif_buffer_t *entry)
{
    entry->desc_index = (uint16_t)((entry->desc_index + RING / 2) % RING);
}

static void of_no_slot(memif_buffer_t *entry)
{
    entry->desc_index = UINT16_MAX;
}

static void sent_already(memif_buffer_t *entry)
{
    entry->desc_index = 6;
}

static void (*const spoil[])(memif_buffer_t *entry) = {never_reserved, of_no_slot, sent_already};
static const uint16_t places[] = {0, COUNT / 2, COUNT - 1};
enum { FAULTS = sizeof(spoil) / sizeof(*spoil), PLACES = 3, CASES = WAYS * FAULTS * PLACES };

/* A burst of COUNT packets, with contents 0, 1, ..., of which the one at `bad` cannot be sent. Of
 * one slot each, or of several. */
struct scene {
    struct pair pair;
    struct flow flow;
    uint16_t bad;
    uint32_t length;
    memif_buffer_t good; /* as it should be */
};

static void open_scene(struct scene *scene, int i)
{
    scene->flow = open_way(&scene->pair, i);
    scene->bad = places[i / WAYS % PLACES];
    scene->length = i < CASES ? BUFFER : LONG;
    send_packets(scene->flow.from, 0, 7, BUFFER, 0);
    expect_packets(scene->flow.to, 0, 7, BUFFER, 0);
    reserve(&scene->flow, buffers, COUNT, scene->length, 0);
    scene->good = buffers[scene->bad];
    spoil[i / WAYS / PLACES % FAULTS](&buffers[scene->bad]);
}

static void expect_refusal(const struct scene *scene)
{
    expect_tx(&scene->flow, buffers, COUNT, MEMIF_ERR_INVAL_ARG, scene->bad);
    expect_packets(scene->flow.to, 0, scene->bad, scene->length, 0);
    expect_packets(scene->flow.to, 0, 0, 0, 0);
}

static void expect_those_behind_it(const struct scene *scene)
{
    expect_packets(scene->flow.to, 0, (uint16_t)(COUNT - 1 - scene->bad), scene->length,
                   scene->bad + 1u);
    expect_packets(scene->flow.to, 0, 0, 0, 0);
}

/* All of the ring can be used, again and again. */
static void close_scene(struct scene *scene)
{
    uint16_t all = (uint16_t)scene->flow.capacity;

    for (uint32_t round = 0; round < 3; round++) {
        send_packets(scene->flow.from, 0, all, BUFFER, round);
        expect_packets(scene->flow.to, 0, all, BUFFER, round);
    }
    ck_assert(end_is_up(&scene->pair.master) && end_is_up(&scene->pair.slave));
    pair_close(&scene->pair);
}

/* Each once, but for the one that could not be sent. */
static void expect_all_but_one(const struct scene *scene)
{
    for (uint32_t i = 0; i < COUNT; i++)
        if (i != scene->bad)
            expect_one(&scene->flow, scene->length, i);
    expect_packets(scene->flow.to, 0, 0, 0, 0);
}

/* ---- what a program may do next ---- */

MEMIF_TEST_LOOP(the_next_burst_is_sent, 0, 2 * CASES)
{
    struct scene scene = {0};

    open_scene(&scene, _i);
    expect_refusal(&scene);
    send_packets(scene.flow.from, 0, 8, scene.length, 100);
    expect_packets(scene.flow.to, 0, 8, scene.length, 100);
    expect_packets(scene.flow.to, 0, 0, 0, 0);
    close_scene(&scene);
}

MEMIF_TEST_LOOP(what_was_refused_may_be_mended, 0, 2 * CASES)
{
    struct scene scene = {0};
    uint16_t left;

    open_scene(&scene, _i);
    left = (uint16_t)(COUNT - scene.bad);
    expect_refusal(&scene);
    buffers[scene.bad] = scene.good;
    expect_tx(&scene.flow, buffers + scene.bad, left, MEMIF_ERR_SUCCESS, left);
    expect_packets(scene.flow.to, 0, left, scene.length, scene.bad);
    close_scene(&scene);
}

MEMIF_TEST_LOOP(what_was_refused_may_be_left_out, 0, 2 * CASES)
{
    struct scene scene = {0};
    uint16_t left;

    open_scene(&scene, _i);
    left = (uint16_t)(COUNT - 1 - scene.bad);
    expect_refusal(&scene);
    expect_tx(&scene.flow, buffers + scene.bad + 1, left, MEMIF_ERR_SUCCESS, left);
    expect_those_behind_it(&scene);
    close_scene(&scene);
}

MEMIF_TEST_LOOP(a_loop_until_nothing_is_left_ends, 0, 2 * CASES)
{
    struct scene scene = {0};
    uint16_t at = 0, turns = 0, sent;

    open_scene(&scene, _i);
    for (; at < COUNT; at = (uint16_t)(at + sent)) {
        (void)memif_tx_burst(scene.flow.from, 0, buffers + at, (uint16_t)(COUNT - at), &sent);
        ck_assert_uint_lt(++turns, 4);
    }
    expect_all_but_one(&scene);
    close_scene(&scene);
}

MEMIF_TEST_LOOP(a_loop_until_success_ends, 0, 2 * CASES)
{
    struct scene scene = {0};
    uint16_t turns = 1, sent;

    open_scene(&scene, _i);
    while (memif_tx_burst(scene.flow.from, 0, buffers, COUNT, &sent) != MEMIF_ERR_SUCCESS)
        ck_assert_uint_lt(++turns, 4);
    ck_assert_uint_eq(sent, COUNT);
    expect_all_but_one(&scene);
    close_scene(&scene);
}

MEMIF_TEST_LOOP(a_program_that_is_always_refused_can_always_reserve, 0, 2 * CASES)
{
    struct scene scene = {0};

    open_scene(&scene, _i);
    expect_refusal(&scene);
    for (uint32_t i = 0; i < 3 * RING; i++) {
        reserve(&scene.flow, buffers, 1, scene.length, i);
        of_no_slot(&buffers[0]);
        expect_tx(&scene.flow, buffers, 1, MEMIF_ERR_INVAL_ARG, 0);
    }
    expect_packets(scene.flow.to, 0, 0, 0, 0);
    close_scene(&scene);
}

MEMIF_TEST_LOOP(what_was_sent_over_a_gap_is_not_sent_again, 0, 2 * CASES)
{
    struct scene scene = {0};

    open_scene(&scene, _i);
    expect_refusal(&scene);
    reserve(&scene.flow, others, 5, scene.length, 100);
    expect_tx(&scene.flow, others, 3, MEMIF_ERR_SUCCESS, 3); /* two are left: the gap stays */
    expect_packets(scene.flow.to, 0, 3, scene.length, 100);
    for (uint16_t i = 0; i < 3; i++)
        expect_tx(&scene.flow, others + i, 1, MEMIF_ERR_INVAL_ARG, 0);
    expect_tx(&scene.flow, others + 3, 2, MEMIF_ERR_SUCCESS, 2);
    expect_packets(scene.flow.to, 0, 2, scene.length, 103);
    expect_packets(scene.flow.to, 0, 0, 0, 0);
    close_scene(&scene);
}

MEMIF_TEST_LOOP(a_wrong_order_costs_what_came_too_late, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i);

    reserve(&flow, buffers, 4, BUFFER, 0);
    memif_buffer_t swapped[] = {buffers[0], buffers[2], buffers[1], buffers[3]};
    expect_tx(&flow, swapped, 4, MEMIF_ERR_INVAL_ARG, 1);
    expect_tx(&flow, swapped + 1, 3, MEMIF_ERR_INVAL_ARG, 1); /* gone on without buffers[1] */
    expect_tx(&flow, swapped + 3, 1, MEMIF_ERR_SUCCESS, 1);
    expect_one(&flow, BUFFER, 0);
    expect_one(&flow, BUFFER, 2);
    expect_one(&flow, BUFFER, 3);
    send_packets(flow.from, 0, (uint16_t)flow.capacity, BUFFER, 10);
    expect_packets(flow.to, 0, (uint16_t)flow.capacity, BUFFER, 10);
    pair_close(&pair);
}

/* ---- packets that do not take the slots that were reserved for them ---- */

MEMIF_TEST_LOOP(slots_that_a_packet_does_not_need_are_free_again, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i);

    for (uint32_t round = 0; round < RING; round++) {
        reserve(&flow, buffers, 5, 10 * BUFFER, round);
        for (uint32_t i = 0; i < 5; i++)
            buffers[i].data_len = (i + round) % 5 * BUFFER + 1;
        expect_tx(&flow, buffers, 2, MEMIF_ERR_SUCCESS, 2);
        expect_tx(&flow, buffers + 2, 3, MEMIF_ERR_SUCCESS, 3);
        for (uint32_t i = 0; i < 5; i++)
            expect_one(&flow, (i + round) % 5 * BUFFER + 1, round + i);
        expect_packets(flow.to, 0, 0, 0, 0);
        send_packets(flow.from, 0, (uint16_t)flow.capacity, BUFFER, 7);
        expect_packets(flow.to, 0, (uint16_t)flow.capacity, BUFFER, 7);
    }
    pair_close(&pair);
}

/* ---- of all sorts ---- */

enum { ROUNDS = 30000, MOST_PACKETS = 6, MOST_LENGTH = 5 * BUFFER };

static void send_some(const struct flow *flow, uint32_t packets, uint32_t seed, uint64_t *random)
{
    for (uint32_t i = 0; i < packets; i++) {
        bool is_bad = random_below(random, 4) == 0;
        /* Also less than reserved. */
        uint32_t length = random_below(random, buffers[i].data_len + 1);
        buffers[i].data_len = length;
        if (is_bad)
            of_no_slot(&buffers[i]);
        expect_tx(flow, &buffers[i], 1, is_bad ? MEMIF_ERR_INVAL_ARG : MEMIF_ERR_SUCCESS, !is_bad);
        if (!is_bad)
            expect_packets(flow->to, 0, 1, length, seed + i);
        else if (random_below(random, 2) == 0)
            return;
    }
}

MEMIF_TEST_LOOP(refusals_cost_what_they_refuse, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i);
    uint64_t random = RANDOM_SEED + (uint64_t)_i;

    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint16_t packets = (uint16_t)(1 + random_below(&random, MOST_PACKETS));
        reserve(&flow, buffers, packets, 1 + random_below(&random, MOST_LENGTH), round);
        send_some(&flow, packets, round, &random);
    }
    expect_packets(flow.to, 0, 0, 0, 0);
    ck_assert(end_is_up(&pair.master) && end_is_up(&pair.slave));
    pair_close(&pair);
}

MEMIF_TEST_MAIN("refused")
