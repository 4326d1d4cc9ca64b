/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sender's part of core/room.c. The queue is entered several times, and whenever it is its
 * counters are any: it may be down, or up again. MODEL_ROUNDS of a wait are followed.
 */
#define MODEL_ROOM
#define MODEL_SENDER
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#define MODEL_ROUNDS 3

/* ---- the system ---- */

static int64_t model_clock;
static int model_copies;    /* of the eventfd that are open */
static uint32_t model_held; /* allocations that were not freed */
static uint32_t model_threads;

static int any_result(void)
{
    int result;
    return result;
}

static int model_copy_fd(void)
{
    int fd;
    __CPROVER_assume(fd >= -1);
    model_copies += fd >= 0;
    return fd;
}

static int model_close(int fd)
{
    __CPROVER_assert(fd >= 0 && model_copies > 0, "a copy is closed once");
    model_copies--;
    return any_result();
}

static void *model_allocate(size_t size)
{
    void *memory = malloc(size); /* or NULL */
    model_held += memory != NULL;
    return memory;
}

static void model_free(void *memory)
{
    __CPROVER_assert(memory == NULL || model_held > 0, "memory is freed once");
    model_held -= memory != NULL;
    free(memory);
}

static int model_create(void)
{
    bool fails;
    model_threads += !fails;
    return fails ? EAGAIN : 0;
}

long syscall(long number, ...)
{
    long result;
    (void)number;
    return result;
}

#define nanosleep(time, rest)                                                                      \
    ({                                                                                             \
        const struct timespec *model_time = (time);                                                \
        __CPROVER_assert(model_time->tv_sec == 0 && model_time->tv_nsec >= 0 &&                    \
                             model_time->tv_nsec < 1000000000,                                     \
                         "a nap has a length that the kernel takes");                              \
        any_result();                                                                              \
    })
#define fcntl(fd, command, least) model_copy_fd()
#define close(fd) model_close(fd)
#define malloc(size) model_allocate(size)
#define free(memory) model_free(memory)
#define pthread_attr_init(attributes) any_result()
#define pthread_attr_destroy(attributes) any_result()
#define pthread_attr_setdetachstate(attributes, state) any_result()
#define pthread_sigmask(how, set, before) any_result()
#define sigfillset(set) any_result()
#define pthread_create(thread, attributes, function, argument) model_create()

void mif_face_answer(struct mif_queue *q, bool answers)
{
    (void)q;
    (void)answers;
}

bool mif_barrier_reaches_peers(void)
{
    bool any;
    return any;
}

bool mif_barrier_is_received(void)
{
    bool any;
    return any;
}

void mif_barrier_on_peers(void)
{
    __CPROVER_assert(model_published > 0, "the barrier comes after the question");
}

int mif_error_from_errno(int number)
{
    int err;
    (void)number;
    __CPROVER_assume(err > 0 && err < MIF_ERR_COUNT && err != MIF_ERR_AGAIN);
    return err;
}

enum mif_direction model_direction_of(const void *queue)
{
    (void)queue;
    return MIF_TX;
}

#include "core/room.c"

#include "unchecked_begin.h"

/* ---- the queue ---- */

static bool model_entered; /* whether the last call got in */

struct mif_queue *model_enter(const void *handle, uint32_t qid, enum mif_direction direction)
{
    bool is_up;
    uint64_t next, done, limit;
    uint16_t raw;
    (void)handle;
    (void)qid;
    __CPROVER_assert(direction == MIF_TX, "it is a queue that sends");
    __CPROVER_assert(model_queue.busy == 0, "the queue was left");
    model_entered = is_up;
    if (!is_up)
        return NULL;
    model_queue.next = next;
    model_queue.done = done;
    model_queue.limit = limit;
    model_queue.peer_raw = raw;
    __CPROVER_assume(done <= limit && limit <= (uint64_t)1 << 62);
    __CPROVER_assume(counters_are_right(&model_queue));
    model_queue.busy = 1;
    model_published = 0;
    model_before = model_queue;
    return &model_queue;
}

