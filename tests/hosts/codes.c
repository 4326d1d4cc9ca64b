/* SPDX-License-Identifier: Apache-2.0 */
/* codes SOCKET: prints "call code" for a program that ignores every failure. */
#include <libmemif.h>
#include <stdio.h>

static void print(const char *call, int code)
{
    printf("%s %d\n", call, code);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    memif_conn_handle_t conn = NULL;
    memif_conn_args_t args = {.interface_id = 1};
    if (argc < 2)
        return 2;
    args.socket_filename = (uint8_t *)argv[1];
    print("init", memif_init(NULL, "codes"));
    print("init_again", memif_init(NULL, "codes"));
    print("create", memif_create(&conn, &args, NULL, NULL, NULL, NULL));
    /* A slave makes its first attempt at once, so there is an event. */
    print("poll", memif_poll_event(conn == NULL ? 0 : 1000));
    print("delete", memif_delete(&conn));
    print("cleanup", memif_cleanup());
    return 0;
}
