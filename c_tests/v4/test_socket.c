/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"
#include "pair_v4.h"

static const struct shape small_rings = {.log2_ring_size = 2, .buffer_size = 64};

/* Not in the header: programs that use the older name declare it themselves. */
const char *memif_get_socket_filename(memif_socket_handle_t sock);

/* The first use of the library starts it, and what it opens then stays. */
static void start_library(void)
{
    struct control control = {0};

    control_must_open(&control, "first.sock");
    control_close(&control);
}

/* ---- the library ---- */

MEMIF_TEST(the_protocol_version_is_512)
{
    ck_assert_uint_eq(memif_get_version(), 512);
    ck_assert_str_eq(memif_get_version_str(), "2.0");
}

/* ---- create and delete ---- */

MEMIF_TEST_LOOP(a_socket_is_created_and_deleted, 0, POLLING_STYLES)
{
    struct control control = {.polling = (enum polling)_i};

    control_must_open(&control, "a.sock");
    ck_assert_ptr_nonnull(control.handle);
    control_close(&control);
}

MEMIF_TEST(null_arguments_are_refused)
{
    memif_socket_handle_t sock = NULL;
    memif_socket_args_t args = {0};

    ck_assert_int_eq(memif_create_socket(NULL, &args, NULL), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_create_socket(&sock, NULL, NULL), MEMIF_ERR_INVAL_ARG);
    ck_assert_ptr_null(sock);
    ck_assert_int_eq(memif_delete_socket(NULL), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_delete_socket(&sock), MEMIF_ERR_INVAL_ARG);
}

MEMIF_TEST(creating_a_socket_makes_no_file)
{
    struct control control = {0};

    control_must_open(&control, "a.sock");
    ck_assert_uint_eq(files_in_folder(), 0);
    control_close(&control);
}

MEMIF_TEST_LOOP(a_socket_with_an_interface_is_not_deleted, 0, 2)
{
    struct control control = {0};
    struct end end = {.args.is_master = (uint8_t)_i};

    control_must_open(&control, "a.sock");
    end_must_create(&end, &control);
    memif_socket_handle_t before = control.handle;
    ck_assert_int_eq(memif_delete_socket(&control.handle), MEMIF_ERR_INVAL_ARG);
    ck_assert_ptr_eq(control.handle, before);
    ck_assert_str_eq(memif_get_socket_path(control.handle), control.path);
    ck_assert_int_eq(control_turn(&control, 0), MEMIF_ERR_SUCCESS);
    end_delete(&end);
    control_close(&control);
}

MEMIF_TEST_LOOP(nothing_is_left_of_a_connection, 0, POLLING_STYLES *VERSIONS)
{
    struct pair pair = {.master.at_interrupt = count_interrupt};
    struct shape shape = {.polling = (enum polling)(_i / VERSIONS), .version = version_of(_i)};

    start_library();
    size_t fds = open_fds();
    pair_open(&pair, &shape);
    send_packets(pair.slave.conn, 0, 3, 64, 1);
    RUN_UNTIL(pair.master.interrupts > 0);
    ck_assert_uint_gt(shared_mappings(), 0);
    pair_close(&pair);
    ck_assert_uint_eq(open_fds(), fds);
    ck_assert_uint_eq(files_in_folder(), 0);
    ck_assert_uint_eq(shared_mappings(), 0);
}

MEMIF_TEST_LOOP(nothing_is_left_when_the_peer_does_not_answer, 0, 2)
{
    struct control control = {0};
    struct control silent = {0};
    struct end end = {.args.is_master = (uint8_t)_i}, peer = {.args.is_master = (uint8_t)!_i};

    start_library();
    size_t fds = open_fds();
    control_must_open(&control, "a.sock");
    control_must_open(&silent, "a.sock");
    end_must_create(_i ? &end : &peer, _i ? &control : &silent);
    end_must_create(_i ? &peer : &end, _i ? &silent : &control);
    ck_assert_int_eq(control_turn(&control, 0), MEMIF_ERR_SUCCESS);
    end_delete(&end);
    control_close(&control);
    end_delete(&peer);
    control_close(&silent);
    ck_assert_uint_eq(open_fds(), fds);
    ck_assert_uint_eq(files_in_folder(), 0);
    ck_assert_uint_eq(shared_mappings(), 0);
}

