/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets that do not simply lie in their own slots, for both faces: those of several slots, and
 * those that are sent after others were refused.
 *
 * Reserved slots. The program's entries stand for slots between done and next, and are sent in the
 * order in which they were reserved. An entry that is refused keeps its slots: the program may
 * correct and send it. But the next packet may also be any other that was reserved at that moment,
 * or the first that is reserved later. Then the slots before it are given up and form a gap: done
 * is behind `passed`, the first slot whose entry can still be sent. Packets after a gap are moved
 * down: each is laid out from done on, over slots that were given up and then its own, so there is
 * always room for it. No slot of a gap is published, because some peers take an empty packet for an
 * error. When the last reserved entry is sent the rest of the gap is free again.
 *
 * A packet that was sent shorter than reserved leaves its other slots as such a gap.
 *
 * While there is a gap, q->chains is not zero, so the fast paths never meet one.
 */
#ifndef MIF_CHAIN_H
#define MIF_CHAIN_H

#include "datapath/engine.h"

/* ---- packets of several slots ---- */

/* The slots from next on that a packet takes. */
struct mif_room {
    uint64_t length; /* bytes that they hold */
    uint16_t count;
    bool contiguous;
};

/* Finds free slots for `size` bytes, at least one slot, and reserves none of them. MIF_STEP_WAIT:
 * not enough are free. MIF_STEP_NEVER: there will never be enough. */
enum mif_step mif_chain_measure(struct mif_queue *q, uint32_t size, struct mif_room *room);
/* Marks slot `first` as the start of a packet of `count` slots. Unless its bytes are contiguous it
 * gets a bounce buffer, until mif_chain_end; the caller copies. */
enum mif_step mif_chain_begin(struct mif_queue *q, uint16_t first, uint16_t count, uint32_t length,
                              bool contiguous);
/* Removes the mark and gives the bounce buffer back; returns how many slots the packet took. */
uint16_t mif_chain_end(struct mif_queue *q, uint16_t first);

/* The address of a marked packet's bytes for the program. */
static inline uint8_t *mif_chain_data(const struct mif_queue *q, uint16_t first)
{
    struct mif_bounce *bounce = q->chain_of[first].bounce;
    return bounce != NULL ? bounce->data : q->slots[first].data;
}

/* ---- which entry is next ---- */

/* True if a counter is the first of a packet that is reserved and can still be sent. */
bool mif_begins_unsent(const struct mif_queue *q, uint64_t at);
/* True if a burst may continue with the entry of a slot: the slot is reserved, and the entries that
 * were reserved before it may be left out. `at`: its counter. */
bool mif_may_send(const struct mif_queue *q, uint32_t slot, uint64_t *at);
/* The first counter whose entry can still be sent. */
static inline uint64_t mif_first_unsent(const struct mif_queue *q)
{
    return q->order->passed > q->done ? q->order->passed : q->done;
}
/* A burst stops at a chain whose end is not in the burst but may still come. The chain stays
 * reserved until then. */
void mif_wait_for_end(struct mif_queue *q);
/* A burst stops at an entry that cannot be sent; `hash` is the burst's, not 0. True if the same
 * burst has stopped there before: a loop that would never end. */
bool mif_refuse(struct mif_queue *q, uint64_t hash);
/* Takes back the reservations from a counter on, which is the first of a packet. */
void mif_unreserve(struct mif_queue *q, uint64_t from);
/* Takes back all reservations if those before `end` were refused. False: they were not, or there
 * are none. */
bool mif_unreserve_refused(struct mif_queue *q, uint64_t end);

/* ---- sending ---- */

/* A packet that is being copied to slots: begin, its bytes piece by piece, end. */
struct mif_scatter {
    struct mif_queue *q;
    uint64_t first; /* of its own slots */
    uint64_t slot;  /* that is being filled */
    uint32_t used;  /* bytes of that one */
    uint64_t bytes; /* of the packet */
};

/* Gives up what is reserved before `first`, the packet's first own slot. */
void mif_scatter_begin(struct mif_scatter *scatter, struct mif_queue *q, uint64_t first);
/* Adds bytes. They may lie in the slots that are being filled, at or after their new address; in
 * total they are at most what the packet's own slots hold. */
void mif_scatter_bytes(struct mif_scatter *scatter, const uint8_t *bytes, uint32_t length);
/* The packet is complete. It had `own` slots. */
void mif_scatter_end(struct mif_scatter *scatter, uint16_t own);

#endif
