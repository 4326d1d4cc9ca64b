/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vectors.h for NEON, which every aarch64 has. A vector is two registers of two words.
 *
 * Each word of shared memory is read and written as a whole: the elements of a structure load or
 * store are single-copy atomic. Entries, which no peer sees, are taken apart and put together in
 * registers instead, because many processors are slow at structures of three and four words.
 */
#ifndef MIF_VECTORS_NEON_H
#define MIF_VECTORS_NEON_H

#include <arm_neon.h>

typedef struct mif_vec {
    uint64x2_t low;
    uint64x2_t high;
} mif_vec;

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

MIF_INLINE uint64x2_t mif_vec_of(uint64_t first, uint64_t second)
{
    return vcombine_u64(vcreate_u64(first), vcreate_u64(second));
}

MIF_INLINE mif_vec mif_vec_all(uint64_t value)
{
    return (mif_vec){vdupq_n_u64(value), vdupq_n_u64(value)};
}

/* value for the first slot, and step more for each next one. */
MIF_INLINE mif_vec mif_vec_series(uint64_t value, uint32_t step)
{
    uint64x2_t low = mif_vec_of(value, value + step);
    return (mif_vec){low, vaddq_u64(low, vdupq_n_u64((uint64_t)2 * step))};
}

MIF_INLINE uint64x2_t mif_vec_pin(uint64x2_t value)
{
    __asm__ volatile("" : "+w"(value));
    return value;
}

/* Two words of shared memory. */
MIF_INLINE uint64x2_t mif_vec_of_two(const uint64_t *first, const uint64_t *second)
{
    return mif_vec_pin(vcombine_u64(vld1_u64(first), vld1_u64(second)));
}

/* The two words of each of four adjacent slots or descriptors. */
MIF_INLINE struct mif_vec_pair mif_vec_read(const void *from)
{
    uint64x2x2_t low = vld2q_u64(from), high = vld2q_u64((const uint64_t *)from + 4);
    return (struct mif_vec_pair){{mif_vec_pin(low.val[0]), mif_vec_pin(high.val[0])},
                                 {mif_vec_pin(low.val[1]), mif_vec_pin(high.val[1])}};
}

MIF_INLINE void mif_vec_write(void *to, mif_vec head, mif_vec tail)
{
    vst2q_u64(to, ((uint64x2x2_t){{head.low, tail.low}}));
    vst2q_u64((uint64_t *)to + 4, ((uint64x2x2_t){{head.high, tail.high}}));
}

/* The first words of four descriptors of four words. */
MIF_INLINE struct mif_vec_triple mif_vec_read_three_of_four(const void *from)
{
    const uint64_t *at = from;
    uint64x2_t a0 = mif_vec_pin(vld1q_u64(at)), a1 = mif_vec_pin(vld1q_u64(at + 4));
    uint64x2_t a2 = mif_vec_pin(vld1q_u64(at + 8)), a3 = mif_vec_pin(vld1q_u64(at + 12));
    return (struct mif_vec_triple){{
        {vzip1q_u64(a0, a1), vzip1q_u64(a2, a3)},
        {vzip2q_u64(a0, a1), vzip2q_u64(a2, a3)},
        {mif_vec_of_two(at + 2, at + 6), mif_vec_of_two(at + 10, at + 14)},
    }};
}

MIF_INLINE void mif_vec_write_two_of_four(void *to, mif_vec w0, mif_vec w1)
{
    uint64_t *at = to;
    vst1q_u64(at, vzip1q_u64(w0.low, w1.low));
    vst1q_u64(at + 4, vzip2q_u64(w0.low, w1.low));
    vst1q_u64(at + 8, vzip1q_u64(w0.high, w1.high));
    vst1q_u64(at + 12, vzip2q_u64(w0.high, w1.high));
}

/* Only the heads of four descriptors. */
MIF_INLINE void mif_vec_write_heads(void *to, mif_vec heads)
{
    uint64_t *at = to;
    vst1q_lane_u64(at, heads.low, 0);
    vst1q_lane_u64(at + 2, heads.low, 1);
    vst1q_lane_u64(at + 4, heads.high, 0);
    vst1q_lane_u64(at + 6, heads.high, 1);
}

MIF_INLINE mif_vec mif_vec_add(mif_vec a, mif_vec b)
{
    return (mif_vec){vaddq_u64(a.low, b.low), vaddq_u64(a.high, b.high)};
}

/* The upper half of each word, as a word. */
MIF_INLINE mif_vec mif_vec_high(mif_vec words)
{
    return (mif_vec){vshrq_n_u64(words.low, 32), vshrq_n_u64(words.high, 32)};
}

MIF_INLINE mif_vec mif_vec_low(mif_vec words)
{
    const uint64x2_t mask = vdupq_n_u64(0xFFFFFFFF);
    return (mif_vec){vandq_u64(words.low, mask), vandq_u64(words.high, mask)};
}

/* Words from a lower half and an upper half. */
MIF_INLINE mif_vec mif_vec_join(mif_vec low, mif_vec high)
{
    return (mif_vec){vsliq_n_u64(low.low, high.low, 32), vsliq_n_u64(low.high, high.high, 32)};
}

/* Not zero where two words differ in the bits of the mask. */
MIF_INLINE mif_vec mif_vec_differ(mif_vec a, mif_vec b, mif_vec mask)
{
    return (mif_vec){vandq_u64(veorq_u64(a.low, b.low), mask.low),
                     vandq_u64(veorq_u64(a.high, b.high), mask.high)};
}

/* Not zero where a is greater than b. */
MIF_INLINE mif_vec mif_vec_greater(mif_vec a, mif_vec b)
{
    return (mif_vec){vcgtq_u64(a.low, b.low), vcgtq_u64(a.high, b.high)};
}

