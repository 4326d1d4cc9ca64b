# SPDX-License-Identifier: Apache-2.0
"""An interface as a transport of asyncio, with a protocol of callbacks."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast

from .. import errors
from ..control.steps import Steps
from ..control.wire import UINT16_MAX
from ..interface import Interface
from .loop import FIRST_NAP, LONGEST_NAP, NOT_NOW, PER_TURN, remove_reader, tell

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from typing_extensions import Buffer

    from ..options import Options, Packet

_HIGH_WATER = 64 * 1024


async def create_memif_endpoint(
    protocol_factory: Callable[[], asyncio.DatagramProtocol],
    path: str,
    *,
    queue: int = 0,
    **options: Unpack[Options],
) -> tuple[MemifTransport, asyncio.DatagramProtocol]:
    """Make an interface, as `loop.create_datagram_endpoint` makes a socket.

    Returns the transport and the protocol. The address of each datagram is the socket path. The
    link may go down and come up again. Each time it goes down, `error_received` gets Disconnected.
    Packets that are sent without a link are kept until it comes back.

    Args:
        protocol_factory: makes the protocol.
        path: see Interface.
        queue: the queue to receive from and to send on.
        options: the other arguments of Interface, except its callbacks `on_connect` and
            `on_disconnect`.

    Raises:
        QueueError: the interface does not have the queue.
        MemifError: see Interface.
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
    """See create_memif_endpoint. `get_extra_info` has "interface" and "sockname" (the path)."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.DatagramProtocol,
        path: str,
        queue: int,
        options: Options,
    ) -> None:
        """Use create_memif_endpoint."""
        self._loop = loop
        self._protocol = protocol
        self._path = path
        self._queue = queue
        self._received: deque[bytes] = deque()
        self._end_of_link: errors.Disconnected | None = None  # not yet reported
        self._unsent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._flushing: asyncio.Handle | None = None
        self._nap = FIRST_NAP
        self._reading = self._paused_reading = self._paused_writing = False
        self._made = self._closing = self._ended = False
        self._set_limits(None, None)
        self._interface = Interface(
            path,
            on_connect=lambda _: tell(loop, self._flush),
            on_disconnect=lambda _, reason: tell(loop, self._went_down, reason),
            **options,
        )
        try:
            self._fd = self._interface.fileno(queue)
        except BaseException as error:
            with Steps(error) as steps:
                steps.take(self._interface.close)
        super().__init__({"interface": self._interface, "sockname": path})

    def __repr__(self) -> str:
        """Its interface, and how many bytes wait to be sent."""
        return f"<MemifTransport {self._interface._state}, {self._unsent_bytes} bytes unsent>"

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
            remove_reader(self._loop, self._fd, self._interface)
        self._reading = wanted

    def _on_readable(self) -> None:
        """Receive one burst. While packets are left, the loop calls this again."""
        try:
            self._received.extend(self._interface.recv_burst(PER_TURN, 0, queue=self._queue))
        except NOT_NOW:
            return
        except errors.MemifError as error:
            self._end(error)
            return
        self._deliver()

    def _deliver(self) -> None:
        """Pass packets to the protocol. After the last packet of a link, report the link's end."""
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
        """Stop receiving: packets stay in the ring. When it is full, the peer has to wait."""
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
        """Call the protocol. Its exceptions go to the loop's handler, so that no packet is lost."""
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

    def sendto(self, data: Packet, addr: object = None) -> None:
        """Send a packet of at most 65535 bytes, or keep it until there is a link and room.

        `addr` is None or the path. Raises ArgumentError, or NoConnectionError if the transport is
        closed.
        """
        self._interface._state.check_process()
        if addr not in (None, self._path):
            raise errors.ArgumentError(f"address {addr!r}, expected None or {self._path!r}")
        if self._closing:
            raise errors.NoConnectionError("the transport is closed")
        if not self._unsent:
            try:
                self._interface.send(data, 0, queue=self._queue)
            except NOT_NOW:
                pass
            else:
                return
        packet = bytes(memoryview(cast("Buffer", data)))
        if len(packet) > UINT16_MAX:
            raise errors.ArgumentError(
                f"packet of {len(packet)} bytes, expected at most {UINT16_MAX}"
            )
        self._unsent.append(packet)
        self._unsent_bytes += len(packet)
        self._flush_later()
        if self._unsent_bytes > self._high and not self._paused_writing:
            self._paused_writing = True
            self._call(self._protocol.pause_writing)

    def _flush_later(self) -> None:
        """Try again after a nap. Without a link do nothing, because `on_connect` flushes later."""
        if self._flushing is None and self._interface.connected:
            self._flushing = self._loop.call_later(self._nap, self._flush)
            self._nap = min(2 * self._nap, LONGEST_NAP)

    def _flush(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if self._ended:
            return
        part = [self._unsent[i] for i in range(min(len(self._unsent), PER_TURN))]
        try:
            sent = self._interface.send_burst(part, 0, queue=self._queue) if part else 0
        except NOT_NOW:
            sent = 0
        except errors.MemifError as error:
            self._end(error)
            return
        for _ in range(sent):
            self._unsent_bytes -= len(self._unsent.popleft())
        if sent:
            self._nap = FIRST_NAP
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
        """How many bytes wait to be sent."""
        return self._unsent_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The limits of set_write_buffer_limits, in bytes: low, high."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Call `pause_writing` above `high` bytes, and `resume_writing` at `low` or below.

        Raises ArgumentError.
        """
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
        """Report the end of a link.

        While reading is paused, packets stay with the interface, which limits their number. If
        several links end meanwhile, only the last end is reported.
        """
        self._end_of_link = errors.Disconnected(reason)
        self._deliver()

    def is_closing(self) -> bool:
        """True if the transport is closed, or will close when all packets are sent."""
        return self._closing

    def close(self) -> None:
        """Stop receiving, send the kept packets, then call `connection_lost(None)`."""
        if self._closing:
            return
        self._closing = True
        self._read_on()
        if not self._unsent or self._interface._state.inherited:
            self._end(None)

    def abort(self) -> None:
        """Close at once, without sending the kept packets."""
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
            if self._interface._state.inherited:  # the loop is the parent's, perhaps closed
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
        """Pass packets and events to another protocol from now on. Raises TypeError."""
        if not isinstance(protocol, asyncio.DatagramProtocol):
            raise TypeError(f"protocol {protocol!r}, expected a DatagramProtocol")
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol."""
        return self._protocol
