/* SPDX-License-Identifier: Apache-2.0 */
/* What queues have done, over all links of an interface. */
#ifndef MIF_COUNTERS_H
#define MIF_COUNTERS_H

#include "core/state.h"

/* Zeroes when the interface has no such queue. Any thread, at any time. Every function here takes
 * the lock of the queues. */
void mif_queue_totals(const void *handle, uint16_t qid, int is_tx, struct mif_totals *totals);

/* Keeps what a queue has counted for the next connection. */
void mif_totals_keep(struct mif_queue *q, bool is_tx);
/* The next interface in the cell of a handle begins at zero. */
void mif_totals_forget(const void *handle);

#endif
