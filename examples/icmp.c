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
    IP_MAX_HEADER = 60,
    IP_NO_OPTIONS = 4 << 4 | IP_HEADER / 4, /* first byte of an IPv4 header without options */
    IP_MORE_OR_OFFSET = 0x3fff,
    IP_FIRST_MULTICAST = 224,
    PROTOCOL_ICMP = 1,

    ICMP_CHECKSUM = 2,
    ICMP_HEADER = 8,
    ICMP_ECHO_REPLY = 0,
    ICMP_ECHO_REQUEST = 8,

    /* All that is read to answer a packet: the longest headers. */
    MAX_HEAD = ETHERNET_HEADER + IP_MAX_HEADER + ICMP_HEADER
};

/* The answer to one packet: its headers, and the part of the packet that follows them. */
struct answer {
    uint8_t head[MAX_HEAD];
    size_t head_len;
    size_t payload; /* offset in the packet */
    size_t payload_len;
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

/* The checksum of RFC 1071 over an IP header. It is 0 if the header contains its own correct
 * checksum. */
static uint16_t header_checksum(const uint8_t *header, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i += 2)
        sum += get16(header + i);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~(sum + (sum >> 16));
}

/* Turns the ARP request at `arp` into its reply. False if there is no reply. */
static bool answer_arp(uint8_t *arp, size_t len, const uint8_t *ip, const uint8_t *mac)
{
    /* Ethernet, IPv4, lengths of both addresses, request */
    static const uint8_t request[ARP_SENDER_MAC] = {0, 1, 8, 0, MAC_LEN, IP_LEN, 0, 1};

    if (len < ARP_PACKET || memcmp(arp, request, sizeof(request)) != 0 ||
        memcmp(arp + ARP_TARGET_IP, ip, IP_LEN) != 0)
        return false;
    put16(arp + ARP_OPERATION, ARP_REPLY);
    memcpy(arp + ARP_TARGET_MAC, arp + ARP_SENDER_MAC, MAC_LEN);
    memcpy(arp + ARP_TARGET_IP, arp + ARP_SENDER_IP, IP_LEN);
    memcpy(arp + ARP_SENDER_MAC, mac, MAC_LEN);
    memcpy(arp + ARP_SENDER_IP, ip, IP_LEN);
    return true;
}

/* A whole IPv4 packet with an echo request, sent to us, from an address that can be answered. */
static bool is_echo_request(const uint8_t *packet, size_t header, size_t total, const uint8_t *ip)
{
    const uint8_t *icmp = packet + header;

    return header_checksum(packet, header) == 0 &&
           (get16(packet + IP_FRAGMENT) & IP_MORE_OR_OFFSET) == 0 && packet[IP_SOURCE] != 0 &&
           packet[IP_SOURCE] < IP_FIRST_MULTICAST && packet[IP_PROTOCOL] == PROTOCOL_ICMP &&
           memcmp(packet + IP_DESTINATION, ip, IP_LEN) == 0 && total >= header + ICMP_HEADER &&
           icmp[0] == ICMP_ECHO_REQUEST && icmp[1] == 0;
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
    put16(packet + IP_CHECKSUM, 0);
    put16(packet + IP_CHECKSUM, header_checksum(packet, IP_HEADER));
}

/* Only the type changes, so the checksum is updated as in RFC 1624, without reading the message. */
static void put_icmp_header(uint8_t *icmp)
{
    uint32_t sum = (uint32_t)get16(icmp + ICMP_CHECKSUM) + (ICMP_ECHO_REQUEST << 8);

    icmp[0] = ICMP_ECHO_REPLY;
    put16(icmp + ICMP_CHECKSUM, (uint16_t)(sum + (sum >> 16)));
}

/* Turns the headers of an IP packet of `len` bytes, at `at` in the answer's head, into those of the
 * reply. False if there is no reply. */
static bool answer_ip(struct answer *answer, size_t at, size_t len, const uint8_t *ip)
{
    uint8_t *packet = answer->head + at;
    size_t header = (size_t)(packet[0] & 0xf) * 4;
    size_t total = get16(packet + IP_TOTAL_LENGTH);

    if (packet[0] >> 4 != 4 || header < IP_HEADER || total > len ||
        !is_echo_request(packet, header, total, ip))
        return false;
    answer->head_len = at + IP_HEADER + ICMP_HEADER;
    answer->payload = at + header + ICMP_HEADER;
    answer->payload_len = total - header - ICMP_HEADER;
    put_icmp_header(packet + header);
    if (header > IP_HEADER) /* the sender's IP options are not ours to repeat */
        memmove(packet + IP_HEADER, packet + header, ICMP_HEADER);
    put_ip_header(packet, total - header + IP_HEADER, ip);
    return true;
}

/* The destination MAC address is not compared with ours. A memif has only one peer, so it is enough
 * to compare the IP address. */
static bool answer_ethernet(struct answer *answer, size_t len, const uint8_t *ip,
                            const uint8_t *mac)
{
    uint8_t *frame = answer->head;
    uint16_t type = get16(frame + ETHERNET_TYPE);

    if (len < ETHERNET_HEADER || (frame[ETHERNET_SOURCE] & 1) != 0)
        return false;
    if (type == ETHERTYPE_ARP) {
        if (!answer_arp(frame + ETHERNET_HEADER, len - ETHERNET_HEADER, ip, mac))
            return false;
        answer->head_len = ETHERNET_HEADER + ARP_PACKET;
    } else if (type != ETHERTYPE_IP ||
               !answer_ip(answer, ETHERNET_HEADER, len - ETHERNET_HEADER, ip)) {
        return false;
    }
    memcpy(frame, frame + ETHERNET_SOURCE, MAC_LEN);
    memcpy(frame + ETHERNET_SOURCE, mac, MAC_LEN);
    return true;
}

size_t icmp_respond(const uint8_t *in, size_t len, uint8_t *out, const uint8_t *ip,
                    const uint8_t *mac)
{
    struct answer answer;
    size_t copied = len < MAX_HEAD ? len : MAX_HEAD;

    /* The peer can change the packet at any moment: check and answer a copy. */
    memcpy(answer.head, in, copied);
    memset(answer.head + copied, 0, MAX_HEAD - copied);
    answer.payload_len = 0;
    if (!(mac == NULL ? answer_ip(&answer, 0, len, ip) : answer_ethernet(&answer, len, ip, mac)))
        return 0;
    if (answer.payload_len > 0 && out + answer.head_len != in + answer.payload)
        memmove(out + answer.head_len, in + answer.payload, answer.payload_len);
    memcpy(out, answer.head, answer.head_len);
    return answer.head_len + answer.payload_len;
}
