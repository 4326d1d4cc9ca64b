/* SPDX-License-Identifier: Apache-2.0 */

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "harness.h"
#include "pair_v1.h"

/*
 * Worker threads must not jump out of a failed check: they note what went wrong, and the main
 * thread, which alone runs the control functions, judges it.
 */

enum { QUEUES = 4, BURST = 32, LENGTH = 64, PATIENCE_MS = 30000 };

static const struct shape four_queues = {
    .s2m_rings = QUEUES, .m2s_rings = QUEUES, .log2_ring_size = 6, .buffer_size = LENGTH};

struct worker {
    memif_conn_handle_t conn;
    uint16_t qid;
    uint32_t goal; /* packets to send, and to receive */
    pthread_t thread;
    memif_buffer_t tx[BURST];
    memif_buffer_t rx[BURST];
    uint32_t sent;
    uint32_t received;
    int last_err;
    const char *problem;
    uint32_t bursts;
    atomic_bool stop;
    atomic_bool ended;
};

static void start_worker(struct worker *worker, memif_conn_handle_t conn, uint16_t qid,
                         void *(*run)(void *))
{
    *worker = (struct worker){.conn = conn, .qid = qid, .goal = worker->goal};
    ck_assert_int_eq(pthread_create(&worker->thread, NULL, run, worker), 0);
}

static void join_worker(struct worker *worker)
{
    ck_assert_int_eq(pthread_join(worker->thread, NULL), 0);
    ck_assert_msg(worker->problem == NULL, "queue %u: %s (code %d)", worker->qid, worker->problem,
                  worker->last_err);
}

static bool have_ended(struct worker *workers, size_t count)
{
    size_t ended = 0;

    while (ended < count && atomic_load(&workers[ended].ended))
        ended++;
    return ended == count;
}

/* Posted by each worker that is in the middle of its bursts. */
static sem_t bursting;

static void count_burst(struct worker *worker)
{
    enum { ENOUGH = 20 };

    if (++worker->bursts == ENOUGH)
        (void)sem_post(&bursting);
}

static void wait_for_bursts(size_t workers)
{
    const struct timespec deadline = deadline_from_now();

    for (size_t i = 0; i < workers; i++)
        ck_assert_int_eq(sem_clockwait(&bursting, CLOCK_MONOTONIC, &deadline), 0);
}

/* True if `err` is one of the two; else the worker has a problem. */
static bool expect_either(struct worker *worker, int err, int good, int other, const char *problem)
{
    worker->last_err = err;
    if (err == good || err == other)
        return true;
    worker->problem = problem;
    return false;
}

/* ---- packets in all directions at once ---- */

static uint16_t send_some(struct worker *worker)
{
    uint32_t left = worker->goal - worker->sent;
    uint16_t count, done;
    int err = memif_buffer_alloc(worker->conn, worker->qid, worker->tx,
                                 (uint16_t)(left < BURST ? left : BURST), &count);

    if (!expect_either(worker, err, MEMIF_ERR_SUCCESS, MEMIF_ERR_NOBUF_RING, "alloc failed"))
        return 0;
    for (uint16_t i = 0; i < count; i++) {
        write_pattern(worker->tx[i].data, LENGTH, worker->sent++);
        worker->tx[i].data_len = LENGTH;
    }
    err = memif_tx_burst(worker->conn, worker->qid, worker->tx, count, &done);
    (void)expect_either(worker, err, MEMIF_ERR_SUCCESS, MEMIF_ERR_SUCCESS, "tx failed");
    if (done != count)
        worker->problem = "tx sent a part";
    return count;
}

