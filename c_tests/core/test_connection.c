/* SPDX-License-Identifier: Apache-2.0 */

/* The life of a connection: what is new with each interface and each link, who is waited for at the
 * end, and what others are told of it. */

#include "harness.h"
#include "loopback.h"

#include "core/arena.h"
#include "core/segment.h"
#include "core/signals.h"

/* ---- what the linker leads here ---- */

static int held;

void __real_mif_queues_lock(void);
void __wrap_mif_queues_lock(void)
{
    __real_mif_queues_lock();
    held++;
}

void __real_mif_queues_unlock(void);
void __wrap_mif_queues_unlock(void)
{
    if (held-- != 1)
        ck_abort_msg("nobody has the lock of the queues");
    __real_mif_queues_unlock();
}

static struct {
    bool changes; /* between begin and end */
    int rings_forgotten, interfaces_forgotten;
    uint32_t queues; /* that there were when their rings were forgotten */
} shown;

void __real_mif_segment_begin(const void *handle);
void __wrap_mif_segment_begin(const void *handle)
{
    shown.changes = true;
    __real_mif_segment_begin(handle);
}

void __real_mif_segment_end(const void *handle);
void __wrap_mif_segment_end(const void *handle)
{
    shown.changes = false;
    __real_mif_segment_end(handle);
}

void __real_mif_segment_forget_rings(const void *handle);
void __wrap_mif_segment_forget_rings(const void *handle)
{
    const struct mif_connection *conn = mif_lookup(handle);

    ck_assert(shown.changes);
    shown.rings_forgotten++;
    shown.queues = (uint32_t)conn->rx_count + conn->tx_count;
    __real_mif_segment_forget_rings(handle);
}

void __real_mif_segment_forget(const void *handle);
void __wrap_mif_segment_forget(const void *handle)
{
    ck_assert_ptr_nonnull(mif_lookup(handle));
    shown.interfaces_forgotten++;
    __real_mif_segment_forget(handle);
}

/* ---- an interface ---- */

static void *open_with(struct mif_poller *poller)
{
    void *handle = NULL;

    ck_assert_int_eq(mif_connection_open(&handle, poller, NULL, NULL), MIF_ERR_SUCCESS);
    return handle;
}

MEMIF_TEST(a_new_interface_has_no_link)
{
    struct mif_poller poller = MIF_POLLER_INIT;

    open_loopback(MIF_VERSION_512);
    for (int grouped = 0; grouped < 2; grouped++) {
        void *handle = open_with(grouped ? &poller : NULL);
        const struct mif_connection *conn = mif_lookup(handle);
        ck_assert(conn->poller == (grouped ? &poller : NULL));
        ck_assert(conn->allocator == (grouped ? &poller.allocator : NULL));
        ck_assert_int_eq(conn->control_fd, -1);
        ck_assert_uint_eq(conn->up, 0);
        ck_assert_uint_eq(conn->max_packet, MIF_MAX_PACKET);
        mif_connection_close(handle);
    }
    close_loopback();
}

MEMIF_TEST(where_there_is_no_interface_nothing_happens)
{
    open_loopback(MIF_VERSION_512);
    void *ended = open_with(NULL), *none[] = {NULL, ended};
    mif_connection_close(ended);
    for (int i = 0; i < 2; i++) {
        mif_connection_limit(none[i], 1514);
        ck_assert_int_eq(mif_connection_up(none[i], -1), MIF_ERR_NOCONN);
        mif_connection_down(none[i]);
        ck_assert_int_eq(mif_connection_release(none[i]), MIF_ERR_SUCCESS);
        mif_connection_close(none[i]);
    }
    /* One of these is in the first place. */
    ck_assert_ptr_nonnull(mif_lookup(loopback.handles[MASTER]));
    ck_assert_ptr_nonnull(mif_lookup(loopback.handles[SLAVE]));
    close_loopback();
}

/* Or else two interfaces had it. */
MEMIF_TEST(a_place_is_given_back_once)
{
    enum { OTHERS = MIF_QUARANTINE + 1 };
    void *others[OTHERS];

    open_loopback(MIF_VERSION_512);
    void *ended = open_with(NULL);
    for (int i = 0; i < OTHERS; i++)
        others[i] = open_with(NULL);
    for (int times = 0; times < 3; times++)
        mif_connection_close(ended);
    for (int i = 0; i < OTHERS; i++)
        mif_connection_close(others[i]);
    void *next = open_with(NULL), *another = open_with(NULL);
    ck_assert_uint_eq(mif_cell_of(next), mif_cell_of(ended));
    ck_assert_uint_ne(mif_cell_of(another), mif_cell_of(ended));
    mif_connection_close(ended);
    ck_assert_ptr_nonnull(mif_lookup(next));
    mif_connection_close(next);
    mif_connection_close(another);
    close_loopback();
}

