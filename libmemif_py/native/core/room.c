/* SPDX-License-Identifier: Apache-2.0 */
#include "core/room.h"

#include "core/arena.h"
#include "core/barrier.h"
#include "core/errors.h"
#include "core/fault.h"
#include "core/queue.h"
#include "core/ring.h"
#include "core/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Between two looks, in nanoseconds. */
enum { SHORTEST_NAP = 10000, LONGEST_NAP = 1000000, LONGEST_SLEEP = 20000000 };

/* Of a question that changes all the time. */
enum { MOST_READS = 3 };

static struct mif_ask *ask_beside(struct mif_ring *ring, const _Atomic uint16_t *index)
{
    return index == &ring->head ? &ring->head_ask : &ring->tail_ask;
}

/* No ring has more than 16,384 slots, so that neither can be an index. */
static uint16_t impossible(uint16_t index, enum mif_kind kind)
{
    return mif_kind_is_256(kind) ? UINT16_MAX : (uint16_t)(index + 0x8000);
}

/* ---- the receiver ---- */

uint16_t mif_room_promise(void)
{
    return mif_barrier_is_received() ? MIF_RING_TELLS_ROOM : 0;
}

static bool read_ask(const struct mif_queue *q, const _Atomic uint16_t *beside, uint16_t *index)
{
    struct mif_ask *ask = ask_beside(q->ring, beside);
    uint32_t asked = atomic_load_explicit(&ask->index, memory_order_acquire);
    *index = (uint16_t)asked;
    return asked >> 16 == MIF_ASK_VALID >> 16;
}

