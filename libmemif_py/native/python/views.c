/* SPDX-License-Identifier: Apache-2.0 */
#include "python/burst.h"

#include "core/fork.h"

/* Raises ForkedError. It is rarely needed, and so it is imported only here. */
static void raise_forked(void)
{
    PyObject *module = PyImport_ImportModule("libmemif_py.errors");
    PyObject *kind = module == NULL ? NULL : PyObject_GetAttrString(module, "ForkedError");
    if (kind != NULL)
        PyErr_SetString(kind, "the burst belongs to the process that this one was forked from: "
                              "make an interface in this process");
    Py_XDECREF(kind);
    Py_XDECREF(module);
}

/* In the critical section: false, with an exception, if the burst has no packets to look at any
 * more. */
static bool check_open(const Burst *burst)
{
    if (burst->generation != mif_generation())
        raise_forked();
    else if (!burst->open)
        PyErr_SetString(PyExc_BufferError, "the burst is over, its slots were given back");
    else
        return true;
    return false;
}

bool mif_py_burst_add_view(Burst *burst)
{
    bool good = false;
    MIF_PY_BEGIN_SECTION(burst);
    good = check_open(burst);
    burst->views += good;
    MIF_PY_END_SECTION();
    return good;
}

static bool check_writable(const Burst *burst, int flags)
{
    if (burst->is_tx || !(flags & PyBUF_WRITABLE))
        return true;
    PyErr_SetString(PyExc_BufferError, "received packets are read-only, copy them to change");
    return false;
}

static char *format_if_asked(const char *format, int flags)
{
    return (flags & PyBUF_FORMAT) ? (char *)(uintptr_t)format : NULL;
}

/* ---- one packet, or the lengths ---- */

typedef struct {
    PyObject_HEAD Burst *burst;
    uint8_t *data;
    Py_ssize_t length;
    Py_ssize_t item;
    const char *format;
    bool is_packet; /* in memory that goes away: its views are counted */
    Py_ssize_t shape;
} Exporter;

static int exporter_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
    Exporter *exporter = (Exporter *)self;
    Burst *burst = exporter->burst;
    if (!check_writable(burst, flags) || (exporter->is_packet && !mif_py_burst_add_view(burst)))
        return -1;
    *view = (Py_buffer){
        .buf = exporter->data,
        .obj = Py_NewRef(self),
        .len = exporter->length,
        .itemsize = exporter->item,
        .readonly = !burst->is_tx,
        .ndim = 1,
        .format = format_if_asked(exporter->format, flags),
        .shape = (flags & PyBUF_ND) ? &exporter->shape : NULL,
        .strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? &exporter->item : NULL,
    };
    return 0;
}

static void exporter_releasebuffer(PyObject *self, Py_buffer *view)
{
    Exporter *exporter = (Exporter *)self;
    (void)view;
    if (exporter->is_packet)
        mif_py_burst_end_view(exporter->burst);
}

static void exporter_dealloc(PyObject *self)
{
    Py_DECREF(((Exporter *)self)->burst);
    PyObject_Free(self);
}

static PyBufferProcs exporter_buffer = {exporter_getbuffer, exporter_releasebuffer};

PyTypeObject mif_py_exporter_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "libmemif_py._burst.Exporter",
    .tp_basicsize = sizeof(Exporter),
    .tp_dealloc = exporter_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_as_buffer = &exporter_buffer,
};

static PyObject *new_view(Burst *burst, uint8_t *data, Py_ssize_t count, Py_ssize_t item,
                          const char *format, bool is_packet)
{
    Exporter *exporter = PyObject_New(Exporter, &mif_py_exporter_type);
    if (exporter == NULL)
        return NULL;
    exporter->burst = (Burst *)Py_NewRef((PyObject *)burst);
    exporter->data = data;
    exporter->shape = count;
    exporter->length = count * item;
    exporter->item = item;
    exporter->format = format;
    exporter->is_packet = is_packet;
    PyObject *view = PyMemoryView_FromObject((PyObject *)exporter);
    Py_DECREF(exporter);
    return view;
}

PyObject *mif_py_view_packet(Burst *burst, Py_ssize_t index)
{
    uint8_t *rows = NULL;
    MIF_PY_BEGIN_SECTION(burst);
    if (check_open(burst))
        rows = burst->rows;
    MIF_PY_END_SECTION();
    if (rows == NULL)
        return NULL;
    /* The memoryview will ask again whether the burst is open. */
    uint8_t *row = rows + index * burst->stride;
    Py_ssize_t length = burst->is_tx ? burst->width : (Py_ssize_t)burst->lengths[index];
    return new_view(burst, row, length, 1, "B", true);
}

PyObject *mif_py_view_lengths(Burst *burst)
{
    return new_view(burst, (uint8_t *)burst->lengths, burst->count, sizeof(uint32_t), "I", false);
}

/* ---- the whole burst ---- */

static int burst_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
    Burst *burst = (Burst *)self;
    if (!check_writable(burst, flags))
        return -1;
    if ((flags & PyBUF_STRIDES) != PyBUF_STRIDES) {
        PyErr_SetString(PyExc_BufferError, "the rows of a burst need a view with strides");
        return -1;
    }
    int gapless =
        flags & ~PyBUF_STRIDES & (PyBUF_C_CONTIGUOUS | PyBUF_F_CONTIGUOUS | PyBUF_ANY_CONTIGUOUS);
    if (gapless != 0) {
        PyErr_SetString(PyExc_BufferError, "the rows of a burst have gaps, copy them");
        return -1;
    }
    if (!mif_py_burst_add_view(burst))
        return -1;
    *view = (Py_buffer){
        .buf = burst->rows,
        .obj = Py_NewRef(self),
        .len = burst->count * burst->width,
        .itemsize = 1,
        .readonly = !burst->is_tx,
        .ndim = 2,
        .format = format_if_asked("B", flags),
        .shape = burst->shape,
        .strides = burst->strides,
    };
    return 0;
}

static void burst_releasebuffer(PyObject *self, Py_buffer *view)
{
    (void)view;
    mif_py_burst_end_view((Burst *)self);
}

PyBufferProcs mif_py_burst_buffer = {burst_getbuffer, burst_releasebuffer};
