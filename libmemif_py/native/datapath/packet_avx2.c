/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled for processors with AVX2; packet.c asks before it goes here. */
#define MIF_FACE_CALLS const struct mif_face_calls mif_packet_calls_avx2
#include "datapath/packet_run.h"
