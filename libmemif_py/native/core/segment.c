/* SPDX-License-Identifier: Apache-2.0 */
#include "core/segment.h"

#include "core/arena.h"
#include "core/debug.h"
#include "core/errors.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010 /* Linux 5.1 */
#endif

/* On average so many queue ids for each interface; those beyond have no counters in the segment. */
#define PAIRS_PER_CELL 8

static const char magic[8] = {'m', 'e', 'm', 'i', 'f', 's', 't', 'a'};

/* The layout is a promise to readers: docs/reference/segment.md. */
#define AT(type, field, offset) _Static_assert(offsetof(struct type, field) == (offset), "layout")
AT(mif_segment_header, records, 32);
AT(mif_segment_header, version, 88);
AT(mif_shown, since, 40);
AT(mif_shown, path, 176);
AT(mif_segment_record, shown, 16);
_Static_assert(sizeof(struct mif_segment_record) == 1024, "layout");
_Static_assert(sizeof(struct mif_segment_ring) == 16, "layout");
_Static_assert(sizeof(struct mif_queue) == 256, "layout");
AT(mif_queue, polling, 9);
AT(mif_queue, mask, 10);
AT(mif_queue, next, 16);
AT(mif_queue, done, 24);
AT(mif_queue, limit, 32);
AT(mif_queue, bytes, 120);
AT(mif_queue, extra_slots, 152);
AT(mif_queue, kind, 188);
AT(mif_queue, full, 200);
AT(mif_queue, signals, 208);
AT(mif_queue, before, 224);
#undef AT

static struct {
    uint8_t *base;                /* of the window; NULL = no segment */
    struct mif_segment_header at; /* a private copy */
    uint64_t next;                /* the first page that is left for queues */
    int fd;
    uint32_t users;
} segment;

bool mif_segment_is_open(void)
{
    return segment.base != NULL;
}

/* ---- the file ---- */

static uint64_t page_aligned(uint64_t size)
{
    return (size + MIF_PAGE - 1) / MIF_PAGE * MIF_PAGE;
}

static struct mif_segment_header lay_out(const char *api)
{
    const uint32_t cells = (uint32_t)(mif_the_arena()->cell_mask >> MIF_CELL_SHIFT) + 1;
    const uint32_t pairs_per_page = MIF_PAGE / sizeof(struct mif_queue_pair);
    const uint64_t pairs = (uint64_t)cells * PAIRS_PER_CELL;
    struct mif_segment_header at = {
        .layout = MIF_SEGMENT_LAYOUT,
        .pid = getpid(),
        .record_size = sizeof(struct mif_segment_record),
        .records = page_aligned(sizeof(struct mif_segment_header)),
        .pairs_per_page = pairs_per_page,
        .pages_per_id = (cells + pairs_per_page - 1) / pairs_per_page,
        .version = MIF_LIBRARY_VERSION,
    };
    memcpy(at.magic, magic, sizeof(magic));
    strncpy(at.api, api, sizeof(at.api) - 1);
    at.pages = at.records + (uint64_t)cells * at.record_size;
    at.rings = page_aligned(at.pages + (uint64_t)MIF_MAX_QUEUES * at.pages_per_id * 4);
    at.blocks = page_aligned(at.rings + 2 * pairs * sizeof(struct mif_segment_ring));
    at.size = at.blocks + page_aligned(pairs * sizeof(struct mif_queue_pair));
    return at;
}

/* A file that is longer than the limit would end the process with SIGXFSZ. */
static bool may_have(uint64_t size)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && size <= limit.rlim_cur;
}

/* The name of the call that failed, or NULL. */
static const char *fill(int fd, const struct mif_segment_header *at)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    if (ftruncate(fd, (off_t)at->size) != 0)
        return "ftruncate";
    void *base = mmap(NULL, at->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return "mmap";
    if (fcntl(fd, F_ADD_SEALS, seals) != 0) {
        (void)munmap(base, at->size);
        return "F_SEAL_FUTURE_WRITE";
    }
    (void)madvise(base, at->size, MADV_DONTDUMP); /* a dump would take a page for each hole */
    memcpy(base, at, sizeof(*at));
    segment.fd = fd;
    segment.at = *at;
    segment.next = at->blocks;
    segment.base = base; /* last: another thread may fork, and the child drops what there is */
    return NULL;
}

