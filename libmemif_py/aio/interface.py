# SPDX-License-Identifier: Apache-2.0
"""Interfaces for asyncio, on `loop.add_reader` of `Interface.fileno`; uvloop works too.

`AsyncInterface` is for `await`, `create_memif_endpoint` for protocols of callbacks. No task and no
thread runs behind them beyond the one of the library that connects. Whoever has a lot to do lets
others go on after PER_TURN packets. The loop is the one that runs when they are made.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any

from .. import errors
from ..control.steps import Steps
from ..errors import Timeout
from ..interface import Interface

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from types import TracebackType

PER_TURN = 64
# While a ring is full there is nothing to wait on: try again after a little, then after more.
_FIRST_NAP = 50e-6
_LONGEST_NAP = 2e-3
_NOT_NOW = (Timeout, errors.Disconnected)
_HIGH_WATER = 64 * 1024


class AsyncInterface:
    """An interface whose calls are awaited; made and used on one event loop.

    Packets of a queue come in order. A call that is cancelled has taken no packet, and has sent
    none, except `send_burst`, which may have sent some.

    Args:
        path: see Interface, and so for all options. `on_connect` and `on_disconnect` are called on
            the event loop, with the AsyncInterface.
    """

    def __init__(
        self,
        path: str,
        *,
        on_connect: Callable[[AsyncInterface], object] | None = None,
        on_disconnect: Callable[[AsyncInterface, str], object] | None = None,
        **options: Any,
    ) -> None:
        """See the class."""
        self._loop = asyncio.get_running_loop()
        self._on_connect = on_connect
        self._on_disconnect = on_disconnect
        self._closed = False
        self._link_waiters: list[asyncio.Future[None]] = []
        self._receivers: dict[int, _Receiver] = {}
        self._send_locks: dict[int, asyncio.Lock] = {}
        self._sent = 0
        self.interface = Interface(
            path,
            on_connect=lambda _: _tell(self._loop, self._went_up),
            on_disconnect=lambda _, reason: _tell(self._loop, self._went_down, reason),
            **options,
        )
        """The interface itself, for all that needs no waiting. Receive from it only what nobody
        receives here."""

    # ---- life ----

    def close(self) -> None:
        """Tell the peer, release everything. Who waits gets NoConnectionError."""
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

    async def __aenter__(self) -> AsyncInterface:
        """Close at the end of the block."""
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
        """Wait for the link. Raises NoConnectionError when the interface is closed."""
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
        """The next packet of a queue. Waits for it, also for the link.

        Raises NoConnectionError when the interface is closed, QueueError.
        """
        return (await self._receiver(queue).take(1))[0]

    async def recv_burst(self, count: int = 256, *, queue: int = 0) -> list[bytes]:
        """At least one and at most `count` packets of a queue. See recv."""
        if count < 1:
            raise errors.ArgumentError(f"count {count}, expected at least 1")
        return await self._receiver(queue).take(count)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Packets of queue 0 as they come, until the interface is closed."""
        while True:
            try:
                packet = await self.recv()
            except errors.NoConnectionError:
                return
            yield packet

    # ---- transmit ----

    async def flush(self, *, queue: int = 0) -> bool:
        """Wait until the peer has taken all that was sent; False if the link goes down before.

        See Interface.flush.
        """
        nap = _FIRST_NAP
        while True:
            try:
                return self.interface.flush(0, queue=queue)
            except Timeout:
                await asyncio.sleep(nap)
                nap = min(2 * nap, _LONGEST_NAP)

    async def send(self, packet: bytes, *, queue: int = 0) -> None:
        """Send one packet (any bytes-like object). Waits for the link and for room.

        Packets of several tasks go out in the order of the calls. Raises NoConnectionError when
        the interface is closed, ArgumentError, QueueError.
        """
        await self.send_burst([packet], queue=queue)

    async def send_burst(self, packets: Iterable[bytes], *, queue: int = 0) -> int:
        """Send packets in order, all of them; returns how many. See send."""
        self.interface._state.check_process()  # its task may hold the lock, and is not in a child
        todo, sent, nap = list(packets), 0, _FIRST_NAP
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
                except Timeout:
                    await asyncio.sleep(nap)
                    nap = min(2 * nap, _LONGEST_NAP)
                else:
                    sent += step
                    self._sent += step
                    nap = _FIRST_NAP
        return sent


