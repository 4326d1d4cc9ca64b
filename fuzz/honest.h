/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Actions with a peer that keeps the rules, and a program that mostly does. They are counted in
 * packets, so that both faces and both versions can do the same. Compiled once for each face.
 */
#ifndef MEMIF_FUZZ_HONEST_H
#define MEMIF_FUZZ_HONEST_H

#include "action.h"
#include "outcome.h"
#include "shape.h"

enum { FUZZ_MOST_SLOTS = 1 << FUZZ_MOST_LOG2 };

/* A packet of the peer's. */
struct fuzz_packet {
    uint32_t slots;
    uint32_t length;
    uint64_t hash; /* of its bytes */
};

struct fuzz_variant {
    struct testbed bed;
    enum fuzz_promise promise; /* what the program must not do depends on it */
    bool honest;
    bool polling;
    uint16_t taken;  /* slots of ours that the peer has read */
    uint32_t serial; /* of the next packet, of either end */
    /* Of the peer's packets the oldest ones, until we give them back; the first are with us. */
    struct fuzz_packet packets[FUZZ_MOST_SLOTS];
    uint32_t received, known;
    uint8_t rings[2 << 12]; /* a copy, for a comparison */
};

void fuzz_honest_begin(struct fuzz_variant *variant);
void fuzz_honest_act(struct fuzz_variant *variant, const struct fuzz_action *action,
                     struct fuzz_outcome *outcome);
/* Notes the last `count` entries that are held. */
void fuzz_note_entries(const struct fuzz_variant *variant, enum mif_direction direction,
                       uint32_t count, enum fuzz_promise promise, struct fuzz_outcome *outcome);

#endif
