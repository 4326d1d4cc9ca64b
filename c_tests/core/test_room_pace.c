/* SPDX-License-Identifier: Apache-2.0 */

/* When a sender that waits for room looks again, to the nanosecond. */

#include "fake_time.h"

/* ---- naps ---- */

/* Twice as long each time, until the end. */
MEMIF_TEST_LOOP(where_nothing_moves_naps_grow, 0, WAYS)
{
    static const uint16_t flags[] = {0, MIF_RING_MASK_INT, MIF_RING_FENCED};

    for (int i = 0; i < 3; i++) {
        int64_t nap = SHORTEST, left = 5 * LONGEST;
        open_scene(_i, 1, flags[i]);
        ck_assert_int_eq(wait_for(4, 5), MIF_ERR_AGAIN);
        for (unsigned n = 0; n < nap_count; n++) {
            ck_assert_int_eq(naps[n], nap < left ? nap : left);
            left -= naps[n];
            nap = 2 * nap < LONGEST ? 2 * nap : LONGEST;
        }
        ck_assert_int_eq(left, 0);
        ck_assert_uint_eq(sleep_count + barriers, 0);
        close_scene();
    }
}

static const uint16_t steps[] = {2, 2, 0, 1, 1, 0, 2};
enum { STEPS = sizeof(steps) / sizeof(steps[0]), WANTED = 8 + 3 };

static void give_back_a_step(void)
{
    if (nap_count <= STEPS && steps[nap_count - 1] > 0)
        give_back(steps[nap_count - 1]);
}

static int64_t within(int64_t nap)
{
    return nap < SHORTEST ? SHORTEST : nap > LONGEST ? LONGEST : nap;
}

