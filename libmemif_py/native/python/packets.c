/* SPDX-License-Identifier: Apache-2.0 */
#include "python/packets.h"

#include "python/pause.h"

#include <string.h>
#include <time.h>

#define GROUP 64 /* packets that are received or sent at a time */

/* ---- receive ---- */

PyDoc_STRVAR(recv_doc, "recv(handle, queue) -> bytes, or a code; SUCCESS: nothing waits");

static inline PyObject *receive_one(const struct queue_ref *ref)
{
    memif_buffer_t buf;
    uint16_t n = 0;
    int code;
    struct mif_queue *q = mif_py_enter(ref, MIF_RX, &code);
    if (q == NULL)
        return PyLong_FromLong(code);
    code = mif_py_receive(ref, q, &buf, 1, &n);
    if (n == 0)
        return PyLong_FromLong(code);
    PyObject *packet = PyBytes_FromStringAndSize(buf.data, (Py_ssize_t)buf.data_len);
    (void)mif_py_call(ref, MIF_RX, MIF_CALL_GIVE_BACK, &buf, 1, &n);
    return packet;
}

static PyObject *packets_recv(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    struct queue_ref ref;
    (void)module;
    if (!mif_py_get_queue(args, nargs, 2, &ref))
        return NULL;
    mif_py_lock(&ref, MIF_RX);
    PyObject *packet = receive_one(&ref);
    mif_py_unlock(&ref, MIF_RX);
    return packet;
}

/* As receive_one. NULL without an exception: the packet did not match, or none waits. `code` says
 * which: NOBUF when others wait. */
static PyObject *receive_match(const struct queue_ref *ref, const Filter *filter, uint32_t *left,
                               int *code)
{
    memif_buffer_t buf;
    uint16_t n = 0;
    struct mif_queue *q = mif_py_enter(ref, MIF_RX, code);
    if (q == NULL)
        return NULL;
    *left = *left <= q->mask ? *left : q->mask;
    *code = mif_py_receive(ref, q, &buf, 1, &n);
    if (n == 0)
        return NULL;
    PyObject *packet = NULL;
    memif_buffer_t same;
    if (mif_py_filter_select(filter, ref->qid, &buf, 1, &same) == 1)
        packet = PyBytes_FromStringAndSize(same.data, (Py_ssize_t)same.data_len);
    (void)mif_py_call(ref, MIF_RX, MIF_CALL_GIVE_BACK, &buf, 1, &n);
    return packet;
}

PyObject *mif_py_recv_filtered(const Filter *filter, PyObject *const *args, Py_ssize_t nargs)
{
    struct queue_ref ref;
    uint32_t left = UINT32_MAX; /* packets to look at, after the next */
    int code = MIF_ERR_SUCCESS;
    if (!mif_py_get_queue(args, nargs, 2, &ref))
        return NULL;
    mif_py_lock(&ref, MIF_RX);
    PyObject *packet = receive_match(&ref, filter, &left, &code);
    while (packet == NULL && code == MIF_ERR_NOBUF && left-- > 0)
        packet = receive_match(&ref, filter, &left, &code);
    mif_py_unlock(&ref, MIF_RX);
    if (packet != NULL || PyErr_Occurred())
        return packet;
    return PyLong_FromLong(code == MIF_ERR_NOBUF ? MIF_ERR_SUCCESS : code);
}

PyDoc_STRVAR(
    recv_burst_doc,
    "recv_burst(handle, queue, count) -> list of bytes, or a code; SUCCESS: nothing waits");

/* Appends copies of the packets of a burst. */
static bool append_packets(PyObject *list, const memif_buffer_t *bufs, uint16_t n)
{
    bool good = true;
    for (uint16_t i = 0; good && i < n; i++) {
        PyObject *packet = PyBytes_FromStringAndSize(bufs[i].data, (Py_ssize_t)bufs[i].data_len);
        good = packet != NULL && PyList_Append(list, packet) == 0;
        Py_XDECREF(packet);
    }
    return good;
}