static uint16_t receive_some(struct worker *worker)
{
    uint16_t count, done;
    int err = memif_rx_burst(worker->conn, worker->qid, worker->rx, BURST, &count);

    if (!expect_either(worker, err, MEMIF_ERR_SUCCESS, MEMIF_ERR_NOBUF, "rx failed"))
        return 0;
    for (uint16_t i = 0; i < count; i++) {
        if (worker->rx[i].data_len != LENGTH ||
            !holds_pattern(worker->rx[i].data, LENGTH, worker->received++))
            worker->problem = "a packet has other contents";
    }
    err = memif_buffer_free(worker->conn, worker->qid, worker->rx, count, &done);
    (void)expect_either(worker, err, MEMIF_ERR_SUCCESS, MEMIF_ERR_SUCCESS, "free failed");
    return count;
}

static bool is_done(const struct worker *worker)
{
    return worker->problem != NULL ||
           (worker->sent == worker->goal && worker->received == worker->goal);
}

static void *exchange(void *argument)
{
    struct worker *worker = argument;

    while (!is_done(worker)) {
        if (send_some(worker) + receive_some(worker) == 0)
            sched_yield();
    }
    atomic_store(&worker->ended, true);
    return NULL;
}

MEMIF_TEST_LOOP(threads_use_all_queues_in_both_directions_at_once, 0, VERSIONS)
{
    static struct worker workers[2 * QUEUES];
    struct pair pair = {0};
    struct shape shape = four_queues;

    shape.version = version_of(_i);
    pair_open(&pair, &shape);
    for (uint16_t i = 0; i < 2 * QUEUES; i++) {
        workers[i].goal = 20000;
        start_worker(&workers[i], i < QUEUES ? pair.master.conn : pair.slave.conn, i % QUEUES,
                     exchange);
    }
    RUN_UNTIL(have_ended(workers, 2 * QUEUES));
    for (size_t i = 0; i < 2 * QUEUES; i++)
        join_worker(&workers[i]);
    pair_close(&pair);
}

/* ---- sleeping receivers ---- */

static bool wait_for_packets(struct worker *worker, int efd)
{
    struct pollfd poller = {.fd = efd, .events = POLLIN};

    if (poll(&poller, 1, PATIENCE_MS) == 1)
        return true;
    worker->problem = "nothing woke the receiver";
    return false;
}

static void *receive_asleep(void *argument)
{
    struct worker *worker = argument;
    int efd = -1;

    worker->sent = worker->goal;
    (void)memif_get_queue_efd(worker->conn, worker->qid, &efd);
    while (!is_done(worker) && wait_for_packets(worker, efd))
        (void)receive_some(worker);
    atomic_store(&worker->ended, true);
    return NULL;
}

static void *send_all(void *argument)
{
    struct worker *worker = argument;

    worker->received = worker->goal;
    while (!is_done(worker)) {
        if (send_some(worker) == 0)
            sched_yield();
    }
    atomic_store(&worker->ended, true);
    return NULL;
}

/* A while that differs from call to call, too short to be slept. */
static void linger(uint32_t round)
{
    for (uint32_t i = round * 2654435761u >> 19; i > 0; i--)
        atomic_signal_fence(memory_order_seq_cst);
}

static bool send_one(struct worker *worker)
{
    worker->goal = worker->sent + 1;
    return send_some(worker) == 1;
}

/* Stays awake for a moment, and so follows the sender closely, before it goes to sleep. */
static bool expect_packets_soon(struct worker *worker, int efd)
{
    enum { LOOKS = 300 };
    struct pollfd poller = {.fd = efd, .events = POLLIN};

    for (int i = 0; i < LOOKS; i++) {
        if (poll(&poller, 1, 0) == 1)
            return true;
    }
    return wait_for_packets(worker, efd);
}

static bool receive_up_to(struct worker *worker, int efd, uint32_t received)
{
    while (worker->received < received && worker->problem == NULL &&
           expect_packets_soon(worker, efd))
        (void)receive_some(worker);
    return worker->received == received;
}

/*
 * Two packets with a short while in between, then nothing before the answer: the second may come
 * at any point of the burst that receives the first, and nothing later makes up for a wake-up that
 * it does not cause.
 */
