/* SPDX-License-Identifier: Apache-2.0 */

#include "harness.h"
#include "pair_v1.h"

/* Rings of 8 slots. */
enum { LOG2_EIGHT = 3 };

static memif_buffer_t buffers[MAX_BURST];

static struct flow open_way(struct pair *pair, int way, uint8_t log2_ring_size)
{
    struct shape shape = {
        .version = version_of(way), .log2_ring_size = log2_ring_size, .buffer_size = 64};

    pair_open(pair, &shape);
    return flow_of(pair, &shape, way);
}

MEMIF_TEST(null_arguments_are_refused)
{
    struct pair pair = {0};
    uint16_t done;

    pair_open(&pair, &(struct shape){.log2_ring_size = LOG2_EIGHT});
    memif_conn_handle_t conn = pair.master.conn;
    ck_assert_int_eq(memif_rx_burst(conn, 0, NULL, 1, &done), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_rx_burst(conn, 0, buffers, 1, NULL), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_buffer_free(conn, 0, NULL, 1, &done), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_buffer_free(conn, 0, buffers, 1, NULL), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_buffer_alloc(conn, 0, NULL, 1, &done), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_buffer_alloc(conn, 0, buffers, 1, NULL), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_tx_burst(conn, 0, NULL, 1, &done), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_tx_burst(conn, 0, buffers, 1, NULL), MEMIF_ERR_INVAL_ARG);
    pair_close(&pair);
}

static void expect_from_all(memif_conn_handle_t conn, uint16_t qid, int err)
{
    uint16_t done = 1;

    ck_assert_int_eq(memif_rx_burst(conn, qid, buffers, 1, &done), err);
    ck_assert_uint_eq(done, 0);
    done = 1;
    ck_assert_int_eq(memif_buffer_free(conn, qid, buffers, 1, &done), err);
    ck_assert_uint_eq(done, 0);
    done = 1;
    ck_assert_int_eq(memif_buffer_alloc(conn, qid, buffers, 1, &done), err);
    ck_assert_uint_eq(done, 0);
    done = 1;
    ck_assert_int_eq(memif_tx_burst(conn, qid, buffers, 1, &done), err);
    ck_assert_uint_eq(done, 0);
}

MEMIF_TEST(no_handle_is_no_connection)
{
    struct pair pair = {0};

    pair_open(&pair, &(struct shape){.log2_ring_size = LOG2_EIGHT});
    expect_from_all(NULL, 0, MEMIF_ERR_NOCONN);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(an_interface_that_is_not_connected_yet_is_disconnected, 0, 2)
{
    struct end end = {.args.is_master = (uint8_t)_i};

    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&end, "a.sock"), MEMIF_ERR_SUCCESS);
    expect_from_all(end.conn, 0, MEMIF_ERR_DISCONNECTED);
    stop();
}

MEMIF_TEST_LOOP(an_interface_whose_peer_left_is_disconnected, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    struct end *left = flow.from == pair.master.conn ? &pair.master : &pair.slave;
    struct end *peer = left == &pair.master ? &pair.slave : &pair.master;

    send_packets(flow.from, 0, 1, 64, 1);
    end_delete(left);
    RUN_UNTIL(peer->disconnects == 1);
    expect_from_all(peer->conn, 0, MEMIF_ERR_DISCONNECTED);
    stop();
}

static void read_in_hook(struct end *end)
{
    bool *intact = end->context;

    *intact = holds_pattern(buffers[0].data, 64, 1);
}

MEMIF_TEST_LOOP(received_packets_can_be_read_until_on_disconnect_returns, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    struct end *receiver = flow.to == pair.master.conn ? &pair.master : &pair.slave;
    bool intact = false;
    uint16_t done;

    receiver->at_disconnect = read_in_hook;
    receiver->context = &intact;
    send_packets(flow.from, 0, 1, 64, 1);
    ck_assert_int_eq(memif_rx_burst(flow.to, 0, buffers, 1, &done), MEMIF_ERR_SUCCESS);
    end_delete(receiver);
    ck_assert(intact);
    stop();
}

MEMIF_TEST_MAIN("errors")
