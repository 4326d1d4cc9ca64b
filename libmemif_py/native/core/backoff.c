/* SPDX-License-Identifier: Apache-2.0 */
#include "core/backoff.h"

#include <sched.h>
#include <stddef.h>
#include <time.h>

void mif_backoff(unsigned turn)
{
    if (turn < MIF_YIELDS)
        sched_yield();
    else
        (void)nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}
