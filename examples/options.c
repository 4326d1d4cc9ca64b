/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Takes one option with its value. False if the value is not valid. */
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
