# SPDX-License-Identifier: Apache-2.0
"""How tasks wait for packets: of one queue, or of any."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Protocol

from .. import errors
from ..settings import at_least_one
from .loop import FEW, FIRST_NAP, LONGEST_NAP, NOT_NOW, PER_TURN, remove_reader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ..bursts import RxBurst
    from ..interface import Interface
    from .holders import Holders


class Source(Protocol):
    """What a receiver receives from: an AnyQueue, or one queue."""

    def recv_burst(self, count: int, timeout: float) -> list[bytes]:
        """See Interface."""
        ...

    def rx_burst(self, count: int, timeout: float) -> RxBurst:
        """See Interface."""
        ...

    def fileno(self) -> int:
        """See Interface."""
        ...


class OneQueue:
    """One queue as a Source."""

    def __init__(self, interface: Interface, queue: int) -> None:
        """Of an interface."""
        self._interface = interface
        self._queue = queue

    def recv_burst(self, count: int, timeout: float) -> list[bytes]:
        """See Interface."""
        return self._interface.recv_burst(count, timeout, queue=self._queue)

    def rx_burst(self, count: int, timeout: float) -> RxBurst:
        """See Interface."""
        return self._interface.rx_burst(count, timeout, queue=self._queue)

    def fileno(self) -> int:
        """See Interface."""
        return self._interface.fileno(self._queue)


class AsyncReceiver:
    """A source of packets, and the tasks that wait for it.

    Packets from the ring stay in `_packets` until a call returns them. After a call has taken
    packets from `_packets`, it awaits nothing more, so a cancellation loses none of them.
    """

    def __init__(
        self,
        interface: Interface,
        loop: asyncio.AbstractEventLoop,
        holders: Holders,
        source: Source,
        queues: list[int],
    ) -> None:
        """`source` has these `queues`."""
        self._interface = interface
        self._loop = loop
        self._holders = holders
        self._source = source
        self._queues = queues
        self._fd = -1
        self._packets: deque[bytes] = deque()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._reading = False
        self._taken = 0
        self._ahead = FEW
        self._nap = FIRST_NAP

    async def take(self, count: int, *, ahead: bool = False) -> list[bytes]:
        """At least one and at most `count` packets. `ahead`: take some for later calls too."""
        if self._taken >= PER_TURN:
            await self._let_others_run()
        while not self._packets:
            if self._holders.tasks:
                await self._holders.passed(self._queues)
            if not self._packets:
                with contextlib.suppress(*NOT_NOW):
                    most = max(count, self._ahead) if ahead else count
                    self._packets.extend(self._source.recv_burst(most, 0))
                    self._ahead = PER_TURN if len(self._packets) >= FEW else FEW
            if not self._packets:
                await self._readable()
        packets = [self._packets.popleft() for _ in range(min(count, len(self._packets)))]
        self._taken += len(packets)
        if self._packets:
            self._wake_next()
        return packets

    def take_ready(self) -> bytes | None:
        """A packet that `take` would return without waiting, or None."""
        if not self._packets or self._taken >= PER_TURN:
            return None
        packet = self._packets.popleft()
        self._taken += 1
        if self._waiters and self._packets:
            self._wake_next()
        return packet

    async def open_burst(self, count: int) -> RxBurst:
        """At least one and at most `count` packets, without a copy if they are in the ring."""
        if self._taken >= PER_TURN:
            await self._let_others_run()
        while True:
            await self._holders.passed(self._queues)
            self.put_back()
            with contextlib.suppress(*NOT_NOW):
                burst = self._source.rx_burst(count, 0)
                self._holders.add(burst)
                self._taken += len(burst)
                return burst
            await self._readable()

    def put_back(self) -> None:
        """Leave the packets that are here already to whoever receives next, in any way."""
        if self._packets:
            self._interface._receiver.put_back(self._queues[0], list(self._packets))
            self._packets.clear()

    async def _let_others_run(self) -> None:
        self._taken = 0
        await asyncio.sleep(0)

    async def _readable(self) -> None:
        """Wait for packets, or for an event of the link."""
        self._taken = 0
        self._ahead = FEW
        if self._interface._receiver.are_held(self._queues):
            # The descriptor may be ready all the time. Nothing tells of the end of the views.
            await asyncio.sleep(self._nap)
            self._nap = min(2 * self._nap, LONGEST_NAP)
            return
        self._nap = FIRST_NAP
        future = self._loop.create_future()
        self._waiters.append(future)
        if not self._reading:
            self._fd = self._source.fileno()
            self._loop.add_reader(self._fd, self._wake_next)
            self._reading = True
        try:
            await future
        except asyncio.CancelledError:
            if future in self._waiters:
                self._waiters.remove(future)
            elif self._packets:
                self._wake_next()  # this task was woken for them: wake another one
            raise
        finally:
            if not self._waiters:
                self.stop_reading()

    def _wake_next(self) -> None:
        while self._waiters:
            future = self._waiters.popleft()
            if not future.done():
                future.set_result(None)
                break
        if not self._waiters:
            self.stop_reading()

    def wake_all(self) -> None:
        """The interface is closed."""
        while self._waiters:
            self._wake_next()

    def stop_reading(self) -> None:
        """While nobody receives, the descriptor stays ready, so the loop must not watch it."""
        if self._reading:
            self._reading = False
            remove_reader(self._loop, self._fd, self._interface)


class AsyncAnyQueue:
    """All receive queues of an AsyncInterface, whose `any_queue` returns it. See AnyQueue."""

    def __init__(self, interface: object, receiver: Callable[[], AsyncReceiver]) -> None:
        """It keeps the interface alive. `receiver` returns the one for all queues."""
        self._interface = interface
        self._receiver = receiver

    def __repr__(self) -> str:
        """Its interface."""
        return f"<AsyncAnyQueue of {self._interface!r}>"

    async def recv(self) -> bytes:
        """The next packet of any queue. See AsyncInterface.recv."""
        return (await self._receiver().take(1))[0]

    async def recv_burst(self, count: int = 256) -> list[bytes]:
        """At least one and at most `count` packets of one queue, in order."""
        at_least_one(count)
        return await self._receiver().take(count)

    async def rx_burst(self, count: int = 256) -> RxBurst:
        """At least one and at most `count` packets of one queue, without copying them.

        See AsyncInterface.rx_burst. The burst's `queue` says which queue it was.
        """
        at_least_one(count)
        return await self._receiver().open_burst(count)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The packets of all queues as they come, until the interface is closed."""
        while True:
            try:
                packet = await self.recv()
            except errors.NoConnectionError:
                return
            yield packet
