# SPDX-License-Identifier: Apache-2.0
"""`memif info`: which master listens on a socket."""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
from pathlib import Path
from typing import Any

import click

from libmemif_py import errors
from libmemif_py.control import channel, reactor, socket_path, wire

from . import stop
from .options import EXAMPLES_FIRST, default_socket, path_of
from .waiting import NoAnswer, wait_option

_FAULTS = {
    FileNotFoundError: "there is no such socket: start the master first, or correct the path",
    ConnectionRefusedError: "nobody listens: the master has ended, or (with @) has not started",
    PermissionError: "permission denied: the permissions of the socket file say who may connect",
}
_EXPECTED = "expected the socket of a memif master"
_PATIENCE = 10
"""Longer than a relay keeps us while nobody listens behind it: then it says so."""


def _connect(path: str) -> channel.Channel:
    try:
        return channel.connect(os.fsencode(path), reactor.lib)
    except errors.ArgumentError as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        reason = _FAULTS.get(type(error), f"{error.strerror}, {_EXPECTED}")
        raise NoAnswer(f"{path}: {_what_else_it_is(path) or reason}") from error


def _what_else_it_is(path: str) -> str:
    """What a path is if it is there and no socket, else empty."""
    kind = socket_path.other_kind(os.fsencode(path))
    return f"is a {kind}, {_EXPECTED}" if kind else ""


def _hello(path: str, peer: channel.Channel, timeout: float) -> wire.Hello:
    if not select.select([peer], [], [], None if math.isinf(timeout) else timeout)[0]:
        raise NoAnswer(f"{path}: no HELLO within {timeout:g} s, expected one from a memif master")
    try:
        data, fds = peer.receive()
        channel.close_fds(fds)
        message = wire.decode(data, wire.VERSION_2)
    except (channel.FdsWaiting, OSError, wire.WireError) as error:
        raise NoAnswer(f"{path}: not a memif master: {error}") from error
    if isinstance(message, wire.Disconnect):
        raise NoAnswer(f"{path}: refused: {wire.printable(message.reason)}")
    if not isinstance(message, wire.Hello):
        raise NoAnswer(f"{path}: sent {message.label}, expected HELLO of a memif master")
    return message


def _program_of(pid: int) -> str:
    """The name of a process; empty if we may not see it."""
    try:
        return wire.printable(Path(f"/proc/{pid}/comm").read_bytes().removesuffix(b"\n"))
    except OSError:
        return ""


def _leave(peer: channel.Channel) -> None:
    """Send DISCONNECT, then close. VPP crashes if a peer leaves after HELLO without it."""
    with contextlib.suppress(OSError):  # the peer has closed first
        peer.send(wire.encode(wire.Disconnect(0, b"only looking"), wire.VERSION_2))
    peer.close()


def look(path: str, timeout: float) -> dict[str, Any]:
    """Connect, read HELLO, disconnect. Raises NoAnswer, UsageError."""
    peer = None
    try:
        with stop.held():
            peer = _connect(path)
        hello = _hello(path, peer, timeout)
        pid, uid, gid = peer.peer
    finally:
        if peer is not None:
            _leave(peer)
    return {
        "socket": path,
        "name": wire.printable(hello.name),
        "min_version": hello.min_version,
        "max_version": hello.max_version,
        "max_regions": hello.max_region + 1,
        "max_m2s_rings": hello.max_m2s_ring + 1,
        "max_s2m_rings": hello.max_s2m_ring + 1,
        "max_ring_size": 1 << hello.max_log2_ring_size,
        "pid": pid,
        "program": _program_of(pid),
        "uid": uid,
        "gid": gid,
    }


@click.command("info", context_settings=EXAMPLES_FIRST)
@click.argument("word", metavar="[SOCKET]", required=False)
@click.option("-S", "--socket", "option", metavar="SOCKET", help="The same as the argument.")
@wait_option(_PATIENCE, "HELLO")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(word: str | None, option: str | None, timeout: float, as_json: bool) -> None:
    """Show which master listens on SOCKET: connect, read its HELLO message, and disconnect.

    Without SOCKET: MEMIF_SOCKET if set, else /run/vpp/memif.sock. This does not disturb connected
    interfaces and needs no secret. Options in the word, as in SOCKET,id=1, are for the other
    commands.

    \b
    Examples:
      memif info /tmp/memif.sock
      memif info @abstract --json

    Exit status: 0 if a master answered, 1 if none did, 2 wrong usage, 130 after Ctrl+C, 143 after
    SIGTERM.
    """
    if word is not None and option is not None:
        raise click.UsageError(f"{word!r} and -S {option!r}, expected one socket")
    socket = path_of(word or option or default_socket())
    found = look(socket, timeout)
    if as_json:
        click.echo(json.dumps(found))
        return
    versions = " to ".join(
        f"{version} ({version >> 8}.{version & 255})"
        for version in sorted({found["min_version"], found["max_version"]})
    )
    rows = {
        "socket": socket,
        "name": found["name"],
        "protocol": versions,
        "rings": f"{found['max_s2m_rings']} slave to master, {found['max_m2s_rings']} back, "
        f"of at most {found['max_ring_size']} slots",
        "regions": f"at most {found['max_regions']}",
        "process": f"{found['pid']} {found['program']}".rstrip(),
        "user": f"{found['uid']}, group {found['gid']}",
    }
    for name, value in rows.items():
        click.echo(f"{name:<9} {value}")
