/* SPDX-License-Identifier: Apache-2.0 */

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "workers_v4.h"

extern char **environ;

/* ---- threads that begin in on_connect and end in on_disconnect ---- */

MEMIF_TEST_LOOP(each_queue_may_have_its_own_thread, 0, VERSIONS * 2)
{
    static struct crew crews[2];
    struct pair pair = {
        .master = {.at_connect = fill_and_hire, .at_disconnect = dismiss_all, .context = &crews[0]},
        .slave = {.at_connect = fill_and_hire, .at_disconnect = dismiss_all, .context = &crews[1]}};
    struct shape shape = shape_of_version(version_of(_i));

    pair_open(&pair, &shape);
    RUN_UNTIL(has_worked(&crews[0], enough()) && has_worked(&crews[1], enough()));
    struct end *leaving = _i / VERSIONS == 0 ? &pair.master : &pair.slave;
    struct end *staying = _i / VERSIONS == 0 ? &pair.slave : &pair.master;
    end_delete(leaving);
    RUN_UNTIL(!end_is_up(staying));
    expect_no_failure(&crews[0]);
    expect_no_failure(&crews[1]);
    end_delete(staying);
    control_close(&pair.slave_control);
    control_close(&pair.master_control);
    ck_assert_uint_eq(shared_mappings(), 0);
}

/* ---- threads that nobody asks to stop ---- */

enum ending { BY_SLAVE, BY_MASTER, ENDINGS };

MEMIF_TEST_LOOP(threads_in_bursts_survive_the_end_of_their_connection, 0, VERSIONS * ENDINGS * 10)
{
    static struct crew crews[2];
    struct pair pair = {0};
    struct shape shape = shape_of_version(version_of(_i));

    memset(crews, 0, sizeof(crews));
    pair_open(&pair, &shape);
    struct end *leaving = _i / VERSIONS % ENDINGS == BY_MASTER ? &pair.master : &pair.slave;
    struct end *staying = leaving == &pair.slave ? &pair.master : &pair.slave;
    struct control *left = leaving == &pair.slave ? &pair.slave_control : &pair.master_control;
    hire(&crews[0], call_tx, pair.master.conn);
    hire(&crews[0], call_rx, pair.master.conn);
    hire(&crews[1], call_rx, pair.slave.conn);
    hire(&crews[1], call_tx, pair.slave.conn);
    RUN_UNTIL(has_worked(&crews[0], 10) && has_worked(&crews[1], 10));
    end_delete(leaving);
    control_close(left);
    RUN_UNTIL(!end_is_up(staying));
    ck_assert_uint_eq(shared_mappings(), 0);
    dismiss(&crews[0]);
    dismiss(&crews[1]);
    expect_no_failure(&crews[0]);
    expect_no_failure(&crews[1]);
    end_delete(staying);
    control_close(staying == &pair.slave ? &pair.slave_control : &pair.master_control);
}

static void connect_again(struct pair *pair)
{
    end_must_create(&pair->master, &pair->master_control);
    ck_assert_int_eq(memif_request_connection(pair->slave.conn), MEMIF_ERR_SUCCESS);
    RUN_UNTIL(end_is_up(&pair->master) && end_is_up(&pair->slave));
}

MEMIF_TEST_LOOP(threads_in_bursts_go_on_with_the_next_connection, 0, 2)
{
    static struct crew crew;
    struct pair pair = {0};
    struct shape shape = shape_of_version(512);

    memset(&crew, 0, sizeof(crew));
    pair_open(&pair, &shape);
    if (_i == 0) {
        hire(&crew, call_tx, pair.slave.conn);
        hire(&crew, call_rx, pair.slave.conn);
    } else {
        hire(&crew, call_move, pair.slave.conn);
    }
    for (int round = 0; round < 50; round++) {
        /* The threads refill, each for its queue, in whatever connection they find. */
        for (uint16_t qid = 0; qid < QUEUES; qid++) {
            uint16_t done = 0;
            memif_buffer_t buf;
            while (memif_buffer_alloc(pair.master.conn, qid, &buf, 1, &done, LENGTH) ==
                   MEMIF_ERR_NOBUF_RING)
                ck_assert_int_eq(turn(), MEMIF_ERR_SUCCESS);
            ck_assert_int_eq(memif_tx_burst(pair.master.conn, qid, &buf, done, &done),
                             MEMIF_ERR_SUCCESS);
        }
        end_delete(&pair.master);
        RUN_UNTIL(!end_is_up(&pair.slave));
        connect_again(&pair);
    }
    dismiss(&crew);
    expect_no_failure(&crew);
    pair_close(&pair);
    ck_assert_uint_eq(shared_mappings(), 0);
}

MEMIF_TEST_LOOP(threads_that_move_buffers_survive_the_end_of_their_connection, 0, 20)
{
    static struct crew crews[2];
    struct pair pair = {0};
    struct shape shape = shape_of_version(512);

    memset(crews, 0, sizeof(crews));
    shape.unfilled = false;
    pair_open(&pair, &shape);
    hire(&crews[0], call_tx, pair.master.conn);
    hire(&crews[0], call_rx, pair.master.conn);
    hire(&crews[1], call_move, pair.slave.conn);
    RUN_UNTIL(has_worked(&crews[0], 100) && has_worked(&crews[1], 100));
    end_delete(_i % 2 == 0 ? &pair.slave : &pair.master);
    RUN_UNTIL(!end_is_up(_i % 2 == 0 ? &pair.master : &pair.slave));
    dismiss(&crews[0]);
    dismiss(&crews[1]);
    expect_no_failure(&crews[0]);
    expect_no_failure(&crews[1]);
    end_delete(_i % 2 == 0 ? &pair.master : &pair.slave);
    control_close(&pair.slave_control);
    control_close(&pair.master_control);
}

