/* SPDX-License-Identifier: Apache-2.0 */
#include "core/connection.h"

#include "core/errors.h"
#include "core/poller.h"
#include "core/untrusted.h"
#include "datapath/engine.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* What there is before mif_data_path_init: a cell and a queue that are nobody's. */
static struct mif_connection no_connection;
static struct mif_queue_pair no_queues;
static const struct mif_arena no_arena = {
    .queues = (uint8_t *)&no_queues,
    .connections = (uint8_t *)&no_connection,
};
_Atomic(const struct mif_arena *) mif_arena = &no_arena;

/* Held while queues go down, and by control functions that need one to stay up. */
static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
/* Guards the free list and the opening of cells, nothing else. */
static pthread_mutex_t arena_lock = PTHREAD_MUTEX_INITIALIZER;
/* Guards leases; held for moments only, also inside a burst. */
static pthread_mutex_t lease_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint64_t last_connection; /* serial number */
static struct mif_arena arena;
static uint32_t arena_cells;                   /* how many fit the reserved address range */
static uint32_t opened;                        /* cells that were ever used */
static uint32_t opened_queues[MIF_MAX_QUEUES]; /* bytes, by queue id, that can be written */
static uint64_t next_serial = 1;               /* never reused, so neither is a handle */
static uint16_t *quarantine; /* cells that were closed, oldest first, as a circle */
static uint32_t quarantine_first, quarantine_count;
static atomic_bool forked_child;
static _Atomic uint32_t generation; /* forks that lead to this process */
static int membarrier_command;      /* 0: not available */
/* Whether a barrier can be put on all processes that asked for it; see MIF_RING_FENCED. */
static bool can_fence_others;
#define NEVER_QUIET 0x10000u
uint32_t mif_quiet_flags = NEVER_QUIET;

/* ---- one-time set-up ---- */

static struct mif_connection *cell_at(uint32_t index)
{
    return (struct mif_connection *)(void *)(arena.connections + index * MIF_CELL_STRIDE);
}

static long membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0);
}

static void choose_membarrier(void)
{
    long supported = membarrier(MEMBARRIER_CMD_QUERY);
    if (supported < 0)
        return;
    if ((supported & MEMBARRIER_CMD_PRIVATE_EXPEDITED) &&
        membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0)
        membarrier_command = MEMBARRIER_CMD_PRIVATE_EXPEDITED;
    else if (supported & MEMBARRIER_CMD_GLOBAL)
        membarrier_command = MEMBARRIER_CMD_GLOBAL;
    if (!(supported & MEMBARRIER_CMD_GLOBAL_EXPEDITED))
        return;
    can_fence_others = true;
    if (membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) == 0)
        mif_quiet_flags = MIF_RING_MASK_INT | MIF_RING_FENCED;
}

/* The last resort: far longer than a processor keeps a store to itself. */
static void wait_for_stores(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* A full memory barrier on every running thread of the process. Where the kernel (or a seccomp
 * filter) has no membarrier, a change of protection on a page in use interrupts every processor
 * that runs one of our threads, which orders as well. */
static void barrier_on_all_threads(void)
{
    if (membarrier_command != 0 && membarrier(membarrier_command) == 0)
        return;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    volatile uint8_t *p =
        mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        wait_for_stores();
        return;
    }
    p[0] = 1;
    (void)mprotect((void *)p, page, PROT_READ);
    (void)munmap((void *)p, page);
}

/* The receiver's part of the bargain of MIF_RING_FENCED, after MASK_INT was cleared. A seccomp
 * filter may have come since the start. */
static void fence_senders(void)
{
    if (can_fence_others && membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED) != 0)
        wait_for_stores();
}

/* A thread that is not in the child may hold any of them. */
static void init_locks(void)
{
    pthread_mutex_t *const locks[] = {&queue_lock, &arena_lock, &lease_lock};
    for (size_t i = 0; i < sizeof(locks) / sizeof(*locks); i++)
        (void)pthread_mutex_init(locks[i], NULL);
}

