# SPDX-License-Identifier: Apache-2.0
"""The state of an interface, which its receive and its transmit side share."""

from __future__ import annotations

import _thread
import os
import threading
import time
from typing import TYPE_CHECKING

from . import errors
from .control import reactor
from .control.lock import ControlLock

if TYPE_CHECKING:
    from collections.abc import Callable

    from .control.endpoint import Endpoint, Settings

AGAIN = reactor.native.codes["AGAIN"]
# The peer offers fewer queues than we have.
NO_RING = reactor.native.codes["QID"]
_WAITABLE = {
    0,
    AGAIN,
    # No link, or packets of the last one come first.
    reactor.native.codes["NOCONN"],
    *(reactor.native.codes[name] for name in ("DISCONNECTED", "NOBUF_RING", "NOBUF")),
}


class State:
    """Whether an interface has a link, whether it is closed, and in which process it lives.

    The control thread and the program's threads change it while they hold `lock`, and call `tell`.
    They read single values without it.
    """

    endpoint: Endpoint  # as soon as the control plane has one

    def __init__(self, settings: Settings) -> None:
        """No link yet."""
        self.settings = settings
        self.lock = ControlLock()
        self._waiting: set[_thread.LockType] = set()
        self.up = False
        self.closing = self.closed = False
        # The number of the link's handle while the link is up, else 0, which no queue answers to.
        self.number = 0
        self._generation = reactor.generation

    def __str__(self) -> str:
        """Role, path, id, state, and why there is no link. Never the secret."""
        role = "master" if self.settings.is_master else "slave"
        state = "connected" if self.up else self._why_not()
        if self.closed or self.inherited:
            state = "closed" if self.closed else "inherited"
        path = os.fsdecode(self.settings.path)
        return f"{role} {path!r} id={self.settings.interface_id} {state}"

    def _why_not(self) -> str:
        endpoint = getattr(self, "endpoint", None)  # none yet, in a traceback of Interface()
        reason = endpoint.last_error if endpoint is not None else ""
        return f"disconnected ({reason})" if reason else "disconnected"

    @property
    def inherited(self) -> bool:
        """True in a child that was forked from the process that made the interface."""
        return self._generation != reactor.generation

    def check_process(self) -> None:
        """Raise ForkedError in a child.

        Calls that move packets check it only when they fail: no queue of the child answers to
        `number`.
        """
        if self.inherited:
            raise errors.ForkedError(
                f"<Interface {self}> belongs to the process that this one ({os.getpid()}) was "
                "forked from: make an interface in this process"
            )

    def check_open(self) -> None:
        """Raise NoConnectionError if the interface is closed, ForkedError in a child."""
        if self.closed:
            raise closed_error()
        self.check_process()

    def tell(self) -> None:
        """Have all threads in `wait_until` look again. With the lock held."""
        for told in tuple(self._waiting):
            self._waiting.discard(told)
            told.release()

    def wait_until(self, happened: Callable[[], bool], deadline: float | None) -> bool:
        """Whether it has happened by `deadline` (None: no limit). Call it without the lock.

        It is no Condition of `threading`: where a signal handler raises in there, the lock may stay
        held, or be released twice.
        """
        told = _thread.allocate_lock()
        told.acquire()
        try:
            while True:
                with self.lock:
                    if happened():
                        return True
                    self._waiting.add(told)
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                told.acquire(timeout=-1 if left is None else min(left, threading.TIMEOUT_MAX))
        finally:
            self._waiting.discard(told)

    def time_left(
        self, deadline: float | None, timeout: float | None, what: str, *, was_up: bool
    ) -> float | None:
        """Seconds until `deadline`; None for no limit.

        Raises Disconnected if it has passed and the link was not up, else Timeout with the text
        `what`. `timeout` is only for the message.
        """
        if deadline is None:
            return None
        left = deadline - time.monotonic()
        if left > 0:
            return left
        if not was_up:
            reason = self.endpoint.last_error
            raise errors.Disconnected(
                f"not connected for {timeout} s" + (f": {reason}" if reason else "")
            )
        raise errors.Timeout(what)


def closed_error() -> errors.NoConnectionError:
    """What calls of a closed interface raise."""
    return errors.NoConnectionError("the interface is closed")


def check_code(code: int, what: str, queue: int) -> None:
    """Raise the error for a code of the core, unless waiting may help."""
    if code in _WAITABLE:
        return
    if code == reactor.native.codes["INVAL_ARG"]:
        raise errors.ArgumentError(f"{what}: longer than all buffers of queue {queue} together")
    raise reactor.native.error(code, f"{what} on queue {queue}")
