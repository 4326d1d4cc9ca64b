/* SPDX-License-Identifier: Apache-2.0 */
#include "python/extension.h"

#include "datapath/engine.h"

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

/* How many slots of a ring are in use: those from *end - n on. Never more than the ring has,
 * whatever the peer writes to its index. */
static uint32_t slots_in_use(const struct mif_queue *q, bool is_tx, uint16_t *end)
{
    enum mif_kind kind = (enum mif_kind)q->kind;
    uint16_t head = atomic_load_explicit(&q->ring->head, memory_order_acquire);
    uint16_t tail = atomic_load_explicit(&q->ring->tail, memory_order_acquire);
    uint32_t size = q->mask + 1u, distance = (uint16_t)(head - tail);
    *end = head;
    if (mif_kind_is_256(kind))
        return distance & q->mask;
    if (distance > size)
        distance = size;
    if (mif_kind_is_slave(kind) == is_tx)
        return distance;
    /* Master to slave: the buffers between tail and head wait to be filled. The slots before tail
     * are in use, except those that the slave has not posted yet. */
    uint64_t sent = is_tx ? __atomic_load_n(&q->done, __ATOMIC_RELAXED) : size;
    *end = tail;
    return size - distance < sent ? size - distance : (uint32_t)sent;
}

int mif_native_fill(const void *handle, uint32_t qid, int is_tx, struct mif_fill *fill)
{
    const struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL || qid >= (is_tx ? conn->tx_count : conn->rx_count))
        return MIF_ERR_QID;
    const struct mif_queue *q = mif_queue_at(handle, qid, is_tx ? MIF_TX : MIF_RX);
    uint16_t end;
    bool has_next = false;
    *fill = (struct mif_fill){.slots = slots_in_use(q, is_tx, &end)};
    for (uint32_t left = fill->slots; left > 0; left--) {
        uint32_t slot = (end - left) & q->mask;
        struct mif_desc desc = mif_desc_read(q->descs, slot, (enum mif_kind)q->kind);
        has_next = mif_desc_has_next(&desc);
        fill->packets += !has_next;
    }
    fill->packets += has_next;
    return MIF_ERR_SUCCESS;
}
