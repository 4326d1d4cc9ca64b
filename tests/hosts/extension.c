/* SPDX-License-Identifier: Apache-2.0 */
/* A Python extension module that uses the library with the GIL held. */
#include <Python.h>

#include "exchange.h"

#include <libmemif.h>

static PyObject *init(PyObject *self, PyObject *none)
{
    (void)self;
    (void)none;
    return PyLong_FromLong(memif_init(NULL, "extension"));
}

static PyObject *run_exchange(PyObject *self, PyObject *socket_path)
{
    (void)self;
    const char *path = PyUnicode_AsUTF8(socket_path);
    return path == NULL ? NULL : PyLong_FromLong(exchange(path));
}

static PyObject *cleanup(PyObject *self, PyObject *none)
{
    (void)self;
    (void)none;
    return PyLong_FromLong(memif_cleanup());
}

static PyMethodDef methods[] = {
    {"init", init, METH_NOARGS, "memif_init."},
    {"exchange", run_exchange, METH_O, "See exchange.h."},
    {"cleanup", cleanup, METH_NOARGS, "memif_cleanup."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "extension",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit_extension(void)
{
    return PyModule_Create(&definition);
}
