/* SPDX-License-Identifier: Apache-2.0 */

/* For tests of the functions that move packets: small rings, and calls whose whole answer is
 * checked. All on queue 0. */

#ifndef MEMIF_C_TESTS_BURST_V4_H
#define MEMIF_C_TESTS_BURST_V4_H

#include <check.h>

#include "pair_v4.h"

/* Rings of 8 slots and buffers of 64 bytes, unless a test says otherwise. */
enum { LOG2_EIGHT = 3, SLOTS = 8, BUFFER = 64 };

static inline struct shape shape_of(int way)
{
    return (struct shape){
        .version = version_of(way), .log2_ring_size = LOG2_EIGHT, .buffer_size = BUFFER};
}

static inline struct flow open_way(struct pair *pair, int way, uint8_t log2_ring_size)
{
    struct shape shape = shape_of(way);

    shape.log2_ring_size = log2_ring_size;
    pair_open(pair, &shape);
    return flow_of(pair, &shape, way);
}

static inline void expect_alloc(memif_conn_handle_t from, uint16_t count, uint16_t size, int err,
                                uint16_t entries)
{
    uint16_t done = UINT16_MAX;

    ck_assert_int_eq(memif_buffer_alloc(from, 0, buffers, count, &done, size), err);
    ck_assert_uint_eq(done, entries);
}

static inline void expect_tx(memif_conn_handle_t from, memif_buffer_t *bufs, uint16_t count,
                             int err, uint16_t entries)
{
    uint16_t done = UINT16_MAX;

    ck_assert_int_eq(memif_tx_burst(from, 0, bufs, count, &done), err);
    ck_assert_uint_eq(done, entries);
}

static inline void expect_rx(memif_conn_handle_t to, memif_buffer_t *bufs, uint16_t count, int err,
                             uint16_t entries)
{
    uint16_t done = UINT16_MAX;

    ck_assert_int_eq(memif_rx_burst(to, 0, bufs, count, &done), err);
    ck_assert_uint_eq(done, entries);
}

static inline void expect_enq(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs,
                              uint16_t count, int err, uint16_t entries)
{
    uint16_t done = UINT16_MAX;

    ck_assert_int_eq(memif_buffer_enq_tx(conn, qid, bufs, count, &done), err);
    ck_assert_uint_eq(done, entries);
}

static inline void expect_refill(memif_conn_handle_t to, uint16_t count, uint16_t headroom, int err)
{
    ck_assert_int_eq(memif_refill_queue(to, 0, count, headroom), err);
}

/* What all calls of a direction say of a queue. */
static inline void expect_from_tx_calls(memif_conn_handle_t conn, uint16_t qid, int err)
{
    uint16_t done = 1;

    ck_assert_int_eq(memif_buffer_alloc(conn, qid, buffers, 1, &done, 0), err);
    ck_assert_uint_eq(done, 0);
    done = 1;
    ck_assert_int_eq(memif_tx_burst(conn, qid, buffers, 1, &done), err);
    ck_assert_uint_eq(done, 0);
    done = 1;
    ck_assert_int_eq(memif_buffer_enq_tx(conn, qid, buffers, 1, &done), err);
    ck_assert_uint_eq(done, 0);
    ck_assert_int_eq(memif_set_next_free_buffer(conn, qid, buffers), err);
}

static inline void expect_from_rx_calls(memif_conn_handle_t conn, uint16_t qid, int err)
{
    uint16_t done = 1;
    int fd = 0;

    ck_assert_int_eq(memif_rx_burst(conn, qid, buffers, 1, &done), err);
    ck_assert_uint_eq(done, 0);
    ck_assert_int_eq(memif_refill_queue(conn, qid, 1, 0), err);
    ck_assert_int_eq(memif_get_queue_efd(conn, qid, &fd), err);
    ck_assert_int_eq(fd, -1);
    ck_assert_int_eq(memif_set_rx_mode(conn, MEMIF_RX_MODE_POLLING, qid), err);
}

/* Version 512, with nothing posted to receive into. */
static inline void open_unfilled(struct pair *pair)
{
    struct shape shape = shape_of(1);

    shape.unfilled = true;
    pair_open(pair, &shape);
}

#endif
