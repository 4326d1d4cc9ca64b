# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF023 - the order of __slots__ is the order on the wire
"""The control messages of memif, versions 256 and 512: values to 128 bytes and back.

This module does no I/O. It imports nothing slow, because every start of the embedded interpreter
loads it. Names, reasons and secrets are bytes, as on the wire.

Only ADD_RING differs between the versions; every other message can be read before a version is
agreed. Bytes behind the end of a string are ignored: real peers leave old data there.
"""

from __future__ import annotations

import struct

# This is hmac.compare_digest. To import hmac takes longer than all other imports here together.
from _operator import _compare_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MESSAGE_SIZE = 128

VERSION_1 = 256
VERSION_2 = 512
COOKIE_1 = 0x3E31F10
COOKIE_2 = 0x3E31F20
COOKIES = {VERSION_1: COOKIE_1, VERSION_2: COOKIE_2}

MAX_RING_INDEX = 255
MAX_REGION_INDEX = 255
MAX_LOG2_RING_SIZE = 14

# Sizes of buffers and packets, and numbers of packets in a burst, are uint16_t in C.
UINT16_MAX = 2**16 - 1

NAME_SIZE = 32
SECRET_SIZE = 24
DISCONNECT_SIZE = 96

MODE_ETHERNET = 0
MODE_IP = 1
MODE_PUNT_INJECT = 2
MODE_NAMES = {MODE_ETHERNET: "ethernet", MODE_IP: "ip", MODE_PUNT_INJECT: "punt-inject"}

RING_FLAG_S2M = 1


class WireError(ValueError):
    """Bytes that are no message, or a value that does not fit its field."""


class UnknownTypeError(WireError):
    """A message of the right size whose type no version defines."""


class Record:
    """A plain value: named fields in the order of `__slots__`, compared field by field.

    Fields named in `hidden` hold secrets and are left out of `repr`, which ends up in logs.
    """

    __slots__: tuple[str, ...] = ()
    __hash__ = None  # type: ignore[assignment] # as Python does by itself, but said
    hidden: tuple[str, ...] = ()

    def __init__(self, *values: Any, **named: Any) -> None:
        """Take every field exactly once, by position or by name."""
        by_position = dict(zip(self.__slots__, values, strict=False))
        fields = {**named, **by_position}
        if len(values) + len(named) != len(self.__slots__) or set(fields) != set(self.__slots__):
            raise TypeError(f"{type(self).__name__} takes exactly {', '.join(self.__slots__)}")
        for field, value in fields.items():
            setattr(self, field, value)

    def __eq__(self, other: object) -> bool:
        """Equal when of the same class with equal fields."""
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, field) == getattr(other, field) for field in self.__slots__)

    def __repr__(self) -> str:
        """Show the fields, but never a hidden one."""
        fields = ", ".join(f"{field}={self._shown(field)}" for field in self.__slots__)
        return f"{type(self).__name__}({fields})"

    def _shown(self, field: str) -> str:
        return "<hidden>" if field in self.hidden else repr(getattr(self, field))


class Message(Record):
    """A control message. `label` is its name in the protocol."""

    __slots__: tuple[str, ...] = ()
    label: str
    type_number: int


class Ack(Message):
    """Master to slave: the last message was good, send the next."""

    __slots__ = ()
    label = "ACK"
    type_number = 1


class Hello(Message):
    """Master to slave, first message: who I am and what I allow. Ring limits are indices."""

    __slots__ = (
        "name",
        "min_version",
        "max_version",
        "max_region",
        "max_m2s_ring",
        "max_s2m_ring",
        "max_log2_ring_size",
    )
    label = "HELLO"
    type_number = 2
    name: bytes
    min_version: int
    max_version: int
    max_region: int
    max_m2s_ring: int
    max_s2m_ring: int
    max_log2_ring_size: int


class Init(Message):
    """Slave to master: the version to speak and the interface wanted.

    A received secret keeps all its 24 bytes; compare with `secrets_equal`.
    """

    __slots__ = ("version", "interface_id", "mode", "secret", "name")
    label = "INIT"
    type_number = 3
    hidden = ("secret",)
    version: int
    interface_id: int
    mode: int
    secret: bytes
    name: bytes


class AddRegion(Message):
    """Slave to master, with a memfd: a region of shared memory."""

    __slots__ = ("index", "size")
    label = "ADD_REGION"
    type_number = 4
    index: int
    size: int


class AddRing(Message):
    """Slave to master, with an eventfd: a ring, and where in which region it lies."""

    __slots__ = ("s2m", "index", "region", "offset", "log2_ring_size", "private_hdr_size")
    label = "ADD_RING"
    type_number = 5
    s2m: bool
    index: int
    region: int
    offset: int
    log2_ring_size: int
    private_hdr_size: int


class Connect(Message):
    """Slave to master: that was all, map the memory."""

    __slots__ = ("if_name",)
    label = "CONNECT"
    type_number = 6
    if_name: bytes


