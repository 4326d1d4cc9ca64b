/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMIF_EXT_H
#define MEMIF_EXT_H

/*
 * libmemif extensions: what libmemif-py offers beyond libmemif, the same for its interfaces 1.0
 * and 4.0.
 *
 * Every function returns MEMIF_ERR_SUCCESS (0) or another memif_err_t, with the numbers of the
 * libmemif.h that this header includes. A NULL or unknown connection handle gives
 * MEMIF_ERR_NOCONN. A NULL argument that must not be NULL gives MEMIF_ERR_INVAL_ARG.
 *
 * No other libmemif has these functions. A program that also builds with others can ask the
 * compiler: __has_include(<memif_ext.h>).
 *
 * Structures may grow in later versions, at their end. So a function that fills one is told its
 * size, sizeof of the type: it writes no more than that, and zeroes where it knows less.
 *
 * Threads. memif_ext_create is a control function like memif_create. memif_ext_wait_room,
 * memif_ext_watch_room and memif_ext_get_room belong to the thread that sends on the queue. All
 * others may be called from any thread at any time, and do not disturb bursts.
 */

#include "libmemif.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The library that the program runs with. */
typedef struct memif_ext_library {
    const char *version;   /* of libmemif-py, such as "0.1.0" */
    const char *interface; /* the one that the program calls: "1.0" or "4.0" */
    const char *vectors;   /* the vector code that bursts use here: "avx2", "neon" or "none" */
    uint16_t protocol_min; /* the memif protocol versions that it speaks: from 256 */
    uint16_t protocol_max; /* to 512 */
} memif_ext_library_t;

/* A queue receives or transmits. */
typedef enum memif_ext_direction {
    MEMIF_EXT_RX = 0, /* the program receives */
    MEMIF_EXT_TX = 1  /* the program sends */
} memif_ext_direction_t;

/* What a queue has done since memif_create, over all connections of the interface. */
typedef struct memif_ext_counters {
    uint64_t packets;
    uint64_t bytes;
    uint64_t full; /* tx: requests for buffers that the ring had no room for, all or in part */
    uint64_t interrupts; /* tx: signals to the peer; none while it polls */
    uint64_t refused;    /* tx: entries that memif_tx_burst could not send as they were */
} memif_ext_counters_t;

/* A ring at one moment. */
typedef struct memif_ext_ring {
    uint32_t slots;   /* of the ring */
    uint32_t used;    /* slots with packets that the receiver has not given back */
    uint32_t packets; /* in these; one that is not complete yet counts as one */
    uint32_t entries; /* the most entries of a memif_buffer_t array that one packet may take */
} memif_ext_ring_t;

/*
 * The process at the other end of the control socket, as the kernel recorded it: a slave when it
 * connected, a master when it began to listen. A process or user that has no number in our
 * namespaces has pid 0, or uid and gid 65534. The pid may belong to another process by now: use it
 * for a log, not for a decision.
 */
typedef struct memif_ext_peer {
    pid_t pid;
    uid_t uid; /* the effective user */
    gid_t gid; /* the effective group */
} memif_ext_peer_t;

/*
 * Decides whether a peer may connect: 1 means yes, any other value no. `peer` is valid during the
 * call. private_ctx is what memif_ext_create was given.
 */
typedef int(memif_ext_allow_t)(const memif_ext_peer_t *peer, void *private_ctx);

/* Packets wait in a receive queue: memif_interrupt_t of 1.0, memif_on_interrupt_t of 4.0. */
typedef int(memif_ext_on_interrupt_t)(memif_conn_handle_t conn, void *private_ctx, uint16_t qid);

/*
 * Whether memory that its owner can take away, which is all but a sealed memfd, is accepted from a
 * peer. An access to memory that is gone raises SIGBUS.
 */
typedef enum memif_ext_unsealed {
    MEMIF_EXT_UNSEALED_TRUSTED = 0, /* the default: from root and from our own user */
    MEMIF_EXT_UNSEALED_NEVER = 1,
    MEMIF_EXT_UNSEALED_ALWAYS = 2
} memif_ext_unsealed_t;

/* Which numbers of memif_ext_options_t are to be used, as bits of its `set`. */
#define MEMIF_EXT_SET_SOCKET_MODE 0x01u
#define MEMIF_EXT_SET_SOCKET_UID 0x02u
#define MEMIF_EXT_SET_SOCKET_GID 0x04u
#define MEMIF_EXT_SET_UNSEALED 0x08u
#define MEMIF_EXT_SET_MAX_PACKET 0x10u
#define MEMIF_EXT_SET_TIMEOUT_MS 0x20u
#define MEMIF_EXT_SET_RETRY_MS 0x40u

/* What memif_conn_args_t has no room for. A number that is not named in `set` has its default. */
typedef struct memif_ext_options {
    uint32_t set;             /* MEMIF_EXT_SET_* */
    mode_t socket_mode;       /* master: permissions of the socket file, such as 0660 */
    uid_t socket_uid;         /* master: its owner */
    gid_t socket_gid;         /* master: its group */
    uint32_t unsealed;        /* memif_ext_unsealed_t */
    uint32_t max_packet;      /* bytes; a peer that sends a longer packet is disconnected */
    uint32_t timeout_ms;      /* until a peer must have completed the handshake; 10,000 */
    uint32_t retry_ms;        /* slave: until it tries again to connect, whatever others do */
    memif_ext_allow_t *allow; /* NULL: every peer that is good in all other respects */
} memif_ext_options_t;

