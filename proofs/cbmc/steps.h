/* SPDX-License-Identifier: Apache-2.0 */
/* A proof for each step of the slow parts: it does what its stub in loops.h may do, no more, and
 * leaves a queue in order. */
#ifndef STEPS_H
#define STEPS_H

#include "unchecked_begin.h"

static void end_step_proof(void)
{
    __CPROVER_assert(model_published == 0, "a step publishes nothing");
    model_queue.busy = 0; /* the caller leaves the queue */
    check_end();
}

static void check_entries(uint32_t from, uint32_t to, bool is_reserved)
{
    uint32_t k;
    if (k < from || k >= to)
        return;
    const memif_buffer_t *entry = &model_array[k];
    uint32_t length = is_reserved ? ROOM_OF(entry) : BYTES_OF(entry);
    __CPROVER_assert(entry->desc_index < MODEL_SLOTS, "an entry has a slot");
    __CPROVER_assert(is_mapped(entry, length), "an entry is mapped memory");
}

/* As many slots next to each other, of the program's array. */
static void begin_run(uint64_t counter, uint64_t end)
{
    __CPROVER_assume(model_count <= end - counter);
    __CPROVER_assume(model_count <= MODEL_SLOTS - (counter & (MODEL_SLOTS - 1)));
}

static void check_only_received(void)
{
    __CPROVER_assert(model_queue.done == model_before.done &&
                         model_queue.limit == model_before.limit,
                     "a step of receiving changes only what is received");
    __CPROVER_assert(model_queue.next - model_before.next <= model_before.limit - model_before.next,
                     "no more is received than there is");
    end_step_proof();
}

static void know_any_region(struct mif_queue *q)
{
    uint16_t region;
    __CPROVER_assume(region < q->region_count && region < MODEL_REGIONS &&
                     q->regions[region].size > 0);
    q->cache = mif_region_cache_of(q, region);
}

/* ---- receive ---- */

void prove_take_run(void)
{
    begin();
    const struct mif_queue *q = &model_queue;
    begin_run(q->next, q->limit);
    uint32_t n = take_run(&model_queue, model_array, model_count, model_count, MODEL_KIND);
    __CPROVER_assert(n <= model_count && q->next == model_before.next + n,
                     "a slot for each packet");
    check_entries(0, n, false);
    check_only_received();
}

#ifdef MODEL_ENTRY_FACE

void prove_take_packet(void)
{
    uint32_t n, already;
    begin();
    const struct mif_queue *q = &model_queue;
    __CPROVER_assume(already < model_count && q->next != q->limit);
    n = already;
    enum mif_step step = take_packet(&model_queue, model_array, model_count, &n, MODEL_KIND);
    __CPROVER_assert(step >= MIF_STEP_OK && step <= MIF_STEP_FAULT, "it is a step");
    __CPROVER_assert(n >= already && n <= model_count, "entries of the array");
    __CPROVER_assert(q->next == model_before.next + (n - already), "a slot for each entry");
    __CPROVER_assert(step == MIF_STEP_OK ? n > already : step == MIF_STEP_FULL || n == already,
                     "a packet, a piece, or nothing");
    check_entries(already, n, false);
    check_only_received();
}

#else

void prove_take_chain(void)
{
    begin();
    const struct mif_queue *q = &model_queue;
    __CPROVER_assume(q->next != q->limit);
    model_array = entries_of(1);
    enum mif_step step = take_chain(&model_queue, model_array, MODEL_KIND);
    __CPROVER_assert(step >= MIF_STEP_OK && step <= MIF_STEP_NOMEM && step != MIF_STEP_FULL,
                     "it is a step");
    __CPROVER_assert((step == MIF_STEP_OK) == (q->next != model_before.next),
                     "a packet or nothing");
    check_entries(0, step == MIF_STEP_OK, false);
    check_only_received();
}

/* The entries that the stub below has written, and one of them. */
static uint32_t chain_entries, chain_watched;
static memif_buffer_t chain_entry;

