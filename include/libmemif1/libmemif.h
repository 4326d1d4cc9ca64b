/* SPDX-License-Identifier: Apache-2.0 */
#ifndef _LIBMEMIF_H_
#define _LIBMEMIF_H_

/*
 * libmemif 1.0: packets between processes over shared memory.
 *
 * Every function returns MEMIF_ERR_SUCCESS (0) or another memif_err_t unless its comment says
 * otherwise. A NULL or unknown connection handle gives MEMIF_ERR_NOCONN. A connection that is not
 * up gives MEMIF_ERR_DISCONNECTED. A queue that does not exist gives MEMIF_ERR_QID. A NULL argument
 * that must not be NULL gives MEMIF_ERR_INVAL_ARG.
 *
 * Threads. Call the control functions (memif_init, memif_cleanup, memif_create, memif_delete,
 * memif_control_fd_handler, memif_poll_event, memif_get_details) from one thread. The burst
 * functions (memif_rx_burst, memif_buffer_free, memif_buffer_alloc, memif_tx_burst) may run in
 * other threads at the same time. Each queue in each direction may be used by one thread at a time.
 * If the connection goes down meanwhile, a burst function returns MEMIF_ERR_DISCONNECTED.
 * memif_strerror and memif_cancel_poll_event may be called from any thread.
 *
 * Callbacks run inside the control function that the program called, on its thread, and may call
 * any function of the library. Their return value should be 0.
 *
 * A C++ exception may leave on_interrupt. It passes through memif_poll_event or
 * memif_control_fd_handler to the program, and the library holds no lock then. An exception that
 * would leave any other callback ends the program at the throw. No callback may be left by longjmp,
 * pthread_exit or thread cancellation.
 */

#include <inttypes.h>
#include <sys/types.h>

#include <memif.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LIBMEMIF_VERSION "1.0"

/* Name told to the peer when memif_init is given none. */
#define MEMIF_DEFAULT_APP_NAME "libmemif-app"

typedef enum {
    MEMIF_ERR_SUCCESS = 0,
    MEMIF_ERR_SYSCALL,         /* a system call failed in a way that has no code of its own */
    MEMIF_ERR_ACCES,           /* permission denied */
    MEMIF_ERR_NO_FILE,         /* no such file or directory */
    MEMIF_ERR_FILE_LIMIT,      /* too many open files in the system */
    MEMIF_ERR_PROC_FILE_LIMIT, /* too many open files in the process */
    MEMIF_ERR_ALREADY,         /* the request is under way already */
    MEMIF_ERR_AGAIN,           /* a resource is not available now */
    MEMIF_ERR_BAD_FD,          /* not an open file descriptor, or not one of the library's */
    MEMIF_ERR_NOMEM,           /* out of memory */
    MEMIF_ERR_INVAL_ARG,       /* an argument is not valid */
    MEMIF_ERR_NOCONN,          /* the handle is NULL or names no connection */
    MEMIF_ERR_CONN,            /* the handle is in use already */
    MEMIF_ERR_CB_FDUPDATE,     /* the program's memif_control_fd_update_t failed */
    MEMIF_ERR_FILE_NOT_SOCK,   /* the socket's path exists and is no socket */
    MEMIF_ERR_NO_SHMFD,        /* the peer announced a region without a file descriptor */
    MEMIF_ERR_COOKIE,          /* the peer's ring does not begin with the cookie */
    MEMIF_ERR_NOBUF_RING,      /* the ring has fewer free buffers than were asked for */
    MEMIF_ERR_NOBUF,           /* more packets wait than the array has room for */
    MEMIF_ERR_NOBUF_DET,       /* the buffer for the details is too small */
    MEMIF_ERR_INT_WRITE,       /* the peer could not be signalled */
    MEMIF_ERR_MFMSG,           /* malformed message */
    MEMIF_ERR_QID,             /* no such queue */
    MEMIF_ERR_PROTO,           /* the peer speaks another version of the protocol */
    MEMIF_ERR_ID,              /* no interface has this id */
    MEMIF_ERR_ACCSLAVE,        /* the interface is a slave, it cannot accept */
    MEMIF_ERR_ALRCONN,         /* the interface is connected already */
    MEMIF_ERR_MODE,            /* the two interfaces differ in mode */
    MEMIF_ERR_SECRET,          /* the secrets differ */
    MEMIF_ERR_NOSECRET,        /* the interface requires a secret */
    MEMIF_ERR_MAXREG,          /* more regions than allowed */
    MEMIF_ERR_MAXRING,         /* more rings than allowed */
    MEMIF_ERR_NO_INTFD,        /* the peer announced a ring without an eventfd */
    MEMIF_ERR_DISCONNECT,      /* the peer asked to disconnect */
    MEMIF_ERR_DISCONNECTED,    /* the interface is not connected */
    MEMIF_ERR_UNKNOWN_MSG,     /* a message of unknown type */
    MEMIF_ERR_POLL_CANCEL      /* memif_cancel_poll_event ended the wait */
} memif_err_t;

