/* SPDX-License-Identifier: Apache-2.0 */

/* The watches of all pollers: which descriptor leads where, and for how long. */

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "held_locks.h"

#include "core/errors.h"
#include "core/fork.h"
#include "core/poller.h"

enum { MOST_FDS = 1 << 22, STEP = 64, GUARD = 2 * sizeof(struct mif_watch), GARBAGE = 0xA5 };

/* ---- the memory of the table ---- */

static struct {
    uint8_t *base;
    size_t bytes;
    bool refuses;
} table;

static void look_at_guard(void)
{
    for (size_t i = 0; table.base != NULL && i < GUARD; i++)
        if (table.base[table.bytes + i] != GARBAGE)
            ck_abort_msg("there is something behind the table");
}

void *__real_realloc(void *old, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void __real_free(void *pointer);
void __wrap_free(void *pointer);

/* What is new has been used before, and so has what lies behind it. */
void *__wrap_realloc(void *old, size_t bytes)
{
    if (bytes == 0 || bytes % (STEP * sizeof(struct mif_watch)) != 0)
        return __real_realloc(old, bytes); /* another's */
    if (old != table.base)
        ck_abort_msg("what grows is not the table");
    if (table.refuses)
        return NULL;
    look_at_guard();
    uint8_t *grown = malloc(bytes + GUARD);
    if (grown == NULL)
        ck_abort_msg("no memory");
    memset(grown, GARBAGE, bytes + GUARD);
    if (old != NULL)
        memcpy(grown, old, table.bytes < bytes ? table.bytes : bytes);
    __real_free(old);
    table.base = grown;
    table.bytes = bytes;
    return grown;
}

void __wrap_free(void *pointer)
{
    if (pointer != NULL && pointer == table.base) {
        look_at_guard();
        table.base = NULL;
        table.bytes = 0;
    }
    __real_free(pointer);
}

/* ---- who is told ---- */

static struct {
    uintptr_t poller;
    int fd;
    uint32_t events;
    int count, answer;
} served;

static int serve(uintptr_t poller, int fd, uint32_t events)
{
    served.poller = poller;
    served.fd = fd;
    served.events = events;
    served.count++;
    return served.answer;
}

static struct {
    const struct mif_poller *poller;
    int fd;
    uint32_t events;
    void *context;
    int count, answer;
    bool unwatches; /* as soon as it is told something */
} told;

static int tell(struct mif_poller *poller, int fd, uint32_t events, void *context)
{
    told.poller = poller;
    told.fd = fd;
    told.events = events;
    told.context = context;
    told.count++;
    if (told.unwatches) {
        told.unwatches = false;
        (void)mif_poller_unwatch(poller, fd);
    }
    return told.answer;
}

static void open_telling(struct mif_poller *poller)
{
    *poller = (struct mif_poller)MIF_POLLER_INIT;
    ck_assert_int_eq(mif_poller_open(poller, tell, serve), MIF_ERR_SUCCESS);
    ck_assert(mif_poller_announces(poller));
}

static int watch(struct mif_poller *poller, int fd)
{
    return mif_poller_watch(poller, fd, MIF_WATCH_CONTROL, NULL, 0);
}

/* Returns the context that the program is told. */
static void *watch_it(struct mif_poller *poller, int fd)
{
    int before = told.count;

    ck_assert_int_eq(watch(poller, fd), MIF_ERR_SUCCESS);
    ck_assert_int_eq(told.count, before + 1);
    ck_assert(told.poller == poller && told.fd == fd && told.events == MIF_EVENT_READ);
    return told.context;
}

static void expect_served(const struct mif_poller *poller, int fd)
{
    int before = served.count;

    served.answer = fd % 7;
    ck_assert_int_eq(mif_poller_dispatch(fd, 6), served.answer);
    ck_assert_int_eq(served.count, before + 1);
    ck_assert(served.poller == (uintptr_t)poller && served.fd == fd && served.events == 6);
}

static void expect_served_by(const struct mif_poller *poller, int fd, void *context)
{
    int before = served.count;

    served.answer = fd % 7;
    ck_assert_int_eq(mif_poller_dispatch_context(context, 5), served.answer);
    ck_assert_int_eq(served.count, before + 1);
    ck_assert(served.poller == (uintptr_t)poller && served.fd == fd && served.events == 5);
}

static void expect_not_served(int fd)
{
    int before = served.count;

    ck_assert_int_eq(mif_poller_dispatch(fd, 1), MIF_ERR_BAD_FD);
    ck_assert_int_eq(served.count, before);
}

static void expect_outdated(void *context)
{
    int before = served.count;

    ck_assert_int_eq(mif_poller_dispatch_context(context, 1), MIF_ERR_INVAL_ARG);
    ck_assert_int_eq(served.count, before);
}

/* ---- by number and by context ---- */

/* The last one first, so that the table would shrink if it always had the size of the newest. */
static const int fds[] = {1000, 0, 3, 63, 64, 127, 128, 5};
static const int others[] = {-1, 1, 62, 65, 126, 129, 999, 1001, 1023, 1024, 5000, MOST_FDS};
enum { FDS = sizeof(fds) / sizeof(fds[0]), OTHERS = sizeof(others) / sizeof(others[0]) };

static void expect_no_others(void)
{
    for (int i = 0; i < OTHERS; i++)
        expect_not_served(others[i]);
}

MEMIF_TEST_LOOP(a_watch_is_served_until_it_ends, 0, 2)
{
    struct mif_poller poller;
    void *contexts[FDS];

    open_telling(&poller);
    expect_no_others();
    expect_not_served(0);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < FDS; i++)
            contexts[i] = watch_it(&poller, fds[i]);
        ck_assert_ptr_nonnull(table.base);
        for (int ended = 0; ended < FDS; ended++) {
            int end = _i == 0 ? ended : FDS - 1 - ended;
            for (int times = 0; times < 2; times++)
                for (int i = 0; i < FDS; i++)
                    if (_i == 0 ? i >= end : i <= end) {
                        expect_served(&poller, fds[i]);
                        expect_served_by(&poller, fds[i], contexts[i]);
                    } else {
                        expect_not_served(fds[i]);
                        expect_outdated(contexts[i]);
                    }
            expect_no_others();
            int before = told.count;
            ck_assert_int_eq(mif_poller_unwatch(&poller, fds[end]), MIF_ERR_SUCCESS);
            ck_assert_int_eq(told.count, before + 1);
            ck_assert(told.poller == &poller && told.fd == fds[end]);
            ck_assert(told.events == MIF_EVENT_DEL && told.context == contexts[end]);
            ck_assert_int_eq(mif_poller_unwatch(&poller, fds[end]), MIF_ERR_SUCCESS);
            ck_assert_int_eq(told.count, before + 1); /* it is told once */
        }
        ck_assert_ptr_null(table.base); /* it goes with the last watch */
    }
    mif_poller_close(&poller);
}

