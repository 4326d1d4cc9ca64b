/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections and queues: the C state behind a handle, who owns it and when it may go away.
 *
 * A handle is a number, not a pointer: the low bits select a slot of the arena, the rest is a
 * serial number that is never used twice. Slots are never unmapped while the process lives, so a
 * stale or made-up handle can be looked up safely and simply matches nothing.
 *
 * Ownership. One side, the control plane, builds a connection (regions, queues), raises it, takes
 * it down and releases it; it calls these functions from one thread at a time. The other side, the
 * data path, runs bursts in any thread, one thread per queue at a time.
 *
 * Tear-down protocol, per queue (asymmetric, so that a burst pays no fence):
 *
 *      burst                                    control
 *      busy = 1             (plain store)       owner = 0           (plain store)
 *      owner == handle ?    (load)              membarrier()        full fence on every thread
 *      ... use the queue ...                    while (busy) wait
 *      busy = 0             (release)           ... unmap ...
 *
 * After the membarrier either the burst has seen owner == 0 and touches nothing, or control sees
 * busy == 1 and waits. The two stores and loads of the burst may be reordered by the processor but
 * not across the membarrier, and the compiler is held off by a signal fence.
 *
 * A slot that was closed waits in a line of at least MIF_QUARANTINE others before it is used
 * again: a thread that was suspended between looking a stale handle up and seeing that it does not
 * own the queue must not meet a new owner there.
 */
#ifndef MIF_CONNECTION_H
#define MIF_CONNECTION_H

#include "layout.h"

#include <stdbool.h>

struct mif_hub;

typedef int mif_interrupt_fn(void *handle, void *private_ctx, uint16_t qid);

/* How the indices of a ring are used, from our end. */
enum mif_kind {
    MIF_KIND_1_MASTER,
    MIF_KIND_1_SLAVE,
    MIF_KIND_2_MASTER,
    MIF_KIND_2_SLAVE,
};

enum mif_direction { MIF_RX, MIF_TX };

struct mif_region {
    uint8_t *base;
    uint64_t size; /* as mapped; 0 = no such region */
    bool foreign;  /* the application mapped it and takes it back */
};

/* What we know, privately, of one ring slot. */
struct mif_slot {
    uint8_t *data;     /* slave: our buffer; master tx: the buffer the peer posted, checked */
    uint32_t capacity; /* bytes at data */
    uint32_t segment;  /* bytes of a packet of several slots that lie in this one */
    uint64_t offset;   /* slave: of data in its region, to post it again */
    uint32_t headroom; /* slave rx: bytes at data that the peer was told to leave free */
    uint16_t region;
    uint16_t chain;  /* first slot of a packet of several: how many; else 0 */
    uint32_t length; /* of such a packet: bytes reserved or received */
    uint8_t *bounce; /* of such a packet: memory of ours that stands in for scattered buffers */
};

/*
 * A queue. Counters run freely; slot = counter & mask. In both directions
 *      done <= next <= limit <= done + capacity
 * rx: [done, next) is with the application, [next, limit) waits to be received.
 * tx: [done, next) is with the application, [next, limit) is free to be allocated.
 */
struct mif_queue {
    /* The line that every burst touches. */
    _Alignas(MIF_CACHE_LINE) _Atomic uintptr_t owner;
    _Atomic uint32_t busy;
    uint16_t next;
    uint16_t done;
    uint16_t limit;
    uint16_t peer_raw; /* the peer's index as last read */
    uint16_t mask;
    uint16_t capacity;
    uint8_t kind;
    _Atomic uint8_t polling; /* rx: the application polls, the peer need not signal */
    uint16_t region_count;
    _Atomic uint16_t *own_index;
    _Atomic uint16_t *peer_index;
    void *descs;
    struct mif_slot *slots;
    /* Less often. */
    struct mif_region *regions;
    struct mif_ring *ring;
    int efd;
    uint16_t qid;
    uint16_t region;
    uint16_t chains;      /* packets of several slots between done and next */
    uint32_t buffer_size; /* as configured; a master's peer may post others */
    bool post_at_start;   /* slave rx: all buffers are posted when the connection comes up */
    _Atomic uint64_t packets;
    _Atomic uint64_t bytes;
};

struct mif_queue_pair {
    struct mif_queue rx;
    struct mif_queue tx;
};

struct mif_connection {
    _Atomic uintptr_t handle; /* 0 = free slot */
    _Atomic uint32_t up;
    _Atomic int control_fd;      /* -1 = none; shut down when the peer breaks the rules */
    _Atomic(const char *) fault; /* what the data path found wrong; NULL = nothing */
    _Atomic(mif_interrupt_fn *) interrupt;
    void *private_ctx;
    struct mif_hub *hub; /* NULL or the group it belongs to, whose allocator serves it */
    uint16_t rx_count;
    uint16_t tx_count;
    uint16_t region_count;
    struct mif_region regions[MIF_MAX_REGIONS];
    struct mif_queue_pair queues[MIF_MAX_QUEUES];
};

/* The arena. Read by the data path without a lock: base and stride never change once set, opened
 * only grows. */
struct mif_arena {
    uint8_t *base;
    _Atomic uint32_t opened;
};
extern struct mif_arena mif_arena;

#define MIF_SLOT_BITS 12
#define MIF_SLOT_STRIDE ((sizeof(struct mif_connection) + 4095u) & ~(size_t)4095u)
#define MIF_QUARANTINE 64

static inline struct mif_connection *mif_slot_of(uintptr_t handle)
{
    uint32_t index = (uint32_t)(handle & ((1u << MIF_SLOT_BITS) - 1));
    if (index >= atomic_load_explicit(&mif_arena.opened, memory_order_acquire))
        return NULL;
    return (struct mif_connection *)(void *)(mif_arena.base + (size_t)index * MIF_SLOT_STRIDE);
}

