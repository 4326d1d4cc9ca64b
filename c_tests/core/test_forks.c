/* SPDX-License-Identifier: Apache-2.0 */

/* A forked child: queues of its own, which lead nowhere until it starts over. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "forked_child.h"
#include "harness.h"
#include "loopback.h"
#include "memory_calls.h"
#include "segment_file.h"

#include "core/arena.h"
#include "core/errors.h"
#include "core/fork.h"
#include "core/segment.h"

enum { LAST_CELL = MIF_MAX_CELLS - 1, LAST_ID = MIF_MAX_QUEUES - 1, COUNT = 1000 };

static struct mif_queue *queue(uint32_t cell, uint32_t qid, enum mif_direction direction)
{
    return mif_queue_at(handle_of(cell), qid, direction);
}

/* Queues of an id, up to those of a cell, of which the last one counts. It has an owner, as if its
 * interface were just coming up in another thread. */
static void open_queues(uint32_t cell, uint32_t qid)
{
    ck_assert_int_eq(mif_arena_open_queues(handle_of(cell), qid), MIF_ERR_SUCCESS);
    queue(cell, qid, MIF_TX)->bytes = COUNT;
    atomic_store(&queue(cell, qid, MIF_TX)->owner, mif_owner(handle_of(cell), qid));
}

static bool is_owned(uint32_t cell, uint32_t qid)
{
    return atomic_load(&queue(cell, qid, MIF_TX)->owner) == mif_owner(handle_of(cell), qid);
}

static void begin_to_show(void)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    mif_segment_open("a test");
    ck_assert(mif_segment_is_open());
}

static void raise_both(void)
{
    open_loopback(MIF_VERSION_512);
    raise_side(SLAVE);
    raise_side(MASTER);
}

static void lower_both(void)
{
    lower_side(MASTER);
    lower_side(SLAVE);
    close_loopback();
}

static bool is_entered(void *handle, uint32_t qid, enum mif_direction direction)
{
    struct mif_queue *q = mif_enter(handle, qid, direction);

    if (q != NULL)
        mif_leave(q);
    return q != NULL;
}

/* Queues of both sides that let a burst in. */
static int entered(void)
{
    int count = 0;

    for (enum side side = MASTER; side < SIDES; side++)
        for (uint32_t qid = 0; qid < QUEUES; qid++)
            for (enum mif_direction direction = MIF_RX; direction <= MIF_TX; direction++)
                count += is_entered(loopback.handles[side], qid, direction);
    return count;
}

/* ---- which process ---- */

static uint32_t generation;

static int is_next_generation(void)
{
    FAILS_UNLESS(mif_in_forked_child());
    FAILS_UNLESS(mif_generation() == ++generation);
    return 0;
}

static int is_followed_by_another(void)
{
    FAILS_UNLESS(is_next_generation() == 0);
    FAILS_UNLESS(mif_start_over() == MIF_ERR_SUCCESS);
    FAILS_UNLESS(!mif_in_forked_child());
    FAILS_UNLESS(mif_generation() == generation); /* what was inherited still is */
    FAILS_UNLESS(is_good_in_child(is_next_generation));
    return 0;
}

MEMIF_TEST(each_fork_begins_a_generation)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    generation = mif_generation();
    ck_assert(is_good_in_child(is_followed_by_another));
    ck_assert(!mif_in_forked_child());
    ck_assert_uint_eq(mif_generation(), generation);
}

/* ---- no burst goes on in a child ---- */

static int finds_no_queue_up(void)
{
    FAILS_UNLESS(mif_in_forked_child());
    FAILS_UNLESS(mif_lookup(loopback.handles[MASTER]) != NULL);
    FAILS_UNLESS(mif_lookup(loopback.handles[SLAVE]) != NULL);
    FAILS_UNLESS(entered() == 0);
    FAILS_UNLESS(is_without_segment());
    FAILS_UNLESS(fcntl(0, F_GETFD) >= 0); /* what is another's was not closed */
    return 0;
}

static void lets_no_burst_in(void)
{
    raise_both();
    ck_assert_int_eq(entered(), SIDES * QUEUES * 2);
    ck_assert(is_good_in_child(finds_no_queue_up));
    ck_assert_int_eq(entered(), SIDES * QUEUES * 2);
    lower_both();
}

MEMIF_TEST(a_child_has_no_queue_that_is_up)
{
    lets_no_burst_in();
}

MEMIF_TEST(a_child_has_none_either_where_they_are_shown)
{
    begin_to_show();
    lets_no_burst_in();
    ck_assert_int_ge(segment_fd(), 0);
    mif_segment_close();
}

MEMIF_TEST(interfaces_that_ended_before_do_not_matter)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    void *before = open_handle(), *after;
    raise_both();
    after = open_handle();
    mif_connection_close(before);
    ck_assert(is_good_in_child(finds_no_queue_up));
    mif_connection_close(after);
    lower_both();
}

