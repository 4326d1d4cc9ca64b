/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A question that changes while the receiver reads it. The sender's index and its question lie on
 * two pages here, of which one is out of reach at any time: so the test has its turn whenever the
 * receiver goes from one to the other.
 */

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sender.h"

enum { INDEX, QUESTION, PAGES, WANTED = 4, MANY = 99, MOST_TRIES = 3, PATIENCE = 10 };

static uint8_t *pages[PAGES];
static size_t page_size;
static unsigned turns[PAGES];
static void (*at_turn)(void);

static _Atomic uint16_t *raw_index(void)
{
    return (_Atomic uint16_t *)(void *)pages[INDEX];
}

static struct mif_ask *question(void)
{
    return &((struct mif_ring *)(void *)pages[QUESTION])->tail_ask;
}

static void reach(int page, bool in_reach)
{
    if (mprotect(pages[page], page_size, in_reach ? PROT_READ | PROT_WRITE : PROT_NONE) != 0)
        abort();
}

static void take_turn(int signal, siginfo_t *info, void *context)
{
    const uint8_t *at = info->si_addr;

    (void)signal;
    (void)context;
    for (int page = 0; page < PAGES; page++) {
        if (at < pages[page] || at >= pages[page] + page_size)
            continue;
        reach(INDEX, true);
        reach(QUESTION, true);
        turns[page]++;
        if (at_turn != NULL)
            at_turn();
        reach(page == INDEX ? QUESTION : INDEX, false);
        return;
    }
    abort();
}

/* ---- the scene ---- */

static struct mif_queue *q;
static uint16_t true_index, asking;
static struct mif_ring *ring;
static _Atomic uint16_t *peer_index;
static mif_burst_fn *usual;

/* A receiver that has all that was sent, and a question of which it is to hear. */
static void open_asking(int way, void (*hook)(void))
{
    const struct sigaction action = {.sa_sigaction = take_turn, .sa_flags = SA_SIGINFO};
    memif_buffer_t bufs[SLOTS];
    uint16_t count;

    open_way(way);
    send_packets(capacity);
    ck_assert_int_eq(mif_call(loopback.handles[to], 0, MIF_RX, MIF_CALL_RX, 0, bufs, SLOTS, &count),
                     0);
    q = mif_queue_at(loopback.handles[to], 0, MIF_RX);
    usual = atomic_load(&q->call[MIF_CALL_GIVE_BACK]);
    ring = q->ring;
    peer_index = q->peer_index;
    true_index = atomic_load(peer_index);
    asking = way < 2 ? UINT16_MAX : (uint16_t)(true_index + 0x8000);

    page_size = (size_t)sysconf(_SC_PAGESIZE);
    for (int page = 0; page < PAGES; page++) {
        pages[page] =
            mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ck_assert(pages[page] != MAP_FAILED);
        turns[page] = 0;
    }
    atomic_store(raw_index(), asking);
    atomic_store(&question()->wanted, WANTED);
    atomic_store(&question()->index, MIF_ASK_VALID | true_index);
    q->peer_index = raw_index();
    q->ring = (struct mif_ring *)(void *)pages[QUESTION];
    at_turn = hook;
    ck_assert_int_eq(sigaction(SIGSEGV, &action, NULL), 0);
}

static void close_asking(void)
{
    q->peer_index = peer_index;
    q->ring = ring;
    for (int page = 0; page < PAGES; page++)
        ck_assert_int_eq(munmap(pages[page], page_size), 0);
    close_way();
}

static bool is_asked(void)
{
    struct sigaction usual_action = {.sa_handler = SIG_DFL};

    reach(INDEX, false);
    bool asked = mif_room_asked(q);
    reach(INDEX, true);
    reach(QUESTION, true);
    ck_assert_int_eq(sigaction(SIGSEGV, &usual_action, NULL), 0);
    return asked;
}

/* ---- what may change ---- */

MEMIF_TEST_LOOP(a_question_that_stays_is_read_once, 0, WAYS)
{
    open_asking(_i, NULL);
    ck_assert(is_asked());
    ck_assert_uint_eq(question()->wanted, WANTED | MIF_ASK_NOTED);
    ck_assert_uint_eq(turns[INDEX], 2);
    ck_assert_uint_eq(turns[QUESTION], 2);
    ck_assert(atomic_load(&q->call[MIF_CALL_GIVE_BACK]) != usual);
    close_asking();
}

static void ask_anew(void)
{
    if (turns[INDEX] != 2 || turns[QUESTION] != 1)
        return;
    atomic_store(raw_index(), (uint16_t)(asking - 1));
    atomic_store(&question()->wanted, MANY);
}

MEMIF_TEST_LOOP(a_question_whose_index_has_changed_is_read_again, 0, WAYS)
{
    open_asking(_i, ask_anew);
    ck_assert(is_asked());
    ck_assert_uint_eq(question()->wanted, MANY | MIF_ASK_NOTED);
    close_asking();
}

static void ask_about_another(void)
{
    if (turns[QUESTION] != 2)
        return;
    atomic_store(&question()->wanted, MANY);
    atomic_store(&question()->index, MIF_ASK_VALID | ((true_index - 1u) & (SLOTS - 1)));
}

/* And found to be false: that many were never sent. */
MEMIF_TEST_LOOP(a_question_that_names_another_index_is_read_again, 0, WAYS)
{
    open_asking(_i, ask_about_another);
    ck_assert(!is_asked());
    ck_assert_uint_eq(question()->wanted, MANY);
    ck_assert_uint_eq(turns[QUESTION], 4);
    close_asking();
}

static void withdraw_at_last(void)
{
    if (turns[QUESTION] != 2)
        return;
    atomic_store(&question()->index, true_index);
    atomic_store(raw_index(), true_index);
}

MEMIF_TEST_LOOP(a_question_that_was_withdrawn_meanwhile_is_not_answered, 0, WAYS)
{
    open_asking(_i, withdraw_at_last);
    ck_assert(is_asked());
    ck_assert_uint_eq(question()->wanted, WANTED);
    ck_assert(atomic_load(&q->call[MIF_CALL_GIVE_BACK]) == usual);
    close_asking();
}

static void change_at_each_look(void)
{
    uint16_t raw = atomic_load(raw_index());

    if (turns[INDEX] == turns[QUESTION] + 1 && turns[QUESTION] > 0 && turns[INDEX] < PATIENCE)
        atomic_store(raw_index(), raw == asking ? (uint16_t)(asking - 1) : asking);
}

/* The next burst that gives buffers back looks again. */
MEMIF_TEST_LOOP(a_question_that_changes_all_the_time_is_left_for_later, 0, WAYS)
{
    open_asking(_i, change_at_each_look);
    ck_assert(is_asked());
    ck_assert_uint_eq(turns[QUESTION], MOST_TRIES);
    ck_assert_uint_eq(question()->wanted, WANTED);
    ck_assert(atomic_load(&q->call[MIF_CALL_GIVE_BACK]) != usual);
    close_asking();
}

MEMIF_TEST_MAIN("reads of a question")
