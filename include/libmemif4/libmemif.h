/* SPDX-License-Identifier: Apache-2.0 */
#ifndef _LIBMEMIF_H_
#define _LIBMEMIF_H_

/*
 * libmemif 4.0: packets between processes over shared memory.
 *
 * Every function returns MEMIF_ERR_SUCCESS (0) or another memif_err_t unless its comment says
 * otherwise. A NULL or unknown connection handle gives MEMIF_ERR_NOCONN, a connection that is not
 * up gives MEMIF_ERR_DISCONNECTED, a queue that does not exist gives MEMIF_ERR_QID, a NULL
 * argument that must not be NULL and an unknown socket handle give MEMIF_ERR_INVAL_ARG.
 *
 * Threads. The control functions (memif_create_socket, memif_delete_socket, memif_create,
 * memif_delete, memif_request_connection, memif_set_listener_fd,
 * memif_set_connection_request_timer, memif_register_external_region, memif_control_fd_handler,
 * memif_poll_event, memif_get_details) that concern one socket and its interfaces belong to one
 * thread. The burst functions (memif_rx_burst, memif_refill_queue, memif_buffer_alloc,
 * memif_set_next_free_buffer, memif_buffer_enq_tx, memif_buffer_requeue, memif_tx_burst) may run in
 * other threads at the same time, as long as each queue in each direction is used by one thread at
 * a time; a connection that goes down meanwhile ends them with MEMIF_ERR_DISCONNECTED.
 * memif_get_version, memif_get_version_str, memif_strerror and memif_cancel_poll_event may be
 * called from any thread.
 *
 * Callbacks run inside the control function that the program called, on its thread, and may call
 * any function of the library. Their return value should be 0 unless their comment says otherwise.
 *
 * A C++ exception may leave on_interrupt: it goes through memif_poll_event or
 * memif_control_fd_handler to the program, and nothing is held. From any other callback it ends the
 * program where it is thrown. No callback may be left by longjmp, pthread_exit or cancellation.
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
    MEMIF_ERR_INVAL_ARG,       /* an argument has no meaning here */
    MEMIF_ERR_NOCONN,          /* the handle is NULL or names no connection */
    MEMIF_ERR_CONN,            /* the handle is in use already */
    MEMIF_ERR_CB_FDUPDATE,     /* the program's memif_control_fd_update_t failed */
    MEMIF_ERR_FILE_NOT_SOCK,   /* the socket's path exists and is no socket */
    MEMIF_ERR_NO_SHMFD,        /* the peer announced a region without a file descriptor */
    MEMIF_ERR_COOKIE,          /* the peer's ring does not begin with the cookie */
    MEMIF_ERR_NOBUF_RING,      /* the ring has fewer free buffers than were asked for */
    MEMIF_ERR_NOBUF,           /* more packets wait than buffers were offered */
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
    MEMIF_FD_EVENT_ERROR = 1 << 2, /* reported to the library, never asked for by it */
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
    MEMIF_RX_MODE_INTERRUPT = 0, /* the peer signals the queue's eventfd; every queue begins so */
    MEMIF_RX_MODE_POLLING = 1    /* the peer does not signal; the program calls memif_rx_burst */
} memif_rx_mode_t;

/* What the program is to do about one descriptor. */
typedef struct memif_fd_event {
    int fd;
    memif_fd_event_type_t type; /* MEMIF_FD_EVENT_* */
    void *private_ctx;          /* for memif_control_fd_handler when something happens on fd */
} memif_fd_event_t;

/* The program's allocator; each behaves like its namesake of the C library. */
typedef void *(memif_alloc_t)(size_t size);
typedef void *(memif_realloc_t)(void *ptr, size_t size);
typedef void(memif_free_t)(void *ptr);

/*
 * The program's part of polling: watch fde.fd for fde.type.
 *
 * Without MEMIF_FD_EVENT_MOD or _DEL the descriptor is new. The descriptor stays the library's:
 * the program neither reads nor closes it. fde.private_ctx is valid until the call with _DEL.
 * `private_ctx` is what memif_create_socket was given. Anything but 0 means failure and becomes
 * MEMIF_ERR_CB_FDUPDATE.
 */
typedef int(memif_control_fd_update_t)(memif_fd_event_t fde, void *private_ctx);

/* A connection went up or down. `private_ctx` is what memif_create was given. */
typedef int(memif_connection_update_t)(memif_conn_handle_t conn, void *private_ctx);

/* Packets wait in receive queue `qid`. `private_ctx` is what memif_create was given. */
typedef int(memif_on_interrupt_t)(memif_conn_handle_t conn, void *private_ctx, uint16_t qid);

