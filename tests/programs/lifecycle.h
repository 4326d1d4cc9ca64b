/* SPDX-License-Identifier: Apache-2.0 */
/* What lifecycle_v1.c and lifecycle_v4.c have in common: packets, and what is left at the end. */
#ifndef LIFECYCLE_H
#define LIFECYCLE_H

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_SIZE 256
#define LOG2_RING_SIZE 4
#define PACKETS 100
#define LARGEST 1500

static inline uint32_t size_of(int packet)
{
    return 1 + (uint32_t)packet * 577 % LARGEST;
}

static inline uint8_t byte_of(int packet, uint32_t offset)
{
    return (uint8_t)((uint32_t)packet * 31 + offset);
}

static inline void must(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static inline int count_descriptors(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    must(folder != NULL, "list of descriptors");
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static inline int count_shared_mappings(void)
{
    char line[512];
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    must(maps != NULL, "list of mappings");
    while (fgets(line, sizeof(line), maps) != NULL)
        count += strstr(line, "/memfd:") != NULL && strstr(line, "libmemif-stats") == NULL;
    fclose(maps);
    return count;
}

#endif
