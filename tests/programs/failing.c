/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: one call out of many fails. failing_arm(n, kind) has the n-th call from now on,
 * counted from 0, fail with one of the errors that its manual page has: the one number `kind`, or,
 * as there are not so many, `kind` modulo their number. The others go through. Memory counts when
 * the library itself asks for it; all else counts whoever calls, since most of that is done by the
 * interpreter on the library's behalf. A close that fails has closed, as on Linux. After
 * failing_only(name) no other calls count, for programs whose threads make them in no fixed order.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timerfd.h>
#include <unistd.h>

void failing_arm(int number, int kind);
void failing_only(const char *name);
const char *failing_disarm(void);
int failing_error(void);
int failing_kinds(void);
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *pointer, size_t size);

static _Atomic int left = -1;
static int wanted;
static const char *only;
static _Atomic(const char *) failed;
static int failed_error, failed_kinds;

void failing_arm(int number, int kind)
{
    failed = NULL;
    wanted = kind;
    left = number;
}

void failing_only(const char *name)
{
    only = name;
}

/* The call that failed, or NULL: there were not so many. */
const char *failing_disarm(void)
{
    left = -1;
    return failed;
}

/* What it failed with. */
int failing_error(void)
{
    return failed_error;
}

/* How many errors that call can fail with. */
int failing_kinds(void)
{
    return failed_kinds;
}

static bool fails(const char *name, const int *errors, int count)
{
    if (left < 0 || (only != NULL && strcmp(only, name) != 0))
        return false;
    if (atomic_fetch_sub(&left, 1) != 0)
        return false;
    failed_kinds = count;
    failed_error = errors[wanted % count];
    failed = name;
    errno = failed_error;
    return true;
}

