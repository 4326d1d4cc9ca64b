/* SPDX-License-Identifier: Apache-2.0 */
#include "core/arena.h"

#include "core/errors.h"
#include "core/segment.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Placeholder arena, so that lookups before mif_arena_publish fail safely. */
static struct mif_connection no_connection;
static struct mif_queue_pair no_queues;
static const struct mif_arena no_arena = {
    .queues = (uint8_t *)&no_queues,
    .connections = (uint8_t *)&no_connection,
};
_Atomic(const struct mif_arena *) mif_arena = &no_arena;

/* Guards the quarantine and the opening of cells, nothing else. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mif_arena arena;
static uint32_t arena_cells;                   /* how many fit the reserved address range */
static uint32_t opened;                        /* cells that were ever used */
static uint32_t opened_queues[MIF_MAX_QUEUES]; /* bytes, by queue id, that can be written */
static bool shared;                            /* whether pages of queues are the segment's */
static uint64_t next_serial = 1;               /* never reused, so neither is a handle */
static uint16_t *quarantine;                   /* closed cells, oldest first, as a circle */
static uint32_t quarantine_first, quarantine_count;

/* ---- one-time set-up ---- */

static struct mif_connection *cell_at(uint32_t index)
{
    return (struct mif_connection *)(void *)(arena.connections + index * MIF_CELL_STRIDE);
}

