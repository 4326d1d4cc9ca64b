/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a connection, for the control plane, one thread at a time:
 *
 *      open -> (map, adopt, add_queue) -> up -> down -> release -> ... -> close
 *
 * See state.h for who owns what, arena.h for what a handle is and for the tear-down protocol.
 * All return a core error code, unless said.
 */
#ifndef MIF_CONNECTION_H
#define MIF_CONNECTION_H

#include "core/state.h"

/* A new handle, never NULL on success. interrupt may be NULL. */
int mif_connection_open(void **handle, struct mif_poller *poller, mif_interrupt_fn *interrupt,
                        void *private_ctx);
/* Packets of more than so many bytes, MIF_MAX_PACKET unless set, end the connection that brings
 * them. Before queues are added. */
void mif_connection_limit(void *handle, uint32_t max_packet);
/* Ends a handle. The connection must have been released. */
void mif_connection_close(void *handle);
/* Opens all queues to bursts. control_fd is what mif_fault shuts down. */
int mif_connection_up(void *handle, int control_fd);
/* Closes all queues to bursts and waits until none is inside. Buffers stay readable. */
void mif_connection_down(void *handle);
/* Unmaps and frees what map and add_queue took. The connection must be down. Whatever the code, it
 * is released; a region that the kernel would not unmap stays mapped. */
int mif_connection_release(void *handle);

#endif
