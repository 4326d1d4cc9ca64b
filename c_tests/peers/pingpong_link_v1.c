/* SPDX-License-Identifier: Apache-2.0 */

#include "pingpong_link.h"

#include <stddef.h>
#include <string.h>

#include <libmemif.h>

static memif_conn_handle_t conn;
static struct link_events game;

static void check(const char *call, int err)
{
    if (err != MEMIF_ERR_SUCCESS)
        fail("%s: %s", call, memif_strerror(err));
}

static int on_connect(memif_conn_handle_t handle, void *private_ctx)
{
    (void)handle;
    (void)private_ctx;
    game.connected();
    return 0;
}

static int on_disconnect(memif_conn_handle_t handle, void *private_ctx)
{
    (void)handle;
    (void)private_ctx;
    game.disconnected();
    return 0;
}

static int on_interrupt(memif_conn_handle_t handle, void *private_ctx, uint16_t qid)
{
    (void)handle;
    (void)private_ctx;
    (void)qid;
    game.interrupted();
    return 0;
}

void link_open(const struct link_options *options, const struct link_events *events)
{
    char app_name[] = "pingpong";
    memif_conn_args_t args = {
        .socket_filename = (uint8_t *)options->socket,
        .is_master = options->is_master,
        .log2_ring_size = options->log2_ring_size,
    };

    game = *events;
    check("memif_init", memif_init(NULL, app_name));
    check("memif_create", memif_create(&conn, &args, on_connect, on_disconnect,
                                       events->interrupted != NULL ? on_interrupt : NULL, NULL));
}

void link_close(void)
{
    check("memif_delete", memif_delete(&conn));
    check("memif_cleanup", memif_cleanup());
}

void link_poll(void)
{
    int err = memif_poll_event(-1);

    if (err > 0 && err != MEMIF_ERR_POLL_CANCEL)
        check("memif_poll_event", err);
}

void link_cancel(void)
{
    check("memif_cancel_poll_event", memif_cancel_poll_event());
}

int link_efd(void)
{
    int fd = -1;

    check("memif_get_queue_efd", memif_get_queue_efd(conn, 0, &fd));
    return fd;
}

void link_set_polling(bool is_polling)
{
    check("memif_set_rx_mode",
          memif_set_rx_mode(conn, is_polling ? MEMIF_RX_MODE_POLLING : MEMIF_RX_MODE_INTERRUPT, 0));
}

uint16_t link_send(const struct ball *balls, uint16_t count)
{
    memif_buffer_t buffers[LINK_BURST];
    uint16_t reserved = 0;
    uint16_t sent = 0;

    int err = memif_buffer_alloc(conn, 0, buffers, count, &reserved, sizeof(*balls));
    if (err != MEMIF_ERR_NOBUF_RING)
        check("memif_buffer_alloc", err);
    for (uint16_t i = 0; i < reserved; i++) {
        memcpy(buffers[i].data, &balls[i], sizeof(*balls));
        buffers[i].data_len = sizeof(*balls);
    }
    if (reserved == 0)
        return 0;
    check("memif_tx_burst", memif_tx_burst(conn, 0, buffers, reserved, &sent));
    if (sent != reserved)
        fail("memif_tx_burst: %u of %u", sent, reserved);
    return sent;
}

uint16_t link_receive(struct ball *balls, uint16_t most)
{
    memif_buffer_t buffers[LINK_BURST];
    uint16_t received = 0;
    uint16_t freed = 0;

    int err = memif_rx_burst(conn, 0, buffers, most, &received);
    if (err != MEMIF_ERR_NOBUF)
        check("memif_rx_burst", err);
    for (uint16_t i = 0; i < received; i++) {
        if (buffers[i].data_len != sizeof(*balls))
            fail("a packet of %u bytes", buffers[i].data_len);
        memcpy(&balls[i], buffers[i].data, sizeof(*balls));
    }
    if (received > 0)
        check("memif_buffer_free", memif_buffer_free(conn, 0, buffers, received, &freed));
    return received;
}
