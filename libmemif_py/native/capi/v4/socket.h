/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket objects. All of them are in a list, so that a handle can be checked without being
 * followed. The list and each call that is inside hold a reference; the last one to go frees the
 * object.
 */
#ifndef MIF_V4_SOCKET_H
#define MIF_V4_SOCKET_H

#include "capi/v4/api.h"

#include <stdint.h>

/* Memory of the program's allocator, not yet in the list. NULL when there is none. */
struct mif_v4_socket *mif_v4_socket_new(const memif_socket_args_t *args, void *private_ctx);
/* Puts a new one into the list and opens it. On failure it is freed. */
int mif_v4_socket_open(struct mif_v4_socket *sock, const struct itimerspec *timer);
/* The socket of a handle, kept until mif_v4_socket_release; NULL if there is none. */
struct mif_v4_socket *mif_v4_socket_hold(memif_socket_handle_t handle);
void mif_v4_socket_release(struct mif_v4_socket *sock);
/* Closes the poller and takes the socket out of the list: from now on the handle names nothing. */
void mif_v4_socket_close(struct mif_v4_socket *sock);

int64_t mif_v4_microseconds(struct timespec time);

#endif