/* Bits of the events of a file descriptor. */
#define MEMIF_FD_EVENT_READ (1 << 0)
#define MEMIF_FD_EVENT_WRITE (1 << 1)
#define MEMIF_FD_EVENT_ERROR (1 << 2) /* from the program; the library never asks for it */
#define MEMIF_FD_EVENT_DEL (1 << 3)   /* stop watching; the descriptor is about to be closed */
#define MEMIF_FD_EVENT_MOD (1 << 4)   /* watched already: replace the events */

/* Names one connection, from memif_create to memif_delete. */
typedef void *memif_conn_handle_t;

typedef enum {
    MEMIF_RX_MODE_INTERRUPT = 0, /* the default: the peer signals the queue's eventfd */
    MEMIF_RX_MODE_POLLING = 1    /* the peer sends no signals; the program calls memif_rx_burst */
} memif_rx_mode_t;

/*
 * Asks a program that polls to watch `fd` for `events`.
 *
 * The descriptor is new unless `events` has MEMIF_FD_EVENT_MOD or _DEL. The library owns it: do not
 * read or close it. Any return value but 0 means failure; the library then returns
 * MEMIF_ERR_CB_FDUPDATE.
 */
typedef int(memif_control_fd_update_t)(int fd, uint8_t events);

/* A connection went up or down. `private_ctx` is what memif_create was given. */
typedef int(memif_connection_update_t)(memif_conn_handle_t conn, void *private_ctx);

/* Packets wait in receive queue `qid`. `private_ctx` is what memif_create was given. */
typedef int(memif_interrupt_t)(memif_conn_handle_t conn, void *private_ctx, uint16_t qid);

/* Arguments of memif_create. Zero or NULL in a field means the default. */
typedef struct {
    uint8_t *socket_filename;              /* default /run/vpp/memif.sock */
    uint8_t secret[24];                    /* if set, it must equal the peer's */
    uint8_t num_s2m_rings;                 /* slave-to-master rings; default 1 */
    uint8_t num_m2s_rings;                 /* master-to-slave rings; default 1 */
    uint16_t buffer_size;                  /* bytes; default 2048 */
    memif_log2_ring_size_t log2_ring_size; /* default 10: 1024 slots */
    uint8_t is_master;                     /* 0: slave; otherwise master */
    memif_interface_id_t interface_id;     /* tells interfaces on one socket apart */
    uint8_t interface_name[32];            /* told to the peer */
    uint8_t instance_name[32];             /* told to the peer; default: the app_name */
    memif_interface_mode_t mode : 8;       /* must equal the peer's */
} memif_conn_args_t;

/* One packet. It may take several buffers of the ring. */
typedef struct {
    uint16_t desc_index; /* slot of its first descriptor */
    uint32_t buffer_len; /* bytes that fit at `data` */
    uint32_t data_len;   /* bytes of the packet */
    void *data;          /* the packet, contiguous; memory of the library */
} memif_buffer_t;

typedef struct {
    uint8_t qid;
    uint32_t ring_size;   /* slots */
    uint16_t buffer_size; /* bytes; for a master's tx queue, the size that the peer posted */
} memif_queue_details_t;

/* What memif_get_details fills in. Strings and arrays are in the program's buffer. The names
 * of the peer (remote_) are the bytes that it sent: escape them before you print them. */
typedef struct {
    uint8_t *if_name;
    uint8_t *inst_name;
    uint8_t *remote_if_name;
    uint8_t *remote_inst_name;
    uint32_t id;
    uint8_t *secret;
    uint8_t role; /* 0 master, 1 slave */
    uint8_t mode; /* memif_interface_mode_t */
    uint8_t *socket_filename;
    uint8_t rx_queues_num;
    uint8_t tx_queues_num;
    memif_queue_details_t *rx_queues;
    memif_queue_details_t *tx_queues;
    uint8_t link_up_down; /* 1 up, 0 down */
} memif_details_t;

