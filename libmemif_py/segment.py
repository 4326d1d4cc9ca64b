# SPDX-License-Identifier: Apache-2.0
"""Reads the segments in which processes show their interfaces: native/core/segment.h.

docs/reference/segment.md describes the layout; a test compares. The process at the other end may be
hostile. So nothing is mapped, each number is checked before it is used, and reading ends some time.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from typing import TYPE_CHECKING, Any

from .procfs import descriptors, open_memory, own_number

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "libmemif-stats"
LAYOUT = 1
MAGIC = b"memifsta"

# Of each structure: field, offset, format of the module struct.
HEADER = {
    "magic": (0, "8s"),
    "layout": (8, "I"),
    "pid": (12, "i"),
    "size": (16, "Q"),
    "used": (24, "I"),
    "record_size": (28, "I"),
    "records": (32, "Q"),
    "pages": (40, "Q"),
    "rings": (48, "Q"),
    "blocks": (56, "Q"),
    "pages_per_id": (64, "I"),
    "pairs_per_page": (68, "I"),
    "api": (72, "16s"),
    "version": (88, "32s"),
}
RECORD = {
    "sequence": (0, "I"),
    "in_use": (4, "I"),
    "serial": (8, "Q"),
    "id": (16, "I"),
    "is_master": (20, "B"),
    "mode": (21, "B"),
    "link": (22, "B"),
    "protocol": (24, "H"),
    "rx_queues": (26, "H"),
    "tx_queues": (28, "H"),
    "buffer_size": (32, "I"),
    "links": (36, "I"),
    "peer_pid": (40, "i"),
    "peer_uid": (44, "I"),
    "peer_gid": (48, "I"),
    "since": (56, "Q"),
    "name": (64, "32s"),
    "app_name": (96, "32s"),
    "peer_name": (128, "32s"),
    "peer_app_name": (160, "32s"),
    "path": (192, "384s"),
    "last_error": (576, "256s"),
}
RING = {"fd": (0, "i"), "offset": (4, "I")}
BLOCK = {
    "polling": (9, "B"),
    "mask": (10, "H"),
    "next": (16, "Q"),
    "done": (24, "Q"),
    "limit": (32, "Q"),
    "bytes": (120, "Q"),
    "extra_slots": (152, "Q"),
    "refused": (192, "Q"),
    "full": (200, "Q"),
    "interrupts": (208, "Q"),
    "packets_before": (224, "Q"),
    "bytes_before": (232, "Q"),
    "full_before": (240, "Q"),
    "interrupts_before": (248, "Q"),
}
RECORD_SIZE = 1024
RING_SIZE = 16
BLOCK_SIZE = 256

NONE, HANDSHAKE, UP = range(3)
_COOKIES = {256: 0x3E31F10, 512: 0x3E31F20}
_RING_HEADER = 128

# Above what a process of ours has. A hostile one could have us read as long as it lives.
_MOST_SEGMENTS = 8
_MOST_RECORDS = 4096
_MOST_QUEUES = 256
_MOST_BLOCKS = 1 << 16
_MOST_PAGES = 1 << 12
# How often a record that is being written is tried again, in all of a segment, and how long apart.
_PATIENCE = 100
_PAUSE = 0.0002


class UnreadableError(Exception):
    """What is wrong with a segment."""


class _Changing(Exception):
    """A record that is being written."""


def _fields(data: bytes, layout: dict[str, tuple[int, str]]) -> dict[str, Any]:
    return {
        name: struct.unpack_from(f"<{form}", data, offset)[0]
        for name, (offset, form) in layout.items()
    }


def of_process(pid: int) -> Iterator[Segment]:
    """The open segments of a process, for the caller to close. Raises OSError, UnreadableError."""
    seen: set[int] = set()
    own_pid = own_number(pid)
    for fd in descriptors(pid, f"/memfd:{NAME} (deleted)"):
        opened = open_memory(pid, fd)
        about = os.fstat(opened)
        if about.st_ino in seen or len(seen) == _MOST_SEGMENTS:
            os.close(opened)
            continue
        seen.add(about.st_ino)
        try:
            segment = Segment(pid, opened, about.st_size)
        except BaseException:
            os.close(opened)
            raise
        if segment.header["pid"] == own_pid:
            yield segment
        else:
            segment.close()  # inherited


class Segment:
    """An open segment. Owns the descriptor."""

    def __init__(self, pid: int, fd: int, size: int) -> None:
        """Check the seals and the header. Raises UnreadableError; `fd` is then the caller's."""
        self._pid = pid
        self._fd = fd
        self._patience = _PATIENCE
        self._blocks_left = _MOST_BLOCKS
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
        if not seals & fcntl.F_SEAL_SHRINK:
            raise UnreadableError("its segment is not sealed")
        header = self._read(0, HEADER, max(o + struct.calcsize(f) for o, f in HEADER.values()))
        if header["magic"] != MAGIC:
            raise UnreadableError("its segment has a wrong magic number")
        if header["layout"] != LAYOUT:
            text = f"its segment has layout {header['layout']}, this library knows {LAYOUT}"
            raise UnreadableError(text)
        self.header = header
        if not self._is_sound(size):
            raise UnreadableError("its segment has an impossible header")

    def _is_sound(self, size: int) -> bool:
        header = self.header
        pages = header["pages_per_id"]
        return (
            header["size"] <= size
            and header["record_size"] == RECORD_SIZE
            and header["used"] <= _MOST_RECORDS
            and pages <= _MOST_PAGES
            and 0 < header["pairs_per_page"] <= _MOST_PAGES
            and all(header[name] <= size for name in ("records", "pages", "rings", "blocks"))
        )

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)

    def _read(self, offset: int, layout: dict[str, tuple[int, str]], size: int) -> dict[str, Any]:
        data = os.pread(self._fd, size, offset)
        if len(data) < size:
            raise UnreadableError("its segment is too short")
        return _fields(data, layout)

    def _number(self, offset: int) -> int:
        data = os.pread(self._fd, 4, offset)
        if len(data) < 4:
            raise UnreadableError("its segment is too short")
        return int.from_bytes(data, "little")

    def interfaces(self) -> Iterator[tuple[dict[str, Any], dict[bool, list[dict[str, Any]]]]]:
        """The record of each interface, and its receive and transmit queues.

        Raises OSError, UnreadableError.
        """
        for cell in range(self.header["used"]):
            found = self._settled(cell)
            if found is not None:
                yield found

    def _settled(self, cell: int) -> Any:
        """What a record and its queues say, all from one moment in the life of the interface."""
        while True:
            try:
                return self._look(cell)
            except _Changing:
                self._patience -= 1
                if self._patience < 0:
                    raise UnreadableError("its segment changes all the time") from None
                time.sleep(_PAUSE)

    def _look(self, cell: int) -> Any:
        at = self.header["records"] + cell * RECORD_SIZE
        before = self._number(at)
        if before & 1:
            raise _Changing
        record = self._read(at, RECORD, RECORD_SIZE)
        found = None
        if record["in_use"]:
            with _Rings(self._pid) as rings:
                found = (
                    record,
                    {
                        is_tx: list(self._queues(cell, record, is_tx, rings))
                        for is_tx in (False, True)
                    },
                )
        if self._number(at) != before:
            raise _Changing
        return found

    def _queues(
        self, cell: int, record: dict[str, Any], is_tx: bool, rings: _Rings
    ) -> Iterator[dict[str, Any]]:
        """The fields of each block; `ring_size`, 0 without a link; `ring_fill`, maybe None."""
        count = record["tx_queues" if is_tx else "rx_queues"]
        if count > _MOST_QUEUES:
            raise UnreadableError(f"an interface of its has {count} queues")
        for qid in range(count):
            block = self._block(cell, qid, is_tx)
            if block is None:
                yield {"ring_size": 0, "ring_fill": None}
                continue
            number, queue = block
            queue |= {"ring_size": 0, "ring_fill": None}
            if record["link"] == UP:
                ring = self._read(self.header["rings"] + number * RING_SIZE, RING, RING_SIZE)
                queue["ring_size"] = queue["mask"] + 1
                queue["ring_fill"] = rings.fill(ring, record, queue, is_tx)
            yield queue

    def _block(self, cell: int, qid: int, is_tx: bool) -> tuple[int, dict[str, Any]] | None:
        """The number of a queue's block and its fields; None: the segment had no room for it."""
        per_page = self.header["pairs_per_page"]
        in_row = cell // per_page
        if in_row >= self.header["pages_per_id"] or self._blocks_left == 0:
            return None
        self._blocks_left -= 1
        row = self.header["pages"] + 4 * qid * self.header["pages_per_id"]
        page = self._number(row + 4 * in_row)
        if page == 0:
            return None
        number = 2 * ((page - 1) * per_page + cell % per_page) + is_tx
        return number, self._read(self.header["blocks"] + number * BLOCK_SIZE, BLOCK, BLOCK_SIZE)


