/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory barriers that one thread puts on others, so that bursts need none of their own: on all
 * threads of this process, for tear-down, and on all processes that registered for it, for senders
 * that read MASK_INT (see MIF_RING_FENCED).
 */
#ifndef MIF_BARRIER_H
#define MIF_BARRIER_H

#include <stdbool.h>
#include <stdint.h>

/* Finds out what the kernel has, and registers for the barriers of other processes. Once, and in a
 * forked child that starts over. */
void mif_barrier_init(void);

/* A full memory barrier on every running thread of the process. */
void mif_barrier_on_all_threads(void);

/* Whether a barrier can be put on all processes that registered for it. */
bool mif_barrier_reaches_peers(void);
/* Puts it there. The receiver's part of the promise that MIF_RING_FENCED makes, after MASK_INT was
 * cleared, and the sender's when it asks for room. */
void mif_barrier_on_peers(void);
/* Whether this process registered, so that the barriers of others reach it. */
bool mif_barrier_is_received(void);

/* The flags of a ring whose receiver polls and needs no barrier of ours: MASK_INT, MIF_RING_FENCED
 * and MIF_RING_TELLS_ROOM. Where this process could not register for the receivers' barriers it is
 * a value that flags never have. Set once, before the first queue. */
extern __attribute__((visibility("hidden"))) uint32_t mif_quiet_flags;

#endif
