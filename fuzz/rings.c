/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A fuzzing target. The input is a sequence of our bursts and of the peer's writes to the shared
 * memory. devtools/testbed/testbed.c checks after every burst what must be true. This file is
 * compiled once for each face.
 */

#include "hostile.h"
#include "shape.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Mapping memory takes far longer than running an input, so the memory is kept for the next ones.
 */
static struct testbed *connect_one(const struct testbed_shape *shape)
{
    static struct testbed beds[4][2][FUZZ_MOST_LOG2 + 1];
    struct testbed *bed =
        &beds[shape->kind][shape->buffer_size == FUZZ_LARGE][shape->log2_ring_size];
    if (bed->held[0] == NULL) {
        testbed_open(bed, shape);
        return bed;
    }
    bed->shape = *shape;
    memset(bed->regions[TESTBED_RINGS].base, 0, bed->regions[TESTBED_RINGS].size);
    testbed_connect(bed);
    return bed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {.at = data, .end = data + size};
    struct testbed_shape shape = fuzz_shape((uint32_t)fuzz_take(&input, FUZZ_SHAPE_BYTES));
    struct testbed *bed = connect_one(&shape);
    while (input.at != input.end) {
        struct fuzz_action action = fuzz_decode(&input);
        uint16_t count;
        (void)fuzz_act(bed, &action, &count);
        if (action.reconnect_after_fault && testbed_fault(bed) != NULL) {
            testbed_disconnect(bed);
            testbed_connect(bed);
        }
    }
    testbed_disconnect(bed);
    return 0;
}
