/* SPDX-License-Identifier: Apache-2.0 */

#include <stdint.h>

#include "burst_v4.h"
#include "harness.h"
#include "random.h"

enum { QUEUES = 2 };

static void open_queues(struct pair *pair)
{
    struct shape shape = shape_of(1);

    shape.s2m_rings = shape.m2s_rings = QUEUES;
    pair_open(pair, &shape);
}

/* ---- from a receive queue to a send queue ---- */

MEMIF_TEST(received_buffers_are_sent_without_a_copy)
{
    struct pair pair = {0};
    void *data[3];

    open_queues(&pair);
    send_packets(pair.master.conn, 0, 3, BUFFER, 1);
    (void)receive_packets(pair.slave.conn, 0, others, 3, BUFFER, 1);
    for (uint32_t i = 0; i < 3; i++)
        data[i] = others[i].data;
    void *rx_queue = others[0].queue;
    expect_enq(pair.slave.conn, 0, others, 3, MEMIF_ERR_SUCCESS, 3);
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert_ptr_eq(others[i].data, data[i]);
        ck_assert_ptr_ne(others[i].queue, rx_queue);
        ck_assert_uint_eq(others[i].desc_index, i);
    }
    expect_nothing(pair.master.conn, 0);
    expect_tx(pair.slave.conn, others, 3, MEMIF_ERR_SUCCESS, 3);
    expect_packets(pair.master.conn, 0, 3, BUFFER, 1);
    pair_close(&pair);
}

MEMIF_TEST(a_packet_may_be_changed_on_its_way)
{
    struct pair pair = {0};

    open_queues(&pair);
    send_packets(pair.master.conn, 0, 2, BUFFER, 1);
    (void)receive_packets(pair.slave.conn, 0, others, 2, BUFFER, 1);
    fill_packet(&others[0], 1, 10, 7);
    others[1].data = (char *)others[1].data + 8;
    fill_packet(&others[1], 1, BUFFER - 8, 8);
    expect_enq(pair.slave.conn, 1, others, 2, MEMIF_ERR_SUCCESS, 2);
    uint16_t sent;
    ck_assert_int_eq(memif_tx_burst(pair.slave.conn, 1, others, 2, &sent), MEMIF_ERR_SUCCESS);
    (void)memif_rx_burst(pair.master.conn, 1, buffers, 2, &sent);
    ck_assert_uint_eq(sent, 2);
    ck_assert(is_packet(&buffers[0], 1, 10, 7));
    ck_assert(is_packet(&buffers[1], 1, BUFFER - 8, 8));
    pair_close(&pair);
}

MEMIF_TEST(a_packet_may_grow_into_its_headroom)
{
    struct pair pair = {0};
    struct shape shape = shape_of(1);

    shape.headroom = 16;
    pair_open(&pair, &shape);
    for (uint32_t round = 0; round < 2 * SLOTS; round++) {
        send_packets(pair.master.conn, 0, 1, BUFFER - 16, round);
        (void)receive_packets(pair.slave.conn, 0, others, 1, BUFFER - 16, round);
        others[0].data = (char *)others[0].data - 16;
        others[0].len = BUFFER;
        fill_packet(&others[0], 1, BUFFER, round + 100);
        expect_enq(pair.slave.conn, 0, others, 1, MEMIF_ERR_SUCCESS, 1);
        expect_tx(pair.slave.conn, others, 1, MEMIF_ERR_SUCCESS, 1);
        expect_packets(pair.master.conn, 0, 1, BUFFER, round + 100);
        expect_refill(pair.slave.conn, 1, 16, MEMIF_ERR_SUCCESS);
    }
    pair_close(&pair);
}

MEMIF_TEST(a_chain_stays_a_chain)
{
    struct pair pair = {0};

    open_queues(&pair);
    send_packets(pair.master.conn, 0, 1, 3 * BUFFER, 1);
    (void)receive_packets(pair.slave.conn, 0, others, 1, 3 * BUFFER, 1);
    expect_enq(pair.slave.conn, 0, others, 3, MEMIF_ERR_SUCCESS, 3);
    expect_tx(pair.slave.conn, others, 3, MEMIF_ERR_SUCCESS, 3);
    expect_packets(pair.master.conn, 0, 1, 3 * BUFFER, 1);
    pair_close(&pair);
}

