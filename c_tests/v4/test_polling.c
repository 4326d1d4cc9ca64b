/* SPDX-License-Identifier: Apache-2.0 */

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "harness.h"
#include "pair_v4.h"

static const struct shape small_rings = {.log2_ring_size = 2, .buffer_size = 64};

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

MEMIF_TEST_MAIN("4.0 polling")
