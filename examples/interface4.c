/* SPDX-License-Identifier: Apache-2.0 */
#include "interface4.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "parse.h"

#define RETRY_SECONDS 2

static bool parse_u8(const char *text, uint8_t max, uint8_t *value)
{
    uint32_t number = 0;

    if (!parse_number(text, max, &number))
        return false;
    *value = (uint8_t)number;
    return true;
}

static bool parse_u16(const char *text, uint16_t *value)
{
    uint32_t number = 0;

    if (!parse_number(text, UINT16_MAX, &number))
        return false;
    *value = (uint16_t)number;
    return true;
}

bool interface_option(struct interface_options *options, int option, const char *value)
{
    switch (option) {
    case 's':
        options->socket = value;
        return true;
    case 'm':
        options->is_master = true;
        return true;
    case 'i':
        return parse_number(value, UINT32_MAX, &options->id);
    case 'q':
        return parse_queues(value, &options->queues);
    case 'l':
        return parse_u8(value, 14, &options->log2_ring_size);
    case 'b':
        return parse_u16(value, &options->buffer_size);
    case 't':
        return parse_mode(value, &options->mode);
    default:
        return false;
    }
}

static void refuse(const char *usage)
{
    fputs(usage, stderr);
    exit(EXIT_FAILURE);
}

void parse_options(int argc, char **argv, const char *letters, const char *usage,
                   bool (*take)(int option, char *value))
{
    int option;

    while ((option = getopt(argc, argv, letters)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            exit(EXIT_SUCCESS);
        }
        if (option == '?')
            refuse(usage);
        if (!take(option, optarg)) {
            fprintf(stderr, "%s: not a value for -%c: '%s'\n", argv[0], option, optarg);
            refuse(usage);
        }
    }
    if (optind != argc) {
        fprintf(stderr, "%s: not an option: '%s'\n", argv[0], argv[optind]);
        refuse(usage);
    }
}

int interface_socket(memif_socket_handle_t *sock, const char *path, const char *app_name,
                     memif_control_fd_update_t *update, void *private_ctx)
{
    memif_socket_args_t args = {
        .connection_request_timer = {.it_value.tv_sec = RETRY_SECONDS,
                                     .it_interval.tv_sec = RETRY_SECONDS},
        .on_control_fd_update = update,
    };

    if (path != NULL) {
        if (strlen(path) >= sizeof(args.path))
            return MEMIF_ERR_INVAL_ARG;
        memcpy(args.path, path, strlen(path) + 1);
    }
    snprintf(args.app_name, sizeof(args.app_name), "%s", app_name);
    return memif_create_socket(sock, &args, private_ctx);
}

void interface_args(const struct interface_options *options, memif_socket_handle_t sock,
                    memif_conn_args_t *args)
{
    memset(args, 0, sizeof(*args));
    args->socket = sock;
    args->num_s2m_rings = options->queues;
    args->num_m2s_rings = options->queues;
    args->buffer_size = options->buffer_size;
    args->log2_ring_size = options->log2_ring_size;
    args->is_master = options->is_master;
    args->interface_id = options->id;
    args->mode = options->mode;
    snprintf((char *)args->interface_name, sizeof(args->interface_name), "memif%" PRIu32,
             options->id);
}

int control_update(memif_fd_event_t fde, void *private_ctx)
{
    const int *epoll_fd = private_ctx;
    struct epoll_event event = {.data.ptr = fde.private_ctx};
    int operation = EPOLL_CTL_ADD;

    if ((fde.type & MEMIF_FD_EVENT_READ) != 0)
        event.events |= EPOLLIN;
    if ((fde.type & MEMIF_FD_EVENT_WRITE) != 0)
        event.events |= EPOLLOUT;
    if ((fde.type & MEMIF_FD_EVENT_MOD) != 0)
        operation = EPOLL_CTL_MOD;
    if ((fde.type & MEMIF_FD_EVENT_DEL) != 0)
        operation = EPOLL_CTL_DEL;
    if (epoll_ctl(*epoll_fd, operation, fde.fd, &event) == 0)
        return 0;
    perror("epoll_ctl");
    return -1;
}

/* Takes one event at a time, because handling it may make another event's context invalid. */
enum control_result control_serve(int epoll_fd, int timeout)
{
    struct epoll_event event;
    int count = epoll_wait(epoll_fd, &event, 1, timeout);
    unsigned int events = 0;

    if (count < 0 && errno != EINTR)
        perror("epoll_wait");
    if (count <= 0)
        return count == 0 ? CONTROL_TIMEOUT : CONTROL_INTERRUPTED;
    if ((event.events & EPOLLIN) != 0)
        events |= MEMIF_FD_EVENT_READ;
    if ((event.events & EPOLLOUT) != 0)
        events |= MEMIF_FD_EVENT_WRITE;
    if ((event.events & (EPOLLERR | EPOLLHUP)) != 0)
        events |= MEMIF_FD_EVENT_ERROR;
    interface_report("memif_control_fd_handler",
                     memif_control_fd_handler(event.data.ptr, (memif_fd_event_type_t)events));
    return CONTROL_SERVED;
}

void interface_report(const char *call, int err)
{
    if (err == MEMIF_ERR_SUCCESS || err == MEMIF_ERR_NOBUF || err == MEMIF_ERR_DISCONNECTED)
        return;
    fprintf(stderr, "%s: %s\n", call, memif_strerror(err));
}
