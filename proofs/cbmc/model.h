/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What surrounds a burst in the proofs: the ring, the regions, and every function that leaves the
 * data path, as a stub that may do all that its contract allows.
 *
 * Set from outside: MODEL_VERSION, MODEL_IS_SLAVE, MODEL_IS_RX, MODEL_SLOTS (of the ring).
 */
#ifndef MODEL_H
#define MODEL_H

#include "core/bounce.h"
#include "core/errors.h"
#include "core/fault.h"
#include "core/regions.h"
#include "core/ring.h"
#include "core/room.h"
#include "core/signals.h"

#include <stdlib.h>
#include <string.h>

/* Hints to the compiler are claims too. */
#define __builtin_unreachable() __CPROVER_assert(0, "a place that is called unreachable")
#define memcpy(to, from, length) model_copy(to, from, length)
#define memmove(to, from, length) model_copy(to, from, length)

#define MODEL_REGIONS 2

#define MODEL_IS_256 (MODEL_VERSION == 256)
#define MODEL_KIND                                                                                 \
    (MODEL_IS_256 ? (MODEL_IS_SLAVE ? MIF_KIND_256_SLAVE : MIF_KIND_256_MASTER)                    \
                  : (MODEL_IS_SLAVE ? MIF_KIND_512_SLAVE : MIF_KIND_512_MASTER))

#if MODEL_VERSION == 256
typedef struct mif_desc_256 model_desc;
#else
typedef struct mif_desc_512 model_desc;
#endif

/* struct mif_connection with fewer regions: as many as the proofs use. */
static struct {
    uint8_t before[offsetof(struct mif_connection, max_packet)];
    uint32_t max_packet;
    uint8_t between[offsetof(struct mif_connection, regions) -
                    offsetof(struct mif_connection, max_packet) - sizeof(uint32_t)];
    struct mif_region regions[MODEL_REGIONS];
} model_connection;

/* Header and descriptors are objects of their own, so that no access gets from one to the other
 * unseen. */
static struct mif_ring model_ring;
static model_desc model_descs[MODEL_SLOTS];

static struct mif_queue model_queue;
static struct mif_slot model_slots[MODEL_SLOTS];
static struct mif_chain model_chains[MODEL_SLOTS];
static struct mif_order model_order;

/* What was published, and the counters at the start of the burst. */
static uint32_t model_published;
static uint16_t model_index;
static struct mif_queue model_before;
static bool model_faulted;

_Bool model_is_shared(const volatile void *at)
{
    return __CPROVER_same_object(at, &model_ring) || __CPROVER_same_object(at, model_descs);
}

/* True if a slot is one that our end may write to now. Until they are posted, buffers of a receiver
 * are its own. */
static bool model_is_ours(uint64_t slot)
{
    uint64_t ahead = (slot - model_before.done) & (MODEL_SLOTS - 1);
    uint64_t end = MODEL_IS_RX ? model_queue.limit : model_before.next;
    return ahead < end - model_before.done;
}

/* A packet that is sent, or a part of it, lies in the buffer of its slot. */
static void model_check_length(uint64_t slot, uint64_t at, uint64_t word)
{
    uint32_t capacity = mif_slot_capacity(&model_slots[slot & (MODEL_SLOTS - 1)]);
    if (at == (MODEL_IS_256 ? 8 : 0))
        __CPROVER_assert((MODEL_IS_256 ? word : word >> 32) <= capacity,
                         "a length that is sent is at most the buffer's");
}

/* A sender that asks for room: the words of the question that were written, and whether our index
 * says that there is one. */
static uint32_t model_question;
static bool model_asks;

#ifdef MODEL_SENDER
static bool model_store_asks(const volatile struct mif_ask *own, const volatile void *at,
                             uint64_t value)
{
    uint64_t index =
        MODEL_IS_256 ? model_queue.done & (MODEL_SLOTS - 1) : (uint16_t)model_queue.done;
    if (at == (const volatile void *)&own->wanted || at == (const volatile void *)&own->index) {
        __CPROVER_assert(!model_asks, "a question is written before it is asked");
        __CPROVER_assert(at == (const volatile void *)&own->wanted
                             ? value > 0
                             : value == (MIF_ASK_VALID | index),
                         "slots are wanted, with our index");
        model_question++;
        return true;
    }
    model_asks = value != index;
    return false;
}
#endif

