/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections and queues: the C state behind a handle, who owns it and when it may go away.
 *
 * A handle is a number, not a pointer: the low bits say which cell it has, the rest is a serial
 * number that is never used twice. Nothing of the arena is unmapped while the process lives, so a
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
 * A cell that was closed waits in a line of at least MIF_QUARANTINE others before it is used
 * again: a thread that was suspended between looking a stale handle up and seeing that it does not
 * own the queue must not meet a new owner there.
 */
#ifndef MIF_CONNECTION_H
#define MIF_CONNECTION_H

#include "core/layout.h"

#include <stdbool.h>

/* -fstack-protector-strong guards whatever hands on the address of a local. In bursts and signals
 * that is a counter, or eight bytes for the kernel, and no array that could be overrun; the guard
 * would cost them up to an eighth. */
#if defined(__has_attribute)
#if __has_attribute(no_stack_protector)
#define MIF_NO_STACK_PROTECTOR __attribute__((no_stack_protector))
#endif
#endif
#ifndef MIF_NO_STACK_PROTECTOR
#define MIF_NO_STACK_PROTECTOR
#endif

struct mif_poller;

typedef int mif_interrupt_fn(void *handle, void *private_ctx, uint16_t qid);

/* How the indices of a ring are used, from our end. */
enum mif_kind {
    MIF_KIND_256_MASTER,
    MIF_KIND_256_SLAVE,
    MIF_KIND_512_MASTER,
    MIF_KIND_512_SLAVE,
};

enum mif_direction { MIF_RX, MIF_TX };

/* How a burst signals, as flags. */
enum mif_signal_mode {
    MIF_SIGNAL_UNTRUSTED = 1, /* the peer might make the eventfd a blocking one, to hold us up */
    MIF_SIGNAL_LOCKED = 2,    /* bursts hold a lock that others need: mif_lock */
    MIF_SIGNAL_UNLOCKED = 4,  /* right now the burst has let go of it; belongs to who holds it */
};

struct mif_region {
    uint8_t *base;
    uint64_t size; /* as mapped; 0 = no such region */
};

/* What we know, privately, of the buffer of one ring slot: ours as slave, the peer's last posted
 * one as sending master. Two words, for a burst walks over them. `word` is laid out as the first
 * word of a descriptor that offers the buffer: headroom:16 region:16 capacity:32. Headroom is what
 * a slave of version 512 wants left free at data. */
struct mif_slot {
    uint8_t *data;
    uint64_t word;
};

static inline uint32_t mif_slot_capacity(const struct mif_slot *slot)
{
    return (uint32_t)(slot->word >> 32);
}

static inline uint16_t mif_slot_region(const struct mif_slot *slot)
{
    return (uint16_t)(slot->word >> 16);
}

static inline uint16_t mif_slot_headroom(const struct mif_slot *slot)
{
    return (uint16_t)slot->word;
}

static inline void mif_slot_set(struct mif_slot *slot, uint8_t *data, uint32_t capacity,
                                uint16_t region, uint16_t headroom)
{
    *slot = (struct mif_slot){.data = data,
                              .word = headroom | (uint64_t)region << 16 | (uint64_t)capacity << 32};
}

static inline void mif_slot_set_region(struct mif_slot *slot, uint16_t region)
{
    slot->word = (slot->word & ~(uint64_t)0xFFFF0000) | (uint64_t)region << 16;
}

static inline void mif_slot_set_headroom(struct mif_slot *slot, uint16_t headroom)
{
    slot->word = (slot->word & ~(uint64_t)0xFFFF) | headroom;
}

/* A packet of several slots, noted at its first one. */
struct mif_chain {
    uint8_t *bounce;  /* memory of ours that stands in for scattered buffers, or NULL */
    uint32_t length;  /* bytes reserved or received */
    uint32_t segment; /* of each slot: the bytes that lie in it */
    uint16_t count;   /* slots; 0 = no such packet starts here */
};

/* Of a sending queue: where it is among entries that were refused or left out; see chain.h. */
struct mif_order {
    uint64_t passed;   /* entries before it were sent or given up; 0 = none between done and next */
    uint64_t stopped;  /* where done was when a burst stopped; as long as it is there, */
    uint64_t optional; /* what was reserved then, before this, may be left out */
    uint64_t refused;  /* which burst it was; 0 = it was not refused, its last chain had no end */
    bool reported;     /* that a packet never fits */
};

/* A region as it was last used: descriptors in a row mostly point to the same one. `max_packet` is
 * the longest packet that is received from there, at most `size`. */
