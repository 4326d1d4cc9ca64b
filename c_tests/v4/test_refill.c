/* SPDX-License-Identifier: Apache-2.0 */

#include "burst_v4.h"
#include "harness.h"

MEMIF_TEST_LOOP(buffers_given_back_can_be_sent_into_again, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    send_packets(flow.from, 0, (uint16_t)flow.capacity, BUFFER, 0);
    (void)receive_packets(flow.to, 0, others, (uint16_t)flow.capacity, BUFFER, 0);
    for (uint32_t i = 0; i < flow.capacity; i++) {
        expect_alloc(flow.from, 1, 0, MEMIF_ERR_NOBUF_RING, 0);
        expect_refill(flow.to, 1, 0, MEMIF_ERR_SUCCESS);
        send_packets(flow.from, 0, 1, BUFFER, 50 + i);
    }
    expect_packets(flow.to, 0, (uint16_t)flow.capacity, BUFFER, 50);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(refill_gives_back_no_more_than_was_received, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    uint16_t rest = (uint16_t)(flow.capacity - 3);

    send_packets(flow.from, 0, (uint16_t)flow.capacity, BUFFER, 0);
    expect_rx(flow.to, others, 3, MEMIF_ERR_NOBUF, 3);
    expect_refill(flow.to, UINT16_MAX, 0, MEMIF_ERR_SUCCESS);
    expect_refill(flow.to, UINT16_MAX, 0, MEMIF_ERR_SUCCESS);
    send_packets(flow.from, 0, 3, BUFFER, 100);
    expect_alloc(flow.from, 1, 0, MEMIF_ERR_NOBUF_RING, 0);
    expect_rx(flow.to, others, rest, MEMIF_ERR_NOBUF, rest);
    for (uint32_t i = 0; i < rest; i++)
        ck_assert(is_packet(&others[i], 1, BUFFER, 3 + i));
    expect_packets(flow.to, 0, 3, BUFFER, 100);
    pair_close(&pair);
}

MEMIF_TEST(a_slave_receives_nothing_before_its_first_refill)
{
    struct pair pair = {0};

    open_unfilled(&pair);
    expect_alloc(pair.master.conn, 1, 0, MEMIF_ERR_NOBUF_RING, 0);
    expect_refill(pair.slave.conn, UINT16_MAX, 0, MEMIF_ERR_SUCCESS);
    expect_alloc(pair.master.conn, 100, 0, MEMIF_ERR_NOBUF_RING, SLOTS);
    pair_close(&pair);
}

MEMIF_TEST(a_slave_may_refill_in_parts)
{
    struct pair pair = {0};

    open_unfilled(&pair);
    for (uint16_t i = 0; i < SLOTS / 2; i++) {
        expect_refill(pair.slave.conn, 2, 0, MEMIF_ERR_SUCCESS);
        expect_alloc(pair.master.conn, 100, 0, MEMIF_ERR_NOBUF_RING, 2);
    }
    expect_refill(pair.slave.conn, 2, 0, MEMIF_ERR_SUCCESS);
    expect_alloc(pair.master.conn, 1, 0, MEMIF_ERR_NOBUF_RING, 0);
    pair_close(&pair);
}

MEMIF_TEST(a_new_connection_needs_a_refill_again)
{
    struct pair pair = {0};

    open_unfilled(&pair);
    expect_refill(pair.slave.conn, UINT16_MAX, 0, MEMIF_ERR_SUCCESS);
    send_packets(pair.master.conn, 0, 3, BUFFER, 1);
    end_delete(&pair.master);
    RUN_UNTIL(pair.slave.disconnects == 1);
    end_must_create(&pair.master, &pair.master_control);
    ck_assert_int_eq(memif_request_connection(pair.slave.conn), MEMIF_ERR_SUCCESS);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    expect_alloc(pair.master.conn, 1, 0, MEMIF_ERR_NOBUF_RING, 0);
    expect_refill(pair.slave.conn, UINT16_MAX, 0, MEMIF_ERR_SUCCESS);
    send_packets(pair.master.conn, 0, SLOTS, BUFFER, 1);
    expect_packets(pair.slave.conn, 0, SLOTS, BUFFER, 1);
    pair_close(&pair);
}

static void refill_on_connect(struct end *end)
{
    int *err = end->context;

    *err = memif_refill_queue(end->conn, 0, UINT16_MAX, 0);
}

MEMIF_TEST(on_connect_may_refill)
{
    int err = -1;
    struct pair pair = {.slave = {.at_connect = refill_on_connect, .context = &err}};

    open_unfilled(&pair);
    ck_assert_int_eq(err, MEMIF_ERR_SUCCESS);
    send_packets(pair.master.conn, 0, SLOTS, BUFFER, 1);
    expect_packets(pair.slave.conn, 0, SLOTS, BUFFER, 1);
    pair_close(&pair);
}

MEMIF_TEST(a_slave_of_version_256_needs_no_first_refill)
{
    struct pair pair = {0};
    struct shape shape = shape_of(0);

    shape.unfilled = true;
    pair_open(&pair, &shape);
    send_packets(pair.master.conn, 0, SLOTS - 1, BUFFER, 1);
    expect_packets(pair.slave.conn, 0, SLOTS - 1, BUFFER, 1);
    pair_close(&pair);
}

/* ---- headroom ---- */

enum { HEADROOM = 16 };

MEMIF_TEST(headroom_moves_data_back_and_takes_its_bytes_from_the_master)
{
    struct pair pair = {0};
    void *starts[SLOTS];

    open_unfilled(&pair);
    expect_refill(pair.slave.conn, UINT16_MAX, 0, MEMIF_ERR_SUCCESS);
    for (uint32_t round = 0; round < 3; round++) {
        bool reserved = round > 0;
        expect_alloc(pair.master.conn, SLOTS, 0, MEMIF_ERR_SUCCESS, SLOTS);
        for (uint32_t i = 0; i < SLOTS; i++) {
            ck_assert_uint_eq(buffers[i].len, reserved ? BUFFER - HEADROOM : BUFFER);
            fill_packet(&buffers[i], 1, buffers[i].len, i);
        }
        expect_tx(pair.master.conn, buffers, SLOTS, MEMIF_ERR_SUCCESS, SLOTS);
        expect_rx(pair.slave.conn, others, SLOTS, MEMIF_ERR_SUCCESS, SLOTS);
        for (uint32_t i = 0; i < SLOTS; i++) {
            if (!reserved)
                starts[i] = others[i].data;
            ck_assert_ptr_eq(others[i].data, (char *)starts[i] + (reserved ? HEADROOM : 0));
            ck_assert(is_packet(&others[i], 1, reserved ? BUFFER - HEADROOM : BUFFER, i));
        }
        expect_refill(pair.slave.conn, UINT16_MAX, HEADROOM, MEMIF_ERR_SUCCESS);
    }
    pair_close(&pair);
}

MEMIF_TEST(each_refill_has_a_headroom_of_its_own)
{
    struct pair pair = {0};

    open_unfilled(&pair);
    for (uint16_t i = 0; i < SLOTS; i++)
        expect_refill(pair.slave.conn, 1, i, MEMIF_ERR_SUCCESS);
    expect_alloc(pair.master.conn, SLOTS, 0, MEMIF_ERR_SUCCESS, SLOTS);
    for (uint16_t i = 0; i < SLOTS; i++)
        ck_assert_uint_eq(buffers[i].len, BUFFER - i);
    pair_close(&pair);
}

MEMIF_TEST(the_largest_headroom_leaves_one_byte)
{
    struct pair pair = {0};

    open_unfilled(&pair);
    expect_refill(pair.slave.conn, UINT16_MAX, BUFFER - 1, MEMIF_ERR_SUCCESS);
    send_packets(pair.master.conn, 0, SLOTS, 1, 5);
    expect_packets(pair.slave.conn, 0, SLOTS, 1, 5);
    pair_close(&pair);
}

/* A slave's buffers, but not those of version 256, which never have a headroom. */
MEMIF_TEST_LOOP(behind_buffers_that_may_have_a_headroom_is_room, 0, 2)
{
    struct pair pair = {0};
    struct shape shape = shape_of(_i);

    pair_open(&pair, &shape);
    expect_alloc(pair.slave.conn, 2, 0, MEMIF_ERR_SUCCESS, 2);
    ck_assert_uint_eq(buffers[0].len, BUFFER);
    ck_assert_int_eq((char *)buffers[1].data - (char *)buffers[0].data,
                     BUFFER + (_i == 0 ? 0 : 128));
    pair_close(&pair);
}

MEMIF_TEST(a_headroom_of_the_whole_buffer_is_refused)
{
    struct pair pair = {0};
    static const uint16_t headrooms[] = {BUFFER, BUFFER + 1, UINT16_MAX};

    open_unfilled(&pair);
    for (size_t i = 0; i < sizeof(headrooms) / sizeof(*headrooms); i++)
        expect_refill(pair.slave.conn, UINT16_MAX, headrooms[i], MEMIF_ERR_INVAL_ARG);
    expect_alloc(pair.master.conn, 1, 0, MEMIF_ERR_NOBUF_RING, 0);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_headroom_means_nothing_to_a_master, 0, VERSIONS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    for (uint32_t round = 0; round < 3; round++) {
        send_packets(flow.from, 0, 5, BUFFER, round);
        (void)receive_packets(flow.to, 0, others, 5, BUFFER, round);
        expect_refill(flow.to, 5, UINT16_MAX, MEMIF_ERR_SUCCESS);
    }
    pair_close(&pair);
}

MEMIF_TEST(version_256_has_no_headroom)
{
    struct pair pair = {0};
    struct shape shape = shape_of(0);

    pair_open(&pair, &shape);
    expect_refill(pair.slave.conn, UINT16_MAX, 1, MEMIF_ERR_INVAL_ARG);
    expect_refill(pair.slave.conn, UINT16_MAX, 0, MEMIF_ERR_SUCCESS);
    pair_close(&pair);
}

MEMIF_TEST_MAIN("4.0 refill")
