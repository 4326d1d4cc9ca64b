/* SPDX-License-Identifier: Apache-2.0 */
/* What the Python package's extension adds to the core. */
#ifndef MIF_NATIVE_H
#define MIF_NATIVE_H

#include "hub.h"

/* An open hub that polls by itself, or NULL with errno set. */
struct mif_hub *mif_native_hub_new(void);
/* Its epoll fd: readable when mif_hub_poll has something to serve. */
int mif_native_hub_fileno(const struct mif_hub *hub);

#endif
