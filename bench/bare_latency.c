/* SPDX-License-Identifier: Apache-2.0 */
/* The round trip of a single packet between two processes. */
#include "bare_program.h"

#include "clock.h"
#include "samples.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int events[2]; /* there and back */

static void send_one(const void *data, uint32_t size)
{
    struct bare_side *out = &program.out[0];
    uint16_t slot = out->own++ & BARE_MASK;

    bare_describe(out, slot, size, false);
    payload_copy(out->ring->buffers[slot], data, size);
    bare_produced(out);
}

static void signal_other(int event)
{
    uint64_t one = 1;
    if (program.interrupt && write(event, &one, sizeof(one)) != sizeof(one))
        die("write");
}

/* False: it is over. */
static bool receive_one(int event)
{
    struct bare_side *in = &program.in[0];
    uint64_t count;

    while (bare_filled(in, 1) == 0) {
        if (program.interrupt && read(event, &count, sizeof(count)) != sizeof(count))
            die("read");
        if (is_over())
            return false;
    }
    struct bare_packet packet = bare_described(in, in->own++ & BARE_MASK);
    payload_copy(incoming, packet.data, packet.length);
    bare_consumed(in);
    return true;
}

static void run_ping(void)
{
    uint64_t *ticks = calloc(program.samples, sizeof(*ticks));
    uint32_t warm = program.samples / 10;

    if (ticks == NULL)
        die("calloc");
    for (uint32_t i = 0; i < warm + program.samples; i++) {
        uint64_t start = clock_ticks();
        send_one(outgoing, program.size);
        signal_other(events[0]);
        receive_one(events[1]);
        if (i >= warm)
            ticks[i - warm] = clock_ticks() - start;
    }
    say_over();
    signal_other(events[0]);
    printf("{\"what\": \"bare latency\", \"protocol\": %" PRIu32
           ", \"mode\": \"%s\", \"size\": %" PRIu32 ", ",
           program.protocol, program.interrupt ? "interrupt" : "polling", program.size);
    samples_print(ticks, program.samples, clock_tick_ns());
    printf("}\n");
    free(ticks);
}

static void run_ping_echo(void)
{
    while (receive_one(events[0])) {
        send_one(incoming, program.size);
        signal_other(events[1]);
    }
}

void run_latency(void)
{
    for (int i = 0; i < 2; i++) {
        events[i] = eventfd(0, EFD_CLOEXEC);
        if (events[i] < 0)
            die("eventfd");
    }
    run_two(run_ping_echo, run_ping);
}
