/* SPDX-License-Identifier: Apache-2.0 */

/* The segment: what a process shows of its interfaces, read as another one would. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "loopback.h"
#include "segment_file.h"

#include "core/arena.h"
#include "core/errors.h"
#include "core/segment.h"

enum { EIGHT_IDS = 8, LAST_CELL = MIF_MAX_CELLS - 1, LAST_ID = MIF_MAX_QUEUES - 1 };

/* Shows this process before it has an interface. */
static void begin_to_show(void)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    mif_segment_open("a test");
    ck_assert(mif_segment_is_open());
}

/* Opens the queues of an id, up to those of a cell. */
static void open_queues(uint32_t cell, uint32_t qid)
{
    ck_assert_int_eq(mif_arena_open_queues(handle_of(cell), qid), MIF_ERR_SUCCESS);
}

static uint64_t *counter(uint32_t cell, uint32_t qid, enum mif_direction direction)
{
    return &mif_queue_at(handle_of(cell), qid, direction)->bytes;
}

/* ---- the file ---- */

/* A part of the file begins behind the one before, on a page of its own. */
static void is_next_part(uint64_t begin, uint64_t end_of_last)
{
    ck_assert_uint_ge(begin, end_of_last);
    ck_assert_uint_lt(begin - end_of_last, MIF_PAGE);
    ck_assert_uint_eq(begin % MIF_PAGE, 0);
}

MEMIF_TEST(its_parts_lie_one_behind_the_other)
{
    const uint64_t blocks = MIF_MAX_CELLS * EIGHT_IDS * 2;
    struct stat about;

    begin_to_show();
    const struct mif_segment_header at = read_header();
    ck_assert_int_eq(memcmp(at.magic, "memifsta", 8), 0);
    ck_assert_uint_eq(at.layout, 1);
    ck_assert_int_eq(at.pid, getpid());
    ck_assert_uint_eq(at.used, 0);
    ck_assert_uint_eq(at.record_size, 1024);
    ck_assert_uint_eq(at.pairs_per_page, PAIRS_PER_PAGE);
    ck_assert_uint_eq(at.pages_per_id, MIF_MAX_CELLS / PAIRS_PER_PAGE);
    ck_assert_str_eq(at.api, "a test");
    ck_assert_str_eq(at.version, MIF_LIBRARY_VERSION);
    is_next_part(at.records, sizeof(at));
    ck_assert_uint_eq(at.pages, at.records + MIF_MAX_CELLS * 1024);
    is_next_part(at.rings, at.pages + (uint64_t)MIF_MAX_QUEUES * at.pages_per_id * 4);
    is_next_part(at.blocks, at.rings + blocks * 16);
    is_next_part(at.size, at.blocks + blocks * 256);
    ck_assert_int_eq(fstat(segment_fd(), &about), 0);
    ck_assert_uint_eq((uint64_t)about.st_size, at.size);
    mif_segment_close();
}

