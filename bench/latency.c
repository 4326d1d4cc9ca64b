/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The round trip of a single packet between two processes.
 *
 * In polling mode both ends call memif_rx_burst without a pause; in interrupt mode both sleep in
 * memif_poll_event and are woken by the library, as an ordinary program is.
 */
#include "api.h"
#include "clock.h"
#include "link.h"
#include "options.h"
#include "payload.h"
#include "samples.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SIZE 2048
#define SERVE_EVERY 65536
#define WAIT_MS 1000

static struct {
    struct link_end end;
    struct link_options link;
    uint32_t size;
    uint32_t samples;
    uint32_t warm;
    bool is_echo;
    uint32_t received; /* by the interrupt callback */
} program = {.size = 64, .samples = 20000, .warm = 2000};

static uint8_t outgoing[MAX_SIZE];
static uint8_t incoming[MAX_SIZE];

static void send_one(const void *data, uint32_t size)
{
    memif_buffer_t buf;
    uint16_t count = 0;

    link_must_work(&program.end, "alloc",
                   api_alloc(program.end.conn, 0, &buf, 1, &count, (uint16_t)size));
    if (count == 0)
        return;
    payload_copy(buf.data, data, size);
    api_set_length(&buf, size);
    link_must_work(&program.end, "tx", api_tx(program.end.conn, 0, &buf, 1, &count));
}

/* False: nothing waits. The echo sends it back. */
static inline bool receive_one(void)
{
    memif_buffer_t buf;
    uint16_t count = 0;

    link_must_work(&program.end, "rx", api_rx(program.end.conn, 0, &buf, 1, &count));
    if (count == 0)
        return false;
    payload_copy(incoming, buf.data, api_length(&buf));
    if (program.is_echo)
        send_one(buf.data, api_length(&buf));
    link_must_work(&program.end, "free", api_give_back(program.end.conn, 0, &buf, 1));
    return true;
}

static void on_packets(void *context, uint16_t qid)
{
    (void)context;
    (void)qid;
    while (receive_one())
        program.received++;
}

/* False: the peer is gone, or the packet. */
static bool await_one(void)
{
    if (!program.link.polling) {
        uint32_t before = program.received;
        link_serve(&program.end, WAIT_MS);
        /* What happened may have been something else than a packet. */
        for (int more = 0; program.received == before && program.end.up && more < 3; more++)
            link_serve(&program.end, WAIT_MS);
        return program.received != before;
    }
    for (uint32_t turn = 1; !receive_one(); turn++) {
        if (turn % SERVE_EVERY != 0)
            continue;
        link_serve(&program.end, 0);
        if (!program.end.up)
            return false;
    }
    return true;
}

static void run_echo(void)
{
    while (program.end.up)
        await_one();
}

static void run_ping(void)
{
    uint64_t *ticks = calloc(program.samples, sizeof(*ticks));
    uint32_t total = program.warm + program.samples;

    if (ticks == NULL) {
        perror("calloc");
        exit(EXIT_FAILURE);
    }
    for (uint32_t i = 0; i < total; i++) {
        uint64_t start = clock_ticks();
        send_one(outgoing, program.size);
        if (!await_one()) {
            fprintf(stderr, "no answer to packet %" PRIu32 "\n", i);
            exit(EXIT_FAILURE);
        }
        if (i >= program.warm)
            ticks[i - program.warm] = clock_ticks() - start;
    }
    printf("{\"what\": \"latency\", \"interface\": \"" MEMIF_INTERFACE
           "\", \"mode\": \"%s\", \"size\": %" PRIu32 ", ",
           program.link.polling ? "polling" : "interrupt", program.size);
    samples_print(ticks, program.samples, clock_tick_ns());
    printf("}\n");
    free(ticks);
}

int main(int argc, char **argv)
{
    bool is_master = false;
    bool interrupt = false;
    uint32_t cpu = UINT32_MAX;
    const struct option_spec specs[] = {
        {"socket", "path of the socket", NULL, &program.link.path, NULL},
        {"master", "be the master; else the slave", NULL, NULL, &is_master},
        {"echo", "send back what comes; else measure", NULL, NULL, &program.is_echo},
        {"interrupt", "sleep until a packet comes; else poll", NULL, NULL, &interrupt},
        {"size", "bytes (default 64)", &program.size, NULL, NULL},
        {"samples", "round trips (default 20000)", &program.samples, NULL, NULL},
        {"warm", "round trips before them (default 2000)", &program.warm, NULL, NULL},
        {"cpu", "processor to run on", &cpu, NULL, NULL},
        {NULL, NULL, NULL, NULL, NULL},
    };

    options_parse(argc, argv, specs);
    if (program.link.path == NULL || program.size < 1 || program.size > MAX_SIZE ||
        program.samples == 0) {
        fprintf(stderr, "expected a --socket, --samples, and --size from 1 to %d\n", MAX_SIZE);
        return EXIT_FAILURE;
    }
    program.link.rings = 1;
    program.link.log2_ring_size = 10;
    program.link.buffer_size = MAX_SIZE;
    program.link.polling = !interrupt;
    program.end.on_packets = on_packets;
    if (cpu != UINT32_MAX)
        options_pin(cpu);
    link_start();
    link_open(&program.end, &program.link, is_master);
    link_wait(&program.end, NULL);
    if (program.is_echo)
        run_echo();
    else
        run_ping();
    link_close(&program.end);
    link_stop();
    return EXIT_SUCCESS;
}