/* The rings are shared with the parent: a child must not touch them, nor the interpreter. */
static void on_fork_child(void)
{
    init_locks();
    atomic_store(&forked_child, true);
    atomic_fetch_add(&generation, 1);
    mif_untrusted_forked();
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

bool mif_in_forked_child(void)
{
    return atomic_load_explicit(&forked_child, memory_order_relaxed);
}

uint32_t mif_generation(void)
{
    return atomic_load_explicit(&generation, memory_order_relaxed);
}

/* Threads that are not in the child may have been in the middle of anything, so nothing is taken
 * over: cells read as zeroes again, as at the start. Serial numbers go on, so no
 * handle of the parent's ever matches. Regions stay mapped, for there may be views of them. */
int mif_start_over(void)
{
    if (!mif_in_forked_child())
        return MIF_ERR_SUCCESS;
    mif_watches_init();
    mif_signals_init();
    choose_membarrier();
    size_t bytes = MIF_MAX_QUEUES * arena.qid_stride + arena_cells * MIF_CELL_STRIDE;
    if (madvise(arena.queues, bytes, MADV_DONTNEED) != 0)
        return mif_call_failed("madvise");
    opened = quarantine_first = quarantine_count = 0;
    atomic_store(&forked_child, false);
    return MIF_ERR_SUCCESS;
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
static int reserve_arena(void)
{
    const uint32_t least = 128;
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
                                   .cell_mask = cells - 1,
                                   .qid_stride = qid_stride};
        return MIF_ERR_SUCCESS;
    }
    return MIF_ERR_NOMEM;
}

int mif_data_path_init(void)
{
    int err = MIF_ERR_SUCCESS;
    pthread_mutex_lock(&arena_lock);
    if (mif_the_arena() == &no_arena) {
        choose_membarrier();
        mif_signals_init();
        err = arena_cells != 0 ? MIF_ERR_SUCCESS : reserve_arena();
        if (err == MIF_ERR_SUCCESS && pthread_atfork(NULL, NULL, on_fork_child) != 0)
            err = MIF_ERR_NOMEM;
        if (err == MIF_ERR_SUCCESS)
            atomic_store_explicit(&mif_arena, &arena, memory_order_release);
    }
    pthread_mutex_unlock(&arena_lock);
    return err;
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

/* Makes sure that the queues of an id can be written up to a cell. */
static int open_queues(uint32_t cell, uint32_t qid)
{
    int err = MIF_ERR_SUCCESS;
    pthread_mutex_lock(&arena_lock);
    uint32_t end = (cell + 1) * (uint32_t)sizeof(struct mif_queue_pair);
    end = (end + MIF_PAGE - 1) / MIF_PAGE * MIF_PAGE;
    if (end > opened_queues[qid]) {
        uint8_t *base = arena.queues + qid * arena.qid_stride;
        if (mprotect(base + opened_queues[qid], end - opened_queues[qid], PROT_READ | PROT_WRITE) ==
            0)
            opened_queues[qid] = end;
        else
            err = mif_call_failed("mprotect");
    }
    pthread_mutex_unlock(&arena_lock);
    return err;
}

int mif_connection_open(void **handle, struct mif_poller *poller, mif_interrupt_fn *interrupt,
                        void *private_ctx)
{
    uint32_t index = 0;
    pthread_mutex_lock(&arena_lock);
    int err = mif_the_arena() == &no_arena ? MIF_ERR_INVAL_ARG : take_cell(&index);
    uint64_t serial = next_serial++;
    pthread_mutex_unlock(&arena_lock);
    if (err != MIF_ERR_SUCCESS)
        return err;
    struct mif_connection *conn = cell_at(index);
    conn->poller = poller;
    conn->max_packet = MIF_MAX_PACKET;
    atomic_store(&conn->private_ctx, private_ctx);
    atomic_store(&conn->control_fd, -1);
    atomic_store(&conn->interrupt, interrupt);
    uintptr_t value = (uintptr_t)(serial << MIF_CELL_BITS) | index;
    atomic_store_explicit(&conn->handle, value, memory_order_release);
    *handle = (void *)value;
    return MIF_ERR_SUCCESS;
}

void mif_connection_limit(void *handle, uint32_t max_packet)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn != NULL)
        conn->max_packet = max_packet;
}

/* The next interface in the cell begins at zero. */
static void forget_totals(const void *handle, uint32_t qid)
{
    size_t cell = (uintptr_t)handle & arena.cell_mask;
    if ((cell + 1) * sizeof(struct mif_queue_pair) > opened_queues[qid])
        return;
    mif_queue_at(handle, qid, MIF_RX)->before = (struct mif_totals){0};
    mif_queue_at(handle, qid, MIF_TX)->before = (struct mif_totals){0};
}

