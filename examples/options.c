/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static bool parse_mode(const char *text, memif_interface_mode_t *mode)
{
    if (strcmp(text, "ethernet") == 0)
        *mode = MEMIF_INTERFACE_MODE_ETHERNET;
    else if (strcmp(text, "ip") == 0)
        *mode = MEMIF_INTERFACE_MODE_IP;
    else
        return false;
    return true;
}

static bool parse_queues(const char *text, uint8_t *queues)
{
    uint32_t number = 0;

    if (!parse_number(text, UINT8_MAX, &number) || number == 0)
        return false;
    *queues = (uint8_t)number;
    return true;
}

/* One option with its value. False when the value cannot be. */
static bool take(struct options *options, int option, char *value)
{
    switch (option) {
    case 's':
        options->socket = value;
        return true;
    case 'm':
        options->is_master = true;
        return true;
    case 'i':
        return parse_number(value, UINT32_MAX, &options->id);
    case 'q':
        return parse_queues(value, &options->queues);
    case 't':
        return parse_mode(value, &options->mode);
    default:
        return false;
    }
}

int options_parse(struct options *options, int argc, char **argv, const char *allowed,
                  const char *usage)
{
    int option;

    while ((option = getopt(argc, argv, allowed)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            exit(EXIT_SUCCESS);
        }
        if (take(options, option, optarg))
            continue;
        if (option != '?')
            fprintf(stderr, "%s: not a value for -%c: '%s'\n", argv[0], option, optarg);
        fputs(usage, stderr);
        exit(EXIT_FAILURE);
    }
    return optind;
}

void options_to_args(const struct options *options, memif_conn_args_t *args)
{
    memset(args, 0, sizeof(*args));
    args->socket_filename = (uint8_t *)options->socket;
    args->num_s2m_rings = options->queues;
    args->num_m2s_rings = options->queues;
    args->is_master = options->is_master;
    args->interface_id = options->id;
    args->mode = options->mode;
    snprintf((char *)args->interface_name, sizeof(args->interface_name), "memif%" PRIu32,
             options->id);
}
