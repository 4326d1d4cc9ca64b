/* SPDX-License-Identifier: Apache-2.0 */
/*
 * startup LIBRARY: loads the library, makes the first call, and prints "name value" lines: load and
 * init in ms, rss in KiB that both added. Not linked with the library, so as to see it come.
 */
#include <dlfcn.h>
#include <libmemif.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static long resident(void)
{
    long size, pages;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld %ld", &size, &pages) != 2)
        exit(3);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int init(const char *library)
{
    int (*memif_init_loaded)(memif_control_fd_update_t *, char *);
    long rss = resident();
    double begin = now();
    void *loaded = dlopen(library, RTLD_NOW);
    double middle = now();
    if (loaded == NULL)
        return 4;
    *(void **)&memif_init_loaded = dlsym(loaded, "memif_init");
    if (memif_init_loaded(NULL, "startup") != MEMIF_ERR_SUCCESS)
        return 5;
    printf("load %f\ninit %f\nrss %ld\n", middle - begin, now() - middle, resident() - rss);
    return 0;
}

int main(int argc, char **argv)
{
    return argc == 2 ? init(argv[1]) : 2;
}
