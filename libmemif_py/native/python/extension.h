/* SPDX-License-Identifier: Apache-2.0 */
/* What the Python package's extension adds to the core. */
#ifndef MIF_EXTENSION_H
#define MIF_EXTENSION_H

#include "core/poller.h"

/* An open poller that polls by itself, or NULL with errno set. */
struct mif_poller *mif_native_poller_new(void);

#endif
