/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connect master|slave SOCKET COUNT: prints "ready", waits for a line, creates COUNT interfaces,
 * prints "created", waits until all are connected, and prints "name value" lines: first and last,
 * the moments on the monotonic clock, in ms, of the first memif_create and the last on_connect.
 */
#include <libmemif.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int connected;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static int on_connect(memif_conn_handle_t conn, void *private_ctx)
{
    (void)conn;
    (void)private_ctx;
    connected++;
    return 0;
}

static int on_disconnect(memif_conn_handle_t conn, void *private_ctx)
{
    (void)conn;
    (void)private_ctx;
    return 0;
}

static void say(const char *word)
{
    puts(word);
    fflush(stdout);
}

static int connect_all(uint8_t is_master, char *socket_path, unsigned count)
{
    memif_conn_args_t args = {.socket_filename = (uint8_t *)socket_path, .is_master = is_master};
    if (memif_init(NULL, "startup") != MEMIF_ERR_SUCCESS)
        return 5;
    say("ready");
    (void)getchar();
    double first = now();
    for (args.interface_id = 0; args.interface_id < count; args.interface_id++) {
        memif_conn_handle_t conn = NULL;
        int err = memif_create(&conn, &args, on_connect, on_disconnect, NULL, NULL);
        if (err != MEMIF_ERR_SUCCESS)
            return 6;
    }
    say("created");
    while (connected < (int)count)
        if (memif_poll_event(20000) != MEMIF_ERR_SUCCESS)
            return 7;
    printf("first %f\nlast %f\n", first, now());
    fflush(stdout);
    (void)getchar(); /* stays until the peer is through as well */
    return memif_cleanup();
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    return connect_all(strcmp(argv[1], "master") == 0, argv[2], (unsigned)atoi(argv[3]));
}
