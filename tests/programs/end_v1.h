/* SPDX-License-Identifier: Apache-2.0 */
/* One of two interfaces of a program by the 1.0 API, which is told when it is connected. */
#ifndef END_V1_H
#define END_V1_H

#include <libmemif.h>

struct end {
    memif_conn_handle_t conn;
    int connected;
    int received;
};

static inline int on_connect(memif_conn_handle_t conn, void *private_ctx)
{
    struct end *end = private_ctx;
    (void)conn;
    end->connected = 1;
    end->received = 0;
    return 0;
}

static inline int on_disconnect(memif_conn_handle_t conn, void *private_ctx)
{
    struct end *end = private_ctx;
    (void)conn;
    end->connected = 0;
    return 0;
}

#endif
