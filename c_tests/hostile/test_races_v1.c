/* SPDX-License-Identifier: Apache-2.0 */

/* Shared memory that changes while it is read. */

#include "random.h"
#include "scene.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

/* ---- between check and use ---- */

enum theme { DESCRIPTORS, INDICES, HEADERS, ALL_OF_IT, THEMES };

struct flipper {
    struct testbed *bed;
    enum theme theme;
    uint32_t burst;
    uint64_t state;
    atomic_bool stop;
};

static uint32_t some(struct flipper *flipper)
{
    return (uint32_t)(random_next(&flipper->state) >> 20);
}

/* A slot that is likely to be looked at soon. */
static uint32_t near(struct flipper *flipper, enum mif_direction direction)
{
    uint16_t ours = atomic_load(testbed_our_index(flipper->bed, direction));
    return (ours + some(flipper) % (flipper->burst + 8)) & (SLOTS - 1);
}

static void flip_descriptor(struct flipper *flipper, enum mif_direction direction)
{
    const struct testbed *bed = flipper->bed;
    uint32_t slot = near(flipper, direction), length = some(flipper) % (BUFFER + 1);
    struct testbed_desc good =
        testbed_honest(bed, direction, slot, direction == MIF_RX ? length : BUFFER);
    struct testbed_desc bad = hostile(bed, some(flipper) % HOSTILE);

    /* Mostly what must not get through. */
    while (some(flipper) % 8 > 0 && wrong_with_packet(bed, &bad) == NULL)
        bad = hostile(bed, some(flipper) % HOSTILE);
    if (some(flipper) % 8 == 0)
        bad.flags = MIF_DESC_NEXT;
    for (int i = 0; i < 64; i++) {
        testbed_peer_write(bed, direction, slot, &bad);
        testbed_peer_write(bed, direction, slot, &good);
    }
}

static void flip_index(struct flipper *flipper, enum mif_direction direction)
{
    const struct testbed *bed = flipper->bed;
    _Atomic uint16_t *index = some(flipper) % 4 > 0 ? testbed_peer_index(bed, direction)
                                                    : testbed_our_index(bed, direction);
    uint16_t was = atomic_load(index);

    atomic_store(index, (uint16_t)(was + some(flipper) % (2 * SLOTS)));
    if (some(flipper) % 16 == 0)
        sched_yield(); /* for the case that both run on one processor */
    atomic_store(index, was);
}

static void flip_header(struct flipper *flipper, enum mif_direction direction)
{
    struct mif_ring *ring = flipper->bed->ring[direction];

    atomic_store(&ring->cookie, some(flipper));
    atomic_store(&ring->flags, (uint16_t)some(flipper));
    if (some(flipper) % 64 == 0)
        saturate(flipper->bed->efd[direction]);
    else if (some(flipper) % 64 == 0)
        make_blocking(flipper->bed->efd[direction], false);
}

static void flip(struct flipper *flipper)
{
    enum theme theme =
        flipper->theme == ALL_OF_IT ? (enum theme)(some(flipper) % ALL_OF_IT) : flipper->theme;
    enum mif_direction direction = some(flipper) % 2 ? MIF_RX : MIF_TX;

    if (theme == DESCRIPTORS)
        flip_descriptor(flipper, direction);
    else if (theme == INDICES)
        flip_index(flipper, direction);
    else
        flip_header(flipper, direction);
}

static void *flip_on(void *argument)
{
    struct flipper *flipper = argument;

    while (!atomic_load_explicit(&flipper->stop, memory_order_relaxed))
        flip(flipper);
    return NULL;
}

/* One turn of all four calls; true if something was received or reserved. */
static bool work(struct testbed *bed, uint32_t burst, uint32_t size)
{
    uint16_t received, reserved, sent;

    (void)testbed_receive(bed, burst, &received);
    (void)testbed_give_back(bed, burst, 0);
    (void)testbed_reserve(bed, burst, size, &reserved);
    (void)testbed_send(bed, burst, size, &sent);
    return received + reserved > 0;
}

enum { ROUNDS = 150, TURNS = 16 };

/* Adds to the number of times that the peer was found out; not before it is `wanted`, for then it
 * has met us at work. */