/*
 * External regions: packet memory that the program provides. `private_ctx` is what memif_create was
 * given, in all four.
 */

/* Slave. Returns the offset in region 1, in bytes, of the next buffer of a ring. All buffers of one
 * ring are asked for before those of the next. */
typedef uint32_t(memif_get_external_buffer_offset_t)(void *private_ctx);

/*
 * Slave. Provides a region.
 *
 * addr: out, where it is mapped.
 * size: bytes needed, and shown to the peer.
 * fd: out, a descriptor of the memory, which the peer will map. It stays the program's.
 *
 * Anything but 0 means failure; the connection does not come about then.
 */
typedef int(memif_add_external_region_t)(void **addr, uint32_t size, int *fd, void *private_ctx);

/*
 * Master. Maps a region of the peer's.
 *
 * fd: the library's; valid until the call of the memif_del_external_region_t.
 *
 * Returns the address, or NULL for failure; the connection does not come about then.
 */
typedef void *(memif_get_external_region_addr_t)(uint32_t size, int fd, void *private_ctx);

/* Either. The connection is down, the library does not use the region any more. */
typedef int(memif_del_external_region_t)(void *addr, uint32_t size, int fd, void *private_ctx);

/* Arguments of memif_create_socket. Zero or NULL in a field means the default. */
typedef struct memif_socket_args {
    char path[108];    /* '@' first: an abstract socket; default /run/vpp/memif.sock */
    char app_name[32]; /* told to peers; default MEMIF_DEFAULT_APP_NAME */

    /* When disconnected slaves try again; a zero it_interval, the default, means never. */
    struct itimerspec connection_request_timer;

    /* The program polls. Default: the library does, in memif_poll_event. */
    memif_control_fd_update_t *on_control_fd_update;

    /* For what the library allocates for this socket; default: those of the C library. */
    memif_alloc_t *alloc;
    memif_realloc_t *realloc;
    memif_free_t *free;
} memif_socket_args_t;

/* Arguments of memif_create. Zero in a field means the default, except for `socket`. */
__extension__ typedef struct {
    memif_socket_handle_t socket;    /* where to listen or connect; required */
    uint8_t secret[24];              /* one that is set must equal the peer's */
    uint8_t num_s2m_rings;           /* slave-to-master rings; default 1 */
    uint8_t num_m2s_rings;           /* master-to-slave rings; default 1 */
    uint16_t buffer_size;            /* bytes; default 2048 */
    uint8_t log2_ring_size;          /* 14 at most; default 10: 1024 slots */
    uint8_t is_master;               /* 0: slave; otherwise master */
    uint32_t interface_id;           /* tells interfaces on one socket apart */
    uint8_t interface_name[32];      /* told to the peer */
    memif_interface_mode_t mode : 8; /* must equal the peer's */
} memif_conn_args_t;

/* The packet goes on in the next entry. */
#define MEMIF_BUFFER_FLAG_NEXT (1 << 0)

/* One buffer of a ring: a packet, or a part of one. */
typedef struct {
    uint16_t desc_index; /* slot of its descriptor; leave it as it is */
    void *queue;         /* the library's; leave it as it is */
    uint32_t len;        /* bytes of the packet at `data` */
    uint8_t flags;       /* MEMIF_BUFFER_FLAG_* */
    void *data;          /* shared memory */
} memif_buffer_t;

/* The receiver of the queue polls, there are no interrupts. */
#define MEMIF_QUEUE_FLAG_POLLING (1 << 0)

typedef struct {
    uint8_t region; /* index of the region that the ring lies in */
    uint16_t qid;
    uint32_t ring_size;   /* slots */
    uint16_t flags;       /* MEMIF_QUEUE_FLAG_* */
    uint16_t head;        /* as it is in the ring; it runs freely */
    uint16_t tail;        /* as it is in the ring; it runs freely */
    uint16_t buffer_size; /* bytes; of a master's tx queue, as the peer has posted them */
} memif_queue_details_t;

typedef struct {
    uint8_t index;
    void *addr;          /* where it is mapped in this process */
    uint32_t size;       /* bytes */
    int fd;              /* the library's */
    uint8_t is_external; /* 1: provided or mapped by the program */
} memif_region_details_t;

/* What memif_get_details fills in; strings and arrays lie in the program's own buffer. Names of the
 * peer (remote_) are the bytes that it sent: escape them before they are printed. */
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
    uint8_t *error;       /* why the last connection ended or failed; empty: it did not */
    uint8_t link_up_down; /* 1 up, 0 down */
} memif_details_t;

