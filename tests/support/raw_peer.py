# SPDX-License-Identifier: Apache-2.0
"""A peer that speaks memif by itself: sockets, bytes and shared memory, nothing of the library.

It plays either role in either version up to any state, properly, so that a test can do the one
thing that is wrong there. What it is sent is checked: sizes, and that nothing lies behind strings.
"""

import contextlib
import mmap
import os
import select
import socket
import struct
from collections.abc import Iterable
from typing import Self

TIMEOUT = 20.0
SIZE = 128
ACK, HELLO, INIT, ADD_REGION, ADD_RING, CONNECT, CONNECTED, DISCONNECT = range(1, 9)
NAMES = ["", "ACK", "HELLO", "INIT", "ADD_REGION", "ADD_RING", "CONNECT", "CONNECTED", "DISCONNECT"]
COOKIES = {256: 0x3E31F10, 512: 0x3E31F20}
DESCRIPTORS = {256: struct.Struct("<HHIIIQQ"), 512: struct.Struct("<HHIII")}
RING_MESSAGES = {256: struct.Struct("<HHHQB"), 512: struct.Struct("<HHHIBH")}
LOG2, BUFFER = 4, 2048
FLAGS, HEAD, TAIL, RING_HEADER = 4, 6, 64, 128
S2M, M2S = 1, 0


class ClosedError(Exception):
    """The target has closed the connection."""


def message(kind: int, payload: bytes = b"") -> bytes:
    return (struct.pack("<H", kind) + payload).ljust(SIZE, b"\0")


def hello(
    lowest: int = 256,
    highest: int = 512,
    regions: int = 255,
    m2s: int = 255,
    s2m: int = 255,
    log2: int = 14,
    name: bytes = b"hostile",
) -> bytes:
    limits = (lowest, highest, regions, m2s, s2m, log2)
    return message(HELLO, struct.pack("<32sHHHHHB", name, *limits))


def init(
    version: int = 512,
    number: int = 0,
    mode: int = 0,
    secret: bytes = b"",
    name: bytes = b"hostile",
) -> bytes:
    return message(INIT, struct.pack("<HIB24s32s", version, number, mode, secret, name))


def add_region(index: int, size: int) -> bytes:
    return message(ADD_REGION, struct.pack("<HQ", index, size))


def add_ring(
    version: int,
    direction: int,
    index: int = 0,
    region: int = 0,
    offset: int = 0,
    log2: int = LOG2,
    private: int = 0,
) -> bytes:
    rest = (log2, private) if version == 512 else (log2,)
    return message(ADD_RING, RING_MESSAGES[version].pack(direction, index, region, offset, *rest))


def connect(name: bytes = b"hostile") -> bytes:
    return message(CONNECT, struct.pack("<32s", name))


def connected(name: bytes = b"hostile") -> bytes:
    return message(CONNECTED, struct.pack("<32s", name))


def disconnect(reason: bytes = b"enough", code: int = 0) -> bytes:
    return message(DISCONNECT, struct.pack("<I96s", code, reason))


# Behind its type a message has so many bytes; of strings, only those before a NUL may be set.
_STRINGS = {HELLO: (2, 32), INIT: (33, 32), CONNECT: (2, 32), CONNECTED: (2, 32)}
_STRINGS |= {DISCONNECT: (6, 96)}
_SECRET = (9, 24)
_ENDS = {ACK: 2, HELLO: 45, INIT: 65, ADD_REGION: 12, CONNECT: 34, CONNECTED: 34, DISCONNECT: 102}
_RING_END = 2 + RING_MESSAGES[256].size


def stale_bytes(data: bytes) -> bytes:
    """What lies where a message has nothing to say."""
    (kind,) = struct.unpack_from("<H", data)
    stale = data[_ENDS.get(kind, _RING_END) :]
    for start, length in [_STRINGS.get(kind, (0, 0)), _SECRET if kind == INIT else (0, 0)]:
        stale += data[start : start + length].partition(b"\0")[2]
    return stale.strip(b"\0")


