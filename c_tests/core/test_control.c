/* SPDX-License-Identifier: Apache-2.0 */

/* What the control plane does with a queue beside bursts: its mode, its eventfd, its interrupts,
 * and what it tells of it. */

#include <poll.h>
#include <unistd.h>

#include "harness.h"
#include "loopback.h"

#include "core/arena.h"
#include "core/errors.h"

enum { SLOTS = 1 << LOG2_SLOTS, NO_SUCH_QUEUE = QUEUES };

static const uint16_t versions[] = {MIF_VERSION_256, MIF_VERSION_512};

static void raise_both(int version)
{
    open_loopback(versions[version]);
    raise_side(SLAVE);
    raise_side(MASTER);
}

static void close_both(void)
{
    lower_side(MASTER);
    lower_side(SLAVE);
    close_loopback();
}

static struct mif_queue *queue(enum side side, uint16_t qid, enum mif_direction direction)
{
    return mif_queue_at(loopback.handles[side], qid, direction);
}

static bool is_signalled(int efd)
{
    struct pollfd look = {.fd = efd, .events = POLLIN};

    ck_assert_int_ge(poll(&look, 1, 0), 0);
    return look.revents & POLLIN;
}

static void signal_it(int efd)
{
    uint64_t one = 1;

    ck_assert_int_eq(write(efd, &one, sizeof(one)), sizeof(one));
}

static struct mif_queue_state look_at(enum side side, uint16_t qid, bool is_tx)
{
    struct mif_queue_state state;

    ck_assert_int_eq(mif_queue_look(loopback.handles[side], qid, is_tx, &state), MIF_ERR_SUCCESS);
    return state;
}

/* ---- who may ask ---- */

MEMIF_TEST(a_queue_answers_while_its_connection_is_up)
{
    struct mif_ring_state ring;
    void *handle;
    int fd = -1;

    open_loopback(MIF_VERSION_512);
    handle = loopback.handles[SLAVE];
    ck_assert_int_eq(mif_queue_set_polling(handle, 0, 1), MIF_ERR_DISCONNECTED);
    ck_assert_int_eq(mif_queue_efd(handle, 0, &fd), MIF_ERR_DISCONNECTED);
    ck_assert_int_eq(mif_queue_ring(handle, 0, 0, &ring), MIF_ERR_DISCONNECTED);
    ck_assert_int_eq(mif_queue_ring(handle, 0, 1, &ring), MIF_ERR_DISCONNECTED);
    raise_side(SLAVE);
    for (uint16_t qid = 0; qid < QUEUES; qid++) {
        ck_assert_int_eq(mif_queue_efd(handle, qid, &fd), MIF_ERR_SUCCESS);
        ck_assert_int_eq(fd, loopback.efds[QUEUES + qid]);
        ck_assert_int_eq(mif_queue_set_polling(handle, qid, 1), MIF_ERR_SUCCESS);
        for (int is_tx = 0; is_tx < 2; is_tx++)
            ck_assert_int_eq(mif_queue_ring(handle, qid, is_tx, &ring), MIF_ERR_SUCCESS);
    }
    lower_side(SLAVE);
    ck_assert_int_eq(mif_queue_set_polling(handle, 0, 1), MIF_ERR_DISCONNECTED);
    close_loopback();
}

MEMIF_TEST(a_queue_that_there_is_not_is_said_to_be_none)
{
    static const uint16_t none[] = {NO_SUCH_QUEUE, MIF_MAX_QUEUES - 1, MIF_MAX_QUEUES, UINT16_MAX};
    struct mif_ring_state ring;
    struct mif_queue_state state;
    void *handle;
    int fd = -1;

    raise_both(1);
    handle = loopback.handles[MASTER];
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        ck_assert_int_eq(mif_queue_set_polling(handle, none[i], 1), MIF_ERR_QID);
        ck_assert_int_eq(mif_queue_efd(handle, none[i], &fd), MIF_ERR_QID);
        for (int is_tx = 0; is_tx < 2; is_tx++) {
            ck_assert_int_eq(mif_queue_ring(handle, none[i], is_tx, &ring), MIF_ERR_QID);
            ck_assert_int_eq(mif_queue_look(handle, none[i], is_tx, &state), MIF_ERR_QID);
        }
    }
    ck_assert_int_eq(fd, -1);
    ck_assert_int_eq(mif_queue_look(NULL, 0, 0, &state), MIF_ERR_QID);
    ck_assert_int_eq(mif_queue_ring(NULL, 0, 0, &ring), MIF_ERR_NOCONN);
    ck_assert_int_eq(mif_queue_interrupt(NULL, 0), MIF_ERR_NOCONN);
    close_both();
}

/* ---- modes ---- */

