/* SPDX-License-Identifier: Apache-2.0 */

/* The tests of waiting for room, for both interfaces, beside those of ext_tests.h. */

#ifndef MEMIF_C_TESTS_EXT_ROOM_TESTS_H
#define MEMIF_C_TESTS_EXT_ROOM_TESTS_H

#include "ext_tests.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

/* ---- waiting for room ---- */

MEMIF_TEST_LOOP(waiting_for_room_ends_in_time_or_says_what_is_wrong, 0, WAYS)
{
    struct pair pair = {0};
    struct shape shape = small_shape(_i);

    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    ck_assert_int_eq(memif_ext_wait_room(flow.from, 0, flow.capacity, -1), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(memif_ext_wait_room(flow.from, 0, flow.capacity + 1, -1), MEMIF_ERR_INVAL_ARG);
    send_packets(flow.from, 0, (uint16_t)(flow.capacity - 1), 64, 7);
    ck_assert_int_eq(memif_ext_wait_room(flow.from, 0, 1, 0), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(memif_ext_wait_room(flow.from, 0, 2, 0), MEMIF_ERR_AGAIN);
    ck_assert_int_eq(memif_ext_wait_room(flow.from, 0, 2, 3), MEMIF_ERR_AGAIN);
    expect_packets(flow.to, 0, (uint16_t)(flow.capacity - 1), 64, 7);
    ck_assert_int_eq(memif_ext_wait_room(flow.from, 0, flow.capacity, 0), MEMIF_ERR_SUCCESS);
    pair_close(&pair);
}

struct waiter {
    memif_conn_handle_t conn;
    uint32_t packets;
    int answer;
    _Atomic pid_t thread;
};

static void *wait_for_room(void *argument)
{
    struct waiter *waiter = argument;

    atomic_store(&waiter->thread, gettid());
    waiter->answer = memif_ext_wait_room(waiter->conn, 0, waiter->packets, -1);
    return NULL;
}

static pthread_t begin_to_wait(struct waiter *waiter)
{
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, wait_for_room, waiter), 0);
    while (atomic_load(&waiter->thread) == 0)
        continue;
    wait_until_asleep(waiter->thread);
    return thread;
}

MEMIF_TEST_LOOP(a_sleeping_sender_wakes_when_there_is_room, 0, WAYS)
{
    struct pair pair = {0};
    struct shape shape = small_shape(_i);

    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    struct waiter waiter = {.conn = flow.from, .packets = 5, .answer = -1};
    send_packets(flow.from, 0, (uint16_t)flow.capacity, 64, 1);
    pthread_t thread = begin_to_wait(&waiter);
    expect_packets(flow.to, 0, (uint16_t)flow.capacity, 64, 1);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(waiter.answer, MEMIF_ERR_SUCCESS);
    pair_close(&pair);
}

MEMIF_TEST_LOOP(a_sleeping_sender_wakes_when_the_connection_ends, 0, WAYS)
{
    struct pair pair = {0};
    struct shape shape = small_shape(_i);

    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    struct waiter waiter = {.conn = flow.from, .packets = 1, .answer = -1};
    struct end *leaving = flow.from == pair.slave.conn ? &pair.master : &pair.slave;
    struct end *staying = leaving == &pair.slave ? &pair.master : &pair.slave;
    send_packets(flow.from, 0, (uint16_t)flow.capacity, 64, 1);
    pthread_t thread = begin_to_wait(&waiter);
    end_delete(leaving);
    RUN_UNTIL(!end_is_up(staying));
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(waiter.answer, MEMIF_ERR_DISCONNECTED);
    pair_close_rest(&pair, staying);
}

/* ---- a descriptor to poll for room ---- */

static bool wait_readable(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};

    return poll(&ready, 1, -1) == 1; /* the test as a whole has a limit */
}

MEMIF_TEST_LOOP(a_program_that_polls_hears_when_there_is_room, 0, WAYS)
{
    struct pair pair = {0};
    struct shape shape = small_shape(_i);
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), err;
    uint64_t times;

    ck_assert_int_ge(fd, 0);
    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, _i);
    ck_assert_int_eq(memif_ext_watch_room(flow.from, 0, flow.capacity, fd), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(read(fd, &times, sizeof(times)), -1);
    send_packets(flow.from, 0, (uint16_t)(flow.capacity - 1), 64, 1);
    ck_assert_int_eq(memif_ext_watch_room(flow.from, 0, flow.capacity, fd), MEMIF_ERR_AGAIN);
    send_packets(flow.from, 0, 1, 64, flow.capacity); /* the queue is the program's meanwhile */
    ck_assert(wait_readable(fd));
    ck_assert_int_eq(read(fd, &times, sizeof(times)), sizeof(times));
    ck_assert_int_eq(memif_ext_watch_room(flow.from, 0, 3, fd), MEMIF_ERR_AGAIN);
    expect_packets(flow.to, 0, (uint16_t)flow.capacity, 64, 1);
    ck_assert(wait_readable(fd));
    while ((err = memif_ext_watch_room(flow.from, 0, 3, fd)) == MEMIF_ERR_AGAIN)
        ck_assert(wait_readable(fd));
    ck_assert_int_eq(err, MEMIF_ERR_SUCCESS);
    send_packets(flow.from, 0, 3, 64, 99);
    expect_packets(flow.to, 0, 3, 64, 99);
    ck_assert_int_eq(close(fd), 0);
    pair_close(&pair);
}

MEMIF_TEST(room_that_cannot_be_watched_is_an_error)
{
    struct pair pair = {0};
    struct shape shape = small_shape(0);
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    pair_open(&pair, &shape);
    struct flow flow = flow_of(&pair, &shape, 0);
    ck_assert_int_eq(memif_ext_watch_room(NULL, 0, 1, fd), MEMIF_ERR_NOCONN);
    ck_assert_int_eq(memif_ext_watch_room(flow.from, 1, 1, fd), MEMIF_ERR_QID);
    ck_assert_int_eq(memif_ext_watch_room(flow.from, 0, flow.capacity + 1, fd),
                     MEMIF_ERR_INVAL_ARG);
    send_packets(flow.from, 0, (uint16_t)flow.capacity, 64, 1);
    ck_assert_int_ne(memif_ext_watch_room(flow.from, 0, 1, -1), MEMIF_ERR_AGAIN);
    expect_packets(flow.to, 0, (uint16_t)flow.capacity, 64, 1);
    ck_assert_int_eq(close(fd), 0);
    pair_close(&pair);
}

#endif
