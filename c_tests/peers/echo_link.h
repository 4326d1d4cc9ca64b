/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program with many interfaces that sends back whatever comes, for tests of what it survives.
 * Built for both C APIs, of which echo_link.c knows; tests/support/echo.py is the same in
 * Python.
 */
#ifndef MEMIF_C_TESTS_ECHO_LINK_H
#define MEMIF_C_TESTS_ECHO_LINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { MOST_INTERFACES = 64, ECHO_BURST = 32 };

struct echo_options {
    char *socket;        /* of interfaces 1, 2, ... */
    char *steady_socket; /* of interface 0 */
    bool is_master;
    uint8_t queues;
    unsigned interfaces;
    uint32_t switch_every; /* once in so many wake-ups the rx mode changes for a moment; 0: never */
};

struct interface {
    unsigned id;
    uint64_t echoed;
};

_Noreturn void echo_fail(const char *call, const char *why);
/* True once in `switch_every` calls, at random. */
bool echo_wants_switch(void);

/* For the callbacks. */
void echo_up(struct interface *interface);
void echo_down(struct interface *interface);

/* ---- the interfaces ---- */

void link_open(const struct echo_options *options, struct interface *interfaces);
void link_close(unsigned interfaces);
/* Serves interface 0 and the others until link_cancel; called on a thread for each. */
void link_serve(bool is_steady);
void link_cancel(void);

#endif
