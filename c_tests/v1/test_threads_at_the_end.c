/* SPDX-License-Identifier: Apache-2.0 */

/* Connections that end while threads use them. */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "harness.h"
#include "workers_v1.h"

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

MEMIF_TEST_MAIN("threads at the end")
