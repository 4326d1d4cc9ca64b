/* SPDX-License-Identifier: Apache-2.0 */
/* What api1.c offers to the control plane behind the 1.0 interface (libmemif_py/abi1.py). */
#ifndef MIF_API1_H
#define MIF_API1_H

#include "hub.h"

/* Only what the public header declares leaves the library. */
#pragma GCC visibility push(default)
#include "libmemif.h"
#pragma GCC visibility pop

/* args->mode is a bit-field, which cffi cannot read without knowing its compiler's layout. */
int mif_api1_mode(const memif_conn_args_t *args);
/* The one hub of the 1.0 interface. */
struct mif_hub *mif_api1_hub(void);
/* Polled by the application when memif_init was given a callback. */
int mif_api1_hub_open(void);
void mif_api1_hub_close(void);

#endif