MEMIF_TEST(moved_buffers_take_their_turn_among_allocated_ones)
{
    struct pair pair = {0};

    open_queues(&pair);
    send_packets(pair.master.conn, 0, 1, BUFFER, 2);
    (void)receive_packets(pair.slave.conn, 0, others, 1, BUFFER, 2);
    (void)reserve_packets(pair.slave.conn, 0, buffers, 1, BUFFER, 1);
    expect_enq(pair.slave.conn, 0, others, 1, MEMIF_ERR_SUCCESS, 1);
    (void)reserve_packets(pair.slave.conn, 0, buffers + 2, 1, BUFFER, 3);
    buffers[1] = others[0];
    expect_tx(pair.slave.conn, buffers, 3, MEMIF_ERR_SUCCESS, 3);
    expect_packets(pair.master.conn, 0, 3, BUFFER, 1);
    pair_close(&pair);
}

MEMIF_TEST(what_does_not_fit_the_send_queue_stays_received)
{
    struct pair pair = {0};

    open_queues(&pair);
    send_packets(pair.master.conn, 0, 5, BUFFER, 1);
    (void)receive_packets(pair.slave.conn, 0, others, 5, BUFFER, 1);
    (void)reserve_packets(pair.slave.conn, 0, buffers, SLOTS - 2, BUFFER, 100);
    expect_enq(pair.slave.conn, 0, others, 5, MEMIF_ERR_NOBUF_RING, 2);
    expect_tx(pair.slave.conn, buffers, SLOTS - 2, MEMIF_ERR_SUCCESS, SLOTS - 2);
    expect_packets(pair.master.conn, 0, SLOTS - 2, BUFFER, 100);
    expect_enq(pair.slave.conn, 0, others + 2, 3, MEMIF_ERR_SUCCESS, 3);
    expect_tx(pair.slave.conn, others, 5, MEMIF_ERR_SUCCESS, 5);
    expect_packets(pair.master.conn, 0, 5, BUFFER, 1);
    pair_close(&pair);
}

MEMIF_TEST(moved_buffers_may_be_taken_back_and_moved_again)
{
    struct pair pair = {0};

    open_queues(&pair);
    send_packets(pair.master.conn, 0, 2, BUFFER, 1);
    (void)receive_packets(pair.slave.conn, 0, others, 2, BUFFER, 1);
    expect_enq(pair.slave.conn, 0, others, 2, MEMIF_ERR_SUCCESS, 2);
    ck_assert_int_eq(memif_set_next_free_buffer(pair.slave.conn, 0, &others[0]), MEMIF_ERR_SUCCESS);
    expect_alloc(pair.slave.conn, 2, 0, MEMIF_ERR_SUCCESS, 2);
    for (uint32_t i = 0; i < 2; i++) {
        ck_assert_ptr_eq(buffers[i].data, others[i].data);
        ck_assert(is_packet(&buffers[i], 1, BUFFER, 1 + i));
    }
    pair_close(&pair);
}

MEMIF_TEST(receive_slots_of_moved_buffers_are_given_back_as_ever)
{
    struct pair pair = {0};

    open_queues(&pair);
    for (uint32_t round = 0; round < 5; round++) {
        send_packets(pair.master.conn, 0, SLOTS, BUFFER, round);
        (void)receive_packets(pair.slave.conn, 0, others, SLOTS, BUFFER, round);
        expect_enq(pair.slave.conn, 0, others, SLOTS, MEMIF_ERR_SUCCESS, SLOTS);
        expect_alloc(pair.master.conn, 1, 0, MEMIF_ERR_NOBUF_RING, 0);
        expect_refill(pair.slave.conn, SLOTS, 0, MEMIF_ERR_SUCCESS);
        expect_tx(pair.slave.conn, others, SLOTS, MEMIF_ERR_SUCCESS, SLOTS);
        expect_packets(pair.master.conn, 0, SLOTS, BUFFER, round);
    }
    pair_close(&pair);
}

/* ---- refused ---- */

MEMIF_TEST(a_master_moves_no_buffers)
{
    struct pair pair = {0};

    open_queues(&pair);
    send_packets(pair.slave.conn, 0, 2, BUFFER, 1);
    (void)receive_packets(pair.master.conn, 0, others, 2, BUFFER, 1);
    expect_enq(pair.master.conn, 0, others, 2, MEMIF_ERR_INVAL_ARG, 0);
    ck_assert_int_eq(memif_buffer_requeue(pair.master.conn, &others[0], &others[1]),
                     MEMIF_ERR_INVAL_ARG);
    expect_refill(pair.master.conn, 2, 0, MEMIF_ERR_SUCCESS);
    pair_close(&pair);
}

