/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slow parts of bursts: loops of steps. Each step is proved on its own (steps.h). Here a stub
 * stands for it, which checks what the step asks for and then does anything that the step may do.
 *
 * A loop itself reads no slot, no descriptor and no record of a packet: here the queue has none, so
 * that it would be an access to nowhere. A queue that is in order but for its counters stays so
 * between two steps if the loop changes nothing but the limit, which is checked.
 */
#ifndef LOOPS_H
#define LOOPS_H

#include "unchecked_begin.h"

/* The queue as the last step left it. */
static struct mif_queue left;
static uint64_t left_passed;

/* Loops look at the counters' distances, and at what is left of them in narrower types. */
#define LOOP_COUNTERS (1 << 17)

/* The entries of the program's array, and how many were written. */
static uint32_t model_room, model_filled;

static void leave_step(void)
{
    __CPROVER_assume(counters_are_right(&model_queue));
    left.next = model_queue.next;
    left.done = model_queue.done;
    left.chains = model_queue.chains;
    left_passed = model_order.passed;
}

/* A step has changed what only steps read. */
static void end_step(void)
{
    uint16_t chains;
    uint64_t passed;
    model_queue.chains = chains;
    model_order.passed = passed;
    leave_step();
}

/* Steps change the cache and the array of buffers too. Loops do not, so that here these stay. */
static bool is_as_left(const struct mif_queue *q)
{
    const struct mif_queue *first = &model_before;
    return q->next == left.next && q->done == left.done && q->chains == left.chains &&
           model_order.passed == left_passed && q->cache.base == first->cache.base &&
           q->cache.size == first->cache.size && q->cache.max_packet == first->cache.max_packet &&
           q->cache.head == first->cache.head && q->buffers.data == first->buffers.data &&
           q->buffers.word == first->buffers.word && q->buffers.stride == first->buffers.stride &&
           q->buffers.offset == first->buffers.offset && q->region_count == first->region_count &&
           q->buffer_size == first->buffer_size && q->tailroom == first->tailroom;
}

static bool is_set_up(const struct mif_queue *q)
{
    const struct mif_queue *first = &model_before;
    return q->kind == MODEL_KIND && q->mask == MODEL_SLOTS - 1 && q->ring == &model_ring &&
           q->slots == NULL && q->chain_of == NULL && q->descs == NULL && q->regions == NULL &&
           q->order == &model_order && q->own_index == first->own_index &&
           q->peer_index == first->peer_index;
}

static void check_between(const struct mif_queue *q)
{
    __CPROVER_assert(q == &model_queue, "a step is of the same queue");
    __CPROVER_assert(is_set_up(q), "the queue is the same between steps");
    __CPROVER_assert(counters_are_right(q), "the counters are in order between steps");
    __CPROVER_assert(is_as_left(q), "between steps a loop changes only the limit");
}

static void begin_step(const struct mif_queue *q, enum mif_kind kind)
{
    check_between(q);
    __CPROVER_assert(kind == MODEL_KIND, "a step is of the queue's kind");
    __CPROVER_assert(model_published == 0, "a step is taken before anything is published");
}

/* Counters anywhere near 0, where those of a receiver begin and each narrower type ends. */
static void place_counters(void)
{
    int32_t done;
    uint8_t next, limit;
    __CPROVER_assume(done >= (MODEL_IS_RX ? -LOOP_COUNTERS : 0) && done < LOOP_COUNTERS);
    __CPROVER_assume(next <= limit && limit <= MODEL_SLOTS);
    model_queue.done = (uint64_t)(int64_t)done;
    model_queue.next = model_queue.done + next;
    model_queue.limit = model_queue.done + limit;
}

static void begin_loop(void)
{
    uint16_t count;
    set_up_queue();
    place_counters();
    model_queue.slots = NULL;
    model_queue.chain_of = NULL;
    model_queue.descs = NULL;
    model_queue.regions = NULL;
    __CPROVER_havoc_object(model_entries);
    __CPROVER_assume(count <= MODEL_COUNT);
    leave_step();
    begin_burst();
    model_count = count;
    model_size = any_size();
    model_room = count;
    model_array = entries_of(count);
}

static void end_loop(void)
{
    check_between(&model_queue);
    __CPROVER_assert(model_queue.busy == 0, "the queue was left");
}

