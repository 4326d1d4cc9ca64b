/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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

/* ---- what the application is told ---- */

/*
 * The log as text: "+a" a descriptor was announced, "-a" taken back. The letters name descriptors
 * in the order of their appearance, for numbers are used again.
 */
static void fd_log_as_text(char *text, size_t size)
{
    char letters[1024] = {0};
    char next = 'a';

    ck_assert_uint_gt(size, 2 * fd_log.count);
    for (size_t i = 0; i < fd_log.count; i++) {
        const struct fd_event *event = &fd_log.events[i];
        bool gone = event->events == MEMIF_FD_EVENT_DEL;

        ck_assert_int_lt(event->fd, (int)sizeof(letters));
        if (!gone)
            letters[event->fd] = next++;
        *text++ = gone ? '-' : '+';
        *text++ = letters[event->fd];
    }
    *text = '\0';
}

static void expect_fd_log(const char *expected)
{
    char text[256];

    fd_log_as_text(text, sizeof(text));
    ck_assert_str_eq(text, expected);
}

MEMIF_TEST(every_descriptor_of_a_connection_is_announced_and_taken_back_in_order)
{
    struct pair pair = {.master.at_interrupt = count_interrupt,
                        .slave.at_interrupt = count_interrupt};

    start(APPLICATION_POLLS, ANY_VERSION);
    expect_fd_log("+a"); /* timer */
    pair_connect(&pair, &small_rings, "pair.sock");
    /* Listener, channel of the slave and of the master, receive queue of the master and of the
     * slave. */
    expect_fd_log("+a+b+c+d+e+f");
    end_delete(&pair.slave);
    RUN_UNTIL(pair.master.disconnects == 1);
    expect_fd_log("+a+b+c+d+e+f-c-f-d-e");
    end_delete(&pair.master);
    expect_fd_log("+a+b+c+d+e+f-c-f-d-e-b");
    stop();
    expect_fd_log("+a+b+c+d+e+f-c-f-d-e-b-a");
}

MEMIF_TEST(a_master_that_is_deleted_takes_back_listener_channel_and_queues)
{
    struct pair pair = {.master.at_interrupt = count_interrupt,
                        .slave.at_interrupt = count_interrupt};

    pair_open(&pair, &application_polls);
    end_delete(&pair.master);
    expect_fd_log("+a+b+c+d+e+f-b-d-e");
    RUN_UNTIL(pair.slave.disconnects == 1);
    expect_fd_log("+a+b+c+d+e+f-b-d-e-c-f");
    end_delete(&pair.slave);
    stop();
}

MEMIF_TEST(without_on_interrupt_no_queue_is_announced)
{
    struct pair pair = {0};

    pair_open(&pair, &application_polls);
    expect_fd_log("+a+b+c+d");
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
    ck_assert_uint_eq(fd_log.watched, 4 + 3 + 2);
    pair_close(&pair);
}

MEMIF_TEST(cleanup_takes_back_every_descriptor_before_it_is_closed)
{
    struct pair pair = {.master.at_interrupt = count_interrupt,
                        .slave.at_interrupt = count_interrupt};

    pair_open(&pair, &application_polls);
    ck_assert_uint_eq(fd_log.watched, 6);
    /* The helper looks at each descriptor as it is taken back, and counts. */
    stop();
}

/* ---- a callback that fails ---- */

MEMIF_TEST(init_fails_with_the_fd_callback)
{
    size_t before = open_fds();

    fd_log.refused = 1;
    ck_assert_int_eq(try_to_start(APPLICATION_POLLS, ANY_VERSION), MEMIF_ERR_CB_FDUPDATE);
    ck_assert_uint_eq(open_fds(), before);
    start(APPLICATION_POLLS, ANY_VERSION);
    stop();
}

