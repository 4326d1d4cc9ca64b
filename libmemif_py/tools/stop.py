# SPDX-License-Identifier: Apache-2.0
"""Ctrl+C and SIGTERM end a command in order: `finally` and `with` run, without a traceback."""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from sys import UnraisableHookArgs
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_HELD = (*_SIGNALS, signal.SIGALRM)
_SOON = 0.01


class Stopped(BaseException):
    """Raised in the main thread wherever it runs, so that no loop has to check a flag."""

    def __init__(self, number: int) -> None:
        """`number` is the number of the signal."""
        super().__init__(f"stopped by signal {number}")
        self.number = number
        self.status = 128 + number


def install() -> None:
    """From now on these signals raise Stopped. A second one ends the process at once."""
    for number in _SIGNALS:
        signal.signal(number, _stop)
    sys.unraisablehook = _raise_again


@contextlib.contextmanager
def by_ctrl_c() -> Iterator[None]:
    """Ctrl+C ends the block as its own end does: it is how a command without an end is ended."""
    try:
        yield
    except Stopped as stopped:
        if stopped.number != signal.SIGINT:
            raise


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Hold the signals back in the block, so that what it makes is also noted for clean-up.

    To block them in this thread would not do: the kernel would give them to another one, and Python
    would still run the handler here.
    """
    noted: list[int] = []
    before = {number: signal.signal(number, lambda n, _: noted.append(n)) for number in _HELD}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if noted:
            signal.raise_signal(noted[0])


def _stop(number: int, _frame: FrameType | None) -> None:
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    raise Stopped(number)


def _raise_again(lost: UnraisableHookArgs) -> None:
    """What is raised in `__del__`, or when a weak reference dies, Python prints and forgets.

    A timer raises it again, outside of this function, which would only lose it once more.
    """
    stopped = lost.exc_value
    if not isinstance(stopped, Stopped):
        sys.__unraisablehook__(lost)
        return

    def alarm(_number: int, _frame: FrameType | None) -> None:
        raise Stopped(stopped.number)

    signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, _SOON)