static void make(const char *api)
{
    const struct mif_segment_header at = lay_out(api);
    if (!may_have(at.size))
        return;
    int fd = memfd_create(MIF_SEGMENT_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    const char *failed = fd < 0 ? "memfd_create" : fill(fd, &at);
    if (failed != NULL) {
        MIF_DEBUG("no statistics for other processes: %s failed", failed);
        if (fd >= 0)
            (void)close(fd);
    }
}

/* The pages between have moved to the arena; other memory may be in their place. */
static void drop(void)
{
    uint8_t *base = segment.base;
    segment.base = NULL;
    (void)close(segment.fd);
    (void)munmap(base, segment.at.blocks);
    if (segment.next < segment.at.size)
        (void)munmap(base + segment.next, segment.at.size - segment.next);
}

void mif_segment_open(const char *api)
{
    segment.users++;
    if (segment.base != NULL || !mif_stats_wanted())
        return;
    make(api);
    if (segment.base != NULL)
        mif_arena_share();
}

void mif_segment_close(void)
{
    if (segment.users == 0 || --segment.users > 0 || segment.base == NULL)
        return;
    mif_arena_unshare();
    drop();
}

void mif_segment_forked(void)
{
    segment.users = 0;
    if (segment.base != NULL)
        drop();
}

/* ---- pages ---- */

static _Atomic uint32_t *pages_of(uint32_t qid)
{
    uint8_t *table = segment.base + segment.at.pages;
    return (_Atomic uint32_t *)(void *)table + (size_t)qid * segment.at.pages_per_id;
}

bool mif_segment_place(uint32_t qid, size_t begin, size_t bytes, void *at)
{
    if (segment.base == NULL || bytes > segment.at.size - segment.next)
        return false;
    const uint64_t begins = segment.next;
    void *from = segment.base + begins;
    segment.next += bytes; /* first: another thread may fork, and the child drops the rest */
    if (mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, at) == MAP_FAILED) {
        /* What was at `at` may be unmapped already. */
        (void)mmap(at, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
                   -1, 0);
        return false;
    }
    (void)madvise(at, bytes, MADV_DODUMP);
    uint32_t first = (uint32_t)((begins - segment.at.blocks) / MIF_PAGE);
    for (uint32_t i = 0; i < bytes / MIF_PAGE; i++)
        atomic_store(&pages_of(qid)[begin / MIF_PAGE + i], first + i + 1);
    return true;
}

/* ---- records ---- */

static struct mif_segment_record *record_of(const void *handle)
{
    if (segment.base == NULL || handle == NULL)
        return NULL;
    return (struct mif_segment_record *)(void *)(segment.base + segment.at.records) +
           mif_cell_of(handle);
}

/* NULL for a queue that has no block in the segment. */
static struct mif_segment_ring *ring_of(const void *handle, uint32_t qid, bool is_tx)
{
    const uint32_t cell = mif_cell_of(handle), per_page = segment.at.pairs_per_page;
    uint32_t page = atomic_load(&pages_of(qid)[cell / per_page]);
    if (page == 0)
        return NULL;
    size_t block = 2 * ((size_t)(page - 1) * per_page + cell % per_page) + is_tx;
    return (struct mif_segment_ring *)(void *)(segment.base + segment.at.rings) + block;
}

static void begin(struct mif_segment_record *record)
{
    uint32_t sequence = atomic_load_explicit(&record->sequence, memory_order_relaxed);
    atomic_store_explicit(&record->sequence, sequence + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

static void end(struct mif_segment_record *record)
{
    uint32_t sequence = atomic_load_explicit(&record->sequence, memory_order_relaxed);
    atomic_store_explicit(&record->sequence, sequence + 1, memory_order_release);
}

void mif_segment_begin(const void *handle)
{
    struct mif_segment_record *record = record_of(handle);
    if (record != NULL)
        begin(record);
}

void mif_segment_end(const void *handle)
{
    struct mif_segment_record *record = record_of(handle);
    if (record != NULL)
        end(record);
}

void mif_segment_describe(const void *handle, const struct mif_shown *shown)
{
    struct mif_segment_record *record = record_of(handle);
    if (record == NULL)
        return;
    struct mif_segment_header *header = (struct mif_segment_header *)(void *)segment.base;
    begin(record);
    record->shown = *shown;
    record->serial = (uint64_t)(uintptr_t)handle >> MIF_SERIAL_SHIFT;
    record->in_use = 1;
    end(record);
    if (header->used <= mif_cell_of(handle))
        header->used = mif_cell_of(handle) + 1;
}

void mif_segment_ring(const void *handle, uint16_t qid, int is_tx, int fd, uint32_t offset)
{
    struct mif_segment_record *record = record_of(handle);
    struct mif_segment_ring *ring =
        record == NULL || qid >= MIF_MAX_QUEUES ? NULL : ring_of(handle, qid, is_tx != 0);
    if (ring == NULL)
        return;
    begin(record);
    ring->fd = fd;
    ring->offset = offset;
    end(record);
}

void mif_segment_forget_rings(const void *handle)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (segment.base == NULL || conn == NULL)
        return;
    const uint32_t counts[2] = {conn->rx_count, conn->tx_count};
    for (uint32_t is_tx = 0; is_tx < 2; is_tx++) {
        for (uint32_t qid = 0; qid < counts[is_tx]; qid++) {
            struct mif_segment_ring *ring = ring_of(handle, qid, is_tx != 0);
            if (ring != NULL)
                ring->fd = -1;
        }
    }
}

void mif_segment_forget(const void *handle)
{
    struct mif_segment_record *record = record_of(handle);
    if (record == NULL)
        return;
    begin(record);
    record->in_use = 0;
    memset(&record->shown, 0, sizeof(record->shown));
    end(record);
}