MEMIF_TEST(a_stale_socket_file_is_replaced)
{
    struct control control = {0};
    struct end end = {.args.is_master = 1};
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    path_in_folder(control.path, "a.sock");
    memcpy(address.sun_path, control.path, strlen(control.path) + 1);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(close(fd), 0);
    control_must_open(&control, "a.sock");
    end_must_create(&end, &control);
    end_delete(&end);
    control_close(&control);
    ck_assert_uint_eq(files_in_folder(), 0);
}

MEMIF_TEST(a_file_that_is_no_socket_is_refused_and_kept)
{
    struct control control = {0};
    struct end end = {.args.is_master = 1};
    char path[PATH_SIZE];

    path_in_folder(path, "a.sock");
    ck_assert_int_eq(close(open(path, O_CREAT | O_EXCL, 0600)), 0);
    control_must_open(&control, "a.sock");
    ck_assert_int_eq(end_create(&end, &control), MEMIF_ERR_FILE_NOT_SOCK);
    ck_assert_ptr_null(end.conn);
    control_close(&control);
    ck_assert_int_eq(access(path, F_OK), 0);
}

MEMIF_TEST_LOOP(interfaces_with_different_ids_share_a_socket, 0, POLLING_STYLES)
{
    struct control masters = {.polling = (enum polling)_i}, slaves = {.polling = (enum polling)_i};
    struct end ends[6] = {0};

    control_must_open(&masters, "a.sock");
    control_must_open(&slaves, "a.sock");
    for (unsigned i = 0; i < 6; i++) {
        ends[i].args = (memif_conn_args_t){
            .is_master = i < 3, .interface_id = i % 3, .log2_ring_size = 2, .buffer_size = 64};
        end_must_create(&ends[i], i < 3 ? &masters : &slaves);
    }
    for (unsigned i = 0; i < 6; i++)
        RUN_UNTIL(end_is_up(&ends[i]));
    for (unsigned i = 0; i < 3; i++)
        send_packets(ends[3 + i].conn, 0, 2, 64, i);
    for (unsigned i = 0; i < 3; i++)
        expect_packets(ends[i].conn, 0, 2, 64, i);
    for (unsigned i = 0; i < 6; i++)
        end_delete(&ends[i]);
    control_close(&masters);
    control_close(&slaves);
}

MEMIF_TEST(an_id_that_another_master_on_the_socket_has_is_refused)
{
    struct control control = {0};
    struct end first = {.args.is_master = 1}, second = {.args.is_master = 1};

    control_must_open(&control, "a.sock");
    end_must_create(&first, &control);
    ck_assert_int_eq(end_create(&second, &control), MEMIF_ERR_ID);
    ck_assert_ptr_null(second.conn);
    end_delete(&first);
    control_close(&control);
}

/* ---- path and name ---- */

MEMIF_TEST(no_path_means_the_default)
{
    struct control control = {0};

    ck_assert_int_eq(control_open_at(&control, ""), MEMIF_ERR_SUCCESS);
    ck_assert_str_eq(memif_get_socket_path(control.handle), "/run/vpp/memif.sock");
    control_close(&control);
}

MEMIF_TEST(no_app_name_means_the_default)
{
    struct pair pair = {0};

    pair_open(&pair, &small_rings);
    ck_assert_str_eq((char *)details_of(pair.master.conn).inst_name, MEMIF_DEFAULT_APP_NAME);
    ck_assert_str_eq((char *)details_of(pair.master.conn).remote_inst_name, "libmemif-app");
    pair_close(&pair);
}

MEMIF_TEST(an_app_name_reaches_the_peer)
{
    struct pair pair = {.master_control.args.app_name = "north",
                        .slave_control.args.app_name = "south"};

    pair_open(&pair, &small_rings);
    ck_assert_str_eq((char *)details_of(pair.master.conn).remote_inst_name, "south");
    ck_assert_str_eq((char *)details_of(pair.slave.conn).remote_inst_name, "north");
    pair_close(&pair);
}

