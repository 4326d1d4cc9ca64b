/* SPDX-License-Identifier: Apache-2.0 */
#ifndef _LIBMEMIF_H_
#define _LIBMEMIF_H_

/*
 * libmemif 4.0: packets between processes over shared memory.
 *
 * Every function returns MEMIF_ERR_SUCCESS (0) or another memif_err_t unless its comment says
 * otherwise. A NULL or unknown connection handle gives MEMIF_ERR_NOCONN. A connection that is not
 * up gives MEMIF_ERR_DISCONNECTED. A queue that does not exist gives MEMIF_ERR_QID. A NULL argument
 * that must not be NULL, or an unknown socket handle, gives MEMIF_ERR_INVAL_ARG.
 *
 * Threads. For one socket and its interfaces, call the control functions (memif_create_socket,
 * memif_delete_socket, memif_create, memif_delete, memif_request_connection, memif_set_listener_fd,
 * memif_set_connection_request_timer, memif_register_external_region, memif_control_fd_handler,
 * memif_poll_event, memif_get_details) from one thread. The burst functions (memif_rx_burst,
 * memif_refill_queue, memif_buffer_alloc, memif_set_next_free_buffer, memif_buffer_enq_tx,
 * memif_buffer_requeue, memif_tx_burst) may run in other threads at the same time. Each queue in
 * each direction may be used by one thread at a time. If the connection goes down meanwhile, a
 * burst function returns MEMIF_ERR_DISCONNECTED. memif_get_version, memif_get_version_str,
 * memif_strerror and memif_cancel_poll_event may be called from any thread.
 *
 * Callbacks run inside the control function that the program called, on its thread, and may call
 * any function of the library. Their return value should be 0 unless their comment says otherwise.
 *
 * A C++ exception may leave on_interrupt. It passes through memif_poll_event or
 * memif_control_fd_handler to the program, and the library holds no lock then. An exception that
 * would leave any other callback ends the program at the throw. No callback may be left by longjmp,
 * pthread_exit or thread cancellation.
 */

#include <inttypes.h>
#include <sys/timerfd.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LIBMEMIF_VERSION "4.0"

/* Name told to the peer when memif_socket_args_t gives none. */
#define MEMIF_DEFAULT_APP_NAME "libmemif-app"

typedef enum {
    MEMIF_ERR_SUCCESS = 0,
    MEMIF_ERR_SYSCALL,         /* a system call failed in a way that has no code of its own */
    MEMIF_ERR_CONNREFUSED,     /* nobody listens on the socket */
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
    MEMIF_ERR_POLL_CANCEL,     /* memif_cancel_poll_event ended the wait */
    MEMIF_ERR_MAX_RING,        /* log2_ring_size is over 14 */
    MEMIF_ERR_PRIVHDR          /* the peer wants private headers, which are not supported */
} memif_err_t;

/* Bits of the events of a file descriptor. */
typedef enum memif_fd_event_type {
    MEMIF_FD_EVENT_READ = 1 << 0,
    MEMIF_FD_EVENT_WRITE = 1 << 1,
    MEMIF_FD_EVENT_ERROR = 1 << 2, /* from the program; the library never asks for it */
    MEMIF_FD_EVENT_DEL = 1 << 3,   /* stop watching; the descriptor is about to be closed */
    MEMIF_FD_EVENT_MOD = 1 << 4    /* watched already: replace the events */
} memif_fd_event_type_t;

/* Names one connection, from memif_create to memif_delete. */
typedef void *memif_conn_handle_t;

/* Names one control socket, from memif_create_socket to memif_delete_socket. */
typedef void *memif_socket_handle_t;

/* memif.h has the same definition. */
#ifndef _MEMIF_H_
typedef enum {
    MEMIF_INTERFACE_MODE_ETHERNET = 0,
    MEMIF_INTERFACE_MODE_IP = 1,
    MEMIF_INTERFACE_MODE_PUNT_INJECT = 2
} memif_interface_mode_t;
#endif

