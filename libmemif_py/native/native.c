/* SPDX-License-Identifier: Apache-2.0 */
#include "native.h"

#include "packet.h"

#include <errno.h>

/* Implemented in Python. */
int mif_python_control(uintptr_t hub, int fd, uint32_t events);

struct mif_hub *mif_native_hub_new(void)
{
    struct mif_hub *hub = mif_hub_new();
    if (hub == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    if (mif_hub_open(hub, NULL, mif_python_control) != MIF_ERR_SUCCESS) {
        int error = errno;
        mif_hub_free(hub);
        errno = error;
        return NULL;
    }
    return hub;
}

int mif_native_hub_fileno(const struct mif_hub *hub)
{
    return hub->epoll_fd;
}

int mif_packet_rx(void *handle, uint32_t qid, memif_buffer_t *bufs, uint32_t count, uint16_t *rx)
{
    return mif_call(handle, qid, MIF_RX, MIF_CALL_RX, 0, bufs, count, rx);
}

int mif_packet_free(void *handle, uint32_t qid, memif_buffer_t *bufs, uint32_t count,
                    uint16_t *freed)
{
    return mif_call(handle, qid, MIF_RX, MIF_CALL_GIVE_BACK, 0, bufs, count, freed);
}

int mif_packet_alloc(void *handle, uint32_t qid, memif_buffer_t *bufs, uint32_t count,
                     uint16_t *allocated, uint32_t size)
{
    return mif_call(handle, qid, MIF_TX, MIF_CALL_RESERVE, size, bufs, count, allocated);
}

int mif_packet_tx(void *handle, uint32_t qid, memif_buffer_t *bufs, uint32_t count, uint16_t *tx)
{
    return mif_call(handle, qid, MIF_TX, MIF_CALL_TX, 0, bufs, count, tx);
}
