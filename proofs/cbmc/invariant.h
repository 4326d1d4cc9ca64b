/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is true of a queue between two bursts: core/state.h in one function. Each proof assumes it
 * before a burst, of a queue with otherwise any values, and shows it afterwards.
 */
#ifndef INVARIANT_H
#define INVARIANT_H

#include "model.h"
#include "unchecked_begin.h"

/* Whether chains are the packet face's or the entry face's. */
#ifdef MODEL_ENTRY_FACE
#define CHAINS_OF_ENTRIES true
#else
#define CHAINS_OF_ENTRIES false
#endif

/* True if [data, data + length) lies in that region. The same object first: otherwise the
 * difference means nothing. */
static bool lies_in(const struct mif_queue *q, uint16_t region, const uint8_t *data,
                    uint64_t length)
{
    if (region >= q->region_count || region >= MODEL_REGIONS || q->regions[region].size == 0)
        return false;
    const struct mif_region *r = &q->regions[region];
    if (!__CPROVER_same_object(data, r->base))
        return false;
    uint64_t at = __CPROVER_POINTER_OFFSET(data);
    return at <= r->size && length <= r->size - at;
}

static bool lies_anywhere(const struct mif_queue *q, const uint8_t *data, uint64_t length)
{
    return lies_in(q, 0, data, length) || lies_in(q, 1, data, length);
}

/* done <= next <= limit <= done + capacity, and the peer's index is where limit says. */
static bool counters_are_right(const struct mif_queue *q)
{
    uint64_t capacity = mif_capacity(q, MODEL_KIND);
    if (q->next - q->done > q->limit - q->done || q->limit - q->done > capacity)
        return false;
    uint64_t free = !MODEL_IS_RX && MODEL_KIND != MIF_KIND_512_MASTER ? capacity : 0;
    uint16_t raw = (uint16_t)(q->limit - free);
    return q->peer_raw == (MODEL_IS_256 ? raw & q->mask : raw);
}

static bool cache_is_right(const struct mif_queue *q)
{
    uint32_t region = q->cache.head >> 16;
    if ((q->cache.head & 0xFFFF) != 0 || region >= q->region_count || region >= MODEL_REGIONS)
        return false;
    const struct mif_region *r = &q->regions[region];
    uint32_t most = mif_max_packet(q);
    return r->size > 0 && q->cache.base == r->base && q->cache.size == r->size &&
           q->cache.max_packet == (r->size < most ? (uint32_t)r->size : most);
}

/* Our own buffers are recorded always, a peer's while we hold them. */
static bool slot_is_right(const struct mif_queue *q, uint32_t slot)
{
    const struct mif_slot *own = &q->slots[slot];
    uint32_t capacity = mif_slot_capacity(own), headroom = mif_slot_headroom(own);
    if (MODEL_IS_SLAVE)
        return capacity == q->buffer_size &&
               (CHAINS_OF_ENTRIES && MODEL_KIND == MIF_KIND_512_SLAVE ? headroom <= capacity
                                                                      : headroom == 0) &&
               lies_in(q, mif_slot_region(own), own->data, (uint64_t)capacity + q->tailroom);
    uint64_t ahead = (slot - q->done) & q->mask;
    if (MODEL_IS_RX || ahead >= q->next - q->done)
        return true;
    return headroom == 0 && capacity > 0 && lies_in(q, mif_slot_region(own), own->data, capacity);
}

static bool slots_are_right(const struct mif_queue *q)
{
    const struct mif_buffer_array *array = &q->buffers;
    bool good = true;
    for (uint32_t i = 0; i < MODEL_SLOTS; i++) {
        good = good && slot_is_right(q, i);
        if (MODEL_IS_SLAVE && array->data != NULL)
            good = good && q->slots[i].word == array->word && (uint16_t)array->word == 0 &&
                   __CPROVER_same_object(q->slots[i].data, array->data) &&
                   __CPROVER_POINTER_OFFSET(q->slots[i].data) ==
                       __CPROVER_POINTER_OFFSET(array->data) + (uint64_t)i * array->stride;
    }
    if (MODEL_IS_SLAVE && array->data != NULL)
        good = good && array->offset == (uint32_t)__CPROVER_POINTER_OFFSET(array->data);
    return good;
}

