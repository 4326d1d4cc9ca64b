# SPDX-License-Identifier: Apache-2.0
"""Which memif sockets there are on this machine, without connecting to any.

The kernel lists the sockets on which programs listen, but not which of them are memifs. A socket
counts as one if its path says so, or if the program that listens has a memif library loaded. The
programs of other users cannot be looked into, except by root.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PROC = Path("/proc")
# A line of /proc/net/unix for a socket that listens and keeps the borders of messages:
# address, references, protocol, flags, type, state, inode, path.
_LISTENING = re.compile(
    rb"^[0-9a-f]+: [0-9A-F]+ [0-9A-F]+ 00010000 0005 [0-9A-F]+ +(\d+) (.+)$", re.M
)
# At the end of a line of /proc/PID/maps: a library, a plugin, or the shared memory of a memif.
_LOADED = re.compile(rb"(?:memif[^/\n]*|/libmemif_py/[^/\n]*)$", re.M)
# What VPP listens on beside its memifs, in whichever folder.
_OTHERS_OF_VPP = ("api.sock", "cli.sock", "stats.sock")
_FOLDER_OF_VPP = "/run/vpp"
# The kernel shows each zero byte of an abstract name so. DPDK fills the whole address with them.
_ZERO = "@"
_FULL_ADDRESS = 108


@dataclass(frozen=True)
class Listener:
    """A memif master's socket."""

    path: str
    pid: int = 0
    """The process that listens; 0: not known."""
    program: str = ""
    """Its name; empty: not known."""


def listeners() -> list[Listener]:
    """All that this process can see, sorted by path."""
    listed = [(int(i), os.fsdecode(p)) for i, p in _LISTENING.findall(_read(PROC / "net/unix"))]
    owners = _owners({inode for inode, _ in listed}) if listed else {}
    found: dict[str, Listener] = {}
    for inode, shown in listed:
        process = PROC / str(owners[inode]) if inode in owners else None
        path = _path(shown, process)
        if path and not _is_other(path) and ("memif" in path or _has_loaded_it(process)):
            found[path] = Listener(path, owners.get(inode, 0), _name(process))
    for path in _of_vpp():
        # Whoever listens may be in another network namespace, whose sockets are not listed here.
        found.setdefault(path, Listener(path))
    return [found[path] for path in sorted(found)]


def _of_vpp() -> Iterable[str]:
    paths = map(str, Path(_FOLDER_OF_VPP).glob("*.sock"))
    return (path for path in paths if _is_socket(path) and not _is_other(path))


def _has_loaded_it(process: Path | None) -> bool:
    return process is not None and _LOADED.search(_read(process / "maps")) is not None


def _name(process: Path | None) -> str:
    return os.fsdecode(_read(process / "comm").rstrip(b"\n")) if process else ""


def _path(shown: str, process: Path | None) -> str:
    """The path to connect to, or nothing if the socket cannot be reached from here."""
    if shown.startswith(_ZERO) and len(os.fsencode(shown)) == _FULL_ADDRESS:
        shown = shown.rstrip(_ZERO)
    return reachable(shown, process, exists=True)


def reachable(path: str, process: Path | None, *, exists: bool) -> str:
    """The path of a process's socket as it is for us; nothing if it cannot be reached from here.

    `exists`: the process listens there. Otherwise we can, if there is a folder.
    """
    if path.startswith(_ZERO):
        return path
    if not path.startswith("/") and process is not None:
        # Relative to the folder in which the process began to listen, most likely that of now.
        with contextlib.suppress(OSError):
            path = os.path.normpath(os.path.join(os.readlink(process / "cwd"), path))
    is_here = _is_socket(path) if exists else os.path.isdir(os.path.dirname(path))
    return path if path.startswith("/") and is_here else ""


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _is_other(path: str) -> bool:
    return os.path.basename(path) in _OTHERS_OF_VPP


def _owners(inodes: set[int]) -> dict[int, int]:
    """Which process has each of these sockets, of those that we may look into."""
    links = {f"socket:[{inode}]": inode for inode in inodes}
    owners: dict[int, int] = {}
    for process in PROC.iterdir():
        if process.name.isdecimal():
            for link in _descriptors(process):
                if link in links:
                    owners.setdefault(links[link], int(process.name))
    return owners


def _descriptors(process: Path) -> Iterator[str]:
    try:
        with os.scandir(process / "fd") as entries:
            for entry in entries:
                try:
                    yield os.readlink(entry.path)
                except OSError:  # closed meanwhile
                    continue
    except OSError:  # it has ended, or is another user's
        return


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
