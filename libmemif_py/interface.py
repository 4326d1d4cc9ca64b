# SPDX-License-Identifier: Apache-2.0
"""A memif interface for Python programs.

Programs use the class `Interface`. Its parts are in other modules: `settings` checks the arguments,
`state` knows the link, `receiving` waits for packets, `sending` waits for room, and `observer` gets
the reports of the control plane.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING

from . import counters, errors, settings, uninterrupted
from .any_queue import AnyQueue
from .control import reactor, regions
from .control.endpoint import Settings
from .control.hub import RETRY_INTERVAL
from .control.reactor import burst
from .control.steps import Steps
from .control.wire import UINT16_MAX, VERSION_1, VERSION_2
from .details import Details, Peer, details_of
from .errors import Timeout
from .observer import Observer, Reports
from .receiving import Receiver
from .sending import Sender
from .settings import Mode, Role, RxMode, Unsealed
from .state import State, closed_error
from .waiting import deadline_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Any

    from .bursts import RxBurst, TxBurst
    from .control.endpoint import Endpoint
    from .counters import Counters
    from .options import Packet

__all__ = ["Details", "Interface", "Mode", "Peer", "Role", "RxMode", "Timeout", "Unsealed"]

_DEFAULT_PATH = Settings.path.decode()
_PACKAGE = os.path.dirname(__file__) + os.sep


def _line_of_program() -> str:
    """File and line of the innermost call from outside the package."""
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


class Interface:
    """One end of a memif. It sends and receives packets, as bytes or in place.

    It connects (slave) or listens (master) from the start, and again whenever the link goes down. A
    thread of the library does this. All threads may use all queues at the same time, and the
    packets of one call stay together. While a burst of `rx_burst` or `tx_burst` is open, other
    calls on its queue wait.

    Packets that the peer sent before a link ended are still received, however the link ended. They
    come before the packets of the next link, and before a call reports that there is no link.

    Args:
        path: socket path, at most 4,095 bytes; more than 107 bytes need /proc. "@name" is an
            abstract socket, at most 107 bytes.
        role: "slave" connects and provides the memory, "master" listens.
        id: interface id, the same on both sides, 0 to 2**32 - 1.
        name: interface name that is sent to the peer, at most 32 bytes.
        app_name: application name that is sent to the peer, at most 32 bytes.
        secret: at most 24 bytes; None or empty for none.
        mode: must equal the peer's.
        s2m_rings: slave-to-master rings, 1 to 256; for a master, the most that it accepts.
        m2s_rings: master-to-slave rings, likewise.
        ring_size: slots of a ring, a power of two from 1 to 16384 (slave).
        buffer_size: bytes of a buffer, 1 to 65535 (slave). A longer packet takes several buffers.
        max_packet: the most bytes of a received packet, 1 to 2**32 - 1, and for a slave at least
            `buffer_size`. A longer packet ends the link. A sent packet has at most 65535 bytes.
        version: 256 or 512 to speak only that protocol version; None for the highest that both ends
            speak.
        socket_mode: permissions of the socket file, such as 0o660 (master). A user who may write to
            it may connect. None: the umask decides.
        socket_owner: name or id of the user who will own the socket file (master). Needs
            privileges.
        socket_group: name or id of its group, likewise. Without privileges it must be one of our
            own groups.
        allow: called with the Peer after all other checks of the peer: for a master before it
            accepts the peer, for a slave before it sends the secret. True accepts the peer. Any
            other result refuses it, and so does an exception, which goes to sys.excepthook. The
            call runs on the library's thread, so other connections wait meanwhile.
        unsealed: from which peers a master accepts memory that the peer could shrink. Access to
            such memory can end the process. "trusted": from root and our own user; "never": from
            nobody; "always": from everybody.
        handshake_timeout: seconds within which a peer must complete the handshake.
        retry_interval: seconds until a slave without a master tries to connect again.
        on_connect: called with the interface when the link is up, on the library's thread. An
            exception goes to sys.excepthook, and the link goes on.
        on_disconnect: called in the same way when the link went down, with the interface and a
            reason, as in `Details.last_error`. Packets that were not received yet can be received
            in this callback and later.

    Close it, best with a `with` block. An interface that nobody refers to any more is closed too,
    with a ResourceWarning, which Python shows with `-X dev` or `-W default`.

    A forked child inherits the interface, but neither its thread nor its rings. In the child each
    call except `close` raises ForkedError at once. Neither `close` nor the end of the child
    disturbs the parent's link. Interfaces that the child makes itself work.

    Raises:
        ArgumentError: the value of an argument is not valid.
        TypeError: an argument has another type.
        NoFileError, AccessError, AlreadyError, FileNotSocketError: the master cannot listen.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = _DEFAULT_PATH,
        *,
        role: Role = "slave",
        id: int = 0,
        name: str = "",
        app_name: str = "libmemif_py",
        secret: str | bytes | None = None,
        mode: Mode = "ethernet",
        s2m_rings: int = 1,
        m2s_rings: int = 1,
        ring_size: int = 1024,
        buffer_size: int = 2048,
        max_packet: int = Settings.max_packet,
        version: int | None = None,
        socket_mode: int | None = None,
        socket_owner: int | str | None = None,
        socket_group: int | str | None = None,
        allow: Callable[[Peer], bool] | None = None,
        unsealed: Unsealed = "trusted",
        handshake_timeout: float = Settings.handshake_timeout,
        retry_interval: float = RETRY_INTERVAL,
        on_connect: Callable[[Interface], object] | None = None,
        on_disconnect: Callable[[Interface, str], object] | None = None,
    ) -> None:
        """See the class."""
        wanted = Settings(
            path=settings.path(path),
            is_master=settings.choice("role", role, ("slave", "master")) == "master",
            interface_id=settings.whole("id", id),
            if_name=settings.text("name", name, 32),
            app_name=settings.text("app_name", app_name, 32),
            secret=settings.text("secret", b"" if secret is None else secret, 24),
            mode=settings.MODES.index(settings.choice("mode", mode, settings.MODES)),
            num_s2m_rings=settings.whole("s2m_rings", s2m_rings),
            num_m2s_rings=settings.whole("m2s_rings", m2s_rings),
            buffer_size=settings.whole("buffer_size", buffer_size),
            log2_ring_size=settings.log2(ring_size),
            min_version=settings.choice("version", version, (None, VERSION_1, VERSION_2))
            or VERSION_1,
            max_version=version or VERSION_2,
            access=settings.access(socket_mode, socket_owner, socket_group),
            unsealed=settings.choice("unsealed", unsealed, regions.UNSEALED),
            handshake_timeout=settings.seconds("handshake_timeout", handshake_timeout),
            retry_interval=settings.seconds("retry_interval", retry_interval),
            max_packet=settings.whole("max_packet", max_packet),
            made_at=_line_of_program(),
        )
        rings = (wanted.num_s2m_rings, wanted.num_m2s_rings)
        rings = rings if wanted.is_master else rings[::-1]
        self._counters = counters.zero(*rings)
        self._state = State(wanted)
        self._sender = Sender(self._state, rings[1])
        callbacks = {
            "allow": settings.callback("allow", allow),
            "on_connect": settings.callback("on_connect", on_connect),
            "on_disconnect": settings.callback("on_disconnect", on_disconnect),
        }
        with reactor.in_our_classes(wanted):
            uninterrupted.call(self._make, wanted, rings[0], callbacks)

    def _make(
        self, wanted: Settings, rx_rings: int, callbacks: dict[str, Callable[..., Any] | None]
    ) -> None:
        """Make all that has to be closed."""
        self._receiver = Receiver(self._state, rx_rings)
        try:
            self._rx_numbers = self._receiver.numbers
            self._source = self._receiver.source
            self._observer = Observer(self, self._state, self._receiver, **callbacks)
            reports = Reports(self._observer, asks=callbacks["allow"] is not None)
            self._state.endpoint = reactor.add(wanted, reports)
        except BaseException as error:
            with Steps(error) as steps:
                steps.take(self._receiver.close)
        self._is_made = True

    @property
    def _endpoint(self) -> Endpoint:
        return self._state.endpoint

    # ---- life ----

    def close(self) -> None:
        """Tell the peer, and release everything. May be called twice.

        A call that waits in another thread raises NoConnectionError. A receiving call first gets
        the packets that are left. In a forked child, only the child's copy is closed, and the peer
        is not told. Raises MemifError if a step failed, such as AccessError if the socket file
        could not be removed. Even then the interface is closed.
        """
        if self._state.inherited:
            self._state.closing = self._state.closed = True
        elif not self._state.closing:
            with reactor.in_our_classes(self._state.settings):
                uninterrupted.call(self._end, locks=(self._state.lock,))

    def _end(self) -> None:
        """Close all that was made, once."""
        state = self._state
        with state.lock:
            if state.closing:
                return
            state.closing = True
        with Steps() as steps:
            steps.take(self.counters)
            steps.take(reactor.remove, self._endpoint)
            # The control thread may be about to report the end of the link.
            steps.take(self._observer.close)

    _is_made = False

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        """An interface that was dropped without `close` is closed soon, with a ResourceWarning."""
        if not self._is_made or self._state.closing or self._state.inherited:
            return
        self._state.closing = True
        try:
            where = self._state.settings.made_at
            _warn(f"unclosed {self!r}, made at {where}", ResourceWarning, source=self)
        finally:
            reactor.drop(self._endpoint, self._observer.close)

    def __enter__(self) -> Interface:
        """Close at the end of the block. Raises NoConnectionError if it is closed already."""
        if self._state.closed:
            raise closed_error()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """See close."""
        self.close()

    def __repr__(self) -> str:
        """Role, path, id, state, and why there is no link. Never the secret."""
        return f"<Interface {self._state}>"

    @property
    def connected(self) -> bool:
        """True while the link is up."""
        self._state.check_process()
        return self._state.up

    def wait_connected(self, timeout: float | None = None) -> None:
        """Wait for the link, up to `timeout` seconds (None: no limit). Raises Timeout."""
        state = self._state
        state.check_process()
        done = state.wait_until(lambda: state.up or state.closed, deadline_after(timeout))
        state.check_open()
        if not done:
            reason = self._endpoint.last_error
            raise Timeout(f"no link within {timeout} s" + (f" ({reason})" if reason else ""))

    @property
    def peer(self) -> Peer | None:
        """The process at the other end; None while there is no link."""
        self._state.check_process()
        link = self._endpoint.link
        return Peer(*link.peer) if self._state.up and link is not None else None

    def details(self) -> Details:
        """The interface and its link at this moment, connected or not."""
        self._state.check_process()
        with self._state.lock:
            return details_of(self._endpoint, is_up=self._state.up)

    # ---- counters ----

    def counters(self) -> Counters:
        """The counters of all queues, over all links. After `close`, the last values."""
        self._state.check_process()
        now = counters.read(self._endpoint, self._receiver.filtered, self._sender.count)
        if now is not None:
            self._counters = now
        return self._counters

    def rx_fill(self, queue: int = 0) -> int | None:
        """How many packets a receive ring holds, those of an open burst included.

        A packet counts once, however many slots it takes. The call reads each slot in use, which
        takes some microseconds for a thousand slots. Returns None while the queue has no ring:
        without a link, or if the peer offers fewer queues. Raises QueueError.
        """
        return self._receiver.fill(queue)[0]

    def tx_fill(self, queue: int = 0) -> int | None:
        """How many sent packets the peer has not given back yet. See rx_fill."""
        return self._sender.fill(queue)[0]

    def rx_slots(self, queue: int = 0) -> int | None:
        """How many slots the packets of rx_fill take. `details().rx_rings` has the ring sizes."""
        return self._receiver.fill(queue)[1]

    def tx_slots(self, queue: int = 0) -> int | None:
        """How many slots the packets of tx_fill take. `details().tx_rings` has the ring sizes."""
        return self._sender.fill(queue)[1]

    # ---- receive ----

    def recv(self, timeout: float | None = None, *, queue: int = 0) -> bytes:
        """The next packet of a queue.

        Waits up to `timeout` seconds (None: no limit, 0: not at all), also for the link.
        Raises Timeout, Disconnected (no link when the time was up), QueueError.
        """
        packet = self._source.recv(self._rx_numbers.get(queue, 0), queue)
        if packet.__class__ is bytes:
            return packet
        receiver = self._receiver
        return receiver.wait_for_packets(
            lambda: self._source.recv(self._rx_numbers[queue], queue),
            lambda: next(iter(receiver.take_left(queue, 1)), None),
            packet,
            timeout,
            queue,
        )

    def recv_burst(
        self, count: int = 256, timeout: float | None = None, *, queue: int = 0
    ) -> list[bytes]:
        """At least one and at most `count` packets of a queue, in order. See recv."""
        settings.at_least_one(count)
        most = min(count, UINT16_MAX)
        packets = self._source.recv_burst(self._rx_numbers.get(queue, 0), queue, most)
        if packets.__class__ is list:
            return packets
        receiver = self._receiver
        return receiver.wait_for_packets(
            lambda: self._source.recv_burst(self._rx_numbers[queue], queue, most),
            lambda: receiver.take_left(queue, count) or None,
            packets,
            timeout,
            queue,
        )

    def rx_burst(
        self, count: int = 256, timeout: float | None = None, *, queue: int = 0
    ) -> RxBurst:
        """At least one and at most `count` packets of a queue, without copying them. See recv.

        Use it in a `with` block. At the end of the block the slots go back to the peer. Until then,
        other calls on the queue wait.

            with interface.rx_burst() as burst:
                first_bytes = burst.data[:, :14].copy()
        """
        settings.at_least_one(count)
        return self._receiver.open_burst(count, timeout, queue)

    @property
    def any_queue(self) -> AnyQueue:
        """All receive queues, to receive from whichever has packets.

        packet = interface.any_queue.recv(timeout=1)
        """
        return AnyQueue(self, self._receiver, self._state)

    def __iter__(self) -> Iterator[bytes]:
        """The packets of queue 0 as they come, until the interface is closed."""
        while True:
            try:
                yield self.recv()
            except errors.NoConnectionError:
                return

    def fileno(self, queue: int = 0) -> int:
        """A descriptor for select and epoll. It stays the same when the link comes back.

        It is readable when the queue may have packets (in interrupt mode), or when the link
        changed. Then call recv or recv_burst with timeout 0.
        """
        self._state.check_open()
        return self._receiver.fileno(queue)

    def set_rx_mode(self, mode: RxMode, *, queue: int = 0) -> None:
        """Set how the interface learns of the packets of a queue.

        "interrupt", the default: the peer signals them. "polling": the peer sends no signals, and
        the library polls. The mode stays set for later links. Raises QueueError.
        """
        self._receiver.check(queue)
        self._state.check_open()
        is_polling = settings.choice("mode", mode, ("interrupt", "polling")) == "polling"
        self._receiver.set_polling(queue, is_polling)

    def set_filter(self, text: str | None) -> None:
        """Receive only packets that match a filter; None: all packets.

        A filter is written as for tcpdump ("icmp or vlan 5"), and the system's libpcap runs it. All
        calls that receive skip other packets, on all queues, also those that are in the rings now.
        Their buffers go back to the peer, and `RxCounters.filtered` counts them. The descriptor of
        `fileno` becomes readable for them too.

        A filter saves work; it is no guard. A hostile peer can change a packet of `rx_burst` at any
        time. Raises ArgumentError with what libpcap says of a wrong filter, ImportError without
        libpcap.
        """
        self._receiver.set_filter(text)
        self._source = self._receiver.source

    # ---- transmit ----

    def send(self, packet: Packet, timeout: float | None = None, *, queue: int = 0) -> None:
        """Send one packet (any bytes-like object, at most 65535 bytes).

        Waits up to `timeout` seconds (None: no limit, 0: not at all) for the link and for room.
        Raises Timeout, Disconnected, ArgumentError, QueueError.
        """
        try:
            code = burst.send(self._state.number, queue, packet)
        except ValueError as error:
            raise errors.ArgumentError(str(error)) from None
        if code:
            self._sender.send_later([packet], 0, code, timeout, queue)

    def send_burst(
        self, packets: Iterable[Packet], timeout: float | None = None, *, queue: int = 0
    ) -> int:
        """Send packets in order. Returns how many were sent.

        Waits like send. If the time is up after some packets were sent, it returns their number.
        """
        todo = packets if type(packets) is list else list(packets)
        try:
            sent, code = burst.send_burst(self._state.number, queue, todo, 0)
        except ValueError as error:
            raise errors.ArgumentError(str(error)) from None
        if sent == len(todo):
            return sent
        return self._sender.send_later(todo, sent, code, timeout, queue)

    def flush(self, timeout: float | None = None, *, queue: int = 0) -> bool:
        """Wait until the peer has taken all sent packets. False if the link goes down before.

        Not every peer still takes packets from the ring after the link has ended. A peer that uses
        this library does. Raises Timeout, QueueError.
        """
        return self._sender.flush(timeout, queue)

    def tx_burst(
        self, count: int, size: int, timeout: float | None = None, *, queue: int = 0
    ) -> TxBurst:
        """Reserve at least one and at most `count` packets of `size` bytes (1 to 65535).

        Use it in a `with` block and fill the packets in place. They are sent at the end of the
        block, unless it ends with an exception. Until then, other calls on the queue wait. Waits
        like send.

            with interface.tx_burst(256, 64) as burst:
                burst.data[:] = frames[: len(burst)]
        """
        settings.at_least_one(count)
        settings.in_range("size", size, 1, UINT16_MAX)
        return self._sender.open_burst(count, size, timeout, queue)
