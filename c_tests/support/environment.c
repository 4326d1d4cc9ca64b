/* SPDX-License-Identifier: Apache-2.0 */

#include "environment.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "random.h"

enum { DEADLINE_SECONDS = 40 };

/* ---- folder ---- */

static char folder[PATH_SIZE];
static pid_t folder_owner;

static void remove_folder(void)
{
    if (getpid() != folder_owner)
        return; /* a child of the test */
    DIR *dir = opendir(folder);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir != NULL)
        (void)closedir(dir);
    (void)rmdir(folder);
}

static void make_folder(void)
{
    const char *parent = getenv("TMPDIR");

    (void)snprintf(folder, sizeof(folder), "%s/test.XXXXXX", parent == NULL ? "/tmp" : parent);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    folder_owner = getpid();
    ck_assert_int_eq(atexit(remove_folder), 0);
}

void path_in_folder(char path[PATH_SIZE], const char *name)
{
    if (folder_owner != getpid())
        make_folder();
    int length = snprintf(path, PATH_SIZE, "%s/%s", folder, name);
    ck_assert_int_lt(length, PATH_SIZE);
}

static size_t entries_of(const char *path)
{
    DIR *dir = opendir(path);
    size_t count = 0;

    ck_assert_ptr_nonnull(dir);
    while (readdir(dir) != NULL)
        count++;
    ck_assert_int_eq(closedir(dir), 0);
    return count - 2; /* . and .. */
}

size_t files_in_folder(void)
{
    return entries_of(folder);
}

/* ---- the process ---- */

size_t open_fds(void)
{
    return entries_of("/proc/self/fd") - 1; /* the one that reads them */
}

size_t shared_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4096];
    size_t count = 0;

    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        if (strstr(line, "/memfd:") != NULL && strstr(line, "libmemif-stats") == NULL)
            count++;
    }
    ck_assert_int_eq(fclose(maps), 0);
    return count;
}

size_t address_space_bytes(void)
{
    FILE *statm = fopen("/proc/self/statm", "re");
    size_t pages;

    ck_assert_ptr_nonnull(statm);
    ck_assert_int_eq(fscanf(statm, "%zu", &pages), 1);
    ck_assert_int_eq(fclose(statm), 0);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

void raise_fd_limit(void)
{
    struct rlimit limit;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* ---- time ---- */

struct timespec deadline_from_now(void)
{
    struct timespec when;

    (void)clock_gettime(CLOCK_MONOTONIC, &when);
    when.tv_sec += DEADLINE_SECONDS;
    return when;
}

bool is_past(const struct timespec *deadline)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > deadline->tv_sec ||
           (now.tv_sec == deadline->tv_sec && now.tv_nsec > deadline->tv_nsec);
}

bool is_readable(int fd)
{
    struct pollfd watched = {.fd = fd, .events = POLLIN};

    ck_assert_int_ge(poll(&watched, 1, 0), 0);
    return (watched.revents & POLLIN) != 0;
}

static char state_of_thread(pid_t thread)
{
    char path[64];
    char state = '?';

    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/stat", thread);
    FILE *stat = fopen(path, "re");
    if (stat != NULL) {
        if (fscanf(stat, "%*d (%*[^)]) %c", &state) != 1)
            state = '?';
        (void)fclose(stat);
    }
    return state;
}

void wait_until_asleep(pid_t thread)
{
    while (state_of_thread(thread) != 'S')
        (void)sched_yield();
}

/* ---- packets ---- */

enum { PATTERN_STARTS = 65536, PATTERN_LENGTH = 65536 };
static uint8_t pattern[PATTERN_STARTS + PATTERN_LENGTH];

static void make_pattern(void)
{
    uint64_t state = RANDOM_SEED;

    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(random_next(&state) >> 24);
}

const uint8_t *pattern_of(uint32_t seed)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, make_pattern);
    return pattern + seed * 40503u % PATTERN_STARTS;
}
