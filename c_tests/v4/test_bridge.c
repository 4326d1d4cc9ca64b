/* SPDX-License-Identifier: Apache-2.0 */

/* Buffers that move between interfaces. */

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "burst_v4.h"
#include "harness.h"

/* Two slaves, each with its master. What comes in on the first goes out on the second. */
struct bridge {
    struct control masters;
    struct control slaves;
    struct end master[2];
    struct end slave[2];
};

static void open_bridge(struct bridge *bridge, const uint16_t buffer_sizes[2])
{
    for (unsigned i = 0; i < 2; i++) {
        bridge->master[i].args = bridge->slave[i].args = (memif_conn_args_t){
            .interface_id = i, .log2_ring_size = LOG2_EIGHT, .buffer_size = buffer_sizes[i]};
        bridge->master[i].args.is_master = 1;
        end_must_create(&bridge->master[i], &bridge->masters);
        end_must_create(&bridge->slave[i], &bridge->slaves);
    }
    for (unsigned i = 0; i < 2; i++)
        RUN_UNTIL(end_is_up(&bridge->master[i]) && end_is_up(&bridge->slave[i]));
    expect_refill(bridge->slave[0].conn, UINT16_MAX, 0, MEMIF_ERR_SUCCESS);
}

static void close_bridge(struct bridge *bridge)
{
    for (unsigned i = 0; i < 2; i++) {
        end_delete(&bridge->slave[i]);
        end_delete(&bridge->master[i]);
    }
    control_close(&bridge->slaves);
    control_close(&bridge->masters);
}

/* One memory for both slaves. All of it is one buffer of one ring: the first slave uses the second
 * half to receive into, the second slave the first half to send from. */
static struct {
    void *address;
    uint32_t size;
    int fd;
} shared;

static int add_shared(void **address, uint32_t size, int *fd, void *private_ctx)
{
    (void)private_ctx;
    if (size > shared.size)
        return -1;
    *address = shared.address;
    *fd = shared.fd;
    return 0;
}

static int keep_shared(void *address, uint32_t size, int fd, void *private_ctx)
{
    (void)address;
    (void)size;
    (void)fd;
    (void)private_ctx;
    return 0;
}

static void make_shared(uint32_t size)
{
    shared.size = size;
    shared.fd = memfd_create("shared", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_ge(shared.fd, 0);
    ck_assert_int_eq(ftruncate(shared.fd, size), 0);
    shared.address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, shared.fd, 0);
    ck_assert_ptr_ne(shared.address, MAP_FAILED);
}

static void free_shared(void)
{
    ck_assert_int_eq(munmap(shared.address, shared.size), 0);
    ck_assert_int_eq(close(shared.fd), 0);
}

static void open_bridge_sockets(struct bridge *bridge, bool with_shared_memory)
{
    restrict_protocol(ANY_VERSION);
    control_must_open(&bridge->masters, "a.sock");
    control_must_open(&bridge->slaves, "a.sock");
    if (with_shared_memory)
        ck_assert_int_eq(memif_register_external_region(bridge->slaves.handle, add_shared, NULL,
                                                        keep_shared, NULL),
                         MEMIF_ERR_SUCCESS);
}

static const uint16_t one_size[2] = {BUFFER, BUFFER};

MEMIF_TEST(buffers_move_between_interfaces_that_share_a_region)
{
    struct bridge bridge = {0};

    make_shared(2 * SLOTS * BUFFER);
    open_bridge_sockets(&bridge, true);
    open_bridge(&bridge, one_size);
    memif_conn_handle_t in = bridge.slave[0].conn, out = bridge.slave[1].conn;
    for (uint32_t round = 0; round < 100; round++) {
        uint16_t count = (uint16_t)(1 + round % SLOTS);
        send_packets(bridge.master[0].conn, 0, count, BUFFER, round);
        (void)receive_packets(in, 0, others, count, BUFFER, round);
        void *data = others[0].data;
        expect_enq(out, 0, others, count, MEMIF_ERR_SUCCESS, count);
        ck_assert_ptr_eq(others[0].data, data);
        expect_tx(out, others, count, MEMIF_ERR_SUCCESS, count);
        expect_refill(in, count, 0, MEMIF_ERR_SUCCESS);
        expect_packets(bridge.master[1].conn, 0, count, BUFFER, round);
    }
    /* Every buffer is in one place: what is in one ring leaves the other's contents alone. */
    (void)reserve_packets(out, 0, buffers, SLOTS, BUFFER, 100);
    send_packets(bridge.master[0].conn, 0, SLOTS, BUFFER, 200);
    expect_packets(in, 0, SLOTS, BUFFER, 200);
    for (uint32_t i = 0; i < SLOTS; i++)
        ck_assert(is_packet(&buffers[i], 1, BUFFER, 100 + i));
    close_bridge(&bridge);
    free_shared();
}

MEMIF_TEST(buffers_do_not_move_between_interfaces_without_a_shared_region)
{
    struct bridge bridge = {0};

    open_bridge_sockets(&bridge, false);
    open_bridge(&bridge, one_size);
    send_packets(bridge.master[0].conn, 0, 2, BUFFER, 1);
    (void)receive_packets(bridge.slave[0].conn, 0, others, 2, BUFFER, 1);
    expect_enq(bridge.slave[1].conn, 0, others, 2, MEMIF_ERR_INVAL_ARG, 0);
    expect_enq(bridge.slave[0].conn, 0, others, 2, MEMIF_ERR_SUCCESS, 2);
    close_bridge(&bridge);
}

/* A ring promises the size of its buffers to the program and, with the headroom, to the peer. */
MEMIF_TEST_LOOP(buffers_do_not_move_between_interfaces_with_other_sizes, 0, 2)
{
    struct bridge bridge = {0};
    const uint16_t sizes[2] = {_i == 0 ? BUFFER : 2 * BUFFER, _i == 0 ? 2 * BUFFER : BUFFER};

    make_shared(4 * SLOTS * BUFFER);
    open_bridge_sockets(&bridge, true);
    open_bridge(&bridge, sizes);
    send_packets(bridge.master[0].conn, 0, 1, BUFFER, 1);
    (void)receive_packets(bridge.slave[0].conn, 0, others, 1, BUFFER, 1);
    expect_enq(bridge.slave[1].conn, 0, others, 1, MEMIF_ERR_INVAL_ARG, 0);
    close_bridge(&bridge);
    free_shared();
}

MEMIF_TEST(buffers_of_an_interface_that_was_deleted_do_not_move)
{
    struct bridge bridge = {0};

    make_shared(2 * SLOTS * BUFFER);
    open_bridge_sockets(&bridge, true);
    open_bridge(&bridge, one_size);
    send_packets(bridge.master[0].conn, 0, 2, BUFFER, 1);
    (void)receive_packets(bridge.slave[0].conn, 0, others, 2, BUFFER, 1);
    end_delete(&bridge.slave[0]);
    expect_enq(bridge.slave[1].conn, 0, others, 2, MEMIF_ERR_INVAL_ARG, 0);
    end_must_create(&bridge.slave[0], &bridge.slaves);
    close_bridge(&bridge);
    free_shared();
}

MEMIF_TEST_MAIN("4.0 bridge")
