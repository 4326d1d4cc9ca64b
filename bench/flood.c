/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answered pings per second: sends ICMP echo requests to 192.168.1.2 as fast as the ring has room,
 * and counts the answers. The other end is a program that answers pings, as those in examples/ do.
 *
 * An answer that is not the request's is an error. A request that stays without an answer is not:
 * a responder may drop what its ring has no room for. How many it drops is printed.
 */
#include "api.h"
#include "cases.h"
#include "clock.h"
#include "link.h"
#include "options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TURNS_BETWEEN_LOOKS 16
#define SERVE_NS 1000000u
#define PATIENCE_NS 10000000000u

enum {
    IP = 14, /* offsets in a frame */
    IP_TOTAL_LENGTH = IP + 2,
    IP_CHECKSUM = IP + 10,
    IP_SOURCE = IP + 12,
    ICMP = IP + 20,
    ICMP_CHECKSUM = ICMP + 2,
    /* The request's number, and then its complement: together they add nothing to the checksum. */
    NUMBER = ICMP + 8,
    COMPLEMENT = NUMBER + 8,
    MIN_SIZE = COMPLEMENT + 8,
    MAX_SIZE = 2048
};

static const uint8_t head[ICMP + 8] = {
    0x02, 0xfe, 0, 0, 0,   0,   0x02, 0, 0,  0, 0, 1, 0x08, 0, /* Ethernet */
    0x45, 0,    0, 0, 0,   0,   0,    0, 64, 1, 0, 0,          /* IP */
    192,  168,  1, 1, 192, 168, 1,    2,                       /* addresses */
    8,    0,    0, 0, 0,   1,   0,    1                        /* an echo request */
};
static const uint8_t responder_ip[4] = {192, 168, 1, 2};

static struct {
    struct link_end end;
    struct link_options link;
    struct case_list list;
    struct meter_times times;
    struct meter meter;
    struct stamp_check check;
    uint16_t current; /* index of the case */
    uint64_t number;
    uint64_t next_serve;
    uint32_t turns;
    memif_buffer_t bufs[CASE_MAX_BURST];
} program = {.times = {.warm_ms = 10, .count_ms = 40}};

static _Alignas(64) uint8_t request[MAX_SIZE];

static uint16_t checksum(const uint8_t *data, size_t length)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < length; i++)
        sum += (uint32_t)data[i] << (i % 2 == 0 ? 8 : 0);
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void make_request(uint16_t size)
{
    memset(request, 0, sizeof(request));
    memcpy(request, head, sizeof(head));
    memset(request + COMPLEMENT, 0xff, 8);
    put16(request + IP_TOTAL_LENGTH, size - (uint32_t)IP);
    put16(request + IP_CHECKSUM, checksum(request + IP, ICMP - IP));
    put16(request + ICMP_CHECKSUM, checksum(request + ICMP, size - (size_t)ICMP));
}

static void send_requests(const struct bench_case *c)
{
    uint16_t count = 0;
    uint16_t sent = 0;
    int err = api_alloc(program.end.conn, 0, program.bufs, c->burst, &count, c->size);

    if (count == 0)
        link_must_work(&program.end, "alloc", err);
    for (uint16_t i = 0; i < count; i++) {
        uint64_t number = stamp_make(program.current, program.number++);
        uint64_t complement = ~number;
        uint8_t *frame = program.bufs[i].data;
        memcpy(frame, request, c->size);
        memcpy(frame + NUMBER, &number, sizeof(number));
        memcpy(frame + COMPLEMENT, &complement, sizeof(complement));
        api_set_length(&program.bufs[i], c->size);
    }
    for (uint16_t done = 0; done < count && program.end.up; done = (uint16_t)(done + sent))
        link_must_work(
            &program.end, "tx",
            api_tx(program.end.conn, 0, program.bufs + done, (uint16_t)(count - done), &sent));
}

/* False: it answers a request of an earlier case. */
static bool check_answer(const struct bench_case *c, const memif_buffer_t *buf)
{
    const uint8_t *frame = buf->data;
    uint64_t number;
    uint64_t complement;

    memcpy(&number, frame + NUMBER, sizeof(number));
    memcpy(&complement, frame + COMPLEMENT, sizeof(complement));
    bool is_answer = number == ~complement && frame[ICMP] == 0 &&
                     memcmp(frame + IP_SOURCE, responder_ip, sizeof(responder_ip)) == 0;
    bool is_late = is_answer && stamp_case(number) < program.current;
    if (!is_answer || (!is_late && api_length(buf) != c->size)) {
        fprintf(stderr, "a packet of %" PRIu32 " bytes is no answer\n", api_length(buf));
        exit(EXIT_FAILURE);
    }
    if (__builtin_expect(number == program.check.expected, 1))
        program.check.expected++;
    else
        stamp_surprise(&program.check, number);
    return !is_late;
}

