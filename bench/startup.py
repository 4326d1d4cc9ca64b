# SPDX-License-Identifier: Apache-2.0
"""What a C program pays to start: the first call, memory, and the way to connected interfaces.

Usage: python bench/startup.py [--processes N] [--interfaces N]

Run by the interpreter of the environment that libmemif-py is installed in. Every number is the
median over processes of their own; the first process is not counted.
"""

import argparse
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
COMPILE = ("cc", "-std=c11", "-D_GNU_SOURCE", "-O2")


def build_flags() -> list[str]:
    """How a C program is built with the installed library."""
    # -P: what is installed, not the source tree that we may be started in.
    command = [sys.executable, "-P", "-m", "libmemif_py", "--cflags", "--libs"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return shlex.split(answer.stdout)


def compile_programs(folder: Path, flags: Sequence[str]) -> tuple[Path, Path]:
    """startup.c, not linked with the library, and connect.c."""
    startup, connect = folder / "startup", folder / "connect"
    includes = [flag for flag in flags if flag.startswith("-I")]
    subprocess.run([*COMPILE, HERE / "startup.c", "-o", startup, *includes, "-ldl"], check=True)
    subprocess.run([*COMPILE, HERE / "connect.c", "-o", connect, *flags], check=True)
    return startup, connect


def values(text: str) -> dict[str, float]:
    """The "name value" lines."""
    return {name: float(value) for name, value in (line.split() for line in text.splitlines())}


def medians(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of each name, without the first run, which fills the caches."""
    return {name: statistics.median(run[name] for run in runs[1:]) for name in runs[0]}


def first_call(program: Path, library: Path) -> dict[str, float]:
    """One cold process."""
    command = [program, library]
    return values(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


class Peer:
    """One side, in a process of its own."""

    def __init__(self, program: Path, role: str, socket: Path, count: int) -> None:
        """Start it; it waits for go()."""
        self._process = subprocess.Popen(
            [program, role, socket, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._expect("ready")

    def go(self) -> None:
        """Have it create its interfaces."""
        self._next()
        self._expect("created")

    def result(self) -> dict[str, float]:
        """Its moments, once everything is connected."""
        return values("".join(self._process.stdout.readline() for _ in range(2)))

    def end(self) -> None:
        """Let it clean up and end."""
        self._next()
        self._process.stdin.close()
        self._process.stdout.close()
        if self._process.wait(30) != 0:
            raise RuntimeError(f"peer ended with status {self._process.returncode}")

    def _next(self) -> None:
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def _expect(self, word: str) -> None:
        line = self._process.stdout.readline()
        if line != f"{word}\n":
            raise RuntimeError(f"peer said {line!r} instead of {word!r}")


def connecting(program: Path, folder: Path, count: int) -> dict[str, float]:
    """From the slave's first memif_create to the last on_connect of either side, in ms."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        socket = Path(place) / "socket"
        master, slave = (Peer(program, role, socket, count) for role in ("master", "slave"))
        master.go()
        slave.go()
        results = master.result(), slave.result()
        for peer in (master, slave):
            peer.end()
    return {"connect": max(r["last"] for r in results) - results[1]["first"]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=21, help="of each kind (21)")
    parser.add_argument("--interfaces", type=int, default=200, help="in the last line (200)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flags = build_flags()
        startup, connect = compile_programs(folder, flags)
        (library_dir,) = (flag[2:] for flag in flags if flag.startswith("-L"))
        library = Path(library_dir) / "libmemif.so"
        runs = range(options.processes)
        init = medians([first_call(startup, library) for _ in runs])
        one = medians([connecting(connect, folder, 1) for _ in runs])
        few = range(max(2, options.processes // 4))
        many = medians([connecting(connect, folder, options.interfaces) for _ in few])
    print(f"load the library            {init['load']:8.2f} ms")
    print(f"first memif_init            {init['init']:8.2f} ms")
    print(f"memory added by both        {init['rss'] / 1024:8.2f} MiB")
    print(f"create to both connected    {one['connect']:8.2f} ms")
    print(f"{options.interfaces:3} interfaces connected    {many['connect'] / 1000:8.3f} s")


if __name__ == "__main__":
    main()
