/* SPDX-License-Identifier: Apache-2.0 */
/* What an action came to, in a form that two variants can be compared in. */
#ifndef MEMIF_FUZZ_OUTCOME_H
#define MEMIF_FUZZ_OUTCOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Which variants must agree on something: those that differ in no more than the code for vectors,
 * also those that differ in the version, also those that differ in the face. */
enum fuzz_promise { FUZZ_VECTORS, FUZZ_VERSIONS, FUZZ_FACES };

struct fuzz_note {
    const char *name;
    enum fuzz_promise promise;
    uint64_t value;
    const uint8_t *bytes; /* NULL, or where `value` bytes are until the next action */
};

enum { FUZZ_MOST_NOTES = 1024 };

struct fuzz_outcome {
    uint32_t count;
    struct fuzz_note notes[FUZZ_MOST_NOTES];
};

static inline void fuzz_note(struct fuzz_outcome *outcome, enum fuzz_promise promise,
                             const char *name, uint64_t value)
{
    if (outcome->count == FUZZ_MOST_NOTES)
        abort();
    outcome->notes[outcome->count++] =
        (struct fuzz_note){.name = name, .promise = promise, .value = value};
}

static inline void fuzz_note_bytes(struct fuzz_outcome *outcome, enum fuzz_promise promise,
                                   const char *name, const void *bytes, size_t size)
{
    fuzz_note(outcome, promise, name, size);
    outcome->notes[outcome->count - 1].bytes = bytes;
}

/* What must be true whatever the variant. */
static inline void fuzz_must(bool condition, const char *promise)
{
    if (condition)
        return;
    (void)fprintf(stderr, "does not hold: %s\n", promise);
    abort();
}

#endif