/* The version of the protocol: 512. */
uint16_t memif_get_version(void);

/* The version of the protocol as text: "2.0". The string is the library's. */
const char *memif_get_version_str(void);

/*
 * Creates a control socket: a path, and how what happens there is polled. Nothing is opened at the
 * path before an interface is created on the socket. Either masters or slaves use one socket; for
 * both on one path create two.
 *
 * sock: out. It owns the socket until memif_delete_socket.
 * args: read during the call only.
 * private_ctx: passed to args->on_control_fd_update, never looked at.
 *
 * With args->on_control_fd_update every descriptor to watch is passed to that function, from now on
 * until memif_delete_socket, and the program calls memif_control_fd_handler when something happens
 * on one. Without, the program calls memif_poll_event.
 *
 * Returns MEMIF_ERR_CB_FDUPDATE when on_control_fd_update failed, MEMIF_ERR_NOMEM, or the code of a
 * failed system call.
 */
int memif_create_socket(memif_socket_handle_t *sock, memif_socket_args_t *args, void *private_ctx);

/*
 * Frees the socket, closes what the library opened for it, and sets `*sock` to NULL. A socket file
 * is removed if the library made it.
 *
 * Returns MEMIF_ERR_INVAL_ARG while interfaces use it: memif_delete comes first. After any other
 * code the socket is gone as well; it says what failed on the way.
 */
int memif_delete_socket(memif_socket_handle_t *sock);

/* The socket that the interface was created on. NULL for a NULL handle. */
memif_socket_handle_t memif_get_socket_handle(memif_conn_handle_t conn);

/* The path; the string is the library's and lives as long as the socket. NULL for a NULL handle. */
const char *memif_get_socket_path(memif_socket_handle_t sock);

/* The descriptor that listens, the library's; -1 for a NULL handle and where none does. */
int memif_get_listener_fd(memif_socket_handle_t sock);

/*
 * Makes the socket listen on a descriptor that somebody else bound, as service managers do. Call it
 * before the first master is created on the socket. The library polls the descriptor and accepts
 * from it, but does not close it, and the file at the path stays. It is also the way to a socket
 * with a mode and an owner of the program's choice: bind, chmod and chown, listen, hand over.
 *
 * The socket becomes a non-blocking one (O_NONBLOCK), for every process that shares it, and stays
 * that: of those that wake up for a connection one gets it, and the others must not wait.
 *
 * Returns MEMIF_ERR_ALREADY when the library listens already, MEMIF_ERR_INVAL_ARG for a descriptor
 * that cannot be.
 */
int memif_set_listener_fd(memif_socket_handle_t sock, int fd);

/*
 * Sets the timer by which disconnected slaves on the socket try again, and creates it if there was
 * none. A zero it_interval and it_value disarm it.
 */
int memif_set_connection_request_timer(memif_socket_handle_t sock, struct itimerspec timer);

/*
 * Creates an interface.
 *
 * conn: out; `*conn` must be NULL before, else MEMIF_ERR_CONN. It owns the interface until
 *     memif_delete.
 * args: read during the call only.
 * on_connect, on_disconnect: called when the connection is up, and when it is over. Threads that
 *     use the queues may be started in the first and joined in the second. In the first, call
 *     memif_refill_queue for each receive queue. Until the second returns the queues work, in all
 *     threads, and hold what the peer had sent.
 * on_interrupt: called when packets wait in a receive queue that is in interrupt mode. NULL: the
 *     queues' eventfds are left to the program (memif_get_queue_efd), the library does not poll
 *     them.
 * private_ctx: passed to the callbacks, never looked at.
 *
 * A master listens when the call returns. Masters with different ids may share a socket. A slave
 * tries to connect at once; that nobody listens yet is no error. It tries again when the socket's
 * timer fires, or in memif_request_connection.
 *
 * Returns MEMIF_ERR_INVAL_ARG for arguments that cannot be, MEMIF_ERR_MAX_RING for a ring size over
 * 2^14, or the code of a failed system call.
 */
int memif_create(memif_conn_handle_t *conn, memif_conn_args_t *args,
                 memif_connection_update_t *on_connect, memif_connection_update_t *on_disconnect,
                 memif_on_interrupt_t *on_interrupt, void *private_ctx);

/*
 * Slave: tries to connect now. The connection is up when on_connect is called, not when this
 * function returns.
 *
 * Returns MEMIF_ERR_ALRCONN when it is connected or about to be, MEMIF_ERR_INVAL_ARG for a master,
 * or why the socket could not be reached, MEMIF_ERR_CONNREFUSED for one.
 */
