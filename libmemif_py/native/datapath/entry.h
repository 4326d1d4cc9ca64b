/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entry face: one buffer entry per descriptor. A flag links the entries of a packet, and the
 * application posts and returns buffers itself. The 4.0 API enters it with mif_call. What
 * each call does: libmemif4/libmemif.h. Codes: errors.h.
 *
 * The entries of a packet are handed out together: a receive burst ends before a packet that does
 * not fit into the rest of bufs, unless the burst has no packet yet.
 */
#ifndef MIF_ENTRY_H
#define MIF_ENTRY_H

#include "core/errors.h"
#include "libmemif.h"

#define MIF_FACE_ERROR(code) (code)
#include "datapath/chain.h"
#include "datapath/face.h"

extern const struct mif_face_calls mif_entry_calls_avx2;

int mif_entry_set_next_free(void *handle, uint16_t qid, const memif_buffer_t *buf);
int mif_entry_enqueue(void *handle, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                      uint16_t *enqueued);
int mif_entry_requeue(void *handle, memif_buffer_t *a, memif_buffer_t *b);

/* The slow paths: entry.c. */

/* Receives the packet at which a fast path stopped, and chains after it, into the entries from *n
 * on. */
enum mif_step mif_take_other(struct mif_queue *q, memif_buffer_t *bufs, uint32_t count,
                             uint32_t *n);
/* Reserves the packet at which a fast path stopped, whole or not at all. */
enum mif_step mif_reserve_other(struct mif_queue *q, memif_buffer_t *bufs, uint32_t size,
                                uint32_t *entries);
/* Sends the packet that begins at bufs, and maybe some after it; returns how many entries they
 * have. Returns 0 if an entry of the first is bad, which sets *err, or if its end is not in bufs;
 * it stays reserved. */
uint32_t mif_fill_other(struct mif_queue *q, const memif_buffer_t *bufs, uint32_t count, int *err);

#endif
