# SPDX-License-Identifier: Apache-2.0
"""Ctrl+C and SIGTERM end a command in order: `finally` and `with` run, without a traceback."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from sys import UnraisableHookArgs
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NUDGE = signal.SIGALRM
_SOON = 0.01


class Stopped(BaseException):
    """Raised in the main thread wherever it runs, so that no loop has to check a flag."""

    def __init__(self, number: int) -> None:
        """`number` is the number of the signal."""
        super().__init__(f"stopped by signal {number}")
        self.number = number
        self.status = 128 + number


_nudges = 0  # how many the main thread has noticed
_lost = 0  # the signal whose Stopped was raised where nothing passes it on
_losing = False  # while `_raise_again` runs, where it would be lost once more
_holds = 0  # blocks of `held` that the main thread is in
_wakeup = -1  # wakes the thread that nudges


def install() -> None:
    """From now on these signals raise Stopped. A second one ends the process at once."""
    global _wakeup
    noted, _wakeup = os.pipe()
    os.set_blocking(_wakeup, False)
    # Before a signal raises: Python 3.11 crashes if it ends before the first step of a thread.
    threading.Thread(target=_nudge, args=(noted, threading.get_ident()), daemon=True).start()
    signal.set_wakeup_fd(_wakeup, warn_on_full_buffer=False)
    sys.unraisablehook = _raise_again
    signal.signal(_NUDGE, _nudged)
    for number in _SIGNALS:
        signal.signal(number, _stop)


@contextlib.contextmanager
def by_ctrl_c() -> Iterator[None]:
    """Ctrl+C ends the block as its own end does: it is how a command without an end is ended."""
    try:
        yield
    except BaseException as error:
        if status_of(error) != 128 + signal.SIGINT:
            raise


def status_of(error: BaseException) -> int | None:
    """The exit status for a signal, if that is what `error` comes from.

    In the midst of what `threading` does in Python, Stopped leaves a lock in the wrong state, and a
    RuntimeError about the lock takes its place.
    """
    cause: BaseException | None = error
    while isinstance(cause, RuntimeError):
        cause = cause.__context__
    return cause.status if isinstance(cause, Stopped) else None


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Hold the signals back in the block, so that what it makes is also noted for clean-up.

    To block them in this thread would not do: the kernel would give them to another one, and Python
    would still run the handler here.
    """
    global _holds  # noqa: PLW0603
    noted: list[int] = []
    _holds += 1
    before = {number: signal.signal(number, lambda n, _: noted.append(n)) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _holds -= 1
        if noted:
            signal.raise_signal(noted[0])


def _stop(number: int, _frame: FrameType | None) -> None:
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    raise Stopped(number)


def _nudge(noted: int, main: int) -> None:
    """Have the main thread notice each signal, from a thread of its own.

    Python runs a handler between two steps of the main thread. A signal that comes just before that
    thread begins to wait in a system call does not end the wait. Another signal does.
    """
    while numbers := os.read(noted, 512):
        if not numbers.strip(bytes([_NUDGE])):
            continue
        before = _nudges
        while _nudges == before or _lost:
            time.sleep(_SOON)
            signal.pthread_kill(main, _NUDGE)


def _nudged(_number: int, _frame: FrameType | None) -> None:
    global _nudges, _lost  # noqa: PLW0603
    _nudges += 1
    if _lost and not (_losing or _holds):
        number, _lost = _lost, 0
        raise Stopped(number)


def _raise_again(lost: UnraisableHookArgs) -> None:
    """What is raised in `__del__`, or when a weak reference dies, Python prints and forgets.

    A nudge raises it again, later.
    """
    global _lost, _losing  # noqa: PLW0603
    stopped = lost.exc_value
    if not isinstance(stopped, Stopped):
        sys.__unraisablehook__(lost)
        return
    _losing, _lost = True, stopped.number
    with contextlib.suppress(BlockingIOError):  # it is awake
        os.write(_wakeup, b"\0")
    _losing = False
