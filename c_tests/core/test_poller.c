/* SPDX-License-Identifier: Apache-2.0 */

/* A poller that polls by itself: its life, what it waits for, and who ends it. The linker leads the
 * system calls here. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "harness.h"
#include "refused.h"

#include "core/errors.h"
#include "core/fork.h"
#include "core/poller.h"

/* ---- the kernel ---- */

static struct {
    int create_errno, event_errno, add_errno, wait_errno; /* 0: it works */
    bool cancels_by_zero;                                 /* the eventfd gets that number */
    int left_fd;     /* what a wait without events leaves where an event would be */
    uint32_t events; /* what a wait says there is; 0: what there is */
    int closed;      /* descriptors */
} kernel;
static int waits; /* that have begun */

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    if (fd < 0)
        ck_abort_msg("closes what there is not");
    kernel.closed++;
    return __real_close(fd);
}

int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags);
int __wrap_epoll_create1(int flags)
{
    ck_assert_int_eq(flags, EPOLL_CLOEXEC);
    return kernel.create_errno != 0 ? refused_with(kernel.create_errno)
                                    : __real_epoll_create1(flags);
}

int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags)
{
    if (kernel.event_errno != 0)
        return refused_with(kernel.event_errno);
    int fd = __real_eventfd(value, flags);
    if (!kernel.cancels_by_zero)
        return fd;
    ck_assert_int_eq(dup3(fd, 0, O_CLOEXEC), 0);
    __real_close(fd);
    return 0;
}

int __real_epoll_ctl(int epoll_fd, int what, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll_fd, int what, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll_fd, int what, int fd, struct epoll_event *event)
{
    return kernel.add_errno != 0 && what == EPOLL_CTL_ADD
               ? refused_with(kernel.add_errno)
               : __real_epoll_ctl(epoll_fd, what, fd, event);
}

int __real_epoll_wait(int epoll_fd, struct epoll_event *events, int most, int timeout);
int __wrap_epoll_wait(int epoll_fd, struct epoll_event *events, int most, int timeout);
int __wrap_epoll_wait(int epoll_fd, struct epoll_event *events, int most, int timeout)
{
    waits++;
    int ready = kernel.wait_errno != 0 ? refused_with(kernel.wait_errno)
                                       : __real_epoll_wait(epoll_fd, events, most, timeout);
    if (ready <= 0)
        *events = (struct epoll_event){.events = EPOLLIN, .data.fd = kernel.left_fd};
    else if (kernel.events != 0)
        events->events = kernel.events;
    return ready;
}

/* ---- the heap ---- */

static struct {
    void *made;
    bool refuses;
} heap;

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes)
{
    if (bytes != sizeof(struct mif_poller))
        return __real_malloc(bytes);
    if (heap.refuses)
        return NULL;
    heap.made = __real_malloc(bytes);
    if (heap.made != NULL)
        memset(heap.made, 0xA5, bytes); /* it has been used before */
    return heap.made;
}

void __real_free(void *pointer);
void __wrap_free(void *pointer);
void __wrap_free(void *pointer)
{
    if (pointer != NULL && pointer == heap.made)
        heap.made = NULL;
    __real_free(pointer);
}

/* ---- a poller with one watch ---- */

static struct mif_poller poller = MIF_POLLER_INIT, other = MIF_POLLER_INIT;
static int ends[2]; /* of a pipe: what is read is watched */

static struct {
    int count, fd, answer;
    uint32_t events;
    uintptr_t poller;
    void (*then)(void);
} served;

