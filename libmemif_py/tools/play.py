# SPDX-License-Identifier: Apache-2.0
"""`memif play`: sends the packets of a capture."""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from libmemif_py import MemifError, Timeout

from . import stop
from .filtering import filter_for, filter_option
from .options import EXAMPLES_FIRST, InterfaceOptions, interface_options, say
from .pace import BitRate, OwnTiming, Pace, PacketRate
from .report import json_text
from .source import BadCapture, Source
from .waiting import NoAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from libmemif_py import Interface

    from .formats import pcapng

_BURST = 64
_DRAIN = 2.0


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
        self, capture: Source, rounds: Iterable[int], progress: Callable[[int, int], None]
    ) -> None:
        """Send the capture once a round. Raises NoAnswer if nobody takes it, UsageError.

        Not even a bad capture or Ctrl+C ends it before the peer has taken what was sent.
        """
        try:
            for round_ in rounds:
                if round_:
                    capture.rewind()
                    self._pace.new_round()
                for burst in capture.bursts(_BURST):
                    for part in self._pace.parts(burst):
                        self._send(part)
                        progress(round_, capture.place)
        except BadCapture as error:
            drain(self._interface, 0)
            if not self.packets:
                raise
            text = f"{error.message} (after {self.packets} packets were sent)"
            raise BadCapture(text) from error
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
@click.option(
    "-x", "--multiplier", type=click.FloatRange(0, min_open=True),
    help="At the times of the capture, but so many times faster.",
)  # fmt: skip
@click.option(
    "-p", "--pps", "--rate", "pps", type=click.FloatRange(0, min_open=True),
    help="Packets per second.",
)  # fmt: skip
@click.option(
    "-M", "--mbps", type=click.FloatRange(0, min_open=True), help="Million bits per second."
)
@click.option("-t", "--topspeed", is_flag=True, help="As fast as possible.")
@click.option(
    "-l", "--loop", "loops", type=click.IntRange(0), default=1, show_default=True,
    help="Send the file this many times; 0: until Ctrl+C.",
)  # fmt: skip
@filter_option("Send only packets that match, as for tcpdump.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress bar.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts at the end as JSON.")
@interface_options(socket_names=("-i",))
def command(
    options: InterfaceOptions,
    path: str,
    multiplier: float | None,
    pps: float | None,
    mbps: float | None,
    topspeed: bool,
    loops: int,
    expression: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Send the packets of a pcap or pcapng FILE in order, at the times of the capture.

    The time from one packet to the next is that in FILE, as in tcpreplay. The options -x, -p, -M
    and -t, of which there may be one, change that. If the other end falls behind, what is due is
    sent as soon as there is room.

    FILE may be compressed with gzip or zstd. For zstd, Python before 3.14 needs the package
    zstandard. FILE may be a pipe; -: stdin. Packets of a pipe are sent as they come and as they are
    due, but those of a compressed one in groups. A frame check sequence that FILE declares is not
    sent. If FILE ends within a packet, those before it are sent.

    If the ring is full, the command waits for room, so no packet is dropped. At the end it waits
    until the other end has taken all packets, also after Ctrl+C; a second Ctrl+C ends it at once.
    If the other end leaves, the command waits up to --wait for it to come back; packets that
    were in the ring may be lost.

    \b
    Examples:
      memif play packets.pcapng -S /tmp/memif.sock
      memif play packets.pcapng.zst -S /tmp/memif.sock --multiplier 10
      memif play packets.pcap -S /tmp/memif.sock --pps 1000 --loop 10
      memif play packets.pcap -S /tmp/memif.sock --topspeed -f 'udp port 53'
      tcpdump -i eth0 -U -w - | memif play - -S /tmp/memif.sock

    Exit status: 0 if the other end took all packets, 1 if it did not or there was no link within
    `--wait`, 2 wrong usage, a bad FILE or no libpcap, 130 after Ctrl+C, 143 after SIGTERM.
    """
    pace = _pace(multiplier, pps, mbps, topspeed)
    filter_ = None if expression is None else filter_for(expression, options.mode)
    with Source(path, options.mode, loops, filter_) as source, options.open(say) as interface:
        options.wait(interface)
        player = _Player(interface, options, pace)
        start = time.monotonic()
        try:
            with _progress_bar(path, source.size, loops, not quiet) as progress:
                player.play(source, range(loops) if loops else itertools.count(), progress)
        finally:
            # Printed when the bar is gone.
            left = interface.tx_fill(0) or 0
            counts = {
                "packets": player.packets,
                "bytes": player.bytes,
                "cut": player.cut,
                "filtered": source.filtered,
                "left": left,
            }
            _print_result(counts, time.monotonic() - start, as_json)
        if left:
            raise NoAnswer(
                f"{options.shown}: {left} packets were left in the ring by the other end"
            )


def _pace(multiplier: float | None, pps: float | None, mbps: float | None, topspeed: bool) -> Pace:
    if sum(map(bool, (multiplier, pps, mbps, topspeed))) > 1:
        raise click.UsageError(
            "--multiplier, --pps, --mbps and --topspeed exclude each other: give one"
        )
    if pps:
        return PacketRate(pps)
    if mbps:
        return BitRate(mbps)
    return Pace() if topspeed else OwnTiming(multiplier or 1.0)


def _print_result(counts: dict[str, int], seconds: float, as_json: bool) -> None:
    rate = counts["packets"] / seconds if seconds else 0.0
    if as_json:
        click.echo(json_text({**counts, "seconds": seconds, "packets_per_second": rate}))
        return
    cut, filtered, left = counts["cut"], counts["filtered"], counts["left"]
    parts = [f"{counts['packets']} packets sent"]
    parts += [f"{cut} of them cut in the capture" if cut else ""]
    parts += [f"{left} of them left in the ring" if left else ""]
    parts += [f"{filtered} others filtered" if filtered else "", f"{counts['bytes']} bytes"]
    parts += [f"{seconds:.3f} s", f"{rate:,.0f} packets/s"]
    click.echo(", ".join(filter(None, parts)))