typedef enum {
    MEMIF_RX_MODE_INTERRUPT = 0, /* the default: the peer signals the queue's eventfd */
    MEMIF_RX_MODE_POLLING = 1    /* the peer sends no signals; the program calls memif_rx_burst */
} memif_rx_mode_t;

/* How the program should watch one descriptor. */
typedef struct memif_fd_event {
    int fd;
    memif_fd_event_type_t type; /* MEMIF_FD_EVENT_* */
    void *private_ctx;          /* to be passed to memif_control_fd_handler */
} memif_fd_event_t;

/* The program's allocator. Each function behaves like malloc, realloc or free of the C library. */
typedef void *(memif_alloc_t)(size_t size);
typedef void *(memif_realloc_t)(void *ptr, size_t size);
typedef void(memif_free_t)(void *ptr);

/*
 * Asks a program that polls to watch fde.fd for fde.type.
 *
 * The descriptor is new unless fde.type has MEMIF_FD_EVENT_MOD or _DEL. The library owns it: do not
 * read or close it. fde.private_ctx is valid until the call with _DEL. `private_ctx` is what
 * memif_create_socket was given. Any return value but 0 means failure; the library then returns
 * MEMIF_ERR_CB_FDUPDATE.
 */
typedef int(memif_control_fd_update_t)(memif_fd_event_t fde, void *private_ctx);

/* A connection went up or down. `private_ctx` is what memif_create was given. */
typedef int(memif_connection_update_t)(memif_conn_handle_t conn, void *private_ctx);

/* Packets wait in receive queue `qid`. `private_ctx` is what memif_create was given. */
typedef int(memif_on_interrupt_t)(memif_conn_handle_t conn, void *private_ctx, uint16_t qid);

/*
 * External regions are packet memory that the program provides. In all four callbacks,
 * `private_ctx` is what memif_create was given.
 */

/* Slave. Returns the offset of the next buffer in region 1, in bytes. The library asks for all
 * buffers of one ring, then for those of the next ring. */
typedef uint32_t(memif_get_external_buffer_offset_t)(void *private_ctx);

/*
 * Slave. Provides a region.
 *
 * addr: out, where it is mapped.
 * size: bytes needed. The peer is told this size.
 * fd: out, a descriptor of the memory, which the peer will map. The program still owns it.
 *
 * Any return value but 0 means failure: there will be no connection.
 */
typedef int(memif_add_external_region_t)(void **addr, uint32_t size, int *fd, void *private_ctx);

/*
 * Master. Maps a region of the peer.
 *
 * fd: owned by the library; valid until the memif_del_external_region_t is called.
 *
 * Returns the address, or NULL for failure: there will be no connection then.
 */
typedef void *(memif_get_external_region_addr_t)(uint32_t size, int fd, void *private_ctx);

/* Master and slave. The connection is down, and the library no longer uses the region. */
typedef int(memif_del_external_region_t)(void *addr, uint32_t size, int fd, void *private_ctx);

/* Arguments of memif_create_socket. Zero or NULL in a field means the default. */
typedef struct memif_socket_args {
    char path[108];    /* '@' first: an abstract socket; default /run/vpp/memif.sock */
    char app_name[32]; /* told to peers; default MEMIF_DEFAULT_APP_NAME */

    /* When disconnected slaves try again. A zero it_interval, the default, means never. */
    struct itimerspec connection_request_timer;

    /* If set, the program polls. Default: the library polls, in memif_poll_event. */
    memif_control_fd_update_t *on_control_fd_update;

    /* Used for memory of this socket. Default: the functions of the C library. */
    memif_alloc_t *alloc;
    memif_realloc_t *realloc;
    memif_free_t *free;
} memif_socket_args_t;

