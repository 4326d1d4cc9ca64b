/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The thread that waits for room in the program's stead: how it is started, what it does, and what
 * is left when it cannot be. It runs where it would be created, so all is done when the call
 * returns.
 */

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "fake_time.h"

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
int __real_pthread_attr_init(pthread_attr_t *attributes);
int __wrap_pthread_attr_init(pthread_attr_t *attributes);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void __real_free(void *memory);
void __wrap_free(void *memory);

enum fault { NONE, NO_MEMORY, NO_ATTRIBUTES, NO_THREAD };
static enum fault fault;
static bool watches; /* a call of mif_room_watch */
static unsigned threads, was_detached, was_masked;
enum { MOST_BLOCKS = 256 };
static void *blocks[MOST_BLOCKS];
static unsigned block_count;

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument)
{
    sigset_t mask;
    int state;

    if (!watches)
        return __real_pthread_create(thread, attributes, run, argument);
    if (fault == NO_THREAD)
        return EAGAIN;
    threads++;
    ck_assert_int_eq(pthread_attr_getdetachstate(attributes, &state), 0);
    ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
    was_detached += state == PTHREAD_CREATE_DETACHED;
    was_masked += sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGUSR1) == 1;
    ck_assert_ptr_null(run(argument));
    return 0;
}

int __wrap_pthread_attr_init(pthread_attr_t *attributes)
{
    return watches && fault == NO_ATTRIBUTES ? ENOMEM : __real_pthread_attr_init(attributes);
}

/* Check's assertions take memory as well. */
void *__wrap_malloc(size_t size)
{
    if (watches && fault == NO_MEMORY)
        return NULL;
    void *memory = __real_malloc(size);
    if (watches && block_count < MOST_BLOCKS)
        blocks[block_count++] = memory;
    return memory;
}

void __wrap_free(void *memory)
{
    for (unsigned i = 0; i < block_count; i++)
        if (blocks[i] == memory)
            blocks[i] = NULL;
    __real_free(memory);
}

static unsigned blocks_left(void)
{
    unsigned left = 0;

    for (unsigned i = 0; i < block_count; i++)
        left += blocks[i] != NULL;
    return left;
}

static int efd;

static void open_watched(int way, uint16_t free, uint16_t flags)
{
    open_scene(way, free, flags);
    efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ck_assert_int_ge(efd, 0);
    fault = NONE;
    threads = block_count = was_detached = was_masked = 0;
}

static void close_watched(void)
{
    ck_assert_int_eq(close(efd), 0);
    close_scene();
}

