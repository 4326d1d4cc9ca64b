/* SPDX-License-Identifier: Apache-2.0 */
#include <Python.h>

#include "embed/interpreter.h"

#include "embed/report.h"

#include <dlfcn.h>
#include <string.h>
#include <time.h>

/* ---- one start at a time ---- */

#define PATIENCE_MS 10000

/* Two threads that start Python at the same moment break it, and the library with the other C
 * API may be starting Python, too. Each library would have a lock of its own, so the lock is
 * something that they share: a variable of libpython, as cffi does it. This variable has no use
 * before Python runs. While the lock is taken it holds a function that each library knows, and that
 * does no harm if it is called. */
typedef int input_hook(void);
static input_hook *const taken = Py_IsInitialized;

/* Takes the lock; `before` is what end_turn puts back. False, after a report, if another library
 * does not finish. */
static bool take_turn(input_hook **before)
{
    for (int i = 0; i < PATIENCE_MS; i++) {
        *before = __atomic_load_n(&PyOS_InputHook, __ATOMIC_ACQUIRE);
        if (*before != taken && __atomic_compare_exchange_n(&PyOS_InputHook, before, taken, false,
                                                            __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return true;
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    mif_embed_report("another copy of this library is starting it and does not get done", NULL);
    return false;
}

static void end_turn(input_hook *before)
{
    input_hook *expected = taken;
    (void)__atomic_compare_exchange_n(&PyOS_InputHook, &expected, before, false, __ATOMIC_ACQ_REL,
                                      __ATOMIC_ACQUIRE);
}

/* ---- starting Python ---- */

/* A program that loaded us with RTLD_LOCAL hides libpython from extension modules, which need it.
 */
static void promote_libpython(void)
{
    Dl_info info;
    if (dladdr(mif_embed_libpython_address(), &info) != 0 && info.dli_fname != NULL)
        (void)dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL);
}

static PyStatus set_string(PyConfig *config, wchar_t **field, const char *value)
{
    return PyConfig_SetBytesString(config, field, value);
}

static PyStatus set_search_paths(PyConfig *config, const struct mif_embed_paths *paths)
{
    config->module_search_paths_set = 1;
    for (size_t i = 0; i < paths->count; i++) {
        wchar_t *wide = Py_DecodeLocale(paths->list[i], NULL);
        if (wide == NULL)
            return PyStatus_NoMemory();
        PyStatus status = PyWideStringList_Append(&config->module_search_paths, wide);
        PyMem_RawFree(wide);
        if (PyStatus_Exception(status))
            return status;
    }
    return PyStatus_Ok();
}

/* Sets every path, so that Python derives none from $PATH or the working directory. */
static PyStatus set_paths(PyConfig *config, const struct mif_embed_paths *paths)
{
    static const char executable[] = "/libmemif"; /* has a slash, so nobody searches for it */
    char prefix[PATH_MAX];
    if (!mif_embed_existing_dir(prefix, paths->stdlib, "../..", "."))
        return PyStatus_Error("the standard library has no prefix");
    wchar_t **const prefixes[] = {&config->home, &config->prefix, &config->base_prefix,
                                  &config->exec_prefix, &config->base_exec_prefix};
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
        PyStatus status = set_string(config, prefixes[i], prefix);
        if (PyStatus_Exception(status))
            return status;
    }
    wchar_t **const programs[] = {&config->program_name, &config->executable,
                                  &config->base_executable};
    for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++) {
        PyStatus status = set_string(config, programs[i], executable);
        if (PyStatus_Exception(status))
            return status;
    }
    return set_search_paths(config, paths);
}

static PyStatus start_isolated(const struct mif_embed_paths *paths)
{
    PyPreConfig preconfig;
    PyPreConfig_InitIsolatedConfig(&preconfig);
    preconfig.utf8_mode = 1;
    preconfig.configure_locale = 0;
    preconfig.coerce_c_locale = 0;
    PyStatus status = Py_PreInitialize(&preconfig);
    if (PyStatus_Exception(status))
        return status;
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    config.write_bytecode = 0;
    config.install_signal_handlers = 0;
    config.pathconfig_warnings = 0;
    status = set_paths(&config, paths);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    return status;
}

static bool start_python(const struct mif_embed_paths *paths)
{
    promote_libpython();
    PyStatus status = start_isolated(paths);
    if (PyStatus_Exception(status)) {
        mif_embed_report("Python did not start", status.err_msg);
        return false;
    }
    (void)PyEval_SaveThread();
    return true;
}

/* This library was built for one version of Python; any other would abort the process. */
static bool version_matches(void)
{
#ifdef Py_GIL_DISABLED
    const bool free_threading = true;
#else
    const bool free_threading = false;
#endif
    const char *running = Py_GetVersion();
    size_t n = strlen(MIF_PYTHON_VERSION);
    if (strncmp(running, MIF_PYTHON_VERSION, n) == 0 && (running[n] < '0' || running[n] > '9') &&
        (strstr(running, "free-threading") != NULL) == free_threading)
        return true;
    mif_embed_report("this process runs another Python than " MIF_PYTHON_VERSION, running);
    return false;
}

bool mif_embed_start_python(struct mif_embed_paths *paths, bool *was_running)
{
    input_hook *before = NULL;
    bool may_start = !Py_IsInitialized();
    if (may_start && !take_turn(&before))
        return false;
    bool good = version_matches() && mif_embed_find_paths(paths);
    *was_running = Py_IsInitialized();
    if (good && !*was_running)
        good = start_python(paths);
    if (may_start)
        end_turn(before);
    return good;
}
