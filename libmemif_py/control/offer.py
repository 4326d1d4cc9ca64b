# SPDX-License-Identifier: Apache-2.0
"""What a slave has offered in a handshake, and the checks of each part.

A master makes them, and so does a relay, which passes the offer on to a master. Each check raises
ProtocolError.
"""

from __future__ import annotations

from .actions import ProtocolError
from .wire import MAX_LOG2_RING_SIZE, VERSION_1, AddRegion, AddRing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .wire import Message

# The messages that carry a descriptor, and what it is called when it is missing.
FD_MISSING = {AddRegion: "NO_SHMFD", AddRing: "NO_INTFD"}


class Offer:
    """Regions, index to size, and rings, index to AddRing."""

    def __init__(self, max_region: int) -> None:
        """`max_region` is the highest index of a region, as HELLO has it."""
        self._max_region = max_region
        self.regions: dict[int, int] = {}
        self.s2m: dict[int, AddRing] = {}
        self.m2s: dict[int, AddRing] = {}

    def add_region(self, region: AddRegion) -> None:
        """Check a region and note it."""
        if region.index > self._max_region:
            limit = self._max_region
            raise ProtocolError("MAXREG", f"region index {region.index}, at most {limit} allowed")
        if region.index in self.regions:
            raise ProtocolError("PROTO", f"region {region.index} was added before")
        self.regions[region.index] = region.size

    def add_ring(self, ring: AddRing, version: int, allowed: int) -> None:
        """Check one of at most `allowed` rings in its direction, and note it."""
        rings = self.s2m if ring.s2m else self.m2s
        if ring.index >= allowed:
            reason = f"{_direction(ring)} ring index {ring.index}, at most {allowed} rings allowed"
            if ring.s2m:  # taken and left unused, it would swallow what the peer sends on it
                reason += ": packets on more would be lost"
            raise ProtocolError("MAXRING", reason)
        if ring.index in rings:
            raise ProtocolError("PROTO", f"{_direction(ring)} ring {ring.index} was added before")
        check_ring_size(ring.log2_ring_size, version)
        rings[ring.index] = ring

    def check_complete(self) -> None:
        """At CONNECT: there are rings, without gaps, and each lies in a region that there is."""
        if not self.s2m and not self.m2s:
            raise ProtocolError("PROTO", "CONNECT without any ring")
        _check_no_gap("S2M", self.s2m)
        _check_no_gap("M2S", self.m2s)
        for ring in (*self.s2m.values(), *self.m2s.values()):
            if ring.region not in self.regions:
                where = f"{_direction(ring)} ring {ring.index} lies in region {ring.region}"
                raise ProtocolError("PROTO", f"{where}, which was never added")


def only_fd(message: Message, fds: Sequence[Any]) -> Any:
    """The descriptor that belongs to a message, or None; there must be neither more nor fewer."""
    missing = FD_MISSING.get(type(message), "")
    expected = 1 if missing else 0
    if len(fds) > expected:
        raise ProtocolError("MFMSG", f"{message.label} with {len(fds)} fds, expected {expected}")
    if len(fds) < expected:
        raise ProtocolError(missing, f"{message.label} came without its fd")
    return fds[0] if fds else None


def check_ring_size(log2_ring_size: int, version: int) -> None:
    """A masked ring (256) holds one packet less than its slots: one slot would hold none."""
    smallest = 1 if version == VERSION_1 else 0
    if not smallest <= log2_ring_size <= MAX_LOG2_RING_SIZE:
        allowed = f"{smallest} to {MAX_LOG2_RING_SIZE}"
        reason = f"log2 ring size {log2_ring_size}, version {version} allows {allowed}"
        raise ProtocolError("MAX_RING", reason)


def _check_no_gap(direction: str, rings: dict[int, AddRing]) -> None:
    for index in range(len(rings)):
        if index not in rings:
            raise ProtocolError("PROTO", f"{direction} ring {index} is missing at CONNECT")


def _direction(ring: AddRing) -> str:
    return "S2M" if ring.s2m else "M2S"
