/* SPDX-License-Identifier: Apache-2.0 */
/* The first bytes of an input, and testbeds that are used again. Included once for each face. */
#ifndef MEMIF_FUZZ_SHAPE_H
#define MEMIF_FUZZ_SHAPE_H

#include "action.h"
#include "testbed/testbed.h"

enum { FUZZ_MOST_LOG2 = 6, FUZZ_SMALL = 64, FUZZ_LARGE = 2048 };

static inline struct testbed_shape fuzz_shape(uint32_t bits)
{
    return (struct testbed_shape){
        .kind = (enum mif_kind)(bits % 4),
        .vectors = (bits & 4) != 0 && testbed_has_vectors(),
        .interrupt = (bits & 8) != 0,
        .untrusted = (bits & 16) != 0,
        .log2_ring_size = (uint8_t)(1 + (bits >> 5) % FUZZ_MOST_LOG2),
        .buffer_size = (bits & 256) != 0 ? FUZZ_SMALL : FUZZ_LARGE,
    };
}

#endif
