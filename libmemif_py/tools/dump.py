# SPDX-License-Identifier: Apache-2.0
"""`memif dump`: shows or records the packets that a peer sends."""

from __future__ import annotations

import contextlib
import select
import sys
import time
from typing import IO, TYPE_CHECKING

import click

from libmemif_py import MemifError

from . import stop
from .capture import output, writer_for
from .formats import decode, pcapng
from .options import (
    EXAMPLES_FIRST,
    MOST_BYTES,
    InterfaceOptions,
    interface_options,
    say,
)
from .waiting import FOREVER, NoAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from libmemif_py import Interface

_BURST = 256


class _Printer:
    """Prints a line for each packet."""

    def __init__(self, mode: str, snaplen: int, show_hex: bool, link_level: bool) -> None:
        self._line = _line_of(mode, link_level)
        self._snaplen = snaplen
        self._hex = show_hex

    def write(self, packet: bytes, time_ns: int) -> None:
        kept = packet[: self._snaplen]
        seconds, rest = divmod(time_ns, 10**9)
        clock = time.strftime("%H:%M:%S", time.localtime(seconds))
        print(f"{clock}.{rest // 1000:06d} {self._line(kept)}")
        if self._hex:
            print(decode.hex_dump(kept))


def _line_of(mode: str, link_level: bool) -> Callable[[bytes], str]:
    if mode == "ip":
        return decode.ip_line
    return lambda packet: decode.line(packet, link_level=link_level)


def _receive(interface: Interface, queues: int, count: int | None) -> Iterator[list[bytes]]:
    """Bursts of all queues, until `count` packets came (None: no limit)."""
    ready = select.epoll()
    queue_of = {interface.fileno(queue): queue for queue in range(queues)}
    for fd in queue_of:
        ready.register(fd, select.EPOLLIN)
    left = count
    while left is None or left > 0:
        for fd, _ in ready.poll():
            most = _BURST if left is None else min(_BURST, left)
            if most == 0:
                break
            try:
                packets = interface.recv_burst(most, 0, queue=queue_of[fd])
            except MemifError:
                continue  # the link went up or down
            if left is not None:
                left -= len(packets)
            yield packets


@click.command("dump", context_settings=EXAMPLES_FIRST)
@click.option("-w", "path", metavar="FILE", help="Record packets into FILE; -: stdout.")
@click.option(
    "--format", "form", type=click.Choice(["pcapng", "pcap"]),
    help="Format of FILE. Default: by the suffix, else pcapng.",
)  # fmt: skip
@click.option("-c", "count", type=click.IntRange(1), help="End after this many packets.")
@click.option(
    "-s", "snaplen", type=click.IntRange(1, pcapng.WHOLE), default=pcapng.WHOLE,
    help=f"Keep this many bytes of a packet. Default: all (at most {MOST_BYTES}).",
)  # fmt: skip
@click.option("-x", "show_hex", is_flag=True, help="Show the bytes too.")
@click.option("-e", "link_level", is_flag=True, help="Show the Ethernet addresses too.")
@interface_options(wait=FOREVER)
def command(
    options: InterfaceOptions,
    path: str | None,
    form: str | None,
    count: int | None,
    snaplen: int,
    show_hex: bool,
    link_level: bool,
) -> None:
    """Print a line for each packet that the other end sends, or record packets, until Ctrl+C.

    This command is one end of the memif. It receives the packets and answers none. To see the
    packets between two other programs, put `memif bridge -w FILE` between them.

    The time of a packet is that at which the command received it: a memif records none. Packets
    that it received together have the same time, up to 256 of a queue; FILE has them in the order
    of the queue.

    \b
    Examples:
      memif dump -S /tmp/memif.sock
      memif dump -S /tmp/memif.sock -w packets.pcapng -c 1000
      memif dump -S /tmp/memif.sock --role master -w - | wireshark -k -i -

    Exit status: 0 after `-c` packets or Ctrl+C, 1 if there was no link within `--wait` or the
    reader of the output left, 2 wrong usage, 143 after SIGTERM.
    """
    if path is None and form is not None:
        raise click.UsageError(f"--format {form} is for a file: name one with -w")
    with stop.by_ctrl_c(), contextlib.ExitStack() as stack:
        file: IO | None = None
        sink: pcapng.Writer | _Printer = _Printer(options.mode, snaplen, show_hex, link_level)
        if path is not None:
            file = stack.enter_context(output(path))
            sink = writer_for(file, path, form, options.mode, snaplen)
            file.flush()  # a program that reads the file sees the header at once
        # The interface closes before the file, so that all it received can be written.
        interface = stack.enter_context(options.open(say))
        say(f"{options.doing} {options.shown}")
        options.wait_if_limited(interface)
        _record(interface, options.queues, count, sink, file or sys.stdout)


def _record(
    interface: Interface,
    queues: int,
    count: int | None,
    sink: pcapng.Writer | _Printer,
    file: IO,
) -> None:
    captured = 0
    try:
        for packets in _receive(interface, queues, count):
            now = time.time_ns()
            for packet in packets:
                sink.write(packet, now)
            captured += len(packets)
            file.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise NoAnswer(f"after {captured} packets: {error}") from error
    finally:
        say(f"{captured} packets captured")
