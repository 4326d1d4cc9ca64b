/* SPDX-License-Identifier: Apache-2.0 */

/* What threads do with the descriptors of peers that are not trusted, where the kernel allows what
 * they want and where not. */

#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "untrusted_calls.h"

#include "core/errors.h"
#include "core/untrusted.h"

enum { MOST_FDS = 253, MEMORY, EVENTFD, PIPE, EPOLL, KINDS = 4 };

static _Atomic int link_length; /* of what readlink says; 0: as it is, otherwise one more */

ssize_t __real_readlink(const char *path, char *text, size_t bytes);
ssize_t __wrap_readlink(const char *path, char *text, size_t bytes);
ssize_t __wrap_readlink(const char *path, char *text, size_t bytes)
{
    if (bytes != 31)
        fail_at_once("no room for the end of a name");
    return link_length == 0 ? __real_readlink(path, text, bytes) : link_length - 2;
}

/* ---- one message ---- */

static int channel[2]; /* ours and the peer's */
static int replies[2];

static void open_channel(void)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel), 0);
}

static void send_fds(const void *data, size_t size, const int *fds, size_t count)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(MOST_FDS * sizeof(int))];
    } control = {0};
    struct iovec io = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};

    if (count > 0) {
        message.msg_control = control.room;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
    }
    ck_assert_int_eq(sendmsg(channel[1], &message, 0), (ssize_t)size);
}

static int ask(int kind)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, replies), 0);
    int err = mif_untrusted_receive(channel[0], replies[1], kind);
    ck_assert_int_eq(__real_close(replies[1]), 0);
    return err;
}

static struct mif_untrusted_reply reply;

/* The descriptor that came with the reply, or -1; -2 where the reply is none. */
static int take_reply(void)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(8 * sizeof(int))];
    } control = {0};
    struct iovec io = {.iov_base = &reply, .iov_len = sizeof(reply)};
    struct msghdr message = {.msg_iov = &io,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof(control.room)};
    int fd = -1;

    ssize_t length = recvmsg(replies[0], &message, MSG_CMSG_CLOEXEC);
    if (length == 0)
        return -2;
    ck_assert_int_eq(length, sizeof(reply));
    if (CMSG_FIRSTHDR(&message) != NULL) {
        ck_assert_uint_eq(control.header.cmsg_len, CMSG_LEN(sizeof(int)));
        memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
    }
    return fd;
}

static int receive(int kind)
{
    ck_assert_int_eq(ask(kind), MIF_ERR_SUCCESS);
    int fd = take_reply();
    if (fd != -2)
        ck_assert_int_eq(recv(replies[0], &reply, 0, 0), 0); /* that is all */
    ck_assert_int_eq(__real_close(replies[0]), 0);
    return fd;
}

