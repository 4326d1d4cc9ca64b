/* SPDX-License-Identifier: Apache-2.0 */
#include "core/fork.h"

#include <stdatomic.h>

static atomic_bool forked_child;
static _Atomic uint32_t generation; /* forks that lead to this process */

bool mif_in_forked_child(void)
{
    return atomic_load_explicit(&forked_child, memory_order_relaxed);
}

uint32_t mif_generation(void)
{
    return atomic_load_explicit(&generation, memory_order_relaxed);
}

void mif_fork_began(void)
{
    atomic_store(&forked_child, true);
    atomic_fetch_add(&generation, 1);
}

void mif_fork_ended(void)
{
    atomic_store(&forked_child, false);
}
