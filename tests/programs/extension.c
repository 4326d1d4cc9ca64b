/* SPDX-License-Identifier: Apache-2.0 */
/* A Python extension module that uses the library with the GIL held. */
#include <Python.h>

#include "exchange.h"

static PyObject *call_begin(PyObject *self, PyObject *socket_path)
{
    (void)self;
    const char *path = PyUnicode_AsUTF8(socket_path);
    return path == NULL ? NULL : PyLong_FromLong(library_begin(path));
}

static PyObject *call_exchange(PyObject *self, PyObject *socket_path)
{
    (void)self;
    const char *path = PyUnicode_AsUTF8(socket_path);
    return path == NULL ? NULL : PyLong_FromLong(exchange(path));
}

static PyObject *call_end(PyObject *self, PyObject *none)
{
    (void)self;
    (void)none;
    return PyLong_FromLong(library_end());
}

static PyMethodDef methods[] = {
    {"begin", call_begin, METH_O, "See exchange.h."},
    {"exchange", call_exchange, METH_O, "See exchange.h."},
    {"end", call_end, METH_NOARGS, "See exchange.h."},
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
