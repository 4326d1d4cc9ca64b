# SPDX-License-Identifier: Apache-2.0
"""The format of a control trace: pcapng, with a control message and a header in each packet.

docs/reference/control-trace.md describes it for programs that read it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from libmemif_py.control import wire

from . import pcapng

if TYPE_CHECKING:
    from io import FileIO
    from typing import BinaryIO

LINK_TYPE = 147
"""LINKTYPE_USER0: the first of those that everybody may use for what they like."""
FORMAT = 1
HEADER = struct.Struct("<BBBBIIHH")
RECEIVED, SENT = 0, 1
MASTER, SLAVE = 1, 2
UNKNOWN_FDS = 255

# Where INIT has the secret.
_TYPE = struct.Struct("<H")
_VERSION = struct.Struct("<HH")
_SECRET = slice(9, 9 + wire.SECRET_SIZE)
_DESCRIPTION = "memif control messages, link type USER0"


@dataclass(frozen=True)
class Entry:
    """A control message, or the end of a connection, as the recording process saw it."""

    direction: int
    """RECEIVED from the peer, or SENT to it."""
    fds: int
    """Descriptors that travelled along; UNKNOWN_FDS: at least one, which was not received."""
    sender: int
    """MASTER or SLAVE."""
    pid: int
    """The peer's process; 0: not known."""
    connection: int
    """Counts the connections of the trace, from 1 on."""
    version: int
    """Of the protocol, as INIT named it; 0 before."""
    message: bytes
    """As on the wire, but for the secret; empty: the sender closed the connection."""


def encode(entry: Entry) -> bytes:
    """The packet for an entry. A secret in its message is replaced by zeros."""
    header = HEADER.pack(
        FORMAT,
        entry.direction,
        min(entry.fds, UNKNOWN_FDS),
        entry.sender,
        entry.pid,
        entry.connection,
        entry.version,
        0,
    )
    return header + without_secret(entry.message)


def decode(packet: bytes) -> Entry:
    """The entry in a packet. Raises CaptureError."""
    if len(packet) < HEADER.size or packet[0] != FORMAT:
        raise pcapng.CaptureError(
            f"packet begins with {packet[:1].hex() or 'nothing'}, expected a header of format "
            f"{FORMAT} with {HEADER.size} bytes"
        )
    _, direction, fds, sender, pid, connection, version, _ = HEADER.unpack_from(packet)
    return Entry(direction, fds, sender, pid, connection, version, packet[HEADER.size :])


def without_secret(message: bytes) -> bytes:
    """A message of any length, as far as there is one: INIT with zeros for the secret."""
    if message_type(message) != wire.Init.type_number:
        return message
    secret = message[_SECRET]
    return message[: _SECRET.start] + bytes(len(secret)) + message[_SECRET.stop :]


def message_type(message: bytes) -> int:
    """Of a message of any length; 0 if it is too short for one."""
    return _TYPE.unpack_from(message)[0] if len(message) >= _TYPE.size else 0


def version_after(message: bytes, before: int) -> int:
    """The protocol version of a connection: `before`, until an INIT names it."""
    if message_type(message) != wire.Init.type_number or len(message) < _VERSION.size:
        return before
    return _VERSION.unpack_from(message)[1]


class TraceWriter:
    """Writes entries into a file, and each of them at once."""

    def __init__(self, file: BinaryIO | FileIO, names: tuple[str, ...]) -> None:
        """`names` are those of the trace's interfaces: socket paths. The caller closes the file."""
        self._file = file
        self._writer = pcapng.PcapngWriter(file, LINK_TYPE, pcapng.WHOLE, names, _DESCRIPTION)
        self._versions: dict[int, int] = {}
        file.flush()

    def write(self, entry: Entry, time_ns: int, interface: int = 0) -> None:
        """Write an entry with the version that its connection has by now."""
        version = version_after(entry.message, self._versions.get(entry.connection, 0))
        self._versions[entry.connection] = version
        packet = encode(replace(entry, version=version))
        self._writer.write(packet, time_ns, interface)
        self._file.flush()

    def forget(self, connection: int) -> None:
        """A connection has no more entries."""
        self._versions.pop(connection, None)
