/* SPDX-License-Identifier: Apache-2.0 */

/*
 * drain_v1, drain_v4 -s SOCKET -r master|slave [-m polling] [-q QUEUES] [-t]
 *
 * Receives in on_disconnect, and nowhere else, as programs do that only want to know what there
 * was. With -t a thread receives on each queue, one that ends by itself when a burst says that it
 * is not connected; on_disconnect stops and joins those that have not ended.
 *
 * Says "ready", "up" and for each end of a link "drained PACKETS joined THREADS", and before that
 * what was not as on_disconnect may expect it. Ends after a line on stdin: "delete" or "cleanup"
 * says how. MEMIF_API is 1 or 4 and comes from the build.
 */

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"

enum { MOST_QUEUES = 16, BURST = 32, TEXT = 8192 };

struct receiver {
    pthread_t thread;
    uint16_t qid;
    uint32_t packets;
    atomic_bool stop, running;
};

static struct receiver receivers[MOST_QUEUES];
static unsigned queues = 1;
static bool polls, has_threads;
static memif_conn_handle_t conn;

static void fail(const char *call, int err)
{
    fprintf(stderr, "%s: %s\n", call, memif_strerror(err));
    exit(1);
}

static void check(const char *call, int err)
{
    if (err != MEMIF_ERR_SUCCESS)
        fail(call, err);
}

/* ---- what differs between the interfaces ---- */

#if MEMIF_API == 1
static void fill_queue(memif_conn_handle_t at, uint16_t qid)
{
    (void)at;
    (void)qid;
}

static void open_link(memif_conn_args_t *args, char *path)
{
    check("memif_init", memif_init(NULL, NULL));
    args->socket_filename = (uint8_t *)path;
}

static int serve(int timeout)
{
    return memif_poll_event(timeout);
}

static void end_all(bool is_cleanup)
{
    if (!is_cleanup)
        check("memif_delete", memif_delete(&conn));
    check("memif_cleanup", memif_cleanup());
}
#else
static memif_socket_handle_t sock;

static void fill_queue(memif_conn_handle_t at, uint16_t qid)
{
    check("memif_refill_queue", memif_refill_queue(at, qid, UINT16_MAX, 0));
}

static void open_link(memif_conn_args_t *args, char *path)
{
    memif_socket_args_t socket_args = {.connection_request_timer.it_interval.tv_nsec = 100000000};

    strncpy(socket_args.path, path, sizeof(socket_args.path) - 1);
    check("memif_create_socket", memif_create_socket(&sock, &socket_args, NULL));
    args->socket = sock;
}

static int serve(int timeout)
{
    return memif_poll_event(sock, timeout);
}

static void end_all(bool is_cleanup)
{
    (void)is_cleanup; /* 4.0 has no such call */
    check("memif_delete", memif_delete(&conn));
    check("memif_delete_socket", memif_delete_socket(&sock));
}
#endif

/* ---- receiving ---- */

/* What came, or -1: the queue is not connected. */
static int receive(memif_conn_handle_t from, uint16_t qid)
{
    memif_buffer_t bufs[BURST];
    uint16_t count;
    int packets = 0;
    int err = memif_rx_burst(from, qid, bufs, BURST, &count);

    if (err == MEMIF_ERR_DISCONNECTED)
        return -1;
    if (err != MEMIF_ERR_NOBUF)
        check("memif_rx_burst", err);
    for (uint16_t i = 0; i < count; i++)
        packets += !api_continues(&bufs[i]);
    if (count > 0)
        check("giving back", api_give_back(from, qid, bufs, count));
    return packets;
}

static void *receive_until_stopped(void *argument)
{
    struct receiver *receiver = argument;

    for (;;) {
        bool is_last = atomic_load(&receiver->stop);
        int packets = receive(conn, receiver->qid);
        if (packets < 0) {
            atomic_store(&receiver->running, false); /* so nobody joins this thread */
            return NULL;
        }
        receiver->packets += (uint32_t)packets;
        if (packets == 0 && is_last)
            return NULL;
        if (packets == 0)
            sched_yield();
    }
}

static unsigned join_threads(void)
{
    unsigned joined = 0;

    for (unsigned i = 0; i < queues; i++) {
        atomic_store(&receivers[i].stop, true);
        if (!atomic_load(&receivers[i].running))
            continue;
        if (pthread_join(receivers[i].thread, NULL) != 0)
            fail("pthread_join", MEMIF_ERR_SYSCALL);
        joined++;
    }
    return joined;
}

