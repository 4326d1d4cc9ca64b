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
    IP_ID = 4,
    IP_FRAGMENT = 6,
    IP_TTL = 8,
    IP_PROTOCOL = 9,
    IP_CHECKSUM = 10,
    IP_SOURCE = 12,
    IP_DESTINATION = 16,
    IP_HEADER = 20,
    IP_MAX_HEADER = 60,
    IP_NO_OPTIONS = 4 << 4 | IP_HEADER / 4, /* first byte of an IPv4 header without options */
    IP_MORE_OR_OFFSET = 0x3fff,
    IP_FIRST_MULTICAST = 224,
    IP_OUR_TTL = 64,
    PROTOCOL_ICMP = 1,

    ICMP_CHECKSUM = 2,
    ICMP_ID = 4,
    ICMP_HEADER = 8,
    ICMP_ECHO_REPLY = 0,
    ICMP_ECHO_REQUEST = 8,

    /* All that is read to answer a packet: the longest headers. */
    MAX_HEAD = ETHERNET_HEADER + IP_MAX_HEADER + ICMP_HEADER
};

/* A request: `head` is a private copy of its first bytes, `packet` the memory that the peer can
 * change at any moment. The answer is written to `packet`, and not read again. */
struct request {
    const uint8_t *head;
    uint8_t *packet;
    size_t len;
};

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint32_t add_words(uint32_t sum, const uint8_t *from, size_t len)
{
    for (size_t i = 0; i < len; i += 2)
        sum += get16(from + i);
    return sum;
}

/* The Internet checksum of RFC 1071, from the sum of the words. */
static uint16_t checksum_of(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~(sum + (sum >> 16));
}

/* Answers the ARP request at the beginning of `request`. False if there is no reply. */
static bool answer_arp(const struct request *request, const uint8_t *ip, const uint8_t *mac)
{
    /* Ethernet, IPv4, lengths of both addresses, request */
    static const uint8_t kind[ARP_SENDER_MAC] = {0, 1, 8, 0, MAC_LEN, IP_LEN, 0, 1};
    const uint8_t *arp = request->head;
    uint8_t *out = request->packet;

    if (request->len < ARP_PACKET || memcmp(arp, kind, sizeof(kind)) != 0 ||
        memcmp(arp + ARP_TARGET_IP, ip, IP_LEN) != 0)
        return false;
    memcpy(out, kind, sizeof(kind));
    put16(out + ARP_OPERATION, ARP_REPLY);
    memcpy(out + ARP_TARGET_MAC, arp + ARP_SENDER_MAC, MAC_LEN + IP_LEN);
    memcpy(out + ARP_SENDER_MAC, mac, MAC_LEN);
    memcpy(out + ARP_SENDER_IP, ip, IP_LEN);
    return true;
}

/* A whole IPv4 packet with an echo request, sent to us, from an address that can be answered. */
static bool is_echo_request(const uint8_t *packet, size_t header, size_t total, const uint8_t *ip)
{
    const uint8_t *icmp = packet + header;

    return checksum_of(add_words(0, packet, header)) == 0 &&
           (get16(packet + IP_FRAGMENT) & IP_MORE_OR_OFFSET) == 0 && packet[IP_SOURCE] != 0 &&
           packet[IP_SOURCE] < IP_FIRST_MULTICAST && packet[IP_PROTOCOL] == PROTOCOL_ICMP &&
           memcmp(packet + IP_DESTINATION, ip, IP_LEN) == 0 && total >= header + ICMP_HEADER &&
           icmp[0] == ICMP_ECHO_REQUEST && icmp[1] == 0;
}

