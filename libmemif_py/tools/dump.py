# SPDX-License-Identifier: Apache-2.0
"""`memif dump`: shows or records the packets that a peer sends."""

from __future__ import annotations

import contextlib
import select
import sys
import time
from typing import TYPE_CHECKING, Protocol

import click

from libmemif_py import MemifError

from . import stop
from .capture import writer_for
from .filtering import filter_for, filter_option
from .formats import pcapng
from .formats.decode import Detail
from .options import (
    EXAMPLES_FIRST,
    MOST_BYTES,
    InterfaceOptions,
    interface_options,
    say,
)
from .printing import MOST_T, Printer, Style
from .recording import Limit, Limits, Recording, Ring, limits_of, ring_options
from .waiting import FOREVER, NoAnswer

if TYPE_CHECKING:
    from libmemif_py import Interface

_BURST = 256
_LARGEST_RECORD = MOST_BYTES + 64


class _Sink(Protocol):
    """Where packets go."""

    def write(self, packet: bytes, time_ns: int) -> None:
        """Take a packet."""

    def flush(self) -> None:
        """Hand on what was written."""


class _Capture:
    """Passes the packets of an interface to sinks, until a limit is reached."""

    def __init__(
        self, interface: Interface, queues: int, sinks: list[_Sink], recording: Recording | None
    ) -> None:
        """`recording` is the one of the sinks that is a file, if there is one."""
        self._interface = interface
        self._ready = select.epoll()
        self._queue_of = {interface.fileno(queue): queue for queue in range(queues)}
        for fd in self._queue_of:
            self._ready.register(fd, select.EPOLLIN)
        self._sinks = sinks
        self._recording = recording
        self._start = time.time_ns()
        self.captured = 0
        if recording is not None:
            recording.statistics = lambda: [self.statistics()]

    def run(self, limits: Limits) -> None:
        """Capture until a limit is reached or the last file of a ring is full."""
        end = None if limits.seconds is None else time.monotonic() + limits.seconds
        while not self._is_over(limits, end):
            for fd, _ in self._ready.poll(self._patience(end)):
                self._take(self._queue_of[fd], limits)
            if self._recording is not None:
                self._recording.turn()

    def _is_over(self, limits: Limits, end: float | None) -> bool:
        file = self._recording
        return (
            (limits.packets is not None and self.captured >= limits.packets)
            or (end is not None and time.monotonic() >= end)
            or (file is not None and limits.size is not None and file.size >= limits.size)
            or (file is not None and file.is_over)
        )

    def _patience(self, end: float | None) -> float | None:
        ends = [] if end is None else [max(0.0, end - time.monotonic())]
        turn = None if self._recording is None else self._recording.seconds_left()
        return min([*ends, *([] if turn is None else [turn])], default=None)

    def _take(self, queue: int, limits: Limits) -> None:
        most = _BURST if limits.packets is None else min(_BURST, limits.packets - self.captured)
        if limits.size is not None and self._recording is not None:
            # No packet of a burst may be too much.
            left = (limits.size - self._recording.size) // _LARGEST_RECORD
            most = max(1, min(most, left))
        if most == 0:
            return
        try:
            packets = self._interface.recv_burst(most, 0, queue=queue)
        except MemifError:
            return  # the link went up or down, or no packet matches
        now = time.time_ns()
        for packet in packets:
            for sink in self._sinks:
                sink.write(packet, now)
            self.captured += 1
        for sink in self._sinks:
            sink.flush()

    def finish(self) -> pcapng.Statistics:
        """End the file with the counts; returns them."""
        counts = self.statistics()
        if self._recording is not None:
            self._recording.statistics = lambda: [counts]
        return counts

    def statistics(self) -> pcapng.Statistics:
        """What became of the packets until now."""
        queues = self._interface.counters().rx
        received = sum(queue.packets for queue in queues)
        filtered = sum(queue.filtered for queue in queues)
        lost = max(0, received - filtered - self.captured)
        return pcapng.Statistics(self._start, time.time_ns(), self.captured, filtered, lost)


