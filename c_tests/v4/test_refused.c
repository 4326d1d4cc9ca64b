/* SPDX-License-Identifier: Apache-2.0 */

/* What becomes of a burst, and of those after it, when one of its entries cannot be sent. */

#include "burst_v4.h"
#include "harness.h"
#include "random.h"

enum { LOG2_RING = 6, RING = 1 << LOG2_RING, COUNT = 12, LONG = 3 * BUFFER - 10 };

/* ---- entries that cannot be sent ---- */

static void too_long(memif_buffer_t *entry)
{
    entry->len = BUFFER + 1;
}

static void never_reserved(memif_buffer_t *entry)
{
    entry->desc_index = (uint16_t)((entry->desc_index + RING / 2) % RING);
}

static void of_no_slot(memif_buffer_t *entry)
{
    entry->desc_index = UINT16_MAX;
}

static void of_no_queue(memif_buffer_t *entry)
{
    entry->queue = NULL;
}

static void out_of_its_buffer(memif_buffer_t *entry)
{
    entry->data = (char *)entry->data - 1;
}

static void (*const spoil[])(memif_buffer_t *entry) = {too_long, never_reserved, of_no_slot,
                                                       of_no_queue, out_of_its_buffer};
static const uint16_t places[] = {0, COUNT / 2, COUNT - 1};
enum { FAULTS = sizeof(spoil) / sizeof(*spoil), PLACES = 3, CASES = WAYS * FAULTS * PLACES };

/* A burst of COUNT packets, with contents 0, 1, ..., of which the one at `bad` cannot be sent. */
struct scene {
    struct pair pair;
    struct flow flow;
    uint16_t bad;
    memif_buffer_t good; /* as it should be */
};

static void open_scene(struct scene *scene, int i)
{
    scene->flow = open_way(&scene->pair, i, LOG2_RING);
    scene->bad = places[i / WAYS % PLACES];
    send_packets(scene->flow.from, 0, 7, BUFFER, 0); /* so that rings and bursts differ */
    expect_packets(scene->flow.to, 0, 7, BUFFER, 0);
    (void)reserve_packets(scene->flow.from, 0, buffers, COUNT, BUFFER, 0);
    scene->good = buffers[scene->bad];
    spoil[i / WAYS / PLACES](&buffers[scene->bad]);
}

/* The code and the count say which entry it was, and what was before it is sent. */
static void expect_refusal(const struct scene *scene)
{
    expect_tx(scene->flow.from, buffers, COUNT, MEMIF_ERR_INVAL_ARG, scene->bad);
    expect_packets(scene->flow.to, 0, scene->bad, BUFFER, 0);
    expect_nothing(scene->flow.to, 0);
}

