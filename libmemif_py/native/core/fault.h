/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the data path finds wrong with a peer, and how the control plane learns of it: the control
 * socket is shut down for reading, so the control plane wakes up and finds the reason here.
 */
#ifndef MIF_FAULT_H
#define MIF_FAULT_H

#include "core/state.h"

/* The peer broke the rules: notes why and has the control plane close the connection. Inside a
 * burst; the reason must be a string constant. The first fault of a connection is kept. */
__attribute__((cold)) void mif_fault(struct mif_queue *q, const char *reason);
/* The same of a packet that has at least `length` bytes, more than are received. */
__attribute__((cold)) void mif_fault_too_long(struct mif_queue *q, uint64_t length);

/* What the data path found wrong with the peer, or NULL. */
const char *mif_connection_fault(void *handle);

#endif
