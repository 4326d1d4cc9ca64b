# SPDX-License-Identifier: Apache-2.0
"""A packet as one line, in the style of tcpdump. A cut or broken packet is shown in part."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_IP, _ARP, _IP6 = 0x0800, 0x0806, 0x86DD
_VLANS = (0x8100, 0x88A8)
_ICMP, _TCP, _UDP, _ICMP6 = 1, 6, 17, 58
_EXTENSIONS = (0, 43, 60)  # of IPv6: those with a length in units of 8
_FRAGMENT = 44
_FLAGS = ((2, "S"), (1, "F"), (4, "R"), (8, "P"), (32, "U"), (64, "E"), (128, "W"), (16, "."))
_ICMP_KINDS = {
    0: "echo reply", 3: "unreachable", 5: "redirect", 8: "echo request", 11: "time exceeded",
}  # fmt: skip
_ICMP6_KINDS = {
    1: "unreachable", 2: "packet too big", 3: "time exceeded", 128: "echo request",
    129: "echo reply", 133: "router solicitation", 134: "router advertisement",
    135: "neighbor solicitation", 136: "neighbor advertisement", 143: "multicast listener report",
}  # fmt: skip
_ECHOES = (0, 8, 128, 129)


def line(packet: bytes, *, link_level: bool = False) -> str:
    """The line for an Ethernet frame; with its addresses if `link_level`."""
    try:
        text, kind, rest = _ethernet(packet)
    except struct.error:
        return f"[|ether] {len(packet)} bytes"
    shown = _network(kind, rest)
    if shown is None:
        return f"{text}ethertype {_name(kind)}, length {len(packet)}"
    if link_level:
        return f"{text}ethertype {_name(kind)}, length {len(packet)}: {shown}"
    return shown


def ip_line(packet: bytes) -> str:
    """The line for a packet that begins with an IP header."""
    version = packet[0] >> 4 if packet else 0
    kind = {4: _IP, 6: _IP6}.get(version, 0)
    return _network(kind, packet) or f"IP version {version}, length {len(packet)}"


def hex_dump(packet: bytes) -> str:
    """Offsets, bytes and text, sixteen bytes a line."""
    lines = []
    for start in range(0, len(packet), 16):
        part = packet[start : start + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"\t0x{start:04x}:  {part.hex(' ', 2):<39}  {text}")
    return "\n".join(lines)


def _name(kind: int) -> str:
    names = {_IP: "IPv4", _ARP: "ARP", _IP6: "IPv6"}
    return f"{names[kind]} ({kind:#06x})" if kind in names else f"{kind:#06x}"


def _ethernet(packet: bytes) -> tuple[str, int, bytes]:
    target, source, kind = struct.unpack_from("!6s6sH", packet)
    text, place = f"{source.hex(':')} > {target.hex(':')}, ", 14
    while kind in _VLANS:
        tag, kind = struct.unpack_from("!HH", packet, place)
        text, place = f"{text}vlan {tag & 0xFFF}, ", place + 4
    return text, kind, packet[place:]


def _network(kind: int, packet: bytes) -> str | None:
    """None for a protocol that is not decoded."""
    readers: dict[int, tuple[str, Callable[[bytes], str]]] = {
        _IP: ("ip", _ip), _IP6: ("ip6", _ip6), _ARP: ("arp", _arp),
    }  # fmt: skip
    if kind not in readers:
        return None
    name, reader = readers[kind]
    try:
        return reader(packet)
    except (struct.error, IndexError):
        return f"{name.upper()} [|{name}]"


def _arp(packet: bytes) -> str:
    hardware, protocol, mac_size, ip_size, operation = struct.unpack_from("!HHBBH", packet)
    if (hardware, protocol, mac_size, ip_size) != (1, _IP, 6, 4):
        return f"ARP, hardware {hardware}, protocol {protocol:#06x}, length {len(packet)}"
    mac, source, _, target = struct.unpack_from("!6s4s6s4s", packet, 8)
    length = f"length {len(packet)}"
    if operation == 1:
        return f"ARP, Request who-has {IPv4Address(target)} tell {IPv4Address(source)}, {length}"
    if operation == 2:
        return f"ARP, Reply {IPv4Address(source)} is-at {mac.hex(':')}, {length}"
    return f"ARP, operation {operation}, {length}"


def _ip(packet: bytes) -> str:
    first, _, length, _, fragment, _, protocol = struct.unpack_from("!BBHHHBB", packet)
    source, target = struct.unpack_from("!4s4s", packet, 12)
    start = (first & 15) * 4
    ends = str(IPv4Address(source)), str(IPv4Address(target))
    if first >> 4 != 4 or start < 20 or length < start:
        return f"IP {ends[0]} > {ends[1]}: bad header, length {length}"
    if fragment & 0x1FFF:
        at = (fragment & 0x1FFF) * 8
        return f"IP {ends[0]} > {ends[1]}: fragment at {at}, length {length - start}"
    body = packet[start:length]
    return "IP " + _transport(protocol, ends, body, length - start)


def _ip6(packet: bytes) -> str:
    _, length, following, _ = struct.unpack_from("!IHBB", packet)
    source, target = struct.unpack_from("!16s16s", packet, 8)
    ends = str(IPv6Address(source)), str(IPv6Address(target))
    body = packet[40 : 40 + length]
    while following in _EXTENSIONS:
        following, units = struct.unpack_from("!BB", body)
        length -= 8 + units * 8
        body = body[8 + units * 8 :]
    if following == _FRAGMENT:
        return f"IP6 {ends[0]} > {ends[1]}: fragment, length {length}"
    return "IP6 " + _transport(following, ends, body, length)


def _transport(protocol: int, ends: tuple[str, str], body: bytes, length: int) -> str:
    readers = {_ICMP: _icmp, _ICMP6: _icmp6, _TCP: _tcp, _UDP: _udp}
    if protocol not in readers:
        return f"{ends[0]} > {ends[1]}: protocol {protocol}, length {length}"
    try:
        return readers[protocol](ends, body, length)
    except struct.error:
        return f"{ends[0]} > {ends[1]}: protocol {protocol}, length {length} [|]"


def _icmp(ends: tuple[str, str], body: bytes, length: int) -> str:
    return f"{ends[0]} > {ends[1]}: ICMP {_icmp_text(body, _ICMP_KINDS)}, length {length}"


def _icmp6(ends: tuple[str, str], body: bytes, length: int) -> str:
    return f"{ends[0]} > {ends[1]}: ICMP6, {_icmp_text(body, _ICMP6_KINDS)}, length {length}"


def _icmp_text(body: bytes, kinds: dict[int, str]) -> str:
    kind, code, _ = struct.unpack_from("!BBH", body)
    text = kinds.get(kind, f"type {kind}")
    if kind in _ECHOES:
        identifier, sequence = struct.unpack_from("!HH", body, 4)
        return f"{text}, id {identifier}, seq {sequence}"
    return f"{text}, code {code}" if code else text


def _tcp(ends: tuple[str, str], body: bytes, length: int) -> str:
    source, target, sequence, acknowledged, where, window = struct.unpack_from("!HHIIHH", body)
    header = (where >> 12) * 4
    flags = "".join(letter for bit, letter in _FLAGS if where & bit) or "none"
    data = max(0, length - header)
    text = f"{ends[0]}.{source} > {ends[1]}.{target}: Flags [{flags}]"
    if data or where & 7:  # only data, SYN, FIN and RST have a sequence number to show
        span = f"{sequence}:{(sequence + data) % 2**32}" if data else f"{sequence}"
        text += f", seq {span}"
    if where & 16:
        text += f", ack {acknowledged}"
    return f"{text}, win {window}, length {data}"


def _udp(ends: tuple[str, str], body: bytes, _length: int) -> str:
    source, target, length, _ = struct.unpack_from("!HHHH", body)
    return f"{ends[0]}.{source} > {ends[1]}.{target}: UDP, length {max(0, length - 8)}"
