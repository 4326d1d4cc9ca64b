/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a game of ping-pong needs of an interface with one queue each way, over either C
 * API. What must not go wrong ends the program through fail.
 */

#ifndef MEMIF_C_TESTS_PINGPONG_LINK_H
#define MEMIF_C_TESTS_PINGPONG_LINK_H

#include <stdbool.h>
#include <stdint.h>

enum { LINK_BURST = 64 };

struct link_options {
    char *socket;
    bool is_master;
    uint8_t log2_ring_size;
};

struct link_events {
    void (*connected)(void);
    void (*disconnected)(void);
    void (*interrupted)(void); /* NULL: the queue's eventfd is left to the game */
};

/* A packet is its number, and the number of the last one before the other side's turn. */
struct ball {
    uint32_t number;
    uint32_t last;
};

void link_open(const struct link_options *options, const struct link_events *events);
void link_close(void);

/* One turn of the library's polling; waits for an event or link_cancel. */
void link_poll(void);
void link_cancel(void);

int link_efd(void);
void link_set_polling(bool is_polling);

/* How many balls there was room for, LINK_BURST at most. */
uint16_t link_send(const struct ball *balls, uint16_t count);
/* How many balls came, `most` at most, which is LINK_BURST at most. */
uint16_t link_receive(struct ball *balls, uint16_t most);

/* The game's: says what went wrong and ends the program. */
_Noreturn __attribute__((format(printf, 1, 2))) void fail(const char *format, ...);

#endif
