/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bursts without copies: a Burst object holds the slots of received or reserved packets, from
 * rx_burst or tx_burst until release, send or the last view of an abandoned burst.
 *
 * Who may touch the memory. Views of the packets are counted, and while there is one the slots stay
 * where they are. A view that outlives the connection does no harm either: the burst has a lease
 * (lease.h) on the memory.
 *
 * Several threads may use a burst at a time, also in a free-threaded Python. `open`, `abandoned`
 * and `views` are read and written in the critical section of the burst only (queue_lock.h). A view
 * is counted while the burst is open. Whoever turns `open` to false, which takes that there is no
 * view, ends the burst: from then on `lease`, `rows`, `copy` and `bufs` are that thread's alone.
 * All other members stay as they are from the begin of the burst on, but the lengths of a sending
 * one: the program may write them at any time, so each is read once.
 */
#ifndef MIF_PYTHON_BURST_H
#define MIF_PYTHON_BURST_H

#include "python/filter.h"

/* Bytes of packets are rows: `width` bytes each, `stride` bytes from one to the next. */
typedef struct {
    PyObject_HEAD struct queue_ref queue;
    struct mif_lease *lease;
    uint64_t serial;     /* of the connection that the slots belong to */
    uint32_t generation; /* of the process that has them, see mif_generation */
    bool is_tx;
    bool open;        /* the burst still holds its slots */
    bool abandoned;   /* the last view gives them back */
    Py_ssize_t views; /* of the packets that are alive */
    Py_ssize_t count; /* packets */
    Py_ssize_t width; /* can be read or written in every slot */
    Py_ssize_t stride;
    uint8_t *rows; /* in the rings' memory, or `copy` */
    uint8_t *copy; /* NULL, or rows of our own: the buffers are not evenly spaced */
    memif_buffer_t *bufs;
    memif_buffer_t *taken; /* what was received; `bufs` itself unless a filter left out some */
    uint32_t taken_count;
    uint32_t *lengths; /* by packet; of a sending burst the program sets them */
    Py_ssize_t shape[2];
    Py_ssize_t strides[2];
} Burst;

extern PyTypeObject mif_py_burst_type;
/* Functions of the module _burst that make bursts. */
extern PyMethodDef mif_py_burst_functions[];

static inline enum mif_direction mif_py_burst_direction(const Burst *burst)
{
    return burst->is_tx ? MIF_TX : MIF_RX;
}

/* Enters the queue of the slots. NULL if the slots are not of its present connection. */
struct mif_queue *mif_py_burst_enter(const Burst *burst);

/* rx_burst with a filter; `filter` may be NULL. SUCCESS also when no packet that it looked at
 * matches, though others may wait. */
PyObject *mif_py_rx_burst_filtered(const Filter *filter, PyObject *const *args, Py_ssize_t nargs);

/* Counts a view. False, with an exception, if the burst is over. */
bool mif_py_burst_add_view(Burst *burst);
/* One of the burst's views has gone. */
void mif_py_burst_end_view(Burst *burst);

/* ---- match.c ---- */

/* The method match of Burst. */
PyObject *mif_py_burst_match(PyObject *self, PyObject *arguments);

/* ---- views.c ---- */

/* What a memoryview of one packet or of the lengths is made of. */
extern PyTypeObject mif_py_exporter_type;
/* The whole burst through the buffer protocol: two-dimensional, packet by packet, bytes. */
extern PyBufferProcs mif_py_burst_buffer;

/* A memoryview of one packet: the bytes that were received, or the whole row. */
PyObject *mif_py_view_packet(Burst *burst, Py_ssize_t index);
/* A memoryview of the lengths, which may be kept when the burst is over. */
PyObject *mif_py_view_lengths(Burst *burst);

#endif
