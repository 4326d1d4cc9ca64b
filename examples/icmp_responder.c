/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers ARP and ping on interfaces that are created by commands on stdin. The program polls: one
 * epoll set holds stdin and every descriptor of the library.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <libmemif.h>

#include "commands.h"
#include "connections.h"
#include "options.h"
#include "responder.h"
#include "stop.h"

/* The epoll data of stdin. For the library's descriptors the data is the descriptor itself. */
#define STDIN_EVENT (-1)

static const char usage[] =
    "usage: icmp_responder [-s <socket>] [-q <queues>] [-t ethernet|ip] [-h]\n"
    "  -s  control socket (default /run/vpp/memif.sock)\n"
    "  -q  queues of each connection, in each direction (default 1)\n"
    "  -t  what packets begin with: ethernet (default) or ip\n"
    "  -h  print this help\n"
    "Type help for the commands.\n";

enum input_state {
    INPUT_EVENTS, /* a terminal or a pipe: epoll says when there is something to read */
    INPUT_READY,  /* a file: it can always be read, and epoll does not accept it */
    INPUT_ENDED
};

static struct {
    int epoll_fd;
    bool exit;
    struct options options;
    enum input_state input;
    bool input_too_long; /* skipping the rest of a line */
    size_t input_len;
    char line[256];
} program;

static int on_control_fd_update(int fd, uint8_t events)
{
    struct epoll_event event = {.data.fd = fd};
    int operation = EPOLL_CTL_ADD;

    if ((events & MEMIF_FD_EVENT_READ) != 0)
        event.events |= EPOLLIN;
    if ((events & MEMIF_FD_EVENT_WRITE) != 0)
        event.events |= EPOLLOUT;
    if ((events & MEMIF_FD_EVENT_MOD) != 0)
        operation = EPOLL_CTL_MOD;
    if ((events & MEMIF_FD_EVENT_DEL) != 0)
        operation = EPOLL_CTL_DEL;
    if (epoll_ctl(program.epoll_fd, operation, fd, &event) == 0)
        return 0;
    perror("epoll_ctl");
    return -1;
}

static void run_line(void)
{
    program.line[program.input_len] = '\0';
    if (program.input_too_long)
        fprintf(stderr, "line too long, ignored\n");
    else if (!command_run(program.line, &program.options))
        program.exit = true;
    program.input_len = 0;
    program.input_too_long = false;
}

static void take_input(const char *bytes, size_t count)
{
    for (size_t i = 0; i < count && !program.exit; i++) {
        if (bytes[i] == '\n')
            run_line();
        else if (program.input_len < sizeof(program.line) - 1)
            program.line[program.input_len++] = bytes[i];
        else
            program.input_too_long = true;
    }
}

/* No more commands. The interfaces keep working until a signal comes. */
static void end_input(void)
{
    if (program.input_len > 0)
        run_line();
    if (program.input == INPUT_EVENTS)
        epoll_ctl(program.epoll_fd, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
    program.input = INPUT_ENDED;
}

static void read_input(void)
{
    char bytes[256];
    ssize_t count = read(STDIN_FILENO, bytes, sizeof(bytes));

    if (count > 0)
        take_input(bytes, (size_t)count);
    else if (count == 0 || (errno != EAGAIN && errno != EINTR))
        end_input();
}

static void watch_input(void)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = STDIN_EVENT};
    int result = epoll_ctl(program.epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event);

    program.input = result == 0 ? INPUT_EVENTS : INPUT_READY;
}

/* Takes one event at a time, because handling it may close another event's descriptor. */
static void serve_event(int timeout)
{
    struct epoll_event event;
    int count = epoll_wait(program.epoll_fd, &event, 1, timeout);
    uint8_t events = 0;

    if (count < 0 && errno != EINTR) {
        perror("epoll_wait");
        program.exit = true;
    }
    if (count <= 0)
        return;
    if (event.data.fd == STDIN_EVENT) {
        read_input();
        return;
    }
    if ((event.events & EPOLLIN) != 0)
        events |= MEMIF_FD_EVENT_READ;
    if ((event.events & EPOLLOUT) != 0)
        events |= MEMIF_FD_EVENT_WRITE;
    if ((event.events & (EPOLLERR | EPOLLHUP)) != 0)
        events |= MEMIF_FD_EVENT_ERROR;
    responder_report("memif_control_fd_handler", memif_control_fd_handler(event.data.fd, events));
}

static void run(void)
{
    while (!program.exit && !stop_requested()) {
        bool is_busy = connections_poll();
        if (program.input == INPUT_READY) {
            read_input();
            is_busy = true;
        }
        if (!program.exit)
            serve_event(is_busy ? 0 : -1);
    }
}

int main(int argc, char **argv)
{
    char app_name[] = "ICMP_Responder";

    setvbuf(stdout, NULL, _IOLBF, 0); /* print each line at once, also to a pipe */
    program.options.queues = 1;
    options_parse(&program.options, argc, argv, "hs:q:t:", usage);
    program.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (program.epoll_fd < 0) {
        perror("epoll_create1");
        return EXIT_FAILURE;
    }
    stop_on_signals();
    int err = memif_init(on_control_fd_update, app_name);
    if (err != MEMIF_ERR_SUCCESS) {
        fprintf(stderr, "memif_init: %s\n", memif_strerror(err));
        close(program.epoll_fd);
        return EXIT_FAILURE;
    }
    watch_input();
    run();
    connections_delete_all();
    memif_cleanup();
    close(program.epoll_fd);
    return EXIT_SUCCESS;
}
