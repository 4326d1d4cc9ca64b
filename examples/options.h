/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>

#include <libmemif.h>

#include "parse.h"

/* What the command line says about the interface to create. */
struct options {
    char *socket;
    bool is_master;
    uint8_t queues; /* in each direction */
    memif_interface_id_t id;
    memif_interface_mode_t mode;
};

/*
 * Reads the options among `allowed` (as for getopt) into `options`, whose fields are the defaults.
 * Prints `usage` and ends the program for -h and for options or values that are not valid.
 *
 * Returns the index in argv of the first argument that is no option.
 */
int options_parse(struct options *options, int argc, char **argv, const char *allowed,
                  const char *usage);

/* Fills in the arguments of memif_create. They point into `options`. */
void options_to_args(const struct options *options, memif_conn_args_t *args);

#endif
