/* SPDX-License-Identifier: Apache-2.0 */

/* The sockets of peers that are not trusted: which thread closes them, when the threads end, and
 * what a forked child keeps of them. */

#include "untrusted_calls.h"

#include "core/errors.h"
#include "core/untrusted.h"

static int ends[2]; /* ours and the peer's */

static void open_socket(void)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
}

/* The peer sees it as soon as nobody has the socket. */
static void expect_end(void)
{
    char byte;

    ck_assert_int_eq(recv(ends[1], &byte, 1, 0), 0);
    ck_assert_int_eq(__real_close(ends[1]), 0);
}

static int managers(void)
{
    return started - workers;
}

/* ---- by a thread that ends with its table ---- */

static _Atomic int early; /* threads that ended before our own socket was closed */

static void look_whether_it_waits(int fd)
{
    if (fd != ends[0])
        return;
    int naps = atomic_load(&kernel.naps), before = atomic_load(&ended);
    WAIT_UNTIL(atomic_load(&kernel.naps) > naps + 1 || atomic_load(&ended) > before);
    early += atomic_load(&ended) > before;
}

MEMIF_TEST(the_last_to_close_a_socket_is_a_thread_with_its_own_table)
{
    mif_untrusted_begin();
    for (int times = 1; times <= 3; times++) {
        open_socket();
        kernel.at_close = look_whether_it_waits;
        mif_untrusted_close(ends[0]);
        kernel.at_close = NULL;
        ck_assert(!is_open(ends[0]));
        expect_end();
        WAIT_UNTIL(ended == workers);
        ck_assert_int_eq(early, 0);
        ck_assert_int_eq(workers, times);
        ck_assert_int_eq(managers(), 1);
    }
    ck_assert_int_eq(kernel.lingers + kernel.closes, 0); /* the exit does it */
    ck_assert_int_eq(size_of_its_table(), 1);
    mif_untrusted_end();
    wait_for_their_end();
}

/* ---- the life of the thread that stays ---- */

MEMIF_TEST(the_thread_that_stays_ends_with_the_last_peer)
{
    int own = size_of_own_table();

    mif_untrusted_begin();
    mif_untrusted_begin();
    for (int times = 0; times < 2; times++) {
        open_socket();
        mif_untrusted_close(ends[0]);
        expect_end();
    }
    ck_assert_int_eq(managers(), 1);
    mif_untrusted_end();
    open_socket();
    mif_untrusted_close(ends[0]);
    expect_end();
    ck_assert_int_eq(managers(), 1);
    mif_untrusted_end();
    wait_for_their_end();
    ck_assert_int_eq(size_of_own_table(), own);
    mif_untrusted_begin(); /* there is none, and none is ended */
    mif_untrusted_end();
    ck_assert_int_eq(managers(), 1);
}

MEMIF_TEST(without_a_peer_it_ends_with_its_job)
{
    int own = size_of_own_table();

    for (int times = 1; times <= 3; times++) {
        open_socket();
        mif_untrusted_close(ends[0]);
        expect_end();
        wait_for_their_end();
        ck_assert_int_eq(managers(), times);
        ck_assert_int_eq(size_of_own_table(), own);
    }
}

/* One end of its pair has a number that usually is another's. */
MEMIF_TEST_LOOP(its_descriptors_may_have_any_numbers, 0, 4)
{
    int number = _i == 3, before = managers(), jobs = workers;
    int own = size_of_own_table(), saved = dup(number);

    kernel.swaps = _i != 0;
    kernel.range_errno = _i == 2 ? ENOSYS : 0;
    open_socket();
    ck_assert_int_eq(__real_close(number), 0);
    mif_untrusted_begin();
    mif_untrusted_close(ends[0]);
    expect_end();
    open_socket();
    mif_untrusted_close(ends[0]);
    expect_end();
    WAIT_UNTIL(workers == jobs + 2);
    ck_assert_int_eq(managers(), before + 1);
    ck_assert_int_eq(size_of_its_table(), 1);
    mif_untrusted_end();
    wait_for_their_end();
    ck_assert(!is_open(number));
    ck_assert_int_eq(dup2(saved, number), number);
    ck_assert_int_eq(__real_close(saved), 0);
    ck_assert_int_eq(size_of_own_table(), own);
}

/* ---- without a table ---- */

MEMIF_TEST(without_a_table_another_thread_closes)
{
    int own = size_of_own_table();

    kernel.range_errno = ENOSYS;
    kernel.unshare_errno = EPERM;
    mif_untrusted_begin();
    for (int times = 1; times <= 3 * MOST_WORKERS; times++) {
        open_socket();
        mif_untrusted_close(ends[0]);
        expect_end();
        wait_for_their_end();
        ck_assert_int_eq(started, 2 * times); /* one that would have stayed, one that closed */
        ck_assert_int_eq(kernel.closes, times);
        ck_assert_int_eq(size_of_own_table(), own);
    }
    mif_untrusted_end();
}