MEMIF_TEST(a_table_grows_by_one_descriptor)
{
    struct mif_poller poller;

    open_telling(&poller);
    for (int fd = 0; fd <= 4 * STEP; fd++) {
        watch_it(&poller, fd);
        expect_not_served(fd + 1);
        for (int other = 0; other <= fd; other += STEP - 1)
            expect_served(&poller, other);
        expect_served(&poller, fd);
    }
    mif_poller_close(&poller);
    ck_assert_ptr_null(table.base);
}

MEMIF_TEST(a_context_names_one_watch_and_no_later_one)
{
    struct mif_poller poller;
    void *first, *second;

    open_telling(&poller);
    watch_it(&poller, 8);
    first = watch_it(&poller, 7);
    ck_assert_int_eq(mif_poller_unwatch(&poller, 7), MIF_ERR_SUCCESS);
    expect_outdated(first);
    second = watch_it(&poller, 7);
    ck_assert_ptr_ne(first, second);
    expect_outdated(first);
    expect_outdated((void *)((uintptr_t)second + MOST_FDS));
    expect_outdated((void *)((uintptr_t)second + 1));
    expect_outdated((void *)7);
    expect_outdated(NULL);
    expect_served_by(&poller, 7, second);
    mif_poller_close(&poller);
    expect_outdated(second);
}

MEMIF_TEST(a_descriptor_that_is_watched_anew_is_one_watch)
{
    struct mif_poller poller;
    void *first, *second;

    open_telling(&poller);
    first = watch_it(&poller, 7);
    second = watch_it(&poller, 7);
    expect_outdated(first);
    expect_served_by(&poller, 7, second);
    ck_assert_int_eq(mif_poller_unwatch(&poller, 7), MIF_ERR_SUCCESS);
    expect_not_served(7);
    ck_assert_ptr_null(table.base);
    mif_poller_close(&poller);
}

MEMIF_TEST(a_watch_of_interrupts_leads_to_the_queue)
{
    struct mif_poller poller;

    open_telling(&poller);
    ck_assert_int_eq(mif_poller_watch(&poller, 7, MIF_WATCH_INTERRUPT, NULL, 3), MIF_ERR_SUCCESS);
    ck_assert_int_eq(mif_poller_dispatch(7, 1), MIF_ERR_NOCONN); /* there is no such queue */
    ck_assert_int_eq(mif_poller_dispatch_context(told.context, 1), MIF_ERR_NOCONN);
    ck_assert_int_eq(served.count, 0);
    mif_poller_close(&poller);
}

/* ---- what is refused ---- */

MEMIF_TEST(without_memory_nothing_is_watched)
{
    struct mif_poller poller;

    open_telling(&poller);
    table.refuses = true;
    ck_assert_int_eq(watch(&poller, 7), MIF_ERR_NOMEM);
    ck_assert_int_eq(watch(&poller, MOST_FDS - 1), MIF_ERR_NOMEM);
    ck_assert_int_eq(told.count, 0);
    expect_not_served(7);
    table.refuses = false;
    watch_it(&poller, 7);
    table.refuses = true;
    ck_assert_int_eq(watch(&poller, STEP), MIF_ERR_NOMEM);
    watch_it(&poller, STEP - 1); /* there is room */
    expect_served(&poller, 7);
    expect_not_served(STEP);
    mif_poller_close(&poller);
}

