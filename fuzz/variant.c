/* SPDX-License-Identifier: Apache-2.0 */
/* The variants of one face. Compiled once for each. */

#include "variant.h"

#include "honest.h"
#include "hostile.h"

#include <string.h>

/* ---- what must be equal bit by bit in portable code and in code with vectors ---- */

/* A place in memory, as far as both variants can have the same. */
static uint64_t place_of(const struct testbed *bed, const void *data)
{
    for (uint32_t i = 0; i < TESTBED_REGIONS; i++) {
        uint64_t offset = (uintptr_t)data - (uintptr_t)bed->regions[i].base;
        if (bed->regions[i].size > 0 && offset <= bed->regions[i].size)
            return (uint64_t)(i + 1) << 48 | offset;
    }
    return data != NULL; /* memory of the library */
}

static uint64_t hash_step(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * 0x9E3779B97F4A7C15u + 1;
}

static uint64_t slots_hash(const struct testbed *bed, const struct mif_queue *q)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i <= q->mask; i++) {
        hash = hash_step(hash, q->slots[i].word);
        hash = hash_step(hash, place_of(bed, q->slots[i].data));
        hash = hash_step(hash, q->chain_of[i].count);
    }
    return hash;
}

static uint64_t held_hash(const struct testbed *bed, enum mif_direction direction)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < bed->held_count[direction]; i++)
        hash = hash_step(hash_step(hash, bed->held[direction][i].desc_index),
                         place_of(bed, bed->held[direction][i].data));
    return hash;
}

static void note_queue(const struct testbed *bed, const struct mif_queue *q,
                       struct fuzz_outcome *outcome)
{
    fuzz_note(outcome, FUZZ_VECTORS, "next", q->next);
    fuzz_note(outcome, FUZZ_VECTORS, "done", q->done);
    fuzz_note(outcome, FUZZ_VECTORS, "limit", q->limit);
    fuzz_note(outcome, FUZZ_VECTORS, "peer_raw", q->peer_raw);
    fuzz_note(outcome, FUZZ_VECTORS, "own_index", atomic_load(q->own_index));
    fuzz_note(outcome, FUZZ_VECTORS, "chains", q->chains);
    fuzz_note(outcome, FUZZ_VERSIONS, "full", q->full);
    fuzz_note(outcome, FUZZ_VERSIONS, "signals", q->signals);
    fuzz_note(outcome, FUZZ_VERSIONS, "refused", q->refused);
    fuzz_note(outcome, FUZZ_FACES, "bytes", q->bytes);
    fuzz_note(outcome, FUZZ_FACES, "extra_slots", q->extra_slots);
    fuzz_note(outcome, FUZZ_VECTORS, "cache.base", place_of(bed, q->cache.base));
    fuzz_note(outcome, FUZZ_VECTORS, "cache.head", q->cache.head);
    fuzz_note(outcome, FUZZ_VECTORS, "buffers.data", place_of(bed, q->buffers.data));
    fuzz_note(outcome, FUZZ_VECTORS, "order->passed", q->order->passed);
    fuzz_note(outcome, FUZZ_VECTORS, "order->optional", q->order->optional);
}

/* A slave of version 512 writes the offset of a packet with vectors, and without them only if the
 * program has moved the data: what a peer wrote over it may stay. That makes no difference to a
 * peer that does not. */
static void forget_offsets(const struct testbed *bed, uint8_t *copy)
{
    const uint8_t *descs = (const uint8_t *)(bed->ring[MIF_TX] + 1);
    uint8_t *at = copy + (descs - bed->regions[TESTBED_RINGS].base);
    for (uint32_t i = 0; i < testbed_slots(bed); i++)
        memset(at + i * sizeof(struct mif_desc_512) +
                   offsetof(struct mif_desc_512, offset_metadata),
               0, sizeof(uint64_t));
}

static void note_rings(struct fuzz_variant *variant, struct fuzz_outcome *outcome)
{
    const struct testbed_memory *rings = &variant->bed.regions[TESTBED_RINGS];
    const uint8_t *bytes = rings->base;
    if (!variant->honest && variant->bed.shape.kind == MIF_KIND_512_SLAVE) {
        fuzz_must(rings->size <= sizeof(variant->rings), "the copy is large enough");
        memcpy(variant->rings, rings->base, rings->size);
        forget_offsets(&variant->bed, variant->rings);
        bytes = variant->rings;
    }
    fuzz_note_bytes(outcome, FUZZ_VECTORS, "the rings", bytes, rings->size);
}

