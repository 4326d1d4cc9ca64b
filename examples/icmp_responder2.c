/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers ARP requests and pings on one interface. The library polls; on_interrupt handles the
 * packets.
 */

#include <stdio.h>
#include <stdlib.h>

#include <libmemif.h>

#include "options.h"
#include "responder.h"
#include "stop.h"

static const char usage[] =
    "usage: icmp_responder2 [-s <socket>] [-m] [-i <id>] [-t ethernet|ip] [-h] [<tx queue id>]\n"
    "  -s  control socket (default /run/vpp/memif.sock)\n"
    "  -m  be the master (default: the slave)\n"
    "  -i  interface id (default 0)\n"
    "  -t  what packets begin with: ethernet (default) or ip\n"
    "  -h  print this help\n"
    "Answers go out on transmit queue <tx queue id> (default 0). Ctrl+C ends the program.\n";

static struct {
    memif_conn_handle_t conn;
    struct responder responder;
    uint16_t tx_qid;
    uint16_t queue_count; /* connected receive queues */
    struct responder_queue queues[UINT8_MAX];
} program;

static int on_connect(memif_conn_handle_t conn, void *private_ctx)
{
    uint16_t rx = 0;
    uint16_t tx = 0;

    (void)private_ctx;
    responder_report("memif_get_details", responder_count_queues(conn, &rx, &tx));
    if (program.tx_qid >= tx)
        fprintf(stderr, "no transmit queue %u: the connection has %u\n", program.tx_qid, tx);
    for (uint16_t qid = 0; qid < rx; qid++)
        responder_queue_init(&program.queues[qid], &program.responder, conn, qid, program.tx_qid);
    program.queue_count = rx;
    printf("memif connected!\n");
    return 0;
}

static int on_disconnect(memif_conn_handle_t conn, void *private_ctx)
{
    (void)conn;
    (void)private_ctx;
    program.queue_count = 0;
    printf("memif disconnected!\n");
    return 0;
}

static int on_interrupt(memif_conn_handle_t conn, void *private_ctx, uint16_t qid)
{
    (void)conn;
    (void)private_ctx;
    if (qid < program.queue_count)
        responder_report("icmp_responder2", responder_interrupt(&program.queues[qid]));
    return 0;
}

static void parse_arguments(struct options *options, int argc, char **argv)
{
    uint32_t tx_qid = 0;
    int first = options_parse(options, argc, argv, "hs:mi:t:", usage);

    if (argc - first > 1 || (first < argc && !parse_number(argv[first], UINT8_MAX - 1, &tx_qid))) {
        fputs(usage, stderr);
        exit(EXIT_FAILURE);
    }
    program.tx_qid = (uint16_t)tx_qid;
    options->queues = (uint8_t)(tx_qid + 1); /* so that the queue exists */
}

static int create(const struct options *options)
{
    memif_conn_args_t args;

    responder_init(&program.responder, options);
    options_to_args(options, &args);
    return memif_create(&program.conn, &args, on_connect, on_disconnect, on_interrupt, NULL);
}

int main(int argc, char **argv)
{
    char app_name[] = "ICMP_Responder2";
    struct options options = {0};

    setvbuf(stdout, NULL, _IOLBF, 0); /* print each line at once, also to a pipe */
    parse_arguments(&options, argc, argv);
    stop_on_signals();
    int err = memif_init(NULL, app_name);
    if (err == MEMIF_ERR_SUCCESS)
        err = create(&options);
    if (err != MEMIF_ERR_SUCCESS) {
        fprintf(stderr, "cannot create the interface: %s\n", memif_strerror(err));
        memif_cleanup();
        return EXIT_FAILURE;
    }
    while (!stop_requested()) {
        err = memif_poll_event(-1);
        if (err > 0) /* negative: a signal */
            responder_report("memif_poll_event", err);
    }
    memif_delete(&program.conn);
    memif_cleanup();
    return EXIT_SUCCESS;
}