static void expect_those_behind_it(const struct scene *scene)
{
    expect_packets(scene->flow.to, 0, (uint16_t)(COUNT - 1 - scene->bad), BUFFER, scene->bad + 1u);
    expect_nothing(scene->flow.to, 0);
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

/* The next of the packets that wait. */
static void expect_one(const struct flow *flow, uint32_t length, uint32_t seed)
{
    uint16_t entries;

    (void)memif_rx_burst(flow->to, 0, others, (uint16_t)((length + BUFFER - 1) / BUFFER), &entries);
    ck_assert(is_packet(others, entries, length, seed));
    expect_refill(flow->to, entries, 0, MEMIF_ERR_SUCCESS);
}

/* Each once, but for the one that could not be sent. */
static void expect_all_but_one(const struct scene *scene)
{
    for (uint32_t i = 0; i < COUNT; i++)
        if (i != scene->bad)
            expect_one(&scene->flow, BUFFER, i);
    expect_nothing(scene->flow.to, 0);
}

/* ---- what a program may do next ---- */

MEMIF_TEST_LOOP(the_next_burst_is_sent, 0, CASES)
{
    struct scene scene = {0};

    open_scene(&scene, _i);
    expect_refusal(&scene);
    send_packets(scene.flow.from, 0, COUNT, BUFFER, 100);
    expect_packets(scene.flow.to, 0, COUNT, BUFFER, 100);
    expect_nothing(scene.flow.to, 0);
    close_scene(&scene);
}

MEMIF_TEST_LOOP(what_was_refused_may_be_mended, 0, CASES)
{
    struct scene scene = {0};
    uint16_t left;

    open_scene(&scene, _i);
    left = (uint16_t)(COUNT - scene.bad);
    expect_refusal(&scene);
    buffers[scene.bad] = scene.good;
    expect_tx(scene.flow.from, buffers + scene.bad, left, MEMIF_ERR_SUCCESS, left);
    expect_packets(scene.flow.to, 0, left, BUFFER, scene.bad);
    close_scene(&scene);
}

MEMIF_TEST_LOOP(what_was_refused_may_be_left_out, 0, CASES)
{
    struct scene scene = {0};
    uint16_t left;

    open_scene(&scene, _i);
    left = (uint16_t)(COUNT - 1 - scene.bad);
    expect_refusal(&scene);
    expect_tx(scene.flow.from, buffers + scene.bad + 1, left, MEMIF_ERR_SUCCESS, left);
    expect_those_behind_it(&scene);
    close_scene(&scene);
}

MEMIF_TEST_LOOP(a_loop_until_nothing_is_left_ends, 0, CASES)
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

MEMIF_TEST_LOOP(a_loop_until_success_ends, 0, CASES)
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

/* A second thing that is wrong is told as the first was. */
MEMIF_TEST_LOOP(every_refused_entry_is_told, 0, CASES)
{
    struct scene scene = {0};

    open_scene(&scene, _i);
    expect_refusal(&scene);
    too_long(&buffers[scene.bad]);
    buffers[scene.bad].len++;
    expect_tx(scene.flow.from, buffers + scene.bad, 1, MEMIF_ERR_INVAL_ARG, 0);
    (void)reserve_packets(scene.flow.from, 0, others, 3, BUFFER, 100);
    too_long(&others[1]);
    expect_tx(scene.flow.from, others, 3, MEMIF_ERR_INVAL_ARG, 1);
    expect_packets(scene.flow.to, 0, 1, BUFFER, 100);
    expect_tx(scene.flow.from, others + 2, 1, MEMIF_ERR_SUCCESS, 1);
    expect_packets(scene.flow.to, 0, 1, BUFFER, 102);
    close_scene(&scene);
}

/* Also none of the good ones that the program left behind. */
MEMIF_TEST_LOOP(a_program_that_is_always_refused_can_always_reserve, 0, CASES)
{
    struct scene scene = {0};

    open_scene(&scene, _i);
    expect_refusal(&scene);
    for (uint32_t i = 0; i < 3 * RING; i++) {
        (void)reserve_packets(scene.flow.from, 0, buffers, 1, BUFFER, i);
        spoil[_i / WAYS / PLACES](&buffers[0]);
        expect_tx(scene.flow.from, buffers, 1, MEMIF_ERR_INVAL_ARG, 0);
    }
    expect_nothing(scene.flow.to, 0);
    close_scene(&scene);
}

/* ---- nothing is sent that should not be ---- */

MEMIF_TEST_LOOP(what_was_sent_over_a_gap_is_not_sent_again, 0, CASES)
{
    struct scene scene = {0};

    open_scene(&scene, _i);
    expect_refusal(&scene);
    (void)reserve_packets(scene.flow.from, 0, others, 5, BUFFER, 100);
    expect_tx(scene.flow.from, others, 3, MEMIF_ERR_SUCCESS, 3); /* two are left: the gap stays */
    expect_packets(scene.flow.to, 0, 3, BUFFER, 100);
    for (uint16_t i = 0; i < 3; i++)
        expect_tx(scene.flow.from, others + i, 1, MEMIF_ERR_INVAL_ARG, 0);
    for (uint16_t i = 0; i < COUNT; i++)
        expect_tx(scene.flow.from, buffers + i, 1, MEMIF_ERR_INVAL_ARG, 0);
    expect_tx(scene.flow.from, others + 3, 2, MEMIF_ERR_SUCCESS, 2);
    expect_packets(scene.flow.to, 0, 2, BUFFER, 103);
    for (uint16_t i = 0; i < 5; i++)
        expect_tx(scene.flow.from, others + i, 1, MEMIF_ERR_INVAL_ARG, 0);
    expect_nothing(scene.flow.to, 0);
    close_scene(&scene);
}

MEMIF_TEST_LOOP(without_a_refusal_nothing_may_be_left_out, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_RING);

    (void)reserve_packets(flow.from, 0, buffers, 6, BUFFER, 0);
    expect_tx(flow.from, buffers + 1, 1, MEMIF_ERR_INVAL_ARG, 0);
    expect_tx(flow.from, buffers, 1, MEMIF_ERR_SUCCESS, 1);
    expect_tx(flow.from, buffers + 2, 1, MEMIF_ERR_INVAL_ARG, 0); /* that refusal is over */
    expect_tx(flow.from, buffers + 3, 1, MEMIF_ERR_SUCCESS, 1);
    expect_tx(flow.from, buffers + 5, 1, MEMIF_ERR_INVAL_ARG, 0);
    expect_tx(flow.from, buffers + 4, 2, MEMIF_ERR_SUCCESS, 2);
    expect_one(&flow, BUFFER, 0);
    for (uint32_t seed = 3; seed < 6; seed++)
        expect_one(&flow, BUFFER, seed);
    pair_close(&pair);
}

