/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet face: one buffer entry per packet, whatever number of slots it takes. Serves the 1.0
 * interface and the Python package. Semantics and codes of each call: libmemif.h.
 */
#ifndef MIF_PACKET_H
#define MIF_PACKET_H

#include "libmemif.h"

int mif_packet_rx(void *handle, uint32_t qid, memif_buffer_t *bufs, uint32_t count, uint16_t *rx);
int mif_packet_free(void *handle, uint32_t qid, memif_buffer_t *bufs, uint32_t count,
                    uint16_t *freed);
int mif_packet_alloc(void *handle, uint32_t qid, memif_buffer_t *bufs, uint32_t count,
                     uint16_t *allocated, uint32_t size);
int mif_packet_tx(void *handle, uint32_t qid, memif_buffer_t *bufs, uint32_t count, uint16_t *tx);

#endif
