# SPDX-License-Identifier: Apache-2.0
"""Processes and their descriptors, as /proc shows them. All may end or change at any moment.

A descriptor of another process may be anything: a file whose owner makes every access to it wait
(FUSE), a device, a terminal. So it is opened only when it is known to be memory.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def all_pids() -> Iterator[int]:
    """The processes that we see."""
    with os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdecimal():
                yield int(entry.name)


def descriptors(pid: int, target: str) -> Iterator[int]:
    """The descriptors of a process that lead to `target`. Raises OSError."""
    with os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            try:
                if os.readlink(entry.path) == target:
                    yield int(entry.name)
            except FileNotFoundError:
                pass  # closed meanwhile


def open_memory(pid: int, fd: int) -> int:
    """A memfd of a process, to be read. Raises OSError, also when it is another kind of file."""
    # This opens no file yet, and holds what is checked: the process may change its descriptor.
    held = os.open(f"/proc/{pid}/fd/{fd}", os.O_PATH | os.O_CLOEXEC)
    try:
        if _mount_of(held) != _mount_of_memory():
            raise OSError(f"descriptor {fd} of process {pid} is no memfd")
        return os.open(f"/proc/self/fd/{held}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(held)


def _mount_of(fd: int) -> str:
    """All memfds of the system are on one mount, on which nothing else is. Asks no file system."""
    return _field(f"/proc/self/fdinfo/{fd}", "mnt_id:")


@functools.cache
def _mount_of_memory() -> str:
    fd = os.memfd_create("libmemif probe", os.MFD_CLOEXEC)
    try:
        return _mount_of(fd)
    finally:
        os.close(fd)


def _field(path: str, name: str) -> str:
    """What follows a name in a file of lines of names and values. Raises OSError."""
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith(name):
                return line[len(name) :].strip()
    raise OSError(f"{path} has no {name}")


def own_number(pid: int) -> int:
    """The pid of a process as it sees itself: in the innermost of its pid namespaces."""
    return int(_field(f"/proc/{pid}/status", "NSpid:").split()[-1])


def name_and_start(pid: int) -> tuple[bytes, int]:
    """The name of a process, and the clock ticks from the system's start to its own."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        text = file.read()
    name, _, rest = text.partition(b"(")[2].rpartition(b")")
    return name, int(rest.split()[19])


def effective_user(pid: int) -> int:
    """The effective user of a process."""
    return int(_field(f"/proc/{pid}/status", "Uid:").split()[1])
