# SPDX-License-Identifier: Apache-2.0
"""emulated.py [BUILD]: instructions per packet in each call of the data path, on aarch64.

Counted by qemu-user, which has no plugin for that in Debian: it is told to execute one instruction
at a time, and to log each with the function that it belongs to. BUILD is a build for aarch64, of
which bench/core_calls.c is run; build-aarch64 if none is given.
"""

import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EMULATOR = ("qemu-aarch64", "-L", ROOT / "build-aarch64-root")
PACKETS = 1024
KINDS = ("alloc", "tx", "rx", "free")
LOGGED = re.compile(
    rb"^Trace .* (alloc|tx|rx|free|refill)_(?:burst|rest|one|few|many)[\w.]*$", re.M
)
FACES, DIRECTIONS, BURSTS = ("packet", "entry"), ("s2m", "m2s"), (1, 32, 256)


def count(build: Path, face: str, direction: str, burst: int) -> dict[str, float]:
    """Return the instructions per packet in each kind of call."""
    program = build / "bench" / f"core_calls_{face}"
    with tempfile.NamedTemporaryFile() as log:
        options = [_one_at_a_time(), "-d", "exec,nochain", "-D", log.name]
        subprocess.run([*EMULATOR, *options, program, direction, str(burst)], check=True)
        counts = Counter(
            found[1].decode() for found in LOGGED.finditer(Path(log.name).read_bytes())
        )
    counts["free"] += counts.pop("refill", 0)
    return {kind: counts[kind] / PACKETS for kind in KINDS}


def _one_at_a_time() -> str:
    """Return the option, which has had two names."""
    options = subprocess.run(
        [EMULATOR[0], "-h"], capture_output=True, text=True, check=False
    ).stdout
    return "-one-insn-per-tb" if "-one-insn-per-tb" in options else "-singlestep"


def table(build: Path) -> Iterator[str]:
    """Return the lines of a table in Markdown."""
    yield "| API | direction | burst | " + " | ".join(KINDS) + " | sum |"
    yield "|---" * (len(KINDS) + 4) + "|"
    for face, api in zip(FACES, ("1.0", "4.0"), strict=True):
        for direction in DIRECTIONS:
            for burst in BURSTS:
                costs = count(build, face, direction, burst)
                figures = [*costs.values(), sum(costs.values())]
                cells = [api, direction.upper(), str(burst), *(f"{f:.1f}" for f in figures)]
                yield "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    for line in table(Path(*sys.argv[1:2]) if sys.argv[1:] else ROOT / "build-aarch64"):
        print(line)
