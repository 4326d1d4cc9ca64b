/* SPDX-License-Identifier: Apache-2.0 */

/* A queue has what its settings say and nothing else, gives back what it took, and is changed only
 * under the lock and by the process that it belongs to. */

#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "held_locks.h"
#include "loopback.h"

#include "core/arena.h"
#include "core/barrier.h"
#include "core/bounce.h"
#include "core/errors.h"
#include "core/fork.h"
#include "core/signals.h"

enum { SLOTS = 1 << LOG2_SLOTS, HOLE = 3, NO_SUCH_QUEUE = QUEUES };

static const uint16_t versions[] = {MIF_VERSION_256, MIF_VERSION_512};

/* ---- what the linker leads here ---- */

static void *awaited; /* until it is freed */
static int bounces_freed, arena_error;
static bool reaches_nobody;

void __real_free(void *pointer);
void __wrap_free(void *pointer);
void __wrap_free(void *pointer)
{
    if (pointer != NULL && pointer == awaited)
        awaited = NULL;
    __real_free(pointer);
}

void __real_mif_bounce_free_all(struct mif_queue *q);
void __wrap_mif_bounce_free_all(struct mif_queue *q);
void __wrap_mif_bounce_free_all(struct mif_queue *q)
{
    bounces_freed++;
    __real_mif_bounce_free_all(q);
}

int __real_mif_arena_open_queues(const void *handle, uint32_t qid);
int __wrap_mif_arena_open_queues(const void *handle, uint32_t qid);
int __wrap_mif_arena_open_queues(const void *handle, uint32_t qid)
{
    return arena_error != 0 ? arena_error : __real_mif_arena_open_queues(handle, qid);
}

bool __real_mif_barrier_reaches_peers(void);
bool __wrap_mif_barrier_reaches_peers(void);
bool __wrap_mif_barrier_reaches_peers(void)
{
    return !reaches_nobody && __real_mif_barrier_reaches_peers();
}

/* ---- one queue of a slave ---- */

static void *handle;

static struct mif_queue *queue(enum mif_direction direction)
{
    return mif_queue_at(handle, 0, direction);
}

static void open_mapped(uint16_t version)
{
    open_loopback(version);
    handle = loopback.handles[SLAVE];
    ck_assert_int_eq(mif_connection_map(handle, 0, loopback.memory, REGION_BYTES), MIF_ERR_SUCCESS);
}

static void add(struct mif_queue_config config)
{
    ck_assert_int_eq(mif_connection_add_queue(handle, &config), MIF_ERR_SUCCESS);
}

static void close_mapped(void)
{
    lower_side(SLAVE);
    close_loopback();
}

/* ---- what is set up ---- */

MEMIF_TEST_LOOP(a_slave_lays_out_its_buffers_and_nothing_behind_them, 0, 4)
{
    static const struct mif_chain no_chain;
    struct mif_queue_config config = slave_queue(versions[_i % 2]);
    uint32_t offsets[SLOTS];

    for (uint32_t slot = 0; slot < SLOTS; slot++)
        offsets[slot] = RING_BYTES + (slot * 7 % SLOTS) * (BUFFER + 8);
    config.buffer_offsets = _i < 2 ? offsets : NULL;
    open_mapped(config.version);
    add(config);
    const struct mif_queue *q = queue(MIF_RX);
    ck_assert_int_eq(q->kind, _i % 2 == 0 ? MIF_KIND_256_SLAVE : MIF_KIND_512_SLAVE);
    ck_assert(q->own_index == (_i % 2 == 0 ? &q->ring->tail : &q->ring->head));
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        uint32_t offset = _i < 2 ? offsets[slot] : RING_BYTES + slot * BUFFER;
        ck_assert(q->slots[slot].data == q->regions[0].base + offset);
        ck_assert_mem_eq(&q->chain_of[slot], &no_chain, sizeof(no_chain));
    }
    close_mapped();
}

MEMIF_TEST_LOOP(a_master_has_no_buffers_of_its_own, 0, 2)
{
    struct mif_queue_config config = slave_queue(versions[_i]);

    open_mapped(config.version);
    config.is_tx = 1;
    add(config); /* writes the ring */
    lower_side(SLAVE);
    ck_assert_int_eq(mif_connection_map(handle, 0, loopback.memory, REGION_BYTES), MIF_ERR_SUCCESS);
    config.is_slave = config.is_tx = 0;
    config.buffer_region = HOLE; /* whatever it says */
    add(config);
    ck_assert_int_eq(queue(MIF_RX)->kind, _i == 0 ? MIF_KIND_256_MASTER : MIF_KIND_512_MASTER);
    ck_assert_ptr_null(queue(MIF_RX)->slots[0].data);
    ck_assert_ptr_null(queue(MIF_RX)->buffers.data);
    close_mapped();
}

MEMIF_TEST_LOOP(a_queue_signals_in_the_way_of_its_peer_and_its_face, 0, 4)
{
    static const struct mif_lock functions;
    struct mif_queue_config config = slave_queue(MIF_VERSION_512);

    open_mapped(config.version);
    config.untrusted = _i & 1;
    mif_lock = _i & 2 ? &functions : NULL;
    add(config);
    mif_lock = NULL;
    ck_assert_uint_eq(queue(MIF_RX)->signal_mode,
                      (_i & 1 ? MIF_SIGNAL_UNTRUSTED : 0) | (_i & 2 ? MIF_SIGNAL_LOCKED : 0));
    close_mapped();
}

