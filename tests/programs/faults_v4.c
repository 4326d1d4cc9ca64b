/* SPDX-License-Identifier: Apache-2.0 */
/* The two ends of faults.c over the 4.0 API, on a socket object each: what faults_ends.c
 * leaves to it. */
#include "faults_ends.h"

#include <stdio.h>

static memif_socket_handle_t sockets[ENDS];

static int on_connect(memif_conn_handle_t conn, void *up)
{
    *(bool *)up = true;
    for (uint16_t qid = 0; qid < 2; qid++)
        (void)memif_refill_queue(conn, qid, UINT16_MAX, 0);
    return 0;
}

int ends_start(const char *path)
{
    memif_socket_args_t args = {.app_name = "faults"};

    snprintf(args.path, sizeof(args.path), "%s", path);
    int err = memif_create_socket(&sockets[MASTER], &args, NULL);
    if (err != MEMIF_ERR_SUCCESS)
        return err;
    err = memif_create_socket(&sockets[SLAVE], &args, NULL);
    if (err != MEMIF_ERR_SUCCESS)
        (void)memif_delete_socket(&sockets[MASTER]);
    return err;
}

int ends_create(enum end end)
{
    memif_conn_args_t args = {
        .socket = sockets[end],
        .is_master = end == MASTER,
        .num_s2m_rings = 2,
        .num_m2s_rings = 2,
        .log2_ring_size = 4,
    };
    return memif_create(&conns[end], &args, on_connect, on_end_down, on_end_interrupt, &is_up[end]);
}

int ends_stop(void)
{
    int slaves = memif_delete_socket(&sockets[SLAVE]);
    int masters = memif_delete_socket(&sockets[MASTER]);
    return slaves != MEMIF_ERR_SUCCESS ? slaves : masters;
}

int ends_poll(int timeout)
{
    int first = memif_poll_event(sockets[MASTER], 0);
    int second = memif_poll_event(sockets[SLAVE], timeout);
    return first > 0 ? first : second;
}

void set_length(memif_buffer_t *buffer, uint16_t length)
{
    (void)buffer; /* it is as long as it was asked for */
    (void)length;
}

int give_back(memif_conn_handle_t conn, memif_buffer_t *buffer)
{
    (void)buffer;
    return memif_refill_queue(conn, 1, 1, 0);
}
