/* SPDX-License-Identifier: Apache-2.0 */
/* How a burst begins: it takes slots of a queue, or copies packets that have left the ring. */
#include "python/burst.h"

#include "core/fork.h"
#include "core/lease.h"
#include "core/regions.h"
#include "python/pause.h"

#include <stdlib.h>
#include <string.h>

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
    burst->taken = burst->bufs;
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
    struct mif_queue *q = mif_py_burst_enter(burst);
    if (q == NULL)
        return MIF_ERR_DISCONNECTED;
    bool done = use_rows_in_place(burst, conn, width) || copy_rows(burst, width);
    mif_leave(q);
    set_shape(burst);
    return done ? MIF_ERR_SUCCESS : MIF_ERR_NOMEM;
}

/* Takes slots of a queue that was entered. */
static int take_slots(Burst *burst, struct mif_queue *q, uint32_t size, unsigned long count)
{
    uint16_t n = 0;
    int code = burst->is_tx
                   ? mif_py_run(q, MIF_CALL_RESERVE, size, burst->taken, (uint32_t)count, &n)
                   : mif_py_receive(&burst->queue, q, burst->taken, (uint32_t)count, &n);
    burst->taken_count = n;
    burst->count = n;
    return code;
}

/* Receives until a packet matches, and puts those that do into `bufs`. What is taken goes back with
 * the burst, or at once if nothing in it matches. */
static int take_matches(Burst *burst, struct mif_queue *q, const Filter *filter,
                        unsigned long count)
{
    const struct queue_ref *queue = &burst->queue;
    uint32_t most = q->mask + 1U, seen = 0;
    int code;
    do {
        code = take_slots(burst, q, 0, count);
        burst->count = mif_py_filter_select(filter, queue->qid, burst->taken,
                                            (uint16_t)burst->taken_count, burst->bufs);
        seen += burst->taken_count;
        if (burst->count > 0)
            return code;
        if (burst->taken_count > 0) {
            uint16_t n;
            (void)mif_py_call(queue, MIF_RX, MIF_CALL_GIVE_BACK, burst->taken, burst->taken_count,
                              &n);
            burst->taken_count = 0;
        }
        if (code != MIF_ERR_NOBUF || seen >= most)
            return code == MIF_ERR_NOBUF ? MIF_ERR_SUCCESS : code;
        q = mif_py_enter(queue, MIF_RX, &code);
    } while (q != NULL && q->order->serial == burst->serial);
    if (q == NULL)
        return code;
    mif_leave(q);
    return MIF_ERR_SUCCESS;
}

/* Takes packets of the queue, which is locked. Returns a code, or -1 with an exception. `filter`
 * may be NULL. */
static int take_packets(Burst *burst, uint32_t size, unsigned long count, const Filter *filter)
{
    int code;
    struct mif_queue *q = mif_py_enter(&burst->queue, mif_py_burst_direction(burst), &code);
    if (q == NULL)
        return code;
    struct mif_connection *conn = mif_lookup(burst->queue.handle);
    burst->serial = q->order->serial;
    burst->lease = mif_lease_take(conn);
    if (burst->lease == NULL) {
        mif_leave(q);
        (void)PyErr_NoMemory();
        return -1;
    }
    burst->open = true;
    code =
        filter == NULL ? take_slots(burst, q, size, count) : take_matches(burst, q, filter, count);
    if (burst->count == 0)
        return code;
    return find_rows(burst, conn, burst->is_tx ? (Py_ssize_t)size : 0);
}

/* Room of its own for what a filter leaves of the packets that are taken. */
static bool separate(Burst *burst, size_t count)
{
    burst->taken = malloc((count > 0 ? count : 1) * sizeof(*burst->taken));
    if (burst->taken == NULL)
        (void)PyErr_NoMemory();
    return burst->taken != NULL;
}

static PyObject *begin_burst(const struct queue_ref *queue, bool is_tx, uint32_t size,
                             unsigned long count, const Filter *filter)
{
    Burst *burst = new_burst(queue, is_tx, count);
    if (burst == NULL)
        return NULL;
    if (filter != NULL && !separate(burst, count)) {
        Py_DECREF(burst);
        return NULL;
    }
    mif_py_lock(queue, mif_py_burst_direction(burst));
    int code = take_packets(burst, size, count, filter);
    mif_py_unlock(queue, mif_py_burst_direction(burst));
    if (burst->count > 0 && code == MIF_ERR_SUCCESS)
        return (PyObject *)burst;
    Py_DECREF(burst);
    return code < 0 ? NULL : PyLong_FromLong(code);
}

/* ---- the functions ---- */

PyDoc_STRVAR(rx_burst_doc,
             "rx_burst(handle, queue, count) -> Burst, or a code; SUCCESS: nothing waits");

PyObject *mif_py_rx_burst_filtered(const Filter *filter, PyObject *const *args, Py_ssize_t nargs)
{
    struct queue_ref ref;
    unsigned long count;
    if (!mif_py_get_queue(args, nargs, 3, &ref) ||
        !mif_py_get_number(args[2], UINT16_MAX, "count", &count))
        return NULL;
    return begin_burst(&ref, false, 0, count, filter);
}

static PyObject *rx_burst(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    (void)module;
    return mif_py_rx_burst_filtered(NULL, args, nargs);
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
    return begin_burst(&ref, true, (uint32_t)size, count, NULL);
}

PyMethodDef mif_py_burst_functions[] = {
    {"rx_burst", MIF_PY_FAST(rx_burst), rx_burst_doc},
    {"tx_burst", MIF_PY_FAST(tx_burst), tx_burst_doc},
    {"burst_from_bytes", burst_from_bytes, METH_O, burst_from_bytes_doc},
    {NULL, NULL, 0, NULL},
};
