/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bounce.h"

#include <stdlib.h>

/* Capacities are multiples of it, so that packets of almost one length use the same buffers. */
enum { STEP = 2048 };

static struct mif_bounce *take_spare(struct mif_order *order)
{
    struct mif_bounce *bounce = order->spare;
    if (bounce == NULL)
        return NULL;
    order->spare = bounce->next;
    order->spare_bytes -= bounce->capacity;
    return bounce;
}

static struct mif_bounce *allocate(uint32_t length)
{
    size_t capacity = (length / STEP + 1) * (size_t)STEP;
    struct mif_bounce *bounce =
        aligned_alloc(_Alignof(struct mif_bounce), sizeof(*bounce) + capacity);
    if (bounce != NULL)
        bounce->capacity = capacity;
    return bounce;
}

struct mif_bounce *mif_bounce_take(struct mif_queue *q, uint32_t length)
{
    struct mif_bounce *bounce = take_spare(q->order);
    if (bounce != NULL && bounce->capacity >= length)
        return bounce;
    free(bounce); /* too small: packets are longer now */
    return allocate(length);
}

void mif_bounce_give_back(struct mif_queue *q, struct mif_bounce *bounce)
{
    struct mif_order *order = q->order;
    if (bounce == NULL)
        return;
    if (bounce->capacity > MIF_MAX_SPARE_BYTES - order->spare_bytes) {
        free(bounce);
        return;
    }
    bounce->next = order->spare;
    order->spare = bounce;
    order->spare_bytes += bounce->capacity;
}

void mif_bounce_free_all(struct mif_queue *q)
{
    for (uint32_t i = 0; q->chains > 0 && i <= q->mask; i++)
        free(q->chain_of[i].bounce);
    for (struct mif_bounce *spare; q->order != NULL && (spare = take_spare(q->order)) != NULL;)
        free(spare);
}