static void *ask(void *argument)
{
    struct worker *worker = argument;
    uint32_t rounds = worker->goal;
    int efd = -1;

    (void)memif_get_queue_efd(worker->conn, worker->qid, &efd);
    for (uint32_t round = 0; round < rounds; round++) {
        if (!send_one(worker))
            break;
        linger(round);
        if (!send_one(worker) || !receive_up_to(worker, efd, round + 1))
            break;
    }
    atomic_store(&worker->ended, true);
    return NULL;
}

static void *answer(void *argument)
{
    struct worker *worker = argument;
    uint32_t rounds = worker->goal;
    int efd = -1;

    (void)memif_get_queue_efd(worker->conn, worker->qid, &efd);
    for (uint32_t round = 0; round < rounds; round++) {
        if (!receive_up_to(worker, efd, 2 * (round + 1)) || !send_one(worker))
            break;
    }
    atomic_store(&worker->ended, true);
    return NULL;
}

static void run_two_threads(int way, uint32_t goal, void *(*run_from)(void *),
                            void *(*run_to)(void *))
{
    static struct worker workers[2];
    struct pair pair = {0};
    struct shape shape = {.version = version_of(way), .log2_ring_size = 6, .buffer_size = LENGTH};

    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, way);
    workers[0].goal = workers[1].goal = goal;
    start_worker(&workers[0], flow.to, 0, run_to);
    start_worker(&workers[1], flow.from, 0, run_from);
    RUN_UNTIL(have_ended(workers, 2));
    join_worker(&workers[0]);
    join_worker(&workers[1]);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_receiver_that_sleeps_misses_no_packet_of_a_stream, 0, WAYS)
{
    run_two_threads(_i, 100000, send_all, receive_asleep);
}

MEMIF_TEST_LOOP(two_threads_that_answer_each_other_miss_no_wake_up, 0, WAYS)
{
    run_two_threads(_i, 5000, ask, answer);
}

/* ---- modes ---- */

static void *change_mode_and_receive(void *argument)
{
    struct worker *worker = argument;
    memif_rx_mode_t mode = MEMIF_RX_MODE_POLLING;

    worker->sent = worker->goal;
    while (!is_done(worker)) {
        int err = memif_set_rx_mode(worker->conn, mode, worker->qid);
        (void)expect_either(worker, err, MEMIF_ERR_SUCCESS, MEMIF_ERR_SUCCESS, "no mode was set");
        mode = mode == MEMIF_RX_MODE_POLLING ? MEMIF_RX_MODE_INTERRUPT : MEMIF_RX_MODE_POLLING;
        if (receive_some(worker) == 0)
            sched_yield();
    }
    atomic_store(&worker->ended, true);
    return NULL;
}

MEMIF_TEST_LOOP(a_thread_may_change_the_rx_mode_of_its_queue, 0, WAYS)
{
    run_two_threads(_i, 50000, send_all, change_mode_and_receive);
}

static void *sleep_after_changing_mode(void *argument)
{
    struct worker *worker = argument;
    int efd = -1;

    worker->sent = worker->goal;
    (void)memif_get_queue_efd(worker->conn, worker->qid, &efd);
    while (!is_done(worker) && wait_for_packets(worker, efd)) {
        (void)memif_set_rx_mode(worker->conn, MEMIF_RX_MODE_POLLING, worker->qid);
        (void)receive_some(worker);
        (void)memif_set_rx_mode(worker->conn, MEMIF_RX_MODE_INTERRUPT, worker->qid);
        (void)receive_some(worker);
    }
    atomic_store(&worker->ended, true);
    return NULL;
}

MEMIF_TEST_LOOP(a_queue_back_in_interrupt_mode_misses_no_packet, 0, WAYS)
{
    run_two_threads(_i, 20000, send_all, sleep_after_changing_mode);
}

/* ---- the end of a connection while threads use it ---- */

enum { STORM = 2 };

/* How often a test ends a connection; TEAR_DOWNS in the environment says otherwise. */
static uint32_t tear_downs(void)
{
    return memif_times("TEAR_DOWNS", 150);
}