/* The connection that a handle names, or NULL. */
static inline struct mif_connection *mif_lookup(const void *handle)
{
    struct mif_connection *conn = mif_slot_of((uintptr_t)handle);
    if (conn == NULL || handle == NULL ||
        atomic_load_explicit(&conn->handle, memory_order_relaxed) != (uintptr_t)handle)
        return NULL;
    return conn;
}

/* Enters a queue for a burst: NULL, or a queue that stays mapped until mif_leave. */
static inline struct mif_queue *mif_enter(const void *handle, uint16_t qid,
                                          enum mif_direction direction)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (__builtin_expect(conn == NULL || qid >= MIF_MAX_QUEUES, 0))
        return NULL;
    struct mif_queue *q = direction == MIF_RX ? &conn->queues[qid].rx : &conn->queues[qid].tx;
    atomic_store_explicit(&q->busy, 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    if (__builtin_expect(atomic_load_explicit(&q->owner, memory_order_acquire) != (uintptr_t)handle,
                         0)) {
        atomic_store_explicit(&q->busy, 0, memory_order_release);
        return NULL;
    }
    return q;
}

/* Of a queue of the arena. */
static inline enum mif_direction mif_direction_of(const void *queue)
{
    size_t in_slot = ((uintptr_t)queue - (uintptr_t)mif_arena.base) % MIF_SLOT_STRIDE;
    size_t in_pair =
        (in_slot - offsetof(struct mif_connection, queues)) % sizeof(struct mif_queue_pair);
    return in_pair == offsetof(struct mif_queue_pair, rx) ? MIF_RX : MIF_TX;
}

/* The same for a queue that an entry of the application names; NULL also when it names none. */
static inline struct mif_queue *mif_enter_queue(void *pointer)
{
    size_t at = (uintptr_t)pointer - (uintptr_t)mif_arena.base;
    size_t in_slot = at % MIF_SLOT_STRIDE - offsetof(struct mif_connection, queues);
    if (at / MIF_SLOT_STRIDE >= atomic_load_explicit(&mif_arena.opened, memory_order_acquire) ||
        in_slot >= sizeof(((struct mif_connection *)NULL)->queues) ||
        in_slot % sizeof(struct mif_queue) != 0)
        return NULL;
    struct mif_queue *q = pointer;
    uintptr_t owner = atomic_load_explicit(&q->owner, memory_order_acquire);
    return owner == 0 ? NULL : mif_enter((void *)owner, q->qid, mif_direction_of(q));
}

static inline void mif_leave(struct mif_queue *q)
{
    atomic_store_explicit(&q->busy, 0, memory_order_release);
}

/* Why mif_enter said no: NOCONN, DISCONNECTED or QID. */
int mif_why_not(const void *handle, uint16_t qid, enum mif_direction direction);

/* The peer broke the rules: note why and have the control plane close the connection. Called
 * inside a burst; the reason must be a string constant. */
void mif_fault(struct mif_queue *q, const char *reason);

/* ---- For the control plane; one thread at a time. All return a core error code. ---- */

struct mif_queue_config {
    uint16_t version; /* 256 or 512 */
    uint8_t is_slave;
    uint8_t is_tx;
    uint16_t qid;
    uint16_t region; /* of the ring */
    uint64_t offset;
    uint8_t log2_ring_size;
    int efd;
    /* slave only: where its buffers lie, slot by slot */
    uint16_t buffer_region;
    uint64_t buffer_offset;
    const uint32_t *buffer_offsets; /* NULL, or of each slot's buffer, instead of buffer_offset */
    uint8_t post_at_start;
    /* both */
    uint32_t buffer_size;
};

/* A new handle, never NULL on success. interrupt may be NULL. */
int mif_connection_open(void **handle, struct mif_hub *hub, mif_interrupt_fn *interrupt,
                        void *private_ctx);
/* Ends a handle. The connection must have been released. */
void mif_connection_close(void *handle);
/* Maps size bytes of fd as region index. The fd stays the caller's. */
int mif_connection_map(void *handle, uint16_t index, int fd, uint64_t size);
/* Takes memory that the application has mapped as region index; it stays the application's. */
int mif_connection_adopt(void *handle, uint16_t index, void *base, uint64_t size);
/* As slave: writes the ring header and descriptors. As master: checks the cookie. */
int mif_connection_add_queue(void *handle, const struct mif_queue_config *config);
/* Opens all queues to bursts. control_fd is what mif_fault shuts down. */
int mif_connection_up(void *handle, int control_fd);
/* Closes all queues to bursts and waits until none is inside. Buffers stay readable. */
void mif_connection_down(void *handle);
/* Unmaps and frees what map and add_queue took. The connection must be down. */
void mif_connection_release(void *handle);
/* What the data path found wrong with the peer, or NULL. */
const char *mif_connection_fault(void *handle);
void mif_connection_set_interrupt(void *handle, mif_interrupt_fn *interrupt);
/* Both: a core error code; DISCONNECTED and QID as for bursts. */
int mif_queue_set_polling(void *handle, uint16_t qid, int polling);
int mif_queue_efd(void *handle, uint16_t qid, int *fd);

/* For details; what is read may be on its way to change. */
struct mif_queue_state {
    uint16_t region, head, tail;
    uint8_t polling;
};
int mif_queue_look(void *handle, uint16_t qid, int is_tx, struct mif_queue_state *state);
/* Address and size of a region; size 0 = there is none. */
int mif_region_look(void *handle, uint16_t index, void **base, uint64_t *size);

/* One-time set-up of the arena, membarrier and fork protection. */
int mif_data_path_init(void);
/* True in a child that was forked after mif_data_path_init. */
bool mif_in_forked_child(void);

#endif
