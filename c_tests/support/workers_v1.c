/* SPDX-License-Identifier: Apache-2.0 */

#include "workers_v1.h"

#include <check.h>
#include <time.h>

void start_worker(struct worker *worker, memif_conn_handle_t conn, uint16_t qid,
                  void *(*run)(void *))
{
    *worker = (struct worker){.conn = conn, .qid = qid, .goal = worker->goal};
    ck_assert_int_eq(pthread_create(&worker->thread, NULL, run, worker), 0);
}

void join_worker(struct worker *worker)
{
    ck_assert_int_eq(pthread_join(worker->thread, NULL), 0);
    ck_assert_msg(worker->problem == NULL, "queue %u: %s (code %d)", worker->qid, worker->problem,
                  worker->last_err);
}

bool have_ended(struct worker *workers, size_t count)
{
    size_t ended = 0;

    while (ended < count && atomic_load(&workers[ended].ended))
        ended++;
    return ended == count;
}

sem_t bursting;

void count_burst(struct worker *worker)
{
    enum { ENOUGH = 20 };

    if (++worker->bursts == ENOUGH)
        (void)sem_post(&bursting);
}

void wait_for_bursts(size_t workers)
{
    const struct timespec deadline = deadline_from_now();

    for (size_t i = 0; i < workers; i++)
        ck_assert_int_eq(sem_clockwait(&bursting, CLOCK_MONOTONIC, &deadline), 0);
}

bool expect_either(struct worker *worker, int err, int good, int other, const char *problem)
{
    worker->last_err = err;
    if (err == good || err == other)
        return true;
    worker->problem = problem;
    return false;
}
