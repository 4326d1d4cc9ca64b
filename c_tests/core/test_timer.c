/* SPDX-License-Identifier: Apache-2.0 */

/* The timers of the control plane. The linker leads their system calls here. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "harness.h"
#include "refused.h"

#include "core/errors.h"
#include "core/poller.h"

static struct {
    int timer_errno, set_errno; /* 0: it works */
    int closed;                 /* descriptors */
    struct itimerspec timer;
} kernel;

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    kernel.closed++;
    return __real_close(fd);
}

int __real_timerfd_create(int clock, int flags);
int __wrap_timerfd_create(int clock, int flags);
int __wrap_timerfd_create(int clock, int flags)
{
    ck_assert_int_eq(clock, CLOCK_MONOTONIC);
    return kernel.timer_errno != 0 ? refused_with(kernel.timer_errno)
                                   : __real_timerfd_create(clock, flags);
}

int __real_timerfd_settime(int fd, int flags, const struct itimerspec *when,
                           struct itimerspec *before);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
                           struct itimerspec *before);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
                           struct itimerspec *before)
{
    kernel.timer = *when;
    return kernel.set_errno != 0 ? refused_with(kernel.set_errno)
                                 : __real_timerfd_settime(fd, flags, when, before);
}

static bool is_readable(int fd, int timeout)
{
    struct pollfd look = {.fd = fd, .events = POLLIN};

    return poll(&look, 1, timeout) == 1;
}

static void expect_set_to(int64_t seconds, int64_t nanoseconds)
{
    ck_assert_int_eq(kernel.timer.it_value.tv_sec, seconds);
    ck_assert_int_eq(kernel.timer.it_value.tv_nsec, nanoseconds);
    ck_assert_int_eq(kernel.timer.it_interval.tv_sec, 0);
    ck_assert_int_eq(kernel.timer.it_interval.tv_nsec, 0);
}

MEMIF_TEST(a_timer_fires_once_for_each_time_it_is_armed)
{
    int fd = -1;

    __real_close(0);
    errno = EMFILE; /* of a call before */
    ck_assert_int_eq(mif_timer_open(&fd), MIF_ERR_SUCCESS);
    ck_assert_int_eq(fd, 0); /* any number will do */
    expect_set_to(0, 0);
    mif_timer_read(fd); /* nothing yet, and nobody waits */
    for (int64_t microseconds = 0; microseconds < 3; microseconds++) {
        ck_assert_int_eq(mif_timer_arm(fd, microseconds), MIF_ERR_SUCCESS);
        ck_assert(is_readable(fd, -1));
        mif_timer_read(fd);
        ck_assert(!is_readable(fd, 0));
    }
    ck_assert_int_eq(mif_timer_arm(fd, 3600999999), MIF_ERR_SUCCESS);
    expect_set_to(3600, 999999000);
    ck_assert_int_eq(mif_timer_arm(fd, -1), MIF_ERR_SUCCESS);
    expect_set_to(0, 0);
    ck_assert_int_eq(__real_close(fd), 0);
}

MEMIF_TEST(a_timer_that_cannot_be_had_is_said_to_be_none)
{
    int fd;

    kernel.closed = 0;
    kernel.timer_errno = EMFILE;
    ck_assert_int_eq(mif_timer_open(&fd), MIF_ERR_PROC_FILE_LIMIT);
    ck_assert_ptr_nonnull(strstr(mif_failed_call(MIF_ERR_PROC_FILE_LIMIT), "timerfd_create"));
    ck_assert_int_eq(kernel.closed, 0);
    kernel.timer_errno = 0;
    kernel.set_errno = ENOMEM;
    ck_assert_int_eq(mif_timer_open(&fd), MIF_ERR_NOMEM);
    ck_assert_ptr_nonnull(strstr(mif_failed_call(MIF_ERR_NOMEM), "timerfd_settime"));
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
    ck_assert_int_eq(kernel.closed, 1);
}

MEMIF_TEST_MAIN("timer")
