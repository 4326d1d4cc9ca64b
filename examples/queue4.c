/* SPDX-License-Identifier: Apache-2.0 */
#include "queue4.h"

#include <stdlib.h>
#include <string.h>

/* An empty ring is looked at so often before the queue waits for interrupts again: about 10 us. */
#define IDLE_TURNS 1000

/* Bursts until other queues have their turn. */
#define BUSY_TURNS 256

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
    queue->count = 0;
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

bool rx_queue_next(struct rx_queue *queue, struct packet *packet)
{
    while (queue->next < queue->count) {
        memif_buffer_t *buffer = &queue->bufs[queue->next++];
        bool is_last = (buffer->flags & MEMIF_BUFFER_FLAG_NEXT) == 0;

        if (is_last && !queue->is_gathering) {
            *packet = (struct packet){buffer, buffer->data, buffer->len};
            return true;
        }
        /* Copies each piece at once. The end of the chain may be in the next burst, and the buffers
         * of this burst are given back before that. */
        gather(queue, buffer);
        queue->is_gathering = !is_last;
        if (is_last && !queue->is_too_long) {
            *packet = (struct packet){NULL, queue->packet, queue->len};
            return true;
        }
    }
    return false;
}

int rx_queue_burst(struct rx_queue *queue, burst_handler_t *handle, void *context)
{
    /* Even if the call fails, it has received `count` buffers. */
    int received = memif_rx_burst(queue->conn, queue->qid, queue->bufs, QUEUE_BURST, &queue->count);

    queue->next = 0;
    if (queue->count == 0)
        return received;
    int handled = handle(queue, context);
    int refilled = memif_refill_queue(queue->conn, queue->qid, queue->count, queue->headroom);

    if (received != MEMIF_ERR_SUCCESS && received != MEMIF_ERR_NOBUF)
        return received;
    if (handled != MEMIF_ERR_SUCCESS)
        return handled;
    return refilled != MEMIF_ERR_SUCCESS ? refilled : received;
}

static bool goes_on(int err)
{
    return err == MEMIF_ERR_SUCCESS || err == MEMIF_ERR_NOBUF;
}

int rx_queue_serve(struct rx_queue *queue, burst_handler_t *handle, void *context)
{
    int err = rx_queue_burst(queue, handle, context);

    /* An interrupt without a packet follows the change of mode below. */
    if (queue->count == 0 || !goes_on(err))
        return err;
    int mode_err = memif_set_rx_mode(queue->conn, MEMIF_RX_MODE_POLLING, queue->qid);
    for (int busy = 0, idle = 0; goes_on(err) && busy < BUSY_TURNS && idle < IDLE_TURNS;) {
        err = rx_queue_burst(queue, handle, context);
        busy += queue->count > 0;
        idle = queue->count > 0 ? 0 : idle + 1;
    }
    if (mode_err == MEMIF_ERR_SUCCESS)
        mode_err = memif_set_rx_mode(queue->conn, MEMIF_RX_MODE_INTERRUPT, queue->qid);
    return goes_on(err) ? mode_err : err;
}

int tx_queue_open(struct tx_queue *queue, memif_conn_handle_t conn, uint16_t qid)
{
    uint16_t count = 0;
    uint32_t ring_size = tx_ring_size(conn, qid);

    *queue = (struct tx_queue){.conn = conn, .qid = qid, .ring_size = (uint16_t)ring_size};
    if (ring_size == 0)
        return MEMIF_ERR_QID;
    /* Where buffers cannot move, even a move of none is an error. */
    queue->can_move = memif_buffer_enq_tx(conn, qid, NULL, 0, &count) == MEMIF_ERR_SUCCESS;
    queue->bufs = calloc(ring_size + QUEUE_BURST, sizeof(queue->bufs[0]));
    return queue->bufs != NULL ? MEMIF_ERR_SUCCESS : MEMIF_ERR_NOMEM;
}

void tx_queue_close(struct tx_queue *queue)
{
    free(queue->bufs);
    *queue = (struct tx_queue){.conn = NULL};
}

