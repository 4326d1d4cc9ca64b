/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The segment of this process, found and read as docs/reference/segment.md has others do it:
 * through its descriptor, by offsets. The first functions check nothing by themselves, and work in
 * a forked child.
 */

#ifndef MEMIF_C_TESTS_SEGMENT_FILE_H
#define MEMIF_C_TESTS_SEGMENT_FILE_H

#include <check.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/segment.h"

enum { PAIRS_PER_PAGE = MIF_PAGE / 512 };

static inline bool is_segment(int fd)
{
    char path[32], target[64];

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(path, target, sizeof(target) - 1);
    target[length < 0 ? 0 : length] = '\0';
    return strcmp(target, "/memfd:libmemif-stats (deleted)") == 0;
}

/* Descriptors of segments; `last` becomes one of them. */
static inline int segment_descriptors(int *last)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++) {
        if (!is_segment(fd))
            continue;
        count++;
        *last = fd;
    }
    return count;
}

/* Mappings of segments; `first` becomes where the first one begins. */
static inline int segment_mappings(uintptr_t *first)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    int count = 0;

    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
        if (strstr(line, "/memfd:libmemif-stats") != NULL && count++ == 0)
            (void)sscanf(line, "%" SCNxPTR, first);
    }
    if (maps != NULL)
        (void)fclose(maps);
    return count;
}

/* Nothing of a segment is left here. */
static inline bool is_without_segment(void)
{
    int fd;
    uintptr_t at;

    return !mif_segment_is_open() && segment_descriptors(&fd) == 0 && segment_mappings(&at) == 0;
}

static inline int segment_fd(void)
{
    static int fd = -1;

    if (!is_segment(fd))
        ck_assert_int_eq(segment_descriptors(&fd), 1);
    return fd;
}

static inline void read_segment(uint64_t offset, void *to, size_t bytes)
{
    ck_assert_int_eq(pread(segment_fd(), to, bytes, (off_t)offset), (ssize_t)bytes);
}

static inline struct mif_segment_header read_header(void)
{
    struct mif_segment_header header;

    read_segment(0, &header, sizeof(header));
    return header;
}

static inline struct mif_segment_record read_record(uint32_t cell)
{
    const struct mif_segment_header at = read_header();
    struct mif_segment_record record;

    read_segment(at.records + (uint64_t)cell * at.record_size, &record, sizeof(record));
    return record;
}

static inline uint32_t sequence_of(uint32_t cell)
{
    const struct mif_segment_record record = read_record(cell);

    return atomic_load(&record.sequence);
}

/* What the table of pages has for a queue; 0 = it is not shown. */
static inline uint32_t read_page(uint32_t cell, uint32_t qid)
{
    const struct mif_segment_header at = read_header();
    uint32_t page;

    read_segment(at.pages + 4 * ((uint64_t)qid * at.pages_per_id + cell / at.pairs_per_page), &page,
                 sizeof(page));
    return page;
}

/* The number of the block of a queue that is shown. */
static inline uint64_t block_of(uint32_t cell, uint32_t qid, int is_tx)
{
    const uint64_t page = read_page(cell, qid), pairs = read_header().pairs_per_page;

    ck_assert_uint_ne(page, 0);
    return 2 * ((page - 1) * pairs + cell % pairs) + (is_tx ? 1 : 0);
}

static inline struct mif_segment_ring read_ring(uint32_t cell, uint32_t qid, int is_tx)
{
    struct mif_segment_ring ring;

    read_segment(read_header().rings + block_of(cell, qid, is_tx) * 16, &ring, sizeof(ring));
    return ring;
}

/* A counter of a queue. */
static inline uint64_t read_bytes(uint32_t cell, uint32_t qid, int is_tx)
{
    uint64_t bytes;

    read_segment(read_header().blocks + block_of(cell, qid, is_tx) * 256 + 120, &bytes,
                 sizeof(bytes));
    return bytes;
}

/* A number that leads to the queues of a cell, as a handle of an interface there would. */
static inline void *handle_of(uint32_t cell)
{
    return (void *)((uintptr_t)1 << MIF_SERIAL_SHIFT | (uintptr_t)cell << MIF_CELL_SHIFT);
}

#endif
