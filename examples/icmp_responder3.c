/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers ARP requests and pings on one interface with two receive queues. Each queue has its own
 * thread: one thread polls queue 0, the other waits for interrupts of queue 1. The main thread
 * manages the connection. It starts the threads in on_connect and joins them in on_disconnect.
 */

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <libmemif.h>

#include "options.h"
#include "responder.h"
#include "stop.h"

enum { POLLED_QUEUE, INTERRUPT_QUEUE, QUEUE_COUNT };

static const char usage[] =
    "usage: icmp_responder3 [-s <socket>] [-m] [-i <id>] [-t ethernet|ip] [-h]\n"
    "  -s  control socket (default /run/vpp/memif.sock)\n"
    "  -m  be the master (default: the slave)\n"
    "  -i  interface id (default 0)\n"
    "  -t  what packets begin with: ethernet (default) or ip\n"
    "  -h  print this help\n"
    "Queue 0 is polled, queue 1 waits for interrupts. Ctrl+C ends the program.\n";

struct worker {
    pthread_t thread;
    bool is_running;
    atomic_bool stop;
    int stop_fd; /* an eventfd that ends a wait */
    int queue_fd;
    struct responder_queue queue;
};

static struct {
    memif_conn_handle_t conn;
    struct responder responder;
    struct worker workers[QUEUE_COUNT];
} program;

/* False when the thread should end. */
static bool goes_on(const struct worker *worker, int err)
{
    responder_report("icmp_responder3", err);
    return !responder_is_over(err) && !atomic_load(&worker->stop);
}

static void *poll_queue(void *argument)
{
    struct worker *worker = argument;
    int err;

    do {
        err = responder_serve(&worker->queue);
        if (worker->queue.received == 0)
            sched_yield(); /* let other threads run for a moment */
    } while (goes_on(worker, err));
    return NULL;
}

static bool watch(int epoll_fd, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* If the process is stopped and continued, the wait returns EINTR. */
static bool wait_for_event(int epoll_fd)
{
    struct epoll_event event;
    int count;

    do {
        count = epoll_wait(epoll_fd, &event, 1, -1);
    } while (count < 0 && errno == EINTR);
    return count == 1;
}

/* memif_rx_burst clears the queue's eventfd only when the ring is empty. So the wait returns at
 * once while packets are left. */
static void *wait_for_interrupts(void *argument)
{
    struct worker *worker = argument;
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

    if (epoll_fd < 0) {
        perror("epoll_create1");
        return NULL;
    }
    if (watch(epoll_fd, worker->stop_fd) && watch(epoll_fd, worker->queue_fd)) {
        while (wait_for_event(epoll_fd) && goes_on(worker, responder_interrupt(&worker->queue)))
            ;
    } else {
        perror("epoll_ctl");
    }
    close(epoll_fd);
    return NULL;
}

static void start_worker(struct worker *worker, void *(*run)(void *))
{
    sigset_t all;
    sigset_t before;

    /* The main thread must get all signals, because they have to end its wait. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    atomic_store(&worker->stop, false);
    int error = pthread_create(&worker->thread, NULL, run, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    worker->is_running = error == 0;
    if (error != 0)
        fprintf(stderr, "pthread_create: %s\n", strerror(error));
}

static void stop_worker(struct worker *worker)
{
    uint64_t value = 1;

    if (!worker->is_running)
        return;
    atomic_store(&worker->stop, true);
    if (write(worker->stop_fd, &value, sizeof(value)) < 0)
        perror("write");
    pthread_join(worker->thread, NULL);
    worker->is_running = false;
    if (read(worker->stop_fd, &value, sizeof(value)) < 0)
        perror("read");
}

static void start_polling(memif_conn_handle_t conn)
{
    int err = memif_set_rx_mode(conn, MEMIF_RX_MODE_POLLING, POLLED_QUEUE);

    responder_report("memif_set_rx_mode", err);
    start_worker(&program.workers[POLLED_QUEUE], poll_queue);
}

static void start_waiting(memif_conn_handle_t conn)
{
    struct worker *worker = &program.workers[INTERRUPT_QUEUE];
    int err = memif_get_queue_efd(conn, INTERRUPT_QUEUE, &worker->queue_fd);

    responder_report("memif_get_queue_efd", err);
    if (err == MEMIF_ERR_SUCCESS)
        start_worker(worker, wait_for_interrupts);
}

static int on_connect(memif_conn_handle_t conn, void *private_ctx)
{
    uint16_t rx = 0;
    uint16_t tx = 0;

    (void)private_ctx;
    responder_report("memif_get_details", responder_count_queues(conn, &rx, &tx));
    for (uint16_t qid = 0; qid < rx && qid < QUEUE_COUNT; qid++) {
        /* A peer may have fewer queues in one direction than in the other. Two threads must not
         * share a queue, so the second thread may have none to answer on. */
        responder_queue_init(&program.workers[qid].queue, &program.responder, conn, qid, qid);
        if (qid >= tx)
            fprintf(stderr, "no transmit queue %u: the connection has %u\n", qid, tx);
    }
    if (rx > POLLED_QUEUE)
        start_polling(conn);
    if (rx > INTERRUPT_QUEUE)
        start_waiting(conn);
    printf("memif connected!\n");
    return 0;
}

static int on_disconnect(memif_conn_handle_t conn, void *private_ctx)
{
    (void)conn;
    (void)private_ctx;
    for (int i = 0; i < QUEUE_COUNT; i++)
        stop_worker(&program.workers[i]);
    printf("memif disconnected!\n");
    return 0;
}

static int create(const struct options *options)
{
    memif_conn_args_t args;

    responder_init(&program.responder, options);
    options_to_args(options, &args);
    /* Without on_interrupt, the library leaves the queues' eventfds to the threads. */
    return memif_create(&program.conn, &args, on_connect, on_disconnect, NULL, NULL);
}

static bool open_stop_fds(void)
{
    for (int i = 0; i < QUEUE_COUNT; i++) {
        program.workers[i].stop_fd = eventfd(0, EFD_CLOEXEC);
        if (program.workers[i].stop_fd < 0) {
            perror("eventfd");
            return false;
        }
    }
    return true;
}

static void serve_connection(void)
{
    while (!stop_requested()) {
        int err = memif_poll_event(-1);
        if (err > 0) /* negative: a signal */
            responder_report("memif_poll_event", err);
    }
}

int main(int argc, char **argv)
{
    char app_name[] = "ICMP_Responder3";
    struct options options = {.queues = QUEUE_COUNT};

    setvbuf(stdout, NULL, _IOLBF, 0); /* print each line at once, also to a pipe */
    if (options_parse(&options, argc, argv, "hs:mi:t:", usage) != argc) {
        fputs(usage, stderr);
        return EXIT_FAILURE;
    }
    if (!open_stop_fds())
        return EXIT_FAILURE;
    stop_on_signals();
    int err = memif_init(NULL, app_name);
    if (err == MEMIF_ERR_SUCCESS)
        err = create(&options);
    if (err != MEMIF_ERR_SUCCESS) {
        fprintf(stderr, "cannot create the interface: %s\n", memif_strerror(err));
        memif_cleanup();
        return EXIT_FAILURE;
    }
    serve_connection();
    memif_delete(&program.conn);
    memif_cleanup();
    for (int i = 0; i < QUEUE_COUNT; i++)
        close(program.workers[i].stop_fd);
    return EXIT_SUCCESS;
}
