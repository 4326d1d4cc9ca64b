/* SPDX-License-Identifier: Apache-2.0 */
/*
 * privileged SECURE ROLE SOCKET: a slave with id 1 or a master with id 0, until the end of stdin.
 * Ends at once unless AT_SECURE is as given (0 or 1).
 */
#include "exchange.h"

#include <libmemif.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

int main(int argc, char **argv)
{
    struct pollfd input = {.fd = 0, .events = POLLIN};
    void *conn = NULL;
    if (argc < 4 || getauxval(AT_SECURE) != strtoul(argv[1], NULL, 10))
        return 2;
    if (library_begin(argv[3]) != MEMIF_ERR_SUCCESS)
        return 3;
    int err =
        strcmp(argv[2], "slave") == 0 ? open_slave(argv[3], &conn) : open_master(argv[3], &conn);
    if (err != MEMIF_ERR_SUCCESS)
        return 4;
    (void)printf("ready\n");
    (void)fflush(stdout);
    while (poll(&input, 1, 0) == 0)
        if (serve(20) != MEMIF_ERR_SUCCESS)
            return 5;
    return 0;
}
