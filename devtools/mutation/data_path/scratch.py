# SPDX-License-Identifier: Apache-2.0
"""The mutated copy of the sources in build-mutation/, and what is built of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from data_path.places import Mutant
from data_path.schemata import rewrite

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
SCRATCH = ROOT / "build-mutation"
SOURCE = SCRATCH / "source"
REACHED = SCRATCH / "reached"
NATIVE = "libmemif_py/native"
# Numbers of a file begin at a multiple of this, so that a change of one renumbers no other.
STEP = 1000
# What is not of the data path, or not for this processor.
LEFT_OUT = ("core/errors.c", "core/errors.h", "core/debug.c", "datapath/vectors_neon.h")
# The folders that the build needs.
COPIED = ("c_tests", "devtools", "docs", "examples", "fuzz", "include", "libmemif_py", "systemd")
BUILDS = {
    "plain": ("-Doptimization=1",),
    "asan": ("-Doptimization=1", "-Db_sanitize=address,undefined"),
}


def mutated_files() -> list[str]:
    """Name all of them, relative to the folder of native sources."""
    native = ROOT / NATIVE
    found = [path for folder in ("core", "datapath") for path in (native / folder).glob("*.[ch]")]
    names = sorted(str(path.relative_to(native)) for path in found)
    return [name for name in names if name not in LEFT_OUT] + ["python/pause.c"]


def all_mutants() -> list[Mutant]:
    """Find the mutants of all files."""
    return [mutant for _, _, found in _rewritten() for mutant in found]


def _rewritten() -> Iterator[tuple[Path, bytes, list[Mutant]]]:
    """Each file with its mutated source and its mutants."""
    for index, name in enumerate(mutated_files(), 1):
        path = Path(NATIVE, name)
        content, found = rewrite(name, (ROOT / path).read_bytes(), index * STEP)
        if len(found) > STEP:
            raise ValueError(f"{name} has {len(found)} mutants, more than {STEP}")
        yield path, content, found


def write_sources() -> list[Mutant]:
    """Bring the copy up to date; returns all mutants."""
    mutants: list[Mutant] = []
    new: dict[Path, bytes] = {}
    for top in COPIED:
        for path in (ROOT / top).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                new[path.relative_to(ROOT)] = path.read_bytes()
    for name in ("meson.build", "meson.options", "CHANGELOG.md", "README.md", "LICENSE"):
        new[Path(name)] = (ROOT / name).read_bytes()
    for path, content, found in _rewritten():
        new[path] = content
        mutants += found
    for path, content in new.items():
        _write(SOURCE / path, content)
    for path in [path for path in SOURCE.rglob("*") if path.is_file()]:
        if path.relative_to(SOURCE) not in new:
            path.unlink()
    return mutants


def _write(path: Path, content: bytes) -> None:
    """A file that stays the same is not written, so it is not compiled again."""
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def build(name: str) -> Path:
    """Build the copy; returns the folder."""
    folder = SCRATCH / name
    if not (folder / "build.ninja").exists():
        shutil.rmtree(folder, ignore_errors=True)
        header = SOURCE / "devtools" / "mutation" / "mutant.h"
        options = ["--buildtype=debug", "-Dtests=true", f"-Dc_args=-w -include {header}"]
        command: list[str | Path] = ["meson", "setup", folder, SOURCE, *options, *BUILDS[name]]
        _run(command)
    _run(["meson", "compile", "-C", folder])
    return folder


def _run(command: list[str | Path]) -> None:
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if result.returncode != 0:
        sys.exit(f"{result.stdout[-6000:]}\n{' '.join(map(str, command))}: failed, see above")
