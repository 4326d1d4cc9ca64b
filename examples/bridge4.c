/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joins two interfaces, a and b, with the 4.0 API: packets received on one are sent on the other.
 * The main thread manages the connections. While both are up, worker threads move the packets. Each
 * worker has one transmit queue of each interface, and receive queues that no other worker uses.
 *
 * Packets are copied. memif_buffer_enq_tx cannot be used, because each peer of the bridge has
 * mapped only its own memory, not that of the other peer.
 */

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <libmemif.h>

#include "interface4.h"
#include "parse.h"
#include "queue4.h"
#include "stop.h"

enum {
    SIDES = 2,
    MAX_QUEUES = UINT8_MAX,
    IDLE_TURNS = 500, /* without a packet, until a worker waits again: about 10 us */
    BUSY_TURNS = 256  /* with packets, until it looks whether it should end */
};

static const char usage[] =
    "usage: bridge4 -a <socket>,<role>,<id> -b <socket>,<role>,<id> [options]\n"
    "  -a  an interface; the role is master or slave\n"
    "  -b  the other interface\n"
    "  -q  queues of each interface, in each direction (default 1)\n"
    "  -l  log2 of the ring size (default 10)\n"
    "  -z  buffer size in bytes (default 2048)\n"
    "  -t  what packets begin with: ethernet (default) or ip\n"
    "  -h  print this help\n"
    "Ctrl+C ends the program.\n";

/* One receive queue, and the transmit queue of the other side to which its packets go. */
struct flow {
    struct flow *next; /* of the same worker */
    struct rx_queue rx;
    struct tx_queue *tx;
    bool is_open; /* `tx` has had room: its receiver is ready */
    uint64_t forwarded;
    uint64_t dropped; /* the transmit ring was full */
};

struct side {
    const char *name;
    struct side *other;
    struct interface_options options;
    memif_socket_handle_t sock;
    bool has_own_socket;
    memif_conn_handle_t conn;
    bool is_up;
    uint16_t rx_count;
    uint16_t tx_count;
    struct flow flows[MAX_QUEUES];
    struct tx_queue tx[MAX_QUEUES];
};

struct worker {
    pthread_t thread;
    bool is_running;
    int epoll_fd;
    struct flow *flows;
};

static struct {
    int epoll_fd;
    int stop_fd; /* an eventfd that all workers watch */
    uint16_t worker_count;
    struct worker workers[MAX_QUEUES];
    struct side sides[SIDES];
} program = {
    .sides = {{.name = "a", .other = &program.sides[1]}, {.name = "b", .other = &program.sides[0]}},
};

/* A burst_handler_t. */
static int forward(struct rx_queue *queue, void *context)
{
    struct flow *flow = context;
    struct packet packet;

    while (rx_queue_next(queue, &packet)) {
        int err = tx_queue_copy(flow->tx, packet.data, packet.len);
        if (err != MEMIF_ERR_SUCCESS && err != MEMIF_ERR_NOBUF_RING)
            return err;
        flow->forwarded += err == MEMIF_ERR_SUCCESS;
        flow->dropped += err == MEMIF_ERR_NOBUF_RING;
    }
    return tx_queue_flush(flow->tx);
}

/* False while the receiver is not ready. Until then, incoming packets wait. Later, a full ring
 * means that the receiver is too slow. */
static bool is_open(struct flow *flow)
{
    flow->is_open = flow->is_open || tx_queue_has_room(flow->tx);
    return flow->is_open;
}

/* Forwards one burst, and adds its buffers to `count`. False when the thread should end: a
 * connection is going down. */
static bool serve(struct flow *flow, uint32_t *count)
{
    if (!is_open(flow))
        return true;
    int err = rx_queue_burst(&flow->rx, forward, flow);

    *count += flow->rx.count;
    interface_report("forwarding", err);
    return err == MEMIF_ERR_SUCCESS || err == MEMIF_ERR_NOBUF;
}

static void set_rx_modes(const struct worker *worker, memif_rx_mode_t mode)
{
    for (struct flow *flow = worker->flows; flow != NULL; flow = flow->next)
        interface_report("memif_set_rx_mode", memif_set_rx_mode(flow->rx.conn, mode, flow->rx.qid));
}

static bool serve_all(const struct worker *worker, uint32_t *count)
{
    for (struct flow *flow = worker->flows; flow != NULL; flow = flow->next) {
        if (!serve(flow, count))
            return false;
    }
    return true;
}

/* Serves all queues in turn until no packet has come for some microseconds. Meanwhile they are in
 * polling mode, so that a busy peer need not make a system call for each burst. Then each queue
 * interrupts once in any case, so no packet is left lying. False when the thread should end. */
