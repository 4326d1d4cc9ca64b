/* SPDX-License-Identifier: Apache-2.0 */
/* twice SOCKET: begins and ends, then all again with an exchange; the code of the first end. */
#include "exchange.h"

#include <stdio.h>

#include <libmemif.h>

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    if (library_begin(argv[1]) != MEMIF_ERR_SUCCESS)
        return 3;
    printf("%d\n", library_end());
    fflush(stdout);
    if (library_begin(argv[1]) != MEMIF_ERR_SUCCESS || exchange(argv[1]) != 0)
        return 4;
    return library_end();
}
