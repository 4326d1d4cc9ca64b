/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A sender that waits for room asks a receiver of this library, sleeps, and is woken: in each order
 * of the steps of both (see core/room.h), and with peers that do not play by the rules. What the
 * receiver does happens in the moment of the sender's system call, which the linker leads here
 * first; so one thread is enough.
 */

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "sender.h"
#include "system_calls.h"

int __real_nanosleep(const struct timespec *time, struct timespec *rest);
int __wrap_nanosleep(const struct timespec *time, struct timespec *rest);

/* What is done in the moment of a call, and how many calls there were. */
static void (*at_barrier)(void), (*at_sleep)(void), (*at_noted_sleep)(void), (*at_nap)(void);
/* Longer than anything that is done in a wait takes on a machine that is busy. */
enum { LONG_MS = 250 };

static unsigned barriers, sleeps, noted_sleeps, wakes, naps;
/* In nanoseconds, of the sleeps of both kinds. */
static int64_t longest_sleep, longest_noted_sleep;
/* Sleeps that end at once, as by a wake-up that comes late. */
static unsigned late_wakes;
static bool is_woken_at_once;

static void note_sleep(const struct timespec *time, unsigned *count, int64_t *longest)
{
    (*count)++;
    if (time->tv_nsec > *longest)
        *longest = time->tv_nsec;
}

static long on_system_call(long number, const long *a)
{
    if (number == SYS_membarrier && a[0] == MEMBARRIER_CMD_GLOBAL_EXPEDITED) {
        barriers++;
        if (at_barrier != NULL)
            at_barrier();
    }
    const struct timespec *time = (const void *)(uintptr_t)a[3];
    if (number == SYS_futex && a[1] == FUTEX_WAIT && ((uint32_t)a[2] & MIF_ASK_NOTED)) {
        note_sleep(time, &noted_sleeps, &longest_noted_sleep);
        if (at_noted_sleep != NULL)
            at_noted_sleep();
    } else if (number == SYS_futex && a[1] == FUTEX_WAIT) {
        note_sleep(time, &sleeps, &longest_sleep);
        if (late_wakes > 0) {
            late_wakes--;
            return 0;
        }
        if (at_sleep != NULL)
            at_sleep();
        if (is_woken_at_once)
            return 0;
    }
    wakes += number == SYS_futex && a[1] == FUTEX_WAKE;
    return pass_on(number, a);
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
    naps++;
    if (at_nap != NULL)
        at_nap();
    return __real_nanosleep(time, rest);
}

/* ---- the scene: one side has filled the ring ---- */

static memif_buffer_t held[SLOTS]; /* by the receiver */
static uint16_t received, given_back;

static struct mif_ask *question(void)
{
    struct mif_queue *q = sender();

    return q->own_index == &q->ring->head ? &q->ring->head_ask : &q->ring->tail_ask;
}

static int receive(uint16_t most)
{
    uint16_t count = 0;
    int err =
        mif_call(loopback.handles[to], 0, MIF_RX, MIF_CALL_RX, 0, held + received, most, &count);

    received = (uint16_t)(received + count);
    return err;
}

static void give_back(uint16_t packets)
{
    uint16_t count = 0;

    ck_assert_int_eq(mif_call(loopback.handles[to], 0, MIF_RX, MIF_CALL_GIVE_BACK, 0,
                              held + given_back, packets, &count),
                     0);
    ck_assert_uint_eq(count, packets);
    given_back = (uint16_t)(given_back + packets);
}

static void open_full(int way)
{
    at_barrier = at_sleep = at_noted_sleep = at_nap = NULL;
    open_way(way);
    send_packets(capacity);
    received = given_back = 0;
    barriers = sleeps = noted_sleeps = wakes = naps = late_wakes = 0;
    longest_sleep = longest_noted_sleep = 0;
    is_woken_at_once = false;
}

static void close_both(void)
{
    at_barrier = at_sleep = at_noted_sleep = at_nap = NULL;
    close_way();
}

static uint16_t index_now(void)
{
    return atomic_load(sender()->own_index);
}

/* ---- each order of the steps ---- */

static void take_and_give_back_four(void)
{
    at_barrier = NULL;
    ck_assert_int_eq(receive(4), mif_error_to_v1(MIF_ERR_NOBUF));
    give_back(4);
}