class Control:
    """One control connection."""

    def __init__(self, sock: socket.socket):
        self.socket = sock
        self.fds: list[int] = []  # to be closed at the end
        self.seen: list[int] = []  # types of messages

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()
        while self.fds:
            os.close(self.fds.pop())

    def keep(self, fd: int) -> int:
        """An fd that is closed with this connection."""
        self.fds.append(fd)
        return fd

    def send(self, data: bytes, fds: Iterable[int] = ()) -> bool:
        """A target that has closed already is no error: the end tells. True if it was sent."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            socket.send_fds(self.socket, [data], list(fds))
            return True
        return False

    def receive(self) -> tuple[int, bytes, list[int]]:
        """Type, bytes and fds of the next message. Raises ClosedError."""
        readable = select.select([self.socket], [], [], TIMEOUT)[0]
        assert readable, f"nothing comes within {TIMEOUT} s"
        try:
            data, fds, _, _ = socket.recv_fds(self.socket, 2 * SIZE, 4)
        except ConnectionResetError:
            return self.receive()  # it left something unread; what it had sent comes after this
        self.fds += fds
        if not data:
            raise ClosedError
        assert len(data) == SIZE
        assert stale_bytes(data) == b""
        (kind,) = struct.unpack_from("<H", data)
        self.seen.append(kind)
        return kind, data, fds

    def expect(self, kind: int) -> tuple[bytes, list[int]]:
        came, data, fds = self.receive()
        reason = data[6:102].rstrip(b"\0") if came == DISCONNECT else b""
        assert came == kind, f"{NAMES[came]} {reason} instead of {NAMES[kind]}"
        return data, fds

    def ending(self) -> str:
        """Wait until the target has closed; the reason that it gave, or ""."""
        reason = ""
        with contextlib.suppress(ClosedError):
            while True:
                kind, data, _ = self.receive()
                if kind == DISCONNECT:
                    reason = data[6:102].partition(b"\0")[0].decode()
        return reason

    def is_open(self) -> bool:
        """Nothing has come, not even the end."""
        return not select.select([self.socket], [], [], 0)[0]


class Ring:
    """A ring in memory that both sides write."""

    def __init__(self, version: int, memory: mmap.mmap, offset: int, log2: int, efd: int):
        self.version, self.memory, self.offset, self.efd = version, memory, offset, efd
        self.size = 1 << log2

    def get(self, field: int) -> int:
        return struct.unpack_from("<H", self.memory, self.offset + field)[0]

    def put(self, field: int, value: int) -> None:
        struct.pack_into("<H", self.memory, self.offset + field, value & 0xFFFF)

    def step(self, field: int) -> None:
        """An index goes on by one: free in version 512, around the ring in 256."""
        value = self.get(field) + 1
        self.put(field, value % self.size if self.version == 256 else value)

    def slot(self, field: int) -> int:
        """Where the descriptor lies that an index names."""
        at = self.get(field) % self.size * DESCRIPTORS[self.version].size
        return self.offset + RING_HEADER + at

    def describe(self, at: int, region: int, offset: int, length: int) -> None:
        values = (0, region, length, offset, 0)
        if self.version == 256:
            values = (0, region, BUFFER, length, 0, offset, 0)
        DESCRIPTORS[self.version].pack_into(self.memory, at, *values)

    def read(self, at: int) -> tuple[int, int, int]:
        """Region, offset and length."""
        values = DESCRIPTORS[self.version].unpack_from(self.memory, at)
        if self.version == 256:
            return values[1], values[5], values[3]
        return values[1], values[3], values[2]

    def signal(self) -> None:
        os.write(self.efd, struct.pack("<Q", 1))

    def wait(self) -> None:
        assert select.select([self.efd], [], [], TIMEOUT)[0], "no signal"
        os.read(self.efd, 8)


def memfd(size: int, flags: int = os.MFD_ALLOW_SEALING, name: str = "hostile") -> int:
    fd = os.memfd_create(name, flags | os.MFD_CLOEXEC)
    os.ftruncate(fd, size)
    return fd


def eventfd() -> int:
    return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)


class Layout:
    """One region: rings, then buffers."""

    def __init__(self, version: int, s2m: int = 1, m2s: int = 1, log2: int = LOG2):
        self.version, self.log2 = version, log2
        self.ring_size = RING_HEADER + (DESCRIPTORS[version].size << log2)
        self.order = [(S2M, i) for i in range(s2m)] + [(M2S, i) for i in range(m2s)]
        self.buffers = self.ring_size * len(self.order)
        self.size = self.buffers + len(self.order) * (BUFFER << log2)

    def ring(self, direction: int, index: int) -> int:
        return self.ring_size * self.order.index((direction, index))

    def buffer(self, direction: int, index: int, slot: int) -> int:
        return self.buffers + ((self.order.index((direction, index)) << self.log2) + slot) * BUFFER


SLAVE_STATES = ("greeted", "accepted", "region", "rings", "connected")


class Slave(Control):
    """Connects to a master. `to` takes it to a state."""

    def __init__(self, path: str, version: int = 512, number: int = 0, secret: bytes = b""):
        super().__init__(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        self.version, self.number, self.secret = version, number, secret
        self.layout = Layout(version)
        self.memory: mmap.mmap | None = None
        self.rings: dict[int, Ring] = {}
        self.state = ""
        try:
            self.socket.connect(path)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.rings.clear()
        if self.memory is not None:
            self.memory.close()
        self.memory = None
        super().close()

    def to(self, state: str) -> Self:
        for step in SLAVE_STATES[: SLAVE_STATES.index(state) + 1]:
            if self.state == "" or SLAVE_STATES.index(step) > SLAVE_STATES.index(self.state):
                getattr(self, f"_{step}")()
                self.state = step
        return self

    def ask(self, data: bytes, fds: Iterable[int] = ()) -> None:
        self.send(data, fds)
        self.expect(ACK)

    def _greeted(self) -> None:
        self.expect(HELLO)

    def _accepted(self) -> None:
        self.ask(init(self.version, self.number, secret=self.secret))

    def _region(self) -> None:
        self.use(self.keep(memfd(self.layout.size)))

    def use(self, fd: int, size: int | None = None) -> None:
        """Lay everything out in the memory of an fd, and offer it."""
        self.memory = mmap.mmap(fd, self.layout.size)
        for direction in (S2M, M2S):
            offset = self.layout.ring(direction, 0)
            efd = self.keep(eventfd())
            ring = Ring(self.version, self.memory, offset, LOG2, efd)
            struct.pack_into("<I", self.memory, offset, COOKIES[self.version])
            for slot in range(ring.size):
                at = ring.offset + RING_HEADER + slot * DESCRIPTORS[self.version].size
                ring.describe(at, 0, self.layout.buffer(direction, 0, slot), BUFFER)
            self.rings[direction] = ring
        if self.version == 512:
            self.rings[M2S].put(HEAD, 1 << LOG2)
        self.ask(add_region(0, self.layout.size if size is None else size), [fd])
        self.state = "region"

    def _rings(self) -> None:
        for direction, ring in self.rings.items():
            self.ask(add_ring(self.version, direction, 0, 0, ring.offset), [ring.efd])

    def _connected(self) -> None:
        self.send(connect())
        self.expect(CONNECTED)

    def exchange(self, payload: bytes) -> bytes:
        """Send a packet; the one that comes back."""
        out, back = self.rings[S2M], self.rings[M2S]
        _, offset, _ = out.read(out.slot(HEAD))
        self.memory[offset : offset + len(payload)] = payload
        out.describe(out.slot(HEAD), 0, offset, len(payload))
        index = HEAD if self.version == 256 else TAIL
        before = back.get(index)
        out.step(HEAD)
        out.signal()
        while back.get(index) == before:
            back.wait()
        at = back.slot(TAIL) if self.version == 256 else self._filled(before)
        _, offset, length = back.read(at)
        packet = self.memory[offset : offset + length]
        if self.version == 512:
            back.describe(at, 0, offset, BUFFER)
        back.step(TAIL if self.version == 256 else HEAD)
        return packet

    def _filled(self, index: int) -> int:
        back = self.rings[M2S]
        return back.offset + RING_HEADER + index % back.size * DESCRIPTORS[512].size


MASTER_STATES = ("silent", "greeted", "accepted", "offered", "asked", "connected")


class Listening:
    """Where a target's slave comes to."""

    def __init__(self, path: str, backlog: int = 8):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(TIMEOUT)
        self.socket.bind(path)
        self.socket.listen(backlog)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        os.unlink(self.path)

    def refuse_all(self) -> None:
        """Close what has come until now."""
        self.socket.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.socket.accept()[0].close()
        self.socket.settimeout(TIMEOUT)

    def accept(self, version: int = 512) -> "Master":
        return Master(self.socket.accept()[0], version)


