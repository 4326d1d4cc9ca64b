/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers ARP requests and pings on one interface, with the 4.0 API. The library waits, and calls
 * on_interrupt when packets come; from then on the program polls, for as long as more packets come.
 * As slave, it turns a request into its answer in the same buffer, and moves the buffer to the
 * transmit ring without a copy. As master, it copies answers.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libmemif.h>

#include "icmp.h"
#include "interface4.h"
#include "parse.h"
#include "queue4.h"
#include "stop.h"

static const char usage[] =
    "usage: icmp_responder4 [options]\n" INTERFACE_USAGE
    "  -a  answer for this IP address (default 192.168.<id + 1>.2)\n"
    "  -H  as slave: bytes left free before each received packet (default 0)\n"
    "  -c  as slave: copy answers, as the master does\n"
    "  -h  print this help\n"
    "Ctrl+C ends the program.\n";

static struct {
    struct interface_options options;
    bool has_ip;
    bool copies;
    uint16_t headroom;
    uint8_t ip[4];
    uint8_t mac[6];

    memif_socket_handle_t sock;
    memif_conn_handle_t conn;
    uint16_t rx_count; /* connected queues */
    uint16_t tx_count;
    struct rx_queue rx[UINT8_MAX];
    struct tx_queue tx[UINT8_MAX];
} program;

/* Turns the packet into its answer where it is, and moves or copies it to the transmit ring. Drops
 * it if the ring has no room. */
static int answer(struct tx_queue *tx, const struct packet *packet)
{
    const uint8_t *mac = program.options.mode == MEMIF_INTERFACE_MODE_IP ? NULL : program.mac;
    size_t len = icmp_respond(packet->data, packet->len, program.ip, mac);

    if (len == 0)
        return MEMIF_ERR_SUCCESS;
    if (packet->buffer != NULL && tx->can_move && !program.copies) {
        packet->buffer->len = (uint32_t)len;
        tx_queue_move(tx, packet->buffer);
        return MEMIF_ERR_SUCCESS;
    }
    int err = tx_queue_copy(tx, packet->data, len);
    return err == MEMIF_ERR_NOBUF_RING ? MEMIF_ERR_SUCCESS : err;
}

/* A burst_handler_t. */
static int answer_burst(struct rx_queue *rx, void *context)
{
    struct tx_queue *tx = context;
    struct packet packet;
    int err = MEMIF_ERR_SUCCESS;

    while (err == MEMIF_ERR_SUCCESS && rx_queue_next(rx, &packet))
        err = answer(tx, &packet);
    int sent = tx_queue_flush(tx);
    return err != MEMIF_ERR_SUCCESS ? err : sent;
}

static int on_interrupt(memif_conn_handle_t conn, void *private_ctx, uint16_t qid)
{
    (void)conn;
    (void)private_ctx;
    if (qid >= program.rx_count || program.tx_count == 0)
        return 0;
    struct tx_queue *tx = &program.tx[qid % program.tx_count];
    interface_report("answering", rx_queue_serve(&program.rx[qid], answer_burst, tx));
    return 0;
}

static int open_queues(memif_conn_handle_t conn)
{
    uint16_t rx = 0;
    uint16_t tx = 0;
    int err = count_queues(conn, &rx, &tx);

    for (uint16_t qid = 0; qid < tx && err == MEMIF_ERR_SUCCESS; qid++) {
        err = tx_queue_open(&program.tx[qid], conn, qid);
        program.tx_count = (uint16_t)(qid + 1);
    }
    for (uint16_t qid = 0; qid < rx && err == MEMIF_ERR_SUCCESS; qid++) {
        err = rx_queue_open(&program.rx[qid], conn, qid, program.headroom);
        program.rx_count = (uint16_t)(qid + 1);
    }
    return err;
}

static void close_queues(void)
{
    for (uint16_t qid = 0; qid < program.tx_count; qid++)
        tx_queue_close(&program.tx[qid]);
    program.tx_count = 0;
    program.rx_count = 0;
}

static int on_connect(memif_conn_handle_t conn, void *private_ctx)
{
    (void)private_ctx;
    int err = open_queues(conn);
    if (err != MEMIF_ERR_SUCCESS) {
        interface_report("opening the queues", err);
        close_queues();
    }
    printf("memif connected!\n");
    return 0;
}

static int on_disconnect(memif_conn_handle_t conn, void *private_ctx)
{
    (void)conn;
    (void)private_ctx;
    close_queues();
    printf("memif disconnected!\n");
    return 0;
}

static bool take_option(int option, char *value)
{
    uint32_t number = 0;

    switch (option) {
    case 'a':
        program.has_ip = true;
        return parse_ip(value, program.ip);
    case 'H':
        if (!parse_number(value, UINT16_MAX, &number))
            return false;
        program.headroom = (uint16_t)number;
        return true;
    case 'c':
        program.copies = true;
        return true;
    default:
        return interface_option(&program.options, option, value);
    }
}

static void choose_addresses(void)
{
    const uint8_t ip[4] = {192, 168, (uint8_t)(program.options.id + 1), 2};
    const uint8_t mac[6] = {
        0x02, 0xfe, 0, 0, (uint8_t)(program.options.id >> 8), (uint8_t)program.options.id};

    if (!program.has_ip)
        memcpy(program.ip, ip, sizeof(ip));
    memcpy(program.mac, mac, sizeof(mac));
}

static int create(void)
{
    memif_conn_args_t args;
    int err =
        interface_socket(&program.sock, program.options.socket, "icmp_responder4", NULL, NULL);

    if (err != MEMIF_ERR_SUCCESS)
        return err;
    interface_args(&program.options, program.sock, &args);
    return memif_create(&program.conn, &args, on_connect, on_disconnect, on_interrupt, NULL);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0); /* print each line at once, also to a pipe */
    parse_options(argc, argv, INTERFACE_OPTIONS "a:H:ch", usage, take_option);
    choose_addresses();
    stop_on_signals();
    int err = create();
    if (err != MEMIF_ERR_SUCCESS)
        fprintf(stderr, "cannot create the interface: %s\n", memif_strerror(err));
    while (err == MEMIF_ERR_SUCCESS && !stop_requested()) {
        int polled = memif_poll_event(program.sock, -1);
        if (polled > 0) /* negative: a signal */
            interface_report("memif_poll_event", polled);
    }
    if (program.conn != NULL)
        memif_delete(&program.conn);
    if (program.sock != NULL)
        memif_delete_socket(&program.sock);
    return err == MEMIF_ERR_SUCCESS ? EXIT_SUCCESS : EXIT_FAILURE;
}
