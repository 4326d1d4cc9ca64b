/* SPDX-License-Identifier: Apache-2.0 */

#include "burst_v4.h"
#include "harness.h"

/* ---- how many ---- */

MEMIF_TEST_LOOP(packets_of_every_length_arrive, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    for (uint32_t length = 0; length <= BUFFER; length++) {
        send_packets(flow.from, 0, 2, length, length);
        expect_packets(flow.to, 0, 2, length, length);
    }
    expect_nothing(flow.to, 0);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(bursts_of_every_size_up_to_the_ring_arrive, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, 9);

    for (uint16_t count = 1; count <= flow.capacity; count++) {
        send_packets(flow.from, 0, count, BUFFER, count);
        expect_packets(flow.to, 0, count, BUFFER, count);
    }
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_burst_of_nothing_does_nothing, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    uint16_t done = 1;

    expect_tx(flow.from, NULL, 0, MEMIF_ERR_SUCCESS, 0);
    expect_rx(flow.to, NULL, 0, MEMIF_ERR_SUCCESS, 0);
    expect_refill(flow.to, 0, 0, MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(memif_buffer_alloc(flow.from, 0, NULL, 0, &done, 0), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, 0);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(alloc_gives_what_is_free_when_more_was_wanted, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    expect_alloc(flow.from, 100, 0, MEMIF_ERR_NOBUF_RING, (uint16_t)flow.capacity);
    for (uint16_t i = 0; i < flow.capacity; i++)
        fill_packet(&buffers[i], 1, BUFFER, i);
    expect_tx(flow.from, buffers, (uint16_t)flow.capacity, MEMIF_ERR_SUCCESS,
              (uint16_t)flow.capacity);
    expect_alloc(flow.from, 1, 0, MEMIF_ERR_NOBUF_RING, 0);
    expect_packets(flow.to, 0, (uint16_t)flow.capacity, BUFFER, 0);
    pair_close(&pair);
}

/* ---- what an entry says ---- */

MEMIF_TEST_LOOP(a_reserved_entry_says_what_it_is, 0, WAYS)
{
    struct pair pair = {0};
    struct shape shape = shape_of(_i);
    uint16_t done;

    shape.s2m_rings = shape.m2s_rings = 2;
    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    memset(buffers, 0xff, sizeof(buffers[0]) * 4);
    expect_alloc(flow.from, 3, 0, MEMIF_ERR_SUCCESS, 3);
    for (uint16_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(buffers[i].desc_index, i);
        ck_assert_ptr_nonnull(buffers[i].queue);
        ck_assert_ptr_eq(buffers[i].queue, buffers[0].queue);
        ck_assert_uint_eq(buffers[i].len, BUFFER);
        ck_assert_uint_eq(buffers[i].flags, 0);
        ck_assert_ptr_nonnull(buffers[i].data);
    }
    ck_assert_uint_eq(buffers[3].flags, 0xff); /* beyond what was asked for */
    ck_assert_int_eq(memif_buffer_alloc(flow.from, 1, others, 1, &done, 10), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(others[0].len, 10);
    ck_assert_ptr_ne(others[0].queue, buffers[0].queue);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_received_entry_says_what_it_is, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    for (uint16_t length = 1; length <= 3; length++)
        send_packets(flow.from, 0, 1, length, length);
    memset(buffers, 0xff, sizeof(buffers[0]) * 4);
    expect_rx(flow.to, buffers, 4, MEMIF_ERR_SUCCESS, 3);
    for (uint16_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(buffers[i].desc_index, i);
        ck_assert_ptr_nonnull(buffers[i].queue);
        ck_assert_ptr_eq(buffers[i].queue, buffers[0].queue);
        ck_assert_uint_eq(buffers[i].len, i + 1u);
        ck_assert_uint_eq(buffers[i].flags, 0);
        ck_assert(is_packet(&buffers[i], 1, i + 1u, i + 1u));
    }
    ck_assert_uint_eq(buffers[3].flags, 0xff);
    pair_close(&pair);
}

/* ---- receive ---- */

MEMIF_TEST_LOOP(rx_burst_says_when_more_packets_wait, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    send_packets(flow.from, 0, 5, BUFFER, 10);
    expect_rx(flow.to, buffers, 3, MEMIF_ERR_NOBUF, 3);
    expect_rx(flow.to, buffers + 3, 2, MEMIF_ERR_SUCCESS, 2);
    for (uint32_t i = 0; i < 5; i++)
        ck_assert(is_packet(&buffers[i], 1, BUFFER, 10 + i));
    expect_nothing(flow.to, 0);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(the_interrupt_stays_pending_while_packets_wait, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    int fd;

    ck_assert_int_eq(memif_get_queue_efd(flow.to, 0, &fd), MEMIF_ERR_SUCCESS);
    ck_assert(!is_readable(fd));
    send_packets(flow.from, 0, 5, BUFFER, 10);
    ck_assert(is_readable(fd));
    expect_rx(flow.to, buffers, 3, MEMIF_ERR_NOBUF, 3);
    ck_assert(is_readable(fd));
    expect_rx(flow.to, buffers, 3, MEMIF_ERR_SUCCESS, 2);
    ck_assert(!is_readable(fd));
    pair_close(&pair);
}

MEMIF_TEST_LOOP(received_packets_keep_their_bytes_until_they_are_given_back, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    uint16_t rest = (uint16_t)(flow.capacity - 2);

    send_packets(flow.from, 0, 2, BUFFER, 1);
    (void)receive_packets(flow.to, 0, others, 2, BUFFER, 1);
    send_packets(flow.from, 0, rest, BUFFER, 100);
    expect_alloc(flow.from, 1, 0, MEMIF_ERR_NOBUF_RING, 0);
    ck_assert(is_packet(&others[0], 1, BUFFER, 1));
    ck_assert(is_packet(&others[1], 1, BUFFER, 2));
    expect_refill(flow.to, 2, 0, MEMIF_ERR_SUCCESS);
    expect_packets(flow.to, 0, rest, BUFFER, 100);
    pair_close(&pair);
}

/* ---- transmit ---- */

MEMIF_TEST_LOOP(nothing_arrives_before_it_is_sent, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    (void)reserve_packets(flow.from, 0, buffers, 3, BUFFER, 1);
    expect_nothing(flow.to, 0);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(what_was_reserved_and_not_sent_waits_for_the_next_call, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    (void)reserve_packets(flow.from, 0, buffers, 5, BUFFER, 1);
    expect_tx(flow.from, buffers, 2, MEMIF_ERR_SUCCESS, 2);
    expect_packets(flow.to, 0, 2, BUFFER, 1);
    (void)reserve_packets(flow.from, 0, buffers + 5, 2, BUFFER, 6);
    expect_tx(flow.from, buffers + 2, 5, MEMIF_ERR_SUCCESS, 5);
    expect_packets(flow.to, 0, 5, BUFFER, 3);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(packets_leave_in_the_order_reserved, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    (void)reserve_packets(flow.from, 0, buffers, 4, BUFFER, 1);
    expect_tx(flow.from, buffers + 1, 1, MEMIF_ERR_INVAL_ARG, 0);
    expect_nothing(flow.to, 0);
    memif_buffer_t swapped[] = {buffers[0], buffers[2], buffers[1], buffers[3]};
    expect_tx(flow.from, swapped, 4, MEMIF_ERR_INVAL_ARG, 1);
    expect_packets(flow.to, 0, 1, BUFFER, 1);
    expect_tx(flow.from, buffers + 1, 3, MEMIF_ERR_SUCCESS, 3);
    expect_packets(flow.to, 0, 3, BUFFER, 2);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(more_than_was_reserved_is_not_sent, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    (void)reserve_packets(flow.from, 0, buffers, 2, BUFFER, 1);
    buffers[2] = buffers[1];
    buffers[2].desc_index = 2;
    expect_tx(flow.from, buffers, 3, MEMIF_ERR_INVAL_ARG, 2);
    expect_packets(flow.to, 0, 2, BUFFER, 1);
    expect_tx(flow.from, buffers + 1, 1, MEMIF_ERR_INVAL_ARG, 0);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_packet_longer_than_its_buffer_is_not_sent, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    static const uint32_t lengths[] = {BUFFER + 1, 65536, UINT32_MAX};

    (void)reserve_packets(flow.from, 0, buffers, 2, BUFFER, 1);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        buffers[0].len = lengths[i];
        expect_tx(flow.from, buffers, 2, MEMIF_ERR_INVAL_ARG, 0);
    }
    buffers[0].len = BUFFER;
    expect_tx(flow.from, buffers, 2, MEMIF_ERR_SUCCESS, 2);
    expect_packets(flow.to, 0, 2, BUFFER, 1);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(an_entry_of_another_queue_is_not_sent, 0, WAYS)
{
    struct pair pair = {0};
    struct shape shape = shape_of(_i);

    shape.s2m_rings = shape.m2s_rings = 2;
    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    (void)reserve_packets(flow.from, 0, buffers, 1, BUFFER, 1);
    (void)reserve_packets(flow.from, 1, others, 1, BUFFER, 2);
    expect_tx(flow.from, others, 1, MEMIF_ERR_INVAL_ARG, 0);
    expect_tx(flow.from, buffers, 1, MEMIF_ERR_SUCCESS, 1);
    expect_packets(flow.to, 0, 1, BUFFER, 1);
    pair_close(&pair);
}

MEMIF_TEST(a_slave_sends_from_further_inside_its_buffer)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, 1, LOG2_EIGHT);

    for (uint32_t moved = 0; moved <= BUFFER; moved++) {
        (void)reserve_packets(flow.from, 0, buffers, 3, 0, 0);
        for (uint32_t i = 0; i < 3; i++) {
            buffers[i].data = (char *)buffers[i].data + moved;
            buffers[i].len = BUFFER - moved;
            fill_packet(&buffers[i], 1, BUFFER - moved, i);
        }
        expect_tx(flow.from, buffers, 3, MEMIF_ERR_SUCCESS, 3);
        expect_packets(flow.to, 0, 3, BUFFER - moved, 0);
    }
    expect_alloc(flow.from, SLOTS, 0, MEMIF_ERR_SUCCESS, SLOTS);
    for (uint32_t i = 0; i < SLOTS; i++)
        ck_assert_uint_eq(buffers[i].len, BUFFER); /* the next use has all of it again */
    pair_close(&pair);
}

MEMIF_TEST(data_outside_its_buffer_is_not_sent)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, 1, LOG2_EIGHT);

    (void)reserve_packets(flow.from, 0, buffers, 2, BUFFER, 1);
    memif_buffer_t good = buffers[1];
    /* Behind a buffer 128 bytes are its own, for packets of a whole buffer behind a headroom. */
    static const ptrdiff_t moves[] = {129, 128 + BUFFER, 129 + BUFFER, -1, -BUFFER};
    for (size_t i = 0; i < sizeof(moves) / sizeof(*moves); i++) {
        buffers[1].data = (char *)good.data + moves[i];
        expect_tx(flow.from, buffers + 1, 1, MEMIF_ERR_INVAL_ARG, 0);
    }
    buffers[1].data = NULL;
    expect_tx(flow.from, buffers, 2, MEMIF_ERR_INVAL_ARG, 1);
    expect_packets(flow.to, 0, 1, BUFFER, 1);
    expect_tx(flow.from, &good, 1, MEMIF_ERR_SUCCESS, 1);
    expect_packets(flow.to, 0, 1, BUFFER, 2);
    pair_close(&pair);
}

/* A master's buffers are the peer's, and in version 256 all keep their places. */
MEMIF_TEST_LOOP(only_slaves_of_version_512_may_move_data, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    bool may = flow.from == pair.slave.conn && version_of(_i) == 512;

    (void)reserve_packets(flow.from, 0, buffers, 1, BUFFER, 1);
    memif_buffer_t moved = buffers[0];
    moved.data = (char *)moved.data + 8;
    moved.len -= 8;
    expect_tx(flow.from, &moved, 1, may ? MEMIF_ERR_SUCCESS : MEMIF_ERR_INVAL_ARG, may ? 1 : 0);
    if (!may)
        expect_tx(flow.from, buffers, 1, MEMIF_ERR_SUCCESS, 1);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_shorter_packet_leaves_the_buffer_whole_for_the_next, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    for (int round = 0; round < 3; round++) {
        expect_alloc(flow.from, 5, 0, MEMIF_ERR_SUCCESS, 5);
        for (uint32_t i = 0; i < 5; i++) {
            ck_assert_uint_eq(buffers[i].len, BUFFER);
            fill_packet(&buffers[i], 1, 3, i);
        }
        expect_tx(flow.from, buffers, 5, MEMIF_ERR_SUCCESS, 5);
        expect_packets(flow.to, 0, 5, 3, 0);
    }
    pair_close(&pair);
}

/* ---- taking back ---- */

MEMIF_TEST_LOOP(buffers_taken_back_are_handed_out_again, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    (void)reserve_packets(flow.from, 0, buffers, 5, BUFFER, 1);
    memcpy(others, buffers, sizeof(*others) * 5);
    ck_assert_int_eq(memif_set_next_free_buffer(flow.from, 0, &others[2]), MEMIF_ERR_SUCCESS);
    expect_tx(flow.from, others, 5, MEMIF_ERR_INVAL_ARG, 2);
    expect_alloc(flow.from, 3, 0, MEMIF_ERR_SUCCESS, 3);
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert_ptr_eq(buffers[i].data, others[2 + i].data);
        ck_assert_uint_eq(buffers[i].desc_index, others[2 + i].desc_index);
        fill_packet(&buffers[i], 1, BUFFER, 3 + i);
    }
    expect_tx(flow.from, buffers, 3, MEMIF_ERR_SUCCESS, 3);
    expect_packets(flow.to, 0, 5, BUFFER, 1);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(only_reserved_buffers_are_taken_back, 0, WAYS)
{
    struct pair pair = {0};
    struct shape shape = shape_of(_i);

    shape.s2m_rings = shape.m2s_rings = 2;
    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    (void)reserve_packets(flow.from, 0, buffers, 3, BUFFER, 1);
    (void)reserve_packets(flow.from, 1, others, 1, BUFFER, 1);
    expect_tx(flow.from, buffers, 1, MEMIF_ERR_SUCCESS, 1);
    memif_buffer_t never = buffers[2];
    never.desc_index = 3;
    memif_buffer_t outside = buffers[2];
    outside.desc_index = UINT16_MAX;
    memif_buffer_t *wrong[] = {NULL, &buffers[0], &others[0], &never, &outside};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        ck_assert_int_eq(memif_set_next_free_buffer(flow.from, 0, wrong[i]), MEMIF_ERR_INVAL_ARG);
    expect_tx(flow.from, buffers + 1, 2, MEMIF_ERR_SUCCESS, 2);
    expect_packets(flow.to, 0, 3, BUFFER, 1);
    pair_close(&pair);
}

/* ---- rings of all shapes ---- */

MEMIF_TEST_LOOP(contents_survive_when_indices_wrap_around, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, 6);

    send_around(&flow, 3 * 65536, BUFFER);
    pair_close(&pair);
}

enum { SMALLEST_RING = 1, LARGEST_RING = 14 };

MEMIF_TEST_LOOP(rings_of_every_size_carry_packets, WAYS *SMALLEST_RING, WAYS *(LARGEST_RING + 1))
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, (uint8_t)(_i / WAYS));

    send_packets(flow.from, 0, (uint16_t)flow.capacity, BUFFER, 9);
    expect_packets(flow.to, 0, (uint16_t)flow.capacity, BUFFER, 9);
    send_around(&flow, 3 * flow.capacity, BUFFER);
    pair_close(&pair);
}

