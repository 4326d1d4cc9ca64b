/* SPDX-License-Identifier: Apache-2.0 */
/* What the Python package's extension adds to the core. */
#ifndef MIF_NATIVE_H
#define MIF_NATIVE_H

#include "hub.h"
#include "libmemif.h"

/* An open hub that polls by itself, or NULL with errno set. */
struct mif_hub *mif_native_hub_new(void);
/* Its epoll fd: readable when mif_hub_poll has something to serve. */
int mif_native_hub_fileno(const struct mif_hub *hub);

/* What lies in a ring and was not given back by its receiver. The control plane's, while the queue
 * is up: it reads every descriptor that is in use, which the peer may change meanwhile. */
struct mif_fill {
    uint32_t slots;
    uint32_t packets; /* one of which only a part is there counts as one */
};
int mif_native_fill(const void *handle, uint32_t qid, int is_tx, struct mif_fill *fill);

/* The packet face as it is; error codes are those of the 1.0 interface. */
int mif_packet_rx(void *handle, uint32_t qid, memif_buffer_t *bufs, uint32_t count, uint16_t *rx);
int mif_packet_free(void *handle, uint32_t qid, memif_buffer_t *bufs, uint32_t count,
                    uint16_t *freed);
int mif_packet_alloc(void *handle, uint32_t qid, memif_buffer_t *bufs, uint32_t count,
                     uint16_t *allocated, uint32_t size);
int mif_packet_tx(void *handle, uint32_t qid, memif_buffer_t *bufs, uint32_t count, uint16_t *tx);

#endif