/* Arguments of memif_create. Zero in a field means the default, except for `socket`. */
__extension__ typedef struct {
    memif_socket_handle_t socket;    /* where to listen or connect; required */
    uint8_t secret[24];              /* if set, it must equal the peer's */
    uint8_t num_s2m_rings;           /* slave-to-master rings; default 1 */
    uint8_t num_m2s_rings;           /* master-to-slave rings; default 1 */
    uint16_t buffer_size;            /* bytes; default 2048 */
    uint8_t log2_ring_size;          /* 14 at most; default 10: 1024 slots */
    uint8_t is_master;               /* 0: slave; otherwise master */
    uint32_t interface_id;           /* tells interfaces on one socket apart */
    uint8_t interface_name[32];      /* told to the peer */
    memif_interface_mode_t mode : 8; /* must equal the peer's */
} memif_conn_args_t;

/* The packet continues in the next entry. */
#define MEMIF_BUFFER_FLAG_NEXT (1 << 0)

/* One buffer of a ring: a packet, or a part of one. */
typedef struct {
    uint16_t desc_index; /* slot of its descriptor; do not change it */
    void *queue;         /* for the library; do not change it */
    uint32_t len;        /* bytes of the packet at `data` */
    uint8_t flags;       /* MEMIF_BUFFER_FLAG_* */
    void *data;          /* in shared memory */
} memif_buffer_t;

/* The receiver of the queue polls: there are no interrupts. */
#define MEMIF_QUEUE_FLAG_POLLING (1 << 0)

typedef struct {
    uint8_t region; /* index of the region that the ring is in */
    uint16_t qid;
    uint32_t ring_size;   /* slots */
    uint16_t flags;       /* MEMIF_QUEUE_FLAG_* */
    uint16_t head;        /* as in the ring; it runs freely */
    uint16_t tail;        /* as in the ring; it runs freely */
    uint16_t buffer_size; /* bytes; for a master's tx queue, the size that the peer posted */
} memif_queue_details_t;

typedef struct {
    uint8_t index;
    void *addr;          /* where it is mapped in this process */
    uint32_t size;       /* bytes */
    int fd;              /* the library's */
    uint8_t is_external; /* 1: provided or mapped by the program */
} memif_region_details_t;

/* What memif_get_details fills in. Strings and arrays are in the program's buffer. The names
 * of the peer (remote_) are the bytes that it sent: escape them before you print them. */
typedef struct {
    uint8_t *if_name;
    uint8_t *inst_name;
    uint8_t *remote_if_name;
    uint8_t *remote_inst_name;
    uint32_t id;
    uint8_t *secret; /* NULL: none */
    uint8_t role;    /* 0 master, 1 slave */
    uint8_t mode;    /* memif_interface_mode_t */
    uint8_t *socket_path;
    uint8_t regions_num;
    memif_region_details_t *regions;
    uint8_t rx_queues_num;
    uint8_t tx_queues_num;
    memif_queue_details_t *rx_queues;
    memif_queue_details_t *tx_queues;
    uint8_t *error;       /* why the last connection ended or failed, or empty */
    uint8_t link_up_down; /* 1 up, 0 down */
} memif_details_t;

/* Returns the version of the protocol, 512. */
uint16_t memif_get_version(void);

/* Returns the version of the protocol as text, "2.0". The string is never freed. */
const char *memif_get_version_str(void);

/*
 * Creates a control socket object, which has a path and a way to poll its events. The library opens
 * nothing at the path before an interface is created on the socket. Use one socket for masters and
 * another one for slaves, even if they have the same path.
 *
 * sock: out, the handle. It is valid until memif_delete_socket.
 * args: read during the call only.
 * private_ctx: passed to args->on_control_fd_update; the library does not use it.
 *
 * With args->on_control_fd_update, the program polls. Until memif_delete_socket, the library passes
 * each descriptor to watch to that function, and the program calls memif_control_fd_handler when
 * something happens on one. Without it, the program calls memif_poll_event.
 *
 * Returns MEMIF_ERR_CB_FDUPDATE when on_control_fd_update failed, MEMIF_ERR_NOMEM, or the code of a
 * failed system call.
 */
