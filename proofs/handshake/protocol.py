# SPDX-License-Identifier: Apache-2.0
"""The handshake, written a second time: what the machines are compared with.

Nothing here comes from the library. A reference machine is an immutable value. A step takes one
event and returns the next value and what a machine has to answer, or raises Refused or Misused.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

SIZE = 128
V1, V2 = 256, 512
ADD_RING = {V1: "HHHQB", V2: "HHHIBH"}
# Type number and fields behind it; those of ADD_RING are above.
MESSAGES = {
    "ACK": (1, ""),
    "HELLO": (2, "32sHHHHHB"),
    "INIT": (3, "HIB24s32s"),
    "ADD_REGION": (4, "HQ"),
    "ADD_RING": (5, ""),
    "CONNECT": (6, "32s"),
    "CONNECTED": (7, "32s"),
    "DISCONNECT": (8, "I96s"),
}
WITH_FD = {"ADD_REGION": "NO_SHMFD", "ADD_RING": "NO_INTFD"}
KINDS = {"ADD_REGION": "memory", "ADD_RING": "eventfd"}
LARGEST_LOG2 = 14
LARGEST_INDEX = 255

# What a machine takes in a state. All else is a violation.
ALLOWED = {
    ("master", "HELLO_SENT", "INIT"),
    ("master", "ADDING", "ADD_REGION"),
    ("master", "ADDING", "ADD_RING"),
    ("master", "ADDING", "CONNECT"),
    ("slave", "WAIT_HELLO", "HELLO"),
    ("slave", "INIT_SENT", "ACK"),
    ("slave", "OFFERING", "ACK"),
    ("slave", "CONNECT_SENT", "CONNECTED"),
}
_OPEN = {
    "master": ("HELLO_SENT", "ADDING", "MAPPING", "CONNECTED"),
    "slave": ("WAIT_HELLO", "PREPARING", "INIT_SENT", "OFFERING", "CONNECT_SENT", "CONNECTED"),
}
ALLOWED |= {(role, state, "DISCONNECT") for role, states in _OPEN.items() for state in states}
SILENT = ("NEW", "CLOSED")  # no message is received in these
LABELS = {number: label for label, (number, _fields) in MESSAGES.items()}


class Refused(Exception):
    """The peer has to be refused; `code` as in the C API."""

    def __init__(self, code: str) -> None:
        """Keep the code."""
        super().__init__(code)
        self.code = code


class Misused(Exception):
    """The caller has to be told that this is not the time, and nothing changes."""


class Fd(NamedTuple):
    """A fake descriptor."""

    kind: str
    number: int


class Answer(NamedTuple):
    """An action: its class, and its values. Of a Send: label, fields, descriptor."""

    action: str
    values: tuple[Any, ...] = ()


def send(label: str, *fields: Any, fd: Fd | None = None) -> Answer:
    """A message that is sent."""
    return Answer("Send", (label, fields, fd))


@dataclass(frozen=True)
class Terms:
    """The settings of an interface of either role."""

    app_name: bytes = b"app"
    if_name: bytes = b"interface"
    interface_id: int = 7
    mode: int = 0
    secret: bytes = b""
    num_s2m_rings: int = 1
    num_m2s_rings: int = 1
    log2_ring_size: int = 10
    min_version: int = V1
    max_version: int = V2


# ---- bytes


def pack(label: str, *fields: Any, version: int = V2) -> bytes:
    """The 128 bytes of a message."""
    number, layout = MESSAGES[label]
    layout = ADD_RING[version] if label == "ADD_RING" else layout
    return struct.pack("<H" + layout, number, *fields).ljust(SIZE, b"\0")


def unpack(data: bytes, version: int) -> tuple[str, tuple[Any, ...]]:
    """Label and fields, of ADD_RING always those of 512. Texts end before a NUL."""
    if len(data) != SIZE:
        raise Refused("MFMSG")
    label = LABELS.get(int.from_bytes(data[:2], "little"))
    if label is None:
        raise Refused("UNKNOWN_MSG")
    layout = ADD_RING[version or V2] if label == "ADD_RING" else MESSAGES[label][1]
    fields = struct.unpack_from("<" + layout, data, 2)
    if label == "ADD_RING":
        fields = (bool(fields[0] & 1), *fields[1:], *([0] if version == V1 else []))
    return label, tuple(f.partition(b"\0")[0] if isinstance(f, bytes) else f for f in fields)


def _take(machine: Master | Slave, data: bytes, fds: tuple[Fd, ...]) -> tuple[str, Any]:
    if machine.state in SILENT:
        raise Misused
    label, fields = unpack(data, machine.version)
    if (machine.role, machine.state, label) not in ALLOWED:
        raise Refused("PROTO")
    wanted = 1 if label in WITH_FD else 0
    if len(fds) > wanted:
        raise Refused("MFMSG")
    if len(fds) < wanted:
        raise Refused(WITH_FD[label])
    return label, fields


def wanted_fd(machine: Master | Slave, version: int, data: bytes) -> str | None:
    """The label of a datagram that has to come with a descriptor now."""
    try:
        label, _fields = unpack(data, version)
    except Refused:
        return None
    is_allowed = (machine.role, machine.state, label) in ALLOWED
    return label if label in WITH_FD and is_allowed else None


def _smallest_log2(version: int) -> int:
    return 1 if version == V1 else 0


def _check_log2(log2: int, version: int) -> None:
    if not _smallest_log2(version) <= log2 <= LARGEST_LOG2:
        raise Refused("MAX_RING")


# ---- the master


@dataclass(frozen=True)
class Listener:
    """A master: the limits of its HELLO, and its interfaces, or why one is not to be had."""

    interfaces: tuple[tuple[int, Terms | str], ...]
    app_name: bytes = b"master app"
    min_version: int = V1
    max_version: int = V2
    num_s2m_rings: int = 256
    num_m2s_rings: int = 256

    def find(self, number: int) -> Terms:
        """The interface of an id."""
        found = dict(self.interfaces).get(number, "ID")
        if isinstance(found, str):
            raise Refused(found)
        return found


@dataclass(frozen=True)
class Master:
    """What a master has to remember."""

    role = "master"
    listener: Listener
    state: str = "NEW"
    version: int = 0
    terms: Terms | None = None
    regions: frozenset[tuple[int, int]] = frozenset()
    rings: frozenset[tuple[Any, ...]] = frozenset()  # fields of ADD_RING

    def closed(self) -> Master:
        """What is left after the end."""
        return Master(self.listener, "CLOSED")

    def start(self) -> tuple[Master, list[Answer]]:
        """A peer is there."""
        if self.state != "NEW":
            raise Misused
        own = self.listener
        hello = (own.app_name, own.min_version, own.max_version, LARGEST_INDEX)
        limits = (own.num_m2s_rings - 1, own.num_s2m_rings - 1, LARGEST_LOG2)
        return replace(self, state="HELLO_SENT"), [send("HELLO", *hello, *limits)]

    def accept(self) -> tuple[Master, list[Answer]]:
        """The memory is mapped."""
        if self.state != "MAPPING":
            raise Misused
        answers = [send("CONNECTED", self._terms.if_name), Answer("Established")]
        return replace(self, state="CONNECTED"), answers

    @property
    def _terms(self) -> Terms:
        if self.terms is None:
            raise Misused
        return self.terms

    def receive(self, data: bytes, fds: tuple[Fd, ...]) -> tuple[Master, list[Answer]]:
        """A datagram has come."""
        label, fields = _take(self, data, fds)
        if label == "DISCONNECT":
            return self.closed(), [Answer("Closed", fields)]
        if label == "INIT":
            return self._init(*fields), [Answer("Select"), send("ACK")]
        if label == "ADD_REGION":
            return self._region(*fields), [Answer("TakeRegion", (*fields, fds[0])), send("ACK")]
        if label == "ADD_RING":
            return self._ring(fields), [Answer("TakeRing", (fields, fds[0])), send("ACK")]
        self._check_complete()
        return replace(self, state="MAPPING"), [Answer("Establish")]

    def _init(self, version: int, number: int, mode: int, secret: bytes, _name: bytes) -> Master:
        own = self.listener
        if version not in (V1, V2) or not own.min_version <= version <= own.max_version:
            raise Refused("PROTO")
        terms = own.find(number)
        if not terms.min_version <= version <= terms.max_version:
            raise Refused("PROTO")
        if mode != terms.mode:
            raise Refused("MODE")
        if terms.secret and secret != terms.secret:
            raise Refused("SECRET" if secret else "NOSECRET")
        return replace(self, state="ADDING", version=version, terms=terms)

    def _region(self, index: int, size: int) -> Master:
        if index > LARGEST_INDEX:
            raise Refused("MAXREG")
        if index in dict(self.regions):
            raise Refused("PROTO")
        return replace(self, regions=self.regions | {(index, size)})

    def _ring(self, ring: tuple[Any, ...]) -> Master:
        s2m, index, _region, _offset, log2, private = ring
        own, terms = self.listener, self._terms
        limits = (own.num_s2m_rings, terms.num_s2m_rings)
        if not s2m:
            limits = (own.num_m2s_rings, terms.num_m2s_rings)
        if index >= min(limits):
            raise Refused("MAXRING")
        if any(other[:2] == ring[:2] for other in self.rings):
            raise Refused("PROTO")
        _check_log2(log2, self.version)
        if private:
            raise Refused("PRIVHDR")
        return replace(self, rings=self.rings | {ring})

    def is_hopeless(self) -> bool:
        """A ring lies in a region that can never be added: only a refusal is left."""
        return any(region > LARGEST_INDEX for _s2m, _index, region, *_ in self.rings)

    def is_complete(self) -> bool:
        """There are rings, numbered from 0 in each direction, all in regions that were added."""
        numbers = [sorted(r[1] for r in self.rings if r[0] == s2m) for s2m in (True, False)]
        regions = {index for index, _size in self.regions}
        in_regions = all(ring[2] in regions for ring in self.rings)
        gapless = all(n == list(range(len(n))) for n in numbers)
        return bool(self.rings) and gapless and in_regions

    def _check_complete(self) -> None:
        if not self.is_complete():
            raise Refused("PROTO")


# ---- the slave


class Wanted(NamedTuple):
    """What Prepare asks for."""

    version: int
    num_s2m: int
    num_m2s: int
    log2: int
    max_region: int


@dataclass(frozen=True)
class Offer:
    """What the caller of a slave has: sizes of regions, and the region of each ring."""

    regions: tuple[int, ...] = (4096,)
    s2m: tuple[int, ...] = (0,)
    m2s: tuple[int, ...] = (0,)

    def arguments(self) -> tuple[list[Any], list[Any], list[Any]]:
        """Those of SlaveHandshake.offer. A descriptor's number tells what it is for."""
        regions = [(size, Fd("memory", 100 + i)) for i, size in enumerate(self.regions)]
        s2m = [(region, 64 * i, Fd("eventfd", 1000 + i)) for i, region in enumerate(self.s2m)]
        m2s = [(region, 64 * i, Fd("eventfd", 2000 + i)) for i, region in enumerate(self.m2s)]
        return regions, s2m, m2s


