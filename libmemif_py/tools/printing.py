# SPDX-License-Identifier: Apache-2.0
"""How `memif dump` shows packets: in the style, and with the options, of tcpdump."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .formats import decode

if TYPE_CHECKING:
    from typing import TextIO

_SECOND = 1_000_000_000
_NO_TIME, _EPOCH, _SINCE_LAST, _DATE, _SINCE_FIRST = 1, 2, 3, 4, 5
MOST_T = _SINCE_FIRST


@dataclass(frozen=True)
class Style:
    """What is shown of a packet."""

    mode: str
    snaplen: int
    link_level: bool = False
    detail: decode.Detail = decode.Detail.NORMAL
    times: int = 0
    """How often -t was given."""
    ascii: bool = False
    hex: int = 0
    """How often -X was given: 1 for the bytes behind the link header, 2 for all."""


class Printer:
    """Prints a line for each packet."""

    def __init__(self, style: Style, file: TextIO) -> None:
        """Print to a file."""
        self._style = style
        self._file = file
        self._first: int | None = None
        self._last = 0

    def write(self, packet: bytes, time_ns: int) -> None:
        """Show a packet that came at a time, in nanoseconds since 1970."""
        style = self._style
        kept = packet[: style.snaplen]
        parts = [self._clock(time_ns) + self._line(kept)]
        start = decode.header_size(kept) if style.mode == "ethernet" else 0
        if style.ascii:
            parts.append(decode.ascii_text(kept[start:]))
        if style.hex:
            parts.append(decode.hex_dump(kept if style.hex > 1 else kept[start:]))
        # At once: lines on stderr, from another thread, must not get in between.
        self._file.write("\n".join(parts) + "\n")

    def flush(self) -> None:
        """Hand what was printed to the kernel."""
        self._file.flush()

    def _line(self, kept: bytes) -> str:
        if self._style.mode == "ip":
            return decode.ip_line(kept, detail=self._style.detail)
        if self._style.mode == "punt-inject":
            return f"length {len(kept)}"
        return decode.line(kept, link_level=self._style.link_level, detail=self._style.detail)

    def _clock(self, time_ns: int) -> str:
        first = self._first = time_ns if self._first is None else self._first
        last, self._last = self._last or time_ns, time_ns
        kind = self._style.times
        if kind == _NO_TIME:
            return ""
        if kind in (_SINCE_LAST, _SINCE_FIRST):
            return _span(time_ns - (last if kind == _SINCE_LAST else first)) + " "
        seconds, rest = divmod(time_ns, _SECOND)
        text = {_EPOCH: str(seconds), _DATE: _local("%Y-%m-%d %H:%M:%S", seconds)}.get(kind)
        return f"{text or _local('%H:%M:%S', seconds)}.{rest // 1000:06d} "


def _local(form: str, seconds: int) -> str:
    return time.strftime(form, time.localtime(seconds))


def _span(time_ns: int) -> str:
    """The clock may have been set back meanwhile."""
    sign = "-" if time_ns < 0 else " "
    seconds, rest = divmod(abs(time_ns), _SECOND)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours:02d}:{minutes:02d}:{seconds:02d}.{rest // 1000:06d}"