@click.command("dump", context_settings=EXAMPLES_FIRST)
@click.argument("words", metavar="[FILTER]", nargs=-1)
@filter_option("The same as FILTER.")
@click.option("-w", "path", metavar="FILE", help="Record packets into FILE; -: stdout.")
@click.option(
    "--format", "form", type=click.Choice(["pcapng", "pcap"]),
    help="Format of FILE. Default: by the suffix, else pcapng.",
)  # fmt: skip
@click.option("--print", "also_print", is_flag=True, help="With -w: print the packets as well.")
@click.option("-c", "count", type=click.IntRange(1), help="End after this many packets.")
@click.option(
    "-a", "conditions", type=Limit(), multiple=True, metavar="CONDITION",
    help="End after duration:SECONDS, filesize:KB (1000 bytes) or packets:N. May be repeated.",
)  # fmt: skip
@ring_options
@click.option(
    "-s", "snaplen", type=click.IntRange(0, pcapng.WHOLE), default=0,
    help=f"Keep this many bytes of a packet. Default: 0, all (at most {MOST_BYTES}).",
)  # fmt: skip
@click.option("-q", "quiet", is_flag=True, help="Show less of each packet.")
@click.option("-v", "verbose", count=True, help="Show more: the fields of IP headers.")
@click.option("-e", "link_level", is_flag=True, help="Show the Ethernet addresses too.")
@click.option(
    "-A", "ascii_", is_flag=True, help="Show the bytes behind the Ethernet header as text."
)
@click.option(
    "-X", "hex_level", count=True,
    help="Show the bytes behind the Ethernet header, as numbers and text; -XX: all bytes.",
)  # fmt: skip
@click.option("-x", "whole_hex", is_flag=True, help="The same as -XX.")
@click.option(
    "-t", "times", count=True,
    help="Show no time; -tt: seconds since 1970; -ttt: since the packet before; -tttt: with the "
    "date; -ttttt: since the first packet.",
)  # fmt: skip
@click.option("-n", count=True, expose_value=False, hidden=True)
@click.option("-l", is_flag=True, expose_value=False, hidden=True)
@click.option("-U", is_flag=True, expose_value=False, hidden=True)
@interface_options(wait=FOREVER, socket_names=("-i",))
def command(
    options: InterfaceOptions,
    words: tuple[str, ...],
    expression: str | None,
    path: str | None,
    form: str | None,
    also_print: bool,
    count: int | None,
    conditions: tuple[tuple[str, float], ...],
    ring: Ring,
    snaplen: int,
    quiet: bool,
    verbose: int,
    link_level: bool,
    ascii_: bool,
    hex_level: int,
    whole_hex: bool,
    times: int,
) -> None:
    """Print a line for each packet that the other end sends, or record packets, until Ctrl+C.

    FILTER is a filter as for tcpdump, in one word or several; see `man pcap-filter`. It needs
    libpcap. Packets that do not match are dropped.

    This command is one end of the memif. It receives the packets and answers none. To see the
    packets between two other programs, put `memif bridge -w FILE` between them.

    The time of a packet is that at which the command received it: a memif records none. Packets
    that it received together have the same time, up to 256 of a queue; FILE has them in the order
    of the queue.

    At the end stderr, and a pcapng FILE, say how many packets were captured, how many did not match
    the filter, and how many are lost: received, but not captured before the command ended.

    Names of files of a ring: with -C, FILE, FILE1, FILE2; with -C and -W, FILE0 to the last and
    again. With -G the time is put into the name; without one, each file replaces the one before.

    Options of tcpdump that change nothing here are accepted: -n, -l, -U.

    \b
    Examples:
      memif dump -S /tmp/memif.sock
      memif dump -S /tmp/memif.sock -e 'icmp or vlan 5'
      memif dump -S /tmp/memif.sock -w packets.pcapng -c 1000
      memif dump -S /tmp/memif.sock -w ring.pcap -C 100 -W 10
      memif dump -S /tmp/memif.sock -w %H%M.pcapng -G 3600 -a duration:86400
      memif dump -S /tmp/memif.sock --role master -w - | wireshark -k -i -

    Exit status: 0 after a limit or Ctrl+C, 1 if there was no link within `--wait` or the reader of
    the output left, 2 wrong usage or no libpcap, 143 after SIGTERM.
    """
    ring.check(path)
    limits = limits_of(count, conditions)
    if path is None and form is not None:
        raise click.UsageError(f"--format {form} is for a file: name one with -w")
    if path is None and limits.size is not None:
        raise click.UsageError("-a filesize: is for a file: name one with -w")
    if path == "-" and also_print:
        raise click.UsageError("--print and -w - would both write to stdout")
    if times > MOST_T:
        raise click.UsageError(f"-t {times} times, expected at most {MOST_T}")
    expression = _one_filter(words, expression)
    if expression is not None:
        filter_for(expression, options.mode)
    snaplen = snaplen or pcapng.WHOLE
    detail = Detail.QUIET if quiet else Detail.VERBOSE if verbose else Detail.NORMAL
    hex_level = max(hex_level, 2 * whole_hex)
    style = Style(options.mode, snaplen, link_level, detail, times, ascii_, hex_level)

    def writer(file: pcapng.Output) -> pcapng.Writer:
        return writer_for(
            file, path or "", form, options.mode, snaplen, expression=expression or ""
        )

    with stop.by_ctrl_c(), contextlib.ExitStack() as stack:
        sinks: list[_Sink] = []
        recording = None
        if path is not None:
            recording = stack.enter_context(contextlib.closing(Recording(path, ring, writer)))
            sinks.append(recording)
        if path is None or also_print:
            sinks.append(Printer(style, sys.stdout))
        # The interface closes before the file, so that all it received can be written.
        interface = stack.enter_context(options.open(say))
        if expression is not None:
            interface.set_filter(expression)
        say(f"{options.doing} {options.shown}")
        options.wait_if_limited(interface)
        _record(_Capture(interface, options.queues, sinks, recording), limits)


def _one_filter(words: tuple[str, ...], expression: str | None) -> str | None:
    """Of the words behind the options and of -f. Raises UsageError for both."""
    if words and expression is not None:
        raise click.UsageError(f"two filters, {' '.join(words)!r} and -f {expression!r}: give one")
    return " ".join(words) if words else expression


def _record(capture: _Capture, limits: Limits) -> None:
    try:
        capture.run(limits)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise NoAnswer(f"after {capture.captured} packets: {error}") from error
    finally:
        counts = capture.finish()
        say(f"{counts.captured} packets captured")
        say(f"{counts.filtered} packets filtered")
        say(f"{counts.lost} packets lost")
