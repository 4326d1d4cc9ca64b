/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The module libmemif_py._burst: bursts for Python, on the packet face and without cffi in between.
 * It is in the same file as the cffi module, for both need the same core.
 *
 * Codes are those of errors.h. A function that fails returns one as an int; it raises only for
 * wrong arguments and when memory is short.
 *
 * The module has no state of its own, and the core has one for the process: the arena, mif_lock,
 * the queue locks. So only the main interpreter may load it. All of it works without the
 * interpreter lock: see queue_lock.h and burst.h.
 */
#include "python/burst.h"
#include "python/packets.h"

#include <pthread.h>

static int check_interpreter(void)
{
    if (PyInterpreterState_Get() == PyInterpreterState_Main())
        return 0;
    PyErr_SetString(PyExc_ImportError,
                    "libmemif_py cannot be used in a subinterpreter, only in the main interpreter");
    return -1;
}

static int prepare_locks(void)
{
    mif_lock = &mif_py_interpreter_lock;
#ifdef Py_GIL_DISABLED
    if (pthread_atfork(NULL, NULL, mif_queue_locks_forked) != 0) {
        (void)PyErr_NoMemory();
        return -1;
    }
#endif
    return 0;
}

static int burst_exec(PyObject *module)
{
    if (check_interpreter() < 0 || prepare_locks() < 0 || PyType_Ready(&mif_py_exporter_type) < 0 ||
        PyType_Ready(&mif_py_burst_type) < 0 || PyType_Ready(&mif_py_filter_type) < 0 ||
        PyModule_AddFunctions(module, mif_py_packet_functions) < 0 ||
        PyModule_AddFunctions(module, mif_py_burst_functions) < 0)
        return -1;
    if (PyModule_AddObjectRef(module, "Filter", (PyObject *)&mif_py_filter_type) < 0)
        return -1;
    return PyModule_AddObjectRef(module, "Burst", (PyObject *)&mif_py_burst_type);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)(uintptr_t)burst_exec},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "libmemif_py._burst",
    .m_doc = "Bursts for Python. Use libmemif_py.Interface.",
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__burst(void);
PyMODINIT_FUNC PyInit__burst(void)
{
    return PyModuleDef_Init(&definition);
}
