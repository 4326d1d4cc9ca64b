/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where connections and queues are, how a handle leads there, and how a burst enters a queue.
 *
 * A handle is a number, not a pointer: bits 9 to 20 say which cell of the arena it has, the bits
 * above are a serial number that is never used twice. So the handle with all other bits masked out
 * is the distance from the first cell's queues to those of this one. Nothing of the arena is
 * unmapped while the process lives, so a stale or made-up handle can be looked up safely and simply
 * matches nothing.
 *
 * A queue that is up has an owner: handle and queue id in one word that is not 0 (mif_owner). A
 * burst makes that word of its arguments and compares. This checks all at once: the handle, that it
 * is not NULL, and the queue id, of which the address takes the low 8 bits only. A word equals that
 * of the queue where it is looked up only if handle and queue id do: the same cell means that
 * the handles differ by less than 2^9 or by more than 2^20, while the queue ids differ by a
 * multiple of 2^8 that is less than 2^16. A smaller arena has fewer bits for the cell, and
 * "more than 2^20" becomes half of what its cells span: 2^16 at least (MIF_LEAST_CELLS).
 *
 * Tear-down protocol, per queue (asymmetric, so that a burst needs no fence):
 *
 *      burst                                    control
 *      busy = 1             (plain store)       owner = 0           (plain store)
 *      owner == handle ?    (load)              membarrier()        full fence on every thread
 *      ... use the queue ...                    while (busy) wait
 *      busy = 0             (release)           ... unmap ...
 *
 * After the membarrier either the burst has seen owner == 0 and touches nothing, or control sees
 * busy == 1 and waits. The processor may reorder the burst's store and load, but not across the
 * membarrier; a signal fence keeps the compiler from reordering them.
 *
 * A closed cell waits in quarantine behind at least MIF_QUARANTINE others before it is used again:
 * a thread that was suspended between looking up a stale handle and seeing that it does not own the
 * queue must not meet a new owner there.
 */
#ifndef MIF_ARENA_H
#define MIF_ARENA_H

#include "core/state.h"

/*
 * All of it can be read at any time, so that a handle is looked up by arithmetic alone. It can be
 * written where a cell was opened and where a queue was added. The queues of all interfaces with
 * the same id lie side by side: most interfaces have one each way, and so they share pages without
 * sharing cache lines.
 */
struct mif_arena {
    uint8_t *queues;      /* pairs: by queue id, then by cell */
    uint8_t *connections; /* by cell */
    uint64_t cell_mask;   /* the bits of a handle that say its cell; cells are a power of two */
    uint64_t qid_stride;  /* from the pairs of one queue id to those of the next */
};
/* Set once; before that it points to a placeholder, in which every lookup fails. Declared hidden
 * here too, so that code reaches it without the global offset table. */
extern __attribute__((visibility("hidden"))) _Atomic(const struct mif_arena *) mif_arena;

/* A handle is serial << MIF_SERIAL_SHIFT | cell << MIF_CELL_SHIFT. */
#define MIF_CELL_SHIFT 9
#define MIF_SERIAL_SHIFT 21
#define MIF_MAX_CELLS (1u << (MIF_SERIAL_SHIFT - MIF_CELL_SHIFT))
#define MIF_LEAST_CELLS (1u << (17 - MIF_CELL_SHIFT))
_Static_assert(sizeof(struct mif_queue_pair) == 1u << MIF_CELL_SHIFT, "cells by masking a handle");
_Static_assert(MIF_LEAST_CELLS << (MIF_CELL_SHIFT - 1) >= 1u << 16, "no queue id makes up for it");
#ifdef __x86_64__
#define MIF_PAGE 4096u
#else
#define MIF_PAGE 65536u /* the largest page size there is */
#endif
#define MIF_CELL_STRIDE ((sizeof(struct mif_connection) + MIF_PAGE - 1) / MIF_PAGE * MIF_PAGE)
#define MIF_QUARANTINE 64

static inline const struct mif_arena *mif_the_arena(void)
{
    return atomic_load_explicit(&mif_arena, memory_order_acquire);
}

/* The number of the cell that a handle has, good or not. */
static inline uint32_t mif_cell_of(const void *handle)
{
    return (uint32_t)(((uintptr_t)handle & mif_the_arena()->cell_mask) >> MIF_CELL_SHIFT);
}

/* The owner of a queue that is up; 0 for some numbers that are no handles. */
static inline uintptr_t mif_owner(const void *handle, uint32_t qid)
{
    return (uintptr_t)handle + (qid + 1);
}

/* The handle that owns a queue, or NULL. */
static inline void *mif_handle_of(const struct mif_queue *q)
{
    uintptr_t owner = atomic_load_explicit(&q->owner, memory_order_acquire);
    return owner == 0 ? NULL : (void *)(owner - q->qid - 1);
}