int memif_create_socket(memif_socket_handle_t *sock, memif_socket_args_t *args, void *private_ctx);

/*
 * Frees the socket, closes what the library opened for it, and sets `*sock` to NULL. The library
 * removes the socket file if it created it.
 *
 * Returns MEMIF_ERR_INVAL_ARG while interfaces use the socket: call memif_delete first. After any
 * other code the socket is gone, and the code is that of the first step that failed.
 */
int memif_delete_socket(memif_socket_handle_t *sock);

/* Returns the socket that the interface was created on, or NULL for a NULL handle. */
memif_socket_handle_t memif_get_socket_handle(memif_conn_handle_t conn);

/* Returns the path, or NULL for a NULL handle. The string is valid as long as the socket. */
const char *memif_get_socket_path(memif_socket_handle_t sock);

/* Returns the listening descriptor, which the library owns. Returns -1 if there is none, or for a
 * NULL handle. */
int memif_get_listener_fd(memif_socket_handle_t sock);

/*
 * Makes the library accept connections from a descriptor that is already bound and listening, for
 * example one from a service manager. Call it before the first master is created on the socket. The
 * library polls the descriptor and accepts from it, but never closes it or removes the socket file.
 * This lets a program choose the mode and owner of the file: bind, chmod, chown, listen, then call
 * this function.
 *
 * The library makes the socket non-blocking (O_NONBLOCK) for every process that shares it, and does
 * not restore the mode. One connection wakes all of these processes, and those that come too late
 * must not wait in accept.
 *
 * Returns MEMIF_ERR_ALREADY when the library listens already, MEMIF_ERR_INVAL_ARG when the
 * descriptor is not a listening socket of the right type.
 */
int memif_set_listener_fd(memif_socket_handle_t sock, int fd);

/*
 * Sets the timer that makes disconnected slaves on the socket try again, and creates it if there is
 * none. If both it_interval and it_value are zero, the timer stops.
 */
int memif_set_connection_request_timer(memif_socket_handle_t sock, struct itimerspec timer);

/*
 * Creates an interface.
 *
 * conn: out, the handle. `*conn` must be NULL before the call, otherwise MEMIF_ERR_CONN. The handle
 *     is valid until memif_delete.
 * args: read during the call only.
 * on_connect, on_disconnect: called when the connection goes up, and when it has ended. Threads
 *     that use the queues may be started in on_connect and joined in on_disconnect. In on_connect,
 *     call memif_refill_queue for each receive queue. The queues work in all threads until
 *     on_disconnect returns, and still hold what the peer sent.
 * on_interrupt: called when packets wait in a receive queue that is in interrupt mode. NULL: the
 *     library does not poll the queues' eventfds; the program may (memif_get_queue_efd).
 * private_ctx: passed to the callbacks; the library does not use it.
 *
 * A master listens when the call returns. Masters with different ids may share a socket. A slave
 * tries to connect at once; it is no error if nobody listens yet. It tries again when the socket's
 * timer fires, or in memif_request_connection.
 *
 * Returns MEMIF_ERR_INVAL_ARG for invalid arguments, MEMIF_ERR_MAX_RING for a ring of more than
 * 2^14 slots, or the code of a failed system call.
 */
int memif_create(memif_conn_handle_t *conn, memif_conn_args_t *args,
                 memif_connection_update_t *on_connect, memif_connection_update_t *on_disconnect,
                 memif_on_interrupt_t *on_interrupt, void *private_ctx);

/*
 * Makes a slave try to connect now. The connection is up when on_connect is called, not when this
 * function returns.
 *
 * Returns MEMIF_ERR_ALRCONN when the slave is connected or a handshake is under way,
 * MEMIF_ERR_INVAL_ARG for a master, or the code that says why the socket could not be reached, for
 * example MEMIF_ERR_CONNREFUSED.
 */
