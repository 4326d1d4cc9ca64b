/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"
#include "pair_v4.h"

static const struct shape small_rings = {.log2_ring_size = 2, .buffer_size = 64};

/* Not in the header: programs that use the older name declare it themselves. */
const char *memif_get_socket_filename(memif_socket_handle_t sock);

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
