# SPDX-License-Identifier: Apache-2.0
"""`./bootstrap coverage`: which branches of C and Python the tests take.

It measures a copy of the sources in build-coverage, with an environment and a build of its own, so
that the tests find there what they look for in a checkout.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from console import ROOT, Command, become, fail, say

FOLDER = ROOT / "build-coverage"
COPY = FOLDER / "libmemif-py"
SECTIONS = ("unit", "c_tests", "integration", "hostile")
# Tests of what is not there, or of what the measurement itself changes.
LEFT_OUT = {
    "tests/unit/test_coverage_report.py": "reads the source that the copy has changed",
    "tests/integration/test_instructions.py": "counting branches takes instructions",
    "tests/integration/test_valgrind.py": "valgrind is slow, and sees the memory of coverage.py",
    "tests/hostile/test_fuzz.py": "has a build of its own",
}
# The C libraries start an isolated interpreter, which no setting from outside reaches.
EMBEDDING = "libmemif_py/native/embed/imports.c"
FIRST_IMPORT = '"import sys\\n"'
# Some tests build and install the libraries elsewhere, or load them into an interpreter of the
# system. There is no coverage.py.
MEASURED_IMPORT = (
    "\"import sys; any(path.startswith('{}/') for path in sys.path)"
    " and __import__('start_coverage')\\n\""
)
# What goes among the packages of the environment.
MODULES = ("start_coverage.py", "name_tests.py")
TOOLS = ROOT / "devtools" / "coverage_report"


def coverage(*arguments: str) -> None:
    """Copy the sources, and go on in the copy."""
    _parser().parse_args(arguments)
    _copy()
    command: Command = [sys.executable, "-I", COPY / "devtools" / "bootstrap", "coverage-in-copy"]
    become([*command, *arguments])


def coverage_in_copy(*arguments: str) -> None:
    """Build, run the tests, and report; tests that fail are named, and spoil nothing."""
    import building
    import environment
    import testing

    args = _parser().parse_args(arguments)
    environment.prepare("coverage")
    building.forget(building.COVERAGE)
    if not building.install(building.COVERAGE):
        sys.exit(1)
    # Some tests start programs as another user.
    data = _emptied(ROOT.parent / "data")
    process_data = data / "process"
    process_data.mkdir()
    process_data.chmod(0o1777)
    _start_in_every_interpreter(environment.VENV, process_data)
    options = [*(f"--ignore={path}" for path in LEFT_OUT)]
    # Targets of the hostile tests that are built with sanitizers have a build of their own.
    options += ["-k", "not asan", "--c-build-dir=build", "-p", "name_tests"]
    sections = [testing.run_folder(name, *options) for name in args.only or SECTIONS]
    print(*testing.summary(sections), sep="\n", flush=True)
    report = _emptied(ROOT.parent / "report")
    say(f"writing {report}")
    folders = [ROOT, ROOT / building.COVERAGE.folder, data, report]
    become([environment.VENV / "bin" / "python", TOOLS / "write_report.py", *folders])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./bootstrap coverage")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="a section of the tests")
    return parser


def _copy() -> None:
    """Renew the copy, but for its environment."""
    from sources import copy_sources

    new = FOLDER / "new"
    shutil.rmtree(new, ignore_errors=True)
    copy_sources(new)
    measure_embedded(new / EMBEDDING, COPY / ".venv")
    if (COPY / ".venv").exists():
        (COPY / ".venv").rename(new / ".venv")
    shutil.rmtree(COPY, ignore_errors=True)
    new.rename(COPY)


def measure_embedded(source: Path, venv: Path) -> None:
    """Have the interpreter that the C libraries of an environment start begin with coverage.py."""
    text = source.read_text()
    if text.count(FIRST_IMPORT) != 1:
        fail(f"{source}: expected {FIRST_IMPORT} once, to start coverage.py there")
    source.write_text(text.replace(FIRST_IMPORT, MEASURED_IMPORT.format(venv)))


def _start_in_every_interpreter(venv: Path, data: Path) -> None:
    (packages,) = venv.glob("lib/python*/site-packages")
    for name in MODULES:
        shutil.copy(TOOLS / name, packages)
    (packages / "start_coverage.pth").write_text("import start_coverage\n")
    (packages / "start_coverage.ini").write_text(
        f"[run]\nbranch = true\nparallel = true\ndata_file = {data / 'coverage'}\n"
        "include = */libmemif_py/*\npatch = _exit\ncontext = ${PYTEST_CURRENT_TEST-}\n"
    )


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
