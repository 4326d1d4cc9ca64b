/* SPDX-License-Identifier: Apache-2.0 */
/* The 1.0 API, and what its control plane (libmemif_py/capi/v1.py) calls in C. */
#ifndef MIF_V1_API_H
#define MIF_V1_API_H

#include "core/poller.h"

/* The library exports what the public header declares, and nothing else. */
#pragma GCC visibility push(default)
#include "libmemif.h"
#pragma GCC visibility pop

/* args->mode is a bit-field, which cffi cannot read: it does not know the compiler's layout. */
int mif_v1_mode(const memif_conn_args_t *args);
/* The one poller of the 1.0 API: state.c. */
struct mif_poller *mif_v1_poller(void);
/* The application polls if it gave memif_init a callback. */
int mif_v1_poller_open(void);
void mif_v1_poller_close(void);

#endif
