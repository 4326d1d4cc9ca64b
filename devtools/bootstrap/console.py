# SPDX-License-Identifier: Apache-2.0
"""What ./bootstrap says, and how it runs other programs.

What `--in` needs, of this folder, works with the Python of any Debian that is supported.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[2]

Command = Sequence["str | Path"]


def say(text: str) -> None:
    """Print a line about what happens."""
    print(f"bootstrap: {text}", flush=True)


def fail(text: str) -> NoReturn:
    """End with status 1."""
    raise SystemExit(f"bootstrap: {text}")


def succeeds(label: str, command: Command, folder: Path = ROOT, **settings: str) -> bool:
    """Run a program in a folder, and return whether it ended well.

    Its output is shown only when it fails. `settings` go into its environment.
    """
    say(label)
    result = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **settings},
        check=False,
    )
    if result.returncode != 0:
        sys.stderr.buffer.write(result.stdout)
        print(f"bootstrap: {label}: failed, see above", file=sys.stderr, flush=True)
    return result.returncode == 0


def quietly(label: str, command: Command, folder: Path = ROOT) -> None:
    """Run a program that has to succeed."""
    if not succeeds(label, command, folder):
        sys.exit(1)


def become(command: Command) -> NoReturn:
    """Go on as another program, which then has the terminal, the signals and the exit status."""
    words = [str(word) for word in command]
    os.execvp(words[0], words)  # noqa: S606


def as_root(command: Command) -> list[str | Path]:
    """Return the command that runs as root."""
    return [*([] if os.geteuid() == 0 else ["sudo"]), *command]
