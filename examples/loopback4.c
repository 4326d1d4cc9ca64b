/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connects a master and a slave in one process, with the 4.0 API. Each sends packets of mixed sizes
 * and checks the packets that it receives. The program polls: one epoll set holds the descriptors
 * of both sockets.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <libmemif.h>

#include "interface4.h"
#include "parse.h"
#include "queue4.h"
#include "stop.h"

/* After so many milliseconds without an event, the missing packets count as lost. */
#define LOST_AFTER 10000

/* Packets between two signals to the peer. */
#define TX_BURST 64

static const char usage[] =
    "usage: loopback4 [-n <packets>] [-x <bytes>] [-s <socket>] [-b <bytes>] [-l <log2>] [-h]\n"
    "  -n  packets in each direction (default 100000)\n"
    "  -x  size of the largest packet (default 9000)\n"
    "  -s  control socket (default: an abstract one)\n"
    "  -b  buffer size in bytes (default 2048)\n"
    "  -l  log2 of the ring size (default 10)\n"
    "  -h  print this help\n"
    "The exit status is 0 if every packet arrived as it was sent.\n";

/* One of the two interfaces. A socket either listens or connects, so each has its own. */
struct end {
    const char *name;
    uint8_t direction; /* of the packets that it sends; makes the packets of the two ends differ */
    struct end *peer;
    memif_socket_handle_t sock;
    memif_conn_handle_t conn;
    bool is_up;
    uint32_t sent;
    uint32_t received;
    uint64_t received_bytes;
    struct rx_queue rx;
    struct tx_queue tx;
};

static struct {
    struct interface_options options;
    uint32_t packets;
    uint32_t max_size;
    int epoll_fd;
    bool has_failed;
    struct end master;
    struct end slave;
} program = {
    .packets = 100000,
    .max_size = 9000,
    .epoll_fd = -1,
    .master = {.name = "master", .direction = 0, .peer = &program.slave},
    .slave = {.name = "slave", .direction = 1, .peer = &program.master},
};

/* Makes a packet from its number, so that the receiver knows what to expect. */
static size_t make_packet(uint8_t *packet, uint8_t direction, uint32_t number)
{
    uint32_t scattered = number * 2654435761u; /* visits the sizes in no particular order */
    size_t len = 1 + (scattered >> 8) % program.max_size;

    for (size_t i = 0; i < len; i++)
        packet[i] = (uint8_t)(scattered + i * 7 + (i >> 8) + direction);
    return len;
}

/* Compares the packet with the one that the peer sent. */
static void check(struct end *end, const struct packet *packet)
{
    uint8_t expected[MAX_PACKET];
    size_t len = make_packet(expected, end->peer->direction, end->received);

    if (packet->len != len || memcmp(packet->data, expected, len) != 0) {
        fprintf(stderr, "%s: packet %" PRIu32 " of %zu bytes is not the one of %zu bytes sent\n",
                end->name, end->received, packet->len, len);
        program.has_failed = true;
    }
    end->received++;
    end->received_bytes += packet->len;
}

/* A burst_handler_t. */
static int check_burst(struct rx_queue *queue, void *context)
{
    struct packet packet;

    while (rx_queue_next(queue, &packet))
        check(context, &packet);
    return MEMIF_ERR_SUCCESS;
}

static void report(const char *call, int err)
{
    interface_report(call, err);
    if (err != MEMIF_ERR_SUCCESS && err != MEMIF_ERR_NOBUF)
        program.has_failed = true;
}

static int on_interrupt(memif_conn_handle_t conn, void *private_ctx, uint16_t qid)
{
    struct end *end = private_ctx;

    (void)conn;
    (void)qid;
    /* One burst, not rx_queue_serve: while this thread polls, the peer cannot send. */
    report("receiving", rx_queue_burst(&end->rx, check_burst, end));
    return 0;
}

static int on_connect(memif_conn_handle_t conn, void *private_ctx)
{
    struct end *end = private_ctx;

    report("opening the queue to receive from", rx_queue_open(&end->rx, conn, 0, 0));
    report("opening the queue to send to", tx_queue_open(&end->tx, conn, 0));
    end->is_up = !program.has_failed;
    return 0;
}

static int on_disconnect(memif_conn_handle_t conn, void *private_ctx)
{
    struct end *end = private_ctx;

    (void)conn;
    tx_queue_close(&end->tx);
    end->is_up = false;
    return 0;
}

