/* SPDX-License-Identifier: Apache-2.0 */
#include <Python.h>

#include "embed/imports.h"

#include "embed/embed.h"
#include "embed/report.h"

#include <stdatomic.h>

static atomic_bool ready;

void mif_embed_ready(void)
{
    atomic_store(&ready, true);
}

void mif_embed_failed(const char *reason)
{
    mif_embed_report(reason, NULL);
}

static void report_exception(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *text = value == NULL
                         ? NULL
                         : PyUnicode_FromFormat("%s: %S", ((PyTypeObject *)type)->tp_name, value);
    const char *utf8 = text == NULL ? NULL : PyUnicode_AsUTF8(text);
    mif_embed_report("an import failed", utf8 == NULL ? "unknown reason" : utf8);
    PyErr_Clear();
    Py_XDECREF(text);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

/* Loads what belongs to this library from its own folders, whatever has the same name elsewhere. It
 * leaves sys.path alone, because Python may be the program's own. */
static const char import_code[] = "import sys\n"
                                  "from _frozen_importlib import _load\n"
                                  "from _frozen_importlib_external import PathFinder\n"
                                  "for name in ('_cffi_backend', 'libmemif_py'):\n"
                                  "    if name not in sys.modules:\n"
                                  "        spec = PathFinder.find_spec(name, paths)\n"
                                  "        _load(spec) if spec else __import__(name)\n"
                                  "sys.modules['_cffi_backend']._init_cffi_1_0_external_module\n"
                                  "import " MIF_ABI_MODULE "\n";

static PyObject *globals_with_paths(const struct mif_embed_paths *paths)
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

/* Imports what cffi imports when it starts, so that a failure is one line of ours and not a
 * traceback of cffi's. */
static bool import_all(const struct mif_embed_paths *paths)
{
    PyObject *globals = globals_with_paths(paths);
    PyObject *result =
        globals == NULL ? NULL : PyRun_String(import_code, Py_file_input, globals, globals);
    bool good = result != NULL;
    if (!good)
        report_exception();
    Py_XDECREF(result);
    Py_XDECREF(globals);
    return good;
}

/* Up to Python 3.11, cffi uses the version tag of the capsule type as a lock. Any attribute look-up
 * on a capsule sets a tag, which cffi then takes for a lock that somebody holds. */
static void clear_version_tag(void)
{
    PyType_Modified(&PyCapsule_Type);
}

/* Holds the GIL all the time, so that no other thread of a Python program gets in between. */
bool mif_embed_import_control_plane(const struct mif_embed_paths *paths)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    bool good = import_all(paths);
    if (good) {
        clear_version_tag();
        good = mif_embed_start_cffi() == 0 && atomic_load(&ready);
    }
    PyGILState_Release(gil);
    return good;
}
