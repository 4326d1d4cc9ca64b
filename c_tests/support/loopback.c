/* SPDX-License-Identifier: Apache-2.0 */

#include "loopback.h"

#include <check.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

struct loopback loopback;

struct mif_queue_config slave_queue(uint16_t version)
{
    return (struct mif_queue_config){.version = version,
                                     .is_slave = 1,
                                     .log2_ring_size = LOG2_SLOTS,
                                     .efd = -1,
                                     .buffer_offset = RING_BYTES,
                                     .buffer_size = BUFFER};
}

void add_queue(void *handle, enum side side, uint16_t qid, bool s2m)
{
    uint16_t ring = (uint16_t)(s2m ? qid : QUEUES + qid);
    const struct mif_queue_config config = {
        .version = loopback.version,
        .is_slave = side == SLAVE,
        .is_tx = s2m == (side == SLAVE),
        .qid = qid,
        .offset = (uint64_t)ring * RING_BYTES,
        .log2_ring_size = LOG2_SLOTS,
        .efd = loopback.efds[ring],
        .buffer_offset =
            (uint64_t)2 * QUEUES * RING_BYTES + (uint64_t)ring * (BUFFER << LOG2_SLOTS),
        .post_at_start = 1,
        .buffer_size = BUFFER,
    };
    ck_assert_int_eq(mif_connection_add_queue(handle, &config), MIF_ERR_SUCCESS);
}

void raise_as(void *handle, enum side side, int memory)
{
    ck_assert_int_eq(mif_connection_map(handle, 0, memory, REGION_BYTES), MIF_ERR_SUCCESS);
    for (uint16_t qid = 0; qid < QUEUES; qid++) {
        add_queue(handle, side, qid, true);
        add_queue(handle, side, qid, false);
    }
    ck_assert_int_eq(mif_connection_up(handle, -1), MIF_ERR_SUCCESS);
}

void raise_side(enum side side)
{
    raise_as(loopback.handles[side], side, loopback.memory);
}

void *open_handle(void)
{
    void *handle = NULL;
    ck_assert_int_eq(mif_connection_open(&handle, NULL, NULL, NULL), MIF_ERR_SUCCESS);
    return handle;
}

void open_side(enum side side)
{
    loopback.handles[side] = open_handle();
}

void lower_side(enum side side)
{
    mif_connection_down(loopback.handles[side]);
    mif_connection_release(loopback.handles[side]);
}

static int make_memory(void)
{
    int fd = memfd_create("loopback", MFD_CLOEXEC);
    ck_assert_int_eq(ftruncate(fd, REGION_BYTES), 0);
    return fd;
}

void change_memory(void)
{
    ck_assert_int_eq(close(loopback.memory), 0);
    loopback.memory = make_memory();
}

void open_loopback(uint16_t version)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    loopback.version = version;
    loopback.memory = make_memory();
    loopback.spare_memory = make_memory();
    for (int i = 0; i < 2 * QUEUES; i++) {
        loopback.efds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        ck_assert_int_ge(loopback.efds[i], 0);
    }
    open_side(MASTER);
    open_side(SLAVE);
}

void close_loopback(void)
{
    mif_connection_close(loopback.handles[MASTER]);
    mif_connection_close(loopback.handles[SLAVE]);
    ck_assert_int_eq(close(loopback.memory), 0);
    ck_assert_int_eq(close(loopback.spare_memory), 0);
    for (int i = 0; i < 2 * QUEUES; i++)
        ck_assert_int_eq(close(loopback.efds[i]), 0);
}
