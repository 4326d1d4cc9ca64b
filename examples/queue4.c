/* SPDX-License-Identifier: Apache-2.0 */
#include "queue4.h"

#include <stdlib.h>
#include <string.h>

#define RX_BURST 64

/* Holds the strings of memif_details_t, 255 queues in either direction and 256 regions. */
#define DETAILS_TEXT 32768

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

int count_queues(memif_conn_handle_t conn, uint16_t *rx, uint16_t *tx)
{
    memif_details_t details;
    char text[DETAILS_TEXT];

    memset(&details, 0, sizeof(details));
    int err = memif_get_details(conn, &details, text, sizeof(text));
    *rx = details.rx_queues_num;
    *tx = details.tx_queues_num;
    return err;
}

static uint32_t tx_ring_size(memif_conn_handle_t conn, uint16_t qid)
{
    memif_details_t details;
    char text[DETAILS_TEXT];

    memset(&details, 0, sizeof(details));
    if (memif_get_details(conn, &details, text, sizeof(text)) != MEMIF_ERR_SUCCESS)
        return 0;
    for (uint8_t i = 0; i < details.tx_queues_num; i++) {
        if (details.tx_queues[i].qid == qid)
            return details.tx_queues[i].ring_size;
    }
    return 0;
}

int rx_queue_open(struct rx_queue *queue, memif_conn_handle_t conn, uint16_t qid, uint16_t headroom)
{
    queue->conn = conn;
    queue->qid = qid;
    queue->headroom = headroom;
    queue->is_gathering = false;
    return memif_refill_queue(conn, qid, UINT16_MAX, headroom);
}

static void gather(struct rx_queue *queue, const memif_buffer_t *buffer)
{
    if (!queue->is_gathering) {
        queue->is_gathering = true;
        queue->is_too_long = false;
        queue->len = 0;
    }
    if (buffer->len > sizeof(queue->packet) - queue->len) {
        queue->is_too_long = true;
        return;
    }
    memcpy(queue->packet + queue->len, buffer->data, buffer->len);
    queue->len += buffer->len;
}

static int take(struct rx_queue *queue, memif_buffer_t *buffer, packet_handler_t *handle,
                void *context)
{
    bool is_last = (buffer->flags & MEMIF_BUFFER_FLAG_NEXT) == 0;

    if (is_last && !queue->is_gathering)
        return handle(context, buffer, buffer->data, buffer->len);
    /* Copies each piece at once. The end of the chain may be in the next burst, and the buffers of
     * this burst are given back before that. */
    gather(queue, buffer);
    if (!is_last)
        return MEMIF_ERR_SUCCESS;
    queue->is_gathering = false;
    if (queue->is_too_long)
        return MEMIF_ERR_SUCCESS;
    return handle(context, NULL, queue->packet, queue->len);
}

int rx_queue_serve(struct rx_queue *queue, packet_handler_t *handle, void *context)
{
    memif_buffer_t bufs[RX_BURST];
    uint16_t count = 0;
    int handled = MEMIF_ERR_SUCCESS;

    /* Even if the call fails, it has received `count` buffers. */
    int received = memif_rx_burst(queue->conn, queue->qid, bufs, RX_BURST, &count);
    for (uint16_t i = 0; i < count && handled == MEMIF_ERR_SUCCESS; i++)
        handled = take(queue, &bufs[i], handle, context);
    if (count == 0)
        return received;
    int refilled = memif_refill_queue(queue->conn, queue->qid, count, queue->headroom);

    if (received != MEMIF_ERR_SUCCESS && received != MEMIF_ERR_NOBUF)
        return received;
    if (handled != MEMIF_ERR_SUCCESS)
        return handled;
    return refilled != MEMIF_ERR_SUCCESS ? refilled : received;
}

int tx_queue_open(struct tx_queue *queue, memif_conn_handle_t conn, uint16_t qid)
{
    uint32_t ring_size = tx_ring_size(conn, qid);

    *queue = (struct tx_queue){.conn = conn, .qid = qid};
    if (ring_size == 0)
        return MEMIF_ERR_QID;
    queue->bufs = calloc(ring_size, sizeof(queue->bufs[0]));
    return queue->bufs != NULL ? MEMIF_ERR_SUCCESS : MEMIF_ERR_NOMEM;
}

void tx_queue_close(struct tx_queue *queue)
{
    free(queue->bufs);
    *queue = (struct tx_queue){.conn = NULL};
}

bool tx_queue_has_room(const struct tx_queue *queue)
{
    memif_buffer_t buffer;
    uint16_t count = 0;

    memif_buffer_alloc(queue->conn, queue->qid, &buffer, 1, &count, 0);
    return count == 1 &&
           memif_set_next_free_buffer(queue->conn, queue->qid, &buffer) == MEMIF_ERR_SUCCESS;
}

int tx_queue_copy(struct tx_queue *queue, const uint8_t *data, size_t len)
{
    memif_buffer_t *bufs = queue->bufs + queue->reserved;
    uint16_t count = 0;

    if (len == 0) /* memif_buffer_alloc takes 0 for a whole buffer */
        return MEMIF_ERR_SUCCESS;
    int err = memif_buffer_alloc(queue->conn, queue->qid, bufs, 1, &count, (uint16_t)len);
    if (err != MEMIF_ERR_SUCCESS)
        return err;
    for (uint16_t i = 0; i < count; i++) {
        bufs[i].len = (uint32_t)smaller(bufs[i].len, len);
        memcpy(bufs[i].data, data, bufs[i].len);
        data += bufs[i].len;
        len -= bufs[i].len;
    }
    queue->reserved = (uint16_t)(queue->reserved + count);
    return MEMIF_ERR_SUCCESS;
}

int tx_queue_move(struct tx_queue *queue, memif_buffer_t *buffer)
{
    uint16_t count = 0;
    int err = memif_buffer_enq_tx(queue->conn, queue->qid, buffer, 1, &count);

    if (count == 1)
        queue->bufs[queue->reserved++] = *buffer;
    return err;
}

int tx_queue_flush(struct tx_queue *queue)
{
    uint16_t done = 0;
    uint16_t sent = 0;
    int err = MEMIF_ERR_SUCCESS;

    while (done < queue->reserved) {
        err = memif_tx_burst(queue->conn, queue->qid, queue->bufs + done,
                             (uint16_t)(queue->reserved - done), &sent);
        done = (uint16_t)(done + sent);
        if (err != MEMIF_ERR_SUCCESS || sent == 0)
            break;
    }
    queue->reserved = (uint16_t)(queue->reserved - done);
    memmove(queue->bufs, queue->bufs + done, queue->reserved * sizeof(queue->bufs[0]));
    return err;
}