static void receive_answers(const struct bench_case *c)
{
    uint16_t count = 0;
    int err = api_rx(program.end.conn, 0, program.bufs, CASE_MAX_BURST, &count);

    link_must_work(&program.end, "rx", err);
    if (count == 0)
        return;
    for (uint16_t i = 0; i < count; i++)
        program.meter.packets += check_answer(c, &program.bufs[i]);
    link_must_work(&program.end, "free", api_give_back(program.end.conn, 0, program.bufs, count));
}

/* Once in a while: the clock, the meter, the control channel. False: the peer is gone. */
static bool look(void)
{
    uint64_t now = clock_ns();

    meter_look(&program.meter, &program.times, now);
    if (now >= program.next_serve) {
        link_serve(&program.end, 0);
        program.next_serve = now + SERVE_NS;
    }
    return program.end.up;
}

static void fail(const char *what)
{
    fprintf(stderr, "%s after %" PRIu64 " answers\n", what, program.meter.packets);
    exit(EXIT_FAILURE);
}

static void run_case(uint16_t index)
{
    const struct bench_case *c = &program.list.cases[index];
    uint64_t lost = program.check.lost;

    program.current = index;
    program.number = 0;
    make_request(c->size);
    meter_begin(&program.meter, clock_ns());
    uint64_t end = clock_ns() + PATIENCE_NS;
    while (!program.meter.done) {
        send_requests(c);
        receive_answers(c);
        if (++program.turns % TURNS_BETWEEN_LOOKS != 0)
            continue;
        if (!look())
            fail("the responder is gone");
        if (clock_ns() > end)
            fail("no end within 10 s");
    }
    printf("{\"what\": \"flood\", \"interface\": \"" MEMIF_INTERFACE "\", ");
    meter_print(&program.meter, c);
    printf(", \"answers\": %" PRIu64 ", \"dropped\": %" PRIu64 ", \"disordered\": %" PRIu64 "}\n",
           program.meter.packets, program.check.lost - lost, program.check.disordered);
}

int main(int argc, char **argv)
{
    bool is_master = false;
    uint32_t cpu = UINT32_MAX;
    const char *cases = "64:32:copied";
    const struct option_spec specs[] = {
        {"socket", "path of the socket", NULL, &program.link.path, NULL},
        {"master", "be the master; else the slave", NULL, NULL, &is_master},
        {"cpu", "processor to run on", &cpu, NULL, NULL},
        {"cases", "SIZE:BURST:copied,...", NULL, &cases, NULL},
        {"warm", "milliseconds before counting (default 10)", &program.times.warm_ms, NULL, NULL},
        {"count", "milliseconds of counting (default 40)", &program.times.count_ms, NULL, NULL},
        {NULL, NULL, NULL, NULL, NULL},
    };

    options_parse(argc, argv, specs);
    cases_parse(cases, &program.list);
    if (program.link.path == NULL || program.list.count == 0) {
        fprintf(stderr, "expected a --socket and some --cases\n");
        return EXIT_FAILURE;
    }
    for (uint16_t i = 0; i < program.list.count; i++) {
        uint16_t size = program.list.cases[i].size;
        if (size < MIN_SIZE || size > MAX_SIZE) {
            fprintf(stderr, "--cases: %u bytes: expected %d to %d\n", size, MIN_SIZE, MAX_SIZE);
            return EXIT_FAILURE;
        }
    }
    program.link.rings = 1;
    program.link.buffer_size = MAX_SIZE;
    program.link.log2_ring_size = 10;
    program.link.polling = true;
    if (cpu != UINT32_MAX)
        options_pin(cpu);
    link_start();
    link_open(&program.end, &program.link, is_master);
    link_wait(&program.end, NULL);
    for (uint16_t i = 0; i < program.list.count; i++)
        run_case(i);
    link_close(&program.end);
    link_stop();
    return EXIT_SUCCESS;
}
