/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for another thread that is about to come to its end. */
#ifndef MIF_BACKOFF_H
#define MIF_BACKOFF_H

/* For loops that look again and again: yields in the first MIF_YIELDS turns, then sleeps, because a
 * thread of SCHED_FIFO that yields lets no thread of lower priority run. */
enum { MIF_YIELDS = 100 };
void mif_backoff(unsigned turn);

#endif
