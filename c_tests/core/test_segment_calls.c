/* SPDX-License-Identifier: Apache-2.0 */

/* The segment, when calls of the system fail, and what it asks of the kernel. */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness.h"
#include "loopback.h"
#include "memory_calls.h"
#include "segment_file.h"

#include "core/arena.h"
#include "core/debug.h"
#include "core/errors.h"
#include "core/segment.h"

enum { EIGHT_IDS = 8, LAST_CELL = MIF_MAX_CELLS - 1, LAST_ID = MIF_MAX_QUEUES - 1 };

/* Seals of the memfd that is made next, which make later calls fail. */
static struct {
    bool makes_none;
    int seals;
    bool tells_no_limit;
    const char *said; /* the call that failed, in the last debug line about it */
} files;

int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags)
{
    if (files.makes_none)
        return refused();
    int fd = __real_memfd_create(name, flags);
    if (files.seals != 0)
        ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, files.seals), 0);
    return fd;
}

int __real_getrlimit64(unsigned resource, struct rlimit *limit);
int __wrap_getrlimit64(unsigned resource, struct rlimit *limit);
int __wrap_getrlimit64(unsigned resource, struct rlimit *limit)
{
    int answer = __real_getrlimit64(resource, limit);

    return files.tells_no_limit ? refused() : answer;
}

void __wrap_mif_debug_format(const char *file, const char *function, int line, const char *format,
                             ...);
void __wrap_mif_debug_format(const char *file, const char *function, int line, const char *format,
                             ...)
{
    va_list arguments;

    (void)file;
    (void)function;
    (void)line;
    va_start(arguments, format);
    if (strstr(format, "statistics") != NULL)
        files.said = va_arg(arguments, const char *);
    va_end(arguments);
}

static uint64_t *counter(uint32_t cell, uint32_t qid)
{
    return &mif_queue_at(handle_of(cell), qid, MIF_RX)->bytes;
}

static int open_queues(uint32_t cell, uint32_t qid)
{
    return mif_arena_open_queues(handle_of(cell), qid);
}

/* Opens the queues of an id, and counts there. */
static void count_in(uint32_t cell, uint32_t qid)
{
    ck_assert_int_eq(open_queues(cell, qid), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(++*counter(cell, qid), 1);
}

static void begin_to_show(void)
{
    mif_segment_open("a test");
    ck_assert(mif_segment_is_open());
}

static void set_up(void)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    kernel.moves = kernel.rights = 0;
}

/* ---- no segment ---- */

static const struct {
    const char *call;
    int seals;
} calls[] = {
    {"memfd_create", 0},
    {"ftruncate", F_SEAL_GROW},
    {"mmap", F_SEAL_WRITE},
    {"F_SEAL_FUTURE_WRITE", F_SEAL_SEAL},
};

/* No call of the system fails any more: this was all that was wrong. */
static void works_again(void)
{
    memset(&files, 0, sizeof(files));
    begin_to_show();
    mif_segment_close();
    ck_assert(mif_segment_is_open()); /* the one that failed was a user, too */
    mif_segment_close();
    ck_assert(is_without_segment());
}

MEMIF_TEST_LOOP(a_call_that_fails_leaves_nothing_behind, 0, 4)
{
    set_up();
    mif_debug_on = true;
    files.makes_none = calls[_i].seals == 0;
    files.seals = calls[_i].seals;
    mif_segment_open("a test");
    ck_assert(is_without_segment());
    ck_assert_ptr_nonnull(files.said);
    ck_assert_str_eq(files.said, calls[_i].call);
    count_in(0, 0);
    ck_assert_int_eq(kernel.moves, 0);
    works_again();
}

MEMIF_TEST(a_limit_that_is_not_told_may_be_any)
{
    set_up();
    files.tells_no_limit = true;
    mif_segment_open("a test");
    ck_assert(is_without_segment());
    works_again();
}

MEMIF_TEST(the_first_descriptor_is_one_as_well)
{
    set_up();
    ck_assert_int_eq(close(0), 0);
    files.seals = F_SEAL_SEAL;
    mif_segment_open("a test");
    ck_assert(is_without_segment());
    ck_assert_int_eq(fcntl(0, F_GETFD), -1);
    files.seals = 0;
    begin_to_show();
    ck_assert_int_eq(segment_fd(), 0);
    mif_segment_close();
    mif_segment_close();
    ck_assert(is_without_segment());
    ck_assert_int_eq(fcntl(0, F_GETFD), -1);
}

