/* SPDX-License-Identifier: Apache-2.0 */
#include "responder.h"

#include <stdio.h>
#include <string.h>

#include "icmp.h"

/* An empty ring is looked at so often before the queue waits for interrupts again: about 10 us. */
#define IDLE_TURNS 1000

/* Bursts until other queues have their turn. */
#define BUSY_TURNS 256

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

/* Copies answers into transmit buffers. Drops those for which the ring has no room. */
static int copy(struct responder_queue *queue, const memif_buffer_t *answers, uint16_t count)
{
    memif_buffer_t *tx = queue->tx + queue->filled;
    uint16_t room = (uint16_t)(RESPONDER_BURST - queue->filled);
    uint16_t reserved = 0;

    int err = memif_buffer_alloc(queue->conn, queue->tx_qid, tx, count < room ? count : room,
                                 &reserved, (uint16_t)answers[0].data_len);
    for (uint16_t i = 0; i < reserved; i++) {
        memcpy(tx[i].data, answers[i].data, answers[i].data_len);
        tx[i].data_len = answers[i].data_len;
    }
    queue->filled = (uint16_t)(queue->filled + reserved);
    return err == MEMIF_ERR_NOBUF_RING ? MEMIF_ERR_SUCCESS : err;
}

/* Turns the requests into their answers where they are. The others get the length 0. */
static void answer(const struct responder *responder, memif_buffer_t *packets, uint16_t count)
{
    const uint8_t *mac = responder->mode == MEMIF_INTERFACE_MODE_IP ? NULL : responder->mac;

    for (uint16_t i = 0; i < count; i++)
        packets[i].data_len =
            (uint32_t)icmp_respond(packets[i].data, packets[i].data_len, responder->ip, mac);
}

/* Makes one call for all neighbours of the same length. */
static int copy_all(struct responder_queue *queue, const memif_buffer_t *answers, uint16_t count)
{
    int err = MEMIF_ERR_SUCCESS;
    uint16_t run = 1;

    for (uint16_t i = 0; i < count && err == MEMIF_ERR_SUCCESS; i = (uint16_t)(i + run)) {
        for (run = 1; i + run < count && answers[i + run].data_len == answers[i].data_len;)
            run++;
        if (answers[i].data_len > 0)
            err = copy(queue, answers + i, run);
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

/* Answers that cannot be sent now are sent first next time, as the library requires. */
static int send_answers(struct responder_queue *queue)
{
    uint16_t done = 0;
    uint16_t sent = 0;
    int err = MEMIF_ERR_SUCCESS;

    while (done < queue->filled) {
        err = memif_tx_burst(queue->conn, queue->tx_qid, queue->tx + done,
                             (uint16_t)(queue->filled - done), &sent);
        done = (uint16_t)(done + sent);
        if (err != MEMIF_ERR_SUCCESS || sent == 0)
            break;
    }
    queue->filled = (uint16_t)(queue->filled - done);
    memmove(queue->tx, queue->tx + done, queue->filled * sizeof(queue->tx[0]));
    return err;
}

int responder_serve(struct responder_queue *queue)
{
    memif_buffer_t packets[RESPONDER_BURST];

    /* Even if the call fails, it has received packets. */
    int received =
        memif_rx_burst(queue->conn, queue->rx_qid, packets, RESPONDER_BURST, &queue->received);
    if (queue->received == 0)
        return received;
    answer(queue->responder, packets, queue->received);
    int copied = copy_all(queue, packets, queue->received);
    int freed = give_back(queue, packets, queue->received);
    int sent = send_answers(queue);

    if (received != MEMIF_ERR_SUCCESS && received != MEMIF_ERR_NOBUF)
        return received;
    if (copied != MEMIF_ERR_SUCCESS)
        return copied;
    if (freed != MEMIF_ERR_SUCCESS)
        return freed;
    return sent != MEMIF_ERR_SUCCESS ? sent : received;
}

static bool goes_on(int err)
{
    return err == MEMIF_ERR_SUCCESS || err == MEMIF_ERR_NOBUF;
}

int responder_interrupt(struct responder_queue *queue)
{
    int err = responder_serve(queue);

    /* An interrupt without a packet follows the change of mode below. */
    if (queue->received == 0 || !goes_on(err))
        return err;
    int mode_err = memif_set_rx_mode(queue->conn, MEMIF_RX_MODE_POLLING, queue->rx_qid);
    for (int busy = 0, idle = 0; goes_on(err) && busy < BUSY_TURNS && idle < IDLE_TURNS;) {
        err = responder_serve(queue);
        busy += queue->received > 0;
        idle = queue->received > 0 ? 0 : idle + 1;
    }
    if (mode_err == MEMIF_ERR_SUCCESS)
        mode_err = memif_set_rx_mode(queue->conn, MEMIF_RX_MODE_INTERRUPT, queue->rx_qid);
    return goes_on(err) ? mode_err : err;
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
