/* SPDX-License-Identifier: Apache-2.0 */
/* embedder SOCKET: embeds Python itself, uses the library, ends Python, and calls once more. */
#include <Python.h>

#include "exchange.h"

#include <libmemif.h>

int main(int argc, char **argv)
{
    void *conn = NULL, *other = NULL;
    if (argc < 2)
        return 2;
    Py_InitializeEx(0);
    if (library_begin(argv[1]) != MEMIF_ERR_SUCCESS || exchange(argv[1]) != 0)
        return 3;
    if (open_slave(argv[1], &conn) != MEMIF_ERR_SUCCESS)
        return 4;
    if (Py_FinalizeEx() != 0)
        return 5;
    if (open_slave(argv[1], &other) == MEMIF_ERR_SUCCESS)
        return 6;
    if (serve(1000) == MEMIF_ERR_SUCCESS)
        return 7;
    if (close_slave(&conn) == MEMIF_ERR_SUCCESS)
        return 8;
    (void)library_end();
    return library_begin(argv[1]) == MEMIF_ERR_SUCCESS ? 9 : 0;
}
