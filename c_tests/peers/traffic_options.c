/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of the traffic programs. */

#include "traffic_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: traffic -s SOCKET -r master|slave [-i ID] [-q S2M,M2S] [-b BUFFER-SIZE]\n"
    "               [-l LOG2-RING-SIZE] [-p polling|interrupt] [-n SEND] [-N EXPECT]\n"
    "               [-S mixed|jumbo|huge|BYTES] [-k SECRET] [-c] [-e] [-x]\n"
    "               [-w WINDOW] [-H HEADROOM] [-f wait|watch]\n"
    "  -n, -N  packets on each queue; default 0\n"
    "  -S      sizes: mixed is 60 to 1514, jumbo has some of 9000 as well, huge also of 65535\n"
    "  -c      goes on sending until stdin ends, and takes on a peer that was started anew\n"
    "  -e      sends back what comes in, unchecked\n"
    "  -x      the peer sends everything back: what comes in is our own\n"
    "  -w      with -x, packets of a queue that may be under way; default 128\n"
    "  -H      as slave of the 4.0 API: bytes left free before each received packet\n"
    "  -f      when a ring is full, wait for room or watch it, by memif_ext.h\n";

static _Noreturn void refuse(const char *what, const char *value)
{
    fprintf(stderr, "traffic: %s %s\n%s", what, value, usage);
    exit(2);
}

static uint32_t number(const char *text, uint32_t max)
{
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 10);

    if (end == text || *end != '\0' || value > max)
        refuse("not a number that can be:", text);
    return (uint32_t)value;
}

static void take_queues(struct options *options, char *text)
{
    char *comma = strchr(text, ',');

    if (comma == NULL)
        refuse("not two numbers:", text);
    *comma = '\0';
    options->num_s2m_rings = (uint8_t)number(text, MAX_QUEUES);
    options->num_m2s_rings = (uint8_t)number(comma + 1, MAX_QUEUES);
}

static void take_sizes(struct options *options, const char *text)
{
    bool is_huge = strcmp(text, "huge") == 0;

    if (is_huge)
        options->huge_every = 64;
    if (is_huge || strcmp(text, "jumbo") == 0)
        options->jumbo_every = 8;
    else if (strcmp(text, "mixed") != 0)
        options->fixed_size = number(text, LARGEST);
    if (options->fixed_size != 0 && options->fixed_size < HEADER)
        refuse("too small for a header:", text);
}

static bool is_choice(const char *text, const char *yes, const char *no)
{
    bool is_yes = strcmp(text, yes) == 0;

    if (!is_yes && strcmp(text, no) != 0)
        refuse("not a choice:", text);
    return is_yes;
}

static void take_option(struct options *options, int option, char *value)
{
    switch (option) {
    case 's':
        options->socket = value;
        break;
    case 'r':
        options->is_master = is_choice(value, "master", "slave");
        break;
    case 'i':
        options->interface_id = number(value, UINT32_MAX);
        break;
    case 'q':
        take_queues(options, value);
        break;
    case 'b':
        options->buffer_size = (uint16_t)number(value, UINT16_MAX);
        break;
    case 'l':
        options->log2_ring_size = (uint8_t)number(value, MAX_LOG2_RING_SIZE);
        break;
    case 'p':
        options->is_polling = is_choice(value, "polling", "interrupt");
        break;
    case 'n':
        options->send = number(value, UINT32_MAX);
        break;
    case 'N':
        options->expect = number(value, UINT32_MAX);
        break;
    case 'S':
        take_sizes(options, value);
        break;
    case 'w':
        options->window = number(value, UINT32_MAX);
        break;
    case 'H':
        options->headroom = (uint16_t)number(value, UINT16_MAX);
        break;
    case 'f':
        options->when_full = is_choice(value, "wait", "watch") ? WAIT : WATCH;
        break;
    case 'k':
        memcpy(options->secret, value, strnlen(value, sizeof(options->secret)));
        break;
    case 'c':
        options->is_continuous = true;
        break;
    case 'e':
        options->is_echo = true;
        break;
    case 'x':
        options->expects_echo = true;
        break;
    default:
        refuse("no such option, or it", "lacks its value");
    }
}

void take_options(struct options *options, int argc, char **argv)
{
    int option;

    while ((option = getopt(argc, argv, "s:r:i:q:b:l:p:n:N:S:k:cexw:H:f:")) != -1)
        take_option(options, option, optarg);
    if (optind != argc)
        refuse("not an option:", argv[optind]);
    if (options->socket == NULL)
        refuse("missing:", "-s");
}
