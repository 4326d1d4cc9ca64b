/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 4.0 interface: checks arguments, serves what needs no control plane, and hands the rest to
 * libmemif_py/capi/v4.py. The functions are documented in libmemif4/libmemif.h.
 */
#include "capi/v4/api.h"

#include "core/connection.h"
#include "core/debug.h"
#include "core/errors.h"
#include "datapath/entry.h"
#include "embed/embed.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_PATH "/run/vpp/memif.sock"
#define PROTOCOL_VERSION 512
#define PROTOCOL_VERSION_TEXT "2.0"

/* Implemented in Python; they answer with core codes. */
int mif_python_open(struct mif_socket *sock, int64_t first, int64_t interval);
int mif_python_close(struct mif_socket *sock);
int mif_python_set_timer(struct mif_socket *sock, int64_t first, int64_t interval);
int mif_python_listener(struct mif_socket *sock, int *fd);
int mif_python_adopt_listener(struct mif_socket *sock, int fd);
int mif_python_create(struct mif_socket *sock, void **handle, const memif_conn_args_t *args,
                      memif_connection_update_t *on_connect,
                      memif_connection_update_t *on_disconnect, mif_interrupt_fn *on_interrupt,
                      void *private_ctx);
int mif_python_request(void *handle);
int mif_python_delete(void *handle);
int mif_python_control(uintptr_t poller, int fd, uint32_t events);
int mif_python_details(void *handle, memif_details_t *details, char *buf, size_t size);

/* All socket objects, so that a handle can be checked without being followed. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct mif_socket *list;

/* ---- socket objects ---- */

/* The socket of a handle, kept until release_socket; NULL when there is no such one. */
static struct mif_socket *hold_socket(memif_socket_handle_t handle)
{
    if (handle == NULL || mif_in_forked_child())
        return NULL;
    pthread_mutex_lock(&list_lock);
    struct mif_socket *sock = list;
    while (sock != NULL && sock != handle)
        sock = sock->next;
    if (sock != NULL)
        sock->references++;
    pthread_mutex_unlock(&list_lock);
    return sock;
}

static void release_socket(struct mif_socket *sock)
{
    pthread_mutex_lock(&list_lock);
    bool last = --sock->references == 0;
    pthread_mutex_unlock(&list_lock);
    if (last)
        sock->free(sock);
}

static void list_socket(struct mif_socket *sock)
{
    pthread_mutex_lock(&list_lock);
    sock->references = 1;
    sock->next = list;
    list = sock;
    pthread_mutex_unlock(&list_lock);
}

/* Of threads that delete a socket at the same time one finds it. */
static void unlist_socket(struct mif_socket *sock)
{
    pthread_mutex_lock(&list_lock);
    struct mif_socket **link = &list;
    while (*link != NULL && *link != sock)
        link = &(*link)->next;
    bool found = *link != NULL;
    if (found)
        *link = sock->next;
    pthread_mutex_unlock(&list_lock);
    if (found)
        release_socket(sock);
}

static int announce(struct mif_poller *poller, int fd, uint32_t events, void *context)
{
    struct mif_socket *sock = (struct mif_socket *)poller;
    memif_fd_event_t event = {
        .fd = fd, .type = (memif_fd_event_type_t)events, .private_ctx = context};
    return sock->on_control_fd_update(event, sock->private_ctx);
}

static int control(uintptr_t poller, int fd, uint32_t events)
{
    int err = mif_embed_check();
    return err == MIF_ERR_SUCCESS ? mif_python_control(poller, fd, events) : err;
}

