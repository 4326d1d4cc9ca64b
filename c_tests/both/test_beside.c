/* SPDX-License-Identifier: Apache-2.0 */

/* Both libraries in one process, each loaded from its file. */

#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "beside.h"
#include "environment.h"
#include "harness.h"

extern char **environ;

static const struct side *const sides[2] = {&side_v1, &side_v4};
static const char *const files[2] = {LIBRARY_V1, LIBRARY_V4};

/* Which is master, and which comes first, in all four ways. */
enum { ORDERS = 4 };

enum { PACKETS = 200, LONGEST = 1000 };

/* One turn each, until the condition is true or the time is over. */
static bool run_until(bool (*condition)(void))
{
    const struct timespec deadline = deadline_from_now();

    while (!condition()) {
        if (is_past(&deadline) || sides[0]->turn() != 0 || sides[1]->turn() != 0)
            return false;
    }
    return true;
}

static bool both_are_up(void)
{
    return sides[0]->is_up() && sides[1]->is_up();
}

static bool packets_flow(const struct side *from, const struct side *to)
{
    uint8_t received[LONGEST];

    for (uint32_t i = 0; i < PACKETS; i++) {
        uint16_t length = (uint16_t)(1 + i * 7 % LONGEST);
        if (from->send(pattern_of(i), length) != 1 || to->receive(received, LONGEST) != length ||
            memcmp(received, pattern_of(i), length) != 0)
            return false;
    }
    return to->receive(received, LONGEST) == 0;
}

static void load_and_start(int which, const char *path)
{
    ck_assert(sides[which]->load(files[which]));
    ck_assert_int_eq(sides[which]->start(path), 0);
}

MEMIF_TEST_LOOP(packets_flow_between_the_libraries, 0, ORDERS)
{
    int first = _i % 2, master = _i / 2;
    char path[PATH_SIZE];

    path_in_folder(path, "a.sock");
    load_and_start(first, path);
    load_and_start(1 - first, path);
    ck_assert_int_eq(sides[master]->create(true), 0);
    ck_assert_int_eq(sides[1 - master]->create(false), 0);
    ck_assert(run_until(both_are_up));
    ck_assert(packets_flow(sides[0], sides[1]));
    ck_assert(packets_flow(sides[1], sides[0]));
    ck_assert_int_eq(sides[first]->stop(), 0);
    ck_assert_int_eq(sides[1 - first]->stop(), 0);
}

static int still_there;

static bool the_one_left_is_alone(void)
{
    return !sides[still_there]->is_up();
}

MEMIF_TEST_LOOP(one_library_goes_on_when_the_other_has_stopped, 0, ORDERS)
{
    int master = _i / 2;
    char path[PATH_SIZE];

    path_in_folder(path, "a.sock");
    load_and_start(0, path);
    load_and_start(1, path);
    still_there = _i % 2;
    for (int round = 0; round < 2; round++) {
        int leaving = 1 - still_there;
        ck_assert_int_eq(sides[master]->create(true), 0);
        ck_assert_int_eq(sides[1 - master]->create(false), 0);
        ck_assert(run_until(both_are_up));
        ck_assert(packets_flow(sides[0], sides[1]));
        ck_assert_int_eq(sides[leaving]->stop(), 0);
        while (!the_one_left_is_alone())
            ck_assert_int_eq(sides[still_there]->turn(), 0);
        ck_assert_int_eq(sides[still_there]->stop(), 0);
        ck_assert_int_eq(sides[0]->start(path), 0);
        ck_assert_int_eq(sides[1]->start(path), 0);
    }
    ck_assert_int_eq(sides[0]->create(true), 0);
    ck_assert_int_eq(sides[0]->stop(), 0);
    ck_assert_int_eq(sides[1]->create(true), 0);
    ck_assert_int_eq(sides[1]->stop(), 0);
}

/* ---- both start at the same moment, for which it takes a fresh process ---- */

static pthread_barrier_t at_once;
static const char *socket_path;

static void *start_one(void *argument)
{
    const struct side *side = argument;

    (void)pthread_barrier_wait(&at_once);
    return (void *)(intptr_t)side->start(socket_path);
}

static bool start_both_at_once(void)
{
    pthread_t threads[2];
    bool good = pthread_barrier_init(&at_once, NULL, 2) == 0;

    for (int i = 0; i < 2; i++)
        good = sides[i]->load(files[i]) && good;
    for (int i = 0; i < 2; i++)
        (void)pthread_create(&threads[i], NULL, start_one, (void *)(uintptr_t)sides[i]);
    for (int i = 0; i < 2; i++) {
        void *err = NULL;
        (void)pthread_join(threads[i], &err);
        good = good && err == NULL;
    }
    return good;
}

static int in_fresh_process(const char *path)
{
    socket_path = path;
    bool good = start_both_at_once() && sides[0]->create(true) == 0 &&
                sides[1]->create(false) == 0 && run_until(both_are_up) &&
                packets_flow(sides[0], sides[1]) && packets_flow(sides[1], sides[0]) &&
                sides[1]->stop() == 0 && sides[0]->stop() == 0;
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

MEMIF_TEST_LOOP(both_libraries_may_start_at_the_same_moment, 0, 20)
{
    char path[PATH_SIZE];
    char *arguments[] = {"test_beside", "--start-both", path, NULL};
    pid_t child;
    int status;

    path_in_folder(path, "a.sock");
    ck_assert_int_eq(posix_spawn(&child, "/proc/self/exe", NULL, NULL, arguments, environ), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS,
                  "the process ended with status %#x", (unsigned)status);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--start-both") == 0)
        return in_fresh_process(argv[2]);
    return memif_test_main("4.0 beside 1.0", argc, argv);
}
