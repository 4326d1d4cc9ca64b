/* SPDX-License-Identifier: Apache-2.0 */
#include "core/lease.h"

#include "core/regions.h"

#include <pthread.h>
#include <stdlib.h>

struct mif_lease {
    uint32_t holders; /* one of them is the connection, until it is released */
    uint32_t count;
    struct mif_region regions[MIF_MAX_REGIONS]; /* empty until then */
};

/* Guards leases; held for moments only, also inside a burst. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct mif_lease *mif_lease_take(struct mif_connection *conn)
{
    pthread_mutex_lock(&lock);
    if (conn->lease == NULL) {
        conn->lease = calloc(1, sizeof(*conn->lease));
        if (conn->lease != NULL)
            conn->lease->holders = 1;
    }
    struct mif_lease *lease = conn->lease;
    if (lease != NULL)
        lease->holders++;
    pthread_mutex_unlock(&lock);
    return lease;
}

void mif_lease_drop(struct mif_lease *lease)
{
    pthread_mutex_lock(&lock);
    bool last = --lease->holders == 0;
    pthread_mutex_unlock(&lock);
    if (!last)
        return;
    /* By the thread that dropped the last view: nobody to give an error to. */
    (void)mif_regions_unmap(lease->regions, lease->count);
    free(lease);
}

bool mif_lease_hand_over(struct mif_connection *conn)
{
    struct mif_lease *lease = conn->lease;
    if (lease == NULL)
        return false;
    conn->lease = NULL;
    lease->count = conn->region_count;
    for (uint32_t i = 0; i < conn->region_count; i++)
        if (!conn->external[i])
            lease->regions[i] = conn->regions[i];
    mif_lease_drop(lease);
    return true;
}

void mif_leases_forked(void)
{
    (void)pthread_mutex_init(&lock, NULL);
}