enum mif_step model_take_chain(struct mif_queue *q, memif_buffer_t *buf, enum mif_kind kind)
{
    enum mif_step step;
    struct mif_chain chain;
    memif_buffer_t entry;
    bool bounced;
    struct mif_chain *record = &model_chains[q->next & (MODEL_SLOTS - 1)];
    __CPROVER_assert(q == &model_queue && kind == MODEL_KIND, "a step is of the same queue");
    __CPROVER_assert(buf == model_array + chain_entries && chain_entries < model_count,
                     "a step writes the entries that follow");
    __CPROVER_assert(q->next != q->limit, "a packet may come");
    know_any_region(q);
    for (uint32_t i = 0; i < MODEL_SLOTS; i++) {
        uint8_t *data;
        if (!MODEL_IS_SLAVE)
            model_slots[i].data = data;
    }
    __CPROVER_assume(step >= MIF_STEP_OK && step <= MIF_STEP_NOMEM && step != MIF_STEP_FULL);
    if (step != MIF_STEP_OK)
        return step;
    __CPROVER_assume(chain.count > 0 && chain.count <= q->limit - q->next);
    struct mif_bounce *bounce = malloc(sizeof(struct mif_bounce) + chain.length);
    __CPROVER_assume(bounce != NULL);
    chain.bounce = bounced ? bounce : NULL;
    *record = chain;
    q->chains++;
    q->next += chain.count;
    *buf = entry;
    if (chain_entries == chain_watched)
        chain_entry = entry;
    chain_entries++;
    return step;
}

void prove_take_other(void)
{
    uint32_t n, already, watched;
    begin();
    const struct mif_queue *q = &model_queue;
    __CPROVER_assume(already < model_count && q->next != q->limit);
    n = chain_entries = already;
    chain_watched = watched;
    enum mif_step step = mif_take_other(&model_queue, model_array, model_count, &n);
    __CPROVER_assert(step >= MIF_STEP_OK && step <= MIF_STEP_NOMEM, "it is a step");
    __CPROVER_assert(step != MIF_STEP_OK || q->next != model_before.next, "a packet was taken");
    __CPROVER_assert(n >= already && n <= model_count, "entries of the array");
    __CPROVER_assert(n - already <= q->next - model_before.next, "each packet has a slot");
    if (watched >= already && watched < chain_entries)
        __CPROVER_assert(model_array[watched].data == chain_entry.data &&
                             model_array[watched].data_len == chain_entry.data_len &&
                             model_array[watched].desc_index == chain_entry.desc_index,
                         "entries that were written stay");
    __CPROVER_assert(n >= chain_entries, "written entries count");
    check_entries(chain_entries, n, false);
    check_only_received();
}

#endif

/* ---- reserve ---- */

static void check_only_reserved(void)
{
    const struct mif_queue *q = &model_queue;
    __CPROVER_assert(q->done == model_before.done, "nothing is sent by reserving");
    __CPROVER_assert(q->limit - model_before.limit <= MODEL_SLOTS, "the limit never moves back");
    end_step_proof();
}

void prove_reserve_run(void)
{
    begin();
    const struct mif_queue *q = &model_queue;
    begin_run(q->next, q->limit);
    uint32_t n =
        reserve_run(&model_queue, model_array, model_count, model_count, model_size, MODEL_KIND);
    __CPROVER_assert(n <= model_count && q->next == model_before.next + n,
                     "a slot for each packet");
    __CPROVER_assert(q->limit == model_before.limit, "the limit is the same");
    check_entries(0, n, true);
    check_only_reserved();
}

/* As a peer may have posted it. */
static struct mif_slot any_slot(void)
{
    struct mif_slot slot;
    const struct mif_region *r = &model_connection.regions[mif_slot_region(&slot) & 1];
    slot.data = somewhere_in(r->base, r->size);
    return slot;
}

/* The buffer of a slot that was posted by a peer may be filled. */
static bool is_claimed(const struct mif_queue *q, uint64_t counter)
{
    const struct mif_slot *own = &q->slots[counter & (MODEL_SLOTS - 1)];
    uint32_t capacity = mif_slot_capacity(own);
    return MODEL_IS_SLAVE || (capacity > 0 && mif_slot_headroom(own) == 0 &&
                              lies_in(q, mif_slot_region(own), own->data, capacity));
}

