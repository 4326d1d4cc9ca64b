/* SPDX-License-Identifier: Apache-2.0 */
/* embedder SOCKET: embeds Python itself, uses the library, ends Python, and calls once more. */
#include <Python.h>

#include "exchange.h"

#include <libmemif.h>

int main(int argc, char **argv)
{
    memif_conn_handle_t conn = NULL;
    memif_conn_args_t args = {0};
    if (argc < 2)
        return 2;
    Py_InitializeEx(0);
    if (memif_init(NULL, "embedder") != MEMIF_ERR_SUCCESS || exchange(argv[1]) != 0)
        return 3;
    args.socket_filename = (uint8_t *)argv[1];
    if (memif_create(&conn, &args, NULL, NULL, NULL, NULL) != MEMIF_ERR_SUCCESS)
        return 4;
    if (Py_FinalizeEx() != 0)
        return 5;
    memif_conn_handle_t other = NULL;
    if (memif_create(&other, &args, NULL, NULL, NULL, NULL) == MEMIF_ERR_SUCCESS)
        return 6;
    /* The slave's first attempt is due. */
    if (memif_poll_event(1000) == MEMIF_ERR_SUCCESS)
        return 7;
    if (memif_delete(&conn) == MEMIF_ERR_SUCCESS)
        return 8;
    (void)memif_cleanup();
    return memif_init(NULL, "embedder") == MEMIF_ERR_SUCCESS ? 9 : 0;
}