MEMIF_TEST_LOOP(room_that_came_before_the_barrier_is_found_without_sleep, 0, WAYS)
{
    open_full(_i);
    uint16_t index = index_now();
    at_barrier = take_and_give_back_four;
    ck_assert_int_eq(wait_for(4, -1), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(sleeps + naps, 0);
    ck_assert_uint_eq(index_now(), index);
    close_both();
}

static void take_all_and_give_back_in_two_steps(void)
{
    ck_assert_uint_eq(received, 0);
    ck_assert_int_eq(receive(SLOTS), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(received, capacity);
    give_back(3);
    ck_assert_uint_eq(wakes, 0);
    ck_assert_uint_ne(question()->wanted, 0);
    give_back(1);
    ck_assert_uint_eq(wakes, 1);
    ck_assert_uint_eq(question()->wanted, 0);
    give_back(1);
    ck_assert_uint_eq(wakes, 1);
}

MEMIF_TEST_LOOP(a_sender_is_woken_as_soon_as_enough_is_given_back, 0, WAYS)
{
    open_full(_i);
    uint16_t index = index_now();
    at_sleep = take_all_and_give_back_in_two_steps;
    ck_assert_int_eq(wait_for(4, -1), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(sleeps, 1);
    ck_assert_uint_eq(barriers, 1);
    ck_assert_uint_eq(naps, 0);
    ck_assert_uint_eq(index_now(), index);
    send_packets(5);
    given_back = received = 0;
    close_both();
}

static void give_back_four_and_look(void)
{
    give_back(4);
    ck_assert_uint_eq(wakes, 0); /* nobody asked when the ring was looked at last */
    ck_assert_int_eq(receive(1), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(wakes, 1);
}

MEMIF_TEST_LOOP(what_was_given_back_unasked_is_told_at_the_next_look, 0, WAYS)
{
    open_full(_i);
    ck_assert_int_eq(receive(SLOTS), MIF_ERR_SUCCESS);
    at_sleep = give_back_four_and_look;
    ck_assert_int_eq(wait_for(4, -1), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(sleeps, 1);
    close_both();
}

static void give_back_one_of_those_that_are_known(void)
{
    ck_assert_int_eq(receive(1), mif_error_to_v1(MIF_ERR_NOBUF));
    give_back(1);
    ck_assert_uint_eq(question()->wanted, 4);
}

/* Who knows of packets enough does not read our index. */
MEMIF_TEST_LOOP(until_a_question_is_noted_the_sender_only_naps, 0, WAYS)
{
    open_full(_i);
    ck_assert_int_eq(receive(1), mif_error_to_v1(MIF_ERR_NOBUF));
    at_sleep = give_back_one_of_those_that_are_known;
    ck_assert_int_eq(wait_for(4, -1), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(sleeps, 4);
    ck_assert_uint_eq(noted_sleeps + wakes, 0);
    ck_assert_int_le(longest_sleep, 1000000);
    close_both();
}

static void take_all(void)
{
    ck_assert_int_eq(receive(SLOTS), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(question()->wanted, 4 | MIF_ASK_NOTED);
}

static void give_back_four_when_asked(void)
{
    give_back(4);
    ck_assert_uint_eq(wakes, 1);
}

MEMIF_TEST_LOOP(when_it_is_noted_the_sender_sleeps_until_the_answer, 0, WAYS)
{
    open_full(_i);
    at_sleep = take_all;
    at_noted_sleep = give_back_four_when_asked;
    ck_assert_int_eq(wait_for(4, -1), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(sleeps, 1);
    ck_assert_uint_eq(noted_sleeps, 1);
    ck_assert_uint_eq(barriers, 1);
    ck_assert_uint_eq(naps, 0);
    ck_assert_int_gt(longest_noted_sleep, 1000000);
    close_both();
}

static void wake_up_and_take_all(void)
{
    struct pollfd ready = {.fd = mif_queue_at(loopback.handles[to], 0, MIF_RX)->efd,
                           .events = POLLIN};
    bool polls = atomic_load(&mif_queue_at(loopback.handles[to], 0, MIF_RX)->polling);

    ck_assert_int_eq(poll(&ready, 1, 0), polls ? 0 : 1);
    take_all_and_give_back_in_two_steps();
}

MEMIF_TEST_LOOP(only_a_receiver_that_may_sleep_is_signalled, 0, 2 * WAYS)
{
    open_full(_i / 2);
    ck_assert_int_eq(mif_queue_set_polling(loopback.handles[to], 0, _i % 2), MIF_ERR_SUCCESS);
    mif_efd_drain(mif_queue_at(loopback.handles[to], 0, MIF_RX)->efd);
    barriers = 0;
    at_sleep = wake_up_and_take_all;
    ck_assert_int_eq(wait_for(4, -1), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(sleeps, 1);
    close_both();
}

/* The question as a sender writes it, and how it is taken back. */
static void ask_for(uint32_t slots)
{
    uint16_t index = index_now();

    atomic_store(&question()->wanted, slots);
    atomic_store(&question()->index, MIF_ASK_VALID | index);
    atomic_store(sender()->own_index, mif_kind_is_256((enum mif_kind)sender()->kind)
                                          ? UINT16_MAX
                                          : (uint16_t)(index + 0x8000));
}

static void ask_no_more(void)
{
    mif_publish(sender(), false, (enum mif_kind)sender()->kind);
}

MEMIF_TEST_LOOP(a_question_that_was_withdrawn_is_not_answered, 0, WAYS)
{
    open_full(_i);
    ck_assert_int_eq(receive(SLOTS), MIF_ERR_SUCCESS);
    ask_for(4);
    ck_assert_int_eq(receive(1), MIF_ERR_SUCCESS);
    ask_no_more();
    give_back(4);
    ck_assert_uint_eq(wakes, 0);
    ck_assert_uint_eq(question()->wanted, 4 | MIF_ASK_NOTED);
    close_both();
}

MEMIF_TEST_LOOP(a_second_question_is_answered_by_its_own_index, 0, WAYS)
{
    open_full(_i);
    ck_assert_int_eq(receive(SLOTS), MIF_ERR_SUCCESS);
    ask_for(4);
    ck_assert_int_eq(receive(1), MIF_ERR_SUCCESS);
    give_back(3);
    ask_no_more();
    send_packets(3);
    ask_for(5);
    give_back(2);
    ck_assert_uint_eq(wakes, 0);
    ck_assert_uint_eq(question()->wanted, 5 | MIF_ASK_NOTED);
    give_back(3);
    ck_assert_uint_eq(wakes, 1);
    ck_assert_uint_eq(question()->wanted, 0);
    close_both();
}

MEMIF_TEST_LOOP(a_late_wake_up_is_no_answer, 0, WAYS)
{
    open_full(_i);
    late_wakes = 2;
    at_sleep = take_all_and_give_back_in_two_steps;
    ck_assert_int_eq(wait_for(4, -1), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(sleeps, 3);
    ck_assert_uint_eq(barriers, 1);
    ck_assert_uint_eq(naps, 0);
    close_both();
}

static void look_at_details(void)
{
    struct mif_queue_state state;
    struct mif_queue *q = sender();

    ck_assert_uint_ne(index_now(), mif_own_index(q, false, (enum mif_kind)q->kind));
    for (int side = MASTER; side < SIDES; side++) {
        ck_assert_int_eq(mif_queue_look(loopback.handles[side], 0, side == (int)from, &state), 0);
        uint16_t shown = q->own_index == &q->ring->head ? state.head : state.tail;
        ck_assert_uint_eq(shown, mif_own_index(q, false, (enum mif_kind)q->kind));
    }
    take_all_and_give_back_in_two_steps();
}

MEMIF_TEST_LOOP(details_show_the_true_index_meanwhile, 0, WAYS)
{
    open_full(_i);
    at_sleep = look_at_details;
    ck_assert_int_eq(wait_for(4, -1), MIF_ERR_SUCCESS);
    close_both();
}

static void lower_both(void)
{
    at_sleep = NULL;
    lower_side(from);
    lower_side(to);
}

MEMIF_TEST_LOOP(a_connection_that_ends_ends_the_wait, 0, WAYS)
{
    open_full(_i);
    at_sleep = lower_both;
    ck_assert_int_eq(wait_for(4, -1), MIF_ERR_DISCONNECTED);
    ck_assert_uint_eq(wakes, 2 * QUEUES);
    close_loopback();
}

MEMIF_TEST_LOOP(who_is_woken_by_the_end_does_not_sleep_again, 0, WAYS)
{
    open_full(_i);
    at_sleep = lower_both;
    is_woken_at_once = true;
    ck_assert_int_eq(wait_for(4, -1), MIF_ERR_DISCONNECTED);
    ck_assert_uint_eq(sleeps, 1);
    ck_assert_uint_eq(naps, 0);
    close_loopback();
}

MEMIF_TEST_LOOP(a_wait_in_vain_withdraws_the_question, 0, WAYS)
{
    open_full(_i);
    uint16_t index = index_now();
    ck_assert_int_eq(wait_for(4, LONG_MS), MIF_ERR_AGAIN);
    ck_assert_uint_eq(barriers, 1);
    ck_assert_uint_gt(sleeps, 0);
    ck_assert_uint_eq(naps, 0);
    ck_assert_uint_eq(index_now(), index);
    ck_assert_int_eq(wait_for(4, 0), MIF_ERR_AGAIN);
    ck_assert_uint_eq(barriers, 1);
    close_both();
}

/* ---- other peers ---- */

static void expect_nothing_asked(void)
{
    ck_assert_uint_eq(index_now(), mif_own_index(sender(), false, (enum mif_kind)sender()->kind));
    ck_assert_uint_eq(question()->wanted, 0);
    ck_assert_uint_eq(question()->index, 0);
    if (naps == 3)
        take_and_give_back_four();
}

MEMIF_TEST_LOOP(a_receiver_that_promises_nothing_is_not_asked, 0, WAYS)
{
    open_full(_i);
    atomic_store(&sender()->ring->flags, 0);
    at_nap = expect_nothing_asked;
    ck_assert_int_eq(wait_for(4, -1), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(naps, 3);
    ck_assert_uint_eq(sleeps + barriers, 0);
    close_both();
}

MEMIF_TEST_LOOP(who_watches_such_a_receiver_is_told_to_look_again, 0, WAYS)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct pollfd ready = {.fd = fd, .events = POLLIN};

    open_full(_i);
    atomic_store(&sender()->ring->flags, 0);
    at_nap = expect_nothing_asked;
    ck_assert_int_eq(mif_room_watch(loopback.handles[from], 0, 4, fd), MIF_ERR_AGAIN);
    ck_assert_int_eq(poll(&ready, 1, -1), 1);
    ck_assert_int_eq(close(fd), 0);
    close_both();
}

static void answer_falsely(void)
{
    atomic_store(&question()->wanted, 0);
}

MEMIF_TEST_LOOP(who_is_woken_without_room_asks_no_more_but_looks, 0, WAYS)
{
    open_full(_i);
    at_sleep = answer_falsely;
    ck_assert_int_eq(wait_for(4, LONG_MS), MIF_ERR_AGAIN);
    ck_assert_uint_eq(sleeps, 1);
    ck_assert_uint_eq(barriers, 1);
    ck_assert_uint_gt(naps, 0);
    close_both();
}

/* As a sender that lies. `index` 0: no valid question. */
static void ask_falsely(uint32_t index, uint32_t wanted)
{
    atomic_store(&question()->index, index);
    atomic_store(&question()->wanted, wanted);
    atomic_store(sender()->own_index, UINT16_MAX - 1);
}

static bool is_faulted(void)
{
    return atomic_load(&mif_lookup(loopback.handles[to])->faulted);
}

MEMIF_TEST_LOOP(a_false_question_ends_the_connection_as_a_false_index_does, 0, 2 * WAYS)
{
    open_full(_i / 2);
    uint32_t beyond = (uint16_t)(index_now() + SLOTS + 1);
    if (_i % 2 == 0)
        ask_falsely(0, 1);
    else
        ask_falsely(MIF_ASK_VALID | beyond, 1);
    ck_assert_int_eq(receive(1), mif_error_to_v1(MIF_ERR_DISCONNECTED));
    ck_assert(is_faulted());
    close_both();
}

MEMIF_TEST_LOOP(a_question_for_more_than_the_ring_has_costs_time_only, 0, WAYS)
{
    open_full(_i);
    ask_falsely(MIF_ASK_VALID | index_now(), UINT32_MAX);
    for (uint16_t i = 0; i < capacity; i++) {
        (void)receive(1);
        give_back(1);
    }
    ck_assert_uint_eq(received, capacity);
    ck_assert_uint_eq(wakes, 0);
    ck_assert(!is_faulted());
    close_both();
}

MEMIF_TEST_MAIN("room")
