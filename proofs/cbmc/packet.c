/* SPDX-License-Identifier: Apache-2.0 */
/* The bursts of the packet face. */
#include "state.h"

#include "datapath/packet.c"
/* after it */
#include "datapath/chain.c"

#include "bursts.h"
#include "loops.h"
#include "steps.h"
