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
 * calls start, end_create, end_delete and stop itself. Whatever takes longer than the deadline
 * fails the test.
 *
 * Hooks run below the library, where a failed check must not jump out of: a hook notes what it saw
 * and the test judges it afterwards.
 */

#ifndef MEMIF_C_TESTS_PAIR_V1_H
#define MEMIF_C_TESTS_PAIR_V1_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <libmemif.h>

/* ---- the test's own folder, removed when the process ends ---- */

enum { PATH_SIZE = 128 };

void path_in_folder(char path[PATH_SIZE], const char *name);
size_t files_in_folder(void);

/* ---- what the process holds ---- */

size_t open_fds(void);
/* Mappings of memory that was made to be shared. */
size_t shared_mappings(void);
size_t address_space_bytes(void);
/* Makes room for tests that need more than the usual 1024. */
void raise_fd_limit(void);

/* ---- polling ---- */

enum polling { LIBRARY_POLLS, APPLICATION_POLLS, POLLING_STYLES };

enum { ANY_VERSION = 0 };

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

struct timespec deadline_from_now(void);
bool is_past(const struct timespec *deadline);

#define RUN_UNTIL(condition)                                                                       \
    do {                                                                                           \
        const struct timespec deadline_ = deadline_from_now();                                     \
        while (!(condition)) {                                                                     \
            ck_assert_msg(!is_past(&deadline_), "waited in vain for " #condition);                 \
            ck_assert_int_eq(turn(10), MEMIF_ERR_SUCCESS);                                         \
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
    char path[PATH_SIZE];
    unsigned connects;
    unsigned disconnects;
    unsigned interrupts;
};

/* memif_create on a socket called `name` in the test's folder; what it returned. */
int end_create(struct end *end, const char *name);
/* The same on any path. */
int end_create_at(struct end *end, const char *path);
void end_delete(struct end *end);
static inline bool end_is_up(const struct end *end)
{
    return end->connects == end->disconnects + 1;
}
/* An interrupt hook that does nothing more than be counted. */
void count_interrupt(struct end *end, uint16_t qid);

/* ---- a connected pair ---- */

struct shape {
    int version;
    enum polling polling;
    /* Zero means the default, as for the library. */
    uint8_t s2m_rings;
    uint8_t m2s_rings;
    uint8_t log2_ring_size;
    uint16_t buffer_size;
};

struct pair {
    struct end master;
    struct end slave;
};

void pair_open(struct pair *pair, const struct shape *shape);
/* Without start: creates both ends on a socket called `name` and runs until they are connected. */
void pair_connect(struct pair *pair, const struct shape *shape, const char *name);
void pair_delete(struct pair *pair);
void pair_close(struct pair *pair);

/* ---- both versions, both directions: loop tests run _i from 0 to WAYS ---- */

struct flow {
    memif_conn_handle_t from;
    memif_conn_handle_t to;
    uint32_t capacity; /* packets that the ring holds */
};

enum { VERSIONS = 2, WAYS = 4 };

static inline int version_of(int i)
{
    return i % VERSIONS == 0 ? 256 : 512;
}
uint32_t ring_capacity(int version, uint8_t log2_ring_size);
/* Way i of the pair; `shape` is what it was opened with. */
struct flow flow_of(const struct pair *pair, const struct shape *shape, int i);

/* ---- packets ---- */

enum { MAX_BURST = 65535 };

/* Contents that can be told apart by their seed. */
void write_pattern(void *data, size_t length, uint32_t seed);
bool holds_pattern(const void *data, size_t length, uint32_t seed);

/* Sends `count` packets of `length` bytes on a queue, seeded first_seed, first_seed + 1, ... */
void send_packets(memif_conn_handle_t from, uint16_t qid, uint16_t count, uint32_t length,
                  uint32_t first_seed);
/* Receives exactly those, checks every byte, and gives them back. */
void expect_packets(memif_conn_handle_t to, uint16_t qid, uint16_t count, uint32_t length,
                    uint32_t first_seed);
/* True if fd can be read now. */
bool is_readable(int fd);
int queue_efd(memif_conn_handle_t conn, uint16_t qid);

#endif
