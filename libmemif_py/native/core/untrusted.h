/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors from peers that are not trusted.
 *
 * A peer can send any descriptor, and closing one may take for ever: close(2) of a file on FUSE
 * waits until its daemon answers FLUSH, and not even SIGKILL ends that thread; closing the last
 * reference to a socket with SO_LINGER waits until its data is sent. Descriptors that were sent but
 * not received are dropped when the control socket is closed. That close waits for lingering
 * sockets, but not for FUSE.
 *
 * So no descriptor of such a peer is received, or dropped, by a thread of the program or in the
 * program's descriptor table:
 *
 *  - A message is peeked at first (MSG_PEEK without a control buffer, which takes no descriptors).
 * A message that must not have descriptors and has some is never received.
 *  - The control socket is closed by a thread that has a descriptor table of its own and ends: when
 * a thread exits, the kernel does not wait for lingering sockets, and descriptors that were never
 *    received cause no FLUSH.
 *  - A message that must have a descriptor is received by such a thread too. It passes on one
 *    descriptor of the right kind, memory or an eventfd, whose close never waits. It closes all
 *    others, and only there can it hang. A few hanging threads are tolerated; then no more messages
 *    with descriptors are received.
 *
 * One thread stays. It begins its own table (with close_range or, where that is denied, unshare)
 * and keeps nothing in it but its end of a socket pair. For each job it starts a thread, which
 * copies this almost empty table.
 */
#ifndef MIF_UNTRUSTED_H
#define MIF_UNTRUSTED_H

#include <stdint.h>

enum mif_fd_kind { MIF_FD_ANY, MIF_FD_MEMORY, MIF_FD_EVENTFD };

/* The longest message: one byte more than the protocol's, so that a longer one shows. */
#define MIF_UNTRUSTED_MESSAGE 129

/* Sent on `reply`, with the descriptor if it is the only one and of the right kind. */
struct mif_untrusted_reply {
    int32_t error;   /* errno of the attempt to receive */
    uint32_t fds;    /* that came with the message */
    uint32_t length; /* of data; 0 without an error: the peer has closed the connection */
    uint8_t data[MIF_UNTRUSTED_MESSAGE];
};

/* Takes over a socket and closes it. */
void mif_untrusted_close(int sock);
/* Has a thread receive one message from `sock` and send a struct mif_untrusted_reply on `reply`.
 * The thread uses duplicates; both stay the caller's. If `reply` ends without a message, receiving
 * failed. A core error code. */
int mif_untrusted_receive(int sock, int reply, int kind);
/* One more untrusted peer, one less. The thread that stays starts when it is needed. It ends with
 * the last peer, after the jobs that were begun. */
void mif_untrusted_begin(void);
void mif_untrusted_end(void);
/* In a forked child, which does not have the threads. */
void mif_untrusted_forked(void);

#endif
