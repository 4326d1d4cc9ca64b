# SPDX-License-Identifier: Apache-2.0
"""The transmit side of an interface: its queues, and how calls wait for room.

`Interface.send` and its sisters ask the core first. Only when it has no room do they come here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from . import counters, errors
from .bursts import TxBurst
from .control import reactor
from .control.reactor import burst
from .control.wire import UINT16_MAX
from .settings import item
from .state import AGAIN, check_code
from .waiting import FIRST_NAP, QueueLock, deadline_after, sleep

if TYPE_CHECKING:
    from .state import State


class Sender:
    """The transmit queues of an interface."""

    def __init__(self, state: State, count: int) -> None:
        """`count` queues."""
        self._state = state
        self.count = count
        self._locks = [QueueLock() for _ in range(count)]

    def _lock(self, queue: int) -> QueueLock:
        return item("transmit queue", self._locks, queue)

    def fill(self, queue: int) -> tuple[int | None, int | None]:
        """Packets and slots of a ring that the peer has not given back yet; Nones without one."""
        self._lock(queue)
        self._state.check_process()
        return counters.fill(self._state.endpoint, queue, is_tx=True) or (None, None)

    def flush(self, timeout: float | None, queue: int) -> bool:
        """See Interface.flush."""
        deadline = deadline_after(timeout)
        nap = FIRST_NAP
        while left := self.fill(queue)[0]:
            rest = None if deadline is None else deadline - time.monotonic()
            if rest is not None and rest <= 0:
                raise errors.Timeout(f"{left} packets not taken within {timeout} s")
            nap = sleep(nap, rest)
        return left is not None

    def open_burst(self, count: int, size: int, timeout: float | None, queue: int) -> TxBurst:
        """See Interface.tx_burst."""
        state, lock = self._state, self._lock(queue)
        state.check_process()
        deadline = deadline_after(timeout)
        lock.acquire(deadline, timeout)
        nap = FIRST_NAP
        try:
            most = min(count, UINT16_MAX)
            slots: Any
            while (slots := burst.tx_burst(state.number, queue, most, size)).__class__ is int:
                state.check_open()
                check_code(slots, "send", queue)
                if slots == AGAIN:
                    lock.check_abandoned()
                what = f"no room within {timeout} s"
                left = state.time_left(deadline, timeout, what, was_up=state.up)
                nap = sleep(nap, left)
        except BaseException:
            lock.release()
            raise
        return TxBurst(self, queue, lock, slots)

    def send_later(
        self, packets: list[Any], sent: int, code: int, timeout: float | None, queue: int
    ) -> int:
        """Send packets[sent:] as room comes. `code` says why there was none.

        Returns how many of `packets` were sent. Raises when the time is up before the first.
        """
        state, lock = self._state, self._lock(queue)
        deadline = deadline_after(timeout)
        nap = FIRST_NAP
        while True:
            state.check_open()
            check_code(code, "send", queue)
            if code == AGAIN:
                lock.check_abandoned()
            try:
                what = f"no room within {timeout} s"
                left = state.time_left(deadline, timeout, what, was_up=state.up)
            except errors.MemifError:
                if sent:
                    return sent
                raise
            nap = lock.pass_by(deadline, timeout, nap) if code == AGAIN else sleep(nap, left)
            step, code = burst.send_burst(state.number, queue, packets, sent)
            sent += step
            if sent == len(packets):
                return sent
            nap = FIRST_NAP if step else nap

    def check_views(self, queue: int) -> None:
        """Raise ArgumentError if views of this thread's bursts keep a queue."""
        self._lock(queue).check_abandoned()

    def check_sent(self, code: int, queue: int) -> None:
        """Raise what kept a burst from being sent; 0 means that nothing did."""
        if code:
            self._state.check_open()
            raise reactor.native.error(code, f"send on queue {queue}")
