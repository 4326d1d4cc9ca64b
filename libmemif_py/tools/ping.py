# SPDX-License-Identifier: Apache-2.0
"""`memif ping`: sends ARP and ICMP echo requests over a memif."""

from __future__ import annotations

import contextlib
import math
import os
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import click

from libmemif_py import MemifError, Timeout, errors

from . import stop
from .addresses import Ipv4, Mac, mac_of, neighbour
from .formats.icmp import (
    HEADERS,
    EchoReply,
    Host,
    PacketError,
    answer,
    answer_ip,
    arp_request,
    echo_request,
    ip_echo_request,
    is_arp,
    read_arp_reply,
    read_echo_reply,
    read_ip_echo_reply,
)
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
    from collections.abc import Callable

    from libmemif_py import Interface

_ARP_INTERVAL = 1.0
_ROOM = 1.0  # seconds to wait for room in the ring
_BURST = 64


@dataclass
class Statistics:
    """The counts and times of a ping."""

    sent: int = 0
    received: int = 0
    duplicates: int = 0
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


class _Ethernet:
    """Packets to a host whose MAC address is found by ARP, again if necessary."""

    def __init__(self, us: Host, target: IPv4Address) -> None:
        self._us = us
        self._target_ip = target
        self._target: Host | None = None
        self.was_found = False

    @property
    def is_ready(self) -> bool:
        return self._target is not None

    def forget(self) -> None:
        """Ask for the MAC address again. VPP has another one after a restart."""
        self._target = None

    def question(self) -> bytes:
        return arp_request(self._us, self._target_ip)

    def take_answer(self, frame: bytes) -> None:
        try:
            found = read_arp_reply(frame, self._us)
        except PacketError:
            return  # other traffic
        if found.ip == self._target_ip:
            self._target = found
            self.was_found = True

    def request(self, identifier: int, sequence: int, payload: bytes) -> bytes:
        target = self._target
        if target is None:
            raise PacketError("the other end has not answered ARP yet")
        return echo_request(self._us, target, identifier, sequence, payload)

    def read_reply(self, frame: bytes) -> EchoReply:
        return read_echo_reply(frame, self._us)

    def reply_to(self, frame: bytes) -> bytes | None:
        """The answer if the other end asks for us, by ARP or ping; else None."""
        return answer(frame, self._us)


class _Ip:
    """Packets that begin with their IP header: there is no ARP."""

    is_ready = was_found = True

    def __init__(self, us: IPv4Address, target: IPv4Address) -> None:
        self._us = us
        self._target = target

    def forget(self) -> None:
        pass

    def question(self) -> bytes:
        return b""  # nobody asks: it is always ready

    def take_answer(self, packet: bytes) -> None:
        pass

    def request(self, identifier: int, sequence: int, payload: bytes) -> bytes:
        return ip_echo_request(self._us, self._target, identifier, sequence, payload)

    def read_reply(self, packet: bytes) -> EchoReply:
        return read_ip_echo_reply(packet, self._us)

    def reply_to(self, packet: bytes) -> bytes | None:
        return answer_ip(packet, self._us)


