/* SPDX-License-Identifier: Apache-2.0 */
/* A master and a slave in one process, over either C API. */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdbool.h>

enum end { MASTER, SLAVE, ENDS };

/* All: 0 or an error code. */
int ends_start(const char *path);
int ends_create(enum end end);
int ends_delete(enum end end);
int ends_stop(void);
int ends_poll(int timeout);
bool ends_exist(enum end end);
bool ends_is_up(enum end end);
bool ends_are_up(void);
/* One packet each way. */
int ends_exchange(void);
int ends_set_polling(bool polling);
const char *ends_error(int err);
extern const int ends_no_memory, ends_no_fds;

#endif