void model_stored(const volatile void *at, uint64_t value)
{
    if (__CPROVER_same_object(at, model_descs)) {
        uint64_t slot = __CPROVER_POINTER_OFFSET(at) / sizeof(model_desc);
        __CPROVER_assert(model_is_ours(slot), "a descriptor is written only while it is ours");
        __CPROVER_assert(model_published == 0, "no descriptor is written after it was published");
        if (!MODEL_IS_RX)
            model_check_length(slot, __CPROVER_POINTER_OFFSET(at) % sizeof(model_desc), value);
        return;
    }
#ifdef MODEL_SENDER
    const volatile void *own_ask =
        model_queue.own_index == &model_ring.head ? &model_ring.head_ask : &model_ring.tail_ask;
    if (model_store_asks(own_ask, at, value))
        return;
#elif defined(MODEL_ROOM)
    bool at_head = model_queue.peer_index == &model_ring.head;
    struct mif_ask *ask = at_head ? &model_ring.head_ask : &model_ring.tail_ask;
    __CPROVER_assert(at == (const volatile void *)&ask->wanted &&
                         (value == 0 || (value & MIF_ASK_NOTED) != 0),
                     "of a question only the wish is written, when it is noted or met");
    return;
#endif
    __CPROVER_assert(at == (const volatile void *)model_queue.own_index,
                     "of the ring's header only our index is written");
    model_index = (uint16_t)value;
    model_published++;
}

/* Only that the bytes are there matters: no burst looks at them. */
static void *model_copy(void *to, const void *from, size_t length)
{
    __CPROVER_assert(length == 0 || __CPROVER_r_ok(from, length), "bytes are copied from a buffer");
    __CPROVER_assert(length == 0 || __CPROVER_w_ok(to, length), "bytes are copied to a buffer");
    return to;
}

/* ---- stubs ---- */

void mif_fault(struct mif_queue *q, const char *reason)
{
    (void)q;
    (void)reason;
    model_faulted = true;
}

void mif_fault_too_long(struct mif_queue *q, uint64_t length)
{
    (void)q;
    (void)length;
    model_faulted = true;
}

#ifndef MODEL_ROOM
/* The answer to a question for room leaves the data path. The index that comes with it is any, and
 * where the question changes all the time it stays unread. */
bool mif_room_asked(struct mif_queue *q)
{
    bool asked;
    uint32_t slots = 0;
    uint16_t raw;
    if (!MODEL_IS_RX || !asked)
        return false;
    (void)mif_move_limit(q, q->limit, &slots, raw, MODEL_KIND);
    return true;
}

void mif_room_answer(struct mif_queue *q)
{
    __CPROVER_assert(q == &model_queue && q->busy == 1, "the queue that answers was entered");
}
#endif

/* Which memory a bounce buffer has does not matter: no more than what is needed. */
struct mif_bounce *mif_bounce_take(struct mif_queue *q, uint32_t length)
{
    bool fails;
    (void)q;
    return fails ? NULL : malloc(sizeof(struct mif_bounce) + length);
}

void mif_bounce_give_back(struct mif_queue *q, struct mif_bounce *bounce)
{
    (void)q;
    free(bounce);
}

void mif_drain(struct mif_queue *q)
{
    (void)q;
}

bool mif_wake(struct mif_queue *q)
{
    bool good;
    __CPROVER_assert(model_published > 0, "the peer is woken after the index was published");
    q->signals++;
    return good;
}

bool mif_signal_nowait(struct mif_queue *q)
{
    bool good;
    (void)q;
    return good;
}

bool mif_efd_signal(int efd)
{
    bool good;
    (void)efd;
    return good;
}

int mif_why_not(const void *handle, uint32_t qid, enum mif_direction direction)
{
    int err;
    (void)handle;
    (void)qid;
    (void)direction;
    __CPROVER_assume(err == MIF_ERR_NOCONN || err == MIF_ERR_DISCONNECTED || err == MIF_ERR_QID);
    return err;
}

bool mif_debug_on;
uint32_t mif_quiet_flags;

void mif_debug_format(const char *file, const char *function, int line, const char *format, ...)
{
    (void)file;
    (void)function;
    (void)line;
    (void)format;
}

#endif
