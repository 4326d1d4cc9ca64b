/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The segment: shared memory in which a process shows its interfaces to others, such as
 * `memif top`. They find it among the descriptors in /proc/PID/fd, by the name of the memfd.
 * docs/reference/segment.md has the layout for readers; what it promises is marked here.
 *
 * Ownership. The control plane writes records, under its lock. The pages of the arena's queues are
 * pages of the segment, so the data path writes the counters where it always did and knows nothing
 * of this file. The seals let nobody else write: existing mappings may, and those are ours.
 *
 * The whole file is mapped before it is sealed (the window). Pages for queues are then moved from
 * the end of the window to the arena.
 */
#ifndef MIF_SEGMENT_H
#define MIF_SEGMENT_H

#include "core/state.h"

#define MIF_SEGMENT_NAME "libmemif-stats"
#define MIF_SEGMENT_LAYOUT 1

/* Texts end at a NUL byte or at the end of their field, where they may be cut off. */
struct mif_segment_header {
    char magic[8];           /* "memifsta" */
    uint32_t layout;         /* MIF_SEGMENT_LAYOUT */
    int32_t pid;             /* as the process sees itself; a forked child has another */
    uint64_t size;           /* of the file */
    uint32_t used;           /* records before this one may be in use */
    uint32_t record_size;    /* from one record to the next */
    uint64_t records;        /* offset in the file, as the next three */
    uint64_t pages;          /* uint32_t: by queue id, then by page */
    uint64_t rings;          /* struct mif_segment_ring: by block */
    uint64_t blocks;         /* of counters: struct mif_queue */
    uint32_t pages_per_id;   /* pages of blocks that one queue id can have */
    uint32_t pairs_per_page; /* a page has an rx and a tx block of so many interfaces */
    char api[16];            /* "1.0", "4.0" or "Python" */
    char version[32];        /* of the library */
};

enum mif_shown_link { MIF_SHOWN_NONE, MIF_SHOWN_HANDSHAKE, MIF_SHOWN_UP };

/* What the control plane tells of an interface. */
struct mif_shown {
    uint32_t id;
    uint8_t is_master;
    uint8_t mode;
    uint8_t link; /* enum mif_shown_link */
    uint8_t pad;
    uint16_t version; /* 256 or 512 while the link is up; else 0 */
    uint16_t rx_queues;
    uint16_t tx_queues; /* of the link that is or was up last */
    uint16_t pad2;
    uint32_t buffer_size;
    uint32_t links; /* that were up, so far */
    int32_t peer_pid;
    uint32_t peer_uid;
    uint32_t peer_gid;
    uint32_t pad3;
    uint64_t since; /* CLOCK_MONOTONIC in ns: when the link came up, or the last one ended */
    char name[32];
    char app_name[32];
    char peer_name[32]; /* of its interface */
    char peer_app_name[32];
    char path[384];
    char last_error[256];
};

/* One for each cell of the arena. */
struct mif_segment_record {
    _Atomic uint32_t sequence; /* odd while somebody writes the record, its rings or its queues */
    uint32_t in_use;
    uint64_t serial; /* no two interfaces of a process have the same */
    struct mif_shown shown;
    uint8_t pad[192];
};

/* Where the ring of a block is, while the link is up. */
struct mif_segment_ring {
    int32_t fd; /* of the region, in this process; -1 = not known */
    uint32_t offset;
    uint64_t pad;
};

/* Shows this process, unless the user does not want it or the kernel cannot: then all that follows
 * does nothing. `api` is a text of at most 15 bytes. Each call needs a mif_segment_close; the last
 * one removes the segment, and then no connection may be open. */
void mif_segment_open(const char *api);
void mif_segment_close(void);
/* Whether there is one. */
bool mif_segment_is_open(void);

/* ---- for the control plane, under its lock ---- */

void mif_segment_describe(const void *handle, const struct mif_shown *shown);
/* Of a queue that was added. */
void mif_segment_ring(const void *handle, uint16_t qid, int is_tx, int fd, uint32_t offset);

/* ---- for connection.c and queue.c ---- */

/* Around a change of queues that their counters do not survive, and of rings. They do not nest. */
void mif_segment_begin(const void *handle);
void mif_segment_end(const void *handle);
/* No ring of the connection has a descriptor any more. Between begin and end. */
void mif_segment_forget_rings(const void *handle);
/* The interface is over. */
void mif_segment_forget(const void *handle);

/* ---- for arena.c, under its lock ---- */

/* Puts pages of the segment in place of those at `at`, which are those of `qid` from `begin` on.
 * False: those are read-only now, or as they were. */
bool mif_segment_place(uint32_t qid, size_t begin, size_t bytes, void *at);
/* In a forked child: this one is the parent's. After mif_arena_forked. */
void mif_segment_forked(void);

#endif
