/* SPDX-License-Identifier: Apache-2.0 */

#include "pingpong_link.h"

#include <stddef.h>
#include <string.h>

#include "api.h"

static memif_conn_handle_t conn;
static struct link_events game;

static void check(const char *call, int err)
{
    if (err != MEMIF_ERR_SUCCESS)
        fail("%s: %s", call, memif_strerror(err));
}

/* ---- what differs between the interfaces ---- */

#if MEMIF_API == 1
static void open_socket(char *path, memif_conn_args_t *args)
{
    char app_name[] = "pingpong";

    args->socket_filename = (uint8_t *)path;
    check("memif_init", memif_init(NULL, app_name));
}

static void close_socket(void)
{
    check("memif_cleanup", memif_cleanup());
}

static void fill_queue(memif_conn_handle_t handle)
{
    (void)handle;
}

static int poll_event(void)
{
    return memif_poll_event(-1);
}

static int cancel_poll_event(void)
{
    return memif_cancel_poll_event();
}
#else
static memif_socket_handle_t sock;

static void open_socket(char *path, memif_conn_args_t *args)
{
    memif_socket_args_t socket_args = {
        .app_name = "pingpong",
        .connection_request_timer = {.it_value.tv_sec = 2, .it_interval.tv_sec = 2},
    };

    if (strlen(path) >= sizeof(socket_args.path))
        fail("%s: too long", path);
    memcpy(socket_args.path, path, strlen(path) + 1);
    check("memif_create_socket", memif_create_socket(&sock, &socket_args, NULL));
    args->socket = sock;
}

static void close_socket(void)
{
    check("memif_delete_socket", memif_delete_socket(&sock));
}

static void fill_queue(memif_conn_handle_t handle)
{
    check("memif_refill_queue", memif_refill_queue(handle, 0, UINT16_MAX, 0));
}

static int poll_event(void)
{
    return memif_poll_event(sock, -1);
}

static int cancel_poll_event(void)
{
    return memif_cancel_poll_event(sock);
}
#endif

/* ---- the link ---- */

static int on_connect(memif_conn_handle_t handle, void *private_ctx)
{
    (void)private_ctx;
    fill_queue(handle);
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
    memif_conn_args_t args = {
        .is_master = options->is_master,
        .log2_ring_size = options->log2_ring_size,
    };

    game = *events;
    open_socket(options->socket, &args);
    check("memif_create", memif_create(&conn, &args, on_connect, on_disconnect,
                                       events->interrupted != NULL ? on_interrupt : NULL, NULL));
}

void link_close(void)
{
    check("memif_delete", memif_delete(&conn));
    close_socket();
}

void link_poll(void)
{
    int err = poll_event();

    if (err > 0 && err != MEMIF_ERR_POLL_CANCEL)
        check("memif_poll_event", err);
}

void link_cancel(void)
{
    check("memif_cancel_poll_event", cancel_poll_event());
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
        api_set_length(&buffers[i], sizeof(*balls));
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

    int err = memif_rx_burst(conn, 0, buffers, most, &received);
    if (err != MEMIF_ERR_NOBUF)
        check("memif_rx_burst", err);
    for (uint16_t i = 0; i < received; i++) {
        if (api_length(&buffers[i]) != sizeof(*balls))
            fail("a packet of %u bytes", api_length(&buffers[i]));
        memcpy(&balls[i], buffers[i].data, sizeof(*balls));
    }
    if (received > 0)
        check("giving back", api_give_back(conn, 0, buffers, received));
    return received;
}
