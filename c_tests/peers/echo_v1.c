/* SPDX-License-Identifier: Apache-2.0 */
/* The echo over the 1.0 interface. */
#include "echo_core.h"

#include <string.h>

#include <libmemif.h>

static memif_conn_handle_t conns[MOST_INTERFACES];
static atomic_bool is_over;

static void check(const char *call, int err)
{
    if (err != MEMIF_ERR_SUCCESS)
        echo_fail(call, memif_strerror(err));
}

static int on_connect(memif_conn_handle_t conn, void *interface)
{
    (void)conn;
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
    int err = memif_buffer_alloc(conn, qid, &out, 1, &count, (uint16_t)in->data_len);

    if (err == MEMIF_ERR_NOBUF_RING)
        return; /* a peer that is being killed does not take any more; others would complain */
    check("memif_buffer_alloc", err);
    memcpy(out.data, in->data, in->data_len);
    out.data_len = in->data_len;
    check("memif_tx_burst", memif_tx_burst(conn, qid, &out, 1, &count));
}

static int on_interrupt(memif_conn_handle_t conn, void *context, uint16_t qid)
{
    struct interface *interface = context;
    memif_buffer_t bufs[ECHO_BURST];
    uint16_t count = 0, freed = 0;
    bool switches = echo_wants_switch();

    if (switches)
        check("memif_set_rx_mode", memif_set_rx_mode(conn, MEMIF_RX_MODE_POLLING, qid));
    int err = memif_rx_burst(conn, qid, bufs, ECHO_BURST, &count);
    if (err != MEMIF_ERR_NOBUF && err != MEMIF_ERR_DISCONNECTED)
        check("memif_rx_burst", err);
    for (uint16_t i = 0; i < count; i++)
        send_back(conn, qid, &bufs[i]);
    if (count > 0)
        check("memif_buffer_free", memif_buffer_free(conn, qid, bufs, count, &freed));
    __atomic_fetch_add(&interface->echoed, count, __ATOMIC_RELAXED);
    if (switches)
        check("memif_set_rx_mode", memif_set_rx_mode(conn, MEMIF_RX_MODE_INTERRUPT, qid));
    return 0;
}

void link_open(const struct echo_options *options, struct interface *interfaces)
{
    check("memif_init", memif_init(NULL, NULL));
    for (unsigned i = 0; i < options->interfaces; i++) {
        memif_conn_args_t args = {
            .socket_filename = (uint8_t *)(i == 0 ? options->steady_socket : options->socket),
            .is_master = options->is_master,
            .num_s2m_rings = options->queues,
            .num_m2s_rings = options->queues,
            .interface_id = i,
        };
        check("memif_create", memif_create(&conns[i], &args, on_connect, on_disconnect,
                                           on_interrupt, &interfaces[i]));
    }
}

void link_close(unsigned interfaces)
{
    for (unsigned i = 0; i < interfaces; i++)
        check("memif_delete", memif_delete(&conns[i]));
    check("memif_cleanup", memif_cleanup());
}

/* There is one thing to poll. */
void link_serve(bool is_steady)
{
    while (!is_steady && !is_over) {
        int err = memif_poll_event(-1);
        if (err > 0 && err != MEMIF_ERR_POLL_CANCEL)
            check("memif_poll_event", err);
    }
}

void link_cancel(void)
{
    is_over = true;
    check("memif_cancel_poll_event", memif_cancel_poll_event());
}
