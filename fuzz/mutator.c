/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Mutations of whole actions, beside those of libFuzzer, which know of bytes only: an inserted byte
 * gives all actions after it another meaning.
 */

#include "action.h"

#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *one, size_t one_size, const uint8_t *other,
                                 size_t other_size, uint8_t *out, size_t most, unsigned int seed);

enum { MOST_ACTIONS = 1024, LONGEST_ACTION = 24, LONGEST_INPUT = 4096 };

/* Where the actions of an input begin; the last is its end. */
struct actions {
    uint32_t count;
    size_t at[MOST_ACTIONS + 1];
};

static uint32_t random_below(uint64_t *state, uint32_t limit)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*state >> 33) % limit);
}

static void find_actions(struct actions *actions, const uint8_t *data, size_t size)
{
    struct fuzz_input input = {.at = data, .end = data + size};
    (void)fuzz_take(&input, FUZZ_SHAPE_BYTES);
    actions->count = 0;
    while (input.at != input.end && actions->count < MOST_ACTIONS) {
        actions->at[actions->count++] = (size_t)(input.at - data);
        (void)fuzz_decode(&input);
    }
    actions->at[actions->count] = (size_t)(input.at - data);
}

/* Replaces the bytes between two places; returns the new size, or the old one if that is too much.
 */
static size_t replace(uint8_t *data, size_t size, size_t most, size_t from, size_t to,
                      const uint8_t *bytes, size_t count)
{
    if (size - (to - from) + count > most)
        return size;
    memmove(data + from + count, data + to, size - to);
    if (count > 0)
        memcpy(data + from, bytes, count);
    return size - (to - from) + count;
}

/* Some actions in a row. */
static void choose(const struct actions *actions, uint64_t *state, size_t *from, size_t *to)
{
    static const uint8_t lengths[] = {1, 1, 1, 2, 3, 4, 8, 16};
    uint32_t first = random_below(state, actions->count);
    uint32_t last = first + lengths[random_below(state, sizeof(lengths))];
    *from = actions->at[first];
    *to = actions->at[last < actions->count ? last : actions->count];
}

/* A new action, as long as its own first byte makes it. */
static size_t invent(uint8_t *bytes, uint64_t *state)
{
    for (size_t i = 0; i < LONGEST_ACTION; i++)
        bytes[i] = (uint8_t)random_below(state, 256);
    struct fuzz_input input = {.at = bytes, .end = bytes + LONGEST_ACTION};
    (void)fuzz_decode(&input);
    return (size_t)(input.at - bytes);
}

/* Mutates the bytes of one action; the others keep their meaning if it keeps its length. */
static size_t change(uint8_t *data, size_t size, size_t most, size_t from, size_t to)
{
    uint8_t bytes[LONGEST_ACTION];
    size_t length = to - from < LONGEST_ACTION ? to - from : LONGEST_ACTION;
    memcpy(bytes, data + from, length);
    size_t changed = LLVMFuzzerMutate(bytes, length, sizeof(bytes));
    struct fuzz_input input = {.at = bytes, .end = bytes + changed};
    (void)fuzz_decode(&input);
    return replace(data, size, most, from, from + length, bytes, (size_t)(input.at - bytes));
}

static size_t mutate_actions(uint8_t *data, size_t size, size_t most, uint64_t *state)
{
    static struct actions actions;
    static uint8_t copy[LONGEST_INPUT];
    size_t from, to, place;
    find_actions(&actions, data, size);
    if (actions.count == 0 || size > sizeof(copy))
        return LLVMFuzzerMutate(data, size, most);
    choose(&actions, state, &from, &to);
    place = actions.at[random_below(state, actions.count + 1)];
    switch (random_below(state, 6)) {
    case 0:
        return replace(data, size, most, from, to, NULL, 0);
    case 1: /* again, elsewhere */
        memcpy(copy, data + from, to - from);
        return replace(data, size, most, place, place, copy, to - from);
    case 2: { /* elsewhere instead */
        size_t length = to - from;
        memcpy(copy, data + from, length);
        size = replace(data, size, most, from, to, NULL, 0);
        if (place >= to)
            place -= length;
        else if (place > from)
            place = from;
        return replace(data, size, most, place, place, copy, length);
    }
    case 3:
        return replace(data, size, most, place, place, copy, invent(copy, state));
    default:
        return change(data, size, most, from, to);
    }
}

/* Half of all mutations are libFuzzer's: they find the bytes that comparisons want. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed)
{
    uint64_t state = seed;
    if (random_below(&state, 2) == 0)
        return LLVMFuzzerMutate(data, size, most);
    do
        size = mutate_actions(data, size, most, &state);
    while (random_below(&state, 3) == 0);
    return size;
}

/* The beginning of one input, then some actions of the other, then either the rest of the one or no
 * more. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *one, size_t one_size, const uint8_t *other,
                                 size_t other_size, uint8_t *out, size_t most, unsigned int seed)
{
    static struct actions ours, theirs;
    uint64_t state = seed;
    size_t from, to;
    find_actions(&ours, one, one_size);
    find_actions(&theirs, other, other_size);
    size_t size = one_size < most ? one_size : most;
    memcpy(out, one, size);
    if (theirs.count == 0 || size < one_size)
        return size;
    choose(&theirs, &state, &from, &to);
    if (random_below(&state, 2) == 0)
        to = theirs.at[theirs.count];
    size_t place = ours.at[random_below(&state, ours.count + 1)];
    size_t end = random_below(&state, 2) == 0 ? place : size;
    return replace(out, size, most, place, end, other + from, to - from);
}
