/* SPDX-License-Identifier: Apache-2.0 */
/* The packet face as it is, except that the test says what the processor has. */
#include <stdbool.h>

bool testbed_processor_has_vectors(void);
#define __builtin_cpu_supports(what) testbed_processor_has_vectors()

#include "datapath/packet.c"
