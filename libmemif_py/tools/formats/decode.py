# SPDX-License-Identifier: Apache-2.0
"""A packet as one line, in the style of tcpdump. A cut or broken packet is shown in part."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from . import dns

if TYPE_CHECKING:
    from collections.abc import Callable

_IP, _ARP, _IP6, _MPLS, _MPLS_MULTICAST = 0x0800, 0x0806, 0x86DD, 0x8847, 0x8848
_VLANS = (0x8100, 0x88A8)
_ETHERNET_HEADER, _TAG = 14, 4
_LEAST_TYPE = 0x600  # what is below is the length of an IEEE 802.3 frame
_ICMP, _TCP, _UDP, _ICMP6 = 1, 6, 17, 58
_PROTOCOLS = {_ICMP: "ICMP", 2: "IGMP", _TCP: "TCP", _UDP: "UDP", 47: "GRE", _ICMP6: "ICMPv6"}
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
_NEIGHBOURS = {135: "who has", 136: "tgt is"}
_DNS_PORTS = (53, 5353)
_VXLAN_PORT, _VXLAN_HEADER = 4789, 8
_MOST_TUNNELS = 4


class Detail(enum.IntEnum):
    """How much is shown of a packet."""

    QUIET = -1
    NORMAL = 0
    VERBOSE = 1


@dataclass(frozen=True)
class _Way:
    """How a packet is shown, and inside how many tunnels it is."""

    detail: Detail = Detail.NORMAL
    tunnels: int = 0


def line(packet: bytes, *, link_level: bool = False, detail: Detail = Detail.NORMAL) -> str:
    """The line for an Ethernet frame; with its addresses if `link_level`."""
    return _frame(packet, link_level, _Way(detail))


def _frame(packet: bytes, link_level: bool, way: _Way) -> str:
    try:
        ends, tags, kind, rest = _ethernet(packet)
    except struct.error:
        return f"[|ether] {len(packet)} bytes"
    shown = _network(kind, rest, way)
    if kind < _LEAST_TYPE:
        return f"{ends}{tags}802.3, length {kind}"
    if shown is None:
        return f"{ends}{tags}ethertype {_name(kind)}, length {len(packet)}"
    if link_level:
        return f"{ends}{tags}ethertype {_name(kind)}, length {len(packet)}: {shown}"
    return f"{tags}{shown}"


def ip_line(packet: bytes, *, detail: Detail = Detail.NORMAL) -> str:
    """The line for a packet that begins with an IP header."""
    return _ip_line(packet, _Way(detail))


def _ip_line(packet: bytes, way: _Way) -> str:
    version = packet[0] >> 4 if packet else 0
    kind = {4: _IP, 6: _IP6}.get(version, 0)
    return _network(kind, packet, way) or f"IP version {version}, length {len(packet)}"


def header_size(packet: bytes) -> int:
    """Bytes of the Ethernet header, with its VLAN tags."""
    size = _ETHERNET_HEADER
    while packet[size - 2 : size] in [kind.to_bytes(2, "big") for kind in _VLANS]:
        size += _TAG
    return size


def hex_dump(packet: bytes) -> str:
    """Offsets, bytes and text, sixteen bytes a line."""
    lines = []
    for start in range(0, len(packet), 16):
        part = packet[start : start + 16]
        text = "".join(chr(byte) if 32 < byte < 127 else "." for byte in part)
        lines.append(f"\t0x{start:04x}:  {part.hex(' ', 2):<39}  {text}")
    return "\n".join(lines)


def ascii_text(packet: bytes) -> str:
    """The bytes as text. Only characters and the ends of lines are shown as they are."""
    whole = packet.replace(b"\r\n", b"\n")
    return "".join(chr(byte) if 32 <= byte < 127 or byte in b"\t\n" else "." for byte in whole)


def _name(kind: int) -> str:
    names = {_IP: "IPv4", _ARP: "ARP", _IP6: "IPv6", _MPLS: "MPLS unicast"}
    return f"{names[kind]} ({kind:#06x})" if kind in names else f"{kind:#06x}"


def _ethernet(packet: bytes) -> tuple[str, str, int, bytes]:
    target, source, kind = struct.unpack_from("!6s6sH", packet)
    ends, tags, place = f"{source.hex(':')} > {target.hex(':')}, ", "", _ETHERNET_HEADER
    while kind in _VLANS:
        tag, kind = struct.unpack_from("!HH", packet, place)
        tags, place = f"{tags}vlan {tag & 0xFFF}, ", place + _TAG
    return ends, tags, kind, packet[place:]


def _network(kind: int, packet: bytes, way: _Way) -> str | None:
    """None for a protocol that is not decoded."""
    readers: dict[int, tuple[str, Callable[[bytes, _Way], str]]] = {
        _IP: ("ip", _ip), _IP6: ("ip6", _ip6), _ARP: ("arp", _arp),
        _MPLS: ("mpls", _mpls), _MPLS_MULTICAST: ("mpls", _mpls),
    }  # fmt: skip
    if kind not in readers:
        return None
    name, reader = readers[kind]
    try:
        return reader(packet, way)
    except (struct.error, IndexError):
        return f"{name.upper()} [|{name}]"


def _mpls(packet: bytes, way: _Way) -> str:
    text, place, is_last = "MPLS", 0, False
    while not is_last:
        (word,) = struct.unpack_from("!I", packet, place)
        is_last, place = bool(word & 0x100), place + 4
        bottom = "[S], " if is_last else ""
        text += f" (label {word >> 12}, tc {word >> 9 & 7}, {bottom}ttl {word & 0xFF})"
    rest = packet[place:]
    # Nothing in the header tells what the labels carry.
    is_ip = bool(rest) and rest[0] >> 4 in (4, 6)
    return f"{text} {_ip_line(rest, way)}" if is_ip else f"{text}, length {len(rest)}"


def _arp(packet: bytes, _way: _Way) -> str:
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


def _ip(packet: bytes, way: _Way) -> str:
    first, service, length, number, fragment, ttl, protocol = struct.unpack_from("!BBHHHBB", packet)
    source, target = struct.unpack_from("!4s4s", packet, 12)
    start = (first & 15) * 4
    ends = str(IPv4Address(source)), str(IPv4Address(target))
    text = "IP "
    if way.detail >= Detail.VERBOSE:
        flags = ("+" if fragment & 0x2000 else "") + ("DF" if fragment & 0x4000 else "")
        text += (
            f"(tos {service:#x}, ttl {ttl}, id {number}, offset {(fragment & 0x1FFF) * 8}, "
            f"flags [{flags or 'none'}], proto {_protocol(protocol)}, length {length}) "
        )
    if first >> 4 != 4 or start < 20 or length < start:
        return f"{text}{ends[0]} > {ends[1]}: bad header, length {length}"
    if fragment & 0x1FFF:
        at = (fragment & 0x1FFF) * 8
        return f"{text}{ends[0]} > {ends[1]}: fragment at {at}, length {length - start}"
    body = packet[start:length]
    return text + _transport(protocol, ends, body, length - start, way)


def _ip6(packet: bytes, way: _Way) -> str:
    word, length, following, hops = struct.unpack_from("!IHBB", packet)
    source, target = struct.unpack_from("!16s16s", packet, 8)
    ends = str(IPv6Address(source)), str(IPv6Address(target))
    text = "IP6 "
    if way.detail >= Detail.VERBOSE:
        traffic = f"class {word >> 20 & 0xFF:#04x}, " if word >> 20 & 0xFF else ""
        flow = f"flowlabel {word & 0xFFFFF:#07x}, " if word & 0xFFFFF else ""
        text += (
            f"({traffic}{flow}hlim {hops}, next-header {_protocol(following)} "
            f"payload length: {length}) "
        )
    body = packet[40 : 40 + length]
    while following in _EXTENSIONS:
        following, units = struct.unpack_from("!BB", body)
        length -= 8 + units * 8
        body = body[8 + units * 8 :]
    if following == _FRAGMENT:
        return f"{text}{ends[0]} > {ends[1]}: fragment, length {length}"
    return text + _transport(following, ends, body, length, way)


def _protocol(number: int) -> str:
    return f"{_PROTOCOLS.get(number, 'unknown')} ({number})"


def _transport(protocol: int, ends: tuple[str, str], body: bytes, length: int, way: _Way) -> str:
    readers = {_ICMP: _icmp, _ICMP6: _icmp6, _TCP: _tcp, _UDP: _udp}
    if protocol not in readers:
        return f"{ends[0]} > {ends[1]}: protocol {protocol}, length {length}"
    try:
        return readers[protocol](ends, body, length, way)
    except struct.error:
        return f"{ends[0]} > {ends[1]}: protocol {protocol}, length {length} [|]"


def _icmp(ends: tuple[str, str], body: bytes, length: int, _way: _Way) -> str:
    return f"{ends[0]} > {ends[1]}: ICMP {_icmp_text(body, _ICMP_KINDS)}, length {length}"


def _icmp6(ends: tuple[str, str], body: bytes, length: int, _way: _Way) -> str:
    text = _icmp_text(body, _ICMP6_KINDS)
    if body[0] in _NEIGHBOURS:
        (target,) = struct.unpack_from("!16s", body, 8)
        text += f", {_NEIGHBOURS[body[0]]} {IPv6Address(target)}"
    return f"{ends[0]} > {ends[1]}: ICMP6, {text}, length {length}"


def _icmp_text(body: bytes, kinds: dict[int, str]) -> str:
    kind, code, _ = struct.unpack_from("!BBH", body)
    text = kinds.get(kind, f"type {kind}")
    if kind in _ECHOES:
        identifier, sequence = struct.unpack_from("!HH", body, 4)
        return f"{text}, id {identifier}, seq {sequence}"
    return f"{text}, code {code}" if code else text


def _tcp(ends: tuple[str, str], body: bytes, length: int, way: _Way) -> str:
    source, target, sequence, acknowledged, where, window = struct.unpack_from("!HHIIHH", body)
    header = (where >> 12) * 4
    data = max(0, length - header)
    text = f"{ends[0]}.{source} > {ends[1]}.{target}: "
    if way.detail == Detail.QUIET:
        return f"{text}tcp {data}"
    flags = "".join(letter for bit, letter in _FLAGS if where & bit) or "none"
    text += f"Flags [{flags}]"
    if data or where & 7:  # only data, SYN, FIN and RST have a sequence number to show
        span = f"{sequence}:{(sequence + data) % 2**32}" if data else f"{sequence}"
        text += f", seq {span}"
    if where & 16:
        text += f", ack {acknowledged}"
    return f"{text}, win {window}, length {data}"


def _udp(ends: tuple[str, str], body: bytes, _length: int, way: _Way) -> str:
    source, target, length, _ = struct.unpack_from("!HHHH", body)
    text = f"{ends[0]}.{source} > {ends[1]}.{target}: "
    size, data, ports = max(0, length - 8), body[8:length], {source, target}
    shown = None
    if way.detail > Detail.QUIET and ports & set(_DNS_PORTS):
        shown = dns.line(data, size)
    elif way.detail > Detail.QUIET and _VXLAN_PORT in ports and way.tunnels < _MOST_TUNNELS:
        shown = _vxlan(data, way)
    return text + (shown or f"UDP, length {size}")


def _vxlan(data: bytes, way: _Way) -> str | None:
    if len(data) < _VXLAN_HEADER:
        return None
    (word,) = struct.unpack_from("!I", data, 4)
    inner = _frame(data[_VXLAN_HEADER:], False, replace(way, tunnels=way.tunnels + 1))
    return f"VXLAN, vni {word >> 8}: {inner}"