static bool append_matches(PyObject *list, const struct queue_ref *ref, const memif_buffer_t *bufs,
                           uint16_t n, const Filter *filter)
{
    memif_buffer_t found[GROUP];
    return append_packets(list, found, mif_py_filter_select(filter, ref->qid, bufs, n, found));
}

/* `filter` may be NULL. */
static inline PyObject *receive_burst(const Filter *filter, PyObject *const *args, Py_ssize_t nargs)
{
    struct queue_ref ref;
    unsigned long count;
    uint32_t seen = 0; /* by the filter */
    memif_buffer_t bufs[GROUP];
    if (!mif_py_get_queue(args, nargs, 3, &ref) ||
        !mif_py_get_number(args[2], UINT16_MAX, "count", &count))
        return NULL;
    PyObject *list = PyList_New(0);
    int code = MIF_ERR_SUCCESS;
    mif_py_lock(&ref, MIF_RX);
    while (list != NULL && (size_t)PyList_GET_SIZE(list) < count) {
        uint32_t left = (uint32_t)count - (uint32_t)PyList_GET_SIZE(list);
        uint16_t n = 0;
        struct mif_queue *q = mif_py_enter(&ref, MIF_RX, &code);
        if (q == NULL)
            break;
        uint32_t most = filter == NULL ? UINT32_MAX : q->mask + 1U;
        code = mif_py_receive(&ref, q, bufs, left < GROUP ? left : GROUP, &n);
        if (n > 0 && !(filter == NULL ? append_packets(list, bufs, n)
                                      : append_matches(list, &ref, bufs, n, filter)))
            Py_CLEAR(list);
        if (n > 0)
            (void)mif_py_call(&ref, MIF_RX, MIF_CALL_GIVE_BACK, bufs, n, &n);
        seen += n;
        if (code != MIF_ERR_NOBUF || seen >= most)
            break;
    }
    mif_py_unlock(&ref, MIF_RX);
    if (list == NULL || PyList_GET_SIZE(list) > 0 || count == 0)
        return list;
    Py_DECREF(list);
    return PyLong_FromLong(filter != NULL && code == MIF_ERR_NOBUF ? MIF_ERR_SUCCESS : code);
}

static PyObject *packets_recv_burst(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    (void)module;
    return receive_burst(NULL, args, nargs);
}

PyObject *mif_py_recv_burst_filtered(const Filter *filter, PyObject *const *args, Py_ssize_t nargs)
{
    return receive_burst(filter, args, nargs);
}

PyDoc_STRVAR(recv_rest_doc,
             "recv_rest(handle, queue, most) -> list of bytes\n\n"
             "For the end of a link: the packets that the peer has published and nobody has "
             "received. Their slots do not go back, and the queue receives no more. Stops before "
             "the packets exceed `most` bytes.");

/* A thread that is inside the queue without the interpreter lock receives packets itself. */
static void lock_when_left(const struct queue_ref *ref)
{
    mif_py_lock(ref, MIF_RX);
    while (mif_py_is_busy(ref, MIF_RX)) {
        mif_py_unlock(ref, MIF_RX);
        Py_BEGIN_ALLOW_THREADS;
        (void)nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
        Py_END_ALLOW_THREADS;
        mif_py_lock(ref, MIF_RX);
    }
}

/* A burst must not receive what comes later: it would overtake the packets that were kept. Until
 * the next link no handle owns the queue; the control plane takes it down like any other. */
static void end_receiving(const struct queue_ref *ref)
{
    struct mif_queue *q = mif_enter(ref->handle, ref->qid, MIF_RX);
    if (q == NULL)
        return;
    atomic_store(&q->owner, 0);
    mif_leave(q);
}

/* Receives behind slots that a burst still holds. No slot goes back, so a peer that keeps sending
 * adds one ring at most. The buffers of a malicious peer may overlap, hence `most`. */
