/* SPDX-License-Identifier: Apache-2.0 */

#include "harness.h"
#include "pair_v1.h"

static const struct shape small_rings = {.log2_ring_size = 2, .buffer_size = 64};

MEMIF_TEST_LOOP(cleanup_allows_another_init, 0, POLLING_STYLES)
{
    struct shape shape = small_rings;

    shape.polling = (enum polling)_i;
    for (int cycle = 0; cycle < 10; cycle++) {
        struct pair pair = {0};

        pair_open(&pair, &shape);
        send_packets(pair.slave.conn, 0, 2, 64, 1);
        expect_packets(pair.master.conn, 0, 2, 64, 1);
        pair_close(&pair);
    }
}

MEMIF_TEST(cleanup_allows_the_other_style_of_polling)
{
    for (int cycle = 0; cycle < 6; cycle++) {
        struct pair pair = {0};
        struct shape shape = small_rings;

        shape.polling = cycle % 2 == 0 ? LIBRARY_POLLS : APPLICATION_POLLS;
        pair_open(&pair, &shape);
        pair_close(&pair);
    }
}

MEMIF_TEST(a_second_init_is_refused_and_changes_nothing)
{
    struct pair pair = {0};

    pair_open(&pair, &small_rings);
    ck_assert_int_eq(memif_init(NULL, NULL), MEMIF_ERR_ALREADY);
    send_packets(pair.slave.conn, 0, 1, 64, 1);
    expect_packets(pair.master.conn, 0, 1, 64, 1);
    ck_assert_int_eq(turn(0), MEMIF_ERR_SUCCESS);
    pair_close(&pair);
}

MEMIF_TEST(cleanup_without_init_succeeds)
{
    ck_assert_int_eq(memif_cleanup(), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(memif_cleanup(), MEMIF_ERR_SUCCESS);
}

MEMIF_TEST_LOOP(a_second_cleanup_succeeds, 0, POLLING_STYLES)
{
    start((enum polling)_i, ANY_VERSION);
    stop();
    ck_assert_int_eq(memif_cleanup(), MEMIF_ERR_SUCCESS);
}

/* ---- what cleanup leaves ---- */

MEMIF_TEST_LOOP(cleanup_leaves_no_descriptor_open, 0, POLLING_STYLES)
{
    struct pair pair = {0};
    struct shape shape = small_rings;
    size_t before = open_fds();

    shape.polling = (enum polling)_i;
    pair_open(&pair, &shape);
    ck_assert_uint_gt(open_fds(), before);
    stop();
    ck_assert_uint_eq(open_fds(), before);
}

MEMIF_TEST_LOOP(cleanup_in_every_step_of_a_handshake_leaves_no_descriptor_open, 0, 40)
{
    struct pair pair = {.master.args.is_master = 1};
    size_t before = open_fds();

    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&pair.master, "step.sock"), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(end_create(&pair.slave, "step.sock"), MEMIF_ERR_SUCCESS);
    for (int step = 0; step < _i; step++)
        ck_assert_int_eq(turn(0), MEMIF_ERR_SUCCESS);
    stop();
    ck_assert_uint_eq(open_fds(), before);
    ck_assert_uint_eq(shared_mappings(), 0);
    ck_assert_uint_eq(pair.master.disconnects, pair.master.connects);
    ck_assert_uint_eq(pair.slave.disconnects, pair.slave.connects);
}

MEMIF_TEST(cleanup_removes_the_socket_file)
{
    struct pair pair = {0};

    pair_open(&pair, &small_rings);
    ck_assert_uint_eq(files_in_folder(), 1);
    stop();
    ck_assert_uint_eq(files_in_folder(), 0);
}

MEMIF_TEST(cleanup_unmaps_what_was_shared)
{
    struct pair pair = {0};

    ck_assert_uint_eq(shared_mappings(), 0);
    pair_open(&pair, &small_rings);
    ck_assert_uint_ge(shared_mappings(), 2);
    stop();
    ck_assert_uint_eq(shared_mappings(), 0);
}

static void connect_large_pair_once(void)
{
    struct pair pair = {0};

    pair_open(&pair, &(struct shape){.buffer_size = 65535});
    stop();
}

