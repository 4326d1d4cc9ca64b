/* SPDX-License-Identifier: Apache-2.0 */
#include "core/poller.h"

#include "core/backoff.h"
#include "core/errors.h"
#include "core/fork.h"
#include "core/queue.h"
#include "core/signals.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* All watches of the process, by fd. */
static struct {
    pthread_mutex_t lock;
    struct mif_watch *by_fd;
    int count;
    int used; /* entries that are watches */
    uint64_t last_serial;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

#define CONTEXT_FD_BITS 22 /* the kernel allows no more than 2^20 fds unless told otherwise */

/* This thread's calls of mif_poller_poll, the innermost first: a callback may poll this poller or
 * another, and may close any poller that is being polled here. */
struct turn {
    struct mif_poller *poller;
    struct turn *outer;
};
static _Thread_local struct turn *turns_here;

/* ---- the table ---- */

/* The caller holds the lock. */
static bool make_room(int fd)
{
    if (fd < table.count)
        return true;
    int count = (fd + 64) & ~63;
    struct mif_watch *grown = realloc(table.by_fd, (size_t)count * sizeof(*grown));
    if (grown == NULL)
        return false;
    for (int i = table.count; i < count; i++)
        grown[i] = (struct mif_watch){.kind = MIF_WATCH_NONE};
    table.by_fd = grown;
    table.count = count;
    return true;
}

/* The caller holds the lock. The table is freed with its last watch. */
static void forget(int fd)
{
    table.by_fd[fd].kind = MIF_WATCH_NONE;
    if (--table.used > 0)
        return;
    free(table.by_fd);
    table.by_fd = NULL;
    table.count = 0;
}

static void *context_of(const struct mif_watch *watch, int fd)
{
    return (void *)(uintptr_t)(watch->serial << CONTEXT_FD_BITS | (uint64_t)fd);
}

static int remember(int fd, struct mif_watch watch, void **context)
{
    int err = MIF_ERR_NOMEM;
    pthread_mutex_lock(&table.lock);
    if (make_room(fd)) {
        watch.serial = ++table.last_serial;
        table.used += table.by_fd[fd].kind == MIF_WATCH_NONE;
        table.by_fd[fd] = watch;
        *context = context_of(&watch, fd);
        err = MIF_ERR_SUCCESS;
    }
    pthread_mutex_unlock(&table.lock);
    return err;
}

static struct mif_watch recall(int fd, bool and_forget)
{
    struct mif_watch watch = {.kind = MIF_WATCH_NONE};
    pthread_mutex_lock(&table.lock);
    if (fd >= 0 && fd < table.count) {
        watch = table.by_fd[fd];
        if (and_forget && watch.kind != MIF_WATCH_NONE)
            forget(fd);
    }
    pthread_mutex_unlock(&table.lock);
    return watch;
}

/* Watches that the control plane failed to remove. */
static void forget_poller(const struct mif_poller *poller)
{
    pthread_mutex_lock(&table.lock);
    for (int i = 0; i < table.count; i++)
        if (table.by_fd[i].kind != MIF_WATCH_NONE && table.by_fd[i].poller == poller)
            forget(i);
    pthread_mutex_unlock(&table.lock);
}

/* The table is not freed: another thread of the parent may have been about to move it. */
void mif_watches_init(void)
{
    (void)pthread_mutex_init(&table.lock, NULL);
    table.by_fd = NULL;
    table.count = table.used = 0;
}

/* ---- life ---- */

static int add_to_epoll(struct mif_poller *poller, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(poller->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return mif_call_failed("epoll_ctl");
    return MIF_ERR_SUCCESS;
}

static int remove_from_epoll(struct mif_poller *poller, int fd)
{
    if (epoll_ctl(poller->epoll_fd, EPOLL_CTL_DEL, fd, NULL) != 0)
        return mif_error_from_errno(errno);
    return MIF_ERR_SUCCESS;
}

/* Clears the numbers first: a child that is forked in between must not close other files that get
 * these numbers later. */
static void close_own_fds(struct mif_poller *poller)
{
    const int fds[] = {poller->epoll_fd, poller->cancel_fd};
    poller->epoll_fd = poller->cancel_fd = -1;
    for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
}

static int open_own_fds(struct mif_poller *poller)
{
    int err = MIF_ERR_SUCCESS;
    poller->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (poller->epoll_fd < 0)
        err = mif_call_failed("epoll_create1");
    else if ((poller->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        err = mif_call_failed("eventfd2");
    else
        err = add_to_epoll(poller, poller->cancel_fd);
    if (err != MIF_ERR_SUCCESS)
        close_own_fds(poller);
    return err;
}

int mif_poller_open(struct mif_poller *poller, mif_announce_fn *announce, mif_control_fn *control)
{
    poller->announce = announce;
    poller->control = control;
    int err = announce == NULL ? open_own_fds(poller) : MIF_ERR_SUCCESS;
    if (err == MIF_ERR_SUCCESS)
        atomic_store(&poller->open, true);
    return err;
}

void mif_poller_close(struct mif_poller *poller)
{
    if (!atomic_exchange(&poller->open, false))
        return;
    uint32_t own = 0;
    for (const struct turn *turn = turns_here; turn != NULL; turn = turn->outer)
        own += turn->poller == poller;
    for (unsigned turn = 0; atomic_load(&poller->inside) > own; turn++) {
        (void)mif_efd_signal(poller->cancel_fd);
        mif_backoff(turn);
    }
    close_own_fds(poller);
    forget_poller(poller);
}

void mif_poller_abandon(struct mif_poller *poller)
{
    atomic_store(&poller->open, false);
    close_own_fds(poller);
}

struct mif_poller *mif_poller_new(void)
{
    struct mif_poller *poller = malloc(sizeof(*poller));
    if (poller != NULL)
        *poller = (struct mif_poller)MIF_POLLER_INIT;
    return poller;
}

void mif_poller_free(struct mif_poller *poller)
{
    if (poller == NULL)
        return;
    mif_poller_close(poller);
    free(poller);
}

/* ---- watches ---- */

bool mif_poller_announces(const struct mif_poller *poller)
{
    return poller->announce != NULL;
}

int mif_poller_watch(struct mif_poller *poller, int fd, enum mif_watch_kind kind, void *handle,
                     uint16_t qid)
{
    if (fd < 0 || fd >= 1 << CONTEXT_FD_BITS)
        return MIF_ERR_BAD_FD;
    struct mif_watch watch = {
        .kind = kind, .handle = handle, .qid = qid, .poller = poller, .control = poller->control};
    void *context;
    int err = remember(fd, watch, &context);
    if (err != MIF_ERR_SUCCESS)
        return err;
    if (poller->announce == NULL)
        err = add_to_epoll(poller, fd);
    else if (poller->announce(poller, fd, MIF_EVENT_READ, context) != 0)
        err = MIF_ERR_CB_FDUPDATE;
    if (err != MIF_ERR_SUCCESS)
        (void)recall(fd, true);
    return err;
}

/* The context stays valid until the program has been told of the end. */
int mif_poller_unwatch(struct mif_poller *poller, int fd)
{
    int err = MIF_ERR_SUCCESS;
    struct mif_watch watch = recall(fd, false);
    if (watch.kind == MIF_WATCH_NONE)
        return err;
    if (poller->announce == NULL)
        err = remove_from_epoll(poller, fd);
    else if (poller->announce(poller, fd, MIF_EVENT_DEL, context_of(&watch, fd)) != 0)
        err = MIF_ERR_CB_FDUPDATE;
    (void)recall(fd, true);
    return err;
}

/* ---- events ---- */

static int serve(const struct mif_watch *watch, int fd, uint32_t events)
{
    if (watch->kind == MIF_WATCH_INTERRUPT)
        return mif_queue_interrupt(watch->handle, watch->qid);
    /* Does not touch the poller, which another thread may have freed by now. */
    return watch->control((uintptr_t)watch->poller, fd, events);
}

int mif_poller_dispatch(int fd, uint32_t events)
{
    if (mif_in_forked_child())
        return MIF_ERR_SYSCALL; /* the events are the parent's */
    struct mif_watch watch = recall(fd, false);
    return watch.kind == MIF_WATCH_NONE ? MIF_ERR_BAD_FD : serve(&watch, fd, events);
}

int mif_poller_dispatch_context(const void *context, uint32_t events)
{
    if (mif_in_forked_child())
        return MIF_ERR_SYSCALL;
    int fd = (int)((uintptr_t)context & ((1u << CONTEXT_FD_BITS) - 1));
    struct mif_watch watch = recall(fd, false);
    if (watch.kind == MIF_WATCH_NONE || context_of(&watch, fd) != context)
        return MIF_ERR_INVAL_ARG;
    return serve(&watch, fd, events);
}

static uint32_t from_epoll(uint32_t events)
{
    uint32_t bits = 0;
    if (events & EPOLLIN)
        bits |= MIF_EVENT_READ;
    if (events & EPOLLOUT)
        bits |= MIF_EVENT_WRITE;
    if (events & (EPOLLERR | EPOLLHUP))
        bits |= MIF_EVENT_ERROR;
    return bits;
}

/* Takes one event at a time: serving it may close or reuse any other fd. */
static int poll_once(struct mif_poller *poller, int timeout)
{
    struct epoll_event event;
    int ready = epoll_wait(poller->epoll_fd, &event, 1, timeout);
    if (ready < 0)
        return errno == EINTR ? -1 : mif_call_failed("epoll_wait");
    if (ready == 0)
        return MIF_ERR_SUCCESS;
    if (event.data.fd == poller->cancel_fd) {
        mif_efd_drain(poller->cancel_fd);
        return MIF_ERR_POLL_CANCEL;
    }
    int err = mif_poller_dispatch(event.data.fd, from_epoll(event.events));
    /* Another thread may have taken the fd away since the wait: nothing to serve. */
    return err == MIF_ERR_BAD_FD ? MIF_ERR_SUCCESS : err;
}

static void end_turn(struct turn *turn)
{
    turns_here = turn->outer;
    atomic_fetch_sub(&turn->poller->inside, 1);
}

int mif_poller_poll(struct mif_poller *poller, int timeout)
{
    if (mif_in_forked_child())
        return MIF_ERR_SYSCALL;
    /* The turn ends also when on_interrupt throws a C++ exception through here. */
    __attribute__((cleanup(end_turn))) struct turn turn = {.poller = poller, .outer = turns_here};
    turns_here = &turn;
    atomic_fetch_add(&poller->inside, 1);
    if (!atomic_load(&poller->open) || poller->epoll_fd < 0)
        return MIF_ERR_INVAL_ARG;
    return poll_once(poller, timeout);
}

int mif_poller_cancel(struct mif_poller *poller)
{
    if (mif_in_forked_child() || !atomic_load(&poller->open) || poller->cancel_fd < 0)
        return MIF_ERR_INVAL_ARG;
    return mif_efd_signal(poller->cancel_fd) ? MIF_ERR_SUCCESS : mif_call_failed("write");
}

/* ---- timer ---- */

int mif_timer_arm(int fd, int64_t microseconds)
{
    struct itimerspec when = {0};
    if (microseconds > 0) {
        when.it_value.tv_sec = microseconds / 1000000;
        when.it_value.tv_nsec = microseconds % 1000000 * 1000;
    } else if (microseconds == 0) {
        when.it_value.tv_nsec = 1; /* zero would disarm */
    }
    if (timerfd_settime(fd, 0, &when, NULL) != 0)
        return mif_call_failed("timerfd_settime");
    return MIF_ERR_SUCCESS;
}

/* Disarms it, so that a timer that cannot be set fails here and not later. */
int mif_timer_open(int *fd)
{
    *fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (*fd < 0)
        return mif_call_failed("timerfd_create");
    int err = mif_timer_arm(*fd, -1);
    if (err != MIF_ERR_SUCCESS)
        (void)close(*fd);
    return err;
}

void mif_timer_read(int fd)
{
    uint64_t expiries;
    (void)!read(fd, &expiries, sizeof(expiries));
}