static int serve(uintptr_t by, int fd, uint32_t events)
{
    served.poller = by;
    served.fd = fd;
    served.events = events;
    served.count++;
    void (*then)(void) = served.then;
    served.then = NULL;
    if (then != NULL)
        then();
    return served.answer;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void put_byte(void)
{
    ck_assert_int_eq(write(ends[1], "x", 1), 1);
}

static void open_poller(struct mif_poller *opened)
{
    ck_assert_int_eq(mif_poller_open(opened, NULL, serve), MIF_ERR_SUCCESS);
    ck_assert(!mif_poller_announces(opened));
}

static int watch(int fd)
{
    return mif_poller_watch(&poller, fd, MIF_WATCH_CONTROL, NULL, 0);
}

static void open_with_watch(void)
{
    open_poller(&poller);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(watch(ends[0]), MIF_ERR_SUCCESS);
}

MEMIF_TEST(what_is_ready_is_served)
{
    open_with_watch();
    ck_assert_int_eq(mif_poller_poll(&poller, 0), MIF_ERR_SUCCESS);
    ck_assert_int_eq(served.count, 0);
    put_byte();
    for (int times = 1; times <= 2; times++) {
        ck_assert_int_eq(mif_poller_poll(&poller, -1), MIF_ERR_SUCCESS);
        ck_assert_int_eq(served.count, times);
    }
    ck_assert(served.poller == (uintptr_t)&poller && served.fd == ends[0]);
    served.answer = MIF_ERR_NOMEM;
    ck_assert_int_eq(mif_poller_poll(&poller, -1), MIF_ERR_NOMEM);
    served.answer = MIF_ERR_SUCCESS;
    errno = EINTR; /* of a call before */
    ck_assert_int_eq(mif_poller_unwatch(&poller, ends[0]), MIF_ERR_SUCCESS);
    errno = EINTR;
    ck_assert_int_eq(mif_poller_poll(&poller, 0), MIF_ERR_SUCCESS);
    ck_assert_int_eq(served.count, 3);
    mif_poller_close(&poller);
}

MEMIF_TEST(an_event_says_what_there_is)
{
    open_with_watch();
    put_byte();
    ck_assert_int_eq(mif_poller_poll(&poller, -1), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(served.events, MIF_EVENT_READ);
    ck_assert_int_eq(close(ends[1]), 0);
    ck_assert_int_eq(mif_poller_poll(&poller, -1), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(served.events, MIF_EVENT_READ | MIF_EVENT_ERROR);
    char byte;
    ck_assert_int_eq(read(ends[0], &byte, 1), 1);
    ck_assert_int_eq(mif_poller_poll(&poller, -1), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(served.events, MIF_EVENT_ERROR);
    ck_assert_int_eq(mif_poller_unwatch(&poller, ends[0]), MIF_ERR_SUCCESS);
    /* Nobody reads any more. */
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(close(ends[0]), 0);
    ck_assert_int_eq(watch(ends[1]), MIF_ERR_SUCCESS);
    ck_assert_int_eq(mif_poller_poll(&poller, -1), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(served.events, MIF_EVENT_ERROR);
    kernel.events = EPOLLOUT;
    ck_assert_int_eq(mif_poller_poll(&poller, -1), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(served.events, MIF_EVENT_WRITE);
    mif_poller_close(&poller);
}

MEMIF_TEST(one_call_of_cancel_ends_one_wait)
{
    open_with_watch();
    for (int times = 0; times < 2; times++) {
        errno = EINTR; /* of a call before */
        ck_assert_int_eq(mif_poller_cancel(&poller), MIF_ERR_SUCCESS);
        ck_assert_int_eq(mif_poller_poll(&poller, -1), MIF_ERR_POLL_CANCEL);
        ck_assert_int_eq(mif_poller_poll(&poller, 0), MIF_ERR_SUCCESS);
    }
    ck_assert_int_eq(served.count, 0);
    /* One that cannot be sent is said to be none. */
    ck_assert_int_eq(__real_close(poller.cancel_fd), 0);
    ck_assert_int_eq(mif_poller_cancel(&poller), MIF_ERR_BAD_FD);
    ck_assert_ptr_nonnull(mif_failed_call(MIF_ERR_BAD_FD));
    mif_poller_close(&poller);
}

MEMIF_TEST(an_event_whose_watch_has_ended_meanwhile_is_none)
{
    struct epoll_event event = {.events = EPOLLIN};

    open_with_watch();
    put_byte();
    ck_assert_int_eq(mif_poller_unwatch(&poller, ends[0]), MIF_ERR_SUCCESS);
    event.data.fd = ends[0];
    ck_assert_int_eq(__real_epoll_ctl(poller.epoll_fd, EPOLL_CTL_ADD, ends[0], &event), 0);
    ck_assert_int_eq(mif_poller_poll(&poller, -1), MIF_ERR_SUCCESS);
    ck_assert_int_eq(served.count, 0);
    mif_poller_close(&poller);
}

MEMIF_TEST(a_wait_without_an_event_serves_nothing)
{
    open_with_watch();
    kernel.left_fd = ends[0];
    ck_assert_int_eq(mif_poller_poll(&poller, 0), MIF_ERR_SUCCESS);
    kernel.wait_errno = EINTR;
    ck_assert_int_eq(mif_poller_poll(&poller, -1), -1);
    kernel.wait_errno = ENOMEM;
    ck_assert_int_eq(mif_poller_poll(&poller, -1), MIF_ERR_NOMEM);
    ck_assert_ptr_nonnull(strstr(mif_failed_call(MIF_ERR_NOMEM), "epoll_wait"));
    ck_assert_int_eq(served.count, 0);
    mif_poller_close(&poller);
}

/* ---- what cannot be watched ---- */

MEMIF_TEST(what_the_kernel_cannot_watch_is_not_watched)
{
    open_with_watch();
    int file = open("/", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(watch(file), MIF_ERR_ACCES);
    ck_assert_ptr_nonnull(strstr(mif_failed_call(MIF_ERR_ACCES), "epoll_ctl"));
    ck_assert_int_eq(mif_poller_dispatch(file, 1), MIF_ERR_BAD_FD);
    ck_assert_int_eq(mif_poller_unwatch(&poller, file), MIF_ERR_SUCCESS);
    /* A descriptor that was closed too early is not watched any more all the same. */
    ck_assert_int_eq(close(ends[0]), 0);
    ck_assert_int_eq(mif_poller_unwatch(&poller, ends[0]), MIF_ERR_BAD_FD);
    ck_assert_int_eq(mif_poller_dispatch(ends[0], 1), MIF_ERR_BAD_FD);
    mif_poller_close(&poller);
}

/* ---- life ---- */

MEMIF_TEST(a_poller_ends_with_its_descriptors)
{
    open_with_watch();
    int epoll_fd = poller.epoll_fd, cancel_fd = poller.cancel_fd;
    ck_assert(is_open(epoll_fd) && is_open(cancel_fd));
    kernel.closed = 0;
    mif_poller_close(&poller);
    ck_assert_int_eq(kernel.closed, 2);
    ck_assert(!is_open(epoll_fd) && !is_open(cancel_fd));
    ck_assert_int_eq(mif_poller_dispatch(ends[0], 1), MIF_ERR_BAD_FD);
    ck_assert_int_eq(mif_poller_poll(&poller, 0), MIF_ERR_INVAL_ARG);
    ck_assert_int_eq(mif_poller_cancel(&poller), MIF_ERR_INVAL_ARG);
    /* What has their numbers now is another's. */
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    mif_poller_abandon(&poller);
    mif_poller_close(&poller);
    ck_assert_int_eq(kernel.closed, 2);
    ck_assert(is_open(ends[0]) && is_open(ends[1]));
}

static void poll_and_cancel(void)
{
    const int fds[] = {poller.epoll_fd, poller.cancel_fd};

    ck_assert_int_eq(mif_poller_poll(&poller, 0), MIF_ERR_SUCCESS);
    ck_assert_int_eq(mif_poller_cancel(&poller), MIF_ERR_SUCCESS);
    ck_assert_int_eq(mif_poller_poll(&poller, -1), MIF_ERR_POLL_CANCEL);
    mif_poller_close(&poller);
    ck_assert(!is_open(fds[0]) && !is_open(fds[1]));
}

MEMIF_TEST(a_poller_may_wait_at_any_descriptor)
{
    __real_close(0);
    errno = EMFILE; /* of a call before */
    open_poller(&poller);
    ck_assert_int_eq(poller.epoll_fd, 0);
    poll_and_cancel();
}

MEMIF_TEST(a_poller_may_be_cancelled_by_any_descriptor)
{
    kernel.cancels_by_zero = true;
    errno = EMFILE;
    open_poller(&poller);
    ck_assert_int_eq(poller.cancel_fd, 0);
    poll_and_cancel();
}

MEMIF_TEST(any_descriptor_may_be_watched)
{
    __real_close(0);
    open_poller(&other); /* has the lowest numbers */
    ck_assert_int_eq(other.epoll_fd, 0);
    open_poller(&poller);
    mif_poller_close(&other);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(ends[0], 0);
    ck_assert_int_eq(watch(0), MIF_ERR_SUCCESS);
    put_byte();
    ck_assert_int_eq(mif_poller_poll(&poller, -1), MIF_ERR_SUCCESS);
    ck_assert(served.count == 1 && served.fd == 0);
    mif_poller_close(&poller);
}

MEMIF_TEST_LOOP(a_poller_that_does_not_open_leaves_nothing, 0, 3)
{
    static const char *const calls[] = {"epoll_create1", "eventfd2", "epoll_ctl"};
    int *const errors[] = {&kernel.create_errno, &kernel.event_errno, &kernel.add_errno};
    int next = dup(1);

    ck_assert_int_eq(__real_close(next), 0);
    *errors[_i] = EMFILE;
    errno = 0;
    ck_assert_int_eq(mif_poller_open(&poller, NULL, serve), MIF_ERR_PROC_FILE_LIMIT);
    ck_assert_ptr_nonnull(strstr(mif_failed_call(MIF_ERR_PROC_FILE_LIMIT), calls[_i]));
    ck_assert(!atomic_load(&poller.open));
    ck_assert(poller.epoll_fd == -1 && poller.cancel_fd == -1);
    ck_assert_int_eq(dup(1), next); /* none is open that was not */
    ck_assert_int_eq(mif_poller_poll(&poller, 0), MIF_ERR_INVAL_ARG);
    *errors[_i] = 0;
    open_poller(&poller);
    mif_poller_close(&poller);
}

static int tell(struct mif_poller *by, int fd, uint32_t events, void *context)
{
    (void)by;
    (void)fd;
    (void)events;
    (void)context;
    return 0;
}

MEMIF_TEST(a_poller_whose_program_polls_has_no_descriptors)
{
    ck_assert_int_eq(mif_poller_open(&poller, tell, serve), MIF_ERR_SUCCESS);
    ck_assert(mif_poller_announces(&poller));
    ck_assert(poller.epoll_fd == -1 && poller.cancel_fd == -1);
    ck_assert_int_eq(mif_poller_poll(&poller, 0), MIF_ERR_INVAL_ARG);
    ck_assert_int_eq(mif_poller_cancel(&poller), MIF_ERR_INVAL_ARG);
    ck_assert_int_eq(waits, 0);
    mif_poller_close(&poller);
}

MEMIF_TEST(a_poller_of_the_heap_is_freed_with_what_it_has)
{
    heap.refuses = true;
    ck_assert_ptr_null(mif_poller_new());
    heap.refuses = false;
    struct mif_poller *made = mif_poller_new();
    ck_assert_ptr_nonnull(made);
    ck_assert(made->epoll_fd == -1 && made->cancel_fd == -1 && !atomic_load(&made->open));
    ck_assert(made->announce == NULL && atomic_load(&made->inside) == 0);
    open_poller(made);
    int epoll_fd = made->epoll_fd;
    mif_poller_free(made);
    ck_assert_ptr_null(heap.made);
    ck_assert(!is_open(epoll_fd));
    mif_poller_free(NULL);
}

MEMIF_TEST(a_forked_child_has_nothing_to_wait_for)
{
    struct mif_poller *made = mif_poller_new();

    open_poller(made);
    int epoll_fd = made->epoll_fd, cancel_fd = made->cancel_fd;
    mif_fork_began();
    ck_assert_int_eq(mif_poller_poll(made, 0), MIF_ERR_SYSCALL);
    ck_assert_int_eq(mif_poller_cancel(made), MIF_ERR_INVAL_ARG);
    atomic_store(&made->inside, 1); /* as while a thread of the parent polled */
    mif_poller_abandon(made);
    ck_assert(!is_open(epoll_fd) && !is_open(cancel_fd));
    mif_fork_ended();
    ck_assert_int_eq(mif_poller_poll(made, 0), MIF_ERR_INVAL_ARG);
    mif_poller_free(made); /* that thread is not in the child */
    ck_assert_ptr_null(heap.made);
}

MEMIF_TEST_MAIN("poller")