MEMIF_TEST(version_256_moves_no_buffers)
{
    struct pair pair = {0};
    struct shape shape = shape_of(0);

    pair_open(&pair, &shape);
    send_packets(pair.master.conn, 0, 2, BUFFER, 1);
    (void)receive_packets(pair.slave.conn, 0, others, 2, BUFFER, 1);
    expect_enq(pair.slave.conn, 0, others, 2, MEMIF_ERR_INVAL_ARG, 0);
    ck_assert_int_eq(memif_buffer_requeue(pair.slave.conn, &others[0], &others[1]),
                     MEMIF_ERR_INVAL_ARG);
    pair_close(&pair);
}

MEMIF_TEST(an_entry_is_moved_once)
{
    struct pair pair = {0};

    open_queues(&pair);
    send_packets(pair.master.conn, 0, 2, BUFFER, 1);
    (void)receive_packets(pair.slave.conn, 0, others, 2, BUFFER, 1);
    memif_buffer_t copy = others[0];
    expect_enq(pair.slave.conn, 0, others, 1, MEMIF_ERR_SUCCESS, 1);
    expect_enq(pair.slave.conn, 0, &copy, 1, MEMIF_ERR_INVAL_ARG, 0);
    expect_enq(pair.slave.conn, 1, &copy, 1, MEMIF_ERR_INVAL_ARG, 0);
    expect_enq(pair.slave.conn, 1, others, 1, MEMIF_ERR_INVAL_ARG, 0); /* waits to be sent */
    expect_enq(pair.slave.conn, 0, others, 1, MEMIF_ERR_INVAL_ARG, 0);
    expect_tx(pair.slave.conn, others, 1, MEMIF_ERR_SUCCESS, 1);
    expect_packets(pair.master.conn, 0, 1, BUFFER, 1);
    pair_close(&pair);
}

MEMIF_TEST(an_entry_that_was_given_back_is_not_moved)
{
    struct pair pair = {0};

    open_queues(&pair);
    send_packets(pair.master.conn, 0, 1, BUFFER, 1);
    (void)receive_packets(pair.slave.conn, 0, others, 1, BUFFER, 1);
    expect_refill(pair.slave.conn, 1, 0, MEMIF_ERR_SUCCESS);
    expect_enq(pair.slave.conn, 0, others, 1, MEMIF_ERR_INVAL_ARG, 0);
    pair_close(&pair);
}

MEMIF_TEST(an_entry_that_was_allocated_is_not_moved)
{
    struct pair pair = {0};

    open_queues(&pair);
    (void)reserve_packets(pair.slave.conn, 1, buffers, 2, BUFFER, 1);
    expect_enq(pair.slave.conn, 0, buffers, 2, MEMIF_ERR_INVAL_ARG, 0);
    expect_enq(pair.slave.conn, 1, buffers, 2, MEMIF_ERR_INVAL_ARG, 0);
    pair_close(&pair);
}

MEMIF_TEST(an_entry_that_was_made_up_is_not_moved)
{
    struct pair pair = {0};
    int local = 0;

    open_queues(&pair);
    send_packets(pair.master.conn, 0, 2, BUFFER, 1);
    (void)receive_packets(pair.slave.conn, 0, others, 2, BUFFER, 1);
    memif_buffer_t good = others[0];
    void *queues[] = {NULL, &local, (void *)1, (void *)UINTPTR_MAX, (char *)good.queue + 8};
    for (size_t i = 0; i < sizeof(queues) / sizeof(*queues); i++) {
        others[0].queue = queues[i];
        expect_enq(pair.slave.conn, 0, others, 1, MEMIF_ERR_INVAL_ARG, 0);
        ck_assert_int_eq(memif_buffer_requeue(pair.slave.conn, &others[0], &others[1]),
                         MEMIF_ERR_INVAL_ARG);
        ck_assert_int_eq(memif_buffer_requeue(pair.slave.conn, &others[1], &others[0]),
                         MEMIF_ERR_INVAL_ARG);
    }
    static const uint16_t slots[] = {1, 2, SLOTS, UINT16_MAX};
    others[0] = good;
    for (size_t i = 0; i < sizeof(slots) / sizeof(*slots); i++) {
        others[0].desc_index = slots[i];
        expect_enq(pair.slave.conn, 0, others, 1, MEMIF_ERR_INVAL_ARG, 0);
    }
    others[0] = good;
    others[0].data = &local;
    expect_enq(pair.slave.conn, 0, others, 1, MEMIF_ERR_INVAL_ARG, 0);
    expect_enq(pair.slave.conn, 0, &good, 1, MEMIF_ERR_SUCCESS, 1);
    pair_close(&pair);
}