/*
 * Prepares the library. Call it once before anything else, and again only after memif_cleanup.
 *
 * on_control_fd_update: if not NULL, the program polls. Until memif_cleanup, the library passes
 *     each descriptor to watch to this function, and the program calls memif_control_fd_handler
 *     when something happens on one. If NULL, the library polls, in memif_poll_event.
 * app_name: the name that peers see. It is copied and cut to 31 bytes. NULL means
 *     MEMIF_DEFAULT_APP_NAME.
 *
 * One of the descriptors is a timer: every 2 s, disconnected slaves try to connect again.
 *
 * Returns MEMIF_ERR_CB_FDUPDATE when on_control_fd_update failed, or the code of a failed system
 * call.
 */
int memif_init(memif_control_fd_update_t *on_control_fd_update, char *app_name);

/*
 * Disconnects and frees everything that is left. All handles become invalid. No other function may
 * be running. If a step fails, such as the removal of a socket file, the other steps are still
 * done, and the code is that of the first failure. In either case memif_init may be called again.
 */
int memif_cleanup(void);

/*
 * Creates an interface.
 *
 * conn: out, the handle. `*conn` must be NULL before the call, otherwise MEMIF_ERR_CONN. The handle
 *     is valid until memif_delete or memif_cleanup.
 * args: read during the call only, strings included.
 * on_connect, on_disconnect: called when the connection goes up, and when it has ended. Threads
 *     that use the queues may be started in on_connect and joined in on_disconnect. The queues work
 *     in all threads until on_disconnect returns, and still hold what the peer sent.
 * on_interrupt: called when packets wait in a receive queue that is in interrupt mode. NULL: the
 *     library does not poll the queues' eventfds; the program may (memif_get_queue_efd).
 * private_ctx: passed to the callbacks; the library does not use it.
 *
 * A master listens when the call returns. It replaces a socket file that nobody listens on. It
 * returns MEMIF_ERR_ALREADY when a process listens there, MEMIF_ERR_FILE_NOT_SOCK when the path is
 * a file of another kind, MEMIF_ERR_NO_FILE when the directory does not exist. Masters with
 * different ids may share a path. A slave tries to connect each time the library's timer fires,
 * until it succeeds. After a disconnect it starts again. A path that begins with '@' is the name of
 * an abstract socket.
 *
 * Returns MEMIF_ERR_INVAL_ARG for invalid arguments, or the code of a failed system call.
 */
int memif_create(memif_conn_handle_t *conn, memif_conn_args_t *args,
                 memif_connection_update_t *on_connect, memif_connection_update_t *on_disconnect,
                 memif_interrupt_t *on_interrupt, void *private_ctx);

/*
 * Handles an event on a descriptor that was passed to the memif_control_fd_update_t.
 *
 * fd: the descriptor.
 * events: what happened: MEMIF_FD_EVENT_READ, _WRITE, _ERROR.
 *
 * Calls on_connect, on_disconnect and on_interrupt. Returns MEMIF_ERR_BAD_FD for a descriptor that
 * is not the library's, and MEMIF_ERR_CB_FDUPDATE when the program refused to watch a descriptor. A
 * peer that is refused, breaks the rules or leaves is no error here: its connection ends, the
 * others go on, and the debug lines say why.
 */
int memif_control_fd_handler(int fd, uint8_t events);

/*
 * Tells the peer, disconnects, frees the interface and sets `*conn` to NULL.
 *
 * Calls on_disconnect when the interface was connected. Returns MEMIF_ERR_NOCONN when `*conn` is
 * NULL. If a step fails, such as the removal of the socket file, the other steps are still done:
 * the interface is gone, and the code is that of the first failure.
 */
int memif_delete(memif_conn_handle_t *conn);

/*
 * Waits for events and handles them, once. For programs that called memif_init with NULL.
 *
 * timeout: in milliseconds; -1 waits for the next event, 0 does not wait.
 *
 * Returns MEMIF_ERR_SUCCESS after events and after the timeout, MEMIF_ERR_POLL_CANCEL after
 * memif_cancel_poll_event, a negative value when a signal ended the wait, otherwise the code of
 * what failed on a connection.
 */
int memif_poll_event(int timeout);

/* memif_cancel_poll_event exists. */
#define MEMIF_HAVE_CANCEL_POLL_EVENT 1

/*
 * Makes memif_poll_event in another thread return MEMIF_ERR_POLL_CANCEL. If none is running, the
 * next call returns it.
 */
int memif_cancel_poll_event(void);

/*
 * Gives the eventfd of a receive queue, for a thread that waits for packets by itself.
 *
 * fd: out. The library owns the descriptor: do not close it. It is invalid after on_disconnect.
 *     memif_rx_burst resets it, so there is no need to read it.
 */
