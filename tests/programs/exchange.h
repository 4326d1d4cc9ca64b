/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXCHANGE_H
#define EXCHANGE_H

/* What the programs of this folder do with the library, whichever its interface: exchange_v1.c is
 * for 1.0, exchange_v4.c for 4.0. All return a memif_err_t of that interface unless said. */

/* The first call. MEMIF_ERR_ALREADY when the library is in use already. The socket is that of
 * open_slave. */
int library_begin(const char *socket_path);

/* Connects a slave to a master of the same process over the given socket, sends one packet from
 * each to the other, and deletes both. 0, or 1 after a line on stderr that says what went wrong. */
int exchange(const char *socket_path);

/* A slave of its own, with nobody to connect to. Each of its attempts is an event for serve. */
int open_slave(const char *socket_path, void **conn);
int close_slave(void **conn);

/* A listening master with id 0 on the socket of library_begin, until the end. */
int open_master(const char *socket_path, void **conn);

/* One turn of polling, of so many milliseconds at most; -1: until something happens. */
int serve(int timeout);

/* The last call; it may come without library_begin. */
int library_end(void);

#endif
