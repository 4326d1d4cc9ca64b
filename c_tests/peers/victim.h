/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program for a hostile peer to attack, in either C API: victim_v1.c and
 * victim_v4.c. It polls by itself, has two masters and a slave, and sends back every packet:
 *
 *     FOLDER/good    master, id 0: the connection that nothing may disturb
 *     FOLDER/master  master, id 0, and id 1 with the secret "secret"
 *     FOLDER/slave   slave, id 0
 *
 * It says "ready", and then obeys lines on stdin, each answered with a line: "again" has the slave
 * connect at once, "rest" has it stay away. The end of stdin ends it.
 */
#ifndef MEMIF_C_TESTS_VICTIM_H
#define MEMIF_C_TESTS_VICTIM_H

#include <stdbool.h>
#include <stdint.h>

enum { RINGS = 2, LOG2_RING_SIZE = 4, BUFFER_SIZE = 2048 };

#define SECRET "secret"

/* What each generation does its own way. True when it went well. */
bool victim_open(const char *folder);
bool victim_again(void); /* the slave connects at once */
bool victim_rest(void);  /* and then stays away */
void victim_close(void);
/* The descriptor that was watched with `ptr` is ready. */
bool victim_serve(void *ptr);

/* For the program's poll set. */
int victim_watch(int fd, void *ptr);
int victim_unwatch(int fd);

/* Says on stderr what failed; false if it did. */
bool victim_good(const char *what, int err);

/* FOLDER/name, in memory that stays. */
char *victim_path(const char *folder, const char *name);

#endif
