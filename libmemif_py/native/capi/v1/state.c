/* SPDX-License-Identifier: Apache-2.0 */
#include "capi/v1/state.h"

#include "capi/common.h"

static struct mif_poller poller = MIF_POLLER_INIT;
static memif_control_fd_update_t *control_fd_update;
static atomic_bool taken;

bool mif_v1_take(memif_control_fd_update_t *on_control_fd_update)
{
    if (atomic_exchange(&taken, true))
        return false;
    control_fd_update = on_control_fd_update;
    return true;
}

void mif_v1_release(void)
{
    atomic_store(&taken, false);
}

bool mif_v1_is_open(void)
{
    return atomic_load(&poller.open);
}

static int announce(struct mif_poller *ours, int fd, uint32_t events, void *context)
{
    (void)ours;
    (void)context;
    return control_fd_update(fd, (uint8_t)events);
}

struct mif_poller *mif_v1_poller(void)
{
    return &poller;
}

int mif_v1_poller_open(void)
{
    return mif_poller_open(&poller, control_fd_update == NULL ? NULL : announce, mif_capi_control);
}

void mif_v1_poller_close(void)
{
    mif_poller_close(&poller);
}