static void begin(void)
{
    set_up_queue();
    model_queue.slots = NULL;
    model_queue.chain_of = NULL;
    model_queue.descs = NULL;
    model_queue.regions = NULL;
    model_queue.busy = 0;
    model_clock = 0;
    begin_burst();
}

static void check_end(void)
{
    const struct mif_queue *q = &model_queue;
    __CPROVER_assert(q->busy == 0, "the queue was left");
    if (!model_entered)
        return;
    __CPROVER_assert(q->done == model_before.done && q->next == model_before.next,
                     "only the limit moves");
    __CPROVER_assert(counters_are_right(q), "the counters are in order");
}

static uint16_t index_of(uint64_t done)
{
    return MODEL_IS_256 ? (uint16_t)(done & (MODEL_SLOTS - 1)) : (uint16_t)done;
}

static struct wait any_wait(void)
{
    void *handle;
    uint16_t qid;
    uint32_t slots;
    return (struct wait){.handle = handle, .qid = qid, .slots = slots};
}

static void check_looked(int err, const struct wait *w)
{
    __CPROVER_assert(err >= 0 && err < MIF_ERR_COUNT, "it is an error code");
    __CPROVER_assert(err != MIF_ERR_AGAIN, "a wait goes on");
    if (err == MIF_ERR_SUCCESS && model_entered)
        __CPROVER_assert(w->capacity == mif_capacity(&model_queue, MODEL_KIND) &&
                             w->free <= w->capacity,
                         "the room is some of the ring");
}

void prove_look(void)
{
    begin();
    struct wait w = any_wait();
    int err = look(&w);
    check_looked(err, &w);
    __CPROVER_assert(err != MIF_ERR_SUCCESS || model_entered, "or there is an error");
    __CPROVER_assert(model_published == 0, "nothing is published by looking");
    check_end();
}

void prove_ask(void)
{
    begin();
    struct wait w = any_wait();
    __CPROVER_assume(w.slots > 0 && w.slots <= mif_capacity(&model_queue, MODEL_KIND));
    int err = ask(&w);
    if (w.asked != 0)
        __CPROVER_assert(w.word == (uint32_t *)(model_queue.own_index == &model_ring.head
                                                    ? &model_ring.head_ask.wanted
                                                    : &model_ring.tail_ask.wanted),
                         "the answer comes where it was asked");
    __CPROVER_assert(err != MIF_ERR_AGAIN, "a wait goes on");
    if (model_published > 0) {
        check_looked(err, &w);
        __CPROVER_assert(model_published == 1 && model_question == 2,
                         "the question is published once, when it is complete");
        __CPROVER_assert(MODEL_IS_256
                             ? model_index > MODEL_SLOTS
                             : (uint16_t)(model_index - index_of(model_queue.done)) == 0x8000,
                         "the index is impossible");
    }
    check_end();
}

void prove_withdraw(void)
{
    begin();
    struct wait w = any_wait();
    withdraw(&w);
    __CPROVER_assert(w.asked == 0, "nothing is asked");
    __CPROVER_assert(!model_entered ||
                         (model_published == 1 && model_index == index_of(model_queue.done)),
                     "the index is published as it is");
    check_end();
}

/* Without a thread that waits the question is withdrawn, and all is given back. */
void prove_watch(void)
{
    void *handle;
    uint16_t qid;
    uint32_t slots;
    int fd;
    begin();
    __CPROVER_assume(slots <= UINT16_MAX);
    model_copies = 0;
    int err = mif_room_watch(handle, qid, slots, fd);
    __CPROVER_assert((err == MIF_ERR_AGAIN) == (model_threads == 1), "a thread waits or none");
    __CPROVER_assert(model_copies == (err == MIF_ERR_AGAIN) && model_held == (err == MIF_ERR_AGAIN),
                     "only a thread keeps something");
    __CPROVER_assert(err == MIF_ERR_AGAIN || !model_entered || !model_asks,
                     "the question was withdrawn");
    check_end();
}

