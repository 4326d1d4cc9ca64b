/* SPDX-License-Identifier: Apache-2.0 */
/* The fast paths, compiled for AVX2. entry.c uses them if the processor has it. */
#define MIF_FACE_CALLS const struct mif_face_calls mif_entry_calls_avx2
#include "datapath/entry_fast_path.h"
