/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "burst_v4.h"
#include "harness.h"

/* ---- the program's memory, and what it was asked for ---- */

enum { MOST_REGIONS = 8, NEEDED = 2 * SLOTS * BUFFER };

struct region {
    void *address;
    uint32_t size;
    int fd;
};

static struct {
    struct region added[MOST_REGIONS]; /* as slave, its own */
    size_t adds;
    struct region mapped[MOST_REGIONS]; /* as master, the peer's */
    size_t maps;
    size_t deletes;
    size_t unknown_deletes;
    bool refuse_add;
    bool refuse_map;
    bool fail_deletes;
    bool unsealable;
    size_t offsets; /* asked for in this connection */
    uint32_t shift; /* added to every offset */
    void *context;  /* the last that came along */
} memory;

static int add_region(void **address, uint32_t size, int *fd, void *private_ctx)
{
    memory.context = private_ctx;
    memory.offsets = 0;
    if (memory.refuse_add || memory.adds == MOST_REGIONS)
        return -1;
    struct region *region = &memory.added[memory.adds];
    region->size = size;
    region->fd =
        memfd_create("external", memory.unsealable ? MFD_CLOEXEC : MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (ftruncate(region->fd, size) != 0)
        return -1;
    region->address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, region->fd, 0);
    *address = region->address;
    *fd = region->fd;
    memory.adds++;
    return 0;
}

static void *map_region(uint32_t size, int fd, void *private_ctx)
{
    memory.context = private_ctx;
    if (memory.refuse_map || memory.maps == MOST_REGIONS)
        return NULL;
    void *address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (address == MAP_FAILED)
        return NULL;
    memory.mapped[memory.maps++] = (struct region){.address = address, .size = size, .fd = fd};
    return address;
}

/* True if it was the region's, which is gone then. */
static bool forget(struct region *region, const void *address, uint32_t size, int fd, bool close_fd)
{
    if (region->address != address || region->size != size || region->fd != fd)
        return false;
    (void)munmap(region->address, size);
    if (close_fd)
        (void)close(fd);
    *region = (struct region){.fd = -1};
    return true;
}

static int delete_region(void *address, uint32_t size, int fd, void *private_ctx)
{
    bool known = false;

    memory.context = private_ctx;
    memory.deletes++;
    if (fcntl(fd, F_GETFD) == -1)
        memory.unknown_deletes++;
    for (size_t i = 0; i < memory.adds && !known; i++)
        known = forget(&memory.added[i], address, size, fd, true);
    for (size_t i = 0; i < memory.maps && !known; i++)
        known = forget(&memory.mapped[i], address, size, fd, false);
    if (!known)
        memory.unknown_deletes++;
    return memory.fail_deletes ? -1 : 0;
}

/* From the end of the region to its beginning, so that no two rings have theirs in a row. */
static uint32_t offset_of_buffer(void *private_ctx)
{
    uint32_t number = (uint32_t)memory.offsets++;

    memory.context = private_ctx;
    return NEEDED - (number + 1) * BUFFER + memory.shift;
}

/* ---- who uses it ---- */

enum { BY_SLAVE = 1, BY_MASTER = 2, WITH_OFFSETS = 4 };
/* Slave, master, both, and those with a slave also with offsets. */
static const int uses[] = {BY_SLAVE, BY_MASTER, BY_SLAVE | BY_MASTER, BY_SLAVE | WITH_OFFSETS,
                           BY_SLAVE | BY_MASTER | WITH_OFFSETS};
enum { USES = sizeof(uses) / sizeof(*uses) };

static void register_regions(struct pair *pair, int use)
{
    memif_get_external_buffer_offset_t *offset = use & WITH_OFFSETS ? offset_of_buffer : NULL;

    if (use & BY_SLAVE)
        ck_assert_int_eq(memif_register_external_region(pair->slave_control.handle, add_region,
                                                        NULL, delete_region, offset),
                         MEMIF_ERR_SUCCESS);
    if (use & BY_MASTER)
        ck_assert_int_eq(memif_register_external_region(pair->master_control.handle, NULL,
                                                        map_region, delete_region, NULL),
                         MEMIF_ERR_SUCCESS);
}

static void open_with_regions(struct pair *pair, int use)
{
    struct shape shape = shape_of(1);

    memset(&memory, 0, sizeof(memory));
    pair_open_sockets(pair, &shape);
    register_regions(pair, use);
}

static void connect_with_regions(struct pair *pair)
{
    struct shape shape = shape_of(1);

    pair_connect(pair, &shape);
}