void prove_thread(void)
{
    uint32_t word;
    begin();
    struct watch *own = malloc(sizeof(*own));
    __CPROVER_assume(own != NULL);
    own->wait = any_wait();
    uint32_t asked;
    own->wait.asked = asked;
    own->wait.word = &word;
    own->fd = model_copy_fd();
    __CPROVER_assume(own->fd >= 0);
    (void)watch(own);
    __CPROVER_assert(model_copies == 0 && model_held == 0, "the thread gives all back");
}

void prove_index(void)
{
    bool is_head;
    begin();
    (void)mif_room_index(&model_queue, is_head ? &model_ring.head : &model_ring.tail);
    __CPROVER_assert(model_published == 0 && model_question == 0, "nothing is written");
}

/* ---- a wait: its steps as stubs ---- */

static uint32_t model_looks, model_word;
static bool model_wait_asked, model_withdrawn;

int64_t model_now(void)
{
    int64_t next;
    __CPROVER_assume(next >= model_clock && next <= (int64_t)1 << 61);
    model_clock = next;
    return next;
}

int64_t model_nap_for(uint32_t missing, uint32_t gained, int64_t elapsed, int64_t last)
{
    int64_t nap;
    (void)gained;
    __CPROVER_assert(missing > 0 && elapsed >= 0, "a nap is for slots that are missing");
    __CPROVER_assert(last > 0 && last <= LONGEST_NAP, "the last nap was one");
    __CPROVER_assume(nap >= SHORTEST_NAP && nap <= LONGEST_NAP);
    return nap;
}

void prove_nap_for(void)
{
    uint32_t missing, gained;
    int64_t elapsed, last;
    __CPROVER_assume(missing > 0 && elapsed >= 0 && last > 0 && last <= LONGEST_NAP);
    int64_t nap = nap_for(missing, gained, elapsed, last);
    __CPROVER_assert(nap >= SHORTEST_NAP && nap <= LONGEST_NAP, "a nap is neither short nor long");
}

static int any_error(void)
{
    int err;
    __CPROVER_assume(err >= 0 && err < MIF_ERR_COUNT && err != MIF_ERR_AGAIN);
    return err;
}

int model_look(struct wait *w)
{
    int err = any_error();
    if (model_looks++ == MODEL_ROUNDS)
        return MIF_ERR_DISCONNECTED;
    uint32_t free, capacity;
    __CPROVER_assume(free <= capacity && capacity <= 1u << 14);
    w->free = free;
    w->capacity = capacity;
    return err;
}

int model_ask(struct wait *w)
{
    int err = any_error();
    uint32_t free, asked;
    __CPROVER_assert(!model_wait_asked, "a question is asked when none is");
    __CPROVER_assert(w->slots > w->free && w->slots <= w->capacity, "slots that may come");
    __CPROVER_assume(free <= w->capacity);
    w->free = free;
    w->asked = asked;
    w->word = &model_word;
    model_wait_asked = asked != 0;
    model_withdrawn = false;
    return err;
}

void model_withdraw(struct wait *w)
{
    w->asked = 0;
    model_wait_asked = false;
    model_withdrawn = true;
}

bool model_sleep_until_told(const struct wait *w, int64_t nap, int64_t most)
{
    bool told;
    __CPROVER_assert(w->asked != 0 && w->word == &model_word && model_wait_asked,
                     "who sleeps has asked");
    __CPROVER_assert(nap > 0 && nap < 1000000000, "a nap has a length that the kernel takes");
    __CPROVER_assert(most > 0 && most < 1000000000, "a sleep has a length that the kernel takes");
    return told;
}

void prove_wait(void)
{
    void *handle;
    uint16_t qid;
    uint32_t slots;
    int timeout;
    model_clock = 0;
    int err = mif_room_wait(handle, qid, slots, timeout);
    __CPROVER_assert(err >= 0 && err < MIF_ERR_COUNT, "it is an error code");
    __CPROVER_assert(err != MIF_ERR_AGAIN || timeout >= 0, "who waits for ever has no time limit");
    __CPROVER_assert(model_withdrawn, "the question was withdrawn");
}

#include "unchecked_end.h"
