/* SPDX-License-Identifier: Apache-2.0 */
#include "icmp.h"

#include <stdbool.h>
#include <string.h>

enum {
    MAC_LEN = 6,
    IP_LEN = 4,

    ETHERNET_SOURCE = 6,
    ETHERNET_TYPE = 12,
    ETHERNET_HEADER = 14,
    ETHERTYPE_IP = 0x0800,
    ETHERTYPE_ARP = 0x0806,

    ARP_OPERATION = 6,
    ARP_SENDER_MAC = 8,
    ARP_SENDER_IP = 14,
    ARP_TARGET_MAC = 18,
    ARP_TARGET_IP = 24,
    ARP_PACKET = 28,
    ARP_REPLY = 2,

    IP_TOTAL_LENGTH = 2,
    IP_FRAGMENT = 6,
    IP_TTL = 8,
    IP_PROTOCOL = 9,
    IP_CHECKSUM = 10,
    IP_SOURCE = 12,
    IP_DESTINATION = 16,
    IP_HEADER = 20,
    IP_NO_OPTIONS = 4 << 4 | IP_HEADER / 4, /* first byte of an IPv4 header without options */
    IP_MORE_OR_OFFSET = 0x3fff,
    IP_FIRST_MULTICAST = 224,
    PROTOCOL_ICMP = 1,

    ICMP_CHECKSUM = 2,
    ICMP_HEADER = 8,
    ICMP_ECHO_REPLY = 0,
    ICMP_ECHO_REQUEST = 8,

    /* the part of a frame that an answer changes: an ARP packet, or IP and ICMP headers */
    FRAME_HEAD = ETHERNET_HEADER + ARP_PACKET
};

/* Turns an IP packet into its answer. Returns the bytes of the answer, or 0. */
typedef size_t(ip_answer_t)(uint8_t *packet, size_t len, const uint8_t *ip);

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

