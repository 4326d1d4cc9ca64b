# SPDX-License-Identifier: Apache-2.0
"""The capture that `memif play` sends."""

from __future__ import annotations

import gzip
import importlib
import io
import itertools
import os
import select
import sys
import zlib
from typing import TYPE_CHECKING, Any

import click

from .extras import install_command
from .formats import pcapng
from .options import MOST_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libmemif_py._burst import Filter

_LINK_TYPES = {
    "ethernet": (pcapng.ETHERNET,),
    "ip": pcapng.IP_LINK_TYPES,
    "punt-inject": (pcapng.USER0,),
}
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class BadCapture(click.UsageError):
    """The file is no capture, is broken, or has packets that the interface does not send."""


class Source:
    """The file that is played: opened and checked before anything is sent."""

    def __init__(self, path: str, mode: str, loops: int, filter_: Filter | None) -> None:
        """Open `path`; "-" is stdin. Raises UsageError."""
        self._name = "stdin" if path == "-" else path
        self._mode = mode
        self._filter = filter_
        self.filtered = 0
        """Packets that did not match the filter."""
        self._raw = self._opened(path)
        self._is_stream = not self._raw.seekable()
        if self._is_stream and loops != 1:
            raise click.UsageError(
                f"{self._name}: can be read only once, expected a file for --loop"
            )
        self.size = 0 if self._is_stream else os.fstat(self._raw.fileno()).st_size
        """Bytes of the file; 0 if it is a stream."""
        self._records = self._read()
        if not self._is_stream:  # the first packet of a stream may be far away
            self._records = itertools.chain([next(self._records)], self._records)

    def _opened(self, path: str) -> io.BufferedReader:
        if path != "-":
            try:
                return open(path, "rb")
            except OSError as error:
                raise click.UsageError(f"{path}: {error.strerror}") from error
        if sys.stdin.isatty():
            raise click.UsageError("- would read the terminal: pipe a capture into the command")
        return open(sys.stdin.fileno(), "rb", closefd=False)

    def __enter__(self) -> Source:
        """Close the file at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._raw.close()

    @property
    def place(self) -> int:
        """How many bytes were read in this round; 0 for a stream."""
        return 0 if self._is_stream else self._raw.tell()

    def rewind(self) -> None:
        """Begin again."""
        self._raw.seek(0)
        self._records = self._read()

    def bursts(self, size: int) -> Iterator[list[pcapng.Record]]:
        """Lists of at most `size` packets. They end where a stream has no more for now.

        Raises BadCapture, after the packets before the bad place.
        """
        burst: list[pcapng.Record] = []
        try:
            for record in self._records:
                burst.append(record)
                if len(burst) == size or not self._has_more():
                    yield burst
                    burst = []
        except BadCapture:
            if burst:
                yield burst
            raise
        if burst:
            yield burst

    def _has_more(self) -> bool:
        return not self._is_stream or bool(select.select([self._raw], [], [], 0)[0])

    def _bad(self, text: str) -> BadCapture:
        return BadCapture(f"{self._name}: {text}")

    def _read(self) -> Iterator[pcapng.Record]:
        """The packets. The header is read at once."""
        try:
            return self._checked(pcapng.read(_plain(self._raw, self._name)))
        except pcapng.CaptureError as error:
            raise self._bad(str(error)) from error

    def _checked(self, records: Iterator[pcapng.Record]) -> Iterator[pcapng.Record]:
        number = matching = 0
        try:
            for number, record in enumerate(records, 1):
                self._check(number, record)
                if self._filter is None or self._filter.matches(record.data, record.length):
                    matching += 1
                    yield record
                else:
                    self.filtered += 1
        except pcapng.CaptureError as error:
            raise self._bad(str(error)) from error
        if not number:
            raise self._bad("no packets, expected at least one")
        if not matching:
            raise self._bad(f"none of its {number} packets matches the filter")

    def _check(self, number: int, record: pcapng.Record) -> None:
        expected = _LINK_TYPES[self._mode]
        if record.link_type not in expected:
            fits = [mode for mode, types in _LINK_TYPES.items() if record.link_type in types]
            advice = f"try --mode {fits[0]}" if fits else ""
            raise self._bad(
                f"packet {number} has link type {record.link_type}, expected "
                f"{expected[0]} for --mode {self._mode}; {advice}".rstrip("; ")
            )
        if not 0 < len(record.data) <= MOST_BYTES:
            raise self._bad(
                f"packet {number} has {len(record.data)} bytes, expected 1 to {MOST_BYTES}"
            )


# ---- compressed captures ----


class _Compressed:
    """Reads what is in a compressed file. What is wrong with it is a CaptureError."""

    def __init__(self, file: pcapng.Input, errors: tuple[type[Exception], ...]) -> None:
        self._file = file
        self._errors = errors

    def read(self, size: int) -> bytes:
        """As a file does."""
        try:
            return self._file.read(size)
        except self._errors as error:
            raise pcapng.CaptureError(f"cannot be decompressed: {error}") from error


def _plain(raw: io.BufferedReader, name: str) -> pcapng.Input:
    """A file, decompressed if its first bytes are those of gzip or zstd. Raises UsageError."""
    first = raw.peek(len(_ZSTD))
    if first.startswith(_GZIP):
        return _Compressed(gzip.GzipFile(fileobj=raw), (OSError, EOFError, zlib.error))
    if first.startswith(_ZSTD):
        return _of_zstd(raw, name)
    return raw


def _of_zstd(raw: io.BufferedReader, name: str) -> _Compressed:
    """Python 3.14 has it in the standard library."""
    zstd: Any
    try:
        zstd = importlib.import_module("compression.zstd")
    except ModuleNotFoundError:
        pass
    else:
        return _Compressed(zstd.ZstdFile(raw), (OSError, EOFError, zstd.ZstdError))
    try:
        zstd = importlib.import_module("zstandard")
    except ModuleNotFoundError as error:
        raise click.UsageError(
            f"{name}: is compressed with zstd, which needs a package. "
            f"Install it: {install_command('zstandard')}"
        ) from error
    reader = zstd.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=False)
    return _Compressed(io.BufferedReader(reader), (OSError, zstd.ZstdError))
