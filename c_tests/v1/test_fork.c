/* SPDX-License-Identifier: Apache-2.0 */

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "pair_v1.h"

/*
 * Children do not check, they answer with a number: 0, or the number of the first call that did
 * not give an error. A child that hangs is ended by its alarm.
 */

enum { PATIENCE_SECONDS = 20 };

static const struct shape small_rings = {.log2_ring_size = 3, .buffer_size = 64};

static int ignore_fd(int fd, uint8_t events)
{
    (void)fd;
    (void)events;
    return 0;
}

static int control_calls(memif_conn_handle_t handle)
{
    memif_conn_handle_t copy = handle, fresh = NULL;
    memif_conn_args_t args = {0};
    memif_details_t details;
    char strings[512];
    int fd;

    if (memif_poll_event(-1) == MEMIF_ERR_SUCCESS)
        return 1;
    if (memif_cancel_poll_event() == MEMIF_ERR_SUCCESS)
        return 2;
    if (memif_get_details(handle, &details, strings, sizeof(strings)) == MEMIF_ERR_SUCCESS)
        return 3;
    if (memif_get_queue_efd(handle, 0, &fd) == MEMIF_ERR_SUCCESS)
        return 4;
    if (memif_set_rx_mode(handle, MEMIF_RX_MODE_POLLING, 0) == MEMIF_ERR_SUCCESS)
        return 5;
    if (memif_create(&fresh, &args, NULL, NULL, NULL, NULL) == MEMIF_ERR_SUCCESS)
        return 6;
    if (memif_delete(&copy) == MEMIF_ERR_SUCCESS)
        return 7;
    if (memif_init(ignore_fd, NULL) == MEMIF_ERR_SUCCESS)
        return 8;
    if (memif_cleanup() == MEMIF_ERR_SUCCESS)
        return 9;
    return 0;
}

static int fd_handler_calls(memif_conn_handle_t handle)
{
    (void)handle;
    for (int fd = 0; fd < 64; fd++) {
        if (memif_control_fd_handler(fd, MEMIF_FD_EVENT_READ) == MEMIF_ERR_SUCCESS)
            return 1 + fd;
    }
    return 0;
}

static int burst_calls(memif_conn_handle_t handle)
{
    memif_buffer_t buffers[4];
    uint16_t count = 1;

    if (memif_rx_burst(handle, 0, buffers, 4, &count) == MEMIF_ERR_SUCCESS || count != 0)
        return 1;
    if (memif_buffer_alloc(handle, 0, buffers, 4, &count) == MEMIF_ERR_SUCCESS || count != 0)
        return 2;
    if (memif_tx_burst(handle, 0, buffers, 4, &count) == MEMIF_ERR_SUCCESS || count != 0)
        return 3;
    if (memif_buffer_free(handle, 0, buffers, 4, &count) == MEMIF_ERR_SUCCESS || count != 0)
        return 4;
    return 0;
}

typedef int child_calls(memif_conn_handle_t handle);

static pid_t fork_child(child_calls *calls, memif_conn_handle_t handle)
{
    pid_t child = fork();

    if (child == 0) {
        (void)alarm(PATIENCE_SECONDS);
        _exit(calls(handle));
    }
    return child;
}

static void expect_no_success(pid_t child)
{
    int status;

    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(!WIFSIGNALED(status), "the child was ended by signal %d", WTERMSIG(status));
    ck_assert_msg(WEXITSTATUS(status) == 0, "call %d of the child succeeded", WEXITSTATUS(status));
}

static void expect_working(struct pair *pair)
{
    send_packets(pair->slave.conn, 0, 3, 64, 1);
    expect_packets(pair->master.conn, 0, 3, 64, 1);
    send_packets(pair->master.conn, 0, 3, 64, 5);
    expect_packets(pair->slave.conn, 0, 3, 64, 5);
    ck_assert_int_eq(turn(0), MEMIF_ERR_SUCCESS);
    ck_assert(end_is_up(&pair->master));
    ck_assert(end_is_up(&pair->slave));
}

/* ---- what a child gets ---- */

static child_calls *const call_groups[] = {control_calls, fd_handler_calls, burst_calls};
enum { CALL_GROUPS = sizeof(call_groups) / sizeof(*call_groups) };

MEMIF_TEST_LOOP(every_call_in_a_child_gives_an_error, 0, CALL_GROUPS *POLLING_STYLES)
{
    struct pair pair = {.master.at_interrupt = count_interrupt};
    struct shape shape = small_rings;

    shape.polling = (enum polling)(_i / CALL_GROUPS);
    pair_open(&pair, &shape);
    expect_no_success(fork_child(call_groups[_i % CALL_GROUPS], pair.master.conn));
    expect_no_success(fork_child(call_groups[_i % CALL_GROUPS], pair.slave.conn));
    expect_working(&pair);
    pair_close(&pair);
}

MEMIF_TEST(a_child_that_was_forked_before_any_connection_gets_errors)
{
    start(LIBRARY_POLLS, ANY_VERSION);
    expect_no_success(fork_child(control_calls, NULL));
    stop();
}

/* Packets that wait in the ring are the parent's. */
MEMIF_TEST(a_child_takes_no_packet)
{
    struct pair pair = {0};

    pair_open(&pair, &small_rings);
    send_packets(pair.slave.conn, 0, 3, 64, 1);
    expect_no_success(fork_child(burst_calls, pair.master.conn));
    expect_no_success(fork_child(control_calls, pair.master.conn));
    expect_packets(pair.master.conn, 0, 3, 64, 1);
    pair_close(&pair);
}