uint16_t icmp_checksum(const uint8_t *data, size_t len)
{
    uint64_t sum = 0;

    for (size_t i = 0; i + 1 < len; i += 2)
        sum += get16(data + i);
    if (len % 2 != 0)
        sum += (uint64_t)data[len - 1] << 8;
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void put_checksum(uint8_t *data, size_t len, size_t at)
{
    put16(data + at, 0);
    put16(data + at, icmp_checksum(data, len));
}

/* Returns the bytes of the ARP reply that replaces the request at `arp`, or 0. */
static size_t answer_arp(uint8_t *arp, size_t len, const uint8_t *ip, const uint8_t *mac)
{
    /* Ethernet, IPv4, lengths of both addresses, request */
    static const uint8_t request[ARP_SENDER_MAC] = {0, 1, 8, 0, MAC_LEN, IP_LEN, 0, 1};

    if (len < ARP_PACKET || memcmp(arp, request, sizeof(request)) != 0 ||
        memcmp(arp + ARP_TARGET_IP, ip, IP_LEN) != 0)
        return 0;
    put16(arp + ARP_OPERATION, ARP_REPLY);
    memcpy(arp + ARP_TARGET_MAC, arp + ARP_SENDER_MAC, MAC_LEN);
    memcpy(arp + ARP_TARGET_IP, arp + ARP_SENDER_IP, IP_LEN);
    memcpy(arp + ARP_SENDER_MAC, mac, MAC_LEN);
    memcpy(arp + ARP_SENDER_IP, ip, IP_LEN);
    return ARP_PACKET;
}

/* A whole IPv4 packet with an ICMP message, sent to us, from an address that can be answered. */
static bool is_icmp_for_us(const uint8_t *packet, size_t header, size_t total, const uint8_t *ip)
{
    if (header < IP_HEADER || total < header + ICMP_HEADER)
        return false;
    if (icmp_checksum(packet, header) != 0)
        return false;
    if ((get16(packet + IP_FRAGMENT) & IP_MORE_OR_OFFSET) != 0)
        return false;
    if (packet[IP_SOURCE] == 0 || packet[IP_SOURCE] >= IP_FIRST_MULTICAST)
        return false;
    return packet[IP_PROTOCOL] == PROTOCOL_ICMP && memcmp(packet + IP_DESTINATION, ip, IP_LEN) == 0;
}

/* The header of an answer of `total` bytes, from the header of its request. */
static void put_ip_header(uint8_t *packet, size_t total, const uint8_t *ip)
{
    packet[0] = IP_NO_OPTIONS;
    put16(packet + IP_TOTAL_LENGTH, (uint16_t)total);
    put16(packet + IP_FRAGMENT, 0);
    packet[IP_TTL] = 64;
    memcpy(packet + IP_DESTINATION, packet + IP_SOURCE, IP_LEN);
    memcpy(packet + IP_SOURCE, ip, IP_LEN);
    put_checksum(packet, IP_HEADER, IP_CHECKSUM);
}

/* Returns the bytes of the echo reply that replaces the request at `packet`, or 0. */
static size_t answer_ip(uint8_t *packet, size_t len, const uint8_t *ip)
{
    if (len < IP_HEADER || packet[0] >> 4 != 4)
        return 0;
    size_t header = (size_t)(packet[0] & 0xf) * 4;
    size_t total = get16(packet + IP_TOTAL_LENGTH);
    if (total > len || !is_icmp_for_us(packet, header, total, ip))
        return 0;

    size_t icmp_len = total - header;
    uint8_t *icmp = packet + header;
    if (icmp[0] != ICMP_ECHO_REQUEST || icmp[1] != 0 || icmp_checksum(icmp, icmp_len) != 0)
        return 0;
    icmp[0] = ICMP_ECHO_REPLY;
    put_checksum(icmp, icmp_len, ICMP_CHECKSUM);

    /* The sender's IP options are not ours to repeat. */
    memmove(packet + IP_HEADER, icmp, icmp_len);
    put_ip_header(packet, IP_HEADER + icmp_len, ip);
    return IP_HEADER + icmp_len;
}

/* Like answer_ip, but only the first IP_HEADER + ICMP_HEADER bytes of the packet are at `head`. The
 * checksum of the message is updated without reading the message. So if the request's checksum was
 * wrong, the reply's is wrong too. */
static size_t answer_ip_head(uint8_t *head, size_t len, const uint8_t *ip)
{
    if (len < IP_HEADER + ICMP_HEADER || head[0] != IP_NO_OPTIONS)
        return 0;
    size_t total = get16(head + IP_TOTAL_LENGTH);
    if (total > len || !is_icmp_for_us(head, IP_HEADER, total, ip))
        return 0;

    uint8_t *icmp = head + IP_HEADER;
    if (icmp[0] != ICMP_ECHO_REQUEST || icmp[1] != 0)
        return 0;
    icmp[0] = ICMP_ECHO_REPLY;
    uint32_t sum = (uint32_t)get16(icmp + ICMP_CHECKSUM) + (ICMP_ECHO_REQUEST << 8);
    put16(icmp + ICMP_CHECKSUM, (uint16_t)(sum + (sum >> 16)));
    put_ip_header(head, total, ip);
    return total;
}

/* The destination MAC address is not compared with ours. A memif has only one peer, so it is enough
 * to compare the IP address. */
static size_t answer_ethernet(uint8_t *frame, size_t len, const uint8_t *ip, const uint8_t *mac,
                              ip_answer_t *answer_packet)
{
    if (len < ETHERNET_HEADER || (frame[ETHERNET_SOURCE] & 1) != 0)
        return 0;

    uint8_t *payload = frame + ETHERNET_HEADER;
    size_t answer = 0;
    switch (get16(frame + ETHERNET_TYPE)) {
    case ETHERTYPE_ARP:
        answer = answer_arp(payload, len - ETHERNET_HEADER, ip, mac);
        break;
    case ETHERTYPE_IP:
        answer = answer_packet(payload, len - ETHERNET_HEADER, ip);
        break;
    default:
        break;
    }
    if (answer == 0)
        return 0;
    memcpy(frame, frame + ETHERNET_SOURCE, MAC_LEN);
    memcpy(frame + ETHERNET_SOURCE, mac, MAC_LEN);
    return ETHERNET_HEADER + answer;
}

size_t icmp_respond(const uint8_t *in, size_t in_len, uint8_t *out, size_t out_size,
                    const uint8_t *ip, const uint8_t *mac)
{
    if (in_len == 0 || in_len > out_size)
        return 0;
    /* The peer can change `in` at any moment: check and answer a copy. */
    memcpy(out, in, in_len);
    return mac == NULL ? answer_ip(out, in_len, ip)
                       : answer_ethernet(out, in_len, ip, mac, answer_ip);
}

size_t icmp_respond_in_place(uint8_t *packet, size_t len, const uint8_t *ip, const uint8_t *mac)
{
    uint8_t head[FRAME_HEAD] = {0};

    /* The peer can change the packet at any moment: check and answer a copy. */
    memcpy(head, packet, len < FRAME_HEAD ? len : FRAME_HEAD);
    size_t answer = mac == NULL ? answer_ip_head(head, len, ip)
                                : answer_ethernet(head, len, ip, mac, answer_ip_head);
    memcpy(packet, head, answer < FRAME_HEAD ? answer : FRAME_HEAD);
    return answer;
}
