/* SPDX-License-Identifier: Apache-2.0 */
/* Any queue of which mif_invariant is true. */
#ifndef STATE_H
#define STATE_H

#include "invariant.h"
#include "unchecked_begin.h"

/* A pointer into an object, or one byte behind it. */
static uint8_t *somewhere_in(uint8_t *base, uint64_t size)
{
    uint64_t at;
    __CPROVER_assume(at <= size);
    return base + at;
}

static void make_regions(void)
{
    uint32_t max_packet;
    model_connection.max_packet = max_packet;
    for (uint32_t i = 0; i < MODEL_REGIONS; i++) {
        struct mif_region any, *r = &model_connection.regions[i];
        bool exists;
        *r = any;
        __CPROVER_assume(r->size > 0 && r->size <= (uint64_t)1 << 40);
        r->base = __CPROVER_allocate(r->size, false);
        if (!exists)
            r->size = 0; /* the address of a region that there is not is never read */
    }
}

/* Pointers cannot be any value and then be restricted to an object: they are made from one. */
static void make_slots(void)
{
    for (uint32_t i = 0; i < MODEL_SLOTS; i++) {
        struct mif_slot slot;
        struct mif_chain chain;
        const struct mif_region *r = &model_connection.regions[mif_slot_region(&slot) & 1];
        slot.data = somewhere_in(r->base, r->size);
        model_slots[i] = slot;
        bool bounced;
        struct mif_bounce *bounce = malloc(sizeof(struct mif_bounce) + chain.length);
        __CPROVER_assume(bounce != NULL);
        chain.bounce = bounced ? bounce : NULL;
        model_chains[i] = chain;
    }
}

/* A queue that is set up, with otherwise any values. */
static void set_up_queue(void)
{
    struct mif_queue any;
    struct mif_order order;
    model_queue = any;
    model_order = order;
    model_order.spare = NULL; /* only the stubs would use it */
    model_queue.kind = MODEL_KIND;
    model_queue.mask = MODEL_SLOTS - 1;
    model_queue.ring = &model_ring;
    model_queue.descs = model_descs;
    model_queue.slots = model_slots;
    model_queue.chain_of = model_chains;
    model_queue.order = &model_order;
    model_queue.regions = model_connection.regions;
    bool own_head = MODEL_IS_256 ? !MODEL_IS_RX : MODEL_IS_SLAVE;
    model_queue.own_index = own_head ? &model_ring.head : &model_ring.tail;
    model_queue.peer_index = own_head ? &model_ring.tail : &model_ring.head;
    /* Of the programs' interfaces; the control plane refuses 0. */
    __CPROVER_assume(model_queue.buffer_size > 0 && model_queue.buffer_size <= UINT16_MAX);
    /* Counters of a sender begin at 0, are compared, and never get so far. */
    __CPROVER_assume(MODEL_IS_RX || model_queue.limit <= (uint64_t)1 << 62);
    __CPROVER_assume(MODEL_IS_RX || model_queue.done <= model_queue.limit);
}

static void begin_burst(void)
{
    mif_quiet_flags = MIF_RING_MASK_INT | MIF_RING_FENCED | MIF_RING_TELLS_ROOM;
    mif_debug_on = true;
    model_published = 0;
    model_faulted = false;
    model_before = model_queue;
}

/* Each queue is in one case: the slot of `done`, and how many follow up to `next`. */
static uint64_t case_of(const struct mif_queue *q)
{
    return (q->done & (MODEL_SLOTS - 1)) + MODEL_SLOTS * (q->next - q->done);
}

static void make_queue(void)
{
    uint32_t cached;
    bool is_array;
    make_regions();
    make_slots();
    set_up_queue();
    model_queue.cache.base = model_connection.regions[cached & 1].base;
    model_queue.buffers.data = MODEL_IS_SLAVE && is_array ? model_slots[0].data : NULL;
    __CPROVER_assume(mif_invariant(&model_queue));
#ifdef MODEL_CASE
    __CPROVER_assert(case_of(&model_queue) < MODEL_CASES, "each queue is in one of the cases");
    __CPROVER_assume(case_of(&model_queue) == MODEL_CASE);
#endif
    begin_burst();
}

#include "unchecked_end.h"

#endif
