# SPDX-License-Identifier: Apache-2.0
"""Receiving from all queues of an interface at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import errors, settings
from .control.wire import UINT16_MAX
from .state import AGAIN, NO_RING, check_code, closed_error
from .waiting import FIRST_NAP, deadline_after, sleep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .bursts import RxBurst
    from .receiving import Receiver
    from .state import State


class AnyQueue:
    """All receive queues of an interface. `Interface.any_queue` returns it.

    Each call receives from one queue, so its packets are in order. The next call begins with the
    queue after that one, so a busy queue does not keep the others waiting. This holds for all
    threads and all objects of this class of an interface together.
    """

    def __init__(self, interface: object, receiver: Receiver, state: State) -> None:
        """It keeps the interface alive."""
        self._interface = interface
        self._receiver = receiver
        self._state = state

    def __repr__(self) -> str:
        """Its interface."""
        return f"<AnyQueue of {self._interface!r}>"

    def recv(self, timeout: float | None = None) -> bytes:
        """The next packet of any queue. Waits and raises as Interface.recv does."""
        receiver, take_left = self._receiver, self._receiver.take_left
        return self._receive(
            lambda queue: receiver.source.recv(receiver.numbers[queue], queue),
            lambda queue: next(iter(take_left(queue, 1)), None),
            timeout,
        )

    def recv_burst(self, count: int = 256, timeout: float | None = None) -> list[bytes]:
        """At least one and at most `count` packets of one queue, in order. See recv."""
        settings.at_least_one(count)
        receiver, take_left = self._receiver, self._receiver.take_left
        most = min(count, UINT16_MAX)
        return self._receive(
            lambda queue: receiver.source.recv_burst(receiver.numbers[queue], queue, most),
            lambda queue: take_left(queue, count) or None,
            timeout,
        )

    def rx_burst(self, count: int = 256, timeout: float | None = None) -> RxBurst:
        """At least one and at most `count` packets of one queue, without copying them.

        See Interface.rx_burst. The burst's `queue` says which queue it was. While it is open, other
        calls still receive from the other queues.
        """
        settings.at_least_one(count)
        receiver = self._receiver
        return self._receive(
            lambda queue: receiver.try_burst(count, queue),
            lambda queue: receiver.try_burst_of_left(count, queue),
            timeout,
        )

    def __iter__(self) -> Iterator[bytes]:
        """The packets of all queues as they come, until the interface is closed."""
        while True:
            try:
                yield self.recv()
            except errors.NoConnectionError:
                return

    def fileno(self) -> int:
        """A descriptor for select and epoll, readable when that of any queue is.

        See Interface.fileno.
        """
        self._state.check_open()
        return self._receiver.any_fd().fileno()

    def _receive(
        self,
        receive: Callable[[int], Any],
        take_left: Callable[[int], Any],
        timeout: float | None,
    ) -> Any:
        """Try the queues until one has packets.

        `receive` returns packets, or a code when it has none. `take_left` returns packets of ended
        links, or None.
        """
        receiver, state = self._receiver, self._state
        deadline = deadline_after(timeout)
        nap = FIRST_NAP
        while True:
            # Read before the queues: if the link has ended by now, all that it left is kept.
            closed, up = state.closed, state.up
            state.check_process()
            packets, are_held = self._try_each(receive, take_left)
            if packets is not None:
                return packets
            if closed:
                raise closed_error()
            if receiver.acknowledge_all():  # the link changed meanwhile: look again at once
                continue
            left = state.time_left(deadline, timeout, f"no packet within {timeout} s", was_up=up)
            if any(are_held) or receiver.polls():
                receiver.check_own_bursts(are_held)
                nap = sleep(nap, left)
            else:
                receiver.any_fd().wait(left)

    def _try_each(
        self, receive: Callable[[int], Any], take_left: Callable[[int], Any]
    ) -> tuple[Any, list[bool]]:
        """Packets of the first queue that has some, or None; and which queues a burst holds."""
        receiver = self._receiver
        are_held = [False] * receiver.count
        for queue in receiver.in_turn():
            found = receive(queue)
            if found.__class__ is int and not receiver.numbers[queue]:
                left = take_left(queue)
                if left is not None:
                    found = left
                elif receiver.numbers[queue]:  # its link has just come up
                    found = receive(queue)
            if found.__class__ is not int:
                receiver.served(queue)
                return found, are_held
            if found != NO_RING:
                check_code(found, "receive", queue)
            are_held[queue] = found == AGAIN
        return None, are_held