MEMIF_TEST_LOOP(polling_says_so_in_the_ring_and_takes_a_late_signal_away, 0, 2)
{
    int efd;

    raise_both(_i);
    for (enum side side = MASTER; side < SIDES; side++)
        for (uint16_t qid = 0; qid < QUEUES; qid++) {
            struct mif_queue *q = queue(side, qid, MIF_RX);
            efd = q->efd;
            ck_assert(!look_at(side, qid, false).polling);
            signal_it(efd);
            mif_queue_drop_signal(loopback.handles[side], qid);
            ck_assert(is_signalled(efd)); /* its program waits for it */
            ck_assert_int_eq(mif_queue_set_polling(loopback.handles[side], qid, 1),
                             MIF_ERR_SUCCESS);
            ck_assert(!is_signalled(efd));
            ck_assert(look_at(side, qid, false).polling);
            ck_assert(atomic_load(&q->ring->flags) & MIF_RING_MASK_INT);
            signal_it(efd);
            mif_queue_drop_signal(loopback.handles[side], qid);
            ck_assert(!is_signalled(efd));
        }
    close_both();
}

MEMIF_TEST(a_program_that_stops_polling_is_told_to_look_once_more)
{
    void *handle;

    raise_both(1);
    handle = loopback.handles[MASTER];
    struct mif_queue *q = queue(MASTER, 0, MIF_RX);
    ck_assert_int_eq(mif_queue_set_polling(handle, 0, 0), MIF_ERR_SUCCESS);
    ck_assert(!is_signalled(q->efd)); /* it did not poll */
    ck_assert_int_eq(mif_queue_set_polling(handle, 0, 1), MIF_ERR_SUCCESS);
    ck_assert_int_eq(mif_queue_set_polling(handle, 0, 0), MIF_ERR_SUCCESS);
    ck_assert(is_signalled(q->efd));
    ck_assert(!look_at(MASTER, 0, false).polling);
    ck_assert_int_eq(atomic_load(&q->ring->flags) & MIF_RING_MASK_INT, 0);
    close_both();
}

MEMIF_TEST(a_ring_whose_signals_pause_is_not_said_to_be_polled)
{
    raise_both(1);
    struct mif_queue *q = queue(SLAVE, 1, MIF_RX);
    atomic_store(&q->ring->flags, MIF_RING_MASK_INT | MIF_RING_PAUSED);
    ck_assert(!look_at(SLAVE, 1, false).polling);
    atomic_store(&q->ring->flags, MIF_RING_MASK_INT);
    ck_assert(look_at(SLAVE, 1, false).polling);
    close_both();
}

/* ---- interrupts ---- */

static struct {
    void *handle, *context;
    uint16_t qid;
    int count;
} called;

static int note(void *handle, void *context, uint16_t qid)
{
    called.handle = handle;
    called.context = context;
    called.qid = qid;
    called.count++;
    return called.count - 1; /* whatever it returns, the next call comes */
}

MEMIF_TEST(an_interrupt_calls_the_program_unless_it_polls)
{
    static int context;
    void *handle;

    raise_both(1);
    ck_assert_int_eq(mif_queue_interrupt(loopback.handles[SLAVE], 0), MIF_ERR_SUCCESS);
    ck_assert_int_eq(called.count, 0);
    ck_assert_int_eq(mif_connection_open(&handle, NULL, note, &context), MIF_ERR_SUCCESS);
    raise_as(handle, SLAVE, loopback.spare_memory);
    for (uint16_t qid = 0; qid < QUEUES; qid++) {
        int efd = loopback.efds[QUEUES + qid];
        called.count = 0;
        signal_it(efd);
        for (int times = 1; times <= 2; times++) {
            ck_assert_int_eq(mif_queue_interrupt(handle, qid), MIF_ERR_SUCCESS);
            ck_assert_int_eq(called.count, times);
        }
        ck_assert(called.handle == handle && called.context == &context && called.qid == qid);
        ck_assert(is_signalled(efd)); /* until a burst has emptied the ring */
        ck_assert_int_eq(mif_queue_set_polling(handle, qid, 1), MIF_ERR_SUCCESS);
        signal_it(efd);
        ck_assert_int_eq(mif_queue_interrupt(handle, qid), MIF_ERR_SUCCESS);
        ck_assert_int_eq(called.count, 2);
        ck_assert(!is_signalled(efd));
    }
    mif_connection_down(handle);
    mif_connection_release(handle);
    mif_connection_close(handle);
    ck_assert_int_eq(mif_queue_interrupt(handle, 0), MIF_ERR_NOCONN);
    close_both();
}

/* ---- details ---- */

