/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sender waits for room, and the receiver answers (core/room.h). The sender sleeps without a time
 * limit here: if it sleeps for ever with room in the ring, that is an invalid end state. And the
 * receiver never takes it for a peer that breaks the rules. NEVER_MISLED: nor is it woken too early;
 * IN_TURN: if it asks for other numbers of slots in turn.
 *
 * Assumed: system calls on an eventfd and a futex order like a barrier of the thread that makes
 * them. The receiver uses interrupt mode; it gives back whatever it received, at any time.
 * Not modelled: the end of a link, for which the sender's limit of 20 milliseconds is needed.
 */
#define THREADS 2
#define SENDER 0
#define RECEIVER 1
#define PLACES 4
#define DEPTH 3
#define INDEX 0  /* the sender's */
#define ASKED 1  /* ask.index */
#define WANTED 2 /* ask.wanted */
#define BACK 3   /* the receiver's index */
#define READS(t) (t == SENDER -> 1 << BACK : 1 << INDEX | 1 << ASKED | 1 << WANTED)
#define ACQUIRES(t) (t == SENDER -> 1 << BACK : 1 << INDEX | 1 << ASKED | 1 << WANTED)
#include "memory.pml"

#define SLOTS 2
#define IMPOSSIBLE 99
#define VALID 100 /* MIF_ASK_VALID */
#define NOTED 16 /* MIF_ASK_NOTED */
#define MOST_READS 3

byte efd;
bool asleep; /* the sender, in its futex */

inline signal(t) /* signals.c: mif_wake */
{
    d_step { drain_stores(t); efd = 1 };
    barrier(t)
}

/* ---- the sender ---- */

inline look() /* room.c: look_inside */
{
    load_acquire(SENDER, BACK, back);
    free = SLOTS - (next - back)
}

inline write_question()
{
#ifdef FAULT_QUESTION_RELAXED
    store_relaxed(SENDER, WANTED, slots);
    store_relaxed(SENDER, ASKED, VALID + next)
#else
    store_release(SENDER, WANTED, slots);
    store_release(SENDER, ASKED, VALID + next)
#endif
}

inline ask() /* room.c */
{
#ifdef FAULT_INDEX_BEFORE_QUESTION
    store_release(SENDER, INDEX, IMPOSSIBLE);
    write_question();
#else
    write_question();
#ifdef FAULT_QUESTION_RELAXED
    store_relaxed(SENDER, INDEX, IMPOSSIBLE);
#else
    store_release(SENDER, INDEX, IMPOSSIBLE);
#endif
#endif
#ifndef FAULT_NO_BARRIER
    barrier(SENDER); /* barrier.c: mif_barrier_on_peers */
    barrier(RECEIVER);
    barrier(SENDER);
#endif
#ifndef FAULT_NO_LOOK_AFTER_THE_QUESTION
    look();
#endif
    if
#ifndef FAULT_NO_SIGNAL
    :: free < slots -> signal(SENDER)
#endif
    :: else
    fi
}

inline sleep_until_told() /* room.c; the kernel compares. Its naps have no limit either here. */
{
    do
    :: barrier(SENDER);
        atomic {
            if
            :: memory[WANTED] == slots || memory[WANTED] == slots + NOTED -> asleep = true
            :: else -> break
            fi
        };
        !asleep;
#ifdef FAULT_ANY_WAKE_TELLS
        break
#else
        look(); /* wait_for */
        if
        :: free >= slots -> break
        :: else
        fi
#endif
    od;
    barrier(SENDER)
}

inline withdraw() { store_release(SENDER, INDEX, next) } /* room.c */

proctype sender() /* room.c: mif_room_wait, wait_for; then a burst */
{
    byte next = SLOTS, back, free, slots, round;
    do
    :: round == ROUNDS -> break
    :: round < ROUNDS ->
        round++;
        if
#ifdef IN_TURN
        :: slots = 1 + round % SLOTS
#else
        :: slots = 1
        :: slots = SLOTS
#endif
        fi;
        look();
        if
        :: free >= slots
        :: else ->
            ask();
            if
            :: free >= slots
            :: else ->
                sleep_until_told();
                look();
#ifdef NEVER_MISLED
                assert(free >= slots);
#endif
                withdraw(); /* when it was misled, it looks from time to time */
                SLOTS - (next - memory[BACK]) >= slots;
                barrier(SENDER);
                look()
            fi
        fi;
        withdraw();
        next = next + slots;
        store_release(SENDER, INDEX, next);
        signal(SENDER)
    od
}

