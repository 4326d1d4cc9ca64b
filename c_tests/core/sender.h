/* SPDX-License-Identifier: Apache-2.0 */

/* A connection with one sender and one receiver, for the tests of waiting for room. */

#ifndef MEMIF_C_TESTS_SENDER_H
#define MEMIF_C_TESTS_SENDER_H

#include "harness.h"
#include "loopback.h"

#include "core/ring.h"
#include "core/room.h"

/* In both versions, from the slave and from the master. */
enum { WAYS = 4, SLOTS = 1 << LOG2_SLOTS };

static enum side from, to;
static uint16_t capacity;

static void open_way(int way)
{
    open_loopback(way < 2 ? 256 : 512);
    from = way % 2 == 0 ? SLAVE : MASTER;
    to = way % 2 == 0 ? MASTER : SLAVE;
    raise_side(SLAVE);
    raise_side(MASTER);
    capacity = way < 2 ? SLOTS - 1 : SLOTS;
}

static void close_way(void)
{
    lower_side(MASTER);
    lower_side(SLAVE);
    close_loopback();
}

static inline struct mif_queue *sender(void)
{
    return mif_queue_at(loopback.handles[from], 0, MIF_TX);
}

static void send_packets(uint16_t packets)
{
    memif_buffer_t bufs[SLOTS];
    uint16_t count = 0;
    void *handle = loopback.handles[from];

    ck_assert_int_eq(mif_call(handle, 0, MIF_TX, MIF_CALL_RESERVE, 64, bufs, packets, &count), 0);
    ck_assert_uint_eq(count, packets);
    for (uint16_t i = 0; i < packets; i++)
        bufs[i].data_len = 64;
    ck_assert_int_eq(mif_call(handle, 0, MIF_TX, MIF_CALL_TX, 0, bufs, packets, &count), 0);
    ck_assert_uint_eq(count, packets);
}

static inline int wait_for(uint32_t slots, int timeout_ms)
{
    return mif_room_wait(loopback.handles[from], 0, slots, timeout_ms);
}

#endif