/*
 * Tells which library the program runs with.
 *
 * library: out. Its strings are constants.
 * size: sizeof(memif_ext_library_t).
 */
int memif_ext_get_library(memif_ext_library_t *library, size_t size);

/*
 * Reads the counters of a queue.
 *
 * direction: whether the queue receives or transmits.
 * counters: out; zeroes for a queue that was never used.
 * size: sizeof(memif_ext_counters_t).
 *
 * Returns MEMIF_ERR_QID when qid is over 255.
 */
int memif_ext_get_counters(memif_conn_handle_t conn, memif_ext_direction_t direction, uint16_t qid,
                           memif_ext_counters_t *counters, size_t size);

/*
 * Tells how large a ring is and how full.
 *
 * direction: whether the queue receives or transmits.
 * ring: out.
 * size: sizeof(memif_ext_ring_t).
 *
 * Returns MEMIF_ERR_DISCONNECTED while there is no connection, MEMIF_ERR_QID when that has no such
 * queue.
 */
int memif_ext_get_ring(memif_conn_handle_t conn, memif_ext_direction_t direction, uint16_t qid,
                       memif_ext_ring_t *ring, size_t size);

/*
 * Tells who is at the other end.
 *
 * peer: out.
 * size: sizeof(memif_ext_peer_t).
 *
 * Returns MEMIF_ERR_DISCONNECTED while there is no connection.
 */
int memif_ext_get_peer(memif_conn_handle_t conn, memif_ext_peer_t *peer, size_t size);

/*
 * Tells why the last connection ended or could not be made.
 *
 * text: out, one line with a NUL behind it; empty when nothing has failed yet. What the peer said
 * of it is escaped where it cannot be printed. size: bytes of `text`, at least 1.
 *
 * Returns MEMIF_ERR_NOBUF_DET when the line was cut to fit.
 */
int memif_ext_get_last_error(memif_conn_handle_t conn, char *text, size_t size);

/*
 * Creates an interface as memif_create does, with more options.
 *
 * options: read during the call only. NULL: as memif_create.
 * size: sizeof(memif_ext_options_t).
 *
 * The other arguments are those of memif_create. `allow` is called before a peer is connected, with
 * the same private_ctx as the other callbacks. The environment variable LIBMEMIF_UNSEALED=never has
 * precedence over `unsealed`.
 *
 * Returns what memif_create returns, and MEMIF_ERR_INVAL_ARG for an option that cannot be used. The
 * debug lines (LIBMEMIF_DEBUG=1) say which and why.
 */
int memif_ext_create(memif_conn_handle_t *conn, memif_conn_args_t *args,
                     memif_connection_update_t *on_connect,
                     memif_connection_update_t *on_disconnect,
                     memif_ext_on_interrupt_t *on_interrupt, void *private_ctx,
                     const memif_ext_options_t *options, size_t size);

/*
 * Tells how many slots of a transmit ring memif_buffer_alloc could give out now.
 *
 * slots: out.
 */
int memif_ext_get_room(memif_conn_handle_t conn, uint16_t qid, uint32_t *slots);

/*
 * Waits until a transmit ring has room.
 *
 * packets: how many, of one buffer each.
 * timeout_ms: in milliseconds; -1 waits for ever, 0 does not wait.
 *
 * The thread sleeps. A receiver of this library that knows of this wakes it as soon as enough
 * buffers are given back. It knows once a memif_rx_burst had to look for packets: one that finds
 * enough of those that came before does not look. Until then, and with all other receivers, which
 * never tell, the thread looks again from time to time: the pace of the receiver so far decides how
 * soon, at least 10 microseconds and at most one millisecond later. Signals do not end the wait.
 *
 * Returns MEMIF_ERR_AGAIN when the time is up, MEMIF_ERR_INVAL_ARG when the ring never has so much
 * room, and MEMIF_ERR_DISCONNECTED when the connection ends meanwhile.
 */
int memif_ext_wait_room(memif_conn_handle_t conn, uint16_t qid, uint32_t packets, int timeout_ms);

/*
 * Tells whether a transmit ring has room, and if not, when to ask again: for programs that sleep in
 * poll or epoll.
 *
 * packets: how many, of one buffer each.
 * fd: an eventfd of the program, or another descriptor that 8 bytes can be written to.
 *
 * MEMIF_ERR_SUCCESS means that there is room; nothing will be written to fd. MEMIF_ERR_AGAIN means
 * that there is not: something will be written once, when there may be, and the program then calls
 * this function again. That is when enough buffers are given back, or about 20 milliseconds later,
 * with a receiver of this library that knows of this (see memif_ext_wait_room), and one millisecond
 * later with others. The program may use the queue and close fd meanwhile. A thread of the library
 * waits; each MEMIF_ERR_AGAIN starts one.
 *
 * Otherwise returns what memif_ext_wait_room returns, and MEMIF_ERR_NOMEM.
 */
int memif_ext_watch_room(memif_conn_handle_t conn, uint16_t qid, uint32_t packets, int fd);

#ifdef __cplusplus
}
#endif

#endif
