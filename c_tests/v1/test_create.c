/* SPDX-License-Identifier: Apache-2.0 */

#include "harness.h"
#include "pair_v1.h"

static const struct shape small_rings = {.log2_ring_size = 2, .buffer_size = 64};

/* ---- arguments ---- */

MEMIF_TEST(zero_arguments_mean_the_defaults)
{
    struct pair pair = {0};

    pair_open(&pair, &(struct shape){0});
    memif_details_t details = details_of(pair.master.conn);
    ck_assert_uint_eq(details.rx_queues_num, 1);
    ck_assert_uint_eq(details.tx_queues_num, 1);
    ck_assert_uint_eq(details.rx_queues[0].ring_size, 1024);
    ck_assert_uint_eq(details.tx_queues[0].ring_size, 1024);
    ck_assert_uint_eq(details.rx_queues[0].buffer_size, 2048);
    ck_assert_uint_eq(details.tx_queues[0].buffer_size, 2048);
    ck_assert_uint_eq(details.id, 0);
    ck_assert_uint_eq(details.mode, MEMIF_INTERFACE_MODE_ETHERNET);
    pair_close(&pair);
}

MEMIF_TEST(no_socket_filename_means_the_default_path)
{
    memif_conn_handle_t conn = NULL;
    memif_conn_args_t args = {0};

    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(memif_create(&conn, &args, NULL, NULL, NULL, NULL), MEMIF_ERR_SUCCESS);
    ck_assert_str_eq((char *)details_of(conn).socket_filename, "/run/vpp/memif.sock");
    stop();
}

MEMIF_TEST(null_arguments_are_refused)
{
    memif_conn_handle_t conn = NULL;
    memif_conn_args_t args = {0};

    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(memif_create(NULL, &args, NULL, NULL, NULL, NULL), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_create(&conn, NULL, NULL, NULL, NULL, NULL), MEMIF_ERR_INVAL_ARG);
    ck_assert_ptr_null(conn);
    stop();
}

MEMIF_TEST(a_handle_in_use_is_refused_and_kept)
{
    struct end end = {0};

    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&end, "a.sock"), MEMIF_ERR_SUCCESS);
    memif_conn_handle_t before = end.conn;
    ck_assert_int_eq(end_create(&end, "b.sock"), MEMIF_ERR_CONN);
    ck_assert_ptr_eq(end.conn, before);
    end_delete(&end);
    stop();
}

MEMIF_TEST_LOOP(a_ring_size_over_14_is_refused, 15, 256)
{
    struct end end = {.args.log2_ring_size = (uint8_t)_i};

    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&end, "a.sock"), MEMIF_ERR_INVAL_ARG);
    ck_assert_ptr_null(end.conn);
    stop();
}

MEMIF_TEST(an_unknown_mode_is_refused)
{
    struct end end = {0};

    end.args.mode = (memif_interface_mode_t)3;
    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&end, "a.sock"), MEMIF_ERR_INVAL_ARG);
    stop();
}

/* ---- delete ---- */

MEMIF_TEST(delete_of_no_handle_is_refused)
{
    memif_conn_handle_t conn = NULL;

    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(memif_delete(NULL), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_delete(&conn), MEMIF_ERR_NOCONN);
    stop();
}

static void expect_unknown(memif_conn_handle_t conn)
{
    memif_conn_handle_t copy = conn;
    memif_details_t details;
    memif_buffer_t buffer;
    char strings[64];
    uint16_t count;
    int fd;

    ck_assert_int_eq(memif_delete(&copy), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_get_details(conn, &details, strings, sizeof(strings)), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_get_queue_efd(conn, 0, &fd), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_set_rx_mode(conn, MEMIF_RX_MODE_POLLING, 0), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_rx_burst(conn, 0, &buffer, 1, &count), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_buffer_free(conn, 0, &buffer, 1, &count), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_buffer_alloc(conn, 0, &buffer, 1, &count), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_tx_burst(conn, 0, &buffer, 1, &count), MEMIF_ERR_NOCONN);
}

