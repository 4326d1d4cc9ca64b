/* SPDX-License-Identifier: Apache-2.0 */

/* Handles and arguments that are refused. */

#include "harness.h"
#include "pair_v4.h"

static const struct shape small_rings = {.log2_ring_size = 2, .buffer_size = 64};

/* ---- handles that name nothing ---- */

static void expect_no_socket(memif_socket_handle_t sock)
{
    const struct itimerspec timer = {.it_interval.tv_sec = 1};
    memif_socket_handle_t copy = sock;
    memif_conn_handle_t conn = NULL;
    memif_conn_args_t args = {.socket = sock};

    ck_assert_int_eq(memif_delete_socket(&copy), MEMIF_ERR_INVAL_ARG);
    ck_assert_ptr_eq(copy, sock);
    ck_assert_int_eq(memif_create(&conn, &args, NULL, NULL, NULL, NULL), MEMIF_ERR_INVAL_ARG);
    ck_assert_ptr_null(conn);
    ck_assert_int_eq(memif_poll_event(sock, 0), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_cancel_poll_event(sock), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_set_connection_request_timer(sock, timer), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_set_listener_fd(sock, 0), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_register_external_region(sock, NULL, NULL, NULL, NULL),
                     MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_get_listener_fd(sock), -1);
    ck_assert_ptr_null(memif_get_socket_path(sock));
}

MEMIF_TEST(a_handle_that_was_made_up_names_no_socket)
{
    struct control control = {0};
    int local = 0;

    expect_no_socket(NULL); /* also before the library was started */
    expect_no_socket(&local);
    control_must_open(&control, "a.sock");
    expect_no_socket(NULL);
    expect_no_socket(&local);
    expect_no_socket((void *)1);
    expect_no_socket((void *)UINTPTR_MAX);
    expect_no_socket((char *)control.handle + 1);
    control_close(&control);
}

MEMIF_TEST(the_handle_of_a_deleted_socket_names_none)
{
    struct control control = {0};

    control_must_open(&control, "a.sock");
    memif_socket_handle_t stale = control.handle;
    control_close(&control);
    expect_no_socket(stale);
}

MEMIF_TEST(the_handle_of_an_interface_names_no_socket)
{
    struct control control = {0};
    struct end end = {.args.is_master = 1};

    control_must_open(&control, "a.sock");
    end_must_create(&end, &control);
    expect_no_socket(end.conn);
    end_delete(&end);
    control_close(&control);
}

MEMIF_TEST(handles_that_name_no_interface_are_no_connection)
{
    struct control control = {0};
    struct end end = {.args.is_master = 1};
    char text[1024];
    memif_details_t details;

    control_must_open(&control, "a.sock");
    end_must_create(&end, &control);
    memif_conn_handle_t stale = end.conn;
    end_delete(&end);
    memif_conn_handle_t wrong[] = {NULL, stale, control.handle, (void *)UINTPTR_MAX};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        memif_conn_handle_t copy = wrong[i];
        ck_assert_int_eq(memif_delete(&copy), MEMIF_ERR_NOCONN);
        ck_assert_int_eq(memif_request_connection(wrong[i]), MEMIF_ERR_NOCONN);
        ck_assert_int_eq(memif_get_details(wrong[i], &details, text, sizeof(text)),
                         MEMIF_ERR_NOCONN);
        ck_assert_ptr_null(memif_get_socket_handle(wrong[i]));
    }
    control_close(&control);
}

/* ---- arguments of memif_create ---- */

MEMIF_TEST(an_interface_needs_a_socket)
{
    memif_conn_handle_t conn = NULL;
    memif_conn_args_t args = {.is_master = 1};

    start_library();
    ck_assert_int_eq(memif_create(&conn, &args, NULL, NULL, NULL, NULL), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_create(&conn, NULL, NULL, NULL, NULL, NULL), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_create(NULL, &args, NULL, NULL, NULL, NULL), MEMIF_ERR_INVAL_ARG);
    ck_assert_ptr_null(conn);
}

MEMIF_TEST(a_handle_in_use_is_refused_and_kept)
{
    struct control control = {0};
    struct end end = {.args.is_master = 1};

    control_must_open(&control, "a.sock");
    end_must_create(&end, &control);
    memif_conn_handle_t before = end.conn;
    end.args.interface_id = 1;
    ck_assert_int_eq(end_create(&end, &control), MEMIF_ERR_CONN);
    ck_assert_ptr_eq(end.conn, before);
    end_delete(&end);
    control_close(&control);
}

MEMIF_TEST_LOOP(a_ring_size_over_14_is_max_ring, 15, 256)
{
    struct control control = {0};
    struct end end = {.args.log2_ring_size = (uint8_t)_i};

    control_must_open(&control, "a.sock");
    ck_assert_int_eq(end_create(&end, &control), MEMIF_ERR_MAX_RING);
    ck_assert_ptr_null(end.conn);
    control_close(&control);
}

MEMIF_TEST(an_unknown_mode_is_refused)
{
    struct control control = {0};
    struct end end = {0};

    end.args.mode = (memif_interface_mode_t)3;
    control_must_open(&control, "a.sock");
    ck_assert_int_eq(end_create(&end, &control), MEMIF_ERR_INVAL_ARG);
    control_close(&control);
}

MEMIF_TEST(all_24_bytes_of_a_secret_count)
{
    struct pair pair = {0};

    memcpy(pair.master.args.secret, "0123456789abcdefghijklmn", 24);
    memcpy(pair.slave.args.secret, "0123456789abcdefghijklmn", 24);
    pair_open(&pair, &small_rings);
    end_delete(&pair.slave);
    RUN_UNTIL(pair.master.disconnects == 1);
    pair.slave.args.secret[23] = 'x';
    end_must_create(&pair.slave, &pair.slave_control);
    RUN_UNTIL(details_of(pair.slave.conn).error[0] != '\0');
    ck_assert_uint_eq(pair.master.connects, 1);
    pair_close(&pair);
}

MEMIF_TEST_MAIN("4.0 handles")
