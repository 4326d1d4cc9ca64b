/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program `bare`: its options, what both of its ends have, and its three measurements, a file
 * each.
 */
#ifndef BENCH_BARE_PROGRAM_H
#define BENCH_BARE_PROGRAM_H

#include "bare.h"
#include "cases.h"
#include "payload.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define MAX_RINGS 16

struct shared {
    _Atomic bool over;
    struct bare_ring rings[2][MAX_RINGS]; /* there and back */
};

struct bare_program {
    struct shared *shared;
    struct bare_side out[MAX_RINGS];
    struct bare_side in[MAX_RINGS];
    struct case_list list;
    struct meter_times times;
    uint32_t rings;
    uint32_t cpus[2];
    uint32_t protocol;
    uint32_t rounds;
    uint32_t slice_us;
    uint32_t samples;
    uint32_t size;
    bool echo;
    bool interrupt;
};

extern struct bare_program program;

/* The payloads that are copied out of and into. */
extern uint8_t outgoing[CASE_MAX_SIZE];
extern uint8_t incoming[CASE_MAX_SIZE];

/* Reads a received packet, or the piece that a slot holds, which lies *at bytes after its start. */
BARE_INLINE void read_piece(struct bare_packet packet, uint32_t *at, bool copy)
{
    if (copy) {
        payload_copy(incoming + *at, packet.data, packet.length);
        *at = packet.more ? *at + packet.length : 0;
    }
    __asm__ volatile("" : : "r"(incoming), "r"(packet.data), "r"(packet.length) : "memory");
}

/* Ends the program; errno says why. */
_Noreturn void die(const char *what);

/* direction: of what this side sends. */
void take_side(uint32_t direction);

/* Runs the child's half on the second processor and the parent's on the first. */
void run_two(void (*child)(void), void (*parent)(void));

/* Tells the other end that the measurement is over. */
void say_over(void);

static inline bool is_over(void)
{
    return atomic_load_explicit(&program.shared->over, memory_order_relaxed);
}

void run_calls(void);      /* in one thread */
void run_throughput(void); /* between two processes, as latency */
void run_latency(void);

#endif
