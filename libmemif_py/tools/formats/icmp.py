# SPDX-License-Identifier: Apache-2.0
"""ARP and ICMP echo: makes requests and answers, and reads answers with every field checked."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

_ETHERNET = struct.Struct("!6s6sH")
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_IP = struct.Struct("!BBHHHBBH4s4s")
_ICMP = struct.Struct("!BBHHH")

HEADERS = _ETHERNET.size + _IP.size + _ICMP.size
"""Bytes of an echo request before its payload."""

_BROADCAST = b"\xff" * 6
_TYPE_IP, _TYPE_ARP = 0x0800, 0x0806
_ARP_IPV4_OVER_ETHERNET = (1, _TYPE_IP, 6, 4)
_ARP_REQUEST, _ARP_REPLY = 1, 2
_IPV4_WITHOUT_OPTIONS = 0x45
_PROTOCOL_ICMP = 1
_ECHO_REPLY, _ECHO_REQUEST = 0, 8
_TTL = 64


class PacketError(ValueError):
    """A packet that is not the expected one."""


@dataclass(frozen=True)
class Host:
    """A host: its MAC and its IPv4 address."""

    mac: bytes
    ip: IPv4Address


@dataclass(frozen=True)
class EchoReply:
    """The fields of an ICMP echo reply."""

    source: IPv4Address
    target: IPv4Address
    ttl: int
    identifier: int
    sequence: int
    payload: bytes


def checksum(data: bytes) -> int:
    """The Internet checksum of `data`; 0 if the data contains its own checksum and it is right."""
    total = int.from_bytes(data + b"\0" if len(data) % 2 else data, "big")
    # Carries are added back, so the sum of the words is modulo 0xffff. Only zeros have the sum 0.
    return 0xFFFF - (total % 0xFFFF or (0xFFFF if total else 0))


def arp_request(source: Host, wanted: IPv4Address) -> bytes:
    """A broadcast that asks for the MAC address of `wanted`."""
    return _ETHERNET.pack(_BROADCAST, source.mac, _TYPE_ARP) + _ARP.pack(
        *_ARP_IPV4_OVER_ETHERNET,
        _ARP_REQUEST,
        source.mac,
        source.ip.packed,
        bytes(6),
        wanted.packed,
    )


def is_arp(frame: bytes) -> bool:
    """Whether a frame carries ARP, right or wrong."""
    return frame[12:14] == _TYPE_ARP.to_bytes(2, "big")


def read_arp_reply(frame: bytes, asker: Host) -> Host:
    """The host that answered. Raises PacketError unless the frame is an answer to `asker`."""
    source = _read_ethernet(frame, asker.mac, _TYPE_ARP)
    if len(frame) < _ETHERNET.size + _ARP.size:
        raise PacketError(f"ARP packet of {len(frame)} bytes")
    *kind, operation, mac, ip, target_mac, target_ip = _ARP.unpack_from(frame, _ETHERNET.size)
    if (tuple(kind), operation) != (_ARP_IPV4_OVER_ETHERNET, _ARP_REPLY):
        raise PacketError(f"no ARP reply: {kind}, operation {operation}")
    if (target_mac, target_ip) != (asker.mac, asker.ip.packed):
        raise PacketError(f"ARP reply to {target_mac.hex(':')} {IPv4Address(target_ip)}")
    if mac != source:
        raise PacketError(f"ARP reply about {mac.hex(':')} from {source.hex(':')}")
    return Host(mac, IPv4Address(ip))


def echo_request(
    source: Host, target: Host, identifier: int, sequence: int, payload: bytes
) -> bytes:
    """A ping from `source` to `target`."""
    ethernet = _ETHERNET.pack(target.mac, source.mac, _TYPE_IP)
    return ethernet + ip_echo_request(source.ip, target.ip, identifier, sequence, payload)


def ip_echo_request(
    source: IPv4Address, target: IPv4Address, identifier: int, sequence: int, payload: bytes
) -> bytes:
    """An echo request that begins with its IP header."""
    icmp = _ICMP.pack(_ECHO_REQUEST, 0, 0, identifier, sequence) + payload
    icmp = _with_checksum(icmp, 2)
    length = _IP.size + len(icmp)
    addresses = source.packed, target.packed
    ip = _IP.pack(_IPV4_WITHOUT_OPTIONS, 0, length, 0, 0, _TTL, _PROTOCOL_ICMP, 0, *addresses)
    return _with_checksum(ip, 10) + icmp


def read_echo_reply(frame: bytes, asker: Host) -> EchoReply:
    """The reply to a request of `asker`. Raises PacketError, also for a wrong checksum."""
    _read_ethernet(frame, asker.mac, _TYPE_IP)
    return read_ip_echo_reply(frame[_ETHERNET.size :], asker.ip)


def read_ip_echo_reply(packet: bytes, asker: IPv4Address) -> EchoReply:
    """The same for a packet that begins with its IP header."""
    if len(packet) < _IP.size + _ICMP.size:
        raise PacketError(f"echo reply of {len(packet)} bytes")
    ip = packet[: _IP.size]
    version, _, length, _, fragment, ttl, protocol, _, source, target = _IP.unpack(ip)
    if version != _IPV4_WITHOUT_OPTIONS or protocol != _PROTOCOL_ICMP or fragment & 0x3FFF:
        raise PacketError(f"no whole ICMP packet: {ip.hex(' ')}")
    if not _IP.size + _ICMP.size <= length <= len(packet):
        raise PacketError(f"IP length {length} in a packet of {len(packet)} bytes")
    if checksum(ip) != 0:
        raise PacketError(f"wrong IP checksum: {ip.hex(' ')}")
    if target != asker.packed:
        raise PacketError(f"echo reply to {IPv4Address(target)}")
    icmp = packet[_IP.size : length]
    kind, code, _, identifier, sequence = _ICMP.unpack_from(icmp)
    if (kind, code) != (_ECHO_REPLY, 0):
        raise PacketError(f"no echo reply: ICMP type {kind}, code {code}")
    if checksum(icmp) != 0:
        raise PacketError(f"wrong ICMP checksum: {icmp[: _ICMP.size].hex(' ')}")
    payload = icmp[_ICMP.size :]
    return EchoReply(IPv4Address(source), IPv4Address(target), ttl, identifier, sequence, payload)


def answer(frame: bytes, host: Host) -> bytes | None:
    """The answer of `host` to an ARP request or an echo request for it; None for other frames.

    The answer to an echo request has the length of the request, padding included.
    """
    kind = frame[12:14]
    if kind == _TYPE_ARP.to_bytes(2, "big"):
        return _arp_answer(frame, host)
    if kind == _TYPE_IP.to_bytes(2, "big") and frame[:6] == host.mac:
        reply = answer_ip(frame[_ETHERNET.size :], host.ip)
        return None if reply is None else frame[6:12] + host.mac + kind + reply
    return None


def _arp_answer(frame: bytes, host: Host) -> bytes | None:
    if len(frame) < _ETHERNET.size + _ARP.size:
        return None
    *kind, operation, mac, ip, _, wanted = _ARP.unpack_from(frame, _ETHERNET.size)
    if (tuple(kind), operation, wanted) != (_ARP_IPV4_OVER_ETHERNET, _ARP_REQUEST, host.ip.packed):
        return None
    fields = *_ARP_IPV4_OVER_ETHERNET, _ARP_REPLY, host.mac, host.ip.packed, mac, ip
    return _ETHERNET.pack(mac, host.mac, _TYPE_ARP) + _ARP.pack(*fields)


def answer_ip(packet: bytes, ip: IPv4Address) -> bytes | None:
    """The answer of `ip` to an echo request that begins with its IP header, else None."""
    if len(packet) < _IP.size:
        return None
    version, _, length, _, fragment, _, protocol, _, source, target = _IP.unpack_from(packet)
    start = (version & 15) * 4
    good = (
        version >> 4 == 4
        and start >= _IP.size
        and protocol == _PROTOCOL_ICMP
        and not fragment & 0x3FFF
        and target == ip.packed
        and start + _ICMP.size <= length <= len(packet)
        and checksum(packet[:start]) == 0
    )
    icmp = packet[start:length]
    if not good or icmp[:2] != bytes((_ECHO_REQUEST, 0)) or checksum(icmp) != 0:
        return None
    header = packet[:8] + bytes((_TTL, protocol, 0, 0)) + target + source + packet[20:start]
    reply = _with_checksum(bytes((_ECHO_REPLY, 0, 0, 0)) + icmp[4:], 2)
    return _with_checksum(header, 10) + reply + packet[length:]


def _with_checksum(data: bytes, at: int) -> bytes:
    return data[:at] + checksum(data).to_bytes(2, "big") + data[at + 2 :]


def _read_ethernet(frame: bytes, target: bytes, kind: int) -> bytes:
    """Check the header of a frame. Returns the MAC address of the sender."""
    if len(frame) < _ETHERNET.size:
        raise PacketError(f"frame of {len(frame)} bytes")
    found_target, source, found_kind = _ETHERNET.unpack_from(frame)
    if found_kind != kind:
        raise PacketError(f"ethertype {found_kind:#06x}, expected {kind:#06x}")
    if found_target != target:
        raise PacketError(f"frame to {found_target.hex(':')}, expected {target.hex(':')}")
    return source
