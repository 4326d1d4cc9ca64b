/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters: which received packets a program gets. A Filter object has the receive functions of the
 * module _burst as methods, so an interface with a filter calls the object in place of the module,
 * and one without a filter pays nothing.
 *
 * libpcap compiles a filter and runs it. Python loads libpcap and passes us the address of its
 * bpf_filter, so nothing links with it.
 *
 * Packets that do not match go back to the peer at once, or with the burst in which they came. A
 * call looks at no more packets than the ring has slots. Otherwise a peer that keeps sending others
 * could hold up the thread, and with it the interpreter.
 */
#ifndef MIF_PYTHON_FILTER_H
#define MIF_PYTHON_FILTER_H

#include "python/queue.h"

typedef struct {
    PyObject_HEAD PyObject *program; /* bytes: an array of struct bpf_insn */
    /* bpf_filter: not 0 if the packet matches, which had `length` bytes and of which we have `kept`
     */
    unsigned (*run)(const void *program, const uint8_t *packet, unsigned length, unsigned kept);
    Py_buffer counts; /* by queue: uint64_t, the packets that did not match; not ours alone */
} Filter;

extern PyTypeObject mif_py_filter_type;

static inline bool mif_py_filter_matches(const Filter *filter, const void *packet, uint32_t length,
                                         uint32_t kept)
{
    return filter->run(PyBytes_AS_STRING(filter->program), packet, length, kept) != 0;
}

/* Counts `n` packets of a queue that did not match. */
static inline void mif_py_filter_count(const Filter *filter, uint32_t qid, uint32_t n)
{
    if (n > 0 && qid < (size_t)filter->counts.len / sizeof(uint64_t))
        __atomic_fetch_add((uint64_t *)filter->counts.buf + qid, n, __ATOMIC_RELAXED);
}

/* Copies the entries of the packets that match from `from` to `to`. Returns how many. Counts the
 * others. */
uint16_t mif_py_filter_select(const Filter *filter, uint32_t qid, const memif_buffer_t *from,
                              uint16_t n, memif_buffer_t *to);

#endif