/* ---- whose memory ---- */

static const struct {
    uint32_t cell, qid;
} some[] = {{PAIRS_PER_PAGE - 1, 0}, {2 * PAIRS_PER_PAGE - 1, 3}, {0, LAST_ID}};
enum { SOME = sizeof(some) / sizeof(*some) };

static void open_some(void)
{
    for (size_t i = 0; i < SOME; i++)
        open_queues(some[i].cell, some[i].qid);
}

static int has_copies(void)
{
    FAILS_UNLESS(mif_arena_is_published());
    FAILS_UNLESS(is_without_segment());
    for (size_t i = 0; i < SOME; i++) {
        struct mif_queue *q = queue(some[i].cell, some[i].qid, MIF_TX);
        FAILS_UNLESS(q->bytes == COUNT);
        FAILS_UNLESS(atomic_load(&q->owner) == 0);
        q->bytes = 1;
        atomic_store(&q->owner, 5);
    }
    return 0;
}

static void has_not_changed(void)
{
    for (size_t i = 0; i < SOME; i++) {
        ck_assert_uint_eq(queue(some[i].cell, some[i].qid, MIF_TX)->bytes, COUNT);
        ck_assert(is_owned(some[i].cell, some[i].qid));
    }
}

MEMIF_TEST(a_child_has_copies_of_what_is_shown)
{
    begin_to_show();
    open_some();
    ck_assert(is_good_in_child(has_copies));
    has_not_changed();
    for (size_t i = 0; i < SOME; i++)
        ck_assert_uint_eq(read_bytes(some[i].cell, some[i].qid, 1), COUNT);
    mif_segment_close();
}

/* The process shows nothing any more, but its queues have pages of the file: others were not to be
 * had. */
static void keep_pages_of_the_file(bool without_move)
{
    uintptr_t at;

    begin_to_show();
    open_some();
    kernel.gives_no_pages = !without_move;
    kernel.moves_nothing = without_move;
    mif_segment_close();
    kernel.gives_no_pages = kernel.moves_nothing = false;
    ck_assert_int_eq(segment_mappings(&at), SOME);
}

MEMIF_TEST_LOOP(a_child_has_copies_of_what_was_shown, 0, 2)
{
    keep_pages_of_the_file(_i);
    ck_assert(is_good_in_child(has_copies));
    has_not_changed();
}

static int has_nothing(void)
{
    FAILS_UNLESS(!mif_arena_is_published());
    FAILS_UNLESS(mif_lookup(loopback.handles[SLAVE]) == NULL);
    FAILS_UNLESS(entered() == 0);
    FAILS_UNLESS(!mif_segment_is_open());
    FAILS_UNLESS(mif_start_over() == MIF_ERR_NOMEM);
    FAILS_UNLESS(mif_in_forked_child());
    return 0;
}

MEMIF_TEST_LOOP(without_memory_for_copies_a_child_has_no_interface, 0, 2)
{
    begin_to_show();
    open_some();
    raise_both();
    kernel.gives_no_pages = !_i;
    kernel.moves_nothing = _i;
    ck_assert(is_good_in_child(has_nothing));
    kernel.gives_no_pages = kernel.moves_nothing = false;
    has_not_changed();
    ck_assert_int_eq(entered(), SIDES * QUEUES * 2);
    lower_both();
    mif_segment_close();
}

static int needs_no_memory(void)
{
    FAILS_UNLESS(mif_arena_is_published());
    FAILS_UNLESS(mif_start_over() == MIF_ERR_SUCCESS);
    FAILS_UNLESS(!mif_in_forked_child());
    return 0;
}

static int needs_no_memory_in_turn(void)
{
    FAILS_UNLESS(has_copies() == 0);
    kernel.gives_no_pages = kernel.moves_nothing = true;
    FAILS_UNLESS(is_good_in_child(needs_no_memory));
    return 0;
}

MEMIF_TEST(a_child_of_the_child_has_copies_already)
{
    begin_to_show();
    open_some();
    ck_assert(is_good_in_child(needs_no_memory_in_turn));
    mif_segment_close();
}

static void needs_no_copy(void)
{
    open_some();
    kernel.gives_no_pages = kernel.moves_nothing = true;
    ck_assert(is_good_in_child(needs_no_memory));
}

MEMIF_TEST(what_was_never_shown_needs_no_copy)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    needs_no_copy();
}

MEMIF_TEST(what_the_user_does_not_show_needs_no_copy)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    ck_assert_int_eq(setenv("LIBMEMIF_STATS", "0", 1), 0);
    mif_segment_open("a test");
    needs_no_copy();
}