MEMIF_TEST(cleanup_lets_the_address_space_not_grow)
{
    const size_t connection = (size_t)2 * 2 * 1024 * 65535; /* two ends map two full rings */

    connect_large_pair_once();
    size_t before = address_space_bytes();
    for (int cycle = 0; cycle < 20; cycle++)
        connect_large_pair_once();
    ck_assert_uint_lt(address_space_bytes(), before + connection);
}

MEMIF_TEST(cleanup_ends_connections_and_handles)
{
    struct pair pair = {0};

    pair_open(&pair, &small_rings);
    stop();
    ck_assert_uint_eq(pair.master.disconnects, 1);
    ck_assert_uint_eq(pair.slave.disconnects, 1);
    ck_assert_int_eq(memif_delete(&pair.master.conn), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_delete(&pair.slave.conn), MEMIF_ERR_NOCONN);
}

/* ---- calls at the wrong time ---- */

static void expect_errors_everywhere(void)
{
    memif_conn_handle_t conn = NULL;
    memif_conn_args_t args = {.is_master = 1};
    memif_buffer_t buffer;
    memif_details_t details;
    char strings[512];
    uint16_t count;
    int fd;

    ck_assert_int_ne(memif_create(&conn, &args, NULL, NULL, NULL, NULL), MEMIF_ERR_SUCCESS);
    ck_assert_ptr_null(conn);
    ck_assert_int_ne(memif_poll_event(-1), MEMIF_ERR_SUCCESS);
    ck_assert_int_ne(memif_cancel_poll_event(), MEMIF_ERR_SUCCESS);
    ck_assert_int_ne(memif_control_fd_handler(0, MEMIF_FD_EVENT_READ), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(memif_delete(&conn), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_get_details(conn, &details, strings, sizeof(strings)), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_get_queue_efd(conn, 0, &fd), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_set_rx_mode(conn, MEMIF_RX_MODE_POLLING, 0), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_rx_burst(conn, 0, &buffer, 1, &count), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_buffer_free(conn, 0, &buffer, 1, &count), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_buffer_alloc(conn, 0, &buffer, 1, &count, 0), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_tx_burst(conn, 0, &buffer, 1, &count), MEMIF_ERR_NOCONN);
}

MEMIF_TEST(calls_before_init_give_an_error)
{
    expect_errors_everywhere();
}

MEMIF_TEST_LOOP(calls_after_cleanup_give_an_error, 0, POLLING_STYLES)
{
    start((enum polling)_i, ANY_VERSION);
    stop();
    expect_errors_everywhere();
}

MEMIF_TEST(polling_by_the_library_is_an_error_when_the_application_polls)
{
    start(APPLICATION_POLLS, ANY_VERSION);
    ck_assert_int_eq(memif_poll_event(-1), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_cancel_poll_event(), MEMIF_ERR_INVAL_ARG);
    stop();
}

/* ---- the name of the program ---- */

static void expect_name_at_peer(char *app_name, const char *expected)
{
    struct pair pair = {0};
    memif_details_t details;
    char strings[512];

    ck_assert_int_eq(memif_init(NULL, app_name), MEMIF_ERR_SUCCESS);
    if (app_name != NULL)
        memset(app_name, 'x', strlen(app_name)); /* the library keeps a copy */
    pair_connect(&pair, &small_rings, "name.sock");
    const memif_conn_handle_t ends[] = {pair.master.conn, pair.slave.conn};
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(memif_get_details(ends[i], &details, strings, sizeof(strings)),
                         MEMIF_ERR_SUCCESS);
        ck_assert_str_eq((char *)details.inst_name, expected);
        ck_assert_str_eq((char *)details.remote_inst_name, expected);
    }
    pair_delete(&pair);
    ck_assert_int_eq(memif_cleanup(), MEMIF_ERR_SUCCESS);
}

MEMIF_TEST(without_an_app_name_the_default_is_told)
{
    expect_name_at_peer(NULL, MEMIF_DEFAULT_APP_NAME);
}

MEMIF_TEST(the_app_name_is_told)
{
    char name[] = "my program";

    expect_name_at_peer(name, "my program");
}

MEMIF_TEST(a_long_app_name_is_cut_to_31_bytes)
{
    char name[] = "abcdefghijklmnopqrstuvwxyz0123456789";

    expect_name_at_peer(name, "abcdefghijklmnopqrstuvwxyz01234");
}

MEMIF_TEST_MAIN("init")
