/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room in transmit rings: how much there is, and waiting for more.
 *
 * A receiver does not signal when it gives buffers back. A sender that needs room looks again from
 * time to time, unless the receiver has promised to answer (MIF_RING_TELLS_ROOM). Then
 *
 *      sender                                          receiver
 *      ask.index = its index, ask.wanted = slots       (a burst) gives slots back, publishes
 *      publishes an impossible index                   (the next) reads the sender's index
 *      barrier on all processes that registered        ... impossible: takes ask.index instead
 *      looks at the ring once more                     room enough: wanted = 0, wakes the sender
 *      sleeps while wanted is as written, or           not yet: notes the question in wanted, and
 *      noted (futex)                                   looks again whenever it gives back
 *      publishes its index again
 *
 * So bursts of a receiver that nobody asks do no work for it: they check the index anyway. But a
 * receiver that knows of packets enough does not read it, so until the question is noted the sender
 * also looks from time to time, as with a receiver that does not answer. Either the sender's last
 * look, which comes after the barrier, finds what the receiver has published, or the receiver's
 * next look at the index, which comes after it too, finds the question. A receiver that sleeps
 * looks when it wakes up, so the sender signals it once.
 *
 * A program that sleeps elsewhere lets a thread of ours do the waiting (mif_room_watch). That
 * thread knows the futex and not the queue, which stays the program's: when it publishes, the
 * question is withdrawn, and the thread's sleep ends by its limit.
 *
 * ask.index is as little trusted as any index, and a sender that is woken without reason falls back
 * to looking. Noted or not, it looks every 20 milliseconds: a peer may die, or break its promise.
 */
#ifndef MIF_ROOM_H
#define MIF_ROOM_H

#include "core/state.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- the sender: for the thread that sends on the queue, outside of bursts ---- */

/* Slots that a burst could reserve now. A core error code: NOCONN, DISCONNECTED and QID as for
 * bursts. A ring in which the peer broke the rules ends the connection, as a burst would. */
int mif_room(const void *handle, uint16_t qid, uint32_t *slots);

/* Waits until there are `slots`. AGAIN: not within timeout_ms (-1: wait for ever). INVAL_ARG: the
 * ring never has so many. */
int mif_room_wait(const void *handle, uint16_t qid, uint32_t slots, int timeout_ms);

/* SUCCESS: there are `slots`. AGAIN: not yet; the eventfd `fd`, of which a copy is kept meanwhile,
 * is signalled when it is time to look again, after 21 milliseconds at the latest. */
int mif_room_watch(const void *handle, uint16_t qid, uint32_t slots, int fd);

/* Wakes a thread that waits there. For the tear-down, while the ring is mapped. */
void mif_room_wake(const struct mif_queue *q);

/* ---- the receiver, inside of a burst ---- */

/* The flags of a ring whose receiver answers: 0 where the barriers of senders do not reach us. */
uint16_t mif_room_promise(void);

/* The peer's index is impossible. True if the peer asks for room: its true index was read then, as
 * by mif_refresh, and the question answered, now or when buffers are given back. */
bool mif_room_asked(struct mif_queue *q);

/* After buffers were given back to a peer that asked. */
void mif_room_answer(struct mif_queue *q);

/* ---- for onlookers ---- */

/* What an index of the queue's ring is, or would be if its writer did not ask for room. */
uint16_t mif_room_index(const struct mif_queue *q, const _Atomic uint16_t *index);

#endif
