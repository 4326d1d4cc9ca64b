# SPDX-License-Identifier: Apache-2.0
"""Signals that end a program, but not between making a thing and knowing how to unmake it."""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """From now on SIGINT, SIGTERM and SIGHUP raise SystemExit inside `allowed` only.

    One that comes before is raised at the next `allowed`, one that comes later not at all, or by
    `deliver`. What makes and what removes things stays outside.
    """

    def __init__(self) -> None:
        """Those that are ignored, as by nohup, stay so."""
        self._allowed = False
        self._waiting: int | None = None
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """For a block that waits."""
        self._allowed = True
        try:
            self.deliver()
            yield
        finally:
            self._allowed = False

    def deliver(self) -> None:
        """End the program if a signal has come."""
        if self._waiting is not None:
            self._leave(self._waiting)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._allowed:
            self._leave(number)
        self._waiting = number

    def _leave(self, number: int) -> None:
        # From here on everything is being removed, whatever else comes.
        self._allowed = False
        sys.exit(128 + number)