int memif_request_connection(memif_conn_handle_t conn);

/*
 * Handles an event on a descriptor that was passed to the memif_control_fd_update_t.
 *
 * ptr: the private_ctx of the memif_fd_event_t.
 * events: what happened: MEMIF_FD_EVENT_READ, _WRITE, _ERROR, or several of them (bitwise or).
 *
 * Calls on_connect, on_disconnect and on_interrupt. Returns MEMIF_ERR_INVAL_ARG for a ptr that
 * belongs to no watched descriptor, and MEMIF_ERR_CB_FDUPDATE when the program refused to
 * watch a descriptor. A peer that is refused, breaks the rules or leaves is no error here: its
 * connection ends, the others go on, and memif_get_details says why.
 */
int memif_control_fd_handler(void *ptr, memif_fd_event_type_t events);

/*
 * Tells the peer, disconnects, frees the interface and sets `*conn` to NULL.
 *
 * Calls on_disconnect when the interface was connected. Returns MEMIF_ERR_NOCONN when `*conn` is
 * NULL. If a step fails, such as the removal of the socket file, the other steps are still done:
 * the interface is gone, and the code is that of the first failure.
 */
int memif_delete(memif_conn_handle_t *conn);

/*
 * Waits for events and handles them, once. For a socket without on_control_fd_update.
 *
 * timeout: in milliseconds; -1 waits for the next event, 0 does not wait.
 *
 * Returns MEMIF_ERR_SUCCESS after events and after the timeout, MEMIF_ERR_POLL_CANCEL after
 * memif_cancel_poll_event, a negative value when a signal ended the wait, otherwise the code of
 * what failed on a connection.
 */
int memif_poll_event(memif_socket_handle_t sock, int timeout);

/* memif_cancel_poll_event exists. */
#define MEMIF_HAVE_CANCEL_POLL_EVENT 1

/*
 * Makes memif_poll_event on the socket, in another thread, return MEMIF_ERR_POLL_CANCEL. If none is
 * running, the next call returns it.
 */
int memif_cancel_poll_event(memif_socket_handle_t sock);

/*
 * Lets the program provide packet memory for all later connections of a socket. Call it before
 * interfaces are created on the socket.
 *
 * ar, go: for slaves. `ar` is called once per connection, for region 1, which holds the buffers.
 *     `go` is called for each buffer; if it is NULL, the buffers lie one after the other.
 * gr: for masters. Called for each region of the peer except region 0, which holds the rings.
 * dr: called for each region from `ar` or `gr` when the connection is gone.
 */
int memif_register_external_region(memif_socket_handle_t sock, memif_add_external_region_t *ar,
                                   memif_get_external_region_addr_t *gr,
                                   memif_del_external_region_t *dr,
                                   memif_get_external_buffer_offset_t *go);

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
 * bufs: out, `count` entries, one per buffer of the ring. A packet in several buffers has several
 *     entries, all but the last with MEMIF_BUFFER_FLAG_NEXT. A packet of more than `count` buffers
 *     begins in one burst and ends in a later one. `data` and `len` are valid until the buffer is
 *     given back with memif_refill_queue or moved with memif_buffer_enq_tx. The memory is shared:
 *     the peer can change it at any time.
 * count: the most buffers to receive.
 * rx: out, buffers received. 0 with MEMIF_ERR_SUCCESS means that none waits.
 *
 * Returns MEMIF_ERR_NOBUF when more buffers wait than `count`. The `*rx` entries are valid. The
 * queue's eventfd stays readable, so that the next wait ends at once.
 */
int memif_rx_burst(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                   uint16_t *rx);

