/* SPDX-License-Identifier: Apache-2.0 */

/* The same peer, against the bursts of the 4.0 interface: TESTBED_ENTRY_FACE is defined. */
#include "test_hostile_v1.c"
