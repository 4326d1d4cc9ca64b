/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The address range of all interfaces where a process may have little of it, or where the kernel
 * refuses one call or another. The linker leads the calls here.
 */

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "harness.h"
#include "refused.h"

#include "core/arena.h"
#include "core/connection.h"
#include "core/errors.h"

/* What an interpreter still needs beside it. */
#define REST ((size_t)256 << 20)
enum { MOST_MAPPINGS = 4 };

/* ---- memory, as this program says ---- */

struct mapping {
    uint8_t *base;
    size_t bytes;
};

static struct {
    bool counts;        /* from here on */
    size_t left;        /* bytes that may still be mapped */
    int refused_unmaps; /* so many of the next ones */
    struct mapping mappings[MOST_MAPPINGS];
    int maps, opens;
    struct mapping opened; /* the last one */
    bool refuses_to_open, refuses_to_empty;
    size_t refused_element; /* size of those for which there is no memory; 0 = none */
} kernel;

static size_t mapped(void)
{
    size_t sum = 0;

    for (int i = 0; i < MOST_MAPPINGS; i++)
        sum += kernel.mappings[i].bytes;
    return sum;
}

static struct mapping *mapping_at(const void *base)
{
    for (int i = 0; i < MOST_MAPPINGS; i++)
        if (kernel.mappings[i].base == base)
            return &kernel.mappings[i];
    return NULL;
}

void *__real_mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    if (!kernel.counts)
        return __real_mmap64(at, bytes, protection, flags, fd, offset);
    kernel.maps++;
    if (bytes > kernel.left)
        return (void *)(intptr_t)refused_with(ENOMEM);
    struct mapping *made = mapping_at(NULL);
    made->base = __real_mmap64(at, bytes, protection, flags, fd, offset);
    if (made->base == MAP_FAILED)
        ck_abort_msg("no address space");
    made->bytes = bytes;
    kernel.left -= bytes;
    return made->base;
}

int __real_munmap(void *base, size_t bytes);
int __wrap_munmap(void *base, size_t bytes)
{
    if (!kernel.counts)
        return __real_munmap(base, bytes);
    struct mapping *gone = base == NULL ? NULL : mapping_at(base);
    if (gone == NULL || gone->bytes != bytes)
        ck_abort_msg("nothing like that was mapped");
    if (kernel.refused_unmaps > 0) {
        kernel.refused_unmaps--;
        return refused_with(ENOMEM);
    }
    kernel.left += bytes;
    *gone = (struct mapping){0};
    return __real_munmap(base, bytes);
}

static int locks;

int __real_mprotect(void *base, size_t bytes, int protection);
int __wrap_mprotect(void *base, size_t bytes, int protection)
{
    if (!kernel.counts)
        return __real_mprotect(base, bytes, protection);
    if (locks == 0)
        ck_abort_msg("two threads may open the same memory");
    kernel.opens++;
    kernel.opened = (struct mapping){.base = base, .bytes = bytes};
    return kernel.refuses_to_open ? refused_with(ENOMEM) : __real_mprotect(base, bytes, protection);
}

int __real_madvise(void *base, size_t bytes, int advice);
int __wrap_madvise(void *base, size_t bytes, int advice)
{
    return kernel.refuses_to_empty ? refused_with(EINVAL) : __real_madvise(base, bytes, advice);
}

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes)
{
    return bytes == kernel.refused_element ? NULL : __real_calloc(count, bytes);
}

/* Check has a lock too, and takes it in turns with the core. */
int __real_pthread_mutex_lock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_lock(pthread_mutex_t *lock)
{
    locks++;
    return __real_pthread_mutex_lock(lock);
}

int __real_pthread_mutex_unlock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *lock)
{
    if (locks-- == 0)
        ck_abort_msg("a lock is released that nobody has");
    return __real_pthread_mutex_unlock(lock);
}

/* ---- the scene ---- */

static size_t bytes_of(uint32_t cells)
{
    return cells * (MIF_MAX_QUEUES * sizeof(struct mif_queue_pair) + MIF_CELL_STRIDE);
}

static void allow(size_t bytes)
{
    kernel.left = bytes - mapped();
    kernel.counts = true;
}