static const struct shape storm_shape = {
    .s2m_rings = STORM, .m2s_rings = STORM, .log2_ring_size = 5, .buffer_size = LENGTH};

static bool is_end(int err)
{
    return err == MEMIF_ERR_DISCONNECTED || err == MEMIF_ERR_NOCONN;
}

/* One call of each burst function; the first code that says that the connection is over, or the
 * code of the last. */
static int burst_once(struct worker *worker)
{
    uint16_t count, done;
    int err = memif_buffer_alloc(worker->conn, worker->qid, worker->tx, BURST, &count);

    if (is_end(err))
        return err;
    for (uint16_t i = 0; i < count; i++)
        worker->tx[i].data_len = LENGTH;
    err = memif_tx_burst(worker->conn, worker->qid, worker->tx, count, &done);
    if (err != MEMIF_ERR_SUCCESS)
        return err;
    err = memif_rx_burst(worker->conn, worker->qid, worker->rx, BURST, &count);
    if (is_end(err))
        return err;
    return memif_buffer_free(worker->conn, worker->qid, worker->rx, count, &done);
}

static void *burst_until_the_end(void *argument)
{
    struct worker *worker = argument;

    do {
        worker->last_err = burst_once(worker);
        count_burst(worker);
        sched_yield(); /* or else the main thread takes long to end the connection */
    } while (worker->last_err == MEMIF_ERR_SUCCESS);
    if (!is_end(worker->last_err))
        worker->problem = "a burst ended with another code";
    atomic_store(&worker->ended, true);
    return NULL;
}

static void start_storm(struct worker *workers, const struct pair *pair)
{
    for (uint16_t i = 0; i < 2 * STORM; i++)
        start_worker(&workers[i], i < STORM ? pair->master.conn : pair->slave.conn, i % STORM,
                     burst_until_the_end);
    wait_for_bursts(2 * STORM);
}

static void join_all(struct worker *workers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        join_worker(&workers[i]);
}

static void end_by_delete(struct pair *pair, struct end *deleted)
{
    struct end *peer = deleted == &pair->master ? &pair->slave : &pair->master;

    end_delete(deleted);
    RUN_UNTIL(peer->connects == peer->disconnects);
    end_delete(peer);
}

/* By version, and by who ends it: the master, the slave, or memif_cleanup. */
MEMIF_TEST_LOOP(bursts_end_cleanly_with_their_connection, 0, 3 * VERSIONS)
{
    static struct worker workers[2 * STORM];

    ck_assert_int_eq(sem_init(&bursting, 0, 0), 0);
    for (uint32_t i = 0; i < tear_downs(); i++) {
        struct pair pair = {0};
        struct shape shape = storm_shape;

        shape.version = version_of(_i);
        pair_open(&pair, &shape);
        start_storm(workers, &pair);
        if (_i / VERSIONS == 0)
            end_by_delete(&pair, &pair.master);
        else if (_i / VERSIONS == 1)
            end_by_delete(&pair, &pair.slave);
        stop();
        join_all(workers, 2 * STORM);
        ck_assert_uint_eq(shared_mappings(), 0);
    }
}

static void *burst_until_told(void *argument)
{
    struct worker *worker = argument;

    while (!atomic_load(&worker->stop) && worker->problem == NULL) {
        int err = burst_once(worker);
        /* What was reserved before the connection was lost is nothing after it came back. */
        if (err != MEMIF_ERR_INVAL_ARG)
            (void)expect_either(worker, err, MEMIF_ERR_SUCCESS, MEMIF_ERR_DISCONNECTED,
                                "a burst ended with another code");
    }
    atomic_store(&worker->ended, true);
    return NULL;
}

