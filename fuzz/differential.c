/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A fuzzing target. The input is a program of calls and of the peer's doings. Two variants run it
 * side by side, and after each action all that they promise to have in common is compared:
 *
 *  - portable code and code with vectors: everything, bit by bit, also with a hostile peer;
 *  - version 256 and version 512, with an honest peer: codes, entries, packets, counters;
 *  - the packet face and the entry face, with an honest peer: packets and their bytes, counters of
 *    packets and bytes, codes. Both then keep to what the two APIs have in common.
 *
 * An honest peer also checks that the bytes are those that were sent.
 */

#include "variant.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct side {
    const struct fuzz_face *face;
    uint32_t shape;
    struct fuzz_variant *variant;
    struct fuzz_outcome outcome;
};

struct match {
    enum fuzz_promise promise;
    bool honest;
};

static const char *describe(const struct side *side, char *text, size_t size)
{
    (void)snprintf(text, size, "%s, version %d, %s, %s code", side->face->name,
                   side->shape & FUZZ_IS_512 ? 512 : 256,
                   side->shape & FUZZ_IS_SLAVE ? "slave" : "master",
                   side->shape & FUZZ_HAS_VECTORS ? "vector" : "portable");
    return text;
}

/* The next note that the two have to agree on, from *at on; NULL after the last. */
static const struct fuzz_note *next_note(const struct fuzz_outcome *outcome, uint32_t *at,
                                         enum fuzz_promise promise)
{
    while (*at < outcome->count && outcome->notes[*at].promise < promise)
        (*at)++;
    return *at < outcome->count ? &outcome->notes[(*at)++] : NULL;
}

static bool is_equal(const struct fuzz_note *a, const struct fuzz_note *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return (a->name == b->name || strcmp(a->name, b->name) == 0) && a->value == b->value &&
           (a->bytes == NULL || memcmp(a->bytes, b->bytes, a->value) == 0);
}

static void print_note(const struct side *side, const struct fuzz_note *note, size_t at)
{
    char text[100];
    (void)fprintf(stderr, "  %s: ", describe(side, text, sizeof(text)));
    if (note == NULL)
        (void)fprintf(stderr, "nothing more\n");
    else if (note->bytes == NULL)
        (void)fprintf(stderr, "%s = %llu\n", note->name, (unsigned long long)note->value);
    else
        (void)fprintf(stderr, "%s: %llu bytes, byte %zu = %u\n", note->name,
                      (unsigned long long)note->value, at, at < note->value ? note->bytes[at] : 0);
}

static _Noreturn void report(const struct side *sides, const struct fuzz_note *a,
                             const struct fuzz_note *b, uint32_t number, const char *what)
{
    size_t at = 0;
    if (a != NULL && b != NULL && a->bytes != NULL && b->bytes != NULL)
        while (at < a->value && at < b->value && a->bytes[at] == b->bytes[at])
            at++;
    (void)fprintf(stderr, "two variants differ in %s after action %u (%s):\n",
                  a != NULL ? a->name : b->name, number, what);
    print_note(&sides[0], a, at);
    print_note(&sides[1], b, at);
    abort();
}

static void compare(const struct side *sides, enum fuzz_promise promise, uint32_t number,
                    const char *what)
{
    uint32_t at[2] = {0, 0};
    const struct fuzz_note *a, *b;
    do {
        a = next_note(&sides[0].outcome, &at[0], promise);
        b = next_note(&sides[1].outcome, &at[1], promise);
        if (!is_equal(a, b))
            report(sides, a, b, number, what);
    } while (a != NULL);
}

/* The shape has bits that the testbed's leaves free, or uses together with others. */
static struct match choose(uint32_t bits, struct side *sides)
{
    const struct fuzz_face *face = bits & 1u << 11 ? &fuzz_entry_face : &fuzz_packet_face;
    sides[0].face = sides[1].face = face;
    sides[0].shape = sides[1].shape = bits;
    switch (bits >> 9 & 3) {
    case 0:
    case 1:
        sides[0].shape &= ~(uint32_t)FUZZ_HAS_VECTORS;
        sides[1].shape |= FUZZ_HAS_VECTORS;
        return (struct match){.promise = FUZZ_VECTORS, .honest = bits >> 9 & 1};
    case 2:
        sides[0].shape &= ~(uint32_t)FUZZ_IS_512;
        sides[1].shape |= FUZZ_IS_512;
        return (struct match){.promise = FUZZ_VERSIONS, .honest = true};
    default:
        sides[0].face = &fuzz_packet_face;
        sides[1].face = &fuzz_entry_face;
        return (struct match){.promise = FUZZ_FACES, .honest = true};
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct side sides[2];
    struct fuzz_input input = {.at = data, .end = data + size};
    struct match match = choose((uint32_t)fuzz_take(&input, FUZZ_SHAPE_BYTES), sides);
    uint32_t number = 0;
    for (uint32_t i = 0; i < 2; i++)
        sides[i].variant = sides[i].face->begin(sides[i].shape, i, match.honest, match.promise);
    for (; input.at != input.end; number++) {
        struct fuzz_action action = fuzz_decode(&input);
        for (uint32_t i = 0; i < 2; i++) {
            sides[i].outcome.count = 0;
            sides[i].face->act(sides[i].variant, &action, &sides[i].outcome);
        }
        compare(sides, match.promise, number, fuzz_name(action.deed));
    }
    for (uint32_t i = 0; i < 2; i++) {
        sides[i].outcome.count = 0;
        sides[i].face->end(sides[i].variant, &sides[i].outcome);
    }
    compare(sides, match.promise, number, "the end");
    return 0;
}
