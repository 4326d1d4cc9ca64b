/* SPDX-License-Identifier: Apache-2.0 */
/* A victim by the 1.0 API; see victim.h. */

#include "victim.h"

#include <libmemif.h>
#include <stdio.h>
#include <string.h>

static memif_conn_handle_t good, master, guarded, slave;
static char *slave_path;

bool victim_good(const char *what, int err)
{
    if (err != MEMIF_ERR_SUCCESS)
        (void)fprintf(stderr, "victim: %s: %s\n", what, memif_strerror(err));
    return err == MEMIF_ERR_SUCCESS;
}

static int on_control_fd_update(int fd, uint8_t events)
{
    if (events & MEMIF_FD_EVENT_DEL)
        return victim_unwatch(fd);
    return victim_watch(fd, (void *)(intptr_t)(fd + 1));
}

bool victim_serve(void *ptr)
{
    int err = memif_control_fd_handler((int)(intptr_t)ptr - 1, MEMIF_FD_EVENT_READ);
    return victim_good("memif_control_fd_handler", err);
}

static int on_change(memif_conn_handle_t conn, void *private_ctx)
{
    (void)conn;
    (void)private_ctx;
    return 0;
}

static void send_back(memif_conn_handle_t conn, uint16_t qid, const memif_buffer_t *in)
{
    memif_buffer_t out;
    uint16_t count = 0;
    (void)memif_buffer_alloc(conn, qid, &out, 1, &count, (uint16_t)in->data_len);
    if (count == 0)
        return;
    memcpy(out.data, in->data, in->data_len);
    out.data_len = in->data_len;
    (void)memif_tx_burst(conn, qid, &out, 1, &count);
}

static int on_interrupt(memif_conn_handle_t conn, void *private_ctx, uint16_t qid)
{
    memif_buffer_t bufs[8];
    uint16_t count, freed = 0;
    (void)private_ctx;
    do { /* until nothing is left: the last burst has neither packet nor signal */
        count = 0;
        (void)memif_rx_burst(conn, qid, bufs, 8, &count);
        for (uint16_t i = 0; i < count; i++)
            send_back(conn, qid, &bufs[i]);
        if (count > 0)
            (void)memif_buffer_free(conn, qid, bufs, count, &freed);
    } while (count > 0);
    return 0;
}

static bool create(memif_conn_handle_t *conn, char *path, bool is_master, const char *secret)
{
    memif_conn_args_t args = {
        .socket_filename = (uint8_t *)path,
        .is_master = is_master,
        .interface_id = secret != NULL,
        .num_s2m_rings = RINGS,
        .num_m2s_rings = RINGS,
        .log2_ring_size = LOG2_RING_SIZE,
        .buffer_size = BUFFER_SIZE,
        .interface_name = "victim",
    };
    if (secret != NULL)
        memcpy(args.secret, secret, strlen(secret));
    int err = memif_create(conn, &args, on_change, on_change, on_interrupt, NULL);
    return victim_good("memif_create", err);
}

bool victim_open(const char *folder)
{
    char name[] = "victim";
    slave_path = victim_path(folder, "slave");
    char *path = victim_path(folder, "master");
    return victim_good("memif_init", memif_init(on_control_fd_update, name)) &&
           create(&good, victim_path(folder, "good"), true, NULL) &&
           create(&master, path, true, NULL) && create(&guarded, path, true, SECRET);
}

/* The interface tries every two seconds by itself, a new one at once. */
bool victim_rest(void)
{
    return slave == NULL || victim_good("memif_delete", memif_delete(&slave));
}

bool victim_again(void)
{
    return victim_rest() && create(&slave, slave_path, false, NULL);
}

void victim_close(void)
{
    memif_conn_handle_t *all[] = {&slave, &guarded, &master, &good};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (*all[i] != NULL)
            (void)memif_delete(all[i]);
    (void)memif_cleanup();
}
