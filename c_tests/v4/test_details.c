/* SPDX-License-Identifier: Apache-2.0 */

#include <unistd.h>

#include "burst_v4.h"
#include "harness.h"

enum { TEXT_SIZE = 4096 };

static void name_pair(struct pair *pair)
{
    memcpy(pair->master_control.args.app_name, "boss", 5);
    memcpy(pair->slave_control.args.app_name, "worker", 7);
    memcpy(pair->master.args.interface_name, "north", 6);
    memcpy(pair->slave.args.interface_name, "south", 6);
    memcpy(pair->master.args.secret, "psst", 5);
    memcpy(pair->slave.args.secret, "psst", 5);
    pair->master.args.interface_id = pair->slave.args.interface_id = 77;
    pair->master.args.mode = pair->slave.args.mode = MEMIF_INTERFACE_MODE_IP;
}

static void open_named(struct pair *pair)
{
    struct shape shape = {.version = 512,
                          .s2m_rings = 3,
                          .m2s_rings = 2,
                          .log2_ring_size = LOG2_EIGHT,
                          .buffer_size = BUFFER};

    name_pair(pair);
    pair_open(pair, &shape);
}

/* ---- what they say ---- */

MEMIF_TEST_LOOP(details_describe_an_interface_that_is_not_connected, 0, 2)
{
    struct pair pair = {0};
    struct end *end = _i == 0 ? &pair.slave : &pair.master;
    struct control *control = _i == 0 ? &pair.slave_control : &pair.master_control;

    name_pair(&pair);
    end->args.is_master = (uint8_t)_i;
    control_must_open(control, "a.sock");
    end_must_create(end, control);
    memif_details_t details = details_of(end->conn);
    ck_assert_str_eq((char *)details.if_name, _i == 0 ? "south" : "north");
    ck_assert_str_eq((char *)details.inst_name, _i == 0 ? "worker" : "boss");
    ck_assert_str_eq((char *)details.remote_if_name, "");
    ck_assert_str_eq((char *)details.remote_inst_name, "");
    ck_assert_uint_eq(details.id, 77);
    ck_assert_str_eq((char *)details.secret, "psst");
    ck_assert_uint_eq(details.role, _i == 0 ? 1 : 0);
    ck_assert_uint_eq(details.mode, MEMIF_INTERFACE_MODE_IP);
    ck_assert_str_eq((char *)details.socket_path, control->path);
    ck_assert_uint_eq(details.regions_num, 0);
    ck_assert_uint_eq(details.rx_queues_num, 0);
    ck_assert_uint_eq(details.tx_queues_num, 0);
    ck_assert_uint_eq(details.link_up_down, 0);
    end_delete(end);
    control_close(control);
}

MEMIF_TEST_LOOP(details_of_an_interface_without_a_secret_have_none, 0, 2)
{
    struct pair pair = {0};
    struct end *end = _i == 0 ? &pair.slave : &pair.master;

    end->args.is_master = (uint8_t)_i;
    control_must_open(&pair.slave_control, "a.sock");
    end_must_create(end, &pair.slave_control);
    memif_details_t details = details_of(end->conn);
    ck_assert_ptr_null(details.secret);
    ck_assert_str_eq((char *)details.if_name, "");
    ck_assert_str_eq((char *)details.remote_if_name, "");
    end_delete(end);
    control_close(&pair.slave_control);
}

