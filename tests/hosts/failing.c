/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: one call out of many fails. failing_arm(n) has the n-th call from now on, counted
 * from 0, fail with the errno that fits it; the others go through. Allocations and mappings count
 * when the library itself makes them; whatever makes descriptors or moves messages counts whoever
 * calls, since most of that is done by the interpreter on the library's behalf.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

void failing_arm(int number);
const char *failing_disarm(void);
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *pointer, size_t size);

static _Atomic int left = -1;
static _Atomic(const char *) failed;

void failing_arm(int number)
{
    failed = NULL;
    left = number;
}

/* The call that failed, or NULL: there were not so many. */
const char *failing_disarm(void)
{
    left = -1;
    return failed;
}

static bool fails(const char *name, int error)
{
    if (left < 0 || atomic_fetch_sub(&left, 1) != 0)
        return false;
    failed = name;
    errno = error;
    return true;
}

static bool is_library(const void *caller)
{
    Dl_info info;

    if (left < 0 || dladdr(caller, &info) == 0)
        return false;
    /* Not the folders: a checkout is called so, too, and its interpreter lies in there. */
    const char *name = strrchr(info.dli_fname, '/');
    name = name == NULL ? info.dli_fname : name + 1;
    return strncmp(name, "libmemif", strlen("libmemif")) == 0 ||
           strncmp(name, "_native.", strlen("_native.")) == 0;
}

/* ---- memory ---- */

#define CALLED_BY_LIBRARY is_library(__builtin_return_address(0))

void *malloc(size_t size)
{
    return CALLED_BY_LIBRARY && fails("malloc", ENOMEM) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return CALLED_BY_LIBRARY && fails("calloc", ENOMEM) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *pointer, size_t size)
{
    return CALLED_BY_LIBRARY && fails("realloc", ENOMEM) ? NULL : __libc_realloc(pointer, size);
}

/* What mmap is in a build with large files. */
void *mmap64(void *where, size_t size, int protection, int flags, int fd, off64_t offset)
{
    static void *(*real)(void *, size_t, int, int, int, off64_t);

    if (CALLED_BY_LIBRARY && fails("mmap", ENOMEM))
        return MAP_FAILED;
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "mmap64");
    return real(where, size, protection, flags, fd, offset);
}

int mprotect(void *where, size_t size, int protection)
{
    static int (*real)(void *, size_t, int);

    if (CALLED_BY_LIBRARY && fails("mprotect", ENOMEM))
        return -1;
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "mprotect");
    return real(where, size, protection);
}

/* ---- descriptors and messages ---- */

/* Defines a function that fails in its turn, and otherwise is what it was. */
#define FAILING(type, name, error, parameters, arguments)                                          \
    type name parameters                                                                           \
    {                                                                                              \
        static type(*real) parameters;                                                             \
        if (fails(#name, error))                                                                   \
            return -1;                                                                             \
        if (real == NULL)                                                                          \
            *(void **)&real = dlsym(RTLD_NEXT, #name);                                             \
        return real arguments;                                                                     \
    }

FAILING(int, memfd_create, EMFILE, (const char *name, unsigned int flags), (name, flags))
FAILING(int, ftruncate64, ENOSPC, (int fd, off64_t size), (fd, size))
FAILING(int, eventfd, EMFILE, (unsigned int value, int flags), (value, flags))
FAILING(int, epoll_create1, EMFILE, (int flags), (flags))
FAILING(int, timerfd_create, EMFILE, (clockid_t clock, int flags), (clock, flags))
FAILING(int, socket, EMFILE, (int domain, int type, int protocol), (domain, type, protocol))
FAILING(int, bind, EACCES, (int fd, const struct sockaddr *address, socklen_t size),
        (fd, address, size))
FAILING(int, listen, ENOBUFS, (int fd, int most), (fd, most))
FAILING(int, connect, EAGAIN, (int fd, const struct sockaddr *address, socklen_t size),
        (fd, address, size))
FAILING(int, accept4, EMFILE, (int fd, struct sockaddr *address, socklen_t *size, int flags),
        (fd, address, size, flags))
FAILING(ssize_t, sendmsg, ENOBUFS, (int fd, const struct msghdr *message, int flags),
        (fd, message, flags))
FAILING(ssize_t, recvmsg, ECONNRESET, (int fd, struct msghdr *message, int flags),
        (fd, message, flags))

/* A watch can be refused, the end of one cannot. */
int epoll_ctl(int set, int action, int fd, struct epoll_event *event)
{
    static int (*real)(int, int, int, struct epoll_event *);

    if (action == EPOLL_CTL_ADD && fails("epoll_ctl", ENOSPC))
        return -1;
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "epoll_ctl");
    return real(set, action, fd, event);
}
