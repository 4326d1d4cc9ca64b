# SPDX-License-Identifier: Apache-2.0
"""The models of this folder: what they stand for, and with which bounds and faults spin runs them.

A setting of a model is a tuple of names that are defined for it, such as "WEAK" or "PACKETS=3".
"""

from __future__ import annotations

from dataclasses import dataclass

Setting = tuple[str, ...]

_NATIVE = "libmemif_py/native/"
_RING = (
    _NATIVE + "core/signals.c: mif_wake mif_efd_signal mif_efd_drain mif_drain",
    _NATIVE + "core/signals.h: mif_receiver_polls",
    _NATIVE + "core/ring.h: mif_publish_done mif_refresh mif_known mif_move_limit",
    _NATIVE + "core/barrier.c: mif_barrier_init mif_barrier_on_peers",
    _NATIVE + "core/queue.c: mif_queue_set_polling",
    _NATIVE + "datapath/face.h: mif_rx_interrupt mif_tx_end mif_tx_wake",
    _NATIVE + "datapath/engine.h: mif_advance",
)


@dataclass(frozen=True)
class Model:
    """One file of this folder."""

    stands_for: tuple[str, ...]
    """The functions, by file."""
    short: tuple[Setting, ...]
    """Here spin must find nothing. The bounds are those of the tests."""
    full: tuple[Setting, ...]
    """The same with larger bounds."""
    losses: dict[Setting, str]
    """Here spin must find what is said: it is no fault, or is known."""
    faults: dict[str, Setting]
    """Seeded faults, with the rest of the setting in which spin must find each."""
    unseen: dict[str, Setting]
    """Changes after which spin finds nothing: the code does more than the model needs."""


def _both(*settings: Setting) -> tuple[Setting, ...]:
    """On x86, and without any order that the code does not ask for."""
    return tuple((*setting, *more) for setting in settings for more in ((), ("WEAK",)))


_WAKE = ("PACKETS=3", "ARRAY=1", "CHANGES=2")
_WAKE_FULL = ("PACKETS=5", "ARRAY=2", "CHANGES=4")
_OUR_PEERS = ((), ("UNREGISTERED",), ("UNREACHING",))
_AT_REST = ("FOREIGN_SENDER", "AT_REST")
_ALL_PEERS = (*_OUR_PEERS, ("FOREIGN_SENDER",))
_MODES = ("PACKETS=2", "ARRAY=1", "CHANGES=2")
_PAUSE = ("PYTHON", *_MODES)
_PAUSE_ALONE = ("PYTHON", "PACKETS=2", "ARRAY=1", "CHANGES=0")
_LINKS = ("CALLS=2", "LINKS=2")
_ASKED_ONCE = ("ROUNDS=1", "NEVER_MISLED", "WEAK")
_ASKED_AGAIN = ("ROUNDS=2", "NEVER_MISLED", "IN_TURN")

