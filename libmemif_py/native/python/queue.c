/* SPDX-License-Identifier: Apache-2.0 */
#include "python/queue.h"

/* ---- arguments ---- */

/* Takes what is no int of Python, such as an integer of NumPy. Sets an exception if it is none. */
static bool get_other_integer(PyObject *object, const char *what, unsigned long *value)
{
    PyErr_Clear();
    PyObject *index = PyNumber_Index(object);
    if (index == NULL) {
        PyErr_Format(PyExc_TypeError, "%s %R, expected an integer", what, object);
        return false;
    }
    *value = PyLong_AsUnsignedLong(index);
    Py_DECREF(index);
    return *value != (unsigned long)-1 || !PyErr_Occurred();
}

static bool get_integer(PyObject *object, const char *what, unsigned long *value)
{
    *value = PyLong_AsUnsignedLong(object);
    if (*value != (unsigned long)-1 || !PyErr_Occurred())
        return true;
    return PyErr_ExceptionMatches(PyExc_TypeError) && get_other_integer(object, what, value);
}

bool mif_py_get_number(PyObject *object, unsigned long most, const char *what, unsigned long *value)
{
    if (!get_integer(object, what, value))
        return false;
    if (*value > most) {
        PyErr_Format(PyExc_ValueError, "%s %lu, expected at most %lu", what, *value, most);
        return false;
    }
    return true;
}

bool mif_py_get_queue(PyObject *const *args, Py_ssize_t count, Py_ssize_t expected,
                      struct queue_ref *ref)
{
    unsigned long qid;
    if (count != expected) {
        PyErr_Format(PyExc_TypeError, "%zd arguments, expected %zd", count, expected);
        return false;
    }
    ref->handle = PyLong_AsVoidPtr(args[0]);
    if (ref->handle == NULL && PyErr_Occurred())
        return false;
    if (!get_integer(args[1], "queue", &qid)) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError))
            return false;
        PyErr_Clear(); /* below zero: no such queue */
    }
    ref->qid = qid < MIF_MAX_QUEUES ? (uint32_t)qid : MIF_MAX_QUEUES;
    return true;
}

/* ---- entering ---- */

bool mif_py_is_busy(const struct queue_ref *ref, enum mif_direction direction)
{
    if (ref->handle == NULL || ref->qid >= MIF_MAX_QUEUES)
        return false;
    const struct mif_queue *q = mif_queue_at(ref->handle, ref->qid, direction);
    /* The owner first: a queue that is being set up has none. */
    return atomic_load_explicit(&q->owner, memory_order_acquire) ==
               mif_owner(ref->handle, ref->qid) &&
           (q->signal_mode & MIF_SIGNAL_UNLOCKED);
}

struct mif_queue *mif_py_enter(const struct queue_ref *ref, enum mif_direction direction, int *code)
{
    if (mif_py_is_busy(ref, direction)) {
        *code = MIF_ERR_AGAIN;
        return NULL;
    }
    struct mif_queue *q = mif_enter(ref->handle, ref->qid, direction);
    if (q == NULL) {
        *code = mif_why_not(ref->handle, ref->qid, direction);
        return NULL;
    }
    if (q->next != q->done) {
        mif_leave(q);
        *code = MIF_ERR_AGAIN;
        return NULL;
    }
    return q;
}

/* ---- the interpreter lock ---- */

static void *release_lock(struct mif_queue *q)
{
    if (!PyGILState_Check())
        return NULL;
    q->signal_mode |= MIF_SIGNAL_UNLOCKED;
    mif_queue_unlock(q);
    return PyEval_SaveThread();
}

static void take_lock(struct mif_queue *q, void *state)
{
    if (state == NULL)
        return;
    PyEval_RestoreThread(state);
    mif_queue_lock(q);
    q->signal_mode &= (uint8_t)~MIF_SIGNAL_UNLOCKED;
}

const struct mif_lock mif_py_interpreter_lock = {release_lock, take_lock, mif_queue_settle};
