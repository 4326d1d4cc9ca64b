/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding: which folders the interpreter imports from. The standard library is where it was when
 * this library was built, or beside libpython if both have moved together; of a wheel, which was
 * built on another machine, only the latter. Our own package is found relative to the file of this
 * library.
 */
#ifndef MIF_EMBED_PATHS_H
#define MIF_EMBED_PATHS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define MIF_EMBED_MAX_PATHS 8

struct mif_embed_paths {
    char stdlib[PATH_MAX];
    const char *list[MIF_EMBED_MAX_PATHS]; /* what sys.path is to be */
    size_t count;
    char storage[MIF_EMBED_MAX_PATHS][PATH_MAX];
};

/* False, after a report, if the standard library or the package is missing. */
bool mif_embed_find_paths(struct mif_embed_paths *paths);
/* Joins two paths, resolves links and dots, and checks that `probe` exists there. */
bool mif_embed_existing_dir(char out[PATH_MAX], const char *base, const char *relative,
                            const char *probe);
/* An address inside libpython. */
const void *mif_embed_libpython_address(void);

#endif
