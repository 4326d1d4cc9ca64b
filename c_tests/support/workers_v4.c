/* SPDX-License-Identifier: Apache-2.0 */

#include "workers_v4.h"

#include <check.h>
#include <string.h>

#include "harness.h"

const struct shape wide = {.s2m_rings = QUEUES,
                           .m2s_rings = QUEUES,
                           .log2_ring_size = 5,
                           .buffer_size = LENGTH,
                           .unfilled = true};

uint32_t enough(void)
{
    return memif_times("PACKETS", 3000);
}

/* ---- threads that use queues, each one queue in one direction ---- */

bool is_good(struct worker *worker, int err)
{
    switch (err) {
    case MEMIF_ERR_SUCCESS:
    case MEMIF_ERR_NOBUF:
    case MEMIF_ERR_NOBUF_RING:
    case MEMIF_ERR_DISCONNECTED:
    case MEMIF_ERR_NOCONN:
        return true;
    default:
        worker->failure = err;
        return false;
    }
}

static void *burst_until_stopped(void *argument)
{
    struct worker *worker = argument;

    while (!atomic_load(&worker->stop) && worker->burst(worker))
        (void)sched_yield();
    return NULL;
}

void start_worker(struct worker *worker, burst_fn *burst, memif_conn_handle_t conn, uint16_t qid)
{
    worker->burst = burst;
    worker->conn = conn;
    worker->qid = qid;
    atomic_store(&worker->stop, false);
    if (pthread_create(&worker->thread, NULL, burst_until_stopped, worker) != 0)
        abort();
}

void stop_worker(struct worker *worker)
{
    atomic_store(&worker->stop, true);
    (void)pthread_join(worker->thread, NULL);
}

bool send_patterns(struct worker *worker)
{
    memif_buffer_t bufs[BURST];
    uint16_t count = 0, sent = 0;
    uint32_t packets = atomic_load(&worker->packets);
    int err = memif_buffer_alloc(worker->conn, worker->qid, bufs, BURST, &count, LENGTH);

    if (!is_good(worker, err))
        return false;
    for (uint32_t i = 0; i < count; i++)
        memcpy(bufs[i].data, pattern_of(packets + i), LENGTH);
    err = memif_tx_burst(worker->conn, worker->qid, bufs, count, &sent);
    atomic_store(&worker->packets, packets + sent);
    return is_good(worker, err);
}

bool receive_patterns(struct worker *worker)
{
    memif_buffer_t bufs[BURST];
    uint16_t count = 0;
    uint32_t packets = atomic_load(&worker->packets);
    int err = memif_rx_burst(worker->conn, worker->qid, bufs, BURST, &count);

    if (!is_good(worker, err))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!is_packet(&bufs[i], 1, LENGTH, packets + i)) {
            worker->failure = MEMIF_ERR_MFMSG;
            return false;
        }
    }
    atomic_store(&worker->packets, packets + count);
    return is_good(worker, memif_refill_queue(worker->conn, worker->qid, count, 0));
}

bool call_tx(struct worker *worker)
{
    memif_buffer_t bufs[BURST];
    uint16_t count = 0, done = 0;
    int err = memif_buffer_alloc(worker->conn, worker->qid, bufs, BURST, &count, LENGTH);

    if (!is_good(worker, err) || count == 0)
        return worker->failure == 0;
    atomic_fetch_add(&worker->packets, count);
    err = memif_set_next_free_buffer(worker->conn, worker->qid, &bufs[count / 2]);
    /* Of a later connection none of this is reserved. */
    if (err != MEMIF_ERR_INVAL_ARG && !is_good(worker, err))
        return false;
    err = memif_tx_burst(worker->conn, worker->qid, bufs, count / 2, &done);
    return err == MEMIF_ERR_INVAL_ARG || is_good(worker, err);
}

bool call_rx(struct worker *worker)
{
    memif_buffer_t bufs[BURST];
    uint16_t count = 0;
    int err = memif_rx_burst(worker->conn, worker->qid, bufs, BURST, &count);

    atomic_fetch_add(&worker->packets, count);
    return is_good(worker, err) &&
           is_good(worker, memif_refill_queue(worker->conn, worker->qid, UINT16_MAX, 0));
}

bool call_move(struct worker *worker)
{
    memif_buffer_t bufs[BURST];
    uint16_t count = 0, moved = 0, sent = 0;
    int err = memif_rx_burst(worker->conn, worker->qid, bufs, BURST, &count);

    if (!is_good(worker, err))
        return false;
    atomic_fetch_add(&worker->packets, count);
    err = memif_buffer_enq_tx(worker->conn, worker->qid, bufs, count, &moved);
    if (err == MEMIF_ERR_INVAL_ARG)
        return true; /* these were of the last connection */
    if (!is_good(worker, err))
        return false;
    err = memif_tx_burst(worker->conn, worker->qid, bufs, moved, &sent);
    return (err == MEMIF_ERR_INVAL_ARG || is_good(worker, err)) &&
           is_good(worker, memif_refill_queue(worker->conn, worker->qid, UINT16_MAX, 0));
}

/* ---- the workers of an end ---- */

void hire(struct crew *crew, burst_fn *burst, memif_conn_handle_t conn)
{
    for (uint16_t qid = 0; qid < QUEUES; qid++)
        start_worker(&crew->workers[crew->count++], burst, conn, qid);
}

void dismiss(struct crew *crew)
{
    for (unsigned i = 0; i < crew->count; i++)
        stop_worker(&crew->workers[i]);
    crew->count = 0;
}

bool has_worked(const struct crew *crew, uint32_t packets)
{
    for (unsigned i = 0; i < MOST_WORKERS && i < crew->count; i++) {
        if (atomic_load(&crew->workers[i].packets) < packets && crew->workers[i].failure == 0)
            return false;
    }
    return true;
}

void expect_no_failure(const struct crew *crew)
{
    for (unsigned i = 0; i < MOST_WORKERS; i++)
        ck_assert_msg(crew->workers[i].failure == 0, "worker %u: %s", i,
                      memif_strerror(crew->workers[i].failure));
}

void fill_and_hire(struct end *end)
{
    struct crew *crew = end->context;

    for (uint16_t qid = 0; qid < QUEUES; qid++)
        (void)memif_refill_queue(end->conn, qid, UINT16_MAX, 0);
    memset(crew, 0, sizeof(*crew));
    hire(crew, send_patterns, end->conn);
    hire(crew, receive_patterns, end->conn);
}

void dismiss_all(struct end *end)
{
    dismiss(end->context);
}

struct shape shape_of_version(int version)
{
    struct shape shape = wide;

    shape.version = version;
    return shape;
}
