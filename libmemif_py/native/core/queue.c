/* SPDX-License-Identifier: Apache-2.0 */
#include "core/queue.h"

#include "core/allocator.h"
#include "core/arena.h"
#include "core/barrier.h"
#include "core/bounce.h"
#include "core/counters.h"
#include "core/debug.h"
#include "core/errors.h"
#include "core/fork.h"
#include "core/regions.h"
#include "core/ring.h"
#include "core/room.h"
#include "core/segment.h"
#include "core/signals.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Held while queues go down, and by control functions that need one to stay up. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint64_t last_connection; /* serial number */

void mif_queues_lock(void)
{
    pthread_mutex_lock(&lock);
}

void mif_queues_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

void mif_queues_forked(void)
{
    (void)pthread_mutex_init(&lock, NULL);
}

/* ---- building and releasing ---- */

static void *allocate(const struct mif_connection *conn, size_t size)
{
    bool custom = conn->allocator != NULL && conn->allocator->alloc != NULL;
    return custom ? conn->allocator->alloc(size) : malloc(size);
}

static void deallocate(const struct mif_connection *conn, void *pointer)
{
    if (conn->allocator != NULL && conn->allocator->free != NULL)
        conn->allocator->free(pointer);
    else
        free(pointer);
}

static uint64_t ring_bytes(uint16_t version, uint8_t log2_ring_size)
{
    size_t desc =
        version == MIF_VERSION_256 ? sizeof(struct mif_desc_256) : sizeof(struct mif_desc_512);
    return sizeof(struct mif_ring) + ((uint64_t)desc << log2_ring_size);
}

/* From one buffer of a slave to the next. */
static uint32_t stride_of(const struct mif_queue_config *config)
{
    return config->buffer_size + config->tailroom;
}

/* Checks that a slave's buffers lie in their region. */
static int check_buffers(const struct mif_connection *conn, const struct mif_queue_config *config)
{
    if (config->buffer_offsets == NULL)
        return mif_region_holds(conn, config->buffer_region, config->buffer_offset,
                                (uint64_t)stride_of(config) << config->log2_ring_size)
                   ? MIF_ERR_SUCCESS
                   : MIF_ERR_INVAL_ARG;
    for (uint32_t i = 0; i < 1u << config->log2_ring_size; i++)
        if (!mif_region_holds(conn, config->buffer_region, config->buffer_offsets[i],
                              config->buffer_size))
            return MIF_ERR_INVAL_ARG;
    return MIF_ERR_SUCCESS;
}

static int check_config(const struct mif_connection *conn, const struct mif_queue_config *config)
{
    uint8_t least = config->version == MIF_VERSION_256 ? 1 : 0; /* 256 keeps one slot empty */
    if (config->qid >= MIF_MAX_QUEUES)
        return MIF_ERR_MAXRING;
    if (config->log2_ring_size > MIF_MAX_LOG2_RING_SIZE || config->log2_ring_size < least)
        return MIF_ERR_MAX_RING;
    /* The accessors of ring.h need natural alignment for single reads of whole words. */
    if (config->offset % sizeof(uint64_t) != 0)
        return MIF_ERR_INVAL_ARG;
    if (!mif_region_holds(conn, config->region, config->offset,
                          ring_bytes(config->version, config->log2_ring_size)))
        return MIF_ERR_INVAL_ARG;
    return config->is_slave ? check_buffers(conn, config) : MIF_ERR_SUCCESS;
}

static enum mif_kind kind_of(const struct mif_queue_config *config)
{
    if (config->version == MIF_VERSION_256)
        return config->is_slave ? MIF_KIND_256_SLAVE : MIF_KIND_256_MASTER;
    return config->is_slave ? MIF_KIND_512_SLAVE : MIF_KIND_512_MASTER;
}

/* As slave, the memory is ours: writes where each buffer lies to the slot table and to the ring. */
static void lay_out_slave_buffers(const struct mif_connection *conn, struct mif_queue *q,
                                  const struct mif_queue_config *config)
{
    for (uint32_t i = 0; i <= q->mask; i++) {
        uint64_t offset = config->buffer_offsets != NULL
                              ? config->buffer_offsets[i]
                              : config->buffer_offset + (uint64_t)i * stride_of(config);
        mif_slot_set(&q->slots[i], conn->regions[config->buffer_region].base + offset,
                     config->buffer_size, config->buffer_region, 0);
        mif_desc_post(q->descs, (uint16_t)i, &q->slots[i],
                      conn->regions[config->buffer_region].base, (enum mif_kind)q->kind);
    }
    if (config->buffer_offsets == NULL)
        q->buffers = (struct mif_buffer_array){.data = q->slots[0].data,
                                               .word = q->slots[0].word,
                                               .stride = stride_of(config),
                                               .offset = (uint32_t)config->buffer_offset};
}

