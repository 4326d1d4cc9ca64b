/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <unistd.h>

#include "harness.h"
#include "pair_v4.h"

static const struct shape application_polls = {
    .polling = APPLICATION_POLLS, .log2_ring_size = 2, .buffer_size = 64};

/* ---- what the program is told ---- */

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

    pair_open_with_interrupts(&pair);
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

    pair_open_with_interrupts(&pair);
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

    pair_open_with_interrupts(&pair);
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

    pair_open_with_interrupts(&pair);
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

    pair_open_with_interrupts(&pair);
    for (size_t i = 0; i < pair.master_control.log.count; i++)
        ck_assert(!is_readable(pair.master_control.log.events[i].fd));
    for (size_t i = 0; i < pair.slave_control.log.count; i++)
        ck_assert(!is_readable(pair.slave_control.log.events[i].fd));
    pair_close(&pair);
}

MEMIF_TEST(a_queue_in_polling_mode_wakes_nobody)
{
    struct pair pair = {0};

    pair_open_with_interrupts(&pair);
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

MEMIF_TEST_MAIN("4.0 fd events")