/* A refusal allows to leave out what was reserved then, also when something later is taken back. */
MEMIF_TEST_LOOP(what_is_reserved_after_a_refusal_is_sent_in_order, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_RING);

    (void)reserve_packets(flow.from, 0, buffers, 1, BUFFER, 0);
    memif_buffer_t bad = buffers[0];
    too_long(&bad);
    expect_tx(flow.from, &bad, 1, MEMIF_ERR_INVAL_ARG, 0);
    (void)reserve_packets(flow.from, 0, buffers + 1, 3, BUFFER, 1);
    ck_assert_int_eq(memif_set_next_free_buffer(flow.from, 0, &buffers[3]), MEMIF_ERR_SUCCESS);
    expect_tx(flow.from, buffers + 2, 1, MEMIF_ERR_INVAL_ARG, 0);
    expect_tx(flow.from, buffers, 3, MEMIF_ERR_SUCCESS, 3);
    expect_packets(flow.to, 0, 3, BUFFER, 0);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(an_entry_of_another_queue_costs_itself_alone, 0, WAYS)
{
    struct pair pair = {0};
    struct shape shape = shape_of(_i);

    shape.s2m_rings = shape.m2s_rings = 2;
    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    for (uint32_t round = 0; round < 3 * SLOTS; round++) {
        (void)reserve_packets(flow.from, 0, buffers, 3, BUFFER, 0);
        (void)reserve_packets(flow.from, 1, others, 1, BUFFER, 100);
        buffers[1] = others[0];
        expect_tx(flow.from, buffers, 3, MEMIF_ERR_INVAL_ARG, 1);
        expect_packets(flow.to, 0, 1, BUFFER, 0);
        uint16_t sent;
        ck_assert_int_eq(memif_tx_burst(flow.from, 1, others, 1, &sent), MEMIF_ERR_SUCCESS);
        expect_packets(flow.to, 1, 1, BUFFER, 100);
    }
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_wrong_order_costs_what_came_too_late, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    (void)reserve_packets(flow.from, 0, buffers, 4, BUFFER, 0);
    memif_buffer_t swapped[] = {buffers[0], buffers[2], buffers[1], buffers[3]};
    expect_tx(flow.from, swapped, 4, MEMIF_ERR_INVAL_ARG, 1);
    expect_tx(flow.from, swapped + 1, 3, MEMIF_ERR_INVAL_ARG, 1); /* gone on without buffers[1] */
    expect_tx(flow.from, swapped + 3, 1, MEMIF_ERR_SUCCESS, 1);
    expect_one(&flow, BUFFER, 0);
    expect_one(&flow, BUFFER, 2);
    expect_one(&flow, BUFFER, 3);
    send_packets(flow.from, 0, (uint16_t)flow.capacity, BUFFER, 10);
    expect_packets(flow.to, 0, (uint16_t)flow.capacity, BUFFER, 10);
    pair_close(&pair);
}

