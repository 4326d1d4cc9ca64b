/* SPDX-License-Identifier: Apache-2.0 */
/* One end of a connection, and how to bring it up, with either C API. */
#ifndef BENCH_LINK_H
#define BENCH_LINK_H

#include "api.h"

#define LINK_MAX_RINGS 16

struct link_options {
    const char *path; /* of the socket */
    uint8_t rings;    /* in each direction */
    uint8_t log2_ring_size;
    uint16_t buffer_size;
    bool polling;
    uint32_t id;
};

struct link_end {
    const char *name;
    memif_conn_handle_t conn;
#if MEMIF_API == 4
    memif_socket_handle_t sock;
#endif
    const struct link_options *options;
    bool up;
    bool was_up;
    /* What packets that wait in a queue in interrupt mode lead to; NULL: nothing. */
    void (*on_packets)(void *context, uint16_t qid);
    void *context;
};

/* Ends the program with a message unless err is a success. */
void link_check(const char *what, int err);

/* Ends the program with a message: `call` failed at this end with `err`. */
_Noreturn void link_failed(const struct link_end *end, const char *call, int err);

/* Of a call in a burst: it may find no packet, no room, or no peer any more. */
static inline void link_must_work(const struct link_end *end, const char *call, int err)
{
    if (!api_ok(err) && err != MEMIF_ERR_DISCONNECTED)
        link_failed(end, call, err);
}

/* Once, before anything else. */
void link_start(void);

void link_open(struct link_end *end, const struct link_options *options, bool is_master);

/* Serves what happens to the end, for at most `timeout` milliseconds. Returns early when something
 * did; in the 1.0 API it serves all ends of the process. */
void link_serve(struct link_end *end, int timeout);

/* Until both, or `a` alone when `b` is NULL, are up; ends the program after 20 s. */
void link_wait(struct link_end *a, struct link_end *b);

void link_set_polling(struct link_end *end, bool polling);

void link_close(struct link_end *end);

/* After the last link_close. */
void link_stop(void);

/* File of the library that is being measured. */
const char *link_library(void);

#endif
