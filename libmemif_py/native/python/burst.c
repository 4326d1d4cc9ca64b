/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The module libmemif_py._burst: bursts for Python, on the packet face, without cffi in between. It
 * lies in the same file as the cffi module, for both need the same core.
 *
 * Codes are those of errors.h. A function that cannot do what it is for returns one as an int;
 * exceptions are for wrong arguments and for no memory. Whoever calls from several threads is kept
 * apart by the interpreter lock.
 *
 * Nothing that can wait is done under that lock, or one peer would hold up all of Python. What can
 * wait in a burst is an eventfd, which any peer may make a blocking one and full, or empty. So the
 * core signals in the way that never waits (signals.c), for trusted peers, too. Only where the
 * kernel lacks that, or cannot read without waiting, it lets go of the lock for the system call
 * (the_lock). To do so always was measured: alone a thread sends a packet and its signal in 0.45 us
 * instead of 0.85 us, but beside one that computes in 30 us instead of 2 us, because that one takes
 * the lock for its whole 5 ms now and then.
 *
 * A thread that let go of the lock is still inside the queue: MIF_SIGNAL_UNLOCKED keeps others out,
 * for the mif_leave of a second one would let the queue be unmapped under the first. They are told
 * AGAIN, as they are while another holds slots.
 *
 * Ownership of a burst: `Burst` holds slots from rx_burst or tx_burst until release, send or
 * cancel. Views of its memory are counted, and while there is one the slots stay where they are. A
 * view that outlives the connection is no danger either: a burst has a lease (connection.h) on its
 * memory.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "datapath/packet.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GROUP 64 /* packets that are handed over at a time */

static bool get_number(PyObject *object, unsigned long most, const char *what, unsigned long *value)
{
    *value = PyLong_AsUnsignedLong(object);
    if (*value == (unsigned long)-1 && PyErr_Occurred())
        return false;
    if (*value > most) {
        PyErr_Format(PyExc_ValueError, "%s %lu, expected at most %lu", what, *value, most);
        return false;
    }
    return true;
}

struct where {
    void *handle;
    uint32_t qid;
};

/* The first two arguments of every function: a handle as an int, and a queue id. */
static bool get_where(PyObject *const *args, Py_ssize_t count, Py_ssize_t expected,
                      struct where *where)
{
    unsigned long qid;
    if (count != expected) {
        PyErr_Format(PyExc_TypeError, "%zd arguments, expected %zd", count, expected);
        return false;
    }
    where->handle = PyLong_AsVoidPtr(args[0]);
    if (where->handle == NULL && PyErr_Occurred())
        return false;
    qid = PyLong_AsUnsignedLong(args[1]);
    if (qid == (unsigned long)-1 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError))
            return false;
        PyErr_Clear(); /* below zero: no such queue */
    }
    where->qid = qid < MIF_MAX_QUEUES ? (uint32_t)qid : MIF_MAX_QUEUES;
    return true;
}

/* True while another thread is inside a queue without the interpreter lock. */
static bool is_taken(const struct where *where, enum mif_direction direction)
{
    if (where->handle == NULL || where->qid >= MIF_MAX_QUEUES)
        return false;
    const struct mif_queue *q = mif_queue_at(where->handle, where->qid, direction);
    return (q->signal_mode & MIF_SIGNAL_UNLOCKED) &&
           atomic_load_explicit(&q->owner, memory_order_relaxed) == (uintptr_t)where->handle;
}

/* A queue of which nobody holds slots; NULL with a code. What is held belongs to a burst of another
 * thread, and slots go back in order. */
static struct mif_queue *enter_idle(const struct where *where, enum mif_direction direction,
                                    int *code)
{
    if (is_taken(where, direction)) {
        *code = MIF_ERR_AGAIN;
        return NULL;
    }
    struct mif_queue *q = mif_enter(where->handle, where->qid, direction);
    if (q == NULL) {
        *code = mif_why_not(where->handle, where->qid, direction);
        return NULL;
    }
    if (q->next != q->done) {
        mif_leave(q);
        *code = MIF_ERR_AGAIN;
        return NULL;
    }
    return q;
}