/* ---- the receiver ---- */

inline answer() /* room.c */
{
    if
    :: SLOTS - (limit - done) < wanted % NOTED ->
#ifdef FAULT_QUESTION_FORGOTTEN
        skip
#else
        answers = true; /* mif_face_answer */
        if
#ifdef FAULT_NOTED_BLINDLY
        :: wanted < NOTED -> store_ordered(RECEIVER, WANTED, wanted + NOTED)
#else
        :: wanted < NOTED -> replace(RECEIVER, WANTED, wanted, wanted + NOTED)
#endif
        :: else
        fi;
        good = false
#endif
    :: else ->
#ifdef FAULT_WAKE_WITHOUT_CLEARING
        good = true;
#else
#ifdef FAULT_CLEAR_AFTER_WAKE
        good = true;
#else
#ifdef FAULT_CLEARED_BLINDLY
        store_ordered(RECEIVER, WANTED, 0);
        good = true;
#else
        replace(RECEIVER, WANTED, wanted, 0);
#endif
#endif
#endif
        if
        :: good -> barrier(RECEIVER); asleep = false /* wake */
        :: else
        fi;
#ifdef FAULT_CLEAR_AFTER_WAKE
        store_release(RECEIVER, WANTED, 0);
#endif
        good = false
    fi
}

inline is_the_same(same) /* the index and the question, as they were read */
{
#ifdef FAULT_QUESTION_READ_ONCE
    same = true
#else
    load_acquire(RECEIVER, INDEX, again);
    same = (raw == again);
    load_acquire(RECEIVER, ASKED, again);
    same = same && asked == again;
    again = 0
#endif
}

inline refresh() /* engine.h: mif_advance; room.c: mif_room_asked */
{
    do
    :: tries == MOST_READS -> answers = true; break
    :: else ->
        load_acquire(RECEIVER, INDEX, raw);
        if
        :: raw != IMPOSSIBLE -> limit = raw; break
        :: else ->
            load_acquire(RECEIVER, ASKED, asked);
            assert(asked >= VALID); /* or a good peer is taken for a bad one */
            load_acquire(RECEIVER, WANTED, wanted);
            is_the_same(same);
            if
            :: !same -> tries++
            :: else ->
                assert(asked - VALID >= limit && asked - VALID <= done + SLOTS);
                limit = asked - VALID;
                if
                :: wanted > 0 -> answer()
                :: else
                fi;
                break
            fi
        fi
    od;
    raw = 0;
    asked = 0;
    wanted = 0;
    tries = 0;
    same = false
}

inline look_again() /* room.c: mif_room_answer */
{
#ifndef FAULT_NO_FENCE
    barrier(RECEIVER);
#endif
    refresh()
}

inline give_back(count) /* face.h: mif_give_back_answering */
{
    was = answers;
    answers = false;
#ifdef FAULT_ANSWER_BEFORE_INDEX
    done = done + count;
    if
    :: was -> look_again()
    :: else
    fi;
    store_release(RECEIVER, BACK, done);
#else
    done = done + count;
    store_release(RECEIVER, BACK, done); /* ring.h: mif_publish_done */
    if
    :: was -> look_again()
    :: else
    fi;
#endif
    was = false
}

proctype receiver()
{
    byte done, limit, raw, asked, wanted, again, tries, got;
    bool answers, was, same, good;
end:
    do
    :: efd > 0 ->
        refresh(); /* a burst that empties the ring, drains and looks again */
        d_step { drain_stores(RECEIVER); efd = 0 };
        barrier(RECEIVER);
        refresh()
    :: limit - done > 0 -> give_back(1)
    :: limit - done > 1 -> give_back(2)
    od
}

init
{
    atomic {
        memory[INDEX] = SLOTS; /* all are on their way */
        newest[AT(SENDER, INDEX)] = SLOTS;
        efd = 1;
        run processor(SENDER);
        run processor(RECEIVER);
        run sender();
        run receiver()
    }
}
