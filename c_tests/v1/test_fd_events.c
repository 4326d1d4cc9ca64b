/* SPDX-License-Identifier: Apache-2.0 */

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

MEMIF_TEST_MAIN("fd events")
