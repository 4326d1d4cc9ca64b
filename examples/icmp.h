/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ICMP_H
#define ICMP_H

#include <stddef.h>
#include <stdint.h>

/*
 * Answers one packet: an ARP request for `ip` or an ICMP echo request to it.
 *
 * in, len: the packet as received. Nothing in it is trusted. Only its headers are read, and each
 *     byte of them once, so it may be shared memory.
 * out: room for the answer, which is never longer than the packet. It may be shared memory. It may
 *     be `in`: then the answer replaces the packet, and its payload stays where it is.
 * ip: our address. mac: our hardware address; NULL for an interface in mode ip, whose packets begin
 *     with the IP header.
 *
 * The checksum of an echo request is not verified but updated. So if the request's is wrong, the
 * answer's is wrong too, and the sender of the request finds out.
 *
 * Returns the bytes of the answer, or 0 if there is nothing to send. Then `out` is unchanged.
 */
size_t icmp_respond(const uint8_t *in, size_t len, uint8_t *out, const uint8_t *ip,
                    const uint8_t *mac);

#endif
