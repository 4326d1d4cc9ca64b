/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Both ends of a 4.0 connection in one process, for tests, over two control sockets.
 *
 *     struct pair pair = {0};
 *     pair_open(&pair, &(struct shape){.version = 512});
 *     ... bursts on pair.master.conn and pair.slave.conn ...
 *     pair_close(&pair);
 *
 * A test that needs other ends calls control_open, end_create, end_delete and control_close itself.
 */

#ifndef MEMIF_C_TESTS_PAIR_V4_H
#define MEMIF_C_TESTS_PAIR_V4_H

#include "pair.h"

/* ---- control sockets ---- */

/* What memif_control_fd_update_t was told. */
enum { FD_LOG_SIZE = 512 };
struct fd_log {
    memif_fd_event_t events[FD_LOG_SIZE];
    size_t count;
    size_t watched;
    /* Answer event number `refused` with a failure; counted from 1, 0 refuses none. */
    size_t refused;
    const char *violation; /* a rule of the interface that was broken, or NULL */
};

struct control;
typedef void control_hook(struct control *control);

struct control {
    /* Chosen by the test. Path, app_name and callback may stay empty. */
    memif_socket_args_t args;
    enum polling polling;
    control_hook *at_fd_event; /* called at the end of each, or NULL */
    /* Kept by the helper. */
    memif_socket_handle_t handle;
    char path[PATH_SIZE];
    struct fd_log log;
    int epoll_fd;
    struct control *next;
};

/* memif_create_socket at `name` in the test's folder; what it returned. */
int control_open(struct control *control, const char *name);
/* The same on any path. */
int control_open_at(struct control *control, const char *path);
void control_must_open(struct control *control, const char *name);
/* The first use of the library starts it, and what it opens then stays. */
void start_library(void);
/* memif_delete_socket, which must leave no descriptor watched. */
void control_close(struct control *control);
/* For one that a callback of the test has deleted, with the same demand. */
void control_forget(struct control *control);
/* Serves one event, if one comes within `timeout` milliseconds; the library's answer. */
int control_turn(struct control *control, int timeout);
/* Serves an event on each open socket, if one comes soon; the first failure. */
int turn(void);

#define RUN_UNTIL(condition) RUN_BY(turn(), condition)

/*
 * The log as text: "+a" a descriptor was announced, "-a" taken back. The letters name descriptors
 * in the order of their appearance, for numbers are used again.
 */
void expect_fd_log(const struct control *control, const char *expected);

/* ---- one end ---- */

/* memif_create; what it returned. */
int end_create(struct end *end, const struct control *control);
void end_must_create(struct end *end, const struct control *control);

/* ---- a connected pair ---- */

struct pair {
    struct control master_control;
    struct control slave_control;
    struct end master;
    struct end slave;
};

/* Opens both sockets, without interfaces. */
void pair_open_sockets(struct pair *pair, const struct shape *shape);
/* Creates both ends and runs until they are connected. */
void pair_connect(struct pair *pair, const struct shape *shape);
void pair_open(struct pair *pair, const struct shape *shape);
/* The program polls, for interrupts too. */
void pair_open_with_interrupts(struct pair *pair);
void pair_close(struct pair *pair);

/* ---- packets ---- */

/* Room for the largest burst, for tests to use. */
enum { MOST_ENTRIES = 1 << 14 };
extern memif_buffer_t buffers[MOST_ENTRIES];
extern memif_buffer_t others[MOST_ENTRIES];

/* The entries of one packet filled with the contents of `seed`, their lengths cut to `length`. */
void fill_packet(memif_buffer_t *bufs, uint16_t entries, uint32_t length, uint32_t seed);
/* Entries of the packet that begins at bufs, at most `count`. */
uint16_t entries_of_packet(const memif_buffer_t *bufs, uint16_t count);
/* True if the packet that begins at bufs has these contents, no more and no less. */
bool is_packet(const memif_buffer_t *bufs, uint16_t entries, uint32_t length, uint32_t seed);

/* Reserves packets and fills them with first_seed, first_seed + 1, ...; the number of entries. */
uint16_t reserve_packets(memif_conn_handle_t from, uint16_t qid, memif_buffer_t *bufs,
                         uint16_t count, uint32_t length, uint32_t first_seed);
/* As expect_packets, but leaves them with the caller: the number of entries. */
uint16_t receive_packets(memif_conn_handle_t to, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                         uint32_t length, uint32_t first_seed);
void expect_nothing(memif_conn_handle_t to, uint16_t qid);

#endif
