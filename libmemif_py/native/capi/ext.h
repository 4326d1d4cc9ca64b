/* SPDX-License-Identifier: Apache-2.0 */
/* memif_ext.h, compiled for each of the two APIs, and what it needs of them. */
#ifndef MIF_EXT_H
#define MIF_EXT_H

/* The library exports what the public header declares, and nothing else. */
#pragma GCC visibility push(default)
#include "memif_ext.h"
#pragma GCC visibility pop

/* ---- of the API, in its api.c ---- */

/* The API's number for a core code. */
int mif_ext_code(int core_code);
/* memif_create, with options that have the size of this version, or NULL. The API's number. */
int mif_ext_create(memif_conn_handle_t *conn, memif_conn_args_t *args,
                   memif_connection_update_t *on_connect, memif_connection_update_t *on_disconnect,
                   memif_ext_on_interrupt_t *on_interrupt, void *private_ctx,
                   const memif_ext_options_t *options);

/* ---- implemented in Python ---- */

int mif_python_peer(void *handle, memif_ext_peer_t *peer);
int mif_python_last_error(void *handle, char *text, size_t size);

#endif