/* `count` entries from `bufs` on, which a step may read or write, are the program's. */
static void check_part(const memif_buffer_t *bufs, uint64_t count)
{
    __CPROVER_assert(__CPROVER_same_object(bufs, model_array) && bufs >= model_array,
                     "a step begins in the array");
    __CPROVER_assert(bufs <= model_array + model_room &&
                         count <= (uint64_t)(model_array + model_room - bufs),
                     "a step ends in the array");
}

/* The next entries are written. */
static void check_next_part(const memif_buffer_t *bufs, uint64_t count)
{
    check_part(bufs, count);
    __CPROVER_assert(bufs == model_array + model_filled, "a step writes the entries that follow");
}

/* `run` slots of those between `counter` and `end`, next to each other. */
static void check_run(uint64_t counter, uint64_t end, uint32_t run)
{
    __CPROVER_assert(run <= end - counter, "a run has slots that are ours");
    __CPROVER_assert(run <= MODEL_SLOTS - (counter & (MODEL_SLOTS - 1)), "a run has no gap");
}

/* The peer's index was read. */
static void move_limit(struct mif_queue *q)
{
    uint64_t more;
    uint16_t raw;
    __CPROVER_assume(more <= MODEL_SLOTS);
    q->limit += more;
    q->peer_raw = raw;
}

/* ---- receive ---- */

uint32_t model_take_run(struct mif_queue *q, memif_buffer_t *bufs, uint32_t run, uint32_t count,
                        enum mif_kind kind)
{
    uint32_t taken;
    (void)count;
    begin_step(q, kind);
    check_next_part(bufs, run);
    check_run(q->next, q->limit, run);
    __CPROVER_assume(taken <= run);
    q->next += taken;
    model_filled += taken;
    end_step();
    return taken;
}

enum mif_step model_take_other(struct mif_queue *q, memif_buffer_t *bufs, uint32_t count,
                               uint32_t *n)
{
    enum mif_step step;
    uint64_t slots;
    uint32_t entries;
    begin_step(q, MODEL_KIND);
    check_next_part(bufs + *n, count - *n);
    __CPROVER_assert(*n < count && q->next != q->limit, "a packet may come");
    __CPROVER_assume(step >= MIF_STEP_OK && step <= MIF_STEP_NOMEM);
    __CPROVER_assume(slots <= q->limit - q->next && (step != MIF_STEP_OK || slots > 0));
    __CPROVER_assume(entries <= slots && entries <= count - *n);
    q->next += slots;
    *n += entries;
    model_filled += entries;
    end_step();
    return step;
}

static enum mif_step model_take_packets(struct mif_queue *q, memif_buffer_t *bufs, uint32_t count,
                                        uint32_t *n, enum mif_kind kind)
{
    enum mif_step step;
    uint64_t slots;
    uint32_t entries;
    begin_step(q, kind);
    check_next_part(bufs + *n, count - *n);
    __CPROVER_assume(slots <= q->limit - q->next && entries <= slots && entries <= count - *n);
    __CPROVER_assume(step >= MIF_STEP_OK && step <= MIF_STEP_NOMEM);
    q->next += slots;
    *n += entries;
    model_filled += entries;
    end_step();
    return step;
}

static void check_received_all(uint16_t got, uint32_t already)
{
    const struct mif_queue *q = &model_queue;
    __CPROVER_assert(got <= model_count && got == model_filled, "all entries were written");
    __CPROVER_assert(model_published == 0 && q->done == model_before.done,
                     "nothing is given back by receiving");
    __CPROVER_assert(q->next - model_before.next >= got - already, "each packet has a slot");
    end_loop();
}

void prove_rx_rest(void)
{
    uint16_t got;
    uint32_t n;
    begin_loop();
    __CPROVER_assume(n <= model_count);
    model_filled = n;
    (void)rx_rest(&model_queue, n, model_array, model_count, &got);
    check_received_all(got, n);
}

/* What rx_interrupt is; prove_rx_rest shows take_packets. */
void prove_rx_interrupt(void)
{
    uint16_t got;
    begin_loop();
    model_filled = 0;
    (void)mif_rx_interrupt(&model_queue, model_array, model_count, &got, model_take_packets,
                           MODEL_KIND);
    check_received_all(got, 0);
}

#ifdef MODEL_ENTRY_FACE

/* A packet, or the piece of one that is longer than the array. Entries that follow may be written
 * too. */
