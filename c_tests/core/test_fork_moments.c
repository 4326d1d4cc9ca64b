/* SPDX-License-Identifier: Apache-2.0 */

/* A thread forks while another one is in the middle of changing the memory of queues. */

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "forked_child.h"
#include "harness.h"
#include "memory_calls.h"
#include "segment_file.h"

#include "core/arena.h"
#include "core/errors.h"
#include "core/segment.h"
#include "core/setup.h"

enum { IDS = 3, PARENT = 1, CHILD = 2 };

static int moments;

static struct mif_queue *queue(uint32_t qid)
{
    return mif_queue_at(handle_of(0), qid, MIF_TX);
}

static void begin_to_show(void)
{
    mif_segment_open("a test");
    ck_assert(mif_segment_is_open());
}

/* ---- queues that are being opened ---- */

static int opens_queues_itself(void)
{
    FAILS_UNLESS(mif_start_over() == MIF_ERR_SUCCESS);
    FAILS_UNLESS(mif_arena_open_queues(handle_of(0), 0) == MIF_ERR_SUCCESS);
    FAILS_UNLESS(queue(0)->bytes == 0);
    queue(0)->bytes = CHILD;
    return 0;
}

static void fork_one_that_opens_queues(void)
{
    moments++;
    ck_assert(is_good_in_child(opens_queues_itself));
}

static void open_while_another_forks(void)
{
    kernel.meanwhile = fork_one_that_opens_queues;
    ck_assert_int_eq(mif_arena_open_queues(handle_of(0), 0), MIF_ERR_SUCCESS);
    kernel.meanwhile = NULL;
    ck_assert_int_eq(moments, 2);
    ck_assert_uint_eq(queue(0)->bytes, 0);
    queue(0)->bytes = PARENT;
}

MEMIF_TEST(a_child_opens_queues_that_were_being_opened)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    open_while_another_forks();
}

MEMIF_TEST(a_child_opens_queues_that_were_being_opened_and_shown)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    begin_to_show();
    open_while_another_forks();
    ck_assert_uint_eq(read_bytes(0, 0, 1), PARENT);
    mif_segment_close();
}

/* ---- queues that come to be shown, or no longer ---- */

static int writes_queues(void)
{
    for (uint32_t qid = 0; qid < IDS; qid++)
        queue(qid)->bytes = CHILD;
    return 0;
}

static void fork_one_that_writes(void)
{
    moments++;
    ck_assert(is_good_in_child(writes_queues));
    for (uint32_t qid = 0; qid < IDS; qid++)
        ck_assert_uint_ne(queue(qid)->bytes, CHILD);
}

MEMIF_TEST(a_child_does_not_write_what_is_just_shown)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    for (uint32_t qid = 0; qid < IDS; qid++)
        ck_assert_int_eq(mif_arena_open_queues(handle_of(0), qid), MIF_ERR_SUCCESS);
    kernel.meanwhile = fork_one_that_writes;
    begin_to_show();
    ck_assert_int_eq(moments, 2 * IDS);
    mif_segment_close();
    ck_assert_int_eq(moments, 4 * IDS + 1); /* the file is closed as well */
    kernel.meanwhile = NULL;
}

/* ---- what others have ---- */

static const uint8_t *others;

static int still_has_it(void)
{
    FAILS_UNLESS(others[0] == PARENT);
    FAILS_UNLESS(others[MIF_PAGE - 1] == PARENT);
    return 0;
}

/* Takes the place that pages have just left. */
static void take_their_place_and_fork(void)
{
    if (++moments == 1)
        return; /* they are still there */
    uint8_t *taken = __real_mmap64(kernel.moved, MIF_PAGE, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    ck_assert_ptr_eq(taken, kernel.moved);
    memset(taken, PARENT, MIF_PAGE);
    others = taken;
    ck_assert(is_good_in_child(still_has_it));
}

MEMIF_TEST(a_child_drops_no_memory_of_others)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    begin_to_show();
    kernel.meanwhile = take_their_place_and_fork;
    ck_assert_int_eq(mif_arena_open_queues(handle_of(0), 0), MIF_ERR_SUCCESS);
    kernel.meanwhile = NULL;
    ck_assert_int_eq(moments, 2);
    mif_segment_close();
    ck_assert_int_eq(still_has_it(), 0);
}

static int closed;

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    int answer = __real_close(fd);

    closed = fd;
    let_others_go_on();
    return answer;
}

static int still_has_descriptor(void)
{
    FAILS_UNLESS(fcntl(closed, F_GETFD) >= 0);
    return 0;
}

static void take_its_number_and_fork(void)
{
    moments++;
    ck_assert_int_eq(fcntl(0, F_DUPFD_CLOEXEC, closed), closed);
    ck_assert(is_good_in_child(still_has_descriptor));
}

MEMIF_TEST(a_child_closes_no_descriptor_of_others)
{
    ck_assert_int_eq(mif_data_path_init(), MIF_ERR_SUCCESS);
    begin_to_show();
    kernel.meanwhile = take_its_number_and_fork;
    mif_segment_close();
    kernel.meanwhile = NULL;
    ck_assert_int_eq(moments, 1);
    ck_assert_int_eq(still_has_descriptor(), 0);
}

MEMIF_TEST_MAIN("fork moments")