/* ---- a thread that polls ---- */

struct poller {
    memif_socket_handle_t sock;
    _Atomic pid_t id;
    int err;
};

static void *poll_until_it_fails(void *argument)
{
    struct poller *poller = argument;

    atomic_store(&poller->id, gettid());
    do {
        poller->err = memif_poll_event(poller->sock, -1);
    } while (poller->err == MEMIF_ERR_SUCCESS);
    return NULL;
}

MEMIF_TEST_LOOP(a_thread_that_polls_comes_back_when_the_socket_is_deleted, 0, 20)
{
    struct control control = {0};
    struct poller poller = {0};
    pthread_t thread;

    control_must_open(&control, "a.sock");
    poller.sock = control.handle;
    ck_assert_int_eq(pthread_create(&thread, NULL, poll_until_it_fails, &poller), 0);
    while (atomic_load(&poller.id) == 0)
        (void)sched_yield();
    if (_i % 2 == 0)
        wait_until_asleep(atomic_load(&poller.id));
    control_close(&control);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert(poller.err == MEMIF_ERR_POLL_CANCEL || poller.err == MEMIF_ERR_INVAL_ARG);
}

/* ---- a peer of another process, which is killed ---- */

static int refill_all(memif_conn_handle_t conn, void *private_ctx)
{
    bool *up = private_ctx;

    *up = true;
    for (uint16_t qid = 0; qid < QUEUES; qid++)
        (void)memif_refill_queue(conn, qid, UINT16_MAX, 0);
    return 0;
}

static int give_up(memif_conn_handle_t conn, void *private_ctx)
{
    (void)conn;
    (void)private_ctx;
    _exit(EXIT_FAILURE);
}

/* Sends and receives patterns on all queues until it is killed. */
static int be_the_peer(const char *path, bool is_master)
{
    static struct worker senders[QUEUES], receivers[QUEUES];
    memif_socket_handle_t sock = NULL;
    memif_conn_handle_t conn = NULL;
    memif_socket_args_t socket_args = {
        .connection_request_timer = {.it_value.tv_nsec = 1000000, .it_interval.tv_nsec = 1000000}};
    bool up = false;

    strncpy(socket_args.path, path, sizeof(socket_args.path) - 1);
    if (memif_create_socket(&sock, &socket_args, NULL) != MEMIF_ERR_SUCCESS)
        return EXIT_FAILURE;
    memif_conn_args_t args = {.socket = sock,
                              .is_master = is_master,
                              .num_s2m_rings = QUEUES,
                              .num_m2s_rings = QUEUES,
                              .log2_ring_size = 5,
                              .buffer_size = LENGTH};
    if (memif_create(&conn, &args, refill_all, give_up, NULL, &up) != MEMIF_ERR_SUCCESS)
        return EXIT_FAILURE;
    for (uint16_t qid = 0; qid < QUEUES; qid++) {
        senders[qid] = (struct worker){.conn = conn, .qid = qid};
        receivers[qid] = (struct worker){.conn = conn, .qid = qid};
    }
    for (;;) {
        if (memif_poll_event(sock, up ? 0 : -1) != MEMIF_ERR_SUCCESS)
            return EXIT_FAILURE;
        for (uint16_t qid = 0; up && qid < QUEUES; qid++) {
            if (!send_patterns(&senders[qid]) || !receive_patterns(&receivers[qid]))
                return EXIT_FAILURE;
        }
    }
}

static pid_t start_peer(char *path, bool is_master)
{
    char *arguments[] = {"test_threads", is_master ? "--master" : "--slave", path, NULL};
    pid_t peer;

    ck_assert_int_eq(posix_spawn(&peer, "/proc/self/exe", NULL, NULL, arguments, environ), 0);
    return peer;
}

static void kill_peer(pid_t peer)
{
    int status;

    ck_assert_int_eq(kill(peer, SIGKILL), 0);
    ck_assert_int_eq(waitpid(peer, &status, 0), peer);
    ck_assert_msg(WIFSIGNALED(status), "the peer ended by itself, with status %#x",
                  (unsigned)status);
}

static const struct itimerspec often = {.it_value.tv_nsec = 10000000,
                                        .it_interval.tv_nsec = 10000000};

MEMIF_TEST_LOOP(threads_survive_the_death_of_the_peer, 0, VERSIONS * 2)
{
    static struct crew crew;
    struct control control = {.args.connection_request_timer = often};
    struct end end = {.at_connect = fill_and_hire, .at_disconnect = dismiss_all, .context = &crew};
    bool is_master = _i / VERSIONS == 0;

    restrict_protocol(version_of(_i));
    end.args = (memif_conn_args_t){.is_master = is_master,
                                   .num_s2m_rings = QUEUES,
                                   .num_m2s_rings = QUEUES,
                                   .log2_ring_size = 5,
                                   .buffer_size = LENGTH};
    control_must_open(&control, "a.sock");
    end_must_create(&end, &control);
    for (unsigned round = 1; round <= 3; round++) {
        pid_t peer = start_peer(control.path, !is_master);
        RUN_UNTIL(end.connects == round && has_worked(&crew, enough()));
        kill_peer(peer);
        RUN_UNTIL(end.disconnects == round);
        expect_no_failure(&crew);
        ck_assert_uint_eq(shared_mappings(), 0);
    }
    end_delete(&end);
    control_close(&control);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--master") == 0)
        return be_the_peer(argv[2], true);
    if (argc == 3 && strcmp(argv[1], "--slave") == 0)
        return be_the_peer(argv[2], false);
    return memif_test_main("4.0 threads", argc, argv);
}
