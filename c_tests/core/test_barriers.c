/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The barriers that the control side puts on others, so that bursts need none: a processor keeps a
 * store to itself for so short a time that no game of threads finds a missing one. What they order
 * is looked at in the moment of the system call, which the linker leads here first.
 */

#include <linux/membarrier.h>
#include <unistd.h>

#include "harness.h"
#include "loopback.h"
#include "system_calls.h"

enum { VERSIONS = 2 };

static void (*at_barrier)(int command);

/* Other calls of the core come this way, too, and pass. */
static long on_system_call(long number, const long *a)
{
    if (number == SYS_membarrier && at_barrier != NULL)
        at_barrier((int)a[0]);
    return pass_on(number, a);
}

static void open_and_raise(int i)
{
    at_barrier = NULL;
    open_loopback(i == 0 ? 256 : 512);
    raise_side(SLAVE);
    raise_side(MASTER);
}

static void lower_and_close(void)
{
    at_barrier = NULL;
    lower_side(MASTER);
    lower_side(SLAVE);
    close_loopback();
}

static struct mif_queue *queue;
static unsigned barriers;

static void expect_unmasked_and_unsignalled(int command)
{
    uint64_t signals;

    ck_assert_int_eq(command, MEMBARRIER_CMD_GLOBAL_EXPEDITED);
    ck_assert_uint_eq(queue->ring->flags, MIF_RING_TELLS_ROOM);
    ck_assert_int_eq(read(queue->efd, &signals, sizeof(signals)), -1);
    barriers++;
}

/* MASK_INT cleared, then the barrier, then the look at the ring that our own signal leads to. */
MEMIF_TEST_LOOP(the_end_of_polling_is_seen_by_senders_before_the_receiver_looks, 0, VERSIONS)
{
    uint64_t signals;

    open_and_raise(_i);
    queue = mif_queue_at(loopback.handles[SLAVE], 0, MIF_RX);
    ck_assert_int_eq(mif_queue_set_polling(loopback.handles[SLAVE], 0, 1), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(queue->ring->flags,
                      MIF_RING_MASK_INT | MIF_RING_FENCED | MIF_RING_TELLS_ROOM);
    at_barrier = expect_unmasked_and_unsignalled;
    barriers = 0;
    ck_assert_int_eq(mif_queue_set_polling(loopback.handles[SLAVE], 0, 0), MIF_ERR_SUCCESS);
    ck_assert_uint_eq(barriers, 1);
    ck_assert_int_eq(read(queue->efd, &signals, sizeof(signals)), sizeof(signals));
    lower_and_close();
}

static void expect_nobody_enters(int command)
{
    ck_assert_int_eq(command, MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    for (uint32_t qid = 0; qid < QUEUES; qid++) {
        ck_assert_ptr_null(mif_enter(loopback.handles[SLAVE], qid, MIF_RX));
        ck_assert_ptr_null(mif_enter(loopback.handles[SLAVE], qid, MIF_TX));
    }
    ck_assert_ptr_nonnull(queue->slots);
    barriers++;
}

/* Owners taken away, then the barrier, then memory. */
MEMIF_TEST_LOOP(the_end_of_a_connection_is_seen_by_bursts_before_its_memory_goes, 0, VERSIONS)
{
    open_and_raise(_i);
    queue = mif_queue_at(loopback.handles[SLAVE], 0, MIF_RX);
    at_barrier = expect_nobody_enters;
    barriers = 0;
    lower_side(SLAVE);
    ck_assert_uint_eq(barriers, 1);
    at_barrier = NULL;
    raise_side(SLAVE);
    lower_and_close();
}

MEMIF_TEST_MAIN("barriers")
