/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Both ends of a connection in one process, for tests.
 *
 *     struct pair pair = {0};
 *     pair_open(&pair, &(struct shape){.version = 512});
 *     ... bursts on pair.master.conn and pair.slave.conn ...
 *     pair_close(&pair);
 *
 * pair_open and pair_close initialise and clean up the library too. A test that needs other ends
 * calls start, end_create, end_delete and stop itself.
 */

#ifndef MEMIF_C_TESTS_PAIR_V1_H
#define MEMIF_C_TESTS_PAIR_V1_H

#include "pair.h"

/* ---- polling ---- */

/* What memif_control_fd_update_t was told, while the application polls. */
enum { FD_LOG_SIZE = 4096 };
struct fd_event {
    int fd;
    uint8_t events;
};
struct fd_log {
    struct fd_event events[FD_LOG_SIZE];
    size_t count;
    size_t watched;
    /* Answer event number `refused` with a failure; counted from 1, 0 refuses none. */
    size_t refused;
    void (*hook)(void);    /* called at the end of each event, or NULL */
    const char *violation; /* a rule of the interface that was broken, or NULL */
};
extern struct fd_log fd_log;

/* memif_init; `version` restricts the protocol to 256 or 512. */
void start(enum polling polling, int version);
int try_to_start(enum polling polling, int version);
/* memif_cleanup, which must leave no descriptor watched. */
void stop(void);
/* Serves one event, if one comes within `timeout` milliseconds; the library's answer. */
int turn(int timeout);

#define RUN_UNTIL(condition) RUN_BY(turn(10), condition)

/* ---- one end ---- */

/* memif_create on a socket called `name` in the test's folder; what it returned. */
int end_create(struct end *end, const char *name);
/* The same on any path. */
int end_create_at(struct end *end, const char *path);

/* ---- a connected pair ---- */

struct pair {
    struct end master;
    struct end slave;
};

void pair_open(struct pair *pair, const struct shape *shape);
/* Without start: creates both ends on a socket called `name` and runs until they are connected. */
void pair_connect(struct pair *pair, const struct shape *shape, const char *name);
void pair_delete(struct pair *pair);
void pair_close(struct pair *pair);

/* ---- packets ---- */

enum { MAX_BURST = UINT16_MAX };

/* Contents that can be told apart by their seed. */
void write_pattern(void *data, size_t length, uint32_t seed);
bool holds_pattern(const void *data, size_t length, uint32_t seed);

int queue_efd(memif_conn_handle_t conn, uint16_t qid);

#endif
