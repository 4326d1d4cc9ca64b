/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One end of a connection as the differential target sees it, whatever its face. Each face is a
 * shared library of its own, because both define the same functions.
 */
#ifndef MEMIF_FUZZ_VARIANT_H
#define MEMIF_FUZZ_VARIANT_H

#include "action.h"
#include "outcome.h"

struct fuzz_variant;

/* The kind is in the shape's lowest bits, as in enum mif_kind; the next bit is vectors. */
enum { FUZZ_IS_SLAVE = 1, FUZZ_IS_512 = 2, FUZZ_HAS_VECTORS = 4 };

struct fuzz_face {
    const char *name;
    bool (*has_vectors)(void);
    /* `place` tells two variants of one kind apart. */
    struct fuzz_variant *(*begin)(uint32_t shape, uint32_t place, bool honest,
                                  enum fuzz_promise promise);
    void (*act)(struct fuzz_variant *variant, const struct fuzz_action *action,
                struct fuzz_outcome *outcome);
    void (*end)(struct fuzz_variant *variant, struct fuzz_outcome *outcome);
};

extern const struct fuzz_face fuzz_packet_face;
extern const struct fuzz_face fuzz_entry_face;

#endif
