/* SPDX-License-Identifier: Apache-2.0 */

#include "harness.h"
#include "pair_v1.h"
#include "random.h"

enum { BUFFER = 2048, LONGEST = UINT16_MAX };

static memif_buffer_t buffers[MAX_BURST];

static struct flow open_way(struct pair *pair, int way, uint8_t log2_ring_size,
                            uint16_t buffer_size)
{
    struct shape shape = {
        .version = version_of(way), .log2_ring_size = log2_ring_size, .buffer_size = buffer_size};

    pair_open(pair, &shape);
    return flow_of(pair, &shape, way);
}

static uint16_t reserve(const struct flow *flow, memif_buffer_t *bufs, uint16_t count,
                        uint16_t size, int expected_err)
{
    uint16_t done;

    ck_assert_int_eq(memif_buffer_alloc(flow->from, 0, bufs, count, &done, size), expected_err);
    return done;
}

static void send(const struct flow *flow, memif_buffer_t *bufs, uint16_t count)
{
    uint16_t done;

    ck_assert_int_eq(memif_tx_burst(flow->from, 0, bufs, count, &done), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, count);
}

static const uint32_t lengths[] = {BUFFER, BUFFER + 1,      2 * BUFFER, 2 * BUFFER + 1,
                                   9000,   10 * BUFFER - 1, 65534,      LONGEST};
enum { LENGTHS = sizeof(lengths) / sizeof(*lengths) };

/* A ring of 64 slots holds one of the longest; so each packet begins elsewhere. */
MEMIF_TEST_LOOP(long_packets_arrive_as_one_with_every_byte, 0, WAYS *LENGTHS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, 6, BUFFER);
    uint32_t length = lengths[_i / WAYS];

    for (uint32_t i = 0; i < 100; i++) {
        send_packets(flow.from, 0, 1, length, i);
        expect_packets(flow.to, 0, 1, length, i);
    }
    pair_close(&pair);
}

MEMIF_TEST_LOOP(bursts_of_long_packets_arrive, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, 8, BUFFER);
    uint16_t count = (uint16_t)(flow.capacity / 5);

    for (uint32_t i = 0; i < 100; i++) {
        send_packets(flow.from, 0, count, 9000, i);
        expect_packets(flow.to, 0, count, 9000, i);
    }
    pair_close(&pair);
}

/* The chain begins in each slot once, so it crosses the end of the ring in every way. */
MEMIF_TEST_LOOP(a_chain_may_cross_the_end_of_the_ring, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, 3, 64);

    for (uint16_t slots = 2; slots <= flow.capacity; slots++) {
        uint32_t length = slots * 64u - 1;

        for (uint32_t i = 0; i < 16; i++) {
            send_packets(flow.from, 0, 1, length, i);
            expect_packets(flow.to, 0, 1, length, i);
            send_packets(flow.from, 0, 1, 1, i);
            expect_packets(flow.to, 0, 1, 1, i);
        }
    }
    pair_close(&pair);
}

MEMIF_TEST_LOOP(less_than_was_reserved_may_be_sent, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, 4, 64);
    const uint16_t size = 640;

    for (uint32_t length = 0; length <= size; length++) {
        ck_assert_uint_eq(reserve(&flow, buffers, 1, size, MEMIF_ERR_SUCCESS), 1);
        write_pattern(buffers[0].data, size, length);
        buffers[0].data_len = length;
        send(&flow, buffers, 1);
        expect_packets(flow.to, 0, 1, length, length);
    }
    pair_close(&pair);
}

