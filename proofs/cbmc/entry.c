/* SPDX-License-Identifier: Apache-2.0 */
/* The bursts of the entry face. */
#define MODEL_ENTRY_FACE
#include "state.h"

#include "datapath/entry.c"
/* after it */
#include "datapath/chain.c"

#include "bursts.h"
#include "loops.h"
#include "steps.h"
