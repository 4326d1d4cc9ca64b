/* SPDX-License-Identifier: Apache-2.0 */

#include "beside.h"

#include <dlfcn.h>
#include <libmemif.h>
#include <string.h>

static struct {
    int (*init)(memif_control_fd_update_t *on_control_fd_update, char *app_name);
    int (*cleanup)(void);
    int (*create)(memif_conn_handle_t *conn, memif_conn_args_t *args,
                  memif_connection_update_t *on_connect, memif_connection_update_t *on_disconnect,
                  memif_interrupt_t *on_interrupt, void *private_ctx);
    int (*delete)(memif_conn_handle_t *conn);
    int (*poll_event)(int timeout);
    int (*alloc)(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                 uint16_t *count_out, uint16_t size);
    int (*tx_burst)(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                    uint16_t *tx);
    int (*rx_burst)(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                    uint16_t *rx);
    int (*buffer_free)(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                       uint16_t *count_out);
} library;

static memif_conn_handle_t handle;
static const char *socket_path;
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

    return file != NULL && find(&library.init, file, "memif_init") &&
           find(&library.cleanup, file, "memif_cleanup") &&
           find(&library.create, file, "memif_create") &&
           find(&library.delete, file, "memif_delete") &&
           find(&library.poll_event, file, "memif_poll_event") &&
           find(&library.alloc, file, "memif_buffer_alloc") &&
           find(&library.tx_burst, file, "memif_tx_burst") &&
           find(&library.rx_burst, file, "memif_rx_burst") &&
           find(&library.buffer_free, file, "memif_buffer_free");
}

static int start(const char *path)
{
    socket_path = path;
    return library.init(NULL, NULL);
}

static int on_connect(memif_conn_handle_t conn, void *private_ctx)
{
    (void)conn;
    (void)private_ctx;
    connected = true;
    return 0;
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
    char path[128];
    memif_conn_args_t args = {.socket_filename = (uint8_t *)path, .is_master = is_master};

    strncpy(path, socket_path, sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    return library.create(&handle, &args, on_connect, on_disconnect, NULL, NULL);
}

static int turn(void)
{
    return library.poll_event(1);
}

static bool is_up(void)
{
    return connected;
}

static uint16_t send(const void *data, uint16_t length)
{
    memif_buffer_t buffer;
    uint16_t count = 0;

    if (library.alloc(handle, 0, &buffer, 1, &count, 0) != MEMIF_ERR_SUCCESS)
        return 0;
    memcpy(buffer.data, data, length);
    buffer.data_len = length;
    (void)library.tx_burst(handle, 0, &buffer, 1, &count);
    return count;
}

static uint16_t receive(void *data, uint16_t size)
{
    memif_buffer_t buffer;
    uint16_t count = 0;

    (void)library.rx_burst(handle, 0, &buffer, 1, &count);
    if (count == 0 || buffer.data_len > size)
        return 0;
    memcpy(data, buffer.data, buffer.data_len);
    uint16_t length = (uint16_t)buffer.data_len;
    (void)library.buffer_free(handle, 0, &buffer, 1, &count);
    return length;
}

static int stop(void)
{
    int err = library.delete(&handle);

    return err == MEMIF_ERR_SUCCESS ? library.cleanup() : err;
}

const struct side side_v1 = {
    .load = load,
    .start = start,
    .create = create,
    .turn = turn,
    .is_up = is_up,
    .send = send,
    .receive = receive,
    .stop = stop,
};