MEMIF_TEST_LOOP(every_byte_of_buffer_len_may_be_sent, 0, WAYS *LENGTHS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, 6, BUFFER);

    ck_assert_uint_eq(reserve(&flow, buffers, 1, (uint16_t)lengths[_i / WAYS], MEMIF_ERR_SUCCESS),
                      1);
    uint32_t length = buffers[0].buffer_len;
    ck_assert_uint_ge(length, lengths[_i / WAYS]);
    write_pattern(buffers[0].data, length, 1);
    buffers[0].data_len = length;
    send(&flow, buffers, 1);
    expect_packets(flow.to, 0, 1, length, 1);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_packet_longer_than_its_chain_is_cut, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, 4, 64);
    uint16_t done;

    ck_assert_uint_eq(reserve(&flow, buffers, 1, 300, MEMIF_ERR_SUCCESS), 1);
    write_pattern(buffers[0].data, 320, 1);
    buffers[0].data_len = buffers[0].buffer_len + 1;
    ck_assert_int_eq(memif_tx_burst(flow.from, 0, buffers, 1, &done), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, 1);
    expect_packets(flow.to, 0, 1, 320, 1);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_chain_that_does_not_fit_reserves_nothing, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, 3, 64);
    uint16_t free_slots = (uint16_t)(flow.capacity - 2);

    send_packets(flow.from, 0, 2, 64, 1);
    ck_assert_uint_eq(
        reserve(&flow, buffers, 1, (uint16_t)(free_slots * 64 + 1), MEMIF_ERR_NOBUF_RING), 0);
    send_packets(flow.from, 0, free_slots, 64, 3);
    expect_packets(flow.to, 0, (uint16_t)flow.capacity, 64, 1);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(chains_that_fit_are_reserved_whole, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, 3, 64);

    /* Three slots each: two of them fit into 7 or 8. */
    ck_assert_uint_eq(reserve(&flow, buffers, 5, 150, MEMIF_ERR_NOBUF_RING), 2);
    for (uint32_t i = 0; i < 2; i++) {
        write_pattern(buffers[i].data, 150, i);
        buffers[i].data_len = 150;
    }
    uint16_t rest = (uint16_t)(flow.capacity - 6);
    ck_assert_uint_eq(reserve(&flow, buffers + 2, 8, 0, MEMIF_ERR_NOBUF_RING), rest);
    send(&flow, buffers, 2);
    expect_packets(flow.to, 0, 2, 150, 0);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_chain_longer_than_the_ring_is_never_reserved, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, 2, 64);

    ck_assert_uint_eq(reserve(&flow, buffers, 1, LONGEST, MEMIF_ERR_INVAL_ARG), 0);
    send_packets(flow.from, 0, (uint16_t)flow.capacity, 64, 1);
    expect_packets(flow.to, 0, (uint16_t)flow.capacity, 64, 1);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(reserved_chains_may_be_sent_one_by_one, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, 5, 64);

    ck_assert_uint_eq(reserve(&flow, buffers, 4, 300, MEMIF_ERR_SUCCESS), 4);
    for (uint32_t i = 0; i < 4; i++) {
        write_pattern(buffers[i].data, 300, i);
        buffers[i].data_len = 300;
    }
    for (uint32_t i = 0; i < 4; i++) {
        send(&flow, &buffers[i], 1);
        expect_packets(flow.to, 0, 1, 300, i);
    }
    pair_close(&pair);
}