enum mif_step model_take_packet(struct mif_queue *q, memif_buffer_t *bufs, uint32_t count,
                                uint32_t *n, enum mif_kind kind)
{
    enum mif_step step;
    uint32_t slots;
    begin_step(q, kind);
    check_next_part(bufs + *n, count - *n);
    __CPROVER_assert(*n < count && q->next != q->limit, "a packet may come");
    __CPROVER_assume(step >= MIF_STEP_OK && step <= MIF_STEP_FAULT);
    __CPROVER_assume(slots <= q->limit - q->next && slots <= count - *n);
    __CPROVER_assume(step == MIF_STEP_OK ? slots > 0 : step == MIF_STEP_FULL || slots == 0);
    q->next += slots;
    *n += slots;
    model_filled += slots;
    end_step();
    return step;
}

void prove_take_other(void)
{
    uint32_t n, already;
    begin_loop();
    __CPROVER_assume(already < model_count && model_queue.next != model_queue.limit);
    model_filled = n = already;
    enum mif_step step = mif_take_other(&model_queue, model_array, model_count, &n);
    uint64_t slots = model_queue.next - model_before.next;
    __CPROVER_assert(step >= MIF_STEP_OK && step <= MIF_STEP_NOMEM, "it is a step");
    __CPROVER_assert(step != MIF_STEP_OK || slots > 0, "a packet was taken");
    __CPROVER_assert(n - already <= slots && n <= model_count, "each packet has a slot");
    __CPROVER_assert(n == model_filled, "all entries were written");
    __CPROVER_assert(model_queue.limit == model_before.limit, "the limit is the same");
    model_queue.busy = 0; /* the caller leaves the queue */
    check_received_all((uint16_t)n, already);
}

#endif

/* ---- reserve ---- */

/* Most entries of a packet. */
static uint32_t most_entries(const struct mif_queue *q, uint32_t size)
{
#ifdef MODEL_ENTRY_FACE
    return entries_allowed(q, size);
#else
    (void)q;
    (void)size;
    return 1;
#endif
}

/* The entries that a packet in the slots from next on needs at most. */
static uint32_t room_for_one(const struct mif_queue *q, uint32_t size)
{
    uint64_t slots = q->done + mif_capacity(q, MODEL_KIND) - q->next;
    uint32_t most = most_entries(q, size);
    return most < slots ? most : (uint32_t)slots;
}

uint32_t model_reserve_run(struct mif_queue *q, memif_buffer_t *bufs, uint32_t run, uint32_t count,
                           uint32_t size, enum mif_kind kind)
{
    uint32_t taken;
    (void)count;
    begin_step(q, kind);
    check_next_part(bufs, run);
    check_run(q->next, q->limit, run);
    __CPROVER_assert(size == model_size, "a step has the same size");
    __CPROVER_assume(taken <= run);
    q->next += taken;
    model_filled += taken;
    end_step();
    return taken;
}

enum mif_step model_reserve_other(struct mif_queue *q, memif_buffer_t *bufs, uint32_t size,
                                  uint32_t *entries)
{
    enum mif_step step;
    uint64_t slots;
    uint32_t more;
    begin_step(q, MODEL_KIND);
    check_next_part(bufs, room_for_one(q, size));
    __CPROVER_assert(size == model_size, "a step has the same size");
    __CPROVER_assert(*entries == 0, "no entries are counted yet");
    __CPROVER_assume(step >= MIF_STEP_OK && step <= MIF_STEP_NEVER && step != MIF_STEP_FULL);
    move_limit(q);
    if (step == MIF_STEP_OK) {
        __CPROVER_assume(slots > 0 && slots <= q->limit - q->next);
        __CPROVER_assume(more > 0 && more <= slots && more <= most_entries(q, size));
        q->next += slots;
        *entries = more;
        model_filled += more;
    }
    end_step();
    return step;
}

/* If it was true the burst would begin again, with no entry reserved and none refused, in a queue
 * that the step leaves in order. That is one of the beginnings of this proof. */
bool model_unreserve_refused(struct mif_queue *q, uint64_t end)
{
    begin_step(q, MODEL_KIND);
    (void)end;
    return false;
}

void prove_reserve_rest(void)
{
    uint16_t got;
    uint32_t n;
    begin_loop();
    uint64_t most = (uint64_t)model_count * most_entries(&model_queue, model_size);
    model_room = most < MODEL_COUNT ? (uint32_t)most : MODEL_COUNT;
    model_array = entries_of(model_room);
    __CPROVER_assume(n <= model_count && n <= model_queue.next - model_queue.done);
    model_filled = n;
    (void)alloc_rest(&model_queue, model_size, model_array, model_count, &got, n);
    __CPROVER_assert(got == model_filled && got <= model_room, "all entries were written");
    __CPROVER_assert(model_published == 0 && model_queue.done == model_before.done,
                     "nothing is sent by reserving");
    end_loop();
}