static int64_t microseconds(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

/* A path may fill its field without a terminating NUL; so may the name. */
static struct mif_socket *new_socket(const memif_socket_args_t *args, void *private_ctx)
{
    memif_alloc_t *alloc = args->alloc != NULL ? args->alloc : malloc;
    struct mif_socket *sock = alloc(sizeof(*sock));
    if (sock == NULL)
        return NULL;
    *sock = (struct mif_socket){
        .poller = MIF_POLLER_INIT,
        .private_ctx = private_ctx,
        .on_control_fd_update = args->on_control_fd_update,
        .free = args->free != NULL ? args->free : free,
    };
    sock->poller.allocator = (struct mif_allocator){.alloc = alloc, .free = sock->free};
    memcpy(sock->path, args->path, sizeof(args->path));
    memcpy(sock->app_name, args->app_name, sizeof(args->app_name));
    if (sock->path[0] == '\0')
        strcpy(sock->path, DEFAULT_PATH);
    if (sock->app_name[0] == '\0')
        strcpy(sock->app_name, MEMIF_DEFAULT_APP_NAME);
    return sock;
}

static int open_socket(struct mif_socket *sock, const struct itimerspec *timer)
{
    int err = mif_poller_open(&sock->poller, sock->on_control_fd_update == NULL ? NULL : announce,
                              control);
    if (err != MIF_ERR_SUCCESS)
        return err;
    err = mif_python_open(sock, microseconds(timer->it_value), microseconds(timer->it_interval));
    if (err != MIF_ERR_SUCCESS)
        mif_poller_close(&sock->poller);
    return err;
}

int memif_create_socket(memif_socket_handle_t *handle, memif_socket_args_t *args, void *private_ctx)
{
    if (handle == NULL || args == NULL)
        return MEMIF_ERR_INVAL_ARG;
    int err = mif_embed_start();
    if (err != MIF_ERR_SUCCESS)
        return err;
    struct mif_socket *sock = new_socket(args, private_ctx);
    if (sock == NULL)
        return MEMIF_ERR_NOMEM;
    MIF_DEBUG("app name: %s, socket: %s", sock->app_name, sock->path);
    list_socket(sock);
    err = open_socket(sock, &args->connection_request_timer);
    if (err == MIF_ERR_SUCCESS)
        *handle = sock;
    else
        unlist_socket(sock);
    return err;
}

/* What most calls on a socket do: hold it, call the control plane, release it. */
#define WITH_SOCKET(handle, call)                                                                  \
    do {                                                                                           \
        struct mif_socket *sock = hold_socket(handle);                                             \
        if (sock == NULL)                                                                          \
            return MEMIF_ERR_INVAL_ARG;                                                            \
        int err_ = mif_embed_check();                                                              \
        if (err_ == MIF_ERR_SUCCESS)                                                               \
            err_ = (call);                                                                         \
        release_socket(sock);                                                                      \
        return err_;                                                                               \
    } while (0)

static int delete_held(struct mif_socket *sock, memif_socket_handle_t *handle)
{
    int err = mif_python_close(sock);
    if (!sock->is_over)
        return err;
    mif_poller_close(&sock->poller);
    unlist_socket(sock);
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
    struct mif_socket *sock = hold_socket(handle);
    if (sock == NULL)
        return NULL;
    release_socket(sock); /* the list keeps it, as long as the handle is good */
    return sock->path;
}

const char *memif_get_socket_filename(memif_socket_handle_t handle)
{
    return memif_get_socket_path(handle);
}

int memif_get_listener_fd(memif_socket_handle_t handle)
{
    int fd = -1;
    struct mif_socket *sock = hold_socket(handle);
    if (sock == NULL)
        return -1;
    if (mif_embed_check() != MIF_ERR_SUCCESS || mif_python_listener(sock, &fd) != MIF_ERR_SUCCESS)
        fd = -1;
    release_socket(sock);
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
    WITH_SOCKET(handle, mif_python_set_timer(sock, microseconds(timer.it_value),
                                             microseconds(timer.it_interval)));
}

static int set_external(struct mif_socket *sock, memif_add_external_region_t *ar,
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

int memif_create(memif_conn_handle_t *conn, memif_conn_args_t *args,
                 memif_connection_update_t *on_connect, memif_connection_update_t *on_disconnect,
                 memif_on_interrupt_t *on_interrupt, void *private_ctx)
{
    if (conn == NULL || args == NULL)
        return MEMIF_ERR_INVAL_ARG;
    if (*conn != NULL)
        return MEMIF_ERR_CONN;
    WITH_SOCKET(args->socket, mif_python_create(sock, conn, args, on_connect, on_disconnect,
                                                on_interrupt, private_ctx));
}

/* What calls on a handle do before they enter the control plane. */
static int check_handle(memif_conn_handle_t conn)
{
    return mif_lookup(conn) == NULL ? MIF_ERR_NOCONN : mif_embed_check();
}

int memif_delete(memif_conn_handle_t *conn)
{
    int err = conn == NULL ? MIF_ERR_NOCONN : check_handle(*conn);
    if (err != MIF_ERR_SUCCESS)
        return err;
    err = mif_python_delete(*conn);
    /* Also of what could not be removed properly the handle is gone. */
    if (err == MIF_ERR_SUCCESS || mif_lookup(*conn) == NULL)
        *conn = NULL;
    return err;
}

int memif_request_connection(memif_conn_handle_t conn)
{
    int err = check_handle(conn);
    return err == MIF_ERR_SUCCESS ? mif_python_request(conn) : err;
}

memif_socket_handle_t memif_get_socket_handle(memif_conn_handle_t conn)
{
    struct mif_connection *found = mif_lookup(conn);
    return found == NULL ? NULL : found->poller;
}

int memif_get_details(memif_conn_handle_t conn, memif_details_t *md, char *buf, ssize_t buflen)
{
    int err = check_handle(conn);
    if (err != MIF_ERR_SUCCESS)
        return err;
    if (md == NULL || (buf == NULL && buflen > 0) || buflen < 0)
        return MEMIF_ERR_INVAL_ARG;
    return mif_python_details(conn, md, buf, (size_t)buflen);
}

/* ---- polling; Python runs only when a control fd is ready ---- */

int memif_control_fd_handler(void *ptr, memif_fd_event_type_t events)
{
    return mif_poller_dispatch_context(ptr, (uint32_t)events);
}

static void release_held(struct mif_socket **sock)
{
    if (*sock != NULL)
        release_socket(*sock);
}

int memif_poll_event(memif_socket_handle_t handle, int timeout)
{
    /* Released also when on_interrupt throws a C++ exception through here. */
    __attribute__((cleanup(release_held))) struct mif_socket *sock = hold_socket(handle);
    return sock == NULL ? MEMIF_ERR_INVAL_ARG : mif_poller_poll(&sock->poller, timeout);
}

int memif_cancel_poll_event(memif_socket_handle_t handle)
{
    struct mif_socket *sock = hold_socket(handle);
    if (sock == NULL)
        return MEMIF_ERR_INVAL_ARG;
    int err = mif_poller_cancel(&sock->poller);
    release_socket(sock);
    return err;
}

int memif_set_rx_mode(memif_conn_handle_t conn, memif_rx_mode_t rx_mode, uint16_t qid)
{
    if (rx_mode != MEMIF_RX_MODE_INTERRUPT && rx_mode != MEMIF_RX_MODE_POLLING)
        return MEMIF_ERR_INVAL_ARG;
    return mif_queue_set_polling(conn, qid, rx_mode == MEMIF_RX_MODE_POLLING);
}

int memif_get_queue_efd(memif_conn_handle_t conn, uint16_t qid, int *fd)
{
    if (fd == NULL)
        return MEMIF_ERR_INVAL_ARG;
    *fd = -1;
    return mif_queue_efd(conn, qid, fd);
}

/* ---- packets ---- */

static inline bool bad_burst(const memif_buffer_t *bufs, uint16_t count, const uint16_t *out)
{
    if (__builtin_expect(out == NULL, 0))
        return true;
    return __builtin_expect(bufs == NULL, 0) && count > 0;
}

int memif_rx_burst(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                   uint16_t *rx)
{
    if (bad_burst(bufs, count, rx))
        return MEMIF_ERR_INVAL_ARG;
    return mif_call(conn, qid, MIF_RX, MIF_CALL_RX, 0, bufs, count, rx);
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
    if (bad_burst(bufs, count, count_out))
        return MEMIF_ERR_INVAL_ARG;
    return mif_call(conn, qid, MIF_TX, MIF_CALL_RESERVE, size, bufs, count, count_out);
}

int memif_set_next_free_buffer(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *buf)
{
    return buf == NULL ? MEMIF_ERR_INVAL_ARG : mif_entry_set_next_free(conn, qid, buf);
}

int memif_tx_burst(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                   uint16_t *tx)
{
    if (bad_burst(bufs, count, tx))
        return MEMIF_ERR_INVAL_ARG;
    return mif_call(conn, qid, MIF_TX, MIF_CALL_TX, 0, bufs, count, tx);
}

int memif_buffer_enq_tx(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs,
                        uint16_t count, uint16_t *count_out)
{
    if (bad_burst(bufs, count, count_out))
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
