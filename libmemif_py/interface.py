# SPDX-License-Identifier: Apache-2.0
"""A memif interface for Python programs."""

from __future__ import annotations

import grp
import os
import pwd
import select
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from . import counters, errors
from .bursts import RxBurst, TxBurst
from .control import reactor, regions, system
from .control.endpoint import Endpoint, Settings
from .control.sockets import Access
from .control.steps import Steps
from .control.wire import VERSION_1, VERSION_2, printable
from .counters import Counters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

_DEFAULT_PATH = Settings.path.decode()
_MODES = {"ethernet": 0, "ip": 1, "punt-inject": 2}
_MAX_PACKET = 65535
_MOST = 65535
_burst = reactor.burst
_AGAIN = reactor.native.codes["AGAIN"]
_NOCONN = reactor.native.codes["NOCONN"]
_WAITABLE = {
    *(0, _AGAIN, _NOCONN),  # NOCONN: no link, or packets of the last one come first
    *(reactor.native.codes[n] for n in ("DISCONNECTED", "NOBUF_RING", "NOBUF")),
}
# Bytes that are kept of packets that were not received when their link ended, of all queues. A
# cheat's buffers may overlap, so that its rings seem to hold far more than its memory.
_MOST_KEPT = 1 << 28
# While a ring is full or polled there is nothing to wait on: sleep a little, then more.
_FIRST_NAP = 10e-6
_LONGEST_NAP = 1e-3

Role = Literal["master", "slave"]
Unsealed = Literal["trusted", "never", "always"]
Mode = Literal["ethernet", "ip", "punt-inject"]
RxMode = Literal["interrupt", "polling"]


class Timeout(errors.MemifError, TimeoutError):
    """Nothing came, or nothing could be sent, within the given time."""

    code = "AGAIN"


@dataclass(frozen=True)
class Peer:
    """Who is at the other end of the control socket, as the kernel noted it.

    Of a slave, at its connect; of a master, when it began to listen: for a socket that a service
    manager made that is the service manager. Seen from our namespaces: what cannot be seen from
    there is pid 0, uid and gid 65534.
    """

    pid: int
    """Processes end and their numbers are used again: good for a log, not for a decision."""
    uid: int
    """The effective user."""
    gid: int
    """The effective group."""


@dataclass(frozen=True)
class Details:
    """What is known of an interface and its link at one moment."""

    path: str
    """Socket path; "@name" is abstract."""
    id: int
    role: Role
    mode: Mode
    name: str
    app_name: str
    remote_name: str
    """The interface name of the peer, or of the last one; empty before the first.

    What of it cannot be printed on one line is escaped as \\xNN or \\uNNNN.
    """
    remote_app_name: str
    """Its application name, likewise."""
    connected: bool
    version: int
    """Protocol version in use, 256 or 512; 0 when disconnected."""
    rx_rings: tuple[int, ...]
    """Slots of each receive ring, by queue id; empty when disconnected."""
    tx_rings: tuple[int, ...]
    buffer_size: int
    """Bytes of a buffer as configured here; a master uses what the slave offers."""
    last_error: str
    """Why the last connection ended or could not be made; what the peer said of it is escaped."""


