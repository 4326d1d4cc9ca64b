/* SPDX-License-Identifier: Apache-2.0 */

#include <poll.h>
#include <sched.h>
#include <stdatomic.h>

#include "harness.h"
#include "workers_v1.h"

static const struct shape four_queues = {
    .s2m_rings = QUEUES, .m2s_rings = QUEUES, .log2_ring_size = 6, .buffer_size = LENGTH};

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

MEMIF_TEST_MAIN("threads")