int memif_get_queue_efd(memif_conn_handle_t conn, uint16_t qid, int *fd);

/*
 * Sets interrupt or polling mode for one receive queue. Call it on the thread that receives from
 * the queue, or in on_connect. A new connection starts in interrupt mode again.
 *
 * The peer does not signal packets while the queue is in polling mode. So one wake-up follows the
 * change from polling to interrupt mode. There may be packets then, or none.
 */
int memif_set_rx_mode(memif_conn_handle_t conn, memif_rx_mode_t rx_mode, uint16_t qid);

/*
 * Receives packets.
 *
 * bufs: out, `count` entries, one per packet. `data` and `data_len` are valid until the packet is
 *     given back with memif_buffer_free. The memory is shared: the peer can change it at any time.
 * count: the most packets to receive.
 * rx: out, packets received. 0 with MEMIF_ERR_SUCCESS means that none waits.
 *
 * Returns MEMIF_ERR_NOBUF when more packets wait than `count`. The `*rx` entries are valid. The
 * queue's eventfd stays readable, so that the next wait ends at once.
 */
int memif_rx_burst(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                   uint16_t *rx);

/*
 * Gives received packets back, so that the peer can use their buffers again.
 *
 * bufs: the oldest `count` packets that were received and not yet given back, in the order
 *     received. Their `data` becomes NULL.
 * count_out: out, packets given back.
 */
int memif_buffer_free(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                      uint16_t *count_out);

/*
 * Reserves buffers to send from.
 *
 * bufs: out, `count` entries, one per packet. The program writes at most `buffer_len` bytes at
 *     `data`, sets `data_len`, and passes the entries to memif_tx_burst in this order. The memory
 *     is the library's.
 * count: packets wanted.
 * count_out: out, packets reserved. Their entries are valid whatever is returned.
 * size: bytes of each packet; 0 means one buffer of the ring. A packet larger than a buffer is
 *     still one entry. The argument may be left out, as in the first releases of libmemif.
 *
 * Returns MEMIF_ERR_NOBUF_RING when the ring had room for fewer packets, and MEMIF_ERR_INVAL_ARG
 * when the whole ring is too small for `size`. A packet stays reserved until it is sent, until it
 * is skipped after a refusal (see memif_tx_burst), or until the connection ends.
 */
int memif_buffer_alloc(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                       uint16_t *count_out,
#ifdef __cplusplus
                       uint16_t size = 0);
#else
                       uint16_t size);

/* The function always reads the sixth argument, so this macro adds size 0 to a call with five. */
#define memif_buffer_alloc(...) MEMIF_BUFFER_ALLOC_SIZED(__VA_ARGS__, 0, (void)0)
/* `(void)0` is not an integer, so that a call with four arguments does not compile. */
#define MEMIF_BUFFER_ALLOC_SIZED(conn, qid, bufs, count, count_out, size, ...)                     \
    (memif_buffer_alloc)(conn, qid, bufs, count, count_out, size)
#endif

/*
 * Sends packets and signals the peer, unless the peer polls.
 *
 * bufs: the oldest `count` entries that memif_buffer_alloc reserved and that were not sent yet,
 *     with `data_len` set. After the call they belong to the peer. If `data_len` is larger than
 *     `buffer_len`, `buffer_len` bytes are sent.
 * tx: out, packets sent.
 *
 * Returns MEMIF_ERR_INVAL_ARG when an entry is not the next in order. That entry is bufs[*tx]; the
 * entries before it were sent, the others stay reserved. The next call may then begin with any
 * entry that is reserved; the entries before that one are given up and not sent. If the program
 * repeats the refused call with the same entries, the call succeeds: it counts the entries that it
 * cannot send and continues after them.
 */
int memif_tx_burst(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                   uint16_t *tx);

/*
 * Describes an interface, connected or not.
 *
 * md: out.
 * buf: `buflen` bytes, for the strings and arrays of `md`. Keep it as long as `md` is used. The
 *     function writes nothing past its end.
 *
 * Returns MEMIF_ERR_NOBUF_DET when `buf` is too small. What fits is valid; the other fields of `md`
 * are NULL or 0.
 */
int memif_get_details(memif_conn_handle_t conn, memif_details_t *md, char *buf, ssize_t buflen);

/*
 * Returns the text of an error code, or a fixed text for a value that is no code. The string is
 * never freed and must not be changed.
 */
char *memif_strerror(int err_code);

#ifdef __cplusplus
}
#endif

#endif /* _LIBMEMIF_H_ */
