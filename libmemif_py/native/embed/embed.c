/* SPDX-License-Identifier: Apache-2.0 */
#include <Python.h>

#include "embed/embed.h"

#include "core/debug.h"
#include "core/errors.h"
#include "core/fork.h"
#include "core/setup.h"
#include "embed/imports.h"
#include "embed/interpreter.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* What a start takes at once, with room to spare: without it Python ends the process, or cannot be
 * started a second time. */
#define START_FDS 8
#define START_BYTES ((size_t)32 << 20)

enum state { NOT_STARTED, RUNNING, FAILED };

static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int state = NOT_STARTED;
static atomic_bool closing;
static bool python_was_running; /* written once, under start_lock */

void mif_embed_closing(void)
{
    atomic_store(&closing, true);
}

bool mif_embed_in_python_program(void)
{
    return python_was_running;
}

/* Checks that there is enough of what a start takes. Otherwise returns a code, nothing was begun,
 * and a later call may start. */
static int gather_resources(void)
{
    int fds[START_FDS];
    mif_debug_init();
    int err = mif_data_path_init(), count = 0;
    if (err != MIF_ERR_SUCCESS)
        return err;
    while (count < START_FDS && (fds[count] = eventfd(0, EFD_CLOEXEC)) >= 0)
        count++;
    if (count < START_FDS)
        err = mif_call_failed("eventfd2");
    while (count > 0)
        (void)close(fds[--count]);
    void *room = mmap(NULL, START_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return MIF_ERR_NOMEM;
    (void)munmap(room, START_BYTES);
    return err;
}

static bool start_all(void)
{
    static struct mif_embed_paths paths; /* large for a small stack; used once, under start_lock */
    return mif_embed_start_python(&paths, &python_was_running) &&
           mif_embed_import_control_plane(&paths);
}

int mif_embed_start(void)
{
    int err = MIF_ERR_SUCCESS;
    if (mif_in_forked_child())
        return MIF_ERR_SYSCALL;
    if (atomic_load_explicit(&state, memory_order_acquire) == NOT_STARTED) {
        /* A Python program may call with the GIL held, which the thread that starts needs. */
        PyThreadState *saved =
            Py_IsInitialized() && PyGILState_Check() ? PyEval_SaveThread() : NULL;
        pthread_mutex_lock(&start_lock);
        if (state == NOT_STARTED)
            err = gather_resources();
        if (state == NOT_STARTED && err == MIF_ERR_SUCCESS)
            atomic_store_explicit(&state, start_all() ? RUNNING : FAILED, memory_order_release);
        pthread_mutex_unlock(&start_lock);
        if (saved != NULL)
            PyEval_RestoreThread(saved);
    }
    return err == MIF_ERR_SUCCESS ? mif_embed_check() : err;
}

int mif_embed_check(void)
{
    if (atomic_load_explicit(&state, memory_order_acquire) != RUNNING || atomic_load(&closing) ||
        mif_in_forked_child())
        return MIF_ERR_SYSCALL;
    return MIF_ERR_SUCCESS;
}