/* The connection that a handle names, or NULL. */
static inline struct mif_connection *mif_lookup(const void *handle)
{
    const struct mif_arena *arena = mif_the_arena();
    struct mif_connection *conn =
        (void *)(arena->connections + mif_cell_of(handle) * MIF_CELL_STRIDE);
    if (handle == NULL ||
        atomic_load_explicit(&conn->handle, memory_order_relaxed) != (uintptr_t)handle)
        return NULL;
    return conn;
}

/* Where the queue of a handle is, if the handle is good and the id that of a queue. */
static inline struct mif_queue *mif_queue_at(const void *handle, uint32_t qid,
                                             enum mif_direction direction)
{
    const struct mif_arena *arena = mif_the_arena();
    struct mif_queue_pair *pair = (void *)(arena->queues + ((uintptr_t)handle & arena->cell_mask) +
                                           (uint8_t)qid * arena->qid_stride);
    return direction == MIF_RX ? &pair->rx : &pair->tx;
}

/* Enters a queue for a burst: NULL, or a queue that stays mapped until mif_leave. The queue id has
 * 16 bits. The owner is checked first, so that nothing is written to a queue of another handle. */
static inline struct mif_queue *mif_enter(const void *handle, uint32_t qid,
                                          enum mif_direction direction)
{
    const uintptr_t owner = mif_owner(handle, qid);
    if (__builtin_expect(owner == 0, 0))
        return NULL; /* a queue without an owner has that one */
    struct mif_queue *q = mif_queue_at(handle, qid, direction);
    __asm__("" : "+r"(q)); /* so that the address is computed once, not for each member */
    if (q == NULL)
        __builtin_unreachable(); /* so that the caller's check for NULL costs nothing here */
    if (__builtin_expect(atomic_load_explicit(&q->owner, memory_order_relaxed) != owner, 0))
        return NULL;
    atomic_store_explicit(&q->busy, 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    if (__builtin_expect(atomic_load_explicit(&q->owner, memory_order_acquire) != owner, 0)) {
        atomic_store_explicit(&q->busy, 0, memory_order_release);
        return NULL;
    }
    return q;
}

/* The direction of a queue of the arena. */
static inline enum mif_direction mif_direction_of(const void *queue)
{
    size_t at = (size_t)((const uint8_t *)queue - mif_the_arena()->queues);
    size_t in_pair = at % sizeof(struct mif_queue_pair);
    return in_pair == offsetof(struct mif_queue_pair, rx) ? MIF_RX : MIF_TX;
}

/* Enters the queue that an entry of the program names; NULL also when the entry names none. */
static inline struct mif_queue *mif_enter_queue(void *pointer)
{
    const struct mif_arena *arena = mif_the_arena();
    size_t at = (uintptr_t)pointer - (uintptr_t)arena->queues;
    if (at >= MIF_MAX_QUEUES * arena->qid_stride || at % sizeof(struct mif_queue) != 0)
        return NULL;
    struct mif_queue *q = pointer;
    const void *handle = mif_handle_of(q);
    return handle == NULL ? NULL : mif_enter(handle, q->qid, mif_direction_of(q));
}

static inline void mif_leave(struct mif_queue *q)
{
    atomic_store_explicit(&q->busy, 0, memory_order_release);
}

/* The error when mif_enter gave NULL: NOCONN, DISCONNECTED or QID. */
int mif_why_not(const void *handle, uint32_t qid, enum mif_direction direction);

/* ---- for the set-up and connection.c; all return a core error code, unless said ---- */

/* Reserves the address range, once; handles still lead nowhere. */
int mif_arena_reserve(void);
/* From here on handles can be looked up. */
void mif_arena_publish(void);
bool mif_arena_is_published(void);
/* Takes a cell and a handle for it that was never used. The handle leads there when the caller has
 * stored it in the connection. */
int mif_arena_take(struct mif_connection **conn, uintptr_t *handle);
/* Puts the cell of a handle into quarantine; it reads as zeroes from then on. */
void mif_arena_give_back(const void *handle);
/* Makes the queues of an id writable up to the cell of a handle. */
int mif_arena_open_queues(const void *handle, uint32_t qid);
/* True if they are. */
bool mif_arena_has_queues(const void *handle, uint32_t qid);
/* Makes the pages of queues pages of the segment, so that other processes can read counters; pages
 * that are opened later are so from the start. The other undoes it. Queues read as zeroes after
 * both, so no connection may be open. */
void mif_arena_share(void);
void mif_arena_unshare(void);
/* In a forked child: the queues are copies of the parent's, and none has an owner any more. */
void mif_arena_forked(void);
/* In a forked child: all cells are free and read as zeroes. */
int mif_arena_start_over(void);

#endif
