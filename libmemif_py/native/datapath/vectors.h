/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Four slots at a time, with AVX2 or NEON. Only for descriptors that are plain: if one of four is
 * not, all four are left to the loop that handles slots one by one.
 *
 * A mif_vec holds the same 64-bit word of four slots, in an order that is the processor's own
 * affair. Both files that are included here define the same types and functions:
 *
 *      mif_vec_read, _write, _write_heads   descriptors of version 512, or slots: two words each,
 *                                           head and tail
 *      mif_vec_read_three_of_four           descriptors of version 256: the metadata is not read,
 *      mif_vec_write_two_of_four            and of the others only two words are written
 *      mif_vec_write_threes, _fours         entries of the packet face, of the entry face
 *      mif_vec_read_two_of_three, _fours    the same; the third word of a packet entry is not read
 *      mif_vec_write_series_of_threes       `count` entries, from {w0, 0, w2} on: each has 1 more
 *                                           in w0 and `step` more in w2 than the one before
 *      mif_vec_write_series_of_fours        `count` entries, from `first` on: each has 1 more in
 *                                           the first word and `step` more in the last
 *
 * Shared memory is read once: after mif_vec_pin the compiler cannot load the vector again.
 */
#ifndef MIF_VECTORS_H
#define MIF_VECTORS_H

#include "core/attributes.h"
#include "core/state.h"

#define MIF_VEC_SLOTS 4

#ifdef __AVX2__
#include "datapath/vectors_avx2.h"
#else
#include "datapath/vectors_neon.h"
#endif

/* What four descriptors say: the first word, length or capacity, and offset. */
struct mif_vec_desc {
    mif_vec head;
    mif_vec length;
    mif_vec offset;
};

MIF_INLINE struct mif_vec_desc mif_vec_read_descs(const void *descs, bool is_256)
{
    if (is_256) {
        struct mif_vec_triple desc = mif_vec_read_three_of_four(descs);
        return (struct mif_vec_desc){desc.words[0], mif_vec_low(desc.words[1]), desc.words[2]};
    }
    struct mif_vec_pair desc = mif_vec_read(descs);
    return (struct mif_vec_desc){desc.head, mif_vec_high(desc.head), mif_vec_low(desc.tail)};
}

/* How many of `run` slots are handled in vectors. */
MIF_INLINE uint32_t mif_vec_slots(uint32_t run)
{
    return run & ~(MIF_VEC_SLOTS - 1u);
}

/* Offers buffers that form an array; returns how many of `run` it handled. */
MIF_INLINE uint32_t mif_vec_post(void *descs, uint64_t first, uint32_t run,
                                 const struct mif_buffer_array *array)
{
    struct mif_desc_512 *at = (struct mif_desc_512 *)descs + first;
    struct mif_desc_512 *const end = at + mif_vec_slots(run);
    const mif_vec stride = mif_vec_all((uint64_t)MIF_VEC_SLOTS * array->stride);
    const mif_vec head = mif_vec_all(array->word);
    mif_vec tail = mif_vec_series(array->offset + (uint64_t)first * array->stride, array->stride);
    for (; at != end; at += MIF_VEC_SLOTS) {
        mif_vec_write(at, head, tail);
        tail = mif_vec_add(tail, stride);
    }
    return mif_vec_slots(run);
}

#endif
