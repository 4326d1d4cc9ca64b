/* SPDX-License-Identifier: Apache-2.0 */
#include "python/burst.h"

#include "core/fork.h"
#include "core/lease.h"
#include "core/regions.h"

#include <stdlib.h>
#include <string.h>

/* ---- the end of a burst ---- */

static enum mif_direction direction_of(const Burst *burst)
{
    return burst->is_tx ? MIF_TX : MIF_RX;
}

/* Enters the queue of the slots. NULL if the slots are not of its present connection. */
static struct mif_queue *enter_queue(const Burst *burst)
{
    enum mif_direction direction = direction_of(burst);
    if (mif_py_is_busy(&burst->queue, direction))
        return NULL;
    struct mif_queue *q = mif_enter(burst->queue.handle, burst->queue.qid, direction);
    if (q == NULL || q->serial == burst->serial)
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
    struct mif_queue *q = enter_queue(burst);
    uint16_t n;
    if (q != NULL && burst->is_tx) {
        mif_packet_cancel(q);
        mif_leave(q);
    } else if (q != NULL) {
        (void)mif_py_run(q, MIF_CALL_GIVE_BACK, 0, burst->bufs, (uint32_t)burst->count, &n);
    }
}

/* By the thread that turned `open` to false. */
static void end_burst(Burst *burst)
{
    mif_py_lock(&burst->queue, direction_of(burst));
    give_slots_back(burst);
    mif_py_unlock(&burst->queue, direction_of(burst));
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
    struct mif_queue *q = enter_queue(burst);
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

static PyMethodDef burst_methods[] = {
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

/* ---- the begin of a burst ---- */

/* A burst with room for `count` packets, which holds none yet. */
static Burst *new_burst(const struct queue_ref *queue, bool is_tx, size_t count)
{
    Burst *burst = PyObject_New(Burst, &mif_py_burst_type);
    if (burst == NULL)
        return NULL;
    memset((char *)burst + sizeof(PyObject), 0, sizeof(*burst) - sizeof(PyObject));
    burst->queue = *queue;
    burst->generation = mif_generation();
    burst->is_tx = is_tx;
    burst->bufs = malloc((count > 0 ? count : 1) * sizeof(*burst->bufs));
    burst->lengths = calloc(count > 0 ? count : 1, sizeof(*burst->lengths));
    if (burst->bufs != NULL && burst->lengths != NULL)
        return burst;
    Py_DECREF(burst);
    PyErr_NoMemory();
    return NULL;
}

/* Takes the packets as rows where they are, if they are evenly spaced and `width` bytes of each can
 * be accessed. The caller is inside a burst of the connection. */
static bool use_rows_in_place(Burst *burst, const struct mif_connection *conn, Py_ssize_t width)
{
    uint8_t *first = burst->bufs[0].data;
    ptrdiff_t stride = width;
    if (burst->count > 1)
        stride = (uint8_t *)burst->bufs[1].data - first;
    if (stride < width)
        return false;
    for (Py_ssize_t i = 1; i < burst->count; i++)
        if ((uint8_t *)burst->bufs[i].data != first + i * stride)
            return false;
    size_t span = (size_t)((burst->count - 1) * stride + width);
    if (!mif_is_mapped(conn, first, span))
        return false;
    burst->rows = first;
    burst->stride = stride;
    return true;
}

/* Allocates rows of our own and copies what was received into them. */
static bool copy_rows(Burst *burst, Py_ssize_t width)
{
    burst->stride = width > 0 ? width : 1;
    burst->copy = calloc((size_t)burst->count, (size_t)burst->stride);
    burst->rows = burst->copy;
    for (Py_ssize_t i = 0; burst->copy != NULL && !burst->is_tx && i < burst->count; i++)
        memcpy(burst->copy + i * burst->stride, burst->bufs[i].data, burst->bufs[i].data_len);
    return burst->copy != NULL;
}

static void set_shape(Burst *burst)
{
    burst->shape[0] = burst->count;
    burst->shape[1] = burst->width;
    burst->strides[0] = burst->stride;
    burst->strides[1] = 1;
}

/* Makes rows of the packets, in place or copied. DISCONNECTED when the packets are gone, or NOMEM.
 */
static int find_rows(Burst *burst, const struct mif_connection *conn, Py_ssize_t size)
{
    Py_ssize_t width = size;
    for (Py_ssize_t i = 0; i < burst->count; i++) {
        burst->lengths[i] = burst->is_tx ? (uint32_t)size : burst->bufs[i].data_len;
        if ((Py_ssize_t)burst->lengths[i] > width)
            width = (Py_ssize_t)burst->lengths[i];
    }
    burst->width = width;
    struct mif_queue *q = enter_queue(burst);
    if (q == NULL)
        return MIF_ERR_DISCONNECTED;
    bool done = use_rows_in_place(burst, conn, width) || copy_rows(burst, width);
    mif_leave(q);
    set_shape(burst);
    return done ? MIF_ERR_SUCCESS : MIF_ERR_NOMEM;
}

/* Takes slots of the queue, which is locked. Returns a code, or -1 with an exception. */
static int take_slots(Burst *burst, uint32_t size, unsigned long count)
{
    uint16_t n = 0;
    int code;
    struct mif_queue *q = mif_py_enter(&burst->queue, direction_of(burst), &code);
    if (q == NULL)
        return code;
    struct mif_connection *conn = mif_lookup(burst->queue.handle);
    burst->serial = q->serial;
    burst->lease = mif_lease_take(conn);
    if (burst->lease == NULL) {
        mif_leave(q);
        (void)PyErr_NoMemory();
        return -1;
    }
    burst->open = true;
    code = mif_py_run(q, burst->is_tx ? MIF_CALL_RESERVE : MIF_CALL_RX, size, burst->bufs,
                      (uint32_t)count, &n);
    burst->count = n;
    return n > 0 ? find_rows(burst, conn, burst->is_tx ? (Py_ssize_t)size : 0) : code;
}

static PyObject *begin_burst(const struct queue_ref *queue, bool is_tx, uint32_t size,
                             unsigned long count)
{
    Burst *burst = new_burst(queue, is_tx, count);
    if (burst == NULL)
        return NULL;
    mif_py_lock(queue, direction_of(burst));
    int code = take_slots(burst, size, count);
    mif_py_unlock(queue, direction_of(burst));
    if (burst->count > 0 && code == MIF_ERR_SUCCESS)
        return (PyObject *)burst;
    Py_DECREF(burst);
    return code < 0 ? NULL : PyLong_FromLong(code);
}

PyDoc_STRVAR(rx_burst_doc,
             "rx_burst(handle, queue, count) -> Burst, or a code; SUCCESS: nothing waits");

static PyObject *rx_burst(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    struct queue_ref ref;
    unsigned long count;
    (void)module;
    if (!mif_py_get_queue(args, nargs, 3, &ref) ||
        !mif_py_get_number(args[2], UINT16_MAX, "count", &count))
        return NULL;
    return begin_burst(&ref, false, 0, count);
}

/* Opens the burst with copies of the first `count` packets, which nobody changes meanwhile. */
static bool copy_packets(Burst *burst, PyObject *packets, Py_ssize_t count)
{
    for (; burst->count < count && burst->count < PyList_GET_SIZE(packets); burst->count++) {
        char *data;
        Py_ssize_t length;
        if (PyBytes_AsStringAndSize(PyList_GET_ITEM(packets, burst->count), &data, &length) != 0)
            return false;
        burst->bufs[burst->count].data = data;
        burst->bufs[burst->count].data_len = (uint32_t)length;
        burst->lengths[burst->count] = (uint32_t)length;
        if (length > burst->width)
            burst->width = length;
    }
    burst->open = copy_rows(burst, burst->width);
    if (!burst->open)
        (void)PyErr_NoMemory();
    set_shape(burst);
    return burst->open;
}

PyDoc_STRVAR(burst_from_bytes_doc,
             "burst_from_bytes(packets) -> Burst of received packets, a list of bytes");

/* For packets whose link is over: the burst holds no slots, only rows of its own. */
static PyObject *burst_from_bytes(PyObject *module, PyObject *packets)
{
    const struct queue_ref none = {0};
    (void)module;
    if (!PyList_CheckExact(packets)) {
        PyErr_SetString(PyExc_TypeError, "packets must be a list");
        return NULL;
    }
    Py_ssize_t count = PyList_GET_SIZE(packets);
    Burst *burst = new_burst(&none, false, (size_t)count);
    if (burst == NULL)
        return NULL;
    bool good = false;
    MIF_PY_BEGIN_SECTION(packets);
    good = copy_packets(burst, packets, count);
    MIF_PY_END_SECTION();
    if (good)
        return (PyObject *)burst;
    Py_DECREF(burst);
    return NULL;
}

PyDoc_STRVAR(tx_burst_doc, "tx_burst(handle, queue, count, size) -> Burst, or a code\n\n"
                           "Fewer than `count` packets when the ring has room for fewer.");

static PyObject *tx_burst(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    struct queue_ref ref;
    unsigned long count, size;
    (void)module;
    if (!mif_py_get_queue(args, nargs, 4, &ref) ||
        !mif_py_get_number(args[2], UINT16_MAX, "count", &count) ||
        !mif_py_get_number(args[3], MIF_MAX_PACKET, "size", &size))
        return NULL;
    return begin_burst(&ref, true, (uint32_t)size, count);
}

PyMethodDef mif_py_burst_functions[] = {
    {"rx_burst", MIF_PY_FAST(rx_burst), rx_burst_doc},
    {"tx_burst", MIF_PY_FAST(tx_burst), tx_burst_doc},
    {"burst_from_bytes", burst_from_bytes, METH_O, burst_from_bytes_doc},
    {NULL, NULL, 0, NULL},
};