int memif_request_connection(memif_conn_handle_t conn);

/*
 * Serves a descriptor that was passed to the memif_control_fd_update_t.
 *
 * ptr: the private_ctx of the memif_fd_event_t.
 * events: MEMIF_FD_EVENT_READ, _WRITE, _ERROR, as they happened, or-ed.
 *
 * Calls on_connect, on_disconnect and on_interrupt. Returns MEMIF_ERR_INVAL_ARG for a ptr that is
 * not, or no longer, that of an fd event, and MEMIF_ERR_CB_FDUPDATE when the program refused to
 * watch a descriptor. A peer that is refused, that breaks the rules or goes away is no error here:
 * its connection ends, the others go on, and memif_get_details says why.
 */
int memif_control_fd_handler(void *ptr, memif_fd_event_type_t events);

/*
 * Tells the peer, disconnects, frees the interface and sets `*conn` to NULL.
 *
 * Calls on_disconnect when the interface was connected. Returns MEMIF_ERR_NOCONN when `*conn` is
 * NULL. Whatever else fails, such as the removal of the socket file, fails alone: the interface is
 * gone all the same, and the code is that of the first failure.
 */
int memif_delete(memif_conn_handle_t *conn);

/*
 * One turn of the library's own polling, for a socket without on_control_fd_update: waits for
 * events, serves them, returns.
 *
 * timeout: -1 waits for the next event, 0 does not wait, else milliseconds.
 *
 * Returns MEMIF_ERR_SUCCESS also when the time is over, MEMIF_ERR_POLL_CANCEL after
 * memif_cancel_poll_event, a negative value when a signal ended the wait, otherwise what went
 * wrong with a connection.
 */
int memif_poll_event(memif_socket_handle_t sock, int timeout);

/* memif_cancel_poll_event exists. */
#define MEMIF_HAVE_CANCEL_POLL_EVENT 1

/*
 * Makes the running or else the next memif_poll_event on the socket return MEMIF_ERR_POLL_CANCEL.
 * For other threads.
 */
int memif_cancel_poll_event(memif_socket_handle_t sock);

/*
 * From now on the program provides packet memory for the connections of a socket.
 *
 * ar, go: slave. `ar` is called once a connection, for region 1, which holds the buffers, and `go`
 *     for each of them; without `go` they lie one after the other.
 * gr: master. Called for each region of the peer but region 0, which holds the rings.
 * dr: called for each of these regions when the connection is gone.
 *
 * Call it before interfaces are created on the socket.
 */
int memif_register_external_region(memif_socket_handle_t sock, memif_add_external_region_t *ar,
                                   memif_get_external_region_addr_t *gr,
                                   memif_del_external_region_t *dr,
                                   memif_get_external_buffer_offset_t *go);

/*
 * The eventfd of a receive queue, for a thread that waits for packets by itself.
 *
 * fd: out. The descriptor stays the library's and is void after on_disconnect: do not close it.
 *     memif_rx_burst resets it, so there is no need to read it.
 */
int memif_get_queue_efd(memif_conn_handle_t conn, uint16_t qid, int *fd);

/*
 * Chooses between interrupt and polling for one receive queue. Call it on the thread that receives
 * from the queue, or in on_connect. The mode ends with the connection.
 *
 * After a change to interrupt mode call memif_rx_burst once: packets that came before it are not
 * signalled.
 */
int memif_set_rx_mode(memif_conn_handle_t conn, memif_rx_mode_t rx_mode, uint16_t qid);

/*
 * Receives packets.
 *
 * bufs: out, `count` entries, one per buffer of the ring. A packet of several buffers makes several
 *     entries, all but the last with MEMIF_BUFFER_FLAG_NEXT; one of more than `count` begins in one
 *     burst and ends in a later one. `data` and `len` are valid until the buffer is given back with
 *     memif_refill_queue or moved with memif_buffer_enq_tx; the memory is shared with the peer, who
 *     can change it at any time.
 * count: buffers at most.
 * rx: out, buffers received. 0 with MEMIF_ERR_SUCCESS: none waits.
 *
 * Returns MEMIF_ERR_NOBUF when more buffers wait than `count`. The `*rx` entries are valid, and the
 * queue's eventfd stays readable, so that the next turn gets the rest.
 */
int memif_rx_burst(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                   uint16_t *rx);

