/* SPDX-License-Identifier: Apache-2.0 */
/* codes SOCKET: prints "call code" for a program that ignores every failure. */
#include "exchange.h"

#include <stdio.h>

static void print(const char *call, int code)
{
    printf("%s %d\n", call, code);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    void *conn = NULL;
    if (argc < 2)
        return 2;
    print("begin", library_begin(argv[1]));
    print("begin_again", library_begin(argv[1]));
    print("create", open_slave(argv[1], &conn));
    print("poll", serve(conn == NULL ? 0 : 1000));
    print("delete", close_slave(&conn));
    print("end", library_end());
    print("end_again", library_end());
    return 0;
}