/* A master fills the buffers of its peer, whatever it was configured for itself. */
MEMIF_TEST_LOOP(details_of_a_master_show_the_buffers_that_its_peer_posts, 0, VERSIONS)
{
    struct pair pair = {0};
    struct shape shape = {.version = version_of(_i),
                          .m2s_rings = 2,
                          .log2_ring_size = LOG2_EIGHT,
                          .buffer_size = 2048,
                          .slave_buffer_size = 200};
    struct flow flow;

    pair_open(&pair, &shape);
    flow = flow_of(&pair, &shape, 2 + _i);
    for (uint32_t round = 0; round < 3; round++) {
        ck_assert_uint_eq(details_of(pair.master.conn).tx_queues[0].buffer_size, 200);
        ck_assert_uint_eq(details_of(pair.master.conn).tx_queues[1].buffer_size, 200);
        ck_assert_uint_eq(details_of(pair.master.conn).rx_queues[0].buffer_size, 2048);
        ck_assert_uint_eq(details_of(pair.slave.conn).tx_queues[0].buffer_size, 200);
        send_packets(flow.from, 0, (uint16_t)flow.capacity, 100, round); /* now none is posted */
        ck_assert_uint_eq(details_of(pair.master.conn).tx_queues[0].buffer_size, 200);
        expect_packets(flow.to, 0, (uint16_t)flow.capacity, 100, round);
    }
    pair_close(&pair);
}

static void expect_queues(const memif_queue_details_t *queues, uint8_t count, uint8_t expected)
{
    ck_assert_uint_eq(count, expected);
    for (uint16_t qid = 0; qid < expected; qid++) {
        ck_assert_uint_eq(queues[qid].region, 0);
        ck_assert_uint_eq(queues[qid].qid, qid);
        ck_assert_uint_eq(queues[qid].ring_size, SLOTS);
        ck_assert_uint_eq(queues[qid].buffer_size, BUFFER);
        ck_assert_uint_eq(queues[qid].flags, 0);
    }
}

MEMIF_TEST_LOOP(details_describe_an_interface_that_is_connected, 0, 2)
{
    struct pair pair = {0};
    bool slave = _i == 0;

    open_named(&pair);
    memif_details_t details = details_of(slave ? pair.slave.conn : pair.master.conn);
    ck_assert_str_eq((char *)details.if_name, slave ? "south" : "north");
    ck_assert_str_eq((char *)details.inst_name, slave ? "worker" : "boss");
    ck_assert_str_eq((char *)details.remote_if_name, slave ? "north" : "south");
    ck_assert_str_eq((char *)details.remote_inst_name, slave ? "boss" : "worker");
    ck_assert_uint_eq(details.id, 77);
    ck_assert_str_eq((char *)details.secret, "psst");
    ck_assert_uint_eq(details.role, slave ? 1 : 0);
    ck_assert_uint_eq(details.mode, MEMIF_INTERFACE_MODE_IP);
    ck_assert_str_eq((char *)details.socket_path, pair.slave_control.path);
    ck_assert_str_eq((char *)details.error, "");
    ck_assert_uint_eq(details.link_up_down, 1);
    expect_queues(details.rx_queues, details.rx_queues_num, slave ? 2 : 3);
    expect_queues(details.tx_queues, details.tx_queues_num, slave ? 3 : 2);
    pair_close(&pair);
}

MEMIF_TEST(names_that_fill_their_fields_are_described_whole)
{
    struct pair pair = {0};
    static const char full[] = "0123456789abcdefghijklmnopqrstuvwxyz";

    memcpy(pair.master.args.interface_name, full, 32);
    memcpy(pair.slave.args.interface_name, full, 32);
    memcpy(pair.master.args.secret, full, 24);
    memcpy(pair.slave.args.secret, full, 24);
    pair_open(&pair, &(struct shape){.log2_ring_size = 2});
    memif_details_t details = details_of(pair.master.conn);
    ck_assert_int_eq(strncmp((char *)details.if_name, full, 32), 0);
    ck_assert_uint_eq(strlen((char *)details.if_name), 32);
    ck_assert_uint_eq(strlen((char *)details.secret), 24);
    ck_assert_int_eq(strncmp((char *)details.remote_if_name, full, 31), 0);
    pair_close(&pair);
}

static void expect_regions(memif_conn_handle_t conn, uint8_t count)
{
    memif_details_t details = details_of(conn);

    ck_assert_uint_eq(details.regions_num, count);
    for (uint8_t i = 0; i < count; i++) {
        ck_assert_uint_eq(details.regions[i].index, i);
        ck_assert_ptr_nonnull(details.regions[i].addr);
        ck_assert_uint_gt(details.regions[i].size, 0);
        ck_assert_uint_eq(details.regions[i].is_external, 0);
        /* The region is what the descriptor and the address say it is. */
        ck_assert_int_eq(lseek(details.regions[i].fd, 0, SEEK_END), details.regions[i].size);
        volatile uint8_t *bytes = details.regions[i].addr;
        (void)bytes[details.regions[i].size - 1];
    }
}