/* Moves what tx_queue_move has left in the receive ring. */
static int move(struct tx_queue *queue)
{
    uint16_t count = 0;
    int err = memif_buffer_enq_tx(queue->conn, queue->qid, queue->bufs + queue->reserved,
                                  (uint16_t)(queue->filled - queue->reserved), &count);

    queue->reserved = (uint16_t)(queue->reserved + count);
    queue->filled = queue->reserved;
    return err == MEMIF_ERR_NOBUF_RING ? MEMIF_ERR_SUCCESS : err;
}

/* Afterwards, what is reserved is filled. */
static int settle(struct tx_queue *queue)
{
    if (queue->filled > queue->reserved)
        return move(queue);
    if (queue->filled == queue->reserved)
        return MEMIF_ERR_SUCCESS;
    queue->reserved = queue->filled;
    return memif_set_next_free_buffer(queue->conn, queue->qid, &queue->bufs[queue->filled]);
}

static void reserve(struct tx_queue *queue)
{
    uint16_t count = 0;
    uint16_t room = (uint16_t)(queue->ring_size - queue->reserved);

    memif_buffer_alloc(queue->conn, queue->qid, queue->bufs + queue->reserved,
                       room < QUEUE_BURST ? room : QUEUE_BURST, &count, 0);
    queue->reserved = (uint16_t)(queue->reserved + count);
}

/* The buffer for the next packet, where `len` is its size, or NULL if the ring is full. */
static memif_buffer_t *next_buffer(struct tx_queue *queue)
{
    if (queue->filled > queue->reserved && settle(queue) != MEMIF_ERR_SUCCESS)
        return NULL;
    if (queue->filled == queue->reserved)
        reserve(queue);
    return queue->filled < queue->reserved ? &queue->bufs[queue->filled] : NULL;
}

bool tx_queue_has_room(struct tx_queue *queue)
{
    return next_buffer(queue) != NULL;
}

static int copy_chain(struct tx_queue *queue, const uint8_t *data, size_t len)
{
    uint16_t count = 0;
    int err = settle(queue);
    memif_buffer_t *bufs = queue->bufs + queue->filled;

    if (err == MEMIF_ERR_SUCCESS)
        err = memif_buffer_alloc(queue->conn, queue->qid, bufs, 1, &count, (uint16_t)len);
    if (err != MEMIF_ERR_SUCCESS)
        return err;
    for (uint16_t i = 0; i < count; i++) {
        bufs[i].len = (uint32_t)smaller(bufs[i].len, len);
        memcpy(bufs[i].data, data, bufs[i].len);
        data += bufs[i].len;
        len -= bufs[i].len;
    }
    queue->reserved = (uint16_t)(queue->reserved + count);
    queue->filled = queue->reserved;
    return MEMIF_ERR_SUCCESS;
}

int tx_queue_copy(struct tx_queue *queue, const uint8_t *data, size_t len)
{
    if (len == 0) /* memif_buffer_alloc takes 0 for a whole buffer */
        return MEMIF_ERR_SUCCESS;
    memif_buffer_t *buffer = next_buffer(queue);
    if (buffer == NULL || len > buffer->len)
        return copy_chain(queue, data, len);
    memcpy(buffer->data, data, len);
    buffer->len = (uint32_t)len;
    queue->filled++;
    return MEMIF_ERR_SUCCESS;
}

void tx_queue_move(struct tx_queue *queue, const memif_buffer_t *buffer)
{
    if (queue->filled < queue->reserved)
        settle(queue);
    queue->bufs[queue->filled++] = *buffer;
}

int tx_queue_flush(struct tx_queue *queue)
{
    uint16_t done = 0;
    uint16_t sent = 0;
    int err = settle(queue);

    while (done < queue->filled && err == MEMIF_ERR_SUCCESS) {
        err = memif_tx_burst(queue->conn, queue->qid, queue->bufs + done,
                             (uint16_t)(queue->filled - done), &sent);
        done = (uint16_t)(done + sent);
        if (sent == 0)
            break;
    }
    queue->filled = (uint16_t)(queue->filled - done);
    queue->reserved = queue->filled;
    memmove(queue->bufs, queue->bufs + done, queue->filled * sizeof(queue->bufs[0]));
    return err;
}
