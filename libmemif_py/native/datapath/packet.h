/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet face: one buffer entry per packet, whatever number of slots the packet takes. The 1.0
 * API and the Python package enter it with mif_call. What each call does: libmemif.h.
 *
 * It is built twice, because the two count errors differently: the 1.0 API has numbers of its
 * own, Python (MIF_CORE_CODES) takes those of errors.h. The translation stays inside the calls, as
 * nearly all of them end in a constant.
 */
#ifndef MIF_PACKET_H
#define MIF_PACKET_H

#include "core/errors.h"
#include "libmemif.h"

#ifdef MIF_CORE_CODES
#define MIF_FACE_ERROR(code) (code)
#else
#define MIF_FACE_ERROR(code) mif_error_to_v1(code)
#endif
#include "datapath/chain.h"
#include "datapath/face.h"

extern const struct mif_face_calls mif_packet_calls_avx2;

/* Frees all slots that are reserved and not sent. The caller has entered the queue. */
void mif_packet_cancel(struct mif_queue *q);

/* Chooses how a receiving queue receives; mif_face_bind chooses by its mode. */
void mif_packet_bind_rx(struct mif_queue *q, bool as_polling);

/* The slow paths: packet.c. */

/* Receives into entry *n the packet at which a fast path stopped, and likewise some after it. */
enum mif_step mif_take_other(struct mif_queue *q, memif_buffer_t *bufs, uint32_t count,
                             uint32_t *n);
/* Looks for free slots and reserves the packet at which a fast path stopped. */
enum mif_step mif_reserve_other(struct mif_queue *q, memif_buffer_t *buf, uint32_t size,
                                uint32_t *entries);
/* Sends the packet of an entry, cut to the room that the entry has, and maybe some after it;
 * returns how many. Returns 0 if another packet has to be sent first. */
uint32_t mif_fill_other(struct mif_queue *q, const memif_buffer_t *bufs, uint32_t count, int *err);
/* Ends the oldest received packet, which is given back. Returns how many slots it took. */
uint32_t mif_packet_end(struct mif_queue *q);

#endif
