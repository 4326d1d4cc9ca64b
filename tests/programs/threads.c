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

struct beginner {
    const char *socket_path;
    int result;
};

static pthread_barrier_t barrier;

static void *begin_together(void *argument)
{
    struct beginner *beginner = argument;
    pthread_barrier_wait(&barrier);
    beginner->result = library_begin(beginner->socket_path);
    return NULL;
}

static int race(const char *socket_path)
{
    pthread_t threads[2];
    struct beginner beginners[2] = {{.socket_path = socket_path}, {.socket_path = socket_path}};
    pthread_barrier_init(&barrier, NULL, 2);
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, begin_together, &beginners[i]) != 0)
            return 3;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    int a = beginners[0].result, b = beginners[1].result;
    if (!(a == MEMIF_ERR_SUCCESS && b == MEMIF_ERR_ALREADY) &&
        !(a == MEMIF_ERR_ALREADY && b == MEMIF_ERR_SUCCESS)) {
        fprintf(stderr, "the first calls returned %d and %d\n", a, b);
        return 4;
    }
    return exchange(socket_path) != 0 ? 5 : library_end();
}

static void *use_all(void *socket_path)
{
    static int status;
    status = library_begin(socket_path);
    if (status == MEMIF_ERR_SUCCESS)
        status = exchange(socket_path);
    if (status == 0)
        status = library_end();
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