MEMIF_TEST(entries_of_a_connection_that_is_over_are_not_moved)
{
    struct pair pair = {0};

    open_queues(&pair);
    send_packets(pair.master.conn, 0, 2, BUFFER, 1);
    (void)receive_packets(pair.slave.conn, 0, others, 2, BUFFER, 1);
    end_delete(&pair.master);
    RUN_UNTIL(pair.slave.disconnects == 1);
    expect_enq(pair.slave.conn, 0, others, 2, MEMIF_ERR_DISCONNECTED, 0);
    ck_assert_int_eq(memif_buffer_requeue(pair.slave.conn, &others[0], &others[1]),
                     MEMIF_ERR_DISCONNECTED);
    end_must_create(&pair.master, &pair.master_control);
    ck_assert_int_eq(memif_request_connection(pair.slave.conn), MEMIF_ERR_SUCCESS);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    ck_assert_int_eq(memif_refill_queue(pair.slave.conn, 0, UINT16_MAX, 0), MEMIF_ERR_SUCCESS);
    expect_enq(pair.slave.conn, 0, others, 2, MEMIF_ERR_INVAL_ARG, 0);
    pair_close(&pair);
}

/* ---- requeue ---- */

/* Not in order: first[i] and second[i]. */
static void swap_all(memif_conn_handle_t conn, memif_buffer_t *first, memif_buffer_t *second,
                     uint16_t count)
{
    for (uint16_t i = 0; i < count; i++) {
        memif_buffer_t a = first[i], b = second[i];
        ck_assert_int_eq(memif_buffer_requeue(conn, &first[i], &second[i]), MEMIF_ERR_SUCCESS);
        ck_assert_ptr_eq(first[i].data, a.data);
        ck_assert_ptr_eq(first[i].queue, b.queue);
        ck_assert_uint_eq(first[i].desc_index, b.desc_index);
        ck_assert_ptr_eq(second[i].queue, a.queue);
        ck_assert_uint_eq(second[i].desc_index, a.desc_index);
    }
}

MEMIF_TEST(requeued_buffers_change_places_in_their_rings)
{
    struct pair pair = {0};
    memif_buffer_t second[3];

    open_queues(&pair);
    send_packets(pair.master.conn, 0, 3, BUFFER, 1);
    send_packets(pair.master.conn, 1, 3, BUFFER, 11);
    (void)receive_packets(pair.slave.conn, 0, others, 3, BUFFER, 1);
    (void)receive_packets(pair.slave.conn, 1, second, 3, BUFFER, 11);
    void *data = others[0].data;
    swap_all(pair.slave.conn, others, second, 3);
    for (uint16_t qid = 0; qid < QUEUES; qid++) {
        ck_assert_int_eq(memif_refill_queue(pair.slave.conn, qid, 3, 0), MEMIF_ERR_SUCCESS);
        send_packets(pair.master.conn, qid, SLOTS, BUFFER, 20u + 20u * qid);
    }
    (void)receive_packets(pair.slave.conn, 1, others, SLOTS, BUFFER, 40);
    ck_assert_ptr_eq(others[SLOTS - 3].data, data); /* the first slot comes round again */
    expect_packets(pair.slave.conn, 0, SLOTS, BUFFER, 20);
    pair_close(&pair);
}

MEMIF_TEST(an_entry_may_be_requeued_with_itself)
{
    struct pair pair = {0};

    open_queues(&pair);
    send_packets(pair.master.conn, 0, 1, BUFFER, 1);
    (void)receive_packets(pair.slave.conn, 0, others, 1, BUFFER, 1);
    memif_buffer_t before = others[0];
    ck_assert_int_eq(memif_buffer_requeue(pair.slave.conn, &others[0], &others[0]),
                     MEMIF_ERR_SUCCESS);
    ck_assert_ptr_eq(others[0].data, before.data);
    ck_assert_uint_eq(others[0].desc_index, before.desc_index);
    pair_close(&pair);
}

/* ---- every buffer stays in exactly one place ---- */

