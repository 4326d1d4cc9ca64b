/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One proof for each burst function. A program calls it with an array of exactly as many entries as
 * it says, at most MODEL_COUNT of them.
 *
 * Set from outside: MODEL_SUFFIX, such as _512_master.
 */
#ifndef BURSTS_H
#define BURSTS_H

#include "unchecked_begin.h"

#define JOINED(name, suffix) name##suffix
#define JOIN(name, suffix) JOINED(name, suffix)
#define BURST(name) JOIN(name, MODEL_SUFFIX)

/* In words, because bursts write whole words. */
static mif_word model_entries[(MODEL_COUNT + 1) * sizeof(memif_buffer_t) / sizeof(mif_word)];

/* The array of a program with `count` entries: it ends where the object does. */
static memif_buffer_t *entries_of(uint32_t count)
{
    return (memif_buffer_t *)model_entries + (MODEL_COUNT + 1 - count);
}

/* The arguments of the burst. */
static memif_buffer_t *model_array;
static uint16_t model_count;
static uint32_t model_size;

/* Of the packet face in version 512 any, as Python reserves larger packets than memif_buffer_alloc,
 * whose argument has 16 bits. */
static uint32_t any_size(void)
{
    uint32_t size;
#if defined(MODEL_ENTRY_FACE) || MODEL_VERSION == 256
    __CPROVER_assume(size <= UINT16_MAX);
#endif
    return size;
}

static void begin(void)
{
    uint16_t count;
    __CPROVER_assume(count <= MODEL_COUNT);
    make_queue();
    model_count = count;
    model_size = any_size();
    model_array = entries_of(count);
}

/* Entries as a program may have written them. */
static void make_entries(void)
{
    for (uint32_t i = 0; i <= MODEL_COUNT; i++) {
        memif_buffer_t any;
        uint32_t slot;
        bool is_own;
        any.data = model_slots[slot & (MODEL_SLOTS - 1)].data;
        uint64_t moved;
        if (is_own)
            any.data = (void *)((uintptr_t)any.data + moved);
#ifdef MODEL_ENTRY_FACE
        bool is_ours;
        any.queue = is_ours ? &model_queue : NULL;
#endif
        ((memif_buffer_t *)model_entries)[i] = any;
    }
}

#ifdef MODEL_ENTRY_FACE
#define ROOM_OF(entry) ((entry)->len)
#define BYTES_OF(entry) ((entry)->len)
#else
#define ROOM_OF(entry) ((entry)->buffer_len)
#define BYTES_OF(entry) ((entry)->data_len)
#endif

/* An entry that a program got is memory of the connection, or of a packet in our own memory. */
static bool is_mapped(const memif_buffer_t *entry, uint32_t length)
{
    return lies_anywhere(&model_queue, entry->data, length) ||
           (__CPROVER_r_ok(entry->data, length) && __CPROVER_DYNAMIC_OBJECT(entry->data) &&
            !__CPROVER_same_object(entry->data, model_connection.regions[0].base) &&
            !__CPROVER_same_object(entry->data, model_connection.regions[1].base));
}

static void check_end(void)
{
    const struct mif_queue *q = &model_queue;
    __CPROVER_assert(set_up_is_right(q), "the queue is the same");
    __CPROVER_assert(counters_are_right(q), "the counters are in order");
    __CPROVER_assert(cache_is_right(q), "the region that was used last is one");
    __CPROVER_assert(slots_are_right(q), "the buffers of the slots lie in their regions");
    __CPROVER_assert(chains_are_right(q), "the packets of several slots are recorded");
    __CPROVER_assert(q->busy == 0, "the queue was left");
}

/* What the peer is to read when we are done with all slots before a counter: see the table in
 * docs/architecture.md. */
static uint16_t index_of(uint64_t done)
{
    if (MODEL_IS_256)
        return (uint16_t)(done & (MODEL_SLOTS - 1));
    return (uint16_t)(MODEL_IS_RX && MODEL_IS_SLAVE ? done + MODEL_SLOTS : done);
}

/* If `must` is set, or anything was published. */
static void check_published(bool must)
{
    const struct mif_queue *q = &model_queue;
    if (must || model_published > 0) {
        __CPROVER_assert(model_published == 1, "the index is published once");
        __CPROVER_assert(model_index == index_of(q->done),
                         "the published index is what the counters say");
    }
}

/* ---- the rest of a burst ---- */

/* The slow part of each burst is proved on its own, from any state in which it may be called. Where
 * the fast part calls it, that state is checked, and the burst ends as far as this proof goes. */
static void check_rest(const struct mif_queue *q, uint32_t n, const memif_buffer_t *bufs,
                       uint32_t count)
{
    __CPROVER_assert(q == &model_queue, "the rest is of the same queue");
    __CPROVER_assert(bufs == model_array && count == model_count, "the rest has the same array");
    __CPROVER_assert(n <= count, "the rest begins in the array");
    __CPROVER_assert(model_published == 0, "the rest begins before anything is published");
    __CPROVER_assert(mif_invariant(q), "the rest begins with a queue in order");
}

