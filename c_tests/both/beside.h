/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One end of a connection on either library, which is loaded from its file: the two have functions
 * of the same names, so no program is linked to both. One end a library. Nothing here checks by
 * itself, so that it works outside of tests and in threads; the codes are the library's own.
 */

#ifndef MEMIF_C_TESTS_BESIDE_H
#define MEMIF_C_TESTS_BESIDE_H

#include <stdbool.h>
#include <stdint.h>

struct side {
    /* False: the file or one of its functions is missing. */
    bool (*load)(const char *file);
    /* Starts the library. */
    int (*start)(const char *path);
    int (*create)(bool is_master);
    int (*turn)(void);
    bool (*is_up)(void);
    /* One packet, or 0 of them when it could not be. */
    uint16_t (*send)(const void *data, uint16_t length);
    /* The length of one packet, or 0 when none is there. */
    uint16_t (*receive)(void *data, uint16_t size);
    int (*stop)(void);
};

extern const struct side side_v1;
extern const struct side side_v4;

#endif
