/* SPDX-License-Identifier: Apache-2.0 */

#include <pthread.h>

#include "harness.h"
#include "pair_v4.h"

static const struct shape small_rings = {.log2_ring_size = 2, .buffer_size = 64};

/* ---- the program's allocator: it knows what it has given out ---- */

enum { MOST_LIVE = 4096 };

static struct {
    pthread_mutex_t lock;
    void *live[MOST_LIVE];
    size_t live_count;
    size_t calls;
    size_t refused; /* call number `refused` gets nothing; counted from 1, 0 refuses none */
    bool all_refused;
    size_t foreign; /* pointers given back that were not out */
} heap = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *keep(void *pointer)
{
    if (pointer != NULL && heap.live_count < MOST_LIVE)
        heap.live[heap.live_count++] = pointer;
    return pointer;
}

static bool forget(const void *pointer)
{
    for (size_t i = 0; i < heap.live_count; i++) {
        if (heap.live[i] == pointer) {
            heap.live[i] = heap.live[--heap.live_count];
            return true;
        }
    }
    heap.foreign++;
    return false;
}

static bool is_refused(void)
{
    return ++heap.calls == heap.refused || heap.all_refused;
}

static void *heap_alloc(size_t size)
{
    (void)pthread_mutex_lock(&heap.lock);
    void *pointer = is_refused() ? NULL : keep(malloc(size));
    if (pointer != NULL)
        memset(pointer, 0xa5, size); /* the library must not take it for cleared */
    (void)pthread_mutex_unlock(&heap.lock);
    return pointer;
}

static void *heap_realloc(void *old, size_t size)
{
    void *pointer = NULL;

    (void)pthread_mutex_lock(&heap.lock);
    if (!is_refused() && (old == NULL || forget(old)))
        pointer = keep(realloc(old, size));
    (void)pthread_mutex_unlock(&heap.lock);
    return pointer;
}

static void heap_free(void *pointer)
{
    (void)pthread_mutex_lock(&heap.lock);
    if (pointer != NULL && forget(pointer))
        free(pointer);
    (void)pthread_mutex_unlock(&heap.lock);
}

static void use_heap(struct control *control)
{
    control->args.alloc = heap_alloc;
    control->args.realloc = heap_realloc;
    control->args.free = heap_free;
}

static void expect_balanced_heap(void)
{
    ck_assert_uint_eq(heap.foreign, 0);
    ck_assert_uint_eq(heap.live_count, 0);
}

/* ---- used and balanced ---- */

MEMIF_TEST(a_socket_comes_from_the_programs_allocator)
{
    struct control control = {0};

    use_heap(&control);
    control_must_open(&control, "a.sock");
    ck_assert_uint_gt(heap.live_count, 0);
    control_close(&control);
    expect_balanced_heap();
}

static void exchange(const struct pair *pair)
{
    for (uint32_t i = 0; i < 10; i++) {
        send_packets(pair->slave.conn, 0, 3, 64, i);
        expect_packets(pair->master.conn, 0, 3, 64, i);
        send_packets(pair->master.conn, 0, 3, 64, i);
        expect_packets(pair->slave.conn, 0, 3, 64, i);
    }
}

/* By master, slave or both. */
MEMIF_TEST_LOOP(whatever_is_allocated_for_a_connection_is_given_back, 0,
                VERSIONS * 3 * POLLING_STYLES)
{
    struct pair pair = {0};
    struct shape shape = small_rings;
    int who = _i / VERSIONS % 3 + 1;

    shape.version = version_of(_i);
    shape.polling = (enum polling)(_i / VERSIONS / 3);
    shape.s2m_rings = 2;
    if (who & 1)
        use_heap(&pair.master_control);
    if (who & 2)
        use_heap(&pair.slave_control);
    pair_open_sockets(&pair, &shape);
    size_t sockets = heap.live_count;
    for (int i = 0; i < 3; i++) {
        size_t calls = heap.calls;
        pair_connect(&pair, &shape);
        ck_assert_uint_gt(heap.calls, calls);
        exchange(&pair);
        end_delete(&pair.slave);
        RUN_UNTIL(!end_is_up(&pair.master));
        ck_assert_uint_eq(heap.live_count, sockets);
        end_delete(&pair.master);
    }
    control_close(&pair.slave_control);
    control_close(&pair.master_control);
    expect_balanced_heap();
}

