# SPDX-License-Identifier: Apache-2.0
"""The initial inputs of a fuzzing target, in `corpus/TARGET.zip` beside this file.

    corpus.py add TARGET FILE...      adds inputs to the archive
    corpus.py unpack TARGET FOLDER    writes them to a folder, one file each, for libFuzzer

The name of an input is a hash of its contents, as in libFuzzer, so none is there twice. The same
inputs always make the same archive, because it is sorted, uncompressed and without times.
"""

from __future__ import annotations

import argparse
import hashlib
import zipfile
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"
TARGETS = ("packet", "entry")


def archive_of(target: str) -> Path:
    return FOLDER / f"{target}.zip"


def name_of(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


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


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the initial inputs of a fuzzing target")
    commands = parser.add_subparsers(dest="command", required=True)
    adding = commands.add_parser("add", help="add inputs to the archive")
    unpacking = commands.add_parser("unpack", help="write the inputs to a folder")
    for command in (adding, unpacking):
        command.add_argument("target", choices=TARGETS)
    adding.add_argument("files", nargs="+", type=Path, metavar="FILE")
    unpacking.add_argument("folder", type=Path, metavar="FOLDER")
    return parser.parse_args()


def main() -> None:
    """Run the command that the arguments name."""
    arguments = _parse()
    archive = archive_of(arguments.target)
    if arguments.command == "add":
        new = add(archive, [file.read_bytes() for file in arguments.files])
        print(f"{new} of {len(arguments.files)} inputs are new; {archive} has {len(read(archive))}")
    else:
        unpack(archive, arguments.folder)


if __name__ == "__main__":
    main()