MEMIF_TEST(an_app_name_may_fill_its_field)
{
    struct pair pair = {0};
    static const char full[] = "0123456789abcdef0123456789abcdef";

    memcpy(pair.master_control.args.app_name, full, 32);
    memcpy(pair.slave_control.args.app_name, full, 32);
    pair_open(&pair, &small_rings);
    ck_assert_int_eq(strncmp((char *)details_of(pair.master.conn).remote_inst_name, full, 31), 0);
    ck_assert_int_eq(strncmp((char *)details_of(pair.slave.conn).remote_inst_name, full, 31), 0);
    pair_close(&pair);
}

static void path_of_length(char path[PATH_SIZE], size_t length)
{
    path_in_folder(path, "");
    size_t before = strlen(path);
    ck_assert_uint_lt(before, length);
    memset(path + before, 'a', length - before);
    path[length] = '\0';
}

/* 108 bytes are what the field holds without a terminating NUL, and more than an address does. */
MEMIF_TEST_LOOP(a_path_may_fill_its_field, 107, 109)
{
    struct pair pair = {0};
    char path[PATH_SIZE];

    path_of_length(path, (size_t)_i);
    ck_assert_int_eq(control_open_at(&pair.master_control, path), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(control_open_at(&pair.slave_control, path), MEMIF_ERR_SUCCESS);
    pair_connect(&pair, &small_rings);
    ck_assert_str_eq(memif_get_socket_path(pair.master_control.handle), path);
    pair_close(&pair);
    ck_assert_uint_eq(files_in_folder(), 0);
}

MEMIF_TEST(a_folder_that_does_not_exist_is_no_file)
{
    struct control control = {0};
    struct end end = {.args.is_master = 1};

    control_must_open(&control, "none/a.sock");
    ck_assert_int_eq(end_create(&end, &control), MEMIF_ERR_NO_FILE);
    ck_assert_ptr_null(end.conn);
    control_close(&control);
}

MEMIF_TEST(an_abstract_socket_has_no_file)
{
    struct pair pair = {0};
    char path[PATH_SIZE];

    path_in_folder(path, "a.sock");
    path[0] = '@';
    ck_assert_int_eq(control_open_at(&pair.master_control, path), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(control_open_at(&pair.slave_control, path), MEMIF_ERR_SUCCESS);
    pair_connect(&pair, &small_rings);
    ck_assert_uint_eq(files_in_folder(), 0);
    pair_close(&pair);
}

/* ---- accessors ---- */

MEMIF_TEST(the_socket_of_an_interface_is_the_one_it_was_created_on)
{
    struct control controls[2] = {0};
    struct end ends[2] = {{.args.is_master = 1}, {.args.is_master = 1}};

    for (int i = 0; i < 2; i++) {
        control_must_open(&controls[i], i == 0 ? "a.sock" : "b.sock");
        end_must_create(&ends[i], &controls[i]);
    }
    for (int i = 0; i < 2; i++) {
        ck_assert_ptr_eq(memif_get_socket_handle(ends[i].conn), controls[i].handle);
        ck_assert_str_eq(memif_get_socket_path(controls[i].handle), controls[i].path);
    }
    for (int i = 0; i < 2; i++) {
        end_delete(&ends[i]);
        control_close(&controls[i]);
    }
}

MEMIF_TEST(the_older_name_of_get_socket_path_still_works)
{
    struct control control = {0};

    control_must_open(&control, "a.sock");
    ck_assert_str_eq(memif_get_socket_filename(control.handle), control.path);
    control_close(&control);
}

MEMIF_TEST(accessors_answer_null_handles_with_nothing)
{
    ck_assert_ptr_null(memif_get_socket_handle(NULL));
    ck_assert_ptr_null(memif_get_socket_path(NULL));
    ck_assert_ptr_null(memif_get_socket_filename(NULL));
    ck_assert_int_eq(memif_get_listener_fd(NULL), -1);
}

MEMIF_TEST(a_socket_has_a_listener_while_it_has_masters)
{
    struct control control = {0};
    struct end ends[2] = {{.args.is_master = 1}, {.args = {.is_master = 1, .interface_id = 1}}};

    control_must_open(&control, "a.sock");
    ck_assert_int_eq(memif_get_listener_fd(control.handle), -1);
    end_must_create(&ends[0], &control);
    int fd = memif_get_listener_fd(control.handle);
    int listens = 0;
    socklen_t size = sizeof(listens);
    ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size), 0);
    ck_assert_int_eq(listens, 1);
    end_must_create(&ends[1], &control);
    end_delete(&ends[0]);
    ck_assert_int_eq(memif_get_listener_fd(control.handle), fd);
    end_delete(&ends[1]);
    ck_assert_int_eq(memif_get_listener_fd(control.handle), -1);
    control_close(&control);
}

