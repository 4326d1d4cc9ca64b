/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends in one thread, in the orders of patterns.h. */
#include "bare_program.h"

#include "clock.h"
#include "options.h"
#include "patterns.h"
#include "samples.h"

#include <inttypes.h>
#include <stdio.h>

BARE_INLINE void thread_burst_out(struct bare_side *out, uint16_t burst, uint32_t size, bool copy)
{
    for (uint16_t left = burst; left > 0;) {
        uint16_t count = bare_room(out, left);
        for (uint16_t i = 0; i < count; i++) {
            uint16_t slot = out->own++ & BARE_MASK;
            bare_describe(out, slot, size, false);
            if (copy)
                payload_copy(out->ring->buffers[slot], outgoing, size);
        }
        bare_produced(out);
        left = (uint16_t)(left - count);
    }
}

BARE_INLINE void thread_burst_in(struct bare_side *in, uint16_t burst, bool copy)
{
    for (uint16_t left = burst; left > 0;) {
        uint16_t count = bare_filled(in, left);
        for (uint16_t i = 0; i < count; i++)
            read_piece(bare_described(in, in->own++ & BARE_MASK), &in->read, copy);
        bare_consumed(in);
        left = (uint16_t)(left - count);
    }
}

static __attribute__((noinline)) void run_pattern(const struct pattern *pattern, uint32_t size,
                                                  bool copy, uint32_t times)
{
    for (uint32_t i = 0; i < times; i++) {
        for (uint16_t b = 0; b < pattern->ahead; b++)
            thread_burst_out(&program.out[0], pattern->burst, size, copy);
        for (uint16_t b = 0; b < pattern->ahead; b++)
            thread_burst_in(&program.in[0], pattern->burst, copy);
    }
}

static double pattern_ns(const struct pattern *pattern, uint32_t size, bool copy, uint32_t times)
{
    uint64_t start = clock_ns();
    run_pattern(pattern, size, copy, times);
    return (double)(clock_ns() - start);
}

static void measure_pattern(const struct pattern *pattern, uint32_t size, bool copy, uint32_t round)
{
    double slice = (double)program.slice_us * 1000 / SLICES;
    double ns[SLICES];
    uint32_t times = 1;

    /* In the first lap the kernel may have to bring a page for each buffer. */
    (void)pattern_ns(pattern, size, copy, (1u << PATTERN_RING_LOG2) / pattern_packets(pattern) + 1);
    while ((ns[0] = pattern_ns(pattern, size, copy, times)) < slice / 2)
        times *= 2;
    times = (uint32_t)(times * slice / ns[0]) + 1;
    for (int i = 0; i < SLICES; i++)
        ns[i] = pattern_ns(pattern, size, copy, times);
    printf("{\"what\": \"bare calls\", \"protocol\": %" PRIu32 ", \"pattern\": \"%s\", "
           "\"burst\": %u, \"size\": %" PRIu32 ", \"payload\": \"%s\", \"round\": %" PRIu32
           ", \"ns\": %.3f}\n",
           program.protocol, pattern->name, pattern->burst, size, copy ? "copied" : "untouched",
           round, median(ns, SLICES) / times / pattern_packets(pattern));
}

void run_calls(void)
{
    static const uint32_t sizes[] = {64, 1500};

    options_pin(program.cpus[0]);
    take_side(0);
    program.in[0].ring = program.out[0].ring;
    for (uint32_t round = 0; round < program.rounds; round++)
        for (size_t p = 0; p < PATTERN_COUNT; p++)
            for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
                for (int copy = 0; copy < 2; copy++)
                    measure_pattern(&patterns[p], sizes[s], copy != 0, round);
}
