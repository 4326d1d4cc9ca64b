/* SPDX-License-Identifier: Apache-2.0 */

#include "beside.h"

#include <dlfcn.h>
#include <libmemif.h>
#include <string.h>

static struct {
    __typeof__(memif_create_socket) *create_socket;
    __typeof__(memif_delete_socket) *delete_socket;
    __typeof__(memif_create) *create;
    __typeof__(memif_delete) *delete;
    __typeof__(memif_poll_event) *poll_event;
    __typeof__(memif_buffer_alloc) *alloc;
    __typeof__(memif_tx_burst) *tx_burst;
    __typeof__(memif_rx_burst) *rx_burst;
    __typeof__(memif_refill_queue) *refill;
} library;

static memif_socket_handle_t sock;
static memif_conn_handle_t handle;
static bool connected;

/* A function pointer cannot be converted from an object pointer, but its bytes can be taken. */
static bool find(void *function, void *file, const char *name)
{
    void *found = dlsym(file, name);

    memcpy(function, &found, sizeof(found));
    return found != NULL;
}

static bool load(const char *name)
{
    void *file = dlopen(name, RTLD_NOW | RTLD_LOCAL);

    return file != NULL && find(&library.create_socket, file, "memif_create_socket") &&
           find(&library.delete_socket, file, "memif_delete_socket") &&
           find(&library.create, file, "memif_create") &&
           find(&library.delete, file, "memif_delete") &&
           find(&library.poll_event, file, "memif_poll_event") &&
           find(&library.alloc, file, "memif_buffer_alloc") &&
           find(&library.tx_burst, file, "memif_tx_burst") &&
           find(&library.rx_burst, file, "memif_rx_burst") &&
           find(&library.refill, file, "memif_refill_queue");
}

static int start(const char *path)
{
    memif_socket_args_t args = {.connection_request_timer = {.it_value.tv_nsec = 10000000,
                                                             .it_interval.tv_nsec = 10000000}};

    strncpy(args.path, path, sizeof(args.path) - 1);
    return library.create_socket(&sock, &args, NULL);
}

static int on_connect(memif_conn_handle_t conn, void *private_ctx)
{
    (void)private_ctx;
    connected = true;
    return library.refill(conn, 0, UINT16_MAX, 0);
}

static int on_disconnect(memif_conn_handle_t conn, void *private_ctx)
{
    (void)conn;
    (void)private_ctx;
    connected = false;
    return 0;
}

static int create(bool is_master)
{
    memif_conn_args_t args = {.socket = sock, .is_master = is_master};

    return library.create(&handle, &args, on_connect, on_disconnect, NULL, NULL);
}

static int turn(void)
{
    return library.poll_event(sock, 1);
}

static bool is_up(void)
{
    return connected;
}

static uint16_t send(const void *data, uint16_t length)
{
    memif_buffer_t buffer;
    uint16_t count = 0;

    if (library.alloc(handle, 0, &buffer, 1, &count, length) != MEMIF_ERR_SUCCESS)
        return 0;
    memcpy(buffer.data, data, length);
    (void)library.tx_burst(handle, 0, &buffer, 1, &count);
    return count;
}

static uint16_t receive(void *data, uint16_t size)
{
    memif_buffer_t buffer;
    uint16_t count = 0;

    (void)library.rx_burst(handle, 0, &buffer, 1, &count);
    if (count == 0 || buffer.len > size)
        return 0;
    memcpy(data, buffer.data, buffer.len);
    uint16_t length = (uint16_t)buffer.len;
    (void)library.refill(handle, 0, count, 0);
    return length;
}

static int stop(void)
{
    int err = library.delete(&handle);

    return err == MEMIF_ERR_SUCCESS ? library.delete_socket(&sock) : err;
}

const struct side side_v4 = {
    .load = load,
    .start = start,
    .create = create,
    .turn = turn,
    .is_up = is_up,
    .send = send,
    .receive = receive,
    .stop = stop,
};
