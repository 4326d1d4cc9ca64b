/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Who is woken by a burst: the program itself, if packets come while it clears its eventfd; the
 * peer, if it may sleep; a sender that waits for room. The linker leads the system call that clears
 * an eventfd here, and the peer acts in that moment.
 */

#include "scene.h"
#include "system_calls.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT = 4 };

static void (*at_drain)(void);
static unsigned drains;

static long on_system_call(long number, const long *a)
{
    if (number != SYS_preadv2)
        return pass_on(number, a);
    /* An emulator of another processor may not have this call. The eventfd does not block. */
    const struct iovec *to = (const void *)(uintptr_t)a[1];
    ssize_t result = read((int)a[0], to->iov_base, to->iov_len);
    const int error = errno;
    if (at_drain != NULL) {
        drains++;
        at_drain();
    }
    errno = error;
    return result;
}

static struct testbed bed;

static bool open_bed(int way, bool interrupt)
{
    struct testbed_shape shape;

    if (!shape_of(way, &shape))
        return false;
    shape.interrupt = interrupt;
    testbed_open(&bed, &shape);
    mif_efd_drain(bed.efd[MIF_RX]);
    drains = 0;
    return true;
}

static void close_bed(void)
{
    at_drain = NULL;
    testbed_close(&bed);
}

static void peer_sends(uint32_t count)
{
    uint16_t at = atomic_load(testbed_peer_index(&bed, MIF_RX));

    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = (at + i) & (SLOTS - 1);
        struct testbed_desc desc = testbed_honest(&bed, MIF_RX, slot, 60);
        testbed_peer_write(&bed, MIF_RX, slot, &desc);
    }
    testbed_peer_move(&bed, MIF_RX, count);
}

static void expect_received(uint16_t expected, int err)
{
    uint16_t n;

    ck_assert_int_eq(testbed_receive(&bed, COUNT, &n), MIF_FACE_ERROR(err));
    ck_assert_uint_eq(n, expected);
}

/* ---- the program ---- */

static void send_one_more(void)
{
    peer_sends(1);
}

static void send_too_many(void)
{
    peer_sends(COUNT + 1);
}

static void break_the_ring(void)
{
    atomic_store(testbed_peer_index(&bed, MIF_RX), 3 * SLOTS);
}

MEMIF_TEST_LOOP(what_comes_while_the_eventfd_is_cleared_is_received, 0, WAYS)
{
    for (uint16_t before = 0; before < COUNT && open_bed(_i, true); before++) {
        peer_sends(before);
        mif_efd_signal(bed.efd[MIF_RX]);
        at_drain = send_one_more;
        expect_received((uint16_t)(before + 1), MIF_ERR_SUCCESS);
        ck_assert_uint_eq(drains, 1);
        ck_assert(!is_signalled(bed.efd[MIF_RX]));
        close_bed();
    }
}

MEMIF_TEST_LOOP(what_does_not_fit_then_is_signalled_again, 0, WAYS)
{
    for (uint16_t before = 0; before < COUNT && open_bed(_i, true); before++) {
        peer_sends(before);
        mif_efd_signal(bed.efd[MIF_RX]);
        at_drain = send_too_many;
        expect_received(COUNT, MIF_ERR_NOBUF);
        ck_assert_uint_eq(drains, 1);
        ck_assert(is_signalled(bed.efd[MIF_RX]));
        close_bed();
    }
}

MEMIF_TEST_LOOP(a_peer_that_breaks_the_rules_then_is_no_reason_to_wake_up, 0, WAYS)
{
    if (!open_bed(_i, true))
        return;
    at_drain = break_the_ring;
    expect_received(0, MIF_ERR_DISCONNECTED);
    ck_assert_uint_eq(drains, 1);
    ck_assert(!is_signalled(bed.efd[MIF_RX]));
    close_bed();
}

/* Before the eventfd is looked at. */
MEMIF_TEST_LOOP(a_ring_that_is_broken_needs_no_look_at_the_eventfd, 0, WAYS)
{
    if (!open_bed(_i, true))
        return;
    mif_efd_signal(bed.efd[MIF_RX]);
    break_the_ring();
    at_drain = send_one_more;
    expect_received(0, MIF_ERR_DISCONNECTED);
    ck_assert_uint_eq(drains, 0);
    close_bed();
}

enum { MANY = 3 * MIF_PATIENCE };
static unsigned takes;

/* Whenever the burst has taken what there is, there is one slot more. */
static enum mif_step take_while_more_comes(struct mif_queue *q, memif_buffer_t *bufs,
                                           uint32_t count, uint32_t *n, enum mif_kind kind)
{
    (void)bufs;
    (void)count;
    (void)kind;
    if (takes++ < MANY)
        peer_sends(1);
    *n += (uint32_t)(q->limit - q->next);
    q->next = q->limit;
    return MIF_STEP_OK;
}

static enum mif_step wait_while_more_comes(struct mif_queue *q, memif_buffer_t *bufs,
                                           uint32_t count, uint32_t *n, enum mif_kind kind)
{
    (void)q;
    (void)bufs;
    (void)count;
    (void)n;
    (void)kind;
    if (takes++ < MANY)
        peer_sends(1);
    return MIF_STEP_WAIT;
}

static uint16_t receive_by(mif_take_fn *take)
{
    struct mif_queue *q = mif_enter(bed.handle, 0, MIF_RX);
    uint16_t n;

    takes = 0;
    ck_assert_ptr_nonnull(q);
    ck_assert_int_eq(mif_rx_interrupt(q, NULL, SLOTS, &n, take, bed.shape.kind),
                     MIF_FACE_ERROR(MIF_ERR_SUCCESS));
    return n;
}