/* ---- pages of queues ---- */

static void count_but_are_not_shown(bool what_was_is_gone)
{
    int fd;

    set_up();
    count_in(0, 0);
    kernel.moves_nothing = true;
    kernel.drops_what_was = what_was_is_gone;
    begin_to_show();
    ++*counter(0, 0);
    ck_assert_uint_eq(read_page(0, 0), 0);
    count_in(0, 1);
    ck_assert_uint_eq(read_page(0, 1), 0);
    mif_segment_ring(handle_of(0), 0, 0, 1, 2);
    ck_assert_uint_eq(sequence_of(0), 0);
    void *handle = open_handle();
    struct mif_connection *conn = mif_lookup(handle);
    ck_assert_ptr_nonnull(conn);
    conn->rx_count = 1;
    mif_segment_forget_rings(handle);
    conn->rx_count = 0;
    mif_connection_close(handle);
    kernel.moves_nothing = false;
    count_in(0, 2);
    ck_assert_uint_eq(read_bytes(0, 2, 0), 1);
    mif_segment_close();
    ck_assert(!mif_segment_is_open());
    ck_assert_int_eq(segment_descriptors(&fd), 0);
    ck_assert_uint_eq(*counter(0, 2), 0);
}

MEMIF_TEST(pages_that_cannot_be_moved_count_but_are_not_shown)
{
    count_but_are_not_shown(false);
}

MEMIF_TEST(pages_that_are_gone_as_a_move_fails_are_made_anew)
{
    count_but_are_not_shown(true);
}

/* Any handle may be looked up there, good or not. */
MEMIF_TEST(pages_that_cannot_be_written_can_be_read)
{
    set_up();
    begin_to_show();
    kernel.moves_nothing = kernel.drops_what_was = kernel.changes_no_right = true;
    ck_assert_int_eq(open_queues(0, 0), MIF_ERR_NOMEM);
    ck_assert_ptr_null(mif_enter(handle_of(0), 0, MIF_RX));
    kernel.moves_nothing = kernel.changes_no_right = false;
    count_in(0, 0);
    mif_segment_close();
}

MEMIF_TEST(no_more_is_moved_than_the_segment_has)
{
    set_up();
    begin_to_show();
    for (uint32_t qid = 0; qid < EIGHT_IDS; qid++)
        count_in(LAST_CELL, qid);
    ck_assert_int_eq(kernel.moves, EIGHT_IDS);
    count_in(0, EIGHT_IDS);
    count_in(LAST_CELL, LAST_ID);
    ck_assert_int_eq(kernel.moves, EIGHT_IDS);
    mif_segment_close();
}

MEMIF_TEST(the_last_pages_are_not_left_over)
{
    set_up();
    begin_to_show();
    for (uint32_t qid = 0; qid + 1 < EIGHT_IDS; qid++)
        count_in(LAST_CELL, qid);
    count_in(LAST_CELL - PAIRS_PER_PAGE, LAST_ID);
    ck_assert_int_eq(kernel.moves, EIGHT_IDS);
    count_in(2 * PAIRS_PER_PAGE - 1, EIGHT_IDS); /* there is one page, but not two */
    ck_assert_int_eq(kernel.moves, EIGHT_IDS);
    count_in(0, EIGHT_IDS + 1);
    ck_assert_int_eq(kernel.moves, EIGHT_IDS + 1);
    ck_assert_uint_eq(read_bytes(0, EIGHT_IDS + 1, 0), 1);
    mif_segment_close();
    ck_assert(is_without_segment());
}

MEMIF_TEST(only_ids_that_are_open_are_moved)
{
    set_up();
    count_in(0, 0);
    count_in(2 * PAIRS_PER_PAGE, LAST_ID);
    kernel.rights = 0;
    begin_to_show();
    ck_assert_int_eq(kernel.moves, 2);
    mif_segment_close();
    ck_assert_int_eq(kernel.moves, 4);
    ck_assert_int_eq(kernel.rights, 0); /* all can be written as they come */
    count_in(2 * PAIRS_PER_PAGE, 0);
    ck_assert_int_eq(kernel.moves, 4);
    ck_assert_int_eq(kernel.rights, 1);
}