/*
 * Gives the oldest received buffers back, so that the peer can use them again.
 *
 * count: buffers at most; 65535 means as many as possible. Do not count what is still in use: the
 *     oldest go first.
 * headroom: slave: bytes left free at the start of each buffer, fewer than the buffer has, where a
 *     packet can grow to the front later. To a master it means nothing: its peer decides.
 *
 * A slave also provides the first buffers this way: nothing can be received before the first call,
 * so call it in on_connect for each receive queue.
 */
int memif_refill_queue(memif_conn_handle_t conn, uint16_t qid, uint16_t count, uint16_t headroom);

/*
 * Reserves buffers to send from.
 *
 * bufs: out. `len` is how many of the `size` bytes have room at `data`. The program writes that
 *     many, or fewer and sets `len`, and passes the entries to memif_tx_burst in this order.
 * count: packets wanted.
 * count_out: out, entries filled in, all of whole packets. `size` over the ring's buffer size takes
 *     several entries a packet, all but the last with MEMIF_BUFFER_FLAG_NEXT.
 * size: bytes of each packet; 0 means one buffer of the ring.
 *
 * `bufs` needs room for `count` times the entries that `size` takes of buffers of the interface's
 * own buffer_size, and no more. As master, the peer's buffers may be smaller or have a headroom; a
 * packet that takes more of them than that is copied when it is sent.
 *
 * Returns MEMIF_ERR_NOBUF_RING when the ring had room for fewer packets, and MEMIF_ERR_INVAL_ARG
 * when all of the ring is too small for `size`; the `*count_out` entries are valid. What is
 * reserved stays reserved until it is sent, taken back, left out after a refusal (memif_tx_burst),
 * or the connection ends.
 */
int memif_buffer_alloc(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                       uint16_t *count_out, uint16_t size);

/*
 * Takes back buffers that were reserved and not sent: `buf` and all reserved after it. `buf` is
 * the next that memif_buffer_alloc hands out. It must be the first entry of its packet.
 */
int memif_set_next_free_buffer(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *buf);

/*
 * Slave: moves received buffers to a send queue without a copy.
 *
 * qid: the send queue.
 * bufs: entries of memif_rx_burst on this connection, or on another slave's whose external region
 *     is the same memory. `data` may have moved forward and `len` changed. They become entries to
 *     send, in the place of what memif_buffer_alloc would hand out; their receive slots get empty
 *     buffers for it and are given back with memif_refill_queue as ever.
 * count: entries.
 * count_out: out, entries moved, the first ones.
 *
 * Returns MEMIF_ERR_NOBUF_RING when the ring had room for fewer, MEMIF_ERR_INVAL_ARG for a master.
 */
int memif_buffer_enq_tx(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs,
                        uint16_t count, uint16_t *count_out);

/*
 * Slave: lets two buffers of the connection change places, in their rings and in the two entries.
 *
 * Returns MEMIF_ERR_INVAL_ARG for a master.
 */
int memif_buffer_requeue(memif_conn_handle_t conn, memif_buffer_t *buf_a, memif_buffer_t *buf_b);

/*
 * Sends packets and signals the peer, unless the peer polls.
 *
 * bufs: the oldest `count` entries that were reserved and not sent yet, in the order reserved, with
 *     `len` set. As slave, `data` may lie further inside its buffer than it did. They are the
 *     peer's afterwards.
 * tx: out, entries sent.
 *
 * Returns MEMIF_ERR_INVAL_ARG at the first packet with an entry that is not the next in order, or
 * reaches past its buffer: bufs[*tx] is its first one; those before it are sent. A packet whose end
 * is not in `bufs` is not sent, and no error.
 *
 * What was reserved and not sent stays reserved, for the next call. After a refusal that one may
 * begin with any packet reserved by then or later: those before it are given up. The same call once
 * more counts what it cannot send and goes on behind it.
 */
int memif_tx_burst(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                   uint16_t *tx);

/*
 * Describes an interface, connected or not.
 *
 * md: out.
 * buf: `buflen` bytes of the program's, for the strings and arrays of `md`; it must live as long as
 *     `md` is used. Nothing is written past it.
 *
 * Returns MEMIF_ERR_NOBUF_DET when `buf` is too small; what fits is valid, the rest of `md` is NULL
 * or 0.
 */
int memif_get_details(memif_conn_handle_t conn, memif_details_t *md, char *buf, ssize_t buflen);

/*
 * A text for a code, a fixed one for values that are no code. The string is the library's, lives
 * for ever and must not be changed.
 */
char *memif_strerror(int err_code);

#ifdef __cplusplus
}
#endif

#endif /* _LIBMEMIF_H_ */