static int closed_here;

static void count_close(int fd)
{
    closed_here += fd == ends[0];
}

MEMIF_TEST(when_too_many_hang_the_caller_closes)
{
    int peers[MOST_WORKERS];

    kernel.range_errno = ENOSYS;
    kernel.unshare_errno = EPERM;
    kernel.at_close = count_close;
    for (int round = 0; round < 2; round++) {
        closed_here = 0;
        kernel.held = 0;
        kernel.holds_at = SYS_close;
        for (int i = 0; i < MOST_WORKERS; i++) {
            open_socket();
            peers[i] = ends[1];
            mif_untrusted_close(ends[0]);
            ck_assert_int_eq(closed_here, 0);
        }
        WAIT_UNTIL(kernel.held == MOST_WORKERS);
        for (int times = 1; times <= 2; times++) {
            open_socket();
            mif_untrusted_close(ends[0]);
            ck_assert_int_eq(closed_here, times);
            expect_end();
        }
        kernel.holds_at = 0;
        wait_for_their_end();
        for (int i = 0; i < MOST_WORKERS; i++)
            ck_assert_int_eq(__real_close(peers[i]), 0);
    }
}

MEMIF_TEST(without_any_thread_the_caller_closes)
{
    kernel.at_close = count_close;
    for (int times = 1; times <= 2 * MOST_WORKERS; times++) {
        open_socket();
        kernel.threads = 2;
        mif_untrusted_close(ends[0]);
        ck_assert_int_eq(closed_here, times);
        expect_end();
    }
    /* None of those counts as one that hangs. */
    kernel.range_errno = ENOSYS;
    kernel.unshare_errno = EPERM;
    open_socket();
    closed_here = 0;
    mif_untrusted_close(ends[0]);
    ck_assert_int_eq(closed_here, 0);
    expect_end();
    wait_for_their_end();
}

/* ---- the program's signals ---- */

MEMIF_TEST(the_program_keeps_its_own_signals)
{
    sigset_t blocked;

    ck_assert_int_eq(sigemptyset(&blocked), 0);
    ck_assert_int_eq(sigaddset(&blocked, SIGUSR2), 0);
    ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, &blocked, NULL), 0);
    open_socket();
    mif_untrusted_close(ends[0]);
    ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &blocked), 0);
    ck_assert(sigismember(&blocked, SIGUSR2) && !sigismember(&blocked, SIGUSR1));
    expect_end();
    wait_for_their_end();
}

/* ---- in a forked child ---- */

static void hold_threads(int count, const int *pair, long at)
{
    kernel.holds_at = at;
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(mif_untrusted_receive(pair[0], pair[1], MIF_FD_ANY), MIF_ERR_SUCCESS);
}

/* As in a child: what the parent's threads hold and count is not there. */
MEMIF_TEST(a_forked_child_begins_with_no_peers_and_no_threads)
{
    int pair[2];

    mif_untrusted_begin();
    open_socket();
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    hold_threads(MOST_WORKERS, ends, SYS_sendmsg);
    ck_assert_int_eq(mif_untrusted_receive(ends[0], ends[1], MIF_FD_ANY), MIF_ERR_AGAIN);
    ck_assert_int_eq(managers(), 1);
    WAIT_UNTIL(kernel.held == MOST_WORKERS);
    mif_untrusted_forked();
    WAIT_UNTIL(ended == 1); /* nobody has the manager's other end */
    ck_assert_int_eq(mif_untrusted_receive(pair[0], pair[1], MIF_FD_ANY), MIF_ERR_SUCCESS);
    ck_assert_int_eq(managers(), 2);
    kernel.holds_at = 0;
    int other[2] = {ends[0], ends[1]};
    open_socket();
    mif_untrusted_close(ends[0]); /* there is no peer, so this ends it */
    expect_end();
    wait_for_their_end();
    ck_assert(is_open(other[0]) && is_open(other[1]));
}

MEMIF_TEST(a_forked_child_waits_for_no_thread_that_it_does_not_have)
{
    mif_untrusted_begin();
    kernel.range_errno = ENOSYS;
    kernel.unshare_errno = EPERM;
    kernel.holds_at = SYS_close;
    for (int i = 0; i < MOST_WORKERS; i++) {
        open_socket();
        mif_untrusted_close(ends[0]);
    }
    mif_untrusted_begin();
    pthread_mutex_t *lock = locks.last;
    ck_assert_int_eq(__real_pthread_mutex_lock(lock), 0); /* as another thread may */
    mif_untrusted_forked();
    kernel.at_close = count_close;
    open_socket();
    mif_untrusted_close(ends[0]);
    ck_assert_int_eq(closed_here, 0);
    kernel.holds_at = 0;
    wait_for_their_end();
    expect_end();
}

MEMIF_TEST_MAIN("untrusted_sockets")
