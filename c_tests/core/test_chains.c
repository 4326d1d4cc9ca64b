/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Packets of several slots between two ends of the core, in all the ways that a slave may lay out
 * its buffers: one after the other, with gaps as those of a 4.0 slave, or anywhere.
 */

#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness.h"

#include "core/bounce.h"
#include "core/connection.h"
#include "core/queue.h"
#include "core/regions.h"
#include "core/setup.h"
#include "datapath/packet.h"

enum { SLOTS_LOG2 = 10, SLOTS = 1 << SLOTS_LOG2, SIZE = 9000, BURST = 200, BURSTS = 20 };
enum { BUFFER_BYTES = 2048, GAP = 128, BUFFERS_AT = 1 << 16, MEMORY_BYTES = 1 << 22 };

/* One ring, and what the slave has decided. */
static struct {
    uint16_t version;
    bool s2m;
    uint8_t tailroom;
    const uint32_t *offsets;
    int memory, efd;
    void *from, *to;
} line;

static void *open_end(bool is_slave)
{
    void *handle = NULL;
    const struct mif_queue_config config = {
        .version = line.version,
        .is_slave = is_slave,
        .is_tx = is_slave == line.s2m,
        .log2_ring_size = SLOTS_LOG2,
        .efd = line.efd,
        .post_at_start = 1,
        .buffer_offset = BUFFERS_AT,
        .buffer_offsets = line.offsets,
        .buffer_size = BUFFER_BYTES,
        .tailroom = line.tailroom,
    };
    ck_assert_int_eq(mif_connection_open(&handle, NULL, NULL, NULL), MIF_ERR_SUCCESS);
    ck_assert_int_eq(mif_connection_map(handle, 0, line.memory, MEMORY_BYTES), MIF_ERR_SUCCESS);
    ck_assert_int_eq(mif_connection_add_queue(handle, &config), MIF_ERR_SUCCESS);
    ck_assert_int_eq(mif_connection_up(handle, -1), MIF_ERR_SUCCESS);
    return handle;
}

static void close_end(void *handle)
{
    mif_connection_down(handle);
    mif_connection_release(handle);
    mif_connection_close(handle);
}

static void open_line(uint16_t version, bool s2m)
{
    line.version = version;
    line.s2m = s2m;
    line.memory = memfd_create("chains", MFD_CLOEXEC);
    line.efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ck_assert_int_eq(ftruncate(line.memory, MEMORY_BYTES), 0);
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    void *slave = open_end(true), *master = open_end(false);
    line.from = s2m ? slave : master;
    line.to = s2m ? master : slave;
}

static void close_line(void)
{
    close_end(line.from);
    close_end(line.to);
    ck_assert_int_eq(close(line.memory) + close(line.efd), 0);
}

/* Each packet has bytes of its own, and is compared where it arrives. */
static void exchange(uint16_t packets, uint32_t size)
{
    static memif_buffer_t sent[BURST], received[BURST];
    uint16_t count = 0;
    ck_assert_int_eq(mif_call(line.from, 0, MIF_TX, MIF_CALL_RESERVE, size, sent, packets, &count),
                     0);
    ck_assert_uint_eq(count, packets);
    for (int i = 0; i < packets; i++) {
        memset(sent[i].data, i, size);
        sent[i].data_len = size;
    }
    ck_assert_int_eq(mif_call(line.from, 0, MIF_TX, MIF_CALL_TX, 0, sent, packets, &count), 0);
    ck_assert_int_eq(mif_call(line.to, 0, MIF_RX, MIF_CALL_RX, 0, received, packets, &count), 0);
    ck_assert_uint_eq(count, packets);
    for (int i = 0; i < packets; i++) {
        ck_assert_uint_eq(received[i].data_len, size);
        const uint8_t *bytes = received[i].data;
        ck_assert_int_eq(bytes[0], i);
        ck_assert_mem_eq(bytes, bytes + 1, size - 1);
    }
    ck_assert_int_eq(mif_call(line.to, 0, MIF_RX, MIF_CALL_GIVE_BACK, 0, received, packets, &count),
                     0);
}

/* ---- layouts ---- */

/* Packets of one slot to eight, which end everywhere in the ring. */
static void use_all_of_the_ring(int version_and_direction)
{
    open_line(version_and_direction < 2 ? MIF_VERSION_256 : MIF_VERSION_512,
              version_and_direction % 2 == 0);
    for (uint32_t size = 1; size < 8 * BUFFER_BYTES; size += 997)
        for (int i = 0; i < 4; i++)
            exchange(100, size);
    close_line();
}

MEMIF_TEST_LOOP(packets_in_adjacent_buffers_arrive, 0, 4)
{
    use_all_of_the_ring(_i);
}

MEMIF_TEST_LOOP(packets_in_buffers_with_gaps_arrive, 0, 4)
{
    line.tailroom = GAP;
    use_all_of_the_ring(_i);
}

