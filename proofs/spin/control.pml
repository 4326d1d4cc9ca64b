/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads in the control plane, whose callbacks call back in (control/hub.py, link.py, lock.py,
 * reactor.py): two threads of the program end an interface each, or one comes to the exit handler,
 * while the control thread hears of the end of their links. Any `disconnected` may end the other
 * interface. Each link is released once, each interface closed once; nobody is inside the hub when
 * it is freed; nobody waits for ever (otherwise the end state is invalid).
 *
 * Not modelled: memory ordering, for the interpreter's locks order everything; forks; errors.
 */
#define CONTROL 2 /* the control thread; 0 and 1 are the program's */
#define BOTH 2

byte owner = 255;       /* of LOCK; 255 = nobody */
byte users[3];          /* Users: depths, by thread */
bool closing[BOTH];     /* Interface: state.closing */
bool removed[BOTH];     /* Endpoint.removed */
bool has_link[BOTH];    /* Endpoint.link */
bool link_closing[BOTH];
byte released[BOTH], closed[BOTH], told[BOTH];
bool hub_closed, freed, stopping, dead;
byte interfaces = BOTH; /* ControlThread.users */
bool exiting;           /* reactor.py: _thread is None, after _close_all */

#define USERS ((users[0] > 0) + (users[1] > 0) + (users[2] > 0))

inline take(me) { atomic { owner == 255 -> owner = me } }
inline give(me) { assert(owner == me); owner = 255 }

/* ControlLock.unlocked: for the time of a callback. */
#ifdef FAULT_CALLBACK_UNDER_THE_LOCK
#define RELEASE(me) skip
#define RETAKE(me) skip
#else
#define RELEASE(me) give(me)
#define RETAKE(me) take(me)
#endif
#if defined(FAULT_REMOVE_IS_NO_USER)
#define ENTER(me) skip
#define LEAVE(me) skip
#else
#define ENTER(me) users[me]++ /* Users.__enter__ */
#define LEAVE(me) users[me]-- /* Users.__exit__ */
#endif

inline forget(me, which) /* hub.py: Hub.forget; endpoint.py: Endpoint.close */
{
    assert(!has_link[which]);
    if
    :: closed[which] == 0 -> closed[which]++
    :: closed[which] > 0
    fi
}

/* link.py: Link.close, _take_apart, _leave, _tell_of_end. `inner`: what the callback does. */
#define END_LINK(me, which, inner) \
    if \
    :: IS_CLOSING(which) \
    :: else -> \
        link_closing[which] = true; \
        ENTER(me); \
        RELEASE(me); \
        assert(!freed); \
        told[which]++; \
        if \
        :: true \
        :: inner \
        fi; \
        assert(!freed); \
        RETAKE(me); \
        released[which]++; \
        assert(released[which] == 1); \
        has_link[which] = false; \
        if \
        :: removed[which] -> forget(me, which) /* endpoint.py: Endpoint.unlinked */ \
        :: else \
        fi; \
        LEAVE(me) \
    fi
#ifdef FAULT_LINK_CLOSES_TWICE
#define IS_CLOSING(which) (!has_link[which])
#else
#define IS_CLOSING(which) (link_closing[which])
#endif

/* hub.py: Hub.remove, _end; the caller has the lock. */
#ifdef FAULT_REMOVE_FORGETS_AT_ONCE
#define HAS_LINK(which) false
#else
#define HAS_LINK(which) has_link[which]
#endif
#define REMOVE(me, which, inner) \
    if \
    :: removed[which] /* NoConnectionError */ \
    :: else -> \
        ENTER(me); \
        removed[which] = true; \
        if \
        :: HAS_LINK(which) -> END_LINK(me, which, inner) \
        :: else -> forget(me, which) \
        fi; \
        LEAVE(me) \
    fi

/* interface.py: Interface._end; reactor.py: remove, _release, ControlThread.stop. */
#define CLOSE(me, which, inner) \
    d_step { was[which] = closing[which]; closing[which] = true }; \
    if \
    :: was[which] \
    :: else -> \
        take(me); \
        REMOVE(me, which, inner); \
        give(me); \
        d_step { interfaces--; last[which] = (interfaces == 0 && !exiting) }; \
        if \
        :: last[which] -> stopping = true; JOIN(me) \
        :: else \
        fi \
    fi
#ifdef FAULT_STOP_JOINS_ITSELF
#define JOIN(me) dead
#else
#define JOIN(me) (me == CONTROL || dead)
#endif

proctype program(byte me)
{
    bool was[BOTH], last[BOTH];
    if
    :: me == 0 -> CLOSE(0, 0, CLOSE(0, 1, skip))
    :: me == 1 -> CLOSE(1, 1, CLOSE(1, 0, skip))
    :: me == 1 -> /* reactor.py: _close_all, at exit */
        d_step { was[0] = (interfaces > 0); exiting = true };
        if
        :: was[0] -> stopping = true; dead
        :: else
        fi
    fi
}

proctype control() /* reactor.py: ControlThread._run, _end; hub.py: on_event, close */
{
    bool was[BOTH], last[BOTH];
    do
    :: stopping -> break
    :: has_link[0] && !link_closing[0] ->
        take(CONTROL);
        END_LINK(CONTROL, 0, CLOSE(CONTROL, 1, skip));
        give(CONTROL)
    :: has_link[1] && !link_closing[1] ->
        take(CONTROL);
        END_LINK(CONTROL, 1, CLOSE(CONTROL, 0, skip));
        give(CONTROL)
    od;
    take(CONTROL);
    ENTER(CONTROL);
    hub_closed = true;
    REMOVE(CONTROL, 0, skip);
    REMOVE(CONTROL, 1, skip);
#if defined(FAULT_CLOSE_WAITS_FOR_ITSELF)
    give(CONTROL);
    USERS == 0;
    take(CONTROL);
#elif !defined(FAULT_CLOSE_WAITS_FOR_NOBODY)
    do
    :: USERS <= 1 -> break
    :: USERS > 1 -> give(CONTROL); USERS <= 1; take(CONTROL)
    od;
#endif
    LEAVE(CONTROL);
    freed = true; /* the timer is closed; then the poller is freed */
    give(CONTROL);
    assert(closed[0] == 1 && closed[1] == 1);
    dead = true
}

init
{
    has_link[0] = true;
    if
    :: has_link[1] = true
    :: true
    fi;
    atomic { run program(0); run program(1); run control() }
}