static PyObject *packets_recv_rest(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    struct queue_ref ref;
    memif_buffer_t buf;
    (void)module;
    if (!mif_py_get_queue(args, nargs, 3, &ref))
        return NULL;
    size_t most = PyLong_AsSize_t(args[2]);
    if (most == (size_t)-1 && PyErr_Occurred())
        return NULL;
    PyObject *list = PyList_New(0);
    lock_when_left(&ref);
    while (list != NULL) {
        uint16_t n = 0;
        (void)mif_py_call(&ref, MIF_RX, MIF_CALL_RX, &buf, 1, &n);
        if (n == 0 || buf.data_len > most)
            break;
        most -= buf.data_len;
        if (!append_packets(list, &buf, n))
            Py_CLEAR(list);
    }
    end_receiving(&ref);
    mif_py_unlock(&ref, MIF_RX);
    return list;
}

/* ---- send ---- */

/* Views the bytes of a packet; raises if there are none or too many. */
static bool get_packet(PyObject *object, Py_buffer *packet)
{
    if (PyObject_GetBuffer(object, packet, PyBUF_SIMPLE) != 0)
        return false;
    if (packet->len <= (Py_ssize_t)MIF_MAX_PACKET)
        return true;
    PyErr_Format(PyExc_ValueError, "packet of %zd bytes, expected at most %u", packet->len,
                 MIF_MAX_PACKET);
    PyBuffer_Release(packet);
    return false;
}

/* Reserves a buffer for a packet and copies it there. */
static int copy_in(struct mif_queue *q, const Py_buffer *packet, memif_buffer_t *buf)
{
    uint16_t n = 0;
    int code = mif_py_run(q, MIF_CALL_RESERVE, (uint32_t)packet->len, buf, 1, &n);
    if (n == 0)
        return code;
    memcpy(buf->data, packet->buf, (size_t)packet->len);
    buf->data_len = (uint32_t)packet->len;
    return MIF_ERR_SUCCESS;
}

PyDoc_STRVAR(send_doc, "send(handle, queue, packet) -> a code");

static inline int send_one(const struct queue_ref *ref, const Py_buffer *packet)
{
    memif_buffer_t buf;
    uint16_t n = 0;
    int code;
    struct mif_queue *q = mif_py_enter(ref, MIF_TX, &code);
    if (q == NULL)
        return code;
    code = copy_in(q, packet, &buf);
    if (code == MIF_ERR_SUCCESS)
        code = mif_py_call(ref, MIF_TX, MIF_CALL_TX, &buf, 1, &n);
    return code;
}

static PyObject *packets_send(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    struct queue_ref ref;
    Py_buffer packet;
    (void)module;
    if (!mif_py_get_queue(args, nargs, 3, &ref) || !get_packet(args[2], &packet))
        return NULL;
    mif_py_lock(&ref, MIF_TX);
    int code = send_one(&ref, &packet);
    mif_py_unlock(&ref, MIF_TX);
    PyBuffer_Release(&packet); /* may run Python code, which may send as well */
    return PyLong_FromLong(code);
}

PyDoc_STRVAR(send_burst_doc, "send_burst(handle, queue, packets, start) -> (sent, code)\n\n"
                             "Sends packets[start:] as far as there is room; `packets` is a list.");

/* Item `index` of the list, which may have changed meanwhile; NULL with an exception. */
static PyObject *list_item(PyObject *packets, Py_ssize_t index)
{
    PyObject *packet = NULL;
    if (index < PyList_GET_SIZE(packets))
        packet = MIF_PY_LIST_ITEM(packets, index);
    if (packet == NULL)
        PyErr_SetString(PyExc_ValueError, "the list of packets became shorter meanwhile");
    return packet;
}

/* Of a bytes object nothing runs that could use the queue, so a call keeps it for all its groups.
 */
static bool view_packet(const struct queue_ref *ref, PyObject *packet, Py_buffer *view)
{
    if (PyBytes_CheckExact(packet))
        return get_packet(packet, view);
    mif_py_unlock(ref, MIF_TX);
    bool good = get_packet(packet, view);
    mif_py_lock(ref, MIF_TX);
    return good;
}

