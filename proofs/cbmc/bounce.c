/* SPDX-License-Identifier: Apache-2.0 */
/* Bounce buffers: those of a queue's packets, and the spare ones. A queue has up to MODEL_SPARE of
 * these, of any size. */
#include "core/bounce.h"

#include <stdlib.h>

static void *model_allocate(size_t size)
{
    bool fails;
    return fails ? NULL : malloc(size);
}
#define aligned_alloc(alignment, size) model_allocate(size)

static uint32_t model_freed;

static void model_free(void *memory)
{
    model_freed += memory != NULL;
    free(memory);
}
#define free(memory) model_free(memory)

#include "core/bounce.c"

#include "unchecked_begin.h"

#define MODEL_SPARE 2

static struct mif_queue model_queue;
static struct mif_order model_order;
static struct mif_chain model_chains[MODEL_SLOTS];
static struct mif_bounce *model_spare[MODEL_SPARE];

static struct mif_bounce *make_bounce(size_t most)
{
    size_t capacity;
    __CPROVER_assume(capacity <= most);
    struct mif_bounce *bounce = malloc(sizeof(struct mif_bounce) + capacity);
    __CPROVER_assume(bounce != NULL);
    bounce->capacity = capacity;
    return bounce;
}

static void make_spare(void)
{
    uint32_t count;
    model_order.spare = NULL;
    model_order.spare_bytes = 0;
    for (uint32_t i = 0; i < MODEL_SPARE; i++) {
        model_spare[i] = NULL;
        if (i >= count)
            continue;
        struct mif_bounce *bounce = make_bounce(MIF_MAX_SPARE_BYTES - model_order.spare_bytes);
        bounce->next = model_order.spare;
        model_order.spare = model_spare[i] = bounce;
        model_order.spare_bytes += bounce->capacity;
    }
    model_queue.order = &model_order;
    model_queue.mask = MODEL_SLOTS - 1;
    model_queue.chain_of = model_chains;
}

/* The list ends, each buffer is there and as large as it says, and they are counted. */
static void check_spare(const struct mif_bounce *outside)
{
    const struct mif_bounce *at = model_order.spare;
    size_t bytes = 0;
    for (uint32_t i = 0; i < MODEL_SPARE + 1; i++) {
        if (at == NULL)
            break;
        __CPROVER_assert(at != outside, "a buffer in use is not a spare one");
        __CPROVER_assert(__CPROVER_rw_ok(at, sizeof(*at) + at->capacity), "a buffer is there");
        bytes += at->capacity;
        at = at->next;
    }
    __CPROVER_assert(at == NULL, "the list ends");
    __CPROVER_assert(bytes == model_order.spare_bytes && bytes <= MIF_MAX_SPARE_BYTES,
                     "spare bytes are counted");
}

void prove_take(void)
{
    uint32_t length;
    make_spare();
    const struct mif_bounce *bounce = mif_bounce_take(&model_queue, length);
    if (bounce != NULL)
        __CPROVER_assert(bounce->capacity >= length &&
                             __CPROVER_rw_ok(bounce, sizeof(*bounce) + bounce->capacity),
                         "a buffer has the length");
    check_spare(bounce);
}

void prove_give_back(void)
{
    bool exists;
    make_spare();
    struct mif_bounce *bounce = make_bounce((size_t)UINT32_MAX + 4096);
    mif_bounce_give_back(&model_queue, exists ? bounce : NULL);
    check_spare(exists ? NULL : bounce);
}

void prove_free_all(void)
{
    uint16_t chains = 0;
    uint32_t spare = 0;
    make_spare();
    for (uint32_t i = 0; i < MODEL_SPARE; i++)
        spare += model_spare[i] != NULL;
    for (uint32_t i = 0; i < MODEL_SLOTS; i++) {
        bool exists;
        model_chains[i].bounce = exists ? make_bounce((size_t)UINT32_MAX + 4096) : NULL;
        chains += exists ? 1 : 0; /* any bool may be any byte */
    }
    model_queue.chains = chains;
    mif_bounce_free_all(&model_queue);
    /* None twice: CBMC looks for that. */
    __CPROVER_assert(model_freed == chains + spare, "all buffers are freed");
    __CPROVER_assert(model_order.spare == NULL && model_order.spare_bytes == 0, "none is left");
}

#include "unchecked_end.h"
