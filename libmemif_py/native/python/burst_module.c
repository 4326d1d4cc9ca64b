/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The module libmemif_py._burst: bursts for Python, on the packet face and without cffi in between.
 * It is in the same file as the cffi module, for both need the same core.
 *
 * Codes are those of errors.h. A function that fails returns one as an int; it raises only for
 * wrong arguments and when memory is short.
 */
#include "python/burst.h"
#include "python/packets.h"

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "libmemif_py._burst",
    .m_doc = "Bursts for Python. Use libmemif_py.Interface.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__burst(void);
PyMODINIT_FUNC PyInit__burst(void)
{
    if (PyType_Ready(&mif_py_exporter_type) < 0 || PyType_Ready(&mif_py_burst_type) < 0)
        return NULL;
    mif_lock = &mif_py_interpreter_lock;
    PyObject *module = PyModule_Create(&definition);
    if (module != NULL &&
        (PyModule_AddFunctions(module, mif_py_packet_functions) < 0 ||
         PyModule_AddFunctions(module, mif_py_burst_functions) < 0 ||
         PyModule_AddObjectRef(module, "Burst", (PyObject *)&mif_py_burst_type) < 0))
        Py_CLEAR(module);
    return module;
}