static void *leave_lock(struct mif_queue *q)
{
    if (!PyGILState_Check())
        return NULL;
    q->signal_mode |= MIF_SIGNAL_UNLOCKED;
    return PyEval_SaveThread();
}

static void take_lock(struct mif_queue *q, void *state)
{
    if (state == NULL)
        return;
    PyEval_RestoreThread(state);
    q->signal_mode &= (uint8_t)~MIF_SIGNAL_UNLOCKED;
}

static const struct mif_lock the_lock = {leave_lock, take_lock};

static int call(struct mif_queue *q, enum mif_call which, uint32_t extra, memif_buffer_t *bufs,
                uint32_t count, uint16_t *out)
{
    return atomic_load_explicit(&q->call[which], memory_order_relaxed)(q, extra, bufs, count, out);
}

/* ---- bytes ---- */

PyDoc_STRVAR(recv_doc, "recv(handle, queue) -> bytes, or a code; SUCCESS: nothing waits");

static PyObject *ring_recv(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    struct where where;
    memif_buffer_t buf;
    uint16_t n = 0;
    int code;
    (void)module;
    if (!get_where(args, nargs, 2, &where))
        return NULL;
    struct mif_queue *q = enter_idle(&where, MIF_RX, &code);
    if (q == NULL)
        return PyLong_FromLong(code);
    code = call(q, MIF_CALL_RX, 0, &buf, 1, &n);
    if (n == 0)
        return PyLong_FromLong(code);
    PyObject *packet = PyBytes_FromStringAndSize(buf.data, (Py_ssize_t)buf.data_len);
    (void)mif_call(where.handle, where.qid, MIF_RX, MIF_CALL_GIVE_BACK, 0, &buf, 1, &n);
    return packet;
}

PyDoc_STRVAR(
    recv_burst_doc,
    "recv_burst(handle, queue, count) -> list of bytes, or a code; SUCCESS: nothing waits");

/* Copies of the packets of a burst, appended. */
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

static PyObject *ring_recv_burst(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    struct where where;
    unsigned long count;
    memif_buffer_t bufs[GROUP];
    (void)module;
    if (!get_where(args, nargs, 3, &where) || !get_number(args[2], UINT16_MAX, "count", &count))
        return NULL;
    PyObject *list = PyList_New(0);
    int code = MIF_ERR_SUCCESS;
    while (list != NULL && (size_t)PyList_GET_SIZE(list) < count) {
        uint32_t left = (uint32_t)count - (uint32_t)PyList_GET_SIZE(list);
        uint16_t n = 0;
        struct mif_queue *q = enter_idle(&where, MIF_RX, &code);
        if (q == NULL)
            break;
        code = call(q, MIF_CALL_RX, 0, bufs, left < GROUP ? left : GROUP, &n);
        if (n > 0 && !append_packets(list, bufs, n))
            Py_CLEAR(list);
        if (n > 0)
            (void)mif_call(where.handle, where.qid, MIF_RX, MIF_CALL_GIVE_BACK, 0, bufs, n, &n);
        if (code != MIF_ERR_NOBUF)
            break;
    }
    if (list == NULL || PyList_GET_SIZE(list) > 0 || count == 0)
        return list;
    Py_DECREF(list);
    return PyLong_FromLong(code);
}

PyDoc_STRVAR(drain_doc, "drain(handle, queue, most) -> list of bytes\n\n"
                        "What the peer has published and nobody received, for the end of a link: "
                        "the slots do not go back, and the queue receives no more. Stops before "
                        "the packets exceed `most` bytes.");

/* A thread that is inside the queue without the interpreter lock takes packets of its own. */
static void wait_while_taken(const struct where *where)
{
    while (is_taken(where, MIF_RX)) {
        Py_BEGIN_ALLOW_THREADS;
        (void)nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
        Py_END_ALLOW_THREADS;
    }
}

