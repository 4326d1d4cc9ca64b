/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MIF_PYTHON_PACKETS_H
#define MIF_PYTHON_PACKETS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Functions of the module _burst that copy packets: bytes in and bytes out. */
extern PyMethodDef mif_py_packet_functions[];

#endif
