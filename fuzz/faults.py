# SPDX-License-Identifier: Apache-2.0
"""Whether the differential target finds faults that are put into the data path, one at a time.

    faults.py [--runs N] [NAME...]

Uses build-fuzz, where `./bootstrap fuzz` has built the targets. Takes about half a minute a fault.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import corpus

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build-fuzz"
NATIVE = ROOT / "libmemif_py" / "native"
TARGET = "fuzz/fuzz_differential"
# What the headers with faults are compiled into.
OBJECTS = (
    *("testbed_packet.c.o", "testbed_entry.c.o", "_avx2.c.o", "_chain.c.o"),
    *("_connection.c.o", "_queue.c.o", "_ring.c.o", "_room.c.o"),
)
SAID = ("two variants differ", "does not hold")


@dataclass(frozen=True)
class Fault:
    """A text in a file of the data path, and what is there instead."""

    file: str
    text: str
    instead: str


FAULTS = {
    "vectors do not check a received length": Fault(
        "datapath/fast_path_vectors.h",
        "mif_vec_or(mif_vec_differ(desc.head, plain, checked), mif_vec_greater(reach, most))",
        "mif_vec_differ(desc.head, plain, checked)",
    ),
    "vectors do not check the high half of an offset": Fault(
        "datapath/fast_path_vectors.h",
        "mif_vec_or(bad, mif_vec_or(mif_vec_wide(offset), mif_vec_greater(length, longest)))",
        "mif_vec_or(bad, mif_vec_greater(length, longest))",
    ),
    "vectors do not check the length of a packet that is sent": Fault(
        "datapath/fast_path_vectors.h",
        "mif_vec_or(bad, mif_vec_greater(length, mif_vec_high(word)))",
        "bad",
    ),
    "vectors do not count bytes": Fault(
        "datapath/fast_path_vectors.h", "sum = mif_vec_add(sum, length);", ""
    ),
    "vectors reserve an empty buffer": Fault(
        "datapath/fast_path_vectors.h", "mif_vec_all(size > 0 ? size : 1)", "mif_vec_all(size)"
    ),
    "a slave of version 512 posts one buffer too few": Fault(
        "core/ring.h", "done + q->mask + 1 : done", "done + q->mask : done"
    ),
    "a ring of version 512 has one slot less": Fault(
        "core/ring.h", "(mif_kind_is_256(kind) ? 0u : 1u)", "0u"
    ),
    "version 256 keeps NEXT from the packet before": Fault(
        "core/ring.h", "own->word | flags,", "own->word | (flags & 0),"
    ),
    "the packet face copies one segment too few": Fault(
        "datapath/packet.c",
        "for (uint16_t i = 0; i < count; i++) {",
        "for (uint16_t i = 1; i < count; i++) {",
    ),
    "the entry face counts one slot too many": Fault(
        "datapath/entry.c",
        "q->extra_slots + entries - (whole ? 1 : 0)",
        "q->extra_slots + entries",
    ),
}


def _commands() -> list[str]:
    result = subprocess.run(
        ["ninja", "-t", "commands", TARGET], cwd=BUILD, capture_output=True, text=True, check=True
    )
    return result.stdout.splitlines()


def _build(fault: Fault, folder: Path) -> Path:
    """Build the target in a copy of what it is made of."""
    source = NATIVE / fault.file
    text = source.read_text()
    if fault.text not in text:
        sys.exit(f"{fault.file} does not have: {fault.text}")
    overlay = folder / "overlay"
    patched = overlay / fault.file
    patched.parent.mkdir(parents=True)
    patched.write_text(text.replace(fault.text, fault.instead, 1))
    subprocess.run(["cp", "-a", BUILD / "fuzz", folder / "fuzz"], check=True)
    for command in _commands():
        made = re.search(r" -o \S+?([a-z_0-9]+\.c\.o) ", command)
        if "--internal" in command or (made and not made[1].endswith(OBJECTS)):
            continue
        # Relative to build-fuzz are the sources, which are where they were.
        here = command.replace("../", f"{ROOT}/")
        if made:
            here = here.replace(" ", f" -w -I{overlay} ", 1).replace(str(source), str(patched))
        subprocess.run(["sh", "-c", here], cwd=folder, check=True)
    return folder / TARGET


def _find(program: Path, folder: Path, runs: int) -> str:
    """Return what the target says."""
    begin = folder / "begin"
    for target in corpus.TARGETS:
        corpus.unpack(corpus.archive_of(target), begin)
    options = [
        "-seed=1",
        "-use_counters=0",
        f"-runs={runs}",
        "-max_len=600",
        f"-artifact_prefix={folder}/",
    ]
    result = subprocess.run(
        [program, *options, begin], capture_output=True, text=True, errors="replace", check=False
    )
    said = [line for line in result.stderr.splitlines() if any(text in line for text in SAID)]
    if result.returncode != 0 and not said:
        return "another fault: " + result.stderr[-500:]
    return said[0] if said else ""


def main() -> None:
    """Exit with 1 if a fault is not found."""
    parser = argparse.ArgumentParser(description="faults that the differential target finds")
    parser.add_argument("--runs", type=int, default=100_000, help="executions for each; 100,000")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of faults, or a part of it")
    arguments = parser.parse_args()
    missed = 0
    for name, fault in FAULTS.items():
        if arguments.names and not any(part in name for part in arguments.names):
            continue
        with tempfile.TemporaryDirectory(dir=BUILD) as place:
            said = _find(_build(fault, Path(place)), Path(place), arguments.runs)
        print(f"{name}: {said or 'NOT FOUND'}", flush=True)
        missed += not said
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