/* Which shared index is ours and which the peer's (see the table in docs/architecture.md):
 * version 256: the producer owns head, the consumer tail;
 * version 512: the slave owns head and the master tail, in both directions. */
static void bind_indices(struct mif_queue *q, bool is_slave, bool is_tx)
{
    bool own_head = mif_kind_is_256((enum mif_kind)q->kind) ? is_tx : is_slave;
    q->own_index = own_head ? &q->ring->head : &q->ring->tail;
    q->peer_index = own_head ? &q->ring->tail : &q->ring->head;
    q->next = q->done = q->peer_raw = 0;
    /* A producer that counts from the consumer's index starts with the whole ring free; in
     * version 512 the master may only use what the slave has posted. */
    uint32_t capacity = mif_capacity(q, (enum mif_kind)q->kind);
    q->limit = is_tx && q->kind != MIF_KIND_512_MASTER ? capacity : 0;
    /* Buffers that are not posted at the start are all posted by the program later. */
    if (!is_tx && q->kind == MIF_KIND_512_SLAVE && !q->post_at_start)
        q->done = (uint64_t)0 - capacity;
}

static struct mif_ring *ring_of(const struct mif_connection *conn,
                                const struct mif_queue_config *config)
{
    return (void *)(conn->regions[config->region].base + config->offset);
}

/* One allocation: the slots, then the chains and the order, which few connections use. */
static struct mif_slot *allocate_slots(const struct mif_connection *conn, uint32_t size)
{
    size_t bytes =
        size * (sizeof(struct mif_slot) + sizeof(struct mif_chain)) + sizeof(struct mif_order);
    struct mif_slot *slots = allocate(conn, bytes);
    if (slots != NULL)
        memset(slots, 0, bytes);
    return slots;
}

/* Leaves owner and busy alone: a thread that used the last connection on this handle may be inside
 * mif_enter at any time, and if its busy mark were lost the queue could be unmapped under it. */
static void set_up(struct mif_queue *q, struct mif_connection *conn,
                   const struct mif_queue_config *config, struct mif_slot *slots)
{
    const uint32_t size = 1u << config->log2_ring_size;
    struct mif_chain *chains = (struct mif_chain *)(void *)(slots + size);
    struct mif_ring *ring = ring_of(conn, config);
    const struct mif_queue fresh = {
        .mask = (uint16_t)(size - 1),
        .kind = (uint8_t)kind_of(config),
        .region_count = conn->region_count,
        .descs = ring + 1,
        .slots = slots,
        .chain_of = chains,
        .order = (struct mif_order *)(void *)(chains + size),
        .regions = conn->regions,
        .ring = ring,
        .efd = config->efd,
        .qid = (uint8_t)config->qid,
        .region = (uint8_t)config->region,
        .buffer_size = config->buffer_size,
        .post_at_start = config->post_at_start,
        .tailroom = config->buffer_offsets == NULL ? config->tailroom : 0,
        .refused = q->refused,
        .signal_mode = (uint8_t)((config->untrusted ? MIF_SIGNAL_UNTRUSTED : 0) |
                                 (mif_lock != NULL ? MIF_SIGNAL_LOCKED : 0)),
    };
    const size_t begin = offsetof(struct mif_queue, polling),
                 end = offsetof(struct mif_queue, before);
    memcpy((uint8_t *)q + begin, (const uint8_t *)&fresh + begin, end - begin);
    q->order->serial = atomic_fetch_add(&last_connection, 1) + 1;
    q->cache = mif_region_cache_of(q, config->region);
    bind_indices(q, config->is_slave, config->is_tx);
}

