/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COMMANDS_H
#define COMMANDS_H

#include <stdbool.h>

#include "options.h"

/* Runs one command line. `defaults` has the options of new connections. False: exit. */
bool command_run(char *line, const struct options *defaults);

#endif