class _Ping:
    """Pings one address. While there is no link, requests are lost."""

    def __init__(
        self,
        interface: Interface,
        host: _Ethernet | _Ip,
        target: IPv4Address,
        size: int,
        show: bool,
    ) -> None:
        self.statistics = Statistics()
        self._interface = interface
        self._host = host
        self._target_ip = target
        self._show = show
        self._identifier = os.getpid() & 0xFFFF
        self._payload = bytes(index % 256 for index in range(size))
        self._unanswered: dict[int, float] = {}
        self._unsent: list[int] = []

    def run(self, count: int | None, interval: float, patience: float, give_up: float) -> None:
        """Send `count` requests (None: no limit), then wait for the last answers.

        A request waits for the answer to ARP, up to `patience` seconds. Raises NoAnswer if without
        a `count` nobody answers ARP within `give_up` seconds.
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
        """Raises NoAnswer unless ARP was answered once."""
        if not self._host.was_found:
            raise NoAnswer(
                f"{self._target_ip} does not answer ARP: check that the other end has this "
                "address, and that our address (--from) is in the same network"
            )

    def _send(self, sequence: int) -> None:
        self._unanswered[sequence] = time.perf_counter()
        self.statistics.sent += 1
        self._unsent.append(sequence)
        self._send_waiting()

    def _send_waiting(self) -> None:
        """Send the requests that waited for ARP, except those that are too late by now."""
        if not self._host.is_ready:
            self._put(self._host.question())
            return
        for sequence in self._unsent:
            if sequence in self._unanswered:
                self._put(self._host.request(self._identifier, sequence, self._payload))
        self._unsent.clear()

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
        ask_again = time.monotonic() + _ARP_INTERVAL
        while not done() and (left := end - time.monotonic()) > 0:
            if self._unsent:
                left = min(left, max(0.0, ask_again - time.monotonic()))
            try:
                frames = self._interface.recv_burst(_BURST, left)
            except (Timeout, errors.Disconnected):
                frames = []
            now = time.perf_counter()
            for frame in frames:
                self._take(frame, now)
            if self._unsent and time.monotonic() >= ask_again:
                self._put(self._host.question())
                ask_again = time.monotonic() + _ARP_INTERVAL

    def _take(self, frame: bytes, now: float) -> None:
        reply = self._host.reply_to(frame)
        if reply is not None:
            self._put(reply)
        elif not self._host.is_ready and is_arp(frame):
            self._host.take_answer(frame)
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
@click.option("-c", "count", type=click.IntRange(1), help="End after this many requests.")
@click.option(
    "-i", "interval", type=click.FloatRange(0), default=1.0, show_default=True,
    help="Seconds between requests; 0: send each request when the previous one is answered.",
)  # fmt: skip
@click.option(
    "-s", "size", type=click.IntRange(0, MOST_BYTES - HEADERS), default=56, show_default=True,
    help="Bytes of payload.",
)  # fmt: skip
@click.option(
    "-W", "patience", type=click.FloatRange(0, min_open=True), default=2.0, show_default=True,
    help="Seconds to wait for an answer.",
)  # fmt: skip
@click.option("--from", "source", type=Ipv4(), help="Our IPv4 address. Default: one next to ADDR.")
@click.option(
    "--mac",
    type=Mac(),
    help="Our MAC address. Default: 02:fe, then the bytes of our IPv4 address.",
)
@click.option("--json", "as_json", is_flag=True, help="Print only the statistics, as JSON.")
@interface_options()
def command(
    options: InterfaceOptions,
    target: IPv4Address,
    count: int | None,
    interval: float,
    size: int,
    patience: float,
    source: IPv4Address | None,
    mac: bytes | None,
    as_json: bool,
) -> int:
    """Send ICMP echo requests to the IPv4 address ADDR over a memif. ARP finds its MAC address.

    With --mode ip there is no ARP; a VPP interface may be in this mode. When the other end leaves,
    ping goes on, and requests are lost until it comes back. Without -c, ping ends if nobody answers
    ARP within --wait.

    \b
    Examples:
      memif ping 192.168.1.2 -S /tmp/memif.sock
      memif ping 192.168.1.2 -S /tmp/memif.sock --role master -c 5 -i 0.2
      memif ping 10.0.0.1 --from 10.0.0.9 -s 8000 -S @abstract --id 1
      memif ping 192.168.1.1 --mode ip

    Exit status: 0 if answers came, 1 if none came or there was no link, also after Ctrl+C; 2 wrong
    usage; 143 after SIGTERM.
    """
    options.check_headers_known()
    source = source or neighbour(target)
    host: _Ethernet | _Ip
    if options.mode == "ip":
        if mac is not None:
            raise click.UsageError("--mac: packets have no MAC addresses with --mode ip")
        host = _Ip(source, target)
    else:
        host = _Ethernet(Host(mac or mac_of(source), source), target)
    received = 0
    with stop.by_ctrl_c(), options.open(say) as interface:
        options.wait(interface)
        ping = _Ping(interface, host, target, size, not as_json)
        if not as_json:
            click.echo(f"PING {target} from {source}: {size} data bytes")
        start = time.monotonic()
        try:
            ping.run(count, interval, patience, max(patience, options.timeout))
        finally:
            received = ping.statistics.received
            if as_json:
                click.echo(json_text({"target": str(target), **ping.statistics.summary()}))
            else:
                _print_summary(target, ping.statistics, time.monotonic() - start)
        ping.check_found()
    return 0 if received else 1
