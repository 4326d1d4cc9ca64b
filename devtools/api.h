/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What differs between the two C APIs, so that a program for both has one source. MEMIF_API
 * is 1 or 4 and comes from the build. The calls are the program's own, inlined: in a benchmark
 * nothing stands between the loop that is measured and the library.
 */
#ifndef MEMIF_DEVTOOLS_API_H
#define MEMIF_DEVTOOLS_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libmemif.h>

#if MEMIF_API == 1
#define MEMIF_INTERFACE "1.0"
#elif MEMIF_API == 4
#define MEMIF_INTERFACE "4.0"
#else
#error "MEMIF_API must be 1 or 4"
#endif

static inline bool api_ok(int err)
{
    return err == MEMIF_ERR_SUCCESS || err == MEMIF_ERR_NOBUF || err == MEMIF_ERR_NOBUF_RING;
}

static inline uint32_t api_length(const memif_buffer_t *buf)
{
#if MEMIF_API == 1
    return buf->data_len;
#else
    return buf->len;
#endif
}

static inline void api_set_length(memif_buffer_t *buf, uint32_t length)
{
#if MEMIF_API == 1
    buf->data_len = length;
#else
    buf->len = length;
#endif
}

/* Bytes that may be written at `data` of a reserved entry. */
static inline uint32_t api_room(const memif_buffer_t *buf)
{
#if MEMIF_API == 1
    return buf->buffer_len;
#else
    return buf->len;
#endif
}

/* The packet goes on in the next entry; in 1.0 an entry is always a whole packet. */
static inline bool api_continues(const memif_buffer_t *buf)
{
#if MEMIF_API == 1
    (void)buf;
    return false;
#else
    return (buf->flags & MEMIF_BUFFER_FLAG_NEXT) != 0;
#endif
}

static inline int api_alloc(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs,
                            uint16_t count, uint16_t *reserved, uint16_t size)
{
    return memif_buffer_alloc(conn, qid, bufs, count, reserved, size);
}

static inline int api_tx(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs,
                         uint16_t count, uint16_t *sent)
{
    return memif_tx_burst(conn, qid, bufs, count, sent);
}

static inline int api_rx(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs,
                         uint16_t count, uint16_t *received)
{
    return memif_rx_burst(conn, qid, bufs, count, received);
}

/* Gives the oldest `count` received entries back. */
static inline int api_give_back(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs,
                                uint16_t count)
{
#if MEMIF_API == 1
    uint16_t given;
    return memif_buffer_free(conn, qid, bufs, count, &given);
#else
    (void)bufs;
    return memif_refill_queue(conn, qid, count, 0);
#endif
}

#endif
