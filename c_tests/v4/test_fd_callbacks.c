/* SPDX-License-Identifier: Apache-2.0 */

/* A callback for descriptors that fails, or deletes what it is called for. */

#include <unistd.h>

#include "harness.h"
#include "pair_v4.h"

static const struct shape application_polls = {
    .polling = APPLICATION_POLLS, .log2_ring_size = 2, .buffer_size = 64};

/* ---- a callback that fails ---- */

MEMIF_TEST(create_socket_fails_with_the_fd_callback)
{
    struct control control = {.polling = APPLICATION_POLLS};

    control_must_open(&control, "a.sock");
    control_close(&control);
    size_t fds = open_fds();
    control.log.refused = 1;
    ck_assert_int_eq(control_open(&control, "a.sock"), MEMIF_ERR_CB_FDUPDATE);
    ck_assert_ptr_null(control.handle);
    ck_assert_uint_eq(open_fds(), fds);
}

MEMIF_TEST(create_of_a_master_fails_with_the_fd_callback)
{
    struct control control = {.polling = APPLICATION_POLLS};
    struct end end = {.args.is_master = 1};

    control_must_open(&control, "a.sock");
    size_t fds = open_fds();
    control.log.refused = 2;
    ck_assert_int_eq(end_create(&end, &control), MEMIF_ERR_CB_FDUPDATE);
    ck_assert_ptr_null(end.conn);
    ck_assert_uint_eq(open_fds(), fds);
    ck_assert_uint_eq(files_in_folder(), 0);
    ck_assert_uint_eq(control.log.watched, 1);
    end_must_create(&end, &control);
    end_delete(&end);
    control_close(&control);
}

/* "+a+b+c+d-b-c-d": the end of the listener's watch, the channel's or the queue's. */
MEMIF_TEST_LOOP(a_master_is_gone_although_the_fd_callback_fails_at_its_end, 5, 8)
{
    struct pair pair = {0};

    pair_open_with_interrupts(&pair);
    pair.master_control.log.refused = (size_t)_i;
    ck_assert_int_eq(memif_delete(&pair.master.conn), MEMIF_ERR_CB_FDUPDATE);
    ck_assert_ptr_null(pair.master.conn);
    ck_assert_int_eq(pair.master.disconnects, 1);
    expect_fd_log(&pair.master_control, "+a+b+c+d-b-c-d");
    ck_assert_uint_eq(files_in_folder(), 0);
    pair.master_control.log.watched--; /* closing it took it out of the program's set */
    RUN_UNTIL(pair.slave.disconnects == 1);
    end_delete(&pair.slave);
    control_close(&pair.slave_control);
    control_close(&pair.master_control);
}

MEMIF_TEST(a_socket_is_gone_although_the_fd_callback_fails_at_its_end)
{
    struct control control = {.polling = APPLICATION_POLLS};

    control_must_open(&control, "a.sock");
    control_close(&control);
    size_t fds = open_fds();
    control_must_open(&control, "a.sock");
    control.log.refused = control.log.count + 1;
    ck_assert_int_eq(memif_delete_socket(&control.handle), MEMIF_ERR_CB_FDUPDATE);
    ck_assert_ptr_null(control.handle);
    ck_assert_int_eq(close(control.epoll_fd), 0);
    ck_assert_uint_eq(open_fds(), fds);
}

static void open_pair_to_fail(struct pair *pair)
{
    pair->master.at_interrupt = pair->slave.at_interrupt = count_interrupt;
    pair->master.args.is_master = 1;
    pair_open_sockets(pair, &application_polls);
    end_must_create(&pair->master, &pair->master_control);
}

