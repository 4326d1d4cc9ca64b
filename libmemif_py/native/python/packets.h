/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MIF_PYTHON_PACKETS_H
#define MIF_PYTHON_PACKETS_H

#include "python/filter.h"

/* Functions of the module _burst that copy packets: bytes in and bytes out. */
extern PyMethodDef mif_py_packet_functions[];

/* recv and recv_burst of a filter. They return SUCCESS too when no packet that they looked at
 * matches, though others may wait. */
PyObject *mif_py_recv_filtered(const Filter *filter, PyObject *const *args, Py_ssize_t nargs);
PyObject *mif_py_recv_burst_filtered(const Filter *filter, PyObject *const *args, Py_ssize_t nargs);

#endif