class Connected(Message):
    """Master to slave: the memory is mapped and good, the link is up."""

    __slots__ = ("if_name",)
    label = "CONNECTED"
    type_number = 7
    if_name: bytes


class Disconnect(Message):
    """Either side: the connection ends, and why."""

    __slots__ = ("code", "reason")
    label = "DISCONNECT"
    type_number = 8
    code: int
    reason: bytes


# The fields of a message follow its 16-bit type in the order of its __slots__, packed.
_LAYOUTS = {
    Ack: struct.Struct("<H"),
    Hello: struct.Struct(f"<H{NAME_SIZE}sHHHHHB"),
    Init: struct.Struct(f"<HHIB{SECRET_SIZE}s{NAME_SIZE}s"),
    AddRegion: struct.Struct("<HHQ"),
    Connect: struct.Struct(f"<H{NAME_SIZE}s"),
    Connected: struct.Struct(f"<H{NAME_SIZE}s"),
    Disconnect: struct.Struct(f"<HI{DISCONNECT_SIZE}s"),
}
_ADD_RING_LAYOUTS = {
    VERSION_1: struct.Struct("<HHHHQB"),
    VERSION_2: struct.Struct("<HHHHIBH"),
}
_TYPE = struct.Struct("<H")

MESSAGE_CLASSES = (Ack, Hello, Init, AddRegion, AddRing, Connect, Connected, Disconnect)
_CLASS_OF_TYPE = {message.type_number: message for message in MESSAGE_CLASSES}


def encode(message: Message, version: int) -> bytes:
    """Return the 128 bytes of a message. Strings that are too long are cut to their field."""
    values = _field_values(message, version)
    try:
        packed = _layout(type(message), version).pack(message.type_number, *values)
    except struct.error as error:
        raise WireError(f"{message!r} does not fit version {version}: {error}") from error
    return packed.ljust(MESSAGE_SIZE, b"\0")


def decode(data: bytes, version: int) -> Message:
    """Return the message in `data`; raise WireError if it is none."""
    if len(data) != MESSAGE_SIZE:
        raise WireError(f"message of {len(data)} bytes, expected {MESSAGE_SIZE}")
    (type_number,) = _TYPE.unpack_from(data)
    message_class = _CLASS_OF_TYPE.get(type_number)
    if message_class is None:
        raise UnknownTypeError(f"message type {type_number}, expected 1 to {len(_CLASS_OF_TYPE)}")
    values = _layout(message_class, version).unpack_from(data)[1:]
    if message_class is AddRing:
        return _add_ring(*values)
    fields = zip(message_class.__slots__, values, strict=True)
    return message_class(*(_trimmed(field, value) for field, value in fields))


def secrets_equal(one: bytes, other: bytes) -> bool:
    """Compare two secrets up to their first NUL, in a time that does not depend on them.

    The whole field is compared, so the time tells neither where they differ nor how long they are.
    """
    return _compare_digest(_padded_secret(one), _padded_secret(other))


def up_to_nul(text: bytes) -> bytes:
    """Return what comes before the first NUL byte, or everything."""
    return text.partition(b"\0")[0]


def printable(text: bytes) -> str:
    """Return a text that a peer chose as one line that is safe to print on a terminal.

    Printable characters of UTF-8 stay. Bytes that are no UTF-8 and ASCII control characters become
    \\xNN; other invisible characters, and those that change the direction of text, become \\uNNNN.
    Every text of a peer that enters one of ours goes through this function.
    """
    decoded = text.decode("utf-8", "surrogateescape")
    return decoded if decoded.isprintable() else "".join(map(_escaped, decoded))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte that is no UTF-8
        number -= 0xDC00
    elif number >= 0x80:
        return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
    return f"\\x{number:02x}"


def _layout(message_class: type[Message], version: int) -> struct.Struct:
    if message_class is not AddRing:
        return _LAYOUTS[message_class]
    layout = _ADD_RING_LAYOUTS.get(version)
    if layout is None:
        raise WireError(f"ADD_RING of version {version}, expected {VERSION_1} or {VERSION_2}")
    return layout


def _field_values(message: Message, version: int) -> list[Any]:
    values = [getattr(message, field) for field in message.__slots__]
    if type(message) is AddRing:
        values[0] = RING_FLAG_S2M if message.s2m else 0
        if version == VERSION_1:
            if message.private_hdr_size:
                raise WireError(f"{message!r}: version {VERSION_1} has no private_hdr_size")
            values.pop()
    return values


def _add_ring(flags: int, *values: int) -> AddRing:
    # Version 256 has one field less, the last.
    index, region, offset, log2_ring_size, private_hdr_size = (*values, 0)[:5]
    s2m = bool(flags & RING_FLAG_S2M)
    return AddRing(s2m, index, region, offset, log2_ring_size, private_hdr_size)


def _trimmed(field: str, value: Any) -> Any:
    is_text = isinstance(value, bytes) and field != "secret"
    return up_to_nul(value) if is_text else value


def _padded_secret(secret: bytes) -> bytes:
    return up_to_nul(secret)[:SECRET_SIZE].ljust(SECRET_SIZE, b"\0")
