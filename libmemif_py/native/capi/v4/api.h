/* SPDX-License-Identifier: Apache-2.0 */
/* The 4.0 API, and what its control plane (libmemif_py/capi/v4.py) sees and calls in C. */
#ifndef MIF_V4_API_H
#define MIF_V4_API_H

#include "core/poller.h"

/* The library exports what the public header declares, and nothing else. */
#pragma GCC visibility push(default)
#include "libmemif.h"
/* Exported for programs that declare it themselves: the older name of memif_get_socket_path. */
const char *memif_get_socket_filename(memif_socket_handle_t sock);
#pragma GCC visibility pop

/* A control socket object: socket.c. It lives until it was deleted and no call is inside any more.
 */
struct mif_v4_socket {
    struct mif_poller poller; /* first, so that a poller is a socket */
    struct mif_v4_socket *next;
    uint32_t references; /* guarded by the list's lock; the list holds one */
    void *private_ctx;
    memif_control_fd_update_t *on_control_fd_update;
    memif_free_t *free;
    memif_add_external_region_t *add_region;
    memif_get_external_region_addr_t *get_region;
    memif_del_external_region_t *del_region;
    memif_get_external_buffer_offset_t *buffer_offset;
    bool is_over; /* set by the control plane: it is closed, whatever error is reported */
    char path[109];
    char app_name[33];
};

/* args->mode is a bit-field, which cffi cannot read: it does not know the compiler's layout. */
int mif_v4_mode(const memif_conn_args_t *args);

#endif