struct mif_region_cache {
    uint8_t *base;
    uint64_t size;
    uint32_t max_packet;
    uint16_t index;
};

/* Where a slave's buffers lie when they lie in a row and are all in their own slots: then nothing
 * of the slot table has to be read. */
struct mif_buffer_array {
    uint8_t *data;   /* of slot 0; NULL = they do not */
    uint64_t word;   /* as in every slot */
    uint32_t stride; /* from one buffer to the next */
    uint32_t offset; /* of slot 0 in its region */
};

/* What a queue has done since its interface was made. */
struct mif_totals {
    uint64_t packets;
    uint64_t bytes;
    uint64_t full;    /* tx: bursts that found no room for all of their packets */
    uint64_t signals; /* tx: interrupts that were sent to the peer */
};

struct mif_queue;

/* A burst on a queue that was entered; leaves it. `extra` is the size of packets to reserve, or the
 * headroom of buffers to post. `bufs` is of the face's own type. */
typedef int mif_burst_fn(struct mif_queue *q, uint32_t extra, void *bufs, uint32_t count,
                         uint16_t *out);

/* Which burst function: of a receiving queue, of a sending one. */
enum mif_call { MIF_CALL_RX = 0, MIF_CALL_GIVE_BACK = 1, MIF_CALL_RESERVE = 0, MIF_CALL_TX = 1 };

/*
 * A queue. Counters run freely and never wrap; slot = counter & mask. In both directions
 *      done <= next <= limit <= done + capacity
 * rx: [done, next) is with the application, [next, limit) waits to be received.
 * tx: [done, next) is with the application, [next, limit) is free to be allocated.
 * A receiver that has yet to post its buffers begins at done = next - capacity, which is below
 * zero and compares like any other distance.
 *
 * The first two lines are what every burst touches; one thread writes them. Where another one looks
 * on (mif_queue_count), they are written with mif_store.
 */
struct mif_queue {
    _Alignas(4 * MIF_CACHE_LINE) _Atomic uintptr_t owner;
    _Atomic uint8_t busy;
    _Atomic uint8_t polling; /* rx: the application polls, the peer need not signal */
    uint16_t mask;
    uint16_t peer_raw; /* the peer's index as last read */
    uint16_t chains;   /* packets of several slots between done and next, and 1 for a gap there */
    uint64_t next;
    uint64_t done;
    uint64_t limit;
    _Atomic(mif_burst_fn *) call[2]; /* by enum mif_call */
    void *descs;
    /* The second line. */
    struct mif_slot *slots;
    _Atomic uint16_t *own_index;
    _Atomic uint16_t *peer_index;
    struct mif_ring *ring;
    struct mif_region_cache
        cache; /* where the last descriptor pointed: likely the next one's, too */
    uint64_t bytes;
    /* The third line: what one kind of burst or a rare one needs. */
    struct mif_buffer_array buffers;
    uint64_t extra_slots; /* slots that went on the packet of the slot before them */
    struct mif_region *regions;
    struct mif_chain *chain_of; /* by slot */
    int efd;
    uint32_t buffer_size; /* as configured; a master's peer may post others */
    uint16_t region_count;
    uint8_t qid;
    uint8_t region; /* of the ring */
    uint8_t kind;
    bool post_at_start;  /* slave rx: all buffers are posted when the connection comes up */
    uint8_t signal_mode; /* enum mif_signal_mode: how efd is signalled */
    uint8_t tailroom;    /* bytes behind each buffer of ours that are nobody else's */
    /* The fourth line: nothing that a burst needs. What is above `before` is set up anew for each
     * connection. */
    uint64_t serial;  /* of the connection: no two have the same */
    uint64_t full;    /* tx: bursts that the ring had no room for */
    uint64_t signals; /* tx: interrupts sent */
    struct mif_order *order;
    struct mif_totals before; /* of former connections of the interface */
};

_Static_assert(offsetof(struct mif_queue, slots) == MIF_CACHE_LINE, "queue layout");
_Static_assert(offsetof(struct mif_queue, buffers) == 2 * MIF_CACHE_LINE, "queue layout");
_Static_assert(sizeof(struct mif_slot) == 16, "slot layout");

/* The queues of one id. Of two sizes that would do this is the one that is found by a shift. */
struct mif_queue_pair {
    struct mif_queue rx;
    struct mif_queue tx;
};

_Static_assert(sizeof(struct mif_queue_pair) == 512, "queue layout");

