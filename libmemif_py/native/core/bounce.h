/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounce buffers. Those that packets no longer need are kept for the next ones, the last used
 * first: a burst of long packets from malloc is large enough that the C library would return it to
 * the kernel, and each packet would begin with page faults.
 */
#ifndef MIF_BOUNCE_H
#define MIF_BOUNCE_H

#include "core/state.h"

/* A queue keeps at most so many spare bytes. */
#define MIF_MAX_SPARE_BYTES (4u << 20)

/* A buffer of at least `length` bytes. NULL: no memory. */
struct mif_bounce *mif_bounce_take(struct mif_queue *q, uint32_t length);
/* NULL is allowed. */
void mif_bounce_give_back(struct mif_queue *q, struct mif_bounce *bounce);
/* At the end of the connection: those of packets, and the spare ones. */
void mif_bounce_free_all(struct mif_queue *q);

#endif
