# SPDX-License-Identifier: Apache-2.0
"""The command `memif-extcap`: memif sockets as capture interfaces."""

from __future__ import annotations

import math
import select
import time
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import click

from libmemif_py import MemifError, _install

from ..capture import writer_for
from ..filtering import filter_for
from ..formats import pcapng
from ..options import EXAMPLES_FIRST, InterfaceOptions, interface_options, options_of
from .config import config_of
from .offers import offers
from .sentences import sentence

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from libmemif_py import Interface

_ANY = "memif"
"""The interface whose socket the user types."""
_PREFIX = "memif:"
_UNQUOTED = "/@.,=+-_: "
# Wireshark makes files whose names contain that of the interface.
_LONGEST_NAME = 120
_PATIENCE = 10
_BURST = 256


# ---- interfaces ----


def _interfaces() -> Iterator[str]:
    yield sentence("extcap", version=_install.VERSION)
    any_socket = "memif: what the other end of a socket sends to you"
    yield sentence("interface", value=_ANY, display=any_socket)
    for offer in offers():
        name = _PREFIX + quote(offer.word, safe=_UNQUOTED, errors="surrogateescape")
        if len(name) <= _LONGEST_NAME:
            yield sentence("interface", value=name, display=offer.text)


def _link_types() -> Iterator[str]:
    """Of all modes. The capture itself names that of its own."""
    yield sentence("dlt", number=pcapng.ETHERNET, name="EN10MB", display="Ethernet")
    yield sentence("dlt", number=pcapng.RAW_IP, name="RAW", display="IP")
    yield sentence("dlt", number=pcapng.USER0, name="USER0", display="punt-inject")


def _with_interface(name: str | None, options: InterfaceOptions) -> InterfaceOptions:
    """The options for an interface by its name. Raises UsageError."""
    if name is None or not (name == _ANY or name.startswith(_PREFIX)):
        expected = f"expected {_ANY} or {_PREFIX}SOCKET"
        raise click.UsageError(f"--extcap-interface {name or 'is missing'}: {expected}")
    if name != _ANY:
        options = options_of(unquote(name[len(_PREFIX) :], errors="surrogateescape"), options)
    if options.timeout is None:
        patience = math.inf if options.role == "master" else _PATIENCE
        options = replace(options, timeout=patience)
    return options


# ---- capture ----


def _capture(options: InterfaceOptions, text: str | None, file: BinaryIO) -> None:
    """Copy packets into the file until its reader leaves. Raises NoAnswer, UsageError.

    `text` is a filter of packets, or None for all.
    """
    if text:
        filter_for(text, options.mode)  # a wrong one makes no interface
    names = (options.socket,)
    sink = writer_for(file, "", "pcapng", options.mode, pcapng.WHOLE, names, text or "")
    try:
        file.flush()
        # Wireshark takes every word on stderr for a failure.
        with options.open(lambda _: None) as interface:
            interface.set_filter(text or None)
            _copy(options, interface, sink, file)
    except BrokenPipeError:
        return


def _copy(
    options: InterfaceOptions, interface: Interface, sink: pcapng.Writer, file: BinaryIO
) -> None:
    queues = {interface.fileno(queue): queue for queue in range(options.queues)}
    ready = select.poll()
    ready.register(file, 0)  # reported once its reader has left
    for fd in queues:
        ready.register(fd, select.POLLIN)
    end = time.monotonic() + options.timeout
    while True:
        waiting = not math.isinf(end)
        events = ready.poll(max(0, end - time.monotonic()) * 1000 if waiting else None)
        if waiting and time.monotonic() >= end and not events:
            if not interface.connected:
                raise options.no_link(interface)
            end = math.inf
        for fd, _ in events:
            if fd not in queues:
                return
            end = math.inf
            _take(interface, queues[fd], sink)
        file.flush()


def _take(interface: Interface, queue: int, sink: pcapng.Writer) -> None:
    try:
        packets = interface.recv_burst(_BURST, 0, queue=queue)
    except MemifError:
        return  # the link went up or down
    now = time.time_ns()
    for packet in packets:
        sink.write(packet, now)


# ---- the command ----


@click.command("memif-extcap", context_settings=EXAMPLES_FIRST)
@click.version_option(_install.VERSION, message="%(version)s")
@click.option("--extcap-interfaces", "asked", flag_value="interfaces", help="List interfaces.")
@click.option("--extcap-dlts", "asked", flag_value="dlts", help="List link types.")
@click.option("--extcap-config", "asked", flag_value="config", help="List settings.")
@click.option("--capture", "asked", flag_value="capture", help="Write packets into --fifo.")
@click.option("--extcap-interface", "name", metavar="NAME", help="The interface in question.")
@click.option("--fifo", "_fifo", metavar="FILE", help="Where Wireshark reads packets.")
@click.option(
    "--extcap-capture-filter", "text", metavar="FILTER",
    help="Capture only packets that match, as for tcpdump. Without --capture: say what is wrong.",
)  # fmt: skip
@click.option("--extcap-version", "_version", metavar="VERSION", help="Wireshark's; it is ignored.")
@interface_options(wait=None)
@click.pass_context
def command(
    context: click.Context,
    /,
    options: InterfaceOptions,
    asked: str | None,
    name: str | None,
    text: str | None,
    **_ignored: str | None,
) -> None:
    """Offer memif sockets to Wireshark as interfaces. Wireshark starts this program.

    A capture is one end of a memif: it receives what the other end sends, and sends nothing. It
    does not see packets between two other programs. To see these, put `memif bridge -w FILE`
    between them.

    The interface `memif` takes its socket from --socket. `memif:SOCKET` is one on which a program
    listens. Without --wait, a slave waits 10 seconds for the other end, a master forever.

    \b
    Examples:
      memif-extcap --extcap-interfaces
      tshark -D
      tshark -i memif:/run/vpp/memif.sock -c 10
      tshark -i memif -o extcap.memif.socket:/tmp/memif.sock -o extcap.memif.role:master

    Exit status: 0 success, also of a capture that Wireshark ends, 1 no connection, 2 wrong usage.
    """
    file: BinaryIO | None = context.obj  # see main.py
    if asked == "interfaces":
        _print(_interfaces())
        return
    chosen = _with_interface(name, options)
    if asked == "dlts":
        _print(_link_types())
    elif asked == "config":
        _print(config_of(context.command, any_socket=name == _ANY))
    elif asked == "capture" and file is not None:
        _capture(chosen, text, file)
    elif asked is None and text is not None:
        _check_filter(text, chosen.mode)
    else:
        raise click.UsageError(
            "expected --extcap-interfaces, --extcap-dlts, --extcap-config, or --capture with --fifo"
        )


def _check_filter(text: str, mode: str) -> None:
    """Print what is wrong. Nothing on stdout means that the filter is good."""
    try:
        filter_for(text, mode)
    except click.ClickException as error:
        click.echo(error.format_message())


def _print(lines: Iterator[str]) -> None:
    for line in lines:
        click.echo(line)
