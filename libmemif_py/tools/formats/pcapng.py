# SPDX-License-Identifier: Apache-2.0
"""Reads and writes captures of packets, in the formats pcap and pcapng.

The reader takes what other programs write: both byte orders, microseconds and nanoseconds, several
sections and interfaces. It skips unknown blocks. It trusts nothing in a file: one that breaks the
format raises CaptureError with the place.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class Output(Protocol):
        """What a writer writes to."""

        def write(self, data: bytes, /) -> object:
            """As a file does."""

    class Input(Protocol):
        """What is read from."""

        def read(self, size: int, /) -> bytes:
            """As a file does. Raises CaptureError for what is wrong below the capture."""
            ...


ETHERNET, RAW_IP = 1, 101
USER0 = 147
"""For packets of which only their senders and receivers know what they begin with."""
# Several numbers stand for packets that begin with an IP header.
IP_LINK_TYPES = (RAW_IP, 12, 14, 228, 229)
WHOLE = 262_144
"""The snapshot length that means whole packets, the same as in tcpdump."""

_PCAP_MAGICS = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}  # unit of the fraction, in nanoseconds
_PCAP_HEADER = "IHHiIII"
_PCAP_RECORD = "IIII"
# The last word of the header: length of the frame check sequence in 16-bit words, whether that is
# known, link type.
_FCS_SHIFT, _FCS_KNOWN, _LINK_TYPE_MASK = 28, 1 << 26, 0xFFFF
_SECTION, _INTERFACE, _PACKET, _SIMPLE, _STATISTICS, _ENHANCED = 0x0A0D0D0A, 1, 2, 3, 5, 6
_BYTE_ORDER = 0x1A2B3C4D
_END, _IF_NAME, _IF_DESCRIPTION, _IF_TSRESOL, _IF_FILTER, _APPLICATION = 0, 2, 3, 9, 11, 4
_IF_FCSLEN = 13
_ISB_START, _ISB_END, _ISB_RECEIVED, _ISB_DROPPED, _ISB_ACCEPTED, _ISB_DELIVERED = 2, 3, 4, 5, 6, 8
_NANOSECONDS = 9
_LARGEST_BLOCK = 16 * 1024 * 1024
_SECOND = 1_000_000_000


class CaptureError(ValueError):
    """The file is no capture, or a broken one."""


@dataclass(frozen=True)
class Record:
    """One packet of a capture."""

    data: bytes
    time_ns: int
    """Nanoseconds since 1970; 0 if the capture has no times."""
    length: int
    """Bytes on the wire; more than in `data` if the capture cut the packet."""
    link_type: int


@dataclass(frozen=True)
class Statistics:
    """What became of the packets of an interface."""

    start_ns: int
    end_ns: int
    captured: int
    filtered: int = 0
    """Packets that did not match the filter."""
    lost: int = 0
    """Packets that were received, but not captured."""


# ---- writing ----


class PcapWriter:
    """Writes pcap, with nanoseconds."""

    def __init__(self, file: Output, link_type: int = ETHERNET, snaplen: int = WHOLE) -> None:
        """Write the header. The caller closes the file."""
        self._file = file
        self._snaplen = snaplen
        file.write(struct.pack("<" + _PCAP_HEADER, 0xA1B23C4D, 2, 4, 0, 0, snaplen, link_type))

    def write(self, data: bytes, time_ns: int, interface: int = 0) -> None:
        """Write one packet. The format has no interfaces."""
        kept = data[: self._snaplen]
        seconds, rest = divmod(time_ns, _SECOND)
        header = struct.pack("<" + _PCAP_RECORD, seconds & 0xFFFFFFFF, rest, len(kept), len(data))
        self._file.write(header + kept)

    def finish(self, statistics: list[Statistics]) -> None:
        """The format has no place for them."""


class PcapngWriter:
    """Writes pcapng: one section, with nanoseconds."""

    def __init__(
        self,
        file: Output,
        link_type: int = ETHERNET,
        snaplen: int = WHOLE,
        names: tuple[str, ...] = ("memif",),
        description: str = "",
        expression: str = "",
    ) -> None:
        """Write the section and its interfaces. The caller closes the file.

        `description` is that of each interface, for whoever reads the file, and `expression` its
        filter.
        """
        self._file = file
        self._snaplen = snaplen
        section = struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1) + _option(_APPLICATION, b"memif")
        self._block(_SECTION, section + _option(_END, b""))
        for name in names:
            options = _option(_IF_NAME, name.encode())
            if description:
                options += _option(_IF_DESCRIPTION, description.encode())
            options += _option(_IF_TSRESOL, bytes((_NANOSECONDS,)))
            if expression:  # 0: as text
                options += _option(_IF_FILTER, b"\0" + expression.encode(errors="surrogateescape"))
            fixed = struct.pack("<HHI", link_type, 0, snaplen)
            self._block(_INTERFACE, fixed + options + _option(_END, b""))

    def write(self, data: bytes, time_ns: int, interface: int = 0) -> None:
        """Write one packet of the interface with this index in `names`."""
        kept = data[: self._snaplen]
        fixed = struct.pack("<I", interface) + _time(time_ns)
        fixed += struct.pack("<II", len(kept), len(data))
        self._block(_ENHANCED, fixed + _padded(kept))

    def finish(self, statistics: list[Statistics]) -> None:
        """Write what became of the packets, by interface. It is the end of the section."""
        for interface, counts in enumerate(statistics):
            received = counts.captured + counts.filtered + counts.lost
            numbers = {
                _ISB_RECEIVED: received,
                _ISB_DROPPED: counts.lost,
                _ISB_ACCEPTED: received - counts.filtered,
                _ISB_DELIVERED: counts.captured,
            }
            options = _option(_ISB_START, _time(counts.start_ns))
            options += _option(_ISB_END, _time(counts.end_ns))
            for code, number in numbers.items():
                options += _option(code, struct.pack("<Q", number))
            fixed = struct.pack("<I", interface) + _time(counts.end_ns)
            self._block(_STATISTICS, fixed + options + _option(_END, b""))

    def _block(self, kind: int, body: bytes) -> None:
        length = len(body) + 12
        self._file.write(struct.pack("<II", kind, length) + body + struct.pack("<I", length))


Writer = PcapWriter | PcapngWriter


def _time(time_ns: int) -> bytes:
    high, low = divmod(time_ns, 2**32)
    return struct.pack("<II", high, low)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


# ---- reading ----


def read(file: Input) -> Iterator[Record]:
    """The packets of a capture in either format, without their frame check sequence.

    The header is read before this returns. Raises CaptureError, and so does the iterator.
    """
    start = file.read(4)
    for order in "<>":
        if len(start) == 4:
            (magic,) = struct.unpack(order + "I", start)
            if magic in _PCAP_MAGICS:
                return _read_pcap(file, order, _PCAP_MAGICS[magic])
    if start == struct.pack("<I", _SECTION):
        reader = _PcapngReader(file)
        reader.section()
        return reader.records()
    shown = start.hex(" ") or "nothing"
    raise CaptureError(f"begins with {shown}, expected a pcap or pcapng file")


def _exactly(file: Input, count: int, what: str) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise CaptureError(f"ends within {what}: {len(data)} bytes, expected {count}")
    return data


def _read_pcap(file: Input, order: str, fraction: int) -> Iterator[Record]:
    header = struct.Struct(order + _PCAP_HEADER[1:])
    *_, word = header.unpack(_exactly(file, header.size, "the header"))
    fcs = (word >> _FCS_SHIFT) * 2 if word & _FCS_KNOWN else 0
    return _pcap_records(file, order, fraction, word & _LINK_TYPE_MASK, fcs)


def _pcap_records(
    file: Input, order: str, fraction: int, link_type: int, fcs: int
) -> Iterator[Record]:
    record = struct.Struct(order + _PCAP_RECORD)
    number = 0
    while start := file.read(record.size):
        number += 1
        what = f"packet {number}"
        if len(start) < record.size:
            raise CaptureError(f"ends within the header of {what}")
        seconds, rest, kept, length = record.unpack(start)
        if kept > _LARGEST_BLOCK:
            raise CaptureError(f"{what} has {kept} bytes, expected at most {_LARGEST_BLOCK}")
        data = _exactly(file, kept, what)
        if fcs:
            length = max(0, length - fcs)
            data = data[:length]
        yield Record(data, seconds * _SECOND + rest * fraction, length, link_type)


@dataclass(frozen=True)
class _Interface:
    """An interface of a pcapng file."""

    link_type: int
    snaplen: int
    ticks: int
    """Of its clock in a second."""
    fcs: int
    """Bytes of the frame check sequence at the end of each packet."""


class _PcapngReader:
    """Reads a file whose first four bytes were read already."""

    def __init__(self, file: Input) -> None:
        self._file = file
        self._order = "<"
        self._number = 1
        self._interfaces: list[_Interface] = []  # of the current section
        self._read = {
            _ENHANCED: self._enhanced,
            _SIMPLE: self._simple,
            _PACKET: self._packet,
        }

    def records(self) -> Iterator[Record]:
        """The packets behind the first section header, which was read already."""
        while start := self._file.read(4):
            self._number += 1
            if len(start) < 4:
                raise CaptureError(f"ends within the type of block {self._number}")
            (kind,) = struct.unpack(self._order + "I", start)
            if kind == _SECTION:
                self.section()
                continue
            body = self._body(struct.unpack(self._order + "I", self._take(4))[0])
            if kind == _INTERFACE:
                self._interface(body)
            elif kind in self._read:
                yield self._read[kind](body)

    def _take(self, count: int) -> bytes:
        return _exactly(self._file, count, f"block {self._number}")

    def _fail(self, text: str) -> CaptureError:
        return CaptureError(f"block {self._number}: {text}")

    def _body(self, length: int, read: int = 8) -> bytes:
        """The rest of a block of which `read` bytes were read already."""
        if not read + 4 <= length <= _LARGEST_BLOCK or length % 4:
            raise self._fail(
                f"length {length}, expected a multiple of 4 from {read + 4} to {_LARGEST_BLOCK}"
            )
        body = self._take(length - read - 4)
        (again,) = struct.unpack(self._order + "I", self._take(4))
        if again != length:
            raise self._fail(f"length {length} before and {again} behind, expected the same")
        return body

    def section(self) -> None:
        """Read the rest of a section header, whose type was read already."""
        length, order = self._take(4), self._take(4)
        for candidate in "<>":
            if struct.unpack(candidate + "I", order)[0] == _BYTE_ORDER:
                self._order = candidate
                break
        else:
            raise self._fail(f"byte order {order.hex(' ')}, expected 1a 2b 3c 4d either way")
        self._interfaces = []
        self._body(struct.unpack(self._order + "I", length)[0], read=12)

    def _fields(self, layout: str, body: bytes) -> tuple[int, ...]:
        fields = struct.Struct(self._order + layout)
        if len(body) < fields.size:
            raise self._fail(f"{len(body)} bytes, expected at least {fields.size}")
        return fields.unpack_from(body)

    def _interface(self, body: bytes) -> None:
        link_type, _, snaplen = self._fields("HHI", body)
        ticks, fcs, place = 1_000_000, 0, 8
        while place + 4 <= len(body):
            code, length = struct.unpack_from(self._order + "HH", body, place)
            if code == _END:
                break
            if code == _IF_TSRESOL and length == 1 and place + 4 < len(body):
                value = body[place + 4]
                ticks = 2 ** (value & 127) if value & 128 else 10 ** (value & 127)
            elif code == _IF_FCSLEN and length == 1 and place + 4 < len(body):
                # The draft says bits, and its example 4 is in bytes; both are written.
                value = body[place + 4]
                fcs = value // 8 if value >= 8 else value
            place += 4 + length + -length % 4
        self._interfaces.append(_Interface(link_type, snaplen, ticks, fcs))

    def _enhanced(self, body: bytes) -> Record:
        index, high, low, kept, length = self._fields("IIIII", body)
        return self._record(index, (high << 32) + low, body[20:], kept, length)

    def _packet(self, body: bytes) -> Record:
        """The obsolete packet block, which enhanced packet blocks replaced."""
        index, _, high, low, kept, length = self._fields("HHIIII", body)
        return self._record(index, (high << 32) + low, body[20:], kept, length)

    def _simple(self, body: bytes) -> Record:
        (length,) = self._fields("I", body)
        snaplen = self._interfaces[0].snaplen if self._interfaces else 0
        return self._record(0, 0, body[4:], min(length, snaplen or length), length)

    def _record(self, index: int, time: int, data: bytes, kept: int, length: int) -> Record:
        if index >= len(self._interfaces):
            raise self._fail(f"interface {index}, expected one of {len(self._interfaces)}")
        if kept > len(data):
            raise self._fail(f"packet of {kept} bytes in {len(data)}")
        found = self._interfaces[index]
        length = max(0, length - found.fcs)
        kept = min(kept, length) if found.fcs else kept
        return Record(data[:kept], time * _SECOND // found.ticks, length, found.link_type)