static void end_view(const struct queue_ref *ref, Py_buffer *view)
{
    if (PyBytes_CheckExact(view->obj)) {
        PyBuffer_Release(view);
        return;
    }
    mif_py_unlock(ref, MIF_TX);
    PyBuffer_Release(view);
    mif_py_lock(ref, MIF_TX);
}

/* Views the bytes of a group of packets. Returns how many it has viewed; fewer than `count` after
 * it raised. Python code that runs to provide a buffer may change the list meanwhile. */
static Py_ssize_t get_packets(const struct queue_ref *ref, PyObject *packets, Py_ssize_t start,
                              Py_ssize_t count, Py_buffer *views)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *packet = list_item(packets, start + i);
        if (packet == NULL)
            return i;
        bool good = view_packet(ref, packet, &views[i]);
        Py_DECREF(packet);
        if (!good)
            return i;
    }
    return count;
}

/* Sends one group, from `start` on. If it raises, because a packet is no good, it sent none. */
static bool send_group(const struct queue_ref *ref, PyObject *packets, Py_ssize_t start,
                       Py_ssize_t count, uint16_t *sent, int *code)
{
    memif_buffer_t bufs[GROUP];
    Py_buffer views[GROUP];
    Py_ssize_t viewed = get_packets(ref, packets, start, count, views), ready = 0;
    *sent = 0;
    struct mif_queue *q = viewed == count ? mif_py_enter(ref, MIF_TX, code) : NULL;
    if (q != NULL) {
        *code = MIF_ERR_SUCCESS;
        mif_leave(q);
    }
    while (q != NULL && ready < count && *code == MIF_ERR_SUCCESS) {
        q = mif_enter(ref->handle, ref->qid, MIF_TX);
        *code = q == NULL ? MIF_ERR_DISCONNECTED : copy_in(q, &views[ready], &bufs[ready]);
        ready += *code == MIF_ERR_SUCCESS;
    }
    if (ready > 0) {
        int err = mif_py_call(ref, MIF_TX, MIF_CALL_TX, bufs, (uint32_t)ready, sent);
        *code = err != MIF_ERR_SUCCESS ? err : *code;
    }
    for (Py_ssize_t i = 0; i < viewed; i++)
        end_view(ref, &views[i]);
    return viewed == count;
}

static PyObject *packets_send_burst(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    struct queue_ref ref;
    unsigned long start;
    (void)module;
    if (!mif_py_get_queue(args, nargs, 4, &ref) ||
        !mif_py_get_number(args[3], INT_MAX, "start", &start))
        return NULL;
    if (!PyList_CheckExact(args[2])) {
        PyErr_SetString(PyExc_TypeError, "packets must be a list");
        return NULL;
    }
    Py_ssize_t at = (Py_ssize_t)start, total = PyList_GET_SIZE(args[2]);
    int code = MIF_ERR_SUCCESS;
    bool good = true;
    mif_py_lock(&ref, MIF_TX);
    while (good && at < total && code == MIF_ERR_SUCCESS) {
        uint16_t sent;
        Py_ssize_t left = total - at;
        good = send_group(&ref, args[2], at, left < GROUP ? left : GROUP, &sent, &code);
        at += sent;
    }
    mif_py_unlock(&ref, MIF_TX);
    if (!good)
        return NULL;
    return Py_BuildValue("ni", at - (Py_ssize_t)start, code);
}

PyMethodDef mif_py_packet_functions[] = {
    {"recv", MIF_PY_FAST(packets_recv), recv_doc},
    {"recv_burst", MIF_PY_FAST(packets_recv_burst), recv_burst_doc},
    {"recv_rest", MIF_PY_FAST(packets_recv_rest), recv_rest_doc},
    {"send", MIF_PY_FAST(packets_send), send_doc},
    {"send_burst", MIF_PY_FAST(packets_send_burst), send_burst_doc},
    {NULL, NULL, 0, NULL},
};
