/* SPDX-License-Identifier: Apache-2.0 */

#include "rig.h"

#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MOST_ENTRIES = 1 << 16, MOST_SLOTS = 1 << MIF_MAX_LOG2_RING_SIZE };

static bool vectors_wanted;
static struct rig_memory arrays; /* for what bursts are given */

bool rig_processor_has_vectors(void);

bool rig_processor_has_vectors(void)
{
    return vectors_wanted;
}

bool rig_has_vectors(void)
{
#if defined(MIF_HAVE_AVX2)
    return __builtin_cpu_supports("avx2");
#else
    return false;
#endif
}

_Noreturn void rig_fail(const char *file, int line, const char *condition)
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
static struct rig_memory guarded(size_t size)
{
    size_t page = whole_pages(1), whole = whole_pages(size);
    uint8_t *base =
        mmap(NULL, whole + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    RIG_CHECK(base != MAP_FAILED);
    void *inside = mmap(base + page, whole, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    RIG_CHECK(inside != MAP_FAILED);
    return (struct rig_memory){.base = inside, .size = whole};
}

static void unmap(struct rig_memory *memory)
{
    size_t page = whole_pages(1);
    if (memory->size > 0)
        RIG_CHECK(munmap(memory->base - page, memory->size + 2 * page) == 0);
    *memory = (struct rig_memory){0};
}

/* An array of entries that ends where access ends. */
static memif_buffer_t *entries(uint32_t count)
{
    RIG_CHECK(count <= MOST_ENTRIES);
    if (arrays.size == 0)
        arrays = guarded(MOST_ENTRIES * sizeof(memif_buffer_t));
    return (memif_buffer_t *)(void *)(arrays.base + arrays.size) - count;
}

static size_t ring_bytes(const struct rig *rig)
{
    size_t desc = rig_is_256(rig) ? sizeof(struct mif_desc_256) : sizeof(struct mif_desc_512);
    return sizeof(struct mif_ring) + desc * rig_slots(rig);
}

/* The ring that we send on lies at the end of its region, and so do its buffers. */
static size_t ring_offset(const struct rig *rig, enum mif_direction direction)
{
    return direction == MIF_RX ? 0 : rig->regions[RIG_RINGS].size - ring_bytes(rig);
}

static uint8_t tailroom(const struct rig_shape *shape)
{
#ifdef RIG_ENTRY_FACE
    return shape->kind == MIF_KIND_512_SLAVE ? RIG_TAILROOM : 0;
#else
    (void)shape;
    return 0;
#endif
}

/* From one buffer to the next. */
static size_t stride(const struct rig_shape *shape)
{
    return (size_t)shape->buffer_size + tailroom(shape);
}

static size_t buffers_offset(const struct rig *rig, enum mif_direction direction)
{
    size_t bytes = stride(&rig->shape) << rig->shape.log2_ring_size;
    return direction == MIF_RX ? 0 : rig->regions[RIG_BUFFERS].size - bytes;
}

void rig_open(struct rig *rig, const struct rig_shape *shape)
{
    *rig = (struct rig){.shape = *shape};
    RIG_CHECK(mif_data_path_init() == MIF_ERR_SUCCESS);
    rig->regions[RIG_RINGS] = guarded(2 * ring_bytes(rig));
    rig->regions[RIG_BUFFERS] = guarded(2 * stride(shape) << shape->log2_ring_size);
    rig->regions[RIG_SMALL] = guarded(shape->giant ? RIG_GIANT : 1);
    for (int d = MIF_RX; d <= MIF_TX; d++) {
        rig->efd[d] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        RIG_CHECK(rig->efd[d] >= 0);
        rig->held[d] = malloc(MOST_SLOTS * sizeof(memif_buffer_t));
        RIG_CHECK(rig->held[d] != NULL);
    }
    rig_connect(rig);
}

void rig_close(struct rig *rig)
{
    rig_disconnect(rig);
    for (int d = MIF_RX; d <= MIF_TX; d++) {
        RIG_CHECK(close(rig->efd[d]) == 0);
        free(rig->held[d]);
    }
    for (int i = 0; i < RIG_REGIONS; i++)
        unmap(&rig->regions[i]);
    unmap(&arrays);
}

/* ---- connecting ---- */

static void put_cookie(const struct rig *rig, enum mif_direction direction)
{
    atomic_store(&rig->ring[direction]->cookie, rig_is_256(rig) ? MIF_COOKIE_256 : MIF_COOKIE_512);
}

/* The peer is the slave, whose memory it is. */
static void lay_out(const struct rig *rig, enum mif_direction direction)
{
    struct mif_ring *ring = rig->ring[direction];
    memset(ring, 0, sizeof(*ring));
    put_cookie(rig, direction);
    for (uint32_t i = 0; i < rig_slots(rig); i++) {
        struct rig_desc desc = rig_honest(rig, direction, i, rig->shape.buffer_size);
        rig_peer_write(rig, direction, i, &desc);
    }
    if (direction == MIF_TX && !rig_is_256(rig))
        atomic_store(&ring->head, (uint16_t)rig_slots(rig));
}

static void add_queue(struct rig *rig, enum mif_direction direction)
{
    const struct mif_queue_config config = {
        .version = rig_is_256(rig) ? MIF_VERSION_256 : MIF_VERSION_512,
        .is_slave = rig_is_slave(rig),
        .is_tx = direction == MIF_TX,
        .region = RIG_RINGS,
        .offset = ring_offset(rig, direction),
        .log2_ring_size = rig->shape.log2_ring_size,
        .efd = rig->efd[direction],
        .buffer_region = RIG_BUFFERS,
        .buffer_offset = buffers_offset(rig, direction),
        .tailroom = tailroom(&rig->shape),
        .post_at_start = 1,
        .buffer_size = rig->shape.buffer_size,
        .untrusted = rig->shape.untrusted,
    };
    int err = mif_connection_add_queue(rig->handle, &config);
    for (; err == MIF_ERR_COOKIE; err = mif_connection_add_queue(rig->handle, &config))
        put_cookie(rig, direction); /* a thread of the test writes there, too */
    RIG_CHECK(err == MIF_ERR_SUCCESS);
    rig->queue[direction] = mif_queue_at(rig->handle, 0, direction);
    rig->held_count[direction] = 0;
}

void rig_connect(struct rig *rig)
{
    vectors_wanted = rig->shape.vectors;
    rig->moved = false;
    RIG_CHECK(mif_connection_open(&rig->handle, NULL, NULL, NULL) == MIF_ERR_SUCCESS);
    if (rig->shape.max_packet > 0)
        mif_connection_limit(rig->handle, rig->shape.max_packet);
    for (uint16_t i = 0; i < RIG_REGIONS; i++)
        if (rig->regions[i].size > 0)
            RIG_CHECK(mif_connection_adopt(rig->handle, i, rig->regions[i].base,
                                           rig->regions[i].size) == MIF_ERR_SUCCESS);
    for (int d = MIF_RX; d <= MIF_TX; d++) {
        uint8_t *at = rig->regions[RIG_RINGS].base + ring_offset(rig, (enum mif_direction)d);
        rig->ring[d] = (struct mif_ring *)(void *)at;
        if (rig_is_slave(rig))
            memset(rig->ring[d], 0, sizeof(*rig->ring[d]));
        else
            lay_out(rig, (enum mif_direction)d);
        add_queue(rig, (enum mif_direction)d);
    }
    RIG_CHECK(mif_connection_up(rig->handle, -1) == MIF_ERR_SUCCESS);
    RIG_CHECK(mif_queue_set_polling(rig->handle, 0, !rig->shape.interrupt) == MIF_ERR_SUCCESS);
}

void rig_disconnect(struct rig *rig)
{
    mif_connection_down(rig->handle);
    mif_connection_release(rig->handle);
    mif_connection_close(rig->handle);
    rig->handle = NULL;
}

const char *rig_fault(const struct rig *rig)
{
    return mif_connection_fault(rig->handle);
}

/* ---- what must hold after every burst ---- */

static void check_counters(const struct mif_queue *q)
{
    uint64_t capacity = mif_capacity(q, (enum mif_kind)q->kind);
    RIG_CHECK(q->next - q->done <= capacity);
    RIG_CHECK(q->limit - q->done <= capacity);
    RIG_CHECK(q->next - q->done <= q->limit - q->done);
}

static bool lies_in(const struct rig_memory *memory, const uint8_t *data, uint64_t length)
{
    uintptr_t at = (uintptr_t)data - (uintptr_t)memory->base;
    return memory->size > 0 && at <= memory->size && length <= memory->size - at;
}

static bool lies_in_a_region(const struct rig *rig, const uint8_t *data, uint64_t length)
{
    for (int i = 0; i < RIG_REGIONS; i++)
        if (lies_in(&rig->regions[i], data, length))
            return true;
    return false;
}

/* As slave the buffers are our own: of this slot, and for a packet of several slots of those behind
 * it. The peer has no say in that. */
static bool lies_in_its_slots(const struct rig *rig, enum mif_direction direction, uint32_t slot,
                              uint32_t slots, const uint8_t *data, uint64_t length)
{
    size_t bytes = stride(&rig->shape);
    struct rig_memory own = {
        .base = rig->regions[RIG_BUFFERS].base + buffers_offset(rig, direction) + slot * bytes,
        .size = slots * bytes,
    };
    return slot + slots <= rig_slots(rig) && lies_in(&own, data, length);
}

/* The sum is of no use but to read. */
static void touch(uint8_t *data, uint64_t length, bool write)
{
    static volatile uint8_t sum;
    if (length == 0)
        return;
    sum = (uint8_t)(sum + data[0] + data[length - 1]);
    if (write)
        data[0] = data[length - 1] = 0xDB;
}

static uint32_t room_of(const memif_buffer_t *entry)
{
#ifdef RIG_ENTRY_FACE
    return entry->len;
#else
    return entry->buffer_len;
#endif
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

static void check_buffer(const struct rig *rig, enum mif_direction direction,
                         const memif_buffer_t *entry)
{
    const struct mif_queue *q = rig->queue[direction];
    uint8_t *data = entry->data;
    uint32_t slots = 1;
    RIG_CHECK(entry->desc_index <= q->mask);
#ifdef RIG_ENTRY_FACE
    RIG_CHECK(entry->queue == q);
#endif
    const struct mif_chain *chain = chain_of(q, entry->desc_index);
    if (chain != NULL) {
        RIG_CHECK(chain->length <= MIF_MAX_PACKET);
        slots = chain->count;
    }
    if (chain != NULL && chain->bounce != NULL) {
        struct rig_memory bounce = {.base = chain->bounce,
                                    .size = chain->length > 0 ? chain->length : 1};
        RIG_CHECK(lies_in(&bounce, data, room_of(entry)));
        touch(data, room_of(entry), true);
        return;
    }
    RIG_CHECK(lies_in_a_region(rig, data, room_of(entry)));
    if (rig_is_slave(rig) && !rig->moved)
        RIG_CHECK(
            lies_in_its_slots(rig, direction, entry->desc_index, slots, data, room_of(entry)));
    touch(data, room_of(entry), direction == MIF_TX);
}

static void hold(struct rig *rig, enum mif_direction direction, const memif_buffer_t *bufs,
                 uint32_t count)
{
    RIG_CHECK(rig->held_count[direction] + count <= rig_slots(rig));
    for (uint32_t i = 0; i < count; i++) {
        check_buffer(rig, direction, &bufs[i]);
        rig->held[direction][rig->held_count[direction]++] = bufs[i];
    }
}

static void let_go(struct rig *rig, enum mif_direction direction, uint32_t count)
{
    RIG_CHECK(count <= rig->held_count[direction]);
    rig->held_count[direction] -= count;
    memmove(rig->held[direction], rig->held[direction] + count,
            rig->held_count[direction] * sizeof(memif_buffer_t));
}

/* ---- bursts ---- */

int rig_receive(struct rig *rig, uint32_t count, uint16_t *received)
{
    memif_buffer_t *bufs = entries(count);
    *received = 0;
    int err = mif_call(rig->handle, 0, MIF_RX, MIF_CALL_RX, 0, bufs, count, received);
    RIG_CHECK(*received <= count);
    check_counters(rig->queue[MIF_RX]);
    hold(rig, MIF_RX, bufs, *received);
    return err;
}

int rig_give_back(struct rig *rig, uint32_t count, uint32_t headroom)
{
    uint32_t held = rig->held_count[MIF_RX];
    uint16_t done = 0;
    if (count > held)
        count = held;
    memif_buffer_t *bufs = entries(count);
    memcpy(bufs, rig->held[MIF_RX], count * sizeof(*bufs));
#ifdef RIG_ENTRY_FACE
    int err = mif_call(rig->handle, 0, MIF_RX, MIF_CALL_GIVE_BACK, headroom, bufs, count, &done);
    done = err == MIF_ERR_SUCCESS ? (uint16_t)count : 0;
#else
    (void)headroom;
    int err = mif_call(rig->handle, 0, MIF_RX, MIF_CALL_GIVE_BACK, 0, bufs, count, &done);
#endif
    check_counters(rig->queue[MIF_RX]);
    let_go(rig, MIF_RX, done);
    return err;
}

/* How many entries the caller of an allocation has to have room for: no more than there are slots
 * in any case. */
static uint32_t entries_for(const struct rig *rig, uint32_t count, uint32_t size)
{
#ifdef RIG_ENTRY_FACE
    uint32_t each = (size + rig->shape.buffer_size - 1) / rig->shape.buffer_size;
    uint32_t most = count * (each > 0 ? each : 1);
    return most < rig_slots(rig) ? most : rig_slots(rig);
#else
    (void)rig;
    (void)size;
    return count;
#endif
}

/* What was refused is given up when the ring is full. */
static void forget_given_up(struct rig *rig, uint64_t before, const memif_buffer_t *bufs,
                            uint32_t count)
{
    const struct mif_queue *q = rig->queue[MIF_TX];
    uint64_t next = before;
    for (uint32_t i = 0; i < count; i++) {
        const struct mif_chain *chain = chain_of(q, bufs[i].desc_index);
        if (chain == NULL)
            next++;
        else if (chain == &q->chain_of[bufs[i].desc_index])
            next += chain->count;
    }
    if (next != q->next)
        rig->held_count[MIF_TX] = 0;
}

int rig_reserve(struct rig *rig, uint32_t count, uint32_t size, uint16_t *reserved)
{
    uint64_t before = rig->queue[MIF_TX]->next;
    uint32_t room = entries_for(rig, count, size);
    memif_buffer_t *bufs = entries(room);
    *reserved = 0;
    int err = mif_call(rig->handle, 0, MIF_TX, MIF_CALL_RESERVE, size, bufs, count, reserved);
    RIG_CHECK(*reserved <= room);
    check_counters(rig->queue[MIF_TX]);
    forget_given_up(rig, before, bufs, *reserved);
    hold(rig, MIF_TX, bufs, *reserved);
    return err;
}

static void set_length(memif_buffer_t *entry, uint32_t length)
{
    uint32_t room = room_of(entry);
#ifdef RIG_ENTRY_FACE
    entry->len = length < room ? length : room;
#else
    entry->data_len = length < room ? length : room;
#endif
}

int rig_send(struct rig *rig, uint32_t count, uint32_t length, uint16_t *sent)
{
    uint32_t held = rig->held_count[MIF_TX];
    if (count > held)
        count = held;
    memif_buffer_t *bufs = entries(count);
    memcpy(bufs, rig->held[MIF_TX], count * sizeof(*bufs));
    for (uint32_t i = 0; i < count; i++)
        set_length(&bufs[i], length);
    *sent = 0;
    int err = mif_call(rig->handle, 0, MIF_TX, MIF_CALL_TX, 0, bufs, count, sent);
    RIG_CHECK(*sent <= count);
    check_counters(rig->queue[MIF_TX]);
    let_go(rig, MIF_TX, *sent);
    return err;
}

#ifdef RIG_ENTRY_FACE
void rig_moved(struct rig *rig)
{
    for (int d = MIF_RX; d <= MIF_TX; d++) {
        struct mif_queue *q = rig->queue[d];
        check_counters(q);
        uint64_t first = mif_first_unsent(q);
        uint32_t held = (uint32_t)(q->next - first);
        RIG_CHECK(held <= rig->held_count[d] || d == MIF_TX);
        rig->moved = true;
        if (!rig_is_slave(rig)) { /* whose entries may be fewer than their slots */
            const memif_buffer_t *last = &rig->held[d][rig->held_count[d]];
            while (rig->held_count[d] > 0 && (((--last)->desc_index - first) & q->mask) >= held)
                rig->held_count[d]--;
            continue;
        }
        rig->held_count[d] = held;
        for (uint32_t i = 0; i < held; i++) {
            const struct mif_slot *own = &q->slots[mif_slot_of(q, first + i)];
            rig->held[d][i] = (memif_buffer_t){
                .desc_index = mif_slot_of(q, first + i),
                .queue = q,
                .len = mif_slot_capacity(own),
                .data = own->data,
            };
            check_buffer(rig, (enum mif_direction)d, &rig->held[d][i]);
        }
    }
}
#endif

/* ---- the peer ---- */

_Atomic uint16_t *rig_peer_index(const struct rig *rig, enum mif_direction direction)
{
    struct mif_ring *ring = rig->ring[direction];
    bool head = rig_is_256(rig) ? direction == MIF_RX : !rig_is_slave(rig);
    return head ? &ring->head : &ring->tail;
}

_Atomic uint16_t *rig_our_index(const struct rig *rig, enum mif_direction direction)
{
    struct mif_ring *ring = rig->ring[direction];
    return rig_peer_index(rig, direction) == &ring->head ? &ring->tail : &ring->head;
}

uint32_t rig_peer_room(const struct rig *rig, enum mif_direction direction)
{
    uint16_t peer = atomic_load(rig_peer_index(rig, direction));
    /* As it should be: somebody may have overwritten the one in the ring. */
    uint16_t ours = mif_own_index(rig->queue[direction], direction == MIF_RX, rig->shape.kind);
    uint16_t range = rig_is_256(rig) ? (uint16_t)(rig_slots(rig) - 1) : 0xFFFF;
    /* Where our index leads, the peer follows up to it; otherwise it is ahead by a ring at most. */
    bool follows = rig_is_256(rig) ? direction == MIF_TX : rig_is_slave(rig);
    uint32_t used = follows ? (uint16_t)(ours - peer) & range : (uint16_t)(peer - ours) & range;
    uint32_t capacity = rig_slots(rig) - (rig_is_256(rig) ? 1 : 0);
    if (used > capacity)
        return 0; /* the peer's is no good */
    return follows ? used : capacity - used;
}

void rig_peer_move(const struct rig *rig, enum mif_direction direction, uint32_t count)
{
    _Atomic uint16_t *index = rig_peer_index(rig, direction);
    uint16_t moved = (uint16_t)(atomic_load_explicit(index, memory_order_relaxed) + count);
    if (rig_is_256(rig))
        moved &= (uint16_t)(rig_slots(rig) - 1);
    atomic_store_explicit(index, moved, memory_order_release);
}

void rig_peer_write(const struct rig *rig, enum mif_direction direction, uint32_t slot,
                    const struct rig_desc *desc)
{
    uint64_t head = desc->flags | (uint64_t)desc->region << 16 | (uint64_t)desc->length << 32;
    void *descs = rig->ring[direction] + 1;
    if (rig_is_256(rig)) {
        struct mif_desc_256 *to = (struct mif_desc_256 *)descs + slot;
        atomic_store_explicit(&to->flags_region_capacity, head, memory_order_relaxed);
        atomic_store_explicit(&to->length, desc->length, memory_order_relaxed);
        atomic_store_explicit(&to->offset, desc->offset, memory_order_relaxed);
        return;
    }
    struct mif_desc_512 *to = (struct mif_desc_512 *)descs + slot;
    atomic_store_explicit(&to->flags_region_length, head, memory_order_relaxed);
    atomic_store_explicit(&to->offset_metadata, desc->offset & 0xFFFFFFFF, memory_order_relaxed);
}

struct rig_desc rig_honest(const struct rig *rig, enum mif_direction direction, uint32_t slot,
                           uint32_t length)
{
    return (struct rig_desc){
        .region = RIG_BUFFERS,
        .length = length,
        .offset = buffers_offset(rig, direction) + (uint64_t)slot * stride(&rig->shape),
    };
}

static void fill_honestly(const struct rig *rig, enum mif_direction direction, uint32_t length)
{
    uint32_t room = rig_peer_room(rig, direction);
    uint16_t at = atomic_load(rig_peer_index(rig, direction));
    for (uint32_t i = 0; i < room; i++) {
        uint32_t slot = (at + i) & (rig_slots(rig) - 1);
        struct rig_desc desc = rig_honest(rig, direction, slot, length);
        rig_peer_write(rig, direction, slot, &desc);
    }
    rig_peer_move(rig, direction, room);
}

void rig_peer_turn(const struct rig *rig, uint32_t length)
{
    fill_honestly(rig, MIF_RX, length);
    if (rig_is_slave(rig) || rig_is_256(rig))
        rig_peer_move(rig, MIF_TX, rig_peer_room(rig, MIF_TX));
    else
        fill_honestly(rig, MIF_TX, rig->shape.buffer_size);
}