enum { ALL_BUFFERS = 2 * QUEUES * SLOTS };

/* Receives on one queue, moves some of it to another, and gives the rest back. */
static void move_some(struct pair *pair, uint64_t *random, uint32_t seed)
{
    uint16_t rx_qid = (uint16_t)(random_below(random, QUEUES));
    uint16_t tx_qid = (uint16_t)(random_below(random, QUEUES));
    uint16_t count = (uint16_t)(1 + random_below(random, SLOTS));
    uint16_t moved = 0, sent;
    memif_buffer_t to_send[SLOTS];

    send_packets(pair->master.conn, rx_qid, count, BUFFER, seed);
    (void)receive_packets(pair->slave.conn, rx_qid, others, count, BUFFER, seed);
    for (uint16_t i = 0; i + 1 < count; i += 2) {
        if (random_below(random, 3) == 0)
            swap_all(pair->slave.conn, &others[i], &others[i + 1], 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (random_below(random, 2) == 0)
            continue;
        uint16_t done;
        ck_assert_int_eq(memif_buffer_enq_tx(pair->slave.conn, tx_qid, &others[i], 1, &done),
                         MEMIF_ERR_SUCCESS);
        fill_packet(&others[i], 1, BUFFER, seed + 1000u + moved);
        to_send[moved++] = others[i];
    }
    ck_assert_int_eq(memif_refill_queue(pair->slave.conn, rx_qid, count, 0), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(memif_tx_burst(pair->slave.conn, tx_qid, to_send, moved, &sent),
                     MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(sent, moved);
    expect_packets(pair->master.conn, tx_qid, moved, BUFFER, seed + 1000);
}

/* Both rings full: the slave's send queues with its own contents, the receive queues with the
 * master's. Were a buffer in two places, one content would have overwritten the other. */
static void expect_all_buffers_once(struct pair *pair)
{
    memif_buffer_t all[ALL_BUFFERS];

    for (uint16_t qid = 0; qid < QUEUES; qid++)
        (void)reserve_packets(pair->slave.conn, qid, all + qid * SLOTS, SLOTS, BUFFER, 100u * qid);
    for (uint16_t qid = 0; qid < QUEUES; qid++)
        send_packets(pair->master.conn, qid, SLOTS, BUFFER, 1000u + 100u * qid);
    for (uint16_t qid = 0; qid < QUEUES; qid++)
        (void)receive_packets(pair->slave.conn, qid, all + (QUEUES + qid) * SLOTS, SLOTS, BUFFER,
                              1000u + 100u * qid);
    for (uint32_t qid = 0; qid < QUEUES; qid++) {
        for (uint32_t i = 0; i < SLOTS; i++)
            ck_assert(is_packet(&all[qid * SLOTS + i], 1, BUFFER, 100u * qid + i));
    }
    for (size_t i = 0; i < ALL_BUFFERS; i++) {
        for (size_t j = 0; j < i; j++)
            ck_assert_int_ge(llabs((char *)all[i].data - (char *)all[j].data), BUFFER);
    }
}

MEMIF_TEST_LOOP(every_buffer_stays_in_exactly_one_place, 0, 8)
{
    struct pair pair = {0};
    uint64_t random = RANDOM_SEED + (uint64_t)_i;

    open_queues(&pair);
    for (uint32_t round = 0; round < 500; round++)
        move_some(&pair, &random, round);
    expect_all_buffers_once(&pair);
    pair_close(&pair);
}

MEMIF_TEST(a_new_connection_begins_with_every_buffer_in_its_own_place)
{
    struct pair pair = {0};
    uint64_t random = RANDOM_SEED;

    open_queues(&pair);
    for (uint32_t round = 0; round < 20; round++)
        move_some(&pair, &random, round);
    end_delete(&pair.master);
    RUN_UNTIL(pair.slave.disconnects == 1);
    end_must_create(&pair.master, &pair.master_control);
    ck_assert_int_eq(memif_request_connection(pair.slave.conn), MEMIF_ERR_SUCCESS);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    for (uint16_t qid = 0; qid < QUEUES; qid++)
        ck_assert_int_eq(memif_refill_queue(pair.slave.conn, qid, UINT16_MAX, 0),
                         MEMIF_ERR_SUCCESS);
    expect_all_buffers_once(&pair);
    pair_close(&pair);
}

MEMIF_TEST_MAIN("4.0 zero copy")
