/* SPDX-License-Identifier: Apache-2.0 */

#include "testbed/testbed.h"

#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MOST_ENTRIES = 1 << 16, MOST_SLOTS = 1 << MIF_MAX_LOG2_RING_SIZE };

static bool vectors_wanted;
static struct testbed_memory arrays; /* for what bursts are given */

bool testbed_processor_has_vectors(void);

bool testbed_processor_has_vectors(void)
{
    return vectors_wanted;
}

bool testbed_has_vectors(void)
{
#if defined(MIF_HAVE_AVX2)
    return __builtin_cpu_supports("avx2");
#else
    return false;
#endif
}

_Noreturn void testbed_fail(const char *file, int line, const char *condition)
{
    (void)fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    abort();
}

/* ---- memory ---- */

static size_t whole_pages(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (size + page - 1) / page * page;
}

/* Memory with a page without access on either side. */
static struct testbed_memory guarded(size_t size)
{
    size_t page = whole_pages(1), whole = whole_pages(size);
    uint8_t *base =
        mmap(NULL, whole + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    TESTBED_CHECK(base != MAP_FAILED);
    void *inside = mmap(base + page, whole, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    TESTBED_CHECK(inside != MAP_FAILED);
    return (struct testbed_memory){.base = inside, .size = whole};
}

static void unmap(struct testbed_memory *memory)
{
    size_t page = whole_pages(1);
    if (memory->size > 0)
        TESTBED_CHECK(munmap(memory->base - page, memory->size + 2 * page) == 0);
    *memory = (struct testbed_memory){0};
}

/* An array of entries that ends where access ends. */
static memif_buffer_t *entries(uint32_t count)
{
    TESTBED_CHECK(count <= MOST_ENTRIES);
    if (arrays.size == 0)
        arrays = guarded(MOST_ENTRIES * sizeof(memif_buffer_t));
    return (memif_buffer_t *)(void *)(arrays.base + arrays.size) - count;
}

static size_t ring_bytes(const struct testbed *bed)
{
    size_t desc = testbed_is_256(bed) ? sizeof(struct mif_desc_256) : sizeof(struct mif_desc_512);
    return sizeof(struct mif_ring) + desc * testbed_slots(bed);
}

/* The ring that we send on lies at the end of its region, and so do its buffers. */
static size_t ring_offset(const struct testbed *bed, enum mif_direction direction)
{
    return direction == MIF_RX ? 0 : bed->regions[TESTBED_RINGS].size - ring_bytes(bed);
}

static uint8_t tailroom(const struct testbed_shape *shape)
{
#ifdef TESTBED_ENTRY_FACE
    return shape->kind == MIF_KIND_512_SLAVE ? TESTBED_TAILROOM : 0;
#else
    (void)shape;
    return 0;
#endif
}

/* From one buffer to the next. */
static size_t stride(const struct testbed_shape *shape)
{
    return (size_t)shape->buffer_size + tailroom(shape);
}

static size_t buffers_offset(const struct testbed *bed, enum mif_direction direction)
{
    size_t bytes = stride(&bed->shape) << bed->shape.log2_ring_size;
    return direction == MIF_RX ? 0 : bed->regions[TESTBED_BUFFERS].size - bytes;
}

uint64_t testbed_buffer_offset(const struct testbed *bed, enum mif_direction direction,
                               uint32_t slot)
{
    return buffers_offset(bed, direction) + (uint64_t)slot * stride(&bed->shape);
}

void testbed_open(struct testbed *bed, const struct testbed_shape *shape)
{
    *bed = (struct testbed){.shape = *shape};
    TESTBED_CHECK(mif_data_path_init() == MIF_ERR_SUCCESS);
    bed->regions[TESTBED_RINGS] = guarded(2 * ring_bytes(bed));
    bed->regions[TESTBED_BUFFERS] = guarded(2 * stride(shape) << shape->log2_ring_size);
    bed->regions[TESTBED_SMALL] = guarded(shape->giant ? TESTBED_GIANT : 1);
    for (int d = MIF_RX; d <= MIF_TX; d++) {
        bed->efd[d] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        TESTBED_CHECK(bed->efd[d] >= 0);
        bed->held[d] = malloc(MOST_SLOTS * sizeof(memif_buffer_t));
        TESTBED_CHECK(bed->held[d] != NULL);
    }
    testbed_connect(bed);
}

void testbed_close(struct testbed *bed)
{
    testbed_disconnect(bed);
    for (int d = MIF_RX; d <= MIF_TX; d++) {
        TESTBED_CHECK(close(bed->efd[d]) == 0);
        free(bed->held[d]);
    }
    for (int i = 0; i < TESTBED_REGIONS; i++)
        unmap(&bed->regions[i]);
    unmap(&arrays);
}

/* ---- connecting ---- */

static void put_cookie(const struct testbed *bed, enum mif_direction direction)
{
    atomic_store(&bed->ring[direction]->cookie,
                 testbed_is_256(bed) ? MIF_COOKIE_256 : MIF_COOKIE_512);
}

/* The peer is the slave, whose memory it is. */
static void lay_out(const struct testbed *bed, enum mif_direction direction)
{
    struct mif_ring *ring = bed->ring[direction];
    memset(ring, 0, sizeof(*ring));
    put_cookie(bed, direction);
    for (uint32_t i = 0; i < testbed_slots(bed); i++) {
        struct testbed_desc desc = testbed_honest(bed, direction, i, bed->shape.buffer_size);
        testbed_peer_write(bed, direction, i, &desc);
    }
    if (direction == MIF_TX && !testbed_is_256(bed))
        atomic_store(&ring->head, (uint16_t)testbed_slots(bed));
}

static void add_queue(struct testbed *bed, enum mif_direction direction)
{
    const struct mif_queue_config config = {
        .version = testbed_is_256(bed) ? MIF_VERSION_256 : MIF_VERSION_512,
        .is_slave = testbed_is_slave(bed),
        .is_tx = direction == MIF_TX,
        .region = TESTBED_RINGS,
        .offset = ring_offset(bed, direction),
        .log2_ring_size = bed->shape.log2_ring_size,
        .efd = bed->efd[direction],
        .buffer_region = TESTBED_BUFFERS,
        .buffer_offset = buffers_offset(bed, direction),
        .tailroom = tailroom(&bed->shape),
        .post_at_start = 1,
        .buffer_size = bed->shape.buffer_size,
        .untrusted = bed->shape.untrusted,
    };
    int err = mif_connection_add_queue(bed->handle, &config);
    for (; err == MIF_ERR_COOKIE; err = mif_connection_add_queue(bed->handle, &config))
        put_cookie(bed, direction); /* a thread of the test writes there, too */
    TESTBED_CHECK(err == MIF_ERR_SUCCESS);
    bed->queue[direction] = mif_queue_at(bed->handle, 0, direction);
    bed->held_count[direction] = 0;
}

void testbed_use(const struct testbed *bed)
{
    vectors_wanted = bed->shape.vectors;
}

void testbed_connect(struct testbed *bed)
{
    testbed_use(bed);
    bed->moved = false;
    TESTBED_CHECK(mif_connection_open(&bed->handle, NULL, NULL, NULL) == MIF_ERR_SUCCESS);
    if (bed->shape.max_packet > 0)
        mif_connection_limit(bed->handle, bed->shape.max_packet);
    for (uint16_t i = 0; i < TESTBED_REGIONS; i++)
        if (bed->regions[i].size > 0)
            TESTBED_CHECK(mif_connection_adopt(bed->handle, i, bed->regions[i].base,
                                               bed->regions[i].size) == MIF_ERR_SUCCESS);
    for (int d = MIF_RX; d <= MIF_TX; d++) {
        uint8_t *at = bed->regions[TESTBED_RINGS].base + ring_offset(bed, (enum mif_direction)d);
        bed->ring[d] = (struct mif_ring *)(void *)at;
        if (testbed_is_slave(bed))
            memset(bed->ring[d], 0, sizeof(*bed->ring[d]));
        else
            lay_out(bed, (enum mif_direction)d);
        add_queue(bed, (enum mif_direction)d);
    }
    TESTBED_CHECK(mif_connection_up(bed->handle, -1) == MIF_ERR_SUCCESS);
    TESTBED_CHECK(mif_queue_set_polling(bed->handle, 0, !bed->shape.interrupt) == MIF_ERR_SUCCESS);
}

void testbed_disconnect(struct testbed *bed)
{
    mif_connection_down(bed->handle);
    mif_connection_release(bed->handle);
    mif_connection_close(bed->handle);
    bed->handle = NULL;
}

const char *testbed_fault(const struct testbed *bed)
{
    return mif_connection_fault(bed->handle);
}

/* ---- what must hold after every burst ---- */

static void check_counters(const struct mif_queue *q)
{
    uint64_t capacity = mif_capacity(q, (enum mif_kind)q->kind);
    TESTBED_CHECK(q->next - q->done <= capacity);
    TESTBED_CHECK(q->limit - q->done <= capacity);
    TESTBED_CHECK(q->next - q->done <= q->limit - q->done);
}

static bool lies_in(const struct testbed_memory *memory, const uint8_t *data, uint64_t length)
{
    uintptr_t at = (uintptr_t)data - (uintptr_t)memory->base;
    return memory->size > 0 && at <= memory->size && length <= memory->size - at;
}

static bool lies_in_a_region(const struct testbed *bed, const uint8_t *data, uint64_t length)
{
    for (int i = 0; i < TESTBED_REGIONS; i++)
        if (lies_in(&bed->regions[i], data, length))
            return true;
    return false;
}

/* As slave the buffers are our own: of this slot, and for a packet of several slots of those behind
 * it. The peer has no say in that. */
static bool lies_in_its_slots(const struct testbed *bed, enum mif_direction direction,
                              uint32_t slot, uint32_t slots, const uint8_t *data, uint64_t length)
{
    size_t bytes = stride(&bed->shape);
    struct testbed_memory own = {
        .base = bed->regions[TESTBED_BUFFERS].base + buffers_offset(bed, direction) + slot * bytes,
        .size = slots * bytes,
    };
    return slot + slots <= testbed_slots(bed) && lies_in(&own, data, length);
}

/* Reads the ends of a buffer, and writes the same there. */
static void touch(uint8_t *data, uint64_t length, bool write)
{
    static volatile uint8_t sum; /* of no use but to read */
    if (length == 0)
        return;
    volatile uint8_t *first = data, *last = data + length - 1;
    sum = (uint8_t)(sum + *first + *last);
    if (write) {
        *first = *first;
        *last = *last;
    }
}

/* The packet of several slots that an entry belongs to, or NULL. */
static const struct mif_chain *chain_of(const struct mif_queue *q, uint32_t slot)
{
    for (uint32_t back = 0; q->chains > 0 && back <= q->mask; back++) {
        const struct mif_chain *chain = &q->chain_of[(slot - back) & q->mask];
        if (chain->count > 0)
            return chain->count > back ? chain : NULL;
    }
    return NULL;
}

static void check_buffer(const struct testbed *bed, enum mif_direction direction,
                         const memif_buffer_t *entry)
{
    const struct mif_queue *q = bed->queue[direction];
    uint8_t *data = entry->data;
    uint32_t slots = 1;
    TESTBED_CHECK(entry->desc_index <= q->mask);
#ifdef TESTBED_ENTRY_FACE
    TESTBED_CHECK(entry->queue == q);
#endif
    const struct mif_chain *chain = chain_of(q, entry->desc_index);
    if (chain != NULL) {
        TESTBED_CHECK(chain->length <= MIF_MAX_PACKET);
        slots = chain->count;
    }
    if (chain != NULL && chain->bounce != NULL) {
        struct testbed_memory bounce = {.base = chain->bounce->data,
                                        .size = chain->length > 0 ? chain->length : 1};
        TESTBED_CHECK(lies_in(&bounce, data, testbed_room(entry)));
        touch(data, testbed_room(entry), true);
        return;
    }
    TESTBED_CHECK(lies_in_a_region(bed, data, testbed_room(entry)));
    if (testbed_is_slave(bed) && !bed->moved)
        TESTBED_CHECK(
            lies_in_its_slots(bed, direction, entry->desc_index, slots, data, testbed_room(entry)));
    touch(data, testbed_room(entry), direction == MIF_TX);
}

static void hold(struct testbed *bed, enum mif_direction direction, const memif_buffer_t *bufs,
                 uint32_t count)
{
    TESTBED_CHECK(bed->held_count[direction] + count <= testbed_slots(bed));
    for (uint32_t i = 0; i < count; i++) {
        check_buffer(bed, direction, &bufs[i]);
        bed->held[direction][bed->held_count[direction]++] = bufs[i];
    }
}

static void let_go(struct testbed *bed, enum mif_direction direction, uint32_t count)
{
    TESTBED_CHECK(count <= bed->held_count[direction]);
    bed->held_count[direction] -= count;
    memmove(bed->held[direction], bed->held[direction] + count,
            bed->held_count[direction] * sizeof(memif_buffer_t));
}

/* ---- bursts ---- */

int testbed_receive(struct testbed *bed, uint32_t count, uint16_t *received)
{
    memif_buffer_t *bufs = entries(count);
    *received = 0;
    int err = mif_call(bed->handle, 0, MIF_RX, MIF_CALL_RX, 0, bufs, (uint16_t)count, received);
    TESTBED_CHECK(*received <= count);
    check_counters(bed->queue[MIF_RX]);
    hold(bed, MIF_RX, bufs, *received);
    return err;
}

int testbed_give_back(struct testbed *bed, uint32_t count, uint32_t headroom)
{
    uint32_t held = bed->held_count[MIF_RX];
    uint16_t done = 0;
    count = count < held ? count : held;
    memif_buffer_t *bufs = entries(count);
    memcpy(bufs, bed->held[MIF_RX], count * sizeof(*bufs));
#ifdef TESTBED_ENTRY_FACE
    int err = mif_call(bed->handle, 0, MIF_RX, MIF_CALL_GIVE_BACK, headroom, bufs, (uint16_t)count,
                       &done);
    done = err == MIF_ERR_SUCCESS ? (uint16_t)count : 0;
#else
    (void)headroom;
    int err = mif_call(bed->handle, 0, MIF_RX, MIF_CALL_GIVE_BACK, 0, bufs, (uint16_t)count, &done);
    for (uint32_t i = 0; i < done; i++)
        TESTBED_CHECK(bufs[i].data == NULL);
#endif
    check_counters(bed->queue[MIF_RX]);
    let_go(bed, MIF_RX, done);
    return err;
}

/* How many entries the caller of an allocation has to have room for: no more than there are slots
 * in any case. */
static uint32_t entries_for(const struct testbed *bed, uint32_t count, uint32_t size)
{
#ifdef TESTBED_ENTRY_FACE
    uint32_t each = (size + bed->shape.buffer_size - 1) / bed->shape.buffer_size;
    uint32_t most = count * (each > 0 ? each : 1);
    return most < testbed_slots(bed) ? most : testbed_slots(bed);
#else
    (void)bed;
    (void)size;
    return count;
#endif
}

/* What was refused is given up when the ring is full. */
static void forget_given_up(struct testbed *bed, uint64_t before, const memif_buffer_t *bufs,
                            uint32_t count)
{
    const struct mif_queue *q = bed->queue[MIF_TX];
    uint64_t next = before;
    for (uint32_t i = 0; i < count; i++) {
        const struct mif_chain *chain = chain_of(q, bufs[i].desc_index);
        if (chain == NULL)
            next++;
        else if (chain == &q->chain_of[bufs[i].desc_index])
            next += chain->count;
    }
    if (next != q->next)
        bed->held_count[MIF_TX] = 0;
}

int testbed_reserve(struct testbed *bed, uint32_t count, uint32_t size, uint16_t *reserved)
{
    uint64_t before = bed->queue[MIF_TX]->next;
    uint32_t room = entries_for(bed, count, size);
    memif_buffer_t *bufs = entries(room);
    *reserved = 0;
    int err =
        mif_call(bed->handle, 0, MIF_TX, MIF_CALL_RESERVE, size, bufs, (uint16_t)count, reserved);
    TESTBED_CHECK(*reserved <= room);
    check_counters(bed->queue[MIF_TX]);
    forget_given_up(bed, before, bufs, *reserved);
    hold(bed, MIF_TX, bufs, *reserved);
    return err;
}

static void set_length(memif_buffer_t *entry, uint32_t length)
{
    uint32_t room = testbed_room(entry);
#ifdef TESTBED_ENTRY_FACE
    entry->len = length < room ? length : room;
#else
    entry->data_len = length < room ? length : room;
#endif
}

static int send(struct testbed *bed, memif_buffer_t *bufs, uint32_t count, uint16_t *sent)
{
    *sent = 0;
    int err = mif_call(bed->handle, 0, MIF_TX, MIF_CALL_TX, 0, bufs, (uint16_t)count, sent);
    TESTBED_CHECK(*sent <= count);
    check_counters(bed->queue[MIF_TX]);
    let_go(bed, MIF_TX, *sent);
    return err;
}

int testbed_send(struct testbed *bed, uint32_t count, uint32_t length, uint16_t *sent)
{
    uint32_t held = bed->held_count[MIF_TX];
    count = count < held ? count : held;
    memif_buffer_t *bufs = entries(count);
    memcpy(bufs, bed->held[MIF_TX], count * sizeof(*bufs));
    for (uint32_t i = 0; i < count; i++)
        set_length(&bufs[i], length);
    return send(bed, bufs, count, sent);
}

int testbed_send_these(struct testbed *bed, const memif_buffer_t *these, uint32_t count,
                       uint16_t *sent)
{
    memif_buffer_t *bufs = entries(count);
    memcpy(bufs, these, count * sizeof(*bufs));
    return send(bed, bufs, count, sent);
}

#ifdef TESTBED_ENTRY_FACE
void testbed_moved(struct testbed *bed)
{
    for (int d = MIF_RX; d <= MIF_TX; d++) {
        struct mif_queue *q = bed->queue[d];
        check_counters(q);
        uint64_t first = mif_first_unsent(q);
        uint32_t held = (uint32_t)(q->next - first);
        TESTBED_CHECK(held <= bed->held_count[d] || d == MIF_TX);
        bed->moved = true;
        if (!testbed_is_slave(bed)) { /* whose entries may be fewer than their slots */
            const memif_buffer_t *last = &bed->held[d][bed->held_count[d]];
            while (bed->held_count[d] > 0 && (((--last)->desc_index - first) & q->mask) >= held)
                bed->held_count[d]--;
            continue;
        }
        bed->held_count[d] = held;
        for (uint32_t i = 0; i < held; i++) {
            const struct mif_slot *own = &q->slots[mif_slot_of(q, first + i)];
            bed->held[d][i] = (memif_buffer_t){
                .desc_index = mif_slot_of(q, first + i),
                .queue = q,
                .len = mif_slot_capacity(own),
                .data = own->data,
            };
            check_buffer(bed, (enum mif_direction)d, &bed->held[d][i]);
        }
    }
}
#endif