/* Sends until the ring is full. Nothing signals that the ring has room again. But a full ring holds
 * packets for the peer, so the peer's interrupt comes, and after it this function is called again.
 */
static void send_packets(struct end *end)
{
    uint8_t packet[MAX_PACKET];
    int err = MEMIF_ERR_SUCCESS;

    while (end->is_up && end->sent < program.packets && err == MEMIF_ERR_SUCCESS) {
        err = tx_queue_copy(&end->tx, packet, make_packet(packet, end->direction, end->sent));
        if (err != MEMIF_ERR_SUCCESS)
            break;
        end->sent++;
        if (end->sent % TX_BURST == 0)
            err = tx_queue_flush(&end->tx);
    }
    if (err != MEMIF_ERR_NOBUF_RING)
        report("filling a packet", err);
    if (end->is_up)
        report("sending", tx_queue_flush(&end->tx));
}

static bool is_complete(void)
{
    return program.master.received == program.packets && program.slave.received == program.packets;
}

static void run(void)
{
    while (!is_complete() && !program.has_failed && !stop_requested()) {
        send_packets(&program.slave);
        send_packets(&program.master);
        if (control_serve(program.epoll_fd, LOST_AFTER) == CONTROL_TIMEOUT) {
            fprintf(stderr, "nothing happens any more\n");
            return;
        }
    }
}

static bool create(struct end *end, const char *path)
{
    struct interface_options options = program.options;
    memif_conn_args_t args;
    int err = interface_socket(&end->sock, path, "loopback4", control_update, &program.epoll_fd);

    if (err == MEMIF_ERR_SUCCESS) {
        options.is_master = end == &program.master;
        interface_args(&options, end->sock, &args);
        err = memif_create(&end->conn, &args, on_connect, on_disconnect, on_interrupt, end);
    }
    if (err == MEMIF_ERR_SUCCESS)
        return true;
    fprintf(stderr, "cannot create the %s: %s\n", end->name, memif_strerror(err));
    return false;
}

static void delete(struct end *end)
{
    if (end->conn != NULL)
        memif_delete(&end->conn);
    if (end->sock != NULL)
        memif_delete_socket(&end->sock);
}

static bool take_option(int option, char *value)
{
    switch (option) {
    case 'n':
        return parse_number(value, UINT32_MAX, &program.packets);
    case 'x':
        return parse_number(value, MAX_PACKET, &program.max_size) && program.max_size > 0;
    default:
        return interface_option(&program.options, option, value);
    }
}

/* Without this check, the program would wait for ever for room for a packet that no ring can hold.
 */
static bool fits(void)
{
    uint32_t buffer = program.options.buffer_size != 0 ? program.options.buffer_size : 2048;
    uint32_t log2 = program.options.log2_ring_size != 0 ? program.options.log2_ring_size : 10;

    if ((program.max_size + buffer - 1) / buffer <= 1u << log2)
        return true;
    fprintf(stderr, "a packet of %" PRIu32 " bytes does not fit %u buffers of %" PRIu32 " bytes\n",
            program.max_size, 1u << log2, buffer);
    return false;
}

static void print_result(const struct end *end)
{
    printf("%s to %s: %" PRIu32 " packets sent, %" PRIu32 " received, %" PRIu64 " bytes\n",
           end->peer->name, end->name, end->peer->sent, end->received, end->received_bytes);
}

int main(int argc, char **argv)
{
    char path[108];

    snprintf(path, sizeof(path), "@loopback4-%ld", (long)getpid());
    program.options.socket = path;
    parse_options(argc, argv, "n:x:s:b:l:h", usage, take_option);
    if (!fits())
        return EXIT_FAILURE;
    program.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (program.epoll_fd < 0) {
        perror("epoll_create1");
        return EXIT_FAILURE;
    }
    stop_on_signals();
    bool is_created = create(&program.master, program.options.socket) &&
                      create(&program.slave, program.options.socket);
    if (is_created)
        run();
    delete(&program.slave);
    delete(&program.master);
    close(program.epoll_fd);
    print_result(&program.master);
    print_result(&program.slave);
    return is_created && is_complete() && !program.has_failed ? EXIT_SUCCESS : EXIT_FAILURE;
}
