/* SPDX-License-Identifier: Apache-2.0 */

/* A queue from one link to the next: what is set up anew, what stays, and whose memory it is. */

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "loopback.h"

#include "core/arena.h"
#include "core/counters.h"
#include "core/errors.h"

enum { SLOTS = 1 << LOG2_SLOTS };

static const uint16_t versions[] = {MIF_VERSION_256, MIF_VERSION_512};

static struct mif_queue *queue(enum side side, uint16_t qid, enum mif_direction direction)
{
    return mif_queue_at(loopback.handles[side], qid, direction);
}

static int map_memory(void *handle)
{
    return mif_connection_map(handle, 0, loopback.memory, REGION_BYTES);
}

static int add(void *handle, struct mif_queue_config config)
{
    return mif_connection_add_queue(handle, &config);
}

/* ---- whose memory ---- */

static struct {
    int taken, given_back;
    size_t bytes;
    bool refuses;
} memory;

static void *take(size_t bytes)
{
    if (memory.refuses)
        return NULL;
    memory.taken++;
    memory.bytes = bytes;
    void *taken = malloc(bytes);
    ck_assert_ptr_nonnull(taken);
    memset(taken, 0xA5, bytes); /* as no memory of the C library would be here */
    return taken;
}

static void give_back(void *pointer)
{
    ck_assert_ptr_nonnull(pointer);
    memory.given_back++;
    free(pointer);
}

static void *open_with(struct mif_poller *poller)
{
    void *handle = NULL;

    ck_assert_int_eq(mif_connection_open(&handle, poller, NULL, NULL), MIF_ERR_SUCCESS);
    return handle;
}

MEMIF_TEST_LOOP(a_program_may_have_functions_of_its_own_for_it, 0, 4)
{
    struct mif_poller poller = MIF_POLLER_INIT;
    bool takes = _i & 1, gives = _i & 2;
    void *handle;

    memset(&memory, 0, sizeof(memory));
    /* With one of them alone, its memory must be what the C library takes as well. */
    poller.allocator.alloc = takes ? take : NULL;
    poller.allocator.free = gives ? give_back : NULL;
    open_loopback(MIF_VERSION_512);
    handle = open_with(&poller);
    raise_as(handle, SLAVE, loopback.spare_memory);
    ck_assert_int_eq(memory.taken, takes ? 2 * QUEUES : 0);
    if (takes)
        ck_assert_uint_ge(memory.bytes,
                          SLOTS * (sizeof(struct mif_slot) + sizeof(struct mif_chain)) +
                              sizeof(struct mif_order));
    for (uint16_t slot = 0; slot < SLOTS; slot++)
        ck_assert_uint_eq(mif_queue_at(handle, 0, MIF_TX)->chain_of[slot].count, 0);
    ck_assert_int_eq(memory.given_back, 0);
    mif_connection_down(handle);
    mif_connection_release(handle);
    ck_assert_int_eq(memory.given_back, gives ? 2 * QUEUES : 0);
    mif_connection_release(handle); /* there is nothing left to give back */
    ck_assert_int_eq(memory.given_back, gives ? 2 * QUEUES : 0);
    mif_connection_close(handle);
    close_loopback();
}

MEMIF_TEST(memory_that_there_is_not_is_said_to_be_none)
{
    struct mif_poller poller = MIF_POLLER_INIT;
    struct mif_queue_config config = slave_queue(MIF_VERSION_512);
    void *handle;

    poller.allocator.alloc = take;
    memory.refuses = true;
    open_loopback(MIF_VERSION_512);
    handle = open_with(&poller);
    ck_assert_int_eq(map_memory(handle), MIF_ERR_SUCCESS);
    ck_assert_int_eq(add(handle, config), MIF_ERR_NOMEM);
    ck_assert_ptr_null(mif_queue_at(handle, 0, MIF_RX)->slots);
    memory.refuses = false;
    ck_assert_int_eq(add(handle, config), MIF_ERR_SUCCESS);
    mif_connection_release(handle);
    mif_connection_close(handle);
    close_loopback();
}

MEMIF_TEST(there_is_no_queue_where_there_is_no_interface)
{
    open_loopback(MIF_VERSION_512);
    ck_assert_int_eq(add(NULL, slave_queue(MIF_VERSION_512)), MIF_ERR_NOCONN);
    close_loopback();
}

/* ---- what is set up anew, and what stays ---- */

static void count(struct mif_queue *q, uint64_t packets)
{
    q->next = q->done = packets + 3;
    q->extra_slots = 3;
    q->bytes = packets * 100;
    q->full = packets / 2;
    q->signals = packets / 4;
}