int model_rx_rest(struct mif_queue *q, uint32_t n, memif_buffer_t *bufs, uint32_t count,
                  uint16_t *rx)
{
    (void)rx;
    check_rest(q, n, bufs, count);
    __CPROVER_assert(q->next - model_before.next == n, "as many were received as is said");
    __CPROVER_assume(false);
    return 0;
}

int model_free_rest(struct mif_queue *q, uint32_t n, memif_buffer_t *bufs, uint32_t count,
                    uint16_t *freed)
{
    (void)freed;
    check_rest(q, n, bufs, count);
    __CPROVER_assert(n == 0, "nothing was given back yet");
    __CPROVER_assume(false);
    return 0;
}

int model_alloc_rest(struct mif_queue *q, uint32_t size, memif_buffer_t *bufs, uint32_t count,
                     uint16_t *allocated, uint32_t n)
{
    (void)allocated;
    check_rest(q, n, bufs, count);
    __CPROVER_assert(size == model_size, "the rest has the same size");
    __CPROVER_assert(n <= q->next - q->done, "no more are reserved than the ring has");
    __CPROVER_assert(n == 0 || mif_begins_unsent(q, q->next - n), "n packets were just reserved");
    __CPROVER_assume(false);
    return 0;
}

int model_tx_rest(struct mif_queue *q, uint32_t n, const memif_buffer_t *bufs, uint32_t count,
                  uint16_t *tx)
{
    (void)tx;
    check_rest(q, n, bufs, count);
    __CPROVER_assert(q->done - model_before.done == n, "as many were sent as is said");
    __CPROVER_assume(false);
    return 0;
}

/* Two bursts are told apart by any number but 0. */
uint64_t model_burst_hash(const memif_buffer_t *bufs, uint32_t count)
{
    uint64_t hash;
    (void)bufs;
    (void)count;
    __CPROVER_assume(hash != 0);
    return hash;
}

/* ---- receive ---- */

static void check_received(uint16_t got, uint32_t already)
{
    const struct mif_queue *q = &model_queue;
    uint32_t k;
    __CPROVER_assert(got <= model_count, "no more packets than were asked for");
    __CPROVER_assert(model_published == 0 && q->done == model_before.done,
                     "nothing is given back by receiving");
    __CPROVER_assert(got <= already || q->next - model_before.next >= got - already,
                     "each packet has a slot");
    if (k >= already && k < got) {
        const memif_buffer_t *entry = &model_array[k];
        __CPROVER_assert(entry->desc_index < MODEL_SLOTS, "a received entry has a slot");
        __CPROVER_assert(is_mapped(entry, BYTES_OF(entry)), "a received entry is mapped memory");
    }
}

void prove_rx(void)
{
    uint16_t got;
    begin();
    (void)BURST(rx_burst)(&model_queue, 0, model_array, model_count, &got);
    check_received(got, 0);
    check_end();
}

/* ---- giving back ---- */

static void check_given_back(void)
{
    const struct mif_queue *q = &model_queue;
    __CPROVER_assert(q->next == model_before.next && q->limit == model_before.limit,
                     "nothing is received by giving back");
    check_published(q->done != model_before.done);
    check_end();
}

void prove_give_back(void)
{
    uint16_t freed;
    begin();
#ifdef MODEL_ENTRY_FACE
    uint16_t headroom;
    (void)BURST(refill_burst)(&model_queue, headroom, NULL, model_count, &freed);
#else
    make_entries();
    (void)BURST(free_burst)(&model_queue, 0, model_array, model_count, &freed);
    __CPROVER_assert(freed <= model_count, "no more packets than were given back");
#endif
    check_given_back();
}

#ifndef MODEL_ENTRY_FACE
void prove_give_back_rest(void)
{
    uint16_t freed;
    begin();
    make_entries();
    (void)free_rest(&model_queue, 0, model_array, model_count, &freed);
    __CPROVER_assert(freed <= model_count, "no more packets than were given back");
    check_given_back();
}
#endif

/* Giving back with an answer to a sender that asked for room: the burst, as a stub, leaves the
 * queue, which may go down before it is entered again. */
static int model_result;

static int model_give_back(struct mif_queue *q, uint32_t extra, void *bufs, uint16_t count,
                           uint16_t *out)
{
    int err;
    __CPROVER_assert(q == &model_queue && q->busy == 1, "the queue was entered");
    __CPROVER_assert(extra == model_size && bufs == model_array && count == model_count,
                     "the arguments are the same");
    *out = count;
    q->busy = 0;
    model_result = err;
    return err;
}

