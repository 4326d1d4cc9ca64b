# SPDX-License-Identifier: Apache-2.0
"""What can be captured: sockets on which masters listen, and interfaces of running programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libmemif_py import processes

from .sockets import PROC, listeners, reachable

if TYPE_CHECKING:
    from libmemif_py.process import Process, ProcessInterface


@dataclass(frozen=True)
class Offer:
    """One end of a memif that is free, or a reason why it is not."""

    word: str
    """The socket and its options, as commands take them."""
    text: str
    """For the user."""


def offers() -> list[Offer]:
    """All of them, sorted by socket."""
    found: dict[str, Offer] = {}
    told = set()
    for process in processes():
        for interface in process.interfaces:
            path = _path(process, interface)
            if path:
                told.add(path)
                offer = _offer(path, process, interface)
                found.setdefault(offer.word, offer)
    for listener in listeners():
        if listener.path not in told:  # of other libraries, or of programs that show nothing
            program = "the program on this socket"
            if listener.pid:
                program = f"{listener.program} (pid {listener.pid})"
            found[listener.path] = Offer(listener.path, _sends(program))
    return [found[word] for word in sorted(found)]


def _sends(program: str) -> str:
    return f"memif: what {program} sends to you"


def _path(process: Process, interface: ProcessInterface) -> str:
    """The path to connect to, or to listen on; nothing if that is impossible from here."""
    if "\\" in interface.path:  # escaped, so it is not the path itself
        return ""
    return reachable(interface.path, PROC / str(process.pid), exists=interface.role == "master")


def _offer(path: str, process: Process, interface: ProcessInterface) -> Offer:
    program = f"{process.name} (pid {process.pid})"
    options = ",role=master" if interface.role == "slave" else ""
    options += f",id={interface.id}" if interface.id else ""
    text = _sends(program)
    if interface.state != "waiting":
        text = f"memif: {program} is connected, only memif bridge can show this"
    elif interface.role == "slave":
        text += ", once it connects"
    return Offer(path + options, text)
