/* SPDX-License-Identifier: Apache-2.0 */
#include "link.h"

#include "clock.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_NS 20000000000u
#define RETRY_SECONDS 1

void link_check(const char *what, int err)
{
    if (err == MEMIF_ERR_SUCCESS)
        return;
    fprintf(stderr, "%s: %s (%d)\n", what, memif_strerror(err), err);
    exit(EXIT_FAILURE);
}

void link_failed(const struct link_end *end, const char *call, int err)
{
    fprintf(stderr, "%s, %s: %s (%d)\n", end->name, call, memif_strerror(err), err);
    exit(EXIT_FAILURE);
}

static int on_connect(memif_conn_handle_t conn, void *private_ctx)
{
    struct link_end *end = private_ctx;

    for (uint16_t qid = 0; qid < end->options->rings; qid++) {
#if MEMIF_API == 4
        memif_refill_queue(conn, qid, UINT16_MAX, 0);
#endif
        memif_set_rx_mode(
            conn, end->options->polling ? MEMIF_RX_MODE_POLLING : MEMIF_RX_MODE_INTERRUPT, qid);
    }
    end->up = true;
    end->was_up = true;
    return 0;
}

static int on_disconnect(memif_conn_handle_t conn, void *private_ctx)
{
    struct link_end *end = private_ctx;

    (void)conn;
    end->up = false;
    return 0;
}

static int on_interrupt(memif_conn_handle_t conn, void *private_ctx, uint16_t qid)
{
    struct link_end *end = private_ctx;

    (void)conn;
    if (end->on_packets != NULL)
        end->on_packets(end->context, qid);
    return 0;
}

void link_start(void)
{
#if MEMIF_API == 1
    char name[] = "bench";
    link_check("memif_init", memif_init(NULL, name));
#endif
}

void link_stop(void)
{
#if MEMIF_API == 1
    link_check("memif_cleanup", memif_cleanup());
#endif
}

#if MEMIF_API == 4
static void open_socket(struct link_end *end)
{
    memif_socket_args_t args = {
        .app_name = "bench",
        .connection_request_timer = {.it_interval.tv_sec = RETRY_SECONDS,
                                     .it_value.tv_sec = RETRY_SECONDS},
    };
    snprintf(args.path, sizeof(args.path), "%s", end->options->path);
    link_check("memif_create_socket", memif_create_socket(&end->sock, &args, NULL));
}
#endif

void link_open(struct link_end *end, const struct link_options *options, bool is_master)
{
    memif_conn_args_t args = {
        .num_s2m_rings = options->rings,
        .num_m2s_rings = options->rings,
        .buffer_size = options->buffer_size,
        .log2_ring_size = options->log2_ring_size,
        .is_master = is_master,
        .interface_id = options->id,
        .interface_name = "bench",
        .mode = MEMIF_INTERFACE_MODE_ETHERNET,
    };

    end->name = is_master ? "master" : "slave";
    end->options = options;
#if MEMIF_API == 1
    char path[108];
    snprintf(path, sizeof(path), "%s", options->path);
    args.socket_filename = (uint8_t *)path;
    memcpy(args.instance_name, "bench", sizeof("bench"));
#else
    open_socket(end);
    args.socket = end->sock;
#endif
    link_check("memif_create",
               memif_create(&end->conn, &args, on_connect, on_disconnect, on_interrupt, end));
}

void link_serve(struct link_end *end, int timeout)
{
#if MEMIF_API == 1
    (void)end;
    memif_poll_event(timeout);
#else
    memif_poll_event(end->sock, timeout);
#endif
}

void link_wait(struct link_end *a, struct link_end *b)
{
    uint64_t start = clock_ns();

    while (!a->up || (b != NULL && !b->up)) {
        link_serve(a, b == NULL ? 100 : 1);
        if (b != NULL)
            link_serve(b, 1);
        if (clock_ns() - start > CONNECT_TIMEOUT_NS) {
            fprintf(stderr, "%s: no connection on %s\n", a->name, a->options->path);
            exit(EXIT_FAILURE);
        }
    }
}

void link_set_polling(struct link_end *end, bool polling)
{
    for (uint16_t qid = 0; qid < end->options->rings; qid++)
        link_check("memif_set_rx_mode",
                   memif_set_rx_mode(
                       end->conn, polling ? MEMIF_RX_MODE_POLLING : MEMIF_RX_MODE_INTERRUPT, qid));
}

void link_close(struct link_end *end)
{
    link_check("memif_delete", memif_delete(&end->conn));
#if MEMIF_API == 4
    link_check("memif_delete_socket", memif_delete_socket(&end->sock));
#endif
}

const char *link_library(void)
{
    Dl_info info;
    return dladdr((void *)(uintptr_t)&memif_tx_burst, &info) != 0 ? info.dli_fname : "?";
}