class _Rings:
    """The regions of one interface in which its rings are."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._opened: dict[int, int | None] = {}

    def __enter__(self) -> _Rings:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._opened.values():
            if fd is not None:
                os.close(fd)

    def _region(self, number: int) -> int | None:
        if number not in self._opened:
            if len(self._opened) == _MOST_SEGMENTS:
                return None
            try:
                self._opened[number] = open_memory(self._pid, number)
            except OSError:
                self._opened[number] = None
        return self._opened[number]

    def fill(
        self, ring: dict[str, Any], record: dict[str, Any], queue: dict[str, Any], is_tx: bool
    ) -> int | None:
        """As mif_ring_fill of native/core/ring.c: slots that the receiver has not given back."""
        region = self._region(ring["fd"]) if ring["fd"] > 0 else None
        if region is None:
            return None
        data = os.pread(region, _RING_HEADER, ring["offset"])
        if len(data) < _RING_HEADER:
            return None
        cookie, head, tail = (
            struct.unpack_from(f, data, at)[0] for at, f in ((0, "<I"), (6, "<H"), (64, "<H"))
        )
        if cookie != _COOKIES.get(record["protocol"]):
            return None
        size, distance = queue["ring_size"], (head - tail) & 0xFFFF
        if record["protocol"] == 256:
            return distance & (size - 1)
        distance = min(distance, size)
        if bool(record["is_master"]) != is_tx:
            return distance  # slave to master
        sent = queue["done"] if is_tx else size
        return min(size - distance, sent)
