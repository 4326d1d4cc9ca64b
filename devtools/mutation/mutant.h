/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every translation unit of a mutated build includes first. MUTANT in the environment says
 * which mutant is on: 0 or nothing for none, -1 for recording in the file MUTANTS_REACHED which of
 * them would have made a difference. State and constructor are of each unit, so nothing has to be
 * linked.
 */
#ifndef MUTANT_H
#define MUTANT_H

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int mutant_on;
static volatile unsigned char *mutants_reached;

__attribute__((constructor(101), unused)) static void mutant_begin(void)
{
    const char *wanted = getenv("MUTANT"), *path = getenv("MUTANTS_REACHED");
    struct stat file;
    mutant_on = wanted != NULL ? atoi(wanted) : 0;
    if (mutant_on >= 0)
        return;
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0 || fstat(fd, &file) != 0)
        abort();
    void *bytes = mmap(NULL, (size_t)file.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        abort();
    mutants_reached = bytes;
    close(fd);
}

/* True where a mutant is on. It is asked only where it would make a difference, if that can be
 * said. */
__attribute__((always_inline)) static inline _Bool mutant(int number)
{
    if (__builtin_expect(mutant_on < 0, 0))
        mutants_reached[number] = 1;
    return __builtin_expect(mutant_on == number, 0);
}

#endif