/* ---- chains ---- */

MEMIF_TEST_LOOP(a_chain_that_is_cut_does_not_stop_the_next_burst, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_RING);

    for (uint32_t round = 0; round < 3 * RING; round++) {
        (void)reserve_packets(flow.from, 0, buffers, 2, LONG, round);
        expect_tx(flow.from, buffers, 5, MEMIF_ERR_SUCCESS, 3);
        expect_packets(flow.to, 0, 1, LONG, round);
        send_packets(flow.from, 0, 2, LONG, 1000);
        expect_packets(flow.to, 0, 2, LONG, 1000);
        expect_nothing(flow.to, 0);
    }
    pair_close(&pair);
}

/* As of a program that moves buffers as they come, whose ring is full before the chain has ended.
 */
MEMIF_TEST_LOOP(a_chain_that_waits_for_its_end_is_not_given_up, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    uint16_t rest = (uint16_t)(flow.capacity - 3), done;

    (void)reserve_packets(flow.from, 0, buffers, 1, LONG, 0);
    send_packets(flow.to, 0, 1, BUFFER, 0);
    for (int i = 0; i < 3; i++)
        expect_tx(flow.from, buffers, 2, MEMIF_ERR_SUCCESS, 0);
    ck_assert_int_eq(memif_buffer_alloc(flow.from, 0, others, SLOTS, &done, 0),
                     MEMIF_ERR_NOBUF_RING);
    ck_assert_uint_eq(done, rest);
    if (flow.from == pair.slave.conn && version_of(_i) == 512) {
        memif_buffer_t received;
        expect_rx(flow.from, &received, 1, MEMIF_ERR_SUCCESS, 1);
        ck_assert_int_eq(memif_buffer_enq_tx(flow.from, 0, &received, 1, &done),
                         MEMIF_ERR_NOBUF_RING);
    }
    expect_tx(flow.from, buffers, 3, MEMIF_ERR_SUCCESS, 3);
    expect_packets(flow.to, 0, 1, LONG, 0);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_chain_with_a_bad_entry_is_passed_over_whole, 0, WAYS * 3)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_RING);

    for (uint16_t i = 0; i < 3; i++)
        (void)reserve_packets(flow.from, 0, buffers + 3 * i, 1, LONG, i);
    too_long(&buffers[3 + _i / WAYS]);
    expect_tx(flow.from, buffers, 9, MEMIF_ERR_INVAL_ARG, 3);
    expect_tx(flow.from, buffers + 3, 6, MEMIF_ERR_INVAL_ARG, 0);
    expect_tx(flow.from, buffers + 3, 6, MEMIF_ERR_SUCCESS, 6);
    expect_one(&flow, LONG, 0);
    expect_one(&flow, LONG, 2);
    expect_nothing(flow.to, 0);
    pair_close(&pair);
}