static void note_all(struct fuzz_variant *variant, struct fuzz_outcome *outcome)
{
    struct testbed *bed = &variant->bed;
    const char *fault = testbed_fault(bed);
    if (fault != NULL)
        fuzz_note_bytes(outcome, FUZZ_VECTORS, "the fault", fault, strlen(fault));
    fuzz_note(outcome, FUZZ_FACES, "whether there is a fault", fault != NULL);
    for (int d = MIF_RX; d <= MIF_TX; d++)
        note_queue(bed, bed->queue[d], outcome);
    if (variant->promise != FUZZ_VECTORS)
        return; /* nobody compares the rest */
    for (int d = MIF_RX; d <= MIF_TX; d++) {
        fuzz_note(outcome, FUZZ_VECTORS, "slots", slots_hash(bed, bed->queue[d]));
        fuzz_note(outcome, FUZZ_VECTORS, "what the program holds",
                  held_hash(bed, (enum mif_direction)d));
    }
    note_rings(variant, outcome);
}

/* ---- a peer that keeps to no rule ---- */

/* What the program writes to new entries that are in memory of the library: nothing else says what
 * is there. */
static void write_entries(const struct testbed *bed, uint32_t count)
{
    const memif_buffer_t *entry = &bed->held[MIF_TX][bed->held_count[MIF_TX] - count];
    for (; count > 0; count--, entry++)
        if (place_of(bed, entry->data) == 1)
#ifdef TESTBED_ENTRY_FACE
            memset(entry->data, (uint8_t)count, entry->len);
#else
            memset(entry->data, (uint8_t)count, entry->buffer_len);
#endif
}

static void act_hostile(struct fuzz_variant *variant, const struct fuzz_action *action,
                        struct fuzz_outcome *outcome)
{
    struct testbed *bed = &variant->bed;
    uint16_t count;
    int err = fuzz_act(bed, action, &count);
    fuzz_note(outcome, FUZZ_VECTORS, "the code", (uint64_t)err);
    fuzz_note(outcome, FUZZ_VECTORS, "the number that the call says", count);
    if (action->deed == FUZZ_RECEIVE)
        fuzz_note_entries(variant, MIF_RX, count, FUZZ_VECTORS, outcome);
    if (action->deed == FUZZ_RESERVE) {
        fuzz_note_entries(variant, MIF_TX, count, FUZZ_VECTORS, outcome);
        write_entries(bed, count);
    }
}

/* ---- the face ---- */

enum { PLACES = 2, SMALL = 64, LARGE = 256 };

/* Mapping memory takes long, so it is kept for the next input, but empty. */
static struct fuzz_variant *begin(uint32_t bits, uint32_t place, bool honest,
                                  enum fuzz_promise promise)
{
    static struct fuzz_variant variants[PLACES][4][2][FUZZ_MOST_LOG2 + 1];
    struct testbed_shape shape = fuzz_shape(bits);
    bool large = shape.buffer_size == FUZZ_LARGE;
    struct fuzz_variant *variant = &variants[place][shape.kind][large][shape.log2_ring_size];
    struct testbed *bed = &variant->bed;
    shape.buffer_size = large ? LARGE : SMALL;
    if (bed->held[0] == NULL) {
        testbed_open(bed, &shape);
    } else {
        bed->shape = shape;
        for (int i = 0; i < TESTBED_REGIONS; i++)
            if (bed->regions[i].size > 0)
                memset(bed->regions[i].base, 0, bed->regions[i].size);
        testbed_connect(bed);
    }
    variant->promise = promise;
    variant->honest = honest;
    variant->polling = !shape.interrupt;
    variant->taken = 0;
    variant->serial = variant->received = variant->known = 0;
    if (honest)
        fuzz_honest_begin(variant);
    return variant;
}

static void act(struct fuzz_variant *variant, const struct fuzz_action *action,
                struct fuzz_outcome *outcome)
{
    struct testbed *bed = &variant->bed;
    testbed_use(bed);
    if (variant->honest)
        fuzz_honest_act(variant, action, outcome);
    else
        act_hostile(variant, action, outcome);
    fuzz_must(!variant->honest || testbed_fault(bed) == NULL, "an honest peer makes no fault");
    note_all(variant, outcome);
    if (action->reconnect_after_fault && testbed_fault(bed) != NULL) {
        testbed_disconnect(bed);
        testbed_connect(bed);
    }
}

static void end(struct fuzz_variant *variant, struct fuzz_outcome *outcome)
{
    const struct testbed_memory *buffers = &variant->bed.regions[TESTBED_BUFFERS];
    fuzz_note_bytes(outcome, FUZZ_VECTORS, "the buffers", buffers->base, buffers->size);
    testbed_disconnect(&variant->bed);
}

#ifdef TESTBED_ENTRY_FACE
__attribute__((visibility("default"))) const struct fuzz_face fuzz_entry_face = {
    .name = "entry face",
#else
__attribute__((visibility("default"))) const struct fuzz_face fuzz_packet_face = {
    .name = "packet face",
#endif
    .has_vectors = testbed_has_vectors,
    .begin = begin,
    .act = act,
    .end = end,
};
