/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entry face: one buffer entry per descriptor, chains flagged, the application posts and
 * returns buffers itself. Serves the 4.0 interface, which enters it with mif_call. Semantics of
 * each call: libmemif4/libmemif.h. Codes: errors.h.
 *
 * The entries of a packet are handed out together: a receive burst ends before a packet that does
 * not fit into what is left of bufs, unless it would be the only one.
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

/* What the fast paths leave to entry.c. */

/* Receives the one packet that a run stopped at, from entry *n on. */
enum mif_step mif_take_other(struct mif_queue *q, memif_buffer_t *bufs, uint32_t count,
                             uint32_t *n);
/* Reserves the one packet that a run stopped at, or none of it. */
enum mif_step mif_reserve_other(struct mif_queue *q, memif_buffer_t *bufs, uint32_t size,
                                uint32_t *entries);
/* Sends the packet that begins at bufs; returns how many entries it has. 0: the first bad one is
 * before its end, which is an error, or its end is not in bufs; it stays reserved. */
uint32_t mif_fill_other(struct mif_queue *q, const memif_buffer_t *bufs, uint32_t count, int *err);

#endif