static void race(struct testbed *bed, enum theme theme, uint32_t burst, uint32_t *faults,
                 uint32_t wanted)
{
    static const uint32_t sizes[] = {0, 1, BUFFER, 3 * BUFFER, 65535};
    struct flipper flipper = {
        .bed = bed, .theme = theme, .burst = burst, .state = RANDOM_SEED + burst};
    pthread_t peer;

    ck_assert_int_eq(pthread_create(&peer, NULL, flip_on, &flipper), 0);
    for (uint32_t round = 0; round < ROUNDS || *faults < wanted; round++) {
        testbed_peer_turn(bed, round % (BUFFER + 1));
        for (int i = 0; i < TURNS && testbed_fault(bed) == NULL; i++)
            if (!work(bed, burst, sizes[round % 5]))
                break;
        if (testbed_fault(bed) != NULL) {
            (*faults)++;
            testbed_disconnect(bed);
            testbed_connect(bed);
        } else if (round % 64 == 0) {
            sched_yield();
        }
    }
    atomic_store(&flipper.stop, true);
    ck_assert_int_eq(pthread_join(peer, NULL), 0);
    start_anew(bed);
}

static void race_all(int way, enum theme theme)
{
    /* Headers have no wrong values that anybody looks at. */
    uint32_t faults = 0, wanted = theme == HEADERS ? 0 : 1;
    struct testbed_shape shape;
    struct scene scene;

    for (size_t i = 0; shape_of(way, &shape) && i < BURSTS; i++) {
        shape.interrupt = i % 2;
        shape.untrusted = true;
        scene_open(&scene, &shape);
        race(&scene.bed, theme, bursts[i], &faults, i == BURSTS - 1 ? wanted : 0);
        scene_close(&scene);
    }
}

MEMIF_TEST_LOOP(descriptors_that_change_under_our_eyes, 0, WAYS)
{
    race_all(_i, DESCRIPTORS);
}

MEMIF_TEST_LOOP(indices_that_change_under_our_eyes, 0, WAYS)
{
    race_all(_i, INDICES);
}

MEMIF_TEST_LOOP(headers_that_change_under_our_eyes, 0, WAYS)
{
    race_all(_i, HEADERS);
}

MEMIF_TEST_LOOP(everything_changes_under_our_eyes, 0, WAYS)
{
    race_all(_i, ALL_OF_IT);
}

/* ---- between one look and the next ---- */

/* Chance is no judge of what is read twice. Here the rings may not be accessed: each instruction
 * that does so is let through alone, and then the descriptors are other ones. */
#ifdef __x86_64__
enum { TRAP_FLAG = 0x100, LOOKS_LOG2 = 5, LOOKS = 200 };

static struct flipper watcher;
static uint64_t looks;
static const void *looked_at;
static void (*at_look)(void);

static void guard(int protection)
{
    const struct testbed_memory *rings = &watcher.bed->regions[TESTBED_RINGS];
    TESTBED_CHECK(mprotect(rings->base, rings->size, protection) == 0);
}

static void on_access(int signal, siginfo_t *info, void *context)
{
    const struct testbed_memory *rings = &watcher.bed->regions[TESTBED_RINGS];
    ucontext_t *interrupted = context;

    (void)signal;
    TESTBED_CHECK((uintptr_t)info->si_addr - (uintptr_t)rings->base < rings->size);
    guard(PROT_READ | PROT_WRITE);
    interrupted->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
    looked_at = info->si_addr;
    looks++;
}

static void put_other(enum mif_direction direction, uint32_t slot, bool good)
{
    const struct testbed *bed = watcher.bed;
    uint32_t length = direction == MIF_RX ? some(&watcher) % BUFFER : BUFFER;
    struct testbed_desc desc = testbed_honest(bed, direction, slot, length);

    if (!good && some(&watcher) % 2)
        desc = hostile(bed, some(&watcher) % HOSTILE);
    if (some(&watcher) % 16 == 0)
        desc.flags = MIF_DESC_NEXT;
    testbed_peer_write(bed, direction, slot, &desc);
}

/* Mostly all good, so that the next look does not end it, and then next to nothing is. */
static void put_others(void)
{
    bool good = some(&watcher) % 4 > 0;

    for (uint32_t slot = 0; slot < testbed_slots(watcher.bed); slot++) {
        put_other(MIF_RX, slot, good);
        put_other(MIF_TX, slot, good);
    }
}

static void on_accessed(int signal, siginfo_t *info, void *context)
{
    ucontext_t *interrupted = context;

    (void)signal;
    (void)info;
    at_look();
    guard(PROT_NONE);
    interrupted->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};

    ck_assert_int_eq(sigaction(signal, &action, NULL), 0);
}

