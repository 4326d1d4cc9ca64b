/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that can be refused is refused once: `faults SOCKET calls` has each call of failing.c
 * fail in its turn (that one is preloaded), `faults SOCKET fds` allows one descriptor more each
 * time. A round connects two ends under the fault. Whatever came of it, the ends work after the
 * fault is gone, and nothing is left behind when they are deleted. `faults SOCKET ends` connects
 * them first and has each call fail from then on: packets may be lost, but what is deleted is gone,
 * and what can be left behind by an unlink that fails is taken up by the next round. One line of
 * stdout for each round: what failed and with which error, and the code that said so, 0 when all
 * went well all the same. A call fails with one of its errors, another one each time; with `all`
 * behind it, with each of them.
 *
 * `faults SOCKET once`: one round under whatever the system refuses from the start, and its line.
 * `faults SOCKET memory BYTES`: from the start the process may have so much more address space.
 * `faults SOCKET create`: the code of creating a master at a place that does not do.
 * `faults SOCKET denied FOLDER`: the same as a user who may not write to the socket's folder, then
 * as one who may. `faults SOCKET stuck FOLDER`: the code of deleting a connected master in such a
 * folder. `faults SOCKET connect`: no fault at all.
 */
#include "faults.h"

#include <dirent.h>
#include <dlfcn.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATIENCE = 400, MOST_ROUNDS = 10000 };

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