MEMIF_TEST(what_cannot_be_shown_needs_no_copy)
{
    const struct rlimit little = {.rlim_cur = 1 << 20, .rlim_max = RLIM_INFINITY};

    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &little), 0);
    mif_segment_open("a test");
    needs_no_copy();
}

static void show_no_more(void)
{
    begin_to_show();
    open_some();
    mif_segment_close();
}

MEMIF_TEST(what_is_not_shown_any_more_needs_no_copy)
{
    show_no_more();
    needs_no_copy();
}

MEMIF_TEST(what_has_pages_of_its_own_at_last_needs_no_copy)
{
    keep_pages_of_the_file(true);
    show_no_more();
    needs_no_copy();
}

static int is_as_new(void)
{
    struct mif_connection *conn = mif_lookup(loopback.handles[SLAVE]);
    const struct mif_connection none = {0};
    void *handle, *last = loopback.handles[SLAVE];

    FAILS_UNLESS(conn != NULL);
    FAILS_UNLESS(mif_start_over() == MIF_ERR_SUCCESS);
    FAILS_UNLESS(!mif_in_forked_child());
    FAILS_UNLESS(mif_lookup(last) == NULL);
    FAILS_UNLESS(memcmp(conn, &none, sizeof(none)) == 0);
    for (size_t i = 0; i < SOME; i++)
        FAILS_UNLESS(queue(some[i].cell, some[i].qid, MIF_TX)->bytes == 0);
    FAILS_UNLESS(mif_connection_open(&handle, NULL, NULL, NULL) == MIF_ERR_SUCCESS);
    FAILS_UNLESS(mif_cell_of(handle) == 0);
    FAILS_UNLESS((uintptr_t)handle >> MIF_SERIAL_SHIFT > (uintptr_t)last >> MIF_SERIAL_SHIFT);
    return 0;
}

static int shows_itself(void)
{
    int fd;

    FAILS_UNLESS(is_as_new() == 0);
    mif_segment_open("a child");
    FAILS_UNLESS(mif_segment_is_open() && segment_descriptors(&fd) == 1);
    FAILS_UNLESS(mif_arena_open_queues(handle_of(0), 4) == MIF_ERR_SUCCESS);
    FAILS_UNLESS(read_header().pid == getpid());
    FAILS_UNLESS(read_page(0, 4) != 0);
    mif_segment_close();
    FAILS_UNLESS(is_without_segment());
    return 0;
}

/* What has closed and waits for its turn in the parent, does not in the child. */
static void close_some(void)
{
    for (int i = 0; i < 2 * MIF_QUARANTINE; i++)
        mif_connection_close(open_handle());
}

MEMIF_TEST_LOOP(a_child_that_starts_over_begins_as_its_parent_did, 0, 2)
{
    begin_to_show();
    if (_i)
        begin_to_show(); /* the parent has two users, the child none */
    raise_both();
    close_some();
    open_some();
    ck_assert(is_good_in_child(shows_itself));
    has_not_changed();
    ck_assert_int_eq(read_header().pid, getpid());
    lower_both();
    mif_segment_close();
}

MEMIF_TEST(a_child_without_a_segment_starts_over_as_well)
{
    raise_both();
    close_some();
    open_some();
    ck_assert(is_good_in_child(is_as_new));
    lower_both();
}

/* Behind the last cell there is memory that nobody may read. */
MEMIF_TEST(a_child_looks_at_all_cells_and_at_no_more)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    for (uint32_t cell = 2; cell < MIF_MAX_CELLS; cell++)
        open_handle();
    raise_both();
    ck_assert_uint_eq(mif_cell_of(loopback.handles[SLAVE]), LAST_CELL);
    ck_assert(is_good_in_child(finds_no_queue_up));
    ck_assert(is_good_in_child(is_as_new));
    lower_both();
}

static int cannot_start_over(void)
{
    kernel.takes_nothing_back = true;
    FAILS_UNLESS(mif_start_over() == MIF_ERR_NOMEM);
    FAILS_UNLESS(mif_in_forked_child());
    FAILS_UNLESS(strcmp(mif_failed_call(MIF_ERR_NOMEM), "madvise: Cannot allocate memory") == 0);
    kernel.takes_nothing_back = false;
    return is_as_new();
}

MEMIF_TEST(a_child_that_could_not_start_over_may_try_again)
{
    raise_both();
    open_some();
    ck_assert(is_good_in_child(cannot_start_over));
    lower_both();
}

MEMIF_TEST(a_child_waits_for_no_lock_that_was_held)
{
    raise_both();
    open_some();
    ck_assert_ptr_nonnull(kernel.lock);
    ck_assert_int_eq(__real_pthread_mutex_lock(kernel.lock), 0); /* as another thread may */
    ck_assert(is_good_in_child(is_as_new));
    ck_assert_int_eq(__real_pthread_mutex_unlock(kernel.lock), 0);
    lower_both();
}

MEMIF_TEST_MAIN("forks")
