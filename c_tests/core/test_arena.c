/* SPDX-License-Identifier: Apache-2.0 */

/* Handles: each is used once, and a cell rests before it is used again. */

#include <signal.h>
#include <string.h>
#include <sys/mman.h>

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

/* ---- who owns a queue ---- */

/* As a link that is up would have them. */
static void own(void *handle, uint16_t qid)
{
    ck_assert_int_eq(mif_arena_open_queues(handle, qid), MIF_ERR_SUCCESS);
    for (enum mif_direction direction = MIF_RX; direction <= MIF_TX; direction++) {
        struct mif_queue *q = mif_queue_at(handle, qid, direction);
        q->qid = (uint8_t)qid;
        atomic_store(&q->owner, mif_owner(handle, qid));
    }
}

MEMIF_TEST(a_queue_knows_its_owner)
{
    static const uint16_t qids[] = {0, 1, 2, MIF_MAX_QUEUES - 1};

    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    void *handle = open_one();
    for (size_t i = 0; i < sizeof(qids) / sizeof(*qids); i++) {
        struct mif_queue *q = mif_queue_at(handle, qids[i], MIF_TX);
        ck_assert_int_eq(mif_arena_open_queues(handle, qids[i]), MIF_ERR_SUCCESS);
        q->qid = (uint8_t)qids[i];
        ck_assert_ptr_null(mif_handle_of(q));
        own(handle, qids[i]);
        ck_assert_ptr_eq(mif_handle_of(q), handle);
        ck_assert(mif_enter_queue(q) == q);
        mif_leave(q);
        /* The address has the low bits of a queue id only. */
        ck_assert_ptr_null(mif_enter(handle, qids[i] + MIF_MAX_QUEUES, MIF_TX));
        ck_assert_ptr_null(mif_enter(handle, qids[i] + 0xFF00u, MIF_TX));
        atomic_store(&q->owner, 0);
    }
    mif_connection_close(handle);
}

/* There is a number that with a queue id makes the owner of a queue that has none. */
MEMIF_TEST(nobody_enters_a_queue_that_nobody_owns)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    for (uint32_t qid = 0; qid < MIF_MAX_QUEUES; qid += 15) {
        void *none = (void *)(UINTPTR_MAX - qid);
        ck_assert_ptr_null(mif_enter(none, qid, MIF_RX));
        ck_assert_ptr_null(mif_enter(none, qid, MIF_TX));
    }
}

/* Such a page can be read only. */
MEMIF_TEST(nothing_is_written_to_a_queue_that_was_not_opened)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    void *handle = open_one();
    for (uint32_t qid = 0; qid < MIF_MAX_QUEUES; qid++) {
        ck_assert_ptr_null(mif_enter(handle, qid, MIF_RX));
        ck_assert_ptr_null(mif_enter(handle, qid, MIF_TX));
    }
    mif_connection_close(handle);
}

/* ---- a link that ends while a burst is about to enter ---- */

static struct mif_queue *ended;
static volatile sig_atomic_t faults;

/* Pages are counted from the first queue: the address of that is one of the kernel's pages, which
 * may be smaller. */
static int protect_page_of(struct mif_queue *q, int protection)
{
    uint8_t *queues = mif_the_arena()->queues;
    size_t at = (size_t)((uint8_t *)q - queues);

    return mprotect(queues + at / MIF_PAGE * MIF_PAGE, MIF_PAGE, protection);
}

/* The queue's page was read-only: this is the moment between the look at its owner and the mark. */
static void end_the_link(int number)
{
    (void)number;
    faults++;
    (void)protect_page_of(ended, PROT_READ | PROT_WRITE);
    *(volatile uintptr_t *)&ended->owner = 0;
}

MEMIF_TEST_LOOP(who_finds_the_owner_gone_at_the_second_look_leaves_no_mark, 0, 2)
{
    const enum mif_direction direction = _i == 0 ? MIF_RX : MIF_TX;
    const struct sigaction on_fault = {.sa_handler = end_the_link};
    struct sigaction before;

    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    void *handle = open_one();
    own(handle, 1);
    ended = mif_queue_at(handle, 1, direction);
    ck_assert_int_eq(sigaction(SIGSEGV, &on_fault, &before), 0);
    ck_assert_int_eq(protect_page_of(ended, PROT_READ), 0);
    faults = 0;
    struct mif_queue *entered = mif_enter(handle, 1, direction);
    ck_assert_int_eq(sigaction(SIGSEGV, &before, NULL), 0);
    ck_assert_int_eq(faults, 1);
    ck_assert_ptr_null(entered);
    ck_assert_uint_eq(atomic_load(&ended->busy), 0);
    mif_connection_close(handle);
}

/* ---- what only looks like a queue ---- */

/* Writes an owner there, and the queue id that goes with it. */
static void forge(void *place, void *handle)
{
    uint8_t *bytes = place;
    const uintptr_t owner = mif_owner(handle, 0);

    memcpy(bytes + offsetof(struct mif_queue, owner), &owner, sizeof(owner));
    bytes[offsetof(struct mif_queue, qid)] = 0;
}

MEMIF_TEST(a_pointer_into_a_queue_names_none_whatever_is_there)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    void *handle = open_one();
    own(handle, 0);
    uint8_t *inside = (uint8_t *)mif_queue_at(handle, 0, MIF_RX) + sizeof(struct mif_queue) / 2;
    forge(inside, handle);
    ck_assert_ptr_null(mif_enter_queue(inside));
    mif_connection_close(handle);
}

MEMIF_TEST(a_pointer_behind_the_last_queue_names_none_whatever_is_there)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    void *first = open_one(), *handle = open_one();
    const struct mif_arena *arena = mif_the_arena();
    uint8_t *behind = arena->queues + MIF_MAX_QUEUES * arena->qid_stride;
    ck_assert_ptr_eq(behind, arena->connections);
    ck_assert_ptr_eq(behind, mif_lookup(first));
    own(handle, 0);
    forge(behind, handle);
    ck_assert_ptr_null(mif_enter_queue(behind));
    mif_connection_close(handle);
}

MEMIF_TEST_MAIN("arena")
