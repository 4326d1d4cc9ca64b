# SPDX-License-Identifier: Apache-2.0
"""`memif bridge`: passes packets from each of two sides to the other."""

from __future__ import annotations

import contextlib
import functools
import select
import time
from typing import TYPE_CHECKING, Any

import click

from . import stop
from .capture import writer_for
from .control_trace import control_trace_option, recorded
from .filtering import filter_for, filter_option
from .formats import pcapng
from .options import EXAMPLES_FIRST, InterfaceOptions, interface_options, say, sockets_option
from .recording import Recording, Ring, ring_options
from .report import json_text
from .sides import check_modes, side_of
from .waiting import FOREVER, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from .ports import Port


class _Bridge:
    """Two ports, which one thread serves in turn."""

    def __init__(self, ports: list[Port], recorder: _Recorder | None) -> None:
        self._recorder = recorder
        self._ready = select.epoll()
        self._serve: dict[int, Callable[[], None]] = {}
        for side, port in enumerate(ports):
            for queue, fd in enumerate(port.fds()):
                consume = functools.partial(self._consume, side, ports[1 - side], queue)
                self._serve[fd] = functools.partial(port.pass_on, queue, consume)
                self._ready.register(fd, select.EPOLLIN)
            for fd, look in port.events().items():
                self._serve[fd] = look
                self._ready.register(fd, select.EPOLLIN)

    def run(self) -> None:
        """Pass packets on until a signal ends the command, or its last file is over."""
        if self._recorder is None:
            while True:
                self._serve_once(None)
        files = self._recorder.files
        while not files.is_over:
            self._serve_once(files.seconds_left())
            files.turn()

    def _serve_once(self, patience: float | None) -> None:
        for fd, _ in self._ready.poll(patience):
            self._serve[fd]()

    def _consume(self, side: int, other: Port, queue: int, packets: list) -> None:
        if self._recorder is not None:
            self._recorder.record(packets, side)
        other.take(packets, queue)


class _Recorder:
    """Records the packets of both sides that match a filter."""

    def __init__(
        self,
        path: str,
        form: str | None,
        ring: Ring,
        mode: str,
        names: tuple[str, ...],
        expression: str | None,
    ) -> None:
        """Open the first file. Raises UsageError."""
        self._filter = None if expression is None else filter_for(expression, mode)
        self._start = time.time_ns()
        self._captured = [0] * len(names)
        self._filtered = [0] * len(names)

        def writer(file: pcapng.Output) -> pcapng.Writer:
            return writer_for(file, path, form, mode, pcapng.WHOLE, names, expression or "")

        self.files = Recording(path, ring, writer)
        self.files.statistics = self._statistics

    def record(self, packets: list, side: int) -> None:
        """Record packets that came from a side."""
        now = time.time_ns()
        for packet in packets:
            if self._filter is None or self._filter.matches(packet, len(packet)):
                self.files.write(bytes(packet), now, side)
                self._captured[side] += 1
            else:
                self._filtered[side] += 1
        self.files.flush()

    def say_counts(self) -> None:
        """As `memif dump` does. What the ports have lost is among their own counts."""
        say(f"{sum(self._captured)} packets captured")
        say(f"{sum(self._filtered)} packets filtered")

    def _statistics(self) -> list[pcapng.Statistics]:
        """What became of the packets of each side."""
        counts = zip(self._captured, self._filtered, strict=True)
        now = time.time_ns()
        return [pcapng.Statistics(self._start, now, *both) for both in counts]