MEMIF_TEST(create_of_a_master_fails_with_the_fd_callback)
{
    struct end end = {.args.is_master = 1};

    start(APPLICATION_POLLS, ANY_VERSION);
    size_t before = open_fds();
    fd_log.refused = 2;
    ck_assert_int_eq(end_create(&end, "a.sock"), MEMIF_ERR_CB_FDUPDATE);
    ck_assert_ptr_null(end.conn);
    ck_assert_uint_eq(open_fds(), before);
    ck_assert_uint_eq(files_in_folder(), 0);
    fd_log.refused = 0;
    ck_assert_int_eq(end_create(&end, "a.sock"), MEMIF_ERR_SUCCESS);
    stop();
}

static bool both_are_down(const struct pair *pair)
{
    return pair->master.connects == pair->master.disconnects &&
           pair->slave.connects == pair->slave.disconnects;
}

/* Descriptors 3 to 6 are the channels and the queues of the slave and the master. */
MEMIF_TEST_LOOP(a_connection_ends_when_the_fd_callback_fails, 3, 7)
{
    struct pair pair = {.master.at_interrupt = count_interrupt,
                        .slave.at_interrupt = count_interrupt};
    int err = MEMIF_ERR_SUCCESS;

    pair.master.args.is_master = 1;
    start(APPLICATION_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&pair.master, "a.sock"), MEMIF_ERR_SUCCESS);
    size_t fds = open_fds();
    ck_assert_int_eq(end_create(&pair.slave, "a.sock"), MEMIF_ERR_SUCCESS);
    fd_log.refused = (size_t)_i;
    while (fd_log.count < fd_log.refused)
        err = turn(-1);
    ck_assert_int_eq(err, MEMIF_ERR_CB_FDUPDATE);
    RUN_UNTIL(fd_log.watched == 2);
    ck_assert(both_are_down(&pair));
    ck_assert_uint_eq(open_fds(), fds);
    ck_assert_uint_eq(shared_mappings(), 0);
    stop();
}

MEMIF_TEST(an_interface_whose_queue_was_refused_is_never_told_of_a_connection)
{
    struct pair pair = {.master.at_interrupt = count_interrupt};

    pair.master.args.is_master = 1;
    start(APPLICATION_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&pair.master, "a.sock"), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(end_create(&pair.slave, "a.sock"), MEMIF_ERR_SUCCESS);
    fd_log.refused = 5;
    while (fd_log.count < 5)
        (void)turn(-1);
    ck_assert_uint_eq(pair.master.connects, 0);
    ck_assert_uint_eq(pair.master.disconnects, 0);
    stop();
}

static struct end *doomed;
static size_t doom; /* number of the event */

static void delete_the_doomed(void)
{
    if (fd_log.count == doom)
        (void)memif_delete(&doomed->conn);
}

