# SPDX-License-Identifier: Apache-2.0
"""The initial inputs of a fuzzing target, in `corpus/TARGET.zip` beside this file.

    corpus.py add TARGET FILE...      adds inputs to the archive
    corpus.py unpack TARGET FOLDER    writes them to a folder, one file each, for libFuzzer
    corpus.py keep TARGET FOLDER      makes the archive anew, of its inputs and those in a folder:
                                      the smallest that together reach all code that these reach

The name of an input is a hash of its contents, so none is there twice. The same
inputs always make the same archive, because it is sorted, uncompressed and without times.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"
PROGRAMS = Path(__file__).parents[1] / "build-fuzz" / "fuzz"
TARGETS = ("packet", "entry", "differential")


def archive_of(target: str) -> Path:
    return FOLDER / f"{target}.zip"


def name_of(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()[:16]


def read(archive: Path) -> list[bytes]:
    """The inputs of an archive. Fails if it is damaged."""
    with zipfile.ZipFile(archive) as opened:
        return [opened.read(name) for name in opened.namelist()]


def write(archive: Path, inputs: Iterable[bytes]) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as opened:
        for name, data in sorted((name_of(data), data) for data in set(inputs)):
            entry = zipfile.ZipInfo(name)  # its time is always the same
            entry.create_system = 3  # Unix, wherever it is written
            entry.external_attr = 0o644 << 16
            opened.writestr(entry, data)


def add(archive: Path, inputs: Iterable[bytes]) -> int:
    """Add inputs to an archive, which may not exist yet. Returns how many are new."""
    old = read(archive) if archive.exists() else []
    new = set(inputs).difference(old)
    write(archive, [*old, *new])
    return len(new)


def unpack(archive: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for data in read(archive):
        (folder / name_of(data)).write_bytes(data)


def keep(archive: Path, program: Path, found: Path) -> None:
    """Replace an archive by the fewest small inputs with which a target reaches the same code."""
    with tempfile.TemporaryDirectory() as place:
        old, new = Path(place, "old"), Path(place, "new")
        new.mkdir()
        if archive.exists():
            unpack(archive, old)
        old.mkdir(exist_ok=True)
        # How often code runs does not count, or there would be ten times as many.
        options = ["-merge=1", "-use_counters=0", "-rss_limit_mb=0"]
        command = [program, *options, new, old, found]
        subprocess.run(command, stderr=subprocess.PIPE, check=True)
        write(archive, [file.read_bytes() for file in new.iterdir()])


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the initial inputs of a fuzzing target")
    commands = parser.add_subparsers(dest="command", required=True)
    adding = commands.add_parser("add", help="add inputs to the archive")
    unpacking = commands.add_parser("unpack", help="write the inputs to a folder")
    keeping = commands.add_parser("keep", help="make the archive anew, with those of a folder")
    for command in (adding, unpacking, keeping):
        command.add_argument("target", choices=TARGETS)
    adding.add_argument("files", nargs="+", type=Path, metavar="FILE")
    for command in (unpacking, keeping):
        command.add_argument("folder", type=Path, metavar="FOLDER")
    return parser.parse_args()


def main() -> None:
    """Run the command that the arguments name."""
    arguments = _parse()
    archive = archive_of(arguments.target)
    if arguments.command == "add":
        new = add(archive, [file.read_bytes() for file in arguments.files])
        print(f"{new} of {len(arguments.files)} inputs are new; {archive} has {len(read(archive))}")
    elif arguments.command == "keep":
        keep(archive, PROGRAMS / f"fuzz_{arguments.target}", arguments.folder)
        print(f"{archive} has {len(read(archive))} inputs, {archive.stat().st_size} bytes")
    else:
        unpack(archive, arguments.folder)


if __name__ == "__main__":
    main()
