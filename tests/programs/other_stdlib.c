/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded: the standard library, in the folder named by the environment variable STDLIB, appears
 * to be in that named by STDLIB_INSTEAD, or nowhere when that is empty.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

char *realpath(const char *restrict path, char *restrict resolved)
{
    char *(*real)(const char *, char *);
    *(void **)&real = dlsym(RTLD_NEXT, "realpath");
    char *found = real(path, resolved);
    if (found == NULL || strcmp(found, getenv("STDLIB")) != 0)
        return found;
    if (*getenv("STDLIB_INSTEAD") != '\0')
        return real(getenv("STDLIB_INSTEAD"), resolved);
    errno = ENOENT;
    return NULL;
}