static void expect_cells(uint32_t cells)
{
    ck_assert_int_eq(mif_arena_reserve(), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(mapped(), bytes_of(cells));
    ck_assert(!mif_arena_is_published()); /* no handle leads anywhere yet */
    mif_arena_publish();
    ck_assert_uint_eq(mif_the_arena()->cell_mask, (uint64_t)(cells - 1) << MIF_CELL_SHIFT);
    ck_assert_uint_eq(mif_the_arena()->qid_stride, cells * sizeof(struct mif_queue_pair));
}

static void begin_with(uint32_t cells)
{
    allow(bytes_of(cells) + REST);
    expect_cells(cells);
}

static void *open_one(void)
{
    void *handle = NULL;

    ck_assert_int_eq(mif_connection_open(&handle, NULL, NULL, NULL), MIF_ERR_SUCCESS);
    return handle;
}

/* ---- how many ---- */

MEMIF_TEST(there_is_room_for_all_where_the_rest_of_the_process_has_room)
{
    allow(bytes_of(MIF_MAX_CELLS) + REST);
    expect_cells(MIF_MAX_CELLS);
    ck_assert_int_eq(kernel.maps, 2);
}

MEMIF_TEST(the_rest_of_the_process_comes_first)
{
    allow(bytes_of(MIF_MAX_CELLS) + REST - 1);
    expect_cells(MIF_MAX_CELLS / 2);
}

MEMIF_TEST(half_of_them_is_tried_next)
{
    allow(bytes_of(MIF_MAX_CELLS / 2) + REST);
    expect_cells(MIF_MAX_CELLS / 2);
}

MEMIF_TEST(a_quarter_is_tried_after_that)
{
    allow(bytes_of(MIF_MAX_CELLS / 2) + REST - 1);
    expect_cells(MIF_MAX_CELLS / 4);
}

MEMIF_TEST(twice_the_least_still_leaves_room)
{
    allow(bytes_of(2 * MIF_LEAST_CELLS) + REST);
    expect_cells(2 * MIF_LEAST_CELLS);
}

MEMIF_TEST(the_least_is_taken_from_the_last_that_there_is)
{
    allow(bytes_of(MIF_LEAST_CELLS));
    expect_cells(MIF_LEAST_CELLS);
}

MEMIF_TEST(less_than_the_least_is_none)
{
    allow(bytes_of(MIF_LEAST_CELLS) - 1);
    ck_assert_int_eq(mif_arena_reserve(), MIF_ERR_NOMEM);
    ck_assert_uint_eq(mapped(), 0);
    allow(bytes_of(MIF_LEAST_CELLS)); /* where there is more later, there are some */
    expect_cells(MIF_LEAST_CELLS);
}

MEMIF_TEST(it_is_reserved_once)
{
    allow(2 * (bytes_of(MIF_MAX_CELLS) + REST));
    ck_assert_int_eq(mif_arena_reserve(), MIF_ERR_SUCCESS);
    expect_cells(MIF_MAX_CELLS);
    ck_assert_int_eq(kernel.maps, 2);
}

MEMIF_TEST(what_cannot_be_unmapped_is_no_room)
{
    kernel.refused_unmaps = 1;
    allow(bytes_of(MIF_MAX_CELLS) + REST);
    ck_assert_int_eq(mif_arena_reserve(), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(mapped(), bytes_of(MIF_MAX_CELLS / 2) + REST);
}

MEMIF_TEST(without_memory_nothing_stays_reserved)
{
    kernel.refused_element = sizeof(uint16_t);
    allow(bytes_of(MIF_MAX_CELLS) + REST);
    ck_assert_int_eq(mif_arena_reserve(), MIF_ERR_NOMEM);
    ck_assert_uint_eq(mapped(), 0);
    kernel.refused_element = 0;
    expect_cells(MIF_MAX_CELLS);
}

/* ---- cells ---- */

MEMIF_TEST(no_cell_is_opened_behind_the_last)
{
    void *more = NULL;

    begin_with(MIF_LEAST_CELLS);
    for (uint32_t cell = 0; cell < MIF_LEAST_CELLS; cell++)
        ck_assert_uint_eq(mif_cell_of(open_one()), cell);
    ck_assert_uint_eq((size_t)kernel.opens, MIF_LEAST_CELLS);
    ck_assert_int_eq(mif_connection_open(&more, NULL, NULL, NULL), MIF_ERR_NOMEM);
    ck_assert_uint_eq((size_t)kernel.opens, MIF_LEAST_CELLS);
    ck_assert_ptr_null(more);
}

MEMIF_TEST(a_cell_that_was_not_opened_is_the_next_again)
{
    void *handle = NULL;

    begin_with(MIF_LEAST_CELLS);
    ck_assert_uint_eq(mif_cell_of(open_one()), 0);
    kernel.refuses_to_open = true;
    ck_assert_int_eq(mif_connection_open(&handle, NULL, NULL, NULL), MIF_ERR_NOMEM);
    ck_assert_ptr_null(handle);
    ck_assert_ptr_nonnull(strstr(mif_failed_call(MIF_ERR_NOMEM), "mprotect"));
    kernel.refuses_to_open = false;
    ck_assert_uint_eq(mif_cell_of(open_one()), 1);
}

MEMIF_TEST(a_handle_ends_even_if_the_kernel_does_not_take_its_memory_back)
{
    begin_with(MIF_LEAST_CELLS);
    void *handle = open_one();
    kernel.refuses_to_empty = true;
    mif_connection_close(handle);
    ck_assert_ptr_null(mif_lookup(handle));
    kernel.refuses_to_empty = false;
}

/* ---- queues ---- */

/* The first cells, whose queues of an id are a page. */
enum { FIRST_PAGE = MIF_PAGE / sizeof(struct mif_queue_pair) };

static void expect_opened(uint32_t qid, size_t begin, size_t bytes)
{
    const struct mif_arena *arena = mif_the_arena();

    ck_assert_ptr_eq(kernel.opened.base, arena->queues + qid * arena->qid_stride + begin);
    ck_assert_uint_eq(kernel.opened.bytes, bytes);
}

MEMIF_TEST(queues_are_opened_by_pages_and_each_page_once)
{
    enum { QID = 3 };
    void *handles[FIRST_PAGE + 1];

    begin_with(MIF_LEAST_CELLS);
    for (uint32_t cell = 0; cell <= FIRST_PAGE; cell++)
        handles[cell] = open_one();
    kernel.opens = 0;
    ck_assert_int_eq(mif_arena_open_queues(handles[0], QID), MIF_ERR_SUCCESS);
    expect_opened(QID, 0, MIF_PAGE);
    for (uint32_t cell = 0; cell < FIRST_PAGE; cell++) {
        ck_assert(mif_arena_has_queues(handles[cell], QID));
        ck_assert_int_eq(mif_arena_open_queues(handles[cell], QID), MIF_ERR_SUCCESS);
    }
    ck_assert_int_eq(kernel.opens, 1);
    ck_assert(!mif_arena_has_queues(handles[FIRST_PAGE], QID));
    ck_assert_int_eq(mif_arena_open_queues(handles[FIRST_PAGE], QID), MIF_ERR_SUCCESS);
    ck_assert_int_eq(kernel.opens, 2);
    expect_opened(QID, MIF_PAGE, MIF_PAGE);
    ck_assert(mif_arena_has_queues(handles[FIRST_PAGE], QID));
}

MEMIF_TEST(a_page_whose_last_queue_is_wanted_is_all_that_is_opened)
{
    void *handle = NULL;

    begin_with(MIF_LEAST_CELLS);
    for (uint32_t cell = 0; cell < FIRST_PAGE; cell++)
        handle = open_one();
    ck_assert_int_eq(mif_arena_open_queues(handle, 0), MIF_ERR_SUCCESS);
    expect_opened(0, 0, MIF_PAGE);
    ck_assert(mif_arena_has_queues(handle, 0));
    ck_assert(!mif_arena_has_queues(open_one(), 0));
}

MEMIF_TEST(queues_that_were_not_opened_are_tried_again)
{
    enum { QID = MIF_MAX_QUEUES - 1 };

    begin_with(MIF_LEAST_CELLS);
    void *handle = open_one();
    kernel.refuses_to_open = true;
    ck_assert_int_eq(mif_arena_open_queues(handle, QID), MIF_ERR_NOMEM);
    ck_assert_ptr_nonnull(strstr(mif_failed_call(MIF_ERR_NOMEM), "mprotect"));
    ck_assert(!mif_arena_has_queues(handle, QID));
    kernel.refuses_to_open = false;
    kernel.opened = (struct mapping){0};
    ck_assert_int_eq(mif_arena_open_queues(handle, QID), MIF_ERR_SUCCESS);
    expect_opened(QID, 0, MIF_PAGE);
    ck_assert(mif_arena_has_queues(handle, QID));
    mif_queue_at(handle, QID, MIF_TX)->busy = 1;
}

MEMIF_TEST_MAIN("reserve")
