/* SPDX-License-Identifier: Apache-2.0 */

/* Handles: each is used once, and a cell rests before it is used again. */

#include <string.h>

#include "harness.h"

#include "core/arena.h"
#include "core/connection.h"
#include "core/errors.h"
#include "core/setup.h"

static void *handles[MIF_MAX_CELLS];

static void *open_one(void)
{
    void *handle = NULL;

    ck_assert_int_eq(mif_connection_open(&handle, NULL, NULL, NULL), MIF_ERR_SUCCESS);
    ck_assert_ptr_nonnull(mif_lookup(handle));
    return handle;
}

MEMIF_TEST(before_the_set_up_no_handle_leads_anywhere)
{
    void *handle = NULL;

    ck_assert(!mif_arena_is_published());
    for (uintptr_t guess = 0; guess < 1 << 20; guess += 509) {
        ck_assert_ptr_null(mif_lookup((void *)guess));
        ck_assert_ptr_null(mif_enter((void *)guess, (uint32_t)(guess % 300), MIF_RX));
    }
    ck_assert_int_eq(mif_connection_open(&handle, NULL, NULL, NULL), MIF_ERR_INVAL_ARG);
    ck_assert_ptr_null(handle);
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    ck_assert(mif_arena_is_published());
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS); /* once more changes nothing */
    mif_connection_close(open_one());
}

MEMIF_TEST(a_handle_is_used_once)
{
    uintptr_t last = 0;

    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    for (int round = 0; round < 10000; round++) {
        void *handle = open_one();
        ck_assert_uint_gt((uintptr_t)handle >> MIF_SERIAL_SHIFT, last);
        last = (uintptr_t)handle >> MIF_SERIAL_SHIFT;
        mif_connection_close(handle);
        ck_assert_ptr_null(mif_lookup(handle));
        mif_connection_close(handle); /* nobody's any more */
    }
}

MEMIF_TEST(a_closed_cell_rests_behind_so_many_others)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    void *kept = open_one();
    const uint32_t first = mif_cell_of(kept) + 1;
    for (uint32_t round = 0; round < 5 * (MIF_QUARANTINE + 1); round++) {
        void *handle = open_one();
        /* The oldest is the first that is used again. */
        ck_assert_uint_eq(mif_cell_of(handle), first + round % (MIF_QUARANTINE + 1));
        mif_connection_close(handle);
    }
    ck_assert_ptr_nonnull(mif_lookup(kept));
    mif_connection_close(kept);
}

MEMIF_TEST(a_closed_cell_reads_as_zeroes)
{
    static const uint8_t zeroes[sizeof(struct mif_connection)];

    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    void *handle = open_one();
    struct mif_connection *conn = mif_lookup(handle);
    ck_assert_int_ne(memcmp(conn, zeroes, sizeof(zeroes)), 0);
    mif_connection_close(handle);
    ck_assert_int_eq(memcmp(conn, zeroes, sizeof(zeroes)), 0);
}

MEMIF_TEST(there_are_so_many_and_each_that_closes_makes_room)
{
    void *more = NULL;

    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    for (uint32_t cell = 0; cell < MIF_MAX_CELLS; cell++) {
        handles[cell] = open_one();
        ck_assert_uint_eq(mif_cell_of(handles[cell]), cell);
    }
    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(mif_connection_open(&more, NULL, NULL, NULL), MIF_ERR_NOMEM);
        ck_assert_ptr_null(more);
        for (uint32_t cell = 1; cell < MIF_MAX_CELLS; cell *= 7) {
            mif_connection_close(handles[cell]);
            /* There is no other, so it does not rest. */
            handles[cell] = open_one();
            ck_assert_uint_eq(mif_cell_of(handles[cell]), cell);
        }
    }
    for (uint32_t cell = 0; cell < MIF_MAX_CELLS; cell++)
        mif_connection_close(handles[cell]);
    /* All of them rest, the oldest first, around the end of the circle. */
    for (uint32_t cell = 0; cell < MIF_MAX_CELLS; cell++)
        ck_assert_uint_eq(mif_cell_of(handles[cell] = open_one()), cell);
    ck_assert_int_eq(mif_connection_open(&more, NULL, NULL, NULL), MIF_ERR_NOMEM);
}

MEMIF_TEST(queues_of_an_id_are_opened_for_all_cells_before)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    enum { CELLS = 300 };
    for (uint32_t cell = 0; cell < CELLS; cell++)
        handles[cell] = open_one();
    ck_assert(!mif_arena_has_queues(handles[0], 0));
    ck_assert_int_eq(mif_arena_open_queues(handles[10], 3), MIF_ERR_SUCCESS);
    for (uint32_t cell = 0; cell <= 10; cell++) {
        ck_assert(mif_arena_has_queues(handles[cell], 3));
        memset(mif_queue_at(handles[cell], 3, MIF_RX), 1, sizeof(struct mif_queue));
        memset(mif_queue_at(handles[cell], 3, MIF_TX), 2, sizeof(struct mif_queue));
    }
    ck_assert(!mif_arena_has_queues(handles[CELLS - 1], 3));
    ck_assert(!mif_arena_has_queues(handles[0], 2));
    ck_assert(!mif_arena_has_queues(handles[0], 4));
    ck_assert_int_eq(mif_arena_open_queues(handles[CELLS - 1], 3), MIF_ERR_SUCCESS);
    ck_assert(mif_arena_has_queues(handles[CELLS - 1], 3));
    memset(mif_queue_at(handles[CELLS - 1], 3, MIF_TX), 3, sizeof(struct mif_queue));
    /* What is there stays, also when less is asked for. */
    ck_assert_int_eq(mif_arena_open_queues(handles[0], 3), MIF_ERR_SUCCESS);
    ck_assert(mif_arena_has_queues(handles[CELLS - 1], 3));
    ck_assert_uint_eq(*(uint8_t *)mif_queue_at(handles[10], 3, MIF_RX), 1);
    ck_assert_uint_eq(*(uint8_t *)mif_queue_at(handles[10], 3, MIF_TX), 2);
    ck_assert_uint_eq(*(uint8_t *)mif_queue_at(handles[CELLS - 1], 3, MIF_TX), 3);
}

MEMIF_TEST(a_queue_pointer_of_an_entry_is_one_of_the_arena)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    void *handle = open_one();
    ck_assert_int_eq(mif_arena_open_queues(handle, 0), MIF_ERR_SUCCESS);
    for (enum mif_direction direction = MIF_RX; direction <= MIF_TX; direction++) {
        struct mif_queue *q = mif_queue_at(handle, 0, direction);
        uint8_t *bytes = (uint8_t *)q;
        ck_assert_int_eq(mif_direction_of(q), direction);
        ck_assert_ptr_null(mif_enter_queue(q)); /* it is down */
        atomic_store(&q->owner, mif_owner(handle, 0));
        ck_assert(mif_handle_of(q) == handle);
        ck_assert(mif_enter_queue(q) == q);
        mif_leave(q);
        ck_assert_ptr_null(mif_enter_queue(bytes + 1));
        ck_assert_ptr_null(mif_enter_queue(bytes + sizeof(struct mif_queue) / 2));
        atomic_store(&q->owner, 0);
    }
    ck_assert_ptr_null(mif_enter_queue(NULL));
    ck_assert_ptr_null(mif_enter_queue(handles));
    ck_assert_ptr_null(mif_enter_queue((uint8_t *)mif_queue_at(handle, 0, MIF_RX) - 256));
    mif_connection_close(handle);
}

MEMIF_TEST_MAIN("arena")
