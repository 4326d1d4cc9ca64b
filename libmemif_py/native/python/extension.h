/* SPDX-License-Identifier: Apache-2.0 */
/* What the Python package's extension adds to the core. */
#ifndef MIF_EXTENSION_H
#define MIF_EXTENSION_H

#include "core/poller.h"

#include <stdint.h>

/* An open poller that polls by itself, or NULL with errno set. */
struct mif_poller *mif_native_poller_new(void);

/* What is in a ring and not given back by its receiver. The control plane calls it while the queue
 * is up. It reads every descriptor that is in use; the peer may change them meanwhile. */
struct mif_fill {
    uint32_t slots;
    uint32_t packets; /* a packet that is there only in part counts as one */
};
int mif_native_fill(const void *handle, uint32_t qid, int is_tx, struct mif_fill *fill);

#endif
