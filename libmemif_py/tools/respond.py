# SPDX-License-Identifier: Apache-2.0
"""`memif respond`: a host that answers pings, and before them ARP or neighbour discovery."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any

import click

from libmemif_py import MemifError

from .addresses import Mac, mac_of, resolve, version_options
from .formats.echo import Host
from .options import EXAMPLES_FIRST, InterfaceOptions, interface_options, say
from .report import json_text
from .targets import family_of
from .waiting import FOREVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from libmemif_py import Interface

    from .formats.echo import Address

_BURST = 256


class _Responder:
    """Answers each request on the queue on which it came."""

    def __init__(
        self, interface: Interface, queues: int, answer_to: Callable[[bytes], bytes | None]
    ) -> None:
        self.received = self.answered = self.dropped = 0
        self._interface = interface
        self._queues = queues
        self._answer_to = answer_to

    def run(self) -> None:
        """Answer until a signal ends the command."""
        ready = select.epoll()
        queue_of = {self._interface.fileno(queue): queue for queue in range(self._queues)}
        for fd in queue_of:
            ready.register(fd, select.EPOLLIN)
        while True:
            for fd, _ in ready.poll():
                self._serve(queue_of[fd])

    def _serve(self, queue: int) -> None:
        try:
            frames = self._interface.recv_burst(_BURST, 0, queue=queue)
        except MemifError:
            return  # the link went up or down
        self.received += len(frames)
        answers = [reply for frame in frames if (reply := self._answer_to(frame)) is not None]
        sent = 0
        if answers:
            try:
                sent = self._interface.send_burst(answers, 0, queue=queue)
            except MemifError:
                sent = 0  # no room or no link: lost, as on a wire
        self.answered += sent
        self.dropped += len(answers) - sent


def _answers(addresses: list[Address], mac: bytes, mode: str) -> Callable[[bytes], bytes | None]:
    """What answers a packet for these addresses; None for other packets."""
    answers: list[tuple[Callable[[bytes, Any], bytes | None], Address | Host]]
    if mode == "ip":
        answers = [(family_of(ip).answer_ip, ip) for ip in addresses]
    else:
        answers = [(family_of(ip).answer, Host(mac, ip)) for ip in addresses]

    def respond(packet: bytes) -> bytes | None:
        for answer, who in answers:
            if (reply := answer(packet, who)) is not None:
                return reply
        return None

    return respond


@click.command("respond", context_settings=EXAMPLES_FIRST)
@click.argument("names", metavar="ADDR...", nargs=-1, required=True)
@version_options
@click.option(
    "--mac",
    type=Mac(),
    help="Our MAC address. Default: 02:fe, then the last four bytes of the first ADDR.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the counts at the end as JSON.")
@interface_options(role="master", wait=FOREVER)
def command(
    options: InterfaceOptions,
    names: tuple[str, ...],
    version: int | None,
    mac: bytes | None,
    as_json: bool,
) -> None:
    """Answer pings for each ADDR, until Ctrl+C, and before them ARP or neighbour discovery.

    ADDR is an IPv4 or IPv6 address, or a host name. All have the same MAC address. With --mode ip
    there are no MAC addresses.

    \b
    Examples:
      memif respond 192.168.1.2 -S /tmp/memif.sock
      memif respond 192.168.1.2 fd00::2 fe80::2 -S /tmp/memif.sock
      memif respond 192.168.1.2 -S /run/vpp/memif.sock --role slave --queues 2

    Exit status: 1 if there was no link within `--wait`, 2 wrong usage, 130 after Ctrl+C, 143 after
    SIGTERM.
    """
    options.check_headers_known()
    addresses = [resolve(name, version) for name in names]
    mac = mac or mac_of(addresses[0])
    respond = _answers(addresses, mac, options.mode)
    shown = ", ".join(map(str, addresses))
    with options.open(say) as interface:
        responder = _Responder(interface, options.queues, respond)
        say(f"{shown} at {mac.hex(':')} on {options.shown}")
        try:
            options.wait_if_limited(interface)
            responder.run()
        finally:
            _print_counts(responder, as_json)


def _print_counts(responder: _Responder, as_json: bool) -> None:
    counts = {name: getattr(responder, name) for name in ("received", "answered", "dropped")}
    if as_json:
        click.echo(json_text(counts))
    else:
        click.echo("{received} received, {answered} answered, {dropped} dropped".format(**counts))