MEMIF_TEST_LOOP(counters_go_on_over_links, 0, 2)
{
    struct mif_totals totals;

    open_loopback(versions[_i]);
    for (uint64_t links = 1; links <= 3; links++) {
        raise_side(SLAVE);
        for (uint16_t qid = 0; qid < QUEUES; qid++)
            for (enum mif_direction direction = MIF_RX; direction <= MIF_TX; direction++) {
                uint64_t packets = 1000u + qid + 10u * direction;
                count(queue(SLAVE, qid, direction), packets);
                if (direction == MIF_TX)
                    queue(SLAVE, qid, direction)->refused += 7;
                mif_queue_totals(loopback.handles[SLAVE], qid, direction == MIF_TX, &totals);
                ck_assert_uint_eq(totals.packets, links * packets);
                ck_assert_uint_eq(totals.bytes, links * packets * 100);
                ck_assert_uint_eq(totals.full, links * (packets / 2));
                ck_assert_uint_eq(totals.signals, links * (packets / 4));
                ck_assert_uint_eq(totals.refused, direction == MIF_TX ? links * 7 : 0);
            }
        lower_side(SLAVE);
        mif_queue_totals(loopback.handles[SLAVE], 1, 1, &totals);
        ck_assert_uint_eq(totals.packets, links * 1011);
    }
    /* The next interface in this place begins at zero. */
    mif_connection_close(loopback.handles[SLAVE]);
    open_side(SLAVE);
    raise_side(SLAVE);
    mif_queue_totals(loopback.handles[SLAVE], 1, 1, &totals);
    ck_assert_uint_eq(totals.packets + totals.bytes + totals.full + totals.refused, 0);
    lower_side(SLAVE);
    close_loopback();
}

MEMIF_TEST(no_queue_has_the_serial_number_of_none)
{
    open_loopback(MIF_VERSION_512);
    raise_side(SLAVE);
    for (uint16_t qid = 0; qid < QUEUES; qid++)
        for (enum mif_direction direction = MIF_RX; direction <= MIF_TX; direction++)
            ck_assert_uint_ne(queue(SLAVE, qid, direction)->order->serial, 0);
    lower_side(SLAVE);
    close_loopback();
}

MEMIF_TEST_LOOP(each_queue_is_given_the_ring_and_the_buffers_of_its_settings, 0, 2)
{
    open_loopback(versions[_i]);
    raise_side(SLAVE);
    for (uint16_t qid = 0; qid < QUEUES; qid++)
        for (enum mif_direction direction = MIF_RX; direction <= MIF_TX; direction++) {
            struct mif_queue *q = queue(SLAVE, qid, direction);
            ck_assert_uint_eq(q->mask, SLOTS - 1);
            ck_assert_uint_eq(q->qid, qid);
            ck_assert_uint_eq(q->buffers.stride, BUFFER);
            ck_assert(q->buffers.data == q->slots[0].data);
            ck_assert_uint_eq(q->buffers.word, q->slots[0].word);
            ck_assert(q->cache.base == q->regions[0].base);
            ck_assert(q->cache.base + q->buffers.offset == q->buffers.data);
            /* Who sends says that a barrier of the receiver reaches it. */
            ck_assert_uint_eq(atomic_load(&q->ring->sender),
                              direction == MIF_TX ? MIF_SENDER_FENCES : 0);
        }
    lower_side(SLAVE);
    close_loopback();
}