@click.command("bridge", context_settings=EXAMPLES_FIRST)
@click.argument("words", metavar="A B", nargs=-1)
@sockets_option()
@click.option("-w", "path", metavar="FILE", help="Record packets into FILE; -: stdout.")
@click.option(
    "--format", "form", type=click.Choice(["pcapng", "pcap"]),
    help="Format of FILE. Default: by the suffix, else pcapng, which also records the side.",
)  # fmt: skip
@ring_options
@filter_option("With -w: record only packets that match, as for tcpdump. All are passed on.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts at the end as JSON.")
@control_trace_option()
@interface_options(role="master", wait=FOREVER, with_socket=False)
def command(
    options: InterfaceOptions,
    words: tuple[str, ...],
    sockets: tuple[str, ...],
    path: str | None,
    form: str | None,
    ring: Ring,
    expression: str | None,
    as_json: bool,
    trace_path: str | None,
) -> None:
    """Join A and B until Ctrl+C: pass the packets of each to the other.

    \b
    Each is one of
      SOCKET[,role=...][,id=...]  a memif; also ,queues= ,ring-size= ,buffer-size=
                                  ,protocol= ,mode= ,secret-file= ,socket-mode=
                                  ,socket-owner= ,socket-group=
      tap:NAME                    a TAP device, created if it does not exist
      tun:NAME                    the same for TUN: packets begin with an IP header
      if:NAME                     a network interface, through a packet socket
      vxlan:ID,remote=HOST,dev=NAME
                                  the bridge of the same ID on another host,
                                  through a VXLAN device; also ,port= ,local=
                                  ,mtu=

    The options below apply to each memif that does not set its own. Both sides must have the same
    mode: tun:NAME needs a memif with mode=ip. If the other side has no room or no peer, a packet is
    dropped and counted; so it is while a network interface is down or deleted. If the peer of a
    memif has fewer queues, they share them. What comes to if:NAME or vxlan:ID faster than the
    command takes it is lost and counted. Between two memifs a packet is copied once. For
    if:NAME, turn segmentation and checksum offload off (`ethtool -K NAME tx off gso off gro off`);
    otherwise packets lack their checksums or are too large.

    For vxlan:ID the command makes a VXLAN device of the kernel, and removes it at its end. dev is
    the network interface that leads to the other host, where the UDP port (4789) must be the same.

    With -w, stderr says at the end how many packets were captured, and how many did not match the
    filter. The files of -C, -G and -W have the names that they have in `memif dump`.

    \b
    Examples:
      memif bridge /tmp/a.sock /tmp/b.sock
      memif bridge /run/vpp/memif.sock,role=slave,id=3 tap:memif0
      memif bridge /tmp/a.sock,mode=ip tun:memif1
      memif bridge /tmp/a.sock vxlan:5,remote=192.0.2.2,dev=eth1
      memif bridge /tmp/a.sock,queues=2 if:eth1 -w - | wireshark -k -i -
      memif bridge /tmp/a.sock /tmp/b.sock -w pings.pcapng -f icmp
      memif bridge /tmp/a.sock /tmp/b.sock -w ring.pcapng -C 100 -W 10

    Exit status: 0 after the last file of -G and -W, 1 if a side failed or had no link within
    `--wait`, 2 wrong usage, 130 after Ctrl+C, 143 after SIGTERM.
    """
    words = (*sockets, *words)
    if len(words) != 2:
        raise click.UsageError(f"sides given: {len(words)}, expected two, A and B")
    if words[0] == words[1]:
        raise click.UsageError(f"both sides are {words[0]!r}, expected two")
    if path is None and form is not None:
        raise click.UsageError(f"--format {form} is for a file: name one with -w")
    if path is None and expression is not None:
        raise click.UsageError("-f says what is recorded: name a file with -w")
    ring.check(path)
    sides = [side_of(word, options) for word in words]
    mode = check_modes(*sides)
    if expression is not None:
        filter_for(expression, mode)  # a wrong one creates no file
    with contextlib.ExitStack() as stack:
        stack.enter_context(recorded(trace_path, [side.path for side in sides if side.path]))
        recorder = None
        if path is not None:
            recorder = _Recorder(path, form, ring, mode, words, expression)
            stack.callback(recorder.files.close)
        ports = []
        for side in sides:
            with stop.held():
                ports.append(side.open(say))
                stack.callback(ports[-1].close)
        say(f"bridge between {ports[0].name} and {ports[1].name}")
        try:
            for port in ports:
                port.wait_if_limited()
            _Bridge(ports, recorder).run()
        finally:
            _print_counts(ports, as_json, to_stderr=path == "-")
            if recorder is not None:
                recorder.say_counts()


def _print_counts(ports: list[Port], as_json: bool, *, to_stderr: bool) -> None:
    counts: list[dict[str, Any]] = [
        {
            "port": port.name,
            "received": port.received,
            "sent": port.sent,
            "dropped": port.dropped,
            "lost": port.lost(),
        }
        for port in ports
    ]
    if as_json:
        click.echo(json_text(counts), err=to_stderr)
        return
    for row in counts:
        text = "{port}: {received} received, {sent} sent, {dropped} dropped".format(**row)
        if row["lost"]:
            text += f", {row['lost']} lost before they were received"
        click.echo(printable(text), err=to_stderr)
