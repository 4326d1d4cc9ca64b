/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of the 4.0 API: they check arguments, do what needs no control plane, and
 * call libmemif_py/capi/v4.py for the rest. Documented in libmemif4/libmemif.h.
 */
#include "capi/v4/api.h"

#include "capi/common.h"
#include "capi/ext.h"
#include "capi/v4/socket.h"
#include "core/debug.h"
#include "datapath/entry.h"
#include "embed/embed.h"

#define PROTOCOL_VERSION 512
#define PROTOCOL_VERSION_TEXT "2.0"

/* Implemented in Python. */
int mif_python_close(struct mif_v4_socket *sock);
int mif_python_set_timer(struct mif_v4_socket *sock, int64_t first, int64_t interval);
int mif_python_listener(struct mif_v4_socket *sock, int *fd);
int mif_python_adopt_listener(struct mif_v4_socket *sock, int fd);
int mif_python_create(struct mif_v4_socket *sock, void **handle, const memif_conn_args_t *args,
                      memif_connection_update_t *on_connect,
                      memif_connection_update_t *on_disconnect, mif_interrupt_fn *on_interrupt,
                      void *private_ctx, const memif_ext_options_t *options);
int mif_python_request(void *handle);

/* ---- socket objects ---- */

int memif_create_socket(memif_socket_handle_t *handle, memif_socket_args_t *args, void *private_ctx)
{
    if (handle == NULL || args == NULL)
        return MEMIF_ERR_INVAL_ARG;
    int err = mif_embed_start();
    if (err != MIF_ERR_SUCCESS)
        return err;
    struct mif_v4_socket *sock = mif_v4_socket_new(args, private_ctx);
    if (sock == NULL)
        return MEMIF_ERR_NOMEM;
    MIF_DEBUG("app name: %s, socket: %s", sock->app_name, sock->path);
    err = mif_v4_socket_open(sock, &args->connection_request_timer);
    if (err == MIF_ERR_SUCCESS)
        *handle = sock;
    return err;
}

/* Holds a socket, calls the control plane and releases the socket, as most functions do. */
#define WITH_SOCKET(handle, call)                                                                  \
    do {                                                                                           \
        struct mif_v4_socket *sock = mif_v4_socket_hold(handle);                                   \
        if (sock == NULL)                                                                          \
            return MEMIF_ERR_INVAL_ARG;                                                            \
        int err_ = mif_embed_check();                                                              \
        if (err_ == MIF_ERR_SUCCESS)                                                               \
            err_ = (call);                                                                         \
        mif_v4_socket_release(sock);                                                               \
        return err_;                                                                               \
    } while (0)

static int delete_held(struct mif_v4_socket *sock, memif_socket_handle_t *handle)
{
    int err = mif_python_close(sock);
    if (!sock->is_over)
        return err;
    mif_v4_socket_close(sock);
    *handle = NULL;
    return err;
}

int memif_delete_socket(memif_socket_handle_t *handle)
{
    if (handle == NULL)
        return MEMIF_ERR_INVAL_ARG;
    WITH_SOCKET(*handle, delete_held(sock, handle));
}

const char *memif_get_socket_path(memif_socket_handle_t handle)
{
    struct mif_v4_socket *sock = mif_v4_socket_hold(handle);
    if (sock == NULL)
        return NULL;
    mif_v4_socket_release(sock); /* the list keeps it, as long as the handle is good */
    return sock->path;
}

const char *memif_get_socket_filename(memif_socket_handle_t handle)
{
    return memif_get_socket_path(handle);
}

int memif_get_listener_fd(memif_socket_handle_t handle)
{
    int fd = -1;
    struct mif_v4_socket *sock = mif_v4_socket_hold(handle);
    if (sock == NULL)
        return -1;
    if (mif_embed_check() != MIF_ERR_SUCCESS || mif_python_listener(sock, &fd) != MIF_ERR_SUCCESS)
        fd = -1;
    mif_v4_socket_release(sock);
    return fd;
}

int memif_set_listener_fd(memif_socket_handle_t handle, int fd)
{
    if (fd < 0)
        return MEMIF_ERR_INVAL_ARG;
    WITH_SOCKET(handle, mif_python_adopt_listener(sock, fd));
}

int memif_set_connection_request_timer(memif_socket_handle_t handle, struct itimerspec timer)
{
    WITH_SOCKET(handle, mif_python_set_timer(sock, mif_v4_microseconds(timer.it_value),
                                             mif_v4_microseconds(timer.it_interval)));
}

static int set_external(struct mif_v4_socket *sock, memif_add_external_region_t *ar,
                        memif_get_external_region_addr_t *gr, memif_del_external_region_t *dr,
                        memif_get_external_buffer_offset_t *go)
{
    sock->add_region = ar;
    sock->get_region = gr;
    sock->del_region = dr;
    sock->buffer_offset = go;
    return MIF_ERR_SUCCESS;
}

int memif_register_external_region(memif_socket_handle_t handle, memif_add_external_region_t *ar,
                                   memif_get_external_region_addr_t *gr,
                                   memif_del_external_region_t *dr,
                                   memif_get_external_buffer_offset_t *go)
{
    WITH_SOCKET(handle, set_external(sock, ar, gr, dr, go));
}

/* ---- interfaces ---- */

int mif_v4_mode(const memif_conn_args_t *args)
{
    return (int)args->mode;
}

int mif_ext_code(int core_code)
{
    return core_code;
}

