/* SPDX-License-Identifier: Apache-2.0 */

/* Bounce buffers: how large they are, which are kept for the next packets, and who frees them. */

#include <stddef.h>
#include <stdlib.h>

#include "harness.h"

#include "core/bounce.h"
#include "core/ring.h"

enum { SLOTS = 4, STEP = 2048, LARGEST = MIF_MAX_SPARE_BYTES };

static struct mif_chain chains[SLOTS];
static struct mif_order order;
static struct mif_queue queue = {.mask = SLOTS - 1, .chain_of = chains, .order = &order};
static void *live[64]; /* by number; the harness frees memory of its own */
static size_t sizes[64];
static int taken, freed;
static bool refuses;

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    if (refuses)
        return NULL;
    sizes[taken] = size;
    return live[taken++] = __real_aligned_alloc(alignment, size);
}

void __real_free(void *pointer);
void __wrap_free(void *pointer)
{
    for (int number = 0; number < taken; number++)
        if (pointer != NULL && live[number] == pointer) {
            live[number] = NULL;
            freed++;
        }
    __real_free(pointer);
}

static struct mif_bounce *take(uint32_t length, size_t capacity)
{
    struct mif_bounce *bounce = mif_bounce_take(&queue, length);

    ck_assert_ptr_nonnull(bounce);
    ck_assert_uint_eq(bounce->capacity, capacity);
    for (int number = 0; number < taken; number++)
        if (live[number] == bounce)
            ck_assert_uint_ge(sizes[number], offsetof(struct mif_bounce, data) + capacity);
    ck_assert_uint_eq((uintptr_t)bounce->data % MIF_CACHE_LINE, 0);
    bounce->data[0] = bounce->data[capacity - 1] = 1;
    return bounce;
}

MEMIF_TEST(a_buffer_has_room_for_its_packet)
{
    static const struct {
        uint32_t length;
        size_t capacity;
    } cases[] = {{0, STEP},
                 {1, STEP},
                 {STEP - 1, STEP},
                 {STEP, 2 * STEP},
                 {STEP + 1, 2 * STEP},
                 {65535, 32 * STEP},
                 {65536, 33 * STEP},
                 {9000, 5 * STEP}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        free(take(cases[i].length, cases[i].capacity));
    ck_assert_int_eq(taken, freed);
}

MEMIF_TEST(one_that_was_given_back_is_the_next_if_it_is_large_enough)
{
    struct mif_bounce *first = take(100, STEP), *second = take(100, STEP);

    mif_bounce_give_back(&queue, first);
    mif_bounce_give_back(&queue, second);
    ck_assert_uint_eq(order.spare_bytes, 2 * STEP);
    ck_assert(take(200, STEP) == second);
    ck_assert_uint_eq(order.spare_bytes, STEP);
    ck_assert(take(STEP, STEP) == first); /* of exactly that size */
    ck_assert_uint_eq(order.spare_bytes, 0);
    ck_assert_ptr_null(order.spare);
    ck_assert_int_eq(taken, 2);
    ck_assert_int_eq(freed, 0);
    free(first);
    free(second);
}

MEMIF_TEST(one_that_is_too_small_is_freed)
{
    mif_bounce_give_back(&queue, take(100, STEP));
    struct mif_bounce *larger = take(STEP + 1, 2 * STEP);
    ck_assert_int_eq(freed, 1);
    ck_assert_int_eq(taken, 2);
    ck_assert_uint_eq(order.spare_bytes, 0);
    free(larger);
}

MEMIF_TEST(spare_ones_have_a_limit)
{
    struct mif_bounce *whole = take(LARGEST - 1, LARGEST), *small = take(1, STEP);

    mif_bounce_give_back(&queue, NULL);
    ck_assert_ptr_null(order.spare);
    mif_bounce_give_back(&queue, whole);
    ck_assert_uint_eq(order.spare_bytes, LARGEST);
    mif_bounce_give_back(&queue, small);
    ck_assert_int_eq(freed, 1);
    ck_assert_uint_eq(order.spare_bytes, LARGEST);
    ck_assert(take(LARGEST, LARGEST) == whole);
    mif_bounce_give_back(&queue, take(1, STEP));
    mif_bounce_give_back(&queue, whole); /* together they are more */
    ck_assert_int_eq(freed, 2);
    ck_assert_uint_eq(order.spare_bytes, STEP);
    mif_bounce_free_all(&queue);
    ck_assert_int_eq(freed, taken);
}

MEMIF_TEST(without_memory_there_is_none)
{
    mif_bounce_give_back(&queue, take(100, STEP));
    refuses = true;
    ck_assert_ptr_null(mif_bounce_take(&queue, STEP + 1));
    ck_assert_int_eq(freed, 1);
    ck_assert_ptr_null(mif_bounce_take(&queue, 1));
    ck_assert_uint_eq(order.spare_bytes, 0);
}

MEMIF_TEST(at_the_end_all_are_freed_wherever_they_are)
{
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        chains[slot].bounce = take(slot, STEP);
    queue.chains = SLOTS;
    mif_bounce_free_all(&queue);
    ck_assert_int_eq(freed, SLOTS);
    struct mif_bounce *first = take(1, STEP), *second = take(1, STEP);
    mif_bounce_give_back(&queue, first);
    mif_bounce_give_back(&queue, second);
    queue.chains = 0; /* then no slot has one, whatever stands there */
    mif_bounce_free_all(&queue);
    ck_assert_int_eq(freed, SLOTS + 2);
    ck_assert_ptr_null(order.spare);
    ck_assert_uint_eq(order.spare_bytes, 0);
    queue.order = NULL; /* it was never up */
    mif_bounce_free_all(&queue);
    ck_assert_int_eq(freed, SLOTS + 2);
}

MEMIF_TEST(one_packet_alone_is_freed_as_well)
{
    chains[SLOTS - 1].bounce = take(1, STEP);
    queue.chains = 1;
    mif_bounce_free_all(&queue);
    ck_assert_int_eq(freed, 1);
}

MEMIF_TEST_MAIN("bounce")