void mif_connection_close(void *handle)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL)
        return;
    for (uint32_t qid = 0; qid < MIF_MAX_QUEUES; qid++)
        forget_totals(handle, qid);
    atomic_store(&conn->handle, 0);
    /* Gives the memory back and leaves zeroes, readable by late look-ups. */
    (void)madvise(conn, MIF_CELL_STRIDE, MADV_DONTNEED);
    pthread_mutex_lock(&arena_lock);
    quarantine[(quarantine_first + quarantine_count) % arena_cells] =
        (uint16_t)((uintptr_t)handle & arena.cell_mask);
    quarantine_count++;
    pthread_mutex_unlock(&arena_lock);
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

/* ---- building a connection ---- */

static void *allocate(const struct mif_connection *conn, size_t size)
{
    bool custom = conn->poller != NULL && conn->poller->allocator.alloc != NULL;
    return custom ? conn->poller->allocator.alloc(size) : malloc(size);
}

static void deallocate(const struct mif_connection *conn, void *pointer)
{
    bool custom = conn->poller != NULL && conn->poller->allocator.free != NULL;
    if (custom)
        conn->poller->allocator.free(pointer);
    else
        free(pointer);
}

static void set_region(struct mif_connection *conn, uint16_t index, struct mif_region region)
{
    conn->regions[index] = region;
    if (index >= conn->region_count)
        conn->region_count = (uint16_t)(index + 1);
}

int mif_connection_map(void *handle, uint16_t index, int fd, uint64_t size)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL)
        return MIF_ERR_NOCONN;
    if (index >= MIF_MAX_REGIONS || conn->regions[index].size != 0 || size == 0)
        return MIF_ERR_MAXREG;
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return mif_call_failed("mmap");
    set_region(conn, index, (struct mif_region){.base = base, .size = size});
    return MIF_ERR_SUCCESS;
}

int mif_connection_adopt(void *handle, uint16_t index, void *base, uint64_t size)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL)
        return MIF_ERR_NOCONN;
    if (index >= MIF_MAX_REGIONS || conn->regions[index].size != 0 || size == 0 || base == NULL)
        return MIF_ERR_MAXREG;
    set_region(conn, index, (struct mif_region){.base = base, .size = size});
    conn->external[index] = true;
    return MIF_ERR_SUCCESS;
}

static uint64_t ring_bytes(uint16_t version, uint8_t log2_ring_size)
{
    size_t desc =
        version == MIF_VERSION_256 ? sizeof(struct mif_desc_256) : sizeof(struct mif_desc_512);
    return sizeof(struct mif_ring) + ((uint64_t)desc << log2_ring_size);
}

/* True if [offset, offset + length) lies in a mapped region; never overflows. */
static bool in_region(const struct mif_connection *conn, uint16_t region, uint64_t offset,
                      uint64_t length)
{
    if (region >= MIF_MAX_REGIONS)
        return false;
    uint64_t size = conn->regions[region].size;
    return length <= size && offset <= size - length;
}

/* From one buffer of a slave to the next. */
static uint32_t stride_of(const struct mif_queue_config *config)
{
    return config->buffer_size + config->tailroom;
}

/* Where a slave says that its buffers lie. */
static int check_buffers(const struct mif_connection *conn, const struct mif_queue_config *config)
{
    if (config->buffer_offsets == NULL)
        return in_region(conn, config->buffer_region, config->buffer_offset,
                         (uint64_t)stride_of(config) << config->log2_ring_size)
                   ? MIF_ERR_SUCCESS
                   : MIF_ERR_INVAL_ARG;
    for (uint32_t i = 0; i < 1u << config->log2_ring_size; i++)
        if (!in_region(conn, config->buffer_region, config->buffer_offsets[i], config->buffer_size))
            return MIF_ERR_INVAL_ARG;
    return MIF_ERR_SUCCESS;
}

