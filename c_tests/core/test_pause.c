/* SPDX-License-Identifier: Apache-2.0 */

/* Signals that are paused, and what another thread may change meanwhile. There is no interpreter:
 * what the source needs of python/queue.h stands here. */

#include <poll.h>

#include "harness.h"
#include "loopback.h"

#include "core/arena.h"
#include "core/errors.h"

#define MIF_PYTHON_QUEUE_H

struct queue_ref {
    void *handle;
    uint32_t qid;
};

enum { ANSWER = 42 };
static int calls;

static int mif_py_call(const struct queue_ref *ref, enum mif_direction direction,
                       enum mif_call which, memif_buffer_t *bufs, uint32_t count, uint16_t *out)
{
    ck_assert(direction == MIF_RX && which == MIF_CALL_RX && ref->handle != NULL);
    ck_assert(bufs != NULL && count == 1);
    *out = 0;
    calls++;
    return ANSWER;
}

static inline int mif_py_run(struct mif_queue *q, enum mif_call which, uint32_t extra,
                             memif_buffer_t *bufs, uint32_t count, uint16_t *out)
{
    return q->call[which](q, extra, bufs, (uint16_t)count, out);
}

#include "python/pause.c"

/* ---- what another thread does at these moments ---- */

static void (*at_signal)(void), (*at_bind)(void);

static void run_once(void (**hook)(void))
{
    void (*run)(void) = *hook;

    *hook = NULL;
    if (run != NULL)
        run();
}

bool __real_mif_efd_signal(int efd);
bool __wrap_mif_efd_signal(int efd);
bool __wrap_mif_efd_signal(int efd)
{
    run_once(&at_signal);
    return __real_mif_efd_signal(efd);
}

void __real_mif_packet_bind_rx(struct mif_queue *q, bool as_polling);
void __wrap_mif_packet_bind_rx(struct mif_queue *q, bool as_polling);
void __wrap_mif_packet_bind_rx(struct mif_queue *q, bool as_polling)
{
    __real_mif_packet_bind_rx(q, as_polling);
    run_once(&at_bind);
}

/* ---- a queue that receives ---- */

static struct mif_queue *q;
static struct queue_ref ref;
static mif_burst_fn *as_polling, *by_interrupts;
static uint16_t unpaused; /* its flags */

static void open_receiver(int i)
{
    open_loopback(i == 0 ? 256 : 512);
    raise_side(SLAVE);
    raise_side(MASTER);
    ref = (struct queue_ref){loopback.handles[SLAVE], 1};
    q = mif_queue_at(ref.handle, 1, MIF_RX);
    by_interrupts = q->call[MIF_CALL_RX];
    __real_mif_packet_bind_rx(q, true);
    as_polling = q->call[MIF_CALL_RX];
    __real_mif_packet_bind_rx(q, false);
    ck_assert(as_polling != by_interrupts);
    unpaused = MIF_RING_TELLS_ROOM; /* what it promises stays */
    atomic_store(&q->ring->flags, unpaused);
}

static void close_receiver(void)
{
    ck_assert_uint_eq(atomic_load(&q->busy), 0);
    lower_side(SLAVE);
    lower_side(MASTER);
    close_loopback();
}

static bool is_signalled(void)
{
    struct pollfd look = {.fd = q->efd, .events = POLLIN};

    return poll(&look, 1, 0) == 1;
}

static void pause_it(void)
{
    mif_py_pause(&ref);
    ck_assert_uint_eq(atomic_load(&q->busy), 0);
}

static void resume(void)
{
    memif_buffer_t buf;
    uint16_t out;
    int before = calls;

    ck_assert_int_eq(mif_py_resume(&ref, &buf, 1, &out), ANSWER);
    ck_assert_int_eq(calls, before + 1);
    ck_assert_uint_eq(atomic_load(&q->busy), 0);
    ck_assert_uint_eq(q->signal_mode & MIF_SIGNAL_PAUSED, 0);
}

static void expect_paused(void)
{
    ck_assert_uint_eq(atomic_load(&q->ring->flags), unpaused | PAUSED);
    ck_assert_uint_eq(q->signal_mode & MIF_SIGNAL_PAUSED, MIF_SIGNAL_PAUSED);
    ck_assert(q->call[MIF_CALL_RX] == as_polling);
    ck_assert(is_signalled());
}

static void expect_not_paused(uint16_t flags)
{
    ck_assert_uint_eq(atomic_load(&q->ring->flags), flags);
    ck_assert_uint_eq(q->signal_mode & MIF_SIGNAL_PAUSED, 0);
}

MEMIF_TEST_LOOP(a_pause_masks_signals_until_it_ends, 0, 2)
{
    open_receiver(_i);
    for (int times = 0; times < 2; times++) {
        pause_it();
        expect_paused();
        resume();
        expect_not_paused(unpaused);
        ck_assert(q->call[MIF_CALL_RX] == by_interrupts);
    }
    close_receiver();
}

MEMIF_TEST(a_sender_without_a_fence_is_signalled_as_before)
{
    open_receiver(1);
    atomic_store(&q->ring->sender, 0);
    pause_it();
    expect_not_paused(unpaused);
    ck_assert(q->call[MIF_CALL_RX] == by_interrupts);
    ck_assert(!is_signalled());
    close_receiver();
}

MEMIF_TEST(what_is_masked_is_not_paused)
{
    static const uint16_t masks[] = {MIF_RING_MASK_INT, MIF_RING_PAUSED, PAUSED};

    open_receiver(1);
    for (int i = 0; i < 3; i++) {
        atomic_store(&q->ring->flags, masks[i]);
        pause_it();
        expect_not_paused(masks[i]);
        ck_assert(!is_signalled());
    }
    close_receiver();
}

MEMIF_TEST(without_a_signal_there_is_no_pause)
{
    open_receiver(1);
    int efd = q->efd;
    q->efd = -1;
    pause_it();
    expect_not_paused(unpaused);
    q->efd = efd;
    close_receiver();
}

static void begin_polling(void)
{
    ck_assert_int_eq(mif_queue_set_polling(ref.handle, 1, 1), MIF_ERR_SUCCESS);
}

static void flip(void)
{
    atomic_store(&q->polling, !atomic_load(&q->polling));
}

MEMIF_TEST(the_mode_that_another_thread_sets_stays)
{
    open_receiver(1);
    at_signal = begin_polling; /* as a pause begins */
    pause_it();
    uint16_t polling = atomic_load(&q->ring->flags);
    ck_assert_uint_ne(polling & MIF_RING_MASK_INT, 0);
    expect_not_paused(polling);
    ck_assert_int_eq(mif_queue_set_polling(ref.handle, 1, 0), MIF_ERR_SUCCESS);
    unpaused = atomic_load(&q->ring->flags);
    pause_it();
    expect_paused();
    begin_polling();
    resume();
    expect_not_paused(polling);
    ck_assert(q->call[MIF_CALL_RX] == as_polling);
    for (int times = 0; times < 2; times++) {
        at_bind = flip;
        resume();
        ck_assert(q->call[MIF_CALL_RX] == (atomic_load(&q->polling) ? as_polling : by_interrupts));
    }
    close_receiver();
}

MEMIF_TEST(a_queue_that_is_down_is_not_paused)
{
    open_receiver(1);
    ref.qid = QUEUES;
    pause_it();
    resume();
    ref.qid = 1;
    expect_not_paused(unpaused);
    close_receiver();
}

MEMIF_TEST_MAIN("pause")
