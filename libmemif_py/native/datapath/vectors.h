/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Four slots at a time, in the vectors of AVX2. Only descriptors of version 512, and only what is
 * plain: whoever finds one of four that is not leaves all four to the loop that goes one by one.
 *
 * A vector holds the same 64-bit word of four slots, in the order 0 2 1 3: so it comes out of, and
 * goes back into, pairs of descriptors with one instruction.
 *
 * What lies in shared memory is read once: the compiler cannot load a vector again that has been
 * through mif_lanes_pin.
 */
#ifndef MIF_VECTORS_H
#define MIF_VECTORS_H

#include "core/connection.h"

#include <immintrin.h>

#define MIF_LANES 4

#define MIF_LANES_INLINE static inline __attribute__((always_inline))

/* Four descriptors: flags:16 region:16 length:32, and offset:32 metadata:32. */
struct mif_lanes {
    __m256i head;
    __m256i tail;
};

MIF_LANES_INLINE __m256i mif_lanes_all(uint64_t value)
{
    return _mm256_set1_epi64x((long long)value);
}

/* value, and step more with each slot. */
MIF_LANES_INLINE __m256i mif_lanes_series(uint64_t value, uint32_t step)
{
    const __m256i order = _mm256_set_epi64x(3, 1, 2, 0);
    return _mm256_add_epi64(mif_lanes_all(value), _mm256_mul_epu32(mif_lanes_all(step), order));
}

MIF_LANES_INLINE __m256i mif_lanes_load(const void *from)
{
    return _mm256_loadu_si256((const __m256i *)from);
}

MIF_LANES_INLINE void mif_lanes_store(void *to, __m256i value)
{
    _mm256_storeu_si256((__m256i *)to, value);
}

MIF_LANES_INLINE __m256i mif_lanes_pin(__m256i value)
{
    __asm__ volatile("" : "+x"(value));
    return value;
}

/* Two words of each of four slots or descriptors that lie one after the other. */
MIF_LANES_INLINE struct mif_lanes mif_lanes_read(const void *from)
{
    __m256i low = mif_lanes_pin(mif_lanes_load(from));
    __m256i high = mif_lanes_pin(mif_lanes_load((const uint8_t *)from + 32));
    return (struct mif_lanes){_mm256_unpacklo_epi64(low, high), _mm256_unpackhi_epi64(low, high)};
}

MIF_LANES_INLINE void mif_lanes_write(void *to, __m256i head, __m256i tail)
{
    mif_lanes_store(to, _mm256_unpacklo_epi64(head, tail));
    mif_lanes_store((uint8_t *)to + 32, _mm256_unpackhi_epi64(head, tail));
}

/* The heads of four descriptors alone. */
MIF_LANES_INLINE void mif_lanes_write_heads(void *to, __m256i heads)
{
    uint8_t *at = to;
    __m128d low = _mm_castsi128_pd(_mm256_castsi256_si128(heads));
    __m128d high = _mm_castsi128_pd(_mm256_extracti128_si256(heads, 1));
    _mm_storel_pd((double *)(void *)at, low);
    _mm_storel_pd((double *)(void *)(at + 16), high);
    _mm_storeh_pd((double *)(void *)(at + 32), low);
    _mm_storeh_pd((double *)(void *)(at + 48), high);
}

MIF_LANES_INLINE __m256i mif_lanes_add(__m256i a, __m256i b)
{
    return _mm256_add_epi64(a, b);
}

/* The upper half of each word, as a word. */
MIF_LANES_INLINE __m256i mif_lanes_high(__m256i words)
{
    return _mm256_srli_epi64(words, 32);
}

MIF_LANES_INLINE __m256i mif_lanes_low(__m256i words)
{
    return _mm256_blend_epi32(words, _mm256_setzero_si256(), 0xAA);
}

/* Words from a lower half and an upper half. */
MIF_LANES_INLINE __m256i mif_lanes_join(__m256i low, __m256i high)
{
    return _mm256_blend_epi32(low, _mm256_slli_epi64(high, 32), 0xAA);
}

/* Not zero where a word differs in the bits of the mask. */
MIF_LANES_INLINE __m256i mif_lanes_differ(__m256i a, __m256i b, __m256i mask)
{
    return _mm256_and_si256(_mm256_xor_si256(a, b), mask);
}

/* Not zero where a word is greater; words are below 2^63. */
MIF_LANES_INLINE __m256i mif_lanes_greater(__m256i a, __m256i b)
{
    return _mm256_cmpgt_epi64(a, b);
}

MIF_LANES_INLINE __m256i mif_lanes_or(__m256i a, __m256i b)
{
    return _mm256_or_si256(a, b);
}

MIF_LANES_INLINE bool mif_lanes_any(__m256i bad)
{
    return !_mm256_testz_si256(bad, bad);
}

MIF_LANES_INLINE uint64_t mif_lanes_sum(__m256i words)
{
    __m128i pair = _mm_add_epi64(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    return (uint64_t)_mm_cvtsi128_si64(pair) + (uint64_t)_mm_extract_epi64(pair, 1);
}

/* How many of `run` slots are done in lanes. */
MIF_LANES_INLINE uint32_t mif_lanes_of(uint32_t run)
{
    return run & ~(MIF_LANES - 1u);
}

/* Offers buffers that lie in a row; returns how many of `run`. */
MIF_LANES_INLINE uint32_t mif_lanes_post(void *descs, uint32_t first, uint32_t run,
                                         const struct mif_row *row)
{
    struct mif_desc_512 *at = (struct mif_desc_512 *)descs + first;
    struct mif_desc_512 *const end = at + mif_lanes_of(run);
    const __m256i stride = mif_lanes_all((uint64_t)MIF_LANES * row->stride);
    const __m256i head = mif_lanes_all(row->word);
    __m256i tail = mif_lanes_series(row->offset + (uint64_t)first * row->stride, row->stride);
    for (; at != end; at += MIF_LANES) {
        mif_lanes_write(at, head, tail);
        tail = mif_lanes_add(tail, stride);
    }
    return mif_lanes_of(run);
}

#endif
