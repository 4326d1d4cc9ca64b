/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A poller: the file descriptors of a group of interfaces, and what happens when one is ready.
 *
 * Either the poller polls by itself (an epoll set), or the program does and learns of each fd
 * through `announce`. An interrupt fd leads straight to the program's callback; every other fd
 * belongs to the control plane and leads to `control`.
 *
 * Watches are kept in one table for all pollers, by fd, so that an event can be served by its fd
 * alone or by the context that came with its announcement.
 *
 * The struct stays allocated for the life of the process or until mif_poller_free; open and close
 * start and end its use. Closing wakes every thread that is inside mif_poller_poll and waits for
 * it, except for the closing thread itself.
 */
#ifndef MIF_POLLER_H
#define MIF_POLLER_H

#include "core/allocator.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The event bits of both C APIs. */
#define MIF_EVENT_READ 1u
#define MIF_EVENT_WRITE 2u
#define MIF_EVENT_ERROR 4u
#define MIF_EVENT_DEL 8u

enum mif_watch_kind { MIF_WATCH_NONE, MIF_WATCH_CONTROL, MIF_WATCH_INTERRUPT };

struct mif_poller;

/* The program's fd callback; non-zero = it failed. The context is a number, not an address: it
 * names this watch of the fd and no later one. */
typedef int mif_announce_fn(struct mif_poller *poller, int fd, uint32_t events, void *context);
/* The control plane; returns a core error code. */
typedef int mif_control_fn(uintptr_t poller, int fd, uint32_t events);

struct mif_watch {
    enum mif_watch_kind kind;
    uint16_t qid;
    void *handle;
    struct mif_poller *poller;
    mif_control_fn *control; /* the poller's */
    uint64_t serial;
};

struct mif_poller {
    int epoll_fd;  /* -1: the program polls */
    int cancel_fd; /* an eventfd; -1: the program polls */
    mif_announce_fn *announce;
    mif_control_fn *control;
    struct mif_allocator allocator;
    _Atomic uint32_t inside; /* threads that poll */
    atomic_bool open;
};

#define MIF_POLLER_INIT {.epoll_fd = -1, .cancel_fd = -1}

/* All return a core error code, unless said. */
int mif_poller_open(struct mif_poller *poller, mif_announce_fn *announce, mif_control_fn *control);
void mif_poller_close(struct mif_poller *poller);
/* In a forked child, for a poller of the parent's: closes the child's copies of its fds and does
 * not wait. Its calls give errors from then on. */
void mif_poller_abandon(struct mif_poller *poller);
/* On the heap, not yet open; NULL when out of memory. */
struct mif_poller *mif_poller_new(void);
void mif_poller_free(struct mif_poller *poller);

/* True when the program polls and learns of fds by `announce`. */
bool mif_poller_announces(const struct mif_poller *poller);
int mif_poller_watch(struct mif_poller *poller, int fd, enum mif_watch_kind kind, void *handle,
                     uint16_t qid);
/* Must be called before the fd is closed. Whatever it returns, the fd is not watched any more. */
int mif_poller_unwatch(struct mif_poller *poller, int fd);
/* Serves one ready fd; BAD_FD when nobody watches it. */
int mif_poller_dispatch(int fd, uint32_t events);
/* The same by the context of its announcement; INVAL_ARG for one that is outdated or made up. */
int mif_poller_dispatch_context(const void *context, uint32_t events);
/* Waits up to timeout ms (-1 = for ever) and serves one ready fd. SUCCESS, POLL_CANCEL, an error,
 * or -1 when a signal ended the wait. */
int mif_poller_poll(struct mif_poller *poller, int timeout);
/* Makes the running or next mif_poller_poll return POLL_CANCEL. */
int mif_poller_cancel(struct mif_poller *poller);

/* In a forked child: begins with no watches. See mif_start_over. */
void mif_watches_init(void);

/* A timer that the control plane arms. */
int mif_timer_open(int *fd);
/* Fires once after `microseconds` (0 = as soon as possible); negative = never. */
int mif_timer_arm(int fd, int64_t microseconds);
/* Reads the expiry, so that the fd is not readable any more. */
void mif_timer_read(int fd);

#endif
