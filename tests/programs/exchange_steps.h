/* SPDX-License-Identifier: Apache-2.0 */
/* What exchange_v1.c and exchange_v4.c have in common. */
#ifndef EXCHANGE_STEPS_H
#define EXCHANGE_STEPS_H

#include <libmemif.h>
#include <stdio.h>
#include <time.h>

static const char payload[] = "a packet";

static inline long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

/* Says which step failed and why. */
static inline int failed(const char *what, int err)
{
    if (err != MEMIF_ERR_SUCCESS)
        fprintf(stderr, "%s: %s (%d)\n", what, memif_strerror(err), err);
    return err != MEMIF_ERR_SUCCESS;
}

#endif