struct mif_connection {
    _Atomic uintptr_t handle; /* 0 = free cell */
    _Atomic uint32_t up;
    _Atomic int control_fd;      /* -1 = none; shut down when the peer breaks the rules */
    _Atomic(const char *) fault; /* what the data path found wrong; NULL = nothing */
    atomic_bool faulted;         /* whoever sets it says what is wrong */
    char fault_text[80];         /* where what is wrong has numbers in it */
    _Atomic(mif_interrupt_fn *) interrupt;
    _Atomic(void *) private_ctx;
    struct mif_poller *poller; /* NULL or the group it belongs to, whose allocator serves it */
    _Atomic uint16_t rx_count; /* mif_why_not reads them at any time */
    _Atomic uint16_t tx_count;
    uint16_t region_count;
    uint32_t max_packet;            /* bytes of the longest packet that is received */
    struct mif_lease *lease;        /* NULL while nobody has taken one */
    bool external[MIF_MAX_REGIONS]; /* regions that the application mapped and takes back */
    struct mif_region regions[MIF_MAX_REGIONS];
};

/*
 * Where connections and queues are. All of it can be read at any time, so that a handle is looked
 * up by arithmetic alone; it can be written where a cell was opened and where a queue was added.
 * Queues of the same id lie side by side, whosever they are: most interfaces have one each way, and
 * so they share pages without sharing lines.
 */
struct mif_arena {
    uint8_t *queues;      /* pairs: by queue id, then by cell */
    uint8_t *connections; /* by cell */
    uint64_t cell_mask;   /* cells are a power of two */
    uint64_t qid_stride;  /* from the pairs of one queue id to those of the next */
};
/* Set once; before that, one where no handle finds itself. Hidden here too, so that it is found
 * without a table. */
extern __attribute__((visibility("hidden"))) _Atomic(const struct mif_arena *) mif_arena;

/* A handle is serial << MIF_CELL_BITS | cell. */
#define MIF_CELL_BITS 12
#define MIF_MAX_CELLS (1u << MIF_CELL_BITS)
#ifdef __x86_64__
#define MIF_PAGE 4096u
#else
#define MIF_PAGE 65536u /* the largest there is */
#endif
#define MIF_CELL_STRIDE ((sizeof(struct mif_connection) + MIF_PAGE - 1) / MIF_PAGE * MIF_PAGE)
#define MIF_QUARANTINE 64

static inline const struct mif_arena *mif_the_arena(void)
{
    return atomic_load_explicit(&mif_arena, memory_order_acquire);
}

/* The connection that a handle names, or NULL. */
static inline struct mif_connection *mif_lookup(const void *handle)
{
    const struct mif_arena *arena = mif_the_arena();
    size_t cell = (uintptr_t)handle & arena->cell_mask;
    struct mif_connection *conn = (void *)(arena->connections + cell * MIF_CELL_STRIDE);
    if (handle == NULL ||
        atomic_load_explicit(&conn->handle, memory_order_relaxed) != (uintptr_t)handle)
        return NULL;
    return conn;
}

/* Where the queue of a handle is, if the handle is good. */
static inline struct mif_queue *mif_queue_at(const void *handle, uint32_t qid,
                                             enum mif_direction direction)
{
    const struct mif_arena *arena = mif_the_arena();
    size_t cell = (uintptr_t)handle & arena->cell_mask;
    struct mif_queue_pair *pair =
        (void *)(arena->queues + cell * sizeof(*pair) + qid * arena->qid_stride);
    return direction == MIF_RX ? &pair->rx : &pair->tx;
}

/* Enters a queue for a burst: NULL, or a queue that stays mapped until mif_leave. What belongs to
 * somebody else is looked at before anything is written. */
static inline struct mif_queue *mif_enter(const void *handle, uint32_t qid,
                                          enum mif_direction direction)
{
    if (__builtin_expect(handle == NULL || qid >= MIF_MAX_QUEUES, 0))
        return NULL;
    struct mif_queue *q = mif_queue_at(handle, qid, direction);
    __asm__("" : "+r"(q)); /* computed once, and not anew for each member */
    if (q == NULL)
        __builtin_unreachable(); /* so that callers look no further than whether they got one */
    if (__builtin_expect(atomic_load_explicit(&q->owner, memory_order_relaxed) != (uintptr_t)handle,
                         0))
        return NULL;
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
    size_t at = (size_t)((const uint8_t *)queue - mif_the_arena()->queues);
    size_t in_pair = at % sizeof(struct mif_queue_pair);
    return in_pair == offsetof(struct mif_queue_pair, rx) ? MIF_RX : MIF_TX;
}