static uint64_t bytes_of_slots(const struct mif_queue *q, uint64_t first, uint16_t count)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < MODEL_SLOTS; i++)
        if (i < count)
            bytes += mif_slot_capacity(&q->slots[(first + i) & q->mask]);
    return bytes;
}

/* A packet of `count` slots that starts at a counter. */
static bool chain_is_right(const struct mif_queue *q, uint64_t first, const struct mif_chain *chain)
{
    if (chain->count > MODEL_SLOTS)
        return false;
    if (chain->bounce != NULL &&
        (__CPROVER_POINTER_OFFSET(chain->bounce) != 0 ||
         __CPROVER_OBJECT_SIZE(chain->bounce) != sizeof(struct mif_bounce) + chain->length ||
         !__CPROVER_r_ok(chain->bounce, 1)))
        return false;
    if (MODEL_IS_RX)
        return !CHAINS_OF_ENTRIES;
    if (chain->length > bytes_of_slots(q, first, chain->count) || chain->count < 2)
        return false;
    if (CHAINS_OF_ENTRIES) /* it has fewer entries than slots */
        return chain->bounce != NULL && chain->length > 0 &&
               chain->length <= (uint64_t)(chain->count - 1) * q->buffer_size;
    const struct mif_slot *own = &q->slots[first & q->mask];
    return chain->bounce != NULL || lies_in(q, mif_slot_region(own), own->data, chain->length);
}

/* Each packet of several slots is recorded at its first one; q->chains counts them and the gap. */
static bool chains_are_right(const struct mif_queue *q)
{
    uint64_t at = q->done;
    uint16_t number = 0;
    if (!MODEL_IS_RX && q->order->passed != 0) {
        if (q->order->passed <= q->done || q->order->passed >= q->next)
            return false;
        at = q->order->passed;
        number = 1;
    }
    for (uint32_t i = 0; i < MODEL_SLOTS; i++) {
        uint64_t counter = q->done + i;
        const struct mif_chain *chain = &q->chain_of[counter & q->mask];
        bool begins = counter == at && at - q->done < q->next - q->done;
        if (begins)
            at += chain->count > 0 ? chain->count : 1;
        if (chain->count == 0 ? chain->bounce != NULL : !begins)
            return false;
        if (chain->count == 0)
            continue;
        number++;
        if (!chain_is_right(q, counter, chain))
            return false;
        for (uint32_t k = 0; k < i; k++)
            if (chain->bounce != NULL &&
                chain->bounce == q->chain_of[(q->done + k) & q->mask].bounce)
                return false;
    }
    return at == q->next && q->chains == number;
}

/* What never changes while a queue is up. */
static bool set_up_is_right(const struct mif_queue *q)
{
    const _Atomic uint16_t *head = &model_ring.head, *tail = &model_ring.tail;
    bool own_head = MODEL_IS_256 ? !MODEL_IS_RX : MODEL_IS_SLAVE;
    return q->kind == MODEL_KIND && q->mask == MODEL_SLOTS - 1 && q->ring == &model_ring &&
           q->descs == (void *)model_descs && q->slots == model_slots &&
           q->chain_of == model_chains && q->order == &model_order &&
           q->regions == model_connection.regions && q->region_count <= MODEL_REGIONS &&
           q->own_index == (own_head ? head : tail) && q->peer_index == (own_head ? tail : head);
}

static bool mif_invariant(const struct mif_queue *q)
{
    return set_up_is_right(q) && counters_are_right(q) && cache_is_right(q) && slots_are_right(q) &&
           chains_are_right(q);
}

#include "unchecked_end.h"

#endif
