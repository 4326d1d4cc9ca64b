/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESPONDER_H
#define RESPONDER_H

#include <stdbool.h>

#include <libmemif.h>

#include "options.h"

/* Packets of one burst. */
#define RESPONDER_BURST 64

/* The host that answers. */
struct responder {
    uint8_t ip[4];
    uint8_t mac[6];
    memif_interface_mode_t mode;
};

/* A receive queue, and the transmit queue for its answers. Use it in one thread at a time. */
struct responder_queue {
    const struct responder *responder;
    memif_conn_handle_t conn;
    uint16_t rx_qid;
    uint16_t tx_qid;
    uint16_t received;                  /* packets of the last burst */
    uint16_t filled;                    /* answers that are not sent */
    memif_buffer_t tx[RESPONDER_BURST]; /* the first `filled` are in use */
};

/* 192.168.<id + 1>.2, with a hardware address made from the id. */
void responder_init(struct responder *responder, const struct options *options);

/* Prepares a queue of a connection that has just come up. */
void responder_queue_init(struct responder_queue *queue, const struct responder *responder,
                          memif_conn_handle_t conn, uint16_t rx_qid, uint16_t tx_qid);

/* How many queues the connection has; 0 of each when it is not up. Returns a memif_err_t. */
int responder_count_queues(memif_conn_handle_t conn, uint16_t *rx, uint16_t *tx);

/*
 * Receives one burst and answers it. Drops answers for which the transmit ring has no room.
 *
 * Returns MEMIF_ERR_SUCCESS when the queue was drained, MEMIF_ERR_NOBUF when more packets wait,
 * or what went wrong.
 */
int responder_serve(struct responder_queue *queue);

/*
 * After an interrupt: serves the queue until no packet has come for some microseconds. Meanwhile
 * the queue is in polling mode, so that a busy peer need not make a system call for each burst.
 * After some hundred bursts it returns even if more packets wait, and the next interrupt comes at
 * once.
 *
 * Returns MEMIF_ERR_SUCCESS or what went wrong.
 */
int responder_interrupt(struct responder_queue *queue);

/* Prints the error of `call`, if `err` is one. The end of a connection is not an error, because
 * on_disconnect reports it. */
void responder_report(const char *call, int err);

/* True if the connection or queue is gone, so that it cannot be served any more. */
bool responder_is_over(int err);

#endif
