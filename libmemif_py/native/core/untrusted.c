/* SPDX-License-Identifier: Apache-2.0 */
#include "core/untrusted.h"

#include "core/errors.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#define UNSHARE_TABLE 2u /* CLOSE_RANGE_UNSHARE */
#ifndef F_GET_SEALS
#define F_GET_SEALS 1034
#endif

enum {
    MOST_FDS = 253,   /* what the kernel lets travel with one message */
    MOST_WORKERS = 8, /* that receive; a worker hangs for ever when its close does */
    STACK_SIZE = 256 * 1024,
};

struct job {
    int32_t kind;    /* enum mif_fd_kind, or CLOSE */
    uint32_t number; /* of a CLOSE */
};
enum { CLOSE = -1 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int jobs = -1;           /* our end of the pair; under the lock, as all of this */
static uint32_t peers;          /* untrusted ones */
static uint32_t last_close;     /* number of the last CLOSE job */
static _Atomic uint32_t let_go; /* number of the last CLOSE whose socket is closed in our table */
static _Atomic uint32_t receiving, closing; /* threads that are doing so */

/* These threads make raw system calls: tools that track descriptors by number (valgrind,
 * sanitizers) would take numbers of another table for the program's. */

/* ---- messages with descriptors ---- */

union control {
    struct cmsghdr header;
    char room[CMSG_SPACE(MOST_FDS * sizeof(int))];
};

static long send_with(int sock, const void *data, size_t size, const int *fds, uint32_t count)
{
    union control control = {0};
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
    return syscall(SYS_sendmsg, sock, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static long receive_with(int sock, void *data, size_t size, int *fds, uint32_t *count)
{
    union control control = {0};
    struct iovec io = {.iov_base = data, .iov_len = size};
    struct msghdr message = {.msg_iov = &io,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof(control.room)};
    long length = syscall(SYS_recvmsg, sock, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    *count = 0;
    const struct cmsghdr *header = length < 0 ? NULL : CMSG_FIRSTHDR(&message);
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        *count = (uint32_t)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(header), *count * sizeof(int));
    }
    return length;
}

/* ---- a thread for one job, with a table of its own ---- */

static bool is_eventfd(int fd)
{
    char name[64], what[32] = "";
    struct stat kind;
    (void)snprintf(name, sizeof(name), "/proc/thread-self/fd/%d", fd);
    if (readlink(name, what, sizeof(what) - 1) > 0)
        return strcmp(what, "anon_inode:[eventfd]") == 0;
    /* No /proc, or denied: at least it is no pipe, socket, device or file of a file system. */
    return fstat(fd, &kind) == 0 && (kind.st_mode & S_IFMT) == 0;
}

/* Asks only the kernel itself: a file system may never answer. */
static bool is_good(int fd, int32_t kind)
{
    if (kind == MIF_FD_MEMORY)
        return fcntl(fd, F_GET_SEALS) >= 0;
    return kind == MIF_FD_ANY || is_eventfd(fd);
}

static void close_what_came(const int *fds, uint32_t count)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    for (uint32_t i = 0; i < count; i++)
        (void)syscall(SYS_setsockopt, fds[i], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    for (uint32_t i = 0; i < count; i++)
        (void)syscall(SYS_close, fds[i]);
}

/* Gives this thread a table of its own: a copy, without the descriptors from `first` on where the
 * kernel can do that. */
static bool leave_table(unsigned first)
{
    return syscall(SYS_close_range, first, ~0u, UNSHARE_TABLE) == 0 ||
           syscall(SYS_unshare, CLONE_FILES) == 0;
}

/* An upper limit of this thread's descriptor numbers. */
static unsigned table_size(void)
{
    char text[1024];
    unsigned size = 1u << 16;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/thread-self/status", O_RDONLY | O_CLOEXEC);
    long length = syscall(SYS_read, fd, text, sizeof(text) - 1);
    text[length > 0 ? length : 0] = '\0';
    const char *line = strstr(text, "FDSize:");
    if (line != NULL)
        (void)sscanf(line, "FDSize: %u", &size);
    (void)syscall(SYS_close, fd);
    return size;
}

static void close_all_but(unsigned kept)
{
    if (syscall(SYS_close_range, kept + 1, ~0u, 0u) == 0) {
        if (kept > 0)
            (void)syscall(SYS_close_range, 0u, kept - 1, 0u);
        return;
    }
    unsigned end = table_size();
    for (unsigned fd = 0; fd < end; fd++)
        if (fd != kept)
            (void)syscall(SYS_close, fd);
}

static void receive_for(int sock, int reply_to, int32_t kind)
{
    struct mif_untrusted_reply reply = {0};
    int fds[MOST_FDS];
    long length = receive_with(sock, reply.data, sizeof(reply.data), fds, &reply.fds);
    if (length < 0)
        reply.error = errno;
    else
        reply.length = (uint32_t)length;
    bool good = reply.fds == 1 && is_good(fds[0], kind);
    (void)send_with(reply_to, &reply, sizeof(reply), fds, good ? 1 : 0);
    /* The other side must see the end even if closing the rest hangs. */
    (void)syscall(SYS_close, reply_to);
    close_what_came(fds, reply.fds);
}

/* The last thread that closes the socket is the one that waits: that must be this thread. */
static void wait_to_be_last(uint32_t number)
{
    while ((int32_t)(atomic_load(&let_go) - number) < 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}

struct worker {
    int jobs;
    sem_t has_job;
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct job job;
    int source = worker->jobs, fds[MOST_FDS];
    uint32_t count = 0;
    bool is_apart = leave_table(~0u);
    long length = receive_with(source, &job, sizeof(job), fds, &count);
    sem_post(&worker->has_job); /* from here on the worker struct may be gone */
    bool is_whole = length == (long)sizeof(job);
    if (is_whole && job.kind == CLOSE) {
        wait_to_be_last(job.number);
    } else if (is_whole) {
        if (is_apart && count == 2)
            receive_for(fds[0], fds[1], job.kind);
        atomic_fetch_sub(&receiving, 1);
    }
    if (!is_apart)
        close_what_came(fds, count);
    return NULL; /* the exit drops the table, and with it the socket */
}

/* ---- the thread that stays ---- */

static bool start_thread(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all, before;
    if (pthread_attr_init(&attr) != 0)
        return false;
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attr, STACK_SIZE);
    (void)sigfillset(&all); /* signals are for the program's threads */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, &attr, run, argument);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    errno = error;
    return error == 0;
}

/* True when there is a job, false when there will be no more. */
static bool wait_for_job(int source)
{
    char byte;
    struct iovec io = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
    return syscall(SYS_recvmsg, source, &message, MSG_PEEK) > 0;
}

struct manager {
    int jobs;
    sem_t is_apart;
    int error; /* errno of the attempt to get a table of its own */
};

static void *manage(void *argument)
{
    struct manager *manager = argument;
    int source = manager->jobs;
    bool good = leave_table((unsigned)source + 1);
    manager->error = good ? 0 : errno;
    sem_post(&manager->is_apart); /* from here on the manager struct may be gone */
    if (!good)
        return NULL;
    close_all_but((unsigned)source); /* the copies of the program's descriptors */
    while (wait_for_job(source)) {
        struct worker worker = {.jobs = source};
        (void)sem_init(&worker.has_job, 0, 0);
        while (!start_thread(work, &worker)) /* the job waits; its sender has a deadline */
            (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        while (sem_wait(&worker.has_job) != 0)
            ;
        (void)sem_destroy(&worker.has_job);
    }
    (void)syscall(SYS_close, source);
    return NULL;
}

/* Under the lock. */
static int start_manager(void)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return mif_call_failed("socketpair");
    struct manager manager = {.jobs = ends[1]};
    (void)sem_init(&manager.is_apart, 0, 0);
    bool started = start_thread(manage, &manager);
    int err = started ? MIF_ERR_SUCCESS : mif_call_failed("clone");
    while (started && sem_wait(&manager.is_apart) != 0)
        ;
    (void)sem_destroy(&manager.is_apart);
    (void)close(ends[1]); /* the manager has a copy in its own table */
    if (started && manager.error == 0) {
        jobs = ends[0];
        return MIF_ERR_SUCCESS;
    }
    (void)close(ends[0]);
    if (started) {
        errno = manager.error;
        err = mif_call_failed("close_range and unshare");
    }
    return err;
}

/* Under the lock. Jobs that were sent are still done. */
static void stop_manager(void)
{
    int ours = jobs;
    jobs = -1; /* first: a child that is forked in between must not close a reused number */
    if (ours >= 0)
        (void)close(ours);
}

/* ---- jobs ---- */

/* Under the lock. */
static int submit(struct job job, const int *fds, uint32_t count)
{
    int err = MIF_ERR_SUCCESS;
    for (int tries = 0; tries < 2; tries++) {
        if (jobs < 0)
            err = start_manager();
        if (jobs < 0 || send_with(jobs, &job, sizeof(job), fds, count) >= 0)
            break;
        err = mif_call_failed("sendmsg");
        if (errno != EPIPE && errno != ECONNRESET)
            break;
        stop_manager(); /* it ended by itself: start another */
    }
    return err;
}

static bool hand_over(int sock)
{
    pthread_mutex_lock(&lock);
    struct job job = {.kind = CLOSE, .number = last_close + 1};
    bool done = submit(job, &sock, 1) == MIF_ERR_SUCCESS;
    if (done) {
        last_close = job.number;
        (void)close(sock);
        atomic_store(&let_go, job.number);
    }
    if (peers == 0)
        stop_manager(); /* the socket of a peer whose trust was never found out */
    pthread_mutex_unlock(&lock);
    return done;
}

static void *close_plainly(void *argument)
{
    (void)syscall(SYS_close, (int)(intptr_t)argument);
    atomic_fetch_sub(&closing, 1);
    return NULL;
}

void mif_untrusted_close(int sock)
{
    if (hand_over(sock))
        return;
    /* Without a table of its own, at least another thread. */
    if (atomic_fetch_add(&closing, 1) < MOST_WORKERS &&
        start_thread(close_plainly, (void *)(intptr_t)sock))
        return;
    atomic_fetch_sub(&closing, 1);
    (void)close(sock);
}

int mif_untrusted_receive(int sock, int reply, int kind)
{
    const int fds[] = {sock, reply};
    if (atomic_fetch_add(&receiving, 1) >= MOST_WORKERS) {
        atomic_fetch_sub(&receiving, 1);
        return MIF_ERR_AGAIN;
    }
    pthread_mutex_lock(&lock);
    int err = submit((struct job){.kind = kind}, fds, 2);
    pthread_mutex_unlock(&lock);
    if (err != MIF_ERR_SUCCESS)
        atomic_fetch_sub(&receiving, 1);
    return err;
}

void mif_untrusted_begin(void)
{
    pthread_mutex_lock(&lock);
    peers++;
    pthread_mutex_unlock(&lock);
}

void mif_untrusted_end(void)
{
    pthread_mutex_lock(&lock);
    if (--peers == 0)
        stop_manager();
    pthread_mutex_unlock(&lock);
}

void mif_untrusted_forked(void)
{
    static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
    lock = fresh; /* a thread that is not in the child may have held it */
    stop_manager();
    peers = 0;
    atomic_store(&receiving, 0);
    atomic_store(&closing, 0);
}
