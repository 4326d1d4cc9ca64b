/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traffic for end-to-end tests: sends numbered packets whose every byte is known, checks those of
 * the peer. tests/support/traffic.py is the same program in Python; their packets agree byte for
 * byte.
 *
 * Each transmit queue carries packets 0, 1, 2 and so on. A packet is
 *
 *     u32 number, u32 run, u16 length, u8 queue, u8 role of the sender (0 master, 1 slave)
 *
 * in little-endian order, then a piece of a fixed pseudo-random pattern, chosen by number and
 * queue. The run tells one life of a sender from the next.
 *
 * stdout gets the line "ready" when the interface is there (a master listens), and one line of JSON
 * when all was sent and received, or something was wrong. The connection stays up until stdin ends:
 * the peer may still have packets to fetch, and packets that are one too many show. The exit status
 * is 0 when nothing was wrong until then.
 */

#include "traffic_core.h"

#include <errno.h>
#include <inttypes.h>
#include <memif_ext.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { SMALLEST = 60, LARGEST_ETHERNET = 1514, JUMBO = 9000, PATTERN_STARTS = 4096, PAUSE_MS = 10 };
/* Packets that a sender waits for whose ring was full. */
enum { ROOM = 8 };

struct program program;

static uint8_t pattern[PATTERN_STARTS + LARGEST];
static bool is_reported;
static atomic_bool is_stopped;
static int program_ended_fd = -1; /* an eventfd */
static int room_fd = -1;          /* another */
static uint32_t waits;            /* for room */
static uint32_t fault_count;
static char first_fault[256];

void fault(const char *format, ...)
{
    va_list arguments;

    if (fault_count++ > 0)
        return; /* the first one tells the most */
    va_start(arguments, format);
    vsnprintf(first_fault, sizeof(first_fault), format, arguments);
    va_end(arguments);
    fprintf(stderr, "traffic: %s\n", first_fault);
}

bool check(const char *call, int err)
{
    if (err == MEMIF_ERR_SUCCESS)
        return true;
    fault("%s: %s", call, memif_strerror(err));
    return false;
}

/* ---- packets ---- */

static void make_pattern(void)
{
    uint32_t state = 1;

    for (size_t i = 0; i < sizeof(pattern); i++) {
        state = state * 1664525u + 1013904223u;
        pattern[i] = (uint8_t)(state >> 24);
    }
}

static const uint8_t *pattern_of(uint32_t number, uint16_t qid)
{
    return pattern + (number * 7u + qid * 1021u) % PATTERN_STARTS;
}

uint16_t size_of(uint32_t number)
{
    const struct options *options = &program.options;

    if (options->fixed_size != 0)
        return (uint16_t)options->fixed_size;
    if (options->huge_every != 0 && number % options->huge_every == 5)
        return LARGEST;
    if (options->jumbo_every != 0 && number % options->jumbo_every == 3)
        return JUMBO;
    uint32_t spread = (number * 2654435761u) >> 16;
    return (uint16_t)(SMALLEST + spread % (LARGEST_ETHERNET - SMALLEST + 1));
}

static void put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, (uint16_t)value);
    put16(at + 2, (uint16_t)(value >> 16));
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void put_header(uint8_t *at, uint32_t number, uint32_t run, uint16_t size, uint16_t qid,
                       uint8_t role)
{
    put32(at, number);
    put32(at + 4, run);
    put16(at + 8, size);
    at[10] = (uint8_t)qid;
    at[11] = role;
}

static uint8_t own_role(void)
{
    return program.options.is_master ? 0 : 1;
}

static uint8_t peer_role(void)
{
    return program.options.is_master ? 1 : 0;
}

void make_packet(uint8_t *at, uint32_t number, uint16_t size, uint16_t qid)
{
    put_header(at, number, (uint32_t)getpid(), size, qid, own_role());
    memcpy(at + HEADER, pattern_of(number, qid), (size_t)(size - HEADER));
}

/* The number that a packet must have. The first packet of a run may have any, if the peer was
 * sending before we came. */
static uint32_t expected_number(struct rx_queue *queue, const uint8_t *packet)
{
    uint32_t run = get32(packet + 4);

    if (!queue->has_run || (program.options.is_continuous && run != queue->run)) {
        queue->has_run = true;
        queue->run = run;
        queue->next = program.options.is_continuous ? get32(packet) : 0;
    }
    return queue->next;
}

static size_t first_difference(const uint8_t *a, const uint8_t *b, size_t size)
{
    size_t i = 0;

    while (i < size && a[i] == b[i])
        i++;
    return i;
}

