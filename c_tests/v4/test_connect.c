/* SPDX-License-Identifier: Apache-2.0 */

/* Who connects when: the timer, memif_request_connection, the listening socket. */

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"
#include "pair_v4.h"

static const struct shape small_rings = {.log2_ring_size = 2, .buffer_size = 64};

/* ---- the connection request timer ---- */

static bool is_armed_timer(int fd)
{
    char path[64];
    char line[128];
    unsigned long long seconds = 0, nanoseconds = 0;
    bool found = false;

    (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    FILE *info = fopen(path, "re");
    ck_assert_ptr_nonnull(info);
    while (!found && fgets(line, sizeof(line), info) != NULL)
        found = sscanf(line, "it_value: (%llu, %llu)", &seconds, &nanoseconds) == 2;
    ck_assert_int_eq(fclose(info), 0);
    return seconds != 0 || nanoseconds != 0;
}

/* Of all that the program watches for the socket, anything that will wake it by itself. */
static bool a_timer_runs(const struct control *control)
{
    const struct fd_log *log = &control->log;

    for (size_t i = 0; i < log->count; i++) {
        bool gone = log->events[i].type == MEMIF_FD_EVENT_DEL;
        for (size_t j = i + 1; j < log->count; j++)
            gone = gone || log->events[j].fd == log->events[i].fd;
        if (!gone && is_armed_timer(log->events[i].fd))
            return true;
    }
    return false;
}

static struct itimerspec timer_of(time_t first_seconds, time_t interval_seconds)
{
    return (struct itimerspec){.it_value.tv_sec = first_seconds,
                               .it_interval.tv_sec = interval_seconds};
}

static const struct itimerspec soon = {.it_value.tv_nsec = 1000000, .it_interval.tv_nsec = 1000000};

/* A slave that looks for its master, and the master's socket, both without anybody listening. */
static void open_lonely_slave(struct pair *pair, struct itimerspec timer)
{
    pair->slave_control.polling = APPLICATION_POLLS;
    pair->slave_control.args.connection_request_timer = timer;
    pair->master.args.is_master = 1;
    control_must_open(&pair->master_control, "a.sock");
    control_must_open(&pair->slave_control, "a.sock");
    end_must_create(&pair->slave, &pair->slave_control);
}

MEMIF_TEST(a_slave_is_created_where_nobody_listens)
{
    struct pair pair = {0};

    open_lonely_slave(&pair, timer_of(0, 0));
    ck_assert_uint_eq(pair.slave.connects, 0);
    end_delete(&pair.slave);
    control_close(&pair.slave_control);
    control_close(&pair.master_control);
}

MEMIF_TEST(a_slave_tries_at_once)
{
    struct pair pair = {0};

    pair_open(&pair, &small_rings); /* has no timer */
    pair_close(&pair);
}

MEMIF_TEST(without_a_timer_a_slave_does_not_try_again)
{
    struct pair pair = {0};

    open_lonely_slave(&pair, timer_of(0, 0));
    ck_assert(!a_timer_runs(&pair.slave_control));
    end_must_create(&pair.master, &pair.master_control);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(turn(), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(pair.slave.connects, 0);
    ck_assert_int_eq(memif_request_connection(pair.slave.conn), MEMIF_ERR_SUCCESS);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    pair_close(&pair);
}

MEMIF_TEST(without_a_timer_a_slave_that_lost_its_master_stays_down)
{
    struct pair pair = {.slave_control.polling = APPLICATION_POLLS};

    pair.master.args.is_master = 1;
    control_must_open(&pair.master_control, "a.sock");
    control_must_open(&pair.slave_control, "a.sock");
    pair_connect(&pair, &small_rings);
    end_delete(&pair.master);
    RUN_UNTIL(pair.slave.disconnects == 1);
    ck_assert(!a_timer_runs(&pair.slave_control));
    end_must_create(&pair.master, &pair.master_control);
    ck_assert_int_eq(memif_request_connection(pair.slave.conn), MEMIF_ERR_SUCCESS);
    RUN_UNTIL(end_is_up(&pair.slave) && end_is_up(&pair.master));
    pair_close(&pair);
}

MEMIF_TEST(an_initial_expiration_without_an_interval_is_no_timer)
{
    struct pair pair = {0};

    open_lonely_slave(&pair, timer_of(1, 0));
    ck_assert(!a_timer_runs(&pair.slave_control));
    end_delete(&pair.slave);
    control_close(&pair.slave_control);
    control_close(&pair.master_control);
}

MEMIF_TEST(with_a_timer_a_slave_tries_again)
{
    struct pair pair = {0};

    open_lonely_slave(&pair, soon);
    end_must_create(&pair.master, &pair.master_control);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    end_delete(&pair.master);
    RUN_UNTIL(pair.slave.disconnects == 1);
    end_must_create(&pair.master, &pair.master_control);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    pair_close(&pair);
}

MEMIF_TEST(no_timer_runs_while_the_slave_is_connected)
{
    struct pair pair = {.slave_control = {.polling = APPLICATION_POLLS,
                                          .args.connection_request_timer = timer_of(1, 1)}};

    pair.master.args.is_master = 1;
    control_must_open(&pair.master_control, "a.sock");
    control_must_open(&pair.slave_control, "a.sock");
    pair_connect(&pair, &small_rings);
    ck_assert(!a_timer_runs(&pair.slave_control));
    end_delete(&pair.slave);
    ck_assert(!a_timer_runs(&pair.slave_control));
    end_delete(&pair.master);
    control_close(&pair.slave_control);
    control_close(&pair.master_control);
}

MEMIF_TEST(a_timer_may_be_added_later)
{
    struct pair pair = {0};

    open_lonely_slave(&pair, timer_of(0, 0));
    ck_assert_int_eq(memif_set_connection_request_timer(pair.slave_control.handle, soon),
                     MEMIF_ERR_SUCCESS);
    end_must_create(&pair.master, &pair.master_control);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    pair_close(&pair);
}

MEMIF_TEST(a_timer_may_be_made_faster)
{
    struct pair pair = {0};

    open_lonely_slave(&pair, timer_of(3600, 3600));
    ck_assert(a_timer_runs(&pair.slave_control));
    ck_assert_int_eq(memif_set_connection_request_timer(pair.slave_control.handle, soon),
                     MEMIF_ERR_SUCCESS);
    end_must_create(&pair.master, &pair.master_control);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    pair_close(&pair);
}

MEMIF_TEST(the_first_expiration_counts_from_when_the_timer_is_set)
{
    struct pair pair = {0};
    struct itimerspec timer = timer_of(0, 3600);

    open_lonely_slave(&pair, timer_of(0, 0));
    end_must_create(&pair.master, &pair.master_control);
    timer.it_value.tv_nsec = 1000000;
    ck_assert_int_eq(memif_set_connection_request_timer(pair.slave_control.handle, timer),
                     MEMIF_ERR_SUCCESS);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    pair_close(&pair);
}

MEMIF_TEST(a_timer_may_be_disarmed)
{
    struct pair pair = {0};

    open_lonely_slave(&pair, timer_of(1, 1));
    ck_assert(a_timer_runs(&pair.slave_control));
    ck_assert_int_eq(memif_set_connection_request_timer(pair.slave_control.handle, timer_of(0, 0)),
                     MEMIF_ERR_SUCCESS);
    ck_assert(!a_timer_runs(&pair.slave_control));
    end_delete(&pair.slave);
    end_must_create(&pair.slave, &pair.slave_control);
    ck_assert(!a_timer_runs(&pair.slave_control));
    end_delete(&pair.slave);
    control_close(&pair.slave_control);
    control_close(&pair.master_control);
}

/* ---- memif_request_connection ---- */

/* A socket that the test binds in its folder. */
static int own_socket(const char *name, int type, bool listens)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    char path[PATH_SIZE];

    ck_assert_int_ge(fd, 0);
    path_in_folder(path, name);
    (void)unlink(path); /* of the test's last round */
    memcpy(address.sun_path, path, strlen(path) + 1);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    if (listens)
        ck_assert_int_eq(listen(fd, 8), 0);
    return fd;
}

static void open_slave(struct control *control, struct end *end, const char *path)
{
    ck_assert_int_eq(control_open_at(control, path), MEMIF_ERR_SUCCESS);
    end_must_create(end, control);
}

MEMIF_TEST(a_request_where_nobody_listens_is_connrefused)
{
    struct control controls[2] = {0};
    struct end ends[2] = {0};
    char path[PATH_SIZE];
    int fd = own_socket("a.sock", SOCK_SEQPACKET, false);

    path_in_folder(path, "a.sock");
    open_slave(&controls[0], &ends[0], path);
    path[0] = '@';
    open_slave(&controls[1], &ends[1], path);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(memif_request_connection(ends[i].conn), MEMIF_ERR_CONNREFUSED);
        end_delete(&ends[i]);
        control_close(&controls[i]);
    }
    ck_assert_int_eq(close(fd), 0);
}

