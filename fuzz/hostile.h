/* SPDX-License-Identifier: Apache-2.0 */
/* Actions with a peer that keeps to no rule. Compiled once for each face. */
#ifndef MEMIF_FUZZ_HOSTILE_H
#define MEMIF_FUZZ_HOSTILE_H

#include "action.h"
#include "testbed/testbed.h"

/* Returns what the call returned, if it was one; *count is how many it handled. */
int fuzz_act(struct testbed *bed, const struct fuzz_action *action, uint16_t *count);

#endif