MEMIF_TEST(nobody_else_can_write_it)
{
    begin_to_show();
    const int fd = segment_fd();
    const uint64_t size = read_header().size;
    ck_assert_int_eq(pwrite(fd, "", 1, 0), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(ftruncate(fd, (off_t)size - MIF_PAGE), -1);
    ck_assert_int_eq(ftruncate(fd, (off_t)size + MIF_PAGE), -1);
    ck_assert(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    mif_segment_close();
}

/* ---- records ---- */

/* Everything that may be told, other each time. */
static struct mif_shown something(int seed)
{
    struct mif_shown shown;

    memset(&shown, seed, sizeof(shown));
    return shown;
}

static void is_record(uint32_t cell, uint32_t sequence, uint32_t in_use, int seed)
{
    const struct mif_segment_record record = read_record(cell);
    const struct mif_shown wanted = something(seed);

    ck_assert_uint_eq(record.sequence, sequence);
    ck_assert_uint_eq(record.in_use, in_use);
    ck_assert_int_eq(memcmp(&record.shown, &wanted, sizeof(wanted)), 0);
}

static void describe(const void *handle, int seed)
{
    const struct mif_shown shown = something(seed);

    mif_segment_describe(handle, &shown);
}

MEMIF_TEST(an_interface_is_shown_until_it_ends)
{
    begin_to_show();
    void *first = open_handle(), *second = open_handle();
    describe(first, 1);
    describe(second, 2);
    describe(second, 3);
    is_record(0, 2, 1, 1);
    is_record(1, 4, 1, 3);
    is_record(2, 0, 0, 0);
    ck_assert_uint_eq(read_record(0).serial, (uintptr_t)first >> MIF_SERIAL_SHIFT);
    ck_assert_uint_ne(read_record(0).serial, read_record(1).serial);
    mif_connection_close(second);
    is_record(0, 2, 1, 1);
    is_record(1, 6, 0, 0);
    describe(handle_of(1), 4); /* the next in this place */
    ck_assert_uint_eq(read_record(1).serial, 1);
    is_record(1, 8, 1, 4);
    mif_connection_close(first);
    mif_segment_close();
}

MEMIF_TEST(records_that_were_never_used_need_no_look)
{
    static const struct {
        uint32_t cell, used;
    } steps[] = {{0, 1}, {1, 2}, {0, 2}, {7, 8}, {5, 8}, {7, 8}, {LAST_CELL, MIF_MAX_CELLS}};

    begin_to_show();
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        describe(handle_of(steps[i].cell), 1);
        ck_assert_uint_eq(read_header().used, steps[i].used);
    }
    mif_segment_forget(handle_of(LAST_CELL));
    ck_assert_uint_eq(read_header().used, MIF_MAX_CELLS);
    mif_segment_close();
}

MEMIF_TEST(a_record_says_that_somebody_writes)
{
    begin_to_show();
    for (uint32_t round = 0; round < 3; round++) {
        mif_segment_begin(handle_of(5));
        ck_assert_uint_eq(sequence_of(5), 2 * round + 1);
        mif_segment_end(handle_of(5));
        ck_assert_uint_eq(sequence_of(5), 2 * round + 2);
    }
    is_record(4, 0, 0, 0);
    is_record(6, 0, 0, 0);
    mif_segment_close();
}

static void tell_all_of(void *handle)
{
    describe(handle, 1);
    mif_segment_begin(handle);
    mif_segment_forget_rings(handle);
    mif_segment_end(handle);
    mif_segment_ring(handle, 0, 0, 3, 4);
    mif_segment_ring(handle, 0, 1, 5, 6);
    mif_segment_forget(handle);
}

MEMIF_TEST(what_is_no_interface_is_not_shown)
{
    begin_to_show();
    open_queues(0, 0);
    mif_segment_ring(handle_of(0), 0, 0, 1, 2);
    tell_all_of(NULL);
    is_record(0, 2, 0, 0);
    ck_assert_uint_eq(read_header().used, 0);
    ck_assert_int_eq(read_ring(0, 0, 0).fd, 1);
    ck_assert_int_eq(read_ring(0, 0, 1).fd, 0);
    mif_segment_close();
}

/* ---- queues ---- */

static uint64_t mark_of(uint32_t cell, uint32_t qid, enum mif_direction direction)
{
    return 1 + 2 * ((uint64_t)cell * MIF_MAX_QUEUES + qid) + direction;
}

static void mark(uint32_t cells, uint32_t qid)
{
    for (uint32_t cell = 0; cell < cells; cell++)
        for (enum mif_direction direction = MIF_RX; direction <= MIF_TX; direction++)
            *counter(cell, qid, direction) = mark_of(cell, qid, direction);
}

static void is_marked(uint32_t cells, uint32_t qid)
{
    for (uint32_t cell = 0; cell < cells; cell++)
        for (enum mif_direction direction = MIF_RX; direction <= MIF_TX; direction++)
            ck_assert_uint_eq(read_bytes(cell, qid, direction == MIF_TX),
                              mark_of(cell, qid, direction));
}

/* Of an id, so many cells have a page, and no other. */
static void has_pages(uint32_t qid, uint32_t cells)
{
    for (uint32_t cell = 0; cell < MIF_MAX_CELLS; cell += PAIRS_PER_PAGE)
        ck_assert_int_eq(read_page(cell, qid) != 0, cell < cells);
    ck_assert(cells == 0 || mif_arena_has_queues(handle_of(cells - 1), qid));
    ck_assert(!mif_arena_has_queues(handle_of(cells), qid));
}

MEMIF_TEST(counters_are_where_the_table_of_pages_says)
{
    begin_to_show();
    open_queues(0, 3);
    open_queues(PAIRS_PER_PAGE - 1, LAST_ID);
    mark(PAIRS_PER_PAGE, 3);
    open_queues(3 * PAIRS_PER_PAGE, 3);
    open_queues(PAIRS_PER_PAGE, 2);
    has_pages(3, 4 * PAIRS_PER_PAGE);
    has_pages(LAST_ID, PAIRS_PER_PAGE);
    has_pages(2, 2 * PAIRS_PER_PAGE);
    has_pages(1, 0);
    has_pages(4, 0);
    is_marked(PAIRS_PER_PAGE, 3); /* what was there has stayed */
    mark(4 * PAIRS_PER_PAGE, 3);
    mark(PAIRS_PER_PAGE, LAST_ID);
    mark(2 * PAIRS_PER_PAGE, 2);
    is_marked(4 * PAIRS_PER_PAGE, 3);
    is_marked(PAIRS_PER_PAGE, LAST_ID);
    is_marked(2 * PAIRS_PER_PAGE, 2);
    open_queues(3 * PAIRS_PER_PAGE, 3); /* they are */
    open_queues(0, 2);
    has_pages(3, 4 * PAIRS_PER_PAGE);
    has_pages(2, 2 * PAIRS_PER_PAGE);
    mif_segment_close();
}

MEMIF_TEST(there_is_room_for_eight_ids_of_each_interface)
{
    uintptr_t at;

    begin_to_show();
    for (uint32_t qid = 0; qid < EIGHT_IDS; qid++) {
        open_queues(qid == 0 ? 0 : LAST_CELL, qid);
        *counter(0, qid, MIF_TX) = 10 + qid;
    }
    open_queues(LAST_CELL, 0);
    for (uint32_t qid = 0; qid < EIGHT_IDS; qid++) {
        *counter(LAST_CELL, qid, MIF_TX) = 20 + qid;
        ck_assert_uint_eq(read_bytes(0, qid, MIF_TX), 10 + qid);
        ck_assert_uint_eq(read_bytes(LAST_CELL, qid, MIF_TX), 20 + qid);
    }
    open_queues(LAST_CELL, EIGHT_IDS); /* it counts as well, but is not shown */
    *counter(LAST_CELL, EIGHT_IDS, MIF_TX) = 30;
    for (uint32_t qid = EIGHT_IDS; qid <= LAST_ID; qid++)
        ck_assert_uint_eq(read_page(LAST_CELL, qid), 0);
    tell_all_of(handle_of(0));
    ck_assert_int_gt(segment_mappings(&at), 0);
    mif_segment_close();
    ck_assert(is_without_segment());
    ck_assert_uint_eq(*counter(LAST_CELL, EIGHT_IDS - 1, MIF_TX), 0);
}

MEMIF_TEST(queues_from_before_are_shown_from_the_start)
{
    const uint32_t ids[] = {0, 1, LAST_ID};

    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    for (size_t i = 0; i < 3; i++) {
        open_queues((uint32_t)(i + 1) * PAIRS_PER_PAGE - 1, ids[i]);
        mark((uint32_t)(i + 1) * PAIRS_PER_PAGE, ids[i]);
    }
    begin_to_show();
    for (size_t i = 0; i < 3; i++) {
        const uint32_t cells = (uint32_t)(i + 1) * PAIRS_PER_PAGE;
        ck_assert_uint_eq(*counter(cells - 1, ids[i], MIF_TX), 0);
        has_pages(ids[i], cells);
        mark(cells, ids[i]);
    }
    for (size_t i = 0; i < 3; i++)
        is_marked((uint32_t)(i + 1) * PAIRS_PER_PAGE, ids[i]);
    mif_segment_close();
}

MEMIF_TEST(queues_that_come_when_no_more_are_shared_are_private)
{
    begin_to_show();
    mif_arena_unshare();
    open_queues(0, 0);
    *counter(0, 0, MIF_RX) = 1;
    ck_assert_uint_eq(read_page(0, 0), 0);
    mif_segment_close();
    ck_assert_uint_eq(*counter(0, 0, MIF_RX), 0);
}

/* ---- rings ---- */

static void is_ring(uint32_t cell, uint32_t qid, int is_tx, int fd, uint32_t offset)
{
    const struct mif_segment_ring ring = read_ring(cell, qid, is_tx);

    ck_assert_int_eq(ring.fd, fd);
    ck_assert_uint_eq(ring.offset, offset);
}

MEMIF_TEST(rings_are_where_the_blocks_say)
{
    const uint32_t cells[] = {0, 1, PAIRS_PER_PAGE - 1, PAIRS_PER_PAGE, 2 * PAIRS_PER_PAGE + 3};
    const uint16_t ids[] = {0, 3, LAST_ID};
    int told = 0, looked = 0;

    begin_to_show();
    for (size_t q = 0; q < 3; q++)
        open_queues(3 * PAIRS_PER_PAGE - 1, ids[q]);
    for (size_t c = 0; c < 5; c++)
        for (size_t q = 0; q < 3; q++)
            for (int is_tx = 0; is_tx < 2; is_tx++, told++) {
                mif_segment_ring(handle_of(cells[c]), ids[q], is_tx, 100 + told,
                                 1000 + (uint32_t)told);
                ck_assert_uint_eq(sequence_of(cells[c]), 4 * q + 2 * (uint32_t)is_tx + 2);
            }
    for (size_t c = 0; c < 5; c++)
        for (size_t q = 0; q < 3; q++)
            for (int is_tx = 0; is_tx < 2; is_tx++, looked++)
                is_ring(cells[c], ids[q], is_tx, 100 + looked, 1000 + (uint32_t)looked);
    is_ring(2, 0, 0, 0, 0);
    is_ring(2, 0, 1, 0, 0);
    mif_segment_close();
}

MEMIF_TEST(a_ring_without_a_block_is_not_told)
{
    begin_to_show();
    open_queues(0, 0);
    mif_segment_ring(handle_of(0), 0, 0, 1, 2);
    is_record(0, 2, 0, 0);
    mif_segment_ring(handle_of(0), 1, 0, 3, 4);              /* never used */
    mif_segment_ring(handle_of(0), MIF_MAX_QUEUES, 0, 3, 4); /* no queue */
    mif_segment_ring(handle_of(0), UINT16_MAX, 1, 3, 4);
    is_record(0, 2, 0, 0);
    is_ring(0, 0, 0, 1, 2);
    mif_segment_close();
}

MEMIF_TEST(at_the_end_of_a_link_its_rings_are_forgotten)
{
    begin_to_show();
    void *handles[] = {open_handle(), open_handle()};
    struct mif_connection *conn = mif_lookup(handles[1]);

    for (uint16_t qid = 0; qid < 4; qid++) {
        open_queues(1, qid);
        for (int i = 0; i < 2; i++)
            for (int is_tx = 0; is_tx < 2; is_tx++)
                mif_segment_ring(handles[i], qid, is_tx, 1 + qid, 7);
    }
    for (int more_tx = 0; more_tx < 2; more_tx++) {
        conn->rx_count = more_tx ? 1 : 3;
        conn->tx_count = more_tx ? 3 : 1;
        mif_segment_forget_rings(handles[1]);
        for (uint16_t qid = 0; qid < 4; qid++)
            for (int is_tx = 0; is_tx < 2; is_tx++) {
                const bool is_of_link = qid < (is_tx == more_tx ? 3 : 1);
                is_ring(1, qid, is_tx, is_of_link ? -1 : 1 + qid, 7);
                is_ring(0, qid, is_tx, 1 + qid, 7);
                mif_segment_ring(handles[1], qid, is_tx, 1 + qid, 7);
            }
    }
    conn->rx_count = conn->tx_count = 0;
    mif_connection_close(handles[0]);
    mif_connection_close(handles[1]);
    mif_segment_close();
}

/* ---- when there is none ---- */

/* There is no segment: nothing is told, and queues count as always. */
static void nothing_is_shown(void)
{
    ck_assert(is_without_segment());
    void *first = open_handle(), *second = open_handle();
    open_queues(mif_cell_of(second), 0);
    tell_all_of(first);
    tell_all_of(second);
    tell_all_of(NULL);
    *counter(mif_cell_of(second), 0, MIF_TX) += 1;
    mif_connection_close(first);
    mif_connection_close(second);
    ck_assert(is_without_segment());
}

MEMIF_TEST(the_user_may_not_want_one)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    nothing_is_shown();
    ck_assert_int_eq(setenv("LIBMEMIF_STATS", "0", 1), 0);
    mif_segment_open("a test");
    nothing_is_shown();
    mif_segment_close();
    ck_assert_int_ge(fcntl(0, F_GETFD), 0); /* nothing of others was closed */
    ck_assert_int_eq(setenv("LIBMEMIF_STATS", "1", 1), 0);
    begin_to_show();
    mif_segment_close();
    nothing_is_shown();
}

