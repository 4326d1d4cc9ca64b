/* SPDX-License-Identifier: Apache-2.0 */

#include "harness.h"
#include "pair_v1.h"

/* Rings of 4 slots, which hold at least 3 packets. */
static const struct shape small_rings = {.log2_ring_size = 2, .buffer_size = 64};

/* ---- queues that the application waits for by itself ---- */

MEMIF_TEST_LOOP(the_queues_eventfd_wakes_a_poll, 0, WAYS)
{
    struct pair pair = {0};
    struct shape shape = {.version = version_of(_i), .log2_ring_size = 2, .buffer_size = 64};

    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    int efd = queue_efd(flow.to, 0);
    for (uint32_t i = 0; i < 10; i++) {
        ck_assert(!is_readable(efd));
        send_packets(flow.from, 0, 1, 64, i);
        ck_assert(is_readable(efd));
        expect_packets(flow.to, 0, 1, 64, i);
    }
    ck_assert(!is_readable(efd));
    pair_close(&pair);
}

MEMIF_TEST(each_queue_has_an_eventfd_of_its_own)
{
    struct pair pair = {0};

    pair_open(&pair, &(struct shape){.s2m_rings = 2, .log2_ring_size = 2});
    send_packets(pair.slave.conn, 1, 1, 64, 1);
    ck_assert(!is_readable(queue_efd(pair.master.conn, 0)));
    ck_assert(is_readable(queue_efd(pair.master.conn, 1)));
    pair_close(&pair);
}

MEMIF_TEST(the_eventfd_of_a_queue_that_does_not_exist_is_refused)
{
    struct pair pair = {0};
    int fd;

    pair_open(&pair, &small_rings);
    ck_assert_int_eq(memif_get_queue_efd(pair.slave.conn, 1, &fd), MEMIF_ERR_QID);
    ck_assert_int_eq(memif_get_queue_efd(pair.slave.conn, 65535, &fd), MEMIF_ERR_QID);
    ck_assert_int_eq(memif_get_queue_efd(pair.slave.conn, 0, NULL), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_set_rx_mode(pair.slave.conn, MEMIF_RX_MODE_POLLING, 1), MEMIF_ERR_QID);
    ck_assert_int_eq(memif_set_rx_mode(pair.slave.conn, (memif_rx_mode_t)2, 0),
                     MEMIF_ERR_INVAL_ARG);
    end_delete(&pair.master);
    RUN_UNTIL(pair.slave.disconnects == 1);
    ck_assert_int_eq(memif_get_queue_efd(pair.slave.conn, 0, &fd), MEMIF_ERR_DISCONNECTED);
    ck_assert_int_eq(memif_set_rx_mode(pair.slave.conn, MEMIF_RX_MODE_POLLING, 0),
                     MEMIF_ERR_DISCONNECTED);
    end_delete(&pair.slave);
    stop();
}

static void set_mode(memif_conn_handle_t conn, memif_rx_mode_t mode)
{
    ck_assert_int_eq(memif_set_rx_mode(conn, mode, 0), MEMIF_ERR_SUCCESS);
}

MEMIF_TEST_LOOP(nobody_signals_a_queue_in_polling_mode, 0, WAYS)
{
    struct pair pair = {0};
    struct shape shape = {.version = version_of(_i), .log2_ring_size = 2, .buffer_size = 64};

    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    int efd = queue_efd(flow.to, 0);
    set_mode(flow.to, MEMIF_RX_MODE_POLLING);
    for (uint32_t i = 0; i < 10; i++) {
        send_packets(flow.from, 0, 1, 64, i);
        ck_assert(!is_readable(efd));
        expect_packets(flow.to, 0, 1, 64, i);
    }
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_queue_back_in_interrupt_mode_is_signalled, 0, WAYS)
{
    struct pair pair = {0};
    struct shape shape = {.version = version_of(_i), .log2_ring_size = 2, .buffer_size = 64};

    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    int efd = queue_efd(flow.to, 0);
    set_mode(flow.to, MEMIF_RX_MODE_POLLING);
    set_mode(flow.to, MEMIF_RX_MODE_INTERRUPT);
    expect_packets(flow.to, 0, 0, 0, 0);
    ck_assert(!is_readable(efd));
    send_packets(flow.from, 0, 1, 64, 1);
    ck_assert(is_readable(efd));
    expect_packets(flow.to, 0, 1, 64, 1);
    ck_assert(!is_readable(efd));
    pair_close(&pair);
}