void prove_claim_slot(void)
{
    uint64_t counter;
    struct mif_slot slots_before[MODEL_SLOTS];
    begin();
    for (uint32_t i = 0; i < MODEL_SLOTS; i++)
        slots_before[i] = model_slots[i];
    const struct mif_queue *q = &model_queue;
    __CPROVER_assume(counter - q->next <= q->limit - q->next);
    enum mif_step step = mif_claim_slot(&model_queue, counter, MODEL_KIND);
    __CPROVER_assert(step == MIF_STEP_OK || step == MIF_STEP_WAIT || step == MIF_STEP_FAULT,
                     "it is a step");
    __CPROVER_assert(counter == model_before.limit || q->limit == model_before.limit,
                     "the limit moves only where it is reached");
    __CPROVER_assert(q->next == model_before.next && q->chains == model_before.chains,
                     "nothing is reserved yet");
    for (uint32_t i = 0; i < MODEL_SLOTS; i++)
        __CPROVER_assert(i == (counter & (MODEL_SLOTS - 1)) ||
                             (q->slots[i].data == slots_before[i].data &&
                              q->slots[i].word == slots_before[i].word),
                         "other slots stay");
    __CPROVER_assert(step != MIF_STEP_OK ||
                         (counter - q->next < q->limit - q->next && is_claimed(q, counter)),
                     "the slot may be filled");
    check_only_reserved();
}

enum mif_step model_claim_slot(struct mif_queue *q, uint64_t counter, enum mif_kind kind)
{
    enum mif_step step;
    __CPROVER_assert(q == &model_queue && kind == MODEL_KIND, "a step is of the same queue");
    __CPROVER_assert(q->next == model_before.next && q->done == model_before.done &&
                         counter - q->next <= q->limit - q->next,
                     "the slots before are claimed");
    if (counter == q->limit)
        move_limit(q);
    __CPROVER_assume(counters_are_right(q));
    if (!MODEL_IS_SLAVE) {
        know_any_region(q);
        if (counter - q->next < q->limit - q->next)
            model_slots[counter & (MODEL_SLOTS - 1)] = any_slot();
    }
    __CPROVER_assume(step == MIF_STEP_OK || step == MIF_STEP_WAIT || step == MIF_STEP_FAULT);
    __CPROVER_assume(step != MIF_STEP_OK ||
                     (counter - q->next < q->limit - q->next && is_claimed(q, counter)));
    return step;
}

void prove_never_fits(void)
{
    begin();
    (void)never_fits(&model_queue, model_size);
    __CPROVER_assert(model_queue.next == model_before.next &&
                         model_queue.limit == model_before.limit,
                     "nothing is reserved");
    check_only_reserved();
}

bool model_never_fits(struct mif_queue *q, uint32_t size)
{
    bool never;
    __CPROVER_assert(q == &model_queue && size == model_size, "a step is of the same queue");
    return never;
}

/* The slots from next on are known, and those that a packet takes hold it, and no fewer do. */
static bool is_measured(const struct mif_queue *q, uint32_t size, const struct mif_room *room)
{
    const struct mif_slot *first = &q->slots[q->next & q->mask];
    if (room->count == 0 || room->count > q->limit - q->next)
        return false;
    for (uint32_t i = 0; i < MODEL_SLOTS; i++)
        if (i < room->count && !is_claimed(q, q->next + i))
            return false;
    return room->length == bytes_of_slots(q, q->next, room->count) && room->length >= size &&
           (room->count == 1 || bytes_of_slots(q, q->next, room->count - 1) < size) &&
           (!room->contiguous || lies_in(q, mif_slot_region(first), first->data, room->length));
}

static bool is_step_of_measure(enum mif_step step)
{
    return step == MIF_STEP_OK || step == MIF_STEP_WAIT || step == MIF_STEP_FAULT ||
           step == MIF_STEP_NEVER;
}

void prove_measure(void)
{
    struct mif_room room;
    begin();
    const struct mif_queue *q = &model_queue;
    enum mif_step step = mif_chain_measure(&model_queue, model_size, &room);
    __CPROVER_assert(is_step_of_measure(step), "it is a step");
    __CPROVER_assert(q->next == model_before.next && q->chains == model_before.chains,
                     "nothing is reserved yet");
    __CPROVER_assert(step != MIF_STEP_OK || is_measured(q, model_size, &room),
                     "the slots hold the packet");
    check_only_reserved();
}

enum mif_step model_chain_measure(struct mif_queue *q, uint32_t size, struct mif_room *room)
{
    enum mif_step step;
    struct mif_room any;
    __CPROVER_assert(q == &model_queue && q->next == model_before.next &&
                         q->done == model_before.done && q->limit == model_before.limit,
                     "the queue is measured as it was");
    for (uint32_t i = 0; i < MODEL_SLOTS; i++)
        if (!MODEL_IS_SLAVE && ((i - q->done) & q->mask) >= q->next - q->done)
            model_slots[i] = any_slot();
    know_any_region(q);
    move_limit(q);
    __CPROVER_assume(counters_are_right(q));
    __CPROVER_assume(is_step_of_measure(step));
    __CPROVER_assume(step != MIF_STEP_OK || is_measured(q, size, &any));
    if (step == MIF_STEP_OK)
        *room = any;
    return step;
}

