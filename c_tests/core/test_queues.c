/* SPDX-License-Identifier: Apache-2.0 */

/* What a queue may look like: the control plane passes on what a peer has sent. */

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

#include "core/arena.h"
#include "core/connection.h"
#include "core/errors.h"
#include "core/queue.h"
#include "core/regions.h"
#include "core/ring.h"
#include "core/setup.h"

enum { LOG2 = 4, BUFFER = 128, REGION = 1 << 16, RINGS = 0, BUFFERS = 1, HOLE = 2 };
enum { BYTES_256 = sizeof(struct mif_ring) + (sizeof(struct mif_desc_256) << LOG2) };
enum { BYTES_512 = sizeof(struct mif_ring) + (sizeof(struct mif_desc_512) << LOG2) };

static void *handle;

static void *open_with_regions(void)
{
    void *opened = NULL;

    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    ck_assert_int_eq(mif_connection_open(&opened, NULL, NULL, NULL), MIF_ERR_SUCCESS);
    for (uint16_t region = RINGS; region <= BUFFERS; region++) {
        int fd = memfd_create("queues", MFD_CLOEXEC);
        ck_assert_int_eq(ftruncate(fd, REGION), 0);
        ck_assert_int_eq(mif_connection_map(opened, region, fd, REGION), MIF_ERR_SUCCESS);
        ck_assert_int_eq(close(fd), 0);
    }
    return opened;
}

/* The answer to a queue, in a connection of its own. */
static int add(struct mif_queue_config config)
{
    void *base;
    uint64_t size;
    struct mif_ring *ring;

    handle = open_with_regions();
    ck_assert_int_eq(mif_region_look(handle, RINGS, &base, &size), MIF_ERR_SUCCESS);
    if (config.region == RINGS && config.offset % sizeof(uint64_t) == 0 &&
        config.offset < REGION - sizeof(*ring)) {
        ring = (struct mif_ring *)(void *)((uint8_t *)base + config.offset);
        if (!config.is_slave)
            atomic_store(&ring->cookie,
                         config.version == MIF_VERSION_256 ? MIF_COOKIE_256 : MIF_COOKIE_512);
    }
    int err = mif_connection_add_queue(handle, &config);
    mif_connection_down(handle);
    mif_connection_release(handle);
    mif_connection_close(handle);
    return err;
}

static struct mif_queue_config master(uint16_t version)
{
    return (struct mif_queue_config){
        .version = version, .log2_ring_size = LOG2, .efd = -1, .region = RINGS};
}

static struct mif_queue_config slave(uint16_t version)
{
    struct mif_queue_config config = master(version);

    config.is_slave = true;
    config.buffer_region = BUFFERS;
    config.buffer_size = BUFFER;
    return config;
}

MEMIF_TEST(a_ring_ends_within_its_region)
{
    struct mif_queue_config config = master(MIF_VERSION_256);

    config.offset = REGION - BYTES_256;
    ck_assert_int_eq(add(config), MIF_ERR_SUCCESS);
    config.offset += sizeof(uint64_t);
    ck_assert_int_eq(add(config), MIF_ERR_INVAL_ARG);
    config = master(MIF_VERSION_512);
    config.offset = REGION - BYTES_512;
    ck_assert_int_eq(add(config), MIF_ERR_SUCCESS);
    config.offset += sizeof(uint64_t);
    ck_assert_int_eq(add(config), MIF_ERR_INVAL_ARG);
    config.offset = UINT64_MAX - 7;
    ck_assert_int_eq(add(config), MIF_ERR_INVAL_ARG);
}

MEMIF_TEST(a_ring_lies_in_a_region_that_there_is)
{
    struct mif_queue_config config = master(MIF_VERSION_512);

    config.region = HOLE;
    ck_assert_int_eq(add(config), MIF_ERR_INVAL_ARG);
    config.region = MIF_MAX_REGIONS;
    ck_assert_int_eq(add(config), MIF_ERR_INVAL_ARG);
}

MEMIF_TEST(a_ring_is_aligned)
{
    struct mif_queue_config config = master(MIF_VERSION_512);

    for (config.offset = 1; config.offset < sizeof(uint64_t); config.offset++)
        ck_assert_int_eq(add(config), MIF_ERR_INVAL_ARG);
    ck_assert_int_eq(add(config), MIF_ERR_SUCCESS);
}

