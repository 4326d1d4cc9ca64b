/* SPDX-License-Identifier: Apache-2.0 */

/* What a sender that waits for room asks, and what it does if things change meanwhile. */

#include "fake_time.h"

/* ---- the question ---- */

static void expect_question(void)
{
    struct mif_queue *q = sender();
    uint16_t index = mif_own_index(q, false, (enum mif_kind)q->kind);
    bool is_256 = mif_kind_is_256((enum mif_kind)q->kind);

    ck_assert_uint_ne(index, 0);
    ck_assert_uint_eq(question()->wanted, 4 + 2);
    ck_assert_uint_eq(question()->index, MIF_ASK_VALID | index);
    ck_assert_uint_eq(atomic_load(q->own_index), is_256 ? UINT16_MAX : (uint16_t)(index + 0x8000));
    ck_assert(is_signalled());
    at_sleep = NULL;
}

/* As core/room.h says: what the sender has reserved is wanted as well. */
MEMIF_TEST_LOOP(a_question_is_asked_for_all_that_is_not_sent, 0, WAYS)
{
    memif_buffer_t bufs[2];
    uint16_t count;

    open_scene(_i, 3, MIF_RING_TELLS_ROOM);
    ck_assert_int_eq(
        mif_call(loopback.handles[from], 0, MIF_TX, MIF_CALL_RESERVE, 64, bufs, 2, &count), 0);
    ck_assert_uint_eq(count, 2);
    at_sleep = expect_question;
    ck_assert_int_eq(wait_for(4, 1), MIF_ERR_AGAIN);
    ck_assert(at_sleep == NULL);
    close_scene();
}

static void answer_falsely(void)
{
    ck_assert(is_signalled());
    atomic_store(&question()->wanted, 0);
}

/* And no more after an answer that was not true. */
MEMIF_TEST_LOOP(a_question_is_asked_for_a_single_slot_as_well, 0, WAYS)
{
    open_scene(_i, 3, MIF_RING_TELLS_ROOM);
    at_sleep = answer_falsely;
    ck_assert_int_eq(wait_for(4, 1), MIF_ERR_AGAIN);
    ck_assert_uint_eq(sleep_count, 1);
    ck_assert_uint_eq(barriers, 1);
    close_scene();
}

/* A receiver is woken only to answer. */
MEMIF_TEST_LOOP(who_finds_room_after_all_wakes_nobody, 0, WAYS)
{
    open_scene(_i, 0, MIF_RING_TELLS_ROOM);
    at_barrier = give_back_four;
    ck_assert_int_eq(wait_for(4, -1), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(barriers, 1);
    ck_assert(!is_signalled());
    close_scene();
}

MEMIF_TEST_LOOP(a_receiver_that_breaks_the_rules_meanwhile_is_not_waited_for, 0, WAYS)
{
    open_scene(_i, 0, MIF_RING_TELLS_ROOM);
    at_barrier = break_the_ring;
    ck_assert_int_eq(wait_for(4, -1), MIF_ERR_DISCONNECTED);
    ck_assert_str_eq(mif_connection_fault(loopback.handles[from]), "ring index out of range");
    ck_assert_uint_eq(sleep_count + nap_count, 0);
    ck_assert(!is_signalled());
    close_scene();
}

static void lower_sender(void)
{
    at_clock = NULL;
    lower_side(from);
}

/* Between a look and the question. */
MEMIF_TEST_LOOP(a_connection_may_end_before_the_question, 0, WAYS)
{
    open_scene(_i, 0, MIF_RING_TELLS_ROOM);
    at_clock = lower_sender;
    ck_assert_int_eq(wait_for(4, -1), MIF_ERR_DISCONNECTED);
    ck_assert_uint_eq(barriers + sleep_count + nap_count, 0);
    lower_side(to);
    close_loopback();
}

/* ---- other questions ---- */

/* A receiver asks for nothing: its index is as it is. */
MEMIF_TEST_LOOP(a_receiver_that_asks_ends_the_connection, 0, WAYS)
{
    uint16_t count;
    memif_buffer_t buf;

    open_scene(_i, 0, 0);
    struct mif_queue *q = sender();
    struct mif_ask *ask = q->peer_index == &q->ring->head ? &q->ring->head_ask : &q->ring->tail_ask;
    atomic_store(&ask->wanted, 1);
    atomic_store(&ask->index, MIF_ASK_VALID | atomic_load(q->peer_index));
    break_the_ring();
    ck_assert_int_eq(
        mif_call(loopback.handles[from], 0, MIF_TX, MIF_CALL_RESERVE, 64, &buf, 1, &count),
        mif_error_to_v1(MIF_ERR_DISCONNECTED));
    ck_assert_uint_eq(ask->wanted, 1);
    close_scene();
}

/* Onlookers take for a question only what is one. */
MEMIF_TEST_LOOP(an_index_is_shown_as_it_is_unless_it_asks, 0, WAYS)
{
    open_scene(_i, 0, 0);
    struct mif_queue *q = sender();
    const uint16_t was = atomic_load(q->own_index);
    const bool is_256 = mif_kind_is_256((enum mif_kind)q->kind);
    const uint16_t asking = is_256 ? UINT16_MAX : 5 + 0x8000;

    atomic_store(q->own_index, asking);
    atomic_store(&question()->index, 5);
    ck_assert_uint_eq(mif_room_index(q, q->own_index), asking);
    atomic_store(&question()->index, MIF_ASK_VALID | 5);
    ck_assert_uint_eq(mif_room_index(q, q->own_index), 5);
    atomic_store(q->own_index, 7);
    ck_assert_uint_eq(mif_room_index(q, q->own_index), 7);
    atomic_store(q->own_index, was);
    close_scene();
}

MEMIF_TEST_MAIN("questions of room")