/* ---- send ---- */

static void send_slots(struct mif_queue *q, uint64_t least)
{
    uint64_t slots, taken_back;
    __CPROVER_assume(slots >= least && slots <= q->next - q->done);
    q->done += slots;
    __CPROVER_assume(taken_back <= q->next - q->done);
    q->next -= taken_back;
}

uint32_t model_fill_run(struct mif_queue *q, const memif_buffer_t *bufs, uint32_t run,
                        uint32_t count, enum mif_kind kind)
{
    uint32_t filled;
    (void)count;
    begin_step(q, kind);
    check_part(bufs, run);
    check_run(q->done, q->next, run);
    __CPROVER_assert(q->chains == 0 || run == 0, "a run has packets of one slot each");
    __CPROVER_assume(filled <= run);
    q->done += filled;
    end_step();
    return filled;
}

uint32_t model_fill_other(struct mif_queue *q, const memif_buffer_t *bufs, uint32_t count, int *err)
{
    uint32_t filled;
    bool wrong;
    begin_step(q, MODEL_KIND);
    check_part(bufs, count);
    __CPROVER_assert(count > 0, "a packet is to be sent");
    __CPROVER_assume(filled <= count);
    if (filled > 0) {
        __CPROVER_assume(q->next != q->done);
        send_slots(q, 1);
    } else if (wrong) {
        *err = MIF_ERR_INVAL_ARG;
    }
    end_step();
    return filled;
}

void prove_tx_rest(void)
{
    uint16_t sent;
    uint32_t n;
    begin_loop();
    __CPROVER_assume(n <= model_count);
    (void)tx_rest(&model_queue, n, model_array, model_count, &sent);
    __CPROVER_assert(sent <= model_count, "no more packets than were given");
    __CPROVER_assert(model_queue.limit == model_before.limit, "nothing is reserved by sending");
    check_published(sent > 0 || model_queue.done != model_before.done);
    end_loop();
}

#ifdef MODEL_ENTRY_FACE

uint32_t model_fill_next(struct mif_queue *q, const memif_buffer_t *bufs, uint32_t count,
                         enum mif_kind kind)
{
    uint32_t filled;
    begin_step(q, kind);
    check_part(bufs, count);
    __CPROVER_assert(count > 0 && q->chains == 0, "there are packets in their own slots");
    __CPROVER_assume(filled <= count && filled <= q->next - q->done);
    q->done += filled;
    uint16_t chains = q->chains;
    end_step();
    q->chains = left.chains = chains;
    return filled;
}

uint32_t model_fill_checked(struct mif_queue *q, const memif_buffer_t *bufs, uint32_t count,
                            int *err)
{
    return model_fill_other(q, bufs, count, err);
}

#else

bool model_fill_next(struct mif_queue *q, const memif_buffer_t *buf, enum mif_kind kind)
{
    bool good;
    begin_step(q, kind);
    check_part(buf, 1);
    __CPROVER_assert(q->done != q->next, "a packet is reserved");
    if (good)
        send_slots(q, 1);
    end_step();
    return good;
}

uint32_t model_fill_checked(struct mif_queue *q, const memif_buffer_t *buf, int *err)
{
    return model_fill_other(q, buf, 1, err);
}

#endif

void prove_fill_other(void)
{
    int err = MIF_ERR_SUCCESS;
    begin_loop();
    __CPROVER_assume(model_count > 0);
    uint32_t n = mif_fill_other(&model_queue, model_array, model_count, &err);
    const struct mif_queue *q = &model_queue;
    __CPROVER_assert(n <= model_count, "no more packets than were given");
    __CPROVER_assert(n == 0 || q->done != model_before.done, "each packet has a slot");
    __CPROVER_assert(n > 0 || q->done == model_before.done, "a refused packet has none");
    __CPROVER_assert(err == MIF_ERR_SUCCESS || (n == 0 && err == MIF_ERR_INVAL_ARG),
                     "an error is of a refused packet");
    __CPROVER_assert(q->limit == model_before.limit && model_published == 0,
                     "nothing is reserved or published");
    model_queue.busy = 0; /* the caller leaves the queue */
    end_loop();
}

#include "unchecked_end.h"

#endif