MEMIF_TEST(a_ring_has_a_size_of_its_version)
{
    struct mif_queue_config config = master(MIF_VERSION_256);

    config.log2_ring_size = 0;
    ck_assert_int_eq(add(config), MIF_ERR_MAX_RING);
    config.log2_ring_size = 1;
    ck_assert_int_eq(add(config), MIF_ERR_SUCCESS);
    config.log2_ring_size = MIF_MAX_LOG2_RING_SIZE + 1;
    ck_assert_int_eq(add(config), MIF_ERR_MAX_RING);
    config = master(MIF_VERSION_512);
    config.log2_ring_size = 0;
    ck_assert_int_eq(add(config), MIF_ERR_SUCCESS);
    config.log2_ring_size = MIF_MAX_LOG2_RING_SIZE;
    ck_assert_int_eq(add(config), MIF_ERR_INVAL_ARG); /* of the region */
}

MEMIF_TEST(queues_come_in_order)
{
    struct mif_queue_config config = master(MIF_VERSION_512);

    config.qid = 1;
    ck_assert_int_eq(add(config), MIF_ERR_QID);
    config.qid = MIF_MAX_QUEUES - 1;
    ck_assert_int_eq(add(config), MIF_ERR_QID);
    config.qid = MIF_MAX_QUEUES;
    ck_assert_int_eq(add(config), MIF_ERR_MAXRING);
}

MEMIF_TEST(the_buffers_of_a_slave_end_within_their_region)
{
    struct mif_queue_config config = slave(MIF_VERSION_512);

    config.buffer_offset = REGION - (BUFFER << LOG2);
    ck_assert_int_eq(add(config), MIF_ERR_SUCCESS);
    config.buffer_offset++;
    ck_assert_int_eq(add(config), MIF_ERR_INVAL_ARG);
    config.buffer_offset--;
    config.tailroom = 1;
    ck_assert_int_eq(add(config), MIF_ERR_INVAL_ARG);
}

MEMIF_TEST(each_buffer_of_a_slave_ends_within_its_region)
{
    struct mif_queue_config config = slave(MIF_VERSION_512);

    for (uint32_t at = 0; at < 1u << LOG2; at++) {
        uint32_t offsets[1 << LOG2] = {0};
        config.buffer_offsets = offsets;
        offsets[at] = REGION - BUFFER;
        ck_assert_int_eq(add(config), MIF_ERR_SUCCESS);
        offsets[at]++;
        ck_assert_int_eq(add(config), MIF_ERR_INVAL_ARG);
    }
}

/* In memory that was used for something else. */
MEMIF_TEST_LOOP(the_slots_of_a_slave_are_empty_at_first, 0, 2)
{
    struct mif_queue_config config = slave(_i == 0 ? MIF_VERSION_256 : MIF_VERSION_512);
    void *opened = open_with_regions(), *base;
    uint64_t size;

    ck_assert_int_eq(mif_region_look(opened, RINGS, &base, &size), MIF_ERR_SUCCESS);
    memset(base, 0xFF, size);
    ck_assert_int_eq(mif_connection_add_queue(opened, &config), MIF_ERR_SUCCESS);
    const struct mif_queue *q = mif_queue_at(opened, 0, MIF_RX);
    for (uint32_t slot = 0; slot < 1u << LOG2; slot++) {
        struct mif_desc desc = mif_desc_read(q->descs, slot, (enum mif_kind)q->kind);
        ck_assert_uint_eq(desc.length, _i == 0 ? 0 : BUFFER); /* 512 says what may be written */
        ck_assert_uint_eq(mif_desc_capacity(&desc), BUFFER);
        ck_assert_uint_eq(desc.offset, slot * BUFFER);
    }
    mif_connection_down(opened);
    mif_connection_release(opened);
    mif_connection_close(opened);
}

MEMIF_TEST(a_master_wants_the_cookie_of_its_version)
{
    struct mif_queue_config config = master(MIF_VERSION_512);

    config.region = BUFFERS; /* where nobody writes one */
    ck_assert_int_eq(add(config), MIF_ERR_COOKIE);
}

MEMIF_TEST_MAIN("queues")
