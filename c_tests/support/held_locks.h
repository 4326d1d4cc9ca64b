/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Locks of the library, which the linker leads here first (--wrap=pthread_mutex_lock and the same
 * for pthread_mutex_unlock): a thread unlocks only what it has locked. Check has a lock, too.
 */

#ifndef MEMIF_C_TESTS_HELD_LOCKS_H
#define MEMIF_C_TESTS_HELD_LOCKS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST_HELD = 8 };

static _Thread_local struct {
    pthread_mutex_t *held[MOST_HELD]; /* NULL: a place that is free */
    pthread_mutex_t *last;            /* that was locked */
    void (*before)(void);             /* what another thread does before the next one is locked */
} locks;

/* In any thread: Check can end a test in its own thread only. */
static inline void fail_at_once(const char *why)
{
    fprintf(stderr, "%s\n", why);
    _exit(EXIT_FAILURE);
}

/* Puts a lock where another is. */
static inline bool replace_held(pthread_mutex_t *old, pthread_mutex_t *new)
{
    for (int i = 0; i < MOST_HELD; i++)
        if (locks.held[i] == old) {
            locks.held[i] = new;
            return true;
        }
    return false;
}

int __real_pthread_mutex_lock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_lock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_lock(pthread_mutex_t *lock)
{
    void (*before)(void) = locks.before;

    locks.before = NULL;
    if (before != NULL)
        before();
    int error = __real_pthread_mutex_lock(lock);
    if (!replace_held(NULL, lock))
        fail_at_once("a thread has locked too much");
    locks.last = lock;
    return error;
}

int __real_pthread_mutex_unlock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *lock)
{
    if (!replace_held(lock, NULL))
        fail_at_once("a thread unlocks what it has not locked");
    return __real_pthread_mutex_unlock(lock);
}

#endif
