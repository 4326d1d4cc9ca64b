/* SPDX-License-Identifier: Apache-2.0 */
/* What capi/v4/api.c offers to the control plane behind the 4.0 interface (libmemif_py/capi/v4.py).
 */
#ifndef MIF_V4_API_H
#define MIF_V4_API_H

#include "core/poller.h"

/* Only what the public header declares leaves the library. */
#pragma GCC visibility push(default)
#include "libmemif.h"
/* Exported for programs that declare it themselves: the older name of memif_get_socket_path. */
const char *memif_get_socket_filename(memif_socket_handle_t sock);
#pragma GCC visibility pop

/* A control socket object. It lives until it was deleted and nobody is inside it any more. */
struct mif_socket {
    struct mif_poller poller; /* first, so that a poller is a socket */
    struct mif_socket *next;
    uint32_t references; /* guarded by the list's lock; the list holds one */
    void *private_ctx;
    memif_control_fd_update_t *on_control_fd_update;
    memif_free_t *free;
    memif_add_external_region_t *add_region;
    memif_get_external_region_addr_t *get_region;
    memif_del_external_region_t *del_region;
    memif_get_external_buffer_offset_t *buffer_offset;
    bool is_over; /* for the control plane: from now on there is only an error to report */
    char path[109];
    char app_name[33];
};

/* args->mode is a bit-field, which cffi cannot read without knowing its compiler's layout. */
int mif_v4_mode(const memif_conn_args_t *args);

#endif
