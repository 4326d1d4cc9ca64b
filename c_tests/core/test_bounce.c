/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bounce buffers are used again: long packets between buffers that are not adjacent, as those of a
 * 4.0 slave are, cost copies but no memory from the kernel.
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

enum { SLOTS_LOG2 = 10, SIZE = 9000, BURST = 200, BURSTS = 20 };
enum { BUFFER_BYTES = 2048, GAP = 128, BUFFERS_AT = 1 << 16, MEMORY_BYTES = 1 << 22 };

static int memory, efd;

static void *open_end(bool is_slave)
{
    void *handle = NULL;
    const struct mif_queue_config config = {
        .version = MIF_VERSION_512,
        .is_slave = is_slave,
        .is_tx = is_slave,
        .log2_ring_size = SLOTS_LOG2,
        .efd = efd,
        .buffer_offset = BUFFERS_AT,
        .buffer_size = BUFFER_BYTES,
        .tailroom = GAP,
    };
    ck_assert_int_eq(mif_connection_open(&handle, NULL, NULL, NULL), MIF_ERR_SUCCESS);
    ck_assert_int_eq(mif_connection_map(handle, 0, memory, MEMORY_BYTES), MIF_ERR_SUCCESS);
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

/* Each packet has bytes of its own, and is compared where it arrives. */
static void exchange(void *slave, void *master)
{
    static memif_buffer_t sent[BURST], received[BURST];
    uint16_t count = 0;
    ck_assert_int_eq(mif_call(slave, 0, MIF_TX, MIF_CALL_RESERVE, SIZE, sent, BURST, &count), 0);
    ck_assert_uint_eq(count, BURST);
    for (int i = 0; i < BURST; i++) {
        memset(sent[i].data, i, SIZE);
        sent[i].data_len = SIZE;
    }
    ck_assert_int_eq(mif_call(slave, 0, MIF_TX, MIF_CALL_TX, 0, sent, BURST, &count), 0);
    ck_assert_int_eq(mif_call(master, 0, MIF_RX, MIF_CALL_RX, 0, received, BURST, &count), 0);
    ck_assert_uint_eq(count, BURST);
    for (int i = 0; i < BURST; i++) {
        ck_assert_uint_eq(received[i].data_len, SIZE);
        const uint8_t *bytes = received[i].data;
        ck_assert_int_eq(bytes[0], i);
        ck_assert_mem_eq(bytes, bytes + 1, SIZE - 1);
    }
    ck_assert_int_eq(mif_call(master, 0, MIF_RX, MIF_CALL_GIVE_BACK, 0, received, BURST, &count),
                     0);
}

static long page_faults(void)
{
    struct rusage usage;
    ck_assert_int_eq(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_minflt;
}

MEMIF_TEST(gathered_packets_take_no_memory_of_the_kernel_after_the_first_burst)
{
    memory = memfd_create("bounce", MFD_CLOEXEC);
    efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ck_assert_int_eq(ftruncate(memory, MEMORY_BYTES), 0);
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    void *slave = open_end(true), *master = open_end(false);

    for (int i = 0; i < 2; i++) /* all of the ring, and all of what the C library sets up */
        exchange(slave, master);
    long before = page_faults();
    for (int i = 0; i < BURSTS; i++)
        exchange(slave, master);
    /* Their bytes lie in 440 pages at each end. */
    ck_assert_int_lt(page_faults() - before, BURSTS * 40);

    close_end(slave);
    close_end(master);
    ck_assert_int_eq(close(memory) + close(efd), 0);
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

MEMIF_TEST_MAIN("bounce buffers")