static int check_config(const struct mif_connection *conn, const struct mif_queue_config *config)
{
    uint8_t least = config->version == MIF_VERSION_256 ? 1 : 0; /* 256 keeps one slot empty */
    if (config->qid >= MIF_MAX_QUEUES)
        return MIF_ERR_MAXRING;
    if (config->log2_ring_size > MIF_MAX_LOG2_RING_SIZE || config->log2_ring_size < least)
        return MIF_ERR_MAX_RING;
    /* The accessors of engine.h need natural alignment for single reads of whole words. */
    if (config->offset % sizeof(uint64_t) != 0)
        return MIF_ERR_INVAL_ARG;
    if (!in_region(conn, config->region, config->offset,
                   ring_bytes(config->version, config->log2_ring_size)))
        return MIF_ERR_INVAL_ARG;
    return config->is_slave ? check_buffers(conn, config) : MIF_ERR_SUCCESS;
}

static enum mif_kind kind_of(const struct mif_queue_config *config)
{
    if (config->version == MIF_VERSION_256)
        return config->is_slave ? MIF_KIND_256_SLAVE : MIF_KIND_256_MASTER;
    return config->is_slave ? MIF_KIND_512_SLAVE : MIF_KIND_512_MASTER;
}

/* As slave, the memory is ours: say where each buffer lies, privately and in the ring. */
static void lay_out_slave_buffers(const struct mif_connection *conn, struct mif_queue *q,
                                  const struct mif_queue_config *config)
{
    for (uint32_t i = 0; i <= q->mask; i++) {
        uint64_t offset = config->buffer_offsets != NULL
                              ? config->buffer_offsets[i]
                              : config->buffer_offset + (uint64_t)i * stride_of(config);
        mif_slot_set(&q->slots[i], conn->regions[config->buffer_region].base + offset,
                     config->buffer_size, config->buffer_region, 0);
        mif_desc_post(q->descs, (uint16_t)i, &q->slots[i],
                      conn->regions[config->buffer_region].base, (enum mif_kind)q->kind);
    }
    if (config->buffer_offsets == NULL)
        q->buffers = (struct mif_buffer_array){.data = q->slots[0].data,
                                               .word = q->slots[0].word,
                                               .stride = stride_of(config),
                                               .offset = (uint32_t)config->buffer_offset};
}

/* Which shared index is ours and which the peer's (see the table in docs/architecture.md):
 * version 256: the producer owns head, the consumer tail;
 * version 512: the slave owns head and the master tail, in both directions. */
static void bind_indices(struct mif_queue *q, bool is_slave, bool is_tx)
{
    bool is_256 = q->kind == MIF_KIND_256_MASTER || q->kind == MIF_KIND_256_SLAVE;
    bool own_head = is_256 ? is_tx : is_slave;
    q->own_index = own_head ? &q->ring->head : &q->ring->tail;
    q->peer_index = own_head ? &q->ring->tail : &q->ring->head;
    q->next = q->done = q->peer_raw = 0;
    /* A producer that counts from the consumer's index starts with the whole ring free; in
     * version 512 the master may only use what the slave has posted. */
    uint32_t capacity = mif_capacity(q, (enum mif_kind)q->kind);
    q->limit = is_tx && q->kind != MIF_KIND_512_MASTER ? capacity : 0;
    /* Buffers that are not posted at the start are the application's to post: a ring of them. */
    if (!is_tx && q->kind == MIF_KIND_512_SLAVE && !q->post_at_start)
        q->done = (uint64_t)0 - capacity;
}

/* Leaves owner and busy alone: a thread that used the last connection on this handle may be inside
 * mif_enter at any time, and a busy mark that got lost would let the queue be unmapped under it. */
static void set_up(struct mif_queue *q, const struct mif_queue *fresh)
{
    const size_t begin = offsetof(struct mif_queue, polling),
                 end = offsetof(struct mif_queue, before);
    memcpy((uint8_t *)q + begin, (const uint8_t *)fresh + begin, end - begin);
}

