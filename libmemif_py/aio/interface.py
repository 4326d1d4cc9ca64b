# SPDX-License-Identifier: Apache-2.0
"""An interface whose calls are awaited."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING

from .. import errors
from ..control.steps import Steps
from ..interface import Interface
from ..settings import at_least_one, callback
from .holders import Holders
from .line import Line
from .loop import FIRST_NAP, LONGEST_NAP, PER_TURN, tell
from .receiving import AsyncAnyQueue, AsyncReceiver, OneQueue

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Iterable
    from types import TracebackType
    from typing import Unpack

    from ..bursts import RxBurst, TxBurst
    from ..counters import Counters
    from ..details import Details, Peer
    from ..options import Options, Packet


class AsyncInterface:
    """An interface whose calls are awaited. Create it and use it on the same event loop.

    The packets of a queue come in order. A cancelled call has received no packet and sent none. The
    exception is `send_burst`, which may have sent some.

    A call that need not wait returns without a turn of the event loop. But after 64 packets from a
    queue, or 64 that were sent, the next call lets others run first.

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
        self._receivers: dict[int | None, AsyncReceiver] = {}  # None: of all queues
        self._rx_holders, self._tx_holders = Holders(self._loop), Holders(self._loop)
        self._lines: dict[int, Line] = {}  # of calls that send, by queue
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
            steps.take(self._rx_holders.close)
            steps.take(self._tx_holders.close)
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

    @property
    def peer(self) -> Peer | None:
        """The process at the other end; None while there is no link."""
        return self.interface.peer

    def details(self) -> Details:
        """See Interface.details."""
        return self.interface.details()

    def counters(self) -> Counters:
        """See Interface.counters."""
        return self.interface.counters()

    def rx_fill(self, queue: int = 0) -> int | None:
        """See Interface.rx_fill. Packets that `recv` has taken ahead of its calls do not count."""
        return self.interface.rx_fill(queue)

    def tx_fill(self, queue: int = 0) -> int | None:
        """See Interface.tx_fill."""
        return self.interface.tx_fill(queue)

    def rx_slots(self, queue: int = 0) -> int | None:
        """See Interface.rx_slots."""
        return self.interface.rx_slots(queue)

    def tx_slots(self, queue: int = 0) -> int | None:
        """See Interface.tx_slots."""
        return self.interface.tx_slots(queue)

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

    def _receiver(self, queue: int) -> AsyncReceiver:
        self.interface._state.check_process()
        receiver = self._receivers.get(queue)
        if receiver is None:
            self.interface._receiver.check(queue)
            source = OneQueue(self.interface, queue)
            receiver = self._receivers[queue] = AsyncReceiver(
                self.interface, self._loop, self._rx_holders, source, [queue]
            )
        return receiver

    def _receiver_of_all(self) -> AsyncReceiver:
        self.interface._state.check_process()
        for other in self._receivers.values():
            other.put_back()
        receiver = self._receivers.get(None)
        if receiver is None:
            queues = list(range(self.interface._receiver.count))
            receiver = self._receivers[None] = AsyncReceiver(
                self.interface, self._loop, self._rx_holders, self.interface.any_queue, queues
            )
        return receiver

    async def recv(self, *, queue: int = 0) -> bytes:
        """The next packet of a queue. Waits for it, and for the link.

        Raises NoConnectionError when the interface is closed, QueueError.
        """
        receiver = self._receivers.get(queue)
        # A forked child has no number; it learns the rest from `_receiver`.
        if receiver is not None and self.interface._state.number:
            packet = receiver.take_ready()
            if packet is not None:
                return packet
        return (await self._receiver(queue).take(1, ahead=True))[0]

    async def recv_burst(self, count: int = 256, *, queue: int = 0) -> list[bytes]:
        """At least one and at most `count` packets of a queue. See recv."""
        at_least_one(count)
        return await self._receiver(queue).take(count, ahead=True)

    async def rx_burst(self, count: int = 256, *, queue: int = 0) -> RxBurst:
        """At least one and at most `count` packets of a queue, without copying them. See recv.

        Use it in a `with` block. At the end of the block the slots go back to the peer. Until then,
        other tasks that use the queue wait, so await little inside.

            with await interface.rx_burst() as burst:
                first_bytes = burst.data[:, :14].copy()
        """
        at_least_one(count)
        return await self._receiver(queue).open_burst(count)

    def set_filter(self, text: str | None) -> None:
        """See Interface.set_filter. It holds for packets that `recv` has taken ahead as well."""
        for receiver in self._receivers.values():
            receiver.put_back()
        self.interface.set_filter(text)

    @property
    def any_queue(self) -> AsyncAnyQueue:
        """All receive queues, to receive from whichever has packets. See Interface.any_queue."""
        return AsyncAnyQueue(self, self._receiver_of_all)

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

    async def send(self, packet: Packet, *, queue: int = 0) -> None:
        """Send one packet (any bytes-like object). Waits for the link and for room.

        Packets of several tasks are sent in the order of the calls. Raises NoConnectionError when
        the interface is closed, ArgumentError, QueueError.
        """
        line = self._lines.get(queue)
        if line is None or line.length or self._sent >= PER_TURN or self._tx_holders.tasks:
            await self.send_burst([packet], queue=queue)
            return
        try:
            self.interface.send(packet, 0, queue=queue)
        except errors.WaitError:
            await self.send_burst([packet], queue=queue)
        else:
            self._sent += 1

    async def send_burst(self, packets: Iterable[Packet], *, queue: int = 0) -> int:
        """Send all packets in order. Returns how many there were. See send."""
        todo, sent, nap = list(packets), 0, FIRST_NAP
        async with self._line(queue):
            while sent < len(todo):
                if self._sent >= PER_TURN:
                    self._sent = 0
                    await asyncio.sleep(0)
                if self._tx_holders.tasks:
                    await self._tx_holders.passed([queue])
                try:
                    part = todo[sent : sent + PER_TURN]
                    step = self.interface.send_burst(part, 0, queue=queue)
                except errors.WaitError as error:
                    nap = await self._room(error, nap, queue)
                else:
                    sent += step
                    self._sent += step
                    nap = FIRST_NAP
        return sent

    async def tx_burst(self, count: int, size: int, *, queue: int = 0) -> TxBurst:
        """Reserve at least one and at most `count` packets of `size` bytes (1 to 65535).

        Use it in a `with` block and fill the packets in place. They are sent at the end of the
        block, unless it ends with an exception. Until then, other tasks that send on the queue
        wait, so await little inside. Waits like send.

            with await interface.tx_burst(256, 64) as burst:
                burst.data[:] = frames[: len(burst)]
        """
        nap = FIRST_NAP
        async with self._line(queue):
            while True:
                await self._tx_holders.passed([queue])
                try:
                    burst = self.interface.tx_burst(count, size, 0, queue=queue)
                except errors.WaitError as error:
                    nap = await self._room(error, nap, queue)
                else:
                    self._tx_holders.add(burst)
                    return burst

    def _line(self, queue: int) -> Line:
        """The task that holds the queue must not wait for those behind."""
        self.interface._state.check_process()  # a task of the parent may be the first in line
        if self._tx_holders.tasks:
            self._tx_holders.check_own([queue])
        line = self._lines.get(queue)
        if line is None:
            line = self._lines[queue] = Line()
        return line

    async def _room(self, error: errors.WaitError, nap: float, queue: int) -> float:
        """Wait for the link, or for room in the ring. Returns the length of the next nap."""
        if isinstance(error, errors.Disconnected):
            await self.wait_connected()
            return nap
        self.interface._sender.check_views(queue)
        await asyncio.sleep(nap)
        return min(2 * nap, LONGEST_NAP)


def _call(method: weakref.WeakMethod[Callable[..., None]], *arguments: object) -> None:
    """Call it, if its object is still there."""
    if (bound := method()) is not None:
        bound(*arguments)