void check_packet(struct rx_queue *queue, uint16_t qid, const uint8_t *packet, uint32_t len)
{
    uint8_t header[HEADER];

    if (len < HEADER) {
        fault("rx queue %u: packet of %u bytes", qid, len);
        return;
    }
    uint32_t number = expected_number(queue, packet);
    uint16_t size = size_of(number);
    uint8_t role = program.options.expects_echo ? own_role() : peer_role();
    put_header(header, number, queue->run, size, qid, role);
    if (get32(packet) != number)
        fault("rx queue %u: packet %u instead of %u", qid, get32(packet), number);
    else if (memcmp(packet, header, HEADER) != 0)
        fault("rx queue %u: packet %u: wrong header byte %zu", qid, number,
              first_difference(packet, header, HEADER));
    else if (len != size)
        fault("rx queue %u: packet %u has %u bytes instead of %u", qid, number, len, size);
    else if (memcmp(packet + HEADER, pattern_of(number, qid), (size_t)(size - HEADER)) != 0)
        fault("rx queue %u: packet %u: wrong byte %zu of %u", qid, number,
              HEADER + first_difference(packet + HEADER, pattern_of(number, qid),
                                        (size_t)(size - HEADER)),
              size);
    if (!program.options.is_continuous && queue->received == program.options.expect)
        fault("rx queue %u: packet %u is more than was expected", qid, number);
    queue->next++;
}

/* ---- what to send ---- */

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* A peer that sends everything back may have to drop what does not fit into a ring. */
static uint32_t room_in_window(uint16_t qid)
{
    uint32_t under_way = program.tx[qid].sent - program.rx[qid].received;

    if (!program.options.expects_echo)
        return BURST;
    return under_way < program.options.window ? program.options.window - under_way : 0;
}

static uint32_t left_to_send(uint16_t qid)
{
    const struct tx_queue *queue = &program.tx[qid];

    if (program.options.is_continuous)
        return BURST;
    return queue->sent < program.options.send ? program.options.send - queue->sent : 0;
}

int wanted_to_send(uint16_t qid)
{
    uint32_t left = left_to_send(qid);

    if (left == 0 || program.options.is_echo)
        return NOTHING_TO_SEND;
    return (int)least(least(left, BURST), room_in_window(qid));
}

/* The library signals, whatever its peer does. */
static int watch_room(uint16_t qid)
{
    struct pollfd ready = {.fd = room_fd, .events = POLLIN};
    uint64_t times;
    int err = memif_ext_watch_room(link_handle(), qid, ROOM, room_fd);

    if (err == MEMIF_ERR_AGAIN &&
        (poll(&ready, 1, -1) != 1 || read(room_fd, &times, sizeof(times)) < 0))
        fault("poll or read: %s", strerror(errno));
    return err;
}

static void wait_for_room(uint16_t qid)
{
    const bool watches = program.options.when_full == WATCH;
    int err = watches ? watch_room(qid) : memif_ext_wait_room(link_handle(), qid, ROOM, PAUSE_MS);

    waits++;
    if (err != MEMIF_ERR_AGAIN && err != MEMIF_ERR_DISCONNECTED)
        check("memif_ext_wait_room or memif_ext_watch_room", err);
}

/* Returns how many packets went out, or NOTHING_TO_SEND. */
static int send_burst(uint16_t qid)
{
    int wanted = wanted_to_send(qid);

    if (wanted <= 0)
        return wanted;
    int sent = link_send(qid, (uint16_t)wanted);
    if (sent < wanted && program.options.when_full != TRY_AGAIN)
        wait_for_room(qid);
    return sent;
}

/* ---- connections ---- */

void connected(uint16_t rx_count, uint16_t tx_count)
{
    if (rx_count > MAX_QUEUES || tx_count > MAX_QUEUES) {
        fault("%u rx and %u tx queues", rx_count, tx_count);
        return;
    }
    program.rx_count = rx_count;
    program.tx_count = tx_count;
    program.connections++;
    program.is_connected = true;
}

int on_disconnect(memif_conn_handle_t handle, void *private_ctx)
{
    (void)handle;
    (void)private_ctx;
    program.is_connected = false;
    return 0;
}

int on_interrupt(memif_conn_handle_t handle, void *private_ctx, uint16_t qid)
{
    (void)handle;
    (void)private_ctx;
    if (program.is_connected)
        link_receive(qid);
    return 0;
}

/* ---- the end ---- */

static bool is_complete(void)
{
    uint16_t tx_count = program.options.is_echo ? 0 : program.tx_count;

    if (program.connections == 0 || program.options.is_echo)
        return false;
    for (uint16_t qid = 0; qid < tx_count; qid++) {
        if (program.tx[qid].sent < program.options.send)
            return false;
    }
    for (uint16_t qid = 0; qid < program.rx_count; qid++) {
        if (program.rx[qid].received < program.options.expect)
            return false;
    }
    return true;
}

