/* SPDX-License-Identifier: Apache-2.0 */

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "harness.h"
#include "pair_v1.h"

/* Rings of 4 slots, which hold at least 3 packets. */
static const struct shape small_rings = {.log2_ring_size = 2, .buffer_size = 64};
static const struct shape application_polls = {
    .polling = APPLICATION_POLLS, .log2_ring_size = 2, .buffer_size = 64};

/* ---- memif_poll_event ---- */

MEMIF_TEST(poll_event_returns_when_nothing_happens)
{
    struct pair pair = {0};

    pair_open(&pair, &small_rings);
    ck_assert_int_eq(memif_poll_event(0), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(memif_poll_event(1), MEMIF_ERR_SUCCESS);
    pair_close(&pair);
}

MEMIF_TEST(poll_event_waits_for_what_happens)
{
    struct pair pair = {.master.at_interrupt = count_interrupt};

    pair_open(&pair, &small_rings);
    send_packets(pair.slave.conn, 0, 1, 64, 1);
    ck_assert_int_eq(memif_poll_event(-1), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(pair.master.interrupts, 1);
    pair_close(&pair);
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

static const int timeouts[] = {-1, 30000};

MEMIF_TEST_LOOP(a_signal_ends_the_wait_with_a_negative_value, 0, 2)
{
    struct sigaction action = {.sa_handler = ignore_signal};
    struct pair pair = {0};

    pair_open(&pair, &small_rings);
    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    ring_the_alarm(5000);
    int err = memif_poll_event(timeouts[_i]);
    ring_the_alarm(0);
    ck_assert_int_lt(err, 0);
    ck_assert_str_ne(memif_strerror(err), "");
    ck_assert_int_eq(memif_poll_event(0), MEMIF_ERR_SUCCESS);
    pair_close(&pair);
}

MEMIF_TEST(signals_disturb_no_handshake_and_no_packet)
{
    struct sigaction action = {.sa_handler = ignore_signal};
    struct pair pair = {0};

    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    start(APPLICATION_POLLS, ANY_VERSION);
    pair.master.args.is_master = 1;
    ck_assert_int_eq(end_create(&pair.master, "a.sock"), MEMIF_ERR_SUCCESS);
    ring_the_alarm(50);
    for (uint32_t i = 0; i < 20; i++) {
        ck_assert_int_eq(end_create(&pair.slave, "a.sock"), MEMIF_ERR_SUCCESS);
        while (!end_is_up(&pair.master) || !end_is_up(&pair.slave)) {
            if (fd_log.watched > 0 && turn(0) != MEMIF_ERR_SUCCESS)
                ck_abort_msg("a turn failed");
        }
        send_packets(pair.slave.conn, 0, 3, 64, i);
        expect_packets(pair.master.conn, 0, 3, 64, i);
        end_delete(&pair.slave);
        while (end_is_up(&pair.master))
            ck_assert_int_eq(turn(0), MEMIF_ERR_SUCCESS);
    }
    ring_the_alarm(0);
    stop();
}

MEMIF_TEST(cancel_ends_the_next_poll_event_once)
{
    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(memif_cancel_poll_event(), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(memif_poll_event(-1), MEMIF_ERR_POLL_CANCEL);
    ck_assert_int_eq(memif_poll_event(0), MEMIF_ERR_SUCCESS);
    stop();
}

MEMIF_TEST(several_cancels_before_a_poll_event_are_one)
{
    start(LIBRARY_POLLS, ANY_VERSION);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(memif_cancel_poll_event(), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(memif_poll_event(-1), MEMIF_ERR_POLL_CANCEL);
    ck_assert_int_eq(memif_poll_event(0), MEMIF_ERR_SUCCESS);
    stop();
}

static void *cancel_once_asleep(void *poller)
{
    wait_until_asleep(*(const pid_t *)poller);
    return (void *)(intptr_t)memif_cancel_poll_event();
}

MEMIF_TEST(cancel_from_another_thread_ends_a_running_poll_event)
{
    pid_t self = gettid();
    pthread_t thread;
    void *err;

    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(pthread_create(&thread, NULL, cancel_once_asleep, &self), 0);
    ck_assert_int_eq(memif_poll_event(-1), MEMIF_ERR_POLL_CANCEL);
    ck_assert_int_eq(pthread_join(thread, &err), 0);
    ck_assert_int_eq((int)(intptr_t)err, MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(memif_poll_event(0), MEMIF_ERR_SUCCESS);
    stop();
}

/* ---- the timer ---- */

static bool is_armed(int timer)
{
    char path[64];
    char line[128];
    unsigned long long seconds = 0, nanoseconds = 0;
    bool found = false;

    (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", timer);
    FILE *info = fopen(path, "re");
    ck_assert_ptr_nonnull(info);
    while (!found && fgets(line, sizeof(line), info) != NULL)
        found = sscanf(line, "it_value: (%llu, %llu)", &seconds, &nanoseconds) == 2;
    ck_assert_int_eq(fclose(info), 0);
    ck_assert_msg(found, "descriptor %d is no timer", timer);
    return seconds != 0 || nanoseconds != 0;
}

MEMIF_TEST(no_timer_runs_while_no_slave_is_disconnected)
{
    struct pair pair = {0};

    start(APPLICATION_POLLS, ANY_VERSION);
    int timer = fd_log.events[0].fd;
    ck_assert(!is_armed(timer));
    pair_connect(&pair, &small_rings, "pair.sock");
    ck_assert(!is_armed(timer));
    ck_assert(!is_readable(timer));
    end_delete(&pair.master);
    RUN_UNTIL(pair.slave.disconnects == 1);
    ck_assert(is_armed(timer));
    end_delete(&pair.slave);
    ck_assert(!is_armed(timer));
    stop();
}

MEMIF_TEST(an_idle_connection_wakes_nobody)
{
    struct pair pair = {.master.at_interrupt = count_interrupt,
                        .slave.at_interrupt = count_interrupt};

    pair_open(&pair, &application_polls);
    for (size_t i = 0; i < fd_log.count; i++)
        ck_assert(!is_readable(fd_log.events[i].fd));
    pair_close(&pair);
}

MEMIF_TEST_MAIN("polling")