MEMIF_TEST(create_of_a_slave_fails_with_the_fd_callback)
{
    struct pair pair = {0};

    open_pair_to_fail(&pair);
    size_t fds = open_fds();
    pair.slave_control.log.refused = 2;
    ck_assert_int_eq(end_create(&pair.slave, &pair.slave_control), MEMIF_ERR_CB_FDUPDATE);
    ck_assert_ptr_null(pair.slave.conn);
    ck_assert_uint_eq(pair.slave_control.log.watched, 1);
    for (int i = 0; i < 3; i++) /* the master's part: accept, greet, see that nobody is there */
        ck_assert_int_eq(turn(), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(open_fds(), fds);
    end_must_create(&pair.slave, &pair.slave_control);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    pair_close(&pair);
}

MEMIF_TEST(a_request_fails_with_the_fd_callback)
{
    struct pair pair = {0};

    pair_open_sockets(&pair, &application_polls);
    pair.master.args.is_master = 1;
    end_must_create(&pair.slave, &pair.slave_control);
    end_must_create(&pair.master, &pair.master_control);
    pair.slave_control.log.refused = 2;
    ck_assert_int_eq(memif_request_connection(pair.slave.conn), MEMIF_ERR_CB_FDUPDATE);
    ck_assert_uint_eq(pair.slave_control.log.watched, 1);
    ck_assert_int_eq(memif_request_connection(pair.slave.conn), MEMIF_ERR_SUCCESS);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    pair_close(&pair);
}

static bool both_are_down(const struct pair *pair)
{
    return pair->master.connects == pair->master.disconnects &&
           pair->slave.connects == pair->slave.disconnects;
}

/* The master's channel, its queue, the slave's queue. */
static const struct {
    bool of_master;
    size_t event;
} refused[] = {{true, 3}, {true, 4}, {false, 3}};

MEMIF_TEST_LOOP(a_connection_ends_when_the_fd_callback_fails, 0, 3)
{
    struct pair pair = {0};
    struct control *control = refused[_i].of_master ? &pair.master_control : &pair.slave_control;
    int err = MEMIF_ERR_SUCCESS;

    open_pair_to_fail(&pair);
    size_t fds = open_fds();
    end_must_create(&pair.slave, &pair.slave_control);
    control->log.refused = refused[_i].event;
    while (control->log.count < refused[_i].event)
        err = turn();
    ck_assert_int_eq(err, MEMIF_ERR_CB_FDUPDATE);
    RUN_UNTIL(pair.master_control.log.watched == 2 && pair.slave_control.log.watched == 1);
    ck_assert(both_are_down(&pair));
    ck_assert_uint_eq(open_fds(), fds);
    ck_assert_uint_eq(shared_mappings(), 0);
    ck_assert_int_eq(memif_request_connection(pair.slave.conn), MEMIF_ERR_SUCCESS);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    pair_close(&pair);
}

/* ---- a callback that deletes ---- */

static struct end *doomed;
static size_t doom; /* number of the event */

static void delete_the_doomed(struct control *control)
{
    if (control->log.count == doom)
        (void)memif_delete(&doomed->conn);
}

/* Events of the connection: of the master's socket 3 and 4, of the slave's 2 (inside memif_create,
 * before it has a handle) and 3. */
MEMIF_TEST_LOOP(an_interface_may_be_deleted_inside_the_fd_callback, 0, 6)
{
    struct pair pair = {0};
    bool at_master = _i < 4;
    struct control *control = at_master ? &pair.master_control : &pair.slave_control;

    open_pair_to_fail(&pair);
    doomed = _i % 2 == 0 ? &pair.master : &pair.slave;
    struct end *peer = _i % 2 == 0 ? &pair.slave : &pair.master;
    doom = at_master ? (size_t)_i / 2 + 3 : 3;
    control->at_fd_event = delete_the_doomed;
    end_must_create(&pair.slave, &pair.slave_control);
    RUN_UNTIL(doomed->conn == NULL);
    RUN_UNTIL(peer->connects == peer->disconnects);
    ck_assert_uint_eq(doomed->connects, doomed->disconnects);
    end_delete(peer);
    control_close(&pair.slave_control);
    control_close(&pair.master_control);
    ck_assert_uint_eq(shared_mappings(), 0);
}

static int second_delete;

static void delete_the_socket_again(struct control *control)
{
    memif_socket_handle_t copy = control->handle;

    if (control->log.events[control->log.count - 1].type == MEMIF_FD_EVENT_DEL)
        second_delete = memif_delete_socket(&copy);
}

MEMIF_TEST(a_socket_that_is_being_deleted_is_in_use)
{
    struct control control = {.polling = APPLICATION_POLLS, .at_fd_event = delete_the_socket_again};
    struct end end = {.args.is_master = 1};

    control_must_open(&control, "a.sock");
    end_must_create(&end, &control);
    second_delete = -1;
    end_delete(&end);
    ck_assert_int_eq(second_delete, MEMIF_ERR_INVAL_ARG);
    second_delete = -1;
    control_close(&control);
    ck_assert_int_eq(second_delete, MEMIF_ERR_INVAL_ARG);
}

MEMIF_TEST_MAIN("4.0 fd callbacks")
