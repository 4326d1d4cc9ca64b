/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vectors.h for AVX2. A vector holds its four words in the order 0 2 1 3, because one instruction
 * converts that from and to pairs of descriptors.
 */
#ifndef MIF_VECTORS_AVX2_H
#define MIF_VECTORS_AVX2_H

#include <immintrin.h>

typedef __m256i mif_vec;

struct mif_vec_pair {
    mif_vec head;
    mif_vec tail;
};

struct mif_vec_triple {
    mif_vec words[3];
};

struct mif_vec_quad {
    mif_vec words[4];
};

MIF_INLINE mif_vec mif_vec_all(uint64_t value)
{
    return _mm256_set1_epi64x((long long)value);
}

/* value for the first slot, and step more for each next one. */
MIF_INLINE mif_vec mif_vec_series(uint64_t value, uint32_t step)
{
    const __m256i order = _mm256_set_epi64x(3, 1, 2, 0);
    return _mm256_add_epi64(mif_vec_all(value), _mm256_mul_epu32(mif_vec_all(step), order));
}

MIF_INLINE mif_vec mif_vec_load(const void *from)
{
    return _mm256_loadu_si256((const __m256i *)from);
}

MIF_INLINE void mif_vec_store(void *to, __m256i value)
{
    _mm256_storeu_si256((__m256i *)to, value);
}

MIF_INLINE mif_vec mif_vec_pin(__m256i value)
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

/* The first words of four descriptors of four words. */
MIF_INLINE struct mif_vec_triple mif_vec_read_three_of_four(const void *from)
{
    const uint8_t *at = from;
    __m256i d0 = mif_vec_pin(mif_vec_load(at)), d1 = mif_vec_pin(mif_vec_load(at + 32));
    __m256i d2 = mif_vec_pin(mif_vec_load(at + 64)), d3 = mif_vec_pin(mif_vec_load(at + 96));
    __m256i even = _mm256_unpacklo_epi64(d0, d2), odd = _mm256_unpacklo_epi64(d1, d3);
    return (struct mif_vec_triple){{
        _mm256_permute2x128_si256(even, odd, 0x20),
        _mm256_permute2x128_si256(_mm256_unpackhi_epi64(d0, d2), _mm256_unpackhi_epi64(d1, d3),
                                  0x20),
        _mm256_permute2x128_si256(even, odd, 0x31),
    }};
}

