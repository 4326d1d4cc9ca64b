/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STOP_H
#define STOP_H

#include <stdbool.h>

/* From now on SIGINT and SIGTERM ask the program to stop, and end a wait that has begun. */
void stop_on_signals(void);

bool stop_requested(void);

#endif