MEMIF_TEST(buffers_that_are_named_one_by_one_have_no_room_in_between)
{
    uint32_t offsets[SLOTS];
    struct mif_queue_config config = slave_queue(MIF_VERSION_512);

    config.tailroom = 5;
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        offsets[slot] = RING_BYTES + slot * BUFFER;
    open_loopback(MIF_VERSION_512);
    ck_assert_int_eq(map_memory(loopback.handles[SLAVE]), MIF_ERR_SUCCESS);
    ck_assert_int_eq(add(loopback.handles[SLAVE], config), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(queue(SLAVE, 0, MIF_RX)->tailroom, 5);
    ck_assert_uint_eq(queue(SLAVE, 0, MIF_RX)->buffers.stride, BUFFER + 5);
    config.buffer_offsets = offsets;
    config.qid = 1;
    ck_assert_int_eq(add(loopback.handles[SLAVE], config), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(queue(SLAVE, 1, MIF_RX)->tailroom, 0);
    ck_assert_ptr_null(queue(SLAVE, 1, MIF_RX)->buffers.data);
    lower_side(SLAVE);
    close_loopback();
}

MEMIF_TEST(buffers_that_the_program_posts_later_are_not_posted_yet)
{
    struct mif_queue_config config = slave_queue(MIF_VERSION_512);

    for (int posts = 0; posts < 2; posts++) {
        open_loopback(MIF_VERSION_512);
        config.efd = loopback.efds[0];
        config.post_at_start = (uint8_t)posts;
        ck_assert_int_eq(map_memory(loopback.handles[SLAVE]), MIF_ERR_SUCCESS);
        ck_assert_int_eq(add(loopback.handles[SLAVE], config), MIF_ERR_SUCCESS);
        ck_assert_int_eq(mif_connection_up(loopback.handles[SLAVE], -1), MIF_ERR_SUCCESS);
        struct mif_queue *q = queue(SLAVE, 0, MIF_RX);
        ck_assert_uint_eq(q->next - q->done, posts ? 0 : SLOTS);
        ck_assert_uint_eq(atomic_load(&q->ring->head), posts ? SLOTS : 0);
        lower_side(SLAVE);
        close_loopback();
    }
}

MEMIF_TEST_LOOP(no_other_queue_begins_with_buffers_of_the_program, 0, 2)
{
    struct mif_queue_config config = slave_queue(versions[_i]);

    config.buffer_offset = 4 * RING_BYTES;
    open_loopback(versions[_i]);
    for (int side = SLAVE; side >= MASTER; side--) { /* the slave writes the rings */
        ck_assert_int_eq(map_memory(loopback.handles[side]), MIF_ERR_SUCCESS);
        for (int s2m = 0; s2m < 2; s2m++) {
            config.is_slave = side == SLAVE;
            config.is_tx = s2m == (side == SLAVE);
            config.offset = (uint64_t)s2m * RING_BYTES;
            ck_assert_int_eq(add(loopback.handles[side], config), MIF_ERR_SUCCESS);
            struct mif_queue *q = queue((enum side)side, 0, config.is_tx ? MIF_TX : MIF_RX);
            if (side == MASTER || config.is_tx || versions[_i] == MIF_VERSION_256)
                ck_assert_uint_eq(q->next - q->done, 0);
        }
    }
    lower_side(MASTER);
    lower_side(SLAVE);
    close_loopback();
}

/* ---- in a forked child ---- */

MEMIF_TEST(a_forked_child_waits_for_no_lock_of_its_parent)
{
    struct mif_ring_state ring;
    int fd, status;

    open_loopback(MIF_VERSION_512);
    raise_side(SLAVE);
    mif_queues_lock(); /* as a thread may at that moment */
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        void *handle = loopback.handles[SLAVE];
        alarm(10);
        if (mif_queue_set_polling(handle, 0, 1) != MIF_ERR_DISCONNECTED ||
            mif_queue_efd(handle, 0, &fd) != MIF_ERR_DISCONNECTED ||
            mif_queue_ring(handle, 0, 0, &ring) != MIF_ERR_DISCONNECTED)
            _exit(1);
        if (mif_start_over() != MIF_ERR_SUCCESS)
            _exit(2);
        open_side(SLAVE); /* one of its own */
        raise_side(SLAVE);
        handle = loopback.handles[SLAVE];
        _exit(mif_queue_efd(handle, 0, &fd) == MIF_ERR_SUCCESS && fd == loopback.efds[QUEUES] ? 0
                                                                                              : 3);
    }
    mif_queues_unlock();
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    lower_side(SLAVE);
    close_loopback();
}

/* ---- what others see of a change ---- */

static int begun, ended;
static struct mif_queue *shown;

void __real_mif_segment_begin(const void *handle);
void __wrap_mif_segment_begin(const void *handle)
{
    ck_assert_int_eq(begun++, ended);
    ck_assert(shown == NULL || (shown->slots != NULL) == (begun > 1));
    __real_mif_segment_begin(handle);
}

void __real_mif_segment_end(const void *handle);
void __wrap_mif_segment_end(const void *handle)
{
    ck_assert_int_eq(++ended, begun);
    ck_assert(shown == NULL || (shown->slots != NULL) == (ended == 1));
    __real_mif_segment_end(handle);
}

MEMIF_TEST(a_change_of_a_queue_is_marked_for_those_who_read_it)
{
    const struct mif_queue_config config = slave_queue(MIF_VERSION_512);

    open_loopback(MIF_VERSION_512);
    void *handle = loopback.handles[SLAVE];
    ck_assert_int_eq(map_memory(handle), MIF_ERR_SUCCESS);
    ck_assert_int_eq(add(handle, config), MIF_ERR_SUCCESS);
    ck_assert_int_eq(ended, 1);
    mif_connection_release(handle);
    ck_assert_int_eq(ended, 2);
    shown = queue(SLAVE, 0, MIF_RX);
    begun = ended = 0;
    ck_assert_int_eq(map_memory(handle), MIF_ERR_SUCCESS);
    ck_assert_int_eq(add(handle, config), MIF_ERR_SUCCESS);
    ck_assert_int_eq(ended, 1);
    mif_connection_release(handle);
    ck_assert_int_eq(ended, 2);
    close_loopback();
}

/* ---- one direction more than the other ---- */

MEMIF_TEST(each_direction_has_a_number_of_queues_of_its_own)
{
    struct mif_queue_config config = slave_queue(MIF_VERSION_512);
    struct mif_queue_state state;
    void *handle;

    for (int is_tx = 0; is_tx < 2; is_tx++) {
        open_loopback(MIF_VERSION_512);
        handle = loopback.handles[SLAVE];
        ck_assert_int_eq(map_memory(handle), MIF_ERR_SUCCESS);
        config.is_tx = (uint8_t)is_tx;
        for (config.qid = 0; config.qid < QUEUES; config.qid++) {
            config.offset = config.qid * (uint64_t)RING_BYTES;
            config.buffer_offset = (QUEUES + config.qid) * (uint64_t)RING_BYTES;
            ck_assert_int_eq(add(handle, config), MIF_ERR_SUCCESS);
        }
        for (uint16_t qid = 0; qid < QUEUES; qid++) {
            ck_assert_int_eq(mif_queue_look(handle, qid, is_tx, &state), MIF_ERR_SUCCESS);
            ck_assert_int_eq(mif_queue_look(handle, qid, !is_tx, &state), MIF_ERR_QID);
        }
        ck_assert_int_eq(mif_queue_look(handle, QUEUES, is_tx, &state), MIF_ERR_QID);
        lower_side(SLAVE);
        close_loopback();
    }
}

MEMIF_TEST_LOOP(a_slave_posts_the_buffers_of_each_queue_again, 0, QUEUES)
{
    uint16_t qid = (uint16_t)_i, n;
    memif_buffer_t buf;

    open_loopback(MIF_VERSION_512);
    raise_side(SLAVE);
    raise_side(MASTER);
    void *slave = loopback.handles[SLAVE], *master = loopback.handles[MASTER];
    const struct mif_queue *q = queue(SLAVE, qid, MIF_RX);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        struct mif_desc before = mif_desc_read(q->descs, slot, MIF_KIND_512_SLAVE);
        ck_assert_int_eq(mif_call(master, qid, MIF_TX, MIF_CALL_RESERVE, 1, &buf, 1, &n), 0);
        ck_assert_int_eq(mif_call(master, qid, MIF_TX, MIF_CALL_TX, 0, &buf, 1, &n), 0);
        ck_assert_int_eq(mif_call(slave, qid, MIF_RX, MIF_CALL_RX, 0, &buf, 1, &n), 0);
        ck_assert_int_eq(mif_call(slave, qid, MIF_RX, MIF_CALL_GIVE_BACK, 0, &buf, 1, &n), 0);
        struct mif_desc after = mif_desc_read(q->descs, slot, MIF_KIND_512_SLAVE);
        ck_assert_uint_eq(after.head, before.head);
        ck_assert_uint_eq(after.offset, before.offset);
    }
    lower_side(MASTER);
    lower_side(SLAVE);
    close_loopback();
}

MEMIF_TEST(only_who_fills_the_buffers_of_a_peer_tells_their_size)
{
    struct mif_slot of_peer = {.word = (uint64_t)999 << 32};
    struct mif_queue_state state;

    open_loopback(MIF_VERSION_512);
    raise_side(SLAVE);
    raise_side(MASTER);
    for (enum side side = MASTER; side < SIDES; side++)
        for (int is_tx = 0; is_tx < 2; is_tx++) {
            struct mif_queue *q = queue(side, 0, is_tx ? MIF_TX : MIF_RX);
            atomic_store(&q->ring->head, 5);
            atomic_store(&q->ring->tail, 4);
            mif_desc_post(q->descs, 4, &of_peer, NULL, MIF_KIND_512_SLAVE);
            ck_assert_int_eq(mif_queue_look(loopback.handles[side], 0, is_tx, &state),
                             MIF_ERR_SUCCESS);
            ck_assert_uint_eq(state.buffer_size, side == MASTER && is_tx ? 999 : BUFFER);
        }
    lower_side(MASTER);
    lower_side(SLAVE);
    close_loopback();
}

MEMIF_TEST_MAIN("links")
