# SPDX-License-Identifier: Apache-2.0
"""`memif play`: sends the packets of a capture."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from libmemif_py import MemifError, Timeout

from . import stop
from .formats import pcapng
from .options import (
    EXAMPLES_FIRST,
    MOST_BYTES,
    InterfaceOptions,
    interface_options,
    say,
)
from .report import json_text
from .waiting import NoAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

    from libmemif_py import Interface

_BURST = 64
_DRAIN = 2.0
_LINK_TYPES = {"ethernet": (pcapng.ETHERNET,), "ip": pcapng.IP_LINK_TYPES}


def drain(interface: Interface, queue: int, patience: float = _DRAIN) -> int:
    """Wait until the peer has taken all packets, or takes none for `patience` seconds.

    Returns how many packets it has not taken. Not every peer takes the packets that are in the ring
    when an interface closes. If the peer has disconnected, nobody knows how many it took, and the
    result is 0.
    """
    left = interface.tx_fill(queue) or 0
    while left:
        with contextlib.suppress(Timeout):
            interface.flush(patience, queue=queue)
        before, left = left, interface.tx_fill(queue) or 0
        if left == before:
            break
    return left


class Pace:
    """Limits the packets per second to `rate`; None for no limit."""

    def __init__(self, rate: float | None) -> None:
        """The clock starts with the first packet."""
        self._rate = rate
        self._start: float | None = None
        self._count = 0

    @property
    def burst(self) -> int:
        """Packets in a burst. At low rates it is one, so that they are spread evenly."""
        return _BURST if self._rate is None else max(1, min(_BURST, int(self._rate / 1000)))

    def wait(self, count: int) -> None:
        """Sleep until the next `count` packets are due."""
        if self._rate is None:
            return
        now = time.monotonic()
        if self._start is None:
            self._start = now
        due = self._start + self._count / self._rate
        self._count += count
        if due > now:
            time.sleep(due - now)


class _BadCapture(click.UsageError):
    """The file is no capture, is broken, or has packets that the interface does not send."""


class _Capture:
    """The file that is played: opened and checked before anything is sent."""

    def __init__(self, path: str, mode: str, loops: int) -> None:
        """Open `path`; "-" is stdin. Raises UsageError."""
        self._name = "stdin" if path == "-" else path
        self._mode = mode
        self._file = self._opened(path)
        self._is_stream = not self._file.seekable()
        if self._is_stream and loops != 1:
            raise click.UsageError(
                f"{self._name}: can be read only once, expected a file for --loop"
            )
        self.size = 0 if self._is_stream else os.fstat(self._file.fileno()).st_size
        """Bytes of the file; 0 if it is a stream."""
        self._records = self._read()
        if not self._is_stream:  # the first packet of a stream may be far away
            self._records = itertools.chain([next(self._records)], self._records)

    def _opened(self, path: str) -> BinaryIO:
        if path != "-":
            try:
                return open(path, "rb")
            except OSError as error:
                raise click.UsageError(f"{path}: {error.strerror}") from error
        if sys.stdin.isatty():
            raise click.UsageError("- would read the terminal: pipe a capture into the command")
        return sys.stdin.buffer

    def __enter__(self) -> _Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def place(self) -> int:
        """How many bytes were read in this round; 0 for a stream."""
        return 0 if self._is_stream else self._file.tell()

    def rewind(self) -> None:
        """Begin again."""
        self._file.seek(0)
        self._records = self._read()

    def bursts(self, size: int) -> Iterator[list[pcapng.Record]]:
        """Lists of at most `size` packets. They end where a stream has no more for now.

        Raises _BadCapture, after the packets before the bad place.
        """
        burst: list[pcapng.Record] = []
        try:
            for record in self._records:
                burst.append(record)
                if len(burst) == size or not self._has_more():
                    yield burst
                    burst = []
        except _BadCapture:
            if burst:
                yield burst
            raise
        if burst:
            yield burst

    def _has_more(self) -> bool:
        return not self._is_stream or bool(select.select([self._file], [], [], 0)[0])

    def _bad(self, text: str) -> _BadCapture:
        return _BadCapture(f"{self._name}: {text}")

    def _read(self) -> Iterator[pcapng.Record]:
        """The packets. The header is read at once."""
        try:
            return self._checked(pcapng.read(self._file))
        except pcapng.CaptureError as error:
            raise self._bad(str(error)) from error

    def _checked(self, records: Iterator[pcapng.Record]) -> Iterator[pcapng.Record]:
        number = 0
        try:
            for number, record in enumerate(records, 1):
                self._check(number, record)
                yield record
        except pcapng.CaptureError as error:
            raise self._bad(str(error)) from error
        if not number:
            raise self._bad("no packets, expected at least one")

    def _check(self, number: int, record: pcapng.Record) -> None:
        expected = _LINK_TYPES[self._mode]
        if record.link_type not in expected:
            other = "ethernet" if self._mode == "ip" else "ip"
            advice = f"try --mode {other}" if record.link_type in _LINK_TYPES[other] else ""
            raise self._bad(
                f"packet {number} has link type {record.link_type}, expected "
                f"{expected[0]} for --mode {self._mode}; {advice}".rstrip("; ")
            )
        if not 0 < len(record.data) <= MOST_BYTES:
            raise self._bad(
                f"packet {number} has {len(record.data)} bytes, expected 1 to {MOST_BYTES}"
            )


class _Player:
    """Sends the packets of a capture, and waits until the peer has taken them."""

    def __init__(self, interface: Interface, options: InterfaceOptions, pace: Pace) -> None:
        self._interface = interface
        self._options = options
        self._patience = _DRAIN if options.timeout == 0 else options.patience
        self._pace = pace
        # The burst that is being sent, and the packets before it: all, and those that were cut.
        self._now: tuple[list[pcapng.Record], int, int] = ([], 0, 0)

    # A signal may end `play` anywhere, so the counts are those of the interface.

    @property
    def packets(self) -> int:
        """Packets that were sent."""
        return self._interface.counters().tx[0].packets

    @property
    def bytes(self) -> int:
        """Their bytes."""
        return self._interface.counters().tx[0].bytes

    @property
    def cut(self) -> int:
        """Those of them that the capture has cut."""
        burst, before, cut = self._now
        return cut + _cut(burst[: self.packets - before])

    def play(
        self, capture: _Capture, rounds: Iterable[int], progress: Callable[[int, int], None]
    ) -> None:
        """Send the capture once a round. Raises NoAnswer if nobody takes it, UsageError.

        Not even a bad capture or Ctrl+C ends it before the peer has taken what was sent.
        """
        try:
            for round_ in rounds:
                if round_:
                    capture.rewind()
                for burst in capture.bursts(self._pace.burst):
                    self._pace.wait(len(burst))
                    self._send(burst)
                    progress(round_, capture.place)
        except _BadCapture as error:
            drain(self._interface, 0)
            if not self.packets:
                raise
            text = f"{error.message} (after {self.packets} packets were sent)"
            raise _BadCapture(text) from error
        except stop.Stopped:
            drain(self._interface, 0)
            raise
        drain(self._interface, 0)

    def _send(self, burst: list[pcapng.Record]) -> None:
        last, before, cut = self._now
        self._now = burst, before + len(last), cut + _cut(last)
        todo = [record.data for record in burst]
        while todo:
            try:
                sent = self._interface.send_burst(todo, self._patience)
            except Timeout as error:
                raise NoAnswer(
                    f"{self._options.shown}: the ring stays full for {self._patience:g} s, "
                    f"check that the other end receives; {self.packets} packets were sent"
                ) from error
            except MemifError as error:
                raise NoAnswer(
                    f"{self._options.shown}: {error}; {self.packets} packets were sent"
                ) from error
            todo = todo[sent:]


def _cut(records: list[pcapng.Record]) -> int:
    return sum(len(record.data) < record.length for record in records)


@contextlib.contextmanager
def _progress_bar(
    path: str, size: int, loops: int, wanted: bool
) -> Iterator[Callable[[int, int], None]]:
    """A function that takes the round and the place in the file. On a terminal it shows a bar."""
    if not wanted or not sys.stderr.isatty():
        yield lambda _round, _place: None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, redirect_stdout=False) as progress:
        task = progress.add_task(Path(path).name, total=size * loops or None)
        yield lambda round_, place: progress.update(task, completed=round_ * size + place)


@click.command("play", context_settings=EXAMPLES_FIRST)
@click.argument(
    "path", metavar="FILE", type=click.Path(exists=True, dir_okay=False, allow_dash=True)
)
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Packets per second.")
@click.option(
    "--loop", "loops", type=click.IntRange(0), default=1, show_default=True,
    help="Send the file this many times; 0: until Ctrl+C.",
)  # fmt: skip
@click.option("--quiet", is_flag=True, help="Show no progress bar.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts at the end as JSON.")
@interface_options()
def command(
    options: InterfaceOptions, path: str, rate: float | None, loops: int, quiet: bool, as_json: bool
) -> None:
    """Send the packets of a pcap or pcapng FILE in order, as fast as possible or at a rate.

    FILE may be a pipe; -: stdin. Its packets are sent as they come. A frame check sequence that
    FILE declares is not sent. If FILE ends within a packet, those before it are sent.

    If the ring is full, the command waits for room, so no packet is dropped. At the end it waits
    until the other end has taken all packets, also after Ctrl+C; a second Ctrl+C ends it at once.
    If the other end leaves, the command waits up to --wait for it to come back; packets that
    were in the ring may be lost.

    \b
    Examples:
      memif play packets.pcapng -S /tmp/memif.sock
      memif play packets.pcap -S /tmp/memif.sock --rate 1000 --loop 10
      tcpdump -i eth0 -U -w - | memif play - -S /tmp/memif.sock

    Exit status: 0 if the other end took all packets, 1 if it did not or there was no link within
    `--wait`, 2 wrong usage or a bad FILE, 130 after Ctrl+C, 143 after SIGTERM.
    """
    with _Capture(path, options.mode, loops) as capture, options.open(say) as interface:
        options.wait(interface)
        player = _Player(interface, options, Pace(rate))
        start = time.monotonic()
        try:
            with _progress_bar(path, capture.size, loops, not quiet) as progress:
                player.play(capture, range(loops) if loops else itertools.count(), progress)
        finally:
            # Printed when the bar is gone.
            left = interface.tx_fill(0) or 0
            _print_result(player, left, time.monotonic() - start, as_json)
        if left:
            raise NoAnswer(
                f"{options.shown}: {left} packets were left in the ring by the other end"
            )


def _print_result(player: _Player, left: int, seconds: float, as_json: bool) -> None:
    packets, size, cut = player.packets, player.bytes, player.cut
    rate = packets / seconds if seconds else 0.0
    if as_json:
        result = {"packets": packets, "bytes": size, "cut": cut, "left": left}
        click.echo(json_text({**result, "seconds": seconds, "packets_per_second": rate}))
        return
    parts = [f"{packets} packets sent", f"{cut} of them cut in the capture" if cut else ""]
    parts += [f"{left} of them left in the ring" if left else "", f"{size} bytes"]
    parts += [f"{seconds:.3f} s", f"{rate:,.0f} packets/s"]
    click.echo(", ".join(filter(None, parts)))