class Interface:
    """One end of a memif: send and receive packets, as bytes or where they lie.

    Connects (slave) or listens (master) from the start, and again whenever the link goes down,
    served by a thread of the library. All threads may use all queues at the same time: packets of
    one call stay together, and while a burst without copies is open, other calls on its queue wait.

    What the peer had sent when a link ended, however it ended, is still received: before packets of
    the next link, and before a call says that there is none.

    Args:
        path: socket path, at most 4,095 bytes, of which more than 107 need /proc; "@name" for an
            abstract socket, at most 107 bytes.
        role: "slave" connects and provides the memory, "master" listens.
        id: interface id, the same on both sides, 0 to 2**32 - 1.
        name: interface name told to the peer, at most 32 bytes.
        app_name: application name told to the peer, at most 32 bytes.
        secret: at most 24 bytes; None or empty for none.
        mode: must equal the peer's.
        s2m_rings: slave-to-master rings, 1 to 256; as master: the most to accept.
        m2s_rings: master-to-slave rings, likewise.
        ring_size: slots of a ring, a power of two from 1 to 16384 (slave).
        buffer_size: bytes of a buffer, 1 to 65535 (slave). Longer packets take several.
        max_packet: the most bytes of a received packet, 1 to 2**32 - 1, as slave at least
            `buffer_size`. A longer one ends the link. What is sent has at most 65535.
        version: 256 or 512 to speak only that protocol version; None for the best in common.
        socket_mode: permissions of the socket file, such as 0o660 (master); who may write to it may
            connect. None: as the umask says.
        socket_owner: user name or id that gets the socket file (master, needs privileges).
        socket_group: group name or id, likewise; without privileges one of our own.
        allow: called with the Peer, on the library's thread, when all else about it is good: as
            master before it is let in, as slave before the secret is sent. True admits it, False
            refuses it, and so does anything else, which sys.excepthook is told of. Other
            connections wait meanwhile.
        unsealed: whether to accept memory that the peer could take away under our feet (master):
            "trusted" from root and from our own user, "never", or "always".
        handshake_timeout: seconds that a peer has to get connected.
        on_connect: called with the interface when the link is up, on the library's thread. An
            exception goes to sys.excepthook, and the link goes on.
        on_disconnect: called with the interface and a reason, as in `Details.last_error`, when it
            went down, likewise. What was not received yet can be, there and afterwards.

    A child that is forked has the interface, but not its thread and its rings: whatever it calls
    raises ForkedError at once, but `close`, which then does nothing to the parent's link, nor does
    the child's end. Interfaces that the child makes itself work.

    Raises:
        ArgumentError: a value is out of its range.
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
        on_connect: Callable[[Interface], object] | None = None,
        on_disconnect: Callable[[Interface, str], object] | None = None,
    ) -> None:
        """See the class."""
        settings = Settings(
            path=os.fsencode(path),
            is_master=_choice("role", role, ("slave", "master")) == "master",
            interface_id=id,
            if_name=_text("name", name, 32),
            app_name=_text("app_name", app_name, 32),
            secret=_text("secret", b"" if secret is None else secret, 24),
            mode=_MODES[_choice("mode", mode, tuple(_MODES))],
            num_s2m_rings=s2m_rings,
            num_m2s_rings=m2s_rings,
            buffer_size=buffer_size,
            log2_ring_size=_log2(ring_size),
            min_version=_choice("version", version, (None, VERSION_1, VERSION_2)) or VERSION_1,
            max_version=version or VERSION_2,
            access=_access(socket_mode, socket_owner, socket_group),
            unsealed=_choice("unsealed", unsealed, regions.UNSEALED),
            handshake_timeout=_positive("handshake_timeout", handshake_timeout),
            max_packet=max_packet,
        )
        self._allow = allow
        self._on_connect = on_connect
        self._on_disconnect = on_disconnect
        self._generation = reactor.generation
        self._changed = threading.Condition()
        self._up = False
        self._closing = self._closed = False
        # The handle while the link is up, else 0, which no queue answers to.
        self._number = 0
        rx_count = s2m_rings if settings.is_master else m2s_rings
        self._rx_waits: list[_ReadyFd] = []
        self._rx_locks = [_QueueLock() for _ in range(rx_count)]
        # By queue: what is left of the last link, and `_number`, but 0 as long as something is.
        self._left: list[deque[bytes]] = [deque() for _ in range(rx_count)]
        self._rx_numbers = dict.fromkeys(range(rx_count), 0)
        tx_count = m2s_rings if settings.is_master else s2m_rings
        self._tx_locks = [_QueueLock() for _ in range(tx_count)]
        self._polling: set[int] = set()
        self._counters = counters.zero(rx_count, tx_count)
        with reactor.in_our_classes(settings):
            try:
                for _ in range(rx_count):
                    self._rx_waits.append(_ReadyFd())
                self._endpoint = reactor.add(settings, _Observer(self))
            except BaseException as error:
                with Steps(error) as steps:
                    steps.take(self._close_waits)

    # ---- life ----

    def close(self) -> None:
        """Tell the peer, release everything. May be called twice.

        Who waits in another thread gets NoConnectionError; who receives gets what is left first.
        In a child that was forked: only there, without a word to the peer. Raises MemifError when
        something could not be undone properly, such as AccessError when the socket file may not be
        removed; the interface is closed then all the same.
        """
        if self._inherited:
            self._closing = self._closed = True
            return
        with self._changed:
            if self._closing:
                return
            self._closing = True
        with reactor.in_our_classes(self._endpoint.settings), Steps() as steps:
            steps.take(self.counters)
            steps.take(reactor.remove, self._endpoint)
            with self._changed:  # the control thread may be about to tell of the end of the link
                steps.take(self._end)
                steps.take(self._close_waits)

    def _end(self) -> None:
        """Nothing comes any more. Under `_changed`."""
        self._closed = True
        self._changed.notify_all()
        with Steps() as steps:
            for wait in self._rx_waits:
                steps.take(wait.wake)

    def _close_waits(self) -> None:
        with Steps() as steps:
            for wait in self._rx_waits:
                steps.take(wait.close)

    def __enter__(self) -> Interface:
        """Close at the end of the block."""
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
        """Role, path, id, state. Never the secret."""
        settings = self._endpoint.settings
        role = "master" if settings.is_master else "slave"
        state = "connected" if self._up else "disconnected"
        if self._closed or self._inherited:
            state = "closed" if self._closed else "inherited"
        path = os.fsdecode(settings.path)
        return f"<Interface {role} {path!r} id={settings.interface_id} {state}>"

    @property
    def connected(self) -> bool:
        """True while the link is up."""
        self._check_process()
        return self._up

    def wait_connected(self, timeout: float | None = None) -> None:
        """Wait up to `timeout` seconds (None: for ever) for the link. Raises Timeout."""
        self._check_process()
        with self._changed:
            done = self._changed.wait_for(lambda: self._up or self._closed, timeout)
            self._check_open()
        if not done:
            reason = self._endpoint.last_error
            raise Timeout(f"no link within {timeout} s" + (f" ({reason})" if reason else ""))

    @property
    def peer(self) -> Peer | None:
        """The process at the other end; None while there is no link."""
        self._check_process()
        link = self._endpoint.link
        return Peer(*link.peer) if self._up and link is not None else None

    def details(self) -> Details:
        """What is known at this moment; works whether connected or not."""
        self._check_process()
        with self._changed:
            endpoint, settings = self._endpoint, self._endpoint.settings
            link = endpoint.link if self._up else None
            return Details(
                path=os.fsdecode(settings.path),
                id=settings.interface_id,
                role="master" if settings.is_master else "slave",
                mode=list(_MODES)[settings.mode],
                name=settings.if_name.decode("utf-8", "replace"),
                app_name=settings.app_name.decode("utf-8", "replace"),
                remote_name=printable(endpoint.remote_if_name),
                remote_app_name=printable(endpoint.remote_name),
                connected=link is not None,
                version=link.machine.version if link else 0,
                rx_rings=tuple(link.rings(False)) if link else (),
                tx_rings=tuple(link.rings(True)) if link else (),
                buffer_size=settings.buffer_size,
                last_error=endpoint.last_error,
            )

    def counters(self) -> Counters:
        """What the queues have done so far, over all connections; at last, when closed."""
        self._check_process()
        now = counters.read(self._endpoint, len(self._rx_locks), len(self._tx_locks))
        if now is not None:
            self._counters = now
        return self._counters

    def rx_fill(self, queue: int = 0) -> int | None:
        """How many packets lie in a receive ring, those of an open burst included.

        A packet counts once, however many slots it takes; looking at a full ring takes some
        microseconds for each thousand slots. None while the queue has no ring: without a link, or
        when the peer offers fewer queues. Raises QueueError.
        """
        return self._fill(queue, is_tx=False)[0]

    def tx_fill(self, queue: int = 0) -> int | None:
        """How many sent packets the peer has not given back yet. See rx_fill."""
        return self._fill(queue, is_tx=True)[0]

    def rx_slots(self, queue: int = 0) -> int | None:
        """How many slots of a receive ring these packets take, of `details().rx_rings`."""
        return self._fill(queue, is_tx=False)[1]

    def tx_slots(self, queue: int = 0) -> int | None:
        """How many slots of a transmit ring are in use, of `details().tx_rings`."""
        return self._fill(queue, is_tx=True)[1]

    def _fill(self, queue: int, *, is_tx: bool) -> tuple[int | None, int | None]:
        if is_tx:
            self._item("transmit queue", self._tx_locks, queue)
        else:
            self._item("receive queue", self._rx_waits, queue)
        self._check_process()
        return counters.fill(self._endpoint, queue, is_tx) or (None, None)

    # ---- told by the control plane, through _Observer ----

    def _admits(self, endpoint: Endpoint, peer: tuple[int, int, int]) -> bool:
        """Ask the program. Its failure is told to the program's own side only."""
        self._endpoint = endpoint  # a link may come about before `reactor.add` has returned
        try:
            answer = self._allow(Peer(*peer))
            if answer is not True and answer is not False:
                raise TypeError(f"allow returned {type(answer).__name__}, expected True or False")
        except BaseException as error:  # whatever it was, it is no admission
            sys.excepthook(type(error), error, error.__traceback__)
            return False
        return answer

    def _went_up(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        with self._changed:
            link = endpoint.link
            if link is None or link.closing:  # by another thread; its end was told, or will be
                return
            self._up = True
            self._number = int(reactor.ffi.cast("uintptr_t", endpoint.handle))
            for queue, efd in enumerate(link.rx_efds()):
                if not self._left[queue]:
                    self._rx_numbers[queue] = self._number
                self._rx_waits[queue].attach(efd)
                self._apply_rx_mode(endpoint.handle, queue)
            self._changed.notify_all()
        _tell(self._on_connect, self)

    def _went_down(self, reason: str) -> None:
        with Steps() as steps:
            with self._changed:
                steps.take(self._keep_the_rest)
                was_up, self._up = self._up, False
                self._number = 0
                for wait in self._rx_waits:
                    steps.take(wait.detach)
                self._changed.notify_all()
                if self._closing:
                    steps.take(self._end)
            steps.take(self.counters)  # the last of an interface that is being closed
            if was_up:
                _tell(self._on_disconnect, self, reason)

    def _keep_the_rest(self) -> None:
        """The rings go away when the end of the link was told."""
        kept = sum(len(packet) for left in self._left for packet in left)
        for queue in self._rx_numbers:
            self._rx_numbers[queue] = 0
        for queue, left in enumerate(self._left):
            rest = _burst.recv_rest(self._number, queue, _MOST_KEPT - kept)
            left.extend(rest)
            kept += sum(map(len, rest))

    # ---- receive ----

    def recv(self, timeout: float | None = None, *, queue: int = 0) -> bytes:
        """The next packet of a queue.

        Waits up to `timeout` seconds (None: for ever, 0: not at all), also for the link.
        Raises Timeout, Disconnected (no link when the time was up), QueueError.
        """
        packet = _burst.recv(self._rx_numbers.get(queue, 0), queue)
        if packet.__class__ is bytes:
            return packet
        return self._wait_for_packets(
            lambda: _burst.recv(self._rx_numbers[queue], queue),
            lambda: next(iter(self._take_left(queue, 1)), None),
            packet,
            timeout,
            queue,
        )

    def recv_burst(
        self, count: int = 256, timeout: float | None = None, *, queue: int = 0
    ) -> list[bytes]:
        """At least one and at most `count` packets of a queue, in order. See recv."""
        _at_least_one(count)
        packets = _burst.recv_burst(self._rx_numbers.get(queue, 0), queue, min(count, _MOST))
        if packets.__class__ is list:
            return packets
        return self._wait_for_packets(
            lambda: _burst.recv_burst(self._rx_numbers[queue], queue, min(count, _MOST)),
            lambda: self._take_left(queue, count) or None,
            packets,
            timeout,
            queue,
        )

    def rx_burst(
        self, count: int = 256, timeout: float | None = None, *, queue: int = 0
    ) -> RxBurst:
        """At least one and at most `count` packets of a queue, without copying them. See recv.

        To be used in a `with` block: at its end the slots go back to the peer. Until then the queue
        is this thread's; other calls on it wait.

            with interface.rx_burst() as burst:
                first_bytes = burst.data[:, :14].copy()
        """
        _at_least_one(count)
        self._item("receive queue", self._rx_waits, queue)
        self._check_process()
        lock = self._rx_locks[queue]
        deadline = None if timeout is None else time.monotonic() + timeout
        lock.acquire(deadline, timeout)
        try:
            slots = _burst.rx_burst(self._rx_numbers[queue], queue, min(count, _MOST))
            if slots.__class__ is int:
                slots = self._wait_for_packets(
                    lambda: _burst.rx_burst(self._rx_numbers[queue], queue, min(count, _MOST)),
                    lambda: self._burst_of_left(queue, count),
                    slots,
                    timeout,
                    queue,
                    holds_queue=True,
                )
        except BaseException:
            lock.release()
            raise
        return RxBurst(self, queue, lock, slots)

    def _wait_for_packets(
        self,
        receive: Callable[[], Any],
        take_left: Callable[[], Any],
        code: int,
        timeout: float | None,
        queue: int,
        *,
        holds_queue: bool = False,
    ) -> Any:
        """Try again until one of both has something; `code` is why `receive` had nothing so far."""
        wait = self._item("receive queue", self._rx_waits, queue)
        deadline = None if timeout is None else time.monotonic() + timeout
        nap = _FIRST_NAP
        while True:
            closed, up = self._closed, self._up  # if so, then all that is left is there by now
            if self._inherited:
                self._check_open()
            if (rest := take_left()) is not None:
                return rest
            if closed:
                raise _closed_error()
            self._check_burst(code, "receive", queue)
            if not wait.acknowledge():  # otherwise the link changed meanwhile: look again
                left = self._time_left(deadline, timeout, f"no packet within {timeout} s", up)
                if code == _AGAIN and holds_queue:
                    self._rx_locks[queue].check_abandoned()
                    nap = _sleep(nap, left)
                elif code == _AGAIN:
                    nap = self._rx_locks[queue].pass_by(deadline, timeout, nap)
                elif queue in self._polling:
                    nap = _sleep(nap, left)
                else:
                    wait.wait(left)
            packets = receive()
            if packets.__class__ is not int:
                return packets
            code = packets

    def _take_left(self, queue: int, most: int) -> list[bytes]:
        """The next packets that the last link left. After them it is the turn of the ring."""
        with self._changed:
            left = self._left[queue]
            packets = [left.popleft() for _ in range(min(most, len(left)))]
            if left:
                self._rx_waits[queue].wake()  # its descriptor stays readable
            else:
                self._rx_numbers[queue] = self._number
            return packets

    def _burst_of_left(self, queue: int, most: int) -> Any:
        packets = self._take_left(queue, most)
        return _burst.burst_from_bytes(packets) if packets else None

    def __iter__(self) -> Iterator[bytes]:
        """Packets of queue 0 as they come, until the interface is closed."""
        while True:
            try:
                yield self.recv()
            except errors.NoConnectionError:
                return

    def fileno(self, queue: int = 0) -> int:
        """A descriptor for select and epoll that stays the same over reconnections.

        Readable when the queue may have packets (in interrupt mode) or the link changed; then call
        recv or recv_burst with timeout 0.
        """
        self._check_process()
        return self._item("receive queue", self._rx_waits, queue).fileno()

    def set_rx_mode(self, mode: RxMode, *, queue: int = 0) -> None:
        """Whether the peer signals a queue ("interrupt", the default) or we poll it.

        Lasts until changed, over reconnections. Raises QueueError.
        """
        self._item("receive queue", self._rx_waits, queue)
        self._check_process()
        polling = _choice("mode", mode, ("interrupt", "polling")) == "polling"
        with self._changed:
            (self._polling.add if polling else self._polling.discard)(queue)
            if self._up:
                self._apply_rx_mode(self._endpoint.handle, queue)

    def _apply_rx_mode(self, handle: Any, queue: int) -> None:
        code = reactor.lib.mif_queue_set_polling(handle, queue, queue in self._polling)
        if code not in (0, reactor.native.codes["QID"], reactor.native.codes["DISCONNECTED"]):
            raise reactor.native.error(code, f"rx mode of queue {queue}")

    # ---- transmit ----

    def send(self, packet: bytes, timeout: float | None = None, *, queue: int = 0) -> None:
        """Send one packet (any bytes-like object, at most 65535 bytes).

        Waits up to `timeout` seconds (None: for ever, 0: not at all) for the link and for room.
        Raises Timeout, Disconnected, ArgumentError, QueueError.
        """
        try:
            code = _burst.send(self._number, queue, packet)
        except ValueError as error:
            raise errors.ArgumentError(str(error)) from None
        if code:
            self._send_later([packet], 0, code, timeout, queue)

    def send_burst(
        self, packets: Iterable[bytes], timeout: float | None = None, *, queue: int = 0
    ) -> int:
        """Send packets in order; returns how many.

        Waits like send. When the time is up after some were sent, returns their number.
        """
        todo = packets if packets.__class__ is list else list(packets)
        try:
            sent, code = _burst.send_burst(self._number, queue, todo, 0)
        except ValueError as error:
            raise errors.ArgumentError(str(error)) from None
        return sent if sent == len(todo) else self._send_later(todo, sent, code, timeout, queue)

    def flush(self, timeout: float | None = None, *, queue: int = 0) -> bool:
        """Wait until the peer has taken all that was sent; False if the link goes down before.

        Whether it takes what still lies in the ring when the link ends is up to the peer; a peer of
        this library does. Raises Timeout, QueueError.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        nap = _FIRST_NAP
        while left := self.tx_fill(queue):
            rest = None if deadline is None else deadline - time.monotonic()
            if rest is not None and rest <= 0:
                raise Timeout(f"{left} packets not taken within {timeout} s")
            nap = _sleep(nap, rest)
        return left is not None

    def tx_burst(
        self, count: int, size: int, timeout: float | None = None, *, queue: int = 0
    ) -> TxBurst:
        """Room for at least one and at most `count` packets of `size` bytes, to be filled in place.

        To be used in a `with` block: at its end the packets are sent, unless it ends with an
        exception. Until then the queue is this thread's; other calls on it wait. Waits like send.

            with interface.tx_burst(256, 64) as burst:
                burst.data[:] = frames[: len(burst)]
        """
        _at_least_one(count)
        if not 0 < size <= _MAX_PACKET:
            raise errors.ArgumentError(f"size {size}, expected 1 to {_MAX_PACKET}")
        lock = self._item("transmit queue", self._tx_locks, queue)
        self._check_process()
        deadline = None if timeout is None else time.monotonic() + timeout
        lock.acquire(deadline, timeout)
        nap = _FIRST_NAP
        try:
            count = min(count, _MOST)
            while (slots := _burst.tx_burst(self._number, queue, count, size)).__class__ is int:
                self._check_open()
                self._check_burst(slots, "send", queue)
                left = self._time_left(deadline, timeout, f"no room within {timeout} s", self._up)
                if slots == _AGAIN:
                    lock.check_abandoned()
                nap = _sleep(nap, left)
        except BaseException:
            lock.release()
            raise
        return TxBurst(self, queue, lock, slots)

    def _send_later(
        self, packets: list, sent: int, code: int, timeout: float | None, queue: int
    ) -> int:
        """Send packets[sent:] as room comes; `code` is why there was none."""
        lock = self._item("transmit queue", self._tx_locks, queue)
        deadline = None if timeout is None else time.monotonic() + timeout
        nap = _FIRST_NAP
        while True:
            self._check_open()
            self._check_burst(code, "send", queue)
            try:
                left = self._time_left(deadline, timeout, f"no room within {timeout} s", self._up)
            except errors.MemifError:
                if sent:
                    return sent
                raise
            nap = lock.pass_by(deadline, timeout, nap) if code == _AGAIN else _sleep(nap, left)
            step, code = _burst.send_burst(self._number, queue, packets, sent)
            sent += step
            if sent == len(packets):
                return sent
            nap = _FIRST_NAP if step else nap

    def _check_sent(self, code: int, queue: int) -> None:
        """Raise for what kept a burst from being sent."""
        if code:
            self._check_open()
            raise reactor.native.error(code, f"send on queue {queue}")

    # ---- shared ----

    def _check_burst(self, code: int, what: str, queue: int) -> None:
        """Raise for what waiting cannot mend."""
        if code in _WAITABLE:
            return
        if code == reactor.native.codes["INVAL_ARG"]:
            raise errors.ArgumentError(f"{what}: longer than all buffers of queue {queue} together")
        raise reactor.native.error(code, f"{what} on queue {queue}")

    def _check_open(self) -> None:
        if self._closed:
            raise _closed_error()
        self._check_process()

    @property
    def _inherited(self) -> bool:
        """True in a child of the process that made the interface."""
        return self._generation != reactor.generation

    def _check_process(self) -> None:
        """Bursts need it only when they fail: no queue of the child answers to `_number`."""
        if self._generation != reactor.generation:
            raise errors.ForkedError(
                f"{self!r} belongs to the process that this one ({os.getpid()}) was forked from: "
                "make an interface in this process"
            )

    def _abandoned(self) -> None:
        """In a forked child: close the copies of our own descriptors."""
        self._up = False
        self._number = 0
        self._rx_numbers = dict.fromkeys(self._rx_numbers, 0)
        for wait in self._rx_waits:
            wait.abandon()

    def _time_left(
        self, deadline: float | None, timeout: float | None, what: str, up: bool
    ) -> float | None:
        if deadline is None:
            return None
        left = deadline - time.monotonic()
        if left > 0:
            return left
        if not up:
            reason = self._endpoint.last_error
            raise errors.Disconnected(
                f"not connected for {timeout} s" + (f": {reason}" if reason else "")
            )
        raise Timeout(what)

    def _item(self, what: str, items: list, queue: int) -> object:
        if not 0 <= queue < len(items):
            raise errors.QueueError(f"{what} {queue}, expected 0 to {len(items) - 1}")
        return items[queue]


class _Observer:
    """Keeps the control plane's calls out of the public class."""

    def __init__(self, interface: Interface) -> None:
        self._interface = interface
        self.admits = interface._admits if interface._allow is not None else None

    def connected(self, endpoint: Endpoint, _handle: Any) -> None:
        self._interface._went_up(endpoint)

    def disconnected(self, _endpoint: Endpoint, reason: str) -> None:
        self._interface._went_down(reason)

    def abandoned(self) -> None:
        self._interface._abandoned()


class _ReadyFd:
    """An epoll set that outlives connections: a queue's current eventfd, and our own wake-up."""

    def __init__(self) -> None:
        self._attached = self._wake = -1
        self._epoll = system.named_call("epoll_create1", select.epoll)
        self._lock = threading.Lock()
        self._waiting = 0
        self._closed = False
        try:
            self._wake = system.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            system.named_call("epoll_ctl", self._epoll.register, self._wake, select.EPOLLIN)
        except BaseException as error:
            with Steps(error) as steps:
                steps.take(self.close)

    def fileno(self) -> int:
        return self._epoll.fileno()

    def attach(self, efd: int) -> None:
        if self._closed:
            return
        self._epoll.register(efd, select.EPOLLIN)
        self._attached = efd
        self.wake()

    def detach(self) -> None:
        """While the eventfd is still open. The interface may be closed already."""
        if self._closed:
            return
        attached, self._attached = self._attached, -1
        with Steps() as steps:
            if attached >= 0:
                steps.take(self._epoll.unregister, attached)
            steps.take(self.wake)

    def wake(self) -> None:
        with self._lock:
            if not self._closed:
                os.eventfd_write(self._wake, 1)

    def acknowledge(self) -> bool:
        """End the readiness that comes from wake; the eventfd's ends with its packets."""
        with self._lock:
            if self._closed:
                return True
            try:
                os.eventfd_read(self._wake)
            except BlockingIOError:
                return False
            return True

    def wait(self, seconds: float | None) -> None:
        with self._lock:
            if self._closed:
                return
            self._waiting += 1
        try:
            system.named_call("epoll_wait", self._epoll.poll, seconds)
        finally:
            with self._lock:
                self._waiting -= 1
                self._end()

    def close(self) -> None:
        """Whoever waits wakes up; the last of them closes."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            with Steps() as steps:
                if self._wake >= 0:
                    steps.take(os.eventfd_write, self._wake, 1)
                steps.take(self._end)

    def abandon(self) -> None:
        """In a forked child, where nobody waits: the lock may be held by a thread that is gone."""
        if not self._closed:
            self._closed = True
            self._epoll.close()
            os.close(self._wake)

    def _end(self) -> None:
        if self._closed and self._waiting == 0:
            with Steps() as steps:
                steps.take(self._epoll.close)
                if self._wake >= 0:
                    steps.take(os.close, self._wake)


def _closed_error() -> errors.NoConnectionError:
    return errors.NoConnectionError("the interface is closed")


def _tell(callback: Callable | None, *arguments: object) -> None:
    """Call back into the program, whose exceptions are shown and end no link."""
    try:
        if callback is not None:
            callback(*arguments)
    except Exception:
        sys.excepthook(*sys.exc_info())


class _QueueLock:
    """Held by a burst without copies. Any thread may release it; see Interface.rx_burst."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = 0
        self._abandoner = 0
        self._abandoned: Any = None

    def acquire(self, deadline: float | None, timeout: float | None) -> None:
        """Raises Timeout, or ArgumentError where waiting would be for ever."""
        if self._owner == threading.get_ident():
            raise errors.ArgumentError(
                "this thread has a burst open on the queue: end its `with` block first"
            )
        left = -1 if deadline is None else max(0.0, deadline - time.monotonic())
        if not self._lock.acquire(timeout=left):
            raise Timeout(f"a burst held the queue for {timeout} s")
        self._owner = threading.get_ident()

    def release(self) -> None:
        self._owner = 0
        self._lock.release()

    def abandon(self, slots: Any) -> None:
        """The burst is over, but views keep its slots. Called by who is about to release."""
        self._abandoner = threading.get_ident()
        self._abandoned = slots

    def check_abandoned(self) -> None:
        """The slots are not with a burst. Raises ArgumentError where waiting would be for ever."""
        slots = self._abandoned
        if slots is None or not slots.open:
            self._abandoned = None
        elif self._abandoner == threading.get_ident():
            raise errors.ArgumentError(
                "views of a burst that this thread has left hold the queue: release or delete them"
            )

    def pass_by(self, deadline: float | None, timeout: float | None, nap: float) -> float:
        """Wait while a burst has the queue; returns the next nap. Raises as acquire does."""
        free = self._lock.acquire(blocking=False)
        if not free:
            self.acquire(deadline, timeout)
            self.release()
            return _FIRST_NAP
        self._lock.release()
        self.check_abandoned()
        return _sleep(nap, None if deadline is None else max(0.0, deadline - time.monotonic()))


def _at_least_one(count: int) -> None:
    if count < 1:
        raise errors.ArgumentError(f"count {count}, expected at least 1")


def _sleep(nap: float, left: float | None) -> float:
    """Sleep `nap` seconds or what is left; returns the next nap."""
    time.sleep(nap if left is None else min(nap, left))
    return min(nap * 2, _LONGEST_NAP)


def _choice(what: str, value: object, choices: tuple) -> object:
    if value not in choices:
        raise errors.ArgumentError(f"{what} {value!r}, expected one of {choices}")
    return value


def _text(what: str, value: str | bytes, limit: int) -> bytes:
    if not isinstance(value, (str, bytes, bytearray)):
        raise TypeError(f"{what} of type {type(value).__name__}, expected str or bytes")
    data = _encoded(value) if isinstance(value, str) else bytes(value)
    if data is None:
        raise errors.ArgumentError(f"{what} is no text that UTF-8 can express, pass bytes")
    if len(data) > limit:
        raise errors.ArgumentError(f"{what} of {len(data)} bytes, expected at most {limit}")
    return data


def _encoded(text: str) -> bytes | None:
    """None instead of UnicodeEncodeError, which would carry a secret into tracebacks."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


def _positive(what: str, value: float) -> float:
    if not value > 0:
        raise errors.ArgumentError(f"{what} {value}, expected more than 0")
    return value


def _access(mode: int | None, owner: int | str | None, group: int | str | None) -> Access:
    uid = _id_of("socket_owner", owner, lambda name: pwd.getpwnam(name).pw_uid)
    gid = _id_of("socket_group", group, lambda name: grp.getgrnam(name).gr_gid)
    return Access(-1 if mode is None else _in_range("socket_mode", mode, 0, 0o777), uid, gid)


def _id_of(what: str, value: int | str | None, look_up: Callable[[str], int]) -> int:
    """-1 for None, which is what chown takes for no change."""
    if value is None:
        return -1
    if not isinstance(value, str):
        return _in_range(what, value, 0, 2**32 - 2)
    try:
        return look_up(value)
    except KeyError:
        raise errors.ArgumentError(f"{what} {value!r} is not known on this system") from None


def _in_range(what: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise errors.ArgumentError(f"{what} {value}, expected {low} to {high}")
    return value


def _log2(ring_size: int) -> int:
    if ring_size < 1 or ring_size & (ring_size - 1):
        raise errors.ArgumentError(f"ring_size {ring_size}, expected a power of two")
    return ring_size.bit_length() - 1
