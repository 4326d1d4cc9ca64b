/* SPDX-License-Identifier: Apache-2.0 */
#include "python/burst.h"

#include "core/lease.h"

#include <stdlib.h>
#include <string.h>

/* ---- the end of a burst ---- */

struct mif_queue *mif_py_burst_enter(const Burst *burst)
{
    enum mif_direction direction = mif_py_burst_direction(burst);
    if (mif_py_is_busy(&burst->queue, direction))
        return NULL;
    struct mif_queue *q = mif_enter(burst->queue.handle, burst->queue.qid, direction);
    if (q == NULL || q->order->serial == burst->serial)
        return q;
    mif_leave(q);
    return NULL;
}

static void free_memory(Burst *burst)
{
    if (burst->lease != NULL)
        mif_lease_drop(burst->lease);
    burst->lease = NULL;
    free(burst->copy);
    burst->copy = NULL;
    burst->rows = NULL;
}

static bool check_no_views(const Burst *burst)
{
    if (burst->views == 0)
        return true;
    PyErr_Format(PyExc_BufferError,
                 "%zd view%s of the burst %s alive, and the queue is held until the last is gone: "
                 "delete arrays, release or delete views; to keep packets, copy them before the "
                 "burst ends",
                 burst->views, burst->views == 1 ? "" : "s", burst->views == 1 ? "is" : "are");
    return false;
}

/* Gives received slots back, or takes reserved ones back. The queue is locked. */
static void give_slots_back(Burst *burst)
{
    struct mif_queue *q = mif_py_burst_enter(burst);
    uint16_t n;
    if (q != NULL && burst->is_tx) {
        mif_packet_cancel(q);
        mif_leave(q);
    } else if (q != NULL) {
        (void)mif_py_run(q, MIF_CALL_GIVE_BACK, 0, burst->taken, burst->taken_count, &n);
    }
}

/* By the thread that turned `open` to false. */
static void end_burst(Burst *burst)
{
    mif_py_lock(&burst->queue, mif_py_burst_direction(burst));
    give_slots_back(burst);
    mif_py_unlock(&burst->queue, mif_py_burst_direction(burst));
    free_memory(burst);
}

/* In the critical section: true if the caller is to end the burst. */
static bool take_end(Burst *burst)
{
    bool taken = burst->open && burst->views == 0;
    burst->open = burst->open && !taken;
    return taken;
}

void mif_py_burst_end_view(Burst *burst)
{
    bool ends = false;
    MIF_PY_BEGIN_SECTION(burst);
    burst->views--;
    ends = burst->abandoned && take_end(burst);
    MIF_PY_END_SECTION();
    if (ends)
        end_burst(burst);
}

PyDoc_STRVAR(abandon_doc, "abandon()\n\nGive the slots back unsent, when the last view has gone.");