MEMIF_TEST(a_request_where_there_is_no_socket_is_no_file)
{
    struct control control = {0};
    struct end end = {0};

    control_must_open(&control, "a.sock");
    end_must_create(&end, &control);
    ck_assert_int_eq(memif_request_connection(end.conn), MEMIF_ERR_NO_FILE);
    end_delete(&end);
    control_close(&control);
}

MEMIF_TEST(a_request_of_a_slave_that_has_a_channel_is_alrconn)
{
    struct pair pair = {0};

    pair.master.args.is_master = 1;
    pair_open_sockets(&pair, &small_rings);
    end_must_create(&pair.master, &pair.master_control);
    end_must_create(&pair.slave, &pair.slave_control);
    ck_assert_int_eq(memif_request_connection(pair.slave.conn), MEMIF_ERR_ALRCONN);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    ck_assert_int_eq(memif_request_connection(pair.slave.conn), MEMIF_ERR_ALRCONN);
    ck_assert(end_is_up(&pair.slave));
    pair_close(&pair);
}

MEMIF_TEST(a_master_requests_no_connection)
{
    struct control control = {0};
    struct end end = {.args.is_master = 1};

    control_must_open(&control, "a.sock");
    end_must_create(&end, &control);
    ck_assert_int_eq(memif_request_connection(end.conn), MEMIF_ERR_INVAL_ARG);
    end_delete(&end);
    control_close(&control);
}

