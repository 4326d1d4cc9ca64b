/* SPDX-License-Identifier: Apache-2.0 */
/* plain SOCKET [closed]: begins, exchanges, ends; "closed": without stdin, stdout and stderr. */
#include "exchange.h"

#include <libmemif.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    if (argc > 2 && strcmp(argv[2], "closed") == 0) {
        close(0);
        close(1);
        close(2);
    }
    if (library_begin(argv[1]) != MEMIF_ERR_SUCCESS)
        return 3;
    if (exchange(argv[1]) != 0)
        return 4;
    return library_end() == MEMIF_ERR_SUCCESS ? 0 : 5;
}
