/* SPDX-License-Identifier: Apache-2.0 */
/*
 * threads SOCKET race: two threads make the first call at the same moment; one wins.
 * threads SOCKET small: a thread with a stack of 256 KiB does everything.
 */
#include "exchange.h"

#include <libmemif.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static pthread_barrier_t barrier;

static void *init_together(void *result)
{
    pthread_barrier_wait(&barrier);
    *(int *)result = memif_init(NULL, "threads");
    return NULL;
}

static int race(const char *socket_path)
{
    pthread_t threads[2];
    int results[2];
    pthread_barrier_init(&barrier, NULL, 2);
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, init_together, &results[i]) != 0)
            return 3;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    int winners = (results[0] == MEMIF_ERR_SUCCESS) + (results[1] == MEMIF_ERR_SUCCESS);
    int losers = (results[0] == MEMIF_ERR_ALREADY) + (results[1] == MEMIF_ERR_ALREADY);
    if (winners != 1 || losers != 1) {
        fprintf(stderr, "memif_init returned %d and %d\n", results[0], results[1]);
        return 4;
    }
    return exchange(socket_path) != 0 ? 5 : memif_cleanup();
}

static void *use_all(void *socket_path)
{
    static int status;
    status = memif_init(NULL, "threads");
    if (status == MEMIF_ERR_SUCCESS)
        status = exchange(socket_path);
    if (status == 0)
        status = memif_cleanup();
    return &status;
}

static int small(char *socket_path)
{
    pthread_attr_t attributes;
    pthread_t thread;
    void *status;
    pthread_attr_init(&attributes);
    if (pthread_attr_setstacksize(&attributes, 256 * 1024) != 0 ||
        pthread_create(&thread, &attributes, use_all, socket_path) != 0)
        return 3;
    pthread_join(thread, &status);
    return *(int *)status;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    return strcmp(argv[2], "race") == 0 ? race(argv[1]) : small(argv[1]);
}
