/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings from the environment.
 *
 * Debug lines on stderr: "[time] MEMIF_DEBUG:file:function:line: text", with the time of
 * CLOCK_MONOTONIC in seconds, so that the lines of several processes can be sorted. On in a debug
 * build, and in any build when the environment has LIBMEMIF_DEBUG=1 (ignored in a setuid program).
 * The data path prints only that a packet never fits a ring, once for each ring.
 */
#ifndef MIF_DEBUG_H
#define MIF_DEBUG_H

#include <stdbool.h>

extern bool mif_debug_on;

/* Sets mif_debug_on, from the build type and the environment. */
void mif_debug_init(void);

/* The one protocol version that LIBMEMIF_PROTOCOL (256 or 512) asks for, 0 = any. For tests and
 * for peers that claim a version they do not speak; ignored in a setuid program. */
int mif_protocol_wish(void);

/* Whether LIBMEMIF_UNSEALED forbids peer memory that can shrink. It can only make the rule
 * stricter, so any value but "trusted" does: a mistyped value must not allow more. Ignored in a
 * setuid program, as all of these are. */
bool mif_unsealed_never(void);
/* Whether other processes may see our interfaces: false if LIBMEMIF_STATS is 0, and in a setuid
 * program. */
bool mif_stats_wanted(void);

void mif_debug_line(const char *file, const char *function, int line, const char *text);

__attribute__((format(printf, 4, 5))) void mif_debug_format(const char *file, const char *function,
                                                            int line, const char *format, ...);

#define MIF_DEBUG(...)                                                                             \
    do {                                                                                           \
        if (mif_debug_on)                                                                          \
            mif_debug_format(__FILE__, __func__, __LINE__, __VA_ARGS__);                           \
    } while (0)

#endif
