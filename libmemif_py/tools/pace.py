# SPDX-License-Identifier: Apache-2.0
"""When `memif play` sends each packet."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .formats.pcapng import Record

_SECOND = 1_000_000_000
_MEGABIT = 1_000_000
_LONGEST_SLEEP = 3600.0


class Pace:
    """As fast as possible, and what the other paces have in common."""

    def __init__(self) -> None:
        """The clock starts with the first packet."""
        self._start: float | None = None

    def new_round(self) -> None:
        """The next packet is the first of the capture again."""

    def due(self, _record: Record) -> float | None:
        """Seconds from the first packet to this one; None for at once. Packets come in order."""
        return None

    def parts(self, burst: list[Record]) -> Iterator[list[Record]]:
        """The packets of a burst that are due together, as soon as they are."""
        part: list[Record] = []
        for record in burst:
            due = self.due(record)
            if due is not None and self._left(due) > 0:
                if part:
                    yield part
                part = []
                while (left := self._left(due)) > 0:
                    time.sleep(min(left, _LONGEST_SLEEP))
            part.append(record)
        if part:
            yield part

    def _left(self, due: float) -> float:
        now = time.monotonic()
        if self._start is None:
            self._start = now
        return self._start + due - now


class OwnTiming(Pace):
    """At the times of the capture, or so many times faster."""

    def __init__(self, multiplier: float = 1.0) -> None:
        """2: twice as fast."""
        super().__init__()
        self._multiplier = multiplier
        self._elapsed = 0  # nanoseconds of the capture
        self._last = 0

    def new_round(self) -> None:
        """See Pace. It follows the last packet at once."""
        self._last = 0

    def due(self, record: Record) -> float | None:
        """See Pace. A packet without a time, or earlier than the last, follows it at once."""
        if self._last and record.time_ns > self._last:
            self._elapsed += record.time_ns - self._last
        self._last = record.time_ns
        return self._elapsed / _SECOND / self._multiplier


class PacketRate(Pace):
    """So many packets per second."""

    def __init__(self, rate: float) -> None:
        """Of all rounds together."""
        super().__init__()
        self._rate = rate
        self._count = 0

    def due(self, _record: Record) -> float | None:
        """See Pace."""
        self._count += 1
        return (self._count - 1) / self._rate


class BitRate(Pace):
    """So many million bits per second, of packets as they are in the ring."""

    def __init__(self, rate: float) -> None:
        """Of all rounds together."""
        super().__init__()
        self._rate = rate
        self._bytes = 0

    def due(self, record: Record) -> float | None:
        """See Pace."""
        before, self._bytes = self._bytes, self._bytes + len(record.data)
        return before * 8 / _MEGABIT / self._rate
