# SPDX-License-Identifier: Apache-2.0
"""What -w of a command writes: one file, or a ring of files as tcpdump makes them."""

from __future__ import annotations

import contextlib
import functools
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from .capture import output

if TYPE_CHECKING:
    from collections.abc import Callable

    from .formats import pcapng

_MILLION = 1_000_000
_UNITS = {"": _MILLION, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_KILOBYTE = 1000
_SIZE = re.compile(r"(\d+)([kmg]?)", re.IGNORECASE)


class FileSize(click.ParamType):
    """Millions of bytes; with k, m or g KiB, MiB or GiB. As in tcpdump."""

    name = "size"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> int:
        """Convert text to bytes. Calls `fail` if it is wrong."""
        found = _SIZE.fullmatch(str(value))
        size = int(found[1]) * _UNITS[found[2].lower()] if found else 0
        if not size:
            self.fail(
                f"{value!r}, expected millions of bytes such as 100, or 64k, 64m, 64g",
                parameter,
                context,
            )
        return size


class Limit(click.ParamType):
    """CONDITION:NUMBER, one of the conditions under which dumpcap stops."""

    name = "condition"
    _kinds = ("duration", "filesize", "packets")

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> tuple[str, float]:
        """Convert text to the condition and its number. Calls `fail` if it is wrong."""
        kind, _, number = str(value).partition(":")
        try:
            most = float(number) if kind == "duration" else int(number)
        except ValueError:
            most = 0
        if kind not in self._kinds or not 0 < most < float("inf"):
            known = ", ".join(f"{kind}:N" for kind in self._kinds)
            self.fail(f"{value!r}, expected one of: {known}, with N above 0", parameter, context)
        return kind, most


@dataclass(frozen=True)
class Limits:
    """When a capture ends by itself; None for never."""

    packets: int | None = None
    size: int | None = None
    seconds: float | None = None


def limits_of(count: int | None, conditions: tuple[tuple[str, float], ...]) -> Limits:
    """Of -c and -a. The smallest of several holds."""
    kinds: dict[str, list[float]] = {"duration": [], "filesize": [], "packets": []}
    for kind, most in conditions:
        kinds[kind].append(most)
    packets = [*map(int, kinds["packets"]), *([count] if count else [])]
    sizes = [int(most) * _KILOBYTE for most in kinds["filesize"]]
    return Limits(
        min(packets, default=None), min(sizes, default=None), min(kinds["duration"], default=None)
    )


@dataclass(frozen=True)
class Ring:
    """When a file ends and another begins; None for never."""

    size: int | None = None
    seconds: int | None = None
    files: int | None = None

    def check(self, path: str | None) -> None:
        """Raise UsageError unless the options fit together."""
        if self == Ring():
            return
        if path in (None, "-"):
            raise click.UsageError("-C, -G and -W are for files: name them with -w FILE")
        if self.size is None and self.seconds is None:
            raise click.UsageError("-W is the number of files of -C or -G: give one of them too")

    def name(self, path: str, number: int, now: float) -> str:
        """The file with this number, as tcpdump names it."""
        name = time.strftime(path, time.localtime(now)) if self.seconds else path
        if self.size is None:
            return name
        width = len(str(self.files - 1)) if self.files else 0
        return f"{name}{number:0{width}d}" if width or number else name


def ring_options(function: Callable) -> Callable:
    """-C, -G and -W: the command gets them as `ring`."""
    options = [
        click.option(
            "-C", "ring_bytes", type=FileSize(), metavar="SIZE",
            help="Begin another file after this many million bytes (64k, 64m, 64g: KiB, MiB, GiB).",
        ),
        click.option(
            "-G", "ring_seconds", type=click.IntRange(1), metavar="SECONDS",
            help="Begin another file after so long. FILE may have the time in it, as date does: "
            "%H%M%S.",
        ),
        click.option(
            "-W", "ring_files", type=click.IntRange(1), metavar="N",
            help="With -C: use N files, over and over. With -G alone: end after N files.",
        ),
    ]  # fmt: skip

    @functools.wraps(function)
    def command(
        *, ring_bytes: int | None, ring_seconds: int | None, ring_files: int | None, **values: Any
    ) -> Any:
        return function(ring=Ring(ring_bytes, ring_seconds, ring_files), **values)

    for option in reversed(options):
        command = option(command)
    return command


class Recording:
    """Writes packets into a file, or into one file after another."""

    def __init__(
        self, path: str, ring: Ring, make_writer: Callable[[pcapng.Output], pcapng.Writer]
    ) -> None:
        """Open the first file and write its header. Raises UsageError."""
        self._path = path
        self._ring = ring
        self._make_writer = make_writer
        self._number = self._periods = 0
        self._before = 0  # bytes of the files before
        self._is_over = False
        self._is_whole = False  # a file is open, and no part of a packet is at its end
        self.statistics: Callable[[], list[pcapng.Statistics]] | None = None
        """Returns the counts that a file ends with, by interface."""
        self._stack = contextlib.ExitStack()
        self._open()

    def _open(self) -> None:
        now = time.time()
        self._end = None if self._ring.seconds is None else now + self._ring.seconds
        self._file = self._stack.enter_context(
            output(self._ring.name(self._path, self._number, now))
        )
        self._counted = _Counted(self._file)
        self._writer = self._make_writer(self._counted)
        self._file.flush()  # a program that reads the file sees the header at once
        self._is_whole = True

    @property
    def size(self) -> int:
        """Bytes that were written into all files."""
        return self._before + self._counted.size

    @property
    def is_over(self) -> bool:
        """Whether the last file of -G and -W has ended."""
        return self._is_over

    def seconds_left(self) -> float | None:
        """Seconds until the next file begins; None for no limit."""
        return None if self._end is None else max(0.0, self._end - time.time())

    def write(self, packet: bytes, time_ns: int, interface: int = 0) -> None:
        """Write a packet, into the next file if this one is full."""
        if self._ring.size is not None and self._counted.size > self._ring.size:
            number = self._number + 1
            self._next(number % self._ring.files if self._ring.files else number)
        self._is_whole = False
        self._writer.write(packet, time_ns, interface)
        self._is_whole = True

    def turn(self) -> None:
        """Begin the next file if it is time for it."""
        if self._end is None or time.time() < self._end:
            return
        self._periods += 1
        if self._ring.size is None and self._periods == self._ring.files:
            self._is_over = True
        else:
            self._next(0)

    def _next(self, number: int) -> None:
        self._before += self._counted.size
        self._finish_file()
        self._number = number
        self._open()

    def flush(self) -> None:
        """Hand what was written to the kernel."""
        self._file.flush()

    def close(self) -> None:
        """End the file."""
        self._finish_file()

    def _finish_file(self) -> None:
        # A signal may come here, or before the next file is open. Then `close` comes here again.
        is_whole, self._is_whole = self._is_whole, False
        with self._stack.pop_all():
            if self.statistics is not None and is_whole:
                self._writer.finish(self.statistics())


class _Counted:
    """A file that knows how many bytes were written into it, also if it is a pipe."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = 0

    def write(self, data: bytes) -> int:
        """Write to the file."""
        self.size += len(data)
        return self._file.write(data)
