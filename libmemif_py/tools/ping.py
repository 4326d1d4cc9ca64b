# SPDX-License-Identifier: Apache-2.0
"""`memif ping`: sends echo requests over a memif."""

from __future__ import annotations

import contextlib
import math
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from libmemif_py import MemifError, Timeout, errors

from . import stop
from .addresses import Mac, mac_of, neighbour, resolve, version_options
from .formats.echo import TTL, Host, PacketError
from .options import (
    EXAMPLES_FIRST,
    MOST_BYTES,
    InterfaceOptions,
    interface_options,
    say,
)
from .report import json_text
from .targets import EthernetTarget, IpTarget
from .waiting import NoAnswer, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from libmemif_py import Interface

    from .formats.echo import Address, EchoReply

_ASK_INTERVAL = 1.0
_ROOM = 1.0  # seconds to wait for room in the ring
_BURST = 64


@dataclass
class Statistics:
    """The counts and times of a ping."""

    sent: int = 0
    received: int = 0
    duplicates: int = 0
    errors: int = 0
    """Requests of which a host on the way said that they do not arrive."""
    wrong: int = 0
    times: list[float] = field(default_factory=list)
    """Round trip of each answer in seconds."""

    def summary(self) -> dict[str, Any]:
        """The statistics as `--json` shows them; times in milliseconds."""
        lost = self.sent - self.received
        result = {
            "transmitted": self.sent,
            "received": self.received,
            "duplicates": self.duplicates,
            "errors": self.errors,
            "wrong": self.wrong,
            "loss_percent": 100 * lost / self.sent if self.sent else 0.0,
        }
        if self.times:
            average = sum(self.times) / len(self.times)
            spread = math.sqrt(sum((time - average) ** 2 for time in self.times) / len(self.times))
            named = zip(
                ("min", "avg", "max", "mdev"),
                (min(self.times), average, max(self.times), spread),
                strict=True,
            )
            result |= {f"rtt_{name}_ms": value * 1000 for name, value in named}
        return result