/* What a peer posted is not forgotten when an attempt to fill it was refused. */
MEMIF_TEST_LOOP(a_refused_chain_leaves_its_buffers_whole, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    (void)reserve_packets(flow.from, 0, buffers, 1, LONG, 0);
    memif_buffer_t first = buffers[0];
    buffers[0].len = 5;
    too_long(&buffers[2]);
    expect_tx(flow.from, buffers, 3, MEMIF_ERR_INVAL_ARG, 0);
    ck_assert_int_eq(memif_set_next_free_buffer(flow.from, 0, &first), MEMIF_ERR_SUCCESS);
    expect_alloc(flow.from, 1, 0, MEMIF_ERR_SUCCESS, 1);
    ck_assert_uint_eq(buffers[0].len, BUFFER);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(buffers_behind_a_gap_may_be_taken_back, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    (void)reserve_packets(flow.from, 0, buffers, 6, BUFFER, 0);
    too_long(&buffers[0]);
    expect_tx(flow.from, buffers, 6, MEMIF_ERR_INVAL_ARG, 0);
    expect_tx(flow.from, buffers + 2, 1, MEMIF_ERR_SUCCESS, 1);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(memif_set_next_free_buffer(flow.from, 0, &buffers[i]),
                         MEMIF_ERR_INVAL_ARG); /* given up, or sent */
    ck_assert_int_eq(memif_set_next_free_buffer(flow.from, 0, &buffers[4]), MEMIF_ERR_SUCCESS);
    expect_tx(flow.from, buffers + 3, 2, MEMIF_ERR_INVAL_ARG, 1);
    expect_packets(flow.to, 0, 2, BUFFER, 2);
    (void)reserve_packets(flow.from, 0, buffers, 3, BUFFER, 10);
    ck_assert_int_eq(memif_set_next_free_buffer(flow.from, 0, &buffers[0]), MEMIF_ERR_SUCCESS);
    send_packets(flow.from, 0, (uint16_t)flow.capacity, BUFFER, 20);
    expect_packets(flow.to, 0, (uint16_t)flow.capacity, BUFFER, 20);
    pair_close(&pair);
}

/* ---- of all sorts ---- */

enum { ROUNDS = 30000, MOST_PACKETS = 6, MOST_LENGTH = 5 * BUFFER };

struct fuzz {
    struct flow flow;
    uint64_t state;
    uint32_t seed;
};

/* Sends what can be sent of `packets` that begin at bufs; where one is refused it goes on behind it
 * or gives up. Then it looks whether all that was sent arrives, and nothing else. */
static void send_some(struct fuzz *fuzz, memif_buffer_t *bufs, uint32_t length, uint32_t packets)
{
    for (uint32_t i = 0; i < packets; i++) {
        uint16_t entries = entries_of_packet(bufs, RING), sent;
        bool is_bad = random_below(&fuzz->state, 4) == 0;
        if (is_bad)
            spoil[random_below(&fuzz->state, FAULTS)](&bufs[random_below(&fuzz->state, entries)]);
        int err = memif_tx_burst(fuzz->flow.from, 0, bufs, entries, &sent);
        ck_assert_int_eq(err, is_bad ? MEMIF_ERR_INVAL_ARG : MEMIF_ERR_SUCCESS);
        ck_assert_uint_eq(sent, is_bad ? 0 : entries);
        if (!is_bad)
            expect_packets(fuzz->flow.to, 0, 1, length, fuzz->seed + i);
        else if (random_below(&fuzz->state, 2) == 0)
            return;
        bufs += entries;
    }
}

MEMIF_TEST_LOOP(refusals_of_all_sorts_cost_what_they_refuse, 0, WAYS)
{
    static struct fuzz fuzz;
    struct pair pair = {0};

    fuzz =
        (struct fuzz){.flow = open_way(&pair, _i, LOG2_RING), .state = RANDOM_SEED + (uint64_t)_i};
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint16_t packets = (uint16_t)(1 + random_below(&fuzz.state, MOST_PACKETS));
        uint32_t length = 1 + random_below(&fuzz.state, MOST_LENGTH);
        (void)reserve_packets(fuzz.flow.from, 0, buffers, packets, length, fuzz.seed);
        send_some(&fuzz, buffers, length, packets);
        fuzz.seed += packets;
    }
    expect_nothing(fuzz.flow.to, 0);
    ck_assert(end_is_up(&pair.master) && end_is_up(&pair.slave));
    pair_close(&pair);
}

MEMIF_TEST_MAIN("4.0 refused")
