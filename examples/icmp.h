/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ICMP_H
#define ICMP_H

#include <stddef.h>
#include <stdint.h>

/*
 * Answers one packet: an ARP request for `ip` or an ICMP echo request to it.
 *
 * in, in_len: the packet as received; nothing about it is trusted, and each byte is read once.
 * out, out_size: memory of the caller's own for the answer, which is never longer than the packet.
 *     Not shared memory: the answer is worked out in place.
 * ip: our address.
 * mac: our hardware address; NULL for an interface in mode ip, whose packets begin with the IP
 *     header.
 *
 * Returns the bytes of the answer in `out`, or 0 when there is nothing to send.
 */
size_t icmp_respond(const uint8_t *in, size_t in_len, uint8_t *out, size_t out_size,
                    const uint8_t *ip, const uint8_t *mac);

/*
 * Answers one packet where it lies, which may be shared memory: only its headers are read and
 * changed. Arguments as above.
 *
 * Returns the bytes of the answer, `len` at most, or 0 when there is nothing to send or when the
 * packet is one for icmp_respond; it is unchanged then.
 */
size_t icmp_respond_in_place(uint8_t *packet, size_t len, const uint8_t *ip, const uint8_t *mac);

/* The Internet checksum of RFC 1071. 0 over data that contains its own, correct checksum. */
uint16_t icmp_checksum(const uint8_t *data, size_t len);

#endif
