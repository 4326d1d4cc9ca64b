/* SPDX-License-Identifier: Apache-2.0 */
/* The fast paths, compiled for AVX2. packet.c uses them if the processor has it. */
#define MIF_FACE_CALLS const struct mif_face_calls mif_packet_calls_avx2
#include "datapath/packet_fast_path.h"