static void report(void)
{
    uint64_t bytes_sent = 0;
    uint64_t bytes_received = 0;
    uint32_t moved = 0;

    printf("{\"connections\": %u, \"sent\": [", program.connections);
    for (uint16_t qid = 0; qid < program.tx_count; qid++) {
        printf("%s%u", qid > 0 ? ", " : "", program.tx[qid].sent);
        bytes_sent += program.tx[qid].bytes;
        moved += program.tx[qid].moved;
    }
    printf("], \"received\": [");
    for (uint16_t qid = 0; qid < program.rx_count; qid++) {
        printf("%s%u", qid > 0 ? ", " : "", program.rx[qid].received);
        bytes_received += program.rx[qid].bytes;
    }
    printf("], \"bytes_sent\": %" PRIu64 ", \"bytes_received\": %" PRIu64, bytes_sent,
           bytes_received);
    printf(", \"moved\": %u, \"waits\": %u", moved, waits);
    printf(", \"faults\": %u, \"fault\": \"%s\"}\n", fault_count, first_fault);
    fflush(stdout);
    is_reported = true;
}

/* Until stdin ends, or the loop has ended by itself. */
static void *wait_for_end_of_input(void *argument)
{
    struct pollfd ready[] = {
        {.fd = STDIN_FILENO, .events = POLLIN},
        {.fd = program_ended_fd, .events = POLLIN},
    };
    char bytes[64];

    (void)argument;
    do {
        if (poll(ready, 2, -1) < 0)
            break;
        if (ready[1].revents != 0)
            return NULL;
    } while (read(STDIN_FILENO, bytes, sizeof(bytes)) > 0);
    atomic_store(&is_stopped, true);
    link_cancel();
    return NULL;
}

/* ---- the loop ---- */

/* One turn over all queues; returns how long the wait for events may be. */
static int serve_queues(void)
{
    bool is_waiting_for_room = false;
    bool has_moved = false;

    for (uint16_t qid = 0; qid < program.rx_count && program.is_connected; qid++) {
        /* What is held for want of room gets no interrupt. */
        if (program.options.is_polling || link_is_holding(qid))
            has_moved = link_receive(qid) > 0 || has_moved;
        is_waiting_for_room = is_waiting_for_room || link_is_holding(qid);
    }
    for (uint16_t qid = 0; qid < program.tx_count && program.is_connected; qid++) {
        int sent = send_burst(qid);
        has_moved = has_moved || sent > 0;
        is_waiting_for_room = is_waiting_for_room || sent >= 0;
    }
    if (!program.is_connected)
        return -1;
    if (has_moved)
        return 0;
    if (is_reported && !is_waiting_for_room)
        return program.options.is_polling ? PAUSE_MS : -1;
    if (!program.options.is_polling && !is_waiting_for_room)
        return -1;
    sched_yield(); /* the peer may share our processor */
    return 0;
}

static void run(void)
{
    while (!atomic_load(&is_stopped) && fault_count == 0) {
        int timeout = serve_queues();
        if (!is_reported && is_complete())
            report();
        link_poll(timeout);
    }
    if (!is_reported && !program.options.is_echo && fault_count == 0)
        fault("stopped before all was sent and received");
}

/* ---- the program ---- */

static bool start_watching_input(pthread_t *thread)
{
    program_ended_fd = eventfd(0, EFD_CLOEXEC);
    room_fd = eventfd(0, EFD_CLOEXEC);
    if (program_ended_fd < 0 || room_fd < 0) {
        fault("eventfd: %s", strerror(errno));
        return false;
    }
    int err = pthread_create(thread, NULL, wait_for_end_of_input, NULL);

    if (err != 0)
        fault("pthread_create: %s", strerror(err));
    return err == 0;
}

static void stop_watching_input(pthread_t thread)
{
    const uint64_t one = 1;

    if (write(program_ended_fd, &one, sizeof(one)) < 0)
        fault("write: %s", strerror(errno));
    pthread_join(thread, NULL);
    close(program_ended_fd);
    close(room_fd);
}

int main(int argc, char **argv)
{
    pthread_t input;

    program.options.window = 128;
    take_options(&program.options, argc, argv);
    make_pattern();
    if (link_open() && start_watching_input(&input)) {
        puts("ready");
        fflush(stdout);
        run();
        stop_watching_input(input);
    }
    if (!is_reported)
        report();
    int status = fault_count == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    link_close();
    return status;
}
