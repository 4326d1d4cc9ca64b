/* SPDX-License-Identifier: Apache-2.0 */
/* Packets that lie in several entries; in 1.0 an entry is always a whole packet. */
#ifndef BENCH_CHAINS_H
#define BENCH_CHAINS_H

#include "api.h"

/*
 * Moves packets from received to reserved entries, whatever pieces either is in: all bytes of them
 * (`copy`), or the stamps alone. Returns the received entries that it used up.
 */
uint16_t chains_move(const memif_buffer_t *from, memif_buffer_t *to, uint16_t to_count, bool copy);

/* Bytes of the packet that begins at `bufs`. */
uint32_t chains_length(const memif_buffer_t *bufs);

#endif
