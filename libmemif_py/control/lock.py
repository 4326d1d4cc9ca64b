# SPDX-License-Identifier: Apache-2.0
"""The control lock, one for the process, and which threads are inside the control plane.

A thread that reads or changes the state of the control plane holds LOCK. It is released around
every call into the program, so after such a call the state may be another one.
"""

from __future__ import annotations

import _thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_RLock: Any = _thread.RLock  # its stub lacks what threading uses of it


class ControlLock(_RLock):  # type: ignore[misc]
    """A re-entrant lock that a thread can release entirely, for the time of a callback.

    A `with` block takes and releases it in C, so that no signal handler raises in between.
    """

    def is_own(self) -> bool:
        """Whether this thread holds it."""
        return bool(self._is_owned())

    def start_over(self) -> bool:
        """In a forked child, where a thread that is gone may hold it. True if no thread did.

        If the child's one thread holds it itself, it still holds it afterwards.
        """
        if self.acquire(blocking=False):
            self.release()
            return not self.is_own()
        self._at_fork_reinit()
        return False

    def unlocked(self) -> Unlocked:
        """A context in which this thread does not hold the lock at all."""
        return Unlocked(self)


class Unlocked:
    """See ControlLock.unlocked."""

    def __init__(self, lock: Any) -> None:
        """For one use."""
        self._lock = lock
        self._state: Any = None

    def __enter__(self) -> None:
        """Release the lock, however often this thread has taken it."""
        self._state = self._lock._release_save()

    def __exit__(self, *_: object) -> None:
        """Take the lock as often again."""
        self._lock._acquire_restore(self._state)


LOCK = ControlLock()


class Users:
    """The threads that still need a hub, also while a callback of theirs runs without the lock.

    A context that adds this thread; it may be entered again inside. Enter and leave it with the
    lock held.
    """

    def __init__(self) -> None:
        """No thread."""
        self._depths: dict[int, int] = {}  # by thread

    def __len__(self) -> int:
        """How many threads there are."""
        return len(self._depths)

    def __enter__(self) -> None:
        """One level deeper."""
        me = _thread.get_ident()
        self._depths[me] = self._depths.get(me, 0) + 1

    def __exit__(self, *_: object) -> None:
        """Undo one enter."""
        me = _thread.get_ident()
        self._depths[me] -= 1
        if self._depths[me] == 0:
            del self._depths[me]