static const uint16_t buffer_sizes[] = {1, 63, 65, 1500, 2048, 9000, 65535};

MEMIF_TEST_LOOP(buffers_of_every_size_carry_packets, 0,
                WAYS * sizeof(buffer_sizes) / sizeof(*buffer_sizes))
{
    struct pair pair = {0};
    struct shape shape = shape_of(_i);

    shape.buffer_size = buffer_sizes[_i / WAYS];
    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    send_around(&flow, 50, shape.buffer_size);
    pair_close(&pair);
}

static const uint8_t queue_numbers[][2] = {{1, 4}, {4, 1}, {3, 2}, {255, 255}};

static void use_every_queue(memif_conn_handle_t from, memif_conn_handle_t to, uint16_t queues)
{
    for (int round = 0; round < 3; round++) {
        for (uint16_t qid = 0; qid < queues; qid++)
            send_packets(from, qid, 3, BUFFER, 1000u * qid);
        for (uint16_t qid = 0; qid < queues; qid++)
            expect_packets(to, qid, 3, BUFFER, 1000u * qid);
    }
}

/* What every function of packets answers; the counts are 0. */
MEMIF_TEST_LOOP(every_queue_carries_its_own_packets_and_others_do_not_exist, 0,
                VERSIONS * sizeof(queue_numbers) / sizeof(*queue_numbers))
{
    const uint8_t *numbers = queue_numbers[_i / VERSIONS];
    struct pair pair = {0};
    struct shape shape = {.version = version_of(_i),
                          .s2m_rings = numbers[0],
                          .m2s_rings = numbers[1],
                          .log2_ring_size = 2,
                          .buffer_size = BUFFER};

    raise_fd_limit();
    pair_open(&pair, &shape);
    use_every_queue(pair.slave.conn, pair.master.conn, numbers[0]);
    use_every_queue(pair.master.conn, pair.slave.conn, numbers[1]);
    expect_from_tx_calls(pair.slave.conn, numbers[0], MEMIF_ERR_QID);
    expect_from_rx_calls(pair.master.conn, numbers[0], MEMIF_ERR_QID);
    expect_from_tx_calls(pair.master.conn, numbers[1], MEMIF_ERR_QID);
    expect_from_rx_calls(pair.slave.conn, numbers[1], MEMIF_ERR_QID);
    expect_from_rx_calls(pair.slave.conn, UINT16_MAX, MEMIF_ERR_QID);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(size_0_reserves_one_buffer_a_packet, 0, VERSIONS * 2)
{
    struct pair pair = {0};
    struct shape shape = {
        .version = version_of(_i), .s2m_rings = 1, .log2_ring_size = 3, .buffer_size = BUFFER};
    uint16_t count = 0;

    shape.m2s_rings = 1;
    pair_open(&pair, &shape);
    memif_conn_handle_t sender = _i / VERSIONS == 0 ? pair.slave.conn : pair.master.conn;
    ck_assert_int_eq(memif_buffer_alloc(sender, 0, buffers, 3, &count, 0), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(count, 3);
    for (uint16_t i = 0; i < count; i++) {
        ck_assert_uint_eq(buffers[i].len, BUFFER);
        ck_assert_uint_eq(buffers[i].flags, 0);
    }
    pair_close(&pair);
}

MEMIF_TEST_MAIN("4.0 burst")
