/* SPDX-License-Identifier: Apache-2.0 */

/* What is kept of a peer that broke the rules, and how the control plane learns of it. */

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "loopback.h"

#include "core/arena.h"

static int shutdowns;

int __real_shutdown(int fd, int how);
int __wrap_shutdown(int fd, int how)
{
    shutdowns++;
    return __real_shutdown(fd, how);
}

/* ---- a link with a control socket ---- */

static int ends[2]; /* ours, the peer's */

static void raise_with_socket(void)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    raise_side(SLAVE);
    ck_assert_int_eq(mif_connection_up(loopback.handles[SLAVE], ends[0]), MIF_ERR_SUCCESS);
}

static void lower_with_socket(void)
{
    lower_side(SLAVE);
    ck_assert_int_eq(close(ends[0]), 0);
    ck_assert_int_eq(close(ends[1]), 0);
}

static bool is_ended(int fd)
{
    struct pollfd look = {.fd = fd, .events = POLLRDHUP};

    ck_assert_int_ge(poll(&look, 1, 0), 0);
    return look.revents & POLLRDHUP;
}

static struct mif_queue *queue(uint16_t qid, enum mif_direction direction)
{
    return mif_queue_at(loopback.handles[SLAVE], qid, direction);
}

static const char *fault(void)
{
    return mif_connection_fault(loopback.handles[SLAVE]);
}

/* ---- tests ---- */

MEMIF_TEST_LOOP(a_fault_of_any_queue_wakes_the_control_plane, 0, 2 * QUEUES)
{
    char byte;

    open_loopback(MIF_VERSION_512);
    raise_with_socket();
    ck_assert_ptr_null(fault());
    ck_assert(!is_ended(ends[0]));
    mif_fault(queue((uint16_t)(_i / 2), _i % 2 ? MIF_TX : MIF_RX), "the peer is odd");
    ck_assert_str_eq(fault(), "the peer is odd");
    ck_assert(is_ended(ends[0]));
    /* It may still be told why. */
    ck_assert_int_eq(write(ends[0], "!", 1), 1);
    ck_assert_int_eq(read(ends[1], &byte, 1), 1);
    lower_with_socket();
    close_loopback();
}

MEMIF_TEST(the_first_fault_of_a_link_is_kept)
{
    open_loopback(MIF_VERSION_512);
    raise_with_socket();
    shutdowns = 0;
    mif_fault(queue(0, MIF_RX), "first");
    mif_fault(queue(0, MIF_RX), "second");
    mif_fault_too_long(queue(1, MIF_RX), 70000);
    ck_assert_str_eq(fault(), "first");
    ck_assert_int_eq(shutdowns, 1);
    lower_with_socket();
    close_loopback();
}

MEMIF_TEST(a_packet_that_is_too_long_is_told_with_its_length)
{
    open_loopback(MIF_VERSION_512);
    mif_connection_limit(loopback.handles[SLAVE], 1514);
    raise_with_socket();
    mif_fault_too_long(queue(1, MIF_RX), UINT64_MAX);
    ck_assert_str_eq(fault(),
                     "packet of 18446744073709551615 bytes or more, expected at most 1514");
    ck_assert(is_ended(ends[0]));
    mif_fault_too_long(queue(1, MIF_RX), 9);
    mif_fault(queue(0, MIF_RX), "second");
    ck_assert_str_eq(fault(),
                     "packet of 18446744073709551615 bytes or more, expected at most 1514");
    lower_with_socket();
    close_loopback();
}

MEMIF_TEST(the_next_link_has_no_fault_and_a_socket_of_its_own)
{
    open_loopback(MIF_VERSION_512);
    raise_with_socket();
    mif_fault(queue(0, MIF_RX), "first");
    lower_side(SLAVE);
    ck_assert_str_eq(fault(), "first"); /* until the control plane has read it */
    const int former[2] = {ends[0], ends[1]};
    raise_with_socket();
    ck_assert_ptr_null(fault());
    ck_assert(!is_ended(ends[0]));
    mif_fault(queue(0, MIF_RX), "second");
    ck_assert_str_eq(fault(), "second");
    ck_assert(is_ended(ends[0]));
    lower_with_socket();
    ck_assert_int_eq(close(former[0]), 0);
    ck_assert_int_eq(close(former[1]), 0);
    close_loopback();
}

MEMIF_TEST(a_link_may_have_no_socket)
{
    open_loopback(MIF_VERSION_512);
    raise_side(SLAVE);
    shutdowns = 0;
    mif_fault(queue(0, MIF_TX), "the peer is odd");
    ck_assert_str_eq(fault(), "the peer is odd");
    ck_assert_int_eq(shutdowns, 0);
    lower_side(SLAVE);
    close_loopback();
}

MEMIF_TEST(a_socket_may_have_the_first_descriptor)
{
    open_loopback(MIF_VERSION_512);
    raise_with_socket();
    int kept = dup(STDIN_FILENO);
    ck_assert_int_eq(dup2(ends[0], 0), 0);
    ck_assert_int_eq(mif_connection_up(loopback.handles[SLAVE], 0), MIF_ERR_SUCCESS);
    mif_fault(queue(0, MIF_TX), "the peer is odd");
    ck_assert(is_ended(ends[0]));
    if (kept >= 0)
        ck_assert_int_eq(dup2(kept, 0), 0);
    lower_with_socket();
    close_loopback();
}

MEMIF_TEST(a_queue_that_is_down_has_no_fault)
{
    open_loopback(MIF_VERSION_512);
    raise_with_socket();
    lower_side(SLAVE);
    shutdowns = 0;
    for (uint16_t qid = 0; qid < QUEUES; qid++) {
        mif_fault(queue(qid, MIF_RX), "late");
        mif_fault_too_long(queue(qid, MIF_RX), 70000);
    }
    ck_assert_ptr_null(fault());
    ck_assert_int_eq(shutdowns, 0);
    ck_assert_int_eq(close(ends[0]), 0);
    ck_assert_int_eq(close(ends[1]), 0);
    close_loopback();
}

MEMIF_TEST(no_interface_has_no_fault)
{
    open_loopback(MIF_VERSION_512);
    ck_assert_ptr_null(mif_connection_fault(NULL));
    void *handle = loopback.handles[SLAVE];
    mif_connection_close(handle);
    ck_assert_ptr_null(mif_connection_fault(handle));
    open_side(SLAVE);
    close_loopback();
}

MEMIF_TEST_MAIN("faults")
