/* SPDX-License-Identifier: Apache-2.0 */
/* The two ends of faults.c over the 1.0 API: what faults_ends.c leaves to it. */
#include "faults_ends.h"

#include <stdio.h>

static char socket_path[4096];

static int on_connect(memif_conn_handle_t conn, void *up)
{
    (void)conn;
    *(bool *)up = true;
    return 0;
}

int ends_start(const char *path)
{
    snprintf(socket_path, sizeof(socket_path), "%s", path);
    return memif_init(NULL, NULL);
}

int ends_create(enum end end)
{
    memif_conn_args_t args = {
        .socket_filename = (uint8_t *)socket_path,
        .is_master = end == MASTER,
        .num_s2m_rings = 2,
        .num_m2s_rings = 2,
        .log2_ring_size = 4,
    };
    return memif_create(&conns[end], &args, on_connect, on_end_down, on_end_interrupt, &is_up[end]);
}

int ends_stop(void)
{
    return memif_cleanup();
}

int ends_poll(int timeout)
{
    return memif_poll_event(timeout);
}

void set_length(memif_buffer_t *buffer, uint16_t length)
{
    buffer->data_len = length;
}

int give_back(memif_conn_handle_t conn, memif_buffer_t *buffer)
{
    uint16_t count;

    return memif_buffer_free(conn, 1, buffer, 1, &count);
}