int mif_connection_add_queue(void *handle, const struct mif_queue_config *config)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL)
        return MIF_ERR_NOCONN;
    int err = check_config(conn, config);
    if (err != MIF_ERR_SUCCESS)
        return err;
    err = open_queues((uint32_t)((uintptr_t)handle & arena.cell_mask), config->qid);
    if (err != MIF_ERR_SUCCESS)
        return err;
    enum mif_direction direction = config->is_tx ? MIF_TX : MIF_RX;
    struct mif_queue *q = mif_queue_at(handle, config->qid, direction);
    _Atomic uint16_t *count = config->is_tx ? &conn->tx_count : &conn->rx_count;
    if (config->qid != *count)
        return MIF_ERR_QID; /* queues are added in order, so that a count describes them */
    struct mif_ring *ring = (void *)(conn->regions[config->region].base + config->offset);
    uint32_t cookie = config->version == MIF_VERSION_256 ? MIF_COOKIE_256 : MIF_COOKIE_512;
    if (!config->is_slave && atomic_load_explicit(&ring->cookie, memory_order_acquire) != cookie)
        return MIF_ERR_COOKIE;
    uint32_t size = 1u << config->log2_ring_size;
    /* One piece: the slots, then what few connections touch. */
    size_t bytes =
        size * (sizeof(struct mif_slot) + sizeof(struct mif_chain)) + sizeof(struct mif_order);
    struct mif_slot *slots = allocate(conn, bytes);
    if (slots == NULL)
        return MIF_ERR_NOMEM;
    memset(slots, 0, bytes);
    const struct mif_queue fresh = {
        .mask = (uint16_t)(size - 1),
        .kind = (uint8_t)kind_of(config),
        .region_count = conn->region_count,
        .descs = ring + 1,
        .slots = slots,
        .chain_of = (struct mif_chain *)(void *)(slots + size),
        .order = (struct mif_order *)(void *)((struct mif_chain *)(void *)(slots + size) + size),
        .regions = conn->regions,
        .ring = ring,
        .efd = config->efd,
        .qid = (uint8_t)config->qid,
        .region = (uint8_t)config->region,
        .buffer_size = config->buffer_size,
        .post_at_start = config->post_at_start,
        .tailroom = config->buffer_offsets == NULL ? config->tailroom : 0,
        .serial = atomic_fetch_add(&last_connection, 1) + 1,
        .signal_mode = (uint8_t)((config->untrusted ? MIF_SIGNAL_UNTRUSTED : 0) |
                                 (mif_lock != NULL ? MIF_SIGNAL_LOCKED : 0)),
    };
    set_up(q, &fresh);
    q->cache = mif_region_cache_of(q, config->region);
    bind_indices(q, config->is_slave, config->is_tx);
    mif_face_bind(q, direction);
    if (config->is_slave) {
        lay_out_slave_buffers(conn, q, config);
        atomic_store_explicit(&ring->cookie, cookie, memory_order_release);
    }
    (*count)++;
    return MIF_ERR_SUCCESS;
}

int mif_connection_up(void *handle, int control_fd)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL)
        return MIF_ERR_NOCONN;
    atomic_store(&conn->fault, NULL);
    atomic_store(&conn->faulted, false);
    atomic_store(&conn->control_fd, control_fd);
    atomic_store(&conn->up, 1);
    for (uint32_t i = 0; i < conn->rx_count; i++) {
        struct mif_queue *q = mif_queue_at(handle, i, MIF_RX);
        /* A slave of version 512 posts its receive buffers only now: DPDK as master clears both
         * indices of every ring when it answers CONNECT. */
        if (q->kind == MIF_KIND_512_SLAVE)
            mif_publish(q, true, MIF_KIND_512_SLAVE);
        atomic_store_explicit(&q->owner, (uintptr_t)handle, memory_order_release);
    }
    for (uint32_t i = 0; i < conn->tx_count; i++)
        atomic_store_explicit(&mif_queue_at(handle, i, MIF_TX)->owner, (uintptr_t)handle,
                              memory_order_release);
    return MIF_ERR_SUCCESS;
}

/* ---- taking it down ---- */

void mif_wait_a_little(unsigned turn)
{
    if (turn < MIF_YIELDS)
        sched_yield();
    else
        (void)nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

static void wait_until_left(struct mif_queue *q)
{
    for (unsigned turn = 0; atomic_load_explicit(&q->busy, memory_order_acquire); turn++) {
        if (turn >= MIF_YIELDS) {
            /* Whoever waits for a full counter, or for an empty one, can go on. */
            mif_efd_drain(q->efd);
            (void)mif_efd_signal_nowait(q->efd);
        }
        mif_wait_a_little(turn);
    }
}

void mif_connection_down(void *handle)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL)
        return;
    pthread_mutex_lock(&queue_lock);
    atomic_store(&conn->up, 0);
    for (uint32_t i = 0; i < conn->rx_count; i++)
        atomic_store(&mif_queue_at(handle, i, MIF_RX)->owner, 0);
    for (uint32_t i = 0; i < conn->tx_count; i++)
        atomic_store(&mif_queue_at(handle, i, MIF_TX)->owner, 0);
    barrier_on_all_threads();
    for (uint32_t i = 0; i < conn->rx_count; i++)
        wait_until_left(mif_queue_at(handle, i, MIF_RX));
    for (uint32_t i = 0; i < conn->tx_count; i++)
        wait_until_left(mif_queue_at(handle, i, MIF_TX));
    atomic_store(&conn->control_fd, -1);
    pthread_mutex_unlock(&queue_lock);
}