class _Receiver:
    """A queue and who waits for it.

    Packets that were taken from the ring lie in `_packets` until a call returns them, and no call
    waits for anything after it has taken some: so cancellation finds none on the way.
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
        with contextlib.suppress(*_NOT_NOW):
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
                self._wake_next()  # it was this one's turn
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
        """While nobody waits the descriptor stays ready, so the loop must not look at it."""
        if self._reading:
            self._reading = False
            _remove_reader(self._loop, self._fd, self._interface)


async def create_memif_endpoint(
    protocol_factory: Callable[[], asyncio.DatagramProtocol],
    path: str,
    *,
    queue: int = 0,
    **options: Any,
) -> tuple[MemifTransport, asyncio.DatagramProtocol]:
    """An interface as a pair of transport and protocol, as `loop.create_datagram_endpoint` makes.

    The address of datagrams is the socket path. The link may come and go: packets that are sent
    meanwhile are kept, and `error_received` gets Disconnected whenever it goes down.

    Args:
        protocol_factory: makes the protocol.
        path: see Interface, and so for all options but the callbacks.
        queue: the queue to receive from and to send on.
    """
    loop = asyncio.get_running_loop()
    protocol = protocol_factory()
    transport = MemifTransport(loop, protocol, path, queue, options)
    started = loop.create_future()
    loop.call_soon(transport._start, started)
    try:
        await started
    except BaseException:
        transport.abort()
        raise
    return transport, protocol


class MemifTransport(asyncio.DatagramTransport):
    """See create_memif_endpoint. `get_extra_info` knows "interface" and "sockname" (the path)."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.DatagramProtocol,
        path: str,
        queue: int,
        options: dict[str, Any],
    ) -> None:
        """Use create_memif_endpoint."""
        self._loop = loop
        self._protocol = protocol
        self._path = path
        self._queue = queue
        self._received: deque[bytes] = deque()
        self._end_of_link: errors.Disconnected | None = None  # not told yet
        self._unsent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._flushing: asyncio.Handle | None = None
        self._nap = _FIRST_NAP
        self._reading = self._paused_reading = self._paused_writing = False
        self._made = self._closing = self._ended = False
        self._set_limits(None, None)
        self._interface = Interface(
            path,
            on_connect=lambda _: _tell(loop, self._flush),
            on_disconnect=lambda _, reason: _tell(loop, self._went_down, reason),
            **options,
        )
        try:
            self._fd = self._interface.fileno(queue)
        except BaseException as error:
            with Steps(error) as steps:
                steps.take(self._interface.close)
        super().__init__({"interface": self._interface, "sockname": path})

    def _start(self, started: asyncio.Future[None]) -> None:
        if self._closing:
            return
        self._made = True
        self._call(self._protocol.connection_made, self)
        self._read_on()
        if not started.done():
            started.set_result(None)

    # ---- receive ----

    def _read_on(self) -> None:
        wanted = not (self._closing or self._paused_reading)
        if wanted and not self._reading:
            self._loop.add_reader(self._fd, self._on_readable)
        elif self._reading and not wanted:
            _remove_reader(self._loop, self._fd, self._interface)
        self._reading = wanted

    def _on_readable(self) -> None:
        """The descriptor stays ready until all is received, so others have their turn."""
        try:
            self._received.extend(self._interface.recv_burst(PER_TURN, 0, queue=self._queue))
        except _NOT_NOW:
            return
        except errors.MemifError as error:
            self._end(error)
            return
        self._deliver()

    def _deliver(self) -> None:
        """Behind the last packet of a link the protocol hears of its end."""
        while not (self._closing or self._paused_reading):
            if not self._received and self._end_of_link is not None:
                self._received.extend(self._interface._receiver.take_left(self._queue, PER_TURN))
            if self._received:
                packet = self._received.popleft()
                self._call(self._protocol.datagram_received, packet, self._path)
            elif self._end_of_link is not None:
                end, self._end_of_link = self._end_of_link, None
                self._call(self._protocol.error_received, end)
            else:
                return

    def pause_reading(self) -> None:
        """Leave packets where they are; a full ring holds the peer up."""
        self._interface._state.check_process()
        self._paused_reading = True
        self._read_on()

    def resume_reading(self) -> None:
        """Undo pause_reading."""
        self._interface._state.check_process()
        self._paused_reading = False
        self._loop.call_soon(self._deliver)
        self._read_on()

    def _call(self, callback: Callable[..., object], *arguments: object) -> None:
        """The protocol's failure must not take packets with it."""
        try:
            callback(*arguments)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            context = {
                "message": f"{getattr(callback, '__name__', callback)} failed",
                "exception": error,
                "transport": self,
                "protocol": self._protocol,
            }
            self._loop.call_exception_handler(context)

    # ---- transmit ----

    def sendto(self, data: Any, addr: object = None) -> None:
        """Send a packet; `addr` is None or the path. It is kept while there is no room or no link.

        Raises ArgumentError, NoConnectionError when the transport is closed.
        """
        self._interface._state.check_process()
        if addr not in (None, self._path):
            raise errors.ArgumentError(f"address {addr!r}, expected None or {self._path!r}")
        if self._closing:
            raise errors.NoConnectionError("the transport is closed")
        if not self._unsent:
            try:
                self._interface.send(data, 0, queue=self._queue)
            except _NOT_NOW:
                pass
            else:
                return
        packet = bytes(memoryview(data))
        if len(packet) > 65535:
            raise errors.ArgumentError(f"packet of {len(packet)} bytes, expected at most 65535")
        self._unsent.append(packet)
        self._unsent_bytes += len(packet)
        self._flush_later()
        if self._unsent_bytes > self._high and not self._paused_writing:
            self._paused_writing = True
            self._call(self._protocol.pause_writing)

    def _flush_later(self) -> None:
        """Without a link there is nothing to try: it comes with a flush."""
        if self._flushing is None and self._interface.connected:
            self._flushing = self._loop.call_later(self._nap, self._flush)
            self._nap = min(2 * self._nap, _LONGEST_NAP)

    def _flush(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if self._ended:
            return
        part = [self._unsent[i] for i in range(min(len(self._unsent), PER_TURN))]
        try:
            sent = self._interface.send_burst(part, 0, queue=self._queue) if part else 0
        except _NOT_NOW:
            sent = 0
        except errors.MemifError as error:
            self._end(error)
            return
        for _ in range(sent):
            self._unsent_bytes -= len(self._unsent.popleft())
        if sent:
            self._nap = _FIRST_NAP
        self._went_on()

    def _went_on(self) -> None:
        if self._unsent:
            self._flush_later()
        if self._paused_writing and self._unsent_bytes <= self._low:
            self._paused_writing = False
            self._call(self._protocol.resume_writing)
        if self._closing and not self._unsent:
            self._end(None)

    def get_write_buffer_size(self) -> int:
        """Bytes that wait to be sent."""
        return self._unsent_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Low and high water, in bytes."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Beyond `high` bytes `pause_writing` is called, from `low` on `resume_writing`."""
        self._set_limits(high, low)

    def _set_limits(self, high: int | None, low: int | None) -> None:
        if high is None:
            high = _HIGH_WATER if low is None else 4 * low
        low = high // 4 if low is None else low
        if not 0 <= low <= high:
            raise errors.ArgumentError(f"limits {low} and {high}, expected 0 <= low <= high")
        self._high, self._low = high, low

    # ---- the end ----

    def _went_down(self, reason: str) -> None:
        """While reading is paused, packets stay where their number is limited, and of several ends
        the last is told."""
        self._end_of_link = errors.Disconnected(reason)
        self._deliver()

    def is_closing(self) -> bool:
        """True when closed, or about to be."""
        return self._closing

    def close(self) -> None:
        """Receive no more, send what waits, then end with `connection_lost(None)`."""
        if self._closing:
            return
        self._closing = True
        self._read_on()
        if not self._unsent or self._interface._state.inherited:
            self._end(None)

    def abort(self) -> None:
        """End at once; what waits is not sent."""
        self._end(None)

    def _end(self, error: Exception | None) -> None:
        if self._ended:
            return
        self._closing = self._ended = True
        with Steps() as steps:
            steps.take(self._read_on)
            if self._flushing is not None:
                self._flushing.cancel()
            self._unsent.clear()
            self._received.clear()
            self._unsent_bytes = 0
            if self._interface._state.inherited:  # the loop is the parent's, and may be closed here
                steps.take(self._interface.close)
            else:
                steps.take(self._loop.call_soon, self._finish, error)

    def _finish(self, error: Exception | None) -> None:
        try:
            if self._made:
                self._call(self._protocol.connection_lost, error)
        finally:
            self._interface.close()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Another one gets what comes from now on."""
        if not isinstance(protocol, asyncio.DatagramProtocol):
            raise TypeError(f"protocol {protocol!r}, expected a DatagramProtocol")
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol."""
        return self._protocol


def _remove_reader(loop: asyncio.AbstractEventLoop, fd: int, interface: Interface) -> None:
    """In a forked child the loop's epoll set is still that of the parent's loop."""
    if not interface._state.inherited:
        loop.remove_reader(fd)


def _tell(
    loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *arguments: object
) -> None:
    """From the library's thread. A loop that is closed has nobody to be told."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, *arguments)
