# SPDX-License-Identifier: Apache-2.0
"""ARP and ICMP echo: makes requests and answers, and reads answers with every field checked."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from .echo import (
    ETHERNET,
    ICMP,
    TTL,
    Address,
    EchoError,
    EchoReply,
    Host,
    PacketError,
    checksum,
    read_ethernet,
    with_checksum,
)

__all__ = [
    "HEADERS", "EchoReply", "Host", "PacketError", "answer", "answer_ip", "arp_request", "checksum",
    "echo_request", "ip_echo_request", "is_arp", "read_arp_reply", "read_echo_reply",
    "read_ip_echo_error", "read_ip_echo_reply",
]  # fmt: skip

_ARP = struct.Struct("!HHBBH6s4s6s4s")
_IP = struct.Struct("!BBHHHBBH4s4s")

HEADERS = ETHERNET.size + _IP.size + ICMP.size
"""Bytes of an echo request before its payload."""

_BROADCAST = b"\xff" * 6
TYPE_IP, _TYPE_ARP = 0x0800, 0x0806
_ARP_IPV4_OVER_ETHERNET = (1, TYPE_IP, 6, 4)
_ARP_REQUEST, _ARP_REPLY = 1, 2
_IPV4_WITHOUT_OPTIONS = 0x45
_PROTOCOL_ICMP = 1
_ECHO_REPLY, _ECHO_REQUEST = 0, 8
_UNREACHABLE, _TIME_EXCEEDED = 3, 11
_FRAGMENTATION_NEEDED = 4
# As ping shows them.
_ERRORS = {
    (_UNREACHABLE, 0): "Destination Net Unreachable",
    (_UNREACHABLE, 1): "Destination Host Unreachable",
    (_UNREACHABLE, 2): "Destination Protocol Unreachable",
    (_UNREACHABLE, 13): "Packet filtered",
    (_TIME_EXCEEDED, 0): "Time to live exceeded",
    (_TIME_EXCEEDED, 1): "Frag reassembly time exceeded",
}


def arp_request(source: Host, wanted: Address) -> bytes:
    """A broadcast that asks for the MAC address of `wanted`."""
    return ETHERNET.pack(_BROADCAST, source.mac, _TYPE_ARP) + _ARP.pack(
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
    source = read_ethernet(frame, asker.mac, _TYPE_ARP)
    if len(frame) < ETHERNET.size + _ARP.size:
        raise PacketError(f"ARP packet of {len(frame)} bytes")
    *kind, operation, mac, ip, target_mac, target_ip = _ARP.unpack_from(frame, ETHERNET.size)
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
    ethernet = ETHERNET.pack(target.mac, source.mac, TYPE_IP)
    return ethernet + ip_echo_request(source.ip, target.ip, identifier, sequence, payload)


def ip_echo_request(
    source: Address, target: Address, identifier: int, sequence: int, payload: bytes, ttl: int = TTL
) -> bytes:
    """An echo request that begins with its IP header."""
    icmp = ICMP.pack(_ECHO_REQUEST, 0, 0, identifier, sequence) + payload
    icmp = with_checksum(icmp, 2)
    length = _IP.size + len(icmp)
    addresses = source.packed, target.packed
    ip = _IP.pack(_IPV4_WITHOUT_OPTIONS, 0, length, 0, 0, ttl, _PROTOCOL_ICMP, 0, *addresses)
    return with_checksum(ip, 10) + icmp


def read_echo_reply(frame: bytes, asker: Host) -> EchoReply:
    """The reply to a request of `asker`. Raises PacketError, also for a wrong checksum."""
    read_ethernet(frame, asker.mac, TYPE_IP)
    return read_ip_echo_reply(frame[ETHERNET.size :], asker.ip)


def read_ip_echo_reply(packet: bytes, asker: Address) -> EchoReply:
    """The same for a packet that begins with its IP header."""
    if len(packet) < _IP.size + ICMP.size:
        raise PacketError(f"echo reply of {len(packet)} bytes")
    ip = packet[: _IP.size]
    version, _, length, _, fragment, ttl, protocol, _, source, target = _IP.unpack(ip)
    if version != _IPV4_WITHOUT_OPTIONS or protocol != _PROTOCOL_ICMP or fragment & 0x3FFF:
        raise PacketError(f"no whole ICMP packet: {ip.hex(' ')}")
    if not _IP.size + ICMP.size <= length <= len(packet):
        raise PacketError(f"IP length {length} in a packet of {len(packet)} bytes")
    if checksum(ip) != 0:
        raise PacketError(f"wrong IP checksum: {ip.hex(' ')}")
    if target != asker.packed:
        raise PacketError(f"echo reply to {IPv4Address(target)}")
    icmp = packet[_IP.size : length]
    kind, code, _, identifier, sequence = ICMP.unpack_from(icmp)
    if (kind, code) != (_ECHO_REPLY, 0):
        raise PacketError(f"no echo reply: ICMP type {kind}, code {code}")
    if checksum(icmp) != 0:
        raise PacketError(f"wrong ICMP checksum: {icmp[: ICMP.size].hex(' ')}")
    payload = icmp[ICMP.size :]
    return EchoReply(IPv4Address(source), IPv4Address(target), ttl, identifier, sequence, payload)


def read_ip_echo_error(packet: bytes, asker: Address) -> EchoError:
    """What a packet, from its IP header on, says about a request of `asker`.

    Raises PacketError, also for a wrong checksum.
    """
    start = _IP.size
    if len(packet) < start + ICMP.size or packet[0] != _IPV4_WITHOUT_OPTIONS:
        raise PacketError(f"no ICMP error in {len(packet)} bytes")
    _, _, length, _, fragment, _, protocol, _, source, target = _IP.unpack_from(packet)
    if protocol != _PROTOCOL_ICMP or fragment & 0x3FFF or target != asker.packed:
        raise PacketError("no whole ICMP packet to us")
    if not start + ICMP.size <= length <= len(packet):
        raise PacketError(f"IP length {length} in a packet of {len(packet)} bytes")
    icmp = packet[start:length]
    if checksum(packet[:start]) != 0 or checksum(icmp) != 0:
        raise PacketError(f"wrong checksum of an ICMP error: {icmp[: ICMP.size].hex(' ')}")
    kind, code, _, _, mtu = ICMP.unpack_from(icmp)
    if kind not in (_UNREACHABLE, _TIME_EXCEEDED):
        raise PacketError(f"no ICMP error: type {kind}")
    identifier, sequence, wanted = _quoted_request(icmp[ICMP.size :], asker)
    text = _ERRORS.get((kind, code)) or f"ICMP error, type {kind}, code {code}"
    if (kind, code) == (_UNREACHABLE, _FRAGMENTATION_NEEDED):
        text = f"Frag needed and DF set (mtu = {mtu})"
    return EchoError(IPv4Address(source), wanted, identifier, sequence, text)


def _quoted_request(quoted: bytes, asker: Address) -> tuple[int, int, IPv4Address]:
    """Identifier, sequence number and target of our request, of which an error quotes the start."""
    start = (quoted[0] & 15) * 4 if quoted else 0
    if start < _IP.size or len(quoted) < start + ICMP.size:
        raise PacketError(f"ICMP error that quotes {len(quoted)} bytes")
    *_, protocol, _, source, target = _IP.unpack_from(quoted)
    kind, _, _, identifier, sequence = ICMP.unpack_from(quoted, start)
    if (protocol, source, kind) != (_PROTOCOL_ICMP, asker.packed, _ECHO_REQUEST):
        raise PacketError("ICMP error about another packet")
    return identifier, sequence, IPv4Address(target)


def answer(frame: bytes, host: Host) -> bytes | None:
    """The answer of `host` to an ARP request or an echo request for it; None for other frames.

    The answer to an echo request has the length of the request, padding included.
    """
    kind = frame[12:14]
    if kind == _TYPE_ARP.to_bytes(2, "big"):
        return _arp_answer(frame, host)
    if kind == TYPE_IP.to_bytes(2, "big") and frame[:6] == host.mac:
        reply = answer_ip(frame[ETHERNET.size :], host.ip)
        return None if reply is None else frame[6:12] + host.mac + kind + reply
    return None


def _arp_answer(frame: bytes, host: Host) -> bytes | None:
    if len(frame) < ETHERNET.size + _ARP.size:
        return None
    *kind, operation, mac, ip, _, wanted = _ARP.unpack_from(frame, ETHERNET.size)
    if (tuple(kind), operation, wanted) != (_ARP_IPV4_OVER_ETHERNET, _ARP_REQUEST, host.ip.packed):
        return None
    fields = *_ARP_IPV4_OVER_ETHERNET, _ARP_REPLY, host.mac, host.ip.packed, mac, ip
    return ETHERNET.pack(mac, host.mac, _TYPE_ARP) + _ARP.pack(*fields)


def answer_ip(packet: bytes, ip: Address) -> bytes | None:
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
        and start + ICMP.size <= length <= len(packet)
        and checksum(packet[:start]) == 0
    )
    icmp = packet[start:length]
    if not good or icmp[:2] != bytes((_ECHO_REQUEST, 0)) or checksum(icmp) != 0:
        return None
    header = packet[:8] + bytes((TTL, protocol, 0, 0)) + target + source + packet[20:start]
    reply = with_checksum(bytes((_ECHO_REPLY, 0, 0, 0)) + icmp[4:], 2)
    return with_checksum(header, 10) + reply + packet[length:]