/* The buffers of the last slot and of the first one are adjacent, and two in the middle are not. */
MEMIF_TEST_LOOP(packets_that_are_adjacent_over_the_end_of_the_ring_arrive, 0, 4)
{
    static uint32_t offsets[SLOTS];
    for (uint32_t i = 0; i < SLOTS; i++)
        offsets[i] = BUFFERS_AT + (i + SLOTS / 2) % SLOTS * BUFFER_BYTES;
    line.offsets = offsets;
    use_all_of_the_ring(_i);
}

/* ---- bounce buffers ---- */

static long page_faults(void)
{
    struct rusage usage;
    ck_assert_int_eq(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_minflt;
}

MEMIF_TEST(gathered_packets_take_no_memory_of_the_kernel_after_the_first_burst)
{
    line.tailroom = GAP;
    open_line(MIF_VERSION_512, true);
    for (int i = 0; i < 2; i++) /* all of the ring, and all of what the C library sets up */
        exchange(BURST, SIZE);
    long before = page_faults();
    for (int i = 0; i < BURSTS; i++)
        exchange(BURST, SIZE);
    /* Their bytes lie in 440 pages at each end. */
    ck_assert_int_lt(page_faults() - before, BURSTS * 40);
    close_line();
}

/* The linker brings the library's calls here (meson.build). */
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
static int failures; /* of the next calls */

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return failures-- > 0 ? NULL : __real_aligned_alloc(alignment, size);
}

static void expect_call(void *handle, enum mif_direction direction, enum mif_call call,
                        memif_buffer_t *buf, int err)
{
    uint16_t packets = err == MIF_ERR_SUCCESS ? 1 : 2, count = UINT16_MAX;
    ck_assert_int_eq(mif_call(handle, 0, direction, call, SIZE, buf, packets, &count),
                     MIF_FACE_ERROR(err));
    ck_assert_uint_eq(count, err == MIF_ERR_SUCCESS);
}

/* Each end needs a copy, and has it later. A burst ends at the first packet that has none. */
MEMIF_TEST_LOOP(without_memory_for_a_copy_nothing_is_lost, 0, 4)
{
    memif_buffer_t bufs[2];
    line.tailroom = GAP;
    open_line(_i < 2 ? MIF_VERSION_256 : MIF_VERSION_512, _i % 2 == 0);
    failures = 1;
    expect_call(line.from, MIF_TX, MIF_CALL_RESERVE, bufs, MIF_ERR_NOMEM);
    expect_call(line.from, MIF_TX, MIF_CALL_RESERVE, bufs, MIF_ERR_SUCCESS);
    memset(bufs[0].data, 7, SIZE);
    bufs[0].data_len = SIZE;
    expect_call(line.from, MIF_TX, MIF_CALL_TX, bufs, MIF_ERR_SUCCESS);
    failures = 1;
    expect_call(line.to, MIF_RX, MIF_CALL_RX, bufs, MIF_ERR_NOMEM);
    expect_call(line.to, MIF_RX, MIF_CALL_RX, bufs, MIF_ERR_SUCCESS);
    const uint8_t *bytes = bufs[0].data;
    ck_assert_uint_eq(bufs[0].data_len, SIZE);
    ck_assert_int_eq(bytes[0], 7);
    ck_assert_mem_eq(bytes, bytes + 1, SIZE - 1);
    expect_call(line.to, MIF_RX, MIF_CALL_GIVE_BACK, bufs, MIF_ERR_SUCCESS);
    close_line();
}

static struct mif_order order;
static struct mif_queue queue = {.order = &order};

MEMIF_TEST(a_queue_keeps_few_spare_bytes)
{
    static struct mif_bounce *all[2 * MIF_MAX_SPARE_BYTES / SIZE];
    const size_t count = sizeof(all) / sizeof(all[0]);

    for (size_t i = 0; i < count; i++)
        ck_assert_ptr_nonnull(all[i] = mif_bounce_take(&queue, SIZE));
    for (size_t i = 0; i < count; i++)
        mif_bounce_give_back(&queue, all[i]);
    ck_assert_uint_le(order.spare_bytes, MIF_MAX_SPARE_BYTES);
    ck_assert_uint_gt(order.spare_bytes, MIF_MAX_SPARE_BYTES / 2);
    mif_bounce_free_all(&queue);
    ck_assert_ptr_null(order.spare);
    ck_assert_uint_eq(order.spare_bytes, 0);
}

MEMIF_TEST(a_spare_buffer_serves_packets_that_it_can_hold)
{
    struct mif_bounce *first = mif_bounce_take(&queue, 3000);
    ck_assert_uint_ge(first->capacity, 3000);
    mif_bounce_give_back(&queue, first);
    ck_assert_ptr_eq(mif_bounce_take(&queue, 2000), first);
    mif_bounce_give_back(&queue, first);

    struct mif_bounce *longer = mif_bounce_take(&queue, 60000);
    ck_assert_uint_ge(longer->capacity, 60000);
    memset(longer->data, 1, 60000);
    ck_assert_ptr_null(order.spare);
    mif_bounce_give_back(&queue, longer);
    mif_bounce_free_all(&queue);
}

MEMIF_TEST_MAIN("chains")
