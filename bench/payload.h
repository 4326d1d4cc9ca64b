/* SPDX-License-Identifier: Apache-2.0 */
/* How payloads are copied: in the same way in every program, and with every compiler. */
#ifndef BENCH_PAYLOAD_H
#define BENCH_PAYLOAD_H

#include <stdint.h>
#include <string.h>

/*
 * With the C library's memcpy. Where a compiler knows the most that the length can be, it may copy
 * with `rep movs` instead, which does not fetch the lines that it overwrites: from a ring that lies
 * in the other processor's cache, half as fast again.
 */
static inline void payload_copy(void *to, const void *from, uint32_t length)
{
    __asm__ volatile("" : "+r"(to), "+r"(from), "+r"(length));
    memcpy(to, from, length);
}

#endif