MEMIF_TEST(pages_of_the_segment_can_be_written_as_they_come)
{
    set_up();
    begin_to_show();
    kernel.changes_no_right = true;
    count_in(0, 0);
    ck_assert_uint_eq(read_bytes(0, 0, 0), 1);
    kernel.changes_no_right = false;
    mif_segment_close();
}

static void need_no_call(void)
{
    count_in(PAIRS_PER_PAGE - 1, 0);
    kernel.changes_no_right = kernel.moves_nothing = true;
    ck_assert_int_eq(open_queues(PAIRS_PER_PAGE - 1, 0), MIF_ERR_SUCCESS);
    ck_assert_int_eq(open_queues(0, 0), MIF_ERR_SUCCESS);
    ck_assert_int_eq(open_queues(PAIRS_PER_PAGE, 0), MIF_ERR_NOMEM);
    ck_assert_str_eq(mif_failed_call(MIF_ERR_NOMEM), "mprotect: Cannot allocate memory");
    ck_assert(mif_arena_has_queues(handle_of(PAIRS_PER_PAGE - 1), 0));
    ck_assert(!mif_arena_has_queues(handle_of(PAIRS_PER_PAGE), 0));
    kernel.changes_no_right = kernel.moves_nothing = false;
    count_in(PAIRS_PER_PAGE, 0);
    ck_assert_uint_eq(*counter(PAIRS_PER_PAGE - 1, 0), 1);
}

MEMIF_TEST(queues_that_are_open_need_no_call)
{
    set_up();
    need_no_call();
}

MEMIF_TEST(queues_that_are_shown_need_no_call)
{
    set_up();
    begin_to_show();
    need_no_call();
    mif_segment_close();
}

MEMIF_TEST(a_dump_has_the_queues_and_not_the_rest)
{
    set_up();
    begin_to_show();
    ck_assert_ptr_nonnull(kernel.window.begin);
    ck_assert_ptr_eq(kernel.undumped.begin, kernel.window.begin);
    ck_assert_uint_eq(kernel.undumped.bytes, read_header().size);
    ck_assert_ptr_null(kernel.dumped.begin);
    count_in(0, 3);
    ck_assert_ptr_eq(kernel.dumped.begin, (uint8_t *)mif_queue_at(handle_of(0), 3, MIF_RX));
    ck_assert_uint_eq(kernel.dumped.bytes, MIF_PAGE);
    mif_segment_close();
}

/* ---- pages that stay the segment's ---- */

static void keep_their_pages(bool moves_nothing)
{
    uintptr_t at;

    set_up();
    begin_to_show();
    count_in(0, 0);
    count_in(0, LAST_ID);
    kernel.gives_no_pages = !moves_nothing;
    kernel.moves_nothing = moves_nothing;
    kernel.moves = 0;
    mif_segment_close();
    ck_assert(!mif_segment_is_open());
    ck_assert_int_eq(segment_mappings(&at), 2);
    ck_assert_int_eq(kernel.moves, 0);
    kernel.gives_no_pages = kernel.moves_nothing = false;
    ++*counter(0, 0);
    ++*counter(0, LAST_ID);
    count_in(0, 1); /* from the arena: there is no segment to take them from */
    ck_assert_int_eq(kernel.moves, 0);
    ck_assert(!mif_segment_place(2, 0, MIF_PAGE, mif_queue_at(handle_of(0), 2, MIF_RX)));
    ck_assert_int_eq(kernel.moves, 0);
    begin_to_show();
    ck_assert_uint_eq(read_bytes(0, 0, 0), 0);
    ++*counter(0, LAST_ID);
    ck_assert_uint_eq(read_bytes(0, LAST_ID, 0), 1);
    mif_segment_close();
    ck_assert(is_without_segment());
}

MEMIF_TEST(queues_keep_their_pages_if_there_are_no_others)
{
    keep_their_pages(false);
}

MEMIF_TEST(queues_keep_their_pages_if_others_cannot_be_moved)
{
    keep_their_pages(true);
}

MEMIF_TEST_MAIN("segment calls")
