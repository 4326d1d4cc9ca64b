/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why it is done by hand and not left to cffi: cffi would start Python with the host's environment
 * (PYTHONPATH and friends, site, locale) and end the process when that fails. Here nothing but the
 * paths below decides what code runs: where the standard library was when we were built (or beside
 * libpython, should both have moved together), and where our own package lies relative to this
 * library's file.
 */
#include <Python.h>

#include "embed/embed.h"

#include "core/connection.h"
#include "core/debug.h"
#include "core/errors.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PYTHON_DIR "python" MIF_PYTHON_VERSION
#define MAX_PATHS 8
#define PATIENCE_MS 10000

/* What a start takes at once, with room to spare: without it Python ends the process, or cannot be
 * started a second time. */
#define START_FDS 8
#define START_BYTES ((size_t)32 << 20)

enum state { NOT_STARTED, RUNNING, FAILED };

static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int state = NOT_STARTED;
static atomic_bool ready;
static atomic_bool closing;
static bool hosted; /* written once, under start_lock */

/* ---- reports ---- */

/* One line, whatever the detail holds, written at once so that no other thread's output gets in. */
static void complain(const char *what, const char *detail)
{
    char line[1024];
    int n = snprintf(line, sizeof(line) - 1, "libmemif: cannot start the control plane: %s%s%s",
                     what, detail == NULL ? "" : ": ", detail == NULL ? "" : detail);
    if (n < 0)
        return;
    for (char *c = line; *c != '\0'; c++)
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    fprintf(stderr, "%s\n", line);
}

void mif_embed_ready(void)
{
    atomic_store(&ready, true);
}

void mif_embed_failed(const char *reason)
{
    complain(reason, NULL);
}

void mif_embed_closing(void)
{
    atomic_store(&closing, true);
}

bool mif_embed_hosted(void)
{
    return hosted;
}

/* ---- where things are ---- */

struct paths {
    char stdlib[PATH_MAX];
    const char *list[MAX_PATHS];
    size_t count;
    char storage[MAX_PATHS][PATH_MAX];
};

/* A filter that denies us to look is not to be taken for an installation that is broken. */
static bool not_there(const char *path)
{
    if (errno == EPERM || errno == ENOSYS)
        complain("access, faccessat2 or readlink is denied, at", path);
    return false;
}

