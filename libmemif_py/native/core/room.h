/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room in transmit rings: how much there is, and waiting for more. For the thread that sends on the
 * queue; each look is a burst of its own (mif_enter), so the connection can go down between two.
 */
#ifndef MIF_ROOM_H
#define MIF_ROOM_H

#include <stdint.h>

/* Slots that a burst could reserve now. A core error code: NOCONN, DISCONNECTED and QID as for
 * bursts. A ring in which the peer broke the rules ends the connection, as a burst would. */
int mif_room(const void *handle, uint16_t qid, uint32_t *slots);

/* Waits until there are `slots`. AGAIN: not within timeout_ms (-1: wait for ever). INVAL_ARG: the
 * ring never has so many. */
int mif_room_wait(const void *handle, uint16_t qid, uint32_t slots, int timeout_ms);

#endif
