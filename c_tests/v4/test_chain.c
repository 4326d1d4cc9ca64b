/* SPDX-License-Identifier: Apache-2.0 */

#include "burst_v4.h"
#include "harness.h"

MEMIF_TEST_LOOP(alloc_splits_a_packet_into_flagged_entries, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    expect_alloc(flow.from, 2, 2 * BUFFER + 22, MEMIF_ERR_SUCCESS, 6);
    for (uint16_t i = 0; i < 6; i++) {
        ck_assert_uint_eq(buffers[i].desc_index, i);
        ck_assert_uint_eq(buffers[i].len, i % 3 == 2 ? 22 : BUFFER);
        ck_assert_uint_eq(buffers[i].flags, i % 3 == 2 ? 0 : MEMIF_BUFFER_FLAG_NEXT);
    }
    pair_close(&pair);
}

MEMIF_TEST_LOOP(packets_of_every_number_of_buffers_arrive, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    /* Each begins in another slot than the last, so they also cross the end of the ring. */
    for (uint32_t length = 1; length <= flow.capacity * BUFFER; length += 7) {
        send_packets(flow.from, 0, 1, length, length);
        expect_packets(flow.to, 0, 1, length, length);
    }
    send_packets(flow.from, 0, 1, flow.capacity * BUFFER, 1);
    expect_packets(flow.to, 0, 1, flow.capacity * BUFFER, 1);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(the_longest_packet_arrives, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, 11);

    for (uint32_t i = 0; i < 3; i++) {
        send_packets(flow.from, 0, 1, UINT16_MAX, i);
        expect_packets(flow.to, 0, 1, UINT16_MAX, i);
    }
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_packet_that_does_not_fit_is_not_reserved_in_part, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    uint16_t rest = (uint16_t)(flow.capacity - 6);

    expect_alloc(flow.from, 3, 3 * BUFFER, MEMIF_ERR_NOBUF_RING, 6);
    ck_assert_uint_eq(buffers[5].flags, 0);
    fill_packet(buffers, 3, 3 * BUFFER, 1);
    fill_packet(buffers + 3, 3, 3 * BUFFER, 2);
    memcpy(others, buffers, sizeof(*others) * 6);
    expect_alloc(flow.from, 1, 3 * BUFFER, MEMIF_ERR_NOBUF_RING, 0);
    expect_alloc(flow.from, rest, BUFFER, MEMIF_ERR_SUCCESS, rest);
    expect_tx(flow.from, others, 6, MEMIF_ERR_SUCCESS, 6);
    expect_packets(flow.to, 0, 2, 3 * BUFFER, 1);
    pair_close(&pair);
}

