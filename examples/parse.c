/* SPDX-License-Identifier: Apache-2.0 */
#include "parse.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool parse_number(const char *text, uint32_t max, uint32_t *value)
{
    char *end = NULL;

    if (!isdigit((unsigned char)text[0])) /* strtoull takes a sign and leading blanks */
        return false;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || number > max)
        return false;
    *value = (uint32_t)number;
    return true;
}

bool parse_ip(const char *text, uint8_t *ip)
{
    struct in_addr address;

    if (inet_pton(AF_INET, text, &address) != 1)
        return false;
    memcpy(ip, &address.s_addr, sizeof(address.s_addr));
    return true;
}

bool parse_mode(const char *text, memif_interface_mode_t *mode)
{
    if (strcmp(text, "ethernet") == 0)
        *mode = MEMIF_INTERFACE_MODE_ETHERNET;
    else if (strcmp(text, "ip") == 0)
        *mode = MEMIF_INTERFACE_MODE_IP;
    else
        return false;
    return true;
}

bool parse_queues(const char *text, uint8_t *queues)
{
    uint32_t number = 0;

    if (!parse_number(text, UINT8_MAX, &number) || number == 0)
        return false;
    *queues = (uint8_t)number;
    return true;
}