static bool give_to_lease(struct mif_connection *conn);

static struct mif_totals sum_totals(const struct mif_queue *q, bool is_tx)
{
    uint64_t slots = __atomic_load_n(is_tx ? &q->done : &q->next, __ATOMIC_RELAXED);
    return (struct mif_totals){
        .packets = __atomic_load_n(&q->before.packets, __ATOMIC_RELAXED) + slots -
                   __atomic_load_n(&q->extra_slots, __ATOMIC_RELAXED),
        .bytes = __atomic_load_n(&q->before.bytes, __ATOMIC_RELAXED) +
                 __atomic_load_n(&q->bytes, __ATOMIC_RELAXED),
        .full = __atomic_load_n(&q->before.full, __ATOMIC_RELAXED) +
                __atomic_load_n(&q->full, __ATOMIC_RELAXED),
        .signals = __atomic_load_n(&q->before.signals, __ATOMIC_RELAXED) +
                   __atomic_load_n(&q->signals, __ATOMIC_RELAXED),
    };
}

void mif_queue_totals(const void *handle, uint16_t qid, int is_tx, struct mif_totals *totals)
{
    *totals = (struct mif_totals){0};
    if (mif_lookup(handle) != NULL && qid < MIF_MAX_QUEUES)
        *totals = sum_totals(mif_queue_at(handle, qid, is_tx ? MIF_TX : MIF_RX), is_tx);
}

/* Keeps what the queue has counted for the next connection. */
static void keep_totals(struct mif_queue *q, bool is_tx)
{
    struct mif_totals sum = sum_totals(q, is_tx);
    q->done = q->next = q->limit = q->extra_slots = q->bytes = q->full = q->signals = 0;
    q->before = sum;
}

static void release_queue(const struct mif_connection *conn, struct mif_queue *q, bool is_tx)
{
    keep_totals(q, is_tx);
    for (uint32_t i = 0; q->chains > 0 && i <= q->mask; i++)
        free(q->chain_of[i].bounce);
    if (q->slots != NULL)
        deallocate(conn, q->slots);
    q->slots = NULL;
    q->chain_of = NULL;
    q->order = NULL;
    q->descs = NULL;
    q->ring = NULL;
    q->own_index = q->peer_index = NULL;
}

/* Where the kernel lacks the memory that unmapping takes, it may have it when the others are gone.
 */
static int unmap(struct mif_region *regions, uint32_t count)
{
    int err = MIF_ERR_SUCCESS;
    for (int attempts = 0; attempts < 2; attempts++) {
        err = MIF_ERR_SUCCESS;
        for (uint32_t i = 0; i < count; i++) {
            if (regions[i].size == 0)
                continue;
            if (munmap(regions[i].base, regions[i].size) == 0)
                regions[i].size = 0;
            else
                err = mif_error_from_errno(errno);
        }
    }
    return err;
}

static int unmap_own_regions(struct mif_connection *conn)
{
    for (uint32_t i = 0; i < conn->region_count; i++)
        if (conn->external[i])
            conn->regions[i].size = 0;
    return unmap(conn->regions, conn->region_count);
}

int mif_connection_release(void *handle)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL)
        return MIF_ERR_SUCCESS;
    for (uint32_t i = 0; i < conn->rx_count; i++)
        release_queue(conn, mif_queue_at(handle, i, MIF_RX), false);
    for (uint32_t i = 0; i < conn->tx_count; i++)
        release_queue(conn, mif_queue_at(handle, i, MIF_TX), true);
    int err = give_to_lease(conn) ? MIF_ERR_SUCCESS : unmap_own_regions(conn);
    memset(conn->regions, 0, sizeof(conn->regions));
    memset(conn->external, 0, sizeof(conn->external));
    conn->rx_count = conn->tx_count = conn->region_count = 0;
    return err;
}

/* ---- leases ---- */

