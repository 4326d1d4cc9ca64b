/* SPDX-License-Identifier: Apache-2.0 */
#include "capi/common.h"

#include "core/queue.h"
#include "embed/embed.h"

int mif_capi_check_handle(const void *handle)
{
    return mif_lookup(handle) == NULL ? MIF_ERR_NOCONN : mif_embed_check();
}

int mif_capi_control(uintptr_t poller, int fd, uint32_t events)
{
    int err = mif_embed_check();
    return err == MIF_ERR_SUCCESS ? mif_python_control(poller, fd, events) : err;
}

int mif_capi_delete(memif_conn_handle_t *conn)
{
    int err = conn == NULL ? MIF_ERR_NOCONN : mif_capi_check_handle(*conn);
    if (err != MIF_ERR_SUCCESS)
        return err;
    err = mif_python_delete(*conn);
    /* The handle is gone even if not all of the interface could be removed properly. */
    if (err == MIF_ERR_SUCCESS || mif_lookup(*conn) == NULL)
        *conn = NULL;
    return err;
}

int mif_capi_set_rx_mode(memif_conn_handle_t conn, memif_rx_mode_t rx_mode, uint16_t qid)
{
    if (rx_mode != MEMIF_RX_MODE_INTERRUPT && rx_mode != MEMIF_RX_MODE_POLLING)
        return MIF_ERR_INVAL_ARG;
    return mif_queue_set_polling(conn, qid, rx_mode == MEMIF_RX_MODE_POLLING);
}

int mif_capi_get_queue_efd(memif_conn_handle_t conn, uint16_t qid, int *fd)
{
    if (fd == NULL)
        return MIF_ERR_INVAL_ARG;
    *fd = -1;
    return mif_queue_efd(conn, qid, fd);
}