/* 3 slots were free at first: what the receiver gave back since then says how fast it is. */
MEMIF_TEST_LOOP(a_nap_is_as_long_as_the_receiver_takes, 0, WAYS)
{
    int64_t elapsed = 0, nap = SHORTEST;
    uint32_t gained = 0;

    open_scene(_i, 3, 0);
    at_nap = give_back_a_step;
    ck_assert_int_eq(wait_for(WANTED, -1), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(nap_count, STEPS);
    for (unsigned n = 0; n < STEPS; n++) {
        ck_assert_int_eq(naps[n], nap);
        elapsed += naps[n];
        gained += steps[n];
        nap = within(elapsed / gained * (WANTED - 3 - gained));
    }
    ck_assert_int_eq(now, START + elapsed);
    close_scene();
}

static void give_back_late(void)
{
    if (nap_count == 1) {
        now += 40 * LONGEST;
        give_back(1);
    } else if (nap_count == 2) {
        now = START + 3;
    } else {
        give_back(3);
    }
}

MEMIF_TEST_LOOP(no_nap_is_too_long_or_too_short, 0, WAYS)
{
    open_scene(_i, 0, 0);
    at_nap = give_back_late;
    ck_assert_int_eq(wait_for(4, -1), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(nap_count, 3);
    ck_assert_int_eq(naps[1], LONGEST);
    ck_assert_int_eq(naps[2], SHORTEST);
    close_scene();
}

static int64_t measured;

/* One of two slots in exactly that time: the other will take as long. */
static void give_back_after(void)
{
    if (nap_count == 1)
        now = START + measured;
    give_back(1);
}

MEMIF_TEST_LOOP(a_nap_is_cut_to_the_nanosecond, 0, WAYS)
{
    static const int64_t all[] = {SHORTEST - 1, SHORTEST, SHORTEST + 1,
                                  LONGEST - 1,  LONGEST,  LONGEST + 1};

    for (int i = 0; i < 6; i++) {
        open_scene(_i, 0, 0);
        measured = all[i];
        at_nap = give_back_after;
        ck_assert_int_eq(wait_for(2, -1), MIF_ERR_SUCCESS);
        ck_assert_uint_eq(nap_count, 2);
        ck_assert_int_eq(naps[1], within(measured));
        close_scene();
    }
}

/* The time for all that is missing has more than 63 bits. */
MEMIF_TEST_LOOP(a_wait_of_decades_naps_as_any_other, 0, WAYS)
{
    open_scene(_i, 0, 0);
    measured = 1000000000000000000;
    at_nap = give_back_after;
    ck_assert_int_eq(wait_for(capacity, -1), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(nap_count, capacity);
    for (unsigned n = 1; n < nap_count; n++)
        ck_assert_int_eq(naps[n], LONGEST);
    close_scene();
}

static void leave_a_nanosecond_more(void)
{
    if (nap_count == 1)
        now = START + LONGEST - 2 * SHORTEST - 1;
}

MEMIF_TEST_LOOP(the_last_nap_may_be_a_nanosecond, 0, WAYS)
{
    open_scene(_i, 0, 0);
    at_nap = leave_a_nanosecond_more;
    ck_assert_int_eq(wait_for(2, 1), MIF_ERR_AGAIN);
    ck_assert_uint_eq(nap_count, 3);
    ck_assert_int_eq(naps[1], 2 * SHORTEST);
    ck_assert_int_eq(naps[2], 1);
    close_scene();
}

/* ---- sleeps ---- */

/* A nap until the question is noted, then longer sleeps until the time is up. */
MEMIF_TEST_LOOP(a_noted_question_lets_the_sender_sleep, 0, WAYS)
{
    open_scene(_i, 0, MIF_RING_TELLS_ROOM);
    at_sleep = note_the_question;
    ck_assert_int_eq(wait_for(4, 45), MIF_ERR_AGAIN);
    ck_assert_uint_eq(sleep_count, 4);
    ck_assert_int_eq(sleeps[0], SHORTEST);
    ck_assert_int_eq(sleeps[1], MOST_SLEEP);
    ck_assert_int_eq(sleeps[2], MOST_SLEEP);
    ck_assert_int_eq(sleeps[3], 45 * LONGEST - 2 * MOST_SLEEP - SHORTEST);
    ck_assert_uint_eq(nap_count, 0);
    ck_assert_uint_eq(barriers, 1);
    close_scene();
}

/* Until it is noted the sleeps grow as naps do. */
MEMIF_TEST_LOOP(a_question_that_nobody_reads_is_slept_on_as_a_nap, 0, WAYS)
{
    int64_t nap = SHORTEST, left = 2 * LONGEST;

    open_scene(_i, 0, MIF_RING_TELLS_ROOM);
    ck_assert_int_eq(wait_for(4, 2), MIF_ERR_AGAIN);
    for (unsigned n = 0; n < sleep_count; n++) {
        ck_assert_int_eq(sleeps[n], nap < left ? nap : left);
        left -= sleeps[n];
        nap = 2 * nap < LONGEST ? 2 * nap : LONGEST;
    }
    ck_assert_int_eq(left, 0);
    ck_assert_uint_eq(nap_count, 0);
    close_scene();
}

static void fail_to_sleep(void)
{
    sleep_errno = sleep_count % 2 == 0 ? EFAULT : ENOSYS;
}

/* Where the kernel refuses to sleep on the word, it is a nap. */
MEMIF_TEST_LOOP(who_cannot_sleep_naps, 0, WAYS)
{
    open_scene(_i, 0, MIF_RING_TELLS_ROOM);
    at_sleep = fail_to_sleep;
    ck_assert_int_eq(wait_for(4, 3), MIF_ERR_AGAIN);
    ck_assert_uint_eq(nap_count, sleep_count);
    ck_assert_uint_gt(nap_count, 3);
    for (unsigned n = 0; n + 1 < nap_count; n++)
        ck_assert_int_eq(naps[n], sleeps[n]);
    close_scene();
}

static void note_and_fail(void)
{
    note_the_question();
    sleep_errno = EFAULT;
}

MEMIF_TEST_LOOP(who_cannot_sleep_naps_for_a_millisecond_at_most, 0, WAYS)
{
    open_scene(_i, 0, MIF_RING_TELLS_ROOM);
    at_sleep = note_and_fail;
    ck_assert_int_eq(wait_for(4, 50), MIF_ERR_AGAIN);
    ck_assert_uint_eq(sleep_count, 4);
    ck_assert_int_eq(naps[0], SHORTEST);
    ck_assert_int_eq(naps[1], LONGEST);
    ck_assert_int_eq(naps[2], LONGEST);
    close_scene();
}

/* A wake-up, or a signal: neither says that the word has changed, whatever errno was before. */
MEMIF_TEST_LOOP(a_sleep_that_ends_early_is_not_made_up_for, 0, WAYS * 3)
{
    open_scene(_i % WAYS, 0, MIF_RING_TELLS_ROOM);
    sleep_result = _i / WAYS == 0 ? -1 : 0;
    sleep_errno = _i / WAYS == 0 ? EINTR : _i / WAYS == 1 ? EAGAIN : EFAULT;
    ck_assert_int_eq(wait_for(4, 1), MIF_ERR_AGAIN);
    ck_assert_uint_eq(nap_count, 0);
    ck_assert_uint_eq(barriers, 1);
    ck_assert_int_eq(now, START + LONGEST);
    close_scene();
}

/* ---- the end of the time ---- */

MEMIF_TEST_LOOP(who_has_no_time_does_not_ask, 0, WAYS)
{
    open_scene(_i, 0, MIF_RING_TELLS_ROOM);
    ck_assert_int_eq(wait_for(4, 0), MIF_ERR_AGAIN);
    ck_assert_uint_eq(barriers + sleep_count + nap_count, 0);
    close_scene();
}

MEMIF_TEST_LOOP(who_has_a_nanosecond_left_asks, 0, WAYS)
{
    open_scene(_i, 0, MIF_RING_TELLS_ROOM);
    tick = LONGEST - 1;
    ck_assert_int_eq(wait_for(4, 1), MIF_ERR_AGAIN);
    ck_assert_uint_eq(barriers, 1);
    ck_assert_uint_eq(sleep_count, 1);
    ck_assert_int_eq(sleeps[0], 1);
    close_scene();
}

MEMIF_TEST_MAIN("pace of room")
