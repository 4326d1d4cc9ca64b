/* SPDX-License-Identifier: Apache-2.0 */

/* Where a socket may lie, and the masters that share one. */

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"
#include "pair_v1.h"

static const struct shape small_rings = {.log2_ring_size = 2, .buffer_size = 64};

/* ---- the socket's path ---- */

enum { LONGEST_PATH = 4095 };

/* 107 bytes fit an address. */
static const size_t lengths[] = {107, 108, 200};

MEMIF_TEST_LOOP(a_path_may_be_longer_than_an_address, 0, 3)
{
    struct pair pair = {.master.args.is_master = 1};
    char path[PATH_SIZE + 256];

    path_in_folder(path, "");
    size_t before = strlen(path);
    ck_assert_uint_lt(before, lengths[_i]);
    memset(path + before, 'a', lengths[_i] - before);
    path[lengths[_i]] = '\0';
    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create_at(&pair.master, path), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(end_create_at(&pair.slave, path), MEMIF_ERR_SUCCESS);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    stop();
    ck_assert_uint_eq(files_in_folder(), 0);
}

MEMIF_TEST_LOOP(a_path_longer_than_any_is_refused, 0, 2)
{
    struct end end = {.args.is_master = (uint8_t)_i};
    char path[LONGEST_PATH + 2] = "";

    memset(path, 'a', LONGEST_PATH + 1);
    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create_at(&end, path), MEMIF_ERR_INVAL_ARG);
    ck_assert_ptr_null(end.conn);
    stop();
}

MEMIF_TEST(a_master_in_a_missing_folder_is_refused)
{
    struct end end = {.args.is_master = 1};

    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&end, "missing/a.sock"), MEMIF_ERR_NO_FILE);
    ck_assert_ptr_null(end.conn);
    stop();
}

MEMIF_TEST(a_file_at_the_path_of_a_master_stays)
{
    struct end end = {.args.is_master = 1};
    const char text[] = "precious";
    char path[PATH_SIZE];
    char found[sizeof(text)];

    path_in_folder(path, "file");
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, text, sizeof(text)), sizeof(text));
    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&end, "file"), MEMIF_ERR_FILE_NOT_SOCK);
    ck_assert_ptr_null(end.conn);
    stop();
    ck_assert_int_eq(access(path, F_OK), 0);
    ck_assert_int_eq(pread(fd, found, sizeof(found), 0), sizeof(found));
    ck_assert_str_eq(found, text);
    ck_assert_int_eq(close(fd), 0);
}

static int bound_socket(int type, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[PATH_SIZE];
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    path_in_folder(path, name);
    ck_assert_int_ge(fd, 0);
    memcpy(address.sun_path, path, strlen(path) + 1);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

MEMIF_TEST(a_stale_socket_file_is_replaced)
{
    struct pair pair = {0};

    ck_assert_int_eq(close(bound_socket(SOCK_SEQPACKET, "pair.sock")), 0);
    pair_open(&pair, &small_rings);
    pair_close(&pair);
}

static const int socket_types[] = {SOCK_SEQPACKET, SOCK_STREAM, SOCK_DGRAM};

MEMIF_TEST_LOOP(a_socket_that_is_in_use_is_not_stolen, 0, 3)
{
    struct end end = {.args.is_master = 1};
    struct stat before, after;
    char path[PATH_SIZE];
    int fd = bound_socket(socket_types[_i], "live.sock");

    path_in_folder(path, "live.sock");
    if (socket_types[_i] != SOCK_DGRAM)
        ck_assert_int_eq(listen(fd, 8), 0);
    ck_assert_int_eq(stat(path, &before), 0);
    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&end, "live.sock"), MEMIF_ERR_ALREADY);
    ck_assert_ptr_null(end.conn);
    stop();
    ck_assert_int_eq(stat(path, &after), 0);
    ck_assert_uint_eq(after.st_ino, before.st_ino);
    ck_assert_int_eq(close(fd), 0);
    ck_assert_int_eq(unlink(path), 0);
}

MEMIF_TEST(the_file_of_another_socket_outlives_a_delete)
{
    struct end end = {.args.is_master = 1};

    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&end, "a.sock"), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(unlink(end.path), 0);
    int fd = bound_socket(SOCK_SEQPACKET, "a.sock");
    end_delete(&end);
    ck_assert_int_eq(access(end.path, F_OK), 0);
    ck_assert_int_eq(close(fd), 0);
    stop();
}

MEMIF_TEST(deleting_the_last_master_of_a_path_removes_its_file)
{
    struct end first = {.args = {.is_master = 1, .interface_id = 1}};
    struct end second = {.args = {.is_master = 1, .interface_id = 2}};

    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&first, "a.sock"), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(end_create(&second, "a.sock"), MEMIF_ERR_SUCCESS);
    end_delete(&first);
    ck_assert_uint_eq(files_in_folder(), 1);
    end_delete(&second);
    ck_assert_uint_eq(files_in_folder(), 0);
    stop();
}

