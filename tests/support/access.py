# SPDX-License-Identifier: Apache-2.0
"""Peers of other users, and what they hear. Most of it takes root."""

import contextlib
import os
import stat
import sys
import threading
import time
from pathlib import Path

from libmemif_py import Interface
from support.builds import SUPPORT
from support.programs import TIMEOUT, Program

NOBODY = 65534  # also what users of other user namespaces show as
SOMEBODY = 12345
NOT_ADMITTED = "not admitted by the application"
WORD = "swordfish"


@contextlib.contextmanager
def umask(bits: int):
    before = os.umask(bits)
    try:
        yield
    finally:
        os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def other_user(tmp_path: Path, uid: int, role: str, path: Path, *arguments: str) -> Program:
    program = [sys.executable, SUPPORT / "other_user.py", str(uid), role, path]
    return Program([*program, *arguments], tmp_path / f"errors-{role}")


def heard_by(tmp_path: Path, uid: int, path: Path, *arguments: str) -> str:
    """What comes of a slave of another user."""
    with other_user(tmp_path, uid, "slave", path, *arguments) as slave:
        return slave.line()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def descriptors_left(expected: int) -> int:
    """How many are open, as soon as it is that many: a thread that reports an error has the sources
    open for a moment, for the traceback.
    """
    later = time.monotonic() + TIMEOUT
    while (found := open_descriptors()) != expected and time.monotonic() < later:
        time.sleep(0.01)
    return found


def wait_for_error(interface: Interface, text: str) -> str:
    """What `last_error` is, once it says so."""
    ended = threading.Event()
    for _ in range(int(TIMEOUT / 0.01)):
        if text in (found := interface.details().last_error):
            return found
        ended.wait(0.01)
    raise AssertionError(f"last error {interface.details().last_error!r}, expected {text!r}")