MIF_INLINE mif_vec mif_vec_or(mif_vec a, mif_vec b)
{
    return (mif_vec){vorrq_u64(a.low, b.low), vorrq_u64(a.high, b.high)};
}

MIF_INLINE bool mif_vec_any(mif_vec bad)
{
    uint32x4_t all = vreinterpretq_u32_u64(vorrq_u64(bad.low, bad.high));
    return vgetq_lane_u64(vreinterpretq_u64_u32(vpmaxq_u32(all, all)), 0) != 0;
}

MIF_INLINE uint64_t mif_vec_sum(mif_vec words)
{
    return vaddvq_u64(vaddq_u64(words.low, words.high));
}

/* ---- entries of three words ---- */

MIF_INLINE void mif_vec_write_two_threes(uint64_t *to, uint64x2_t w0, uint64x2_t w1, uint64x2_t w2)
{
    vst1q_u64(to, vzip1q_u64(w0, w1));
    vst1q_u64(to + 2, vcopyq_laneq_u64(w2, 1, w0, 1));
    vst1q_u64(to + 4, vzip2q_u64(w1, w2));
}

MIF_INLINE void mif_vec_write_threes(void *to, mif_vec w0, mif_vec w1, mif_vec w2)
{
    mif_vec_write_two_threes(to, w0.low, w1.low, w2.low);
    mif_vec_write_two_threes((uint64_t *)to + 6, w0.high, w1.high, w2.high);
}

MIF_INLINE void mif_vec_write_series_of_threes(void *to, uint32_t count, uint64_t w0, uint64_t w2,
                                               uint32_t step)
{
    const uint64_t steps = (uint64_t)2 * step;
    const uint64x2_t next[3] = {mif_vec_of(2, 0), mif_vec_of(steps, 2), mif_vec_of(0, steps)};
    uint64x2_t two[3] = {mif_vec_of(w0, 0), mif_vec_of(w2, w0 + 1), mif_vec_of(0, w2 + step)};
    uint64_t *at = to;
    for (uint64_t *const end = at + (size_t)count * 3; at != end; at += (size_t)MIF_VEC_SLOTS * 3)
        for (int i = 0; i < 6; i++) {
            vst1q_u64(at + (size_t)i * 2, two[i % 3]);
            two[i % 3] = vaddq_u64(two[i % 3], next[i % 3]);
        }
}

MIF_INLINE struct mif_vec_pair mif_vec_read_two_of_three(const void *from)
{
    const uint64_t *at = from;
    uint64x2_t e0 = vld1q_u64(at), e1 = vld1q_u64(at + 3);
    uint64x2_t e2 = vld1q_u64(at + 6), e3 = vld1q_u64(at + 9);
    return (struct mif_vec_pair){{vzip1q_u64(e0, e1), vzip1q_u64(e2, e3)},
                                 {vzip2q_u64(e0, e1), vzip2q_u64(e2, e3)}};
}

/* ---- entries of four words ---- */

MIF_INLINE void mif_vec_write_fours(void *to, mif_vec w0, mif_vec w1, mif_vec w2, mif_vec w3)
{
    uint64_t *at = to;
    vst1q_u64(at, vzip1q_u64(w0.low, w1.low));
    vst1q_u64(at + 2, vzip1q_u64(w2.low, w3.low));
    vst1q_u64(at + 4, vzip2q_u64(w0.low, w1.low));
    vst1q_u64(at + 6, vzip2q_u64(w2.low, w3.low));
    vst1q_u64(at + 8, vzip1q_u64(w0.high, w1.high));
    vst1q_u64(at + 10, vzip1q_u64(w2.high, w3.high));
    vst1q_u64(at + 12, vzip2q_u64(w0.high, w1.high));
    vst1q_u64(at + 14, vzip2q_u64(w2.high, w3.high));
}

MIF_INLINE void mif_vec_write_series_of_fours(void *to, uint32_t count, const uint64_t first[4],
                                              uint32_t step)
{
    const uint64x2_t next[2] = {mif_vec_of(1, 0), mif_vec_of(0, step)};
    uint64x2_t words[2] = {mif_vec_of(first[0], first[1]), mif_vec_of(first[2], first[3])};
    uint64_t *at = to;
    for (uint64_t *const end = at + (size_t)count * 4; at != end; at += (size_t)MIF_VEC_SLOTS * 4)
        for (int i = 0; i < 2 * MIF_VEC_SLOTS; i++) {
            vst1q_u64(at + (size_t)i * 2, words[i % 2]);
            words[i % 2] = vaddq_u64(words[i % 2], next[i % 2]);
        }
}

MIF_INLINE struct mif_vec_quad mif_vec_read_fours(const void *from)
{
    const uint64_t *at = from;
    uint64x2_t a0 = vld1q_u64(at), b0 = vld1q_u64(at + 2), a1 = vld1q_u64(at + 4);
    uint64x2_t b1 = vld1q_u64(at + 6), a2 = vld1q_u64(at + 8), b2 = vld1q_u64(at + 10);
    uint64x2_t a3 = vld1q_u64(at + 12), b3 = vld1q_u64(at + 14);
    return (struct mif_vec_quad){{
        {vzip1q_u64(a0, a1), vzip1q_u64(a2, a3)},
        {vzip2q_u64(a0, a1), vzip2q_u64(a2, a3)},
        {vzip1q_u64(b0, b1), vzip1q_u64(b2, b3)},
        {vzip2q_u64(b0, b1), vzip2q_u64(b2, b3)},
    }};
}

#endif
