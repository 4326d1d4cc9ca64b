# SPDX-License-Identifier: Apache-2.0
"""`memif relay`: joins each slave that comes to one socket with the master of another."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from libmemif_py import errors
from libmemif_py.control import reactor, regions, socket_path, system
from libmemif_py.control.listener import MAX_UNNAMED, SHORT_PAUSE
from libmemif_py.control.sockets import ListeningSocket
from libmemif_py.control.steps import Steps
from libmemif_py.settings import access

from . import stop
from .control_trace import control_trace_option, recorded
from .options import EXAMPLES_FIRST, OF_MASTERS, say, settings_of, sockets_option
from .relay_pair import Pair, Terms
from .waiting import NoAnswer, wait_option

if TYPE_CHECKING:
    from libmemif_py.control.channel import Channel
    from libmemif_py.control.sockets import Access

MOST_WAITING = MAX_UNNAMED // 2
"""Pairs that are not joined yet. For one more, the oldest has to go. A master has room for more
than these, so that a crowd behind the relay keeps nobody else away from it."""
_PATIENCE = 5
_TURN_PATIENCE = 1.0
_GLANCE = 0.001
_OTHER = {"master": "slave", "slave": "master"}
_DEVICE = re.compile(r"(tap|tun|if):")


@dataclass(frozen=True)
class _Side:
    """What a word names."""

    word: str
    path: str
    role: str | None
    """Of the relay there; None where the word does not say."""
    id: int | None
    file: dict[str, Any]
    """Mode, owner and group of the socket file, as far as the word has them."""

    def access(self) -> Access:
        """Who may connect. Raises UsageError."""
        try:
            return access(*(self.file.get(key) for key in OF_MASTERS))
        except errors.ArgumentError as error:
            raise click.UsageError(str(error)) from error


def _side_of(word: str) -> _Side:
    if _DEVICE.match(word):
        raise click.UsageError(f"{word!r}: a relay joins two memif sockets; use memif bridge")
    path, settings = settings_of(word)
    for key in settings:
        if key not in ("role", "id", *OF_MASTERS):
            raise click.UsageError(
                f"{word!r} has {key.replace('_', '-')!r}, expected role or id, or socket-mode, "
                "-owner or -group: all else is for the two ends, and passes unseen"
            )
    file = {key: settings[key] for key in OF_MASTERS if key in settings}
    try:
        socket_path.check(os.fsencode(path))
    except errors.ArgumentError as error:
        raise click.UsageError(str(error)) from error
    return _Side(word, path, settings.get("role"), settings.get("id"), file)


def _directed(first: _Side, second: _Side) -> tuple[_Side, _Side]:
    """The side where slaves come to, and the one where the master is. Raises UsageError."""
    role = first.role or _OTHER[second.role or "slave"]
    other = second.role or _OTHER[role]
    if role == other == "master":
        raise click.UsageError(
            "both sides listen, so two slaves would meet, and each brings memory of its own: use "
            "memif bridge, which copies"
        )
    if role == other:
        raise click.UsageError(
            "both sides connect, so two masters would meet, and neither brings memory: use memif "
            "bridge, which copies"
        )
    return (first, second) if role == "master" else (second, first)


class _Relay:
    """The listening socket, and the pairs of all slaves that came."""

    def __init__(self, side: _Side, terms: Terms) -> None:
        """Listen at the side of the slaves. Raises UsageError, NoAnswer."""
        self._terms = terms
        self._numbers = itertools.count(1)
        self._pairs: dict[Pair, None] = {}  # the oldest first
        self._said = ""
        self._loop = asyncio.new_event_loop()
        self._stopped_by = 0
        self._failure: BaseException | None = None
        try:
            self._socket = _listening(side.path, side.access())
        except BaseException:
            self._loop.close()
            raise

    def run(self) -> None:
        """Join pairs until a signal ends the command. Raises Stopped."""
        loop = self._loop
        loop.set_exception_handler(self._failed)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop, number)
        self._listen()
        loop.run_forever()
        if self._failure is not None:
            raise self._failure
        raise stop.Stopped(self._stopped_by)

    def close(self) -> None:
        """End all pairs, and tell their ends."""
        with Steps() as steps:
            steps.take(self._loop.remove_reader, self._socket.fileno())
            steps.take(self._socket.close)
            for pair in list(self._pairs):
                steps.take(pair.stop)
            steps.take(self._loop.close)

    def _stop(self, number: int) -> None:
        self._stopped_by = number
        self._loop.stop()

    def _failed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A mistake of ours: end with its traceback."""
        self._failure = context.get("exception") or RuntimeError(context["message"])
        self._loop.stop()

    def _listen(self) -> None:
        self._loop.add_reader(self._socket.fileno(), self._on_ready)

    def _on_ready(self) -> None:
        try:
            slave = self._socket.accept()
        except BlockingIOError:
            return
        except OSError as error:
            self._say(None, f"no more slaves for now: {system.reason_of(error)}")
            self._loop.remove_reader(self._socket.fileno())
            self._loop.call_later(SHORT_PAUSE, self._listen)
            return
        if slave.peer[0] == os.getpid():
            slave.close()  # we have connected to ourselves, and will notice there
            return
        self._begin(slave)

    def _begin(self, slave: Channel) -> None:
        waiting = [pair for pair in self._pairs if not pair.is_joined]
        if len(waiting) >= MOST_WAITING:
            waiting[0].stop("too many connections wait for their handshake")
        pair = Pair(self._loop, self._terms, slave, self._over, self._say)
        self._pairs[pair] = None
        pair.start()

    def _over(self, pair: Pair) -> None:
        self._pairs.pop(pair, None)

    def _say(self, pair: Pair | None, text: str) -> None:
        """Joined pairs have numbers. What others repeat, as they try again, is said once."""
        if pair is not None and pair.is_joined and not pair.number:
            pair.number = next(self._numbers)
        if pair is not None and pair.number:
            say(f"pair {pair.number}: {text}")
        elif text != self._said:
            say(text)
            self._said = text


