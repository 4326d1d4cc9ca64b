/* SPDX-License-Identifier: Apache-2.0 */

/* Bursts without an array or without a place for the result: which of them the queue hears of. */

#include "scene.h"

enum { CALLS = 4, EXTRA = 77 };

#ifdef TESTBED_ENTRY_FACE
#define VECTOR_CALLS mif_entry_calls_avx2
#else
#define VECTOR_CALLS mif_packet_calls_avx2
#endif

static struct testbed bed;

static struct {
    const struct mif_queue *q;
    unsigned calls[2];
    void *bufs;
    uint32_t extra;
    uint16_t count;
} seen;

static int note(struct mif_queue *q, int call, uint32_t extra, void *bufs, uint16_t count)
{
    seen.q = q;
    seen.calls[call]++;
    seen.bufs = bufs;
    seen.extra = extra;
    seen.count = count;
    return mif_end(q, MIF_ERR_SUCCESS);
}

static int first_call(struct mif_queue *q, uint32_t extra, void *bufs, uint16_t count,
                      uint16_t *out)
{
    *out = count;
    return note(q, 0, extra, bufs, count);
}

static int second_call(struct mif_queue *q, uint32_t extra, void *bufs, uint16_t count,
                       uint16_t *out)
{
    *out = count;
    return note(q, 1, extra, bufs, count);
}

static void open_bed(void)
{
    struct testbed_shape shape;

    (void)shape_of(MIF_KIND_512_SLAVE, &shape);
    testbed_open(&bed, &shape);
    for (int d = MIF_RX; d <= MIF_TX; d++) {
        atomic_store(&bed.queue[d]->call[0], first_call);
        atomic_store(&bed.queue[d]->call[1], second_call);
    }
    memset(&seen, 0, sizeof(seen));
}

static int call(int i, void *bufs, uint16_t count, uint16_t *out)
{
    return mif_call_checked(bed.handle, 0, i < 2 ? MIF_RX : MIF_TX, (enum mif_call)(i % 2), EXTRA,
                            bufs, count, out);
}

static void expect_seen(int i, void *bufs, uint32_t extra, uint16_t count)
{
    ck_assert_ptr_eq(seen.q, bed.queue[i < 2 ? MIF_RX : MIF_TX]);
    ck_assert_uint_eq(seen.calls[i % 2], 1);
    ck_assert_uint_eq(seen.calls[1 - i % 2], 0);
    ck_assert_ptr_eq(seen.bufs, bufs);
    ck_assert_uint_eq(seen.extra, extra);
    ck_assert_uint_eq(seen.count, count);
}

MEMIF_TEST_LOOP(a_call_reaches_its_queue, 0, CALLS)
{
    memif_buffer_t bufs[2];

    for (uint16_t count = 0; count < 3; count++) {
        uint16_t n = 9;
        open_bed();
        ck_assert_int_eq(call(_i, bufs, count, &n), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
        ck_assert_uint_eq(n, count);
        expect_seen(_i, bufs, EXTRA, count);
        testbed_close(&bed);
    }
}

MEMIF_TEST_LOOP(only_a_burst_of_none_has_no_array, 0, CALLS)
{
    for (uint16_t count = 0; count < 3; count++) {
        uint16_t n = 9;
        open_bed();
        ck_assert_int_eq(call(_i, NULL, count, &n),
                         MIF_FACE_ERROR(count == 0 ? MIF_ERR_SUCCESS : MIF_ERR_INVAL_ARG));
        if (count == 0)
            expect_seen(_i, NULL, 0, 0);
        else
            ck_assert_ptr_null(seen.q);
        testbed_close(&bed);
    }
}

MEMIF_TEST_LOOP(the_result_needs_a_place, 0, CALLS)
{
    memif_buffer_t buf;

    open_bed();
    ck_assert_int_eq(call(_i, &buf, 1, NULL), MIF_FACE_ERROR(MIF_ERR_INVAL_ARG));
    ck_assert_int_eq(call(_i, NULL, 0, NULL), MIF_FACE_ERROR(MIF_ERR_INVAL_ARG));
    ck_assert_ptr_null(seen.q);
    testbed_close(&bed);
}

#ifdef MIF_HAVE_AVX2
/* Its instructions would end the process elsewhere. */
MEMIF_TEST_LOOP(only_a_processor_with_vectors_runs_their_code, 0, WAYS)
{
    struct testbed_shape shape;

    if (!shape_of(_i, &shape))
        return;
    testbed_open(&bed, &shape);
    mif_burst_fn *bound, *const vectors[CALLS] = {
                             VECTOR_CALLS.rx[shape.kind],
                             VECTOR_CALLS.give_back[shape.kind],
                             VECTOR_CALLS.reserve[shape.kind],
                             VECTOR_CALLS.tx[shape.kind],
                         };
    for (int i = 0; i < CALLS; i++) {
        bound = atomic_load(&bed.queue[i < 2 ? MIF_RX : MIF_TX]->call[i % 2]);
        ck_assert((bound == vectors[i]) == shape.vectors);
    }
    testbed_close(&bed);
}
#endif

MEMIF_TEST_MAIN("arguments")
