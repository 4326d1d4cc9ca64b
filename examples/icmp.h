/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ICMP_H
#define ICMP_H

#include <stddef.h>
#include <stdint.h>

/*
 * Answers one packet: an ARP request for `ip` or an ICMP echo request to it.
 *
 * in, in_len: the packet as received. Nothing in it is trusted, and each byte is read once.
 * out, out_size: private memory of the caller for the answer, which is never longer than the
 * packet. It must not be shared memory, because the packet is copied there and checked. ip: our
 * address. mac: our hardware address; NULL for an interface in mode ip, whose packets begin with
 * the IP header.
 *
 * Returns the bytes of the answer in `out`, or 0 when there is nothing to send.
 */
size_t icmp_respond(const uint8_t *in, size_t in_len, uint8_t *out, size_t out_size,
                    const uint8_t *ip, const uint8_t *mac);

/*
 * Replaces one packet with its answer in the same memory, which may be shared. Reads and changes
 * only the headers. Arguments as above.
 *
 * Returns the bytes of the answer, at most `len`. Returns 0 and changes nothing if there is nothing
 * to send, or if only icmp_respond can answer the packet.
 */
size_t icmp_respond_in_place(uint8_t *packet, size_t len, const uint8_t *ip, const uint8_t *mac);

/* The Internet checksum of RFC 1071. It is 0 if the data contains its own correct checksum. */
uint16_t icmp_checksum(const uint8_t *data, size_t len);

#endif
