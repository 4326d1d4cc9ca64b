/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INTERFACE4_H
#define INTERFACE4_H

#include <stdbool.h>

#include <libmemif.h>

/* Interfaces of the 4.0 programs: options, creation, polling. */

/* What the command line says about the interface to create. Zero or NULL means the default. */
struct interface_options {
    const char *socket;
    bool is_master;
    uint8_t queues; /* in each direction */
    uint8_t log2_ring_size;
    uint16_t buffer_size;
    uint32_t id;
    memif_interface_mode_t mode;
};

/* The letters that interface_option understands, as for getopt. */
#define INTERFACE_OPTIONS "s:mi:q:l:b:t:"
#define INTERFACE_USAGE                                                                            \
    "  -s  control socket (default /run/vpp/memif.sock)\n"                                         \
    "  -m  be the master (default: the slave)\n"                                                   \
    "  -i  interface id (default 0)\n"                                                             \
    "  -q  queues in each direction (default 1)\n"                                                 \
    "  -l  log2 of the ring size (default 10)\n"                                                   \
    "  -b  buffer size in bytes (default 2048)\n"                                                  \
    "  -t  what packets begin with: ethernet (default) or ip\n"

/* Takes one option with its value. False if the option is unknown or the value is not valid. */
bool interface_option(struct interface_options *options, int option, const char *value);

/*
 * Reads the command line, which has options only. Passes each option of `letters` (as for getopt)
 * with its value to `take`. Prints `usage` and ends the program for -h, for an option that `take`
 * refuses, and for an argument that is no option.
 */
void parse_options(int argc, char **argv, const char *letters, const char *usage,
                   bool (*take)(int option, char *value));

/*
 * Creates the socket, with a timer that makes a slave try again every 2 s.
 *
 * path: NULL means the default.
 * update: NULL if the library polls. `private_ctx` is passed to this function.
 */
int interface_socket(memif_socket_handle_t *sock, const char *path, const char *app_name,
                     memif_control_fd_update_t *update, void *private_ctx);

/* The arguments of memif_create for these options. */
void interface_args(const struct interface_options *options, memif_socket_handle_t sock,
                    memif_conn_args_t *args);

/* A memif_control_fd_update_t: watches for control_serve. `private_ctx` points to the epoll set. */
int control_update(memif_fd_event_t fde, void *private_ctx);

enum control_result { CONTROL_SERVED, CONTROL_TIMEOUT, CONTROL_INTERRUPTED };

/* Waits for one event of the library and handles it. timeout: milliseconds, or -1 for no limit. */
enum control_result control_serve(int epoll_fd, int timeout);

/* Prints the error of `call`, if `err` is one. The end of a connection is not an error, because
 * on_disconnect reports it. */
void interface_report(const char *call, int err);

#endif