MEMIF_TEST_LOOP(details_describe_the_regions, 0, VERSIONS)
{
    struct pair pair = {0};
    struct shape shape = shape_of(_i);

    pair_open(&pair, &shape);
    /* Version 256 has rings and buffers in one. */
    expect_regions(pair.master.conn, version_of(_i) == 256 ? 1 : 2);
    expect_regions(pair.slave.conn, version_of(_i) == 256 ? 1 : 2);
    memif_details_t details = details_of(pair.slave.conn);
    const memif_region_details_t *last = &details.regions[details.regions_num - 1];
    expect_alloc(pair.slave.conn, 1, 0, MEMIF_ERR_SUCCESS, 1);
    ptrdiff_t at = (char *)buffers[0].data - (char *)last->addr;
    ck_assert_int_ge(at, 0);
    ck_assert_int_le(at, (ptrdiff_t)last->size - BUFFER);
    pair_close(&pair);
}

static void expect_indices(memif_conn_handle_t conn, bool is_tx, uint16_t head, uint16_t tail)
{
    memif_details_t details = details_of(conn);
    const memif_queue_details_t *queue = is_tx ? details.tx_queues : details.rx_queues;

    ck_assert_uint_eq(queue->head, head);
    ck_assert_uint_eq(queue->tail, tail);
}

MEMIF_TEST(details_show_how_far_a_queue_has_come)
{
    struct pair pair = {0};
    struct shape shape = shape_of(1);

    pair_open(&pair, &shape);
    expect_indices(pair.slave.conn, true, 0, 0);
    expect_indices(pair.slave.conn, false, SLOTS, 0);
    for (uint16_t i = 1; i <= 2 * SLOTS; i++) {
        send_packets(pair.slave.conn, 0, 1, BUFFER, i);
        expect_indices(pair.slave.conn, true, i, (uint16_t)(i - 1));
        expect_indices(pair.master.conn, false, i, (uint16_t)(i - 1));
        expect_packets(pair.master.conn, 0, 1, BUFFER, i);
        expect_indices(pair.master.conn, false, i, i);
        send_packets(pair.master.conn, 0, 1, BUFFER, i);
        expect_indices(pair.master.conn, true, (uint16_t)(SLOTS + i - 1), i);
        expect_packets(pair.slave.conn, 0, 1, BUFFER, i);
        expect_indices(pair.slave.conn, false, (uint16_t)(SLOTS + i), i);
    }
    pair_close(&pair);
}

MEMIF_TEST(details_show_which_queues_are_polled)
{
    struct pair pair = {0};
    static const memif_rx_mode_t modes[] = {MEMIF_RX_MODE_POLLING, MEMIF_RX_MODE_INTERRUPT};
    static const uint16_t flags[] = {MEMIF_QUEUE_FLAG_POLLING, 0};

    open_named(&pair);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(memif_set_rx_mode(pair.master.conn, modes[i], 1), MEMIF_ERR_SUCCESS);
        ck_assert_uint_eq(details_of(pair.master.conn).rx_queues[1].flags, flags[i]);
        ck_assert_uint_eq(details_of(pair.master.conn).rx_queues[0].flags, 0);
        ck_assert_uint_eq(details_of(pair.slave.conn).tx_queues[1].flags, flags[i]);
    }
    pair_close(&pair);
}

MEMIF_TEST(the_largest_number_of_queues_is_described)
{
    struct pair pair = {0};

    raise_fd_limit();
    pair_open(&pair, &(struct shape){.s2m_rings = 255, .m2s_rings = 255, .log2_ring_size = 1});
    memif_details_t details = details_of(pair.master.conn);
    ck_assert_uint_eq(details.rx_queues_num, 255);
    ck_assert_uint_eq(details.tx_queues_num, 255);
    ck_assert_uint_eq(details.tx_queues[254].qid, 254);
    pair_close(&pair);
}

