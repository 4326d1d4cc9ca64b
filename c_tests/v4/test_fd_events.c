/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <unistd.h>

#include "harness.h"
#include "pair_v4.h"

static const struct shape application_polls = {
    .polling = APPLICATION_POLLS, .log2_ring_size = 2, .buffer_size = 64};

/* ---- what the program is told ---- */

/*
 * The log as text: "+a" a descriptor was announced, "-a" taken back. The letters name descriptors
 * in the order of their appearance, for numbers are used again.
 */
static void expect_fd_log(const struct control *control, const char *expected)
{
    char text[64] = "", letters[1024] = {0};
    char next = 'a';
    size_t used = 0;

    ck_assert_uint_gt(sizeof(text), 2 * control->log.count);
    for (size_t i = 0; i < control->log.count; i++) {
        const memif_fd_event_t *event = &control->log.events[i];
        bool gone = event->type == MEMIF_FD_EVENT_DEL;

        ck_assert_int_lt(event->fd, (int)sizeof(letters));
        if (!gone)
            letters[event->fd] = next++;
        text[used++] = gone ? '-' : '+';
        text[used++] = letters[event->fd];
    }
    ck_assert_str_eq(text, expected);
}

static void open_pair_with_interrupts(struct pair *pair)
{
    pair->master.at_interrupt = pair->slave.at_interrupt = count_interrupt;
    pair_open(pair, &application_polls);
}

/* Of the master's socket a is the timer, b the listener, c the channel, d the receive queue; of the
 * slave's a is the timer, b the channel, c the receive queue. */
MEMIF_TEST(every_descriptor_is_announced_and_taken_back_in_order)
{
    struct pair pair = {0};

    pair.master.at_interrupt = pair.slave.at_interrupt = count_interrupt;
    pair_open_sockets(&pair, &application_polls);
    expect_fd_log(&pair.master_control, "+a");
    expect_fd_log(&pair.slave_control, "+a");
    pair_connect(&pair, &application_polls);
    expect_fd_log(&pair.master_control, "+a+b+c+d");
    expect_fd_log(&pair.slave_control, "+a+b+c");
    end_delete(&pair.slave);
    expect_fd_log(&pair.slave_control, "+a+b+c-b-c");
    RUN_UNTIL(pair.master.disconnects == 1);
    expect_fd_log(&pair.master_control, "+a+b+c+d-c-d");
    end_delete(&pair.master);
    expect_fd_log(&pair.master_control, "+a+b+c+d-c-d-b");
    control_close(&pair.slave_control);
    expect_fd_log(&pair.slave_control, "+a+b+c-b-c-a");
    control_close(&pair.master_control);
    expect_fd_log(&pair.master_control, "+a+b+c+d-c-d-b-a");
}

MEMIF_TEST(a_master_that_is_deleted_takes_back_listener_channel_and_queues)
{
    struct pair pair = {0};

    open_pair_with_interrupts(&pair);
    end_delete(&pair.master);
    expect_fd_log(&pair.master_control, "+a+b+c+d-b-c-d");
    RUN_UNTIL(pair.slave.disconnects == 1);
    expect_fd_log(&pair.slave_control, "+a+b+c-b-c");
    end_delete(&pair.slave);
    control_close(&pair.slave_control);
    control_close(&pair.master_control);
}

MEMIF_TEST(without_on_interrupt_no_queue_is_announced)
{
    struct pair pair = {0};

    pair_open(&pair, &application_polls);
    expect_fd_log(&pair.master_control, "+a+b+c");
    expect_fd_log(&pair.slave_control, "+a+b");
    pair_close(&pair);
}

MEMIF_TEST(every_receive_queue_is_announced)
{
    struct pair pair = {.master.at_interrupt = count_interrupt,
                        .slave.at_interrupt = count_interrupt};
    struct shape shape = application_polls;

    shape.s2m_rings = 3;
    shape.m2s_rings = 2;
    pair_open(&pair, &shape);
    ck_assert_uint_eq(pair.master_control.log.watched, 3 + 3);
    ck_assert_uint_eq(pair.slave_control.log.watched, 2 + 2);
    pair_close(&pair);
}

MEMIF_TEST(a_listener_of_the_programs_own_is_announced_and_taken_back)
{
    struct pair lender = {0};
    struct control control = {.polling = APPLICATION_POLLS};
    struct end end = {.args.is_master = 1};

    lender.master.args.is_master = 1;
    control_must_open(&lender.master_control, "a.sock");
    end_must_create(&lender.master, &lender.master_control);
    int fd = dup(memif_get_listener_fd(lender.master_control.handle));
    control_must_open(&control, "b.sock");
    ck_assert_int_eq(memif_set_listener_fd(control.handle, fd), MEMIF_ERR_SUCCESS);
    end_must_create(&end, &control);
    ck_assert_int_eq(control.log.events[1].fd, fd);
    end_delete(&end);
    expect_fd_log(&control, "+a+b-b");
    control_close(&control);
    end_delete(&lender.master);
    control_close(&lender.master_control);
    ck_assert_int_eq(close(fd), 0);
}