/* The header of an answer of `total` bytes, from the header of its request. */
static void put_ip_header(uint8_t *out, const uint8_t *packet, size_t total, const uint8_t *ip)
{
    uint32_t fixed = (IP_NO_OPTIONS << 8) + (IP_OUR_TTL << 8) + PROTOCOL_ICMP;
    uint32_t sum = fixed + packet[1] + (uint32_t)total + get16(packet + IP_ID);

    out[0] = IP_NO_OPTIONS;
    out[1] = packet[1];
    put16(out + IP_TOTAL_LENGTH, (uint16_t)total);
    memcpy(out + IP_ID, packet + IP_ID, 2);
    put16(out + IP_FRAGMENT, 0);
    out[IP_TTL] = IP_OUR_TTL;
    out[IP_PROTOCOL] = PROTOCOL_ICMP;
    /* The addresses change places, so their sum stays. */
    put16(out + IP_CHECKSUM, checksum_of(add_words(sum, packet + IP_SOURCE, (size_t)2 * IP_LEN)));
    memcpy(out + IP_SOURCE, ip, IP_LEN);
    memcpy(out + IP_DESTINATION, packet + IP_SOURCE, IP_LEN);
}

/* Only the type changes, so the checksum is updated as in RFC 1624, without reading the message. */
static void put_icmp_header(uint8_t *out, const uint8_t *icmp)
{
    uint32_t sum = (uint32_t)get16(icmp + ICMP_CHECKSUM) + (ICMP_ECHO_REQUEST << 8);

    put16(out, ICMP_ECHO_REPLY << 8);
    put16(out + ICMP_CHECKSUM, (uint16_t)(sum + (sum >> 16)));
    memcpy(out + ICMP_ID, icmp + ICMP_ID, ICMP_HEADER - ICMP_ID);
}

/* Answers the IP packet at the beginning of `request`. Returns the bytes of the reply, or 0. */
static size_t answer_ip(const struct request *request, const uint8_t *ip)
{
    const uint8_t *packet = request->head;
    size_t header = (size_t)(packet[0] & 0xf) * 4;
    size_t total = get16(packet + IP_TOTAL_LENGTH);

    if (packet[0] >> 4 != 4 || header < IP_HEADER || total > request->len ||
        !is_echo_request(packet, header, total, ip))
        return 0;
    uint8_t *out = request->packet;
    if (header > IP_HEADER) /* the sender's IP options are not ours to repeat */
        memmove(out + IP_HEADER + ICMP_HEADER, out + header + ICMP_HEADER,
                total - header - ICMP_HEADER);
    put_ip_header(out, packet, total - header + IP_HEADER, ip);
    put_icmp_header(out + IP_HEADER, packet + header);
    return total - header + IP_HEADER;
}

/* The destination MAC address is not compared with ours. A memif has only one peer, so it is enough
 * to compare the IP address. */
static size_t answer_ethernet(const struct request *frame, const uint8_t *ip, const uint8_t *mac)
{
    uint16_t type = get16(frame->head + ETHERNET_TYPE);
    size_t len = 0;

    if (frame->len < ETHERNET_HEADER || (frame->head[ETHERNET_SOURCE] & 1) != 0)
        return 0;
    const struct request packet = {frame->head + ETHERNET_HEADER, frame->packet + ETHERNET_HEADER,
                                   frame->len - ETHERNET_HEADER};
    if (type == ETHERTYPE_ARP)
        len = answer_arp(&packet, ip, mac) ? ARP_PACKET : 0;
    else if (type == ETHERTYPE_IP)
        len = answer_ip(&packet, ip);
    if (len == 0)
        return 0;
    memcpy(frame->packet, frame->head + ETHERNET_SOURCE, MAC_LEN);
    memcpy(frame->packet + ETHERNET_SOURCE, mac, MAC_LEN);
    return ETHERNET_HEADER + len;
}

size_t icmp_respond(uint8_t *packet, size_t len, const uint8_t *ip, const uint8_t *mac)
{
    uint8_t head[MAX_HEAD];
    size_t copied = len < MAX_HEAD ? len : MAX_HEAD;
    const struct request request = {head, packet, len};

    memcpy(head, packet, copied);
    memset(head + copied, 0, MAX_HEAD - copied);
    return mac == NULL ? answer_ip(&request, ip) : answer_ethernet(&request, ip, mac);
}
