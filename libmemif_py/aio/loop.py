# SPDX-License-Identifier: Apache-2.0
"""Helpers for the event loop that both kinds of asyncio interfaces use."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from .. import errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..interface import Interface

PER_TURN = 64
"""Packets that calls move before one lets other callbacks and tasks run."""

FEW = 16
"""Packets that are taken ahead after a wait. If there are more, the core sees them in the ring, and
spares the peer the signals for the next ones."""

# Nothing signals that a full ring has room again. So sleep, and double the time at each attempt.
FIRST_NAP = 50e-6
LONGEST_NAP = 2e-3

NOT_NOW = (errors.Timeout, errors.Disconnected)
"""The errors of calls with timeout 0 that would have to wait."""


def remove_reader(loop: asyncio.AbstractEventLoop, fd: int, interface: Interface) -> None:
    """Undo `loop.add_reader`. In a forked child do nothing: the parent shares the epoll set."""
    if not interface._state.inherited:
        loop.remove_reader(fd)


def tell(
    loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *arguments: object
) -> None:
    """Have the loop call a callback, from another thread. Does nothing if the loop is closed."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, *arguments)