static int make(int what)
{
    int ends[2];

    if (what == MEMORY)
        return memfd_create("untrusted", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (what == EVENTFD)
        return eventfd(0, EFD_CLOEXEC);
    if (what == EPOLL)
        return epoll_create1(EPOLL_CLOEXEC);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(__real_close(ends[0]), 0);
    return ends[1];
}

static void expect_same(int fd, int other)
{
    struct stat one, two;

    ck_assert_int_ge(fd, 0);
    ck_assert(fstat(fd, &one) == 0 && fstat(other, &two) == 0);
    ck_assert(one.st_ino == two.st_ino && one.st_mode == two.st_mode);
}

/* Whether one of these is passed on as that kind. */
static bool comes(int what, int kind)
{
    int sent = make(what);

    send_fds("hello", 5, &sent, 1);
    memset(&reply, 0xA5, sizeof(reply));
    int fd = receive(kind);
    ck_assert_int_eq(reply.error, 0);
    ck_assert_uint_eq(reply.fds, 1);
    ck_assert_uint_eq(reply.length, 5);
    ck_assert_mem_eq(reply.data, "hello", 5);
    if (fd >= 0) {
        expect_same(fd, sent);
        ck_assert_int_eq(__real_close(fd), 0);
    }
    ck_assert_int_eq(__real_close(sent), 0);
    return fd >= 0;
}

MEMIF_TEST(one_descriptor_of_the_right_kind_is_passed_on)
{
    mif_untrusted_begin();
    open_channel();
    for (int what = MEMORY; what < MEMORY + KINDS; what++) {
        ck_assert_int_eq(comes(what, MIF_FD_ANY), true);
        ck_assert_int_eq(comes(what, MIF_FD_MEMORY), what == MEMORY);
        ck_assert_int_eq(comes(what, MIF_FD_EVENTFD), what == EVENTFD);
    }
    ck_assert_int_eq(workers, 3 * KINDS);
    ck_assert_int_eq(started, workers + 1); /* one that stays */
    mif_untrusted_end();
    wait_for_their_end();
    ck_assert_int_eq(kernel.sem_waits, started);
    ck_assert_int_eq(kernel.sems + kernel.attrs, 0);
    ck_assert_int_eq(kernel.lingers, workers);
}

MEMIF_TEST(without_names_an_eventfd_is_known_by_its_file_type)
{
    mif_untrusted_begin();
    open_channel();
    for (link_length = 1; link_length <= 3; link_length++) {
        ck_assert_int_eq(comes(EVENTFD, MIF_FD_EVENTFD), link_length < 3);
        ck_assert(!comes(MEMORY, MIF_FD_EVENTFD));
        ck_assert(!comes(PIPE, MIF_FD_EVENTFD));
    }
    mif_untrusted_end();
    wait_for_their_end();
}

MEMIF_TEST(more_than_one_descriptor_is_closed)
{
    static const uint32_t counts[] = {0, 1, 2, MOST_FDS};
    int fds[MOST_FDS], own = size_of_own_table(), closes = 0, lingers = 0;

    mif_untrusted_begin();
    open_channel();
    for (int i = 0; i < MOST_FDS; i++)
        fds[i] = channel[1];
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        send_fds("", i == 1 ? 0 : 1, fds, counts[i]); /* a message may be empty */
        ck_assert_int_eq(receive(MIF_FD_EVENTFD), -1);
        ck_assert_uint_eq(reply.fds, counts[i]);
        ck_assert_uint_eq(reply.length, i != 1);
        lingers += (int)counts[i];
        closes += (int)counts[i] + 1; /* and where the reply went */
        WAIT_UNTIL(ended == workers);
        ck_assert_int_eq(kernel.lingers, lingers);
        ck_assert_int_eq(kernel.closes, closes);
    }
    ck_assert_int_eq(size_of_its_table(), 1);
    mif_untrusted_end();
    wait_for_their_end();
    ck_assert(__real_close(channel[0]) == 0 && __real_close(channel[1]) == 0);
    ck_assert_int_eq(size_of_own_table(), own);
}

MEMIF_TEST(a_reply_tells_of_what_there_is_not)
{
    uint8_t bytes[MIF_UNTRUSTED_MESSAGE + 1];
    int yes = 1;

    mif_untrusted_begin();
    open_channel();
    ck_assert_int_eq(receive(MIF_FD_ANY), -1);
    ck_assert_int_eq(reply.error, EAGAIN);
    ck_assert_uint_eq(reply.fds + reply.length, 0);
    memset(bytes, 7, sizeof(bytes));
    send_fds(bytes, sizeof(bytes), NULL, 0);
    ck_assert_int_eq(receive(MIF_FD_ANY), -1);
    ck_assert_int_eq(reply.error, 0);
    ck_assert_uint_eq(reply.length, MIF_UNTRUSTED_MESSAGE);
    ck_assert_mem_eq(reply.data, bytes, MIF_UNTRUSTED_MESSAGE);
    /* What else can come along is no descriptor. */
    ck_assert_int_eq(setsockopt(channel[0], SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes)), 0);
    send_fds("x", 1, NULL, 0);
    ck_assert_int_eq(receive(MIF_FD_ANY), -1);
    ck_assert_uint_eq(reply.fds, 0);
    ck_assert_uint_eq(reply.length, 1);
    ck_assert_int_eq(__real_close(channel[1]), 0);
    ck_assert_int_eq(receive(MIF_FD_ANY), -1);
    ck_assert_int_eq(reply.error, 0);
    ck_assert_uint_eq(reply.fds + reply.length, 0);
    mif_untrusted_end();
    wait_for_their_end();
}

