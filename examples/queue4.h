/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QUEUE4_H
#define QUEUE4_H

#include <stdbool.h>
#include <stddef.h>

#include <libmemif.h>

/* Bursts of packets for the 4.0 programs. Use a queue in one thread at a time. */

/* The largest size that memif_buffer_alloc can be asked for. */
#define MAX_PACKET UINT16_MAX

/* Packets of one burst. */
#define QUEUE_BURST 64

struct rx_queue {
    memif_conn_handle_t conn;
    uint16_t qid;
    uint16_t headroom;
    uint16_t count; /* buffers of the burst */
    uint16_t next;  /* the first of them that rx_queue_next has not seen */
    memif_buffer_t bufs[QUEUE_BURST];
    bool is_gathering; /* a chain has begun; `packet` has its bytes so far */
    bool is_too_long;  /* the chain is longer than `packet` */
    size_t len;
    uint8_t packet[MAX_PACKET];
};

/*
 * bufs: room for a whole ring, because more cannot be reserved. The first `filled` are packets to
 *     send, the first `reserved` are in the ring. So either some reserved buffers are empty, or
 * some packets are still in the receive ring: tx_queue_move was called, and they will be moved.
 */
struct tx_queue {
    memif_conn_handle_t conn;
    uint16_t qid;
    bool can_move; /* tx_queue_move may be called */
    uint16_t ring_size;
    uint16_t filled;
    uint16_t reserved;
    memif_buffer_t *bufs;
};

/*
 * A received packet. It is valid until the handler of its burst returns.
 *
 * buffer: the buffer that contains the packet. NULL: the packet was a chain of buffers and was
 *     copied, so that it is in one piece.
 * data: shared memory if there is a buffer.
 */
struct packet {
    memif_buffer_t *buffer;
    uint8_t *data;
    size_t len;
};

/* Handles the packets of one burst, as rx_queue_next gives them. What it does not take is lost. Any
 * return value but MEMIF_ERR_SUCCESS ends rx_queue_serve. */
typedef int(burst_handler_t)(struct rx_queue *queue, void *context);

/* How many queues the connection has; 0 of each when it is not up. Returns a memif_err_t. */
int count_queues(memif_conn_handle_t conn, uint16_t *rx, uint16_t *tx);

/* Prepares a queue of a connection that has just come up, and provides its first buffers. */
int rx_queue_open(struct rx_queue *queue, memif_conn_handle_t conn, uint16_t qid,
                  uint16_t headroom);

/*
 * Receives one burst, calls `handle` for it if it is not empty, and gives the buffers back.
 *
 * Returns MEMIF_ERR_SUCCESS when the queue was drained, MEMIF_ERR_NOBUF when more packets wait, or
 * what went wrong.
 */
int rx_queue_burst(struct rx_queue *queue, burst_handler_t *handle, void *context);

/*
 * After an interrupt: receives bursts until no packet has come for some microseconds. Meanwhile the
 * queue is in polling mode, so that a busy peer need not make a system call for each burst. After
 * some hundred bursts it returns even if more packets wait, and the next interrupt comes at once.
 *
 * Returns MEMIF_ERR_SUCCESS or what went wrong.
 */
int rx_queue_serve(struct rx_queue *queue, burst_handler_t *handle, void *context);

/* The next packet of the burst. False if there is none. */
bool rx_queue_next(struct rx_queue *queue, struct packet *packet);

/* Prepares a queue of a connection that has just come up. tx_queue_close frees what it takes. */
int tx_queue_open(struct tx_queue *queue, memif_conn_handle_t conn, uint16_t qid);

void tx_queue_close(struct tx_queue *queue);

/*
 * True if the ring has room for a packet of one buffer. A master sends from buffers that the slave
 * provides. The slave provides the first ones when its connection is up, which may be later than
 * the master's on_connect.
 */
bool tx_queue_has_room(struct tx_queue *queue);

/* Copies a packet of at most MAX_PACKET bytes. MEMIF_ERR_NOBUF_RING: there is no room now. */
int tx_queue_copy(struct tx_queue *queue, const uint8_t *data, size_t len);

/* Adds a received buffer, without a copy. Only a slave can do that, in version 512 of the protocol:
 * see can_move. Call tx_queue_flush before the burst ends. */
void tx_queue_move(struct tx_queue *queue, const memif_buffer_t *buffer);

/* Sends the packets. Those that were moved and for which the ring has no room are dropped. */
int tx_queue_flush(struct tx_queue *queue);

#endif