void prove_reserve_other(void)
{
    uint32_t entries = 0;
    begin();
    const struct mif_queue *q = &model_queue;
    model_room = room_for_one(q, model_size);
    __CPROVER_assume(model_room <= MODEL_COUNT);
    model_array = entries_of(model_room);
    enum mif_step step = mif_reserve_other(&model_queue, model_array, model_size, &entries);
    __CPROVER_assert(step >= MIF_STEP_OK && step <= MIF_STEP_NEVER && step != MIF_STEP_FULL,
                     "it is a step");
    uint64_t slots = q->next - model_before.next;
    if (step != MIF_STEP_OK)
        __CPROVER_assert(slots == 0, "nothing is reserved");
    else
        __CPROVER_assert(entries > 0 && entries <= slots && entries <= model_room,
                         "entries of a packet");
    check_entries(0, step == MIF_STEP_OK ? entries : 0, true);
    check_only_reserved();
}

void prove_unreserve_refused(void)
{
    uint64_t end;
    begin();
    const struct mif_queue *q = &model_queue;
    __CPROVER_assume(end - q->done <= q->next - q->done);
    bool was_refused = model_order.refused != 0;
    bool done = mif_unreserve_refused(&model_queue, end);
    __CPROVER_assert(!done || (was_refused && model_order.refused == 0), "refused only once");
    __CPROVER_assert(q->next - q->done <= model_before.next - q->done, "no slot is reserved");
    __CPROVER_assert(done || q->next == model_before.next, "all or nothing");
    __CPROVER_assert(q->limit == model_before.limit, "the limit is the same");
    check_only_reserved();
}

/* ---- send ---- */

static void check_only_sent(uint32_t n)
{
    const struct mif_queue *q = &model_queue;
    __CPROVER_assert(q->limit == model_before.limit, "nothing is reserved by sending");
    uint64_t sent = q->done - model_before.done, held = model_before.next - model_before.done;
    __CPROVER_assert(sent <= held && (n > 0) == (sent > 0), "each packet has a slot");
    __CPROVER_assert(q->next - q->done <= held - sent, "no slot is reserved");
    end_step_proof();
}

void prove_fill_run(void)
{
    begin();
    make_entries();
    const struct mif_queue *q = &model_queue;
    begin_run(q->done, q->next);
    __CPROVER_assume(q->chains == 0 || model_count == 0);
    uint32_t n = fill_run(&model_queue, model_array, model_count, model_count, MODEL_KIND);
    __CPROVER_assert(n <= model_count && q->done == model_before.done + n,
                     "a slot for each packet");
    __CPROVER_assert(q->next == model_before.next, "nothing is taken back");
    check_only_sent(n);
}

void prove_fill_next(void)
{
    begin();
    make_entries();
#ifdef MODEL_ENTRY_FACE
    __CPROVER_assume(model_count > 0 && model_queue.chains == 0);
    uint32_t n = fill_next(&model_queue, model_array, model_count, MODEL_KIND);
    __CPROVER_assert(model_queue.chains == 0 && model_queue.next == model_before.next,
                     "only what is sent changes");
    __CPROVER_assert(model_queue.done == model_before.done + n, "a slot for each entry");
#else
    __CPROVER_assume(model_queue.done != model_queue.next);
    model_array = entries_of(1);
    uint32_t n = fill_next(&model_queue, model_array, MODEL_KIND);
#endif
    __CPROVER_assert(n <= model_count || n == 1, "no more than were given");
    check_only_sent(n);
}

void prove_fill_checked(void)
{
    int err = MIF_ERR_SUCCESS;
    begin();
    make_entries();
#ifdef MODEL_ENTRY_FACE
    __CPROVER_assume(model_count > 0);
    uint32_t n = fill_checked(&model_queue, model_array, model_count, &err);
    __CPROVER_assert(n <= model_count, "no more than were given");
#else
    model_array = entries_of(1);
    uint32_t n = fill_checked(&model_queue, model_array, &err);
    __CPROVER_assert(n <= 1, "no more than were given");
#endif
    __CPROVER_assert(err == MIF_ERR_SUCCESS || (n == 0 && err == MIF_ERR_INVAL_ARG),
                     "an error is of a refused packet");
    check_only_sent(n);
}

#include "unchecked_end.h"

#endif