/* ---- what hangs ---- */

MEMIF_TEST(a_few_threads_that_hang_are_tolerated)
{
    int sent = eventfd(0, EFD_CLOEXEC), kept[MOST_WORKERS];

    mif_untrusted_begin();
    open_channel();
    for (int round = 0; round < 2; round++) {
        kernel.holds_at = SYS_setsockopt;
        for (int i = 0; i < MOST_WORKERS; i++) {
            send_fds("x", 1, &sent, 1);
            kept[i] = receive(MIF_FD_EVENTFD); /* with its end, before anything hangs */
            ck_assert_int_ge(kept[i], 0);
        }
        for (int times = 0; times < 2; times++) {
            ck_assert_int_eq(ask(MIF_FD_ANY), MIF_ERR_AGAIN);
            ck_assert_int_eq(__real_close(replies[0]), 0);
        }
        WAIT_UNTIL(kernel.held == (round + 1) * MOST_WORKERS);
        kernel.holds_at = 0;
        WAIT_UNTIL(ended == workers);
        for (int i = 0; i < MOST_WORKERS; i++)
            ck_assert_int_eq(__real_close(kept[i]), 0);
    }
    mif_untrusted_end();
    wait_for_their_end();
    ck_assert_int_eq(started, 2 * MOST_WORKERS + 1);
}

/* ---- what the kernel refuses ---- */

static void expect_service(void)
{
    ck_assert(comes(EVENTFD, MIF_FD_EVENTFD));
}

MEMIF_TEST_LOOP(a_table_is_emptied_without_close_range, 0, 2)
{
    enum { LAST = 1023, MOST = 65535 };

    kernel.range_errno = ENOSYS;
    kernel.open_errno = _i == 0 ? 0 : ENOENT; /* nor can it know its size */
    kernel.highest_closed = 0;
    open_channel();
    ck_assert_int_eq(dup2(1, LAST), LAST);
    mif_untrusted_begin();
    expect_service();
    ck_assert_int_eq(size_of_its_table(), 1);
    ck_assert_int_eq(kernel.highest_closed, _i == 0 ? LAST : MOST);
    ck_assert(is_open(LAST));
    ck_assert_int_eq(__real_close(channel[1]), 0);
    ck_assert_int_eq(receive(MIF_FD_ANY), -1);
    ck_assert_int_eq(reply.error, 0); /* what failed before is no error of this */
    mif_untrusted_end();
    wait_for_their_end();
}

MEMIF_TEST(without_a_table_of_its_own_no_thread_takes_a_descriptor)
{
    kernel.range_errno = ENOSYS;
    kernel.unshare_errno = EPERM;
    open_channel();
    int sent = eventfd(0, EFD_CLOEXEC), own = size_of_own_table();
    mif_untrusted_begin();
    ck_assert_int_eq(ask(MIF_FD_ANY), MIF_ERR_ACCES);
    ck_assert_ptr_nonnull(strstr(mif_failed_call(MIF_ERR_ACCES), "close_range"));
    ck_assert_int_eq(__real_close(replies[0]), 0);
    wait_for_their_end();
    ck_assert_int_eq(size_of_own_table(), own);
    ck_assert_int_eq(kernel.closes + kernel.sems, 0);
    kernel.range_errno = 0;
    expect_service();
    /* A worker later. */
    kernel.range_errno = ENOSYS;
    for (int times = 0; times < 2 * MOST_WORKERS; times++) {
        ck_assert_int_eq(receive(MIF_FD_ANY), -2);
        WAIT_UNTIL(ended == started - 1);
        ck_assert_int_eq(size_of_its_table(), 1);
    }
    kernel.range_errno = 0;
    send_fds("x", 1, &sent, 1); /* nobody took it meanwhile */
    ck_assert_int_ge(receive(MIF_FD_EVENTFD), 0);
    mif_untrusted_end();
    wait_for_their_end();
}