MEMIF_TEST(packets_that_came_in_polling_mode_are_not_forgotten_in_interrupt_mode)
{
    struct pair pair = {.master.at_interrupt = count_interrupt};

    pair_open(&pair, &small_rings);
    set_mode(pair.master.conn, MEMIF_RX_MODE_POLLING);
    send_packets(pair.slave.conn, 0, 2, 64, 1);
    ck_assert_int_eq(turn(0), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(pair.master.interrupts, 0);
    set_mode(pair.master.conn, MEMIF_RX_MODE_INTERRUPT);
    RUN_UNTIL(pair.master.interrupts > 0);
    expect_packets(pair.master.conn, 0, 2, 64, 1);
    pair_close(&pair);
}

MEMIF_TEST(the_rx_mode_ends_with_the_connection)
{
    struct pair pair = {0};

    pair_open(&pair, &small_rings);
    set_mode(pair.master.conn, MEMIF_RX_MODE_POLLING);
    end_delete(&pair.slave);
    RUN_UNTIL(pair.master.disconnects == 1);
    ck_assert_int_eq(end_create(&pair.slave, "pair.sock"), MEMIF_ERR_SUCCESS);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    send_packets(pair.slave.conn, 0, 1, 64, 1);
    ck_assert(is_readable(queue_efd(pair.master.conn, 0)));
    pair_close(&pair);
}

static void poll_in_hook(struct end *end)
{
    int *err = end->context;

    *err = memif_set_rx_mode(end->conn, MEMIF_RX_MODE_POLLING, 0);
}

MEMIF_TEST(the_rx_mode_can_be_set_inside_on_connect)
{
    int err = -1;
    struct pair pair = {.master = {.at_connect = poll_in_hook, .context = &err}};

    pair_open(&pair, &small_rings);
    ck_assert_int_eq(err, MEMIF_ERR_SUCCESS);
    send_packets(pair.slave.conn, 0, 1, 64, 1);
    ck_assert(!is_readable(queue_efd(pair.master.conn, 0)));
    pair_close(&pair);
}

/* ---- when a burst ends the readiness ---- */

static void receive(memif_conn_handle_t conn, uint16_t count, uint16_t expected, int expected_err)
{
    memif_buffer_t buffers[4];
    uint16_t done;

    ck_assert_int_eq(memif_rx_burst(conn, 0, buffers, count, &done), expected_err);
    ck_assert_uint_eq(done, expected);
    ck_assert_int_eq(memif_buffer_free(conn, 0, buffers, expected, &done), MEMIF_ERR_SUCCESS);
}

MEMIF_TEST_LOOP(the_eventfd_stays_readable_until_the_ring_was_seen_empty, 0, WAYS)
{
    struct pair pair = {0};
    struct shape shape = {.version = version_of(_i), .log2_ring_size = 2, .buffer_size = 64};

    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    int efd = queue_efd(flow.to, 0);
    send_packets(flow.from, 0, 3, 64, 1);
    receive(flow.to, 0, 0, MEMIF_ERR_NOBUF);
    ck_assert(is_readable(efd));
    receive(flow.to, 2, 2, MEMIF_ERR_NOBUF);
    ck_assert(is_readable(efd));
    receive(flow.to, 4, 1, MEMIF_ERR_SUCCESS);
    ck_assert(!is_readable(efd));
    receive(flow.to, 4, 0, MEMIF_ERR_SUCCESS);
    ck_assert(!is_readable(efd));
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_burst_that_was_just_filled_leaves_nothing_stranded, 0, WAYS)
{
    struct pair pair = {0};
    struct shape shape = {.version = version_of(_i), .log2_ring_size = 2, .buffer_size = 64};

    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    send_packets(flow.from, 0, 2, 64, 1);
    receive(flow.to, 2, 2, MEMIF_ERR_SUCCESS);
    send_packets(flow.from, 0, 1, 64, 3);
    ck_assert(is_readable(queue_efd(flow.to, 0)));
    receive(flow.to, 2, 1, MEMIF_ERR_SUCCESS);
    ck_assert(!is_readable(queue_efd(flow.to, 0)));
    pair_close(&pair);
}

MEMIF_TEST_MAIN("queue eventfds")
