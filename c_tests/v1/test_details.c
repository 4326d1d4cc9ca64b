/* SPDX-License-Identifier: Apache-2.0 */

#include "harness.h"
#include "pair_v1.h"

enum { ROOM = 2048, GUARD = 0xA5 };

/* A pair in which no two values are the same by chance. */
static const struct shape distinct = {
    .s2m_rings = 3, .m2s_rings = 2, .log2_ring_size = 5, .buffer_size = 320};

static void name_ends(struct pair *pair)
{
    pair->master.args.interface_id = pair->slave.args.interface_id = 0xfedcba98;
    pair->master.args.mode = pair->slave.args.mode = MEMIF_INTERFACE_MODE_IP;
    memcpy(pair->master.args.interface_name, "master interface", 17);
    memcpy(pair->slave.args.interface_name, "slave interface", 16);
    memcpy(pair->slave.args.instance_name, "slave instance", 15);
    memcpy(pair->master.args.secret, "open sesame", 12);
    memcpy(pair->slave.args.secret, "open sesame", 12);
}

static memif_details_t guarded_details_of(memif_conn_handle_t conn)
{
    static char strings[ROOM];
    memif_details_t details;

    memset(&details, GUARD, sizeof(details));
    ck_assert_int_eq(memif_get_details(conn, &details, strings, sizeof(strings)),
                     MEMIF_ERR_SUCCESS);
    return details;
}

static void expect_strings(const memif_details_t *details, const char *if_name,
                           const char *inst_name, const char *remote_if_name,
                           const char *remote_inst_name)
{
    ck_assert_str_eq((char *)details->if_name, if_name);
    ck_assert_str_eq((char *)details->inst_name, inst_name);
    ck_assert_str_eq((char *)details->remote_if_name, remote_if_name);
    ck_assert_str_eq((char *)details->remote_inst_name, remote_inst_name);
    ck_assert_str_eq((char *)details->secret, "open sesame");
}

static void expect_queues(const memif_queue_details_t *queues, uint8_t count, uint8_t expected)
{
    ck_assert_uint_eq(count, expected);
    for (uint8_t i = 0; i < count; i++) {
        ck_assert_uint_eq(queues[i].qid, i);
        ck_assert_uint_eq(queues[i].ring_size, 32);
        ck_assert_uint_eq(queues[i].buffer_size, 320);
    }
}

MEMIF_TEST_LOOP(a_connected_master_is_described, 0, VERSIONS)
{
    struct pair pair = {0};
    struct shape shape = distinct;

    shape.version = version_of(_i);
    name_ends(&pair);
    pair_open(&pair, &shape);
    memif_details_t details = guarded_details_of(pair.master.conn);
    expect_strings(&details, "master interface", MEMIF_DEFAULT_APP_NAME, "slave interface",
                   "slave instance");
    ck_assert_uint_eq(details.id, 0xfedcba98);
    ck_assert_uint_eq(details.role, 0);
    ck_assert_uint_eq(details.mode, MEMIF_INTERFACE_MODE_IP);
    ck_assert_str_eq((char *)details.socket_filename, pair.master.path);
    ck_assert_uint_eq(details.link_up_down, 1);
    ck_assert_uint_eq(details.rx_queues_num, 3);
    for (uint8_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(details.rx_queues[i].qid, i);
        ck_assert_uint_eq(details.rx_queues[i].ring_size, 32);
    }
    expect_queues(details.tx_queues, details.tx_queues_num, 2);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_connected_slave_is_described, 0, VERSIONS)
{
    struct pair pair = {0};
    struct shape shape = distinct;

    shape.version = version_of(_i);
    name_ends(&pair);
    pair_open(&pair, &shape);
    memif_details_t details = guarded_details_of(pair.slave.conn);
    expect_strings(&details, "slave interface", "slave instance", "master interface",
                   MEMIF_DEFAULT_APP_NAME);
    ck_assert_uint_eq(details.id, 0xfedcba98);
    ck_assert_uint_eq(details.role, 1);
    ck_assert_uint_eq(details.mode, MEMIF_INTERFACE_MODE_IP);
    ck_assert_str_eq((char *)details.socket_filename, pair.slave.path);
    ck_assert_uint_eq(details.link_up_down, 1);
    expect_queues(details.rx_queues, details.rx_queues_num, 2);
    expect_queues(details.tx_queues, details.tx_queues_num, 3);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(an_unconnected_interface_is_described_without_a_peer, 0, 2)
{
    struct pair pair = {0};
    struct end *end = _i == 0 ? &pair.slave : &pair.master;

    name_ends(&pair);
    end->args.is_master = (uint8_t)_i;
    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(end, "a.sock"), MEMIF_ERR_SUCCESS);
    memif_details_t details = guarded_details_of(end->conn);
    expect_strings(&details, _i == 0 ? "slave interface" : "master interface",
                   _i == 0 ? "slave instance" : MEMIF_DEFAULT_APP_NAME, "", "");
    ck_assert_uint_eq(details.id, 0xfedcba98);
    ck_assert_uint_eq(details.role, _i == 0 ? 1 : 0);
    ck_assert_uint_eq(details.mode, MEMIF_INTERFACE_MODE_IP);
    ck_assert_str_eq((char *)details.socket_filename, end->path);
    ck_assert_uint_eq(details.link_up_down, 0);
    ck_assert_uint_eq(details.rx_queues_num, 0);
    ck_assert_uint_eq(details.tx_queues_num, 0);
    stop();
}

