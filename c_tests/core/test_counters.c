/* SPDX-License-Identifier: Apache-2.0 */

/* What queues have counted: who reads it, and where the next interface in the same place begins. */

#include "harness.h"

#include "core/arena.h"
#include "core/connection.h"
#include "core/counters.h"
#include "core/errors.h"
#include "core/setup.h"

/* ---- what the linker leads here ---- */

static int held, times_held;

void __real_mif_queues_lock(void);
void __wrap_mif_queues_lock(void)
{
    __real_mif_queues_lock();
    held++;
    times_held++;
}

void __real_mif_queues_unlock(void);
void __wrap_mif_queues_unlock(void)
{
    if (held-- != 1)
        ck_abort_msg("counts are changed without the lock of the queues");
    __real_mif_queues_unlock();
}

bool __real_mif_arena_has_queues(const void *handle, uint32_t qid);
bool __wrap_mif_arena_has_queues(const void *handle, uint32_t qid)
{
    ck_assert_uint_lt(qid, MIF_MAX_QUEUES);
    return __real_mif_arena_has_queues(handle, qid);
}

/* ---- an interface with queues that have counted ---- */

static const uint16_t qids[] = {0, 1, 7, MIF_MAX_QUEUES - 1};
enum { COUNTED = sizeof(qids) / sizeof(*qids) };

static void *open_one(void)
{
    void *handle = NULL;

    ck_assert_int_eq(mif_connection_open(&handle, NULL, NULL, NULL), MIF_ERR_SUCCESS);
    return handle;
}

static void *open_and_count(void)
{
    void *handle = open_one();

    for (int i = 0; i < COUNTED; i++) {
        ck_assert_int_eq(mif_arena_open_queues(handle, qids[i]), MIF_ERR_SUCCESS);
        for (int is_tx = 0; is_tx < 2; is_tx++) {
            struct mif_queue *q = mif_queue_at(handle, qids[i], is_tx ? MIF_TX : MIF_RX);
            q->before = (struct mif_former){.packets = 1, .bytes = 2, .full = 3, .signals = 4};
            q->refused = is_tx ? 5 : 0;
        }
    }
    return handle;
}

static struct mif_totals totals(const void *handle, uint16_t qid, int is_tx)
{
    struct mif_totals found;

    memset(&found, 0xA5, sizeof(found));
    times_held = 0;
    mif_queue_totals(handle, qid, is_tx, &found);
    ck_assert_int_eq(times_held, 1);
    return found;
}

static void expect_counts(const void *handle, uint64_t times)
{
    for (int i = 0; i < COUNTED; i++)
        for (int is_tx = 0; is_tx < 2; is_tx++) {
            struct mif_totals found = totals(handle, qids[i], is_tx);
            ck_assert_uint_eq(found.packets, times);
            ck_assert_uint_eq(found.bytes, 2 * times);
            ck_assert_uint_eq(found.full, 3 * times);
            ck_assert_uint_eq(found.signals, 4 * times);
            ck_assert_uint_eq(found.refused, is_tx ? 5 * times : 0);
        }
}

/* ---- tests ---- */

MEMIF_TEST(what_is_no_queue_has_counted_nothing)
{
    static const struct mif_totals nothing;

    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    void *handle = open_and_count();
    ck_assert_uint_eq(mif_cell_of(handle), 0); /* where NULL leads, too */
    expect_counts(handle, 1);
    for (int is_tx = 0; is_tx < 2; is_tx++) {
        struct mif_totals none[] = {totals(NULL, 0, is_tx), totals(handle, MIF_MAX_QUEUES, is_tx),
                                    totals(handle, MIF_MAX_QUEUES + 1, is_tx),
                                    totals(handle, UINT16_MAX, is_tx)};
        for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
            ck_assert_int_eq(memcmp(&none[i], &nothing, sizeof(nothing)), 0);
    }
    mif_connection_close(handle);
    struct mif_totals late = totals(handle, 0, 0);
    ck_assert_int_eq(memcmp(&late, &nothing, sizeof(nothing)), 0);
}

MEMIF_TEST(an_interface_counts_from_zero_where_another_has_been)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    void *before = open_and_count(), *ended = open_and_count(), *after = open_and_count();
    void *others[MIF_QUARANTINE];

    mif_connection_close(ended);
    /* Its place comes after so many others. */
    for (int i = 0; i < MIF_QUARANTINE; i++)
        others[i] = open_one();
    for (int i = 0; i < MIF_QUARANTINE; i++)
        mif_connection_close(others[i]);
    void *next = open_one();
    ck_assert_uint_eq(mif_cell_of(next), mif_cell_of(ended));
    expect_counts(next, 0);
    expect_counts(before, 1);
    expect_counts(after, 1);
    mif_connection_close(next);
    mif_connection_close(before);
    mif_connection_close(after);
}

/* As the end of a link does. */
MEMIF_TEST(what_a_link_has_counted_is_kept_once)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    void *handle = open_and_count();
    for (int i = 0; i < COUNTED; i++)
        for (int is_tx = 0; is_tx < 2; is_tx++) {
            struct mif_queue *q = mif_queue_at(handle, qids[i], is_tx ? MIF_TX : MIF_RX);
            /* One of its packets has two slots more. */
            if (is_tx)
                q->done = 3;
            else
                q->next = 3;
            q->limit = 9;
            q->extra_slots = 2;
            q->bytes = 2;
            q->full = 3;
            q->signals = 4;
            q->refused *= 2;
        }
    expect_counts(handle, 2);
    for (int times = 0; times < 2; times++) {
        for (int i = 0; i < COUNTED; i++) {
            mif_totals_keep(mif_queue_at(handle, qids[i], MIF_RX), false);
            mif_totals_keep(mif_queue_at(handle, qids[i], MIF_TX), true);
        }
        expect_counts(handle, 2);
    }
    struct mif_queue *q = mif_queue_at(handle, 0, MIF_TX);
    ck_assert_uint_eq(q->done + q->next + q->limit + q->extra_slots, 0);
    mif_connection_close(handle);
}

MEMIF_TEST_MAIN("counters")
