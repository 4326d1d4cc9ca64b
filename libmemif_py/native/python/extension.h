/* SPDX-License-Identifier: Apache-2.0 */
/* What the Python package's extension adds to the core. */
#ifndef MIF_EXTENSION_H
#define MIF_EXTENSION_H

#include "core/poller.h"
#include "core/ring.h"

#include <stdint.h>

/* An open poller that polls by itself, or NULL with errno set. */
struct mif_poller *mif_native_poller_new(void);

/* How full a ring is; see mif_ring_fill. QID when there is no such queue. */
int mif_native_fill(const void *handle, uint32_t qid, int is_tx, struct mif_fill *fill);

#endif