/* No burst receives what comes after the drain: it would overtake what was kept. The queue belongs
 * to nobody until the next link; the control plane takes it down as any other. */
static void end_receiving(const struct where *where)
{
    struct mif_queue *q = mif_enter(where->handle, where->qid, MIF_RX);
    if (q == NULL)
        return;
    atomic_store(&q->owner, 0);
    mif_leave(q);
}

/* Behind slots that a burst still holds. As no slot goes back, a peer that goes on sending is heard
 * for one ring at most; buffers of a cheat may overlap, hence `most`. */
static PyObject *ring_drain(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    struct where where;
    memif_buffer_t buf;
    (void)module;
    if (!get_where(args, nargs, 3, &where))
        return NULL;
    size_t most = PyLong_AsSize_t(args[2]);
    if (most == (size_t)-1 && PyErr_Occurred())
        return NULL;
    PyObject *list = PyList_New(0);
    wait_while_taken(&where);
    while (list != NULL) {
        uint16_t n = 0;
        (void)mif_call(where.handle, where.qid, MIF_RX, MIF_CALL_RX, 0, &buf, 1, &n);
        if (n == 0 || buf.data_len > most)
            break;
        most -= buf.data_len;
        if (!append_packets(list, &buf, n))
            Py_CLEAR(list);
    }
    end_receiving(&where);
    return list;
}

/* Reserves room for a packet and copies it there. */
static int put(struct mif_queue *q, const Py_buffer *packet, memif_buffer_t *buf)
{
    uint16_t n = 0;
    int code = call(q, MIF_CALL_RESERVE, (uint32_t)packet->len, buf, 1, &n);
    if (n == 0)
        return code;
    memcpy(buf->data, packet->buf, (size_t)packet->len);
    buf->data_len = (uint32_t)packet->len;
    return MIF_ERR_SUCCESS;
}

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

PyDoc_STRVAR(send_doc, "send(handle, queue, packet) -> a code");

static PyObject *ring_send(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    struct where where;
    Py_buffer packet;
    memif_buffer_t buf;
    uint16_t n = 0;
    int code;
    (void)module;
    if (!get_where(args, nargs, 3, &where) || !get_packet(args[2], &packet))
        return NULL;
    struct mif_queue *q = enter_idle(&where, MIF_TX, &code);
    if (q == NULL) {
        PyBuffer_Release(&packet);
        return PyLong_FromLong(code);
    }
    int err = put(q, &packet, &buf);
    if (err == MIF_ERR_SUCCESS)
        err = mif_call(where.handle, where.qid, MIF_TX, MIF_CALL_TX, 0, &buf, 1, &n);
    PyBuffer_Release(&packet); /* may run Python code, which may send, too */
    return PyLong_FromLong(err);
}

PyDoc_STRVAR(send_burst_doc, "send_burst(handle, queue, packets, start) -> (sent, code)\n\n"
                             "Sends packets[start:] as far as there is room; `packets` is a list.");

/* Gets at the bytes of a group of packets; returns of how many, all unless it has raised. An object
 * whose buffer is made by Python code may change the list meanwhile. */
static Py_ssize_t get_packets(PyObject *packets, Py_ssize_t start, Py_ssize_t count,
                              Py_buffer *views)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        if (start + i >= PyList_GET_SIZE(packets)) {
            PyErr_SetString(PyExc_ValueError, "the list of packets became shorter meanwhile");
            return i;
        }
        PyObject *packet = Py_NewRef(PyList_GET_ITEM(packets, start + i));
        bool good = get_packet(packet, &views[i]);
        Py_DECREF(packet);
        if (!good)
            return i;
    }
    return count;
}