class _Ping:
    """Pings one address. While there is no link, requests are lost."""

    def __init__(
        self,
        interface: Interface,
        host: EthernetTarget | IpTarget,
        size: int,
        show: bool,
    ) -> None:
        self.statistics = Statistics()
        self._interface = interface
        self._host = host
        self._show = show
        self._identifier = os.getpid() & 0xFFFF
        self._payload = bytes(index % 256 for index in range(size))
        self._unanswered: dict[int, float] = {}
        self._unsent: list[int] = []
        self._ask_again = 0.0

    def run(self, count: int | None, interval: float, patience: float, give_up: float) -> None:
        """Send `count` requests (None: no limit), then wait for the last answers.

        A request waits for the MAC address, up to `patience` seconds. Raises NoAnswer if without a
        `count` nobody tells it within `give_up` seconds.
        """
        due = time.monotonic()
        end_of_search = math.inf if count else due + give_up
        sequence = 0
        while count is None or sequence < count:
            sequence += 1
            self._send(sequence % 2**16)
            due = max(due + interval, time.monotonic()) if interval else 0.0
            is_last = sequence == count
            if is_last or not interval:
                self._listen(patience, lambda: not self._unanswered)
                self._forget(0)
            else:
                if not self._host.was_found:
                    self._listen(min(due, end_of_search) - time.monotonic(), lambda: False)
                    self._check_search(end_of_search)
                self._listen(due - time.monotonic(), lambda: False)
                self._forget(patience)
            self._check_search(end_of_search)

    def _check_search(self, end: float) -> None:
        if time.monotonic() >= end:
            self.check_found()

    def check_found(self) -> None:
        """Raises NoAnswer unless the MAC address was found once."""
        if not self._host.was_found:
            raise NoAnswer(
                f"{self._host.asked} does not answer {self._host.family.discovery}: check that the "
                "other end has this address, and that our address (--from) is in the same network"
            )

    def _send(self, sequence: int) -> None:
        self._unanswered[sequence] = time.perf_counter()
        self.statistics.sent += 1
        self._unsent.append(sequence)
        self._send_waiting()

    def _send_waiting(self) -> None:
        """Send the requests that waited for a MAC address, except those that are too late."""
        if not self._host.is_ready:
            self._ask()
            return
        for sequence in self._unsent:
            if sequence in self._unanswered:
                self._put(self._host.request(self._identifier, sequence, self._payload))
        self._unsent.clear()

    def _ask(self) -> None:
        self._put(self._host.question())
        self._ask_again = time.monotonic() + _ASK_INTERVAL

    def _put(self, packet: bytes) -> None:
        """Send a packet. Without a link it is lost, as on a wire.

        On a new link, wait for room: a slave may not have posted its buffers yet.
        """
        with contextlib.suppress(MemifError):
            self._interface.send(packet, _ROOM if self._interface.connected else 0)

    def _forget(self, patience: float) -> None:
        """Give up requests that were sent more than `patience` seconds ago."""
        now = time.perf_counter()
        late = [sequence for sequence, then in self._unanswered.items() if now - then > patience]
        for sequence in late:
            del self._unanswered[sequence]
        self._unsent = [sequence for sequence in self._unsent if sequence in self._unanswered]
        if late:
            self._host.forget()

    def _listen(self, seconds: float, done: Callable[[], bool]) -> None:
        end = time.monotonic() + seconds
        while not done() and (left := end - time.monotonic()) > 0:
            if self._unsent:
                left = min(left, max(0.0, self._ask_again - time.monotonic()))
            try:
                frames = self._interface.recv_burst(_BURST, left)
            except (Timeout, errors.Disconnected):
                frames = []
            now = time.perf_counter()
            for frame in frames:
                self._take(frame, now)
            # At the end the next request asks.
            if self._unsent and self._ask_again <= time.monotonic() < end:
                self._ask()

    def _take(self, frame: bytes, now: float) -> None:
        reply = self._host.reply_to(frame)
        if reply is not None:
            self._put(reply)
        elif self._host.take_answer(frame):
            self._send_waiting()
        else:
            self._take_echo(frame, now)

    def _take_echo(self, frame: bytes, now: float) -> None:
        try:
            reply = self._host.read_reply(frame)
        except PacketError as error:
            if "checksum" in str(error):
                self.statistics.wrong += 1
                self._say(f"wrong packet: {error}")
            else:
                self._take_error(frame)
            return
        if (reply.source, reply.identifier) != (self._host.ip, self._identifier):
            return
        if reply.payload != self._payload:
            self.statistics.wrong += 1
            self._say(f"wrong payload of {len(reply.payload)} bytes: icmp_seq={reply.sequence}")
            return
        then = self._unanswered.pop(reply.sequence, None)
        if then is None:
            self.statistics.duplicates += 1
            self._say(f"{_shown(reply)} (late or DUP!)")
            return
        self.statistics.received += 1
        self.statistics.times.append(now - then)
        self._say(f"{_shown(reply)} time={(now - then) * 1000:.3f} ms")

    def _take_error(self, frame: bytes) -> None:
        """Show what a host on the way says about a request. Nobody waits for its answer then."""
        try:
            error = self._host.read_error(frame)
        except PacketError:
            return  # other traffic
        if (error.target, error.identifier) != (self._host.ip, self._identifier):
            return
        if self._unanswered.pop(error.sequence, None) is not None:
            self.statistics.errors += 1
            self._say(f"From {error.source} icmp_seq={error.sequence} {error.text}")

    def _say(self, text: str) -> None:
        if self._show:
            click.echo(text)


def _shown(reply: EchoReply) -> str:
    size = len(reply.payload) + 8
    return f"{size} bytes from {reply.source}: icmp_seq={reply.sequence} ttl={reply.ttl}"


def _print_summary(target: str, statistics: Statistics, seconds: float) -> None:
    result = statistics.summary()
    extra = f", +{statistics.duplicates} duplicates" if statistics.duplicates else ""
    extra += f", +{statistics.wrong} corrupted" if statistics.wrong else ""
    extra += f", +{statistics.errors} errors" if statistics.errors else ""
    click.echo(f"\n--- {target} ping statistics ---")
    click.echo(
        f"{statistics.sent} packets transmitted, {statistics.received} received{extra}, "
        f"{result['loss_percent']:.3g}% packet loss, time {seconds * 1000:.0f}ms"
    )
    if statistics.times:
        values = "/".join(f"{result[f'rtt_{x}_ms']:.3f}" for x in ("min", "avg", "max", "mdev"))
        click.echo(f"rtt min/avg/max/mdev = {values} ms")


