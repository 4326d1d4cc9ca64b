# SPDX-License-Identifier: Apache-2.0
"""The settings of an interface as programs pass them: their types, and how they are checked."""

from __future__ import annotations

import grp
import operator
import os
import pwd
from typing import TYPE_CHECKING, Literal, TypeVar

from .control.sockets import Access
from .errors import ArgumentError, QueueError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Role = Literal["master", "slave"]
Unsealed = Literal["trusted", "never", "always"]
Mode = Literal["ethernet", "ip", "punt-inject"]
RxMode = Literal["interrupt", "polling"]

MODES: tuple[Mode, ...] = ("ethernet", "ip", "punt-inject")
"""In the order of their numbers on the wire."""

LONGEST = 10**9
"""Seconds, about 30 years."""

_T = TypeVar("_T")


def choice(what: str, value: _T, choices: tuple[_T, ...]) -> _T:
    """`value`, if it is one of `choices`."""
    if value not in choices:
        raise ArgumentError(f"{what} {value!r}, expected one of {choices}")
    return value


def path(value: str | bytes | os.PathLike[str]) -> bytes:
    """The path of a socket."""
    try:
        return os.fsencode(value)
    except TypeError:
        raise TypeError(f"path {value!r}, expected str or os.PathLike") from None


def text(what: str, value: str | bytes, limit: int) -> bytes:
    """`value` in UTF-8, at most `limit` bytes. No message quotes it: it may be a secret."""
    if not isinstance(value, (str, bytes, bytearray)):
        raise TypeError(f"{what} of type {type(value).__name__}, expected str or bytes")
    data = _encoded(value) if isinstance(value, str) else bytes(value)
    if data is None:
        raise ArgumentError(f"{what} cannot be encoded as UTF-8, pass bytes")
    if len(data) > limit:
        raise ArgumentError(f"{what} of {len(data)} bytes, expected at most {limit}")
    return data


def _encoded(value: str) -> bytes | None:
    """None instead of UnicodeEncodeError, which would carry a secret into tracebacks."""
    try:
        return value.encode()
    except UnicodeEncodeError:
        return None


def seconds(what: str, value: float) -> float:
    """`value`, if it is a time that the timer can wait for."""
    if not isinstance(value, (int, float)):
        raise TypeError(f"{what} {value!r}, expected a number of seconds")
    if not 0 < value <= LONGEST:
        raise ArgumentError(f"{what} {value}, expected more than 0 and at most {LONGEST}")
    return value


def whole(what: str, value: int, expected: str = "an integer") -> int:
    """`value`, if it is an integer, such as one of NumPy's too."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{what} {value!r}, expected {expected}") from None


def callback(what: str, value: _T) -> _T:
    """`value`, if it can be called or is None."""
    if value is not None and not callable(value):
        raise TypeError(f"{what} {value!r}, expected a function or None")
    return value


def in_range(what: str, value: int, low: int, high: int) -> int:
    """`value`, if it lies between `low` and `high`, or is one of them."""
    if value.__class__ is not int:
        value = whole(what, value)
    if not low <= value <= high:
        raise ArgumentError(f"{what} {value}, expected {low} to {high}")
    return value


def at_least_one(count: int) -> None:
    """Check the size of a burst."""
    if count.__class__ is not int:
        whole("count", count)
    if count < 1:
        raise ArgumentError(f"count {count}, expected at least 1")


def log2(ring_size: int) -> int:
    """The exponent of a power of two."""
    ring_size = whole("ring_size", ring_size)
    if ring_size < 1 or ring_size & (ring_size - 1):
        raise ArgumentError(f"ring_size {ring_size}, expected a power of two")
    return ring_size.bit_length() - 1


def access(mode: int | None, owner: int | str | None, group: int | str | None) -> Access:
    """Mode, owner and group of a socket file; None leaves each as it comes."""
    uid = _id_of("socket_owner", owner, lambda name: pwd.getpwnam(name).pw_uid)
    gid = _id_of("socket_group", group, lambda name: grp.getgrnam(name).gr_gid)
    return Access(-1 if mode is None else in_range("socket_mode", mode, 0, 0o777), uid, gid)


def _id_of(what: str, value: int | str | None, look_up: Callable[[str], int]) -> int:
    """-1 for None: chown changes nothing then."""
    if value is None:
        return -1
    if not isinstance(value, str):
        return in_range(what, whole(what, value, "a name or an id"), 0, 2**32 - 2)
    try:
        return look_up(value)
    except KeyError:
        raise ArgumentError(f"{what} {value!r} is not known on this system") from None


def item(what: str, queues: Sequence[_T], queue: int) -> _T:
    """What belongs to a queue. Raises QueueError unless the interface has the queue."""
    if queue.__class__ is not int:
        queue = whole(what, queue)
    if not 0 <= queue < len(queues):
        raise QueueError(f"{what} {queue}, expected 0 to {len(queues) - 1}")
    return queues[queue]