MEMIF_TEST(bursts_allocate_nothing)
{
    struct pair pair = {0};

    use_heap(&pair.master_control);
    use_heap(&pair.slave_control);
    pair_open(&pair, &small_rings);
    size_t calls = heap.calls;
    exchange(&pair);
    ck_assert_uint_eq(heap.calls, calls);
    pair_close(&pair);
    expect_balanced_heap();
}

MEMIF_TEST(each_socket_uses_its_own_allocator)
{
    struct control control = {0};
    struct pair pair = {0};

    pair_open(&pair, &small_rings);
    exchange(&pair);
    ck_assert_uint_eq(heap.calls, 0);
    use_heap(&control);
    control_must_open(&control, "a.sock");
    size_t calls = heap.calls;
    end_delete(&pair.slave);
    control_close(&pair.slave_control);
    ck_assert_uint_eq(heap.calls, calls);
    end_delete(&pair.master);
    control_close(&pair.master_control);
    control_close(&control);
    expect_balanced_heap();
}

/* ---- an allocator that fails ---- */

MEMIF_TEST(a_socket_for_which_there_is_no_memory_is_nomem)
{
    struct control control = {0};

    use_heap(&control);
    heap.all_refused = true;
    ck_assert_int_eq(control_open(&control, "a.sock"), MEMIF_ERR_NOMEM);
    ck_assert_ptr_null(control.handle);
    expect_balanced_heap();
    heap.all_refused = false;
    control_must_open(&control, "a.sock");
    control_close(&control);
}

static void open_despite_refusal(struct control *control)
{
    int err = control_open(control, "pair.sock");

    if (err != MEMIF_ERR_SUCCESS) {
        ck_assert_int_eq(err, MEMIF_ERR_NOMEM);
        control_must_open(control, "pair.sock");
    }
}

static bool has_failed(const struct end *end)
{
    return details_of(end->conn).error[0] != '\0';
}

/* How far a pair comes while allocation number `refused` fails; true: all the way. */
static bool connects_with_refusal(struct pair *pair, size_t refused)
{
    use_heap(&pair->master_control);
    use_heap(&pair->slave_control);
    heap.calls = 0;
    heap.refused = refused;
    open_despite_refusal(&pair->master_control);
    open_despite_refusal(&pair->slave_control);
    pair->master.args = (memif_conn_args_t){.is_master = 1, .log2_ring_size = 2, .buffer_size = 64};
    pair->slave.args = (memif_conn_args_t){.log2_ring_size = 2, .buffer_size = 64};
    end_must_create(&pair->master, &pair->master_control);
    end_must_create(&pair->slave, &pair->slave_control);
    RUN_UNTIL(has_failed(&pair->slave) || (end_is_up(&pair->slave) && end_is_up(&pair->master)));
    return end_is_up(&pair->slave);
}

MEMIF_TEST_LOOP(a_connection_survives_the_failure_of_any_allocation, 0, VERSIONS)
{
    bool all_the_way = false;
    size_t failures = 0;

    restrict_protocol(version_of(_i));
    for (size_t refused = 1; !all_the_way || heap.calls >= refused; refused++) {
        struct pair pair = {0};

        all_the_way = connects_with_refusal(&pair, refused);
        if (!all_the_way) {
            failures++;
            ck_assert_uint_eq(pair.slave.connects, pair.slave.disconnects);
            ck_assert_int_eq(memif_request_connection(pair.slave.conn), MEMIF_ERR_SUCCESS);
            RUN_UNTIL(end_is_up(&pair.slave) && end_is_up(&pair.master));
        }
        ck_assert_int_eq(memif_refill_queue(pair.slave.conn, 0, UINT16_MAX, 0), MEMIF_ERR_SUCCESS);
        exchange(&pair);
        pair_close(&pair);
        expect_balanced_heap();
        ck_assert_uint_eq(shared_mappings(), 0);
        ck_assert_uint_eq(files_in_folder(), 0);
    }
    ck_assert_uint_gt(failures, 0);
}

MEMIF_TEST_MAIN("4.0 alloc")
