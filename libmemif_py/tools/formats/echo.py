# SPDX-License-Identifier: Apache-2.0
"""What pings over IPv4 and IPv6 have in common: Ethernet, the checksum, and what an answer says."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address

ETHERNET = struct.Struct("!6s6sH")
ICMP = struct.Struct("!BBHHH")
"""Type, code, checksum, identifier and sequence number of an echo."""

TTL = 64
"""Time to live (hop limit in IPv6) of what we send, unless the user sets another."""


class PacketError(ValueError):
    """A packet that is not the expected one."""


@dataclass(frozen=True)
class Host:
    """A host: its MAC and its IP address."""

    mac: bytes
    ip: Address


@dataclass(frozen=True)
class EchoReply:
    """The fields of an echo reply."""

    source: Address
    target: Address
    ttl: int
    identifier: int
    sequence: int
    payload: bytes


@dataclass(frozen=True)
class EchoError:
    """What a host on the way says about an echo request of ours."""

    source: Address
    target: Address
    """Whom the request was for."""
    identifier: int
    sequence: int
    text: str


def checksum(data: bytes) -> int:
    """The Internet checksum of `data`; 0 if the data contains its own checksum and it is right."""
    total = int.from_bytes(data + b"\0" if len(data) % 2 else data, "big")
    # Carries are added back, so the sum of the words is modulo 0xffff. Only zeros have the sum 0.
    return 0xFFFF - (total % 0xFFFF or (0xFFFF if total else 0))


def with_checksum(data: bytes, at: int, before: bytes = b"") -> bytes:
    """`data` with its checksum in the two bytes `at`, which hold zeros; it covers `before` too."""
    return data[:at] + checksum(before + data).to_bytes(2, "big") + data[at + 2 :]


def read_ethernet(frame: bytes, target: bytes, kind: int) -> bytes:
    """Check the header of a frame. Returns the MAC address of the sender."""
    if len(frame) < ETHERNET.size:
        raise PacketError(f"frame of {len(frame)} bytes")
    found_target, source, found_kind = ETHERNET.unpack_from(frame)
    if found_kind != kind:
        raise PacketError(f"ethertype {found_kind:#06x}, expected {kind:#06x}")
    if found_target != target:
        raise PacketError(f"frame to {found_target.hex(':')}, expected {target.hex(':')}")
    return source
