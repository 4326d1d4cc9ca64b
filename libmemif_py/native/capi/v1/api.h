/* SPDX-License-Identifier: Apache-2.0 */
/* What capi/v1/api.c offers to the control plane behind the 1.0 interface (libmemif_py/capi/v1.py).
 */
#ifndef MIF_V1_API_H
#define MIF_V1_API_H

#include "core/poller.h"

/* Only what the public header declares leaves the library. */
#pragma GCC visibility push(default)
#include "libmemif.h"
#pragma GCC visibility pop

/* args->mode is a bit-field, which cffi cannot read without knowing its compiler's layout. */
int mif_v1_mode(const memif_conn_args_t *args);
/* The one poller of the 1.0 interface. */
struct mif_poller *mif_v1_poller(void);
/* Polled by the application when memif_init was given a callback. */
int mif_v1_poller_open(void);
void mif_v1_poller_close(void);

#endif
