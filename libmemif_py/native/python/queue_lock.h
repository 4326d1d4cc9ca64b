/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands in for the interpreter lock in a free-threaded Python. With the interpreter lock all
 * of this is nothing.
 *
 * A queue has a lock, for what goes on in its ring. A thread holds at most one of them, and none
 * while Python code may run or while it waits for the kernel. When a queue goes down, the control
 * plane takes its lock once (mif_queue_settle): then no thread still copies packets of it.
 *
 * An object has a critical section, for its own members (burst.h). Nothing waits in there, because
 * Python ends the section of a thread that waits.
 */
#ifndef MIF_PYTHON_QUEUE_LOCK_H
#define MIF_PYTHON_QUEUE_LOCK_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "core/state.h"

#ifdef Py_GIL_DISABLED

enum { MIF_PY_QUEUE_LOCKS = true };
void mif_queue_lock(const struct mif_queue *q);
void mif_queue_unlock(const struct mif_queue *q);
void mif_queue_settle(const struct mif_queue *q);
/* In a forked child: a thread that is not in it may have held a lock. */
void mif_queue_locks_forked(void);

#define MIF_PY_BEGIN_SECTION(object) Py_BEGIN_CRITICAL_SECTION(object)
#define MIF_PY_END_SECTION() Py_END_CRITICAL_SECTION()
/* A new reference to an item of a list, or NULL with IndexError. */
#define MIF_PY_LIST_ITEM(list, index) PyList_GetItemRef(list, index)

#else

enum { MIF_PY_QUEUE_LOCKS = false };
static inline void mif_queue_lock(const struct mif_queue *q)
{
    (void)q;
}

static inline void mif_queue_unlock(const struct mif_queue *q)
{
    (void)q;
}

/* The control plane needs the interpreter lock to go on, so it waits anyway. */
#define mif_queue_settle NULL

#define MIF_PY_BEGIN_SECTION(object) {
#define MIF_PY_END_SECTION() }
#define MIF_PY_LIST_ITEM(list, index) Py_NewRef(PyList_GET_ITEM(list, index))

#endif

#endif
