/* SPDX-License-Identifier: Apache-2.0 */
#include "python/filter.h"

#include "python/burst.h"
#include "python/packets.h"

uint16_t mif_py_filter_select(const Filter *filter, uint32_t qid, const memif_buffer_t *from,
                              uint16_t n, memif_buffer_t *to)
{
    uint16_t found = 0;
    for (uint16_t i = 0; i < n; i++)
        if (mif_py_filter_matches(filter, from[i].data, from[i].data_len, from[i].data_len))
            to[found++] = from[i];
    mif_py_filter_count(filter, qid, (uint32_t)n - found);
    return found;
}

/* ---- the type ---- */

PyDoc_STRVAR(filter_doc, "Filter(function, program, counts)\n\n"
                         "The address of bpf_filter, the instructions as bytes, and a writable "
                         "array of uint64, by queue, of the packets that did not match.");

static PyObject *filter_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    unsigned long long function;
    PyObject *program, *counts;
    (void)keywords;
    if (!PyArg_ParseTuple(args, "KSO", &function, &program, &counts))
        return NULL;
    Filter *filter = (Filter *)type->tp_alloc(type, 0);
    if (filter == NULL)
        return NULL;
    filter->run = (unsigned (*)(const void *, const uint8_t *, unsigned, unsigned))function;
    filter->program = Py_NewRef(program);
    if (PyObject_GetBuffer(counts, &filter->counts, PyBUF_WRITABLE) == 0)
        return (PyObject *)filter;
    Py_DECREF(filter);
    return NULL;
}

static void filter_dealloc(PyObject *self)
{
    Filter *filter = (Filter *)self;
    PyBuffer_Release(&filter->counts);
    Py_XDECREF(filter->program);
    Py_TYPE(self)->tp_free(self);
}

PyDoc_STRVAR(matches_doc, "matches(packet, length) -> bool\n\n"
                          "`length`: bytes of the packet before it was cut. Counts nothing.");

static PyObject *filter_matches(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    unsigned long length;
    Py_buffer packet;
    if (nargs != 2) {
        PyErr_Format(PyExc_TypeError, "%zd arguments, expected 2", nargs);
        return NULL;
    }
    if (!mif_py_get_number(args[1], UINT32_MAX, "length", &length) ||
        PyObject_GetBuffer(args[0], &packet, PyBUF_SIMPLE) != 0)
        return NULL;
    bool found =
        mif_py_filter_matches((Filter *)self, packet.buf, (uint32_t)length, (uint32_t)packet.len);
    PyBuffer_Release(&packet);
    return PyBool_FromLong(found);
}

PyDoc_STRVAR(select_doc, "select(queue, packets) -> list\n\n"
                         "Those of the packets that match, a list of bytes. Counts the others.");

static PyObject *filter_select(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    unsigned long queue;
    uint32_t others = 0;
    if (nargs != 2 || !PyList_CheckExact(args[1])) {
        PyErr_SetString(PyExc_TypeError, "expected a queue and a list");
        return NULL;
    }
    if (!mif_py_get_number(args[0], MIF_MAX_QUEUES, "queue", &queue))
        return NULL;
    PyObject *found = PyList_New(0);
    for (Py_ssize_t i = 0; found != NULL && i < PyList_GET_SIZE(args[1]); i++) {
        PyObject *packet = MIF_PY_LIST_ITEM(args[1], i);
        char *data;
        Py_ssize_t length;
        if (packet == NULL || PyBytes_AsStringAndSize(packet, &data, &length) != 0)
            Py_CLEAR(found);
        else if (!mif_py_filter_matches((Filter *)self, data, (uint32_t)length, (uint32_t)length))
            others++;
        else if (PyList_Append(found, packet) != 0)
            Py_CLEAR(found);
        Py_XDECREF(packet);
    }
    mif_py_filter_count((Filter *)self, (uint32_t)queue, others);
    return found;
}

static PyObject *filter_recv(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    return mif_py_recv_filtered((Filter *)self, args, nargs);
}

static PyObject *filter_recv_burst(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    return mif_py_recv_burst_filtered((Filter *)self, args, nargs);
}

static PyObject *filter_rx_burst(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    return mif_py_rx_burst_filtered((Filter *)self, args, nargs);
}

static PyMethodDef filter_methods[] = {
    {"matches", MIF_PY_FAST(filter_matches), matches_doc},
    {"select", MIF_PY_FAST(filter_select), select_doc},
    {"recv", MIF_PY_FAST(filter_recv), "As the function of the module, for packets that match."},
    {"recv_burst", MIF_PY_FAST(filter_recv_burst), "The same."},
    {"rx_burst", MIF_PY_FAST(filter_rx_burst), "The same."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject mif_py_filter_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "libmemif_py._burst.Filter",
    .tp_doc = filter_doc,
    .tp_basicsize = sizeof(Filter),
    .tp_new = filter_new,
    .tp_dealloc = filter_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_methods = filter_methods,
};