/* Another process may have accepted what the event was for. */
MEMIF_TEST(nobody_waits_at_a_listener_that_was_blocking_when_it_was_handed_over)
{
    struct pair lender = {0};
    struct control control = {.polling = APPLICATION_POLLS};
    struct end end = {.args.is_master = 1};

    lender.master.args.is_master = 1;
    control_must_open(&lender.master_control, "a.sock");
    end_must_create(&lender.master, &lender.master_control);
    int fd = dup(memif_get_listener_fd(lender.master_control.handle));
    ck_assert_int_eq(fcntl(fd, F_SETFL, 0), 0);
    control_must_open(&control, "b.sock");
    ck_assert_int_eq(memif_set_listener_fd(control.handle, fd), MEMIF_ERR_SUCCESS);
    end_must_create(&end, &control);
    void *listener = control.log.events[1].private_ctx;
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(memif_control_fd_handler(listener, MEMIF_FD_EVENT_READ),
                         MEMIF_ERR_SUCCESS);
        ck_assert_int_eq(fcntl(fd, F_SETFL, 0), 0); /* as for a service that is started again */
    }
    end_delete(&end);
    control_close(&control);
    end_delete(&lender.master);
    control_close(&lender.master_control);
    ck_assert_int_eq(close(fd), 0);
}

MEMIF_TEST(a_library_that_polls_announces_nothing)
{
    struct pair pair = {0};

    pair_open(&pair, &(struct shape){.log2_ring_size = 2});
    expect_fd_log(&pair.master_control, "");
    pair_close(&pair);
}

/* ---- contexts ---- */

MEMIF_TEST(contexts_are_distinct_and_not_null)
{
    struct pair pair = {0};

    open_pair_with_interrupts(&pair);
    const struct fd_log *logs[] = {&pair.master_control.log, &pair.slave_control.log};
    for (int i = 0; i < 2; i++) {
        for (size_t a = 0; a < logs[i]->count; a++) {
            ck_assert_ptr_nonnull(logs[i]->events[a].private_ctx);
            for (size_t b = 0; b < a; b++)
                ck_assert_ptr_ne(logs[i]->events[a].private_ctx, logs[i]->events[b].private_ctx);
            for (size_t b = 0; b < logs[1 - i]->count; b++)
                ck_assert_ptr_ne(logs[i]->events[a].private_ctx,
                                 logs[1 - i]->events[b].private_ctx);
        }
    }
    pair_close(&pair);
}

/* The helper's callback finds its control by the second argument, and would find none otherwise. */
MEMIF_TEST(the_callback_gets_the_context_of_its_socket)
{
    struct control controls[3] = {0};

    for (size_t i = 0; i < 3; i++) {
        controls[i].polling = APPLICATION_POLLS;
        control_must_open(&controls[i], "a.sock");
        for (size_t j = 0; j < 3; j++)
            ck_assert_uint_eq(controls[j].log.count, j <= i ? 1 : 0);
    }
    for (size_t i = 0; i < 3; i++)
        control_close(&controls[i]);
}

static int handle(void *context)
{
    return memif_control_fd_handler(context, MEMIF_FD_EVENT_READ);
}

MEMIF_TEST(contexts_are_good_for_events_without_a_cause)
{
    struct pair pair = {0};

    open_pair_with_interrupts(&pair);
    for (size_t i = 0; i < pair.master_control.log.count; i++)
        ck_assert_int_eq(handle(pair.master_control.log.events[i].private_ctx), MEMIF_ERR_SUCCESS);
    for (size_t i = 0; i < pair.slave_control.log.count; i++)
        ck_assert_int_eq(handle(pair.slave_control.log.events[i].private_ctx), MEMIF_ERR_SUCCESS);
    ck_assert(end_is_up(&pair.master));
    ck_assert(end_is_up(&pair.slave));
    pair_close(&pair);
}

