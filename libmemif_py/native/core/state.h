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
    MIF_SIGNAL_UNTRUSTED = 1, /* the peer might make the eventfd blocking, to delay us */
    MIF_SIGNAL_LOCKED = 2,    /* bursts hold a lock that others need: mif_lock */
    MIF_SIGNAL_UNLOCKED = 4,  /* the burst has released it for now; guarded by that lock */
    MIF_SIGNAL_PAUSED = 8,    /* rx: bursts have masked the peer's signals; likewise */
};

struct mif_region {
    uint8_t *base;
    uint64_t size; /* as mapped; 0 = no such region */
};

/* Our private record of the buffer of one ring slot: our own as slave, the one that the peer posted
 * last as sending master. Two words only, because bursts read them in order. `word` is laid out
 * like the first word of a descriptor that offers the buffer: headroom:16 region:16 capacity:32.
 * Headroom is what a slave of version 512 wants left free at the beginning of data. */
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

/* A bounce buffer: memory of ours for a packet whose slots' buffers are not contiguous. */
struct mif_bounce {
    _Alignas(MIF_CACHE_LINE) struct mif_bounce *next; /* while it is spare */
    size_t capacity;                                  /* of data */
    _Alignas(MIF_CACHE_LINE) uint8_t data[];
};

/* A packet of several slots, recorded at its first slot. */
struct mif_chain {
    struct mif_bounce *bounce; /* or NULL: the slots' buffers are contiguous */
    uint32_t length;           /* bytes reserved or received */
    uint32_t segment;          /* set for each slot: the bytes in it */
    uint16_t count;            /* slots; 0 = no such packet starts here */
};

/* What ordinary bursts do not need. Of a sending queue: how entries that were refused or left out
 * are passed over; see chain.h. */
struct mif_order {
    uint64_t serial;   /* of the connection: no two have the same */
    uint64_t passed;   /* entries before it were sent or given up; 0 = none between done and next */
    uint64_t stopped;  /* done when a burst stopped early; while done is still there, */
    uint64_t optional; /* entries before this counter, reserved then, may be left out */
    uint64_t refused;  /* hash of that burst; 0 = not refused, its last chain had no end */
    struct mif_bounce *spare; /* bounce buffers for the next packets */
    size_t spare_bytes;       /* their capacities */
    bool reported;            /* the debug line that a packet never fits */
};

/* The region that was used last: consecutive descriptors mostly point to the same one. `max_packet`
 * is the longest packet that is received from there, at most `size`. `head` is the low half of a
 * descriptor that names the region and has no flags. */
struct mif_region_cache {
    uint8_t *base;
    uint64_t size;
    uint32_t max_packet;
    uint32_t head;
};

/* A slave's buffers while they form an array and each belongs to its own slot: then bursts need not
 * read the slot table. */
struct mif_buffer_array {
    uint8_t *data;   /* of slot 0; NULL = they form no array */
    uint64_t word;   /* the same in every slot */
    uint32_t stride; /* from one buffer to the next */
    uint32_t offset; /* of slot 0 in its region */
};

/* What a queue has done since its interface was made. */
struct mif_totals {
    uint64_t packets;
    uint64_t bytes;
    uint64_t full;    /* tx: bursts that found no room for all of their packets */
    uint64_t signals; /* tx: interrupts that were sent to the peer */
    uint64_t refused; /* tx: packets that could not be sent as their entries were */
};

/* What former links of a queue have done. */
struct mif_former {
    uint64_t packets;
    uint64_t bytes;
    uint64_t full;
    uint64_t signals;
};

struct mif_queue;

/* A burst on a queue that was entered; it leaves the queue at its end. `extra` is the size of
 * packets to reserve, or the headroom of buffers to post. `bufs` has the face's own type. */
typedef int mif_burst_fn(struct mif_queue *q, uint32_t extra, void *bufs, uint16_t count,
                         uint16_t *out);

/* Which burst function: the first two are of a receiving queue, the others of a sending one. */
enum mif_call { MIF_CALL_RX = 0, MIF_CALL_GIVE_BACK = 1, MIF_CALL_RESERVE = 0, MIF_CALL_TX = 1 };

/*
 * A queue. Counters run freely and never wrap; slot = counter & mask. In both directions
 *      done <= next <= limit <= done + capacity
 * rx: [done, next) is with the application, [next, limit) waits to be received.
 * tx: [done, next) is with the application, [next, limit) is free to be allocated.
 * A receiver that has not posted its buffers yet begins at done = next - capacity. That is below
 * zero, but only differences of counters are compared.
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
    struct mif_region_cache cache; /* of the last descriptor, and likely of the next one */
    uint64_t bytes;
    /* The third line: what only some bursts need. */
    struct mif_buffer_array buffers;
    uint64_t extra_slots; /* slots beyond the first of each packet */
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
    uint8_t tailroom;    /* unused bytes behind each buffer of ours */
    /* The fourth line: not needed in ordinary bursts. Everything above `before` is set up anew for
     * each connection. */
    uint64_t refused; /* tx: see mif_totals; of all links */
    uint64_t full;    /* tx: bursts that the ring had no room for */
    uint64_t signals; /* tx: interrupts sent */
    struct mif_order *order;
    struct mif_former before; /* of former links of the interface */
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
    atomic_bool faulted;         /* the thread that sets it also sets fault */
    char fault_text[80];         /* storage for a fault text with numbers */
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