MEMIF_TEST(a_stale_handle_is_unknown_to_every_function)
{
    struct pair pair = {0};

    pair_open(&pair, &small_rings);
    memif_conn_handle_t stale = pair.slave.conn;
    end_delete(&pair.slave);
    expect_unknown(stale);
    stop();
}

MEMIF_TEST(a_stale_handle_stays_unknown_when_others_are_created)
{
    struct end end = {0};

    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&end, "a.sock"), MEMIF_ERR_SUCCESS);
    memif_conn_handle_t stale = end.conn;
    end_delete(&end);
    for (int i = 0; i < 300; i++) {
        ck_assert_int_eq(end_create(&end, "a.sock"), MEMIF_ERR_SUCCESS);
        expect_unknown(stale);
        end_delete(&end);
    }
    stop();
}

MEMIF_TEST(a_pointer_that_is_no_handle_is_unknown_to_every_function)
{
    struct pair pair = {0};
    int nothing = 0;

    pair_open(&pair, &small_rings);
    expect_unknown(&nothing);
    expect_unknown((memif_conn_handle_t)(uintptr_t)1);
    expect_unknown((memif_conn_handle_t)UINTPTR_MAX);
    expect_unknown((memif_conn_handle_t)((uintptr_t)pair.master.conn + 1));
    pair_close(&pair);
}

MEMIF_TEST_LOOP(delete_disconnects_both_ends, 0, 2)
{
    struct pair pair = {0};
    struct end *deleted = _i == 0 ? &pair.master : &pair.slave;
    struct end *peer = _i == 0 ? &pair.slave : &pair.master;

    pair_open(&pair, &small_rings);
    end_delete(deleted);
    ck_assert_uint_eq(deleted->disconnects, 1);
    RUN_UNTIL(peer->disconnects == 1);
    ck_assert_uint_eq(shared_mappings(), 0);
    stop();
    ck_assert_uint_eq(deleted->disconnects, 1);
    ck_assert_uint_eq(peer->disconnects, 1);
}

MEMIF_TEST_LOOP(an_interface_that_never_connected_is_not_disconnected, 0, 2)
{
    struct end end = {.args.is_master = (uint8_t)_i};

    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&end, "a.sock"), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(turn(0), MEMIF_ERR_SUCCESS);
    end_delete(&end);
    ck_assert_uint_eq(end.disconnects, 0);
    stop();
    ck_assert_uint_eq(end.disconnects, 0);
}

MEMIF_TEST(the_callbacks_may_be_null)
{
    memif_conn_handle_t master = NULL;
    struct end slave = {0};
    char path[PATH_SIZE];
    memif_conn_args_t args = {.socket_filename = (uint8_t *)path, .is_master = 1};

    path_in_folder(path, "a.sock");
    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(memif_create(&master, &args, NULL, NULL, NULL, NULL), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(end_create(&slave, "a.sock"), MEMIF_ERR_SUCCESS);
    RUN_UNTIL(end_is_up(&slave));
    ck_assert_int_eq(memif_delete(&master), MEMIF_ERR_SUCCESS);
    RUN_UNTIL(slave.disconnects == 1);
    stop();
}

/* ---- delete inside callbacks ---- */

struct deletion {
    struct end *victim;
    int err;
};

static void delete_in_hook(struct end *end)
{
    struct deletion *deletion = end->context;

    deletion->err = memif_delete(&deletion->victim->conn);
}

static void delete_in_interrupt(struct end *end, uint16_t qid)
{
    (void)qid;
    delete_in_hook(end);
}

/* Of the four bits of i: which end has the hook, and which end it deletes. */
static void choose_ends(struct pair *pair, int i, struct end **hooked, struct end **victim)
{
    *hooked = i % 2 == 0 ? &pair->master : &pair->slave;
    *victim = i / 2 == 0 ? &pair->master : &pair->slave;
}

static struct end *other_end(struct pair *pair, const struct end *end)
{
    return end == &pair->master ? &pair->slave : &pair->master;
}

static void create_both(struct pair *pair)
{
    pair->master.args.is_master = 1;
    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&pair->master, "pair.sock"), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(end_create(&pair->slave, "pair.sock"), MEMIF_ERR_SUCCESS);
}