MEMIF_TEST_LOOP(both_ends_tell_the_same_of_a_ring, 0, 2)
{
    raise_both(_i);
    for (uint16_t qid = 0; qid < QUEUES; qid++)
        for (int is_tx = 0; is_tx < 2; is_tx++) {
            struct mif_queue *q = queue(SLAVE, qid, is_tx ? MIF_TX : MIF_RX);
            atomic_store(&q->ring->head, 7);
            atomic_store(&q->ring->tail, 3);
            for (enum side side = MASTER; side < SIDES; side++) {
                bool sends = (side == SLAVE) == is_tx;
                struct mif_queue_state state = look_at(side, qid, sends);
                struct mif_ring_state ring;
                ck_assert_uint_eq(state.region, 0);
                ck_assert_uint_eq(state.head, 7);
                ck_assert_uint_eq(state.tail, 3);
                ck_assert_uint_eq(state.buffer_size, BUFFER);
                ck_assert_int_eq(mif_queue_ring(loopback.handles[side], qid, sends, &ring),
                                 MIF_ERR_SUCCESS);
                ck_assert_uint_eq(ring.slots, SLOTS);
                ck_assert_uint_eq(ring.usable, SLOTS - (_i == 0));
                /* A master of version 512 fills the slots between: nothing was sent yet. */
                if (_i == 0 || is_tx)
                    ck_assert_uint_eq(ring.fill.slots, 4);
                else if (side == MASTER)
                    ck_assert_uint_eq(ring.fill.slots, 0);
                else
                    ck_assert_uint_eq(ring.fill.slots, SLOTS - 4);
            }
        }
    close_both();
}

MEMIF_TEST(a_sending_master_tells_what_its_peer_posted_last)
{
    enum { POSTED = 999, SENT = 777, LAST = 6 };
    raise_both(1);
    struct mif_queue *q = queue(MASTER, 1, MIF_TX);
    struct mif_slot of_peer = {.word = (uint64_t)POSTED << 32};

    atomic_store(&q->ring->head, SLOTS + LAST + 1);
    atomic_store(&q->ring->tail, SLOTS + LAST);
    mif_desc_post(q->descs, LAST, &of_peer, NULL, MIF_KIND_512_SLAVE);
    q->slots[LAST].word = (uint64_t)SENT << 32;
    ck_assert_uint_eq(look_at(MASTER, 1, true).buffer_size, POSTED);
    ck_assert_uint_eq(look_at(SLAVE, 1, false).buffer_size, BUFFER);
    /* It has filled all of them: its own table has the size, the descriptor a packet's length. */
    atomic_store(&q->ring->tail, SLOTS + LAST + 1);
    ck_assert_uint_eq(look_at(MASTER, 1, true).buffer_size, SENT);
    /* Nothing known yet. */
    q->slots[LAST].word = 0;
    ck_assert_uint_eq(look_at(MASTER, 1, true).buffer_size, BUFFER);
    q->slots[LAST].word = (uint64_t)1 << 32;
    ck_assert_uint_eq(look_at(MASTER, 1, true).buffer_size, 1);
    close_both();
}

MEMIF_TEST(a_sending_master_of_version_256_tells_it_too)
{
    enum { POSTED = 999, LAST = 6 };
    raise_both(0);
    struct mif_queue *q = queue(MASTER, 0, MIF_TX);
    struct mif_slot of_peer = {.word = (uint64_t)POSTED << 32};

    mif_desc_post(q->descs, LAST, &of_peer, NULL, MIF_KIND_256_SLAVE);
    for (uint16_t tail = LAST; tail <= LAST + 1; tail++) {
        atomic_store(&q->ring->head, LAST + 1);
        atomic_store(&q->ring->tail, tail);
        ck_assert_uint_eq(look_at(MASTER, 0, true).buffer_size, POSTED);
    }
    close_both();
}

/* ---- the end ---- */

MEMIF_TEST(a_queue_that_was_released_keeps_nothing_of_its_link)
{
    raise_both(1);
    lower_side(MASTER);
    for (uint16_t qid = 0; qid < QUEUES; qid++)
        for (enum mif_direction direction = MIF_RX; direction <= MIF_TX; direction++) {
            struct mif_queue *q = queue(MASTER, qid, direction);
            ck_assert(q->slots == NULL && q->chain_of == NULL && q->order == NULL);
            ck_assert(q->descs == NULL && q->ring == NULL);
            ck_assert(q->own_index == NULL && q->peer_index == NULL);
        }
    raise_side(MASTER);
    close_both();
}

MEMIF_TEST(each_queue_of_each_link_has_a_serial_number_of_its_own)
{
    uint64_t last = 0;

    raise_both(1);
    for (int links = 0; links < 2; links++) {
        for (uint16_t qid = 0; qid < QUEUES; qid++) {
            uint64_t serial = queue(MASTER, qid, MIF_RX)->order->serial;
            ck_assert_uint_gt(serial, last);
            last = serial;
            serial = queue(MASTER, qid, MIF_TX)->order->serial;
            ck_assert_uint_ne(serial, last);
            last = serial > last ? serial : last;
        }
        lower_side(MASTER);
        raise_side(MASTER);
    }
    close_both();
}

MEMIF_TEST_MAIN("control")