MEMIF_TEST(a_number_that_no_descriptor_has_is_refused)
{
    struct mif_poller poller;

    open_telling(&poller);
    ck_assert_int_eq(watch(&poller, -1), MIF_ERR_BAD_FD);
    ck_assert_int_eq(watch(&poller, MOST_FDS), MIF_ERR_BAD_FD);
    ck_assert_int_eq(told.count, 0);
    ck_assert_ptr_null(table.base);
    ck_assert_int_eq(mif_poller_unwatch(&poller, -1), MIF_ERR_SUCCESS);
    mif_poller_close(&poller);
}

MEMIF_TEST(what_the_program_cannot_take_is_not_watched)
{
    struct mif_poller poller;

    open_telling(&poller);
    watch_it(&poller, 8);
    told.answer = -1;
    ck_assert_int_eq(watch(&poller, 7), MIF_ERR_CB_FDUPDATE);
    expect_not_served(7);
    ck_assert_int_eq(mif_poller_unwatch(&poller, 8), MIF_ERR_CB_FDUPDATE);
    expect_not_served(8);
    ck_assert_ptr_null(table.base);
    mif_poller_close(&poller);
}

MEMIF_TEST(a_program_may_end_a_watch_while_it_is_told_of_it)
{
    struct mif_poller poller;

    open_telling(&poller);
    watch_it(&poller, 8);
    told.unwatches = true;
    told.answer = -1;
    ck_assert_int_eq(watch(&poller, 7), MIF_ERR_CB_FDUPDATE);
    expect_not_served(7);
    expect_served(&poller, 8);
    told.answer = 0;
    watch_it(&poller, 7);
    told.unwatches = true;
    ck_assert_int_eq(mif_poller_unwatch(&poller, 7), MIF_ERR_SUCCESS);
    expect_not_served(7);
    expect_served(&poller, 8);
    mif_poller_close(&poller);
}

/* ---- the end ---- */

MEMIF_TEST(a_poller_that_closes_takes_its_own_watches_along)
{
    struct mif_poller one, other;

    open_telling(&one);
    open_telling(&other);
    watch_it(&one, 0);
    watch_it(&other, 5);
    watch_it(&one, 6);
    watch_it(&one, 20);
    ck_assert_int_eq(mif_poller_unwatch(&one, 20), MIF_ERR_SUCCESS);
    watch_it(&one, STEP - 1);
    int before = told.count;
    mif_poller_close(&one);
    ck_assert_int_eq(told.count, before); /* the program knows */
    expect_not_served(0);
    expect_not_served(6);
    expect_not_served(STEP - 1);
    expect_served(&other, 5);
    mif_poller_close(&other);
    ck_assert_ptr_null(table.base);
}

MEMIF_TEST(a_poller_without_watches_closes)
{
    struct mif_poller poller;

    open_telling(&poller);
    mif_poller_close(&poller);
    open_telling(&poller);
    watch_it(&poller, 2);
    mif_poller_close(&poller);
    expect_not_served(2);
}

/* ---- in a forked child ---- */

MEMIF_TEST(a_forked_child_serves_no_event_of_its_parent)
{
    struct mif_poller poller;

    open_telling(&poller);
    void *context = watch_it(&poller, 7);
    mif_fork_began();
    ck_assert_int_eq(mif_poller_dispatch(7, 1), MIF_ERR_SYSCALL);
    ck_assert_int_eq(mif_poller_dispatch_context(context, 1), MIF_ERR_SYSCALL);
    ck_assert_int_eq(served.count, 0);
    mif_fork_ended();
    expect_served(&poller, 7);
    mif_poller_close(&poller);
}

MEMIF_TEST(a_forked_child_begins_with_no_watches)
{
    struct mif_poller poller;
    int status;

    open_telling(&poller);
    watch_it(&poller, 7);
    (void)mif_poller_dispatch(8, 1);
    pthread_mutex_t *lock = locks.last;
    ck_assert_int_eq(__real_pthread_mutex_lock(lock), 0); /* as another thread may at that moment */
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        alarm(10);
        memset(&table, 0, sizeof(table)); /* it is not its own */
        mif_watches_init();
        if (mif_poller_dispatch(7, 1) != MIF_ERR_BAD_FD)
            _exit(1);
        if (watch(&poller, 9) != MIF_ERR_SUCCESS || mif_poller_dispatch(9, 1) != served.answer)
            _exit(2);
        if (mif_poller_unwatch(&poller, 9) != MIF_ERR_SUCCESS || table.base != NULL)
            _exit(3);
        _exit(served.count == 1 ? 0 : 4);
    }
    ck_assert_int_eq(__real_pthread_mutex_unlock(lock), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    expect_served(&poller, 7);
    mif_poller_close(&poller);
}

MEMIF_TEST_MAIN("watches")
