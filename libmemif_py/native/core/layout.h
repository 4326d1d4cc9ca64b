/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared memory of a connection, as both sides see it.
 *
 * Everything here lives in memory that the peer maps writable too. The rule for all code that
 * includes this file: read a shared field once, with one of the accessors of ring.h, into a
 * local; check the local; use only the local.
 */
#ifndef MIF_LAYOUT_H
#define MIF_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "memif is little-endian in memory");

#define MIF_CACHE_LINE 64

#define MIF_VERSION_256 256
#define MIF_VERSION_512 512
#define MIF_COOKIE_256 0x3E31F10u
#define MIF_COOKIE_512 0x3E31F20u

#define MIF_MAX_QUEUES 256
#define MIF_MAX_REGIONS 256
#define MIF_MAX_LOG2_RING_SIZE 14
/* The longest packet that is sent, and the longest that is received unless the program sets another
 * limit. */
#define MIF_MAX_PACKET 65535u

#define MIF_DESC_NEXT 1u     /* the packet goes on in the next slot */
#define MIF_RING_MASK_INT 1u /* the receiver polls: do not signal */
/* Our own flag, in a bit that no other implementation reads. With it a receiver promises: before it
 * sleeps it clears MASK_INT and then puts a barrier on all processes that registered for it
 * (membarrier). Those then need no barrier of their own between publishing and reading MASK_INT.
 * See ring.h. */
#define MIF_RING_FENCED 0x8000u
/* Another one. With it a receiver promises to answer a struct mif_ask; see room.h. */
#define MIF_RING_TELLS_ROOM 0x4000u
/* Beside MASK_INT: the receiver does not poll, but has packets enough for now; see
 * python/pause.h. */
#define MIF_RING_PAUSED 0x2000u
/* What a sender of ours writes to the ring, in bytes that no other implementation uses: it puts a
 * full barrier between publishing and reading MASK_INT, as not all others do. */
#define MIF_SENDER_FENCES 1u

/* What a sender that waits for room writes beside its index. In bytes that no other implementation
 * uses, and only to receivers that promise to look. */
struct mif_ask {
    _Atomic uint32_t wanted; /* free slots, and MIF_ASK_NOTED; 0 = nobody waits. Both write it. */
    _Atomic uint32_t index;  /* MIF_ASK_VALID, and the index that the sender would publish */
};
#define MIF_ASK_VALID 0x10000u
/* The receiver has seen the question, and will answer it as it gives buffers back. */
#define MIF_ASK_NOTED 0x80000000u

/* Cookie and flags and head on one line, tail on the next: each index has one writer. */
struct mif_ring {
    _Atomic uint32_t cookie;
    _Atomic uint16_t flags;
    _Atomic uint16_t head;
    struct mif_ask head_ask; /* of the writer of head */
    _Atomic uint32_t sender; /* 0 or MIF_SENDER_FENCES; written once, before the link is up */
    uint8_t pad0[MIF_CACHE_LINE - 20];
    _Atomic uint16_t tail;
    uint16_t pad1;
    struct mif_ask tail_ask; /* of the writer of tail */
    uint8_t pad2[MIF_CACHE_LINE - 12];
};

/* Descriptors are read and written as whole 64-bit words, so that a field cannot change between
 * two reads of it. Word by word, low bits first:
 *   version 256: flags:16 region:16 buffer_length:32 | length:32 reserved:32 | offset:64 | metadata
 *   version 512: flags:16 region:16 length:32 | offset:32 metadata:32 */
struct mif_desc_256 {
    _Atomic uint64_t flags_region_capacity;
    _Atomic uint64_t length;
    _Atomic uint64_t offset;
    _Atomic uint64_t metadata;
};

struct mif_desc_512 {
    _Atomic uint64_t flags_region_length;
    _Atomic uint64_t offset_metadata;
};

_Static_assert(offsetof(struct mif_ring, flags) == 4, "ring layout");
_Static_assert(offsetof(struct mif_ring, head) == 6, "ring layout");
_Static_assert(offsetof(struct mif_ring, head_ask) == 8, "ring layout");
_Static_assert(offsetof(struct mif_ring, sender) == 16, "ring layout");
_Static_assert(offsetof(struct mif_ring, tail) == 64, "ring layout");
_Static_assert(offsetof(struct mif_ring, tail_ask) == 68, "ring layout");
_Static_assert(sizeof(struct mif_ring) == 128, "ring layout");
_Static_assert(sizeof(struct mif_desc_256) == 32, "descriptor layout of version 256");
_Static_assert(sizeof(struct mif_desc_512) == 16, "descriptor layout of version 512");

#endif
