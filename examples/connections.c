/* SPDX-License-Identifier: Apache-2.0 */
#include "connections.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "responder.h"

struct queue {
    struct responder_queue responder;
    bool is_polling;
};

struct connection {
    memif_conn_handle_t handle;
    struct responder responder;
    uint16_t queue_count; /* connected receive queues */
    uint16_t queue_limit; /* entries of queues */
    struct queue queues[];
};

static struct connection *connections[CONNECTIONS_MAX];

static struct connection *find(uint32_t index)
{
    struct connection *connection = index < CONNECTIONS_MAX ? connections[index] : NULL;

    if (connection == NULL)
        fprintf(stderr, "no connection has index %" PRIu32 ": see show\n", index);
    return connection;
}

static int on_connect(memif_conn_handle_t conn, void *private_ctx)
{
    struct connection *connection = private_ctx;
    uint16_t rx = 0;
    uint16_t tx = 0;

    responder_report("memif_get_details", responder_count_queues(conn, &rx, &tx));
    connection->queue_count = rx < connection->queue_limit ? rx : connection->queue_limit;
    for (uint16_t qid = 0; qid < connection->queue_count; qid++) {
        struct queue *queue = &connection->queues[qid];
        /* A peer may give fewer queues in one direction than in the other. */
        uint16_t tx_qid = tx > 0 ? qid % tx : 0;
        responder_queue_init(&queue->responder, &connection->responder, conn, qid, tx_qid);
        queue->is_polling = false;
    }
    printf("memif connected!\n");
    return 0;
}

static int on_disconnect(memif_conn_handle_t conn, void *private_ctx)
{
    struct connection *connection = private_ctx;

    (void)conn;
    connection->queue_count = 0;
    printf("memif disconnected!\n");
    return 0;
}

static int on_interrupt(memif_conn_handle_t conn, void *private_ctx, uint16_t qid)
{
    struct connection *connection = private_ctx;

    (void)conn;
    /* connections_poll serves a queue in polling mode, and that also ends its interrupt. */
    if (qid < connection->queue_count && !connection->queues[qid].is_polling)
        responder_report("icmp_responder", responder_interrupt(&connection->queues[qid].responder));
    return 0;
}

void connection_create(const struct options *options)
{
    memif_conn_args_t args;
    struct connection **slot = &connections[options->id];

    if (*slot != NULL) {
        fprintf(stderr, "connection %" PRIu32 " exists already\n", options->id);
        return;
    }
    struct connection *connection =
        calloc(1, sizeof(*connection) + options->queues * sizeof(connection->queues[0]));
    if (connection == NULL) {
        perror("calloc");
        return;
    }
    connection->queue_limit = options->queues;
    responder_init(&connection->responder, options);
    options_to_args(options, &args);
    int err = memif_create(&connection->handle, &args, on_connect, on_disconnect, on_interrupt,
                           connection);
    if (err != MEMIF_ERR_SUCCESS) {
        fprintf(stderr, "memif_create: %s\n", memif_strerror(err));
        free(connection);
        return;
    }
    *slot = connection;
}

static void delete_connection(struct connection **slot)
{
    int err = memif_delete(&(*slot)->handle);

    if (err != MEMIF_ERR_SUCCESS)
        fprintf(stderr, "memif_delete: %s\n", memif_strerror(err));
    free(*slot);
    *slot = NULL;
}

void connection_delete(uint32_t index)
{
    if (find(index) != NULL)
        delete_connection(&connections[index]);
}

void connections_delete_all(void)
{
    for (uint32_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (connections[i] != NULL)
            delete_connection(&connections[i]);
    }
}

void connection_set_ip(uint32_t index, const uint8_t *ip)
{
    struct connection *connection = find(index);

    if (connection != NULL)
        memcpy(connection->responder.ip, ip, sizeof(connection->responder.ip));
}

void connection_set_rx_mode(uint32_t index, uint16_t qid, memif_rx_mode_t mode)
{
    struct connection *connection = find(index);

    if (connection == NULL)
        return;
    int err = memif_set_rx_mode(connection->handle, mode, qid);
    if (err != MEMIF_ERR_SUCCESS)
        fprintf(stderr, "memif_set_rx_mode: %s\n", memif_strerror(err));
    if (err != MEMIF_ERR_SUCCESS || qid >= connection->queue_count)
        return;
    /* Back in interrupt mode, the library interrupts once in any case, because the peer did not
     * signal the packets that it sent before. */
    connection->queues[qid].is_polling = mode == MEMIF_RX_MODE_POLLING;
}

static bool poll_connection(struct connection *connection)
{
    bool is_polling = false;

    for (uint16_t qid = 0; qid < connection->queue_count; qid++) {
        struct queue *queue = &connection->queues[qid];
        if (!queue->is_polling)
            continue;
        is_polling = true;
        responder_report("icmp_responder", responder_serve(&queue->responder));
    }
    return is_polling;
}

bool connections_poll(void)
{
    bool is_polling = false;

    for (uint32_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (connections[i] != NULL && poll_connection(connections[i]))
            is_polling = true;
    }
    return is_polling;
}

static const char *text(const uint8_t *string)
{
    return string != NULL ? (const char *)string : "";
}

static void show_queues(const char *direction, const memif_queue_details_t *queues, uint8_t count)
{
    printf("\t%s queues:\n", direction);
    for (uint8_t i = 0; queues != NULL && i < count; i++)
        printf("\t\tqueue id: %u, ring size: %" PRIu32 ", buffer size: %u\n", queues[i].qid,
               queues[i].ring_size, queues[i].buffer_size);
}

static const char *mode_name(uint8_t mode)
{
    switch (mode) {
    case MEMIF_INTERFACE_MODE_ETHERNET:
        return "ethernet";
    case MEMIF_INTERFACE_MODE_IP:
        return "ip";
    case MEMIF_INTERFACE_MODE_PUNT_INJECT:
        return "punt/inject";
    default:
        return "unknown";
    }
}

static void show_connection(uint32_t index, const struct connection *connection)
{
    memif_details_t details;
    char buffer[8192];
    char ip[INET_ADDRSTRLEN];

    memset(&details, 0, sizeof(details));
    int err = memif_get_details(connection->handle, &details, buffer, sizeof(buffer));
    if (err != MEMIF_ERR_SUCCESS) /* the details that fitted into the buffer are still shown */
        fprintf(stderr, "memif_get_details: %s\n", memif_strerror(err));
    inet_ntop(AF_INET, connection->responder.ip, ip, sizeof(ip));
    printf("interface index: %" PRIu32 "\n", index);
    printf("\tinterface ip: %s\n", ip);
    printf("\tinterface name: %s\n", text(details.if_name));
    printf("\tapp name: %s\n", text(details.inst_name));
    printf("\tremote interface name: %s\n", text(details.remote_if_name));
    printf("\tremote app name: %s\n", text(details.remote_inst_name));
    printf("\tid: %" PRIu32 "\n", details.id);
    printf("\trole: %s\n", details.role == 0 ? "master" : "slave");
    printf("\tmode: %s\n", mode_name(details.mode));
    printf("\tsocket filename: %s\n", text(details.socket_filename));
    show_queues("rx", details.rx_queues, details.rx_queues_num);
    show_queues("tx", details.tx_queues, details.tx_queues_num);
    printf("\tlink: %s\n", details.link_up_down != 0 ? "up" : "down");
}

void connections_show(void)
{
    printf("MEMIF DETAILS\n==============================\n");
    for (uint32_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (connections[i] != NULL)
            show_connection(i, connections[i]);
    }
}
