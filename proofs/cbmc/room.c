/* SPDX-License-Identifier: Apache-2.0 */
/* What a receiver does when a sender asks for room: what mif_room_asked may do in the proofs of
 * bursts, it does, and no more. */
#define MODEL_ROOM
#include "state.h"

enum mif_direction model_direction_of(const void *queue)
{
    (void)queue;
    return MODEL_IS_RX ? MIF_RX : MIF_TX;
}

void mif_face_answer(struct mif_queue *q, bool answers)
{
    __CPROVER_assert(q == &model_queue && answers, "the question is answered later");
}

#include "core/room.c"

long syscall(long number, ...)
{
    long result;
    (void)number;
    return result;
}

#include "unchecked_begin.h"

static void begin(void)
{
    set_up_queue();
    model_queue.slots = NULL;
    model_queue.chain_of = NULL;
    model_queue.descs = NULL;
    model_queue.regions = NULL;
    __CPROVER_assume(counters_are_right(&model_queue));
    begin_burst();
}

static void check_end(void)
{
    const struct mif_queue *q = &model_queue;
    __CPROVER_assert(q->done == model_before.done && q->next == model_before.next &&
                         q->chains == model_before.chains &&
                         q->cache.head == model_before.cache.head,
                     "only the limit moves");
    __CPROVER_assert(counters_are_right(q), "the counters are in order");
    __CPROVER_assert(q->limit - model_before.limit <= MODEL_SLOTS, "the limit never moves back");
    __CPROVER_assert(model_published == 0, "nothing is published");
}

void prove_asked(void)
{
    begin();
    bool asked = mif_room_asked(&model_queue);
    __CPROVER_assert(asked || model_queue.limit == model_before.limit, "or nothing moves");
    check_end();
}

void prove_answer(void)
{
    begin();
    mif_room_answer(&model_queue);
    check_end();
}

#include "unchecked_end.h"