class Master(Control):
    """Serves a slave that came. `to` takes it to a state.

    The states: silent, greeted (HELLO sent, INIT came), accepted (ACK sent, ADD_REGION came),
    offered (the first ADD_RING came), asked (CONNECT came), connected.
    """

    def __init__(self, sock: socket.socket, version: int = 512):
        super().__init__(sock)
        sock.setblocking(True)
        self.version = version
        self.regions: dict[int, mmap.mmap] = {}
        self.offers: dict[tuple[int, int], tuple[int, int, int, int]] = {}
        self.state = "silent"

    def close(self) -> None:
        for memory in self.regions.values():
            memory.close()
        self.regions.clear()
        super().close()

    def to(self, state: str) -> Self:
        now, goal = MASTER_STATES.index(self.state), MASTER_STATES.index(state)
        for step in MASTER_STATES[now + 1 : goal + 1]:
            getattr(self, f"_{step}")()
            self.state = step
        return self

    def _greeted(self) -> None:
        self.send(hello(self.version, self.version))
        self.expect(INIT)

    def _accepted(self) -> None:
        self.send(message(ACK))
        self._take(*self.receive())

    def _offered(self) -> None:
        self._until(ADD_RING)

    def _asked(self) -> None:
        self._until(CONNECT)

    def _connected(self) -> None:
        self.send(connected())

    def _until(self, kind: int) -> None:
        while self.seen[-1] != kind:
            self.send(message(ACK))
            self._take(*self.receive())

    def _take(self, kind: int, data: bytes, fds: list[int]) -> None:
        if kind == ADD_REGION:
            index, size = struct.unpack_from("<HQ", data, 2)
            self.regions[index] = mmap.mmap(fds[0], size)
        elif kind == ADD_RING:
            flags, index, *where = RING_MESSAGES[self.version].unpack_from(data, 2)
            self.offers[flags & 1, index] = (*where[:3], fds[0])
        else:
            assert kind == CONNECT, NAMES[kind]

    def ring(self, direction: int) -> Ring:
        region, offset, log2, efd = self.offers[direction, 0]
        return Ring(self.version, self.regions[region], offset, log2, efd)

    def exchange(self, payload: bytes) -> bytes:
        """Send a packet; the one that comes back."""
        out, back = self.ring(M2S), self.ring(S2M)
        index = HEAD if self.version == 256 else TAIL
        while self.version == 512 and out.get(HEAD) == out.get(TAIL):
            os.sched_yield()  # nothing is posted yet, and posting makes no event
        at = out.slot(index)
        region, offset, _ = out.read(at)
        self.regions[region][offset : offset + len(payload)] = payload
        out.describe(at, region, offset, len(payload))
        out.step(index)
        out.signal()
        while back.get(HEAD) == back.get(TAIL):
            back.wait()
        region, offset, length = back.read(back.slot(TAIL))
        packet = self.regions[region][offset : offset + length]
        back.step(TAIL)
        return packet