MEMIF_TEST(a_job_waits_for_a_thread_that_can_do_it)
{
    open_channel();
    mif_untrusted_begin();
    kernel.waits = 3;
    expect_service();
    kernel.threads = 3;
    expect_service();
    ck_assert_int_eq(kernel.retries, 3);
    kernel.receives = 1; /* this one cannot, the next one can */
    for (int times = 0; times < 2 * MOST_WORKERS; times++)
        expect_service();
    kernel.waits = 5;
    expect_service();
    mif_untrusted_end();
    wait_for_their_end();
    ck_assert_int_eq(kernel.sem_waits, started);
}

MEMIF_TEST_LOOP(a_manager_that_does_not_start_leaves_nothing, 0, 3)
{
    static const char *const calls[] = {"socketpair", "clone", "clone"};
    static const int codes[] = {MIF_ERR_PROC_FILE_LIMIT, MIF_ERR_AGAIN, MIF_ERR_NOMEM};

    open_channel();
    mif_untrusted_begin();
    int own = size_of_own_table();
    for (int times = 0; times < 2 * MOST_WORKERS; times++) {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, replies), 0);
        kernel.pair_errno = _i == 0 ? EMFILE : 0;
        kernel.threads = _i == 1;
        kernel.attr_errno = _i == 2 ? ENOMEM : 0;
        ck_assert_int_eq(mif_untrusted_receive(channel[0], replies[1], MIF_FD_ANY), codes[_i]);
        ck_assert_ptr_nonnull(strstr(mif_failed_call(codes[_i]), calls[_i]));
        kernel.pair_errno = kernel.attr_errno = 0;
        ck_assert(__real_close(replies[0]) == 0 && __real_close(replies[1]) == 0);
        ck_assert_int_eq(size_of_own_table(), own);
        ck_assert_int_eq(kernel.attrs + kernel.sems, 0);
    }
    expect_service();
    mif_untrusted_end();
    wait_for_their_end();
}

static int managers(void)
{
    return started - workers;
}

MEMIF_TEST(a_manager_that_has_ended_is_replaced)
{
    static const int errors[] = {EPIPE, ECONNRESET};

    open_channel();
    mif_untrusted_begin();
    expect_service();
    int own = size_of_own_table();
    WAIT_UNTIL(kernel.looked == 2);
    kernel.looks = 1; /* the next one finds that there is nothing more to do */
    expect_service();
    wait_for_their_end();
    expect_service();
    ck_assert_int_eq(managers(), 2);
    for (int i = 0; i < 2; i++) {
        kernel.send_errno = errors[i];
        kernel.sends = 1;
        expect_service();
        WAIT_UNTIL(ended == started - 1);
        ck_assert_int_eq(managers(), 3 * i + 3);
        kernel.sends = 2; /* once more at most */
        ck_assert_int_ne(ask(MIF_FD_ANY), MIF_ERR_SUCCESS);
        ck_assert_int_eq(__real_close(replies[0]), 0);
        wait_for_their_end();
        ck_assert_int_eq(managers(), 3 * i + 4);
        expect_service();
    }
    kernel.send_errno = EAGAIN; /* it has much to do */
    kernel.sends = 1;
    ck_assert_int_eq(ask(MIF_FD_ANY), MIF_ERR_AGAIN);
    ck_assert_ptr_nonnull(strstr(mif_failed_call(MIF_ERR_AGAIN), "sendmsg"));
    ck_assert_int_eq(__real_close(replies[0]), 0);
    expect_service();
    ck_assert_int_eq(managers(), 8);
    ck_assert_int_eq(size_of_own_table(), own);
    mif_untrusted_end();
    wait_for_their_end();
}

MEMIF_TEST_MAIN("untrusted")
