/* SPDX-License-Identifier: Apache-2.0 */

#include "harness.h"
#include "pair_v1.h"

/* Rings of 8 slots. */
enum { LOG2_EIGHT = 3 };

static memif_buffer_t buffers[MAX_BURST];
static memif_buffer_t others[MAX_BURST];

static struct flow open_way(struct pair *pair, int way, uint8_t log2_ring_size)
{
    struct shape shape = {
        .version = version_of(way), .log2_ring_size = log2_ring_size, .buffer_size = 64};

    pair_open(pair, &shape);
    return flow_of(pair, &shape, way);
}

/* Reserves and fills `count` packets without sending them. */
static void reserve(struct flow *flow, memif_buffer_t *bufs, uint16_t count, uint32_t first_seed)
{
    uint16_t done;

    ck_assert_int_eq(memif_buffer_alloc(flow->from, 0, bufs, count, &done), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, count);
    for (uint16_t i = 0; i < count; i++) {
        write_pattern(bufs[i].data, 64, first_seed + i);
        bufs[i].data_len = 64;
    }
}

/* ---- how many ---- */

MEMIF_TEST_LOOP(one_packet_arrives_with_its_bytes, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    send_packets(flow.from, 0, 1, 64, 7);
    expect_packets(flow.to, 0, 1, 64, 7);
    expect_packets(flow.to, 0, 0, 0, 0);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(packets_of_every_length_arrive, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    for (uint32_t length = 0; length <= 64; length++) {
        send_packets(flow.from, 0, 2, length, length);
        expect_packets(flow.to, 0, 2, length, length);
    }
    pair_close(&pair);
}

MEMIF_TEST_LOOP(bursts_of_every_size_up_to_the_ring_arrive, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, 9);

    for (uint16_t count = 1; count <= flow.capacity; count++) {
        send_packets(flow.from, 0, count, 64, count);
        expect_packets(flow.to, 0, count, 64, count);
    }
    pair_close(&pair);
}

MEMIF_TEST_LOOP(the_largest_burst_asked_for_gives_the_whole_ring, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, 14);
    uint16_t done;

    ck_assert_int_eq(memif_buffer_alloc(flow.from, 0, buffers, MAX_BURST, &done),
                     MEMIF_ERR_NOBUF_RING);
    ck_assert_uint_eq(done, flow.capacity);
    for (uint16_t i = 0; i < done; i++) {
        write_pattern(buffers[i].data, 64, i);
        buffers[i].data_len = 64;
    }
    ck_assert_int_eq(memif_tx_burst(flow.from, 0, buffers, done, &done), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, flow.capacity);
    expect_packets(flow.to, 0, (uint16_t)flow.capacity, 64, 0);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_burst_of_nothing_does_nothing, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    uint16_t done = 1;

    ck_assert_int_eq(memif_buffer_alloc(flow.from, 0, NULL, 0, &done), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, 0);
    done = 1;
    ck_assert_int_eq(memif_tx_burst(flow.from, 0, NULL, 0, &done), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, 0);
    done = 1;
    ck_assert_int_eq(memif_rx_burst(flow.to, 0, NULL, 0, &done), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, 0);
    done = 1;
    ck_assert_int_eq(memif_buffer_free(flow.to, 0, NULL, 0, &done), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, 0);
    pair_close(&pair);
}

/* ---- receive and free ---- */