static const char *const abstract_names[] = {"@libmemif-py.%d", "@libmemif-py.%d/a path"};

MEMIF_TEST_LOOP(an_abstract_name_connects_and_makes_no_file, 0, 2)
{
    struct pair pair = {.master.args.is_master = 1};
    char path[PATH_SIZE];

    path_in_folder(path, "");
    (void)snprintf(path, sizeof(path), abstract_names[_i], getpid());
    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create_at(&pair.master, path), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(end_create_at(&pair.slave, path), MEMIF_ERR_SUCCESS);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    ck_assert_str_eq((char *)details_of(pair.slave.conn).socket_filename, path);
    ck_assert_uint_eq(files_in_folder(), 0);
    stop();
}

/* ---- several masters ---- */

MEMIF_TEST(an_id_is_given_once_on_a_path)
{
    struct end first = {.args = {.is_master = 1, .interface_id = 7}};
    struct end second = first;

    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&first, "a.sock"), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(end_create(&second, "a.sock"), MEMIF_ERR_ID);
    ck_assert_ptr_null(second.conn);
    ck_assert_int_eq(end_create(&second, "b.sock"), MEMIF_ERR_SUCCESS);
    stop();
}

MEMIF_TEST(the_id_of_a_deleted_master_is_free_again)
{
    struct end first = {.args = {.is_master = 1, .interface_id = 7}};
    struct end other = {.args = {.is_master = 1, .interface_id = 8}};
    struct end again = first;

    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&first, "a.sock"), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(end_create(&other, "a.sock"), MEMIF_ERR_SUCCESS);
    end_delete(&first);
    ck_assert_int_eq(end_create(&again, "a.sock"), MEMIF_ERR_SUCCESS);
    stop();
}

enum { SHARING = 3 };

static void create_ends(struct end *ends, size_t count, const char *name, bool is_master)
{
    for (size_t i = 0; i < count; i++) {
        ends[i].args.is_master = is_master;
        ends[i].args.interface_id = (uint32_t)(i + 1);
        ends[i].args.log2_ring_size = 1;
        ends[i].args.buffer_size = 64;
        ck_assert_int_eq(end_create(&ends[i], name), MEMIF_ERR_SUCCESS);
    }
}

static bool all_are_up(const struct end *ends, size_t count)
{
    size_t up = 0;

    while (up < count && end_is_up(&ends[up]))
        up++;
    return up == count;
}

/* What a slave sends arrives at the master of the same id. */
static void expect_each_at_its_own(const struct end *masters, const struct end *slaves,
                                   size_t count)
{
    for (uint32_t i = 0; i < count; i++)
        send_packets(slaves[i].conn, 0, 1, 64, i);
    for (uint32_t i = 0; i < count; i++)
        expect_packets(masters[i].conn, 0, 1, 64, i);
}

MEMIF_TEST(masters_that_share_a_path_are_told_apart_by_id)
{
    struct end masters[SHARING] = {0};
    struct end slaves[SHARING] = {0};

    start(LIBRARY_POLLS, ANY_VERSION);
    create_ends(masters, SHARING, "shared.sock", true);
    create_ends(slaves, SHARING, "shared.sock", false);
    RUN_UNTIL(all_are_up(masters, SHARING) && all_are_up(slaves, SHARING));
    expect_each_at_its_own(masters, slaves, SHARING);
    stop();
}

MEMIF_TEST(masters_that_share_a_path_outlive_the_first_of_them)
{
    struct end masters[SHARING] = {0};
    struct end slaves[SHARING] = {0};

    start(LIBRARY_POLLS, ANY_VERSION);
    create_ends(masters, SHARING, "shared.sock", true);
    end_delete(&masters[0]);
    create_ends(slaves, SHARING, "shared.sock", false);
    RUN_UNTIL(all_are_up(masters + 1, SHARING - 1) && all_are_up(slaves + 1, SHARING - 1));
    expect_each_at_its_own(masters + 1, slaves + 1, SHARING - 1);
    ck_assert_uint_eq(slaves[0].connects, 0);
    stop();
}

enum { MANY = 100, PATHS = 4 };

MEMIF_TEST(two_hundred_interfaces_connect)
{
    static struct end masters[MANY];
    static struct end slaves[MANY];
    char name[16];

    start(LIBRARY_POLLS, ANY_VERSION);
    for (size_t path = 0; path < PATHS; path++) {
        (void)snprintf(name, sizeof(name), "%zu.sock", path);
        create_ends(slaves + path * MANY / PATHS, MANY / PATHS, name, false);
        create_ends(masters + path * MANY / PATHS, MANY / PATHS, name, true);
    }
    RUN_UNTIL(all_are_up(masters, MANY) && all_are_up(slaves, MANY));
    expect_each_at_its_own(masters, slaves, MANY);
    stop();
    ck_assert_uint_eq(shared_mappings(), 0);
}

MEMIF_TEST_MAIN("socket path")
