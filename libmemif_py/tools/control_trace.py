# SPDX-License-Identifier: Apache-2.0
"""The option --control-trace: records the control messages of this process's connections."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING

import click

from libmemif_py.control import channel

from .formats.control_trace import MASTER, RECEIVED, SENT, SLAVE, UNKNOWN_FDS, Entry, TraceWriter
from .options import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from io import FileIO


def control_trace_option() -> Callable:
    """The command gets it as `trace_path`."""
    return click.option(
        "--control-trace",
        "trace_path",
        metavar="FILE",
        help="Record the control messages, without secrets, into FILE (pcapng).",
    )


class _Recorder:
    """Writes each message of each channel; ends, with a word, when the file cannot be written."""

    def __init__(self, file: FileIO, path: str, sockets: Sequence[str]) -> None:
        self._path = path
        self._sockets = [os.fsencode(socket) for socket in sockets]
        self._writer = TraceWriter(file, tuple(sockets))
        self._numbers = itertools.count(1)
        self._connections: weakref.WeakKeyDictionary[channel.Channel, int] = (
            weakref.WeakKeyDictionary()
        )
        self._lock = threading.Lock()

    def __call__(self, of: channel.Channel, is_ours: bool, data: bytes, fds: int) -> None:
        """As channel.trace."""
        with self._lock:
            try:
                self._record(of, is_ours, data, fds)
            except OSError as error:
                channel.trace = None
                say(f"--control-trace {self._path}: {error.strerror}; no more is recorded")

    def _record(self, of: channel.Channel, is_ours: bool, data: bytes, fds: int) -> None:
        now = time.time_ns()
        number = self._connections.get(of)
        if number is None:
            number = self._connections[of] = next(self._numbers)
        entry = Entry(
            direction=SENT if is_ours else RECEIVED,
            fds=UNKNOWN_FDS if fds < 0 else fds,
            sender=MASTER if is_ours == of.is_accepted else SLAVE,
            pid=of.peer[0],
            connection=number,
            version=0,
            message=data,
        )
        interface = self._sockets.index(of.path) if of.path in self._sockets else 0
        self._writer.write(entry, now, interface)
        if is_ours and not data:
            self._writer.forget(number)


@contextlib.contextmanager
def recorded(path: str | None, sockets: Sequence[str]) -> Iterator[None]:
    """In the block, record what the channels of these sockets say. Raises UsageError."""
    if path is None:
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            # Without a buffer: what could not be written is not tried again at the end.
            file = stack.enter_context(open(path, "wb", buffering=0))
            recorder = _Recorder(file, path, sockets)
        except OSError as error:
            raise click.UsageError(
                f"--control-trace {path}: {error.strerror}, expected a file that can be written"
            ) from error
        stack.callback(setattr, channel, "trace", None)
        channel.trace = recorder
        yield