static void watch(struct testbed *bed, void (*hook)(void))
{
    watcher = (struct flipper){.bed = bed, .state = RANDOM_SEED};
    looks = 0;
    at_look = hook;
    handle(SIGSEGV, on_access);
    handle(SIGTRAP, on_accessed);
}

MEMIF_TEST_LOOP(every_look_at_a_ring_sees_something_else, 0, WAYS)
{
    struct testbed_shape shape;
    struct testbed bed;

    if (!shape_of(_i, &shape))
        return;
    shape.log2_ring_size = LOOKS_LOG2;
    shape.interrupt = shape.untrusted = true;
    testbed_open(&bed, &shape);
    watch(&bed, put_others);
    for (uint32_t i = 0; i < LOOKS; i++) {
        testbed_peer_turn(&bed, i % BUFFER);
        guard(PROT_NONE);
        for (int turn = 0; turn < 4 && testbed_fault(&bed) == NULL; turn++)
            (void)work(&bed, bursts[i % 3], i % 2 ? BUFFER : 3 * BUFFER);
        guard(PROT_READ | PROT_WRITE);
        testbed_disconnect(&bed);
        testbed_connect(&bed);
    }
    ck_assert_uint_gt(looks, LOOKS);
    testbed_close(&bed);
}

static void grow(void)
{
    if (looked_at == testbed_peer_index(watcher.bed, MIF_RX) &&
        testbed_peer_room(watcher.bed, MIF_RX) > 0)
        begin_endless(watcher.bed, 1, 0);
}

/* Otherwise all of it is looked at again for each slot that it grows by. */
MEMIF_TEST_LOOP(a_packet_that_grows_whenever_it_is_looked_at_holds_nobody_up, 0, WAYS)
{
    struct testbed_shape shape;
    struct testbed bed;
    uint16_t n;

    if (!shape_of(_i, &shape))
        return;
    shape.interrupt = true;
    testbed_open(&bed, &shape);
    begin_endless(&bed, 1, 0);
    watch(&bed, grow);
    guard(PROT_NONE);
    (void)testbed_receive(&bed, 32, &n);
    guard(PROT_READ | PROT_WRITE);
    ck_assert_uint_eq(n, 0);
    ck_assert_uint_lt(looks, SLOTS * SLOTS / 16);
    ck_assert_ptr_null(testbed_fault(&bed));
    testbed_close(&bed);
}

static uint32_t looks_to_come;

/* The end of the packet comes right after a look at the index. */
static void finish(void)
{
    const uint64_t one = 1;

    if (looked_at != testbed_peer_index(watcher.bed, MIF_RX) || looks_to_come == 0)
        return;
    if (--looks_to_come > 0)
        return;
    uint16_t at = atomic_load(testbed_peer_index(watcher.bed, MIF_RX)) & (SLOTS - 1);
    struct testbed_desc desc = testbed_honest(watcher.bed, MIF_RX, at, 7);
    testbed_peer_write(watcher.bed, MIF_RX, at, &desc);
    testbed_peer_move(watcher.bed, MIF_RX, 1);
    TESTBED_CHECK(write(watcher.bed->efd[MIF_RX], &one, sizeof(one)) == sizeof(one));
}

MEMIF_TEST_LOOP(the_end_of_a_packet_wakes_its_receiver_whenever_it_comes, 0, WAYS)
{
    struct testbed_shape shape;
    struct testbed bed;

    if (!shape_of(_i, &shape))
        return;
    shape.interrupt = true;
    testbed_open(&bed, &shape);
    for (uint32_t look = 1; look < 8; look++) {
        uint32_t calls = 0;
        uint16_t n = 0;
        testbed_disconnect(&bed);
        testbed_connect(&bed);
        begin_endless(&bed, 1, 7);
        watch(&bed, finish);
        looks_to_come = look;
        /* Before its end is there, nobody calls but for other reasons. */
        do {
            guard(PROT_NONE);
            (void)testbed_receive(&bed, 32, &n);
            guard(PROT_READ | PROT_WRITE);
            calls++;
        } while (n == 0 && (looks_to_come > 0 || is_signalled(bed.efd[MIF_RX])));
        ck_assert_uint_gt(n, 0);
        ck_assert_uint_le(calls, 2 + look);
    }
    testbed_close(&bed);
}
#endif

MEMIF_TEST_MAIN("hostile races")
