/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of the 1.0 API: they check arguments, do what needs no control plane, call
 * libmemif_py/capi/v1.py for the rest, and give errors their 1.0 numbers. Documented in libmemif.h.
 */
#include "capi/v1/api.h"

#include "capi/common.h"
#include "capi/ext.h"
#include "capi/v1/state.h"
#include "core/debug.h"
#include "core/fork.h"
#include "datapath/packet.h"
#include "embed/embed.h"

/* Implemented in Python. */
int mif_python_init(const char *app_name);
int mif_python_cleanup(void);
int mif_python_create(void **handle, const memif_conn_args_t *args,
                      memif_connection_update_t *on_connect,
                      memif_connection_update_t *on_disconnect, mif_interrupt_fn *on_interrupt,
                      void *private_ctx, const memif_ext_options_t *options);

int mif_v1_mode(const memif_conn_args_t *args)
{
    return (int)args->mode;
}

/* ---- control ---- */

int memif_init(memif_control_fd_update_t *on_control_fd_update, char *app_name)
{
    int err = mif_embed_start();
    if (err != MIF_ERR_SUCCESS)
        return mif_error_to_v1(err);
    if (!mif_v1_take(on_control_fd_update))
        return MEMIF_ERR_ALREADY;
    if (app_name == NULL || *app_name == '\0')
        app_name = MEMIF_DEFAULT_APP_NAME;
    MIF_DEBUG("app name: %s", app_name);
    err = mif_python_init(app_name);
    if (err != MIF_ERR_SUCCESS)
        mif_v1_release();
    return mif_error_to_v1(err);
}

int memif_cleanup(void)
{
    int err = mif_embed_check();
    if (err == MIF_ERR_SUCCESS && mif_v1_is_open()) {
        err = mif_python_cleanup();
        mif_v1_release();
        return mif_error_to_v1(err);
    }
    /* Without memif_init there is nothing to clean up. */
    return mif_in_forked_child() ? mif_error_to_v1(err) : MEMIF_ERR_SUCCESS;
}

int mif_ext_code(int core_code)
{
    return mif_error_to_v1(core_code);
}

int mif_ext_create(memif_conn_handle_t *conn, memif_conn_args_t *args,
                   memif_connection_update_t *on_connect, memif_connection_update_t *on_disconnect,
                   memif_interrupt_t *on_interrupt, void *private_ctx,
                   const memif_ext_options_t *options)
{
    if (conn == NULL || args == NULL)
        return MEMIF_ERR_INVAL_ARG;
    if (*conn != NULL)
        return MEMIF_ERR_CONN;
    if (!mif_v1_is_open())
        return MEMIF_ERR_INVAL_ARG; /* memif_init comes first */
    int err = mif_embed_check();
    if (err != MIF_ERR_SUCCESS)
        return mif_error_to_v1(err);
    return mif_error_to_v1(mif_python_create(conn, args, on_connect, on_disconnect, on_interrupt,
                                             private_ctx, options));
}

int memif_create(memif_conn_handle_t *conn, memif_conn_args_t *args,
                 memif_connection_update_t *on_connect, memif_connection_update_t *on_disconnect,
                 memif_interrupt_t *on_interrupt, void *private_ctx)
{
    return mif_ext_create(conn, args, on_connect, on_disconnect, on_interrupt, private_ctx, NULL);
}

int memif_delete(memif_conn_handle_t *conn)
{
    return mif_error_to_v1(mif_capi_delete(conn));
}

int memif_get_details(memif_conn_handle_t conn, memif_details_t *md, char *buf, ssize_t buflen)
{
    if (mif_lookup(conn) == NULL)
        return MEMIF_ERR_NOCONN;
    if (mif_capi_bad_details(md, buf, buflen))
        return MEMIF_ERR_INVAL_ARG;
    int err = mif_embed_check();
    if (err == MIF_ERR_SUCCESS)
        err = mif_python_details(conn, md, buf, (size_t)buflen);
    return mif_error_to_v1(err);
}

/* ---- polling; Python runs only when a control fd is ready ---- */

int memif_control_fd_handler(int fd, uint8_t events)
{
    if (!mif_v1_is_open())
        return MEMIF_ERR_INVAL_ARG;
    return mif_error_to_v1(mif_poller_dispatch(fd, events));
}

int memif_poll_event(int timeout)
{
    return mif_error_to_v1(mif_poller_poll(mif_v1_poller(), timeout));
}

int memif_cancel_poll_event(void)
{
    return mif_error_to_v1(mif_poller_cancel(mif_v1_poller()));
}

int memif_set_rx_mode(memif_conn_handle_t conn, memif_rx_mode_t rx_mode, uint16_t qid)
{
    return mif_error_to_v1(mif_capi_set_rx_mode(conn, rx_mode, qid));
}

int memif_get_queue_efd(memif_conn_handle_t conn, uint16_t qid, int *fd)
{
    return mif_error_to_v1(mif_capi_get_queue_efd(conn, qid, fd));
}

/* ---- packets ---- */

int memif_rx_burst(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                   uint16_t *rx)
{
    return mif_call_checked(conn, qid, MIF_RX, MIF_CALL_RX, 0, bufs, count, rx);
}

int memif_buffer_free(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                      uint16_t *count_out)
{
    return mif_call_checked(conn, qid, MIF_RX, MIF_CALL_GIVE_BACK, 0, bufs, count, count_out);
}

/* The header offers this name with five arguments too. */
#undef memif_buffer_alloc
int memif_buffer_alloc(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                       uint16_t *count_out, uint16_t size)
{
    return mif_call_checked(conn, qid, MIF_TX, MIF_CALL_RESERVE, size, bufs, count, count_out);
}

int memif_tx_burst(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                   uint16_t *tx)
{
    return mif_call_checked(conn, qid, MIF_TX, MIF_CALL_TX, 0, bufs, count, tx);
}

char *memif_strerror(int err_code)
{
    int code = mif_error_from_v1(err_code);
    return (char *)(uintptr_t)mif_error_text(code);
}