MEMIF_TEST(the_socket_of_a_slave_has_no_listener)
{
    struct control control = {0};
    struct end end = {0};

    control_must_open(&control, "a.sock");
    end_must_create(&end, &control);
    ck_assert_int_eq(memif_get_listener_fd(control.handle), -1);
    end_delete(&end);
    control_close(&control);
}

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

/* ---- polling ---- */

MEMIF_TEST(each_socket_is_polled_by_itself)
{
    struct pair pair = {.slave_control.polling = APPLICATION_POLLS};

    pair.master.args.is_master = 1;
    control_must_open(&pair.master_control, "a.sock");
    control_must_open(&pair.slave_control, "a.sock");
    end_must_create(&pair.master, &pair.master_control);
    end_must_create(&pair.slave, &pair.slave_control);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(control_turn(&pair.master_control, 0), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(pair.slave.connects, 0);
    ck_assert_uint_eq(pair.slave_control.log.watched, 2);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    pair_close(&pair);
}

MEMIF_TEST(many_sockets_live_side_by_side)
{
    enum { PAIRS = 8 };
    static struct pair pairs[PAIRS];
    char name[16];

    for (unsigned i = 0; i < PAIRS; i++) {
        pairs[i].master_control.polling = (enum polling)(i % POLLING_STYLES);
        pairs[i].slave_control.polling = (enum polling)(i / POLLING_STYLES % POLLING_STYLES);
        (void)snprintf(name, sizeof(name), "%u.sock", i);
        control_must_open(&pairs[i].master_control, name);
        control_must_open(&pairs[i].slave_control, name);
        pair_connect(&pairs[i], &small_rings);
    }
    for (unsigned i = 0; i < PAIRS; i++)
        send_packets(pairs[i].slave.conn, 0, 2, 64, i);
    for (unsigned i = 0; i < PAIRS; i++)
        expect_packets(pairs[i].master.conn, 0, 2, 64, i);
    for (unsigned i = 0; i < PAIRS; i++)
        pair_close(&pairs[i]);
    ck_assert_uint_eq(files_in_folder(), 0);
}

MEMIF_TEST(poll_event_returns_when_nothing_happens)
{
    struct control control = {0};

    control_must_open(&control, "a.sock");
    ck_assert_int_eq(memif_poll_event(control.handle, 0), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(memif_poll_event(control.handle, 1), MEMIF_ERR_SUCCESS);
    control_close(&control);
}

MEMIF_TEST(poll_event_is_not_for_sockets_that_the_program_polls)
{
    struct control control = {.polling = APPLICATION_POLLS};

    control_must_open(&control, "a.sock");
    ck_assert_int_eq(memif_poll_event(control.handle, 0), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_cancel_poll_event(control.handle), MEMIF_ERR_INVAL_ARG);
    control_close(&control);
}

static void ignore_signal(int number)
{
    (void)number;
}

/* Again and again, for the first may come before the wait. */
static void ring_the_alarm(suseconds_t microseconds)
{
    const struct itimerval often = {.it_interval.tv_usec = microseconds,
                                    .it_value.tv_usec = microseconds};

    ck_assert_int_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
}

MEMIF_TEST(a_signal_ends_the_wait_with_a_negative_value)
{
    struct sigaction action = {.sa_handler = ignore_signal};
    struct control control = {0};

    control_must_open(&control, "a.sock");
    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    ring_the_alarm(5000);
    int err = memif_poll_event(control.handle, -1);
    ring_the_alarm(0);
    ck_assert_int_lt(err, 0);
    ck_assert_int_eq(memif_poll_event(control.handle, 0), MEMIF_ERR_SUCCESS);
    control_close(&control);
}

MEMIF_TEST(cancel_ends_the_next_poll_event_once)
{
    struct control control = {0};

    control_must_open(&control, "a.sock");
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(memif_cancel_poll_event(control.handle), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(memif_poll_event(control.handle, -1), MEMIF_ERR_POLL_CANCEL);
    ck_assert_int_eq(memif_poll_event(control.handle, 0), MEMIF_ERR_SUCCESS);
    control_close(&control);
}

MEMIF_TEST(cancel_concerns_one_socket)
{
    struct control controls[2] = {0};

    control_must_open(&controls[0], "a.sock");
    control_must_open(&controls[1], "b.sock");
    ck_assert_int_eq(memif_cancel_poll_event(controls[0].handle), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(memif_poll_event(controls[1].handle, 0), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(memif_poll_event(controls[0].handle, -1), MEMIF_ERR_POLL_CANCEL);
    control_close(&controls[0]);
    control_close(&controls[1]);
}

struct canceller {
    pid_t poller;
    memif_socket_handle_t sock;
};

static void *cancel_once_asleep(void *argument)
{
    const struct canceller *canceller = argument;

    wait_until_asleep(canceller->poller);
    return (void *)(intptr_t)memif_cancel_poll_event(canceller->sock);
}

MEMIF_TEST(cancel_from_another_thread_ends_a_running_poll_event)
{
    struct control control = {0};
    pthread_t thread;
    void *err;

    control_must_open(&control, "a.sock");
    struct canceller canceller = {.poller = gettid(), .sock = control.handle};
    ck_assert_int_eq(pthread_create(&thread, NULL, cancel_once_asleep, &canceller), 0);
    ck_assert_int_eq(memif_poll_event(control.handle, -1), MEMIF_ERR_POLL_CANCEL);
    ck_assert_int_eq(pthread_join(thread, &err), 0);
    ck_assert_int_eq((int)(intptr_t)err, MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(memif_poll_event(control.handle, 0), MEMIF_ERR_SUCCESS);
    control_close(&control);
}

/* ---- deleted by several threads at the same time ---- */

enum { DELETERS = 4 };

struct deleter {
    memif_socket_handle_t sock;
    pthread_barrier_t *start;
};

static void *delete_together(void *argument)
{
    struct deleter *deleter = argument;

    (void)pthread_barrier_wait(deleter->start);
    return (void *)(intptr_t)memif_delete_socket(&deleter->sock);
}

MEMIF_TEST(of_threads_that_delete_a_socket_at_once_one_succeeds)
{
    pthread_barrier_t start;

    ck_assert_int_eq(pthread_barrier_init(&start, NULL, DELETERS), 0);
    for (uint32_t i = 0; i < memif_times("DELETIONS", 200); i++) {
        struct control control = {0};
        struct deleter deleters[DELETERS];
        pthread_t threads[DELETERS];
        unsigned successes = 0;

        control_must_open(&control, "a.sock");
        for (size_t j = 0; j < DELETERS; j++) {
            deleters[j] = (struct deleter){.sock = control.handle, .start = &start};
            ck_assert_int_eq(pthread_create(&threads[j], NULL, delete_together, &deleters[j]), 0);
        }
        for (size_t j = 0; j < DELETERS; j++) {
            void *err;
            ck_assert_int_eq(pthread_join(threads[j], &err), 0);
            successes += (int)(intptr_t)err == MEMIF_ERR_SUCCESS;
        }
        ck_assert_uint_eq(successes, 1);
        control.handle = NULL;
        control_forget(&control);
    }
    ck_assert_int_eq(pthread_barrier_destroy(&start), 0);
}

MEMIF_TEST_MAIN("4.0 socket")
