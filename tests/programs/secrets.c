/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secrets SOCKET SECRET: a slave with another secret is refused, then one with the right secret
 * connects. The program polls by itself, since a refusal shows only in descriptors that go.
 */
#include <libmemif.h>
#include <poll.h>
#include <string.h>

#define MAX_FDS 32

static struct pollfd fds[MAX_FDS];
static int connected;
static int removed;

static int on_control_fd_update(int fd, uint8_t events)
{
    int wanted = events & MEMIF_FD_EVENT_DEL ? fd : -1;
    removed += wanted == fd;
    for (int i = 0; i < MAX_FDS; i++) {
        if (fds[i].fd == wanted) {
            fds[i] = (struct pollfd){.fd = wanted == fd ? -1 : fd, .events = POLLIN};
            return 0;
        }
    }
    return -1;
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

static int create(memif_conn_handle_t *conn, char *socket_path, const char *secret, int is_master)
{
    memif_conn_args_t args = {
        .socket_filename = (uint8_t *)socket_path,
        .is_master = (uint8_t)is_master,
        .interface_name = "keeper",
    };
    memcpy(args.secret, secret, strlen(secret));
    return memif_create(conn, &args, on_connect, on_disconnect, NULL, NULL);
}

/* Serves events until the counter is there. */
static int await(const int *counter, int value)
{
    while (*counter < value) {
        if (poll(fds, MAX_FDS, 20000) <= 0)
            return 1;
        for (int i = 0; i < MAX_FDS; i++)
            if (fds[i].fd >= 0 && fds[i].revents != 0)
                (void)memif_control_fd_handler(fds[i].fd, MEMIF_FD_EVENT_READ);
    }
    return 0;
}

int main(int argc, char **argv)
{
    memif_conn_handle_t master = NULL, wrong = NULL, right = NULL;
    for (int i = 0; i < MAX_FDS; i++)
        fds[i].fd = -1;
    if (argc < 3 || strlen(argv[2]) > 24)
        return 2;
    if (memif_init(on_control_fd_update, "secrets") != MEMIF_ERR_SUCCESS)
        return 3;
    if (create(&master, argv[1], argv[2], 1) != MEMIF_ERR_SUCCESS ||
        create(&wrong, argv[1], "wrong-word", 0) != MEMIF_ERR_SUCCESS)
        return 4;
    /* Both ends of the refused connection. */
    if (await(&removed, 2) != 0 || memif_delete(&wrong) != MEMIF_ERR_SUCCESS)
        return 5;
    if (create(&right, argv[1], argv[2], 0) != MEMIF_ERR_SUCCESS || await(&connected, 2) != 0)
        return 6;
    return memif_cleanup();
}
