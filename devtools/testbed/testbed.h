/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One end of a connection, without a control plane, whose shared memory is in the hands of the
 * test: the test is the peer and writes there what it likes. For attacks on the data path; used by
 * the hostile tests and by fuzz/.
 *
 * Every region lies between pages without access, and so ends every array of entries that a burst
 * is given. After each burst the counters of the queue and each buffer that was handed out are
 * checked, and the buffer's ends are touched. What does not hold aborts the process, with a line on
 * stderr that names it: that works inside Check, inside a fuzzer and in any thread.
 *
 * Compiled once for each face; TESTBED_ENTRY_FACE chooses that of the 4.0 API.
 */

#ifndef MEMIF_DEVTOOLS_TESTBED_H
#define MEMIF_DEVTOOLS_TESTBED_H

#include "core/connection.h"
#include "core/setup.h"

#ifdef TESTBED_ENTRY_FACE
#include "datapath/entry.h"
#else
#include "datapath/packet.h"
#endif

#include <stdio.h>
#include <stdlib.h>

/* The regions of a connection. There is a hole between the second and the third that counts. */
enum { TESTBED_RINGS, TESTBED_BUFFERS, TESTBED_HOLE, TESTBED_SMALL, TESTBED_REGIONS };

#define TESTBED_GIANT ((size_t)5 << 30)

/* Behind each buffer of a slave that may have a headroom in it. */
enum { TESTBED_TAILROOM = 24 };

struct testbed_memory {
    uint8_t *base;
    size_t size; /* 0 = none */
};

struct testbed_shape {
    enum mif_kind kind;
    bool vectors; /* the instances for AVX2; a processor without it must not be asked for them */
    bool interrupt;
    bool untrusted; /* of the peer's eventfds */
    bool giant; /* the small region has over 4 GiB, none of which is there before it is touched */
    uint8_t log2_ring_size;
    uint32_t buffer_size;
    uint32_t max_packet; /* bytes; 0: as it is unless set */
};

struct testbed {
    struct testbed_shape shape;
    struct testbed_memory regions[TESTBED_REGIONS];
    void *handle;
    int efd[2]; /* by enum mif_direction */
    struct mif_queue *queue[2];
    struct mif_ring *ring[2];
    /* What the application holds: received and not given back, reserved and not sent. */
    memif_buffer_t *held[2];
    uint32_t held_count[2];
    bool moved; /* a slave's buffers have changed places */
};

/* Bytes of the buffer of an entry that a program was given. */
static inline uint32_t testbed_room(const memif_buffer_t *entry)
{
#ifdef TESTBED_ENTRY_FACE
    return entry->len;
#else
    return entry->buffer_len;
#endif
}

#define TESTBED_CHECK(condition)                                                                   \
    do {                                                                                           \
        if (!(condition))                                                                          \
            testbed_fail(__FILE__, __LINE__, #condition);                                          \
    } while (0)

_Noreturn void testbed_fail(const char *file, int line, const char *condition);

bool testbed_has_vectors(void);

/* ---- our end ---- */

void testbed_open(struct testbed *bed, const struct testbed_shape *shape);
void testbed_close(struct testbed *bed);
/* A new connection over the same memory, laid out as an honest peer does. */
void testbed_connect(struct testbed *bed);
void testbed_disconnect(struct testbed *bed);
/* With several testbeds, before the next call: the processor is as this one's shape says. */
void testbed_use(const struct testbed *bed);
/* What the data path found wrong with the peer, or NULL. */
const char *testbed_fault(const struct testbed *bed);

/* Bursts; all return the face's code. */
int testbed_receive(struct testbed *bed, uint32_t count, uint16_t *received);
int testbed_give_back(struct testbed *bed, uint32_t count, uint32_t headroom);
int testbed_reserve(struct testbed *bed, uint32_t count, uint32_t size, uint16_t *entries);
/* The oldest that are held, `length` bytes each, or what fits. */
int testbed_send(struct testbed *bed, uint32_t count, uint32_t length, uint16_t *sent);
/* The same with entries as the program has changed them. */
int testbed_send_these(struct testbed *bed, const memif_buffer_t *these, uint32_t count,
                       uint16_t *sent);

#ifdef TESTBED_ENTRY_FACE
/* After buffers were moved or let go: sees anew what is held. */
void testbed_moved(struct testbed *bed);
#endif

/* ---- the peer's end ---- */

static inline bool testbed_is_256(const struct testbed *bed)
{
    return mif_kind_is_256(bed->shape.kind);
}

static inline bool testbed_is_slave(const struct testbed *bed)
{
    return mif_kind_is_slave(bed->shape.kind);
}

static inline uint32_t testbed_slots(const struct testbed *bed)
{
    return 1u << bed->shape.log2_ring_size;
}

/* Where the buffer of a slot lies in the region of buffers. */
uint64_t testbed_buffer_offset(const struct testbed *bed, enum mif_direction direction,
                               uint32_t slot);
/* The index that the peer writes, and the one that it reads. */
_Atomic uint16_t *testbed_peer_index(const struct testbed *bed, enum mif_direction direction);
_Atomic uint16_t *testbed_our_index(const struct testbed *bed, enum mif_direction direction);
/* How far an honest peer may move its index. */
uint32_t testbed_peer_room(const struct testbed *bed, enum mif_direction direction);
/* Moves the peer's index, by the rules of its version; `count` may be beyond its room. */
void testbed_peer_move(const struct testbed *bed, enum mif_direction direction, uint32_t count);

struct testbed_desc {
    uint16_t flags;
    uint16_t region;
    uint32_t length; /* version 256: of the packet, and of the buffer */
    uint64_t offset; /* version 512: 32 bits of it */
};
void testbed_peer_write(const struct testbed *bed, enum mif_direction direction, uint32_t slot,
                        const struct testbed_desc *desc);
/* What an honest peer writes there: a packet of `length` bytes, or an empty buffer. */
struct testbed_desc testbed_honest(const struct testbed *bed, enum mif_direction direction,
                                   uint32_t slot, uint32_t length);
/* Has the honest peer do all it can: send packets that fill its ring, take ours, post buffers. */
void testbed_peer_turn(const struct testbed *bed, uint32_t length);

#endif
