/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which barriers are used where the kernel has all of them, some, or none, and where a filter
 * refuses them later. The linker leads the calls here. What the barriers order is the matter of
 * test_barriers.c.
 */

#include <errno.h>
#include <linux/membarrier.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "system_calls.h"

#include "core/barrier.h"
#include "core/layout.h"

/* ---- the kernel ---- */

enum { COMMANDS = 1 << 8, NEVER_QUIET = 0x10000, A_MILLISECOND = 1000000 };

enum {
    ALL = MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |
        MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED |
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED,
};

static struct {
    long supported; /* -1: not even that is told */
    int refused;    /* commands, as flags */
    int calls[COMMANDS];
    bool refuses_to_map;
    uint8_t *page;
    size_t bytes;
    int protected, unmapped, sleeps;
} kernel;

static long on_system_call(long number, const long *a)
{
    if (number != SYS_membarrier)
        return pass_on(number, a);
    kernel.calls[a[0]]++;
    if (a[0] == MEMBARRIER_CMD_QUERY && kernel.supported >= 0)
        return kernel.supported;
    if (a[0] & kernel.supported & ~kernel.refused)
        return 0;
    errno = a[0] == MEMBARRIER_CMD_QUERY ? ENOSYS : EPERM;
    return -1;
}

void *__real_mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    if (kernel.refuses_to_map) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    kernel.bytes = bytes;
    return kernel.page = __real_mmap64(at, bytes, protection, flags, fd, offset);
}

/* A page that nobody has used has no entry that a processor could keep. */
int __real_mprotect(void *base, size_t bytes, int protection);
int __wrap_mprotect(void *base, size_t bytes, int protection)
{
    if (base != kernel.page || bytes != kernel.bytes || kernel.page[0] == 0)
        ck_abort_msg("that is no page in use");
    kernel.protected += protection == PROT_READ;
    return __real_mprotect(base, bytes, protection);
}

int __real_munmap(void *base, size_t bytes);
int __wrap_munmap(void *base, size_t bytes)
{
    kernel.unmapped += base == kernel.page && bytes == kernel.bytes;
    return __real_munmap(base, bytes);
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest);
int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
    (void)rest;
    kernel.sleeps += time->tv_sec > 0 || time->tv_nsec >= A_MILLISECOND;
    return 0;
}

static void begin_with(long supported, int refused)
{
    memset(&kernel, 0, sizeof(kernel));
    kernel.supported = supported;
    kernel.refused = refused;
    mif_barrier_init();
}

static int calls(int command)
{
    return kernel.calls[command];
}

/* ---- on all threads ---- */

static void expect_on_all_threads(int command)
{
    for (int times = 1; times <= 2; times++) {
        mif_barrier_on_all_threads();
        ck_assert_int_eq(calls(command), times);
    }
    ck_assert_int_eq(kernel.protected, 0);
    ck_assert_int_eq(kernel.sleeps, 0);
}

static void expect_a_change_of_protection(void)
{
    for (int times = 1; times <= 2; times++) {
        mif_barrier_on_all_threads();
        ck_assert_int_eq(kernel.protected, times);
        ck_assert_int_eq(kernel.unmapped, times);
    }
    ck_assert_uint_eq(kernel.bytes, (size_t)sysconf(_SC_PAGESIZE));
    ck_assert_int_eq(kernel.sleeps, 0);
}

