# SPDX-License-Identifier: Apache-2.0
"""Calls that a signal handler cannot break off in the middle.

Python runs signal handlers on the main thread, at any line, and they may raise, as that of Ctrl+C
does. So the main thread has another thread do the work, and only waits.
"""

from __future__ import annotations

import contextlib
import threading

from .control.lock import LOCK, ControlLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class _Call(threading.Thread):
    """One call, on a thread of its own."""

    def __init__(self, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        """Not started."""
        super().__init__(name="memif-call")
        self._work: tuple[Any, ...] = (function, *arguments)
        self.error: BaseException | None = None

    def run(self) -> None:
        """Call it, and keep what it raises."""
        function, *arguments = self._work
        self._work = ()
        try:
            function(*arguments)
        except BaseException as error:
            self.error = error


def call(
    function: Callable[..., object], *arguments: Any, locks: tuple[ControlLock, ...] = ()
) -> None:
    """Call `function`, and raise what it raises.

    If a signal handler raises meanwhile, that is raised at once. The call still comes to its end,
    unless it has not begun. So whatever it made must belong to an object that closes it when
    dropped.

    A signal handler may find that the main thread holds the control lock, or one of `locks`, which
    the call takes. They are released while it waits. If there can be no new thread, as when Python
    exits, the call is made on this one.
    """
    if threading.current_thread() is not threading.main_thread():
        function(*arguments)
        return
    made = _Call(function, arguments)
    try:
        made.start()
    except RuntimeError:
        function(*arguments)
        return
    with contextlib.ExitStack() as released:
        for lock in (LOCK, *locks):
            if lock.is_own():
                released.enter_context(lock.unlocked())
        made.join()
    error, made.error = made.error, None
    try:
        if error is not None:
            raise error
    finally:
        del error  # its traceback holds this frame
