/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Where the kernel has no membarrier, or a filter denies it: nobody promises to tell of room, and
 * nobody asks. The linker leads the system call here.
 */

#include <errno.h>
#include <unistd.h>

#include "sender.h"
#include "system_calls.h"

static unsigned sleeps;

static long on_system_call(long number, const long *a)
{
    if (number == SYS_membarrier) {
        errno = ENOSYS;
        return -1;
    }
    sleeps += number == SYS_futex && a[3] != 0;
    return pass_on(number, a);
}

MEMIF_TEST_LOOP(a_receiver_promises_nothing, 0, WAYS)
{
    open_way(_i);
    ck_assert_uint_eq(mif_room_promise(), 0);
    ck_assert_uint_eq(sender()->ring->flags & (MIF_RING_TELLS_ROOM | MIF_RING_FENCED), 0);
    close_way();
}

/* The receiver may be a process that has it. */
MEMIF_TEST_LOOP(a_sender_does_not_ask, 0, WAYS)
{
    open_way(_i);
    send_packets(capacity);
    atomic_store(&sender()->ring->flags, MIF_RING_TELLS_ROOM);
    sleeps = 0;
    ck_assert_int_eq(wait_for(1, 1), MIF_ERR_AGAIN);
    ck_assert_uint_eq(sleeps, 0);
    struct mif_ring *ring = sender()->ring;
    ck_assert_uint_eq(ring->head_ask.wanted + ring->tail_ask.wanted, 0);
    close_way();
}

MEMIF_TEST_MAIN("no barriers")
