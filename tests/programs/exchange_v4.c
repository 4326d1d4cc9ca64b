/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange.h"
#include "exchange_steps.h"

#include <libmemif.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

struct end {
    memif_socket_handle_t sock;
    memif_conn_handle_t conn;
    int connected;
    int received;
};

/* What library_begin made; open_slave and serve use it. */
static void *_Atomic begun;

/* `update` NULL: the library polls. */
static int open_socket(memif_socket_handle_t *sock, const char *path,
                       memif_control_fd_update_t *update, void *private_ctx)
{
    memif_socket_args_t args = {
        .app_name = "exchange",
        .connection_request_timer.it_interval.tv_nsec = 10000000,
        .on_control_fd_update = update,
    };
    if (strlen(path) >= sizeof(args.path))
        return MEMIF_ERR_INVAL_ARG;
    memcpy(args.path, path, strlen(path));
    return memif_create_socket(sock, &args, private_ctx);
}

int library_begin(const char *socket_path)
{
    memif_socket_handle_t sock = NULL, none = NULL;
    int err = open_socket(&sock, socket_path, NULL, NULL);
    if (err != MEMIF_ERR_SUCCESS || atomic_compare_exchange_strong(&begun, &none, sock))
        return err;
    err = memif_delete_socket(&sock);
    return err == MEMIF_ERR_SUCCESS ? MEMIF_ERR_ALREADY : err;
}

int open_slave(const char *socket_path, void **conn)
{
    memif_conn_args_t args = {.socket = begun, .interface_id = 1};
    (void)socket_path;
    return memif_create(conn, &args, NULL, NULL, NULL, NULL);
}

int open_master(const char *socket_path, void **conn)
{
    memif_conn_args_t args = {.socket = begun, .is_master = 1};
    (void)socket_path;
    return memif_create(conn, &args, NULL, NULL, NULL, NULL);
}

int close_slave(void **conn)
{
    return memif_delete(conn);
}

int serve(int timeout)
{
    return memif_poll_event(begun, timeout);
}

int library_end(void)
{
    memif_socket_handle_t sock = begun;
    if (sock == NULL)
        return MEMIF_ERR_SUCCESS;
    int err = memif_delete_socket(&sock);
    begun = sock;
    return err;
}

static int on_connect(memif_conn_handle_t conn, void *private_ctx)
{
    struct end *end = private_ctx;
    end->connected = 1;
    return memif_refill_queue(conn, 0, UINT16_MAX, 0);
}

static int on_disconnect(memif_conn_handle_t conn, void *private_ctx)
{
    struct end *end = private_ctx;
    (void)conn;
    end->connected = 0;
    return 0;
}

static int on_interrupt(memif_conn_handle_t conn, void *private_ctx, uint16_t qid)
{
    struct end *end = private_ctx;
    memif_buffer_t bufs[4];
    uint16_t count = 0;
    int err = memif_rx_burst(conn, qid, bufs, 4, &count);
    if (err != MEMIF_ERR_SUCCESS)
        return err;
    for (uint16_t i = 0; i < count; i++)
        if (bufs[i].flags == 0 && bufs[i].len == sizeof(payload) &&
            memcmp(bufs[i].data, payload, sizeof(payload)) == 0)
            end->received++;
    return memif_refill_queue(conn, qid, count, 0);
}

/* The program polls: one set for both sockets. */
static int on_control_fd_update(memif_fd_event_t fde, void *private_ctx)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = fde.private_ctx};
    int operation = fde.type & MEMIF_FD_EVENT_DEL ? EPOLL_CTL_DEL : EPOLL_CTL_ADD;
    return epoll_ctl(*(int *)private_ctx, operation, fde.fd, &event);
}

static int create(struct end *end, int *epoll_fd, const char *socket_path, int is_master)
{
    int err = open_socket(&end->sock, socket_path, on_control_fd_update, epoll_fd);
    if (err != MEMIF_ERR_SUCCESS)
        return err;
    memif_conn_args_t args = {
        .socket = end->sock,
        .is_master = (uint8_t)is_master,
        .interface_id = 7,
    };
    return memif_create(&end->conn, &args, on_connect, on_disconnect, on_interrupt, end);
}

static int delete(struct end *end)
{
    int err = memif_delete(&end->conn);
    return err == MEMIF_ERR_SUCCESS ? memif_delete_socket(&end->sock) : err;
}

static int send_packet(struct end *end)
{
    memif_buffer_t buf;
    uint16_t count;
    int err = memif_buffer_alloc(end->conn, 0, &buf, 1, &count, sizeof(payload));
    if (err != MEMIF_ERR_SUCCESS)
        return err;
    memcpy(buf.data, payload, sizeof(payload));
    return memif_tx_burst(end->conn, 0, &buf, 1, &count);
}

/* Polls until both are non-zero. A signal that ends a wait is no failure. */
static int await(int epoll_fd, const int *one, const int *other)
{
    long deadline = now() + 20;
    struct epoll_event event;
    while (!*one || !*other) {
        if (epoll_wait(epoll_fd, &event, 1, 1000) == 1) {
            int err = memif_control_fd_handler(event.data.ptr, MEMIF_FD_EVENT_READ);
            if (err != MEMIF_ERR_SUCCESS)
                return err;
        }
        if (now() > deadline)
            return MEMIF_ERR_AGAIN;
    }
    return MEMIF_ERR_SUCCESS;
}

int exchange(const char *socket_path)
{
    struct end master = {0}, slave = {0};
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int status = failed("create the master", create(&master, &epoll_fd, socket_path, 1)) ||
                 failed("create the slave", create(&slave, &epoll_fd, socket_path, 0)) ||
                 failed("connect", await(epoll_fd, &master.connected, &slave.connected)) ||
                 failed("send as slave", send_packet(&slave)) ||
                 failed("send as master", send_packet(&master)) ||
                 failed("receive", await(epoll_fd, &master.received, &slave.received)) ||
                 failed("delete the slave", delete(&slave)) ||
                 failed("delete the master", delete(&master));
    close(epoll_fd);
    return status;
}