/* Whether the rest of the process, the interpreter before all, still has address space. */
static bool is_room_left(void)
{
    const size_t most = (size_t)256 << 20;
    void *rest = mmap(NULL, most, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return rest != MAP_FAILED && munmap(rest, most) == 0;
}

/* Address space only: no page is taken before a cell is opened. A process with a tight address
 * limit gets fewer cells. */
int mif_arena_reserve(void)
{
    if (arena_cells != 0)
        return MIF_ERR_SUCCESS;
    const uint32_t least = MIF_LEAST_CELLS;
    for (uint32_t cells = MIF_MAX_CELLS; cells >= least; cells /= 2) {
        size_t qid_stride = cells * sizeof(struct mif_queue_pair);
        size_t queue_bytes = MIF_MAX_QUEUES * qid_stride;
        uint8_t *base = mmap(NULL, queue_bytes + cells * MIF_CELL_STRIDE, PROT_READ,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base == MAP_FAILED)
            continue;
        if (cells > least && !is_room_left()) {
            (void)munmap(base, queue_bytes + cells * MIF_CELL_STRIDE);
            continue;
        }
        quarantine = calloc(cells, sizeof(*quarantine));
        if (quarantine == NULL) {
            (void)munmap(base, queue_bytes + cells * MIF_CELL_STRIDE);
            return MIF_ERR_NOMEM;
        }
        arena_cells = cells;
        arena = (struct mif_arena){.queues = base,
                                   .connections = base + queue_bytes,
                                   .cell_mask = (uint64_t)(cells - 1) << MIF_CELL_SHIFT,
                                   .qid_stride = qid_stride};
        return MIF_ERR_SUCCESS;
    }
    return MIF_ERR_NOMEM;
}

void mif_arena_publish(void)
{
    atomic_store_explicit(&mif_arena, &arena, memory_order_release);
}

bool mif_arena_is_published(void)
{
    return mif_the_arena() != &no_arena;
}

/* ---- cells ---- */

static int take_cell(uint32_t *index)
{
    bool all_open = opened == arena_cells;
    if (quarantine_count > MIF_QUARANTINE || (quarantine_count > 0 && all_open)) {
        *index = quarantine[quarantine_first];
        quarantine_first = (quarantine_first + 1) % arena_cells;
        quarantine_count--;
        return MIF_ERR_SUCCESS;
    }
    if (all_open)
        return MIF_ERR_NOMEM;
    if (mprotect(cell_at(opened), MIF_CELL_STRIDE, PROT_READ | PROT_WRITE) != 0)
        return mif_call_failed("mprotect");
    *index = opened++;
    return MIF_ERR_SUCCESS;
}

int mif_arena_take(struct mif_connection **conn, uintptr_t *handle)
{
    uint32_t index = 0;
    pthread_mutex_lock(&lock);
    int err = mif_arena_is_published() ? take_cell(&index) : MIF_ERR_INVAL_ARG;
    uint64_t serial = next_serial++;
    pthread_mutex_unlock(&lock);
    if (err != MIF_ERR_SUCCESS)
        return err;
    *conn = cell_at(index);
    *handle = (uintptr_t)(serial << MIF_SERIAL_SHIFT | (uint64_t)index << MIF_CELL_SHIFT);
    return MIF_ERR_SUCCESS;
}

void mif_arena_give_back(const void *handle)
{
    struct mif_connection *conn = cell_at(mif_cell_of(handle));
    atomic_store(&conn->handle, 0);
    /* Gives the memory back and leaves zeroes, readable by late look-ups. */
    (void)madvise(conn, MIF_CELL_STRIDE, MADV_DONTNEED);
    pthread_mutex_lock(&lock);
    quarantine[(quarantine_first + quarantine_count) % arena_cells] = (uint16_t)mif_cell_of(handle);
    quarantine_count++;
    pthread_mutex_unlock(&lock);
}

/* ---- queues ---- */

static uint8_t *queues_of(uint32_t qid)
{
    return arena.queues + qid * arena.qid_stride;
}

/* Where the queues of a handle's cell end, among those of one id. */
static uint32_t queues_end(const void *handle)
{
    return (mif_cell_of(handle) + 1) * (uint32_t)sizeof(struct mif_queue_pair);
}

int mif_arena_open_queues(const void *handle, uint32_t qid)
{
    int err = MIF_ERR_SUCCESS;
    pthread_mutex_lock(&lock);
    uint32_t end = queues_end(handle);
    end = (end + MIF_PAGE - 1) / MIF_PAGE * MIF_PAGE;
    if (end > opened_queues[qid]) {
        const uint32_t begin = opened_queues[qid], bytes = end - begin;
        uint8_t *at = queues_of(qid) + begin;
        opened_queues[qid] = end; /* first: another thread may fork, see mif_arena_forked */
        if (!(shared && mif_segment_place(qid, begin, bytes, at)) &&
            mprotect(at, bytes, PROT_READ | PROT_WRITE) != 0) {
            err = mif_call_failed("mprotect");
            opened_queues[qid] = begin;
        }
    }
    pthread_mutex_unlock(&lock);
    return err;
}

bool mif_arena_has_queues(const void *handle, uint32_t qid)
{
    return queues_end(handle) <= opened_queues[qid];
}

void mif_arena_share(void)
{
    pthread_mutex_lock(&lock);
    shared = true;
    for (uint32_t qid = 0; qid < MIF_MAX_QUEUES; qid++)
        if (opened_queues[qid] > 0 &&
            !mif_segment_place(qid, 0, opened_queues[qid], queues_of(qid)))
            (void)mprotect(queues_of(qid), opened_queues[qid], PROT_READ | PROT_WRITE);
    pthread_mutex_unlock(&lock);
}

/* As many private pages, all zero, as the queues of an id have; NULL if there are none. */
static struct mif_queue *private_pages(uint32_t qid)
{
    void *pages = mmap(NULL, opened_queues[qid], PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

/* Puts them in place of those that are there. The kernel does it in one step, and they are
 * writable: a thread with a stale handle may be about to read the owner of a queue, or to take its
 * busy mark back. */
static bool put_in_place(uint32_t qid, struct mif_queue *pages)
{
    const size_t bytes = opened_queues[qid];
    return mremap(pages, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, queues_of(qid)) != MAP_FAILED;
}

static bool make_private(uint32_t qid)
{
    struct mif_queue *pages = private_pages(qid);
    return pages != NULL && put_in_place(qid, pages);
}

void mif_arena_unshare(void)
{
    bool all = true;
    pthread_mutex_lock(&lock);
    for (uint32_t qid = 0; qid < MIF_MAX_QUEUES; qid++)
        if (opened_queues[qid] > 0 && !make_private(qid))
            all = false; /* pages of a file that nobody finds any more; a child must not write */
    shared = !all;
    pthread_mutex_unlock(&lock);
}

int mif_why_not(const void *handle, uint32_t qid, enum mif_direction direction)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL)
        return MIF_ERR_NOCONN;
    if (!atomic_load(&conn->up))
        return MIF_ERR_DISCONNECTED;
    uint32_t count = direction == MIF_RX ? conn->rx_count : conn->tx_count;
    return qid < count ? MIF_ERR_DISCONNECTED : MIF_ERR_QID;
}

/* ---- fork ---- */

/* The parent goes on to count in its pages, which the child must not write. It may also have
 * brought up a queue that the child's copy of the connection does not have yet, so none keeps its
 * owner. */
static bool copy_queues(uint32_t qid)
{
    struct mif_queue *copy = private_pages(qid);
    if (copy == NULL)
        return false;
    memcpy(copy, queues_of(qid), opened_queues[qid]);
    for (size_t i = 0; i < opened_queues[qid] / sizeof(*copy); i++)
        atomic_store_explicit(&copy[i].owner, 0, memory_order_relaxed);
    return put_in_place(qid, copy);
}

void mif_arena_forked(void)
{
    (void)pthread_mutex_init(&lock, NULL);
    for (uint32_t qid = 0; shared && qid < MIF_MAX_QUEUES; qid++) {
        if (opened_queues[qid] > 0 && !copy_queues(qid)) {
            /* No handle leads anywhere in this child. */
            atomic_store_explicit(&mif_arena, &no_arena, memory_order_release);
            return;
        }
    }
    shared = false;
    for (uint32_t i = 0; i < opened; i++) {
        struct mif_connection *conn = cell_at(i);
        const void *handle = (void *)atomic_load(&conn->handle);
        if (handle == NULL)
            continue;
        for (uint32_t q = 0; q < conn->rx_count; q++)
            atomic_store(&mif_queue_at(handle, q, MIF_RX)->owner, 0);
        for (uint32_t q = 0; q < conn->tx_count; q++)
            atomic_store(&mif_queue_at(handle, q, MIF_TX)->owner, 0);
    }
}

int mif_arena_start_over(void)
{
    size_t bytes = MIF_MAX_QUEUES * arena.qid_stride + arena_cells * MIF_CELL_STRIDE;
    if (!mif_arena_is_published())
        return MIF_ERR_NOMEM; /* see mif_arena_forked: the pages are the parent's */
    if (madvise(arena.queues, bytes, MADV_DONTNEED) != 0)
        return mif_call_failed("madvise");
    opened = quarantine_first = quarantine_count = 0;
    /* A thread of the parent may have been about to make some writable. */
    memset(opened_queues, 0, sizeof(opened_queues));
    return MIF_ERR_SUCCESS;
}
