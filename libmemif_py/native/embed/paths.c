/* SPDX-License-Identifier: Apache-2.0 */
#include <Python.h>

#include "embed/paths.h"

#include "embed/report.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PYTHON_DIR "python" MIF_PYTHON_VERSION

/* Returns false. Reports a system call filter that denies the look, so that nobody takes it for a
 * broken installation. */
static bool not_there(const char *path)
{
    if (errno == EPERM || errno == ENOSYS)
        mif_embed_report("access, faccessat2 or readlink is denied, at", path);
    return false;
}

bool mif_embed_existing_dir(char out[PATH_MAX], const char *base, const char *relative,
                            const char *probe)
{
    char joined[PATH_MAX];
    char probed[PATH_MAX + 64];
    int n = snprintf(joined, sizeof(joined), "%s%s%s", base, *relative ? "/" : "", relative);
    if (n < 0 || (size_t)n >= sizeof(joined))
        return false;
    if (realpath(joined, out) == NULL)
        return not_there(joined);
    n = snprintf(probed, sizeof(probed), "%s/%s", out, probe);
    if (n < 0 || (size_t)n >= sizeof(probed))
        return false;
    return access(probed, R_OK) == 0 || not_there(probed);
}

/* The folder of the file that holds the given address. */
static bool dir_of_address(char out[PATH_MAX], const void *address)
{
    Dl_info info;
    if (dladdr(address, &info) == 0 || info.dli_fname == NULL ||
        realpath(info.dli_fname, out) == NULL)
        return false;
    char *slash = strrchr(out, '/');
    if (slash == NULL)
        return false;
    *slash = '\0';
    return true;
}

const void *mif_embed_libpython_address(void)
{
    return &PyType_Type; /* that of a function is no object pointer */
}

/* Without encodings Python would print its whole configuration, so we look for them first. */
static const char stdlib_probe[] = "encodings/__init__.py";

static bool find_stdlib(struct mif_embed_paths *paths)
{
    static const char *const beside_libpython[] = {PYTHON_DIR, "../" PYTHON_DIR,
                                                   "../lib/" PYTHON_DIR};
    char dir[PATH_MAX];
    if (*MIF_PYTHON_STDLIB &&
        mif_embed_existing_dir(paths->stdlib, MIF_PYTHON_STDLIB, "", stdlib_probe))
        return true;
    if (!dir_of_address(dir, mif_embed_libpython_address()))
        return false;
    for (size_t i = 0; i < sizeof(beside_libpython) / sizeof(*beside_libpython); i++)
        if (mif_embed_existing_dir(paths->stdlib, dir, beside_libpython[i], stdlib_probe))
            return true;
    return false;
}

static void add_path(struct mif_embed_paths *paths, const char *base, const char *relative,
                     const char *probe)
{
    if (paths->count == MIF_EMBED_MAX_PATHS)
        return;
    char *out = paths->storage[paths->count];
    if (mif_embed_existing_dir(out, base, relative, probe))
        paths->list[paths->count++] = out;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* The package's parent folder: this library is inside the package (wheel, build tree), or where it
 * was installed relative to the package. */
static bool find_package(char out[PATH_MAX])
{
    static const char probe[] = "libmemif_py/control/wire.py";
    char dir[PATH_MAX];
    if (!dir_of_address(dir, probe))
        return false;
    if (ends_with(dir, "/libmemif_py") && mif_embed_existing_dir(out, dir, "..", probe))
        return true;
    if (ends_with(dir, "/libmemif_py/libmemif4") &&
        mif_embed_existing_dir(out, dir, "../..", probe))
        return true;
    return mif_embed_existing_dir(out, dir, MIF_PACKAGE_RELATIVE, probe);
}

bool mif_embed_find_paths(struct mif_embed_paths *paths)
{
    char package[PATH_MAX];
    paths->count = 0;
    if (!find_stdlib(paths)) {
        mif_embed_report("no standard library of Python " MIF_PYTHON_VERSION " at",
                         *MIF_PYTHON_STDLIB ? MIF_PYTHON_STDLIB : "the folders beside libpython");
        return false;
    }
    add_path(paths, paths->stdlib, "", "");
    add_path(paths, paths->stdlib, "lib-dynload", "");
    if (!find_package(package)) {
        mif_embed_report("the package libmemif_py is missing; it belongs at " MIF_PACKAGE_RELATIVE
                         " relative to the library",
                         NULL);
        return false;
    }
    /* Our own copy of cffi's runtime, if there is one, comes before any other version of it. */
    add_path(paths, package, "libmemif_py/_runtime", "");
    add_path(paths, package, "", "");
    if (*MIF_CFFI_DIR)
        add_path(paths, MIF_CFFI_DIR, "", "");
    return true;
}
