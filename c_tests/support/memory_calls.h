/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Calls of the library that have the kernel change its memory, which the linker leads here first
 * (--wrap of mmap64, mremap, mprotect, madvise, pthread_mutex_lock and pthread_mutex_unlock). A
 * program says with `kernel` what becomes of them, and sees there what was asked for.
 */

#ifndef MEMIF_C_TESTS_MEMORY_CALLS_H
#define MEMIF_C_TESTS_MEMORY_CALLS_H

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

#include "core/arena.h"
#include "core/fork.h"

struct range {
    uint8_t *begin;
    size_t bytes;
};

static struct {
    bool gives_no_pages;     /* mmap of private memory fails */
    bool moves_nothing;      /* mremap fails */
    bool drops_what_was;     /* as it does, it has unmapped what was at the new place already */
    bool changes_no_right;   /* mprotect fails */
    bool takes_nothing_back; /* madvise fails */
    int moves, rights;       /* calls that did not */
    void (*meanwhile)(void); /* what another thread does just before and after these */
    uint8_t *moved;          /* where the pages were that were moved last */
    struct range window;     /* the shared mapping that was made last */
    struct range undumped, dumped;
    pthread_mutex_t *locked; /* the last of all, until it is not */
    pthread_mutex_t *lock;   /* that of the last change */
} kernel;

/* Whoever changes memory of the arena must have its lock: a thread could do so at the same time. In
 * a forked child there is no other. */
static inline void must_be_locked(void)
{
    if (mif_in_forked_child())
        return;
    if (kernel.locked == NULL)
        ck_abort_msg("memory of the arena is changed without its lock");
    kernel.lock = kernel.locked;
}

/* What they do is not done again in a child of theirs. */
static inline void let_others_go_on(void)
{
    void (*meanwhile)(void) = kernel.meanwhile;
    pthread_mutex_t *locked = kernel.locked;

    if (meanwhile == NULL)
        return;
    kernel.meanwhile = NULL;
    meanwhile();
    kernel.meanwhile = meanwhile;
    kernel.locked = locked;
}

static inline int refused(void)
{
    errno = ENOMEM;
    return -1;
}

int __real_pthread_mutex_lock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_lock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_lock(pthread_mutex_t *lock)
{
    int answer = __real_pthread_mutex_lock(lock);

    kernel.locked = lock;
    return answer;
}

int __real_pthread_mutex_unlock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *lock)
{
    kernel.locked = NULL;
    return __real_pthread_mutex_unlock(lock);
}

int __real_mprotect(void *at, size_t bytes, int protection);
int __wrap_mprotect(void *at, size_t bytes, int protection);
int __wrap_mprotect(void *at, size_t bytes, int protection)
{
    must_be_locked();
    if (kernel.changes_no_right)
        return refused();
    kernel.rights++;
    let_others_go_on();
    int answer = __real_mprotect(at, bytes, protection);
    let_others_go_on();
    return answer;
}

/* Behind private pages there are some that nobody may touch. */
void *__real_mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    const bool is_private = flags & MAP_PRIVATE && at == NULL && bytes > 0;
    const size_t more = is_private ? MIF_PAGE : 0;

    if (is_private && kernel.gives_no_pages) {
        (void)refused();
        return MAP_FAILED;
    }
    uint8_t *made = __real_mmap64(at, bytes + more, protection, flags, fd, offset);
    if (made == MAP_FAILED)
        return made;
    if (is_private)
        (void)__real_mprotect(made + bytes, more, PROT_NONE);
    else if (flags & MAP_SHARED)
        kernel.window = (struct range){made, bytes};
    return made;
}

void *__real_mremap(void *from, size_t bytes, size_t wanted, int flags, ...);
void *__wrap_mremap(void *from, size_t bytes, size_t wanted, int flags, ...);
void *__wrap_mremap(void *from, size_t bytes, size_t wanted, int flags, ...)
{
    va_list arguments;

    va_start(arguments, flags);
    void *to = va_arg(arguments, void *);
    va_end(arguments);
    must_be_locked();
    if (kernel.moves_nothing) {
        if (kernel.drops_what_was)
            (void)munmap(to, bytes);
        (void)refused();
        return MAP_FAILED;
    }
    kernel.moves++;
    kernel.moved = from;
    let_others_go_on();
    to = __real_mremap(from, bytes, wanted, flags, to);
    let_others_go_on();
    return to;
}

int __real_madvise(void *at, size_t bytes, int advice);
int __wrap_madvise(void *at, size_t bytes, int advice);
int __wrap_madvise(void *at, size_t bytes, int advice)
{
    if (kernel.takes_nothing_back)
        return refused();
    if (advice == MADV_DONTDUMP)
        kernel.undumped = (struct range){at, bytes};
    if (advice == MADV_DODUMP)
        kernel.dumped = (struct range){at, bytes};
    return __real_madvise(at, bytes, advice);
}

#endif