/* Not for want of room: waiting for it would be in vain. */
MEMIF_TEST_LOOP(a_packet_longer_than_the_ring_is_not_reserved, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    uint16_t all = (uint16_t)flow.capacity;

    expect_alloc(flow.from, 1, (uint16_t)(all * BUFFER + 1), MEMIF_ERR_INVAL_ARG, 0);
    expect_alloc(flow.from, 1, UINT16_MAX, MEMIF_ERR_INVAL_ARG, 0);
    expect_alloc(flow.from, 2, (uint16_t)(all * BUFFER), MEMIF_ERR_NOBUF_RING, all);
    expect_alloc(flow.from, 1, (uint16_t)(all * BUFFER + 1), MEMIF_ERR_INVAL_ARG, 0);
    ck_assert_int_eq(memif_set_next_free_buffer(flow.from, 0, buffers), MEMIF_ERR_SUCCESS);
    expect_alloc(flow.from, 1, (uint16_t)(all * BUFFER), MEMIF_ERR_SUCCESS, all);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_chain_that_is_cut_is_not_sent_and_stays_reserved, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    (void)reserve_packets(flow.from, 0, buffers, 2, 3 * BUFFER, 1);
    expect_tx(flow.from, buffers, 2, MEMIF_ERR_SUCCESS, 0);
    expect_nothing(flow.to, 0);
    expect_tx(flow.from, buffers, 5, MEMIF_ERR_SUCCESS, 3);
    expect_packets(flow.to, 0, 1, 3 * BUFFER, 1);
    expect_tx(flow.from, buffers + 3, 3, MEMIF_ERR_SUCCESS, 3);
    expect_packets(flow.to, 0, 1, 3 * BUFFER, 2);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(an_error_inside_a_chain_sends_none_of_it, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    (void)reserve_packets(flow.from, 0, buffers, 2, 3 * BUFFER, 1);
    memif_buffer_t good = buffers[4];
    buffers[4].len = BUFFER + 1;
    expect_tx(flow.from, buffers, 6, MEMIF_ERR_INVAL_ARG, 3);
    expect_packets(flow.to, 0, 1, 3 * BUFFER, 1);
    buffers[4] = good;
    expect_tx(flow.from, buffers + 3, 3, MEMIF_ERR_SUCCESS, 3);
    expect_packets(flow.to, 0, 1, 3 * BUFFER, 2);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(single_buffers_may_be_sent_as_one_packet, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    expect_alloc(flow.from, 3, 0, MEMIF_ERR_SUCCESS, 3);
    buffers[0].flags = buffers[1].flags = MEMIF_BUFFER_FLAG_NEXT;
    fill_packet(buffers, 3, 3 * BUFFER, 1);
    expect_tx(flow.from, buffers, 3, MEMIF_ERR_SUCCESS, 3);
    expect_packets(flow.to, 0, 1, 3 * BUFFER, 1);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_burst_ends_before_a_packet_that_does_not_fit, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    send_packets(flow.from, 0, 2, BUFFER, 1);
    send_packets(flow.from, 0, 1, 3 * BUFFER, 3);
    expect_rx(flow.to, others, 4, MEMIF_ERR_NOBUF, 2);
    expect_rx(flow.to, others, 4, MEMIF_ERR_SUCCESS, 3);
    ck_assert(is_packet(others, 3, 3 * BUFFER, 3));
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_packet_longer_than_the_burst_is_received_in_pieces, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    send_packets(flow.from, 0, 1, 5 * BUFFER, 1);
    expect_rx(flow.to, others, 2, MEMIF_ERR_NOBUF, 2);
    expect_rx(flow.to, others + 2, 2, MEMIF_ERR_NOBUF, 2);
    expect_rx(flow.to, others + 4, 2, MEMIF_ERR_SUCCESS, 1);
    ck_assert(is_packet(others, 5, 5 * BUFFER, 1));
    expect_refill(flow.to, 5, 0, MEMIF_ERR_SUCCESS);
    send_packets(flow.from, 0, 1, flow.capacity * BUFFER, 2);
    expect_packets(flow.to, 0, 1, flow.capacity * BUFFER, 2);
    pair_close(&pair);
}

/* ---- a peer with smaller buffers ---- */

enum { OWN = 2048, PACKETS = 50, CANARIES = 8, CANARY = 0xA5 };

static const uint16_t peer_sizes[] = {200, 128, 1024, 1500, 2047};
enum { PEER_SIZES = sizeof(peer_sizes) / sizeof(*peer_sizes) };
static const uint16_t packet_lengths[] = {64,   128,  129,  199,  200,  201,  1000, 1024,
                                          1400, 2000, 2048, 2049, 4000, 4097, 9000};
enum { LENGTHS = sizeof(packet_lengths) / sizeof(*packet_lengths) };

static void open_small(struct pair *pair, int version, uint8_t log2_ring_size, uint16_t peer_size)
{
    const struct shape shape = {.version = version,
                                .log2_ring_size = log2_ring_size,
                                .buffer_size = OWN,
                                .slave_buffer_size = peer_size};

    pair_open(pair, &shape);
}

/* The array that a program brings which knows its own buffer size and no other. */
struct array {
    memif_buffer_t *bufs;
    uint16_t room;
};

static struct array array_for(uint16_t packets, uint16_t length)
{
    uint16_t room = (uint16_t)(packets * ((length + OWN - 1) / OWN));
    struct array array = {.bufs = malloc((room + CANARIES) * sizeof(memif_buffer_t)), .room = room};

    ck_assert_ptr_nonnull(array.bufs);
    memset(array.bufs, CANARY, (room + CANARIES) * sizeof(memif_buffer_t));
    return array;
}

static void free_array(struct array *array)
{
    const uint8_t *end = (const uint8_t *)(array->bufs + array->room);

    for (size_t i = 0; i < CANARIES * sizeof(memif_buffer_t); i++)
        ck_assert_uint_eq(end[i], CANARY);
    free(array->bufs);
}

static void send_in_array(memif_conn_handle_t from, uint16_t packets, uint16_t length,
                          uint32_t first_seed)
{
    struct array array = array_for(packets, length);
    uint16_t entries = reserve_packets(from, 0, array.bufs, packets, length, first_seed);

    ck_assert_uint_le(entries, array.room);
    expect_tx(from, array.bufs, entries, MEMIF_ERR_SUCCESS, entries);
    free_array(&array);
}

MEMIF_TEST_LOOP(packets_of_every_length_reach_a_peer_with_smaller_buffers, 0,
                VERSIONS * PEER_SIZES * LENGTHS)
{
    struct pair pair = {0};
    uint16_t length = packet_lengths[_i / VERSIONS / PEER_SIZES];

    open_small(&pair, version_of(_i), 10, peer_sizes[_i / VERSIONS % PEER_SIZES]);
    for (uint32_t sent = 0; sent < PACKETS; sent += 5) {
        send_in_array(pair.master.conn, 5, length, sent);
        expect_packets(pair.slave.conn, 0, 5, length, sent);
    }
    pair_close(&pair);
}

MEMIF_TEST_LOOP(the_longest_packet_reaches_a_peer_with_smaller_buffers, 0, VERSIONS *PEER_SIZES)
{
    struct pair pair = {0};

    open_small(&pair, version_of(_i), 10, peer_sizes[_i / VERSIONS]);
    for (uint32_t i = 0; i < 3; i++) {
        send_in_array(pair.master.conn, 1, UINT16_MAX, i);
        expect_packets(pair.slave.conn, 0, 1, UINT16_MAX, i);
    }
    pair_close(&pair);
}

/* Entries are as if the peer's buffers were of the interface's own size. */
MEMIF_TEST_LOOP(smaller_buffers_of_the_peer_do_not_show, 0, VERSIONS)
{
    struct pair pair = {0};

    open_small(&pair, version_of(_i), 10, 200);
    expect_alloc(pair.master.conn, 2, 5000, MEMIF_ERR_SUCCESS, 6);
    for (uint16_t i = 0; i < 6; i++) {
        ck_assert_uint_eq(buffers[i].len, i % 3 == 2 ? 5000 - 2 * OWN : OWN);
        ck_assert_uint_eq(buffers[i].flags, i % 3 == 2 ? 0 : MEMIF_BUFFER_FLAG_NEXT);
    }
    fill_packet(buffers, 3, 5000, 1);
    fill_packet(buffers + 3, 3, 5000, 2);
    expect_tx(pair.master.conn, buffers, 2, MEMIF_ERR_SUCCESS, 0); /* the chain is cut */
    expect_tx(pair.master.conn, buffers, 3, MEMIF_ERR_SUCCESS, 3);
    expect_tx(pair.master.conn, buffers + 3, 3, MEMIF_ERR_SUCCESS, 3);
    expect_packets(pair.slave.conn, 0, 2, 5000, 1);
    pair_close(&pair);
}

/* Every slot but that of an empty packet carries a byte. */
static void expect_full_slots(memif_conn_handle_t to, uint32_t length, uint32_t seed)
{
    uint16_t entries;

    ck_assert_int_eq(memif_rx_burst(to, 0, others, MOST_ENTRIES, &entries), MEMIF_ERR_SUCCESS);
    ck_assert(is_packet(others, entries, length, seed));
    for (uint16_t i = 0; i < entries; i++)
        ck_assert(others[i].len > 0 || entries == 1);
    expect_refill(to, entries, 0, MEMIF_ERR_SUCCESS);
}

MEMIF_TEST_LOOP(less_than_was_reserved_may_be_sent, 0, VERSIONS)
{
    struct pair pair = {0};

    open_small(&pair, version_of(_i), 6, 128);
    for (uint32_t length = 0; length <= 3000; length += length < 300 ? 1 : 61) {
        expect_alloc(pair.master.conn, 1, 3000, MEMIF_ERR_SUCCESS, 2);
        buffers[0].len = length / 2; /* less in the first, so that there is a hole between */
        buffers[1].len = length < 1500 ? length - length / 2 : 3000 - OWN;
        uint32_t sum = buffers[0].len + buffers[1].len;
        memcpy(buffers[0].data, pattern_of(length), buffers[0].len);
        memcpy(buffers[1].data, pattern_of(length) + buffers[0].len, buffers[1].len);
        expect_tx(pair.master.conn, buffers, 2, MEMIF_ERR_SUCCESS, 2);
        expect_full_slots(pair.slave.conn, sum, length);
    }
    send_packets(pair.master.conn, 0, 63, 128, 1);
    expect_packets(pair.slave.conn, 0, 63, 128, 1);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(what_stands_in_for_smaller_buffers_can_be_refused, 0, VERSIONS)
{
    struct pair pair = {0};

    open_small(&pair, version_of(_i), 8, 128);
    for (uint32_t round = 0; round < 100; round++) {
        (void)reserve_packets(pair.master.conn, 0, buffers, 3, 3000, round);
        memif_buffer_t good = buffers[3];
        if (round % 3 == 0)
            buffers[3].len = 3000 - OWN + 1;
        else if (round % 3 == 1)
            buffers[3].data = (char *)good.data + 1;
        else
            buffers[3].desc_index = buffers[2].desc_index;
        expect_tx(pair.master.conn, buffers, 6, MEMIF_ERR_INVAL_ARG, 2);
        if (round % 2 == 0)
            buffers[3] = good;
        uint16_t from = round % 2 == 0 ? 2 : 4;
        expect_tx(pair.master.conn, buffers + from, (uint16_t)(6 - from), MEMIF_ERR_SUCCESS,
                  (uint16_t)(6 - from));
        uint16_t entries;
        (void)memif_rx_burst(pair.slave.conn, 0, others, 24, &entries);
        ck_assert(is_packet(others, entries, 3000, round));
        expect_refill(pair.slave.conn, entries, 0, MEMIF_ERR_SUCCESS);
        expect_packets(pair.slave.conn, 0, round % 2 == 0 ? 2 : 1, 3000,
                       round + (round % 2 == 0 ? 1 : 2));
    }
    pair_close(&pair);
}

MEMIF_TEST_LOOP(what_stands_in_for_smaller_buffers_is_taken_back_whole, 0, VERSIONS)
{
    struct pair pair = {0};

    open_small(&pair, version_of(_i), 6, 128);
    for (uint32_t round = 0; round < 10; round++) {
        expect_alloc(pair.master.conn, 2, 3000, MEMIF_ERR_SUCCESS, 4);
        ck_assert_int_eq(memif_set_next_free_buffer(pair.master.conn, 0, &buffers[3]),
                         MEMIF_ERR_INVAL_ARG);
        ck_assert_int_eq(memif_set_next_free_buffer(pair.master.conn, 0, &buffers[2]),
                         MEMIF_ERR_SUCCESS);
        expect_tx(pair.master.conn, buffers + 2, 2, MEMIF_ERR_INVAL_ARG, 0);
        ck_assert_int_eq(memif_set_next_free_buffer(pair.master.conn, 0, &buffers[0]),
                         MEMIF_ERR_SUCCESS);
    }
    send_packets(pair.master.conn, 0, 2, 3000, 1);
    expect_packets(pair.slave.conn, 0, 2, 3000, 1);
    pair_close(&pair);
}

/* Nothing leaks: the builds with sanitizers look at that. */
MEMIF_TEST_LOOP(what_was_reserved_goes_with_the_connection, 0, VERSIONS * 2)
{
    struct pair pair = {0};

    open_small(&pair, version_of(_i), 6, 128);
    expect_alloc(pair.master.conn, 2, 3000, MEMIF_ERR_SUCCESS, 4);
    if (_i / VERSIONS == 1) {
        fill_packet(buffers, 2, 3000, 1);
        buffers[2].len = UINT16_MAX;
        expect_tx(pair.master.conn, buffers, 4, MEMIF_ERR_INVAL_ARG, 2);
    }
    pair_close(&pair);
}

/* An error that no program waits for to pass. */
MEMIF_TEST_LOOP(what_never_fits_a_peer_is_no_matter_of_room, 0, VERSIONS)
{
    struct pair pair = {0};

    open_small(&pair, version_of(_i), 4, 128);
    expect_alloc(pair.master.conn, 1, 16 * 128 + 1, MEMIF_ERR_INVAL_ARG, 0);
    send_packets(pair.master.conn, 0, 3, 64, 1); /* neither when the ring is not empty */
    expect_alloc(pair.master.conn, 1, 16 * 128 + 1, MEMIF_ERR_INVAL_ARG, 0);
    expect_alloc(pair.master.conn, 1, 13 * 128 + 1, MEMIF_ERR_NOBUF_RING, 0);
    expect_packets(pair.slave.conn, 0, 3, 64, 1);
    send_packets(pair.master.conn, 0, 1, 15 * 128, 1);
    expect_packets(pair.slave.conn, 0, 1, 15 * 128, 1);
    pair_close(&pair);
}

/* A slave's headroom makes its buffers smaller, and not all alike. */
MEMIF_TEST(alloc_never_gives_more_entries_than_the_buffer_size_says)
{
    struct pair pair = {0};

    open_unfilled(&pair);
    expect_refill(pair.slave.conn, 3, BUFFER / 2, MEMIF_ERR_SUCCESS);
    expect_refill(pair.slave.conn, UINT16_MAX, BUFFER / 4, MEMIF_ERR_SUCCESS);
    const uint16_t room = 3 * BUFFER / 2 + (SLOTS - 3) * BUFFER * 3 / 4;
    for (uint16_t size = 1; size <= SLOTS * BUFFER; size++) {
        uint16_t allowed = (uint16_t)((size + BUFFER - 1) / BUFFER), entries;
        memset(buffers, CANARY, sizeof(*buffers) * (SLOTS + 1u));
        int err = memif_buffer_alloc(pair.master.conn, 0, buffers, 1, &entries, size);
        ck_assert_int_eq(err, size <= room ? MEMIF_ERR_SUCCESS : MEMIF_ERR_INVAL_ARG);
        ck_assert_uint_le(entries, size <= room ? allowed : 0);
        ck_assert_uint_eq(buffers[allowed].len, CANARY * 0x01010101u);
        if (entries > 0)
            ck_assert_int_eq(memif_set_next_free_buffer(pair.master.conn, 0, buffers),
                             MEMIF_ERR_SUCCESS);
    }
    send_packets(pair.master.conn, 0, 1, room, 1);
    expect_packets(pair.slave.conn, 0, 1, room, 1);
    pair_close(&pair);
}

MEMIF_TEST_MAIN("4.0 chain")