static void drain(memif_conn_handle_t from)
{
    for (uint16_t i = 0; i < queues; i++) {
        int packets;
        while ((packets = receive(from, i)) > 0)
            receivers[i].packets += (uint32_t)packets;
        if (packets < 0)
            printf("queue %u is disconnected in on_disconnect\n", i);
    }
}

/* ---- the link ---- */

static int on_connect(memif_conn_handle_t at, void *context)
{
    (void)context;
    conn = at;
    for (uint16_t i = 0; i < queues; i++) {
        struct receiver *receiver = &receivers[i];
        receiver->qid = i;
        receiver->packets = 0;
        fill_queue(at, i);
        if (polls)
            check("memif_set_rx_mode", memif_set_rx_mode(at, MEMIF_RX_MODE_POLLING, i));
        atomic_store(&receiver->stop, false);
        atomic_store(&receiver->running, has_threads);
        if (has_threads &&
            pthread_create(&receiver->thread, NULL, receive_until_stopped, receiver) != 0)
            fail("pthread_create", MEMIF_ERR_SYSCALL);
    }
    puts("up");
    return 0;
}

/* A message for each thing that does not work any more. */
static void look_around(memif_conn_handle_t at)
{
    memif_details_t details;
    memif_buffer_t buf;
    uint16_t count;
    int efd;
    char text[TEXT];

    if (memif_get_details(at, &details, text, sizeof(text)) != MEMIF_ERR_SUCCESS)
        puts("no details in on_disconnect");
    else if (details.link_up_down != 1 || details.rx_queues_num != queues ||
             *details.remote_if_name == '\0' || *details.remote_inst_name == '\0')
        puts("the details in on_disconnect are of no link");
    if (memif_get_queue_efd(at, 0, &efd) != MEMIF_ERR_SUCCESS || efd < 0)
        puts("no eventfd in on_disconnect");
    if (memif_set_rx_mode(at, MEMIF_RX_MODE_POLLING, 0) != MEMIF_ERR_SUCCESS)
        puts("no other mode in on_disconnect");
    if (memif_buffer_alloc(at, 0, &buf, 1, &count, 64) != MEMIF_ERR_SUCCESS || count != 1)
        puts("no room in on_disconnect");
    else if (memif_tx_burst(at, 0, &buf, 1, &count) != MEMIF_ERR_SUCCESS || count != 1)
        puts("nothing sent in on_disconnect");
}

static int on_disconnect(memif_conn_handle_t at, void *context)
{
    unsigned joined = has_threads ? join_threads() : 0;
    uint32_t packets = 0;

    (void)context;
    if (!has_threads)
        drain(at);
    look_around(at);
    for (unsigned i = 0; i < queues; i++)
        packets += receivers[i].packets;
    printf("drained %u joined %u\n", packets, joined);
    return 0;
}

/* Has an eventfd watched, and leaves the packets where they are. The library calls it until they
 * are gone. */
static int on_interrupt(memif_conn_handle_t at, void *context, uint16_t qid)
{
    (void)at;
    (void)context;
    (void)qid;
    return 0;
}

int main(int argc, char **argv)
{
    memif_conn_args_t args = {.interface_name = "drain"};
    char *path = NULL;
    char line[16] = "";
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    int option;

    while ((option = getopt(argc, argv, "s:r:m:q:t")) != -1) {
        switch (option) {
        case 's':
            path = optarg;
            break;
        case 'r':
            args.is_master = strcmp(optarg, "master") == 0;
            break;
        case 'm':
            polls = strcmp(optarg, "polling") == 0;
            break;
        case 'q':
            queues = (unsigned)atoi(optarg);
            break;
        case 't':
            has_threads = true;
            break;
        default:
            return 2;
        }
    }
    if (path == NULL || queues < 1 || queues > MOST_QUEUES)
        return 2;
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    args.num_s2m_rings = args.num_m2s_rings = (uint8_t)queues;
    open_link(&args, path);
    check("memif_create",
          memif_create(&conn, &args, on_connect, on_disconnect, on_interrupt, NULL));
    puts("ready");
    while (poll(&input, 1, 0) == 0) {
        int err = serve(10);
        if (err > 0)
            check("memif_poll_event", err);
    }
    if (fgets(line, sizeof(line), stdin) == NULL)
        line[0] = 0;
    end_all(strcmp(line, "cleanup\n") == 0);
    return 0;
}
