# SPDX-License-Identifier: Apache-2.0
"""What running programs that use this library show of their interfaces.

    from libmemif_py import processes

    for process in processes():
        for interface in process.interfaces:
            print(process.pid, interface.path, interface.connected, interface.rx[0].packets)

A program shows its interfaces in a segment of shared memory (docs/reference/segment.md). Reading it
costs that program nothing. It is found through /proc/PID/fd, so a process of the same user is
visible, and to root all are, also those in containers. A program does not have to be honest: all
that is read is checked, and texts have no control characters.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from . import segment
from .control.wire import printable, up_to_nul
from .procfs import all_pids, effective_user, name_and_start

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

State = Literal["connected", "handshake", "waiting"]
_STATES: dict[int, State] = {segment.UP: "connected", segment.HANDSHAKE: "handshake"}
_UINT64_MAX = 2**64 - 1


@dataclass(frozen=True)
class ProcessQueue:
    """A queue of an interface, and its ring."""

    packets: int | None
    """Over all links of the interface. None, as the next four: the segment has no room for it."""
    bytes: int | None
    full: int | None
    """Of a transmit queue: attempts to send that found no room for all their packets."""
    interrupts: int | None
    """Of a transmit queue: signals to the peer. While the peer polls, there are none."""
    refused: int | None
    """Of a transmit queue: attempts of a C program to send what it had made too long or otherwise
    wrong."""
    polling: bool
    """Of a receive queue: the program polls, so the peer need not signal."""
    ring_size: int
    """In slots; 0 while the interface is not connected."""
    ring_fill: int | None
    """Slots that the receiver has not given back. None: not connected, or the ring cannot be read.
    """


@dataclass(frozen=True)
class ProcessInterface:
    """An interface of a process at one moment. Texts are escaped as in `Details`."""

    api: str
    """"1.0" or "4.0": of a C program; "Python"."""
    serial: int
    """No two interfaces of one `api` in a process have the same, now or later."""
    path: str
    """Socket path; "@name" is abstract. At most 384 bytes of it."""
    id: int
    role: Literal["master", "slave"]
    name: str
    app_name: str
    state: State
    """"waiting": a master for a peer, a slave for its next attempt."""
    version: int
    """Protocol version in use, 256 or 512; 0 when not connected."""
    peer_name: str
    """The interface name of the peer, or of the last one."""
    peer_app_name: str
    """The application name of the peer, likewise."""
    peer_pid: int
    """As the program's namespace numbers it; 0 when not connected, or when it has no number there.
    """
    peer_uid: int
    peer_gid: int
    last_error: str
    """Why the last link ended or failed. At most 256 bytes of it."""
    links: int
    """How many links were up, so far."""
    since: float
    """Seconds since the link came up or, without one, since the last ended; 0 if none was up."""
    buffer_size: int
    """Bytes of a buffer, as configured there."""
    rx: tuple[ProcessQueue, ...]
    """By queue id. When not connected, those of the last link."""
    tx: tuple[ProcessQueue, ...]

    @property
    def connected(self) -> bool:
        """Whether packets can flow."""
        return self.state == "connected"


@dataclass(frozen=True)
class Process:
    """A process that shows interfaces."""

    pid: int
    name: str
    """The first 15 bytes of its name, as `ps` shows it."""
    uid: int
    """Its effective user."""
    started: int
    """Clock ticks from the start of the system to its own: a pid may be another process's later."""
    moment: float
    """When it was read: time.monotonic()."""
    interfaces: tuple[ProcessInterface, ...]
    problem: str
    """Why something of it could not be read; empty if all was."""


def processes(pids: Iterable[int] | None = None) -> list[Process]:
    """The processes that show interfaces and may be read, the oldest first.

    Args:
        pids: only these; None: all. One that has ended, that we may not read, or that shows
            nothing is left out.
    """
    found = map(_process, set(all_pids() if pids is None else pids))
    shown = [process for process in found if process is not None]
    return sorted(shown, key=lambda process: (process.started, process.pid))


def _process(pid: int) -> Process | None:
    """None: it has ended, we may not read it, or it shows nothing."""
    interfaces: list[ProcessInterface] = []
    problem, is_shown = "", False
    try:
        name, started = name_and_start(pid)
        try:
            for one in segment.of_process(pid):
                is_shown = True
                with contextlib.closing(one):
                    interfaces += _interfaces(one)
        except segment.UnreadableError as error:
            problem = str(error)
        if not (is_shown or problem):
            return None
        uid = effective_user(pid)
        if name_and_start(pid)[1] != started:
            return None  # it ended, and another has its number
    except (OSError, ValueError, IndexError):
        return None
    return Process(pid, printable(name), uid, started, time.monotonic(), tuple(interfaces), problem)


def _interfaces(one: segment.Segment) -> Iterator[ProcessInterface]:
    api = _text(one.header["api"])
    for record, queues in one.interfaces():
        is_up = record["link"] == segment.UP
        yield ProcessInterface(
            api=api,
            serial=record["serial"],
            path=_text(record["path"]),
            id=record["id"],
            role="master" if record["is_master"] else "slave",
            name=_text(record["name"]),
            app_name=_text(record["app_name"]),
            state=_STATES.get(record["link"], "waiting"),
            version=record["protocol"],
            peer_name=_text(record["peer_name"]),
            peer_app_name=_text(record["peer_app_name"]),
            peer_pid=record["peer_pid"] if is_up else 0,
            peer_uid=record["peer_uid"],
            peer_gid=record["peer_gid"],
            last_error=_text(record["last_error"]),
            links=record["links"],
            since=max(0.0, time.monotonic() - record["since"] / 1e9) if record["since"] else 0.0,
            buffer_size=record["buffer_size"],
            rx=tuple(_queue(queue, is_tx=False) for queue in queues[False]),
            tx=tuple(_queue(queue, is_tx=True) for queue in queues[True]),
        )


def _queue(fields: dict[str, Any], *, is_tx: bool) -> ProcessQueue:
    if "next" not in fields:
        return ProcessQueue(None, None, None, None, None, False, 0, None)
    slots = fields["done" if is_tx else "next"]
    # Counters of 64 bits. Slots and packets of former links may begin below zero.
    packets = (fields["packets_before"] + slots - fields["extra_slots"]) & _UINT64_MAX
    both = {
        name: (fields[name] + fields[f"{name}_before"]) & _UINT64_MAX
        for name in ("bytes", "full", "interrupts")
    }
    return ProcessQueue(
        packets=packets,
        bytes=both["bytes"],
        full=both["full"] if is_tx else 0,
        interrupts=both["interrupts"] if is_tx else 0,
        refused=fields["refused"] if is_tx else 0,
        polling=bool(fields["polling"]) and not is_tx,
        ring_size=fields["ring_size"],
        ring_fill=fields["ring_fill"],
    )


def _text(field: bytes) -> str:
    return printable(up_to_nul(field))
