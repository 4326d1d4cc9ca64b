/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Worker threads must not jump out of a failed check: they note what went wrong, and the main
 * thread, which alone runs the control functions, judges it.
 */

#ifndef MEMIF_C_TESTS_WORKERS_V1_H
#define MEMIF_C_TESTS_WORKERS_V1_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "pair_v1.h"

enum { QUEUES = 4, BURST = 32, LENGTH = 64, PATIENCE_MS = 30000 };

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

void start_worker(struct worker *worker, memif_conn_handle_t conn, uint16_t qid,
                  void *(*run)(void *));
void join_worker(struct worker *worker);
bool have_ended(struct worker *workers, size_t count);
/* Posted by each worker that is in the middle of its bursts. */
extern sem_t bursting;
void count_burst(struct worker *worker);
void wait_for_bursts(size_t workers);
/* True if `err` is one of the two; else the worker has a problem. */
bool expect_either(struct worker *worker, int err, int good, int other, const char *problem);

#endif
