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
 * Whatever takes longer than the deadline fails the test.
 *
 * Hooks run below the library, where a failed check must not jump out of: a hook notes what it saw
 * and the test judges it afterwards.
 */

#ifndef MEMIF_C_TESTS_PAIR_V4_H
#define MEMIF_C_TESTS_PAIR_V4_H

#include "environment.h"

#include <libmemif.h>

/* ---- control sockets ---- */

enum polling { LIBRARY_POLLS, APPLICATION_POLLS, POLLING_STYLES };

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

enum { ANY_VERSION = 0 };
/* Restricts the protocol to 256 or 512. */
void restrict_protocol(int version);

/* memif_create_socket at `name` in the test's folder; what it returned. */
int control_open(struct control *control, const char *name);
/* The same on any path. */
int control_open_at(struct control *control, const char *path);
void control_must_open(struct control *control, const char *name);
/* memif_delete_socket, which must leave no descriptor watched. */
void control_close(struct control *control);
/* For one that a callback of the test has deleted, with the same demand. */
void control_forget(struct control *control);
/* Serves one event, if one comes within `timeout` milliseconds; the library's answer. */
int control_turn(struct control *control, int timeout);
/* Serves an event on each open socket, if one comes soon; the first failure. */
int turn(void);

#define RUN_UNTIL(condition)                                                                       \
    do {                                                                                           \
        const struct timespec deadline_ = deadline_from_now();                                     \
        while (!(condition)) {                                                                     \
            ck_assert_msg(!is_past(&deadline_), "waited in vain for %s", #condition);              \
            ck_assert_int_eq(turn(), MEMIF_ERR_SUCCESS);                                           \
        }                                                                                          \
    } while (0)

/* ---- one end ---- */

struct end;
typedef void end_hook(struct end *end);
typedef void end_interrupt_hook(struct end *end, uint16_t qid);

struct end {
    /* Chosen by the test. */
    memif_conn_args_t args;
    end_hook *at_connect;
    end_hook *at_disconnect;
    end_interrupt_hook *at_interrupt; /* NULL: memif_create is given no on_interrupt */
    void *context;                    /* for the hooks */
    /* Kept by the helper. */
    memif_conn_handle_t conn;
    unsigned connects;
    unsigned disconnects;
    unsigned interrupts;
};

/* memif_create; what it returned. */
int end_create(struct end *end, const struct control *control);
void end_must_create(struct end *end, const struct control *control);
void end_delete(struct end *end);
static inline bool end_is_up(const struct end *end)
{
    return end->connects == end->disconnects + 1;
}
/* An interrupt hook that does nothing more than be counted. */
void count_interrupt(struct end *end, uint16_t qid);
/* What memif_get_details says, which must be all. The strings last until the next call. */
memif_details_t details_of(memif_conn_handle_t conn);

/* ---- a connected pair ---- */

struct shape {
    int version;
    enum polling polling;
    /* Zero means the default, as for the library. */
    uint8_t s2m_rings;
    uint8_t m2s_rings;
    uint8_t log2_ring_size;
    uint16_t buffer_size;
    uint16_t slave_buffer_size; /* the same */
    bool unfilled;              /* the slave's receive queues are left as they begin */
    uint16_t headroom;          /* of what they are filled with otherwise */
};

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
void pair_close(struct pair *pair);

/* ---- both versions, both directions: loop tests run _i from 0 to WAYS ---- */

struct flow {
    memif_conn_handle_t from;
    memif_conn_handle_t to;
    uint32_t capacity; /* buffers that the ring holds */
};

enum { VERSIONS = 2, WAYS = 4 };

static inline int version_of(int i)
{
    return i % VERSIONS == 0 ? 256 : 512;
}
/* Way i of the pair; `shape` is what it was opened with. */
struct flow flow_of(const struct pair *pair, const struct shape *shape, int i);

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
/* The same, and sends them. */
void send_packets(memif_conn_handle_t from, uint16_t qid, uint16_t count, uint32_t length,
                  uint32_t first_seed);
/* Receives exactly those, checks every byte, and leaves them with the caller: the number of
 * entries. */
uint16_t receive_packets(memif_conn_handle_t to, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                         uint32_t length, uint32_t first_seed);
/* The same, and gives them back. */
void expect_packets(memif_conn_handle_t to, uint16_t qid, uint16_t count, uint32_t length,
                    uint32_t first_seed);
void expect_nothing(memif_conn_handle_t to, uint16_t qid);

#endif