/* Also for the calls of exchange.c, which get their handle from the program. */
struct mif_queue *model_enter(const void *handle, uint32_t qid, enum mif_direction direction)
{
    bool is_up;
    __CPROVER_assert(!MODEL_IS_RX || mif_owner(handle, qid) == model_before.owner,
                     "it is the same queue");
    __CPROVER_assert(direction == (MODEL_IS_RX ? MIF_RX : MIF_TX), "it has the same direction");
    __CPROVER_assert(model_queue.busy == 0, "the queue was left before");
    if (!is_up)
        return NULL;
    model_queue.busy = 1;
    return &model_queue;
}

void prove_give_back_answering(void)
{
    uint16_t count, out;
    uintptr_t owner;
    set_up_queue();
    model_queue.busy = 1;
    model_queue.owner = owner;
    __CPROVER_assume(owner > UINT16_MAX); /* the queue is up */
    begin_burst();
    model_size = any_size();
    model_count = count;
    model_array = entries_of(0);
    int err = mif_give_back_answering(&model_queue, model_size, model_array, count, &out,
                                      model_give_back);
    __CPROVER_assert(err == model_result && out == count, "the result is the burst's");
    __CPROVER_assert(model_queue.busy == 0, "the queue was left");
    __CPROVER_assert(model_published == 0, "nothing is published twice");
}

/* ---- reserve ---- */

/* The array of a program that reserves: see memif_buffer_alloc. As no ring has more slots, more
 * than MODEL_COUNT entries are as good as so many. */
static uint32_t begin_to_reserve(void)
{
    begin();
    uint32_t entries = model_count;
#ifdef MODEL_ENTRY_FACE
    uint64_t most = (uint64_t)model_count * entries_allowed(&model_queue, model_size);
    entries = most < MODEL_COUNT ? (uint32_t)most : MODEL_COUNT;
#endif
    model_array = entries_of(entries);
    return entries;
}

static void check_reserved(uint32_t entries, uint32_t already, uint16_t got)
{
    const struct mif_queue *q = &model_queue;
    uint32_t k;
    __CPROVER_assert(got <= entries, "no more entries than the array has");
    __CPROVER_assert(model_published == 0 && q->done == model_before.done,
                     "nothing is sent by reserving");
    if (k >= already && k < got) {
        const memif_buffer_t *entry = &model_array[k];
        __CPROVER_assert(entry->desc_index < MODEL_SLOTS, "a reserved entry has a slot");
        __CPROVER_assert(is_mapped(entry, ROOM_OF(entry)), "a reserved entry is mapped memory");
    }
    check_end();
}

void prove_reserve(void)
{
    uint16_t got;
    uint32_t entries = begin_to_reserve();
    (void)BURST(alloc_burst)(&model_queue, model_size, model_array, model_count, &got);
    check_reserved(entries, 0, got);
}

/* alloc_rest in one piece. With refused entries it gives them up and begins again, once, with none
 * refused. So it begins here; prove_take_back shows the giving up. Larger
 * sizes take too long: prove_reserve_rest has them. */
void prove_reserve_whole(void)
{
    uint16_t got;
    uint32_t n, entries = begin_to_reserve();
    __CPROVER_assume(model_size <= UINT16_MAX);
    model_order.refused = 0;
    __CPROVER_assume(n <= model_count);
    __CPROVER_assume(n <= model_queue.next - model_queue.done);
    __CPROVER_assume(n == 0 || mif_begins_unsent(&model_queue, model_queue.next - n));
    (void)alloc_rest(&model_queue, model_size, model_array, model_count, &got, n);
    check_reserved(entries, n, got);
}

/* ---- send ---- */

static void check_sent(uint16_t sent)
{
    const struct mif_queue *q = &model_queue;
    __CPROVER_assert(sent <= model_count, "no more packets than were given");
    __CPROVER_assert(q->limit == model_before.limit, "nothing is reserved by sending");
    check_published(sent > 0 || q->done != model_before.done);
    check_end();
}

void prove_tx(void)
{
    uint16_t sent;
    begin();
    make_entries();
    (void)BURST(tx_burst)(&model_queue, 0, model_array, model_count, &sent);
    check_sent(sent);
}

static void check_taken_back(void)
{
    const struct mif_queue *q = &model_queue;
    __CPROVER_assert(model_published == 0 && q->done == model_before.done,
                     "nothing is sent by taking back");
    __CPROVER_assert(q->next - q->done <= model_before.next - q->done, "no slot is reserved");
    model_queue.busy = 0; /* the caller leaves the queue */
    check_end();
}

void prove_take_back(void)
{
    begin();
    make_entries();
#ifdef MODEL_ENTRY_FACE
    (void)set_next_free(&model_queue, (memif_buffer_t *)model_entries);
#else
    mif_packet_cancel(&model_queue);
    __CPROVER_assert(model_queue.next == model_queue.done, "nothing is reserved");
#endif
    check_taken_back();
}

#include "unchecked_end.h"

#endif