MEMIF_TEST_LOOP(packets_that_keep_coming_are_received, 0, WAYS)
{
    if (!open_bed(_i, true))
        return;
    mif_efd_signal(bed.efd[MIF_RX]);
    ck_assert_uint_eq(receive_by(take_while_more_comes), MANY);
    ck_assert(!is_signalled(bed.efd[MIF_RX]));
    close_bed();
}

/* A packet that grows for ever must not keep the burst. */
MEMIF_TEST_LOOP(a_packet_that_does_not_end_is_left_for_later, 0, WAYS)
{
    if (!open_bed(_i, true))
        return;
    mif_efd_signal(bed.efd[MIF_RX]);
    ck_assert_uint_eq(receive_by(wait_while_more_comes), 0);
    ck_assert_uint_eq(takes, MIF_PATIENCE);
    ck_assert(is_signalled(bed.efd[MIF_RX]));
    close_bed();
}

/* ---- the peer ---- */

static void expect_sent(uint32_t count, int err)
{
    uint16_t n;

    (void)testbed_reserve(&bed, count, 0, &n);
    ck_assert_int_eq(testbed_send(&bed, count, 60, &n), MIF_FACE_ERROR(err));
    ck_assert_uint_eq(n, count);
}

MEMIF_TEST_LOOP(a_receiver_is_signalled_unless_it_polls, 0, WAYS * 2)
{
    const bool polls = _i >= WAYS;

    for (uint32_t count = 1; count < 3 * COUNT && open_bed(_i % WAYS, false); count++) {
        atomic_store(&bed.ring[MIF_TX]->flags, polls ? MIF_RING_MASK_INT : 0);
        expect_sent(count, MIF_ERR_SUCCESS);
        ck_assert(is_signalled(bed.efd[MIF_TX]) == !polls);
        ck_assert_uint_eq(bed.queue[MIF_TX]->signals, polls ? 0 : 1);
        close_bed();
    }
}

MEMIF_TEST_LOOP(a_signal_that_cannot_be_sent_is_told, 0, WAYS)
{
    for (uint32_t count = 1; count < 3 * COUNT && open_bed(_i, false); count++) {
        bed.queue[MIF_TX]->efd = -1;
        expect_sent(count, MIF_ERR_INT_WRITE);
        bed.queue[MIF_TX]->efd = bed.efd[MIF_TX];
        close_bed();
    }
}

/* ---- a sender that waits ---- */

static struct mif_ask *question(void)
{
    struct mif_ring *ring = bed.ring[MIF_RX];

    return testbed_peer_index(&bed, MIF_RX) == &ring->head ? &ring->head_ask : &ring->tail_ask;
}

/* As core/room.h says. */
static void peer_asks_for(uint32_t slots)
{
    _Atomic uint16_t *index = testbed_peer_index(&bed, MIF_RX);
    uint16_t true_index = atomic_load(index);

    atomic_store(&question()->wanted, slots);
    atomic_store(&question()->index, MIF_ASK_VALID | true_index);
    atomic_store(index, testbed_is_256(&bed) ? UINT16_MAX : (uint16_t)(true_index + 0x8000));
}

static void give_back(uint16_t count)
{
    ck_assert_int_eq(testbed_give_back(&bed, count, 0), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
}

static void receive_all_there_is(void)
{
    uint16_t n;

    ck_assert_int_eq(testbed_receive(&bed, SLOTS, &n), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
}

MEMIF_TEST_LOOP(a_sender_that_waits_is_answered_once_there_is_room, 0, WAYS)
{
    uint32_t capacity;

    if (!open_bed(_i, false))
        return;
    mif_burst_fn *usual = atomic_load(&bed.queue[MIF_RX]->call[MIF_CALL_GIVE_BACK]);
    capacity = mif_capacity(bed.queue[MIF_RX], bed.shape.kind);
    peer_sends(capacity);
    receive_all_there_is();
    peer_asks_for(COUNT);
    receive_all_there_is();
    ck_assert_uint_eq(question()->wanted, COUNT | MIF_ASK_NOTED);
    for (uint32_t i = 1; i < COUNT; i++) {
        ck_assert(atomic_load(&bed.queue[MIF_RX]->call[MIF_CALL_GIVE_BACK]) != usual);
        give_back(1);
        ck_assert_uint_eq(question()->wanted, COUNT | MIF_ASK_NOTED);
    }
    give_back(1);
    ck_assert_uint_eq(question()->wanted, 0);
    give_back(1);
    ck_assert(atomic_load(&bed.queue[MIF_RX]->call[MIF_CALL_GIVE_BACK]) == usual);
    ck_assert_uint_eq(atomic_load(&bed.queue[MIF_RX]->busy), 0);
    ck_assert_ptr_null(testbed_fault(&bed));
    close_bed();
}

/* Gives back, and then the connection ends. */
static int give_back_and_end(struct mif_queue *q, uint32_t extra, void *bufs, uint16_t count,
                             uint16_t *out)
{
    (void)extra;
    (void)bufs;
    *out = count;
    mif_leave(q);
    mif_connection_down(bed.handle);
    return MIF_FACE_ERROR(MIF_ERR_SUCCESS);
}

MEMIF_TEST_LOOP(nobody_is_answered_when_the_connection_has_ended, 0, WAYS)
{
    uint16_t n = 0;

    if (!open_bed(_i, false))
        return;
    peer_asks_for(1);
    struct mif_queue *q = mif_enter(bed.handle, 0, MIF_RX);
    ck_assert_ptr_nonnull(q);
    ck_assert_int_eq(mif_give_back_answering(q, 0, NULL, 1, &n, give_back_and_end),
                     MIF_FACE_ERROR(MIF_ERR_SUCCESS));
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(question()->wanted, 1);
    close_bed();
}

MEMIF_TEST_MAIN("wakeups")
