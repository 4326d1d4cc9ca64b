/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The tests of memif_ext.h. They are the same for both interfaces: test_ext.c of each includes its
 * pair_v1.h or pair_v4.h, and this by way of ext_room_tests.h.
 */

#ifndef MEMIF_C_TESTS_EXT_TESTS_H
#define MEMIF_C_TESTS_EXT_TESTS_H

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"

enum { SMALL_RING = 3, SMALL_BURST = 8, GUARD_BYTE = 0xA5 };

static int counters_of(memif_conn_handle_t conn, memif_ext_direction_t direction, uint16_t qid,
                       memif_ext_counters_t *counters)
{
    return memif_ext_get_counters(conn, direction, qid, counters, sizeof(*counters));
}

static memif_ext_counters_t must_count(memif_conn_handle_t conn, memif_ext_direction_t direction)
{
    memif_ext_counters_t counters;

    ck_assert_int_eq(counters_of(conn, direction, 0, &counters), MEMIF_ERR_SUCCESS);
    return counters;
}

static memif_ext_ring_t ring_of(memif_conn_handle_t conn, memif_ext_direction_t direction)
{
    memif_ext_ring_t ring;

    ck_assert_int_eq(memif_ext_get_ring(conn, direction, 0, &ring, sizeof(ring)),
                     MEMIF_ERR_SUCCESS);
    return ring;
}

static struct shape small_shape(int way)
{
    return (struct shape){
        .version = version_of(way), .log2_ring_size = SMALL_RING, .buffer_size = 128};
}

static const char *last_error_of(memif_conn_handle_t conn)
{
    static char text[256];

    ck_assert_int_eq(memif_ext_get_last_error(conn, text, sizeof(text)), MEMIF_ERR_SUCCESS);
    return text;
}

/* ---- the library ---- */

MEMIF_TEST(the_library_says_what_it_is)
{
    memif_ext_library_t library;

    ck_assert_int_eq(memif_ext_get_library(&library, sizeof(library)), MEMIF_ERR_SUCCESS);
    ck_assert_str_eq(library.interface, INTERFACE);
    ck_assert_ptr_nonnull(strchr(library.version, '.'));
    ck_assert_uint_eq(library.protocol_min, 256);
    ck_assert_uint_eq(library.protocol_max, 512);
    ck_assert(strcmp(library.vectors, "avx2") == 0 || strcmp(library.vectors, "none") == 0);
    ck_assert_int_eq(memif_ext_get_library(NULL, sizeof(library)), MEMIF_ERR_INVAL_ARG);
}

