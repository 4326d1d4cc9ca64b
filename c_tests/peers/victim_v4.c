/* SPDX-License-Identifier: Apache-2.0 */
/* A victim by the 4.0 API; see victim.h. */

#include "victim.h"

#include <libmemif.h>
#include <stdio.h>
#include <string.h>

enum { GOOD, MASTER, SLAVE, SOCKETS };

static memif_socket_handle_t sockets[SOCKETS];
static memif_conn_handle_t good, master, guarded, slave;

bool victim_good(const char *what, int err)
{
    if (err != MEMIF_ERR_SUCCESS)
        (void)fprintf(stderr, "victim: %s: %s\n", what, memif_strerror(err));
    return err == MEMIF_ERR_SUCCESS;
}

static int on_control_fd_update(memif_fd_event_t fde, void *private_ctx)
{
    (void)private_ctx;
    return fde.type & MEMIF_FD_EVENT_DEL ? victim_unwatch(fde.fd)
                                         : victim_watch(fde.fd, fde.private_ctx);
}

bool victim_serve(void *ptr)
{
    int err = memif_control_fd_handler(ptr, MEMIF_FD_EVENT_READ);
    return victim_good("memif_control_fd_handler", err);
}

static int on_connect(memif_conn_handle_t conn, void *private_ctx)
{
    (void)private_ctx;
    for (uint16_t qid = 0; qid < RINGS; qid++)
        (void)memif_refill_queue(conn, qid, UINT16_MAX, 0);
    return 0;
}

static int on_disconnect(memif_conn_handle_t conn, void *private_ctx)
{
    (void)conn;
    (void)private_ctx;
    return 0;
}

static void send_back(memif_conn_handle_t conn, uint16_t qid, const memif_buffer_t *in)
{
    memif_buffer_t out;
    uint16_t count = 0;
    (void)memif_buffer_alloc(conn, qid, &out, 1, &count, (uint16_t)in->len);
    if (count == 0)
        return;
    memcpy(out.data, in->data, in->len);
    out.len = in->len;
    (void)memif_tx_burst(conn, qid, &out, 1, &count);
}

static int on_interrupt(memif_conn_handle_t conn, void *private_ctx, uint16_t qid)
{
    memif_buffer_t bufs[8];
    uint16_t count;
    (void)private_ctx;
    do { /* until nothing is left: the last burst has neither packet nor signal */
        count = 0;
        (void)memif_rx_burst(conn, qid, bufs, 8, &count);
        for (uint16_t i = 0; i < count; i++)
            send_back(conn, qid, &bufs[i]);
        (void)memif_refill_queue(conn, qid, count, 0);
    } while (count > 0);
    return 0;
}

static bool create_socket(int which, const char *path)
{
    memif_socket_args_t args = {.app_name = "victim", .on_control_fd_update = on_control_fd_update};
    memcpy(args.path, path, strlen(path));
    return victim_good("memif_create_socket", memif_create_socket(&sockets[which], &args, NULL));
}

static bool create(memif_conn_handle_t *conn, int which, const char *secret)
{
    memif_conn_args_t args = {
        .socket = sockets[which],
        .is_master = which != SLAVE,
        .interface_id = secret != NULL,
        .num_s2m_rings = RINGS,
        .num_m2s_rings = RINGS,
        .log2_ring_size = LOG2_RING_SIZE,
        .buffer_size = BUFFER_SIZE,
        .interface_name = "victim",
    };
    if (secret != NULL)
        memcpy(args.secret, secret, strlen(secret));
    int err = memif_create(conn, &args, on_connect, on_disconnect, on_interrupt, NULL);
    return victim_good("memif_create", err);
}

bool victim_open(const char *folder)
{
    return create_socket(GOOD, victim_path(folder, "good")) &&
           create_socket(MASTER, victim_path(folder, "master")) &&
           create_socket(SLAVE, victim_path(folder, "slave")) && create(&good, GOOD, NULL) &&
           create(&master, MASTER, NULL) && create(&guarded, MASTER, SECRET) &&
           create(&slave, SLAVE, NULL);
}

bool victim_again(void)
{
    return victim_good("memif_request_connection", memif_request_connection(slave));
}

/* Without a timer it comes only when it is told to. */
bool victim_rest(void)
{
    return true;
}

void victim_close(void)
{
    memif_conn_handle_t *all[] = {&slave, &guarded, &master, &good};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (*all[i] != NULL)
            (void)memif_delete(all[i]);
    for (int i = 0; i < SOCKETS; i++)
        if (sockets[i] != NULL)
            (void)memif_delete_socket(&sockets[i]);
}
