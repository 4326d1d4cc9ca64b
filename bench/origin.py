# SPDX-License-Identifier: Apache-2.0
"""What was measured, when, and on which machine: so that a number can be measured again."""

import hashlib
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from runner import SONAMES, Library, processor

ROOT = Path(__file__).resolve().parents[1]
DATE = "%Y-%m-%d"
DIGITS = 12


def commit() -> str:
    """Of this tree. "-dirty": with changes that are not committed."""
    command = ["git", "-C", ROOT, "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(
            [*command, f"--abbrev={DIGITS}"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def origins(libraries: Sequence[Library], start: float) -> list[dict[str, str]]:
    """Of each library a commit and a date.

    Ours: this tree's commit, and when the run began. Another: its files' SHA-256, and when they
    were written, because a file does not tell its commit.
    """
    today = time.strftime(DATE, time.gmtime(start))
    return [
        origin
        for library in libraries
        for origin in (
            _of_files(library)
            if library.directory is not None
            else [{"library": library.name, "commit": commit(), "date": today}]
        )
    ]


def _of_files(library: Library) -> list[dict[str, str]]:
    found = []
    for api in library.apis:
        path = Path(library.directory or "") / SONAMES[api]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:DIGITS]
        date = time.strftime(DATE, time.gmtime(path.stat().st_mtime))
        found.append({"library": f"{library.name}, {path}", "commit": digest, "date": date})
    return found


def machine() -> dict[str, str | int | None]:
    """What decides about numbers besides the library."""
    return {
        "processor": processor(),
        "processors": os.cpu_count(),
        "hypervisor": "yes" if " hypervisor" in Path("/proc/cpuinfo").read_text() else "no",
        "kernel": os.uname().release,
    }
