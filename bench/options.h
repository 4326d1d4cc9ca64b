/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of the programs here: `--name value`, numbers and words only. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct option_spec {
    const char *name; /* without the dashes */
    const char *help; /* one line */
    uint32_t *number; /* one of these three is set */
    const char **text;
    bool *flag; /* takes no value */
};

/* Ends the program on --help and on what it does not know. `specs` ends with a NULL name. */
void options_parse(int argc, char **argv, const struct option_spec *specs);

/* Keeps the calling thread on one processor; ends the program if that cannot be. */
void options_pin(uint32_t cpu);

/* A socket path in a new folder, removed when the program ends. */
const char *options_own_socket(void);

#endif
