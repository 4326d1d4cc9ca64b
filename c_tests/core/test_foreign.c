/* SPDX-License-Identifier: Apache-2.0 */

/*
 * No wake-up is lost between this library and a peer that knows nothing of MIF_RING_FENCED: such a
 * peer is played here, straight on the ring, by the rules that all of them follow.
 *
 * WAKEUP_ROUNDS in the environment says how long the games are.
 */

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "harness.h"
#include "loopback.h"
#include "random.h"

#include "core/ring.h"

enum { FEW_ROUNDS = 20000, PATIENCE_MS = 20000, VERSIONS = 2 };

static uint32_t rounds(void)
{
    return memif_times("WAKEUP_ROUNDS", FEW_ROUNDS);
}

static void linger(uint64_t *state)
{
    for (uint32_t left = random_below(state, 2000); left > 0; left--)
        atomic_signal_fence(memory_order_seq_cst);
}

static struct {
    _Atomic uint32_t answered; /* packets that the other side has seen */
    atomic_bool is_lost;       /* nothing woke somebody */
} game;

/* Closely, so that what both do next falls into the same moment. */
static void wait_for_answer(uint32_t count)
{
    for (uint32_t looks = 0; game.answered < count && !game.is_lost; looks++)
        if (looks > 3000)
            sched_yield();
}

static bool is_woken(int efd)
{
    struct pollfd ready = {.fd = efd, .events = POLLIN};
    return poll(&ready, 1, PATIENCE_MS) == 1;
}

/* ---- our slave sends, a foreign master receives ---- */

static void begin(int i)
{
    open_loopback(i == 0 ? 256 : 512);
    raise_side(SLAVE);
    game.answered = 0;
    game.is_lost = false;
}

static void end(void)
{
    lower_side(SLAVE);
    close_loopback();
}

static struct mif_ring *ring_of(enum mif_direction direction)
{
    return mif_queue_at(loopback.handles[SLAVE], 0, direction)->ring;
}

/* Whether there is something after so many packets: 256 counts slots, 512 counts on. */
static bool has_come(const _Atomic uint16_t *index, uint32_t seen)
{
    uint16_t mask = loopback.version == MIF_VERSION_256 ? (1 << LOG2_SLOTS) - 1 : UINT16_MAX;
    return (atomic_load_explicit(index, memory_order_acquire) & mask) != (seen & mask);
}

static uint16_t shown(uint32_t count)
{
    return (uint16_t)(loopback.version == MIF_VERSION_256 ? count & ((1 << LOG2_SLOTS) - 1)
                                                          : count);
}

/* Polls with the signals masked, or unmasks them, looks once more, and sleeps. */
static void wait_as_foreigner(struct mif_ring *ring, int efd, uint32_t seen, uint64_t *random)
{
    atomic_store_explicit(&ring->flags, MIF_RING_MASK_INT, memory_order_relaxed);
    for (uint32_t looks = random_below(random, 2000); looks > 0; looks--)
        if (has_come(&ring->head, seen))
            return;
    (void)atomic_exchange(&ring->flags, 0); /* with a full barrier */
    while (!has_come(&ring->head, seen) && !game.is_lost) {
        if (!is_woken(efd))
            game.is_lost = true;
        mif_efd_drain(efd);
    }
}

static void *receive_as_foreigner(void *argument)
{
    struct mif_ring *ring = ring_of(MIF_TX);
    uint64_t random = RANDOM_SEED + 1;

    for (uint32_t seen = 0; seen < rounds() && !game.is_lost; seen++) {
        if (!has_come(&ring->head, seen))
            wait_as_foreigner(ring, loopback.efds[0], seen, &random);
        atomic_store_explicit(&ring->tail, shown(seen + 1), memory_order_release);
        game.answered = seen + 1;
    }
    return argument;
}

static void send_one(enum side side)
{
    memif_buffer_t buf;
    uint16_t count = 0;

    ck_assert_int_eq(
        mif_call(loopback.handles[side], 0, MIF_TX, MIF_CALL_RESERVE, 64, &buf, 1, &count), 0);
    buf.data_len = 64;
    ck_assert_int_eq(mif_call(loopback.handles[side], 0, MIF_TX, MIF_CALL_TX, 0, &buf, 1, &count),
                     0);
}

MEMIF_TEST_LOOP(a_receiver_that_promises_no_barrier_is_woken, 0, VERSIONS)
{
    pthread_t thread;
    uint64_t random = RANDOM_SEED + 2;

    begin(_i);
    ck_assert_int_eq(pthread_create(&thread, NULL, receive_as_foreigner, NULL), 0);
    for (uint32_t round = 0; round < rounds() && !game.is_lost; round++) {
        linger(&random);
        send_one(SLAVE);
        wait_for_answer(round + 1);
    }
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert(!game.is_lost);
    end();
}

/* ---- a foreign master sends, our slave receives and changes its mode ---- */

static void *send_as_foreigner(void *argument)
{
    struct mif_ring *ring = ring_of(MIF_RX);
    _Atomic uint16_t *own = loopback.version == MIF_VERSION_256 ? &ring->head : &ring->tail;
    uint64_t random = RANDOM_SEED + 3;

    for (uint32_t sent = 1; sent <= rounds() && !game.is_lost; sent++) {
        linger(&random);
        (void)atomic_exchange(own, shown(sent)); /* with a full barrier */
        if (!(atomic_load_explicit(&ring->flags, memory_order_relaxed) & MIF_RING_MASK_INT))
            (void)mif_efd_signal(loopback.efds[QUEUES]);
        wait_for_answer(sent);
    }
    return argument;
}

static bool receive_one(void)
{
    memif_buffer_t buf;
    uint16_t count = 0, freed = 0;
    void *handle = loopback.handles[SLAVE];

    ck_assert_int_eq(mif_call(handle, 0, MIF_RX, MIF_CALL_RX, 0, &buf, 1, &count), 0);
    if (count == 1)
        ck_assert_int_eq(mif_call(handle, 0, MIF_RX, MIF_CALL_GIVE_BACK, 0, &buf, 1, &freed), 0);
    return count == 1;
}

MEMIF_TEST_LOOP(a_sender_that_knows_of_no_promise_wakes_us_after_polling, 0, VERSIONS)
{
    pthread_t thread;
    uint64_t random = RANDOM_SEED + 4;

    begin(_i);
    ck_assert_int_eq(pthread_create(&thread, NULL, send_as_foreigner, NULL), 0);
    while (game.answered < rounds()) {
        bool came = receive_one();
        if (!came && random_below(&random, 2) == 0) {
            ck_assert_int_eq(mif_queue_set_polling(loopback.handles[SLAVE], 0, 1), 0);
            for (uint32_t looks = random_below(&random, 100); looks > 0 && !came; looks--)
                came = receive_one();
            ck_assert_int_eq(mif_queue_set_polling(loopback.handles[SLAVE], 0, 0), 0);
        }
        if (came)
            game.answered++;
        else if (!is_woken(loopback.efds[QUEUES]))
            break;
    }
    game.is_lost = game.answered < rounds();
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert(!game.is_lost);
    end();
}

MEMIF_TEST_MAIN("foreign peers")
