/* SPDX-License-Identifier: Apache-2.0 */
#include "python/extension.h"

#include "core/arena.h"
#include "core/errors.h"

#include <errno.h>

/* Implemented in Python. */
int mif_python_control(uintptr_t poller, int fd, uint32_t events);

struct mif_poller *mif_native_poller_new(void)
{
    struct mif_poller *poller = mif_poller_new();
    if (poller == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    if (mif_poller_open(poller, NULL, mif_python_control) != MIF_ERR_SUCCESS) {
        int error = errno;
        mif_poller_free(poller);
        errno = error;
        return NULL;
    }
    return poller;
}

int mif_native_fill(const void *handle, uint32_t qid, int is_tx, struct mif_fill *fill)
{
    const struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL || qid >= (is_tx ? conn->tx_count : conn->rx_count))
        return MIF_ERR_QID;
    mif_ring_fill(mif_queue_at(handle, qid, is_tx ? MIF_TX : MIF_RX), is_tx, fill);
    return MIF_ERR_SUCCESS;
}
