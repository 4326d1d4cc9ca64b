/* SPDX-License-Identifier: Apache-2.0 */
#include "core/connection.h"

#include "core/arena.h"
#include "core/backoff.h"
#include "core/barrier.h"
#include "core/counters.h"
#include "core/errors.h"
#include "core/lease.h"
#include "core/poller.h"
#include "core/queue.h"
#include "core/regions.h"
#include "core/ring.h"
#include "core/room.h"
#include "core/segment.h"
#include "core/signals.h"

#include <string.h>

int mif_connection_open(void **handle, struct mif_poller *poller, mif_interrupt_fn *interrupt,
                        void *private_ctx)
{
    struct mif_connection *conn;
    uintptr_t value;
    int err = mif_arena_take(&conn, &value);
    if (err != MIF_ERR_SUCCESS)
        return err;
    conn->poller = poller;
    conn->allocator = poller == NULL ? NULL : &poller->allocator;
    conn->max_packet = MIF_MAX_PACKET;
    atomic_store(&conn->private_ctx, private_ctx);
    atomic_store(&conn->control_fd, -1);
    atomic_store(&conn->interrupt, interrupt);
    atomic_store_explicit(&conn->handle, value, memory_order_release);
    *handle = (void *)value;
    return MIF_ERR_SUCCESS;
}

void mif_connection_limit(void *handle, uint32_t max_packet)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn != NULL)
        conn->max_packet = max_packet;
}

void mif_connection_close(void *handle)
{
    if (mif_lookup(handle) == NULL)
        return;
    mif_segment_forget(handle);
    mif_totals_forget(handle);
    mif_arena_give_back(handle);
}

int mif_connection_up(void *handle, int control_fd)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL)
        return MIF_ERR_NOCONN;
    atomic_store(&conn->fault, NULL);
    atomic_store(&conn->faulted, false);
    atomic_store(&conn->control_fd, control_fd);
    atomic_store(&conn->up, 1);
    for (uint32_t i = 0; i < conn->rx_count; i++) {
        struct mif_queue *q = mif_queue_at(handle, i, MIF_RX);
        /* A slave of version 512 posts its receive buffers only now: DPDK as master clears both
         * indices of every ring when it answers CONNECT. */
        if (q->kind == MIF_KIND_512_SLAVE)
            mif_publish(q, true, MIF_KIND_512_SLAVE);
        atomic_store_explicit(&q->ring->flags, mif_room_promise(), memory_order_relaxed);
        atomic_store_explicit(&q->owner, mif_owner(handle, i), memory_order_release);
    }
    for (uint32_t i = 0; i < conn->tx_count; i++)
        atomic_store_explicit(&mif_queue_at(handle, i, MIF_TX)->owner, mif_owner(handle, i),
                              memory_order_release);
    return MIF_ERR_SUCCESS;
}

static void wait_until_left(struct mif_queue *q)
{
    for (unsigned turn = 0; atomic_load_explicit(&q->busy, memory_order_acquire); turn++) {
        if (turn >= MIF_YIELDS) {
            /* Whoever waits for a full counter, or for an empty one, can go on. */
            mif_efd_drain(q->efd);
            (void)mif_efd_signal_nowait(q->efd);
        }
        mif_backoff(turn);
    }
}

/* Not with the queues locked: whoever has a queue's lock may wait for that one. */
static void settle_queues(const void *handle, const struct mif_connection *conn)
{
    if (mif_lock == NULL || mif_lock->settle == NULL)
        return;
    for (uint32_t i = 0; i < conn->rx_count; i++)
        mif_lock->settle(mif_queue_at(handle, i, MIF_RX));
    for (uint32_t i = 0; i < conn->tx_count; i++)
        mif_lock->settle(mif_queue_at(handle, i, MIF_TX));
}

void mif_connection_down(void *handle)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL)
        return;
    mif_queues_lock();
    atomic_store(&conn->up, 0);
    for (uint32_t i = 0; i < conn->rx_count; i++)
        atomic_store(&mif_queue_at(handle, i, MIF_RX)->owner, 0);
    for (uint32_t i = 0; i < conn->tx_count; i++)
        atomic_store(&mif_queue_at(handle, i, MIF_TX)->owner, 0);
    mif_barrier_on_all_threads();
    for (uint32_t i = 0; i < conn->tx_count; i++)
        mif_room_wake(mif_queue_at(handle, i, MIF_TX));
    for (uint32_t i = 0; i < conn->rx_count; i++)
        wait_until_left(mif_queue_at(handle, i, MIF_RX));
    for (uint32_t i = 0; i < conn->tx_count; i++)
        wait_until_left(mif_queue_at(handle, i, MIF_TX));
    atomic_store(&conn->control_fd, -1);
    mif_queues_unlock();
    settle_queues(handle, conn);
}

int mif_connection_release(void *handle)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL)
        return MIF_ERR_SUCCESS;
    mif_segment_begin(handle);
    mif_segment_forget_rings(handle);
    for (uint32_t i = 0; i < conn->rx_count; i++)
        mif_queue_release(conn, mif_queue_at(handle, i, MIF_RX), false);
    for (uint32_t i = 0; i < conn->tx_count; i++)
        mif_queue_release(conn, mif_queue_at(handle, i, MIF_TX), true);
    mif_segment_end(handle);
    int err = mif_lease_hand_over(conn) ? MIF_ERR_SUCCESS : mif_regions_unmap_own(conn);
    memset(conn->regions, 0, sizeof(conn->regions));
    memset(conn->external, 0, sizeof(conn->external));
    conn->rx_count = conn->tx_count = conn->region_count = 0;
    return err;
}