@dataclass(frozen=True)
class Slave:
    """What a slave has to remember."""

    role = "slave"
    terms: Terms
    state: str = "WAIT_HELLO"
    version: int = 0
    wanted: Wanted | None = None
    unsent: tuple[Answer, ...] = ()

    def closed(self) -> Slave:
        """What is left after the end."""
        return Slave(self.terms, "CLOSED")

    def offer(self, offer: Offer) -> tuple[Slave, list[Answer]]:
        """The memory is made."""
        if self.state != "PREPARING" or self.wanted is None:
            raise Misused
        wanted, count = self.wanted, len(offer.regions)
        if (len(offer.s2m), len(offer.m2s)) != (wanted.num_s2m, wanted.num_m2s):
            raise Misused
        if not all(0 <= region < count for region in (*offer.s2m, *offer.m2s)):
            raise Misused
        if count > wanted.max_region + 1:
            raise Refused("MAXREG")
        regions, s2m, m2s = offer.arguments()
        unsent = [send("ADD_REGION", i, size, fd=fd) for i, (size, fd) in enumerate(regions)]
        for is_s2m, rings in ((True, s2m), (False, m2s)):
            for i, (region, offset, fd) in enumerate(rings):
                unsent.append(send("ADD_RING", is_s2m, i, region, offset, wanted.log2, 0, fd=fd))
        own = self.terms
        init = (self.version, own.interface_id, own.mode, own.secret, own.app_name)
        return replace(self, state="INIT_SENT", unsent=tuple(unsent)), [send("INIT", *init)]

    def receive(self, data: bytes, fds: tuple[Fd, ...]) -> tuple[Slave, list[Answer]]:
        """A datagram has come."""
        label, fields = _take(self, data, fds)
        if label == "DISCONNECT":
            return self.closed(), [Answer("Closed", fields)]
        if label == "HELLO":
            wanted = self._hello(*fields)
            after = replace(self, state="PREPARING", version=wanted.version, wanted=wanted)
            return after, [Answer("Prepare", tuple(wanted))]
        if label == "CONNECTED":
            return replace(self, state="CONNECTED"), [Answer("Established")]
        if self.unsent:
            after = replace(self, state="OFFERING", unsent=self.unsent[1:])
            return after, [self.unsent[0]]
        return replace(self, state="CONNECT_SENT"), [send("CONNECT", self.terms.if_name)]

    def _hello(
        self, _name: bytes, low: int, high: int, region: int, m2s: int, s2m: int, log2: int
    ) -> Wanted:
        own = self.terms
        common = [
            version
            for version in (V1, V2)
            if low <= version <= high and own.min_version <= version <= own.max_version
        ]
        if not common:
            raise Refused("PROTO")
        smaller = min(own.log2_ring_size, log2)
        _check_log2(smaller, max(common))
        counts = (min(own.num_s2m_rings, s2m + 1), min(own.num_m2s_rings, m2s + 1))
        return Wanted(max(common), *counts, smaller, min(region, LARGEST_INDEX))