MEMIF_TEST(a_context_is_refused_after_its_end)
{
    struct pair pair = {0};

    open_pair_with_interrupts(&pair);
    struct fd_log before = pair.slave_control.log;
    end_delete(&pair.slave);
    for (size_t i = 1; i < before.count; i++)
        ck_assert_int_eq(handle(before.events[i].private_ctx), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(handle(before.events[0].private_ctx), MEMIF_ERR_SUCCESS);
    end_delete(&pair.master);
    control_close(&pair.slave_control);
    ck_assert_int_eq(handle(before.events[0].private_ctx), MEMIF_ERR_INVAL_ARG);
    control_close(&pair.master_control);
}

MEMIF_TEST(a_context_names_no_later_use_of_its_descriptor)
{
    struct control control = {.polling = APPLICATION_POLLS};
    struct end end = {.args.is_master = 1};

    control_must_open(&control, "a.sock");
    end_must_create(&end, &control);
    memif_fd_event_t first = control.log.events[1];
    end_delete(&end);
    end_must_create(&end, &control);
    memif_fd_event_t second = control.log.events[3];
    ck_assert_int_eq(second.fd, first.fd);
    ck_assert_int_eq(handle(first.private_ctx), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(handle(second.private_ctx), MEMIF_ERR_SUCCESS);
    end_delete(&end);
    control_close(&control);
}

static int answer_during_del;

static void handle_what_ends(struct control *control)
{
    const memif_fd_event_t *event = &control->log.events[control->log.count - 1];

    if (event->type == MEMIF_FD_EVENT_DEL && answer_during_del == -1)
        answer_during_del = handle(event->private_ctx);
}

MEMIF_TEST(a_context_is_good_until_the_program_has_heard_of_its_end)
{
    struct control control = {.polling = APPLICATION_POLLS, .at_fd_event = handle_what_ends};
    struct end end = {.args.is_master = 1};

    answer_during_del = -1;
    control_must_open(&control, "a.sock");
    end_must_create(&end, &control);
    end_delete(&end);
    ck_assert_int_eq(answer_during_del, MEMIF_ERR_SUCCESS);
    control_close(&control);
}

MEMIF_TEST(a_context_that_was_made_up_is_refused)
{
    struct pair pair = {0};
    int local = 0;

    ck_assert_int_eq(handle(NULL), MEMIF_ERR_INVAL_ARG); /* also before the library was started */
    pair_open(&pair, &application_polls);
    void *wrong[] = {
        NULL, &local, (void *)1, (void *)UINTPTR_MAX, pair.slave.conn, pair.slave_control.handle};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        ck_assert_int_eq(handle(wrong[i]), MEMIF_ERR_INVAL_ARG);
    pair_close(&pair);
}

/* ---- interrupts ---- */

MEMIF_TEST_LOOP(packets_call_on_interrupt_until_all_are_received, 0, WAYS *POLLING_STYLES)
{
    struct pair pair = {.master.at_interrupt = count_interrupt,
                        .slave.at_interrupt = count_interrupt};
    struct shape shape = application_polls;

    shape.version = version_of(_i);
    shape.polling = (enum polling)(_i / WAYS);
    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    const struct end *receiver = flow.to == pair.master.conn ? &pair.master : &pair.slave;
    send_packets(flow.from, 0, 2, 64, 1);
    RUN_UNTIL(receiver->interrupts == 3);
    expect_packets(flow.to, 0, 2, 64, 1);
    ck_assert_int_eq(turn(), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(receiver->interrupts, 3);
    pair_close(&pair);
}

MEMIF_TEST(an_idle_connection_wakes_nobody)
{
    struct pair pair = {0};

    open_pair_with_interrupts(&pair);
    for (size_t i = 0; i < pair.master_control.log.count; i++)
        ck_assert(!is_readable(pair.master_control.log.events[i].fd));
    for (size_t i = 0; i < pair.slave_control.log.count; i++)
        ck_assert(!is_readable(pair.slave_control.log.events[i].fd));
    pair_close(&pair);
}

MEMIF_TEST(a_queue_in_polling_mode_wakes_nobody)
{
    struct pair pair = {0};

    open_pair_with_interrupts(&pair);
    int fd;
    ck_assert_int_eq(memif_get_queue_efd(pair.master.conn, 0, &fd), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(memif_set_rx_mode(pair.master.conn, MEMIF_RX_MODE_POLLING, 0),
                     MEMIF_ERR_SUCCESS);
    send_packets(pair.slave.conn, 0, 2, 64, 1);
    ck_assert(!is_readable(fd));
    ck_assert_int_eq(memif_set_rx_mode(pair.master.conn, MEMIF_RX_MODE_INTERRUPT, 0),
                     MEMIF_ERR_SUCCESS);
    expect_packets(pair.master.conn, 0, 2, 64, 1);
    send_packets(pair.slave.conn, 0, 1, 64, 3);
    ck_assert(is_readable(fd));
    expect_packets(pair.master.conn, 0, 1, 64, 3);
    ck_assert(!is_readable(fd));
    pair_close(&pair);
}

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

    open_pair_with_interrupts(&pair);
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

MEMIF_TEST_MAIN("4.0 fd events")
