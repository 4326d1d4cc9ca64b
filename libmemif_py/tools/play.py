# SPDX-License-Identifier: Apache-2.0
"""`memif play`: sends the packets of a capture."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from libmemif_py import MemifError, Timeout

from .formats import pcapng
from .options import (
    EXAMPLES_FIRST,
    MOST_BYTES,
    InterfaceOptions,
    NoAnswer,
    interface_options,
    say,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from libmemif_py import Interface

_BURST = 64
_DRAIN = 2.0
_LINK_TYPES = {"ethernet": (pcapng.ETHERNET,), "ip": pcapng.IP_LINK_TYPES}


def bursts(records: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    """Lists of at most `size` packets."""
    while burst := list(itertools.islice(records, size)):
        yield burst


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


class _Player:
    """Sends the packets of a file."""

    def __init__(
        self, path: str, options: InterfaceOptions, pace: Pace, progress: Callable[[int], None]
    ) -> None:
        self.packets = self.bytes = self.cut = 0
        self._path = path
        self._options = options
        self._pace = pace
        self._progress = progress

    def play(self, interface: Interface) -> None:
        """Send the file once. Raises NoAnswer if nobody takes it, UsageError for a bad file."""
        before = self.packets
        with open(self._path, "rb") as file:
            try:
                for burst in bursts(self._packets(pcapng.read(file)), self._pace.burst):
                    self._pace.wait(len(burst))
                    self._send(interface, burst)
                    self._progress(file.tell())
            except pcapng.CaptureError as error:
                raise self._bad(str(error)) from error
        if self.packets == before:
            raise self._bad("no packets, expected at least one")

    def _bad(self, text: str) -> click.UsageError:
        sent = f" (after {self.packets} packets were sent)" if self.packets else ""
        return click.UsageError(f"{self._path}: {text}{sent}")

    def _packets(self, records: Iterator[pcapng.Record]) -> Iterator[bytes]:
        expected = _LINK_TYPES[self._options.mode]
        for number, record in enumerate(records, 1):
            if record.link_type not in expected:
                other = "ethernet" if self._options.mode == "ip" else "ip"
                advice = f"try --mode {other}" if record.link_type in _LINK_TYPES[other] else ""
                raise self._bad(
                    f"packet {number} has link type {record.link_type}, expected "
                    f"{expected[0]} for --mode {self._options.mode}; {advice}".rstrip("; ")
                )
            if not 0 < len(record.data) <= MOST_BYTES:
                raise self._bad(
                    f"packet {number} has {len(record.data)} bytes, expected 1 to {MOST_BYTES}"
                )
            self.cut += len(record.data) < record.length
            yield record.data

    def _send(self, interface: Interface, burst: list[bytes]) -> None:
        sent = 0
        while sent < len(burst):
            try:
                step = interface.send_burst(burst[sent:], self._options.patience)
            except Timeout as error:
                raise NoAnswer(
                    f"{self._options.shown}: the ring stays full for {self._options.timeout:g} s, "
                    f"check that the other end receives; {self.packets} packets were sent"
                ) from error
            except MemifError as error:
                raise NoAnswer(
                    f"{self._options.shown}: {error}; {self.packets} packets were sent"
                ) from error
            self.packets += step
            self.bytes += sum(map(len, burst[sent : sent + step]))
            sent += step


@contextlib.contextmanager
def _progress_bar(path: str, loops: int, wanted: bool) -> Iterator[Callable[[int, int], None]]:
    """A function that takes the round and the place in the file. On a terminal it shows a bar."""
    if not wanted or not sys.stderr.isatty():
        yield lambda _round, _place: None
        return
    from rich.console import Console
    from rich.progress import Progress

    size = os.path.getsize(path)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(Path(path).name, total=size * loops if loops else None)
        yield lambda round_, place: progress.update(task, completed=round_ * size + place)


@click.command("play", context_settings=EXAMPLES_FIRST)
@click.argument("path", metavar="FILE", type=click.Path(exists=True, dir_okay=False))
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

    If the ring is full, the command waits for room, so no packet is dropped. At the end it waits
    until the other end has taken all packets. If the other end leaves, the command waits up to
    --timeout for it to come back; packets that were in the ring may be lost.

    \b
    Examples:
      memif play packets.pcapng -S /tmp/memif.sock
      memif play packets.pcap -S /tmp/memif.sock --rate 1000 --loop 10
    """
    with options.open(**told(say)) as interface:
        options.wait(interface)
        start = time.monotonic()
        with _progress_bar(path, loops, not quiet) as progress:
            rounds = itertools.count() if loops == 0 else range(loops)
            round_ = 0
            player = _Player(path, options, Pace(rate), lambda place: progress(round_, place))
            left = 0
            try:
                for round_ in rounds:  # noqa: B007 - the progress bar reads it
                    player.play(interface)
                left = drain(interface, 0)
            finally:
                seconds = time.monotonic() - start
                _print_result(player, seconds, as_json)
        if left:
            raise NoAnswer(
                f"{options.shown}: {left} packets were left in the ring by the other end"
            )


def _print_result(player: _Player, seconds: float, as_json: bool) -> None:
    rate = player.packets / seconds if seconds else 0.0
    if as_json:
        result = {"packets": player.packets, "bytes": player.bytes, "cut": player.cut}
        click.echo(json.dumps({**result, "seconds": seconds, "packets_per_second": rate}))
        return
    cut = f", {player.cut} of them cut in the capture" if player.cut else ""
    click.echo(
        f"{player.packets} packets sent{cut}, {player.bytes} bytes, {seconds:.3f} s, "
        f"{rate:,.0f} packets/s"
    )