MEMIF_TEST_LOOP(rx_burst_says_when_more_packets_wait, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    uint16_t done;

    send_packets(flow.from, 0, 5, 64, 10);
    ck_assert_int_eq(memif_rx_burst(flow.to, 0, buffers, 3, &done), MEMIF_ERR_NOBUF);
    ck_assert_uint_eq(done, 3);
    ck_assert_int_eq(memif_rx_burst(flow.to, 0, buffers + 3, 2, &done), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, 2);
    for (uint32_t i = 0; i < 5; i++) {
        ck_assert_uint_eq(buffers[i].data_len, 64);
        ck_assert(holds_pattern(buffers[i].data, 64, 10 + i));
    }
    ck_assert_int_eq(memif_rx_burst(flow.to, 0, others, 1, &done), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, 0);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(received_packets_keep_their_bytes_until_they_are_freed, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    uint16_t done;

    send_packets(flow.from, 0, 2, 64, 1);
    ck_assert_int_eq(memif_rx_burst(flow.to, 0, buffers, 2, &done), MEMIF_ERR_SUCCESS);
    uint16_t rest = (uint16_t)(flow.capacity - 2);
    send_packets(flow.from, 0, rest, 64, 100);
    ck_assert_int_eq(memif_buffer_alloc(flow.from, 0, others, 1, &done), MEMIF_ERR_NOBUF_RING);
    ck_assert_uint_eq(done, 0);
    ck_assert(holds_pattern(buffers[0].data, 64, 1));
    ck_assert(holds_pattern(buffers[1].data, 64, 2));
    ck_assert_int_eq(memif_buffer_free(flow.to, 0, buffers, 2, &done), MEMIF_ERR_SUCCESS);
    expect_packets(flow.to, 0, rest, 64, 100);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(freed_buffers_can_be_sent_into_again, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    uint16_t done;

    send_packets(flow.from, 0, (uint16_t)flow.capacity, 64, 0);
    ck_assert_int_eq(memif_rx_burst(flow.to, 0, buffers, MAX_BURST, &done), MEMIF_ERR_SUCCESS);
    for (uint16_t i = 0; i < flow.capacity; i++) {
        ck_assert_int_eq(memif_buffer_alloc(flow.from, 0, others, 1, &done), MEMIF_ERR_NOBUF_RING);
        ck_assert_int_eq(memif_buffer_free(flow.to, 0, &buffers[i], 1, &done), MEMIF_ERR_SUCCESS);
        ck_assert_uint_eq(done, 1);
        send_packets(flow.from, 0, 1, 64, 50u + i);
    }
    expect_packets(flow.to, 0, (uint16_t)flow.capacity, 64, 50);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(free_sets_data_to_null, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    uint16_t done;

    send_packets(flow.from, 0, 3, 64, 1);
    ck_assert_int_eq(memif_rx_burst(flow.to, 0, buffers, 3, &done), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(memif_buffer_free(flow.to, 0, buffers, 2, &done), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, 2);
    ck_assert_ptr_null(buffers[0].data);
    ck_assert_ptr_null(buffers[1].data);
    ck_assert(holds_pattern(buffers[2].data, 64, 3));
    pair_close(&pair);
}

MEMIF_TEST_LOOP(free_takes_only_the_oldest_received_packets, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    uint16_t done;

    send_packets(flow.from, 0, 3, 64, 1);
    ck_assert_int_eq(memif_rx_burst(flow.to, 0, buffers, 3, &done), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(memif_buffer_free(flow.to, 0, buffers + 1, 2, &done), MEMIF_ERR_INVAL_ARG);
    ck_assert_uint_eq(done, 0);
    ck_assert_ptr_nonnull(buffers[1].data);
    memif_buffer_t swapped[] = {buffers[0], buffers[2], buffers[1]};
    ck_assert_int_eq(memif_buffer_free(flow.to, 0, swapped, 3, &done), MEMIF_ERR_INVAL_ARG);
    ck_assert_uint_eq(done, 1);
    ck_assert_int_eq(memif_buffer_free(flow.to, 0, buffers + 1, 2, &done), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, 2);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(free_takes_a_packet_once, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    uint16_t done;

    send_packets(flow.from, 0, 1, 64, 1);
    ck_assert_int_eq(memif_rx_burst(flow.to, 0, buffers, 1, &done), MEMIF_ERR_SUCCESS);
    memif_buffer_t copy = buffers[0];
    ck_assert_int_eq(memif_buffer_free(flow.to, 0, buffers, 1, &done), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(memif_buffer_free(flow.to, 0, &copy, 1, &done), MEMIF_ERR_INVAL_ARG);
    ck_assert_uint_eq(done, 0);
    send_packets(flow.from, 0, 2, 64, 2);
    expect_packets(flow.to, 0, 2, 64, 2);
    pair_close(&pair);
}

/* ---- alloc and transmit ---- */

MEMIF_TEST_LOOP(alloc_gives_what_is_free_when_more_was_wanted, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    uint16_t done;

    ck_assert_int_eq(memif_buffer_alloc(flow.from, 0, buffers, 100, &done), MEMIF_ERR_NOBUF_RING);
    ck_assert_uint_eq(done, flow.capacity);
    for (uint16_t i = 0; i < done; i++) {
        ck_assert_uint_eq(buffers[i].buffer_len, 64);
        buffers[i].data_len = 64;
        write_pattern(buffers[i].data, 64, i);
    }
    ck_assert_int_eq(memif_buffer_alloc(flow.from, 0, others, 1, &done), MEMIF_ERR_NOBUF_RING);
    ck_assert_uint_eq(done, 0);
    ck_assert_int_eq(memif_tx_burst(flow.from, 0, buffers, (uint16_t)flow.capacity, &done),
                     MEMIF_ERR_SUCCESS);
    expect_packets(flow.to, 0, (uint16_t)flow.capacity, 64, 0);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(nothing_arrives_before_it_is_sent, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);

    reserve(&flow, buffers, 3, 1);
    expect_packets(flow.to, 0, 0, 0, 0);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(what_was_reserved_and_not_sent_waits_for_the_next_call, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    uint16_t done;

    reserve(&flow, buffers, 5, 1);
    ck_assert_int_eq(memif_tx_burst(flow.from, 0, buffers, 2, &done), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, 2);
    expect_packets(flow.to, 0, 2, 64, 1);
    reserve(&flow, buffers + 5, 2, 6);
    ck_assert_int_eq(memif_tx_burst(flow.from, 0, buffers + 2, 5, &done), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, 5);
    expect_packets(flow.to, 0, 5, 64, 3);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(packets_leave_in_the_order_reserved, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    uint16_t done;

    reserve(&flow, buffers, 4, 1);
    ck_assert_int_eq(memif_tx_burst(flow.from, 0, buffers + 1, 1, &done), MEMIF_ERR_INVAL_ARG);
    ck_assert_uint_eq(done, 0);
    expect_packets(flow.to, 0, 0, 0, 0);
    memif_buffer_t swapped[] = {buffers[0], buffers[2], buffers[1], buffers[3]};
    ck_assert_int_eq(memif_tx_burst(flow.from, 0, swapped, 4, &done), MEMIF_ERR_INVAL_ARG);
    ck_assert_uint_eq(done, 1);
    expect_packets(flow.to, 0, 1, 64, 1);
    ck_assert_int_eq(memif_tx_burst(flow.from, 0, buffers + 1, 3, &done), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, 3);
    expect_packets(flow.to, 0, 3, 64, 2);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(more_than_was_reserved_is_not_sent, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    uint16_t done;

    reserve(&flow, buffers, 2, 1);
    buffers[2] = buffers[1];
    buffers[2].desc_index = 2;
    ck_assert_int_eq(memif_tx_burst(flow.from, 0, buffers, 3, &done), MEMIF_ERR_INVAL_ARG);
    ck_assert_uint_eq(done, 2);
    expect_packets(flow.to, 0, 2, 64, 1);
    ck_assert_int_eq(memif_tx_burst(flow.from, 0, buffers + 1, 1, &done), MEMIF_ERR_INVAL_ARG);
    ck_assert_uint_eq(done, 0);
    pair_close(&pair);
}

/* As programs of 2017 expect, which do not look. */
MEMIF_TEST_LOOP(a_packet_longer_than_its_buffer_is_cut, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    static const uint32_t lengths[] = {65, 65536, UINT32_MAX};
    uint16_t done;

    for (uint32_t i = 0; i < sizeof(lengths) / sizeof(*lengths) * 5; i++) {
        reserve(&flow, buffers, 5, i);
        buffers[i % 5].data_len = lengths[i / 5];
        ck_assert_int_eq(memif_tx_burst(flow.from, 0, buffers, 5, &done), MEMIF_ERR_SUCCESS);
        ck_assert_uint_eq(done, 5);
        expect_packets(flow.to, 0, 5, 64, i);
    }
    pair_close(&pair);
}

MEMIF_TEST_LOOP(all_five_and_six_argument_forms_of_alloc_reserve, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, LOG2_EIGHT);
    int (*by_pointer)(memif_conn_handle_t, uint16_t, memif_buffer_t *, uint16_t, uint16_t *,
                      uint16_t) = memif_buffer_alloc;
    uint16_t done;

    ck_assert_int_eq(memif_buffer_alloc(flow.from, 0, buffers, 1, &done), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(buffers[0].buffer_len, 64);
    ck_assert_int_eq(memif_buffer_alloc(flow.from, 0, buffers + 1, 1, &done, 0), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(buffers[1].buffer_len, 64);
    ck_assert_int_eq(memif_buffer_alloc(flow.from, 0, buffers + 2, 1, &done, 65),
                     MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(buffers[2].buffer_len, 128);
    ck_assert_int_eq(by_pointer(flow.from, 0, buffers + 3, 1, &done, 64), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(buffers[3].buffer_len, 64);
    ck_assert_int_eq(memif_tx_burst(flow.from, 0, buffers, 4, &done), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, 4);
    pair_close(&pair);
}

/* ---- rings of all shapes ---- */

MEMIF_TEST_LOOP(contents_survive_when_indices_wrap_around, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, 6);

    send_around(&flow, 3 * 65536, 64);
    pair_close(&pair);
}

enum { SMALLEST_RING = 1, LARGEST_RING = 14 };

MEMIF_TEST_LOOP(rings_of_every_size_carry_packets, WAYS *SMALLEST_RING, WAYS *(LARGEST_RING + 1))
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, (uint8_t)(_i / WAYS));

    send_packets(flow.from, 0, (uint16_t)flow.capacity, 64, 9);
    expect_packets(flow.to, 0, (uint16_t)flow.capacity, 64, 9);
    send_around(&flow, 3 * flow.capacity, 64);
    pair_close(&pair);
}

static const uint16_t buffer_sizes[] = {1, 63, 64, 65, 1500, 2048, 9000, 65535};

MEMIF_TEST_LOOP(buffers_of_every_size_carry_packets, 0,
                WAYS * sizeof(buffer_sizes) / sizeof(*buffer_sizes))
{
    struct pair pair = {0};
    struct shape shape = {.version = version_of(_i),
                          .log2_ring_size = LOG2_EIGHT,
                          .buffer_size = buffer_sizes[_i / WAYS]};

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
            send_packets(from, qid, 3, 64, 1000u * qid);
        for (uint16_t qid = 0; qid < queues; qid++)
            expect_packets(to, qid, 3, 64, 1000u * qid);
    }
}

static void expect_no_queue(memif_conn_handle_t from, memif_conn_handle_t to, uint16_t qid)
{
    uint16_t done;

    ck_assert_int_eq(memif_buffer_alloc(from, qid, buffers, 1, &done), MEMIF_ERR_QID);
    ck_assert_uint_eq(done, 0);
    ck_assert_int_eq(memif_tx_burst(from, qid, buffers, 1, &done), MEMIF_ERR_QID);
    ck_assert_uint_eq(done, 0);
    ck_assert_int_eq(memif_rx_burst(to, qid, buffers, 1, &done), MEMIF_ERR_QID);
    ck_assert_uint_eq(done, 0);
    ck_assert_int_eq(memif_buffer_free(to, qid, buffers, 1, &done), MEMIF_ERR_QID);
    ck_assert_uint_eq(done, 0);
}

MEMIF_TEST_LOOP(every_queue_carries_its_own_packets_and_others_do_not_exist, 0,
                VERSIONS * sizeof(queue_numbers) / sizeof(*queue_numbers))
{
    const uint8_t *numbers = queue_numbers[_i / VERSIONS];
    struct pair pair = {0};
    struct shape shape = {.version = version_of(_i),
                          .s2m_rings = numbers[0],
                          .m2s_rings = numbers[1],
                          .log2_ring_size = 2,
                          .buffer_size = 64};

    raise_fd_limit();
    pair_open(&pair, &shape);
    use_every_queue(pair.slave.conn, pair.master.conn, numbers[0]);
    use_every_queue(pair.master.conn, pair.slave.conn, numbers[1]);
    expect_no_queue(pair.slave.conn, pair.master.conn, numbers[0]);
    expect_no_queue(pair.master.conn, pair.slave.conn, numbers[1]);
    expect_no_queue(pair.master.conn, pair.slave.conn, UINT16_MAX);
    pair_close(&pair);
}

MEMIF_TEST_MAIN("burst")
