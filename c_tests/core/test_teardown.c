/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The end of connections under fire. TEAR_DOWNS in the environment says how many ends there are in
 * a test.
 */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "harness.h"
#include "loopback.h"
#include "random.h"

enum { BURST = 9, FEW_TEAR_DOWNS = 60, VERSIONS = 2 };

static uint32_t tear_downs(void)
{
    return memif_times("TEAR_DOWNS", FEW_TEAR_DOWNS);
}

/* ---- threads ---- */

struct worker {
    enum side side;
    uint16_t qid;
    bool is_tx;
    pthread_t thread;
    _Atomic uint32_t packets;
    _Atomic int wrong; /* a code that nobody should get */
};

static atomic_bool is_over;

/* A burst of a connection that has come back meanwhile has nothing of what was received or reserved
 * on the one before. */
static int judge(struct worker *worker, int err)
{
    switch (err) {
    case MEMIF_ERR_SUCCESS:
    case MEMIF_ERR_NOBUF:
    case MEMIF_ERR_NOBUF_RING:
    case MEMIF_ERR_NOCONN:
    case MEMIF_ERR_DISCONNECTED:
    case MEMIF_ERR_INVAL_ARG:
        break;
    default:
        worker->wrong = err;
    }
    return err;
}

static void send_burst(struct worker *worker)
{
    void *handle = loopback.handles[worker->side];
    memif_buffer_t bufs[BURST];
    uint16_t count = 0, sent = 0;

    judge(worker, mif_call(handle, worker->qid, MIF_TX, MIF_CALL_RESERVE, 64, bufs, BURST, &count));
    for (uint16_t i = 0; i < count; i++)
        bufs[i].data_len = 64;
    judge(worker, mif_call(handle, worker->qid, MIF_TX, MIF_CALL_TX, 0, bufs, count, &sent));
    worker->packets += sent;
}

static void receive_burst(struct worker *worker)
{
    void *handle = loopback.handles[worker->side];
    memif_buffer_t bufs[BURST];
    uint16_t count = 0, freed = 0;

    judge(worker, mif_call(handle, worker->qid, MIF_RX, MIF_CALL_RX, 0, bufs, BURST, &count));
    judge(worker,
          mif_call(handle, worker->qid, MIF_RX, MIF_CALL_GIVE_BACK, 0, bufs, count, &freed));
    worker->packets += freed;
}

static void *burst_to_the_end(void *argument)
{
    struct worker *worker = argument;
    while (!is_over) {
        if (worker->is_tx)
            send_burst(worker);
        else
            receive_burst(worker);
        sched_yield(); /* or else the main thread takes long to get its turn */
    }
    return NULL;
}

/* What other threads may call at any time. */
static void *change_modes_to_the_end(void *argument)
{
    struct worker *worker = argument;
    for (uint32_t i = 0; !is_over; i++) {
        void *handle = loopback.handles[i % SIDES];
        int fd;
        judge(worker, mif_error_to_v1(mif_queue_set_polling(handle, i / 2 % QUEUES, i / 4 % 2)));
        judge(worker, mif_error_to_v1(mif_queue_efd(handle, i % QUEUES, &fd)));
        mif_queue_drop_signal(handle, i % QUEUES);
        sched_yield();
    }
    return NULL;
}

enum { BURSTERS = 2 * SIDES * QUEUES };
static struct worker workers[BURSTERS + 1];

static void start_workers(void)
{
    is_over = false;
    for (int i = 0; i <= BURSTERS; i++) {
        struct worker *worker = &workers[i];
        worker->side = (enum side)(i % SIDES);
        worker->qid = (uint16_t)(i / SIDES % QUEUES);
        worker->is_tx = i < SIDES * QUEUES;
        worker->packets = 0;
        worker->wrong = 0;
        ck_assert_int_eq(pthread_create(&worker->thread, NULL,
                                        i < BURSTERS ? burst_to_the_end : change_modes_to_the_end,
                                        worker),
                         0);
    }
}

static void join_workers(void)
{
    is_over = true;
    for (int i = 0; i <= BURSTERS; i++)
        ck_assert_int_eq(pthread_join(workers[i].thread, NULL), 0);
    for (int i = 0; i <= BURSTERS; i++)
        ck_assert_int_eq(workers[i].wrong, 0);
}

static uint32_t packets_in_all(void)
{
    uint32_t sum = 0;
    for (int i = 0; i < BURSTERS; i++)
        sum += workers[i].packets;
    return sum;
}

/* Until there was traffic, so that there is something to be disturbed. */
static void wait_for_traffic(void)
{
    for (uint32_t before = packets_in_all(); packets_in_all() == before;)
        sched_yield();
}

/* ---- tests ---- */

/* The handles stay: what goes down comes back under the same ones. */
MEMIF_TEST_LOOP(bursts_outlive_their_connection, 0, VERSIONS)
{
    open_loopback(_i == 0 ? 256 : 512);
    start_workers();
    for (uint32_t i = 0; i < tear_downs(); i++) {
        raise_side(SLAVE);
        raise_side(MASTER);
        wait_for_traffic();
        lower_side(i % 2 == 0 ? SLAVE : MASTER);
        lower_side(i % 2 == 0 ? MASTER : SLAVE);
        change_memory();
    }
    join_workers();
    close_loopback();
}

