# SPDX-License-Identifier: Apache-2.0
"""ICMPv6 echo and neighbour discovery, which is to IPv6 what ARP is to IPv4.

Packets with extension headers are not read: no host puts them before an echo or a solicitation.
"""

from __future__ import annotations

import struct
from ipaddress import IPv6Address

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

_IP6 = struct.Struct("!IHBB16s16s")
_NEIGHBOUR = struct.Struct("!BBHI16s")  # type, code, checksum, flags, target
_OPTION = struct.Struct("!BB6s")  # type, length in units of 8, MAC address
_PSEUDO_HEADER = struct.Struct("!16s16sII")

HEADERS = ETHERNET.size + _IP6.size + ICMP.size
"""Bytes of an echo request before its payload."""

TYPE_IP6 = 0x86DD
_PROTOCOL = 58
_UNREACHABLE, _TOO_BIG, _TIME_EXCEEDED = 1, 2, 3
_ECHO_REQUEST, _ECHO_REPLY = 128, 129
_SOLICITATION, _ADVERTISEMENT = 135, 136
_SOURCE_MAC, _TARGET_MAC = 1, 2
_SOLICITED, _OVERRIDE = 1 << 30, 1 << 29
_NEIGHBOUR_HOPS = 255
"""Shows that a packet of neighbour discovery passed no router."""
_NOBODY = bytes(16)
_ALL_NODES = IPv6Address("ff02::1").packed
_SOLICITED_NODES = IPv6Address("ff02::1:ff00:0").packed[:13]
_QUOTED_TYPES = (_UNREACHABLE, _TOO_BIG, _TIME_EXCEEDED)
# As ping shows them.
_ERRORS = {
    (_UNREACHABLE, 0): "Destination unreachable: No route",
    (_UNREACHABLE, 1): "Destination unreachable: Administratively prohibited",
    (_UNREACHABLE, 2): "Destination unreachable: Beyond scope of source address",
    (_UNREACHABLE, 3): "Destination unreachable: Address unreachable",
    (_UNREACHABLE, 4): "Destination unreachable: Port unreachable",
    (_TIME_EXCEEDED, 0): "Time exceeded: Hop limit",
    (_TIME_EXCEEDED, 1): "Time exceeded: Defragmentation failure",
}


def solicitation(source: Host, wanted: Address) -> bytes:
    """A frame to the few hosts whose addresses end as `wanted`: it asks for the MAC address."""
    group = _SOLICITED_NODES + wanted.packed[13:]
    message = _NEIGHBOUR.pack(_SOLICITATION, 0, 0, 0, wanted.packed)
    message += _OPTION.pack(_SOURCE_MAC, 1, source.mac)
    packet = _packet(source.ip.packed, group, message, _NEIGHBOUR_HOPS)
    return ETHERNET.pack(_group_mac(group), source.mac, TYPE_IP6) + packet


def read_advertisement(frame: bytes, asker: Host) -> Host:
    """The host that answered. Raises PacketError unless the frame is an answer to `asker`."""
    read_ethernet(frame, asker.mac, TYPE_IP6)
    _, target, hops, message = _read(frame[ETHERNET.size :])
    if message[:2] != bytes((_ADVERTISEMENT, 0)) or len(message) < _NEIGHBOUR.size:
        raise PacketError(f"no neighbour advertisement: ICMPv6 type {message[0]}")
    if hops != _NEIGHBOUR_HOPS or target not in (asker.ip.packed, _ALL_NODES):
        raise PacketError(f"advertisement to {IPv6Address(target)} with hop limit {hops}")
    *_, ip = _NEIGHBOUR.unpack_from(message)
    mac = _mac_option(message[_NEIGHBOUR.size :], _TARGET_MAC)
    if mac is None:
        raise PacketError("advertisement without a MAC address")
    return Host(mac, IPv6Address(ip))


def ip_echo_request(
    source: Address, target: Address, identifier: int, sequence: int, payload: bytes, ttl: int = TTL
) -> bytes:
    """An echo request that begins with its IPv6 header."""
    message = ICMP.pack(_ECHO_REQUEST, 0, 0, identifier, sequence) + payload
    return _packet(source.packed, target.packed, message, ttl)


def read_ip_echo_reply(packet: bytes, asker: Address) -> EchoReply:
    """The reply to a request of `asker`. Raises PacketError, also for a wrong checksum."""
    source, target, hops, message = _read(packet)
    kind, code, _, identifier, sequence = ICMP.unpack_from(message)
    if target != asker.packed:
        raise PacketError(f"echo reply to {IPv6Address(target)}")
    if (kind, code) != (_ECHO_REPLY, 0):
        raise PacketError(f"no echo reply: ICMPv6 type {kind}, code {code}")
    ends = IPv6Address(source), IPv6Address(target)
    return EchoReply(*ends, hops, identifier, sequence, message[ICMP.size :])