static void wake(struct mif_ask *ask)
{
    (void)syscall(SYS_futex, &ask->wanted, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* `limit` is the index that was asked with. */
static void answer(struct mif_queue *q, struct mif_ask *ask, uint32_t wanted)
{
    const uint32_t noted = wanted | MIF_ASK_NOTED;
    uint32_t used = (uint32_t)(q->limit - q->done);
    if (mif_capacity(q, (enum mif_kind)q->kind) - used < (wanted & ~MIF_ASK_NOTED)) {
        mif_face_answer(q, true);
        (void)atomic_compare_exchange_strong(&ask->wanted, &wanted, noted);
    } else if (atomic_compare_exchange_strong(&ask->wanted, &wanted, 0)) {
        wake(ask);
    }
}

/* A question has three words, and the sender may withdraw it and ask another between two reads:
 * they belong together if the index is the same before and after. If it never is, the next burst
 * that gives buffers back looks again. */
bool mif_room_asked(struct mif_queue *q)
{
    if (mif_direction_of(q) != MIF_RX)
        return false;
    const enum mif_kind kind = (enum mif_kind)q->kind;
    struct mif_ask *ask = ask_beside(q->ring, q->peer_index);
    for (int tries = 0; tries < MOST_READS; tries++) {
        uint32_t slots = 0;
        uint16_t index, again;
        uint16_t raw = atomic_load_explicit(q->peer_index, memory_order_acquire);
        if (mif_move_limit(q, q->limit, &slots, raw, kind))
            return true;
        if (!read_ask(q, q->peer_index, &index))
            return false;
        uint32_t wanted = atomic_load_explicit(&ask->wanted, memory_order_acquire);
        if (raw != atomic_load_explicit(q->peer_index, memory_order_acquire) ||
            !read_ask(q, q->peer_index, &again) || index != again)
            continue;
        if (!mif_move_limit(q, q->limit, &slots, index, kind))
            return false;
        if (wanted != 0)
            answer(q, ask, wanted);
        return true;
    }
    mif_face_answer(q, true);
    return true;
}

void mif_room_answer(struct mif_queue *q)
{
    atomic_thread_fence(memory_order_seq_cst); /* between our index and the question */
    (void)mif_room_asked(q);
}

uint16_t mif_room_index(const struct mif_queue *q, const _Atomic uint16_t *index)
{
    uint16_t raw = atomic_load_explicit(index, memory_order_acquire), asked;
    bool valid = read_ask(q, index, &asked);
    return valid && raw == impossible(asked, (enum mif_kind)q->kind) ? asked : raw;
}

/* ---- the sender ---- */

struct wait {
    const void *handle;
    uint16_t qid;
    uint32_t slots;    /* that are wanted */
    uint32_t free;     /* slots that a burst could reserve */
    uint32_t capacity; /* slots of the ring that can be in use */
    uint32_t *word;    /* where the answer comes */
    uint32_t asked;    /* what was written there; 0 = not asked */
};

static int look_inside(struct mif_queue *q, struct wait *w)
{
    enum mif_kind kind = (enum mif_kind)q->kind;
    if (!mif_refresh(q, kind)) {
        mif_fault(q, "ring index out of range");
        return MIF_ERR_DISCONNECTED;
    }
    w->free = (uint32_t)(q->limit - q->next);
    w->capacity = mif_capacity(q, kind);
    return MIF_ERR_SUCCESS;
}

static int look(struct wait *w)
{
    struct mif_queue *q = mif_enter(w->handle, w->qid, MIF_TX);
    if (q == NULL)
        return mif_why_not(w->handle, w->qid, MIF_TX);
    int err = look_inside(q, w);
    mif_leave(q);
    return err;
}

static bool answers(struct mif_queue *q)
{
    return mif_barrier_reaches_peers() &&
           (atomic_load_explicit(&q->ring->flags, memory_order_relaxed) & MIF_RING_TELLS_ROOM);
}

/* Asks the receiver, if it answers, and looks once more. */
static int ask(struct wait *w)
{
    struct mif_queue *q = mif_enter(w->handle, w->qid, MIF_TX);
    if (q == NULL)
        return mif_why_not(w->handle, w->qid, MIF_TX);
    int err = MIF_ERR_SUCCESS;
    if (answers(q)) {
        enum mif_kind kind = (enum mif_kind)q->kind;
        uint16_t index = mif_own_index(q, false, kind);
        struct mif_ask *beside = ask_beside(q->ring, q->own_index);
        w->asked = w->slots + (uint32_t)(q->next - q->done);
        w->word = (uint32_t *)&beside->wanted;
        atomic_store_explicit(&beside->wanted, w->asked, memory_order_release);
        atomic_store_explicit(&beside->index, MIF_ASK_VALID | index, memory_order_release);
        atomic_store_explicit(q->own_index, impossible(index, kind), memory_order_release);
        mif_barrier_on_peers();
        err = look_inside(q, w);
        if (err == MIF_ERR_SUCCESS && w->free < w->slots)
            (void)mif_wake(q); /* a receiver that sleeps is to look */
    }
    mif_leave(q);
    return err;
}

/* Our question, or one that an earlier watch has left. Where nobody asks, as in the ring of a later
 * connection, the index is published as it is. */
static void withdraw(struct wait *w)
{
    struct mif_queue *q = mif_enter(w->handle, w->qid, MIF_TX);
    w->asked = 0;
    if (q == NULL)
        return;
    mif_publish(q, false, (enum mif_kind)q->kind);
    mif_leave(q);
}

static int64_t now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* How long the receiver will take for the missing slots, if it goes on as it did since `began`. */
static int64_t nap_for(uint32_t missing, uint32_t gained, int64_t elapsed, int64_t last)
{
    int64_t each = gained > 0 ? elapsed / gained : 0;
    if (each > LONGEST_NAP) /* after days the product could overflow */
        return LONGEST_NAP;
    int64_t nap = gained > 0 ? each * missing : last * 2;
    if (nap < SHORTEST_NAP)
        return SHORTEST_NAP;
    return nap > LONGEST_NAP ? LONGEST_NAP : nap;
}

static int64_t shorter(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Sleeps so long, or until the question's word changes: true. The queue is not entered, so its
 * memory may be unmapped: the kernel reads the word, and fails then. */
static bool sleep_while(const struct wait *w, uint32_t word, int64_t most)
{
    const struct timespec time = {.tv_nsec = most};
    long err = syscall(SYS_futex, w->word, FUTEX_WAIT, word, &time, NULL, 0);
    bool changed = err != 0 && errno == EAGAIN;
    if (err != 0 && !changed && errno != ETIMEDOUT && errno != EINTR)
        (void)nanosleep(&(struct timespec){.tv_nsec = shorter(most, LONGEST_NAP)}, NULL);
    return changed;
}

/* Until the answer: true. A receiver that knows of packets enough does not read our index, so until
 * it has noted the question this is a nap. A wake-up alone may be a late one, for an earlier
 * question, or that of the tear-down: who slept looks, and sleeps again. */
static bool sleep_until_told(const struct wait *w, int64_t nap, int64_t most)
{
    return sleep_while(w, w->asked, nap) && sleep_while(w, w->asked | MIF_ASK_NOTED, most);
}

static int wait_for(struct wait *w, int timeout_ms)
{
    const int64_t began = now(), end = began + timeout_ms * 1000000LL;
    int64_t nap = SHORTEST_NAP / 2;
    uint32_t at_first = 0;
    bool told = false, misled = false;
    for (bool first = true;; first = false) {
        int err = look(w);
        if (err != MIF_ERR_SUCCESS)
            return err;
        if (w->slots > w->capacity)
            return MIF_ERR_INVAL_ARG;
        if (first)
            at_first = w->free;
        int64_t time = now(), rest = timeout_ms < 0 ? INT64_MAX : end - time;
        misled = misled || (told && w->free < w->slots);
        if (told)
            withdraw(w);
        if (w->free < w->slots && rest > 0 && w->asked == 0 && !misled)
            err = ask(w);
        if (err != MIF_ERR_SUCCESS)
            return err;
        if (w->free >= w->slots)
            return MIF_ERR_SUCCESS;
        if (rest <= 0)
            return MIF_ERR_AGAIN;
        uint32_t gained = w->free > at_first ? w->free - at_first : 0;
        nap = nap_for(w->slots - w->free, gained, time - began, nap);
        if (w->asked != 0)
            told = sleep_until_told(w, shorter(nap, rest), shorter(LONGEST_SLEEP, rest));
        else
            (void)nanosleep(&(struct timespec){.tv_nsec = shorter(nap, rest)}, NULL);
    }
}

int mif_room_wait(const void *handle, uint16_t qid, uint32_t slots, int timeout_ms)
{
    struct wait w = {.handle = handle, .qid = qid, .slots = slots};
    int err = wait_for(&w, timeout_ms);
    withdraw(&w);
    return err;
}

/* ---- a thread that waits instead ---- */

struct watch {
    struct wait wait;
    int fd; /* a copy, the thread's */
};

static void *watch(void *argument)
{
    struct watch *own = argument;
    const struct wait *w = &own->wait;
    if (w->asked != 0) {
        (void)sleep_while(w, w->asked, LONGEST_NAP);
        (void)sleep_while(w, w->asked | MIF_ASK_NOTED, LONGEST_SLEEP);
    } else {
        (void)nanosleep(&(struct timespec){.tv_nsec = LONGEST_NAP}, NULL);
    }
    (void)mif_efd_signal(own->fd);
    (void)close(own->fd);
    free(own);
    return NULL;
}

/* Signals are the program's: its handlers do not run there. */
static bool start(struct watch *own)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&thread, &attributes, watch, own);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return err == 0;
}

static int begin_to_watch(const struct wait *w, int fd)
{
    struct watch *own = malloc(sizeof(*own));
    if (own == NULL)
        return MIF_ERR_NOMEM;
    *own = (struct watch){.wait = *w, .fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)};
    if (own->fd >= 0 && start(own))
        return MIF_ERR_AGAIN;
    int err = own->fd < 0 ? mif_error_from_errno(errno) : MIF_ERR_NOMEM;
    if (own->fd >= 0)
        (void)close(own->fd);
    free(own);
    return err;
}

int mif_room_watch(const void *handle, uint16_t qid, uint32_t slots, int fd)
{
    struct wait w = {.handle = handle, .qid = qid, .slots = slots};
    int err = look(&w);
    if (err == MIF_ERR_SUCCESS && slots > w.capacity)
        return MIF_ERR_INVAL_ARG;
    if (err == MIF_ERR_SUCCESS && w.free < slots)
        err = ask(&w);
    if (err == MIF_ERR_SUCCESS && w.free < slots)
        err = begin_to_watch(&w, fd);
    if (err != MIF_ERR_AGAIN)
        withdraw(&w);
    return err;
}

void mif_room_wake(const struct mif_queue *q)
{
    wake(ask_beside(q->ring, q->own_index));
}

int mif_room(const void *handle, uint16_t qid, uint32_t *slots)
{
    struct wait w = {.handle = handle, .qid = qid};
    int err = look(&w);
    *slots = err == MIF_ERR_SUCCESS ? w.free : 0;
    return err;
}
