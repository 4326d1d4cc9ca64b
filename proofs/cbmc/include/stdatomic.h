/* SPDX-License-Identifier: Apache-2.0 */
/*
 * <stdatomic.h> for the proofs: what another process may write is another value at each read.
 *
 * A read of the ring's header or of a descriptor gives any value at all; a write there is checked
 * and recorded (model_stored), and forgotten. All other objects are ordinary memory: they belong to
 * one thread.
 */
#ifndef MODEL_STDATOMIC_H
#define MODEL_STDATOMIC_H

#include <stdbool.h>
#include <stdint.h>

typedef _Atomic _Bool atomic_bool;
typedef enum {
    memory_order_relaxed,
    memory_order_acquire,
    memory_order_release,
    memory_order_seq_cst
} memory_order;

/* True for memory that the peer writes too. */
_Bool model_is_shared(const volatile void *at);
/* A value was written there. */
void model_stored(const volatile void *at, uint64_t value);
/* A value was read there. */
#ifdef MODEL_LOADED
void model_loaded(const volatile void *at, uint64_t value);
#else
#define model_loaded(at, value) ((void)0)
#endif

/* A local without an initial value has any value. */
#define atomic_load_explicit(at, order)                                                            \
    ({                                                                                             \
        __typeof__(at) model_at = (at);                                                            \
        __typeof__(*(at)) model_value;                                                             \
        if (model_is_shared(model_at)) {                                                           \
            __CPROVER_assert(__CPROVER_r_ok(model_at, sizeof(*model_at)),                          \
                             "a shared word is read where it is mapped");                          \
            model_loaded(model_at, (uint64_t)model_value);                                         \
        } else {                                                                                   \
            model_value = *model_at;                                                               \
        }                                                                                          \
        model_value;                                                                               \
    })
#define atomic_store_explicit(at, value, order)                                                    \
    do {                                                                                           \
        __typeof__(at) model_at = (at);                                                            \
        __typeof__(*(at)) model_new = (value);                                                     \
        if (model_is_shared(model_at)) {                                                           \
            __CPROVER_assert(__CPROVER_w_ok(model_at, sizeof(*model_at)),                          \
                             "a shared word is written where it is mapped");                       \
            model_stored(model_at, (uint64_t)model_new);                                           \
        } else {                                                                                   \
            *model_at = model_new;                                                                 \
        }                                                                                          \
    } while (0)

#define atomic_compare_exchange_strong(at, expected, value)                                        \
    ({                                                                                             \
        __typeof__(*(at)) model_was = atomic_load(at);                                             \
        bool model_same = model_was == *(expected);                                                \
        if (model_same)                                                                            \
            atomic_store(at, value);                                                               \
        else                                                                                       \
            *(expected) = model_was;                                                               \
        model_same;                                                                                \
    })

#define atomic_load(at) atomic_load_explicit(at, memory_order_seq_cst)
#define atomic_store(at, value) atomic_store_explicit(at, value, memory_order_seq_cst)
#define atomic_thread_fence(order) ((void)0)
#define atomic_signal_fence(order) ((void)0)

#define __atomic_store_n(at, value, order) ((void)(*(at) = (value)))
#define __atomic_load_n(at, order) (*(at))

#endif