MIF_INLINE void mif_vec_write_two_of_four(void *to, __m256i w0, __m256i w1)
{
    uint8_t *at = to;
    __m256i low = _mm256_unpacklo_epi64(w0, w1), high = _mm256_unpackhi_epi64(w0, w1);
    _mm_storeu_si128((__m128i *)(void *)at, _mm256_castsi256_si128(low));
    _mm_storeu_si128((__m128i *)(void *)(at + 32), _mm256_extracti128_si256(low, 1));
    _mm_storeu_si128((__m128i *)(void *)(at + 64), _mm256_castsi256_si128(high));
    _mm_storeu_si128((__m128i *)(void *)(at + 96), _mm256_extracti128_si256(high, 1));
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

MIF_INLINE mif_vec mif_vec_add(__m256i a, __m256i b)
{
    return _mm256_add_epi64(a, b);
}

/* The upper half of each word, as a word. */
MIF_INLINE mif_vec mif_vec_high(__m256i words)
{
    return _mm256_srli_epi64(words, 32);
}

MIF_INLINE mif_vec mif_vec_low(__m256i words)
{
    return _mm256_blend_epi32(words, _mm256_setzero_si256(), 0xAA);
}

/* Words from a lower half and an upper half. */
MIF_INLINE mif_vec mif_vec_join(__m256i low, __m256i high)
{
    return _mm256_blend_epi32(low, _mm256_slli_epi64(high, 32), 0xAA);
}

/* Not zero where two words differ in the bits of the mask. */
MIF_INLINE mif_vec mif_vec_differ(__m256i a, __m256i b, __m256i mask)
{
    return _mm256_and_si256(_mm256_xor_si256(a, b), mask);
}

/* Not zero where a is greater than b; words are below 2^63. */
MIF_INLINE mif_vec mif_vec_greater(__m256i a, __m256i b)
{
    return _mm256_cmpgt_epi64(a, b);
}

MIF_INLINE mif_vec mif_vec_or(__m256i a, __m256i b)
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

/* ---- entries of three words ---- */

/* Stores of 32 bytes but for the last. The next store overwrites the last 8 bytes. */
MIF_INLINE void mif_vec_store_threes(void *to, __m256i e0, __m256i e1, __m256i e2, __m256i e3)
{
    uint8_t *at = to;
    mif_vec_store(at, e0);
    mif_vec_store(at + 24, e1);
    mif_vec_store(at + 48, e2);
    _mm_storeu_si128((__m128i *)(void *)(at + 72), _mm256_castsi256_si128(e3));
    _mm_storel_epi64((__m128i *)(void *)(at + 88), _mm256_extracti128_si256(e3, 1));
}

MIF_INLINE void mif_vec_write_threes(void *to, mif_vec w0, mif_vec w1, mif_vec w2)
{
    __m256i low = _mm256_unpacklo_epi64(w0, w1);
    __m256i low_last = _mm256_unpacklo_epi64(w2, w2);
    __m256i high = _mm256_unpackhi_epi64(w0, w1);
    __m256i high_last = _mm256_unpackhi_epi64(w2, w2);
    mif_vec_store_threes(to, _mm256_permute2x128_si256(low, low_last, 0x20),
                         _mm256_permute2x128_si256(low, low_last, 0x31),
                         _mm256_permute2x128_si256(high, high_last, 0x20),
                         _mm256_permute2x128_si256(high, high_last, 0x31));
}

MIF_INLINE void mif_vec_write_series_of_threes(void *to, uint32_t count, uint64_t w0, uint64_t w2,
                                               uint32_t step)
{
    const __m256i next = _mm256_set_epi64x(0, step, 0, 1);
    const __m256i steps = _mm256_slli_epi64(next, 2);
    __m256i e0 = _mm256_set_epi64x(0, (long long)w2, 0, (long long)w0);
    __m256i e1 = mif_vec_add(e0, next), e2 = mif_vec_add(e1, next);
    __m256i e3 = mif_vec_add(e2, next);
    uint8_t *at = to;
    for (uint8_t *const end = at + (size_t)count * 24; at != end;
         at += (size_t)MIF_VEC_SLOTS * 24) {
        mif_vec_store_threes(at, e0, e1, e2, e3);
        e0 = mif_vec_add(e0, steps);
        e1 = mif_vec_add(e1, steps);
        e2 = mif_vec_add(e2, steps);
        e3 = mif_vec_add(e3, steps);
    }
}

MIF_INLINE struct mif_vec_pair mif_vec_read_two_of_three(const void *from)
{
    const uint8_t *at = from;
    __m256i low = _mm256_loadu2_m128i((const __m128i *)(const void *)(at + 24),
                                      (const __m128i *)(const void *)at);
    __m256i high = _mm256_loadu2_m128i((const __m128i *)(const void *)(at + 72),
                                       (const __m128i *)(const void *)(at + 48));
    return (struct mif_vec_pair){_mm256_unpacklo_epi64(low, high),
                                 _mm256_unpackhi_epi64(low, high)};
}

/* ---- entries of four words ---- */

MIF_INLINE void mif_vec_write_fours(void *to, mif_vec w0, mif_vec w1, mif_vec w2, mif_vec w3)
{
    uint8_t *at = to;
    __m256i low = _mm256_unpacklo_epi64(w0, w1);
    __m256i low_last = _mm256_unpacklo_epi64(w2, w3);
    __m256i high = _mm256_unpackhi_epi64(w0, w1);
    __m256i high_last = _mm256_unpackhi_epi64(w2, w3);
    mif_vec_store(at, _mm256_permute2x128_si256(low, low_last, 0x20));
    mif_vec_store(at + 32, _mm256_permute2x128_si256(low, low_last, 0x31));
    mif_vec_store(at + 64, _mm256_permute2x128_si256(high, high_last, 0x20));
    mif_vec_store(at + 96, _mm256_permute2x128_si256(high, high_last, 0x31));
}

MIF_INLINE void mif_vec_write_series_of_fours(void *to, uint32_t count, const uint64_t first[4],
                                              uint32_t step)
{
    const __m256i next = _mm256_set_epi64x(step, 0, 0, 1);
    __m256i entry = _mm256_set_epi64x((long long)first[3], (long long)first[2], (long long)first[1],
                                      (long long)first[0]);
    uint8_t *at = to;
    for (uint8_t *const end = at + (size_t)count * 32; at != end; at += 32) {
        mif_vec_store(at, entry);
        entry = mif_vec_add(entry, next);
    }
}

MIF_INLINE struct mif_vec_quad mif_vec_read_fours(const void *from)
{
    const uint8_t *at = from;
    __m256i e0 = mif_vec_load(at), e1 = mif_vec_load(at + 32);
    __m256i e2 = mif_vec_load(at + 64), e3 = mif_vec_load(at + 96);
    __m256i even = _mm256_unpacklo_epi64(e0, e2), odd = _mm256_unpacklo_epi64(e1, e3);
    __m256i even_high = _mm256_unpackhi_epi64(e0, e2), odd_high = _mm256_unpackhi_epi64(e1, e3);
    return (struct mif_vec_quad){{
        _mm256_permute2x128_si256(even, odd, 0x20),
        _mm256_permute2x128_si256(even_high, odd_high, 0x20),
        _mm256_permute2x128_si256(even, odd, 0x31),
        _mm256_permute2x128_si256(even_high, odd_high, 0x31),
    }};
}

#endif