int mif_connection_add_queue(void *handle, const struct mif_queue_config *config)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL)
        return MIF_ERR_NOCONN;
    int err = check_config(conn, config);
    if (err != MIF_ERR_SUCCESS)
        return err;
    err = mif_arena_open_queues(handle, config->qid);
    if (err != MIF_ERR_SUCCESS)
        return err;
    struct mif_queue *q = mif_queue_at(handle, config->qid, config->is_tx ? MIF_TX : MIF_RX);
    _Atomic uint16_t *count = config->is_tx ? &conn->tx_count : &conn->rx_count;
    if (config->qid != *count)
        return MIF_ERR_QID; /* queues are added in order, so that a count describes them */
    struct mif_ring *ring = ring_of(conn, config);
    uint32_t cookie = config->version == MIF_VERSION_256 ? MIF_COOKIE_256 : MIF_COOKIE_512;
    if (!config->is_slave && atomic_load_explicit(&ring->cookie, memory_order_acquire) != cookie)
        return MIF_ERR_COOKIE;
    struct mif_slot *slots = allocate_slots(conn, 1u << config->log2_ring_size);
    if (slots == NULL)
        return MIF_ERR_NOMEM;
    mif_segment_begin(handle);
    set_up(q, conn, config, slots);
    mif_segment_end(handle);
    mif_face_bind(q, config->is_tx ? MIF_TX : MIF_RX);
    if (config->is_tx)
        atomic_store_explicit(&ring->sender, MIF_SENDER_FENCES, memory_order_relaxed);
    if (config->is_slave) {
        lay_out_slave_buffers(conn, q, config);
        atomic_store_explicit(&ring->cookie, cookie, memory_order_release);
    }
    (*count)++;
    return MIF_ERR_SUCCESS;
}

void mif_queue_release(const struct mif_connection *conn, struct mif_queue *q, bool is_tx)
{
    mif_totals_keep(q, is_tx);
    mif_bounce_free_all(q);
    if (q->slots != NULL)
        deallocate(conn, q->slots);
    q->slots = NULL;
    q->chain_of = NULL;
    q->order = NULL;
    q->descs = NULL;
    q->ring = NULL;
    q->own_index = q->peer_index = NULL;
}

/* ---- modes and interrupts ---- */

/* A queue that is up, for a control function. The caller holds the lock, which keeps it up. The
 * busy mark cannot do that here: it belongs to the one thread that runs bursts on the queue. */
static struct mif_queue *locked_queue(const void *handle, uint16_t qid,
                                      enum mif_direction direction)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL || qid >= MIF_MAX_QUEUES)
        return NULL;
    struct mif_queue *q = mif_queue_at(handle, qid, direction);
    return atomic_load(&q->owner) == mif_owner(handle, qid) ? q : NULL;
}

int mif_queue_set_polling(void *handle, uint16_t qid, int polling)
{
    if (mif_in_forked_child())
        return MIF_ERR_DISCONNECTED; /* a lock may have been held when the process forked */
    pthread_mutex_lock(&lock);
    struct mif_queue *q = locked_queue(handle, qid, MIF_RX);
    int err = q == NULL ? mif_why_not(handle, qid, MIF_RX) : MIF_ERR_SUCCESS;
    if (q != NULL) {
        bool was_polling = atomic_exchange(&q->polling, polling ? 1 : 0) != 0;
        uint16_t fenced = mif_barrier_reaches_peers() ? MIF_RING_FENCED : 0;
        uint16_t promises = mif_room_promise();
        mif_face_bind(q, MIF_RX);
        atomic_store(&q->ring->flags, polling ? MIF_RING_MASK_INT | fenced | promises : promises);
        if (polling) {
            mif_efd_drain(q->efd); /* a signal from before would only wake the program */
        } else if (was_polling) {
            mif_barrier_on_peers();
            (void)mif_efd_signal_nowait(
                q->efd); /* look once more: packets came while signals were masked */
        }
    }
    pthread_mutex_unlock(&lock);
    return err;
}

/* Checks the mode and takes the signal under one lock: the signal that mif_queue_set_polling leaves
 * when polling ends must stay, and another thread may end polling right now. */
void mif_queue_drop_signal(void *handle, uint16_t qid)
{
    pthread_mutex_lock(&lock);
    struct mif_queue *q = locked_queue(handle, qid, MIF_RX);
    if (q != NULL && atomic_load(&q->polling))
        mif_efd_drain(q->efd);
    pthread_mutex_unlock(&lock);
}

