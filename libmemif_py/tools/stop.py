# SPDX-License-Identifier: Apache-2.0
"""Ctrl+C and SIGTERM end a command in peace: `finally` and `with` run, no traceback is seen."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """Raised in the main thread wherever it is, so that nothing has to be asked in loops."""

    def __init__(self, number: int) -> None:
        """`number` is that of the signal."""
        super().__init__(f"stopped by signal {number}")
        self.status = 128 + number


def install() -> None:
    """From now on those signals raise Stopped; the second one ends the process at once."""
    for number in _SIGNALS:
        signal.signal(number, _stop)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """In the block no signal comes between making a thing and knowing of it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stop(number: int, _frame: FrameType | None) -> None:
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    raise Stopped(number)
