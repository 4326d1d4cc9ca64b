/* SPDX-License-Identifier: Apache-2.0 */
#include "end_v1.h"
#include "exchange.h"
#include "exchange_steps.h"

#include <libmemif.h>
#include <string.h>

static int on_interrupt(memif_conn_handle_t conn, void *private_ctx, uint16_t qid)
{
    struct end *end = private_ctx;
    memif_buffer_t bufs[4];
    uint16_t count = 0, freed;
    int err = memif_rx_burst(conn, qid, bufs, 4, &count);
    if (err != MEMIF_ERR_SUCCESS)
        return err;
    for (uint16_t i = 0; i < count; i++)
        if (bufs[i].data_len == sizeof(payload) &&
            memcmp(bufs[i].data, payload, sizeof(payload)) == 0)
            end->received++;
    return memif_buffer_free(conn, qid, bufs, count, &freed);
}

static int create(struct end *end, const char *socket_path, int is_master)
{
    memif_conn_args_t args = {
        .socket_filename = (uint8_t *)(uintptr_t)socket_path,
        .is_master = (uint8_t)is_master,
        .interface_id = 7,
    };
    return memif_create(&end->conn, &args, on_connect, on_disconnect, on_interrupt, end);
}

static int send_packet(struct end *end)
{
    memif_buffer_t buf;
    uint16_t count;
    int err = memif_buffer_alloc(end->conn, 0, &buf, 1, &count, sizeof(payload));
    if (err != MEMIF_ERR_SUCCESS)
        return err;
    memcpy(buf.data, payload, sizeof(payload));
    buf.data_len = sizeof(payload);
    return memif_tx_burst(end->conn, 0, &buf, 1, &count);
}

int library_begin(const char *socket_path)
{
    (void)socket_path;
    return memif_init(NULL, "exchange");
}

int open_slave(const char *socket_path, void **conn)
{
    memif_conn_args_t args = {
        .socket_filename = (uint8_t *)(uintptr_t)socket_path,
        .interface_id = 1,
    };
    return memif_create(conn, &args, NULL, NULL, NULL, NULL);
}

int open_master(const char *socket_path, void **conn)
{
    memif_conn_args_t args = {
        .socket_filename = (uint8_t *)(uintptr_t)socket_path,
        .is_master = 1,
    };
    return memif_create(conn, &args, NULL, NULL, NULL, NULL);
}

int close_slave(void **conn)
{
    return memif_delete(conn);
}

int serve(int timeout)
{
    return memif_poll_event(timeout);
}

int library_end(void)
{
    return memif_cleanup();
}

/* Polls until both are non-zero. A signal that ends a wait is no failure. */
static int await(const int *one, const int *other)
{
    long deadline = now() + 20;
    while (!*one || !*other) {
        int err = memif_poll_event(1000);
        if (err > 0)
            return err;
        if (now() > deadline)
            return MEMIF_ERR_AGAIN;
    }
    return MEMIF_ERR_SUCCESS;
}

int exchange(const char *socket_path)
{
    struct end master = {0}, slave = {0};
    return failed("create the master", create(&master, socket_path, 1)) ||
           failed("create the slave", create(&slave, socket_path, 0)) ||
           failed("connect", await(&master.connected, &slave.connected)) ||
           failed("send as slave", send_packet(&slave)) ||
           failed("send as master", send_packet(&master)) ||
           failed("receive", await(&master.received, &slave.received)) ||
           failed("delete the slave", memif_delete(&slave.conn)) ||
           failed("delete the master", memif_delete(&master.conn));
}
