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
 * Compiled once for each face; RIG_ENTRY_FACE chooses that of the 4.0 interface.
 */

#ifndef MEMIF_C_TESTS_RIG_H
#define MEMIF_C_TESTS_RIG_H

#ifdef RIG_ENTRY_FACE
#include "datapath/entry.h"
#else
#include "datapath/packet.h"
#endif

#include <stdio.h>
#include <stdlib.h>

/* The regions of a connection. There is a hole between the second and the third that counts. */
enum { RIG_RINGS, RIG_BUFFERS, RIG_HOLE, RIG_SMALL, RIG_REGIONS };

#define RIG_GIANT ((size_t)5 << 30)

/* Behind each buffer of a slave that may have a headroom in it. */
enum { RIG_TAILROOM = 24 };

struct rig_memory {
    uint8_t *base;
    size_t size; /* 0 = none */
};

struct rig_shape {
    enum mif_kind kind;
    bool vectors; /* the instances for AVX2; a processor without it must not be asked for them */
    bool interrupt;
    bool untrusted; /* of the peer's eventfds */
    bool giant; /* the small region has over 4 GiB, none of which is there before it is touched */
    uint8_t log2_ring_size;
    uint32_t buffer_size;
    uint32_t max_packet; /* bytes; 0: as it is unless set */
};

struct rig {
    struct rig_shape shape;
    struct rig_memory regions[RIG_REGIONS];
    void *handle;
    int efd[2]; /* by enum mif_direction */
    struct mif_queue *queue[2];
    struct mif_ring *ring[2];
    /* What the application holds: received and not given back, reserved and not sent. */
    memif_buffer_t *held[2];
    uint32_t held_count[2];
    bool moved; /* a slave's buffers have changed places */
};

#define RIG_CHECK(condition)                                                                       \
    do {                                                                                           \
        if (!(condition))                                                                          \
            rig_fail(__FILE__, __LINE__, #condition);                                              \
    } while (0)

_Noreturn void rig_fail(const char *file, int line, const char *condition);

bool rig_has_vectors(void);

/* ---- our end ---- */

void rig_open(struct rig *rig, const struct rig_shape *shape);
void rig_close(struct rig *rig);
/* A new connection over the same memory, laid out as an honest peer does. */
void rig_connect(struct rig *rig);
void rig_disconnect(struct rig *rig);
/* What the data path found wrong with the peer, or NULL. */
const char *rig_fault(const struct rig *rig);

/* Bursts; all return the face's code. */
int rig_receive(struct rig *rig, uint32_t count, uint16_t *received);
int rig_give_back(struct rig *rig, uint32_t count, uint32_t headroom);
int rig_reserve(struct rig *rig, uint32_t count, uint32_t size, uint16_t *entries);
/* The oldest that are held, `length` bytes each, or what fits. */
int rig_send(struct rig *rig, uint32_t count, uint32_t length, uint16_t *sent);

#ifdef RIG_ENTRY_FACE
/* After buffers were moved or let go: sees anew what is held. */
void rig_moved(struct rig *rig);
#endif

/* ---- the peer's end ---- */

static inline bool rig_is_256(const struct rig *rig)
{
    return mif_kind_is_256(rig->shape.kind);
}

static inline bool rig_is_slave(const struct rig *rig)
{
    return mif_kind_is_slave(rig->shape.kind);
}

static inline uint32_t rig_slots(const struct rig *rig)
{
    return 1u << rig->shape.log2_ring_size;
}

/* The index that the peer writes, and the one that it reads. */
_Atomic uint16_t *rig_peer_index(const struct rig *rig, enum mif_direction direction);
_Atomic uint16_t *rig_our_index(const struct rig *rig, enum mif_direction direction);
/* How far an honest peer may move its index. */
uint32_t rig_peer_room(const struct rig *rig, enum mif_direction direction);
/* Moves the peer's index, by the rules of its version; `count` may be beyond its room. */
void rig_peer_move(const struct rig *rig, enum mif_direction direction, uint32_t count);

struct rig_desc {
    uint16_t flags;
    uint16_t region;
    uint32_t length; /* version 256: of the packet, and of the buffer */
    uint64_t offset; /* version 512: 32 bits of it */
};
void rig_peer_write(const struct rig *rig, enum mif_direction direction, uint32_t slot,
                    const struct rig_desc *desc);
/* What an honest peer writes there: a packet of `length` bytes, or an empty buffer. */
struct rig_desc rig_honest(const struct rig *rig, enum mif_direction direction, uint32_t slot,
                           uint32_t length);
/* Has the honest peer do all it can: send packets that fill its ring, take ours, post buffers. */
void rig_peer_turn(const struct rig *rig, uint32_t length);

#endif