MEMIF_TEST(threads_are_interrupted_at_once_where_that_is_possible)
{
    begin_with(ALL, 0);
    ck_assert_int_eq(calls(MEMBARRIER_CMD_QUERY), 1);
    ck_assert_int_eq(calls(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED), 1);
    expect_on_all_threads(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    ck_assert_int_eq(calls(MEMBARRIER_CMD_GLOBAL), 0);
}

MEMIF_TEST(who_could_not_register_waits_for_all_processors)
{
    begin_with(ALL, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
    expect_on_all_threads(MEMBARRIER_CMD_GLOBAL);
    ck_assert_int_eq(calls(MEMBARRIER_CMD_PRIVATE_EXPEDITED), 0);
}

MEMIF_TEST(an_old_kernel_waits_for_all_processors)
{
    begin_with(MEMBARRIER_CMD_GLOBAL, 0);
    ck_assert_int_eq(calls(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED), 0);
    expect_on_all_threads(MEMBARRIER_CMD_GLOBAL);
}

MEMIF_TEST(without_either_a_page_changes_its_protection)
{
    begin_with(ALL & ~MEMBARRIER_CMD_GLOBAL, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
    expect_a_change_of_protection();
    ck_assert_int_eq(calls(MEMBARRIER_CMD_QUERY), 1);
    ck_assert_int_eq(calls(MEMBARRIER_CMD_PRIVATE_EXPEDITED) + calls(MEMBARRIER_CMD_GLOBAL), 0);
}

MEMIF_TEST(a_kernel_that_has_no_barrier_is_not_asked_for_one)
{
    begin_with(0, 0);
    expect_a_change_of_protection();
    ck_assert_int_eq(calls(MEMBARRIER_CMD_QUERY), 1);
}

MEMIF_TEST(a_kernel_that_does_not_know_the_call_is_not_asked_again)
{
    begin_with(-1, ALL);
    expect_a_change_of_protection();
    mif_barrier_on_peers();
    for (int command = 1; command < COMMANDS; command++)
        ck_assert_int_eq(calls(command), 0);
    ck_assert_int_eq(calls(MEMBARRIER_CMD_QUERY), 1);
    ck_assert_int_eq(kernel.sleeps, 0);
    ck_assert(!mif_barrier_reaches_peers());
    ck_assert(!mif_barrier_is_received());
}

MEMIF_TEST(a_barrier_that_is_refused_later_has_another_in_its_place)
{
    begin_with(ALL, 0);
    kernel.refused = MEMBARRIER_CMD_PRIVATE_EXPEDITED;
    expect_a_change_of_protection();
    ck_assert_int_eq(calls(MEMBARRIER_CMD_PRIVATE_EXPEDITED), 2);
}

MEMIF_TEST(without_any_stores_are_given_time)
{
    begin_with(0, 0);
    kernel.refuses_to_map = true;
    for (int times = 1; times <= 2; times++) {
        mif_barrier_on_all_threads();
        ck_assert_int_eq(kernel.sleeps, times);
    }
    ck_assert_int_eq(kernel.protected, 0);
    ck_assert_int_eq(kernel.unmapped, 0);
}

/* ---- on peers ---- */

MEMIF_TEST(who_registered_is_reached_by_others_and_reaches_them)
{
    begin_with(ALL, 0);
    ck_assert_int_eq(calls(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED), 1);
    ck_assert(mif_barrier_reaches_peers());
    ck_assert(mif_barrier_is_received());
    ck_assert_uint_eq(mif_quiet_flags, MIF_RING_MASK_INT | MIF_RING_FENCED | MIF_RING_TELLS_ROOM);
    mif_barrier_on_peers();
    ck_assert_int_eq(calls(MEMBARRIER_CMD_GLOBAL_EXPEDITED), 1);
    ck_assert_int_eq(kernel.sleeps, 0);
}

MEMIF_TEST(who_could_not_register_still_reaches_others)
{
    begin_with(ALL, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED);
    ck_assert(mif_barrier_reaches_peers());
    ck_assert(!mif_barrier_is_received());
    ck_assert_uint_eq(mif_quiet_flags, NEVER_QUIET);
    mif_barrier_on_peers();
    ck_assert_int_eq(calls(MEMBARRIER_CMD_GLOBAL_EXPEDITED), 1);
}

MEMIF_TEST(a_kernel_without_barriers_on_peers_puts_none_there)
{
    begin_with(ALL & ~(MEMBARRIER_CMD_GLOBAL_EXPEDITED | MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED),
               0);
    ck_assert(!mif_barrier_reaches_peers());
    ck_assert(!mif_barrier_is_received());
    ck_assert_uint_eq(mif_quiet_flags, NEVER_QUIET);
    mif_barrier_on_peers();
    ck_assert_int_eq(calls(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED), 0);
    ck_assert_int_eq(calls(MEMBARRIER_CMD_GLOBAL_EXPEDITED), 0);
    ck_assert_int_eq(kernel.sleeps, 0);
}

MEMIF_TEST(where_a_barrier_on_peers_is_refused_later_stores_are_given_time)
{
    begin_with(ALL, 0);
    kernel.refused = MEMBARRIER_CMD_GLOBAL_EXPEDITED;
    mif_barrier_on_peers();
    ck_assert_int_eq(calls(MEMBARRIER_CMD_GLOBAL_EXPEDITED), 1);
    ck_assert_int_eq(kernel.sleeps, 1);
}

MEMIF_TEST_MAIN("membarrier")