struct mif_lease {
    uint32_t holders; /* one of them is the connection, until it is released */
    uint32_t count;
    struct mif_region regions[MIF_MAX_REGIONS]; /* empty until then */
};

struct mif_lease *mif_lease_take(struct mif_connection *conn)
{
    pthread_mutex_lock(&lease_lock);
    if (conn->lease == NULL) {
        conn->lease = calloc(1, sizeof(*conn->lease));
        if (conn->lease != NULL)
            conn->lease->holders = 1;
    }
    struct mif_lease *lease = conn->lease;
    if (lease != NULL)
        lease->holders++;
    pthread_mutex_unlock(&lease_lock);
    return lease;
}

void mif_lease_drop(struct mif_lease *lease)
{
    pthread_mutex_lock(&lease_lock);
    bool last = --lease->holders == 0;
    pthread_mutex_unlock(&lease_lock);
    if (!last)
        return;
    (void)unmap(lease->regions,
                lease->count); /* by whoever dropped the last view: no call of ours */
    free(lease);
}

bool mif_is_mapped(const struct mif_connection *conn, const uint8_t *data, size_t length)
{
    for (uint32_t i = 0; i < conn->region_count; i++) {
        const struct mif_region *r = &conn->regions[i];
        uintptr_t at = (uintptr_t)data - (uintptr_t)r->base;
        if (length <= r->size && at <= r->size - length)
            return true;
    }
    return false;
}

/* The last holder unmaps what the connection does not. */
static bool give_to_lease(struct mif_connection *conn)
{
    struct mif_lease *lease = conn->lease;
    if (lease == NULL)
        return false;
    conn->lease = NULL;
    lease->count = conn->region_count;
    for (uint32_t i = 0; i < conn->region_count; i++)
        if (!conn->external[i])
            lease->regions[i] = conn->regions[i];
    mif_lease_drop(lease);
    return true;
}

/* ---- wake-ups, faults, modes ---- */

bool mif_wake(struct mif_queue *q)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&q->ring->flags, memory_order_relaxed) & MIF_RING_MASK_INT)
        return true;
    mif_store(&q->signals, q->signals + 1);
    return mif_signal(q);
}

/* The connection of a queue whose first fault this is. */
static struct mif_connection *first_fault(const struct mif_queue *q)
{
    uintptr_t handle = atomic_load_explicit(&q->owner, memory_order_relaxed);
    struct mif_connection *conn = mif_lookup((void *)handle);
    return conn == NULL || atomic_exchange(&conn->faulted, true) ? NULL : conn;
}

static void tell_fault(struct mif_connection *conn, const char *reason)
{
    atomic_store(&conn->fault, reason);
    /* The control plane sees its socket end and finds the reason. The fd cannot be reused under
     * us: it is closed after mif_connection_down, which waits for this burst. */
    int fd = atomic_load(&conn->control_fd);
    if (fd >= 0)
        (void)shutdown(fd, SHUT_RD);
}

void mif_fault(struct mif_queue *q, const char *reason)
{
    struct mif_connection *conn = first_fault(q);
    if (conn != NULL)
        tell_fault(conn, reason);
}

void mif_fault_too_long(struct mif_queue *q, uint64_t length)
{
    struct mif_connection *conn = first_fault(q);
    if (conn == NULL)
        return;
    (void)snprintf(conn->fault_text, sizeof(conn->fault_text),
                   "packet of %llu bytes or more, expected at most %u", (unsigned long long)length,
                   conn->max_packet);
    tell_fault(conn, conn->fault_text);
}

const char *mif_connection_fault(void *handle)
{
    struct mif_connection *conn = mif_lookup(handle);
    return conn == NULL ? NULL : atomic_load(&conn->fault);
}

/* An rx queue that is up, for a control function; the caller holds queue_lock, which keeps it up.
 * The busy mark is no help here: it belongs to the one thread that bursts on the queue. */
static struct mif_queue *locked_rx_queue(const void *handle, uint16_t qid)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL || qid >= MIF_MAX_QUEUES)
        return NULL;
    struct mif_queue *q = mif_queue_at(handle, qid, MIF_RX);
    return atomic_load(&q->owner) == (uintptr_t)handle ? q : NULL;
}

