/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the memory system allows: the measurements of calls, throughput and latency with the ring of
 * bare.h in the place of a library. Two ends in two processes, or both in one thread.
 */
#include "bare_program.h"

#include "options.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct bare_program program = {
    .times = {.warm_ms = 10, .count_ms = 40},
    .rings = 1,
    .cpus = {0, 1},
    .protocol = 512,
    .rounds = 5,
    .slice_us = 2000,
    .samples = 20000,
    .size = 64,
};

_Alignas(64) uint8_t outgoing[CASE_MAX_SIZE];
_Alignas(64) uint8_t incoming[CASE_MAX_SIZE];

void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static void map_memory(void)
{
    program.shared = mmap(NULL, sizeof(*program.shared), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (program.shared == MAP_FAILED)
        die("mmap");
}

void take_side(uint32_t direction)
{
    for (uint32_t i = 0; i < program.rings; i++) {
        program.out[i] = (struct bare_side){.ring = &program.shared->rings[direction][i],
                                            .wide = program.protocol == 256};
        program.in[i] = program.out[i];
        program.in[i].ring = &program.shared->rings[1 - direction][i];
    }
}

void run_two(void (*child)(void), void (*parent)(void))
{
    pid_t pid = fork();

    if (pid < 0)
        die("fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        options_pin(program.cpus[1]);
        take_side(1);
        child();
        fflush(stdout);
        _exit(EXIT_SUCCESS);
    }
    options_pin(program.cpus[0]);
    take_side(0);
    parent();
    int status;
    if (waitpid(pid, &status, 0) < 0 || status != 0) {
        fprintf(stderr, "the other process failed\n");
        exit(EXIT_FAILURE);
    }
}

void say_over(void)
{
    atomic_store_explicit(&program.shared->over, true, memory_order_relaxed);
}

int main(int argc, char **argv)
{
    const char *what = "";
    const char *cases = "64:1:head,64:32:head,64:256:head";
    const struct option_spec specs[] = {
        {"what", "calls (in one thread), throughput or latency (two processes)", NULL, &what, NULL},
        {"protocol", "descriptors as in 256 or 512 (default 512)", &program.protocol, NULL, NULL},
        {"cpu", "processor of the first process (default 0)", &program.cpus[0], NULL, NULL},
        {"cpu2", "processor of the second process (default 1)", &program.cpus[1], NULL, NULL},
        {"rounds", "calls: times that all is measured (default 5)", &program.rounds, NULL, NULL},
        {"slice", "calls: microseconds of one measurement (default 2000)", &program.slice_us, NULL,
         NULL},
        {"rings", "throughput: in each direction (default 1)", &program.rings, NULL, NULL},
        {"cases", "throughput: SIZE:BURST:head|copied,...", NULL, &cases, NULL},
        {"warm", "throughput: milliseconds before counting (default 10)", &program.times.warm_ms,
         NULL, NULL},
        {"count", "throughput: milliseconds of counting (default 40)", &program.times.count_ms,
         NULL, NULL},
        {"echo", "throughput: what is sent comes back", NULL, NULL, &program.echo},
        {"interrupt", "latency: sleep until a packet comes", NULL, NULL, &program.interrupt},
        {"size", "latency: bytes (default 64)", &program.size, NULL, NULL},
        {"samples", "latency: round trips (default 20000)", &program.samples, NULL, NULL},
        {NULL, NULL, NULL, NULL, NULL},
    };
    static const struct {
        const char *name;
        void (*run)(void);
    } parts[] = {{"calls", run_calls}, {"throughput", run_throughput}, {"latency", run_latency}};

    options_parse(argc, argv, specs);
    cases_parse(cases, &program.list);
    if (program.rings < 1 || program.rings > MAX_RINGS || program.size > BARE_BUFFER ||
        program.samples == 0 || program.list.count == 0) {
        fprintf(stderr, "expected 1 to %d --rings, at most %d --size, some --samples and --cases\n",
                MAX_RINGS, BARE_BUFFER);
        return EXIT_FAILURE;
    }
    map_memory();
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (strcmp(parts[i].name, what) == 0) {
            parts[i].run();
            return EXIT_SUCCESS;
        }
    }
    fprintf(stderr, "--what: expected calls, throughput or latency\n");
    return EXIT_FAILURE;
}