MEMIF_TEST_LOOP(received_chains_are_freed_one_by_one_and_in_order, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, 4, 64);
    uint16_t done;

    send_packets(flow.from, 0, 3, 300, 1);
    ck_assert_int_eq(memif_rx_burst(flow.to, 0, buffers, 2, &done), MEMIF_ERR_NOBUF);
    ck_assert_uint_eq(done, 2);
    ck_assert_int_eq(memif_rx_burst(flow.to, 0, buffers + 2, 2, &done), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, 1);
    ck_assert_int_eq(memif_buffer_free(flow.to, 0, buffers + 1, 1, &done), MEMIF_ERR_INVAL_ARG);
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert(holds_pattern(buffers[i].data, 300, 1 + i));
        ck_assert_int_eq(memif_buffer_free(flow.to, 0, &buffers[i], 1, &done), MEMIF_ERR_SUCCESS);
        ck_assert_uint_eq(done, 1);
        ck_assert_ptr_null(buffers[i].data);
    }
    send_packets(flow.from, 0, (uint16_t)flow.capacity, 64, 5);
    expect_packets(flow.to, 0, (uint16_t)flow.capacity, 64, 5);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(chains_that_were_never_sent_or_freed_go_with_the_connection, 0, WAYS)
{
    struct pair pair = {0};
    struct flow flow = open_way(&pair, _i, 5, 64);
    uint16_t done;

    send_packets(flow.from, 0, 2, 600, 1);
    ck_assert_int_eq(memif_rx_burst(flow.to, 0, buffers, 2, &done), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(reserve(&flow, buffers, 1, 600, MEMIF_ERR_SUCCESS), 1);
    pair_close(&pair);
}

/* ---- mixed sizes ---- */

enum { FUZZ_PACKETS = 100000, FUZZ_BURST = 24, FUZZ_IN_FLIGHT = 4096 };

struct fuzz {
    struct flow flow;
    uint64_t state;
    uint32_t sent;
    uint32_t received;
    uint32_t lengths[FUZZ_IN_FLIGHT]; /* of packet number i at i modulo the size */
};

/* Mostly a few buffers, sometimes the longest there is. */
static uint16_t random_size(struct fuzz *fuzz)
{
    uint32_t kind = random_below(&fuzz->state, 64);

    if (kind == 0)
        return (uint16_t)random_below(&fuzz->state, LONGEST + 1);
    return (uint16_t)random_below(&fuzz->state, kind < 16 ? 9001 : 512);
}

static void fuzz_send(struct fuzz *fuzz)
{
    uint16_t count = (uint16_t)random_below(&fuzz->state, FUZZ_BURST + 1);
    uint16_t size = random_size(fuzz);
    uint16_t reserved, done;
    int err = memif_buffer_alloc(fuzz->flow.from, 0, buffers, count, &reserved, size);

    if (err != (reserved == count ? MEMIF_ERR_SUCCESS : MEMIF_ERR_NOBUF_RING))
        ck_abort_msg("alloc of %u times %u gave %u and code %d", count, size, reserved, err);
    for (uint16_t i = 0; i < reserved; i++) {
        /* Also less than reserved; a single buffer may hold more. */
        uint32_t length =
            random_below(&fuzz->state, 4) == 0 ? random_below(&fuzz->state, size + 1u) : size;

        write_pattern(buffers[i].data, length, fuzz->sent);
        buffers[i].data_len = length;
        fuzz->lengths[fuzz->sent++ % FUZZ_IN_FLIGHT] = length;
    }
    if (memif_tx_burst(fuzz->flow.from, 0, buffers, reserved, &done) != MEMIF_ERR_SUCCESS)
        ck_abort_msg("%u of %u packets were sent", done, reserved);
}

static void fuzz_receive(struct fuzz *fuzz)
{
    uint16_t count, done;
    int err = memif_rx_burst(fuzz->flow.to, 0, buffers,
                             (uint16_t)random_below(&fuzz->state, FUZZ_BURST + 1), &count);

    if (err != MEMIF_ERR_SUCCESS && err != MEMIF_ERR_NOBUF)
        ck_abort_msg("packet %u could not be received: %d", fuzz->received, err);
    for (uint16_t i = 0; i < count; i++) {
        uint32_t length = fuzz->lengths[fuzz->received % FUZZ_IN_FLIGHT];

        if (buffers[i].data_len != length)
            ck_abort_msg("packet %u has %u bytes, not %u", fuzz->received, buffers[i].data_len,
                         length);
        if (!holds_pattern(buffers[i].data, length, fuzz->received))
            ck_abort_msg("packet %u of %u bytes has other contents", fuzz->received, length);
        fuzz->received++;
    }
    if (memif_buffer_free(fuzz->flow.to, 0, buffers, count, &done) != MEMIF_ERR_SUCCESS)
        ck_abort_msg("%u of %u packets were freed", done, count);
}

MEMIF_TEST_LOOP(packets_of_mixed_sizes_arrive_with_every_byte, 0, WAYS)
{
    static struct fuzz fuzz;
    struct pair pair = {0};

    fuzz = (struct fuzz){.flow = open_way(&pair, _i, 11, 512), .state = RANDOM_SEED};
    while (fuzz.received < FUZZ_PACKETS) {
        fuzz_send(&fuzz);
        fuzz_receive(&fuzz);
    }
    ck_assert(end_is_up(&pair.master) && end_is_up(&pair.slave));
    pair_close(&pair);
}

MEMIF_TEST_MAIN("chain")
