/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A peer that writes into the shared memory what it likes, while packets flow: before a burst, with
 * the outcome that is promised, and during bursts, where all that counts is that nothing outside of
 * the connection is touched (testbed.h checks that after every burst).
 *
 * Loop tests run over the kinds of connections and, where the processor has them, the instances
 * with vectors.
 */

#ifndef MEMIF_C_TESTS_SCENE_H
#define MEMIF_C_TESTS_SCENE_H

#include "harness.h"
#include "testbed/testbed.h"

enum { KINDS = 4, WAYS = 2 * KINDS, LOG2_SLOTS = 9, SLOTS = 1 << LOG2_SLOTS, BUFFER = 256 };
enum { BURSTS = 4, HOSTILE = 56, PLACES = 5 };
extern const uint32_t bursts[BURSTS];
extern const uint32_t places[PLACES];

#define MOST_32 0xFFFFFFFFu
#define MOST_64 0xFFFFFFFFFFFFFFFFu

/* Two connections of which the second must not hear of what happens to the first. */
struct scene {
    struct testbed bed;
    struct testbed other;
};

/* False: this processor has no such instance. */
bool shape_of(int way, struct testbed_shape *shape);
/* A turn of the peer, and one of ours that takes, sends and reserves all there is. */
void exchange(struct testbed *bed, uint32_t burst);
void scene_open(struct scene *scene, const struct testbed_shape *shape);
void scene_close(struct scene *scene);
/* Another connection, whose indices are not at the beginning. */
void start_anew(struct testbed *bed);
/* Bursts until the peer is found out, or there is no more to do; what they came to. */
uint32_t receive_all(struct testbed *bed, uint32_t burst);
uint32_t reserve_all(struct testbed *bed, uint32_t burst, uint32_t size);
void expect_fault(const struct testbed *bed, const char *reason);
/* What is near the end of the small region is so in the small one, and then in that of the buffers,
 * which is the one that was used last. */
struct testbed_desc hostile(const struct testbed *bed, size_t i);
const char *too_long(uint64_t length, uint32_t most);
/* What must be found wrong with a packet in such a slot. */
const char *wrong_with_packet(const struct testbed *bed, const struct testbed_desc *desc);
const char *wrong_with_buffer(const struct testbed *bed, const struct testbed_desc *desc);
/* Has the peer fill its ring honestly, but for the slot that is `at` ahead. */
void spoil(const struct testbed *bed, enum mif_direction direction, uint32_t at,
           const struct testbed_desc *desc);
/* Fills `count` slots, `length` bytes each, all of which say that the packet goes on. */
void begin_endless(const struct testbed *bed, uint32_t count, uint32_t length);
bool is_signalled(int efd);
void make_blocking(int efd, bool blocking);
void saturate(int efd);

#endif