/* ---- the error ---- */

static bool has_error(const struct end *end)
{
    return details_of(end->conn).error[0] != '\0';
}

MEMIF_TEST(the_error_says_why_a_connection_was_refused)
{
    struct pair pair = {0};

    name_pair(&pair);
    pair.master.args.is_master = 1;
    memcpy(pair.slave.args.secret, "wrong", 6);
    pair_open_sockets(&pair, &(struct shape){0});
    end_must_create(&pair.master, &pair.master_control);
    end_must_create(&pair.slave, &pair.slave_control);
    RUN_UNTIL(has_error(&pair.slave));
    ck_assert_ptr_nonnull(strstr((char *)details_of(pair.slave.conn).error, "secret"));
    ck_assert_uint_eq(details_of(pair.slave.conn).link_up_down, 0);
    pair_close(&pair);
}

MEMIF_TEST(the_error_says_why_nothing_could_be_reached)
{
    struct control control = {0};
    struct end end = {0};

    control_must_open(&control, "a.sock");
    end_must_create(&end, &control);
    ck_assert_str_ne((char *)details_of(end.conn).error, "");
    end_delete(&end);
    control_close(&control);
}

MEMIF_TEST(the_error_says_why_a_request_failed)
{
    struct pair pair = {0};

    pair_open(&pair, &(struct shape){.log2_ring_size = 2});
    end_delete(&pair.master);
    RUN_UNTIL(pair.slave.disconnects == 1);
    ck_assert_int_ne(memif_request_connection(pair.slave.conn), MEMIF_ERR_SUCCESS);
    ck_assert_str_eq((char *)details_of(pair.slave.conn).error,
                     "connect: No such file or directory");
    end_must_create(&pair.master, &pair.master_control);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(the_error_says_why_the_last_connection_ended, 0, 2)
{
    struct pair pair = {0};

    pair_open(&pair, &(struct shape){.log2_ring_size = 2});
    struct end *leaving = _i == 0 ? &pair.master : &pair.slave;
    struct end *staying = _i == 0 ? &pair.slave : &pair.master;
    end_delete(leaving);
    RUN_UNTIL(staying->disconnects == 1);
    ck_assert_str_ne((char *)details_of(staying->conn).error, "");
    end_must_create(leaving, _i == 0 ? &pair.master_control : &pair.slave_control);
    if (_i == 0)
        ck_assert_int_eq(memif_request_connection(pair.slave.conn), MEMIF_ERR_SUCCESS);
    RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    ck_assert_str_eq((char *)details_of(staying->conn).error, "");
    pair_close(&pair);
}

/* ---- the program's buffer ---- */

static bool lies_in(const void *pointer, const char *buffer, size_t size)
{
    return pointer == NULL ||
           ((const char *)pointer >= buffer && (const char *)pointer < buffer + size);
}

static void expect_all_inside(const memif_details_t *details, const char *buffer, size_t size)
{
    const void *const pointers[] = {details->if_name,        details->inst_name,
                                    details->remote_if_name, details->remote_inst_name,
                                    details->secret,         details->socket_path,
                                    details->error,          details->regions,
                                    details->rx_queues,      details->tx_queues};

    for (size_t i = 0; i < sizeof(pointers) / sizeof(*pointers); i++)
        ck_assert(lies_in(pointers[i], buffer, size));
    ck_assert(details->regions_num == 0 || details->regions != NULL);
    ck_assert(details->rx_queues_num == 0 || details->rx_queues != NULL);
    ck_assert(details->tx_queues_num == 0 || details->tx_queues != NULL);
}

/* From the heap, so that sanitizers see the first byte too many; and the canary does without. */
static int details_in(memif_conn_handle_t conn, size_t size, memif_details_t *details)
{
    char *buffer = malloc(size + 1);

    ck_assert_ptr_nonnull(buffer);
    buffer[size] = 'c';
    memset(details, 0xff, sizeof(*details));
    int err = memif_get_details(conn, details, buffer, (ssize_t)size);
    ck_assert_int_eq(buffer[size], 'c');
    expect_all_inside(details, buffer, size);
    free(buffer);
    return err;
}

MEMIF_TEST_LOOP(a_buffer_that_is_too_small_is_filled_and_no_further, 0, 2)
{
    struct pair pair = {0};
    memif_details_t details;
    size_t needed = 0;

    open_named(&pair);
    memif_conn_handle_t conn = _i == 0 ? pair.slave.conn : pair.master.conn;
    while (details_in(conn, needed, &details) == MEMIF_ERR_NOBUF_DET) {
        ck_assert_uint_eq(details.id, 77);
        ck_assert_uint_eq(details.link_up_down, 1);
        needed++;
        ck_assert_uint_lt(needed, TEXT_SIZE);
    }
    ck_assert_uint_gt(needed, 5 * sizeof(memif_queue_details_t));
    for (size_t size = needed; size < needed + 64; size++)
        ck_assert_int_eq(details_in(conn, size, &details), MEMIF_ERR_SUCCESS);
    pair_close(&pair);
}

MEMIF_TEST(arrays_are_aligned_wherever_the_buffer_begins)
{
    struct pair pair = {0};
    char text[TEXT_SIZE];
    memif_details_t details;

    open_named(&pair);
    for (size_t shift = 0; shift < 16; shift++) {
        ck_assert_int_eq(memif_get_details(pair.master.conn, &details, text + shift,
                                           (ssize_t)(TEXT_SIZE - shift)),
                         MEMIF_ERR_SUCCESS);
        ck_assert_uint_eq((uintptr_t)details.regions % _Alignof(memif_region_details_t), 0);
        ck_assert_uint_eq((uintptr_t)details.rx_queues % _Alignof(memif_queue_details_t), 0);
        ck_assert_uint_eq((uintptr_t)details.tx_queues % _Alignof(memif_queue_details_t), 0);
    }
    pair_close(&pair);
}

MEMIF_TEST(a_buffer_that_cannot_be_is_refused)
{
    struct pair pair = {0};
    char text[TEXT_SIZE];
    memif_details_t details;

    open_named(&pair);
    ck_assert_int_eq(memif_get_details(pair.master.conn, NULL, text, TEXT_SIZE),
                     MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_get_details(pair.master.conn, &details, NULL, 1), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_get_details(pair.master.conn, &details, text, -1), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_get_details(pair.master.conn, &details, NULL, 0), MEMIF_ERR_NOBUF_DET);
    pair_close(&pair);
}

/* ---- from callbacks ---- */

struct seen {
    int err;
    uint8_t link_up_down;
};

static void note_link(struct end *end)
{
    char text[TEXT_SIZE];
    memif_details_t details;
    struct seen *seen = end->context;

    seen->err = memif_get_details(end->conn, &details, text, sizeof(text));
    seen->link_up_down = details.link_up_down;
}

MEMIF_TEST(callbacks_may_ask_for_details)
{
    struct seen up = {.err = -1}, down = {.err = -1};
    struct pair pair = {0};

    name_pair(&pair);
    pair.master.at_connect = pair.slave.at_disconnect = note_link;
    pair.master.context = &up;
    pair.slave.context = &down;
    pair_open(&pair, &(struct shape){.log2_ring_size = 2});
    ck_assert_int_eq(up.err, MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(up.link_up_down, 1);
    end_delete(&pair.master);
    RUN_UNTIL(pair.slave.disconnects == 1);
    ck_assert_int_eq(down.err, MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(down.link_up_down, 1);
    memif_details_t after = details_of(pair.slave.conn);
    ck_assert_uint_eq(after.link_up_down, 0);
    ck_assert_str_eq((char *)after.remote_if_name, "north");
    ck_assert_str_eq((char *)after.remote_inst_name, "boss");
    end_must_create(&pair.master, &pair.master_control);
    pair_close(&pair);
}

MEMIF_TEST_MAIN("4.0 details")