/* The same for a queue that an entry of the application names; NULL also when it names none. */
static inline struct mif_queue *mif_enter_queue(void *pointer)
{
    const struct mif_arena *arena = mif_the_arena();
    size_t at = (uintptr_t)pointer - (uintptr_t)arena->queues;
    if (at >= MIF_MAX_QUEUES * arena->qid_stride || at % sizeof(struct mif_queue) != 0)
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
int mif_why_not(const void *handle, uint32_t qid, enum mif_direction direction);

/* The peer broke the rules: note why and have the control plane close the connection. Called
 * inside a burst; the reason must be a string constant. */
__attribute__((cold)) void mif_fault(struct mif_queue *q, const char *reason);
/* The same of a packet that has at least `length` bytes, more than are received. */
__attribute__((cold)) void mif_fault_too_long(struct mif_queue *q, uint64_t length);

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
    uint8_t tailroom;               /* bytes between one buffer and the next, without offsets */
    uint8_t post_at_start;
    /* both */
    uint32_t buffer_size;
    uint8_t untrusted; /* the peer might make efd a blocking one: signal as signals.c says */
};

/* A new handle, never NULL on success. interrupt may be NULL. */
int mif_connection_open(void **handle, struct mif_poller *poller, mif_interrupt_fn *interrupt,
                        void *private_ctx);
/* Packets of more than so many bytes, MIF_MAX_PACKET unless set, end the connection that brings
 * them. Before queues are added. */
void mif_connection_limit(void *handle, uint32_t max_packet);
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
/* Unmaps and frees what map and add_queue took. The connection must be down. Whatever the code, it
 * is released; a region that the kernel would not unmap stays mapped. */
int mif_connection_release(void *handle);
/* What the data path found wrong with the peer, or NULL. */
const char *mif_connection_fault(void *handle);
/* Both: a core error code; DISCONNECTED and QID as for bursts. */
int mif_queue_set_polling(void *handle, uint16_t qid, int polling);
int mif_queue_efd(void *handle, uint16_t qid, int *fd);
/* Takes a late signal away from an rx queue whose application polls. */
void mif_queue_drop_signal(void *handle, uint16_t qid);

/*
 * A lease keeps the regions of a connection mapped beyond its end, for whoever hands out views of
 * them that it cannot take back. Taken inside a burst; NULL: out of memory. Regions that are the
 * application's are not covered.
 */
struct mif_lease;
struct mif_lease *mif_lease_take(struct mif_connection *conn);
void mif_lease_drop(struct mif_lease *lease);
/* True if [data, data + length) lies in one region of the connection that is mapped now. Only
 * inside a burst. */
bool mif_is_mapped(const struct mif_connection *conn, const uint8_t *data, size_t length);

/* What a queue has done; zeroes when the interface has no such queue. Any thread, at any time. */
void mif_queue_totals(const void *handle, uint16_t qid, int is_tx, struct mif_totals *totals);

/* For details; what is read may be on its way to change. */
struct mif_queue_state {
    uint16_t region, head, tail;
    uint8_t polling;
    uint32_t buffer_size; /* as configured; of a sending master, as the peer has posted them */
};
int mif_queue_look(void *handle, uint16_t qid, int is_tx, struct mif_queue_state *state);
/* Address and size of a region; size 0 = there is none. */
int mif_region_look(void *handle, uint16_t index, void **base, uint64_t *size);

/* For who looks again and again whether another thread has come to its end: yields in the first
 * MIF_YIELDS turns, then sleeps, for no yield of a thread of SCHED_FIFO lets a lesser one run. */
enum { MIF_YIELDS = 100 };
void mif_wait_a_little(unsigned turn);

/* By the face that is linked in: chooses the burst functions of a queue, by its version, role and
 * mode and by what the processor has. */
void mif_face_bind(struct mif_queue *q, enum mif_direction direction);

/* One-time set-up of the arena, membarrier and fork protection. */
int mif_data_path_init(void);
/* True in a child that was forked after mif_data_path_init, until mif_start_over. */
bool mif_in_forked_child(void);
/* Makes the data path work in a forked child: there are no connections and no watches then, and
 * what the parent had is not touched. Before any other thread is started; the interpreter's
 * extension calls it, the C libraries refuse to work in a child. SUCCESS, or an error and all stays
 * refused. */
int mif_start_over(void);
/* Changes with every fork that leads to this process: whether something was inherited. */
uint32_t mif_generation(void);

#endif