/* In the folder of the socket, which is for it alone. */
static int files(void)
{
    char folder[4096];
    int count = -2; /* . and .. */

    snprintf(folder, sizeof(folder), "%s", path);
    DIR *dir = opendir(dirname(folder));
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
        count += strstr(line, "/memfd:") != NULL && strstr(line, "libmemif-stats") == NULL;
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

static bool is_down(enum end end)
{
    for (int i = 0; i < PATIENCE && ends_is_up(end); i++)
        must(ends_poll(20), "it polls");
    return !ends_is_up(end);
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
    void (*begin)(int number, int kind);
    const char *(*end)(void);
    int (*kinds)(void);
};

static void (*arm)(int number, int kind);
static const char *(*disarm)(void);
static int (*kinds_of_failed)(void);
static int (*error_of_failed)(void);
static bool is_complete;
static int pass;

static int one_kind(void)
{
    return 1;
}

static void begin_fds(int number, int kind)
{
    (void)kind;
    allow(RLIMIT_NOFILE, (rlim_t)(open_fds() + number));
}

static const char *end_fds(void)
{
    allow(RLIMIT_NOFILE, 1024);
    return "a descriptor";
}

static void report(const char *what, int err, const char *state)
{
    const char *error = error_of_failed == NULL ? "" : strerrorname_np(error_of_failed());
    printf("%s|%s|%d|%s|%s\n", what, error, err, ends_error(err), state);
    fflush(stdout);
}

static void expect_nothing_left(int fds)
{
    expect(open_fds() == fds, "no descriptor is left", open_fds() - fds);
    expect(shared_mappings() == 0, "no mapping is left", shared_mappings());
}

/* An error of unlink is no file less; neither is a file that cannot be looked at or locked. The
 * next round takes them up. */
static void expect_no_file(const char *failed)
{
    static const char *const excuses[] = {"unlink", "stat", "flock"};
    bool is_excused = false;

    for (size_t i = 0; failed != NULL && i < sizeof(excuses) / sizeof(*excuses); i++)
        is_excused |= strstr(failed, excuses[i]) != NULL;
    expect(is_excused || files() == 0, "no file is left", files());
}

static bool play_round(const struct fault *fault, int number, int kind)
{
    int fds = open_fds();

    fault->begin(number, kind);
    int err = ends_start(path);
    bool is_started = err == 0;
    if (is_started)
        err = connect_ends(false);
    bool is_up = is_started && ends_are_up();
    const char *what = fault->end();
    if (what != NULL)
        report(what, err, is_up ? "up" : "down");
    recover(is_started);
    finish();
    expect_nothing_left(fds);
    expect_no_file(what);
    return what != NULL && !(fault->end == end_fds && is_up && err == 0);
}

static int first_of(int err, int next)
{
    return err != 0 ? err : next;
}

static bool play_end(const struct fault *fault, int number, int kind)
{
    int fds = open_fds();

    must(ends_start(path), "it starts");
    recover(true);
    fault->begin(number, kind);
    (void)ends_exchange();
    (void)ends_poll(0);
    int err = ends_delete(pass == 0 ? SLAVE : MASTER);
    int polled = ends_poll(0);
    err = first_of(err, polled > 0 ? polled : 0);
    err = first_of(err, ends_delete(pass == 0 ? MASTER : SLAVE));
    err = first_of(err, ends_stop());
    const char *what = fault->end();
    if (what != NULL)
        report(what, err, "over");
    expect(!ends_exist(MASTER) && !ends_exist(SLAVE), "both are gone", err);
    expect_nothing_left(fds);
    expect_no_file(what);
    return what != NULL;
}

typedef bool play_fn(const struct fault *fault, int number, int kind);

/* Twice over, since a process that has had many connections makes other calls than one that has had
 * few, and what is new in a round shifts the rest. */
static void play(const struct fault *fault, play_fn *play_one)
{
    must(ends_start(path), "it starts");
    recover(true);
    finish();
    for (pass = 0; pass < 2; pass++) {
        bool is_over = false;
        for (int number = 0; !is_over; number++) {
            int kinds = 1;
            for (int kind = 0; kind < kinds && !is_over; kind++) {
                is_over = !play_one(fault, number, is_complete ? kind : number + 5 * pass);
                kinds = is_complete ? fault->kinds() : 1;
            }
            expect(number < MOST_ROUNDS, "it has an end", number);
        }
    }
    must(ends_start(path), "it starts");
    recover(true);
    finish();
    expect(files() == 0, "no file is left in the end", files());
}

/* All is taken down again, whatever came of it. */
static void play_once(void)
{
    int err = ends_start(path);
    bool is_started = err == 0;

    if (is_started)
        err = connect_ends(false);
    bool is_up = is_started && ends_are_up();
    for (int polling = 0; polling < 2 && is_up && err == 0; polling++) {
        err = ends_set_polling(polling);
        err = err != 0 ? err : ends_exchange();
    }
    for (int end = SLAVE; end >= MASTER; end--) {
        int ended = is_started && ends_exist(end) ? ends_delete(end) : 0;
        err = err != 0 ? err : ended;
    }
    int stopped = is_started ? ends_stop() : 0;
    err = err != 0 ? err : stopped;
    printf("once|%d|%s|%s\n", err, ends_error(err), is_up ? "up" : "down");
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
    printf("memory|%lu|%d|%s|%s\n", bytes, err, ends_error(err),
           is_started ? "started" : "refused");
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
static void deny(const char *folder)
{
    must(chmod(folder, 0555), "the folder is ours");
    if (geteuid() == 0)
        must(seteuid(65534), "root may be anybody");
}

static void allow_again(const char *folder)
{
    must(seteuid(getuid()), "what we were");
    must(chmod(folder, 0755), "the folder is ours");
}

static void play_denied(const char *folder)
{
    must(ends_start(path), "it starts");
    deny(folder);
    refuse_master();
    allow_again(folder);
    recover(true);
    finish();
}

static void play_stuck(const char *folder)
{
    int fds = open_fds();

    must(ends_start(path), "it starts");
    recover(true);
    deny(folder);
    int err = ends_delete(MASTER);
    expect(!ends_exist(MASTER), "the master is gone", err);
    expect(is_down(MASTER), "the master's program heard of it", err);
    expect(is_down(SLAVE), "the slave hears of it", err);
    allow_again(folder);
    must(ends_delete(SLAVE), "the slave is deleted");
    must(ends_stop(), "it stops");
    expect_nothing_left(fds);
    must(ends_start(path), "it starts again");
    recover(true);
    finish();
    expect(files() == 0, "no file is left", files());
    printf("%d\n", err);
}

static void *function(const char *name)
{
    void *found = dlsym(RTLD_DEFAULT, name);
    expect(found != NULL, name, 0);
    return found;
}

static void play_calls(play_fn *play_one)
{
    *(void **)&arm = function("failing_arm");
    *(void **)&disarm = function("failing_disarm");
    *(void **)&kinds_of_failed = function("failing_kinds");
    *(void **)&error_of_failed = function("failing_error");
    play(&(struct fault){arm, disarm, kinds_of_failed}, play_one);
}

int main(int argc, char **argv)
{
    path = argv[1];
    is_complete = argc > 3 && strcmp(argv[3], "all") == 0;
    if (strcmp(argv[2], "memory") == 0)
        play_memory(strtoul(argv[3], NULL, 10));
    else if (strcmp(argv[2], "once") == 0)
        play_once();
    else if (strcmp(argv[2], "create") == 0) {
        must(ends_start(path), "it starts");
        refuse_master();
    } else if (strcmp(argv[2], "denied") == 0)
        play_denied(argv[3]);
    else if (strcmp(argv[2], "stuck") == 0)
        play_stuck(argv[3]);
    else if (strcmp(argv[2], "connect") == 0) {
        must(ends_start(path), "it starts");
        recover(true);
        finish();
    } else if (strcmp(argv[2], "fds") == 0)
        play(&(struct fault){begin_fds, end_fds, one_kind}, play_round);
    else
        play_calls(strcmp(argv[2], "calls") == 0 ? play_round : play_end);
    return EXIT_SUCCESS;
}
