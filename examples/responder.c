/* SPDX-License-Identifier: Apache-2.0 */
#include "responder.h"

#include <stdio.h>
#include <string.h>

#include "icmp.h"
#include "stop.h"

/* The largest size that memif_buffer_alloc can be asked for. */
#define MAX_ANSWER UINT16_MAX

void responder_init(struct responder *responder, const struct options *options)
{
    uint8_t third = (uint8_t)(options->id + 1);

    *responder = (struct responder){
        .ip = {192, 168, third, 2},
        .mac = {0x02, 0xfe, 0, 0, (uint8_t)(options->id >> 8), (uint8_t)options->id},
        .mode = options->mode,
    };
}

void responder_queue_init(struct responder_queue *queue, const struct responder *responder,
                          memif_conn_handle_t conn, uint16_t rx_qid, uint16_t tx_qid)
{
    *queue = (struct responder_queue){
        .responder = responder, .conn = conn, .rx_qid = rx_qid, .tx_qid = tx_qid};
}

int responder_count_queues(memif_conn_handle_t conn, uint16_t *rx, uint16_t *tx)
{
    memif_details_t details;
    char text[8192]; /* room for 255 queues in each direction, the maximum */

    memset(&details, 0, sizeof(details));
    int err = memif_get_details(conn, &details, text, sizeof(text));
    *rx = details.rx_queues_num;
    *tx = details.tx_queues_num;
    return err;
}

/* Copies one answer into a transmit buffer. Drops it if the ring has no room. */
static int reserve(struct responder_queue *queue, const uint8_t *answer, uint16_t len)
{
    memif_buffer_t *buffer = &queue->tx[queue->reserved];
    uint16_t count = 0;

    if (queue->reserved == RESPONDER_BURST)
        return MEMIF_ERR_SUCCESS;
    int err = memif_buffer_alloc(queue->conn, queue->tx_qid, buffer, 1, &count, len);
    if (err == MEMIF_ERR_NOBUF_RING)
        return MEMIF_ERR_SUCCESS;
    if (count == 0)
        return err;
    memcpy(buffer->data, answer, len);
    buffer->data_len = len;
    queue->reserved++;
    return err;
}

static int answer(struct responder_queue *queue, const memif_buffer_t *packets, uint16_t count)
{
    const struct responder *responder = queue->responder;
    const uint8_t *mac = responder->mode == MEMIF_INTERFACE_MODE_IP ? NULL : responder->mac;
    uint8_t out[MAX_ANSWER];
    int err = MEMIF_ERR_SUCCESS;

    for (uint16_t i = 0; i < count && err == MEMIF_ERR_SUCCESS; i++) {
        size_t len = icmp_respond(packets[i].data, packets[i].data_len, out, sizeof(out),
                                  responder->ip, mac);
        if (len > 0)
            err = reserve(queue, out, (uint16_t)len);
    }
    return err;
}

static int give_back(const struct responder_queue *queue, memif_buffer_t *packets, uint16_t count)
{
    uint16_t done = 0;
    uint16_t freed = 0;
    int err = MEMIF_ERR_SUCCESS;

    while (done < count) {
        err = memif_buffer_free(queue->conn, queue->rx_qid, packets + done,
                                (uint16_t)(count - done), &freed);
        done = (uint16_t)(done + freed);
        if (err != MEMIF_ERR_SUCCESS || freed == 0)
            break;
    }
    return err;
}

/* Packets that cannot be sent now are sent first next time, as the library requires. */
static int send_reserved(struct responder_queue *queue)
{
    uint16_t done = 0;
    uint16_t sent = 0;
    int err = MEMIF_ERR_SUCCESS;

    while (done < queue->reserved) {
        err = memif_tx_burst(queue->conn, queue->tx_qid, queue->tx + done,
                             (uint16_t)(queue->reserved - done), &sent);
        done = (uint16_t)(done + sent);
        if (err != MEMIF_ERR_SUCCESS || sent == 0)
            break;
    }
    queue->reserved = (uint16_t)(queue->reserved - done);
    memmove(queue->tx, queue->tx + done, queue->reserved * sizeof(queue->tx[0]));
    return err;
}

int responder_serve(struct responder_queue *queue)
{
    memif_buffer_t packets[RESPONDER_BURST];
    uint16_t count = 0;

    /* Even if the call fails, it has received `count` packets. */
    int received = memif_rx_burst(queue->conn, queue->rx_qid, packets, RESPONDER_BURST, &count);
    int answered = answer(queue, packets, count);
    int freed = give_back(queue, packets, count);
    int sent = send_reserved(queue);

    if (received != MEMIF_ERR_SUCCESS && received != MEMIF_ERR_NOBUF)
        return received;
    if (answered != MEMIF_ERR_SUCCESS)
        return answered;
    if (freed != MEMIF_ERR_SUCCESS)
        return freed;
    return sent != MEMIF_ERR_SUCCESS ? sent : received;
}

int responder_drain(struct responder_queue *queue)
{
    int err;

    do {
        err = responder_serve(queue);
    } while (err == MEMIF_ERR_NOBUF && !stop_requested());
    return err;
}

bool responder_is_over(int err)
{
    return err == MEMIF_ERR_DISCONNECTED || err == MEMIF_ERR_NOCONN || err == MEMIF_ERR_QID;
}

void responder_report(const char *call, int err)
{
    if (err == MEMIF_ERR_SUCCESS || err == MEMIF_ERR_NOBUF || err == MEMIF_ERR_DISCONNECTED)
        return;
    fprintf(stderr, "%s: %s\n", call, memif_strerror(err));
}
