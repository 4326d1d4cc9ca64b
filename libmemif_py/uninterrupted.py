# SPDX-License-Identifier: Apache-2.0
"""Calls that a signal handler cannot break off in the middle.

Python runs signal handlers on the main thread, at any line, and they may raise, as that of Ctrl+C
does. So the main thread has another thread do the work, and only waits.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import os
import threading

from .control.lock import LOCK, ControlLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


# That may run. Python 3.11 crashes if it ends between the creation of a thread and its first step.
_pending: set[_Call] = set()
os.register_at_fork(after_in_child=_pending.clear)  # the threads are the parent's
# In seconds. A call that a signal handler kept from beginning has no end.
_PATIENCE = 1.0


class _Call:
    """One call, on a thread of its own.

    The main thread must not run `threading.Thread.start`: it waits in Python code, whose locks stay
    as they are at the line where a signal handler raises. Nor may a Thread die there: `threading`
    has a callback for that, and what a handler raises in a callback is lost. So a thread without an
    object makes the one with it, which debuggers see and the end of Python waits for. The main
    thread only waits for a plain lock.
    """

    def __init__(self, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        """Not begun."""
        self._work: tuple[Any, ...] = (function, *arguments)
        self.error: BaseException | None = None
        self.refused = False  # there can be no new thread
        self.ended = _thread.allocate_lock()
        self.ended.acquire()

    def begin(self) -> None:
        """Begin it, from the thread without an object."""
        try:
            threading.Thread(target=self._run, name="memif-call", daemon=False).start()
        except RuntimeError:
            self.refused = True
            self._end()

    def _run(self) -> None:
        function, *arguments = self._work
        self._work = ()
        try:
            function(*arguments)
        except BaseException as error:
            self.error = error
        finally:
            del function, arguments  # what the program has dropped meanwhile ends here
            self._end()

    def _end(self) -> None:
        _pending.discard(self)
        self.ended.release()


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
    _pending.add(made)
    try:
        _thread.start_new_thread(made.begin, ())
    except RuntimeError as error:
        if _is_of_a_handler(error):
            raise
        made.refused = True
        _pending.discard(made)
    else:
        with contextlib.ExitStack() as released:
            for lock in (LOCK, *locks):
                if lock.is_own():
                    released.enter_context(lock.unlocked())
            made.ended.acquire()
    if made.refused:
        function(*arguments)
        return
    raised, made.error = made.error, None
    try:
        if raised is not None:
            raise raised
    finally:
        del raised  # its traceback holds this frame


def _is_of_a_handler(error: BaseException) -> bool:
    """Whether a signal handler raised it, where a function of C was called."""
    return error.__traceback__ is not None and error.__traceback__.tb_next is not None


@atexit.register
def _wait_for_pending() -> None:
    for made in tuple(_pending):
        made.ended.acquire(timeout=_PATIENCE)