/* One group, from `start` on; all of its packets are good or none is sent. */
static bool send_group(const struct where *where, PyObject *packets, Py_ssize_t start,
                       Py_ssize_t count, uint16_t *sent, int *code)
{
    memif_buffer_t bufs[GROUP];
    Py_buffer views[GROUP];
    Py_ssize_t viewed = get_packets(packets, start, count, views), ready = 0;
    *sent = 0;
    struct mif_queue *q = viewed == count ? enter_idle(where, MIF_TX, code) : NULL;
    if (q != NULL) {
        *code = MIF_ERR_SUCCESS;
        mif_leave(q);
    }
    while (q != NULL && ready < count && *code == MIF_ERR_SUCCESS) {
        q = mif_enter(where->handle, where->qid, MIF_TX);
        *code = q == NULL ? MIF_ERR_DISCONNECTED : put(q, &views[ready], &bufs[ready]);
        ready += *code == MIF_ERR_SUCCESS;
    }
    if (ready > 0) {
        int err = mif_call(where->handle, where->qid, MIF_TX, MIF_CALL_TX, 0, bufs, (uint32_t)ready,
                           sent);
        *code = err != MIF_ERR_SUCCESS ? err : *code;
    }
    for (Py_ssize_t i = 0; i < viewed; i++)
        PyBuffer_Release(&views[i]);
    return viewed == count;
}

static PyObject *ring_send_burst(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    struct where where;
    unsigned long start;
    (void)module;
    if (!get_where(args, nargs, 4, &where) || !get_number(args[3], INT_MAX, "start", &start))
        return NULL;
    if (!PyList_CheckExact(args[2])) {
        PyErr_SetString(PyExc_TypeError, "packets must be a list");
        return NULL;
    }
    Py_ssize_t at = (Py_ssize_t)start, total = PyList_GET_SIZE(args[2]);
    int code = MIF_ERR_SUCCESS;
    while (at < total && code == MIF_ERR_SUCCESS) {
        uint16_t sent;
        Py_ssize_t left = total - at;
        if (!send_group(&where, args[2], at, left < GROUP ? left : GROUP, &sent, &code))
            return NULL;
        at += sent;
    }
    return Py_BuildValue("ni", at - (Py_ssize_t)start, code);
}

/* ---- bursts without copies ---- */

typedef struct {
    PyObject_HEAD struct where where;
    struct mif_lease *lease;
    uint64_t serial;     /* of the connection that the slots belong to */
    uint32_t generation; /* of the process that has them, see mif_generation */
    bool is_tx;
    bool open;         /* the slots are still ours */
    bool abandoned;    /* the last view gives them back */
    Py_ssize_t views;  /* of the memory that are alive */
    Py_ssize_t count;  /* packets */
    Py_ssize_t width;  /* of a row: bytes that can be read or written in every slot */
    Py_ssize_t stride; /* from row to row, where they lie in the rings' memory */
    uint8_t *rows;     /* of the first row */
    uint8_t *copy;     /* NULL, or rows of our own: the slots do not lie in a row */
    memif_buffer_t *bufs;
    uint32_t *lengths; /* by packet; of a sending burst the program sets them */
    Py_ssize_t shape[2];
    Py_ssize_t strides[2];
} Burst;

static PyTypeObject BurstType;

static void end_view(Burst *burst);

/* One row, or the lengths: what a view is of, with a count on its burst. */
typedef struct {
    PyObject_HEAD Burst *burst;
    uint8_t *data;
    Py_ssize_t length;
    Py_ssize_t item;
    const char *format;
    bool is_slots; /* of memory that goes away */
    Py_ssize_t shape;
} Part;

static PyTypeObject PartType;

/* Raises ForkedError. Looked up when it is needed, which is hardly ever. */
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

/* Whether there is anything to look at; raises if not. */
static bool is_open(const Burst *burst)
{
    if (burst->generation != mif_generation())
        raise_forked();
    else if (!burst->open)
        PyErr_SetString(PyExc_BufferError, "the burst is over, its slots were given back");
    else
        return true;
    return false;
}