/* Joins, resolves links and dots, and checks that `probe` exists there. */
static bool existing_dir(char out[PATH_MAX], const char *base, const char *relative,
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

/* An address inside libpython, without converting a function pointer to an object pointer. */
static const void *libpython_address(void)
{
    return &PyType_Type;
}

/* Python itself would print its configuration, line by line, if it found no encodings. */
static const char stdlib_probe[] = "encodings/__init__.py";

static bool find_stdlib(struct paths *paths)
{
    static const char *const beside_libpython[] = {PYTHON_DIR, "../" PYTHON_DIR,
                                                   "../lib/" PYTHON_DIR};
    char dir[PATH_MAX];
    if (existing_dir(paths->stdlib, MIF_PYTHON_STDLIB, "", stdlib_probe))
        return true;
    if (!dir_of_address(dir, libpython_address()))
        return false;
    for (size_t i = 0; i < sizeof(beside_libpython) / sizeof(*beside_libpython); i++)
        if (existing_dir(paths->stdlib, dir, beside_libpython[i], stdlib_probe))
            return true;
    return false;
}

static void add_path(struct paths *paths, const char *base, const char *relative, const char *probe)
{
    if (paths->count == MAX_PATHS)
        return;
    char *out = paths->storage[paths->count];
    if (existing_dir(out, base, relative, probe))
        paths->list[paths->count++] = out;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* The package's parent folder: this library lies inside the package (wheel, build tree), or where
 * it was installed relative to it. */
static bool find_package(char out[PATH_MAX])
{
    static const char probe[] = "libmemif_py/control/wire.py";
    char dir[PATH_MAX];
    if (!dir_of_address(dir, &state))
        return false;
    if (ends_with(dir, "/libmemif_py") && existing_dir(out, dir, "..", probe))
        return true;
    if (ends_with(dir, "/libmemif_py/libmemif4") && existing_dir(out, dir, "../..", probe))
        return true;
    return existing_dir(out, dir, MIF_PACKAGE_RELATIVE, probe);
}

static bool find_paths(struct paths *paths)
{
    char package[PATH_MAX];
    paths->count = 0;
    if (!find_stdlib(paths)) {
        complain("no standard library of Python " MIF_PYTHON_VERSION " at", MIF_PYTHON_STDLIB);
        return false;
    }
    add_path(paths, paths->stdlib, "", "");
    add_path(paths, paths->stdlib, "lib-dynload", "");
    if (!find_package(package)) {
        complain("the package libmemif_py is missing; it belongs at " MIF_PACKAGE_RELATIVE
                 " relative to the library",
                 NULL);
        return false;
    }
    /* Our own copy of cffi's runtime, if there is one, before any other version of it. */
    add_path(paths, package, "libmemif_py/_runtime", "");
    add_path(paths, package, "", "");
    if (*MIF_CFFI_DIR)
        add_path(paths, MIF_CFFI_DIR, "", "");
    return true;
}

/* ---- one start at a time ---- */

/* Two threads that start Python at the same moment break it, and another copy of this library, with
 * the other interface, may be starting as well. A lock of ours would be one for each copy. What the
 * copies share is libpython, so a variable of its is the lock, as it is for cffi: this one has no
 * use before Python runs. While it is taken it holds a function that any copy knows, and that does
 * no harm should it be called. */
typedef int input_hook(void);
static input_hook *const taken = Py_IsInitialized;

/* `before` is what to put back. False if another copy is stuck; that has been told. */
static bool take_turn(input_hook **before)
{
    for (int i = 0; i < PATIENCE_MS; i++) {
        *before = __atomic_load_n(&PyOS_InputHook, __ATOMIC_ACQUIRE);
        if (*before != taken && __atomic_compare_exchange_n(&PyOS_InputHook, before, taken, false,
                                                            __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return true;
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    complain("another copy of this library is starting it and does not get done", NULL);
    return false;
}

static void end_turn(input_hook *before)
{
    input_hook *expected = taken;
    (void)__atomic_compare_exchange_n(&PyOS_InputHook, &expected, before, false, __ATOMIC_ACQ_REL,
                                      __ATOMIC_ACQUIRE);
}

/* ---- starting Python ---- */

/* A host that loaded us with RTLD_LOCAL hides libpython from the extension modules that need it. */
static void promote_libpython(void)
{
    Dl_info info;
    if (dladdr(libpython_address(), &info) != 0 && info.dli_fname != NULL)
        (void)dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL);
}

static PyStatus set_string(PyConfig *config, wchar_t **field, const char *value)
{
    return PyConfig_SetBytesString(config, field, value);
}

static PyStatus set_search_paths(PyConfig *config, const struct paths *paths)
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

/* Every path is given, so that nothing is derived from $PATH or the working directory. */
static PyStatus set_paths(PyConfig *config, const struct paths *paths)
{
    static const char executable[] = "/libmemif"; /* looked for nowhere, since it has a slash */
    char prefix[PATH_MAX];
    if (!existing_dir(prefix, paths->stdlib, "../..", "."))
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

static PyStatus start_isolated(const struct paths *paths)
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

/* Starts Python unless it runs. */
static bool start_python(const struct paths *paths)
{
    hosted = Py_IsInitialized();
    if (hosted)
        return true;
    promote_libpython();
    PyStatus status = start_isolated(paths);
    if (PyStatus_Exception(status)) {
        complain("Python did not start", status.err_msg);
        return false;
    }
    (void)PyEval_SaveThread();
    return true;
}

/* ---- loading the control plane ---- */

static void complain_of_exception(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *text = value == NULL
                         ? NULL
                         : PyUnicode_FromFormat("%s: %S", ((PyTypeObject *)type)->tp_name, value);
    const char *utf8 = text == NULL ? NULL : PyUnicode_AsUTF8(text);
    complain("an import failed", utf8 == NULL ? "unknown reason" : utf8);
    PyErr_Clear();
    Py_XDECREF(text);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

/* What belongs to this library is loaded from its own folders, whatever has the same name
 * elsewhere, and without touching sys.path: Python may be the host's own. */
static const char import_code[] = "import sys\n"
                                  "from _frozen_importlib import _load\n"
                                  "from _frozen_importlib_external import PathFinder\n"
                                  "for name in ('_cffi_backend', 'libmemif_py'):\n"
                                  "    if name not in sys.modules:\n"
                                  "        spec = PathFinder.find_spec(name, paths)\n"
                                  "        _load(spec) if spec else __import__(name)\n"
                                  "sys.modules['_cffi_backend']._init_cffi_1_0_external_module\n"
                                  "import " MIF_ABI_MODULE "\n";

static PyObject *globals_with_paths(const struct paths *paths)
{
    PyObject *list = PyList_New(0);
    PyObject *globals = PyDict_New();
    bool good = list != NULL && globals != NULL &&
                PyDict_SetItemString(globals, "__builtins__", PyEval_GetBuiltins()) == 0 &&
                PyDict_SetItemString(globals, "paths", list) == 0;
    for (size_t i = 0; good && i < paths->count; i++) {
        PyObject *path = PyUnicode_DecodeFSDefault(paths->list[i]);
        good = path != NULL && PyList_Append(list, path) == 0;
        Py_XDECREF(path);
    }
    Py_XDECREF(list);
    if (!good)
        Py_CLEAR(globals);
    return globals;
}

/* What cffi imports when it starts is imported here first, so that a failure is one line of ours
 * and not a traceback of cffi's. */
static bool import_control_plane(const struct paths *paths)
{
    PyObject *globals = globals_with_paths(paths);
    PyObject *result =
        globals == NULL ? NULL : PyRun_String(import_code, Py_file_input, globals, globals);
    bool good = result != NULL;
    if (!good)
        complain_of_exception();
    Py_XDECREF(result);
    Py_XDECREF(globals);
    return good;
}

/* Up to Python 3.11, cffi uses the version tag of the capsule type as a lock and takes a tag, which
 * any attribute look-up on a capsule leaves there, for a lock that somebody holds. */
static void clear_version_tag(void)
{
    PyType_Modified(&PyCapsule_Type);
}

/* With the GIL held all along, so that no other thread of a host that is Python gets between. */
static bool start_control_plane(const struct paths *paths)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    bool good = import_control_plane(paths);
    if (good) {
        clear_version_tag();
        good = mif_embed_start_cffi() == 0 && atomic_load(&ready);
    }
    PyGILState_Release(gil);
    return good;
}

/* Our own build decides which Python this may run in; another one would abort the process. */
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
    complain("this process runs another Python than " MIF_PYTHON_VERSION, running);
    return false;
}

/* SUCCESS, or the code of what there is too little of: then nothing was begun, and a later call may
 * start. */
static int gather_resources(void)
{
    int fds[START_FDS];
    mif_debug_init();
    int err = mif_data_path_init(), count = 0;
    if (err != MIF_ERR_SUCCESS)
        return err;
    while (count < START_FDS && (fds[count] = eventfd(0, EFD_CLOEXEC)) >= 0)
        count++;
    if (count < START_FDS)
        err = mif_call_failed("eventfd2");
    while (count > 0)
        (void)close(fds[--count]);
    void *room = mmap(NULL, START_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return MIF_ERR_NOMEM;
    (void)munmap(room, START_BYTES);
    return err;
}

static bool start_all(void)
{
    static struct paths paths; /* large for a small stack; used once, under start_lock */
    input_hook *before = NULL;
    bool may_start = !Py_IsInitialized();
    if (may_start && !take_turn(&before))
        return false;
    bool good = version_matches() && find_paths(&paths) && start_python(&paths);
    if (may_start)
        end_turn(before);
    return good && start_control_plane(&paths);
}

int mif_embed_start(void)
{
    int err = MIF_ERR_SUCCESS;
    if (mif_in_forked_child())
        return MIF_ERR_SYSCALL;
    if (atomic_load_explicit(&state, memory_order_acquire) == NOT_STARTED) {
        /* A host that is Python may call with the GIL held; the thread that starts needs it. */
        PyThreadState *saved =
            Py_IsInitialized() && PyGILState_Check() ? PyEval_SaveThread() : NULL;
        pthread_mutex_lock(&start_lock);
        if (state == NOT_STARTED)
            err = gather_resources();
        if (state == NOT_STARTED && err == MIF_ERR_SUCCESS)
            atomic_store_explicit(&state, start_all() ? RUNNING : FAILED, memory_order_release);
        pthread_mutex_unlock(&start_lock);
        if (saved != NULL)
            PyEval_RestoreThread(saved);
    }
    return err == MIF_ERR_SUCCESS ? mif_embed_check() : err;
}

int mif_embed_check(void)
{
    if (atomic_load_explicit(&state, memory_order_acquire) != RUNNING || atomic_load(&closing) ||
        mif_in_forked_child())
        return MIF_ERR_SYSCALL;
    return MIF_ERR_SUCCESS;
}
