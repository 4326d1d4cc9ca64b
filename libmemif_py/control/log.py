# SPDX-License-Identifier: Apache-2.0
"""What the control plane tells Python's logging, as the logger "libmemif_py".

It tells while it holds locks, and a handler may wait, or call the library. So the lines are kept
here until a thread that holds no lock hands them on.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

LOGGER = logging.getLogger("libmemif_py")
LOGGER.addHandler(logging.NullHandler())

# A thread hands them on after each event, so they are few.
_MOST = 1000
_kept: deque[tuple[int, str, str, int, str]] = deque(maxlen=_MOST)
_handing_on = threading.Lock()


def keep(level: int, text: str, frame: FrameType) -> None:
    """Keep a line of the code in `frame`."""
    code = frame.f_code
    _kept.append((level, text, code.co_filename, frame.f_lineno, code.co_name))


def hand_on() -> None:
    """Give the lines to the handlers. Call it without a lock.

    One thread does so at a time. Another one leaves its lines to that thread, because a handler may
    wait for it: logging has each handler hold a lock of its own.
    """
    while _kept and (lock := _handing_on).acquire(blocking=False):
        try:
            _hand_on_all()
        finally:
            lock.release()  # then look again: others may have left lines meanwhile


def _hand_on_all() -> None:
    while _kept:
        level, text, file, line, function = _kept.popleft()
        try:
            if LOGGER.isEnabledFor(level):
                LOGGER.handle(
                    LOGGER.makeRecord(LOGGER.name, level, file, line, text, (), None, function)
                )
        except Exception as error:  # a handler's own must not end the library's thread
            sys.excepthook(type(error), error, error.__traceback__)


def clear() -> None:
    """In a forked child: forget what the parent has not handed on."""
    global _handing_on  # noqa: PLW0603 - a thread that is gone may hold it
    _kept.clear()
    _handing_on = threading.Lock()
