/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a handle leads to a queue (core/arena.h). The program's handle, queue id and pointers are any
 * numbers. Every word of the arena has another value at each read, as other threads open, end and
 * reuse interfaces meanwhile.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

/* Only keeps the compiler from computing an address twice. */
#define __asm__(text) ((void)0)
#define MODEL_LOADED
#define __builtin_unreachable() __CPROVER_assert(0, "a place that is called unreachable")

#include "core/arena.h"

#include "unchecked_begin.h"

static struct mif_arena model_arena;
_Atomic(const struct mif_arena *) mif_arena = &model_arena;

/* A burst may write to a queue after it has read there, as the owner, what it makes of its
 * arguments. */
static uintptr_t model_wanted;
static bool model_wants_first; /* the first owner that is read is the one */
static uint64_t model_owned;   /* the queue where that was read last, or NOWHERE */
static uint64_t model_busy;    /* the queue where busy is set, or NOWHERE */
static bool model_checked;     /* whether the owner was read since */

#define NOWHERE UINT64_MAX

_Bool model_is_shared(const volatile void *at)
{
    return __CPROVER_same_object(at, model_arena.queues) ||
           __CPROVER_same_object(at, model_arena.connections);
}

static uint64_t queue_of(const volatile void *at)
{
    return (uint64_t)__CPROVER_POINTER_OFFSET(at) / sizeof(struct mif_queue);
}

static uint64_t member_of(const volatile void *at)
{
    return (uint64_t)__CPROVER_POINTER_OFFSET(at) % sizeof(struct mif_queue);
}

void model_loaded(const volatile void *at, uint64_t value)
{
    if (!__CPROVER_same_object(at, model_arena.queues) ||
        member_of(at) != offsetof(struct mif_queue, owner))
        return;
    if (model_wants_first)
        model_wanted = value;
    model_wants_first = false;
    model_owned = value == model_wanted ? queue_of(at) : NOWHERE;
    model_checked = model_owned == model_busy;
}

void model_stored(const volatile void *at, uint64_t value)
{
    __CPROVER_assert(__CPROVER_same_object(at, model_arena.queues) &&
                         member_of(at) == offsetof(struct mif_queue, busy),
                     "only busy is written");
    __CPROVER_assert(queue_of(at) == (value == 0 ? model_busy : model_owned),
                     "busy is set where the owner was right, and cleared where it is set");
    model_busy = value == 0 ? NOWHERE : queue_of(at);
    model_checked = false;
}

/* The placeholder, or an arena of any size that there is. */
static void begin(void)
{
    bool is_placeholder;
    uint8_t shift;
    __CPROVER_assume(shift <= MIF_SERIAL_SHIFT - MIF_CELL_SHIFT);
    const uint64_t cells = (uint64_t)1 << (is_placeholder ? 0 : shift);
    __CPROVER_assume(is_placeholder || cells >= MIF_LEAST_CELLS);
    const uint64_t stride = is_placeholder ? 0 : cells * sizeof(struct mif_queue_pair);
    model_arena.qid_stride = stride;
    model_arena.cell_mask = (cells - 1) << MIF_CELL_SHIFT;
    model_arena.queues = __CPROVER_allocate(
        is_placeholder ? sizeof(struct mif_queue_pair) : MIF_MAX_QUEUES * stride, false);
    model_arena.connections = __CPROVER_allocate(cells * MIF_CELL_STRIDE, false);
    model_owned = model_busy = NOWHERE;
}

static void check_entered(const struct mif_queue *q)
{
    if (q == NULL) {
        __CPROVER_assert(model_busy == NOWHERE, "a queue that was not entered is not busy");
        return;
    }
    __CPROVER_assert(__CPROVER_same_object(q, model_arena.queues) && member_of(q) == 0 &&
                         __CPROVER_r_ok(q, sizeof(*q)),
                     "it is a queue of the arena");
    __CPROVER_assert(model_busy == queue_of(q) && model_checked,
                     "the owner was right after busy was set");
}

void prove_enter(void)
{
    const void *handle;
    uint16_t qid;
    enum mif_direction direction;
    __CPROVER_assume(direction == MIF_RX || direction == MIF_TX);
    begin();
    model_wanted = mif_owner(handle, qid);
    struct mif_queue *q = mif_enter(handle, qid, direction);
    check_entered(q);
    if (q != NULL) {
        __CPROVER_assert(q == mif_queue_at(handle, qid, direction), "it is the handle's queue");
        __CPROVER_assert(mif_direction_of(q) == direction, "it has the direction");
        mif_leave(q);
        __CPROVER_assert(model_busy == NOWHERE, "the queue was left");
    }
}

/* The queue is named by its owner: the pointer is one of the program's. */
void prove_enter_queue(void)
{
    void *pointer;
    begin();
    model_wants_first = true;
    check_entered(mif_enter_queue(pointer));
}

/* An owner's handle has a serial number and a cell, its queue an id that there is. The program's
 * arguments are any. */
void prove_owner(void)
{
    const void *handle;
    uint64_t owner_handle;
    uint16_t qid;
    uint8_t owner_qid;
    begin();
    __CPROVER_assume(owner_handle % (1u << MIF_CELL_SHIFT) == 0);
    const void *own = (const void *)(uintptr_t)owner_handle;
    __CPROVER_assume(model_arena.qid_stride != 0);
    __CPROVER_assume(mif_queue_at(own, owner_qid, MIF_RX) == mif_queue_at(handle, qid, MIF_RX));
    __CPROVER_assume(mif_owner(own, owner_qid) == mif_owner(handle, qid));
    __CPROVER_assert((uintptr_t)handle == owner_handle && qid == owner_qid,
                     "an owner is equal only if handle and queue id are");
}

void prove_lookup(void)
{
    const void *handle;
    begin();
    const struct mif_connection *conn = mif_lookup(handle);
    __CPROVER_assert(conn == NULL || (__CPROVER_same_object(conn, model_arena.connections) &&
                                      __CPROVER_POINTER_OFFSET(conn) % MIF_CELL_STRIDE == 0 &&
                                      __CPROVER_r_ok(conn, sizeof(*conn))),
                     "it is a connection of the arena");
}

#include "unchecked_end.h"
