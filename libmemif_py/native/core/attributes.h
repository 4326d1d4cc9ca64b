/* SPDX-License-Identifier: Apache-2.0 */
/* What the compiler is told of functions and branches. */
#ifndef MIF_ATTRIBUTES_H
#define MIF_ATTRIBUTES_H

#define MIF_INLINE static inline __attribute__((always_inline))
#define MIF_LIKELY(x) __builtin_expect(!!(x), 1)
#define MIF_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* For functions that a burst jumps to: they keep their parameters, so that these stay in their
 * registers. */
#if defined(__GNUC__) && !defined(__clang__)
#define MIF_JUMP_TARGET __attribute__((noipa))
#else
#define MIF_JUMP_TARGET __attribute__((noinline))
#endif

/* -fstack-protector-strong guards every function that passes on the address of a local. In bursts
 * and signals that local is a counter, or eight bytes for the kernel, never an array that could be
 * overrun, and the guard would cost up to an eighth of the burst. */
#if defined(__has_attribute)
#if __has_attribute(no_stack_protector)
#define MIF_NO_STACK_PROTECTOR __attribute__((no_stack_protector))
#endif
#endif
#ifndef MIF_NO_STACK_PROTECTOR
#define MIF_NO_STACK_PROTECTOR
#endif

#endif
