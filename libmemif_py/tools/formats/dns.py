# SPDX-License-Identifier: Apache-2.0
"""A DNS message as a part of a line, in the style of tcpdump."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_IN = 1
_A, _NS, _CNAME, _PTR, _MX, _TXT, _AAAA = 1, 2, 5, 12, 15, 16, 28
_TYPES = {
    _A: "A", _NS: "NS", _CNAME: "CNAME", 6: "SOA", _PTR: "PTR", _MX: "MX", _TXT: "TXT",
    _AAAA: "AAAA", 33: "SRV", 41: "OPT", 43: "DS", 46: "RRSIG", 48: "DNSKEY", 64: "SVCB",
    65: "HTTPS", 252: "AXFR", 255: "ANY",
}  # fmt: skip
_CODES = {0: "", 1: " FormErr", 2: " ServFail", 3: " NXDomain", 4: " NotImp", 5: " Refused"}
_POINTER, _MOST_LABELS = 0xC0, 128
_RESPONSE, _AUTHORITATIVE, _TRUNCATED, _WANTED, _AVAILABLE = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_MOST_SHOWN = 8  # questions, and answers


def line(data: bytes, size: int) -> str | None:
    """The message in `size` bytes, of which `data` was kept. None if it is no DNS."""
    if len(data) < _HEADER.size:
        return None
    number, flags, questions, answers, authorities, others = _HEADER.unpack_from(data)
    operation = flags >> 11 & 15
    text = f"{number}" + (f" op{operation}" if operation else "")
    is_answer = bool(flags & _RESPONSE)
    if is_answer:
        text += _CODES.get(flags & 15, f" rcode{flags & 15}")
        text += "*" if flags & _AUTHORITATIVE else ""
        text += "" if flags & _AVAILABLE else "-"
        text += "|" if flags & _TRUNCATED else ""
    else:
        text += "+" if flags & _WANTED else ""
        parts = {"a": answers, "n": authorities, "au": others}
        text += "".join(f" [{count}{name}]" for name, count in parts.items() if count)
    text += f" [{questions}q]" if questions != 1 else ""
    try:
        text += _sections(data, questions, answers, authorities, others, is_answer=is_answer)
    except (struct.error, IndexError, ValueError):
        text += " [|domain]"
    return f"{text} ({size})"


def _sections(
    data: bytes, questions: int, answers: int, authorities: int, others: int, *, is_answer: bool
) -> str:
    place, texts = _HEADER.size, []
    for _ in range(min(questions, _MOST_SHOWN)):
        name, place = _name(data, place)
        kind, _ = struct.unpack_from("!HH", data, place)
        place += 4
        texts.append(f" {_type(kind)}? {name}")
    if not is_answer:
        return "".join(texts)
    if questions > _MOST_SHOWN:
        raise ValueError("answers behind too many questions")
    records = []
    for _ in range(min(answers, _MOST_SHOWN)):
        text, place = _record(data, place)
        records.append(text)
    more = ", ..." if answers > _MOST_SHOWN else ""
    counts = f" {answers}/{authorities}/{others}"
    return counts + (" " + ", ".join(records) if records else "") + more


def _record(data: bytes, place: int) -> tuple[str, int]:
    _, place = _name(data, place)
    kind, of_class, _, size = _RECORD.unpack_from(data, place)
    place += _RECORD.size
    value = data[place : place + size]
    text = _type(kind)
    if (kind, size, of_class & 0x7FFF) == (_A, 4, _IN):
        text += f" {IPv4Address(value)}"
    elif (kind, size) == (_AAAA, 16):
        text += f" {IPv6Address(value)}"
    elif kind in (_NS, _CNAME, _PTR):
        text += f" {_name(data, place)[0]}"
    elif kind == _MX:
        (preference,) = struct.unpack_from("!H", value)
        text += f" {_name(data, place + 2)[0]} {preference}"
    elif kind == _TXT and value:
        text += f' "{_printable(value[1 : 1 + value[0]])}"'
    return text, place + size


def _type(kind: int) -> str:
    return _TYPES.get(kind, f"Type{kind}")


def _name(data: bytes, place: int) -> tuple[str, int]:
    """The name at a place, and the place behind it. Raises IndexError, ValueError."""
    labels: list[str] = []
    end = None
    for _ in range(_MOST_LABELS):
        size = data[place]
        if size == 0:
            return ".".join(labels) + ".", place + 1 if end is None else end
        if size & _POINTER:
            end = place + 2 if end is None else end
            target = (size << 8 | data[place + 1]) & 0x3FFF
            if target >= place:
                raise ValueError("a name that points ahead")
            place = target
            continue
        label = data[place + 1 : place + 1 + size]
        if len(label) < size:
            raise IndexError("a name that is cut")
        labels.append(_printable(label))
        place += 1 + size
    raise ValueError("a name without an end")


def _printable(text: bytes) -> str:
    return "".join(
        chr(byte) if 33 <= byte < 127 and byte not in b'"\\\\' else f"\\{byte:03d}" for byte in text
    )
