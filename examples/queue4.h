/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QUEUE4_H
#define QUEUE4_H

#include <stdbool.h>
#include <stddef.h>

#include <libmemif.h>

/* Bursts of the 4.0 programs, in packets. A queue is for one thread at a time. */

/* The largest size that memif_buffer_alloc can be asked for. */
#define MAX_PACKET UINT16_MAX

struct rx_queue {
    memif_conn_handle_t conn;
    uint16_t qid;
    uint16_t headroom;
    bool is_gathering; /* a chain has begun: its bytes up to now are in `packet` */
    bool is_too_long;  /* and are more than that */
    size_t len;
    uint8_t packet[MAX_PACKET];
};

struct tx_queue {
    memif_conn_handle_t conn;
    uint16_t qid;
    uint16_t reserved;    /* buffers reserved and not sent, in their order */
    memif_buffer_t *bufs; /* room for a whole ring: more cannot be reserved */
};

/*
 * Takes one packet.
 *
 * buffer: where it lies; NULL for a chain, which was gathered into memory of the queue's.
 * data, len: the packet, until the handler returns. With a buffer it is shared memory.
 *
 * Anything but MEMIF_ERR_SUCCESS ends the burst.
 */
typedef int(packet_handler_t)(void *context, memif_buffer_t *buffer, const uint8_t *data,
                              size_t len);

/* How many queues the connection has; 0 of each when it is not up. Returns a memif_err_t. */
int count_queues(memif_conn_handle_t conn, uint16_t *rx, uint16_t *tx);

/* Prepares a queue of a connection that has just come up, and provides its first buffers. */
int rx_queue_open(struct rx_queue *queue, memif_conn_handle_t conn, uint16_t qid,
                  uint16_t headroom);

/*
 * Receives one burst, passes its packets to the handler, and gives the buffers back.
 *
 * Returns MEMIF_ERR_SUCCESS when the queue was drained, MEMIF_ERR_NOBUF when more packets wait, or
 * what went wrong.
 */
int rx_queue_serve(struct rx_queue *queue, packet_handler_t *handle, void *context);

/* Prepares a queue of a connection that has just come up. tx_queue_close frees what it takes. */
int tx_queue_open(struct tx_queue *queue, memif_conn_handle_t conn, uint16_t qid);

void tx_queue_close(struct tx_queue *queue);

/*
 * True if a packet of one buffer would go in. The buffers that a master sends from come from the
 * slave: it provides the first ones when it hears that the connection is up, which may be after the
 * master's on_connect.
 */
bool tx_queue_has_room(const struct tx_queue *queue);

/* Copies a packet of MAX_PACKET bytes at most. MEMIF_ERR_NOBUF_RING: there is no room now. */
int tx_queue_copy(struct tx_queue *queue, const uint8_t *data, size_t len);

/* As slave: takes a received buffer as it is. MEMIF_ERR_NOBUF_RING: there is no room now. */
int tx_queue_move(struct tx_queue *queue, memif_buffer_t *buffer);

/* Sends what was copied and moved. What cannot be sent now stays first in line. */
int tx_queue_flush(struct tx_queue *queue);

#endif