int mif_queue_efd(void *handle, uint16_t qid, int *fd)
{
    if (mif_in_forked_child())
        return MIF_ERR_DISCONNECTED;
    pthread_mutex_lock(&lock);
    struct mif_queue *q = locked_queue(handle, qid, MIF_RX);
    int err = q == NULL ? mif_why_not(handle, qid, MIF_RX) : MIF_ERR_SUCCESS;
    if (q != NULL)
        *fd = q->efd;
    pthread_mutex_unlock(&lock);
    return err;
}

/* The rx queue's eventfd stays readable until a burst has emptied the ring, so packets that the
 * callback leaves behind cause another call. */
int mif_queue_interrupt(void *handle, uint16_t qid)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL)
        return MIF_ERR_NOCONN;
    mif_interrupt_fn *callback = atomic_load(&conn->interrupt);
    void *context = atomic_load(&conn->private_ctx);
    /* Another thread may have ended the handle meanwhile: then these may be another handle's. */
    if (mif_lookup(handle) == NULL)
        return MIF_ERR_NOCONN;
    struct mif_queue *q = mif_queue_at(handle, qid, MIF_RX);
    if (atomic_load_explicit(&q->polling, memory_order_relaxed)) {
        mif_queue_drop_signal(handle, qid);
        return MIF_ERR_SUCCESS;
    }
    if (callback == NULL)
        return MIF_ERR_SUCCESS;
    int answer = callback(handle, context, qid);
    if (answer != 0)
        MIF_DEBUG("on_interrupt of queue %u returned %d", qid, answer);
    return MIF_ERR_SUCCESS;
}

/* ---- details ---- */

/* The size of the buffer that the peer posted last for us to fill. The ring says it as long as a
 * posted buffer is left there; otherwise the data path has filled that one, and our slot table has
 * its size. */
static uint32_t posted_size(const struct mif_queue *q)
{
    enum mif_kind kind = (enum mif_kind)q->kind;
    uint16_t tail = mif_room_index(q, &q->ring->tail);
    uint16_t head = atomic_load_explicit(&q->ring->head, memory_order_acquire);
    uint16_t slot = (uint16_t)(head - 1) & q->mask;
    if (!mif_kind_is_256(kind) && head == tail)
        return mif_slot_capacity(
            &(struct mif_slot){.word = __atomic_load_n(&q->slots[slot].word, __ATOMIC_RELAXED)});
    struct mif_desc desc = mif_desc_read(q->descs, slot, kind);
    return mif_desc_capacity(&desc);
}

int mif_queue_look(void *handle, uint16_t qid, int is_tx, struct mif_queue_state *state)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL || qid >= (is_tx ? conn->tx_count : conn->rx_count))
        return MIF_ERR_QID;
    struct mif_queue *q =
        is_tx ? mif_queue_at(handle, qid, MIF_TX) : mif_queue_at(handle, qid, MIF_RX);
    uint16_t flags = atomic_load_explicit(&q->ring->flags, memory_order_relaxed);
    *state = (struct mif_queue_state){
        .region = q->region,
        .head = mif_room_index(q, &q->ring->head),
        .tail = mif_room_index(q, &q->ring->tail),
        .polling = (flags & (MIF_RING_MASK_INT | MIF_RING_PAUSED)) == MIF_RING_MASK_INT,
        .buffer_size = q->buffer_size,
    };
    uint32_t posted = is_tx && !mif_kind_is_slave((enum mif_kind)q->kind) ? posted_size(q) : 0;
    if (posted > 0)
        state->buffer_size = posted;
    return MIF_ERR_SUCCESS;
}

int mif_queue_ring(const void *handle, uint16_t qid, int is_tx, struct mif_ring_state *state)
{
    enum mif_direction direction = is_tx ? MIF_TX : MIF_RX;
    if (mif_in_forked_child())
        return MIF_ERR_DISCONNECTED;
    pthread_mutex_lock(&lock);
    struct mif_queue *q = locked_queue(handle, qid, direction);
    int err = q == NULL ? mif_why_not(handle, qid, direction) : MIF_ERR_SUCCESS;
    if (q != NULL) {
        *state = (struct mif_ring_state){.slots = q->mask + 1u,
                                         .usable = mif_capacity(q, (enum mif_kind)q->kind)};
        mif_ring_fill(q, is_tx, &state->fill);
    }
    pthread_mutex_unlock(&lock);
    return err;
}