MEMIF_TEST(a_queue_for_which_there_is_no_room_is_refused)
{
    struct mif_queue_config config = slave_queue(MIF_VERSION_512);

    open_mapped(config.version);
    arena_error = MIF_ERR_NOMEM;
    ck_assert_int_eq(mif_connection_add_queue(handle, &config), MIF_ERR_NOMEM);
    arena_error = 0;
    add(config);
    close_mapped();
}

/* ---- what is given back ---- */

MEMIF_TEST(a_queue_gives_back_its_slots_and_its_packets)
{
    open_mapped(MIF_VERSION_512);
    add(slave_queue(MIF_VERSION_512));
    awaited = queue(MIF_RX)->slots;
    bounces_freed = 0;
    lower_side(SLAVE);
    ck_assert_ptr_null(awaited);
    ck_assert_int_eq(bounces_freed, 1);
    close_loopback();
}

static void expect_something(void *pointer)
{
    ck_assert_ptr_nonnull(pointer);
    free(pointer);
}

MEMIF_TEST(nothing_is_not_given_back)
{
    struct mif_poller poller = MIF_POLLER_INIT;

    poller.allocator.free = expect_something;
    open_loopback(MIF_VERSION_512);
    ck_assert_int_eq(mif_connection_open(&handle, &poller, NULL, NULL), MIF_ERR_SUCCESS);
    ck_assert_int_eq(mif_connection_map(handle, 0, loopback.memory, REGION_BYTES), MIF_ERR_SUCCESS);
    add(slave_queue(MIF_VERSION_512));
    for (int times = 0; times < 2; times++)
        mif_queue_release(mif_lookup(handle), queue(MIF_RX), false);
    mif_connection_release(handle);
    mif_connection_close(handle);
    close_loopback();
}

/* ---- modes ---- */

MEMIF_TEST_LOOP(a_mode_chooses_how_bursts_receive, 0, 2)
{
    open_loopback(versions[_i]);
    raise_side(SLAVE);
    handle = loopback.handles[SLAVE];
    struct mif_queue *q = queue(MIF_RX);
    mif_burst_fn *interrupt = q->call[MIF_CALL_RX];
    ck_assert_int_eq(mif_queue_set_polling(handle, 0, 1), MIF_ERR_SUCCESS);
    ck_assert(q->call[MIF_CALL_RX] != interrupt);
    ck_assert_int_eq(mif_queue_set_polling(handle, 0, 0), MIF_ERR_SUCCESS);
    ck_assert(q->call[MIF_CALL_RX] == interrupt);
    reaches_nobody = true;
    ck_assert_int_eq(mif_queue_set_polling(handle, 0, 1), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(atomic_load(&q->ring->flags) & (MIF_RING_MASK_INT | MIF_RING_FENCED),
                      MIF_RING_MASK_INT);
    reaches_nobody = false;
    ck_assert_int_eq(mif_queue_set_polling(handle, 0, 1), MIF_ERR_SUCCESS);
    ck_assert_int_eq(!!(atomic_load(&q->ring->flags) & MIF_RING_FENCED),
                     __real_mif_barrier_reaches_peers());
    close_mapped();
}

/* Each locks what it unlocks. */
MEMIF_TEST(what_goes_on_beside_bursts_is_locked)
{
    struct mif_ring_state ring;
    int fd;

    open_loopback(MIF_VERSION_512);
    raise_side(SLAVE);
    handle = loopback.handles[SLAVE];
    mif_queues_lock();
    mif_queues_unlock();
    for (uint16_t qid = 0; qid <= NO_SUCH_QUEUE; qid++) {
        int code = qid < QUEUES ? MIF_ERR_SUCCESS : MIF_ERR_QID;
        ck_assert_int_eq(mif_queue_set_polling(handle, qid, 1), code);
        mif_queue_drop_signal(handle, qid);
        ck_assert_int_eq(mif_queue_efd(handle, qid, &fd), code);
        ck_assert_int_eq(mif_queue_ring(handle, qid, 0, &ring), code);
    }
    mif_queues_lock(); /* it is free again */
    mif_queues_unlock();
    close_mapped();
}

MEMIF_TEST(a_forked_child_is_told_that_nothing_is_connected)
{
    struct mif_ring_state ring;
    int fd;

    open_loopback(MIF_VERSION_512);
    raise_side(SLAVE);
    handle = loopback.handles[SLAVE];
    mif_fork_began();
    for (uint16_t qid = 0; qid <= NO_SUCH_QUEUE; qid++) {
        ck_assert_int_eq(mif_queue_set_polling(handle, qid, 1), MIF_ERR_DISCONNECTED);
        ck_assert_int_eq(mif_queue_efd(handle, qid, &fd), MIF_ERR_DISCONNECTED);
        ck_assert_int_eq(mif_queue_ring(handle, qid, 0, &ring), MIF_ERR_DISCONNECTED);
    }
    ck_assert_uint_eq(atomic_load(&queue(MIF_RX)->ring->flags) & MIF_RING_MASK_INT, 0);
    mif_fork_ended();
    close_mapped();
}

MEMIF_TEST_MAIN("settings")
