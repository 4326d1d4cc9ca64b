/* SPDX-License-Identifier: Apache-2.0 */

/* What a system call that the linker leads to a test answers when it refuses. */

#ifndef MEMIF_C_TESTS_REFUSED_H
#define MEMIF_C_TESTS_REFUSED_H

#include <errno.h>

static inline int refused_with(int error)
{
    errno = error;
    return -1;
}

#endif
