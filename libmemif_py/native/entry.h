/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entry face: one buffer entry per descriptor, chains flagged, the application posts and
 * returns buffers itself. Serves the 4.0 interface. Semantics of each call: libmemif4/libmemif.h.
 * Codes: errors.h.
 *
 * The entries of a packet are handed out together: a receive burst ends before a packet that does
 * not fit into what is left of bufs, unless it would be the only one.
 */
#ifndef MIF_ENTRY_H
#define MIF_ENTRY_H

#include "libmemif.h"

int mif_entry_rx(void *handle, uint32_t qid, memif_buffer_t *bufs, uint32_t count, uint16_t *rx);
int mif_entry_refill(void *handle, uint32_t qid, uint32_t count, uint32_t headroom);
int mif_entry_alloc(void *handle, uint32_t qid, memif_buffer_t *bufs, uint32_t count,
                    uint16_t *allocated, uint32_t size);
int mif_entry_set_next_free(void *handle, uint16_t qid, const memif_buffer_t *buf);
int mif_entry_tx(void *handle, uint32_t qid, memif_buffer_t *bufs, uint32_t count, uint16_t *tx);
int mif_entry_enqueue(void *handle, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                      uint16_t *enqueued);
int mif_entry_requeue(void *handle, memif_buffer_t *a, memif_buffer_t *b);

#endif
