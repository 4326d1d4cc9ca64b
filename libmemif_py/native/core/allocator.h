/* SPDX-License-Identifier: Apache-2.0 */
/* Where the memory of a connection comes from: the program's functions (4.0) or the C library. */
#ifndef MIF_ALLOCATOR_H
#define MIF_ALLOCATOR_H

#include <stddef.h>

/* NULL members mean the C library's. */
struct mif_allocator {
    void *(*alloc)(size_t size);
    void (*free)(void *pointer);
};

#endif
