/* SPDX-License-Identifier: Apache-2.0 */

/* Eventfds that block. */

#include "scene.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

MEMIF_TEST_LOOP(an_eventfd_that_blocks_holds_no_stranger_up, 0, WAYS)
{
    struct testbed_shape shape;
    struct scene scene;

    if (!shape_of(_i, &shape))
        return;
    shape.interrupt = shape.untrusted = true;
    scene_open(&scene, &shape);
    for (uint32_t turn = 0; turn < 200; turn++) { /* more than requests go unanswered */
        uint16_t n;
        make_blocking(scene.bed.efd[MIF_RX], true);
        ck_assert_int_eq(testbed_receive(&scene.bed, 32, &n), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
        testbed_peer_turn(&scene.bed, 60);
        saturate(scene.bed.efd[MIF_TX]);
        (void)testbed_reserve(&scene.bed, 1, 0, &n);
        ck_assert_int_eq(testbed_send(&scene.bed, 1, 60, &n), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
        ck_assert_uint_eq(n, 1);
        saturate(scene.bed.efd[MIF_RX]);
        ck_assert_int_eq(mif_queue_set_polling(scene.bed.handle, 0, 1), MIF_ERR_SUCCESS);
        mif_queue_drop_signal(scene.bed.handle, 0);
        saturate(scene.bed.efd[MIF_RX]);
        ck_assert_int_eq(mif_queue_set_polling(scene.bed.handle, 0, 0), MIF_ERR_SUCCESS);
        (void)receive_all(&scene.bed, 32);
        (void)testbed_give_back(&scene.bed, SLOTS, 0);
    }
    scene_close(&scene);
}

MEMIF_TEST(a_wary_signal_arrives_like_any_other)
{
    int efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    uint64_t count;

    for (uint64_t n = 1; n < 200; n++) {
        for (uint64_t i = 0; i < n; i++)
            ck_assert(mif_efd_signal_nowait(efd));
        ck_assert_int_eq(read(efd, &count, sizeof(count)), sizeof(count));
        ck_assert_uint_eq(count, n);
    }
    ck_assert_int_eq(close(efd), 0);
}

static atomic_int sender_task;
static atomic_bool is_back; /* the call of the other thread has returned */

static void *send_one(void *argument)
{
    uint16_t n;

    atomic_store(&sender_task, gettid());
    (void)testbed_send(argument, 1, 60, &n);
    atomic_store(&is_back, true);
    return NULL;
}

static bool sender_sleeps(void)
{
    char path[64], line[256] = "";

    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/stat", atomic_load(&sender_task));
    FILE *stat = fopen(path, "re");
    if (stat == NULL)
        return false;
    bool sleeps = fgets(line, sizeof(line), stat) != NULL && strstr(line, ") S") != NULL;
    ck_assert_int_eq(fclose(stat), 0);
    return sleeps;
}

/* A peer that is trusted not to do so can hold a sender up, but not the end of its connection. */
MEMIF_TEST(a_sender_that_is_held_up_is_let_go_at_the_end)
{
    struct testbed_shape shape;
    struct scene scene;
    pthread_t sender;
    uint16_t n;

    (void)shape_of(MIF_KIND_512_SLAVE, &shape);
    scene_open(&scene, &shape);
    testbed_peer_turn(&scene.bed, 60);
    (void)testbed_reserve(&scene.bed, 1, 0, &n);
    ck_assert_uint_eq(n, 1);
    saturate(scene.bed.efd[MIF_TX]);
    ck_assert_int_eq(pthread_create(&sender, NULL, send_one, &scene.bed), 0);
    while (!sender_sleeps())
        sched_yield();
    mif_connection_down(scene.bed.handle);
    ck_assert_int_eq(pthread_join(sender, NULL), 0);
    testbed_connect(&scene.bed);
    scene_close(&scene);
}

atomic_bool peer_takes_it; /* not static: fortified headers make poll an inline function */

/* The library's look at an eventfd, too: a peer takes the signal, or fills the counter, at once. */
int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    if (atomic_exchange(&peer_takes_it, false))
        return 1;
    struct timespec patience = {.tv_sec = timeout / 1000, .tv_nsec = timeout % 1000 * 1000000L};
    return ppoll(fds, count, timeout < 0 ? NULL : &patience, NULL);
}

static void *receive_nothing(void *argument)
{
    uint16_t n;

    atomic_store(&sender_task, gettid());
    (void)testbed_receive(argument, 1, &n);
    atomic_store(&is_back, true);
    return NULL;
}

/* Only where the system denies every call that does not wait is the other thread held up at all.
 * Who denies them says so with HELD_UP. */
static void expect_held_up_as_said(void)
{
    const char *said = getenv("HELD_UP");

    while (!sender_sleeps() && !atomic_load(&is_back))
        sched_yield();
    if (said != NULL)
        ck_assert_int_eq(!atomic_load(&is_back), strcmp(said, "yes") == 0);
}

MEMIF_TEST(a_sender_to_a_stranger_is_let_go_at_the_end)
{
    struct testbed_shape shape;
    struct scene scene;
    pthread_t sender;
    uint16_t n;

    (void)shape_of(MIF_KIND_512_SLAVE, &shape);
    shape.untrusted = true;
    scene_open(&scene, &shape);
    testbed_peer_turn(&scene.bed, 60);
    (void)testbed_reserve(&scene.bed, 1, 0, &n);
    ck_assert_uint_eq(n, 1);
    saturate(scene.bed.efd[MIF_TX]);
    atomic_store(&peer_takes_it, true);
    ck_assert_int_eq(pthread_create(&sender, NULL, send_one, &scene.bed), 0);
    expect_held_up_as_said();
    mif_connection_down(scene.bed.handle);
    ck_assert_int_eq(pthread_join(sender, NULL), 0);
    testbed_connect(&scene.bed);
    scene_close(&scene);
}

MEMIF_TEST(a_receiver_that_is_held_up_is_let_go_at_the_end)
{
    struct testbed_shape shape;
    struct scene scene;
    pthread_t receiver;

    (void)shape_of(MIF_KIND_512_SLAVE, &shape);
    shape.interrupt = true;
    scene_open(&scene, &shape);
    make_blocking(scene.bed.efd[MIF_RX], true);
    atomic_store(&peer_takes_it, true);
    ck_assert_int_eq(pthread_create(&receiver, NULL, receive_nothing, &scene.bed), 0);
    expect_held_up_as_said();
    mif_connection_down(scene.bed.handle);
    ck_assert_int_eq(pthread_join(receiver, NULL), 0);
    testbed_connect(&scene.bed);
    scene_close(&scene);
}

/* Whatever way the burst takes. */
MEMIF_TEST_LOOP(a_burst_says_that_its_signal_failed, 0, WAYS)
{
    struct testbed_shape shape;
    struct testbed bed;
    uint16_t n;

    for (uint16_t i = 0; shape_of(_i, &shape) && i < 16; i++) {
        uint16_t packets = (uint16_t)(1 + i / 2);
        uint32_t slots = 1 + i % 2, length = slots * BUFFER;
        testbed_open(&bed, &shape);
        ck_assert_int_eq(testbed_reserve(&bed, packets, length, &n),
                         MIF_FACE_ERROR(MIF_ERR_SUCCESS));
        bed.queue[MIF_TX]->efd = -1;
        ck_assert_int_eq(testbed_send(&bed, n, length, &n), MIF_FACE_ERROR(MIF_ERR_INT_WRITE));
        ck_assert_uint_eq(bed.held_count[MIF_TX], 0);
        ck_assert_uint_eq(bed.queue[MIF_TX]->done, packets * slots);
        testbed_close(&bed);
    }
}

MEMIF_TEST_MAIN("hostile eventfds")