static int part_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
    Part *part = (Part *)self;
    Burst *burst = part->burst;
    if (part->is_slots && !is_open(burst))
        return -1;
    if ((flags & PyBUF_WRITABLE) && !burst->is_tx) {
        PyErr_SetString(PyExc_BufferError, "received packets are read-only, copy them to change");
        return -1;
    }
    *view = (Py_buffer){
        .buf = part->data,
        .obj = Py_NewRef(self),
        .len = part->length,
        .itemsize = part->item,
        .readonly = !burst->is_tx,
        .ndim = 1,
        .format = (flags & PyBUF_FORMAT) ? (char *)(uintptr_t)part->format : NULL,
        .shape = (flags & PyBUF_ND) ? &part->shape : NULL,
        .strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? &part->item : NULL,
    };
    burst->views += part->is_slots;
    return 0;
}

static void part_releasebuffer(PyObject *self, Py_buffer *view)
{
    Part *part = (Part *)self;
    (void)view;
    if (part->is_slots)
        end_view(part->burst);
}

static void part_dealloc(PyObject *self)
{
    Py_DECREF(((Part *)self)->burst);
    PyObject_Free(self);
}

static PyObject *new_view(Burst *burst, uint8_t *data, Py_ssize_t count, Py_ssize_t item,
                          const char *format, bool is_slots)
{
    Part *part = PyObject_New(Part, &PartType);
    if (part == NULL)
        return NULL;
    part->burst = (Burst *)Py_NewRef((PyObject *)burst);
    part->data = data;
    part->shape = count;
    part->length = count * item;
    part->item = item;
    part->format = format;
    part->is_slots = is_slots;
    PyObject *view = PyMemoryView_FromObject((PyObject *)part);
    Py_DECREF(part);
    return view;
}

static PyBufferProcs part_buffer = {part_getbuffer, part_releasebuffer};

static PyTypeObject PartType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "libmemif_py._burst.Part",
    .tp_basicsize = sizeof(Part),
    .tp_dealloc = part_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_as_buffer = &part_buffer,
};

/* ---- the burst itself ---- */

static int burst_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
    Burst *burst = (Burst *)self;
    if (!is_open(burst))
        return -1;
    if ((flags & PyBUF_WRITABLE) && !burst->is_tx) {
        PyErr_SetString(PyExc_BufferError, "received packets are read-only, copy them to change");
        return -1;
    }
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
    burst->shape[0] = burst->count;
    burst->shape[1] = burst->width;
    burst->strides[0] = burst->stride;
    burst->strides[1] = 1;
    *view = (Py_buffer){
        .buf = burst->rows,
        .obj = Py_NewRef(self),
        .len = burst->count * burst->width,
        .itemsize = 1,
        .readonly = !burst->is_tx,
        .ndim = 2,
        .format = (flags & PyBUF_FORMAT) ? (char *)(uintptr_t)"B" : NULL,
        .shape = burst->shape,
        .strides = burst->strides,
    };
    burst->views++;
    return 0;
}

static void burst_releasebuffer(PyObject *self, Py_buffer *view)
{
    (void)view;
    end_view((Burst *)self);
}

static Py_ssize_t burst_length(PyObject *self)
{
    return ((Burst *)self)->count;
}

/* A packet of its own: what was received of it, or all of its room. */
static PyObject *burst_item(PyObject *self, Py_ssize_t index)
{
    Burst *burst = (Burst *)self;
    if (index < 0 || index >= burst->count) {
        PyErr_Format(PyExc_IndexError, "packet %zd of a burst of %zd", index, burst->count);
        return NULL;
    }
    if (!is_open(burst))
        return NULL;
    uint8_t *row = burst->rows + index * burst->stride;
    Py_ssize_t length = burst->is_tx ? burst->width : (Py_ssize_t)burst->lengths[index];
    return new_view(burst, row, length, 1, "B", true);
}

static PyObject *burst_lengths(PyObject *self, void *closure)
{
    Burst *burst = (Burst *)self;
    (void)closure;
    return new_view(burst, (uint8_t *)burst->lengths, burst->count, sizeof(uint32_t), "I", false);
}

static PyObject *burst_width(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromSsize_t(((Burst *)self)->width);
}

static PyObject *burst_views(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromSsize_t(((Burst *)self)->views);
}

