/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 1.0 interface: checks arguments, serves what needs no control plane, and hands the rest to
 * libmemif_py/capi/v1.py. The functions are documented in libmemif.h.
 */
#include "capi/v1/api.h"

#include "core/connection.h"
#include "core/debug.h"
#include "core/errors.h"
#include "datapath/packet.h"
#include "embed/embed.h"

/* Implemented in Python; they answer with core codes. */
int mif_python_init(const char *app_name);
int mif_python_cleanup(void);
int mif_python_create(void **handle, const memif_conn_args_t *args,
                      memif_connection_update_t *on_connect,
                      memif_connection_update_t *on_disconnect, mif_interrupt_fn *on_interrupt,
                      void *private_ctx);
int mif_python_delete(void *handle);
int mif_python_control(uintptr_t poller, int fd, uint32_t events);
int mif_python_details(void *handle, memif_details_t *details, char *buf, size_t size);

static struct mif_poller poller = MIF_POLLER_INIT;
static memif_control_fd_update_t *control_fd_update;
/* From the beginning of memif_init to the end of memif_cleanup: of two threads that call memif_init
 * at the same time one wins. */
static atomic_bool in_use;

/* ---- what the control plane needs of us ---- */

static int announce(struct mif_poller *ours, int fd, uint32_t events, void *context)
{
    (void)ours;
    (void)context;
    return control_fd_update(fd, (uint8_t)events);
}

static int control(uintptr_t ours, int fd, uint32_t events)
{
    int err = mif_embed_check();
    return err == MIF_ERR_SUCCESS ? mif_python_control(ours, fd, events) : err;
}

int mif_v1_mode(const memif_conn_args_t *args)
{
    return (int)args->mode;
}

struct mif_poller *mif_v1_poller(void)
{
    return &poller;
}

int mif_v1_poller_open(void)
{
    return mif_poller_open(&poller, control_fd_update == NULL ? NULL : announce, control);
}

void mif_v1_poller_close(void)
{
    mif_poller_close(&poller);
}

/* ---- control ---- */

int memif_init(memif_control_fd_update_t *on_control_fd_update, char *app_name)
{
    int err = mif_embed_start();
    if (err != MIF_ERR_SUCCESS)
        return mif_error_to_v1(err);
    if (atomic_exchange(&in_use, true))
        return MEMIF_ERR_ALREADY;
    control_fd_update = on_control_fd_update;
    if (app_name == NULL || *app_name == '\0')
        app_name = MEMIF_DEFAULT_APP_NAME;
    MIF_DEBUG("app name: %s", app_name);
    err = mif_python_init(app_name);
    if (err != MIF_ERR_SUCCESS)
        atomic_store(&in_use, false);
    return mif_error_to_v1(err);
}

int memif_cleanup(void)
{
    int err = mif_embed_check();
    if (err == MIF_ERR_SUCCESS && atomic_load(&poller.open)) {
        err = mif_python_cleanup();
        atomic_store(&in_use, false);
        return mif_error_to_v1(err);
    }
    /* Without memif_init there is nothing to clean up. */
    return mif_in_forked_child() ? mif_error_to_v1(err) : MEMIF_ERR_SUCCESS;
}

int memif_create(memif_conn_handle_t *conn, memif_conn_args_t *args,
                 memif_connection_update_t *on_connect, memif_connection_update_t *on_disconnect,
                 memif_interrupt_t *on_interrupt, void *private_ctx)
{
    if (conn == NULL || args == NULL)
        return MEMIF_ERR_INVAL_ARG;
    if (*conn != NULL)
        return MEMIF_ERR_CONN;
    if (!atomic_load(&poller.open))
        return MEMIF_ERR_INVAL_ARG; /* memif_init comes first */
    int err = mif_embed_check();
    if (err != MIF_ERR_SUCCESS)
        return mif_error_to_v1(err);
    return mif_error_to_v1(
        mif_python_create(conn, args, on_connect, on_disconnect, on_interrupt, private_ctx));
}

int memif_delete(memif_conn_handle_t *conn)
{
    if (conn == NULL || mif_lookup(*conn) == NULL)
        return MEMIF_ERR_NOCONN;
    int err = mif_embed_check();
    if (err != MIF_ERR_SUCCESS)
        return mif_error_to_v1(err);
    err = mif_python_delete(*conn);
    /* Also of what could not be removed properly the handle is gone. */
    if (err == MIF_ERR_SUCCESS || mif_lookup(*conn) == NULL)
        *conn = NULL;
    return mif_error_to_v1(err);
}

int memif_get_details(memif_conn_handle_t conn, memif_details_t *md, char *buf, ssize_t buflen)
{
    if (mif_lookup(conn) == NULL)
        return MEMIF_ERR_NOCONN;
    if (md == NULL || (buf == NULL && buflen > 0) || buflen < 0)
        return MEMIF_ERR_INVAL_ARG;
    int err = mif_embed_check();
    if (err == MIF_ERR_SUCCESS)
        err = mif_python_details(conn, md, buf, (size_t)buflen);
    return mif_error_to_v1(err);
}

/* ---- polling; Python runs only when a control fd is ready ---- */

int memif_control_fd_handler(int fd, uint8_t events)
{
    if (!atomic_load(&poller.open))
        return MEMIF_ERR_INVAL_ARG;
    return mif_error_to_v1(mif_poller_dispatch(fd, events));
}

int memif_poll_event(int timeout)
{
    return mif_error_to_v1(mif_poller_poll(&poller, timeout));
}

int memif_cancel_poll_event(void)
{
    return mif_error_to_v1(mif_poller_cancel(&poller));
}

int memif_set_rx_mode(memif_conn_handle_t conn, memif_rx_mode_t rx_mode, uint16_t qid)
{
    if (rx_mode != MEMIF_RX_MODE_INTERRUPT && rx_mode != MEMIF_RX_MODE_POLLING)
        return MEMIF_ERR_INVAL_ARG;
    return mif_error_to_v1(mif_queue_set_polling(conn, qid, rx_mode == MEMIF_RX_MODE_POLLING));
}

int memif_get_queue_efd(memif_conn_handle_t conn, uint16_t qid, int *fd)
{
    if (fd == NULL)
        return MEMIF_ERR_INVAL_ARG;
    *fd = -1;
    return mif_error_to_v1(mif_queue_efd(conn, qid, fd));
}

/* ---- packets ---- */

/* The counters are outputs of every call, so that a program that ignores the code sees none. */
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

int memif_buffer_free(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                      uint16_t *count_out)
{
    if (bad_burst(bufs, count, count_out))
        return MEMIF_ERR_INVAL_ARG;
    return mif_call(conn, qid, MIF_RX, MIF_CALL_GIVE_BACK, 0, bufs, count, count_out);
}

/* The header offers this name with five arguments too. */
#undef memif_buffer_alloc
int memif_buffer_alloc(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                       uint16_t *count_out, uint16_t size)
{
    if (bad_burst(bufs, count, count_out))
        return MEMIF_ERR_INVAL_ARG;
    return mif_call(conn, qid, MIF_TX, MIF_CALL_RESERVE, size, bufs, count, count_out);
}

int memif_tx_burst(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                   uint16_t *tx)
{
    if (bad_burst(bufs, count, tx))
        return MEMIF_ERR_INVAL_ARG;
    return mif_call(conn, qid, MIF_TX, MIF_CALL_TX, 0, bufs, count, tx);
}

char *memif_strerror(int err_code)
{
    int code = mif_error_from_v1(err_code);
    return (char *)(uintptr_t)mif_error_text(code);
}
