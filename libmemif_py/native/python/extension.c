/* SPDX-License-Identifier: Apache-2.0 */
#include "python/extension.h"

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