MEMIF_TEST(a_program_may_have_another_size_of_a_structure)
{
    struct {
        memif_ext_library_t known;
        uint64_t later;
        uint64_t guard;
    } room;

    memset(&room, GUARD_BYTE, sizeof(room));
    ck_assert_int_eq(memif_ext_get_library(&room.known, offsetof(memif_ext_library_t, vectors)),
                     MEMIF_ERR_SUCCESS);
    ck_assert_str_eq(room.known.interface, INTERFACE);
    ck_assert_uint_eq(((uint8_t *)&room.known.vectors)[0], GUARD_BYTE);
    ck_assert_int_eq(memif_ext_get_library(&room.known, sizeof(room.known) + sizeof(room.later)),
                     MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(room.later, 0);
    ck_assert_uint_eq(room.guard, 0xA5A5A5A5A5A5A5A5);
}

/* ---- counters and rings ---- */

MEMIF_TEST_LOOP(counters_are_of_the_interface_not_of_the_connection, 0, WAYS)
{
    struct pair pair = {0};
    struct shape shape = small_shape(_i);

    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    for (uint32_t i = 0; i < 4; i++) {
        send_packets(flow.from, 0, 3, 100, i);
        expect_packets(flow.to, 0, 3, 100, i);
    }
    memif_ext_counters_t sent = must_count(flow.from, MEMIF_EXT_TX);
    memif_ext_counters_t received = must_count(flow.to, MEMIF_EXT_RX);
    ck_assert_uint_eq(sent.packets, 12);
    ck_assert_uint_eq(sent.bytes, 1200);
    ck_assert_uint_eq(sent.full, 0);
    ck_assert_uint_ge(sent.interrupts, 1);
    ck_assert_uint_le(sent.interrupts, 4);
    ck_assert_uint_eq(received.packets, 12);
    ck_assert_uint_eq(received.bytes, 1200);
    ck_assert_uint_eq(received.full, 0);
    ck_assert_uint_eq(received.interrupts, 0);
    ck_assert_uint_eq(must_count(flow.from, MEMIF_EXT_RX).packets, 0);
    struct end *leaving = flow.from == pair.slave.conn ? &pair.master : &pair.slave;
    struct end *staying = leaving == &pair.slave ? &pair.master : &pair.slave;
    end_delete(leaving);
    RUN_UNTIL(!end_is_up(staying));
    ck_assert_uint_eq(must_count(staying->conn, MEMIF_EXT_TX).packets, 12);
    leaving->conn = NULL;
    pair_close_rest(&pair, staying);
}

MEMIF_TEST_LOOP(a_full_ring_is_counted_and_shown, 0, WAYS)
{
    struct pair pair = {0};
    struct shape shape = small_shape(_i);
    static memif_buffer_t bufs[1 << SMALL_RING];
    uint16_t got;
    uint32_t room;

    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    uint16_t capacity = (uint16_t)flow.capacity;
    ck_assert_int_eq(memif_ext_get_room(flow.from, 0, &room), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(room, capacity);
    send_packets(flow.from, 0, capacity, 100, 1);
    memif_ext_ring_t ring = ring_of(flow.from, MEMIF_EXT_TX);
    ck_assert_uint_eq(ring.slots, 1 << SMALL_RING);
    ck_assert_uint_eq(ring.used, capacity);
    ck_assert_uint_eq(ring.packets, capacity);
    ck_assert_uint_eq(ring.entries, ENTRY_PER_SLOT ? capacity : 1);
    ck_assert_uint_eq(ring_of(flow.to, MEMIF_EXT_RX).used, capacity);
    ck_assert_int_eq(memif_ext_get_room(flow.from, 0, &room), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(room, 0);
    ck_assert_int_eq(memif_buffer_alloc(flow.from, 0, bufs, 1, &got, 100), MEMIF_ERR_NOBUF_RING);
    ck_assert_uint_eq(must_count(flow.from, MEMIF_EXT_TX).full, 1);
    expect_packets(flow.to, 0, capacity, 100, 1);
    ck_assert_uint_eq(ring_of(flow.from, MEMIF_EXT_TX).used, 0);
    ck_assert_int_eq(memif_ext_get_room(flow.from, 0, &room), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(room, capacity);
    pair_close(&pair);
}

MEMIF_TEST(what_does_not_exist_has_an_error_and_leaves_the_answer)
{
    struct pair pair = {0};
    struct shape shape = small_shape(0);
    memif_ext_counters_t counters;
    memif_ext_ring_t ring;
    memif_ext_peer_t peer;
    uint32_t room;
    char text[8];

    pair_open(&pair, &shape);
    memif_conn_handle_t conn = pair.slave.conn, none = (memif_conn_handle_t)&pair;
    memif_ext_direction_t neither = (memif_ext_direction_t)2;
    ck_assert_int_eq(counters_of(none, MEMIF_EXT_RX, 0, &counters), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(counters_of(NULL, MEMIF_EXT_RX, 0, &counters), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(counters_of(conn, neither, 0, &counters), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(counters_of(conn, MEMIF_EXT_RX, 0, NULL), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(counters_of(conn, MEMIF_EXT_RX, 256, &counters), MEMIF_ERR_QID);
    ck_assert_int_eq(counters_of(conn, MEMIF_EXT_RX, 255, &counters), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(counters.packets, 0);
    ck_assert_int_eq(memif_ext_get_ring(none, MEMIF_EXT_RX, 0, &ring, sizeof(ring)),
                     MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_ext_get_ring(conn, MEMIF_EXT_RX, 1, &ring, sizeof(ring)), MEMIF_ERR_QID);
    ck_assert_int_eq(memif_ext_get_ring(conn, neither, 0, &ring, sizeof(ring)),
                     MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_ext_get_ring(conn, MEMIF_EXT_RX, 0, NULL, sizeof(ring)),
                     MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_ext_get_peer(none, &peer, sizeof(peer)), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_ext_get_peer(conn, NULL, sizeof(peer)), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_ext_get_last_error(none, text, sizeof(text)), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_ext_get_last_error(conn, NULL, sizeof(text)), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_ext_get_last_error(conn, text, 0), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_ext_get_room(none, 0, &room), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_ext_get_room(conn, 0, NULL), MEMIF_ERR_INVAL_ARG);
    ck_assert_int_eq(memif_ext_get_room(conn, 1, &room), MEMIF_ERR_QID);
    ck_assert_int_eq(memif_ext_wait_room(none, 0, 1, 0), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_ext_wait_room(conn, 9, 1, 0), MEMIF_ERR_QID);
    end_delete(&pair.master);
    RUN_UNTIL(!end_is_up(&pair.slave));
    ck_assert_int_eq(memif_ext_get_ring(conn, MEMIF_EXT_RX, 0, &ring, sizeof(ring)),
                     MEMIF_ERR_DISCONNECTED);
    ck_assert_int_eq(memif_ext_get_room(conn, 0, &room), MEMIF_ERR_DISCONNECTED);
    ck_assert_int_eq(memif_ext_wait_room(conn, 0, 1, -1), MEMIF_ERR_DISCONNECTED);
    pair_close_rest(&pair, &pair.slave);
}

/* ---- the peer and the reason ---- */

MEMIF_TEST(the_peer_is_known_while_it_is_connected)
{
    struct pair pair = {0};
    struct shape shape = small_shape(0);
    memif_ext_peer_t peer;

    pair_open(&pair, &shape);
    ck_assert_int_eq(memif_ext_get_peer(pair.slave.conn, &peer, sizeof(peer)), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(peer.pid, getpid());
    ck_assert_uint_eq(peer.uid, geteuid());
    ck_assert_uint_eq(peer.gid, getegid());
    ck_assert_str_eq(last_error_of(pair.slave.conn), "");
    end_delete(&pair.master);
    RUN_UNTIL(!end_is_up(&pair.slave));
    ck_assert_int_eq(memif_ext_get_peer(pair.slave.conn, &peer, sizeof(peer)),
                     MEMIF_ERR_DISCONNECTED);
    pair_close_rest(&pair, &pair.slave);
}

MEMIF_TEST(the_reason_of_an_end_can_be_read_whole_or_in_part)
{
    struct pair pair = {0};
    struct shape shape = small_shape(0);
    char part[6];

    pair_open(&pair, &shape);
    end_delete(&pair.master);
    RUN_UNTIL(!end_is_up(&pair.slave));
    ck_assert_ptr_nonnull(strstr(last_error_of(pair.slave.conn), "disconnected by the peer"));
    ck_assert_int_eq(memif_ext_get_last_error(pair.slave.conn, part, sizeof(part)),
                     MEMIF_ERR_NOBUF_DET);
    ck_assert_str_eq(part, "disco");
    pair_close_rest(&pair, &pair.slave);
}

MEMIF_TEST_LOOP(packets_that_are_refused_are_counted_over_all_links, 0, WAYS)
{
    struct pair pair = {0};
    struct shape shape = small_shape(_i);
    memif_buffer_t bufs[3];
    uint16_t count = 0;

    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    ck_assert_int_eq(memif_buffer_alloc(flow.from, 0, bufs, 3, &count, 64), MEMIF_ERR_SUCCESS);
    bufs[1].desc_index++;
    ck_assert_int_eq(memif_tx_burst(flow.from, 0, bufs, 3, &count), MEMIF_ERR_INVAL_ARG);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(must_count(flow.from, MEMIF_EXT_TX).refused, 1);
    ck_assert_uint_eq(must_count(flow.from, MEMIF_EXT_TX).packets, 1);
    bufs[1].desc_index--;
    ck_assert_int_eq(memif_tx_burst(flow.from, 0, bufs + 1, 2, &count), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(count, 2);
    struct end *leaving = flow.from == pair.slave.conn ? &pair.master : &pair.slave;
    struct end *staying = leaving == &pair.slave ? &pair.master : &pair.slave;
    end_delete(leaving);
    RUN_UNTIL(!end_is_up(staying));
    ck_assert_uint_eq(must_count(flow.from, MEMIF_EXT_TX).refused, 1);
    ck_assert_uint_eq(must_count(flow.from, MEMIF_EXT_TX).packets, 3);
    pair_close_rest(&pair, staying);
}

/* ---- options ---- */

struct asked {
    int answer;
    unsigned times;
    memif_ext_peer_t peer;
};
static struct asked asked;

static int note_peer(const memif_ext_peer_t *peer, void *private_ctx)
{
    const struct end *end = private_ctx;

    asked.times += end->context == &asked;
    asked.peer = *peer;
    return asked.answer;
}

MEMIF_TEST_LOOP(a_program_is_asked_about_peers, 0, 2)
{
    static const memif_ext_options_t options = {.allow = note_peer};
    struct pair pair = {.master = {.options = &options, .context = &asked}};
    struct shape shape = small_shape(0);

    asked = (struct asked){.answer = _i};
    if (_i == 1) {
        pair_open(&pair, &shape);
        ck_assert_uint_eq(asked.times, 1);
        ck_assert_int_eq(asked.peer.pid, getpid());
        pair_close(&pair);
        return;
    }
    pair_begin(&pair, &shape);
    RUN_UNTIL(*last_error_of(pair.slave.conn) != '\0');
    ck_assert_uint_ge(asked.times, 1);
    ck_assert_uint_eq(pair.master.connects, 0);
    pair_close(&pair);
}

/* Only root can give a file away. */
MEMIF_TEST(the_socket_file_has_the_mode_and_the_owner_that_were_asked_for)
{
    static const memif_ext_options_t options = {
        .set = MEMIF_EXT_SET_SOCKET_MODE | MEMIF_EXT_SET_MAX_PACKET | MEMIF_EXT_SET_UNSEALED |
               MEMIF_EXT_SET_TIMEOUT_MS | MEMIF_EXT_SET_SOCKET_UID | MEMIF_EXT_SET_SOCKET_GID,
        .socket_mode = 0640,
        .max_packet = 9000,
        .unsealed = MEMIF_EXT_UNSEALED_NEVER,
        .timeout_ms = 60000};
    memif_ext_options_t own = options;
    struct pair pair = {.master = {.options = &own}};
    struct shape shape = small_shape(0);
    char path[PATH_SIZE];
    struct stat status;

    own.socket_uid = geteuid() == 0 ? 12345 : geteuid();
    own.socket_gid = geteuid() == 0 ? 12346 : getegid();
    pair_open(&pair, &shape);
    path_in_folder(path, "pair.sock");
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0640);
    ck_assert_uint_eq(status.st_uid, own.socket_uid);
    ck_assert_uint_eq(status.st_gid, own.socket_gid);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_packet_may_be_as_long_as_it_was_told_and_no_longer, 0, WAYS)
{
    static const memif_ext_options_t options = {.set = MEMIF_EXT_SET_MAX_PACKET, .max_packet = 128};
    struct pair pair = {.master = {.options = &options}, .slave = {.options = &options}};
    struct shape shape = small_shape(_i);
    memif_buffer_t bufs[SMALL_BURST];
    uint16_t count;

    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    struct end *end = flow.to == pair.slave.conn ? &pair.slave : &pair.master;
    send_packets(flow.from, 0, 1, 128, 1);
    expect_packets(flow.to, 0, 1, 128, 1);
    send_packets(flow.from, 0, 1, 129, 2);
    ck_assert_int_ne(memif_rx_burst(flow.to, 0, bufs, SMALL_BURST, &count), MEMIF_ERR_SUCCESS);
    RUN_UNTIL(end->disconnects > 0);
    ck_assert_uint_eq(count, 0);
    ck_assert_ptr_nonnull(strstr(last_error_of(flow.to), "129"));
    pair_close(&pair);
}

/* Who connects and says nothing is let go, long before the usual ten seconds. */
MEMIF_TEST(a_handshake_may_take_as_long_as_it_was_told)
{
    static const memif_ext_options_t options = {.set = MEMIF_EXT_SET_TIMEOUT_MS, .timeout_ms = 1};
    struct end end = {.options = &options, .args.is_master = 1};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[PATH_SIZE], bytes[256];
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    ck_assert_int_eq(create_alone(&end), MEMIF_ERR_SUCCESS);
    path_in_folder(path, "alone.sock");
    ck_assert_uint_lt(strlen(path), sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path));
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    RUN_UNTIL(recv(fd, bytes, sizeof(bytes), 0) == 0);
    ck_assert_int_eq(close(fd), 0);
    end_delete(&end);
    close_alone();
}

MEMIF_TEST_LOOP(options_that_cannot_be_used_make_no_interface, 0, 7)
{
    static const memif_ext_options_t bad[] = {
        {.set = 0x80000000},
        {.set = MEMIF_EXT_SET_UNSEALED, .unsealed = 3},
        {.set = MEMIF_EXT_SET_MAX_PACKET, .max_packet = 0},
        {.set = MEMIF_EXT_SET_TIMEOUT_MS, .timeout_ms = 0},
        {.set = MEMIF_EXT_SET_RETRY_MS, .retry_ms = 0},
        {.set = MEMIF_EXT_SET_SOCKET_MODE, .socket_mode = 01777},
        {.set = MEMIF_EXT_SET_SOCKET_MODE, .socket_mode = 0600}, /* of a slave */
    };
    struct end end = {.options = &bad[_i], .args.is_master = _i != 6};

    ck_assert_int_eq(create_alone(&end), MEMIF_ERR_INVAL_ARG);
    ck_assert_ptr_null(end.conn);
    ck_assert_uint_eq(files_in_folder(), 0);
    close_alone();
}

/* A hundred times within the deadline, which is far shorter than a hundred usual intervals. */
MEMIF_TEST(a_slave_tries_again_as_often_as_it_was_told)
{
    static const memif_ext_options_t often = {.set = MEMIF_EXT_SET_RETRY_MS, .retry_ms = 1};
    static const memif_ext_options_t refusing = {.allow = note_peer};
    struct pair pair = {.slave = {.options = &often},
                        .master = {.options = &refusing, .context = &asked}};
    struct shape shape = small_shape(0);

    asked = (struct asked){.answer = 0};
    pair_begin(&pair, &shape);
    RUN_UNTIL(asked.times >= 100);
    pair_close(&pair);
}

#endif
