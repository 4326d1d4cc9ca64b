/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors from peers that are not trusted.
 *
 * A peer can send any descriptor, and to get rid of one may take for ever: close(2) of a file on
 * FUSE waits until its daemon answers FLUSH, with a thread that not even SIGKILL ends; the last
 * reference to a socket with SO_LINGER waits until it has sent its data. Descriptors that were sent
 * and not received are dropped by whoever closes the socket, which waits for the second, not for
 * the first.
 *
 * So no descriptor of such a peer is received, or dropped, by a thread of the program or with the
 * program's descriptor table:
 *
 *  - a message is looked at first (MSG_PEEK without a control buffer, which takes no descriptors).
 * One that must not have descriptors and has some is never received;
 *  - its socket is closed by a thread that has a descriptor table of its own and ends: in the exit
 * of a thread the kernel does not wait for lingering sockets, and what was never received has no
 *    FLUSH;
 *  - a message that has to have one is received by such a thread too, which passes on one
 * descriptor of the right kind, memory or an eventfd, whose close never waits. It closes all
 * others, and only that can leave it waiting; a few such threads are borne, then nothing more is
 * received here.
 *
 * A table of its own (close_range or, where that is denied, unshare) is begun once, by a thread
 * that stays and keeps nothing in it but its end of a socket pair; for each job it makes a thread
 * that copies this almost empty table.
 */
#ifndef MIF_UNTRUSTED_H
#define MIF_UNTRUSTED_H

#include <stdint.h>

enum mif_fd_kind { MIF_FD_ANY, MIF_FD_MEMORY, MIF_FD_EVENTFD };

/* The longest message: one byte more than the protocol's, so that a longer one shows. */
#define MIF_UNTRUSTED_MESSAGE 129

/* What is sent on `reply`, with the descriptor if it is the only one and good. */
struct mif_untrusted_reply {
    int32_t error;   /* errno of the attempt to receive */
    uint32_t fds;    /* that came with the message */
    uint32_t length; /* of data; 0 and no error: the peer has closed the connection */
    uint8_t data[MIF_UNTRUSTED_MESSAGE];
};

/* Takes over a socket and closes it. */
void mif_untrusted_close(int sock);
/* Has one message received from `sock`, by a copy, and a struct mif_untrusted_reply sent on
 * `reply`, likewise; both stay the caller's. The end of `reply` without one: it could not be done.
 * A core error code. */
int mif_untrusted_receive(int sock, int reply, int kind);
/* One more peer that is not trusted, one less. With the last one the thread ends that stays, after
 * what was begun; it starts when it is needed. */
void mif_untrusted_begin(void);
void mif_untrusted_end(void);
/* In a forked child: the threads are the parent's. */
void mif_untrusted_forked(void);

#endif
