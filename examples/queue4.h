/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QUEUE4_H
#define QUEUE4_H

#include <stdbool.h>
#include <stddef.h>

#include <libmemif.h>

/* Bursts of packets for the 4.0 programs. Use a queue in one thread at a time. */

/* The largest size that memif_buffer_alloc can be asked for. */
#define MAX_PACKET UINT16_MAX

struct rx_queue {
    memif_conn_handle_t conn;
    uint16_t qid;
    uint16_t headroom;
    bool is_gathering; /* a chain has begun; `packet` has its bytes so far */
    bool is_too_long;  /* the chain is longer than `packet` */
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
 * buffer: the packet's buffer, or NULL for a chain, which was copied into the queue's own memory.
 * data, len: the packet, valid until the handler returns. With a buffer it is shared memory.
 *
 * Any return value but MEMIF_ERR_SUCCESS ends the burst.
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
 * True if the ring has room for a packet of one buffer. A master sends from buffers that the slave
 * provides. The slave provides the first ones when its connection is up, which may be later than
 * the master's on_connect.
 */
bool tx_queue_has_room(const struct tx_queue *queue);

/* Copies a packet of at most MAX_PACKET bytes. MEMIF_ERR_NOBUF_RING: there is no room now. */
int tx_queue_copy(struct tx_queue *queue, const uint8_t *data, size_t len);

/* As slave: moves a received buffer here, without a copy. MEMIF_ERR_NOBUF_RING: no room now. */
int tx_queue_move(struct tx_queue *queue, memif_buffer_t *buffer);

/* Sends the packets that were copied or moved here. Those that cannot be sent now are sent first
 * next time. */
int tx_queue_flush(struct tx_queue *queue);

#endif