static PyObject *burst_open(PyObject *self, void *closure)
{
    (void)closure;
    return PyBool_FromLong(((Burst *)self)->open);
}

/* The queue of the slots, entered, if they are of its present connection. */
static struct mif_queue *enter_own(const Burst *burst)
{
    enum mif_direction direction = burst->is_tx ? MIF_TX : MIF_RX;
    if (is_taken(&burst->where, direction))
        return NULL;
    struct mif_queue *q = mif_enter(burst->where.handle, burst->where.qid, direction);
    if (q == NULL || q->serial == burst->serial)
        return q;
    mif_leave(q);
    return NULL;
}

static void let_go(Burst *burst)
{
    burst->open = false;
    if (burst->lease != NULL)
        mif_lease_drop(burst->lease);
    burst->lease = NULL;
    free(burst->copy);
    burst->copy = NULL;
    burst->rows = NULL;
}

static bool may_end(const Burst *burst)
{
    if (burst->views == 0)
        return true;
    PyErr_Format(PyExc_BufferError,
                 "%zd view%s of the burst %s alive: copy what is to be kept, and release or delete "
                 "views and arrays before the burst ends",
                 burst->views, burst->views == 1 ? "" : "s", burst->views == 1 ? "is" : "are");
    return false;
}

/* Gives received slots back, or takes reserved ones back. */
static void give_up(Burst *burst)
{
    struct mif_queue *q = burst->open ? enter_own(burst) : NULL;
    uint16_t n;
    if (q != NULL && burst->is_tx) {
        mif_packet_cancel(q);
        mif_leave(q);
    } else if (q != NULL) {
        (void)call(q, MIF_CALL_GIVE_BACK, 0, burst->bufs, (uint32_t)burst->count, &n);
    }
    let_go(burst);
}

static void end_view(Burst *burst)
{
    burst->views--;
    if (burst->views == 0 && burst->abandoned && burst->open)
        give_up(burst);
}

PyDoc_STRVAR(abandon_doc, "abandon()\n\nGive the slots back unsent, when the last view has gone.");

