/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the calls of core/room.h answer at once, and what the thread of mif_room_watch leaves
 * behind. That a sender is woken: test_room.c.
 */

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "sender.h"

enum { SENT = 3 };

static void open_with_some(int way)
{
    open_way(way);
    send_packets(SENT);
}

static void expect_nobody_inside(void)
{
    ck_assert_uint_eq(atomic_load(&sender()->busy), 0);
}

MEMIF_TEST_LOOP(the_room_is_what_is_not_sent, 0, WAYS)
{
    uint32_t slots = 0;

    open_with_some(_i);
    ck_assert_int_eq(mif_room(loopback.handles[from], 0, &slots), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(slots, capacity - SENT);
    expect_nobody_inside();
    close_way();
}

MEMIF_TEST_LOOP(all_of_a_ring_can_be_waited_for_and_no_more, 0, WAYS)
{
    open_with_some(_i);
    ck_assert_int_eq(wait_for(capacity - SENT, 0), MIF_ERR_SUCCESS);
    ck_assert_int_eq(wait_for(capacity - SENT + 1, 0), MIF_ERR_AGAIN);
    ck_assert_int_eq(wait_for(capacity, 0), MIF_ERR_AGAIN);
    ck_assert_int_eq(wait_for(capacity + 1, -1), MIF_ERR_INVAL_ARG);
    expect_nobody_inside();
    close_way();
}

static unsigned entries_of(const char *folder)
{
    DIR *opened = opendir(folder);
    unsigned count = 0;

    ck_assert_ptr_nonnull(opened);
    while (readdir(opened) != NULL)
        count++;
    ck_assert_int_eq(closedir(opened), 0);
    return count;
}

static unsigned threads(void)
{
    return entries_of("/proc/self/task");
}

static void wait_until_left(unsigned left)
{
    while (threads() > left)
        (void)sched_yield();
}

static int watch_for(uint32_t slots, int fd)
{
    return mif_room_watch(loopback.handles[from], 0, slots, fd);
}

MEMIF_TEST_LOOP(all_of_a_ring_can_be_watched_for_and_no_more, 0, WAYS)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const unsigned before = threads();

    open_with_some(_i);
    ck_assert_int_eq(watch_for(capacity - SENT, fd), MIF_ERR_SUCCESS);
    ck_assert_int_eq(watch_for(capacity + 1, fd), MIF_ERR_INVAL_ARG);
    ck_assert_int_eq(watch_for(capacity, -1), mif_error_from_errno(EBADF));
    ck_assert_int_eq(watch_for(capacity, fd), MIF_ERR_AGAIN);
    expect_nobody_inside();
    wait_until_left(before);
    ck_assert_int_eq(close(fd), 0);
    close_way();
}

MEMIF_TEST_LOOP(an_impossible_index_ends_the_connection_here_as_well, 0, WAYS)
{
    struct mif_queue *q;
    uint32_t slots = 1;

    open_with_some(_i);
    q = sender();
    atomic_store(q->peer_index, (uint16_t)(atomic_load(q->peer_index) + 0x4000));
    ck_assert_int_eq(mif_room(loopback.handles[from], 0, &slots), MIF_ERR_DISCONNECTED);
    ck_assert_uint_eq(slots, 0);
    ck_assert_str_eq(mif_connection_fault(loopback.handles[from]), "ring index out of range");
    ck_assert_int_eq(wait_for(1, -1), MIF_ERR_DISCONNECTED);
    expect_nobody_inside();
    close_way();
}

MEMIF_TEST(a_queue_that_is_down_has_no_room)
{
    uint32_t slots = 1;

    open_with_some(0);
    lower_side(from);
    ck_assert_int_eq(mif_room(loopback.handles[from], 0, &slots), MIF_ERR_DISCONNECTED);
    ck_assert_uint_eq(slots, 0);
    ck_assert_int_eq(wait_for(1, -1), MIF_ERR_DISCONNECTED);
    ck_assert_int_eq(watch_for(1, -1), MIF_ERR_DISCONNECTED);
    lower_side(from == MASTER ? SLAVE : MASTER);
    close_loopback();
}

/* ---- the thread of a watch ---- */

/* The kernel chooses a thread that does not block the signal: it is pending only if all do. */
MEMIF_TEST(a_watch_takes_no_signals_and_leaves_no_descriptor)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    sigset_t usr1, pending;

    open_with_some(0);
    const unsigned before = threads(), fds = entries_of("/proc/self/fd");
    ck_assert_int_eq(watch_for(capacity, fd), MIF_ERR_AGAIN);
    ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, NULL, &usr1), 0);
    ck_assert_int_eq(sigismember(&usr1, SIGUSR1), 0); /* the thread's mask is not ours */
    ck_assert_int_eq(sigemptyset(&usr1) + sigaddset(&usr1, SIGUSR1), 0);
    ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &usr1, NULL), 0);
    ck_assert_int_eq(kill(getpid(), SIGUSR1), 0);
    ck_assert_int_eq(sigpending(&pending), 0);
    ck_assert_int_eq(sigismember(&pending, SIGUSR1), 1);
    ck_assert_int_eq(poll(&ready, 1, -1), 1);
    wait_until_left(before);
    ck_assert_uint_eq(entries_of("/proc/self/fd"), fds);
    ck_assert_int_eq(close(fd), 0);
    close_way();
}

MEMIF_TEST_MAIN("calls of room")
