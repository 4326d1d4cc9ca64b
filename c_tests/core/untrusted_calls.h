/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The threads that take descriptors of peers that are not trusted, and what these threads ask the
 * kernel for: the linker leads it here first. What one of them should not do ends the program, for
 * Check can end a test in its own thread only.
 */

#ifndef MEMIF_C_TESTS_UNTRUSTED_CALLS_H
#define MEMIF_C_TESTS_UNTRUSTED_CALLS_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "held_locks.h"
#include "system_calls.h"

enum { MOST_WORKERS = 8, MOST_THREADS = 64, OUR_OWN_NAP = 20000, RETRY_NAP = 1000000 };

static struct {
    /* How calls fail: with these, and so many of the next ones. 0: they work. */
    _Atomic int range_errno, unshare_errno, open_errno, pair_errno, send_errno, attr_errno;
    _Atomic int sends, receives, looks, threads, waits;
    _Atomic long holds_at; /* where threads are held until it is 0 */
    bool swaps;            /* which end of a pair is which */
    /* What was called, by those threads. */
    _Atomic int looked; /* for a job */
    _Atomic int held, lingers, closes, highest_closed, naps, retries;
    _Atomic int sems, attrs; /* that there are */
    _Atomic int sem_waits;
    void (*at_close)(int fd); /* by the test's own thread */
} kernel;

static _Thread_local bool is_theirs;
static _Atomic int started, ended, workers; /* threads; those that were started by one of them */
static _Atomic int manager_id;
static _Atomic int ids[MOST_THREADS], begun_ids;

int __real_nanosleep(const struct timespec *time, struct timespec *rest);
int __wrap_nanosleep(const struct timespec *time, struct timespec *rest);

