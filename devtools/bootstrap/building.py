# SPDX-License-Identifier: Apache-2.0
"""The build folders."""

import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from console import ROOT, Command, succeeds
from environment import VENV, identity

GCC = ("gcc", "g++")
CLANG = ("clang", "clang++")


@dataclass(frozen=True)
class Build:
    """A folder, and what is built in it: all, or some targets."""

    folder: Path
    options: tuple[str, ...]
    compilers: tuple[str, str] = GCC
    targets: tuple[str, ...] = ()
    cross_files: tuple[str, ...] = ()
    """In devtools/cross; they name the compilers of another machine."""


def release(*parts: str) -> Build:
    """Return the build that is installed, with the parts that have an option of their own."""
    return Build(Path("build"), ("--buildtype=release", *(f"-D{part}=true" for part in parts)))


# What most tests use.
TESTED = release("examples", "tests", "bench", "werror")
# The sanitizers hide from gcc what it knows of values, so that it warns of more.
ASAN = Build(
    Path("build-asan"),
    (
        *("--buildtype=debugoptimized", "-Dtests=true"),
        *("-Db_sanitize=address,undefined", "-Dwerror=false"),
    ),
)
# The tests of threads only: the rest has one.
TSAN = Build(
    Path("build-tsan"),
    ("--buildtype=debugoptimized", "-Dtests=true", "-Db_sanitize=thread", "-Dwerror=false"),
)
WITH_CLANG = Build(
    Path("build-clang"),
    ("--buildtype=release", "-Dexamples=true", "-Dtests=true", "-Dbench=true", "-Dwerror=true"),
    CLANG,
)
FUZZ = Build(
    Path("build-fuzz"),
    ("--buildtype=debugoptimized", "-Dfuzz=true"),
    CLANG,
    ("fuzz_packet", "fuzz_entry", "fuzz_differential"),
)
AARCH64 = Build(
    Path("build-aarch64"),
    (
        *("--buildtype=release", "-Dexamples=true", "-Dtests=true", "-Dbench=true"),
        *("-Dwerror=true", "-Dcffi_dir=/usr/lib/python3/dist-packages"),
    ),
    cross_files=("aarch64.ini", "aarch64-gcc.ini"),
)
# The C tests run as gcc compiles them.
AARCH64_WITH_CLANG = replace(
    AARCH64,
    folder=Path("build-aarch64-clang"),
    options=tuple(option for option in AARCH64.options if option != "-Dtests=true"),
    cross_files=("aarch64.ini", "aarch64-clang.ini"),
)
# Without what the optimiser joins or leaves out, but with functions inlined; counted by threads.
COVERAGE = Build(
    Path("build"),
    (
        *("-Doptimization=1", "-Ddebug=true", "-Db_coverage=true"),
        *("-Dexamples=true", "-Dtests=true", "-Dbench=true"),
        *("-Dc_args=-fprofile-update=atomic", "-Dcpp_args=-fprofile-update=atomic"),
    ),
)
# What abidw records are types, which are in the debug information.
ABI = Build(Path("build-abi"), ("--buildtype=release", "-Ddebug=true"))


def make(build: Build) -> bool:
    """Configure and build; return whether that worked."""
    folder = build.folder
    c, cxx = build.compilers
    command: Command = ["meson", "compile", "-C", folder, *build.targets]
    return _configure(build) and succeeds(f"building {folder}", command, CC=c, CXX=cxx)


def install(build: Build) -> bool:
    """Build and install into .venv; return whether that worked."""
    command: Command = ["meson", "install", "-C", build.folder, "--no-rebuild", "--only-changed"]
    return make(build) and succeeds("installing into .venv", command)


def forget(build: Build) -> None:
    """Have the next `make` start anew."""
    shutil.rmtree(build.folder, ignore_errors=True)


def must_make(build: Build) -> None:
    """Build, or end."""
    if not make(build):
        sys.exit(1)


def must_install(*parts: str) -> None:
    """Install a release build into .venv, or end."""
    if not install(release(*parts)):
        sys.exit(1)


def _configure(build: Build) -> bool:
    folder = build.folder
    c, cxx = build.compilers
    # A build folder remembers the interpreter and the compilers: with others it starts anew.
    made_for = f"{identity()}{c} {cxx}\n" + "".join(build.cross_files)
    options = " ".join(build.options) + "\n"
    if _read(folder / ".made-for") != made_for:
        forget(build)
        prefix = [f"--prefix={VENV}", "--libdir=lib"]
        command: list[str | Path] = ["meson", "setup", folder, *prefix, *build.options]
        command += [f"--cross-file={ROOT / 'devtools' / 'cross' / f}" for f in build.cross_files]
        if not succeeds(f"configuring {folder}", command, CC=c, CXX=cxx):
            return False
        (folder / ".made-for").write_text(made_for)
    elif _read(folder / ".options") != options:
        command = ["meson", "configure", folder, *build.options]
        if not succeeds(f"configuring {folder} again", command, CC=c, CXX=cxx):
            return False
    (folder / ".options").write_text(options)
    return True


def _read(file: Path) -> str:
    return file.read_text() if file.exists() else ""