MEMIF_TEST(a_file_that_would_be_too_long_is_not_made)
{
    struct rlimit limit;

    begin_to_show();
    const uint64_t size = read_header().size;
    mif_segment_close();
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    begin_to_show();
    mif_segment_close();
    limit.rlim_cur = size - 1;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    mif_segment_open("a test");
    nothing_is_shown();
    mif_segment_close();
}

MEMIF_TEST(the_last_who_closes_it_removes_it)
{
    int fd;

    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    for (int round = 0; round < 2; round++) {
        mif_segment_close(); /* one too many */
        for (int user = 0; user < 3; user++) {
            begin_to_show();
            ck_assert_int_eq(segment_descriptors(&fd), 1);
        }
        describe(handle_of(2), 1);
        for (int user = 0; user < 3; user++) {
            ck_assert_uint_eq(read_header().used, 3);
            mif_segment_close();
        }
        nothing_is_shown();
    }
}

MEMIF_TEST(nothing_of_others_goes_with_it)
{
    uintptr_t window = 0;

    begin_to_show();
    open_queues(0, 0);
    *counter(0, 0, MIF_TX) = 5;
    ck_assert_int_gt(segment_mappings(&window), 0);
    /* The page of these queues was here before. */
    uint8_t *others =
        mmap((void *)(window + read_header().blocks), MIF_PAGE, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    ck_assert(others != MAP_FAILED);
    memset(others, 1, MIF_PAGE);
    mif_segment_close();
    ck_assert(is_without_segment());
    ck_assert_uint_eq(others[0] + others[MIF_PAGE - 1], 2);
    ck_assert_uint_eq(*counter(0, 0, MIF_TX), 0);
    *counter(0, 0, MIF_TX) = 6; /* they can be written as before */
    begin_to_show();
    ck_assert_uint_eq(read_bytes(0, 0, MIF_TX), 0);
    *counter(0, 0, MIF_TX) = 7;
    ck_assert_uint_eq(read_bytes(0, 0, MIF_TX), 7);
    mif_segment_close();
}

MEMIF_TEST_MAIN("segment")
