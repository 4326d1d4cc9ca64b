/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lease keeps the regions of a connection mapped beyond its end, for callers that hand out views
 * of them that they cannot take back. Regions that are the program's are not covered.
 */
#ifndef MIF_LEASE_H
#define MIF_LEASE_H

#include "core/state.h"

struct mif_lease;

/* Inside a burst; NULL: out of memory. */
struct mif_lease *mif_lease_take(struct mif_connection *conn);
/* The last one that is dropped unmaps the regions. */
void mif_lease_drop(struct mif_lease *lease);

/* For mif_connection_release: leaves the regions to the leases. False when there is none. */
bool mif_lease_hand_over(struct mif_connection *conn);
/* In a forked child: a thread that is not in it may have held the lock. */
void mif_leases_forked(void);

#endif
