/* SPDX-License-Identifier: Apache-2.0 */
/* twice SOCKET: init and cleanup, then all again with an exchange. */
#include "exchange.h"

#include <libmemif.h>
#include <stddef.h>

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    if (memif_init(NULL, "twice") != MEMIF_ERR_SUCCESS || memif_cleanup() != MEMIF_ERR_SUCCESS)
        return 3;
    if (memif_init(NULL, "twice") != MEMIF_ERR_SUCCESS || exchange(argv[1]) != 0)
        return 4;
    return memif_cleanup();
}