/* The master's threads never stop; its slaves come and go. */
MEMIF_TEST_LOOP(threads_may_burst_on_while_the_connection_comes_and_goes, 0, VERSIONS)
{
    static struct worker workers[STORM];
    struct pair pair = {0};
    struct shape shape = storm_shape;

    shape.version = version_of(_i);
    pair_open(&pair, &shape);
    for (uint16_t i = 0; i < STORM; i++)
        start_worker(&workers[i], pair.master.conn, i, burst_until_told);
    for (uint32_t i = 0; i < tear_downs(); i++) {
        end_delete(&pair.slave);
        RUN_UNTIL(!end_is_up(&pair.master));
        ck_assert_int_eq(end_create(&pair.slave, "pair.sock"), MEMIF_ERR_SUCCESS);
        RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    }
    for (size_t i = 0; i < STORM; i++)
        atomic_store(&workers[i].stop, true);
    join_all(workers, STORM);
    pair_close(&pair);
}

/* ---- threads that live as long as the connection ---- */

static int send_pattern(struct worker *worker)
{
    uint16_t count, done;
    int err = memif_buffer_alloc(worker->conn, worker->qid, worker->tx, BURST, &count);

    for (uint16_t i = 0; i < count; i++) {
        write_pattern(worker->tx[i].data, LENGTH, 1);
        worker->tx[i].data_len = LENGTH;
    }
    if (is_end(err))
        return err;
    return memif_tx_burst(worker->conn, worker->qid, worker->tx, count, &done);
}

static int receive_pattern(struct worker *worker)
{
    uint16_t count, done;
    int err = memif_rx_burst(worker->conn, worker->qid, worker->rx, BURST, &count);

    if (is_end(err))
        return err;
    for (uint16_t i = 0; i < count; i++) {
        if (!holds_pattern(worker->rx[i].data, LENGTH, 1))
            worker->problem = "a packet has other contents";
    }
    return memif_buffer_free(worker->conn, worker->qid, worker->rx, count, &done);
}

static void *use_buffers_until_told(void *argument)
{
    struct worker *worker = argument;
    int err = MEMIF_ERR_SUCCESS;

    while (!atomic_load(&worker->stop) && !is_end(err) && worker->problem == NULL) {
        err = send_pattern(worker);
        if (!is_end(err))
            err = receive_pattern(worker);
        count_burst(worker);
        sched_yield();
    }
    worker->last_err = err;
    atomic_store(&worker->ended, true);
    return NULL;
}

static void start_in_hook(struct end *end)
{
    struct worker *workers = end->context;

    for (uint16_t i = 0; i < STORM; i++) {
        workers[i] = (struct worker){.conn = end->conn, .qid = i};
        if (pthread_create(&workers[i].thread, NULL, use_buffers_until_told, &workers[i]) != 0)
            abort();
    }
}

static void join_in_hook(struct end *end)
{
    struct worker *workers = end->context;

    for (size_t i = 0; i < STORM; i++) {
        atomic_store(&workers[i].stop, true);
        if (pthread_join(workers[i].thread, NULL) != 0)
            abort();
    }
}

/* Until on_disconnect returns no thread hears of the end. */
static void expect_no_problem(const struct worker *workers)
{
    for (size_t i = 0; i < STORM; i++) {
        ck_assert_msg(workers[i].problem == NULL, "queue %zu: %s", i, workers[i].problem);
        ck_assert(!is_end(workers[i].last_err));
    }
}

MEMIF_TEST_LOOP(threads_of_on_connect_can_be_joined_in_on_disconnect, 0, 2 * VERSIONS)
{
    static struct worker of_master[STORM], of_slave[STORM];

    ck_assert_int_eq(sem_init(&bursting, 0, 0), 0);
    for (uint32_t i = 0; i < tear_downs() / 3; i++) {
        struct pair pair = {0};
        struct shape shape = storm_shape;

        pair.master.context = of_master;
        pair.slave.context = of_slave;
        pair.master.at_connect = pair.slave.at_connect = start_in_hook;
        pair.master.at_disconnect = pair.slave.at_disconnect = join_in_hook;
        shape.version = version_of(_i);
        pair_open(&pair, &shape);
        wait_for_bursts(2 * STORM);
        end_by_delete(&pair, _i / VERSIONS == 0 ? &pair.master : &pair.slave);
        stop();
        expect_no_problem(of_master);
        expect_no_problem(of_slave);
    }
}