/* ---- the end of a link ---- */

/* More receive queues than others. */
static void raise_uneven(void)
{
    void *handle = loopback.handles[SLAVE];

    ck_assert_int_eq(mif_connection_map(handle, 0, loopback.memory, REGION_BYTES), MIF_ERR_SUCCESS);
    for (uint16_t qid = 0; qid < QUEUES; qid++)
        add_queue(handle, SLAVE, qid, false);
    add_queue(handle, SLAVE, 0, true);
    ck_assert_int_eq(mif_connection_up(handle, 0), MIF_ERR_SUCCESS);
}

static const struct mif_queue *settled[2 * QUEUES + 1];
static int settled_count;

static void settle(const struct mif_queue *q)
{
    ck_assert_int_eq(held, 0); /* whoever has the lock of a queue may wait for this one */
    ck_assert_uint_eq(atomic_load(&q->owner), 0);
    ck_assert_ptr_nonnull(q->slots);
    ck_assert_int_lt(settled_count, 2 * QUEUES);
    settled[settled_count++] = q;
}

MEMIF_TEST(who_still_copies_is_waited_for_on_each_queue)
{
    static const struct mif_lock functions = {.settle = settle};

    open_loopback(MIF_VERSION_512);
    void *handle = loopback.handles[SLAVE];
    raise_uneven();
    mif_lock = &functions;
    mif_connection_down(handle);
    mif_lock = NULL;
    ck_assert_int_eq(settled_count, QUEUES + 1);
    for (uint32_t qid = 0; qid < QUEUES; qid++)
        ck_assert_ptr_eq(settled[qid], mif_queue_at(handle, qid, MIF_RX));
    ck_assert_ptr_eq(settled[QUEUES], mif_queue_at(handle, 0, MIF_TX));
    mif_connection_release(handle);
    close_loopback();
}

MEMIF_TEST(a_lock_need_not_know_who_copies)
{
    static const struct mif_lock functions = {0};

    open_loopback(MIF_VERSION_512);
    raise_uneven();
    mif_lock = &functions;
    mif_connection_down(loopback.handles[SLAVE]);
    mif_lock = NULL;
    lower_side(SLAVE);
    close_loopback();
}

MEMIF_TEST(a_link_that_is_down_has_no_socket)
{
    open_loopback(MIF_VERSION_512);
    const struct mif_connection *conn = mif_lookup(loopback.handles[SLAVE]);
    raise_uneven();
    ck_assert_int_eq(conn->control_fd, 0);
    mif_connection_down(loopback.handles[SLAVE]);
    ck_assert_int_eq(conn->control_fd, -1);
    ck_assert_int_eq(held, 0);
    mif_connection_release(loopback.handles[SLAVE]);
    close_loopback();
}

MEMIF_TEST(each_direction_says_which_of_its_queues_it_lacks)
{
    open_loopback(MIF_VERSION_512);
    void *handle = loopback.handles[SLAVE];
    raise_uneven();
    ck_assert_int_eq(mif_why_not(handle, QUEUES - 1, MIF_RX), MIF_ERR_DISCONNECTED);
    ck_assert_int_eq(mif_why_not(handle, QUEUES - 1, MIF_TX), MIF_ERR_QID);
    ck_assert_int_eq(mif_why_not(handle, QUEUES, MIF_RX), MIF_ERR_QID);
    ck_assert_int_eq(mif_why_not(handle, 0, MIF_TX), MIF_ERR_DISCONNECTED);
    mif_connection_down(handle);
    ck_assert_int_eq(mif_why_not(handle, QUEUES, MIF_RX), MIF_ERR_DISCONNECTED);
    ck_assert_int_eq(mif_why_not(NULL, 0, MIF_RX), MIF_ERR_NOCONN);
    mif_connection_release(handle);
    close_loopback();
}

/* ---- what others are told ---- */

MEMIF_TEST(others_are_told_of_the_end_of_rings_and_of_interfaces)
{
    open_loopback(MIF_VERSION_512);
    raise_uneven();
    ck_assert_int_eq(shown.rings_forgotten, 0);
    lower_side(SLAVE);
    ck_assert_int_eq(shown.rings_forgotten, 1);
    ck_assert_uint_eq(shown.queues, QUEUES + 1);
    ck_assert_int_eq(shown.interfaces_forgotten, 0);
    mif_connection_close(loopback.handles[SLAVE]);
    ck_assert_int_eq(shown.interfaces_forgotten, 1);
    mif_connection_close(loopback.handles[SLAVE]);
    ck_assert_int_eq(shown.interfaces_forgotten, 1);
    open_side(SLAVE);
    close_loopback();
}

MEMIF_TEST_MAIN("connection")