static PyObject *burst_abandon(PyObject *self, PyObject *unused)
{
    Burst *burst = (Burst *)self;
    (void)unused;
    burst->abandoned = true;
    if (burst->open && burst->views == 0)
        give_up(burst);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(release_doc,
             "release()\n\nGive the slots back unsent. BufferError while a view is alive.");

static PyObject *burst_release(PyObject *self, PyObject *unused)
{
    Burst *burst = (Burst *)self;
    (void)unused;
    if (!burst->open)
        Py_RETURN_NONE;
    if (!may_end(burst))
        return NULL;
    give_up(burst);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    burst_send_doc,
    "send(count) -> (sent, code)\n\nSend the first `count` packets with their lengths, take "
    "the others back. BufferError while a view is alive.");

static bool lengths_fit(const Burst *burst, unsigned long count)
{
    for (unsigned long i = 0; i < count; i++) {
        if (burst->lengths[i] <= (uint64_t)burst->width)
            continue;
        PyErr_Format(PyExc_ValueError, "length %u of packet %lu, expected at most %zd",
                     burst->lengths[i], i, burst->width);
        return false;
    }
    return true;
}

static PyObject *burst_send(PyObject *self, PyObject *argument)
{
    Burst *burst = (Burst *)self;
    unsigned long count;
    uint16_t sent = 0;
    int code = MIF_ERR_DISCONNECTED;
    if (!burst->is_tx || !burst->open) {
        PyErr_SetString(PyExc_ValueError, "the burst is over, or was received");
        return NULL;
    }
    if (!get_number(argument, (unsigned long)burst->count, "count", &count) || !may_end(burst) ||
        !lengths_fit(burst, count))
        return NULL;
    struct mif_queue *q = enter_own(burst);
    if (q != NULL) {
        for (unsigned long i = 0; i < count; i++) {
            burst->bufs[i].data_len = burst->lengths[i];
            if (burst->copy != NULL)
                memcpy(burst->bufs[i].data, burst->copy + i * (size_t)burst->stride,
                       burst->lengths[i]);
        }
        /* The call may let go of the interpreter lock: others find the burst over meanwhile. */
        burst->open = false;
        code = count == 0 ? MIF_ERR_SUCCESS
                          : call(q, MIF_CALL_TX, 0, burst->bufs, (uint32_t)count, &sent);
        if (count == 0)
            mif_leave(q);
        burst->open = true;
    }
    give_up(burst);
    return Py_BuildValue("ii", (int)sent, code);
}

static void burst_dealloc(PyObject *self)
{
    Burst *burst = (Burst *)self;
    give_up(burst); /* each view keeps its burst, so there is none */
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
static PyBufferProcs burst_buffer = {burst_getbuffer, burst_releasebuffer};

static PyTypeObject BurstType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "libmemif_py._burst.Burst",
    .tp_basicsize = sizeof(Burst),
    .tp_dealloc = burst_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_as_sequence = &burst_sequence,
    .tp_as_buffer = &burst_buffer,
    .tp_methods = burst_methods,
    .tp_getset = burst_getset,
};

/* A burst with room for the entries of `count` packets. */
static Burst *new_burst(const struct where *where, bool is_tx, size_t count)
{
    Burst *burst = PyObject_New(Burst, &BurstType);
    if (burst == NULL)
        return NULL;
    memset((char *)burst + sizeof(PyObject), 0, sizeof(*burst) - sizeof(PyObject));
    burst->where = *where;
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

/* True if the packets lie one stride after the other, with `width` bytes in each that can be
 * touched. The caller is inside a burst of the connection. */
static bool lie_in_a_row(Burst *burst, const struct mif_connection *conn, Py_ssize_t width)
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

/* Rows of our own, with what was received in them. */
static bool make_copy(Burst *burst, Py_ssize_t width)
{
    burst->stride = width > 0 ? width : 1;
    burst->copy = calloc((size_t)burst->count, (size_t)burst->stride);
    burst->rows = burst->copy;
    for (Py_ssize_t i = 0; burst->copy != NULL && !burst->is_tx && i < burst->count; i++)
        memcpy(burst->copy + i * burst->stride, burst->bufs[i].data, burst->bufs[i].data_len);
    return burst->copy != NULL;
}

/* The packets of a call lie somewhere: as rows where they are, or copied. DISCONNECTED when they
 * are gone, or NOMEM. */
static int lay_out(Burst *burst, const struct mif_connection *conn, Py_ssize_t size)
{
    Py_ssize_t width = size;
    for (Py_ssize_t i = 0; i < burst->count; i++) {
        burst->lengths[i] = burst->is_tx ? (uint32_t)size : burst->bufs[i].data_len;
        if ((Py_ssize_t)burst->lengths[i] > width)
            width = (Py_ssize_t)burst->lengths[i];
    }
    burst->width = width;
    struct mif_queue *q = enter_own(burst);
    if (q == NULL)
        return MIF_ERR_DISCONNECTED;
    bool done = lie_in_a_row(burst, conn, width) || make_copy(burst, width);
    mif_leave(q);
    return done ? MIF_ERR_SUCCESS : MIF_ERR_NOMEM;
}

static PyObject *run_burst(const struct where *where, bool is_tx, uint32_t size,
                           unsigned long count)
{
    uint16_t n = 0;
    int code;
    Burst *burst = new_burst(where, is_tx, count);
    if (burst == NULL)
        return NULL;
    struct mif_queue *q = enter_idle(where, is_tx ? MIF_TX : MIF_RX, &code);
    if (q == NULL) {
        Py_DECREF(burst);
        return PyLong_FromLong(code);
    }
    struct mif_connection *conn = mif_lookup(where->handle);
    burst->serial = q->serial;
    burst->lease = mif_lease_take(conn);
    if (burst->lease == NULL) {
        mif_leave(q);
        Py_DECREF(burst);
        return PyErr_NoMemory();
    }
    burst->open = true;
    code = call(q, is_tx ? MIF_CALL_RESERVE : MIF_CALL_RX, size, burst->bufs, (uint32_t)count, &n);
    burst->count = n;
    if (n > 0)
        code = lay_out(burst, conn, is_tx ? (Py_ssize_t)size : 0);
    if (n > 0 && code == MIF_ERR_SUCCESS)
        return (PyObject *)burst;
    Py_DECREF(burst);
    return PyLong_FromLong(code);
}

PyDoc_STRVAR(rx_burst_doc,
             "rx_burst(handle, queue, count) -> Burst, or a code; SUCCESS: nothing waits");

static PyObject *ring_rx_burst(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    struct where where;
    unsigned long count;
    (void)module;
    if (!get_where(args, nargs, 3, &where) || !get_number(args[2], UINT16_MAX, "count", &count))
        return NULL;
    return run_burst(&where, false, 0, count);
}

PyDoc_STRVAR(burst_of_doc, "burst_of(packets) -> Burst of received packets, a list of bytes");

/* Of packets whose link is over: it holds no slots and nothing but rows of its own. */
static PyObject *ring_burst_of(PyObject *module, PyObject *packets)
{
    const struct where nowhere = {0};
    (void)module;
    if (!PyList_CheckExact(packets)) {
        PyErr_SetString(PyExc_TypeError, "packets must be a list");
        return NULL;
    }
    Burst *burst = new_burst(&nowhere, false, (size_t)PyList_GET_SIZE(packets));
    if (burst == NULL)
        return NULL;
    for (; burst->count < PyList_GET_SIZE(packets); burst->count++) {
        char *data;
        Py_ssize_t length;
        if (PyBytes_AsStringAndSize(PyList_GET_ITEM(packets, burst->count), &data, &length) != 0) {
            Py_DECREF(burst);
            return NULL;
        }
        burst->bufs[burst->count].data = data;
        burst->bufs[burst->count].data_len = (uint32_t)length;
        burst->lengths[burst->count] = (uint32_t)length;
        if (length > burst->width)
            burst->width = length;
    }
    burst->open = make_copy(burst, burst->width);
    if (burst->open)
        return (PyObject *)burst;
    Py_DECREF(burst);
    return PyErr_NoMemory();
}

PyDoc_STRVAR(tx_burst_doc, "tx_burst(handle, queue, count, size) -> Burst, or a code\n\n"
                           "Fewer than `count` packets when the ring has room for fewer.");

static PyObject *ring_tx_burst(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    struct where where;
    unsigned long count, size;
    (void)module;
    if (!get_where(args, nargs, 4, &where) || !get_number(args[2], UINT16_MAX, "count", &count) ||
        !get_number(args[3], MIF_MAX_PACKET, "size", &size))
        return NULL;
    return run_burst(&where, true, (uint32_t)size, count);
}

/* ---- the module ---- */

#define FAST(function) (PyCFunction)(void (*)(void)) function, METH_FASTCALL

static PyMethodDef methods[] = {
    {"recv", FAST(ring_recv), recv_doc},
    {"recv_burst", FAST(ring_recv_burst), recv_burst_doc},
    {"drain", FAST(ring_drain), drain_doc},
    {"burst_of", ring_burst_of, METH_O, burst_of_doc},
    {"send", FAST(ring_send), send_doc},
    {"send_burst", FAST(ring_send_burst), send_burst_doc},
    {"rx_burst", FAST(ring_rx_burst), rx_burst_doc},
    {"tx_burst", FAST(ring_tx_burst), tx_burst_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "libmemif_py._burst",
    .m_doc = "Bursts for Python. Use libmemif_py.Interface.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__burst(void);
PyMODINIT_FUNC PyInit__burst(void)
{
    if (PyType_Ready(&PartType) < 0 || PyType_Ready(&BurstType) < 0)
        return NULL;
    mif_lock = &the_lock;
    PyObject *module = PyModule_Create(&definition);
    if (module != NULL && PyModule_AddObjectRef(module, "Burst", (PyObject *)&BurstType) < 0)
        Py_CLEAR(module);
    return module;
}