int mif_ext_create(memif_conn_handle_t *conn, memif_conn_args_t *args,
                   memif_connection_update_t *on_connect, memif_connection_update_t *on_disconnect,
                   memif_on_interrupt_t *on_interrupt, void *private_ctx,
                   const memif_ext_options_t *options)
{
    if (conn == NULL || args == NULL)
        return MEMIF_ERR_INVAL_ARG;
    if (*conn != NULL)
        return MEMIF_ERR_CONN;
    WITH_SOCKET(args->socket, mif_python_create(sock, conn, args, on_connect, on_disconnect,
                                                on_interrupt, private_ctx, options));
}

int memif_create(memif_conn_handle_t *conn, memif_conn_args_t *args,
                 memif_connection_update_t *on_connect, memif_connection_update_t *on_disconnect,
                 memif_on_interrupt_t *on_interrupt, void *private_ctx)
{
    return mif_ext_create(conn, args, on_connect, on_disconnect, on_interrupt, private_ctx, NULL);
}

int memif_delete(memif_conn_handle_t *conn)
{
    return mif_capi_delete(conn);
}

int memif_request_connection(memif_conn_handle_t conn)
{
    int err = mif_capi_check_handle(conn);
    return err == MIF_ERR_SUCCESS ? mif_python_request(conn) : err;
}

memif_socket_handle_t memif_get_socket_handle(memif_conn_handle_t conn)
{
    struct mif_connection *found = mif_lookup(conn);
    return found == NULL ? NULL : found->poller;
}

int memif_get_details(memif_conn_handle_t conn, memif_details_t *md, char *buf, ssize_t buflen)
{
    int err = mif_capi_check_handle(conn);
    if (err != MIF_ERR_SUCCESS)
        return err;
    if (mif_capi_bad_details(md, buf, buflen))
        return MEMIF_ERR_INVAL_ARG;
    return mif_python_details(conn, md, buf, (size_t)buflen);
}

/* ---- polling; Python runs only when a control fd is ready ---- */

int memif_control_fd_handler(void *ptr, memif_fd_event_type_t events)
{
    return mif_poller_dispatch_context(ptr, (uint32_t)events);
}

static void release_held(struct mif_v4_socket **sock)
{
    if (*sock != NULL)
        mif_v4_socket_release(*sock);
}

int memif_poll_event(memif_socket_handle_t handle, int timeout)
{
    /* Released also when on_interrupt throws a C++ exception through here. */
    __attribute__((cleanup(release_held))) struct mif_v4_socket *sock = mif_v4_socket_hold(handle);
    return sock == NULL ? MEMIF_ERR_INVAL_ARG : mif_poller_poll(&sock->poller, timeout);
}

int memif_cancel_poll_event(memif_socket_handle_t handle)
{
    struct mif_v4_socket *sock = mif_v4_socket_hold(handle);
    if (sock == NULL)
        return MEMIF_ERR_INVAL_ARG;
    int err = mif_poller_cancel(&sock->poller);
    mif_v4_socket_release(sock);
    return err;
}

int memif_set_rx_mode(memif_conn_handle_t conn, memif_rx_mode_t rx_mode, uint16_t qid)
{
    return mif_capi_set_rx_mode(conn, rx_mode, qid);
}

int memif_get_queue_efd(memif_conn_handle_t conn, uint16_t qid, int *fd)
{
    return mif_capi_get_queue_efd(conn, qid, fd);
}

/* ---- packets ---- */

int memif_rx_burst(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                   uint16_t *rx)
{
    return mif_call_checked(conn, qid, MIF_RX, MIF_CALL_RX, 0, bufs, count, rx);
}

MIF_NO_STACK_PROTECTOR int memif_refill_queue(memif_conn_handle_t conn, uint16_t qid,
                                              uint16_t count, uint16_t headroom)
{
    uint16_t none;
    return mif_call(conn, qid, MIF_RX, MIF_CALL_GIVE_BACK, headroom, NULL, count, &none);
}

int memif_buffer_alloc(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                       uint16_t *count_out, uint16_t size)
{
    return mif_call_checked(conn, qid, MIF_TX, MIF_CALL_RESERVE, size, bufs, count, count_out);
}

int memif_set_next_free_buffer(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *buf)
{
    return buf == NULL ? MEMIF_ERR_INVAL_ARG : mif_entry_set_next_free(conn, qid, buf);
}

int memif_tx_burst(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                   uint16_t *tx)
{
    return mif_call_checked(conn, qid, MIF_TX, MIF_CALL_TX, 0, bufs, count, tx);
}

int memif_buffer_enq_tx(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs,
                        uint16_t count, uint16_t *count_out)
{
    if (mif_capi_bad_burst(bufs, count, count_out))
        return MEMIF_ERR_INVAL_ARG;
    return mif_entry_enqueue(conn, qid, bufs, count, count_out);
}

int memif_buffer_requeue(memif_conn_handle_t conn, memif_buffer_t *buf_a, memif_buffer_t *buf_b)
{
    if (buf_a == NULL || buf_b == NULL)
        return MEMIF_ERR_INVAL_ARG;
    return mif_entry_requeue(conn, buf_a, buf_b);
}

/* ---- constants ---- */

uint16_t memif_get_version(void)
{
    return PROTOCOL_VERSION;
}

const char *memif_get_version_str(void)
{
    return PROTOCOL_VERSION_TEXT;
}

char *memif_strerror(int err_code)
{
    return (char *)(uintptr_t)mif_error_text(err_code);
}