/* Handles end as well, and their slots are used again. */
MEMIF_TEST_LOOP(bursts_outlive_their_handle, 0, VERSIONS)
{
    open_loopback(_i == 0 ? 256 : 512);
    start_workers();
    for (uint32_t i = 0; i < tear_downs(); i++) {
        raise_side(SLAVE);
        raise_side(MASTER);
        wait_for_traffic();
        for (uint32_t j = 0; j < SIDES; j++) {
            enum side side = (enum side)((i + j) % SIDES);
            lower_side(side);
            mif_connection_close(loopback.handles[side]);
            open_side(side);
        }
        change_memory();
    }
    join_workers();
    close_loopback();
}

/* One that comes and goes next to it, in neighbouring slots, does not disturb a connection. */
MEMIF_TEST_LOOP(a_connection_is_unharmed_by_the_end_of_its_neighbours, 0, VERSIONS)
{
    open_loopback(_i == 0 ? 256 : 512);
    raise_side(SLAVE);
    raise_side(MASTER);
    start_workers();
    for (uint32_t i = 0; i < tear_downs(); i++) {
        void *neighbour = NULL;
        ck_assert_int_eq(mif_connection_open(&neighbour, NULL, NULL, NULL), MIF_ERR_SUCCESS);
        raise_as(neighbour, SLAVE, loopback.spare_memory);
        wait_for_traffic();
        mif_connection_down(neighbour);
        mif_connection_release(neighbour);
        mif_connection_close(neighbour);
    }
    ck_assert_ptr_null(mif_connection_fault(loopback.handles[MASTER]));
    ck_assert_ptr_null(mif_connection_fault(loopback.handles[SLAVE]));
    join_workers();
    lower_side(SLAVE);
    lower_side(MASTER);
    close_loopback();
}

static void expect_no_such_handle(void *handle)
{
    memif_buffer_t bufs[1];
    uint16_t count = 7;
    int fd;

    for (uint16_t qid = 0; qid < 3 * MIF_MAX_QUEUES; qid = (uint16_t)(qid + 37)) {
        for (int call = 0; call < 2; call++) {
            ck_assert_int_eq(mif_call(handle, qid, MIF_RX, (enum mif_call)call, 0, bufs, 1, &count),
                             MEMIF_ERR_NOCONN);
            ck_assert_uint_eq(count, 0);
            ck_assert_int_eq(mif_call(handle, qid, MIF_TX, (enum mif_call)call, 0, bufs, 1, &count),
                             MEMIF_ERR_NOCONN);
        }
        ck_assert_int_eq(mif_queue_set_polling(handle, qid, 1), MIF_ERR_NOCONN);
        ck_assert_int_eq(mif_queue_efd(handle, qid, &fd), MIF_ERR_NOCONN);
        mif_queue_drop_signal(handle, qid);
    }
    mif_connection_down(handle);
    mif_connection_release(handle);
    mif_connection_close(handle);
    ck_assert_ptr_null(mif_connection_fault(handle));
}

/* A queue id has 16 bits, of which the address takes 8. */
static void expect_no_queue_beyond(void *handle)
{
    memif_buffer_t bufs[1];
    uint16_t count;

    for (uint32_t qid = MIF_MAX_QUEUES; qid <= UINT16_MAX; qid++)
        for (int direction = 0; direction < 2; direction++) {
            enum mif_direction way = direction == 0 ? MIF_RX : MIF_TX;
            ck_assert_int_eq(mif_call(handle, (uint16_t)qid, way, MIF_CALL_RX, 0, bufs, 1, &count),
                             MEMIF_ERR_QID);
        }
}

static void expect_no_garbage_handle(void)
{
    uint64_t random = RANDOM_SEED;

    expect_no_such_handle(NULL);
    expect_no_such_handle(&random);
    /* None may look like the handle of a queue that has no owner. */
    for (uintptr_t i = 0; i < 3 * MIF_MAX_QUEUES; i++)
        expect_no_such_handle((void *)(UINTPTR_MAX - i));
    for (uint32_t i = memif_times("HANDLES", MIF_MAX_CELLS / 16); i-- > 0;) {
        expect_no_such_handle((void *)(uintptr_t)random_next(&random));
        expect_no_such_handle(
            (void *)(uintptr_t)(1ull << 40 << MIF_SERIAL_SHIFT | (uint64_t)i << MIF_CELL_SHIFT));
    }
}

MEMIF_TEST(whatever_is_no_handle_names_no_connection)
{
    expect_no_garbage_handle(); /* before there is an arena */
    open_loopback(512);
    raise_side(SLAVE);
    void *stale[100];
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(mif_connection_open(&stale[i], NULL, NULL, NULL), MIF_ERR_SUCCESS);
        if (i % 2 == 0)
            mif_connection_close(stale[i]);
    }
    for (int i = 1; i < 100; i += 2)
        mif_connection_close(stale[i]);
    for (int i = 0; i < 100; i++)
        expect_no_such_handle(stale[i]);
    expect_no_queue_beyond(loopback.handles[SLAVE]);
    expect_no_garbage_handle();
    lower_side(SLAVE);
    close_loopback();
}

MEMIF_TEST_MAIN("tear-down")
