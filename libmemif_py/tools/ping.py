# SPDX-License-Identifier: Apache-2.0
"""`memif ping`: ARP, then ICMP echo, over a memif."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address
from typing import TYPE_CHECKING, Any

import click

from libmemif_py import Timeout

from .icmp_packets import (
    HEADERS,
    EchoReply,
    Host,
    PacketError,
    answer,
    arp_request,
    echo_request,
    read_arp_reply,
    read_echo_reply,
)
from .options import EXAMPLES_FIRST, MOST_BYTES, Link, NoAnswer, link_options

if TYPE_CHECKING:
    from libmemif_py import Interface

_ARP_INTERVAL = 1.0
_BURST = 64


class Ipv4(click.ParamType):
    """An address such as 192.168.1.2."""

    name = "address"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> IPv4Address:
        """From text."""
        try:
            return IPv4Address(value)
        except AddressValueError:
            self.fail(
                f"{value!r}, expected an IPv4 address such as 192.168.1.2", parameter, context
            )


class Mac(click.ParamType):
    """Six bytes such as 02:fe:00:00:00:01."""

    name = "mac"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> bytes:
        """From text."""
        if isinstance(value, bytes):
            return value
        try:
            mac = bytes(int(part, 16) for part in value.split(":"))
        except ValueError:
            mac = b""
        if len(mac) != 6 or mac[0] & 1:
            self.fail(
                f"{value!r}, expected a MAC address of one host such as 02:fe:00:00:00:01",
                parameter,
                context,
            )
        return mac


def mac_of(ip: IPv4Address) -> bytes:
    """A locally administered address that tells hosts with different IP addresses apart."""
    return b"\x02\xfe" + ip.packed


def neighbour(ip: IPv4Address) -> IPv4Address:
    """An address beside another one."""
    number = int(ip)
    return IPv4Address(number - 1 if number & 255 > 1 else number + 1)


@dataclass
class Statistics:
    """What a ping has seen."""

    sent: int = 0
    received: int = 0
    duplicates: int = 0
    wrong: int = 0
    times: list[float] = field(default_factory=list)
    """Seconds, of each answer."""

    def summary(self) -> dict[str, Any]:
        """As `--json` shows it; times in milliseconds."""
        lost = self.sent - self.received
        result = {
            "transmitted": self.sent,
            "received": self.received,
            "duplicates": self.duplicates,
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
    """One conversation with one address."""

    def __init__(
        self, interface: Interface, us: Host, target: IPv4Address, size: int, show: bool
    ) -> None:
        self.statistics = Statistics()
        self._interface = interface
        self._us = us
        self._target_ip = target
        self._target: Host | None = None
        self._show = show
        self._identifier = os.getpid() & 0xFFFF
        self._payload = bytes(index % 256 for index in range(size))
        self._unanswered: dict[int, float] = {}

    def resolve(self, patience: float) -> None:
        """ARP, asked again each second. Raises NoAnswer."""
        end = time.monotonic() + patience
        while self._target is None:
            left = end - time.monotonic()
            if left <= 0:
                raise NoAnswer(
                    f"{self._target_ip} does not answer ARP within {patience:g} s: is it the "
                    "address of the other end, and is that in the network of "
                    f"{self._us.ip} (--from)?"
                )
            self._interface.send(arp_request(self._us, self._target_ip), left)
            self._listen(min(_ARP_INTERVAL, left), lambda: self._target is not None)

    def run(self, count: int | None, interval: float, patience: float) -> None:
        """Send `count` requests (None: for ever), then wait for the last answers."""
        due = time.monotonic()
        sequence = 0
        while count is None or sequence < count:
            sequence += 1
            self._send(sequence % 2**16)
            due = max(due + interval, time.monotonic()) if interval else 0.0
            is_last = sequence == count
            if is_last or not interval:
                self._listen(patience, lambda: not self._unanswered)
                self._unanswered.clear()
            else:
                self._listen(due - time.monotonic(), lambda: False)
                self._forget(patience)

    def _send(self, sequence: int) -> None:
        request = echo_request(self._us, self._target, self._identifier, sequence, self._payload)
        self._unanswered[sequence] = time.perf_counter()
        self.statistics.sent += 1
        self._interface.send(request)

    def _forget(self, patience: float) -> None:
        """Answers that come later than this do not count."""
        now = time.perf_counter()
        late = [sequence for sequence, then in self._unanswered.items() if now - then > patience]
        for sequence in late:
            del self._unanswered[sequence]

    def _listen(self, seconds: float, done: Any) -> None:
        end = time.monotonic() + seconds
        while not done() and (left := end - time.monotonic()) > 0:
            try:
                frames = self._interface.recv_burst(_BURST, left)
            except Timeout:
                return
            now = time.perf_counter()
            for frame in frames:
                self._take(frame, now)

    def _take(self, frame: bytes, now: float) -> None:
        reply = answer(frame, self._us)  # the other end may have to ask for us first
        if reply is not None:
            self._interface.send(reply, 1.0)
        elif self._target is None:
            self._take_arp(frame)
        else:
            self._take_echo(frame, now)

    def _take_arp(self, frame: bytes) -> None:
        try:
            found = read_arp_reply(frame, self._us)
        except PacketError:
            return  # other traffic
        if found.ip == self._target_ip:
            self._target = found

    def _take_echo(self, frame: bytes, now: float) -> None:
        try:
            reply = read_echo_reply(frame, self._us)
        except PacketError as error:
            if "checksum" in str(error):
                self.statistics.wrong += 1
                self._say(f"wrong packet: {error}")
            return
        if (reply.source, reply.identifier) != (self._target_ip, self._identifier):
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

    def _say(self, text: str) -> None:
        if self._show:
            click.echo(text)


def _shown(reply: EchoReply) -> str:
    size = len(reply.payload) + 8
    return f"{size} bytes from {reply.source}: icmp_seq={reply.sequence} ttl={reply.ttl}"


def _print_summary(target: IPv4Address, statistics: Statistics, seconds: float) -> None:
    result = statistics.summary()
    extra = f", +{statistics.duplicates} duplicates" if statistics.duplicates else ""
    extra += f", +{statistics.wrong} errors" if statistics.wrong else ""
    click.echo(f"\n--- {target} ping statistics ---")
    click.echo(
        f"{statistics.sent} packets transmitted, {statistics.received} received{extra}, "
        f"{result['loss_percent']:.3g}% packet loss, time {seconds * 1000:.0f}ms"
    )
    if statistics.times:
        values = "/".join(f"{result[f'rtt_{x}_ms']:.3f}" for x in ("min", "avg", "max", "mdev"))
        click.echo(f"rtt min/avg/max/mdev = {values} ms")


@click.command("ping", context_settings=EXAMPLES_FIRST)
@click.argument("target", metavar="ADDR", type=Ipv4())
@click.option("-c", "count", type=click.IntRange(1), help="End after so many requests.")
@click.option(
    "-i", "interval", type=click.FloatRange(0), default=1.0, show_default=True,
    help="Seconds between requests; 0: each as soon as the one before was answered.",
)  # fmt: skip
@click.option(
    "-s", "size", type=click.IntRange(0, MOST_BYTES - HEADERS), default=56, show_default=True,
    help="Bytes of payload.",
)  # fmt: skip
@click.option(
    "-W", "patience", type=click.FloatRange(0, min_open=True), default=2.0, show_default=True,
    help="Seconds to wait for an answer.",
)  # fmt: skip
@click.option("--from", "source", type=Ipv4(), help="Our address; without it one beside ADDR.")
@click.option("--mac", type=Mac(), help="Our MAC address; without it 02:fe and our address.")
@click.option("--json", "as_json", is_flag=True, help="Only the statistics, as JSON.")
@link_options()
def command(
    link: Link,
    target: IPv4Address,
    count: int | None,
    interval: float,
    size: int,
    patience: float,
    source: IPv4Address | None,
    mac: bytes | None,
    as_json: bool,
) -> int:
    """Ask ADDR, an IPv4 address behind a memif, for echo: ARP first, then ICMP.

    \b
    Examples:
      memif ping 192.168.1.2 -S /tmp/memif.sock
      memif ping 192.168.1.2 -S /tmp/memif.sock --role master -c 5 -i 0.2
      memif ping 10.0.0.1 --from 10.0.0.9 -s 8000 -S @abstract --id 1

    Exit status: 0 when answers came, 1 when none did or nobody was reached.
    """
    if link.mode != "ethernet":
        raise click.UsageError(f"--mode {link.mode}: ping begins with ARP, which needs ethernet")
    source = source or neighbour(target)
    us = Host(mac or mac_of(source), source)
    with link.open() as interface:
        link.wait(interface)
        ping = _Ping(interface, us, target, size, not as_json)
        ping.resolve(max(patience, link.patience or patience))
        if not as_json:
            click.echo(f"PING {target} from {source}: {size} data bytes")
        start = time.monotonic()
        try:
            ping.run(count, interval, patience)
        finally:
            if as_json:
                click.echo(json.dumps({"target": str(target), **ping.statistics.summary()}))
            else:
                _print_summary(target, ping.statistics, time.monotonic() - start)
    return 0 if ping.statistics.received else 1