static void expect_balanced_end(struct pair *pair, size_t fds_before)
{
    stop();
    ck_assert_uint_eq(pair->master.connects, pair->master.disconnects);
    ck_assert_uint_eq(pair->slave.connects, pair->slave.disconnects);
    ck_assert_uint_eq(open_fds(), fds_before);
    ck_assert_uint_eq(shared_mappings(), 0);
}

MEMIF_TEST_LOOP(delete_inside_on_connect, 0, 4)
{
    struct pair pair = {0};
    struct deletion deletion = {.err = -1};
    struct end *hooked;
    size_t fds = open_fds();

    choose_ends(&pair, _i, &hooked, &deletion.victim);
    hooked->at_connect = delete_in_hook;
    hooked->context = &deletion;
    create_both(&pair);
    RUN_UNTIL(hooked->connects == 1);
    ck_assert_int_eq(deletion.err, MEMIF_ERR_SUCCESS);
    ck_assert_ptr_null(deletion.victim->conn);
    struct end *peer = other_end(&pair, deletion.victim);
    RUN_UNTIL(peer->connects == peer->disconnects);
    expect_balanced_end(&pair, fds);
}

MEMIF_TEST_LOOP(delete_inside_on_disconnect, 0, 2)
{
    struct pair pair = {0};
    struct deletion deletion = {.err = -1};
    struct end *hooked = _i == 0 ? &pair.master : &pair.slave;
    size_t fds = open_fds();

    deletion.victim = hooked;
    hooked->at_disconnect = delete_in_hook;
    hooked->context = &deletion;
    create_both(&pair);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    end_delete(other_end(&pair, hooked));
    RUN_UNTIL(hooked->disconnects == 1);
    ck_assert_int_eq(deletion.err, MEMIF_ERR_SUCCESS);
    ck_assert_ptr_null(hooked->conn);
    expect_balanced_end(&pair, fds);
}

MEMIF_TEST(delete_inside_the_on_disconnect_of_a_delete_is_refused)
{
    struct pair pair = {0};
    struct deletion deletion = {.victim = &pair.slave};

    pair.slave.at_disconnect = delete_in_hook;
    pair.slave.context = &deletion;
    pair_open(&pair, &small_rings);
    end_delete(&pair.slave);
    ck_assert_int_eq(deletion.err, MEMIF_ERR_NOCONN);
    ck_assert_uint_eq(pair.slave.disconnects, 1);
    stop();
}

MEMIF_TEST_LOOP(delete_inside_on_interrupt, 0, 4)
{
    struct pair pair = {0};
    struct deletion deletion = {.err = -1};
    struct end *hooked;
    size_t fds = open_fds();

    choose_ends(&pair, _i, &hooked, &deletion.victim);
    hooked->at_interrupt = delete_in_interrupt;
    hooked->context = &deletion;
    create_both(&pair);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    send_packets(other_end(&pair, hooked)->conn, 0, 1, 64, 1);
    RUN_UNTIL(hooked->interrupts == 1);
    ck_assert_int_eq(deletion.err, MEMIF_ERR_SUCCESS);
    RUN_UNTIL(pair.master.disconnects == 1 && pair.slave.disconnects == 1);
    if (deletion.victim == hooked)
        ck_assert_uint_eq(hooked->interrupts, 1);
    expect_balanced_end(&pair, fds);
}

static void create_again_in_hook(struct end *end)
{
    struct end *next = end->context;

    next->args = end->args;
    /* The error is the test's to see: without an interface nobody connects. */
    (void)end_create(next, "pair.sock");
}

MEMIF_TEST(a_master_created_inside_on_disconnect_takes_over_its_path)
{
    struct pair pair = {0};
    struct end next = {0};

    pair.master.at_disconnect = create_again_in_hook;
    pair.master.context = &next;
    pair_open(&pair, &small_rings);
    end_delete(&pair.master);
    RUN_UNTIL(end_is_up(&next) && end_is_up(&pair.slave));
    stop();
}

MEMIF_TEST_MAIN("create")