def read_ip_echo_error(packet: bytes, asker: Address) -> EchoError:
    """What a packet, from its IPv6 header on, says about a request of `asker`.

    Raises PacketError, also for a wrong checksum.
    """
    source, target, _, message = _read(packet)
    kind, code = message[:2]
    if kind not in _QUOTED_TYPES or target != asker.packed:
        raise PacketError(f"no ICMPv6 error to us: type {kind}")
    quoted = message[ICMP.size :]
    if len(quoted) < _IP6.size + ICMP.size:
        raise PacketError(f"ICMPv6 error that quotes {len(quoted)} bytes")
    _, _, following, _, quoted_source, wanted = _IP6.unpack_from(quoted)
    quoted_kind, _, _, identifier, sequence = ICMP.unpack_from(quoted, _IP6.size)
    if (following, quoted_source, quoted_kind) != (_PROTOCOL, asker.packed, _ECHO_REQUEST):
        raise PacketError("ICMPv6 error about another packet")
    text = _ERRORS.get((kind, code)) or f"ICMPv6 error, type {kind}, code {code}"
    if kind == _TOO_BIG:
        text = f"Packet too big: mtu={int.from_bytes(message[4:8], 'big')}"
    return EchoError(IPv6Address(source), IPv6Address(wanted), identifier, sequence, text)


def answer(frame: bytes, host: Host) -> bytes | None:
    """The answer of `host` to a solicitation or an echo request for it; None for other frames."""
    if frame[12:14] != TYPE_IP6.to_bytes(2, "big"):
        return None
    packet = frame[ETHERNET.size :]
    group = _SOLICITED_NODES + host.ip.packed[13:]
    is_solicitation = packet[_IP6.size : _IP6.size + 1] == bytes((_SOLICITATION,))
    if is_solicitation and frame[:6] in (host.mac, _group_mac(group)):
        return _advertisement(packet, host, group, frame[6:12])
    if frame[:6] != host.mac:
        return None
    reply = answer_ip(packet, host.ip)
    return None if reply is None else frame[6:12] + host.mac + frame[12:14] + reply


def _advertisement(packet: bytes, host: Host, group: bytes, sender: bytes) -> bytes | None:
    """The answer to a solicitation in a frame from the MAC address `sender`."""
    try:
        source, target, hops, message = _read(packet)
    except PacketError:
        return None
    good = (
        hops == _NEIGHBOUR_HOPS
        and message[1] == 0
        and message[8 : _NEIGHBOUR.size] == host.ip.packed
        and target in (host.ip.packed, group)
    )
    if not good:
        return None
    to, flags = source, _OVERRIDE | _SOLICITED
    to_mac = _mac_option(message[_NEIGHBOUR.size :], _SOURCE_MAC) or sender
    if source == _NOBODY:
        # A host asks so whether somebody has the address that it wants. All hear the answer.
        to, flags, to_mac = _ALL_NODES, _OVERRIDE, _group_mac(_ALL_NODES)
    reply = _NEIGHBOUR.pack(_ADVERTISEMENT, 0, 0, flags, host.ip.packed)
    reply += _OPTION.pack(_TARGET_MAC, 1, host.mac)
    ethernet = ETHERNET.pack(to_mac, host.mac, TYPE_IP6)
    return ethernet + _packet(host.ip.packed, to, reply, _NEIGHBOUR_HOPS)


def answer_ip(packet: bytes, ip: Address) -> bytes | None:
    """The answer of `ip` to an echo request that begins with its IPv6 header, else None."""
    try:
        source, target, _, message = _read(packet)
    except PacketError:
        return None
    if target != ip.packed or message[:2] != bytes((_ECHO_REQUEST, 0)):
        return None
    reply = bytes((_ECHO_REPLY, 0, 0, 0)) + message[4:]
    return _packet(target, source, reply, TTL) + packet[_IP6.size + len(message) :]


def _packet(source: bytes, target: bytes, message: bytes, hops: int) -> bytes:
    """An IPv6 packet with an ICMPv6 message, whose checksum is written."""
    header = _IP6.pack(6 << 28, len(message), _PROTOCOL, hops, source, target)
    pseudo = _PSEUDO_HEADER.pack(source, target, len(message), _PROTOCOL)
    return header + with_checksum(message, 2, pseudo)


def _read(packet: bytes) -> tuple[bytes, bytes, int, bytes]:
    """Source, target, hop limit and ICMPv6 message of a packet. Raises PacketError."""
    if len(packet) < _IP6.size + ICMP.size:
        raise PacketError(f"ICMPv6 packet of {len(packet)} bytes")
    first, length, following, hops, source, target = _IP6.unpack_from(packet)
    if first >> 28 != 6 or following != _PROTOCOL:
        raise PacketError(f"no ICMPv6 packet: {packet[: _IP6.size].hex(' ')}")
    message = packet[_IP6.size : _IP6.size + length]
    if not ICMP.size <= length == len(message):
        raise PacketError(f"IPv6 length {length} in a packet of {len(packet)} bytes")
    if checksum(_PSEUDO_HEADER.pack(source, target, length, _PROTOCOL) + message) != 0:
        raise PacketError(f"wrong ICMPv6 checksum: {message[: ICMP.size].hex(' ')}")
    return source, target, hops, message


def _mac_option(options: bytes, wanted: int) -> bytes | None:
    """The MAC address in the options of neighbour discovery."""
    while len(options) >= _OPTION.size:
        kind, units, mac = _OPTION.unpack_from(options)
        if units == 0:
            return None
        if (kind, units) == (wanted, 1):
            return mac
        options = options[units * 8 :]
    return None


def _group_mac(group: bytes) -> bytes:
    return b"\x33\x33" + group[12:]