/* ---- details, asked for by another thread ---- */

static void *ask_until_told(void *argument)
{
    struct worker *worker = argument;
    char strings[4096];
    memif_details_t details;

    while (!atomic_load(&worker->stop) && worker->problem == NULL) {
        int err = memif_get_details(worker->conn, &details, strings, sizeof(strings));
        (void)expect_either(worker, err, MEMIF_ERR_SUCCESS, MEMIF_ERR_SUCCESS, "no details");
        count_burst(worker);
    }
    return NULL;
}

MEMIF_TEST_LOOP(details_may_be_asked_for_while_the_connection_comes_and_goes, 0, VERSIONS)
{
    static struct worker worker;
    struct pair pair = {0};
    struct shape shape = storm_shape;

    shape.version = version_of(_i);
    ck_assert_int_eq(sem_init(&bursting, 0, 0), 0);
    pair_open(&pair, &shape);
    start_worker(&worker, pair.master.conn, 0, ask_until_told);
    wait_for_bursts(1);
    for (uint32_t i = 0; i < tear_downs(); i++) {
        end_delete(&pair.slave);
        RUN_UNTIL(!end_is_up(&pair.master));
        ck_assert_int_eq(end_create(&pair.slave, "pair.sock"), MEMIF_ERR_SUCCESS);
        RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    }
    atomic_store(&worker.stop, true);
    join_worker(&worker);
    pair_close(&pair);
}

/* ---- a peer that floods and leaves ---- */

static void *flood(void *argument)
{
    struct worker *worker = argument;
    int err = MEMIF_ERR_SUCCESS;

    while (!is_end(err)) {
        uint16_t count, done = 0;
        err = memif_buffer_alloc(worker->conn, worker->qid, worker->tx, BURST, &count);
        for (uint16_t i = 0; i < count; i++)
            worker->tx[i].data_len = LENGTH;
        if (!is_end(err))
            err = memif_tx_burst(worker->conn, worker->qid, worker->tx, count, &done);
        worker->sent += done;
        count_burst(worker);
    }
    return NULL;
}

static void receive_all(struct end *end)
{
    struct worker *worker = end->context;
    uint16_t count = 1, done;

    while (count > 0) {
        (void)memif_rx_burst(end->conn, 0, worker->rx, BURST, &count);
        (void)memif_buffer_free(end->conn, 0, worker->rx, count, &done);
        worker->received += count;
    }
}

MEMIF_TEST_LOOP(what_a_flooding_peer_has_sent_is_received_to_the_last, 0, WAYS)
{
    ck_assert_int_eq(sem_init(&bursting, 0, 0), 0);
    for (uint32_t i = 0; i < tear_downs() / 3; i++) {
        static struct worker sender, receiver;
        struct pair pair = {0};
        bool is_master = _i / VERSIONS == 0;
        struct end *end = is_master ? &pair.master : &pair.slave;
        struct end *peer = is_master ? &pair.slave : &pair.master;

        receiver = (struct worker){0};
        end->context = &receiver;
        end->at_disconnect = receive_all;
        pair_open(&pair, &(struct shape){.version = version_of(_i), .log2_ring_size = 5});
        start_worker(&sender, peer->conn, 0, flood);
        for (const struct timespec deadline = deadline_from_now(); sem_trywait(&bursting) != 0;) {
            ck_assert(!is_past(&deadline));
            receive_all(end);
        }
        end_delete(peer);
        ck_assert_int_eq(pthread_join(sender.thread, NULL), 0);
        RUN_UNTIL(end->disconnects == 1);
        ck_assert_uint_eq(receiver.received, sender.sent);
        stop();
    }
}

MEMIF_TEST_MAIN("threads")
