/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets that do not simply lie in their own slots, for both faces: those of several slots, and
 * those that are sent when others were refused.
 *
 * Who has a reserved slot. Entries of the application stand for slots between done and next, and
 * are sent in the order reserved. One that is refused keeps its slots: it may be mended and sent.
 * But the next packet may also be any other that was reserved at that moment, or the first that is
 * reserved later. What lies before it is given up then, and there is a gap: done is behind
 * `passed`, the first slot whose entry can still be sent. Over a gap packets move down: each is
 * laid out from done on, over slots that were given up and then its own, so there is always room
 * for it. No slot of a gap is published, for some peers take an empty packet for an error. When the
 * last reserved entry is sent what is left of the gap is free again.
 *
 * A packet that was sent shorter than reserved leaves its other slots as such a gap.
 *
 * While there is a gap, q->chains is not zero: the fast paths know none.
 */
#ifndef MIF_CHAIN_H
#define MIF_CHAIN_H

#include "datapath/engine.h"

/* ---- packets of several slots ---- */

/* The slots from next on that so many bytes take. */
struct mif_room {
    uint64_t length; /* what they hold */
    uint16_t count;
    bool contiguous;
};

/* Finds free slots for `size` bytes, at least one, and reserves none of them. MIF_STEP_WAIT: not
 * all are free. MIF_STEP_NEVER: nor will they ever be. */
enum mif_step mif_chain_measure(struct mif_queue *q, uint32_t size, struct mif_room *room);
/* Marks slot `first` as the start of a packet of `count` slots. Unless its bytes lie in one piece
 * it gets memory of ours, until mif_chain_end; the caller copies. */
enum mif_step mif_chain_begin(struct mif_queue *q, uint16_t first, uint16_t count, uint32_t length,
                              bool contiguous);
/* Forgets the mark and frees the memory; returns how many slots the packet took. */
uint16_t mif_chain_end(struct mif_queue *q, uint16_t first);

/* Where the bytes of a marked packet are for the application. */
static inline uint8_t *mif_chain_data(const struct mif_queue *q, uint16_t first)
{
    uint8_t *bounce = q->chain_of[first].bounce;
    return bounce != NULL ? bounce : q->slots[first].data;
}

/* ---- which entry is next ---- */

/* True if a counter is the first of a packet that is reserved and can still be sent. */
bool mif_begins_unsent(const struct mif_queue *q, uint64_t at);
/* True if a burst may go on with the entry of a slot: it is reserved, and what is reserved before
 * it may be left out. `at`: its counter. */
bool mif_may_send(const struct mif_queue *q, uint32_t slot, uint64_t *at);
/* The first counter whose entry can still be sent. */
static inline uint64_t mif_first_unsent(const struct mif_queue *q)
{
    return q->order->passed > q->done ? q->order->passed : q->done;
}
/* A burst stops at a chain whose end is not in it but may come yet: it stays reserved until then.
 */
void mif_wait_for_end(struct mif_queue *q);
/* A burst stops at an entry that cannot be sent; `hash` tells the burst from others and is not 0.
 * True if the very same one has stopped there before: a loop that would go on for ever. */
bool mif_refuse(struct mif_queue *q, uint64_t hash);
/* Takes back what is reserved from a counter on, which is the first of a packet. */
void mif_unreserve(struct mif_queue *q, uint64_t from);
/* Takes back all that is reserved if that before `end` was refused. False: it was not, or there is
 * nothing. */
bool mif_unreserve_refused(struct mif_queue *q, uint64_t end);

/* ---- sending ---- */

/* A packet on its way into slots: begin, its bytes piece by piece, end. */
struct mif_scatter {
    struct mif_queue *q;
    uint64_t first; /* of its own slots */
    uint64_t slot;  /* that is being filled */
    uint32_t used;  /* bytes of that one */
    uint64_t bytes; /* of the packet */
};

/* Gives up what is reserved before `first`, the packet's first own slot. */
void mif_scatter_begin(struct mif_scatter *scatter, struct mif_queue *q, uint64_t first);
/* The next bytes. They may lie in the slots that are being filled, in or behind their new place;
 * all in all they are no more than the packet's own slots hold. */
void mif_scatter_bytes(struct mif_scatter *scatter, const uint8_t *bytes, uint32_t length);
/* The packet is complete, which had `own` slots. */
void mif_scatter_end(struct mif_scatter *scatter, uint16_t own);

#endif
