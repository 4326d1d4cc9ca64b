/* SPDX-License-Identifier: Apache-2.0 */
/* Traffic over the 1.0 API; see traffic_core.c. */

#include "traffic_core.h"

#include <string.h>

/* What was received and is not yet checked or sent back. */
struct intake {
    memif_buffer_t held[BURST];
    uint16_t held_count;
};

static memif_conn_handle_t conn;
static struct intake intakes[MAX_QUEUES];

/* ---- bursts ---- */

/* Sends back the packets that are held, as far as there is room. */
static uint16_t echo(struct intake *intake, uint16_t qid)
{
    struct tx_queue *out = &program.tx[qid % program.tx_count];
    uint16_t tx_qid = (uint16_t)(qid % program.tx_count);
    uint16_t done = 0;
    int err = MEMIF_ERR_SUCCESS;

    while (done < intake->held_count && err == MEMIF_ERR_SUCCESS) {
        const memif_buffer_t *in = &intake->held[done];
        memif_buffer_t buffer;
        uint16_t count = 0;
        err = memif_buffer_alloc(conn, tx_qid, &buffer, 1, &count, (uint16_t)in->data_len);
        if (count == 0)
            break;
        memcpy(buffer.data, in->data, in->data_len);
        buffer.data_len = in->data_len;
        err = memif_tx_burst(conn, tx_qid, &buffer, 1, &count);
        done = (uint16_t)(done + count);
        out->sent += count;
        out->bytes += in->data_len;
    }
    if (err != MEMIF_ERR_NOBUF_RING && err != MEMIF_ERR_DISCONNECTED)
        check("echo", err);
    return done;
}

static void give_back(struct intake *intake, uint16_t qid, uint16_t count)
{
    uint16_t freed = 0;
    int err = memif_buffer_free(conn, qid, intake->held, count, &freed);

    if (err == MEMIF_ERR_DISCONNECTED) {
        intake->held_count = 0;
        return;
    }
    if (check("memif_buffer_free", err) && freed != count)
        fault("memif_buffer_free: %u of %u", freed, count);
    intake->held_count = (uint16_t)(intake->held_count - count);
    memmove(intake->held, intake->held + count, intake->held_count * sizeof(intake->held[0]));
}

static void check_held(const struct intake *intake, uint16_t qid)
{
    struct rx_queue *queue = &program.rx[qid];

    for (uint16_t i = 0; i < intake->held_count; i++) {
        const memif_buffer_t *buffer = &intake->held[i];
        if (!program.options.is_echo)
            check_packet(queue, qid, buffer->data, buffer->data_len);
        queue->received++;
        queue->bytes += buffer->data_len;
    }
}

uint16_t link_receive(uint16_t qid)
{
    struct intake *intake = &intakes[qid];

    if (intake->held_count == 0) {
        int err = memif_rx_burst(conn, qid, intake->held, BURST, &intake->held_count);
        if (err != MEMIF_ERR_NOBUF && err != MEMIF_ERR_DISCONNECTED)
            check("memif_rx_burst", err);
        check_held(intake, qid);
    }
    uint16_t done = intake->held_count;
    if (program.options.is_echo)
        done = echo(intake, qid);
    if (done > 0)
        give_back(intake, qid, done);
    return done;
}

bool link_is_holding(uint16_t qid)
{
    return intakes[qid].held_count > 0;
}

static uint16_t fill(const struct tx_queue *queue, uint16_t qid, memif_buffer_t *buffers,
                     uint16_t wanted)
{
    uint16_t reserved = 0;

    while (reserved < wanted) {
        uint32_t number = queue->sent + reserved;
        uint16_t size = size_of(number);
        uint16_t count = 0;
        int err = memif_buffer_alloc(conn, qid, &buffers[reserved], 1, &count, size);
        if (err != MEMIF_ERR_NOBUF_RING && err != MEMIF_ERR_DISCONNECTED)
            check("memif_buffer_alloc", err);
        if (count == 0)
            break;
        make_packet(buffers[reserved].data, number, size, qid);
        buffers[reserved++].data_len = size;
    }
    return reserved;
}

uint16_t link_send(uint16_t qid, uint16_t wanted)
{
    struct tx_queue *queue = &program.tx[qid];
    memif_buffer_t buffers[BURST];
    uint16_t sent = 0;
    uint16_t reserved = fill(queue, qid, buffers, wanted);

    if (reserved == 0)
        return 0;
    int err = memif_tx_burst(conn, qid, buffers, reserved, &sent);
    if (err != MEMIF_ERR_DISCONNECTED && check("memif_tx_burst", err) && sent != reserved)
        fault("memif_tx_burst: %u of %u", sent, reserved);
    for (uint16_t i = 0; i < sent; i++)
        queue->bytes += buffers[i].data_len;
    queue->sent += sent;
    return sent;
}

/* ---- callbacks ---- */

static int on_connect(memif_conn_handle_t handle, void *private_ctx)
{
    memif_details_t details;
    char text[4096];

    (void)private_ctx;
    memset(&details, 0, sizeof(details));
    check("memif_get_details", memif_get_details(handle, &details, text, sizeof(text)));
    for (uint16_t qid = 0; program.options.is_polling && qid < details.rx_queues_num; qid++)
        check("memif_set_rx_mode", memif_set_rx_mode(handle, MEMIF_RX_MODE_POLLING, qid));
    for (uint16_t qid = 0; qid < MAX_QUEUES; qid++)
        intakes[qid].held_count = 0;
    connected(details.rx_queues_num, details.tx_queues_num);
    return 0;
}

/* ---- the interface ---- */

bool link_open(void)
{
    const struct options *options = &program.options;
    char app_name[] = "traffic";
    memif_conn_args_t args = {
        .socket_filename = (uint8_t *)options->socket,
        .num_s2m_rings = options->num_s2m_rings,
        .num_m2s_rings = options->num_m2s_rings,
        .buffer_size = options->buffer_size,
        .log2_ring_size = options->log2_ring_size,
        .is_master = options->is_master,
        .interface_id = options->interface_id,
    };

    if (options->headroom > 0)
        fault("no headroom in this interface");
    memcpy(args.secret, options->secret, sizeof(args.secret));
    return options->headroom == 0 && check("memif_init", memif_init(NULL, app_name)) &&
           check("memif_create",
                 memif_create(&conn, &args, on_connect, on_disconnect, on_interrupt, NULL));
}

void link_close(void)
{
    if (conn != NULL)
        memif_delete(&conn);
    check("memif_cleanup", memif_cleanup());
}

void link_poll(int timeout)
{
    int err = memif_poll_event(timeout);

    if (err > 0 && err != MEMIF_ERR_POLL_CANCEL && !program.options.is_continuous)
        check("memif_poll_event", err);
}

void link_cancel(void)
{
    memif_cancel_poll_event();
}

memif_conn_handle_t link_handle(void)
{
    return conn;
}