#define FAILS(name, ...)                                                                           \
    fails(name, (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

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

static void *real_of(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

/* ---- memory ---- */

#define CALLED_BY_LIBRARY is_library(__builtin_return_address(0))

void *malloc(size_t size)
{
    return CALLED_BY_LIBRARY && FAILS("malloc", ENOMEM) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return CALLED_BY_LIBRARY && FAILS("calloc", ENOMEM) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *pointer, size_t size)
{
    return CALLED_BY_LIBRARY && FAILS("realloc", ENOMEM) ? NULL : __libc_realloc(pointer, size);
}

/* What mmap is in a build with large files. */
void *mmap64(void *where, size_t size, int protection, int flags, int fd, off64_t offset)
{
    static void *(*real)(void *, size_t, int, int, int, off64_t);

    if (CALLED_BY_LIBRARY && FAILS("mmap", ENOMEM, EACCES, EAGAIN, EBADF, EEXIST, EINVAL, ENFILE,
                                   ENODEV, EOVERFLOW, EPERM, ETXTBSY))
        return MAP_FAILED;
    if (real == NULL)
        *(void **)&real = real_of("mmap64");
    return real(where, size, protection, flags, fd, offset);
}

int mprotect(void *where, size_t size, int protection)
{
    static int (*real)(void *, size_t, int);

    if (CALLED_BY_LIBRARY && FAILS("mprotect", ENOMEM, EACCES, EINVAL))
        return -1;
    if (real == NULL)
        *(void **)&real = real_of("mprotect");
    return real(where, size, protection);
}

int munmap(void *where, size_t size)
{
    static int (*real)(void *, size_t);

    if (CALLED_BY_LIBRARY && FAILS("munmap", ENOMEM, EINVAL))
        return -1;
    if (real == NULL)
        *(void **)&real = real_of("munmap");
    return real(where, size);
}

/* ---- all else ---- */

/* Defines a function that fails in its turn, and otherwise is what it was. */
#define FAILING(type, name, parameters, arguments, ...)                                            \
    type name parameters                                                                           \
    {                                                                                              \
        static type(*real) parameters;                                                             \
        if (FAILS(#name, __VA_ARGS__))                                                             \
            return -1;                                                                             \
        if (real == NULL)                                                                          \
            *(void **)&real = real_of(#name);                                                      \
        return real arguments;                                                                     \
    }

/* The same for one with an argument more that may not be there. */
#define FAILING_VARIADIC(type, name, first, parameters, arguments, ...)                            \
    type name parameters                                                                           \
    {                                                                                              \
        static type(*real) parameters;                                                             \
        va_list rest;                                                                              \
        if (FAILS(#name, __VA_ARGS__))                                                             \
            return -1;                                                                             \
        if (real == NULL)                                                                          \
            *(void **)&real = real_of(#name);                                                      \
        va_start(rest, first);                                                                     \
        long last = va_arg(rest, long);                                                            \
        va_end(rest);                                                                              \
        return real arguments;                                                                     \
    }

FAILING(int, memfd_create, (const char *name, unsigned int flags), (name, flags), EMFILE, EFAULT,
        EINVAL, ENFILE, ENOMEM, EPERM)
FAILING(int, ftruncate64, (int fd, off64_t size), (fd, size), EPERM, EBADF, EFBIG, EINTR, EINVAL,
        EIO, ETXTBSY)
FAILING_VARIADIC(int, fcntl64, action, (int fd, int action, ...), (fd, action, last), EPERM, EACCES,
                 EAGAIN, EBADF, EBUSY, EDEADLK, EFAULT, EINTR, EINVAL, EMFILE, ENOLCK, ENOTDIR)
FAILING_VARIADIC(int, ioctl, request, (int fd, unsigned long request, ...), (fd, request, last),
                 ENOTTY, EBADF, EFAULT, EINVAL)
FAILING(int, fstatvfs64, (int fd, struct statvfs64 *answer), (fd, answer), EIO, EACCES, EBADF,
        EFAULT, EINTR, ENOMEM, ENOSYS, EOVERFLOW)
FAILING(int, eventfd, (unsigned int value, int flags), (value, flags), EMFILE, EINVAL, ENFILE,
        ENODEV, ENOMEM)
FAILING(int, eventfd_write, (int fd, eventfd_t value), (fd, value), EAGAIN, EBADF, EINTR, EINVAL)
FAILING(int, eventfd_read, (int fd, eventfd_t *value), (fd, value), EAGAIN, EBADF, EINTR, EINVAL)
FAILING(int, epoll_create1, (int flags), (flags), EMFILE, EINVAL, ENFILE, ENOMEM)
FAILING(int, epoll_ctl, (int set, int action, int fd, struct epoll_event *event),
        (set, action, fd, event), ENOSPC, EBADF, EEXIST, EINVAL, ELOOP, ENOENT, ENOMEM, EPERM)
FAILING(int, epoll_wait, (int set, struct epoll_event *events, int most, int timeout),
        (set, events, most, timeout), EINTR, EBADF, EFAULT, EINVAL)
FAILING(int, timerfd_create, (clockid_t clock, int flags), (clock, flags), EMFILE, EINVAL, ENFILE,
        ENODEV, ENOMEM, EPERM)
FAILING(int, timerfd_settime,
        (int fd, int flags, const struct itimerspec *value, struct itimerspec *before),
        (fd, flags, value, before), EPERM, EBADF, ECANCELED, EFAULT, EINVAL)
FAILING(ssize_t, read, (int fd, void *data, size_t size), (fd, data, size), EIO, EAGAIN, EBADF,
        EFAULT, EINTR, EINVAL, EISDIR)
FAILING(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), EIO, EAGAIN,
        EBADF, EDESTADDRREQ, EDQUOT, EFAULT, EFBIG, EINTR, EINVAL, ENOSPC, EPERM)

FAILING(int, socket, (int domain, int type, int protocol), (domain, type, protocol), EMFILE, EACCES,
        EAFNOSUPPORT, EINVAL, ENFILE, ENOBUFS, ENOMEM, EPROTONOSUPPORT)
FAILING(int, bind, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size),
        EACCES, EADDRINUSE, EADDRNOTAVAIL, EBADF, EFAULT, EINVAL, ELOOP, ENAMETOOLONG, ENOENT,
        ENOMEM, ENOTDIR, ENOTSOCK, EROFS)
FAILING(int, listen, (int fd, int most), (fd, most), ENOBUFS, EADDRINUSE, EBADF, ENOTSOCK,
        EOPNOTSUPP)
FAILING(int, connect, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size),
        EAGAIN, EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EALREADY, EBADF, ECONNREFUSED,
        EFAULT, EINPROGRESS, EINTR, EISCONN, ENETUNREACH, ENOTSOCK, EPERM, EPROTOTYPE, ETIMEDOUT)
FAILING(int, accept4, (int fd, struct sockaddr *address, socklen_t *size, int flags),
        (fd, address, size, flags), EMFILE, EAGAIN, EBADF, ECONNABORTED, EFAULT, EINTR, EINVAL,
        ENFILE, ENOBUFS, ENOMEM, ENOTSOCK, EOPNOTSUPP, EPERM, EPROTO)
FAILING(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags),
        ENOBUFS, EACCES, EAGAIN, EALREADY, EBADF, ECONNRESET, EDESTADDRREQ, EFAULT, EINTR, EINVAL,
        EISCONN, EMSGSIZE, ENOMEM, ENOTCONN, ENOTSOCK, EOPNOTSUPP, EPIPE, ETOOMANYREFS)
FAILING(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags),
        ECONNRESET, EAGAIN, EBADF, ECONNREFUSED, EFAULT, EINTR, EINVAL, ENOMEM, ENOTCONN, ENOTSOCK)
FAILING(int, shutdown, (int fd, int how), (fd, how), ENOTCONN, EBADF, EINVAL, ENOTSOCK)
FAILING(int, getsockname, (int fd, struct sockaddr *address, socklen_t *size), (fd, address, size),
        ENOBUFS, EBADF, EFAULT, EINVAL, ENOTSOCK)
FAILING(int, getsockopt, (int fd, int level, int option, void *value, socklen_t *size),
        (fd, level, option, value, size), ENOPROTOOPT, EBADF, EFAULT, EINVAL, ENOTSOCK)
FAILING(int, setsockopt, (int fd, int level, int option, const void *value, socklen_t size),
        (fd, level, option, value, size), ENOPROTOOPT, EBADF, EDOM, EFAULT, EINVAL, ENOMEM,
        ENOTSOCK)

#define OF_OPEN                                                                                    \
    EACCES, EBUSY, EDQUOT, EEXIST, EFAULT, EFBIG, EINTR, EINVAL, EISDIR, ELOOP, EMFILE,            \
        ENAMETOOLONG, ENFILE, ENODEV, ENOENT, ENOMEM, ENOSPC, ENOTDIR, ENXIO, EOPNOTSUPP,          \
        EOVERFLOW, EPERM, EROFS, ETXTBSY, EWOULDBLOCK
#define OF_STAT EACCES, EBADF, EFAULT, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, EOVERFLOW
#define OF_UNLINK                                                                                  \
    EACCES, EBUSY, EFAULT, EIO, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, EPERM, EROFS
FAILING_VARIADIC(int, open64, flags, (const char *path, int flags, ...), (path, flags, last),
                 OF_OPEN)
FAILING_VARIADIC(int, openat64, flags, (int folder, const char *path, int flags, ...),
                 (folder, path, flags, last), OF_OPEN)
FAILING(int, stat64, (const char *path, struct stat64 *answer), (path, answer), OF_STAT)
FAILING(int, lstat64, (const char *path, struct stat64 *answer), (path, answer), OF_STAT)
FAILING(int, fstat64, (int fd, struct stat64 *answer), (fd, answer), OF_STAT)
FAILING(int, fstatat64, (int folder, const char *path, struct stat64 *answer, int flags),
        (folder, path, answer, flags), OF_STAT)
FAILING(int, unlink, (const char *path), (path), OF_UNLINK)
FAILING(int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags), OF_UNLINK)
FAILING(int, renameat, (int folder, const char *path, int folder2, const char *path2),
        (folder, path, folder2, path2), EACCES, EBUSY, EDQUOT, EEXIST, EFAULT, EINVAL, EISDIR,
        ELOOP, EMLINK, ENAMETOOLONG, ENOENT, ENOMEM, ENOSPC, ENOTDIR, EPERM, EROFS, EXDEV)
FAILING(int, flock, (int fd, int action), (fd, action), ENOLCK, EBADF, EINTR, EINVAL, EWOULDBLOCK)
FAILING(ssize_t, readlink, (const char *path, char *answer, size_t size), (path, answer, size),
        EACCES, EFAULT, EINVAL, EIO, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR)

int close(int fd)
{
    static int (*real)(int);

    if (real == NULL)
        *(void **)&real = real_of("close");
    int answer = real(fd);
    return FAILS("close", EIO, EBADF, EDQUOT, EINTR, ENOSPC) ? -1 : answer;
}

/* What libc has no function for: membarrier above all. */
long syscall(long number, ...)
{
    static long (*real)(long, ...);
    long a[6];
    va_list rest;

    if (CALLED_BY_LIBRARY && FAILS("syscall", ENOSYS, EPERM, EINVAL))
        return -1;
    if (real == NULL)
        *(void **)&real = real_of("syscall");
    va_start(rest, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(rest, long);
    va_end(rest);
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