def _target(
    options: InterfaceOptions,
    ip: Address,
    source: Address,
    mac: bytes | None,
    ttl: int,
    via: Address | None,
) -> EthernetTarget | IpTarget:
    if options.mode != "ip":
        return EthernetTarget(Host(mac or mac_of(source), source), ip, ttl, via)
    for name, value in (("--mac", mac), ("--via", via)):
        if value is not None:
            raise click.UsageError(f"{name}: packets have no MAC addresses with --mode ip")
    return IpTarget(source, ip, ttl)


@click.command("ping", context_settings=EXAMPLES_FIRST)
@click.argument("name", metavar="ADDR")
@version_options
@click.option("-c", "count", type=click.IntRange(1), help="End after this many requests.")
@click.option(
    "-i", "interval", type=click.FloatRange(0), default=1.0, show_default=True,
    help="Seconds between requests; 0: send each request when the previous one is answered.",
)  # fmt: skip
@click.option(
    "-s", "size", type=click.IntRange(0, MOST_BYTES), default=56, show_default=True,
    help="Bytes of payload.",
)  # fmt: skip
@click.option(
    "-t", "--ttl", type=click.IntRange(1, 255), default=TTL, show_default=True,
    help="Time to live of the requests (hop limit in IPv6).",
)  # fmt: skip
@click.option(
    "-W", "patience", type=click.FloatRange(0, min_open=True), default=2.0, show_default=True,
    help="Seconds to wait for an answer.",
)  # fmt: skip
@click.option(
    "--via", "via_name", metavar="ROUTER", help="Send to the MAC address of this IP address."
)
@click.option(
    "--from", "source_name", metavar="ADDR",
    help="Our IP address. Default: one next to ROUTER, else to ADDR.",
)  # fmt: skip
@click.option(
    "--mac",
    type=Mac(),
    help="Our MAC address. Default: 02:fe, then the last four bytes of our IP address.",
)
@click.option("-q", "quiet", is_flag=True, help="Print only the first line and the statistics.")
@click.option("--json", "as_json", is_flag=True, help="Print only the statistics, as JSON.")
@interface_options()
def command(
    options: InterfaceOptions,
    name: str,
    version: int | None,
    count: int | None,
    interval: float,
    size: int,
    ttl: int,
    patience: float,
    via_name: str | None,
    source_name: str | None,
    mac: bytes | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Send echo requests to ADDR over a memif: an IPv4 or IPv6 address, or a host name.

    ARP or neighbour discovery finds its MAC address, or that of the router --via. With --mode ip
    there are no MAC addresses; a VPP interface may be in this mode. When the other end leaves, ping
    goes on, and requests are lost until it comes back. Without -c, ping ends if nobody tells the
    MAC address within --wait.

    \b
    Examples:
      memif ping 192.168.1.2 -S /tmp/memif.sock
      memif ping fd00::2 -S /tmp/memif.sock --role master -c 5 -i 0.2
      memif ping 10.0.0.1 --from 10.0.0.9 -s 8000 -S @abstract --id 1
      memif ping 203.0.113.7 --via 10.0.0.1 --ttl 2
      memif ping -6 router.example --mode ip -q

    Exit status: 0 if answers came, 1 if none came or there was no link, also after Ctrl+C; 2 wrong
    usage; 143 after SIGTERM.
    """
    options.check_headers_known()
    ip = resolve(name, version)
    via = None if via_name is None else resolve(via_name, ip.version)
    source = neighbour(via or ip) if source_name is None else resolve(source_name, ip.version)
    target = _target(options, ip, source, mac, ttl, via)
    if size > MOST_BYTES - target.family.headers:
        most = MOST_BYTES - target.family.headers
        raise click.UsageError(f"-s {size}, expected at most {most} over IPv{ip.version}")
    shown = printable(name)
    received = 0
    with stop.by_ctrl_c(), options.open(say) as interface:
        options.wait(interface)
        ping = _Ping(interface, target, size, not (as_json or quiet))
        if not as_json:
            address = "" if shown == str(ip) else f" ({ip})"
            click.echo(f"PING {shown}{address} from {source}: {size} data bytes")
        start = time.monotonic()
        try:
            ping.run(count, interval, patience, max(patience, options.timeout))
        finally:
            received = ping.statistics.received
            if as_json:
                click.echo(json_text({"target": str(ip), **ping.statistics.summary()}))
            else:
                _print_summary(shown, ping.statistics, time.monotonic() - start)
        ping.check_found()
    return 0 if received else 1
