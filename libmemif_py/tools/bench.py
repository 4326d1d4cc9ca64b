# SPDX-License-Identifier: Apache-2.0
"""`memif bench`: measures rates and latency."""

from __future__ import annotations

import contextlib
import statistics
import time
from typing import TYPE_CHECKING, Any

import click

from libmemif_py import Timeout, errors

from . import picture
from .measurement import Result, percentiles
from .options import EXAMPLES_FIRST, MOST_BYTES, InterfaceOptions, interface_options, say
from .report import json_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from libmemif_py import Counters, Interface

_SMALLEST = 24  # addresses, type, sequence
_ETHERTYPE = b"\x88\xb5"  # for local experiments
_US, _THEM = b"\x02\xfe\x00\x00\x00\x01", b"\x02\xfe\x00\x00\x00\x02"
_REPORT = 1.0
_TURN = 0.05
_ANSWER = 1.0
_MOST_SAMPLES = 1_000_000


def _growth(before: tuple[Any, ...], now: tuple[Any, ...], name: str) -> int:
    """How much a counter grew, over all queues of a direction."""
    return sum(
        getattr(new, name) - getattr(old, name) for old, new in zip(before, now, strict=True)
    )


def frame(size: int, sequence: int = 0) -> bytes:
    """A test packet of `size` bytes. `sequence` tells packets apart."""
    head = _THEM + _US + _ETHERTYPE + sequence.to_bytes(8, "big")
    return head + bytes(size - len(head))


class Run:
    """One role, on all queues of an interface, in one thread."""

    def __init__(self, interface: Interface, options: InterfaceOptions, result: Result) -> None:
        """`result` says what to do, and receives the counts."""
        self.result = result
        self._interface = interface
        self._options = options
        self._packets = [frame(result.size)] * result.burst
        self._sequence = 0
        self._step = {
            "rxonly": self._receive,
            "txonly": self._send,
            "macswap": self._swap,
            "latency": self._round_trip,
        }[result.role]

    def run(self, seconds: float, report: Callable[[Result], None]) -> None:
        """Work for this many seconds. Calls `report` each second with the result so far."""
        start = time.monotonic()
        before = self._interface.counters()
        due = start + _REPORT
        try:
            while (now := time.monotonic()) < start + seconds:
                if now >= due:
                    self._note(before, now - start)
                    report(self.result)
                    due = now + _REPORT
                for queue in range(self._options.queues):
                    self._step(queue)
        finally:
            self._note(before, time.monotonic() - start)

    def _note(self, before: Counters, seconds: float) -> None:
        now = self._interface.counters()
        result = self.result
        result.seconds = seconds
        result.rx_packets = _growth(before.rx, now.rx, "packets")
        result.rx_bytes = _growth(before.rx, now.rx, "bytes")
        result.tx_packets = _growth(before.tx, now.tx, "packets")
        result.tx_bytes = _growth(before.tx, now.tx, "bytes")
        result.tx_full = _growth(before.tx, now.tx, "full")

    def _patience(self) -> float:
        """Seconds to wait on a queue. With several queues 0, because another may have packets."""
        return _TURN if self._options.queues == 1 else 0

    def _receive(self, queue: int) -> None:
        with (
            contextlib.suppress(Timeout),
            self._interface.rx_burst(self.result.burst, self._patience(), queue=queue),
        ):
            pass  # the slots go back unread; the core counts the packets

    def _send(self, queue: int) -> None:
        with contextlib.suppress(Timeout):
            self._interface.send_burst(self._packets, self._patience(), queue=queue)

    def _swap(self, queue: int) -> None:
        try:
            frames = self._interface.recv_burst(self.result.burst, self._patience(), queue=queue)
        except Timeout:
            return
        swapped = [frame[6:12] + frame[:6] + frame[12:] for frame in frames]
        with contextlib.suppress(Timeout):
            self.result.lost += len(swapped) - self._interface.send_burst(
                swapped, _TURN, queue=queue
            )

    def _round_trip(self, queue: int) -> None:
        """Send one packet, and wait until it comes back."""
        self._sequence += 1
        packet = frame(self.result.size, self._sequence)
        before = time.perf_counter()
        try:
            self._interface.send(packet, _ANSWER, queue=queue)
        except Timeout:
            self.result.lost += 1
            return
        end = before + _ANSWER
        while True:
            try:
                answer = self._interface.recv(max(0, end - time.perf_counter()), queue=queue)
            except Timeout:
                self.result.lost += 1
                return
            if answer[12:22] == packet[12:22]:
                break
        if len(self.result.samples) < _MOST_SAMPLES:
            self.result.samples.append((time.perf_counter() - before) * 1e6)


def _rate(packets: int, seconds: float) -> str:
    return f"{packets / seconds:,.0f}" if seconds else "-"


def _progress(last: dict[str, int]) -> Callable[[Result], None]:
    """A function that prints the rates since its last call."""

    def report(result: Result) -> None:
        then = last.get("seconds_ms", 0) / 1000
        span = result.seconds - then
        rx, tx = result.rx_packets - last.get("rx", 0), result.tx_packets - last.get("tx", 0)
        last.update(seconds_ms=int(result.seconds * 1000), rx=result.rx_packets)
        last.update(tx=result.tx_packets)
        line = f"{result.seconds:6.1f} s  rx {_rate(rx, span):>12}/s  tx {_rate(tx, span):>12}/s"
        if result.samples:
            line += f"  median round trip {statistics.median(result.samples):.1f} us"
        click.echo(line, err=True)

    return report


def _show(results: list[Result]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    is_latency = all(result.role == "latency" for result in results)
    names, rows = _latencies(results) if is_latency else _rates(results)
    table = Table(box=box.SIMPLE)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)