/*
 * Gives the oldest received buffers back, so that the peer can use them again.
 *
 * count: the most buffers to give back; 65535 means as many as possible. The oldest go first, so do
 *     not count buffers that are still in use.
 * headroom: for slaves: bytes to leave free at the start of each buffer, for example so that the
 *     program can put a header before the packet later. It must be smaller than the buffer. It has
 *     no effect for masters, because the peer decides.
 *
 * A slave also provides the first buffers with this function. Nothing can be received before its
 * first call, so call it in on_connect for each receive queue.
 */
int memif_refill_queue(memif_conn_handle_t conn, uint16_t qid, uint16_t count, uint16_t headroom);

/*
 * Reserves buffers to send from.
 *
 * bufs: out. `len` says how many of the `size` bytes fit at `data`. The program writes as many
 * bytes, or writes fewer and reduces `len`. It passes the entries to memif_tx_burst in this order.
 * count: packets wanted.
 * count_out: out, entries filled in, always for whole packets. They are valid whatever is returned.
 *     If `size` is larger than the ring's buffers, a packet has several entries, all but the last
 *     with MEMIF_BUFFER_FLAG_NEXT.
 * size: bytes of each packet; 0 means one buffer of the ring.
 *
 * `bufs` needs as many entries as `count` packets of `size` bytes take in buffers of the
 * interface's own buffer_size, and never more. The buffers that a master's peer posts may be
 * smaller or have a headroom. If a packet needs more of these buffers, it is copied when it is
 * sent.
 *
 * Returns MEMIF_ERR_NOBUF_RING when the ring had room for fewer packets, and MEMIF_ERR_INVAL_ARG
 * when the whole ring is too small for `size`. A packet stays reserved until it is sent, until it
 * is taken back (memif_set_next_free_buffer), until it is skipped after a refusal (memif_tx_burst),
 * or until the connection ends.
 */
int memif_buffer_alloc(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                       uint16_t *count_out, uint16_t size);

/*
 * Takes back reserved buffers that were not sent: `buf` and all reserved after it. The next
 * memif_buffer_alloc begins with `buf`, which must be the first entry of its packet.
 */
int memif_set_next_free_buffer(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *buf);

/*
 * Moves received buffers of a slave to a send queue, without a copy.
 *
 * qid: the send queue.
 * bufs: entries of memif_rx_burst on this connection, or on a connection of another slave whose
 *     external region is the same memory. The program may have moved `data` forward and changed
 *     `len`. The entries become reserved entries of the send queue, as from memif_buffer_alloc.
 *     Their receive slots get empty buffers in exchange. Give these slots back with
 *     memif_refill_queue as usual.
 * count: entries in `bufs`.
 * count_out: out, entries moved, counted from the first.
 *
 * Returns MEMIF_ERR_NOBUF_RING when the ring had room for fewer, MEMIF_ERR_INVAL_ARG for a master.
 */
int memif_buffer_enq_tx(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs,
                        uint16_t count, uint16_t *count_out);

/*
 * Exchanges the places of two buffers of a slave's connection, in the rings and in the two entries.
 *
 * Returns MEMIF_ERR_INVAL_ARG for a master.
 */
int memif_buffer_requeue(memif_conn_handle_t conn, memif_buffer_t *buf_a, memif_buffer_t *buf_b);

/*
 * Sends packets and signals the peer, unless the peer polls.
 *
 * bufs: the oldest `count` entries that were reserved and not sent yet, in the order reserved, with
 *     `len` set. As slave, `data` may have moved forward inside its buffer. After the call they
 *     belong to the peer.
 * tx: out, entries sent.
 *
 * Returns MEMIF_ERR_INVAL_ARG when an entry is not the next in order or reaches past its buffer.
 * bufs[*tx] is then the first entry of that packet; the packets before it were sent, the others
 * stay reserved. A packet whose last entry is not in `bufs` is not sent and stays reserved, without
 * an error.
 *
 * After a refusal the next call may begin with any packet that is reserved; the packets before that
 * one are given up and not sent. If the program repeats the refused call with the same entries, the
 * call succeeds: it counts the packets that it cannot send and continues after them.
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
