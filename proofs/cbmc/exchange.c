/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving buffers without a copy: memif_buffer_enq_tx and memif_buffer_requeue. model_queue is the
 * one that sends, model_source another one, that receives: of the same interface, or of a second
 * one whose regions may be the same memory. Both are of a slave of version 512, or the source is of
 * any kind and refused.
 */
#define MODEL_ENTRY_FACE
#include "state.h"

#include "datapath/entry.c"
/* after it */
#include "datapath/chain.c"

#include "bursts.h"
#include "loops.h"

#include "unchecked_begin.h"

static struct mif_queue model_source, source_before;
static struct mif_slot source_slots[MODEL_SLOTS], source_slots_before[MODEL_SLOTS];
static struct mif_slot slots_before[MODEL_SLOTS];
static struct {
    uint8_t before[offsetof(struct mif_connection, regions)];
    struct mif_region regions[MODEL_REGIONS];
} model_second;

/* An interface with memory of the program has no tail room: Memory._tailroom in
 * control/memory.py. All queues of an interface have one buffer size. */
static void make_source(void)
{
    struct mif_queue any;
    bool is_same, is_common;
    model_source = any;
    for (uint32_t i = 0; i < MODEL_REGIONS; i++) {
        struct mif_region own;
        __CPROVER_assume(own.size > 0 && own.size <= (uint64_t)1 << 40);
        own.base = __CPROVER_allocate(own.size, false);
        if (is_common && i > 0) { /* maybe less of it */
            own.base = model_connection.regions[i].base;
            __CPROVER_assume(own.size <= model_connection.regions[i].size);
        }
        model_second.regions[i] = own;
    }
    model_source.regions = is_same ? model_connection.regions : model_second.regions;
    if (is_same) {
        model_source.region_count = model_queue.region_count;
        model_source.buffer_size = model_queue.buffer_size;
        model_source.tailroom = model_queue.tailroom;
    } else if (is_common) {
        __CPROVER_assume(model_source.tailroom == 0 && model_queue.tailroom == 0);
    }
    __CPROVER_assume(model_source.region_count <= MODEL_REGIONS);
    __CPROVER_assume(model_source.buffer_size > 0 && model_source.buffer_size <= UINT16_MAX);
    model_source.mask = MODEL_SLOTS - 1;
    model_source.slots = source_slots;
    model_source.buffers.data = NULL;
    for (uint32_t i = 0; i < MODEL_SLOTS; i++) {
        struct mif_slot slot;
        const struct mif_region *r = &model_source.regions[mif_slot_region(&slot) & 1];
        slot.data = somewhere_in(r->base, r->size);
        source_slots[i] = slot;
    }
    __CPROVER_assume(model_source.next - model_source.done <= MODEL_SLOTS);
    __CPROVER_assume(model_source.kind <= MIF_KIND_512_SLAVE);
    __CPROVER_assume(model_source.kind != MIF_KIND_512_SLAVE || slots_are_right(&model_source));
}

static void begin_exchange(void)
{
    begin();
    make_source();
    for (uint32_t i = 0; i < MODEL_SLOTS; i++) {
        slots_before[i] = model_slots[i];
        source_slots_before[i] = source_slots[i];
    }
    model_queue.busy = model_source.busy = 0;
    source_before = model_source;
    model_before = model_queue;
}

/* An entry as a program may have written it, maybe with the buffer of a slot. */
static void make_entry(memif_buffer_t *entry)
{
    memif_buffer_t any;
    uint16_t slot;
    uint64_t moved;
    bool is_source, is_known;
    any.queue = is_source ? &model_source : is_known ? &model_queue : NULL;
    slot &= MODEL_SLOTS - 1;
    any.data = is_source ? source_slots[slot].data : model_slots[slot].data;
    any.data = (void *)((uintptr_t)any.data + moved);
    *entry = any;
}

/* ---- stubs: arena.c shows the true ones ---- */

enum mif_direction model_direction_of(const void *queue)
{
    enum mif_direction direction;
    return queue == &model_source ? MIF_RX : queue == &model_queue ? MIF_TX : direction;
}

struct mif_queue *model_enter_queue(void *pointer)
{
    bool fails;
    struct mif_queue *q = pointer == &model_source  ? &model_source
                          : pointer == &model_queue ? &model_queue
                                                    : NULL;
    if (fails || q == NULL)
        return NULL;
    __CPROVER_assert(q->busy == 0, "a queue is entered once");
    q->busy = 1;
    return q;
}

struct mif_connection *model_lookup(const void *handle)
{
    bool fails, is_up;
    struct mif_connection *conn = (struct mif_connection *)&model_connection;
    (void)handle;
    conn->up = is_up;
    return fails ? NULL : conn;
}

/* ---- proofs ---- */

static bool is_slot(const struct mif_slot *slot, const struct mif_slot *other)
{
    return slot->data == other->data && mif_slot_capacity(slot) == mif_slot_capacity(other) &&
           mif_slot_headroom(slot) == mif_slot_headroom(other);
}

static void check_source(void)
{
    const struct mif_queue *q = &model_source;
    __CPROVER_assert(q->next == source_before.next && q->done == source_before.done &&
                         q->limit == source_before.limit && q->busy == 0,
                     "the source is left as it was, but for a buffer");
    __CPROVER_assert(q->kind != MIF_KIND_512_SLAVE || slots_are_right(q),
                     "the buffers of the source lie in their regions");
}

