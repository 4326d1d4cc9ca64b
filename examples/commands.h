/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COMMANDS_H
#define COMMANDS_H

#include <stdbool.h>

#include "options.h"

/* Carries out one line that was typed; `defaults` is for new connections. False: exit. */
bool command_run(char *line, const struct options *defaults);

#endif