MEMIF_TEST(details_follow_the_connection)
{
    struct pair pair = {0};

    name_ends(&pair);
    pair_open(&pair, &distinct);
    end_delete(&pair.slave);
    RUN_UNTIL(pair.master.disconnects == 1);
    memif_details_t details = guarded_details_of(pair.master.conn);
    ck_assert_uint_eq(details.link_up_down, 0);
    ck_assert_uint_eq(details.rx_queues_num, 0);
    ck_assert_str_eq((char *)details.remote_if_name, "slave interface");
    ck_assert_str_eq((char *)details.remote_inst_name, "slave instance");
    stop();
}

MEMIF_TEST(the_smaller_of_both_ends_decides_on_the_rings)
{
    struct pair pair = {
        .master.args = {.is_master = 1,
                        .num_s2m_rings = 4,
                        .num_m2s_rings = 4,
                        .log2_ring_size = 12},
        .slave.args = {
            .num_s2m_rings = 2, .num_m2s_rings = 1, .log2_ring_size = 4, .buffer_size = 64}};

    start(LIBRARY_POLLS, ANY_VERSION);
    ck_assert_int_eq(end_create(&pair.master, "a.sock"), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(end_create(&pair.slave, "a.sock"), MEMIF_ERR_SUCCESS);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    memif_details_t details = guarded_details_of(pair.master.conn);
    ck_assert_uint_eq(details.rx_queues_num, 2);
    ck_assert_uint_eq(details.tx_queues_num, 1);
    ck_assert_uint_eq(details.rx_queues[1].ring_size, 16);
    ck_assert_uint_eq(details.tx_queues[0].ring_size, 16);
    stop();
}

/* ---- too little room ---- */

struct memory {
    const char *start;
    size_t size;
};

static void expect_string_inside(const struct memory *memory, const uint8_t *string)
{
    if (string == NULL)
        return;
    const char *text = (const char *)string;
    ck_assert(text >= memory->start && text < memory->start + memory->size);
    ck_assert_ptr_nonnull(memchr(text, 0, (size_t)(memory->start + memory->size - text)));
}

static void expect_queues_inside(const struct memory *memory, const memif_queue_details_t *queues,
                                 uint8_t count)
{
    if (count == 0)
        return;
    ck_assert((const char *)queues >= memory->start);
    ck_assert((const char *)(queues + count) <= memory->start + memory->size);
    ck_assert_uint_eq((uintptr_t)queues % _Alignof(memif_queue_details_t), 0);
}

static void expect_all_inside(const struct memory *memory, const memif_details_t *details)
{
    expect_string_inside(memory, details->if_name);
    expect_string_inside(memory, details->inst_name);
    expect_string_inside(memory, details->remote_if_name);
    expect_string_inside(memory, details->remote_inst_name);
    expect_string_inside(memory, details->secret);
    expect_string_inside(memory, details->socket_filename);
    expect_queues_inside(memory, details->rx_queues, details->rx_queues_num);
    expect_queues_inside(memory, details->tx_queues, details->tx_queues_num);
}

static void expect_guard(const char *memory, size_t from)
{
    for (size_t i = from; i < ROOM; i++) {
        if ((uint8_t)memory[i] != GUARD)
            ck_abort_msg("byte %zu was written, past %zu", i, from);
    }
}

/* How many parts of the details there are. */
static size_t parts(const memif_details_t *details)
{
    return (size_t)(details->if_name != NULL) + (details->inst_name != NULL) +
           (details->remote_if_name != NULL) + (details->remote_inst_name != NULL) +
           (details->secret != NULL) + (details->socket_filename != NULL) +
           (details->rx_queues_num > 0) + (details->tx_queues_num > 0);
}

/* From every length up to the one that suffices; returns the parts that fitted then. */
static size_t grow_until_all_fits(memif_conn_handle_t conn, size_t misalignment)
{
    _Alignas(16) static char memory[ROOM];
    size_t before = 0;

    for (size_t size = 0; size + misalignment < ROOM; size++) {
        memif_details_t details;

        memset(&details, GUARD, sizeof(details));
        memset(memory, GUARD, sizeof(memory));
        char *start = memory + misalignment;
        int err = memif_get_details(conn, &details, start, (ssize_t)size);
        expect_guard(memory, misalignment + size);
        expect_all_inside(&(struct memory){.start = start, .size = size}, &details);
        ck_assert_uint_ge(parts(&details), before);
        ck_assert_uint_eq(details.id, 0xfedcba98);
        before = parts(&details);
        if (err == MEMIF_ERR_SUCCESS)
            return before;
        ck_assert_int_eq(err, MEMIF_ERR_NOBUF_DET);
    }
    ck_abort_msg("%d bytes do not suffice", ROOM);
    return 0;
}

MEMIF_TEST_LOOP(a_buffer_that_is_too_small_holds_what_fits, 0, 4)
{
    struct pair pair = {0};

    name_ends(&pair);
    pair_open(&pair, &distinct);
    ck_assert_uint_eq(grow_until_all_fits(pair.master.conn, (size_t)_i), 8);
    ck_assert_uint_eq(grow_until_all_fits(pair.slave.conn, (size_t)_i), 8);
    end_delete(&pair.slave);
    RUN_UNTIL(pair.master.disconnects == 1);
    ck_assert_uint_eq(grow_until_all_fits(pair.master.conn, (size_t)_i), 6);
    stop();
}

MEMIF_TEST(impossible_buffers_are_refused)
{
    struct pair pair = {0};
    memif_details_t details;
    char strings[ROOM];

    pair_open(&pair, &distinct);
    memif_conn_handle_t conn = pair.master.conn;
    ck_assert_int_eq(memif_get_details(conn, NULL, strings, ROOM), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_get_details(conn, &details, NULL, 1), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_get_details(conn, &details, strings, -1), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_get_details(conn, &details, NULL, 0), MEMIF_ERR_NOBUF_DET);
    ck_assert_int_eq(memif_get_details(NULL, &details, strings, ROOM), MEMIF_ERR_NOCONN);
    pair_close(&pair);
}

/* ---- inside callbacks ---- */

static void note_link(struct end *end)
{
    char strings[ROOM];
    memif_details_t details;
    int *link = end->context;

    *link = -1;
    if (memif_get_details(end->conn, &details, strings, sizeof(strings)) == MEMIF_ERR_SUCCESS)
        *link = details.link_up_down;
}

MEMIF_TEST_LOOP(on_connect_sees_the_link_up, 0, 2)
{
    struct pair pair = {0};
    struct end *end = _i == 0 ? &pair.master : &pair.slave;
    int link = -1;

    end->at_connect = note_link;
    end->context = &link;
    pair_open(&pair, &distinct);
    ck_assert_int_eq(link, 1);
    pair_close(&pair);
}

MEMIF_TEST(on_disconnect_of_a_lost_connection_sees_the_link_up)
{
    struct pair pair = {0};
    int link = -1;

    pair.master.at_disconnect = note_link;
    pair.master.context = &link;
    pair_open(&pair, &distinct);
    end_delete(&pair.slave);
    RUN_UNTIL(pair.master.disconnects == 1);
    ck_assert_int_eq(link, 1);
    stop();
}

/* The handle is good until the program was told, however the end came. */
MEMIF_TEST_LOOP(on_disconnect_of_a_deleted_interface_sees_the_link_up, 0, 2)
{
    struct pair pair = {0};
    int link = -1;

    pair.master.at_disconnect = note_link;
    pair.master.context = &link;
    pair_open(&pair, &distinct);
    if (_i == 0)
        end_delete(&pair.master);
    else
        ck_assert_int_eq(memif_cleanup(), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(link, 1);
    stop();
}

MEMIF_TEST_MAIN("details")