static inline void nap_a_little(void)
{
    (void)__real_nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

#define WAIT_UNTIL(condition)                                                                      \
    while (!(condition))                                                                           \
    nap_a_little()

/* One of the next `left` calls. */
static inline bool is_next(_Atomic int *left)
{
    if (!is_theirs && left != &kernel.sends)
        return false;
    int before = atomic_load(left);
    while (before > 0)
        if (atomic_compare_exchange_weak(left, &before, before - 1))
            return true;
    return false;
}

static inline long refused_with(int error)
{
    errno = error;
    return -1;
}

static void hold_at(long number)
{
    if (!is_theirs || atomic_load(&kernel.holds_at) != number)
        return;
    atomic_fetch_add(&kernel.held, 1);
    WAIT_UNTIL(atomic_load(&kernel.holds_at) == 0);
}

static long on_system_call(long number, const long *a)
{
    int error = number == SYS_close_range ? atomic_load(&kernel.range_errno)
                : number == SYS_unshare   ? atomic_load(&kernel.unshare_errno)
                : number == SYS_openat    ? atomic_load(&kernel.open_errno)
                                          : 0;
    if (error != 0)
        return refused_with(error);
    if (number == SYS_sendmsg && !is_theirs && is_next(&kernel.sends))
        return refused_with(kernel.send_errno);
    if (number == SYS_recvmsg && a[2] == MSG_PEEK) {
        bool is_last = is_next(&kernel.looks);
        atomic_fetch_add(&kernel.looked, 1);
        if (is_last)
            return 0;
    } else if (number == SYS_recvmsg && is_next(&kernel.receives)) {
        const int32_t left[] = {-1, 1000}; /* looks like a job, and is none */
        memcpy(((const struct msghdr *)a[1])->msg_iov->iov_base, left, sizeof(left));
        return refused_with(ENOMEM);
    }
    if (number == SYS_read && (int)a[0] < 0)
        memcpy((void *)a[1], "FDSize: 64", sizeof("FDSize: 64")); /* likewise */
    if (number == SYS_setsockopt) {
        const struct linger *linger = (const struct linger *)a[3];
        if (a[1] != SOL_SOCKET || a[2] != SO_LINGER || !linger->l_onoff || linger->l_linger != 0)
            fail_at_once("who closes a socket should not wait for its data");
        atomic_fetch_add(&kernel.lingers, 1);
    }
    hold_at(number);
    if (number == SYS_close && is_theirs) {
        atomic_fetch_add(&kernel.closes, 1);
        if (a[0] > atomic_load(&kernel.highest_closed))
            atomic_store(&kernel.highest_closed, (int)a[0]);
    }
    return pass_on(number, a);
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
    if (time->tv_sec != 0 || (time->tv_nsec != OUR_OWN_NAP && time->tv_nsec != RETRY_NAP))
        fail_at_once("a nap of another length");
    atomic_fetch_add(time->tv_nsec == OUR_OWN_NAP ? &kernel.naps : &kernel.retries, 1);
    return __real_nanosleep(time, rest);
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    if (fd < 0)
        fail_at_once("closes what there is not");
    if (kernel.at_close != NULL)
        kernel.at_close(fd);
    return __real_close(fd);
}

int __real_socketpair(int domain, int type, int protocol, int *ends);
int __wrap_socketpair(int domain, int type, int protocol, int *ends);
int __wrap_socketpair(int domain, int type, int protocol, int *ends)
{
    if (kernel.pair_errno != 0)
        return (int)refused_with(kernel.pair_errno);
    int error = __real_socketpair(domain, type, protocol, ends);
    if (kernel.swaps) {
        int first = ends[0];
        ends[0] = ends[1];
        ends[1] = first;
    }
    return error;
}

/* ---- semaphores ---- */

int __real_sem_init(sem_t *sem, int shared, unsigned value);
int __wrap_sem_init(sem_t *sem, int shared, unsigned value);
int __wrap_sem_init(sem_t *sem, int shared, unsigned value)
{
    atomic_fetch_add(&kernel.sems, 1);
    return __real_sem_init(sem, shared, value);
}

int __real_sem_destroy(sem_t *sem);
int __wrap_sem_destroy(sem_t *sem);
int __wrap_sem_destroy(sem_t *sem)
{
    atomic_fetch_sub(&kernel.sems, 1);
    return __real_sem_destroy(sem);
}

int __real_sem_wait(sem_t *sem);
int __wrap_sem_wait(sem_t *sem);
int __wrap_sem_wait(sem_t *sem)
{
    int before = atomic_load(&kernel.waits);
    if (before > 0) {
        atomic_store(&kernel.waits, before - 1);
        return (int)refused_with(EINTR);
    }
    int error = __real_sem_wait(sem);
    atomic_fetch_add(&kernel.sem_waits, error == 0);
    return error;
}

/* ---- threads ---- */

int __real_pthread_attr_init(pthread_attr_t *attr);
int __wrap_pthread_attr_init(pthread_attr_t *attr);
int __wrap_pthread_attr_init(pthread_attr_t *attr)
{
    if (kernel.attr_errno != 0) {
        errno = kernel.attr_errno;
        return kernel.attr_errno;
    }
    atomic_fetch_add(&kernel.attrs, 1);
    return __real_pthread_attr_init(attr);
}

int __real_pthread_attr_destroy(pthread_attr_t *attr);
int __wrap_pthread_attr_destroy(pthread_attr_t *attr);
int __wrap_pthread_attr_destroy(pthread_attr_t *attr)
{
    atomic_fetch_sub(&kernel.attrs, 1);
    return __real_pthread_attr_destroy(attr);
}

struct begun {
    void *(*run)(void *);
    void *argument;
    bool is_worker;
};

static void *run_as_theirs(void *argument)
{
    struct begun begun = *(struct begun *)argument;
    sigset_t blocked;

    free(argument);
    is_theirs = true;
    int id = (int)__real_syscall(SYS_gettid);
    atomic_store(&ids[atomic_fetch_add(&begun_ids, 1) % MOST_THREADS], id);
    if (pthread_sigmask(SIG_SETMASK, NULL, &blocked) != 0 || !sigismember(&blocked, SIGINT) ||
        !sigismember(&blocked, SIGTERM) || !sigismember(&blocked, SIGUSR1))
        fail_at_once("signals are for the program's threads");
    if (!begun.is_worker)
        atomic_store(&manager_id, id);
    void *result = begun.run(begun.argument);
    atomic_fetch_add(&ended, 1);
    return result;
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *argument)
{
    struct begun *begun = malloc(sizeof(*begun));
    size_t stack;
    int state;

    errno = 0;
    int left = atomic_load(&kernel.threads);
    if (left > 0) {
        atomic_store(&kernel.threads, left - 1);
        free(begun);
        return EAGAIN;
    }
    if (pthread_attr_getdetachstate(attr, &state) != 0 || state != PTHREAD_CREATE_DETACHED ||
        pthread_attr_getstacksize(attr, &stack) != 0 || stack != 256 * 1024)
        fail_at_once("a thread of another kind");
    *begun = (struct begun){.run = run, .argument = argument, .is_worker = is_theirs};
    atomic_fetch_add(&started, 1);
    atomic_fetch_add(&workers, is_theirs);
    return __real_pthread_create(thread, attr, run_as_theirs, begun);
}

/* A thread drops its table somewhat later than it returns. */
static inline void wait_for_their_end(void)
{
    WAIT_UNTIL(atomic_load(&ended) == atomic_load(&started));
    for (int i = 0; i < MOST_THREADS; i++)
        WAIT_UNTIL(ids[i] == 0 || __real_syscall(SYS_tgkill, getpid(), (int)ids[i], 0) != 0);
}

static inline int count_open(const char *table)
{
    int count = 0;
    DIR *folder = opendir(table);

    ck_assert_ptr_nonnull(folder);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

/* Descriptors in the manager's table. */
static inline int size_of_its_table(void)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "/proc/self/task/%d/fd", atomic_load(&manager_id));
    return count_open(name);
}

/* Descriptors in the program's table. */
static inline int size_of_own_table(void)
{
    return count_open("/proc/self/fd");
}

static inline bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

#endif
