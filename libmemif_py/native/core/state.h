/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C state behind a handle: a connection, its regions and its queues. Data only; what is done
 * with it is in the files that are named after the parts.
 *
 * Ownership. The control plane builds a connection (regions, queues), brings it up, takes it down
 * and releases it; it calls these functions from one thread at a time. The data path runs bursts in
 * any thread, one thread per queue at a time. See arena.h for how the two exclude each other.
 */
#ifndef MIF_STATE_H
#define MIF_STATE_H

#include "core/layout.h"

#include <stdbool.h>

struct mif_allocator;
struct mif_lease;
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
 * on (mif_queue_totals), they are written with mif_store.
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

/* The queues of one id. Padded to a power of two, so that the address of a pair is a shift. */
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
    struct mif_poller *poller;             /* NULL, or the group that it belongs to */
    const struct mif_allocator *allocator; /* NULL: the C library's */
    _Atomic uint16_t rx_count;             /* mif_why_not reads them at any time */
    _Atomic uint16_t tx_count;
    uint16_t region_count;
    uint32_t max_packet;            /* bytes of the longest packet that is received */
    struct mif_lease *lease;        /* NULL while nobody has taken one */
    bool external[MIF_MAX_REGIONS]; /* regions that the application mapped and takes back */
    struct mif_region regions[MIF_MAX_REGIONS];
};

#endif
