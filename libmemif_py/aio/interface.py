# SPDX-License-Identifier: Apache-2.0
"""An interface whose calls are awaited."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections import deque
from typing import TYPE_CHECKING

from .. import errors
from ..control.steps import Steps
from ..interface import Interface
from ..settings import at_least_one, callback
from .loop import FIRST_NAP, LONGEST_NAP, NOT_NOW, PER_TURN, remove_reader, tell

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Iterable
    from types import TracebackType
    from typing import Unpack

    from typing_extensions import Buffer

    from ..options import Options


class AsyncInterface:
    """An interface whose calls are awaited. Create it and use it on the same event loop.

    The packets of a queue come in order. A cancelled call has received no packet and sent none. The
    exception is `send_burst`, which may have sent some.

    Args:
        path: see Interface.
        on_connect: see Interface. It is called on the event loop, with the AsyncInterface.
        on_disconnect: see Interface. It is called in the same way.
        options: the other arguments of Interface.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        on_connect: Callable[[AsyncInterface], object] | None = None,
        on_disconnect: Callable[[AsyncInterface, str], object] | None = None,
        **options: Unpack[Options],
    ) -> None:
        """See the class."""
        self._loop = asyncio.get_running_loop()
        self._on_connect = callback("on_connect", on_connect)
        self._on_disconnect = callback("on_disconnect", on_disconnect)
        self._closed = False
        self._link_waiters: list[asyncio.Future[None]] = []
        self._receivers: dict[int, _Receiver] = {}
        self._send_locks: dict[int, asyncio.Lock] = {}
        self._sent = 0
        # They must not keep alive what the program drops.
        went_up, went_down = weakref.WeakMethod(self._went_up), weakref.WeakMethod(self._went_down)
        loop = self._loop
        self.interface = Interface(
            path,
            on_connect=lambda _: tell(loop, _call, went_up),
            on_disconnect=lambda _, reason: tell(loop, _call, went_down, reason),
            **options,
        )
        """The plain Interface, for calls that do not wait. Do not receive from it on a queue from
        which tasks receive through this object."""

    # ---- life ----

    def close(self) -> None:
        """Tell the peer, and release everything. Waiting calls raise NoConnectionError."""
        if self._closed:
            return
        self._closed = True
        if self.interface._state.inherited:
            self.interface.close()
            return
        with Steps() as steps:
            for receiver in self._receivers.values():
                steps.take(receiver.stop_reading)
            steps.take(self.interface.close)
            for receiver in self._receivers.values():
                steps.take(receiver.wake_all)
            steps.take(self._wake_link_waiters)

    def __repr__(self) -> str:
        """See Interface."""
        return f"<AsyncInterface {self.interface._state}>"

    async def __aenter__(self) -> AsyncInterface:
        """Close at the end of the block. Raises NoConnectionError if it is closed already."""
        self.interface.__enter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """See close."""
        self.close()

    @property
    def connected(self) -> bool:
        """True while the link is up."""
        return self.interface.connected

    async def wait_connected(self) -> None:
        """Wait for the link. Raises NoConnectionError if the interface is closed."""
        while not self.interface.connected:
            if self._closed:
                raise errors.NoConnectionError("the interface is closed")
            future = self._loop.create_future()
            self._link_waiters.append(future)
            try:
                await future
            finally:
                self._link_waiters.remove(future)

    def _wake_link_waiters(self) -> None:
        for future in self._link_waiters:
            if not future.done():
                future.set_result(None)

    def _went_up(self) -> None:
        self._wake_link_waiters()
        if self._on_connect is not None:
            self._on_connect(self)

    def _went_down(self, reason: str) -> None:
        if self._on_disconnect is not None:
            self._on_disconnect(self, reason)

    # ---- receive ----

    def _receiver(self, queue: int) -> _Receiver:
        self.interface._state.check_process()
        receiver = self._receivers.get(queue)
        if receiver is None:
            fd = -1 if self._closed else self.interface.fileno(queue)
            receiver = self._receivers[queue] = _Receiver(self.interface, self._loop, queue, fd)
        return receiver

    async def recv(self, *, queue: int = 0) -> bytes:
        """The next packet of a queue. Waits for it, and for the link.

        Raises NoConnectionError when the interface is closed, QueueError.
        """
        return (await self._receiver(queue).take(1))[0]

    async def recv_burst(self, count: int = 256, *, queue: int = 0) -> list[bytes]:
        """At least one and at most `count` packets of a queue. See recv."""
        at_least_one(count)
        return await self._receiver(queue).take(count)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The packets of queue 0 as they come, until the interface is closed."""
        while True:
            try:
                packet = await self.recv()
            except errors.NoConnectionError:
                return
            yield packet

    # ---- transmit ----

    async def flush(self, *, queue: int = 0) -> bool:
        """Wait until the peer has taken all sent packets. False if the link goes down before.

        See Interface.flush.
        """
        nap = FIRST_NAP
        while True:
            try:
                return self.interface.flush(0, queue=queue)
            except errors.Timeout:
                await asyncio.sleep(nap)
                nap = min(2 * nap, LONGEST_NAP)

    async def send(self, packet: Buffer, *, queue: int = 0) -> None:
        """Send one packet (any bytes-like object). Waits for the link and for room.

        Packets of several tasks are sent in the order of the calls. Raises NoConnectionError when
        the interface is closed, ArgumentError, QueueError.
        """
        await self.send_burst([packet], queue=queue)

    async def send_burst(self, packets: Iterable[Buffer], *, queue: int = 0) -> int:
        """Send all packets in order. Returns how many there were. See send."""
        self.interface._state.check_process()  # a task of the parent may hold the lock
        todo, sent, nap = list(packets), 0, FIRST_NAP
        async with self._send_locks.setdefault(queue, asyncio.Lock()):
            while sent < len(todo):
                if self._sent >= PER_TURN:
                    self._sent = 0
                    await asyncio.sleep(0)
                try:
                    part = todo[sent : sent + PER_TURN]
                    step = self.interface.send_burst(part, 0, queue=queue)
                except errors.Disconnected:
                    await self.wait_connected()
                except errors.Timeout:
                    await asyncio.sleep(nap)
                    nap = min(2 * nap, LONGEST_NAP)
                else:
                    sent += step
                    self._sent += step
                    nap = FIRST_NAP
        return sent


def _call(method: weakref.WeakMethod[Callable[..., None]], *arguments: object) -> None:
    """Call it, if its object is still there."""
    if (bound := method()) is not None:
        bound(*arguments)


class _Receiver:
    """A receive queue and the tasks that wait for it.

    Packets from the ring stay in `_packets` until a call returns them. After a call has taken
    packets from `_packets`, it awaits nothing more, so a cancellation loses none of them.
    """

    def __init__(
        self, interface: Interface, loop: asyncio.AbstractEventLoop, queue: int, fd: int
    ) -> None:
        self._interface = interface
        self._loop = loop
        self._queue = queue
        self._fd = fd
        self._packets: deque[bytes] = deque()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._reading = False
        self._taken = 0

    async def take(self, count: int) -> list[bytes]:
        if self._taken >= PER_TURN:
            self._taken = 0
            await asyncio.sleep(0)
        while not self._packets:
            self._fill(count)
            if not self._packets:
                self._taken = 0
                await self._readable()
        packets = [self._packets.popleft() for _ in range(min(count, len(self._packets)))]
        self._taken += len(packets)
        if self._packets:
            self._wake_next()
        return packets

    def _fill(self, count: int) -> None:
        with contextlib.suppress(*NOT_NOW):
            burst = self._interface.recv_burst(max(count, PER_TURN), 0, queue=self._queue)
            self._packets.extend(burst)

    async def _readable(self) -> None:
        future = self._loop.create_future()
        self._waiters.append(future)
        if not self._reading:
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
        while self._waiters:
            self._wake_next()

    def stop_reading(self) -> None:
        """While nobody receives, the descriptor stays ready, so the loop must not watch it."""
        if self._reading:
            self._reading = False
            remove_reader(self._loop, self._fd, self._interface)
