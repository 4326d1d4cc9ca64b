/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bare limit: a ring with one producer and one consumer that has the cache lines of a memif
 * slave-to-master ring, and nothing else. Each burst publishes one index; the other side's index is
 * read only when the last one known does not suffice; nothing that comes in is checked.
 */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include "cases.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define BARE_SLOTS 1024
#define BARE_MASK (BARE_SLOTS - 1)
#define BARE_BUFFER 2048
#define BARE_LINE 64

/* In shared memory. */
struct bare_ring {
    _Alignas(BARE_LINE) _Atomic uint16_t head;
    _Alignas(BARE_LINE) _Atomic uint16_t tail;
    _Alignas(BARE_LINE) uint64_t descriptors[BARE_SLOTS * 4];
    _Alignas(4096) uint8_t buffers[BARE_SLOTS][BARE_BUFFER];
};

/* One side's own knowledge of a ring. */
struct bare_side {
    _Alignas(BARE_LINE) struct bare_ring *ring;
    uint16_t own;   /* index: what was produced, or consumed */
    uint16_t other; /* index of the other side, as last read */
    bool inside;    /* a packet: its next piece is still to be consumed */
    uint32_t read;  /* bytes of it that were copied */
    bool wide;      /* descriptors of 32 bytes, as in protocol 256, instead of 16 */
};

#define BARE_INLINE static inline __attribute__((always_inline))

BARE_INLINE void bare_describe(struct bare_side *side, uint16_t slot, uint32_t length, bool more)
{
    uint64_t offset = (uint64_t)slot * BARE_BUFFER;
    if (side->wide) {
        uint64_t *d = &side->ring->descriptors[slot * 4];
        d[0] = (uint64_t)BARE_BUFFER << 32 | more;
        d[1] = length;
        d[2] = offset;
    } else {
        uint64_t *d = &side->ring->descriptors[slot * 2];
        d[0] = (uint64_t)length << 32 | more;
        d[1] = offset;
    }
}

struct bare_packet {
    uint8_t *data;
    uint32_t length;
    bool more;
};

BARE_INLINE struct bare_packet bare_described(const struct bare_side *side, uint16_t slot)
{
    const volatile uint64_t *d = &side->ring->descriptors[slot * (side->wide ? 4 : 2)];
    uint64_t first = d[0];
    uint64_t second = d[1];
    uint64_t offset = side->wide ? d[2] : second;
    return (struct bare_packet){.data = side->ring->buffers[0] + offset,
                                .length = (uint32_t)(side->wide ? second : first >> 32),
                                .more = first & 1};
}

/* Slots that can be filled, at most `wanted`. */
BARE_INLINE uint16_t bare_room(struct bare_side *side, uint16_t wanted)
{
    uint16_t room = (uint16_t)(BARE_SLOTS - (uint16_t)(side->own - side->other));
    if (room < wanted) {
        side->other = atomic_load_explicit(&side->ring->tail, memory_order_acquire);
        room = (uint16_t)(BARE_SLOTS - (uint16_t)(side->own - side->other));
    }
    return room < wanted ? room : wanted;
}

/* Slots that are filled, at most `wanted`. */
BARE_INLINE uint16_t bare_filled(struct bare_side *side, uint16_t wanted)
{
    if (side->own == side->other)
        side->other = atomic_load_explicit(&side->ring->head, memory_order_acquire);
    uint16_t filled = (uint16_t)(side->other - side->own);
    return filled < wanted ? filled : wanted;
}

BARE_INLINE void bare_produced(struct bare_side *side)
{
    atomic_store_explicit(&side->ring->head, side->own, memory_order_release);
}

BARE_INLINE void bare_consumed(struct bare_side *side)
{
    atomic_store_explicit(&side->ring->tail, side->own, memory_order_release);
}

#endif