static PyObject *burst_abandon(PyObject *self, PyObject *unused)
{
    Burst *burst = (Burst *)self;
    (void)unused;
    bool ends = false;
    MIF_PY_BEGIN_SECTION(burst);
    burst->abandoned = true;
    ends = take_end(burst);
    MIF_PY_END_SECTION();
    if (ends)
        end_burst(burst);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(release_doc,
             "release()\n\nGive the slots back unsent. BufferError while a view is alive.");

static PyObject *burst_release(PyObject *self, PyObject *unused)
{
    Burst *burst = (Burst *)self;
    (void)unused;
    bool ends = false, good = true;
    MIF_PY_BEGIN_SECTION(burst);
    good = !burst->open || check_no_views(burst);
    ends = good && take_end(burst);
    MIF_PY_END_SECTION();
    if (!good)
        return NULL;
    if (ends)
        end_burst(burst);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    burst_send_doc,
    "send(count) -> (sent, code)\n\nSend the first `count` packets with their lengths, take "
    "the others back. BufferError while a view is alive.");

/* Takes the lengths that the program has set. */
static bool take_lengths(const Burst *burst, unsigned long count)
{
    for (unsigned long i = 0; i < count; i++) {
        uint32_t length = __atomic_load_n(&burst->lengths[i], __ATOMIC_RELAXED);
        burst->bufs[i].data_len = length;
        if (length <= (uint64_t)burst->width)
            continue;
        PyErr_Format(PyExc_ValueError, "length %u of packet %lu, expected at most %zd", length, i,
                     burst->width);
        return false;
    }
    return true;
}

/* In the critical section: true if the caller is to send `count` packets and to end the burst. */
static bool begin_send(Burst *burst, unsigned long count)
{
    if (!burst->open) {
        PyErr_SetString(PyExc_ValueError, "the burst is over, or was received");
        return false;
    }
    return check_no_views(burst) && take_lengths(burst, count) && take_end(burst);
}

static int send_packets(const Burst *burst, unsigned long count, uint16_t *sent)
{
    struct mif_queue *q = mif_py_burst_enter(burst);
    if (q == NULL)
        return MIF_ERR_DISCONNECTED;
    for (unsigned long i = 0; burst->copy != NULL && i < count; i++)
        memcpy(burst->bufs[i].data, burst->copy + i * (size_t)burst->stride,
               burst->bufs[i].data_len);
    if (count > 0)
        return mif_py_run(q, MIF_CALL_TX, 0, burst->bufs, (uint32_t)count, sent);
    mif_leave(q);
    return MIF_ERR_SUCCESS;
}

static PyObject *burst_send(PyObject *self, PyObject *argument)
{
    Burst *burst = (Burst *)self;
    unsigned long count;
    uint16_t sent = 0;
    bool good = false;
    if (!burst->is_tx) {
        PyErr_SetString(PyExc_ValueError, "the burst is over, or was received");
        return NULL;
    }
    if (!mif_py_get_number(argument, (unsigned long)burst->count, "count", &count))
        return NULL;
    MIF_PY_BEGIN_SECTION(burst);
    good = begin_send(burst, count);
    MIF_PY_END_SECTION();
    if (!good)
        return NULL;
    mif_py_lock(&burst->queue, MIF_TX);
    int code = send_packets(burst, count, &sent);
    give_slots_back(burst); /* at once: another thread may reserve slots next */
    mif_py_unlock(&burst->queue, MIF_TX);
    free_memory(burst);
    return Py_BuildValue("ii", (int)sent, code);
}

/* ---- the type ---- */

static Py_ssize_t burst_length(PyObject *self)
{
    return ((Burst *)self)->count;
}

static PyObject *burst_item(PyObject *self, Py_ssize_t index)
{
    Burst *burst = (Burst *)self;
    if (index >= 0 && index < burst->count)
        return mif_py_view_packet(burst, index);
    PyErr_Format(PyExc_IndexError, "packet %zd of a burst of %zd", index, burst->count);
    return NULL;
}

static PyObject *burst_lengths(PyObject *self, void *closure)
{
    (void)closure;
    return mif_py_view_lengths((Burst *)self);
}

static PyObject *burst_width(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromSsize_t(((Burst *)self)->width);
}

static PyObject *burst_views(PyObject *self, void *closure)
{
    Py_ssize_t views = 0;
    (void)closure;
    MIF_PY_BEGIN_SECTION(self);
    views = ((Burst *)self)->views;
    MIF_PY_END_SECTION();
    return PyLong_FromSsize_t(views);
}

static PyObject *burst_open(PyObject *self, void *closure)
{
    bool open = false;
    (void)closure;
    MIF_PY_BEGIN_SECTION(self);
    open = ((Burst *)self)->open;
    MIF_PY_END_SECTION();
    return PyBool_FromLong(open);
}

static void burst_dealloc(PyObject *self)
{
    Burst *burst = (Burst *)self;
    /* There is no view: each keeps its burst alive. */
    if (burst->open)
        end_burst(burst);
    else
        free_memory(burst);
    if (burst->taken != burst->bufs)
        free(burst->taken);
    free(burst->bufs);
    free(burst->lengths);
    PyObject_Free(self);
}

static PyGetSetDef burst_getset[] = {
    {"lengths", burst_lengths, NULL, "Bytes of each packet, as a memoryview of uint32.", NULL},
    {"width", burst_width, NULL, "Bytes of a row.", NULL},
    {"views", burst_views, NULL, "How many views of the packets are alive.", NULL},
    {"open", burst_open, NULL, "False when the slots were given back or sent.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(match_doc,
             "match(value, offset, mask) -> memoryview of uint32\n\nThe packets that have the "
             "bytes `value` at `offset`, where `mask` has ones; None: everywhere.");

static PyMethodDef burst_methods[] = {
    {"match", mif_py_burst_match, METH_VARARGS, match_doc},
    {"abandon", burst_abandon, METH_NOARGS, abandon_doc},
    {"release", burst_release, METH_NOARGS, release_doc},
    {"send", burst_send, METH_O, burst_send_doc},
    {NULL, NULL, 0, NULL},
};

static PySequenceMethods burst_sequence = {.sq_length = burst_length, .sq_item = burst_item};

PyTypeObject mif_py_burst_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "libmemif_py._burst.Burst",
    .tp_basicsize = sizeof(Burst),
    .tp_dealloc = burst_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_as_sequence = &burst_sequence,
    .tp_as_buffer = &mif_py_burst_buffer,
    .tp_methods = burst_methods,
    .tp_getset = burst_getset,
};