static void exchange(const struct pair *pair)
{
    for (uint32_t i = 0; i < 3 * SLOTS; i++) {
        send_packets(pair->slave.conn, 0, 3, BUFFER, i);
        expect_packets(pair->master.conn, 0, 3, BUFFER, i);
        send_packets(pair->master.conn, 0, 3, BUFFER, i);
        expect_packets(pair->slave.conn, 0, 3, BUFFER, i);
    }
}

static void expect_all_given_back(void)
{
    ck_assert_uint_eq(memory.deletes, memory.adds + memory.maps);
    ck_assert_uint_eq(memory.unknown_deletes, 0);
}

MEMIF_TEST_LOOP(packets_flow_through_the_programs_memory, 0, USES)
{
    struct pair pair = {0};

    open_with_regions(&pair, uses[_i]);
    connect_with_regions(&pair);
    ck_assert_uint_eq(memory.adds, uses[_i] & BY_SLAVE ? 1 : 0);
    ck_assert_uint_eq(memory.maps, uses[_i] & BY_MASTER ? 1 : 0);
    exchange(&pair);
    pair_close(&pair);
    expect_all_given_back();
}

MEMIF_TEST(the_region_has_the_bytes_that_were_asked_for)
{
    struct pair pair = {0};

    open_with_regions(&pair, BY_SLAVE | BY_MASTER);
    connect_with_regions(&pair);
    ck_assert_uint_eq(memory.added[0].size, NEEDED);
    ck_assert_uint_eq(memory.mapped[0].size, NEEDED);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(buffers_lie_in_the_programs_memory, 0, USES)
{
    struct pair pair = {0};
    uint16_t done;

    open_with_regions(&pair, uses[_i]);
    connect_with_regions(&pair);
    const struct region *regions[] = {&memory.added[0], &memory.mapped[0]};
    memif_conn_handle_t conns[] = {pair.slave.conn, pair.master.conn};
    for (int who = 0; who < 2; who++) {
        ck_assert_int_eq(memif_buffer_alloc(conns[who], 0, buffers, SLOTS, &done, 0),
                         MEMIF_ERR_SUCCESS);
        for (size_t i = 0; i < SLOTS && (uses[_i] & (who == 0 ? BY_SLAVE : BY_MASTER)); i++) {
            ptrdiff_t at = (char *)buffers[i].data - (char *)regions[who]->address;
            ck_assert_int_ge(at, 0);
            ck_assert_int_le(at, (ptrdiff_t)regions[who]->size - BUFFER);
        }
    }
    pair_close(&pair);
}

MEMIF_TEST(buffers_lie_where_the_program_said)
{
    struct pair pair = {0};

    open_with_regions(&pair, BY_SLAVE | WITH_OFFSETS);
    connect_with_regions(&pair);
    ck_assert_uint_eq(memory.offsets, 2 * SLOTS);
    expect_alloc(pair.slave.conn, SLOTS, 0, MEMIF_ERR_SUCCESS, SLOTS);
    for (size_t i = 0; i < SLOTS; i++)
        ck_assert_int_eq((char *)buffers[i].data - (char *)memory.added[0].address,
                         (ptrdiff_t)(NEEDED - (i + 1) * BUFFER));
    pair_close(&pair);
}

MEMIF_TEST_LOOP(regions_are_asked_for_and_given_back_with_each_connection, 0, USES)
{
    struct pair pair = {0};

    open_with_regions(&pair, uses[_i]);
    size_t fds = open_fds();
    for (size_t round = 1; round <= 3; round++) {
        connect_with_regions(&pair);
        exchange(&pair);
        ck_assert_uint_eq(memory.adds, uses[_i] & BY_SLAVE ? round : 0);
        end_delete(round % 2 == 0 ? &pair.slave : &pair.master);
        RUN_UNTIL(!end_is_up(&pair.slave) && !end_is_up(&pair.master));
        expect_all_given_back();
        end_delete(round % 2 == 0 ? &pair.master : &pair.slave);
        ck_assert_uint_eq(open_fds(), fds);
        ck_assert_uint_eq(shared_mappings(), 0);
    }
    control_close(&pair.slave_control);
    control_close(&pair.master_control);
}

MEMIF_TEST(callbacks_get_the_context_of_the_interface)
{
    struct pair pair = {0};

    open_with_regions(&pair, BY_SLAVE | WITH_OFFSETS);
    connect_with_regions(&pair);
    ck_assert_ptr_eq(memory.context, &pair.slave);
    memory.context = NULL;
    end_delete(&pair.slave);
    ck_assert_ptr_eq(memory.context, &pair.slave);
    register_regions(&pair, BY_MASTER);
    end_must_create(&pair.slave, &pair.slave_control);
    RUN_UNTIL(end_is_up(&pair.slave) && end_is_up(&pair.master));
    end_delete(&pair.slave);
    memory.context = NULL;
    RUN_UNTIL(!end_is_up(&pair.master));
    ck_assert_ptr_eq(memory.context, &pair.master);
    end_delete(&pair.master);
    control_close(&pair.slave_control);
    control_close(&pair.master_control);
}

static void note_deletes(struct end *end)
{
    size_t *seen = end->context;

    *seen = memory.deletes;
}

MEMIF_TEST(regions_are_given_back_after_on_disconnect)
{
    size_t seen = SIZE_MAX;
    struct pair pair = {.slave = {.at_disconnect = note_deletes, .context = &seen}};

    open_with_regions(&pair, BY_SLAVE);
    connect_with_regions(&pair);
    end_delete(&pair.slave);
    ck_assert_uint_eq(seen, 0);
    ck_assert_uint_eq(memory.deletes, 1);
    end_delete(&pair.master);
    control_close(&pair.slave_control);
    control_close(&pair.master_control);
}

MEMIF_TEST_LOOP(details_say_which_regions_are_the_programs, 0, USES)
{
    struct pair pair = {0};

    open_with_regions(&pair, uses[_i]);
    connect_with_regions(&pair);
    memif_details_t details = details_of(pair.slave.conn);
    ck_assert_uint_eq(details.regions_num, 2);
    ck_assert_uint_eq(details.regions[0].is_external, 0);
    ck_assert_uint_eq(details.regions[1].is_external, uses[_i] & BY_SLAVE ? 1 : 0);
    if (uses[_i] & BY_SLAVE) {
        ck_assert_ptr_eq(details.regions[1].addr, memory.added[0].address);
        ck_assert_int_eq(details.regions[1].fd, memory.added[0].fd);
    }
    details = details_of(pair.master.conn);
    ck_assert_uint_eq(details.regions_num, 2);
    ck_assert_uint_eq(details.regions[0].is_external, 0);
    ck_assert_uint_eq(details.regions[1].is_external, uses[_i] & BY_MASTER ? 1 : 0);
    if (uses[_i] & BY_MASTER)
        ck_assert_ptr_eq(details.regions[1].addr, memory.mapped[0].address);
    pair_close(&pair);
}

MEMIF_TEST(memory_that_cannot_be_sealed_is_good_from_the_same_user)
{
    struct pair pair = {0};

    open_with_regions(&pair, BY_SLAVE | BY_MASTER);
    memory.unsealable = true;
    connect_with_regions(&pair);
    exchange(&pair);
    pair_close(&pair);
    expect_all_given_back();
}

MEMIF_TEST(memory_that_cannot_be_sealed_may_be_refused)
{
    static const memif_ext_options_t never = {.set = MEMIF_EXT_SET_UNSEALED,
                                              .unsealed = MEMIF_EXT_UNSEALED_NEVER};
    struct pair pair = {.master = {.options = &never, .args.is_master = 1}};
    char reason[256] = "";

    open_with_regions(&pair, BY_SLAVE);
    memory.unsealable = true;
    end_must_create(&pair.master, &pair.master_control);
    end_must_create(&pair.slave, &pair.slave_control);
    RUN_UNTIL(memif_ext_get_last_error(pair.slave.conn, reason, sizeof(reason)) ==
                  MEMIF_ERR_SUCCESS &&
              *reason != '\0');
    ck_assert_ptr_nonnull(strstr(reason, "policy never"));
    ck_assert_uint_eq(pair.master.connects + pair.slave.connects, 0);
    pair_close(&pair);
}

/* ---- failures ---- */

static bool has_failed(const struct end *end)
{
    return details_of(end->conn).error[0] != '\0';
}

/* The first connection does not come about, a later one does. */
static void expect_refusal_and_recovery(struct pair *pair)
{
    pair->master.args = pair->slave.args =
        (memif_conn_args_t){.log2_ring_size = LOG2_EIGHT, .buffer_size = BUFFER};
    pair->master.args.is_master = 1;
    end_must_create(&pair->master, &pair->master_control);
    size_t fds = open_fds();
    end_must_create(&pair->slave, &pair->slave_control);
    RUN_UNTIL(has_failed(&pair->slave));
    /* The master hears of it too: its channel is closed then. */
    RUN_UNTIL(open_fds() == fds);
    ck_assert_uint_eq(pair->slave.connects, 0);
    ck_assert_uint_eq(pair->master.connects, pair->master.disconnects);
    expect_all_given_back();
    memory.refuse_add = memory.refuse_map = false;
    memory.shift = 0;
    ck_assert_int_eq(memif_request_connection(pair->slave.conn), MEMIF_ERR_SUCCESS);
    RUN_UNTIL(end_is_up(&pair->slave) && end_is_up(&pair->master));
    ck_assert_int_eq(memif_refill_queue(pair->slave.conn, 0, UINT16_MAX, 0), MEMIF_ERR_SUCCESS);
    exchange(pair);
    pair_close(pair);
    expect_all_given_back();
}

MEMIF_TEST(no_connection_comes_about_when_the_slave_gets_no_memory)
{
    struct pair pair = {0};

    open_with_regions(&pair, BY_SLAVE | BY_MASTER);
    memory.refuse_add = true;
    expect_refusal_and_recovery(&pair);
}

MEMIF_TEST(no_connection_comes_about_when_the_master_maps_nothing)
{
    struct pair pair = {0};

    open_with_regions(&pair, BY_SLAVE | BY_MASTER);
    memory.refuse_map = true;
    expect_refusal_and_recovery(&pair);
}

MEMIF_TEST_LOOP(no_connection_comes_about_when_a_buffer_lies_outside, 0, 3)
{
    static const uint32_t shifts[] = {1, NEEDED, UINT32_MAX - NEEDED};
    struct pair pair = {0};

    open_with_regions(&pair, BY_SLAVE | BY_MASTER | WITH_OFFSETS);
    memory.shift = shifts[_i];
    expect_refusal_and_recovery(&pair);
}

static int add_nothing(void **address, uint32_t size, int *fd, void *private_ctx)
{
    (void)size;
    (void)fd;
    *address = private_ctx; /* anything */
    memory.adds++;
    return 0;
}

static int add_nowhere(void **address, uint32_t size, int *fd, void *private_ctx)
{
    (void)address;
    (void)size;
    (void)private_ctx;
    *fd = STDIN_FILENO;
    memory.adds++;
    return 0;
}

/* What was not handed over is not given back either. */
MEMIF_TEST_LOOP(no_connection_comes_about_without_address_or_descriptor, 0, 2)
{
    struct pair pair = {0};

    open_with_regions(&pair, 0);
    ck_assert_int_eq(memif_register_external_region(pair.slave_control.handle,
                                                    _i == 0 ? add_nothing : add_nowhere, NULL,
                                                    delete_region, NULL),
                     MEMIF_ERR_SUCCESS);
    pair.master.args.is_master = 1;
    end_must_create(&pair.master, &pair.master_control);
    end_must_create(&pair.slave, &pair.slave_control);
    RUN_UNTIL(has_failed(&pair.slave));
    ck_assert_uint_eq(memory.adds, 1);
    ck_assert_uint_eq(memory.deletes, 0);
    pair_close(&pair);
}

MEMIF_TEST(a_delete_callback_that_fails_changes_nothing)
{
    struct pair pair = {0};

    open_with_regions(&pair, BY_SLAVE | BY_MASTER);
    memory.fail_deletes = true;
    connect_with_regions(&pair);
    pair_close(&pair);
    expect_all_given_back();
    ck_assert_uint_eq(shared_mappings(), 0);
}

MEMIF_TEST(version_256_refuses_the_programs_memory_as_slave)
{
    struct pair pair = {0};

    open_with_regions(&pair, BY_SLAVE);
    restrict_protocol(256);
    pair.master.args.is_master = 1;
    end_must_create(&pair.master, &pair.master_control);
    end_must_create(&pair.slave, &pair.slave_control);
    RUN_UNTIL(has_failed(&pair.slave));
    ck_assert_uint_eq(memory.adds, 0);
    ck_assert_ptr_nonnull(strstr((char *)details_of(pair.slave.conn).error, "512"));
    pair_close(&pair);
}

/* All of version 256 is in region 0, which is never the program's. */
MEMIF_TEST(version_256_asks_a_master_for_nothing)
{
    struct pair pair = {0};
    struct shape shape = shape_of(0);

    open_with_regions(&pair, BY_MASTER);
    restrict_protocol(256);
    pair_connect(&pair, &shape);
    ck_assert_uint_eq(memory.maps, 0);
    send_packets(pair.slave.conn, 0, 3, BUFFER, 1);
    expect_packets(pair.master.conn, 0, 3, BUFFER, 1);
    pair_close(&pair);
    ck_assert_uint_eq(memory.deletes, 0);
}

MEMIF_TEST_MAIN("4.0 external")