static bool poll_flows(const struct worker *worker)
{
    bool goes_on = true;

    set_rx_modes(worker, MEMIF_RX_MODE_POLLING);
    for (int busy = 0, idle = 0; goes_on && busy < BUSY_TURNS && idle < IDLE_TURNS;) {
        uint32_t count = 0;
        goes_on = serve_all(worker, &count);
        busy += count > 0;
        idle = count > 0 ? 0 : idle + 1;
    }
    /* Also at the end: one of the connections may stay, and get another worker. */
    set_rx_modes(worker, MEMIF_RX_MODE_INTERRUPT);
    return goes_on;
}

/* Serves the queue that interrupts. False when the thread should end. */
static bool serve_interrupt(const struct worker *worker, struct flow *flow)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    uint32_t count = 0;

    if (!is_open(flow))
        nanosleep(&pause, NULL); /* nothing signals that there is room */
    return serve(flow, &count) && (count == 0 || poll_flows(worker));
}

static void *work(void *argument)
{
    const struct worker *worker = argument;
    struct epoll_event event;

    for (;;) {
        int count = epoll_wait(worker->epoll_fd, &event, 1, -1);
        if (count < 0 && errno == EINTR)
            continue;
        if (count != 1 || event.data.ptr == NULL || !serve_interrupt(worker, event.data.ptr))
            return NULL;
    }
}

/* flow: NULL for the descriptor that ends the thread. */
static bool watch(const struct worker *worker, int fd, struct flow *flow)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = flow};

    if (epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
        return true;
    perror("epoll_ctl");
    return false;
}

static bool open_worker(struct worker *worker)
{
    worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (worker->epoll_fd < 0) {
        perror("epoll_create1");
        return false;
    }
    return watch(worker, program.stop_fd, NULL);
}

