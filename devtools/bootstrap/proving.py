# SPDX-License-Identifier: Apache-2.0
"""`./bootstrap prove`: one part of proofs/ after another."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from console import ROOT, say

# The Debian that has what this one may lack.
SUITE = "trixie"


@dataclass(frozen=True)
class Part:
    """A folder of proofs/: its program, and what it is run with, in full and with --short."""

    program: str
    full: tuple[tuple[str, ...], ...] = ((),)
    short: tuple[tuple[str, ...], ...] = (("--short",),)
    needs_package: bool = False

    def path(self) -> Path:
        """Where the program is."""
        return ROOT / "proofs" / self.program


# Each proof takes one processor, and up to some GiB of memory.
JOBS = ("--jobs", str(len(os.sched_getaffinity(0))))
PARTS = {
    "cbmc": Part(
        "cbmc/check.py", (JOBS, ("--faults", *JOBS)), (("--short",), ("--short", "--faults"))
    ),
    "spin": Part("spin/check.py", (("--full",), ("--faults",))),
    "handshake": Part("handshake/enumerate.py", (("--full",),), ((),), needs_package=True),
}


def prove(*arguments: str) -> None:
    """Run all parts that there are, or one; exit with 1 if one fails."""
    there = [name for name in PARTS if PARTS[name].path().exists()]
    parser = argparse.ArgumentParser(prog="./bootstrap prove")
    parser.add_argument("--short", action="store_true", help="only what takes the least time")
    parser.add_argument("--only", choices=there, help="one folder of proofs/")
    args = parser.parse_args(arguments)
    names = [args.only] if args.only else there
    failed = [name for name in names if not _run(name, args.short)]
    say(f"failed: {', '.join(failed)}" if failed else f"shown: {', '.join(names)}")
    sys.exit(bool(failed))


def _run(name: str, short: bool) -> bool:
    if name == "cbmc" and shutil.which("cbmc") is None:
        return _run_elsewhere(name, short)
    part = PARTS[name]
    python = _python_with_package() if part.needs_package else sys.executable
    commands = [[python, part.path(), *options] for options in (part.short if short else part.full)]
    results = [_succeeds(command) for command in commands]  # all of them, whatever fails
    return all(results)


def _python_with_package() -> Path:
    import building
    import environment

    environment.prepare("demo")
    building.must_install()
    return environment.VENV / "bin" / "python"


def _run_elsewhere(name: str, short: bool) -> bool:
    from suite import ROOTS, in_root, prepare_inputs

    say(f"this Debian has no {name}: using a bare {SUITE} in {ROOTS / SUITE}")
    options = ["--only", name, *(["--short"] if short else [])]
    command = ["./bootstrap", "prove", *options]
    return _succeeds(in_root(ROOTS / SUITE, SUITE, prepare_inputs(), *command))


def _succeeds(command: list[str | Path]) -> bool:
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0