/* Each slot has its buffer, or two slots have exchanged theirs. */
static void check_exchanged(bool good, const struct mif_queue *qa, uint32_t a,
                            const struct mif_queue *qb, uint32_t b)
{
    uint32_t k;
    __CPROVER_assume(k < MODEL_SLOTS);
    const struct mif_slot *before_a = qa == &model_source ? source_slots_before : slots_before;
    const struct mif_slot *before_b = qb == &model_source ? source_slots_before : slots_before;
    if (good) {
        __CPROVER_assert(a < MODEL_SLOTS && b < MODEL_SLOTS, "the slots are there");
        __CPROVER_assert(is_slot(&qa->slots[a], &before_b[b]) &&
                             is_slot(&qb->slots[b], &before_a[a]),
                         "two slots have exchanged their buffers");
        __CPROVER_assert(qa->buffers.data == NULL && qb->buffers.data == NULL,
                         "the buffers form no array any more");
    }
    __CPROVER_assert((good && qa == &model_queue && a == k) ||
                         (good && qb == &model_queue && b == k) ||
                         is_slot(&model_slots[k], &slots_before[k]),
                     "other slots have their buffers");
    __CPROVER_assert((good && qa == &model_source && a == k) ||
                         (good && qb == &model_source && b == k) ||
                         is_slot(&source_slots[k], &source_slots_before[k]),
                     "other slots of the source have their buffers");
}

void prove_enqueue_one(void)
{
    memif_buffer_t buf;
    begin_exchange();
    make_entry(&buf);
    const memif_buffer_t was = buf;
    model_queue.busy = 1;
    int err = enqueue_one(&model_queue, &buf);
    const struct mif_queue *q = &model_queue;
    bool good = err == MIF_ERR_SUCCESS;
    __CPROVER_assert(good || (buf.queue == was.queue && buf.desc_index == was.desc_index),
                     "a refused entry stays as it is");
    __CPROVER_assert(!good || (was.queue == &model_source && buf.queue == q),
                     "a received entry is one that can be sent");
    __CPROVER_assert(q->done == model_before.done, "nothing is sent");
    __CPROVER_assert(!good || (q->next != q->done && buf.desc_index == ((q->next - 1) & q->mask)),
                     "the last reserved slot is the entry's");
    __CPROVER_assert(buf.data == was.data && buf.len == was.len, "the packet stays where it is");
    check_exchanged(good, q, buf.desc_index, &model_source, was.desc_index);
    check_source();
    __CPROVER_assert(q->busy == 1, "the caller leaves the queue");
    model_queue.busy = 0;
    check_end();
}

static uint16_t enqueue_calls, enqueue_good;

int model_enqueue_one(struct mif_queue *q, memif_buffer_t *buf)
{
    int err;
    __CPROVER_assert(q == &model_queue && q->kind == MIF_KIND_512_SLAVE, "of a slave's queue");
    __CPROVER_assert(buf == model_array + enqueue_calls && enqueue_calls < model_count,
                     "an entry of the array");
    __CPROVER_assert(enqueue_calls == enqueue_good, "none follows a refused one");
    enqueue_calls++;
    enqueue_good = (uint16_t)(enqueue_good + (err == MIF_ERR_SUCCESS));
    return err;
}

void prove_enqueue(void)
{
    void *handle;
    uint16_t qid, enqueued, count;
    uint8_t kind;
    __CPROVER_assume(count <= MODEL_COUNT && kind <= MIF_KIND_512_SLAVE);
    model_count = count;
    model_array = entries_of(count);
    model_queue.kind = kind;
    int err = mif_entry_enqueue(handle, qid, model_array, count, &enqueued);
    __CPROVER_assert(enqueued == enqueue_good && enqueued <= count, "those that were enqueued");
    __CPROVER_assert(err != MIF_ERR_SUCCESS || enqueued == count, "all, or there is an error");
    __CPROVER_assert(model_queue.busy == 0, "the queue was left");
}

void prove_requeue(void)
{
    void *handle;
    bool is_one;
    memif_buffer_t entries[2];
    begin_exchange();
    make_entry(&entries[0]);
    make_entry(&entries[1]);
    memif_buffer_t *a = &entries[0], *b = is_one ? a : &entries[1];
    const memif_buffer_t was_a = *a, was_b = *b;
    int err = mif_entry_requeue(handle, a, b);
    bool good = err == MIF_ERR_SUCCESS;
    __CPROVER_assert(good ? a->queue == was_b.queue && a->desc_index == was_b.desc_index &&
                                b->queue == was_a.queue && b->desc_index == was_a.desc_index
                          : a->queue == was_a.queue && a->desc_index == was_a.desc_index &&
                                b->queue == was_b.queue && b->desc_index == was_b.desc_index,
                     "entries exchange their slots, or stay as they are");
    check_exchanged(good, was_a.queue, was_a.desc_index, was_b.queue, was_b.desc_index);
    check_source();
    __CPROVER_assert(model_queue.next == model_before.next && model_queue.done == model_before.done,
                     "the counters stay");
    check_end();
}

#include "unchecked_end.h"
