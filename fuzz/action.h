/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the input of each target in C is made of: two bytes of shape, and then actions of some bytes
 * each. What the bytes of an action mean depends on no state, so that a mutator can move whole
 * actions, and two variants can do the same.
 */
#ifndef MEMIF_FUZZ_ACTION_H
#define MEMIF_FUZZ_ACTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FUZZ_SHAPE_BYTES = 2 };

struct fuzz_input {
    const uint8_t *at;
    const uint8_t *end;
};

enum fuzz_deed {
    /* ours */
    FUZZ_RECEIVE,
    FUZZ_GIVE_BACK,
    FUZZ_GIVE_BACK_WITH_HEADROOM,
    FUZZ_RESERVE,
    FUZZ_SEND,
    FUZZ_SET_POLLING,
    FUZZ_ENQUEUE,
    FUZZ_REQUEUE,
    FUZZ_SET_NEXT_FREE,
    /* the peer's */
    FUZZ_TURN,        /* all that an honest peer can do */
    FUZZ_HONEST_MOVE, /* of its index */
    FUZZ_MOVE,
    FUZZ_WRITE_WORD,
    FUZZ_WRITE_DESCRIPTOR,
};

struct fuzz_action {
    enum fuzz_deed deed;
    bool transmit; /* the peer's: on the ring that we send on */
    bool reconnect_after_fault;
    uint32_t count;
    uint32_t size, any_size; /* see fuzz_size */
    uint32_t received, reserved;
    uint64_t word;
    struct {
        uint32_t slot, length, odd; /* odd: which of the fields below count */
        uint16_t flags, region;
        uint32_t any_length, short_length;
        uint64_t offset;
        uint32_t from_end;
    } desc;
};

/* The next bytes as a number; zeroes after the end. */
uint64_t fuzz_take(struct fuzz_input *input, size_t bytes);
struct fuzz_action fuzz_decode(struct fuzz_input *input);
/* How many bytes an action is about, where a buffer has `own`. */
uint32_t fuzz_size(const struct fuzz_action *action, uint32_t own);
const char *fuzz_name(enum fuzz_deed deed);

#endif
