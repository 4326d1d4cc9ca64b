/* SPDX-License-Identifier: Apache-2.0 */
#include "native.h"

#include "errors.h"

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
