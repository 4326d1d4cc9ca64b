/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stubborn_v4 SOCKET master|slave: the same over the 4.0 API, where a packet comes in several
 * buffers and goes out in one.
 */
#include <stdio.h>
#include <string.h>

#include <libmemif.h>

enum { BURST = 64 };

static int ignore(memif_conn_handle_t conn, void *private_ctx)
{
    (void)conn;
    (void)private_ctx;
    return 0;
}

static int on_connect(memif_conn_handle_t conn, void *private_ctx)
{
    (void)private_ctx;
    return memif_refill_queue(conn, 0, UINT16_MAX, 0);
}

/* Copies what there is room for, and counts all of it. */
static void append(memif_buffer_t *out, uint32_t room, const memif_buffer_t *in)
{
    if (out->len < room) {
        uint32_t part = in->len < room - out->len ? in->len : room - out->len;
        memcpy((char *)out->data + out->len, in->data, part);
    }
    out->len += in->len;
}

static uint16_t answer(memif_conn_handle_t conn, uint16_t qid, memif_buffer_t *out,
                       const memif_buffer_t *in, uint16_t received)
{
    uint16_t packets = 0, reserved = 0;
    uint32_t room = 0;

    for (uint16_t i = 0; i < received; i++) {
        if (i == 0 || (in[i - 1].flags & MEMIF_BUFFER_FLAG_NEXT) == 0) {
            (void)memif_buffer_alloc(conn, qid, &out[packets], 1, &reserved, 0);
            if (reserved == 0)
                return packets;
            room = out[packets].len;
            out[packets++].len = 0;
        }
        append(&out[packets - 1], room, &in[i]);
    }
    return packets;
}

static int on_interrupt(memif_conn_handle_t conn, void *private_ctx, uint16_t qid)
{
    memif_buffer_t in[BURST], out[BURST];
    uint16_t received = 0, sent = 0, done = 0;
    int err;

    (void)private_ctx;
    (void)memif_rx_burst(conn, qid, in, BURST, &received);
    uint16_t packets = answer(conn, qid, out, in, received);
    (void)memif_refill_queue(conn, qid, received, 0);
    do {
        err = memif_tx_burst(conn, qid, out + done, (uint16_t)(packets - done), &sent);
        done = (uint16_t)(done + sent);
    } while (err != MEMIF_ERR_SUCCESS && err != MEMIF_ERR_DISCONNECTED);
    return 0;
}

int main(int argc, char **argv)
{
    memif_socket_handle_t sock = NULL;
    memif_conn_handle_t conn = NULL;
    memif_socket_args_t socket_args = {.app_name = "stubborn_v4",
                                       .connection_request_timer.it_value.tv_sec = 2,
                                       .connection_request_timer.it_interval.tv_sec = 2};

    if (argc != 3 || strlen(argv[1]) >= sizeof(socket_args.path))
        return 2;
    memcpy(socket_args.path, argv[1], strlen(argv[1]));
    int err = memif_create_socket(&sock, &socket_args, NULL);
    memif_conn_args_t args = {.socket = sock, .is_master = strcmp(argv[2], "master") == 0};
    if (err == MEMIF_ERR_SUCCESS)
        err = memif_create(&conn, &args, on_connect, ignore, on_interrupt, NULL);
    while (err == MEMIF_ERR_SUCCESS)
        err = memif_poll_event(sock, -1);
    (void)fprintf(stderr, "stubborn_v4: %s\n", memif_strerror(err));
    return 1;
}