def _latencies(results: list[Result]) -> tuple[list[str], list[list]]:
    names = ["size", "trips", "lost", "min us", "50 %", "90 %", "99 %", "99.9 %", "max"]
    rows = []
    for result in results:
        found = percentiles(result.samples) if result.samples else {}
        keys = ("min", "p50", "p90", "p99", "p99.9", "max")
        cells = [f"{found[key]:.1f}" if found else "-" for key in keys]
        rows.append([result.size, len(result.samples), result.lost, *cells])
    return names, rows


def _rates(results: list[Result]) -> tuple[list[str], list[list]]:
    names = ["", "size", "burst", "s", "rx M/s", "Gbit/s", "tx M/s", "Gbit/s", "tx full"]
    rows = []
    for result in results:
        cells = [
            f"{count * factor / result.seconds:.3f}"
            for count, factor in (
                (result.rx_packets, 1e-6), (result.rx_bytes, 8e-9),
                (result.tx_packets, 1e-6), (result.tx_bytes, 8e-9),
            )
        ]  # fmt: skip
        seconds = f"{result.seconds:.1f}"
        rows.append([result.role, result.size, result.burst, seconds, *cells, result.tx_full])
    return names, rows


class _Numbers(click.ParamType):
    """One or several numbers: 1,32,256."""

    name = "numbers"

    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> list[int]:
        """Convert text. Calls `fail` if it is wrong."""
        try:
            numbers = [int(part) for part in value.split(",")]
        except ValueError:
            numbers = []
        if not numbers or not all(self._least <= number <= self._most for number in numbers):
            self.fail(
                f"{value!r}, expected numbers from {self._least} to {self._most}, such as 64 or "
                "64,1500",
                parameter,
                context,
            )
        return numbers


@click.command("bench", context_settings=EXAMPLES_FIRST)
@click.argument(
    "work",
    metavar="[rxonly|txonly|macswap|latency]",
    type=click.Choice(["rxonly", "txonly", "macswap", "latency"]),
)
@click.option(
    "--seconds", type=click.FloatRange(0, min_open=True), default=5.0, show_default=True,
    help="Duration of each measurement.",
)  # fmt: skip
@click.option(
    "--size", "sizes", type=_Numbers(_SMALLEST, MOST_BYTES), default="64", show_default=True,
    help="Bytes of a sent packet, or several sizes, separated by commas.",
)  # fmt: skip
@click.option(
    "--burst", "burst_sizes", type=_Numbers(1, 4096), default="256", show_default=True,
    help="Packets in a burst, or several numbers, separated by commas.",
)  # fmt: skip
@click.option("--polling", is_flag=True, help="Poll for packets; the peer sends no signals.")
@click.option(
    "--plot",
    metavar="FILE",
    help="Draw a diagram into FILE, such as out.svg or out.png. Needs matplotlib.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@interface_options(wait=30)
def command(
    options: InterfaceOptions,
    work: str,
    seconds: float,
    sizes: list[int],
    burst_sizes: list[int],
    polling: bool,
    plot: str | None,
    as_json: bool,
) -> int:
    """Measure rates or latency together with a peer. This end does one of

    \b
      rxonly   receive all packets, without looking at them
      txonly   send as fast as there is room
      macswap  send back all packets, with their MAC addresses exchanged
      latency  send one packet, wait until it comes back, and repeat

    When the other end leaves, the measurement ends, because a pause would make the figures useless.

    Exit status: 0 if packets were moved (for latency: if they came back), else 1; 2 wrong usage;
    130 after Ctrl+C; 143 after SIGTERM.

    The peer can be another `memif bench`, dpdk-testpmd or VPP. This command measures Python, with
    bursts in C. `./bootstrap bench` in the source tree measures the C library.

    \b
    Examples, each pair in two terminals:
      memif bench rxonly -S /tmp/memif.sock --role master
      memif bench txonly -S /tmp/memif.sock --burst 1,8,32,256 --plot rate.svg
      memif bench macswap -S /tmp/memif.sock --role master --seconds 60
      memif bench latency -S /tmp/memif.sock --plot latency.svg
    """
    if plot is not None:
        picture.check(plot)
    results: list[Result] = []
    has_left = False
    with options.open(say) as interface:
        options.wait(interface)
        ends = _ends(interface)
        for queue in range(options.queues if polling else 0):
            interface.set_rx_mode("polling", queue=queue)
        try:
            for size in sizes:
                for burst in burst_sizes if work != "latency" else burst_sizes[:1]:
                    results.append(Result(work, size, burst))
                    run = Run(interface, options, results[-1])
                    run.run(seconds, _progress({}))
        except errors.Disconnected:
            has_left = True
            say("the other end left, so the measurement ends")
        finally:
            _report(results, as_json)
    for result in results:
        if not result.has_worked and not has_left:
            say(f"{result.size} bytes: {result.why_idle()}")
    worked = [result for result in results if result.has_worked]
    if plot is not None and worked:
        picture.draw(worked, plot, ends)
    return 0 if worked else 1


def _ends(interface: Interface) -> str:
    """Who was measured, for a picture."""
    details = interface.details()
    other = "slave" if details.role == "master" else "master"
    peer = f"{details.remote_app_name} {details.remote_name}".strip() or "?"
    return f"this end {details.role}, other end {other} {peer}, protocol version {details.version}"


def _report(results: list[Result], as_json: bool) -> None:
    measured = [result for result in results if result.seconds]
    if as_json:
        click.echo(json_text([result.record() for result in measured]))
    elif measured:
        _show(measured)
