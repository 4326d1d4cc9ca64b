/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Four slots at a time, with AVX2. Only for descriptors of version 512 that are plain: if one of
 * four is not, all four are left to the loop that handles slots one by one.
 *
 * A vector holds the same 64-bit word of four slots, in the order 0 2 1 3, because one instruction
 * converts that from and to pairs of descriptors.
 *
 * Shared memory is read once: after mif_vec_pin the compiler cannot load the vector again.
 */
#ifndef MIF_VECTORS_H
#define MIF_VECTORS_H

#include "core/attributes.h"
#include "core/state.h"

#include <immintrin.h>

#define MIF_VEC_SLOTS 4

/* Four descriptors: flags:16 region:16 length:32, and offset:32 metadata:32. */
struct mif_vec_pair {
    __m256i head;
    __m256i tail;
};

MIF_INLINE __m256i mif_vec_all(uint64_t value)
{
    return _mm256_set1_epi64x((long long)value);
}

/* value for the first slot, and step more for each next one. */
MIF_INLINE __m256i mif_vec_series(uint64_t value, uint32_t step)
{
    const __m256i order = _mm256_set_epi64x(3, 1, 2, 0);
    return _mm256_add_epi64(mif_vec_all(value), _mm256_mul_epu32(mif_vec_all(step), order));
}

MIF_INLINE __m256i mif_vec_load(const void *from)
{
    return _mm256_loadu_si256((const __m256i *)from);
}

MIF_INLINE void mif_vec_store(void *to, __m256i value)
{
    _mm256_storeu_si256((__m256i *)to, value);
}

MIF_INLINE __m256i mif_vec_pin(__m256i value)
{
    __asm__ volatile("" : "+x"(value));
    return value;
}

/* The two words of each of four adjacent slots or descriptors. */
MIF_INLINE struct mif_vec_pair mif_vec_read(const void *from)
{
    __m256i low = mif_vec_pin(mif_vec_load(from));
    __m256i high = mif_vec_pin(mif_vec_load((const uint8_t *)from + 32));
    return (struct mif_vec_pair){_mm256_unpacklo_epi64(low, high),
                                 _mm256_unpackhi_epi64(low, high)};
}

MIF_INLINE void mif_vec_write(void *to, __m256i head, __m256i tail)
{
    mif_vec_store(to, _mm256_unpacklo_epi64(head, tail));
    mif_vec_store((uint8_t *)to + 32, _mm256_unpackhi_epi64(head, tail));
}

/* Only the heads of four descriptors. */
MIF_INLINE void mif_vec_write_heads(void *to, __m256i heads)
{
    uint8_t *at = to;
    __m128d low = _mm_castsi128_pd(_mm256_castsi256_si128(heads));
    __m128d high = _mm_castsi128_pd(_mm256_extracti128_si256(heads, 1));
    _mm_storel_pd((double *)(void *)at, low);
    _mm_storel_pd((double *)(void *)(at + 16), high);
    _mm_storeh_pd((double *)(void *)(at + 32), low);
    _mm_storeh_pd((double *)(void *)(at + 48), high);
}

MIF_INLINE __m256i mif_vec_add(__m256i a, __m256i b)
{
    return _mm256_add_epi64(a, b);
}

/* The upper half of each word, as a word. */
MIF_INLINE __m256i mif_vec_high(__m256i words)
{
    return _mm256_srli_epi64(words, 32);
}

MIF_INLINE __m256i mif_vec_low(__m256i words)
{
    return _mm256_blend_epi32(words, _mm256_setzero_si256(), 0xAA);
}

/* Words from a lower half and an upper half. */
MIF_INLINE __m256i mif_vec_join(__m256i low, __m256i high)
{
    return _mm256_blend_epi32(low, _mm256_slli_epi64(high, 32), 0xAA);
}

/* Not zero where two words differ in the bits of the mask. */
MIF_INLINE __m256i mif_vec_differ(__m256i a, __m256i b, __m256i mask)
{
    return _mm256_and_si256(_mm256_xor_si256(a, b), mask);
}

/* Not zero where a is greater than b; words are below 2^63. */
MIF_INLINE __m256i mif_vec_greater(__m256i a, __m256i b)
{
    return _mm256_cmpgt_epi64(a, b);
}

MIF_INLINE __m256i mif_vec_or(__m256i a, __m256i b)
{
    return _mm256_or_si256(a, b);
}

MIF_INLINE bool mif_vec_any(__m256i bad)
{
    return !_mm256_testz_si256(bad, bad);
}

MIF_INLINE uint64_t mif_vec_sum(__m256i words)
{
    __m128i pair = _mm_add_epi64(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    return (uint64_t)_mm_cvtsi128_si64(pair) + (uint64_t)_mm_extract_epi64(pair, 1);
}

/* How many of `run` slots are handled in vectors. */
MIF_INLINE uint32_t mif_vec_slots(uint32_t run)
{
    return run & ~(MIF_VEC_SLOTS - 1u);
}

/* Offers buffers that form an array; returns how many of `run` it handled. */
MIF_INLINE uint32_t mif_vec_post(void *descs, uint32_t first, uint32_t run,
                                 const struct mif_buffer_array *array)
{
    struct mif_desc_512 *at = (struct mif_desc_512 *)descs + first;
    struct mif_desc_512 *const end = at + mif_vec_slots(run);
    const __m256i stride = mif_vec_all((uint64_t)MIF_VEC_SLOTS * array->stride);
    const __m256i head = mif_vec_all(array->word);
    __m256i tail = mif_vec_series(array->offset + (uint64_t)first * array->stride, array->stride);
    for (; at != end; at += MIF_VEC_SLOTS) {
        mif_vec_write(at, head, tail);
        tail = mif_vec_add(tail, stride);
    }
    return mif_vec_slots(run);
}

#endif
