/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXCHANGE_H
#define EXCHANGE_H

/* After memif_init (NULL, ...): connects a slave to a master of the same process over the given
 * socket, sends one packet from each to the other, and deletes both. 0, or 1 after a line on stderr
 * that says what went wrong. */
int exchange(const char *socket_path);

#endif