static unsigned interrupts_in_this_process;

static void note_interrupt(struct end *end, uint16_t qid)
{
    (void)end;
    (void)qid;
    interrupts_in_this_process++;
}

static int interrupts_in_child(memif_conn_handle_t handle)
{
    (void)fd_handler_calls(handle);
    (void)memif_poll_event(0);
    return (int)interrupts_in_this_process;
}

MEMIF_TEST_LOOP(callbacks_are_not_called_in_a_child, 0, POLLING_STYLES)
{
    struct pair pair = {.master.at_interrupt = note_interrupt};
    struct shape shape = small_rings;

    interrupts_in_this_process = 0;
    shape.polling = (enum polling)_i;
    pair_open(&pair, &shape);
    send_packets(pair.slave.conn, 0, 1, 64, 1);
    expect_no_success(fork_child(interrupts_in_child, pair.master.conn));
    RUN_UNTIL(interrupts_in_this_process > 0);
    expect_packets(pair.master.conn, 0, 1, 64, 1);
    pair_close(&pair);
}

/* ---- what a child leaves ---- */

static int exit_at_once(memif_conn_handle_t handle)
{
    (void)handle;
    exit(0); /* with all that the process registered for its end */
}

static int become_another_program(memif_conn_handle_t handle)
{
    (void)handle;
    (void)execl("/bin/sh", "sh", "-c", "exit 0", NULL);
    return 127;
}

/* The shell looks for descriptors of the kinds that the library has. */
static int inherit_no_descriptor(memif_conn_handle_t handle)
{
    (void)handle;
    (void)execl("/bin/sh", "sh", "-c",
                "for fd in /proc/self/fd/*; do"
                "  [ ${fd##*/} -gt 2 ] || continue;"
                "  case $(readlink $fd) in socket:*|anon_inode:*|/memfd:*) exit 1;; esac;"
                "done; exit 0",
                NULL);
    return 127;
}

static child_calls *const endings[] = {exit_at_once, become_another_program, inherit_no_descriptor};

MEMIF_TEST_LOOP(a_child_that_ends_disturbs_nothing, 0, sizeof(endings) / sizeof(*endings))
{
    struct pair pair = {0};

    pair_open(&pair, &small_rings);
    size_t fds = open_fds();
    ck_assert_int_eq(fflush(NULL), 0); /* a child that exits would write it once more */
    expect_no_success(fork_child(endings[_i], pair.master.conn));
    expect_working(&pair);
    ck_assert_uint_eq(open_fds(), fds);
    ck_assert_uint_eq(files_in_folder(), 1);
    pair_close(&pair);
}

/* Waits for the end of `channel`, which its parent closes; 0 if the parent left in good order. */
static int wait_for_parent(int channel)
{
    char byte;

    (void)alarm(PATIENCE_SECONDS);
    return read(channel, &byte, 1) == 0 ? 0 : 1;
}

MEMIF_TEST(the_library_starts_over_beside_a_child_that_lives_on)
{
    struct pair pair = {0};
    int channel[2];

    ck_assert_int_eq(pipe(channel), 0);
    pair_open(&pair, &small_rings);
    pid_t child = fork();
    if (child == 0) {
        (void)close(channel[1]);
        _exit(wait_for_parent(channel[0]));
    }
    end_delete(&pair.slave);
    RUN_UNTIL(pair.master.disconnects == 1);
    end_delete(&pair.master);
    stop();
    pair = (struct pair){0};
    pair_open(&pair, &small_rings);
    expect_working(&pair);
    pair_close(&pair);
    ck_assert_int_eq(close(channel[1]), 0);
    expect_no_success(child);
    ck_assert_int_eq(close(channel[0]), 0);
}

/* ---- forks at any moment ---- */

enum { FORKS = 60 };

struct forker {
    memif_conn_handle_t handle;
    int first_status;
    atomic_bool ended;
};

static int all_calls(memif_conn_handle_t handle)
{
    int result = control_calls(handle);

    return result != 0 ? result : burst_calls(handle);
}

static void *fork_again_and_again(void *argument)
{
    struct forker *forker = argument;

    for (int i = 0; i < FORKS && forker->first_status == 0; i++) {
        pid_t child = fork_child(all_calls, forker->handle);
        if (child < 0 || waitpid(child, &forker->first_status, 0) != child)
            forker->first_status = -1;
    }
    atomic_store(&forker->ended, true);
    return NULL;
}

/* The main thread is inside the library, with its locks held, at most of these moments. */
MEMIF_TEST(a_fork_while_another_thread_is_inside_the_library_gives_errors_too)
{
    struct pair pair = {0};
    pthread_t thread;

    pair_open(&pair, &small_rings);
    struct forker forker = {.handle = pair.master.conn};
    ck_assert_int_eq(pthread_create(&thread, NULL, fork_again_and_again, &forker), 0);
    while (!atomic_load(&forker.ended)) {
        end_delete(&pair.slave);
        RUN_UNTIL(!end_is_up(&pair.master));
        ck_assert_int_eq(end_create(&pair.slave, "pair.sock"), MEMIF_ERR_SUCCESS);
        RUN_UNTIL(end_is_up(&pair.master) && end_is_up(&pair.slave));
    }
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(forker.first_status, 0);
    expect_working(&pair);
    pair_close(&pair);
}

MEMIF_TEST_MAIN("fork")