def _listening(path: str, access: Access) -> ListeningSocket:
    """Raises UsageError, NoAnswer."""
    end = time.monotonic() + _TURN_PATIENCE
    while True:
        try:
            return ListeningSocket(os.fsencode(path), reactor.lib, access)
        except socket_path.TurnTaken as error:
            if time.monotonic() > end:
                raise NoAnswer(f"{path}: {error}") from error
            time.sleep(_GLANCE)
        except errors.ArgumentError as error:
            raise click.UsageError(str(error)) from error
        except FileNotFoundError as error:
            folder = os.path.dirname(path) or "."
            raise NoAnswer(f"{path}: no folder {folder!r}, make it first") from error
        except OSError as error:
            raise NoAnswer(f"{path}: {system.reason_of(error)}") from error
        except errors.MemifError as error:
            raise NoAnswer(f"{path}: {error}") from error


@click.command("relay", context_settings=EXAMPLES_FIRST)
@click.argument("words", metavar="A B", nargs=-1)
@sockets_option()
@click.option(
    "--unsealed",
    type=click.Choice(regions.UNSEALED),
    default="trusted",
    show_default=True,
    help="From which slaves to pass on memory that they could shrink, as DPDK's zero-copy does: "
    "root and our own user, nobody, or everybody.",
)
@control_trace_option()
@wait_option(_PATIENCE, "somebody to listen at B, while a slave is here")
def command(
    words: tuple[str, ...],
    sockets: tuple[str, ...],
    unsealed: str,
    trace_path: str | None,
    timeout: float,
) -> None:
    """Join slaves that connect to A with the master that listens at B, until Ctrl+C.

    Only the messages with which a connection comes up and ends pass through the relay, with their
    descriptors. Packets go directly from one end to the other, through the memory of the slave. So
    the relay costs nothing while a connection is up, but it must stay: if it ends, so do its
    connections.

    \b
    A and B are
      SOCKET[,role=...][,id=...]  role=master: the relay listens there, for slaves
                                  role=slave: it connects, to the master
                                  id: see below
                                  with role=master also ,socket-mode= ,socket-owner=
                                  ,socket-group= for its file: who may connect

    Without roles, A is master and B is slave. One side must be master and the other slave; to join
    two slaves or two masters, use `memif bridge`, which copies packets.

    Each slave gets a connection of its own to B. The interface id that it asks for is passed on.
    With id= at the side of the slaves, only this id is passed on; with id= at the other side, the
    master is asked for this one instead. All else is up to the two ends: versions, modes, secrets,
    which the relay does not look at.

    \b
    Examples:
      memif relay /run/pods/a.sock /run/vpp/memif.sock
      memif relay /run/pods/a.sock,id=0,socket-mode=660 /run/vpp/memif.sock,id=7
      memif relay /run/vpp/memif.sock,role=slave /run/pods/a.sock
      memif relay @clients /run/vpp/memif.sock --control-trace control.pcapng

    Exit status: 1 if it cannot listen, 2 wrong usage, 130 after Ctrl+C, 143 after SIGTERM.
    """
    words = (*sockets, *words)
    if len(words) != 2:
        raise click.UsageError(f"sides given: {len(words)}, expected two, A and B")
    slaves, masters = _directed(*map(_side_of, words))
    if slaves.path == masters.path:
        raise click.UsageError(f"both sides are {slaves.path!r}, expected two")
    if masters.file:
        raise click.UsageError(
            f"{masters.word!r}: mode, owner and group are for the socket of the side that listens"
        )
    terms = Terms(masters.path, timeout, slaves.id, masters.id, unsealed)
    with recorded(trace_path, [slaves.path, masters.path]):
        relay = _Relay(slaves, terms)
        with contextlib.closing(relay):
            say(f"relay from {slaves.path} to {masters.path}")
            relay.run()
