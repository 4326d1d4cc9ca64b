# SPDX-License-Identifier: Apache-2.0
"""run_each.py PROGRAM: runs each test of a Check program in a process of its own, reports in TAP.

For `meson test`. A test leaves behind what only the end of its process takes away: an interpreter
that the program embeds, limits, a callback that was left by a failed check.

The programs of a cross build run by the exe_wrapper that meson was given.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

_PATIENCE = 120  # seconds
_WRAPPER = shlex.split(os.environ.get("MESON_EXE_WRAPPER", ""))


def _names(program: Path) -> list[str]:
    command = [*_WRAPPER, program, "--list"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=True)
    return result.stdout.split()


def _run(program: Path, name: str) -> str:
    """Run one test; what is wrong, or nothing."""
    with tempfile.TemporaryDirectory(prefix="c_test") as folder:
        own = {"CK_FORK": "no", "CK_RUN_CASE": name, "TMPDIR": folder}
        try:
            result = subprocess.run(
                [*_WRAPPER, program],
                cwd=folder,
                env={**os.environ, **own},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            return f"no end after {_PATIENCE} s\n{late.stdout or b''!r}"
    return "" if result.returncode == 0 else f"exit status {result.returncode}\n{result.stdout}"


def main() -> int:
    """Run all; 1 if one failed."""
    program = Path(sys.argv[1]).resolve()
    names = _names(program)
    failed = not names
    print(f"1..{len(names)}", flush=True)
    for number, name in enumerate(names, 1):
        problem = _run(program, name)
        failed = failed or bool(problem)
        print(f"{'not ok' if problem else 'ok'} {number} - {name}")
        for line in problem.splitlines():
            print(f"# {line}")
        sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