int mif_queue_set_polling(void *handle, uint16_t qid, int polling)
{
    if (mif_in_forked_child())
        return MIF_ERR_DISCONNECTED; /* a lock may have been held when the process forked */
    pthread_mutex_lock(&queue_lock);
    struct mif_queue *q = locked_rx_queue(handle, qid);
    int err = q == NULL ? mif_why_not(handle, qid, MIF_RX) : MIF_ERR_SUCCESS;
    if (q != NULL) {
        bool was_polling = atomic_exchange(&q->polling, polling ? 1 : 0) != 0;
        uint16_t fenced = can_fence_others ? MIF_RING_FENCED : 0;
        mif_face_bind(q, MIF_RX);
        atomic_store(&q->ring->flags, polling ? MIF_RING_MASK_INT | fenced : 0);
        if (polling) {
            mif_efd_drain(q->efd); /* a wake-up from before is of no use now */
        } else if (was_polling) {
            fence_senders();
            (void)mif_efd_signal_nowait(
                q->efd); /* look once more: packets came while signals were masked */
        }
    }
    pthread_mutex_unlock(&queue_lock);
    return err;
}

/* The mode is looked at and the signal taken in one piece: the one that mif_queue_set_polling
 * leaves at the end of polling must stay, and another thread may do that right now. */
void mif_queue_drop_signal(void *handle, uint16_t qid)
{
    pthread_mutex_lock(&queue_lock);
    struct mif_queue *q = locked_rx_queue(handle, qid);
    if (q != NULL && atomic_load(&q->polling))
        mif_efd_drain(q->efd);
    pthread_mutex_unlock(&queue_lock);
}

int mif_queue_efd(void *handle, uint16_t qid, int *fd)
{
    if (mif_in_forked_child())
        return MIF_ERR_DISCONNECTED;
    pthread_mutex_lock(&queue_lock);
    struct mif_queue *q = locked_rx_queue(handle, qid);
    int err = q == NULL ? mif_why_not(handle, qid, MIF_RX) : MIF_ERR_SUCCESS;
    if (q != NULL)
        *fd = q->efd;
    pthread_mutex_unlock(&queue_lock);
    return err;
}

/* The buffers that a peer has posted last for us to fill. They are in the ring as long as one is
 * free there; the data path may have filled it meanwhile, and knows what it was. */
static uint32_t posted_size(const struct mif_queue *q)
{
    enum mif_kind kind = (enum mif_kind)q->kind;
    uint16_t tail = atomic_load_explicit(&q->ring->tail, memory_order_relaxed);
    uint16_t head = atomic_load_explicit(&q->ring->head, memory_order_acquire);
    uint16_t slot = (uint16_t)(head - 1) & q->mask;
    if (!mif_kind_is_256(kind) && head == tail)
        return mif_slot_capacity(
            &(struct mif_slot){.word = __atomic_load_n(&q->slots[slot].word, __ATOMIC_RELAXED)});
    struct mif_desc desc = mif_desc_read(q->descs, slot, kind);
    return mif_desc_capacity(&desc);
}

int mif_queue_look(void *handle, uint16_t qid, int is_tx, struct mif_queue_state *state)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL || qid >= (is_tx ? conn->tx_count : conn->rx_count))
        return MIF_ERR_QID;
    struct mif_queue *q =
        is_tx ? mif_queue_at(handle, qid, MIF_TX) : mif_queue_at(handle, qid, MIF_RX);
    uint16_t flags = atomic_load_explicit(&q->ring->flags, memory_order_relaxed);
    *state = (struct mif_queue_state){
        .region = q->region,
        .head = atomic_load_explicit(&q->ring->head, memory_order_relaxed),
        .tail = atomic_load_explicit(&q->ring->tail, memory_order_relaxed),
        .polling = (flags & MIF_RING_MASK_INT) != 0,
        .buffer_size = q->buffer_size,
    };
    uint32_t posted = is_tx && !mif_kind_is_slave((enum mif_kind)q->kind) ? posted_size(q) : 0;
    if (posted > 0)
        state->buffer_size = posted;
    return MIF_ERR_SUCCESS;
}

int mif_region_look(void *handle, uint16_t index, void **base, uint64_t *size)
{
    struct mif_connection *conn = mif_lookup(handle);
    if (conn == NULL || index >= MIF_MAX_REGIONS)
        return MIF_ERR_MAXREG;
    *base = conn->regions[index].base;
    *size = conn->regions[index].size;
    return MIF_ERR_SUCCESS;
}