/* Descriptors 3 to 6 are the channels and the queues of the slave and the master. */
MEMIF_TEST_LOOP(an_interface_may_be_deleted_inside_the_fd_callback, 0, 8)
{
    struct pair pair = {.master.at_interrupt = count_interrupt,
                        .slave.at_interrupt = count_interrupt};

    start(APPLICATION_POLLS, ANY_VERSION);
    pair.master.args.is_master = 1;
    ck_assert_int_eq(end_create(&pair.master, "a.sock"), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(end_create(&pair.slave, "a.sock"), MEMIF_ERR_SUCCESS);
    doomed = _i % 2 == 0 ? &pair.master : &pair.slave;
    doom = (size_t)_i / 2 + 3;
    fd_log.hook = delete_the_doomed;
    RUN_UNTIL(doomed->conn == NULL);
    struct end *peer = _i % 2 == 0 ? &pair.slave : &pair.master;
    RUN_UNTIL(peer->connects == peer->disconnects);
    ck_assert_uint_eq(doomed->connects, doomed->disconnects);
    stop();
    ck_assert_uint_eq(shared_mappings(), 0);
}

/* ---- memif_control_fd_handler ---- */

MEMIF_TEST(a_descriptor_that_is_not_the_librarys_is_refused)
{
    struct pair pair = {0};
    static const int strangers[] = {-1, 0, 1000000, INT32_MIN, INT32_MAX};

    pair_open(&pair, &application_polls);
    for (size_t i = 0; i < sizeof(strangers) / sizeof(*strangers); i++)
        ck_assert_int_eq(memif_control_fd_handler(strangers[i], MEMIF_FD_EVENT_READ),
                         MEMIF_ERR_BAD_FD);
    pair_close(&pair);
}

MEMIF_TEST(a_descriptor_that_was_taken_back_is_refused)
{
    struct pair pair = {0};

    pair_open(&pair, &application_polls);
    int channel = fd_log.events[2].fd;
    end_delete(&pair.slave);
    ck_assert_int_eq(memif_control_fd_handler(channel, MEMIF_FD_EVENT_READ), MEMIF_ERR_BAD_FD);
    end_delete(&pair.master);
    stop();
}

MEMIF_TEST(events_without_a_cause_change_nothing)
{
    struct pair pair = {0};

    pair_open(&pair, &application_polls);
    for (size_t i = 0; i < fd_log.count; i++)
        ck_assert_int_eq(memif_control_fd_handler(fd_log.events[i].fd, MEMIF_FD_EVENT_READ),
                         MEMIF_ERR_SUCCESS);
    ck_assert(end_is_up(&pair.master));
    ck_assert(end_is_up(&pair.slave));
    pair_close(&pair);
}

static void note_qid(struct end *end, uint16_t qid)
{
    uint16_t *seen = end->context;

    *seen = qid;
}

MEMIF_TEST_LOOP(packets_on_a_queue_call_on_interrupt_with_its_id, 0, POLLING_STYLES *WAYS)
{
    uint16_t seen = UINT16_MAX;
    struct pair pair = {.master = {.at_interrupt = note_qid, .context = &seen},
                        .slave = {.at_interrupt = note_qid, .context = &seen}};
    struct shape shape = {.version = version_of(_i),
                          .polling = (enum polling)(_i / WAYS),
                          .s2m_rings = 3,
                          .m2s_rings = 3,
                          .log2_ring_size = 2,
                          .buffer_size = 64};

    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    struct end *receiver = flow.to == pair.master.conn ? &pair.master : &pair.slave;
    for (uint16_t qid = 0; qid < 3; qid++) {
        unsigned before = receiver->interrupts;
        send_packets(flow.from, qid, 2, 64, qid);
        RUN_UNTIL(receiver->interrupts == before + 1);
        ck_assert_uint_eq(seen, qid);
        expect_packets(flow.to, qid, 2, 64, qid);
    }
    ck_assert_int_eq(turn(0), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(receiver->interrupts, 3);
    pair_close(&pair);
}

MEMIF_TEST(on_interrupt_is_called_again_until_all_packets_are_received)
{
    struct pair pair = {.master.at_interrupt = count_interrupt};

    pair_open(&pair, &small_rings);
    send_packets(pair.slave.conn, 0, 2, 64, 1);
    RUN_UNTIL(pair.master.interrupts == 3);
    expect_packets(pair.master.conn, 0, 2, 64, 1);
    ck_assert_int_eq(turn(0), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(pair.master.interrupts, 3);
    pair_close(&pair);
}

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

/* ---- queues that the application waits for by itself ---- */

MEMIF_TEST_LOOP(the_queues_eventfd_wakes_a_poll, 0, WAYS)
{
    struct pair pair = {0};
    struct shape shape = {.version = version_of(_i), .log2_ring_size = 2, .buffer_size = 64};

    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    int efd = queue_efd(flow.to, 0);
    for (uint32_t i = 0; i < 10; i++) {
        ck_assert(!is_readable(efd));
        send_packets(flow.from, 0, 1, 64, i);
        ck_assert(is_readable(efd));
        expect_packets(flow.to, 0, 1, 64, i);
    }
    ck_assert(!is_readable(efd));
    pair_close(&pair);
}

MEMIF_TEST(each_queue_has_an_eventfd_of_its_own)
{
    struct pair pair = {0};

    pair_open(&pair, &(struct shape){.s2m_rings = 2, .log2_ring_size = 2});
    send_packets(pair.slave.conn, 1, 1, 64, 1);
    ck_assert(!is_readable(queue_efd(pair.master.conn, 0)));
    ck_assert(is_readable(queue_efd(pair.master.conn, 1)));
    pair_close(&pair);
}

MEMIF_TEST(the_eventfd_of_a_queue_that_does_not_exist_is_refused)
{
    struct pair pair = {0};
    int fd;

    pair_open(&pair, &small_rings);
    ck_assert_int_eq(memif_get_queue_efd(pair.slave.conn, 1, &fd), MEMIF_ERR_QID);
    ck_assert_int_eq(memif_get_queue_efd(pair.slave.conn, 65535, &fd), MEMIF_ERR_QID);
    ck_assert_int_eq(memif_get_queue_efd(pair.slave.conn, 0, NULL), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_set_rx_mode(pair.slave.conn, MEMIF_RX_MODE_POLLING, 1), MEMIF_ERR_QID);
    ck_assert_int_eq(memif_set_rx_mode(pair.slave.conn, (memif_rx_mode_t)2, 0),
                     MEMIF_ERR_INVAL_ARG);
    end_delete(&pair.master);
    RUN_UNTIL(pair.slave.disconnects == 1);
    ck_assert_int_eq(memif_get_queue_efd(pair.slave.conn, 0, &fd), MEMIF_ERR_DISCONNECTED);
    ck_assert_int_eq(memif_set_rx_mode(pair.slave.conn, MEMIF_RX_MODE_POLLING, 0),
                     MEMIF_ERR_DISCONNECTED);
    end_delete(&pair.slave);
    stop();
}

static void set_mode(memif_conn_handle_t conn, memif_rx_mode_t mode)
{
    ck_assert_int_eq(memif_set_rx_mode(conn, mode, 0), MEMIF_ERR_SUCCESS);
}

MEMIF_TEST_LOOP(nobody_signals_a_queue_in_polling_mode, 0, WAYS)
{
    struct pair pair = {0};
    struct shape shape = {.version = version_of(_i), .log2_ring_size = 2, .buffer_size = 64};

    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    int efd = queue_efd(flow.to, 0);
    set_mode(flow.to, MEMIF_RX_MODE_POLLING);
    for (uint32_t i = 0; i < 10; i++) {
        send_packets(flow.from, 0, 1, 64, i);
        ck_assert(!is_readable(efd));
        expect_packets(flow.to, 0, 1, 64, i);
    }
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_queue_back_in_interrupt_mode_is_signalled, 0, WAYS)
{
    struct pair pair = {0};
    struct shape shape = {.version = version_of(_i), .log2_ring_size = 2, .buffer_size = 64};

    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    int efd = queue_efd(flow.to, 0);
    set_mode(flow.to, MEMIF_RX_MODE_POLLING);
    set_mode(flow.to, MEMIF_RX_MODE_INTERRUPT);
    expect_packets(flow.to, 0, 0, 0, 0);
    ck_assert(!is_readable(efd));
    send_packets(flow.from, 0, 1, 64, 1);
    ck_assert(is_readable(efd));
    expect_packets(flow.to, 0, 1, 64, 1);
    ck_assert(!is_readable(efd));
    pair_close(&pair);
}

MEMIF_TEST(packets_that_came_in_polling_mode_are_not_forgotten_in_interrupt_mode)
{
    struct pair pair = {.master.at_interrupt = count_interrupt};

    pair_open(&pair, &small_rings);
    set_mode(pair.master.conn, MEMIF_RX_MODE_POLLING);
    send_packets(pair.slave.conn, 0, 2, 64, 1);
    ck_assert_int_eq(turn(0), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(pair.master.interrupts, 0);
    set_mode(pair.master.conn, MEMIF_RX_MODE_INTERRUPT);
    RUN_UNTIL(pair.master.interrupts > 0);
    expect_packets(pair.master.conn, 0, 2, 64, 1);
    pair_close(&pair);
}

MEMIF_TEST(the_rx_mode_ends_with_the_connection)
{
    struct pair pair = {0};

    pair_open(&pair, &small_rings);
    set_mode(pair.master.conn, MEMIF_RX_MODE_POLLING);
    end_delete(&pair.slave);
    RUN_UNTIL(pair.master.disconnects == 1);
    ck_assert_int_eq(end_create(&pair.slave, "pair.sock"), MEMIF_ERR_SUCCESS);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    send_packets(pair.slave.conn, 0, 1, 64, 1);
    ck_assert(is_readable(queue_efd(pair.master.conn, 0)));
    pair_close(&pair);
}

static void poll_in_hook(struct end *end)
{
    int *err = end->context;

    *err = memif_set_rx_mode(end->conn, MEMIF_RX_MODE_POLLING, 0);
}

MEMIF_TEST(the_rx_mode_can_be_set_inside_on_connect)
{
    int err = -1;
    struct pair pair = {.master = {.at_connect = poll_in_hook, .context = &err}};

    pair_open(&pair, &small_rings);
    ck_assert_int_eq(err, MEMIF_ERR_SUCCESS);
    send_packets(pair.slave.conn, 0, 1, 64, 1);
    ck_assert(!is_readable(queue_efd(pair.master.conn, 0)));
    pair_close(&pair);
}

/* ---- when a burst ends the readiness ---- */

static void receive(memif_conn_handle_t conn, uint16_t count, uint16_t expected, int expected_err)
{
    memif_buffer_t buffers[4];
    uint16_t done;

    ck_assert_int_eq(memif_rx_burst(conn, 0, buffers, count, &done), expected_err);
    ck_assert_uint_eq(done, expected);
    ck_assert_int_eq(memif_buffer_free(conn, 0, buffers, expected, &done), MEMIF_ERR_SUCCESS);
}

MEMIF_TEST_LOOP(the_eventfd_stays_readable_until_the_ring_was_seen_empty, 0, WAYS)
{
    struct pair pair = {0};
    struct shape shape = {.version = version_of(_i), .log2_ring_size = 2, .buffer_size = 64};

    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    int efd = queue_efd(flow.to, 0);
    send_packets(flow.from, 0, 3, 64, 1);
    receive(flow.to, 0, 0, MEMIF_ERR_NOBUF);
    ck_assert(is_readable(efd));
    receive(flow.to, 2, 2, MEMIF_ERR_NOBUF);
    ck_assert(is_readable(efd));
    receive(flow.to, 4, 1, MEMIF_ERR_SUCCESS);
    ck_assert(!is_readable(efd));
    receive(flow.to, 4, 0, MEMIF_ERR_SUCCESS);
    ck_assert(!is_readable(efd));
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_burst_that_was_just_filled_leaves_nothing_stranded, 0, WAYS)
{
    struct pair pair = {0};
    struct shape shape = {.version = version_of(_i), .log2_ring_size = 2, .buffer_size = 64};

    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    send_packets(flow.from, 0, 2, 64, 1);
    receive(flow.to, 2, 2, MEMIF_ERR_SUCCESS);
    send_packets(flow.from, 0, 1, 64, 3);
    ck_assert(is_readable(queue_efd(flow.to, 0)));
    receive(flow.to, 2, 1, MEMIF_ERR_SUCCESS);
    ck_assert(!is_readable(queue_efd(flow.to, 0)));
    pair_close(&pair);
}

MEMIF_TEST_MAIN("polling")