static bool start_worker(struct worker *worker)
{
    sigset_t all;
    sigset_t before;

    /* The main thread must get all signals, because they have to end its wait. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&worker->thread, NULL, work, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    worker->is_running = error == 0;
    if (error != 0)
        fprintf(stderr, "pthread_create: %s\n", strerror(error));
    return worker->is_running;
}

/* The queues exist as long as the connection, even while no packets are forwarded: they hold chains
 * that are partly received, and packets that are not yet sent. */
static int open_queues(struct side *side, memif_conn_handle_t conn)
{
    uint16_t rx = 0;
    uint16_t tx = 0;
    int err = count_queues(conn, &rx, &tx);

    for (uint16_t qid = 0; qid < tx && err == MEMIF_ERR_SUCCESS; qid++) {
        err = tx_queue_open(&side->tx[qid], conn, qid);
        side->tx_count = (uint16_t)(qid + 1);
    }
    for (uint16_t qid = 0; qid < rx && err == MEMIF_ERR_SUCCESS; qid++) {
        err = rx_queue_open(&side->flows[qid].rx, conn, qid, 0);
        side->rx_count = (uint16_t)(qid + 1);
    }
    return err;
}

static void close_queues(struct side *side)
{
    for (uint16_t qid = 0; qid < side->tx_count; qid++)
        tx_queue_close(&side->tx[qid]);
    side->tx_count = 0;
    side->rx_count = 0;
}

/* Gives each receive queue to the worker that has the transmit queue for its packets. */
static bool open_flows(struct side *side)
{
    for (uint16_t qid = 0; qid < side->rx_count; qid++) {
        uint16_t index = (uint16_t)(qid % program.worker_count);
        struct flow *flow = &side->flows[qid];
        int fd = -1;

        flow->tx = &side->other->tx[index];
        flow->is_open = false;
        int err = memif_get_queue_efd(flow->rx.conn, qid, &fd);
        interface_report("memif_get_queue_efd", err);
        if (err != MEMIF_ERR_SUCCESS || !watch(&program.workers[index], fd, flow))
            return false;
        flow->next = program.workers[index].flows;
        program.workers[index].flows = flow;
    }
    return true;
}

static bool start(void)
{
    uint16_t workers = program.sides[0].tx_count;

    if (workers > program.sides[1].tx_count)
        workers = program.sides[1].tx_count;
    while (program.worker_count < workers) {
        if (!open_worker(&program.workers[program.worker_count++]))
            return false;
    }
    for (int i = 0; i < SIDES; i++) {
        if (!open_flows(&program.sides[i]))
            return false;
    }
    for (uint16_t i = 0; i < workers; i++) {
        if (!start_worker(&program.workers[i]))
            return false;
    }
    return workers > 0;
}

static void stop_worker(struct worker *worker)
{
    if (worker->is_running)
        pthread_join(worker->thread, NULL);
    if (worker->epoll_fd >= 0)
        close(worker->epoll_fd);
    *worker = (struct worker){.epoll_fd = -1};
}

/* Also works if only a part was started. */
static void stop(void)
{
    uint64_t value = 1;

    if (program.worker_count == 0)
        return;
    if (write(program.stop_fd, &value, sizeof(value)) < 0)
        perror("write");
    for (uint16_t i = 0; i < program.worker_count; i++)
        stop_worker(&program.workers[i]);
    if (read(program.stop_fd, &value, sizeof(value)) < 0)
        perror("read");
    program.worker_count = 0;
}

static int on_connect(memif_conn_handle_t conn, void *private_ctx)
{
    struct side *side = private_ctx;
    int err = open_queues(side, conn);

    if (err != MEMIF_ERR_SUCCESS) {
        interface_report("opening the queues", err);
        close_queues(side);
        return 0;
    }
    side->is_up = true;
    printf("%s connected: %u queues in, %u out\n", side->name, side->rx_count, side->tx_count);
    if (side->other->is_up && !start()) {
        fprintf(stderr, "cannot start to forward\n");
        stop();
    }
    return 0;
}

static int on_disconnect(memif_conn_handle_t conn, void *private_ctx)
{
    struct side *side = private_ctx;

    (void)conn;
    stop();
    close_queues(side);
    side->is_up = false;
    printf("%s disconnected\n", side->name);
    return 0;
}

static bool can_share_socket(const struct interface_options *one,
                             const struct interface_options *other)
{
    return one->is_master == other->is_master && strcmp(one->socket, other->socket) == 0;
}

static int create(struct side *side)
{
    memif_conn_args_t args;
    int err = MEMIF_ERR_SUCCESS;

    if (side->other->sock != NULL && can_share_socket(&side->options, &side->other->options)) {
        side->sock = side->other->sock;
    } else {
        side->has_own_socket = true;
        err = interface_socket(&side->sock, side->options.socket, "bridge4", control_update,
                               &program.epoll_fd);
    }
    if (err == MEMIF_ERR_SUCCESS) {
        interface_args(&side->options, side->sock, &args);
        /* Without on_interrupt, the library leaves the queues' eventfds to the threads. */
        err = memif_create(&side->conn, &args, on_connect, on_disconnect, NULL, side);
    }
    if (err != MEMIF_ERR_SUCCESS)
        fprintf(stderr, "cannot create %s: %s\n", side->name, memif_strerror(err));
    return err;
}

static void print_counts(const struct side *side)
{
    uint64_t forwarded = 0;
    uint64_t dropped = 0;

    for (int i = 0; i < MAX_QUEUES; i++) {
        forwarded += side->flows[i].forwarded;
        dropped += side->flows[i].dropped;
    }
    printf("%s to %s: %" PRIu64 " packets, %" PRIu64 " dropped\n", side->name, side->other->name,
           forwarded, dropped);
}

/* Cuts from the end, because the path may contain commas. */
static char *cut_last(char *text)
{
    char *comma = strrchr(text, ',');

    if (comma == NULL)
        return NULL;
    *comma = '\0';
    return comma + 1;
}

static bool parse_side(char *text, struct interface_options *options)
{
    const char *id = cut_last(text);
    const char *role = id != NULL ? cut_last(text) : NULL;

    if (role == NULL || (strcmp(role, "master") != 0 && strcmp(role, "slave") != 0))
        return false;
    options->is_master = strcmp(role, "master") == 0;
    options->socket = text;
    return parse_number(id, UINT32_MAX, &options->id);
}

static bool take_option(int option, char *value)
{
    switch (option) {
    case 'a':
        return parse_side(value, &program.sides[0].options);
    case 'b':
        return parse_side(value, &program.sides[1].options);
    case 'z':
        option = 'b'; /* this program's -b is an interface */
        break;
    default:
        break;
    }
    return interface_option(&program.sides[0].options, option, value) &&
           interface_option(&program.sides[1].options, option, value);
}

static bool open_fds(void)
{
    program.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    program.stop_fd = eventfd(0, EFD_CLOEXEC);
    if (program.epoll_fd >= 0 && program.stop_fd >= 0)
        return true;
    perror("epoll_create1, eventfd");
    return false;
}

static void delete_all(void)
{
    for (int i = 0; i < SIDES; i++) {
        if (program.sides[i].conn != NULL)
            memif_delete(&program.sides[i].conn);
    }
    for (int i = 0; i < SIDES; i++) {
        if (program.sides[i].has_own_socket && program.sides[i].sock != NULL)
            memif_delete_socket(&program.sides[i].sock);
    }
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0); /* print each line at once, also to a pipe */
    parse_options(argc, argv, "a:b:q:l:z:t:h", usage, take_option);
    if (program.sides[0].options.socket == NULL || program.sides[1].options.socket == NULL) {
        fputs(usage, stderr);
        return EXIT_FAILURE;
    }
    if (!open_fds())
        return EXIT_FAILURE;
    stop_on_signals();
    int err = create(&program.sides[0]);
    if (err == MEMIF_ERR_SUCCESS)
        err = create(&program.sides[1]);
    while (err == MEMIF_ERR_SUCCESS && !stop_requested())
        control_serve(program.epoll_fd, -1);
    delete_all();
    print_counts(&program.sides[0]);
    print_counts(&program.sides[1]);
    close(program.stop_fd);
    close(program.epoll_fd);
    return err == MEMIF_ERR_SUCCESS ? EXIT_SUCCESS : EXIT_FAILURE;
}
