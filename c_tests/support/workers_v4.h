/* SPDX-License-Identifier: Apache-2.0 */

/* Threads that use the queues of a connection, each one queue in one direction. They note what went
 * wrong, and the main thread judges it. */

#ifndef MEMIF_C_TESTS_WORKERS_V4_H
#define MEMIF_C_TESTS_WORKERS_V4_H

#include <pthread.h>
#include <stdatomic.h>

#include "pair_v4.h"

enum { QUEUES = 2, BURST = 16, LENGTH = 64 };

extern const struct shape wide;
/* Packets of a queue after which a thread has done its share. */
uint32_t enough(void);

/* ---- threads that use queues, each one queue in one direction ---- */

struct worker;
/* One burst; false: something is wrong. */
typedef bool burst_fn(struct worker *worker);

struct worker {
    burst_fn *burst;
    memif_conn_handle_t conn;
    uint16_t qid;
    pthread_t thread;
    atomic_bool stop;
    _Atomic uint32_t packets;
    int failure; /* a code that nobody should get */
};

bool is_good(struct worker *worker, int err);
void start_worker(struct worker *worker, burst_fn *burst, memif_conn_handle_t conn, uint16_t qid);
void stop_worker(struct worker *worker);
/* Those that touch packets: they have to be gone when on_disconnect returns. */
bool send_patterns(struct worker *worker);
bool receive_patterns(struct worker *worker);
/* Those that only call, and may meet the end of the connection anywhere. */
bool call_tx(struct worker *worker);
bool call_rx(struct worker *worker);
/* Slave: from its receive queue to its send queue of the same number. */
bool call_move(struct worker *worker);

/* ---- the workers of an end ---- */

enum { MOST_WORKERS = 2 * QUEUES };

struct crew {
    struct worker workers[MOST_WORKERS];
    unsigned count;
};

void hire(struct crew *crew, burst_fn *burst, memif_conn_handle_t conn);
void dismiss(struct crew *crew);
bool has_worked(const struct crew *crew, uint32_t packets);
void expect_no_failure(const struct crew *crew);
void fill_and_hire(struct end *end);
void dismiss_all(struct end *end);
struct shape shape_of_version(int version);

#endif
