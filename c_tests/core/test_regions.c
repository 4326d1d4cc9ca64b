/* SPDX-License-Identifier: Apache-2.0 */

/* The regions of a connection: which there may be, what lies in one, and who unmaps it. */

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

#include "core/arena.h"
#include "core/connection.h"
#include "core/errors.h"
#include "core/regions.h"
#include "core/setup.h"

enum { SIZE = 1 << 13, FIRST = 3, SECOND = 5, LAST = MIF_MAX_REGIONS - 1 };

static void *handle;
static struct mif_connection *conn;
static int fd;
static uint8_t own[SIZE];

static void open_connection(void)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    ck_assert_int_eq(mif_connection_open(&handle, NULL, NULL, NULL), MIF_ERR_SUCCESS);
    conn = mif_lookup(handle);
    fd = memfd_create("regions", MFD_CLOEXEC);
    ck_assert_int_eq(ftruncate(fd, SIZE), 0);
}

static void close_connection(void)
{
    mif_connection_down(handle);
    mif_connection_release(handle);
    mif_connection_close(handle);
    ck_assert_int_eq(close(fd), 0);
}

static const uint8_t *base_of(uint16_t index)
{
    void *base = own;
    uint64_t size;

    ck_assert_int_eq(mif_region_look(handle, index, &base, &size), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(size, base == NULL ? 0 : SIZE);
    return base;
}

/* ---- munmap as this program says ---- */

int __real_munmap(void *base, size_t size);
int __wrap_munmap(void *base, size_t size);

static int refusals;
static int unmapped;

int __wrap_munmap(void *base, size_t size)
{
    if (refusals > 0) {
        refusals--;
        errno = ENOMEM;
        return -1;
    }
    unmapped++;
    return __real_munmap(base, size);
}

/* ---- which regions there may be ---- */

MEMIF_TEST(a_table_has_a_last_region)
{
    open_connection();
    ck_assert_int_eq(mif_connection_map(handle, LAST, fd, SIZE), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(conn->region_count, MIF_MAX_REGIONS);
    ck_assert_int_eq(mif_connection_map(handle, LAST + 1, fd, SIZE), MIF_ERR_MAXREG);
    ck_assert_int_eq(mif_connection_adopt(handle, LAST + 1, own, SIZE), MIF_ERR_MAXREG);
    ck_assert_int_eq(mif_connection_map(handle, UINT16_MAX, fd, SIZE), MIF_ERR_MAXREG);
    ck_assert_int_eq(mif_connection_adopt(handle, UINT16_MAX, own, SIZE), MIF_ERR_MAXREG);
    close_connection();

    open_connection();
    ck_assert_int_eq(mif_connection_adopt(handle, LAST, own, SIZE), MIF_ERR_SUCCESS);
    close_connection();
}

MEMIF_TEST(a_region_is_given_once)
{
    open_connection();
    ck_assert_int_eq(mif_connection_map(handle, FIRST, fd, SIZE), MIF_ERR_SUCCESS);
    ck_assert_int_eq(mif_connection_adopt(handle, SECOND, own, SIZE), MIF_ERR_SUCCESS);
    for (uint16_t index = FIRST; index <= SECOND; index += SECOND - FIRST) {
        ck_assert_int_eq(mif_connection_map(handle, index, fd, SIZE), MIF_ERR_MAXREG);
        ck_assert_int_eq(mif_connection_adopt(handle, index, own, SIZE), MIF_ERR_MAXREG);
    }
    ck_assert(base_of(SECOND) == own);
    close_connection();
}

MEMIF_TEST(a_region_has_memory)
{
    open_connection();
    ck_assert_int_eq(mif_connection_map(handle, FIRST, fd, 0), MIF_ERR_MAXREG);
    ck_assert_int_eq(mif_connection_adopt(handle, FIRST, own, 0), MIF_ERR_MAXREG);
    ck_assert_int_eq(mif_connection_adopt(handle, FIRST, NULL, SIZE), MIF_ERR_MAXREG);
    ck_assert_int_ne(mif_connection_map(handle, FIRST, -1, SIZE), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(conn->region_count, 0);
    ck_assert(base_of(FIRST) == NULL);
    close_connection();
}

MEMIF_TEST(regions_are_counted_up_to_the_last_that_was_given)
{
    open_connection();
    ck_assert_int_eq(mif_connection_map(handle, SECOND, fd, SIZE), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(conn->region_count, SECOND + 1);
    ck_assert_int_eq(mif_connection_map(handle, FIRST, fd, SIZE), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(conn->region_count, SECOND + 1);
    ck_assert_int_eq(mif_connection_map(handle, SECOND + 1, fd, SIZE), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(conn->region_count, SECOND + 2);
    close_connection();
}

MEMIF_TEST(a_region_of_no_connection_is_refused)
{
    void *base;
    uint64_t size;

    open_connection();
    ck_assert_int_eq(mif_connection_map(NULL, FIRST, fd, SIZE), MIF_ERR_NOCONN);
    ck_assert_int_eq(mif_connection_adopt(NULL, FIRST, own, SIZE), MIF_ERR_NOCONN);
    ck_assert_int_eq(mif_region_look(NULL, FIRST, &base, &size), MIF_ERR_MAXREG);
    ck_assert_int_eq(mif_region_look(handle, LAST, &base, &size), MIF_ERR_SUCCESS);
    ck_assert_int_eq(mif_region_look(handle, LAST + 1, &base, &size), MIF_ERR_MAXREG);
    ck_assert_int_eq(mif_region_look(handle, UINT16_MAX, &base, &size), MIF_ERR_MAXREG);
    close_connection();
}

/* ---- what lies in one ---- */

MEMIF_TEST(a_region_holds_what_begins_and_ends_in_it)
{
    open_connection();
    ck_assert_int_eq(mif_connection_map(handle, LAST, fd, SIZE), MIF_ERR_SUCCESS);
    ck_assert(mif_region_holds(conn, LAST, 0, SIZE));
    ck_assert(mif_region_holds(conn, LAST, SIZE - 1, 1));
    ck_assert(mif_region_holds(conn, LAST, SIZE, 0));
    ck_assert(!mif_region_holds(conn, LAST, 0, SIZE + 1));
    ck_assert(!mif_region_holds(conn, LAST, 1, SIZE));
    ck_assert(!mif_region_holds(conn, LAST, SIZE, 1));
    ck_assert(!mif_region_holds(conn, LAST, SIZE + 1, 0));
    ck_assert(!mif_region_holds(conn, LAST, UINT64_MAX, 1));
    ck_assert(!mif_region_holds(conn, LAST, UINT64_MAX, UINT64_MAX));
    ck_assert(!mif_region_holds(conn, LAST, SIZE, UINT64_MAX - SIZE + 1));
    ck_assert(!mif_region_holds(conn, FIRST, 0, 1));
    ck_assert(!mif_region_holds(conn, LAST + 1, 0, 0));
    ck_assert(!mif_region_holds(conn, UINT16_MAX, 0, 0));
    close_connection();
}

MEMIF_TEST(mapped_is_what_lies_in_one_region)
{
    open_connection();
    ck_assert(!mif_is_mapped(conn, own, 1));
    ck_assert_int_eq(mif_connection_map(handle, FIRST, fd, SIZE), MIF_ERR_SUCCESS);
    ck_assert_int_eq(mif_connection_adopt(handle, SECOND, own, SIZE), MIF_ERR_SUCCESS);
    for (uint16_t index = FIRST; index <= SECOND; index += SECOND - FIRST) {
        const uint8_t *base = base_of(index);
        ck_assert(mif_is_mapped(conn, base, SIZE));
        ck_assert(mif_is_mapped(conn, base + SIZE - 1, 1));
        ck_assert(!mif_is_mapped(conn, base, SIZE + 1));
        ck_assert(!mif_is_mapped(conn, base + 1, SIZE));
        ck_assert(!mif_is_mapped(conn, base - 1, 2));
        ck_assert(!mif_is_mapped(conn, base + SIZE - 1, 2));
        ck_assert(!mif_is_mapped(conn, base, SIZE_MAX));
        ck_assert(!mif_is_mapped(conn, base + SIZE, SIZE_MAX));
    }
    ck_assert(!mif_is_mapped(conn, NULL, 1));
    close_connection();
}

/* ---- the longest packet in one ---- */

static uint32_t longest_in(uint16_t index)
{
    const struct mif_queue q = {.regions = conn->regions};
    const struct mif_region_cache cache = mif_region_cache_of(&q, index);

    ck_assert(cache.base == conn->regions[index].base);
    ck_assert_uint_eq(cache.size, conn->regions[index].size);
    ck_assert_uint_eq(cache.head, (uint32_t)index << 16);
    return cache.max_packet;
}

MEMIF_TEST(a_packet_is_as_long_as_allowed_and_as_its_region)
{
    open_connection();
    ck_assert_int_eq(mif_connection_adopt(handle, FIRST, own, SIZE), MIF_ERR_SUCCESS);
    /* Nothing is read there. */
    ck_assert_int_eq(mif_connection_adopt(handle, LAST, own, ((uint64_t)1 << 32) + 1),
                     MIF_ERR_SUCCESS);
    for (uint32_t limit = SIZE - 2; limit <= SIZE + 2; limit++) {
        mif_connection_limit(handle, limit);
        ck_assert_uint_eq(longest_in(FIRST), limit < SIZE ? limit : SIZE);
        ck_assert_uint_eq(longest_in(LAST), limit);
    }
    close_connection();
}

/* ---- who unmaps it ---- */

MEMIF_TEST(memory_of_the_program_stays_mapped)
{
    open_connection();
    ck_assert_int_eq(mif_connection_map(handle, FIRST, fd, SIZE), MIF_ERR_SUCCESS);
    ck_assert_int_eq(mif_connection_adopt(handle, SECOND, own, SIZE), MIF_ERR_SUCCESS);
    unmapped = 0;
    ck_assert_int_eq(mif_regions_unmap_own(conn), MIF_ERR_SUCCESS);
    ck_assert_int_eq(unmapped, 1);
    ck_assert_uint_eq(conn->regions[FIRST].size, 0);
    ck_assert_uint_eq(conn->regions[SECOND].size, 0);
    own[0] = own[SIZE - 1] = 1;
    close_connection();
}

MEMIF_TEST(a_region_of_the_next_link_is_its_own)
{
    open_connection();
    ck_assert_int_eq(mif_connection_adopt(handle, FIRST, own, SIZE), MIF_ERR_SUCCESS);
    ck_assert_int_eq(mif_connection_release(handle), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(conn->region_count, 0);
    ck_assert_int_eq(mif_connection_map(handle, FIRST, fd, SIZE), MIF_ERR_SUCCESS);
    unmapped = 0;
    ck_assert_int_eq(mif_connection_release(handle), MIF_ERR_SUCCESS);
    ck_assert_int_eq(unmapped, 1);
    close_connection();
}

MEMIF_TEST(what_the_kernel_would_not_unmap_is_tried_once_more)
{
    struct mif_region *regions;

    open_connection();
    for (uint16_t index = 0; index < 3; index++)
        ck_assert_int_eq(mif_connection_map(handle, index, fd, SIZE), MIF_ERR_SUCCESS);
    regions = conn->regions;

    refusals = 1;
    unmapped = 0;
    ck_assert_int_eq(mif_regions_unmap(regions, 2), MIF_ERR_SUCCESS);
    ck_assert_int_eq(unmapped, 2);
    ck_assert_uint_eq(regions[0].size, 0);
    ck_assert_uint_eq(regions[1].size, 0);
    ck_assert_uint_eq(regions[2].size, SIZE);

    refusals = 2;
    ck_assert_int_ne(mif_regions_unmap(regions, 3), MIF_ERR_SUCCESS);
    ck_assert_int_eq(refusals, 0);
    ck_assert_uint_eq(regions[2].size, SIZE);

    ck_assert_int_eq(mif_regions_unmap(regions, 3), MIF_ERR_SUCCESS);
    ck_assert_int_eq(unmapped, 3);
    close_connection();
}

MEMIF_TEST_MAIN("regions")
