/* SPDX-License-Identifier: Apache-2.0 */
/* The interfaces of the echo, by either C API. */
#include "echo_link.h"

#include <stdio.h>
#include <string.h>

#include "api.h"

static memif_conn_handle_t conns[MOST_INTERFACES];
static atomic_bool is_over;
static uint8_t queues;

static void check(const char *call, int err)
{
    if (err != MEMIF_ERR_SUCCESS)
        echo_fail(call, memif_strerror(err));
}

/* ---- what differs between the interfaces ---- */

#if MEMIF_API == 1
static void open_sockets(const struct echo_options *options)
{
    (void)options;
    check("memif_init", memif_init(NULL, NULL));
}

static void close_sockets(void)
{
    check("memif_cleanup", memif_cleanup());
}

static void place(memif_conn_args_t *args, const struct echo_options *options)
{
    args->socket_filename =
        (uint8_t *)(args->interface_id == 0 ? options->steady_socket : options->socket);
}

static void fill_queue(memif_conn_handle_t conn, uint16_t qid)
{
    (void)conn;
    (void)qid;
}

/* There is one thing to poll. */
static bool is_polled(bool is_steady)
{
    return !is_steady;
}

static int poll_event(bool is_steady)
{
    (void)is_steady;
    return memif_poll_event(-1);
}

static void cancel_poll_event(void)
{
    check("memif_cancel_poll_event", memif_cancel_poll_event());
}
#else
/* One for interface 0, one for the others. */
static memif_socket_handle_t sockets[2];

static void open_socket(memif_socket_handle_t *handle, const char *path)
{
    memif_socket_args_t args = {
        .app_name = "echo",
        .connection_request_timer = {.it_interval.tv_nsec = 20000000, .it_value.tv_nsec = 20000000},
    };

    snprintf(args.path, sizeof(args.path), "%s", path);
    check("memif_create_socket", memif_create_socket(handle, &args, NULL));
}

static void open_sockets(const struct echo_options *options)
{
    open_socket(&sockets[0], options->steady_socket);
    open_socket(&sockets[1], options->socket);
}

static void close_sockets(void)
{
    check("memif_delete_socket", memif_delete_socket(&sockets[1]));
    check("memif_delete_socket", memif_delete_socket(&sockets[0]));
}

static void place(memif_conn_args_t *args, const struct echo_options *options)
{
    (void)options;
    args->socket = sockets[args->interface_id > 0];
}

/* The peer may have fewer queues. */
static void fill_queue(memif_conn_handle_t conn, uint16_t qid)
{
    (void)memif_refill_queue(conn, qid, UINT16_MAX, 0);
}

static bool is_polled(bool is_steady)
{
    (void)is_steady;
    return true;
}

static int poll_event(bool is_steady)
{
    return memif_poll_event(sockets[!is_steady], -1);
}

static void cancel_poll_event(void)
{
    check("memif_cancel_poll_event", memif_cancel_poll_event(sockets[0]));
    check("memif_cancel_poll_event", memif_cancel_poll_event(sockets[1]));
}
#endif

/* ---- the interfaces ---- */

static int on_connect(memif_conn_handle_t conn, void *interface)
{
    for (uint16_t qid = 0; qid < queues; qid++)
        fill_queue(conn, qid);
    echo_up(interface);
    return 0;
}

static int on_disconnect(memif_conn_handle_t conn, void *interface)
{
    (void)conn;
    echo_down(interface);
    return 0;
}

/* A ring of the peer's takes all that it may have under way, so there is room. */
static void send_back(memif_conn_handle_t conn, uint16_t qid, const memif_buffer_t *in)
{
    memif_buffer_t out;
    uint16_t count = 0;
    int err = memif_buffer_alloc(conn, qid, &out, 1, &count, (uint16_t)api_length(in));

    if (err == MEMIF_ERR_NOBUF_RING)
        return; /* a peer that is being killed does not take any more; others would complain */
    check("memif_buffer_alloc", err);
    memcpy(out.data, in->data, api_length(in));
    api_set_length(&out, api_length(in));
    check("memif_tx_burst", memif_tx_burst(conn, qid, &out, 1, &count));
}

static int on_interrupt(memif_conn_handle_t conn, void *context, uint16_t qid)
{
    struct interface *interface = context;
    memif_buffer_t bufs[ECHO_BURST];
    uint16_t count = 0;
    bool switches = echo_wants_switch();

    if (switches)
        check("memif_set_rx_mode", memif_set_rx_mode(conn, MEMIF_RX_MODE_POLLING, qid));
    int err = memif_rx_burst(conn, qid, bufs, ECHO_BURST, &count);
    if (err != MEMIF_ERR_NOBUF && err != MEMIF_ERR_DISCONNECTED)
        check("memif_rx_burst", err);
    for (uint16_t i = 0; i < count; i++)
        send_back(conn, qid, &bufs[i]);
    if (count > 0)
        check("giving back", api_give_back(conn, qid, bufs, count));
    __atomic_fetch_add(&interface->echoed, count, __ATOMIC_RELAXED);
    if (switches)
        check("memif_set_rx_mode", memif_set_rx_mode(conn, MEMIF_RX_MODE_INTERRUPT, qid));
    return 0;
}

void link_open(const struct echo_options *options, struct interface *interfaces)
{
    queues = options->queues;
    open_sockets(options);
    for (unsigned i = 0; i < options->interfaces; i++) {
        memif_conn_args_t args = {
            .is_master = options->is_master,
            .num_s2m_rings = options->queues,
            .num_m2s_rings = options->queues,
            .interface_id = i,
        };
        place(&args, options);
        check("memif_create", memif_create(&conns[i], &args, on_connect, on_disconnect,
                                           on_interrupt, &interfaces[i]));
    }
}

void link_close(unsigned interfaces)
{
    for (unsigned i = 0; i < interfaces; i++)
        check("memif_delete", memif_delete(&conns[i]));
    close_sockets();
}

void link_serve(bool is_steady)
{
    while (is_polled(is_steady) && !is_over) {
        int err = poll_event(is_steady);
        if (err > 0 && err != MEMIF_ERR_POLL_CANCEL)
            check("memif_poll_event", err);
    }
}

void link_cancel(void)
{
    is_over = true;
    cancel_poll_event();
}