/* ---- a listening socket of the program's own ---- */

static bool still_listens(int fd)
{
    int listens = 0;
    socklen_t size = sizeof(listens);

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens == 1;
}

MEMIF_TEST_LOOP(a_listener_of_the_programs_own_is_accepted_from_and_stays, 0, POLLING_STYLES)
{
    struct pair pair = {0};
    struct shape shape = small_rings;

    shape.polling = (enum polling)_i;
    int fd = own_socket("pair.sock", SOCK_SEQPACKET, true);
    size_t fds = open_fds();
    pair_open_sockets(&pair, &shape);
    ck_assert_int_eq(memif_set_listener_fd(pair.master_control.handle, fd), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(memif_get_listener_fd(pair.master_control.handle), fd);
    for (int i = 0; i < 2; i++) {
        pair_connect(&pair, &shape);
        ck_assert_int_eq(memif_get_listener_fd(pair.master_control.handle), fd);
        send_packets(pair.slave.conn, 0, 2, 64, 1);
        expect_packets(pair.master.conn, 0, 2, 64, 1);
        end_delete(&pair.slave);
        end_delete(&pair.master);
    }
    control_close(&pair.slave_control);
    control_close(&pair.master_control);
    ck_assert(still_listens(fd));
    ck_assert_uint_eq(files_in_folder(), 1);
    ck_assert_uint_eq(open_fds(), fds);
    ck_assert_int_eq(close(fd), 0);
}

enum { BAD_FDS = 7 };

MEMIF_TEST_LOOP(what_is_no_listening_socket_is_refused, 0, BAD_FDS)
{
    struct pair pair = {0};
    int pipes[2];

    pair_open_sockets(&pair, &small_rings);
    ck_assert_int_eq(pipe(pipes), 0);
    int stream = own_socket("stream.sock", SOCK_STREAM, true);
    int deaf = own_socket("deaf.sock", SOCK_SEQPACKET, false);
    int inet = socket(AF_INET, SOCK_STREAM, 0);
    const int bad[BAD_FDS] = {-1, INT32_MIN, INT32_MAX, pipes[0], stream, deaf, inet};
    size_t fds = open_fds();
    ck_assert_int_eq(memif_set_listener_fd(pair.master_control.handle, bad[_i]),
                     MEMIF_ERR_INVAL_ARG);
    ck_assert_uint_eq(open_fds(), fds);
    ck_assert_int_eq(memif_get_listener_fd(pair.master_control.handle), -1);
    pair_connect(&pair, &small_rings);
    pair_close(&pair);
    ck_assert_int_eq(close(pipes[0]) + close(pipes[1]) + close(stream) + close(deaf) + close(inet),
                     0);
}

MEMIF_TEST(a_socket_that_listens_takes_no_other_listener)
{
    struct control control = {0};
    struct end end = {.args.is_master = 1};
    int fd = own_socket("own.sock", SOCK_SEQPACKET, true);

    control_must_open(&control, "a.sock");
    end_must_create(&end, &control);
    int before = memif_get_listener_fd(control.handle);
    ck_assert_int_eq(memif_set_listener_fd(control.handle, fd), MEMIF_ERR_ALREADY);
    ck_assert_int_eq(memif_get_listener_fd(control.handle), before);
    end_delete(&end);
    control_close(&control);
    ck_assert(still_listens(fd));
    ck_assert_int_eq(close(fd), 0);
}

MEMIF_TEST_MAIN("4.0 connect")
