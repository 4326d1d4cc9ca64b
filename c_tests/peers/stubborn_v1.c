/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stubborn_v1 SOCKET master|slave: an echo as programs of 2017 were written. It reserves buffers of
 * one size, says that all of a received packet is in them even if it is longer, and sends what is
 * left until it hears that all went well. It runs until it is killed.
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

static void answer(memif_buffer_t *out, const memif_buffer_t *in)
{
    memcpy(out->data, in->data, in->data_len < out->buffer_len ? in->data_len : out->buffer_len);
    out->data_len = in->data_len;
}

static int on_interrupt(memif_conn_handle_t conn, void *private_ctx, uint16_t qid)
{
    memif_buffer_t in[BURST], out[BURST];
    uint16_t received = 0, reserved = 0, sent = 0, freed;
    uint16_t done = 0;
    int err;

    (void)private_ctx;
    (void)memif_rx_burst(conn, qid, in, BURST, &received);
    (void)memif_buffer_alloc(conn, qid, out, received, &reserved);
    for (uint16_t i = 0; i < reserved; i++)
        answer(&out[i], &in[i]);
    (void)memif_buffer_free(conn, qid, in, received, &freed);
    do {
        err = memif_tx_burst(conn, qid, out + done, (uint16_t)(reserved - done), &sent);
        done = (uint16_t)(done + sent);
    } while (err != MEMIF_ERR_SUCCESS && err != MEMIF_ERR_DISCONNECTED);
    return 0;
}

int main(int argc, char **argv)
{
    memif_conn_handle_t conn = NULL;

    if (argc != 3 || memif_init(NULL, NULL) != MEMIF_ERR_SUCCESS)
        return 2;
    memif_conn_args_t args = {.socket_filename = (uint8_t *)argv[1],
                              .is_master = strcmp(argv[2], "master") == 0};
    int err = memif_create(&conn, &args, ignore, ignore, on_interrupt, NULL);
    while (err == MEMIF_ERR_SUCCESS)
        err = memif_poll_event(-1);
    (void)fprintf(stderr, "stubborn: %s\n", memif_strerror(err));
    return 1;
}
