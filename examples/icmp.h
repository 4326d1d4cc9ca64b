/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ICMP_H
#define ICMP_H

#include <stddef.h>
#include <stdint.h>

/*
 * Replaces one packet with its answer in the same memory: an ARP request for `ip`, or an ICMP echo
 * request to it.
 *
 * packet, len: the packet as received. Nothing in it is trusted. Only its headers are read, and
 * each byte of them once, so it may be shared memory. ip: our address. mac: our hardware address;
 * NULL for an interface in mode ip, whose packets begin with the IP header.
 *
 * The checksum of an echo request is not verified but updated. So if the request's is wrong, the
 * answer's is wrong too, and the sender of the request finds out.
 *
 * Returns the bytes of the answer, at most `len`, or 0 if there is nothing to send. Then the packet
 * is unchanged.
 */
size_t icmp_respond(uint8_t *packet, size_t len, const uint8_t *ip, const uint8_t *mac);

#endif
