/* SPDX-License-Identifier: Apache-2.0 */
#include "core/setup.h"

#include "core/arena.h"
#include "core/barrier.h"
#include "core/errors.h"
#include "core/fork.h"
#include "core/lease.h"
#include "core/poller.h"
#include "core/queue.h"
#include "core/segment.h"
#include "core/signals.h"
#include "core/untrusted.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The rings are shared with the parent: a child must not touch them, nor the interpreter. Threads
 * that are not in the child may have held any lock. */
static void on_fork_child(void)
{
    (void)pthread_mutex_init(&lock, NULL);
    mif_fork_began();
    mif_queues_forked();
    mif_leases_forked();
    mif_untrusted_forked();
    mif_arena_forked();
    mif_segment_forked();
}

/* Threads that are not in the child may have been in the middle of anything, so nothing is taken
 * over: cells read as zeroes again, as at the start. Serial numbers go on, so no handle of the
 * parent's ever matches. Regions stay mapped, because there may be views of them. */
int mif_start_over(void)
{
    if (!mif_in_forked_child())
        return MIF_ERR_SUCCESS;
    mif_watches_init();
    mif_signals_init();
    mif_barrier_init();
    int err = mif_arena_start_over();
    if (err == MIF_ERR_SUCCESS)
        mif_fork_ended();
    return err;
}

int mif_data_path_init(void)
{
    int err = MIF_ERR_SUCCESS;
    pthread_mutex_lock(&lock);
    if (!mif_arena_is_published()) {
        mif_barrier_init();
        mif_signals_init();
        err = mif_arena_reserve();
        if (err == MIF_ERR_SUCCESS && pthread_atfork(NULL, NULL, on_fork_child) != 0)
            err = MIF_ERR_NOMEM;
        if (err == MIF_ERR_SUCCESS)
            mif_arena_publish();
    }
    pthread_mutex_unlock(&lock);
    return err;
}
