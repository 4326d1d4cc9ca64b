/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What both ends of a connection in one process have in common, whichever API they use: which
 * one is a matter of the <libmemif.h> that the compiler finds. Tests include pair_v1.h or
 * pair_v4.h.
 *
 * Hooks run below the library, where a failed check must not jump out of: a hook notes what it saw
 * and the test judges it afterwards.
 */

#ifndef MEMIF_C_TESTS_PAIR_H
#define MEMIF_C_TESTS_PAIR_H

#include "environment.h"

#include <libmemif.h>
#include <memif_ext.h>

/* ---- polling ---- */

enum polling { LIBRARY_POLLS, APPLICATION_POLLS, POLLING_STYLES };

enum { ANY_VERSION = 0 };
/* Restricts the protocol to 256 or 512. */
void restrict_protocol(int version);

/* What memif_control_fd_handler is told of epoll's events. */
uint8_t memif_events(uint32_t epoll_events);

/* Whatever takes longer than the deadline fails the test. */
#define RUN_BY(turn, condition)                                                                    \
    do {                                                                                           \
        const struct timespec deadline_ = deadline_from_now();                                     \
        while (!(condition)) {                                                                     \
            ck_assert_msg(!is_past(&deadline_), "waited in vain for %s", #condition);              \
            ck_assert_int_eq(turn, MEMIF_ERR_SUCCESS);                                             \
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
    end_interrupt_hook *at_interrupt;   /* NULL: memif_create is given no on_interrupt */
    void *context;                      /* for the hooks */
    const memif_ext_options_t *options; /* NULL: memif_create makes it, not memif_ext_create */
    /* Kept by the helper. */
    memif_conn_handle_t conn;
    char path[PATH_SIZE]; /* of its socket; 1.0 only, a struct control has it in 4.0 */
    unsigned connects;
    unsigned disconnects;
    unsigned interrupts;
};

/* memif_create; what it returned. `args` are overwritten: the library keeps a copy of its own. */
int end_create_with(struct end *end, memif_conn_args_t *args);
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
    /* 4.0 only */
    uint16_t slave_buffer_size; /* zero: as the other's */
    bool unfilled;              /* the slave's receive queues are left as they begin */
    uint16_t headroom;          /* of what they are filled with otherwise */
};

/* Sets the arguments of an end. */
void shape_end(struct end *end, const struct shape *shape, bool is_master);

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
uint32_t ring_capacity(int version, uint8_t log2_ring_size);
struct pair;
/* Way i of the pair; `shape` is what it was opened with. */
struct flow flow_of(const struct pair *pair, const struct shape *shape, int i);
struct flow flow_between(const struct end *master, const struct end *slave,
                         const struct shape *shape, int i);

/* ---- packets ---- */

/* Sends `count` packets of `length` bytes on a queue, seeded first_seed, first_seed + 1, ... */
void send_packets(memif_conn_handle_t from, uint16_t qid, uint16_t count, uint32_t length,
                  uint32_t first_seed);
/* Receives exactly those, checks every byte, and gives them back. */
void expect_packets(memif_conn_handle_t to, uint16_t qid, uint16_t count, uint32_t length,
                    uint32_t first_seed);
/* Both, again and again, on queue 0: in bursts that do not divide the ring, so that each begins in
 * another slot. */
void send_around(const struct flow *flow, uint32_t packets, uint32_t length);

#endif
