/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that can be refused is refused once: `faults SOCKET calls` has each call of failing.c
 * fail in its turn (that one is preloaded), `faults SOCKET fds` allows one descriptor more each
 * time. A round connects two ends under the fault. Whatever came of it, the ends work after the
 * fault is gone, and nothing is left behind when they are deleted. One line of stdout for each
 * round: what failed, and the code that said so, 0 when the connection came about all the same.
 *
 * `faults SOCKET memory BYTES`: from the start the process may have so much more address space.
 * `faults SOCKET create`: the code of creating a master at a place that does not do.
 * `faults SOCKET denied FOLDER`: the same as a user who may not write to the socket's folder, then
 * as one who may.
 */
#include "faults.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATIENCE = 400, MOST_ROUNDS = 1000 };

static const char *path;

static void expect(bool is_so, const char *what, int detail)
{
    if (is_so)
        return;
    fprintf(stderr, "faults: not so: %s (%d)\n", what, detail);
    exit(EXIT_FAILURE);
}

static void must(int err, const char *what)
{
    expect(err == 0, what, err);
}

/* ---- what the process holds ---- */

static int open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = -3; /* itself, . and .. */

    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static int shared_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4096];
    int count = 0;

    while (fgets(line, sizeof(line), maps) != NULL)
        count += strstr(line, "/memfd:") != NULL;
    fclose(maps);
    return count;
}

static void allow(int resource, rlim_t most)
{
    struct rlimit limit;

    getrlimit(resource, &limit);
    limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
    setrlimit(resource, &limit);
}

/* ---- a connection ---- */

/* Up, or the first error; while nothing is refused, `is_patient`, it must come up. */
static int run_until_up(bool is_patient)
{
    for (int i = 0; i < PATIENCE && !ends_are_up(); i++) {
        int err = ends_poll(is_patient ? 20 : 0);
        if (err > 0)
            return err;
    }
    expect(ends_are_up() || !is_patient, "the ends connect", 0);
    return 0;
}

static int connect_ends(bool is_patient)
{
    int err = 0;

    for (int end = MASTER; end < ENDS && err == 0; end++)
        err = ends_exist(end) ? 0 : ends_create(end);
    return err != 0 ? err : run_until_up(is_patient);
}

static void recover(bool is_started)
{
    must(is_started ? 0 : ends_start(path), "it starts after the fault");
    /* Not to wait for the slave's next attempt. */
    if (ends_exist(SLAVE) && !ends_are_up())
        must(ends_delete(SLAVE), "the slave can be deleted");
    must(connect_ends(true), "the ends connect after the fault");
    must(ends_exchange(), "packets pass");
}

static void finish(void)
{
    must(ends_delete(SLAVE), "the slave is deleted");
    must(ends_delete(MASTER), "the master is deleted");
    must(ends_stop(), "it stops");
}

/* ---- rounds ---- */

/* What a fault does to a round, and what undoes it; NULL: there was none. */
struct fault {
    void (*begin)(int number);
    const char *(*end)(void);
};

static void (*arm)(int number);
static const char *(*disarm)(void);

static void begin_fds(int number)
{
    allow(RLIMIT_NOFILE, (rlim_t)(open_fds() + number));
}

static const char *end_fds(void)
{
    allow(RLIMIT_NOFILE, 1024);
    return "a descriptor";
}

static bool play_round(const struct fault *fault, int number)
{
    int fds = open_fds();

    fault->begin(number);
    int err = ends_start(path);
    bool is_started = err == 0;
    if (is_started)
        err = connect_ends(false);
    bool is_up = is_started && ends_are_up();
    const char *what = fault->end();
    recover(is_started);
    finish();
    expect(open_fds() == fds, "no descriptor is left", open_fds() - fds);
    expect(shared_mappings() == 0, "no mapping is left", shared_mappings());
    if (what != NULL)
        printf("%s|%d|%s|%s\n", what, err, ends_error(err), is_up ? "up" : "down");
    return what != NULL && !(fault->end == end_fds && is_up && err == 0);
}

/* A second time over, since a process that has had many connections makes other calls than one that
 * has had few, and what is new in a round shifts the rest. */
static void play(const struct fault *fault)
{
    must(ends_start(path), "it starts");
    recover(true);
    finish();
    for (int passes = 0; passes < 2; passes++)
        for (int number = 0; play_round(fault, number); number++)
            expect(number < MOST_ROUNDS, "it has an end", number);
}

static rlim_t address_space(void)
{
    FILE *statm = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    expect(fscanf(statm, "%lu", &pages) == 1, "statm", 0);
    fclose(statm);
    return pages * 4096;
}

static void play_memory(unsigned long bytes)
{
    allow(RLIMIT_AS, address_space() + bytes);
    int err = ends_start(path);
    bool is_started = err == 0;
    if (is_started)
        err = connect_ends(false);
    allow(RLIMIT_AS, RLIM_INFINITY);
    printf("%lu|%d|%s|%s\n", bytes, err, ends_error(err), is_started ? "started" : "refused");
    fflush(stdout);
    recover(is_started);
    finish();
}

static void refuse_master(void)
{
    int fds = open_fds();
    int err = ends_create(MASTER);
    expect(err != 0 && !ends_exist(MASTER), "a master cannot be there", err);
    expect(open_fds() == fds, "no descriptor is left", open_fds() - fds);
    printf("%d\n", err);
}

/* Root may write anywhere, so it is nobody for a while. */
static void play_denied(const char *folder)
{
    uid_t self = geteuid();

    must(ends_start(path), "it starts");
    must(chmod(folder, 0555), "the folder is ours");
    if (self == 0)
        must(seteuid(65534), "root may be anybody");
    refuse_master();
    must(seteuid(self), "what we were");
    must(chmod(folder, 0755), "the folder is ours");
    recover(true);
    finish();
}

int main(int argc, char **argv)
{
    path = argv[1];
    if (strcmp(argv[2], "memory") == 0)
        play_memory(strtoul(argv[3], NULL, 10));
    else if (strcmp(argv[2], "create") == 0) {
        must(ends_start(path), "it starts");
        refuse_master();
    } else if (strcmp(argv[2], "denied") == 0)
        play_denied(argv[3]);
    else if (strcmp(argv[2], "fds") == 0)
        play(&(struct fault){begin_fds, end_fds});
    else if (argc == 3) {
        *(void **)&arm = dlsym(RTLD_DEFAULT, "failing_arm");
        *(void **)&disarm = dlsym(RTLD_DEFAULT, "failing_disarm");
        play(&(struct fault){arm, disarm});
    }
    return EXIT_SUCCESS;
}