MODELS = {
    "wake": Model(
        stands_for=_RING,
        short=_both(
            *((*_WAKE, *peer) for peer in (*_OUR_PEERS, _AT_REST)),
            ("PACKETS=3", "ARRAY=1", "CHANGES=0", "FOREIGN_SENDER"),
        ),
        full=_both(
            *((*_WAKE_FULL, *peer) for peer in (*_OUR_PEERS, _AT_REST)),
            ("PACKETS=5", "ARRAY=2", "CHANGES=0", "FOREIGN_SENDER"),
        ),
        losses={
            (*_WAKE, "FOREIGN_SENDER"): "a sender without a barrier sends no signal for a packet "
            "that it publishes while the receiver ends polling",
            (
                *_WAKE,
                "FOREIGN_RECEIVER",
            ): "a receiver without a barrier gets no signal for a packet "
            "that is published while it ends polling",
        },
        faults={
            "NO_FENCE": (*_WAKE, "UNREGISTERED"),
            "QUIET_UNREGISTERED": (*_WAKE, "UNREGISTERED"),
            "QUIET_WITHOUT_FENCED": (*_WAKE, "UNREACHING"),
            "DRAIN_WITH_PACKETS_LEFT": _WAKE,
            "NO_SECOND_LOOK": _WAKE,
            "NO_SIGNAL_FOR_THE_REST": _WAKE,
            "BARRIER_FIRST": _WAKE,
            "NO_MEMBARRIER": _WAKE,
            "NO_SIGNAL_AFTER_POLLING": _WAKE,
        },
        # A membarrier reaches the sender, and nobody pauses its signals: see modes.
        unseen={"NO_FENCE": (*_WAKE, "WEAK")},
    ),
    "modes": Model(
        stands_for=(
            *_RING,
            _NATIVE + "python/pause.c: replace_flags pause_signals resume_signals mif_py_resume",
            _NATIVE + "python/pause.h: mif_py_receive",
            _NATIVE + "core/queue.c: mif_queue_interrupt mif_queue_drop_signal",
            _NATIVE + "datapath/face.h: mif_call mif_face_choose",
        ),
        short=(
            _MODES,
            (*_MODES, "WEAK"),
            _PAUSE,
            *((*_PAUSE_ALONE, "WEAK", *peer) for peer in _ALL_PEERS),
        ),
        full=(
            *_both(("PACKETS=3", "ARRAY=1", "CHANGES=2")),
            *(("PYTHON", "PACKETS=3", "ARRAY=1", "CHANGES=2", *peer) for peer in _OUR_PEERS),
            ("PYTHON", "PACKETS=3", "ARRAY=1", "CHANGES=4"),
            ("PYTHON", "PACKETS=2", "ARRAY=1", "CHANGES=1", "WEAK"),
            *(
                ("PYTHON", "PACKETS=4", "ARRAY=1", "CHANGES=0", "WEAK", *peer)
                for peer in _ALL_PEERS
            ),
        ),
        losses={},
        faults={
            "NO_FENCE": _PAUSE_ALONE,
            "PAUSE_OF_A_FOREIGN_SENDER": (*_PAUSE_ALONE, "FOREIGN_SENDER"),
            "PAUSE_WITHOUT_SIGNAL": _PAUSE_ALONE,
            "RESUME_WITHOUT_FENCE": _PAUSE,
            "RESUME_WITHOUT_CHECK": _PAUSE,
            "REPLACE_BLINDLY": ("PYTHON", "PACKETS=2", "ARRAY=1", "CHANGES=1"),
            "DROP_WITHOUT_LOCK": _MODES,
        },
        # The eventfd is still readable, so that the program calls again.
        unseen={"RESUME_WITHOUT_LOOK": _PAUSE},
    ),
    "teardown": Model(
        stands_for=(
            _NATIVE + "core/arena.h: mif_enter mif_leave",
            _NATIVE + "core/connection.c: mif_connection_up mif_connection_down wait_until_left "
            "mif_connection_release",
            _NATIVE + "core/queue.c: locked_queue set_up mif_queue_release",
            _NATIVE + "core/barrier.c: mif_barrier_on_all_threads",
            _NATIVE + "datapath/face.h: mif_call mif_end",
        ),
        short=_both(_LINKS),
        full=_both(("CALLS=3", "LINKS=3")),
        losses={},
        faults={
            "NO_MEMBARRIER": _LINKS,
            "BARRIER_BEFORE_OWNER": _LINKS,
            "OWNER_CHECKED_BEFORE_BUSY": _LINKS,
            "ENTER_WITHOUT_ACQUIRE": (*_LINKS, "WEAK"),
            "LEAVE_BEFORE_THE_LAST_ACCESS": _LINKS,
            "LEAVE_RELAXED": (*_LINKS, "WEAK"),
            "NO_WAIT": _LINKS,
            "WAIT_WITHOUT_HELP": _LINKS,
            "SET_UP_CLEARS_BUSY": _LINKS,
            "OWNER_BEFORE_SET_UP": _LINKS,
            "OWNER_RELAXED": (*_LINKS, "WEAK"),
            "CALLER_CHECKS_BEFORE_THE_LOCK": _LINKS,
        },
        unseen={},
    ),
    "room": Model(
        stands_for=(
            _NATIVE + "core/room.c: ask look_inside withdraw sleep_until_told wait_for "
            "mif_room_wait mif_room_asked mif_room_answer answer read_ask wake impossible",
            _NATIVE + "core/ring.h: mif_move_limit mif_publish_done",
            _NATIVE + "datapath/face.h: mif_give_back_answering",
            _NATIVE + "datapath/engine.h: mif_advance",
        ),
        short=_both(("ROUNDS=2",), _ASKED_AGAIN),
        full=_both(("ROUNDS=4",), ("ROUNDS=4", *_ASKED_AGAIN[1:])),
        losses={
            ("ROUNDS=3", "NEVER_MISLED"): "a receiver that is about to answer may take the next "
            "question, for as many slots, for the same; the sender then looks from time to time"
        },
        faults={
            "INDEX_BEFORE_QUESTION": _ASKED_ONCE,
            "QUESTION_RELAXED": _ASKED_ONCE,
            "ANSWER_BEFORE_INDEX": _ASKED_ONCE,
            "NO_SIGNAL": _ASKED_ONCE,
            "QUESTION_FORGOTTEN": _ASKED_ONCE,
            "WAKE_WITHOUT_CLEARING": _ASKED_ONCE,
            "CLEAR_AFTER_WAKE": _ASKED_ONCE,
            "QUESTION_READ_ONCE": _ASKED_AGAIN,
            "CLEARED_BLINDLY": _ASKED_AGAIN,
            "ANY_WAKE_TELLS": _ASKED_AGAIN,
        },
        # The signal that follows has the receiver look again, after a barrier.
        unseen={
            "NO_BARRIER": ("ROUNDS=2", "WEAK"),
            "NO_FENCE": ("ROUNDS=2", "WEAK"),
            "NO_LOOK_AFTER_THE_QUESTION": ("ROUNDS=2", "WEAK"),
            # Who has too little room takes no question back, but when its time is up.
            "NOTED_BLINDLY": _ASKED_AGAIN,
        },
    ),
    "control": Model(
        stands_for=(
            "libmemif_py/control/hub.py: Hub.remove Hub._end Hub.forget Hub.close Hub.on_event",
            "libmemif_py/control/link.py: Link.close Link._take_apart Link._leave "
            "Link._tell_of_end",
            "libmemif_py/control/endpoint.py: Endpoint.unlinked Endpoint.close",
            "libmemif_py/control/lock.py: Unlocked.__enter__ Unlocked.__exit__ Users.__len__ "
            "Users.__enter__ Users.__exit__",
            "libmemif_py/control/reactor.py: ControlThread._run ControlThread._end "
            "ControlThread.stop remove _end _release _close_all",
            "libmemif_py/interface.py: Interface._end",
        ),
        short=((),),
        full=((),),
        losses={},
        faults={
            "CALLBACK_UNDER_THE_LOCK": (),
            "CLOSE_WAITS_FOR_ITSELF": (),
            "CLOSE_WAITS_FOR_NOBODY": (),
            "LINK_CLOSES_TWICE": (),
            "REMOVE_FORGETS_AT_ONCE": (),
            "REMOVE_IS_NO_USER": (),
            "STOP_JOINS_ITSELF": (),
        },
        unseen={},
    ),
}
