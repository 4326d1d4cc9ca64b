/* SPDX-License-Identifier: Apache-2.0 */

#include "burst_v4.h"
#include "harness.h"

MEMIF_TEST(errors_have_the_numbers_of_the_4_0_interface)
{
    ck_assert_int_eq(MEMIF_ERR_CONNREFUSED, 2);
    ck_assert_int_eq(MEMIF_ERR_INVAL_ARG, 11);
    ck_assert_int_eq(MEMIF_ERR_NOCONN, 12);
    ck_assert_int_eq(MEMIF_ERR_NOBUF_RING, 18);
    ck_assert_int_eq(MEMIF_ERR_NOBUF, 19);
    ck_assert_int_eq(MEMIF_ERR_QID, 23);
    ck_assert_int_eq(MEMIF_ERR_DISCONNECTED, 35);
    ck_assert_int_eq(MEMIF_ERR_POLL_CANCEL, 37);
    ck_assert_int_eq(MEMIF_ERR_MAX_RING, 38);
}

MEMIF_TEST(null_arguments_are_refused)
{
    struct pair pair = {0};
    uint16_t done;

    (void)open_way(&pair, 1, LOG2_EIGHT);
    memif_conn_handle_t conn = pair.slave.conn;
    ck_assert_int_eq(memif_rx_burst(conn, 0, NULL, 1, &done), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_rx_burst(conn, 0, buffers, 1, NULL), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_buffer_alloc(conn, 0, NULL, 1, &done, 0), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_buffer_alloc(conn, 0, buffers, 1, NULL, 0), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_tx_burst(conn, 0, NULL, 1, &done), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_tx_burst(conn, 0, buffers, 1, NULL), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_buffer_enq_tx(conn, 0, NULL, 1, &done), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_buffer_enq_tx(conn, 0, buffers, 1, NULL), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_buffer_requeue(conn, NULL, buffers), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_buffer_requeue(conn, buffers, NULL), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_get_queue_efd(conn, 0, NULL), MEMIF_ERR_INVAL_ARG);
    pair_close(&pair);
}

MEMIF_TEST(no_handle_and_a_stale_one_are_no_connection)
{
    struct pair pair = {0};

    (void)open_way(&pair, 1, LOG2_EIGHT);
    memif_conn_handle_t stale = pair.slave.conn;
    pair_close(&pair);
    expect_from_tx_calls(NULL, 0, MEMIF_ERR_NOCONN);
    expect_from_rx_calls(NULL, 0, MEMIF_ERR_NOCONN);
    expect_from_tx_calls(stale, 0, MEMIF_ERR_NOCONN);
    expect_from_rx_calls(stale, 0, MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_buffer_requeue(stale, buffers, others), MEMIF_ERR_NOCONN);
}

MEMIF_TEST_LOOP(an_interface_that_is_not_connected_is_disconnected, 0, 2)
{
    struct control control = {0};
    struct end end = {.args.is_master = (uint8_t)_i};

    control_must_open(&control, "a.sock");
    end_must_create(&end, &control);
    expect_from_tx_calls(end.conn, 0, MEMIF_ERR_DISCONNECTED);
    expect_from_rx_calls(end.conn, 0, MEMIF_ERR_DISCONNECTED);
    end_delete(&end);
    control_close(&control);
}

MEMIF_TEST_LOOP(an_interface_whose_peer_left_is_disconnected, 0, 2)
{
    struct pair pair = {0};

    (void)open_way(&pair, 1, LOG2_EIGHT);
    struct end *leaving = _i == 0 ? &pair.master : &pair.slave;
    struct end *staying = _i == 0 ? &pair.slave : &pair.master;
    end_delete(leaving);
    RUN_UNTIL(staying->disconnects == 1);
    expect_from_tx_calls(staying->conn, 0, MEMIF_ERR_DISCONNECTED);
    expect_from_rx_calls(staying->conn, 0, MEMIF_ERR_DISCONNECTED);
    end_delete(staying);
    control_close(&pair.slave_control);
    control_close(&pair.master_control);
}

MEMIF_TEST_MAIN("4.0 errors")