/* The number that the next descriptor gets: all below are in use. */
static int lowest_free(void)
{
    int fd = fcntl(efd, F_DUPFD_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(close(fd), 0);
    return fd;
}

static int watch_for(uint32_t slots, int fd)
{
    const int before = lowest_free();
    sigset_t mask;

    watches = true;
    int err = mif_room_watch(loopback.handles[from], 0, slots, fd);
    watches = false;
    ck_assert_int_eq(lowest_free(), before);
    ck_assert_uint_eq(blocks_left(), 0);
    ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
    ck_assert_int_eq(sigismember(&mask, SIGUSR1), 0);
    return err;
}

static uint64_t signals(void)
{
    uint64_t count = 0;

    return read(efd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static bool is_asked(void)
{
    struct mif_queue *q = sender();

    return atomic_load(q->own_index) != mif_own_index(q, false, (enum mif_kind)q->kind);
}

/* ---- what it does ---- */

MEMIF_TEST_LOOP(a_thread_sleeps_on_the_question_and_signals, 0, WAYS * 2)
{
    const bool noted = _i >= WAYS;

    open_watched(_i % WAYS, 1, MIF_RING_TELLS_ROOM);
    at_sleep = noted ? note_the_question : NULL;
    ck_assert_int_eq(watch_for(4, efd), MIF_ERR_AGAIN);
    ck_assert_uint_eq(threads, 1);
    ck_assert_uint_eq(was_detached, 1);
    ck_assert_uint_eq(was_masked, 1);
    ck_assert_uint_eq(signals(), 1);
    ck_assert_uint_eq(sleep_count, noted ? 2 : 1);
    ck_assert_int_eq(sleeps[0], LONGEST);
    if (noted)
        ck_assert_int_eq(sleeps[1], MOST_SLEEP);
    ck_assert_uint_eq(nap_count, 0);
    ck_assert(is_asked());
    close_watched();
}

MEMIF_TEST_LOOP(where_nobody_answers_it_naps_and_signals, 0, WAYS)
{
    open_watched(_i, 1, 0);
    ck_assert_int_eq(watch_for(4, efd), MIF_ERR_AGAIN);
    ck_assert_uint_eq(threads, 1);
    ck_assert_uint_eq(signals(), 1);
    ck_assert_uint_eq(nap_count, 1);
    ck_assert_int_eq(naps[0], LONGEST);
    ck_assert_uint_eq(sleep_count, 0);
    ck_assert(!is_asked());
    close_watched();
}

/* A program may have closed its standard input. */
MEMIF_TEST_LOOP(its_copy_of_the_eventfd_may_have_any_number, 0, 2)
{
    open_watched(0, 1, 0);
    int input = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    (void)close(STDIN_FILENO);
    fault = _i == 0 ? NONE : NO_THREAD;
    errno = EBADF;
    ck_assert_int_eq(watch_for(4, efd), fault == NONE ? MIF_ERR_AGAIN : MIF_ERR_NOMEM);
    ck_assert_uint_eq(signals(), fault == NONE);
    if (input >= 0) {
        ck_assert_int_eq(dup2(input, STDIN_FILENO), STDIN_FILENO);
        ck_assert_int_eq(close(input), 0);
    }
    close_watched();
}

/* ---- when there is none ---- */

static void expect_nothing_begun(void)
{
    ck_assert_uint_eq(threads, 0);
    ck_assert_uint_eq(signals(), 0);
    ck_assert(!is_asked());
}

MEMIF_TEST_LOOP(a_thread_that_cannot_be_is_told_and_nothing_stays, 0, WAYS * 3)
{
    open_watched(_i % WAYS, 1, MIF_RING_TELLS_ROOM);
    fault = (enum fault)(NO_MEMORY + _i / WAYS);
    ck_assert_int_eq(watch_for(4, efd), MIF_ERR_NOMEM);
    expect_nothing_begun();
    close_watched();
}

MEMIF_TEST_LOOP(a_bad_descriptor_is_told_and_nothing_stays, 0, WAYS)
{
    open_watched(_i, 1, MIF_RING_TELLS_ROOM);
    ck_assert_int_eq(watch_for(4, -1), mif_error_from_errno(EBADF));
    expect_nothing_begun();
    close_watched();
}

MEMIF_TEST_LOOP(where_there_is_room_nobody_is_asked, 0, WAYS)
{
    open_watched(_i, 4, MIF_RING_TELLS_ROOM);
    ck_assert_int_eq(watch_for(4, efd), MIF_ERR_SUCCESS);
    expect_nothing_begun();
    ck_assert_uint_eq(barriers, 0);
    ck_assert_int_eq(watch_for(5, efd), MIF_ERR_AGAIN);
    ck_assert_uint_eq(threads, 1);
    ck_assert(is_asked());
    close_watched();
}

MEMIF_TEST_LOOP(room_that_came_meanwhile_needs_no_thread, 0, WAYS)
{
    open_watched(_i, 0, MIF_RING_TELLS_ROOM);
    at_barrier = give_back_four;
    ck_assert_int_eq(watch_for(4, efd), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(barriers, 1);
    expect_nothing_begun();
    close_watched();
}

/* What an earlier watch has asked is withdrawn by the call that finds room. */
MEMIF_TEST_LOOP(who_has_room_asks_no_more, 0, WAYS)
{
    open_watched(_i, 0, MIF_RING_TELLS_ROOM);
    ck_assert_int_eq(watch_for(4, efd), MIF_ERR_AGAIN);
    ck_assert(is_asked());
    give_back(4);
    ck_assert_int_eq(watch_for(4, efd), MIF_ERR_SUCCESS);
    ck_assert(!is_asked());
    close_watched();
}

MEMIF_TEST_LOOP(a_receiver_that_breaks_the_rules_is_not_watched, 0, WAYS * 2)
{
    const bool meanwhile = _i >= WAYS;

    open_watched(_i % WAYS, 0, MIF_RING_TELLS_ROOM);
    if (meanwhile)
        at_barrier = break_the_ring;
    else
        break_the_ring();
    ck_assert_int_eq(watch_for(4, efd), MIF_ERR_DISCONNECTED);
    ck_assert_uint_eq(barriers, meanwhile);
    expect_nothing_begun();
    close_watched();
}

MEMIF_TEST_MAIN("watch for room")
