/* SPDX-License-Identifier: Apache-2.0 */

#include "burst4.h"
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

MEMIF_TEST_LOOP(a_packet_longer_than_the_ring_is_not_reserved, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    uint16_t all = (uint16_t)flow.capacity;

    expect_alloc(flow.from, 1, (uint16_t)(all * BUFFER + 1), MEMIF_ERR_NOBUF_RING, 0);
    expect_alloc(flow.from, 1, UINT16_MAX, MEMIF_ERR_NOBUF_RING, 0);
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

/* The program sized its array by its own buffer size; a slave's headroom makes buffers smaller. */
MEMIF_TEST(alloc_never_gives_more_entries_than_the_buffer_size_says)
{
    struct pair pair = {0};

    open_unfilled(&pair);
    expect_refill(pair.slave.conn, UINT16_MAX, BUFFER / 2, MEMIF_ERR_SUCCESS);
    for (uint16_t size = 1; size <= SLOTS * BUFFER; size++) {
        uint16_t needed = (uint16_t)((size + BUFFER / 2 - 1) / (BUFFER / 2));
        uint16_t allowed = (uint16_t)((size + BUFFER - 1) / BUFFER);
        bool fits = needed <= allowed && needed <= SLOTS;
        expect_alloc(pair.master.conn, 1, size, fits ? MEMIF_ERR_SUCCESS : MEMIF_ERR_NOBUF_RING,
                     fits ? needed : 0);
        if (fits)
            ck_assert_int_eq(memif_set_next_free_buffer(pair.master.conn, 0, buffers),
                             MEMIF_ERR_SUCCESS);
    }
    pair_close(&pair);
}

MEMIF_TEST_MAIN("4.0 chain")
