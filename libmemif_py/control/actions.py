# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF023 - the order of __slots__ is the order of the arguments
"""What the state machines of handshake.py answer: actions for their caller, and errors."""

from __future__ import annotations

from .wire import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .wire import AddRing


class ProtocolError(Exception):
    """The peer broke the rules, or was refused.

    `code` names the error as the C API does (without the prefix). `reason` is for people and
    is sent in DISCONNECT. `fds` are received descriptors that the catcher now owns.
    """

    def __init__(self, code: str, reason: str, fds: Sequence[Any] = ()) -> None:
        """Keep all three as attributes."""
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason
        self.fds = tuple(fds)


class HandshakeMisuse(RuntimeError):
    """A machine was called at a time, or with values, that its rules do not allow."""


class Action(Record):
    """Something for the caller of a machine to do."""

    __slots__ = ()


class Send(Action):
    """Send these bytes, with a copy of `fd` unless it is None."""

    __slots__ = ("data", "fd")
    hidden = ("data",)  # an INIT contains the secret
    data: bytes
    fd: Any

    def __init__(self, data: bytes, fd: Any = None) -> None:
        """Most messages are sent without a descriptor."""
        super().__init__(data, fd)


class Select(Action):
    """Master: the peer passed all checks of INIT. Mark the interface that it named as taken."""

    __slots__ = ()


class TakeRegion(Action):
    """Master: own `fd`, check that it is `size` bytes of memory, map it."""

    __slots__ = ("index", "size", "fd")
    index: int
    size: int
    fd: Any


class TakeRing(Action):
    """Master: own `fd`, the eventfd of this ring."""

    __slots__ = ("ring", "fd")
    ring: AddRing
    fd: Any


class Establish(Action):
    """Master: check and map the queues, then call `accept`, or `refuse`."""

    __slots__ = ()


class Prepare(Action):
    """Slave: create memory and eventfds for these rings, then call `offer`, or `refuse`."""

    __slots__ = ("version", "num_s2m", "num_m2s", "log2_ring_size", "max_region")
    version: int
    num_s2m: int
    num_m2s: int
    log2_ring_size: int
    max_region: int


class Established(Action):
    """The connection is up."""

    __slots__ = ()


class Closed(Action):
    """The peer ended the connection."""

    __slots__ = ("code", "reason")
    code: int
    reason: bytes
