# SPDX-License-Identifier: Apache-2.0
"""`./bootstrap test`: one section after another, the quick ones first, whatever fails; then a table
of all of them.

In a section two tests run side by side, of two files. The files of ALONE follow by themselves.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aarch64
import building
from console import ROOT
from environment import VENV
from sources import check_sources

# By their names, the folders of tests.
FOLDERS = {
    "unit": ("tests/unit",),
    "proofs": ("tests/proofs",),
    "docs": ("tests/docs",),
    "c_tests": ("c_tests",),
    "integration": ("tests/integration",),
    "hostile": ("tests/hostile",),
    "packaging": ("tests/fresh", "tests/packaging"),
}
# Of these the longest files come first, so that others fill the end. Elsewhere those with the most
# tests do, which is what xdist chooses.
LONGEST_FIRST = ("packaging",)
# Whose tests are steps: the time of each is told, by file.
STEPS = "tests/fresh/"
# Files of tests that need the machine for themselves, and why.
ALONE = {
    "tests/integration/test_instructions.py": "runs two at a time itself, and prints what it "
    "compares with, which a worker of xdist would swallow",
}
PYTEST = VENV / "bin" / "pytest"
WORKERS = min(2, os.cpu_count() or 1)
OTHER_BUILDS = (building.ASAN, building.TSAN, building.WITH_CLANG, building.FUZZ)
SLOWEST = 10
FAILED_TESTS = 1


@dataclass
class Section:
    """What a section came to."""

    name: str
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    """What failed: tests, or what else was done."""
    counts: dict[str, int] = field(default_factory=dict)
    """Of tests, by outcome."""
    durations: dict[str, float] = field(default_factory=dict)
    """Seconds, by test."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Reasons, by test."""


def run_all() -> int:
    """Run everything; return the exit status."""
    sections = [_timed("lint", _lint), _timed("build", _build)]
    if _is_installed(sections[-1]):
        sections += [_timed(name, _run_tests) for name in FOLDERS]
    else:
        problem = ["not run: there is no library to test"]
        sections += [Section(name, problems=problem) for name in FOLDERS]
    for line in summary(sections):
        print(line, flush=True)
    return int(any(section.problems for section in sections))


def run_folder(name: str, *options: str) -> Section:
    """Run the tests of a section, all side by side, with these options for pytest."""

    def run(section: Section) -> None:
        _pytest(section, [*_workers(name), *options, *FOLDERS[name]])

    return _timed(name, run)


def prepare_for_pytest() -> None:
    """Check and build, or end."""
    lint = Section("lint")
    _lint(lint)
    if not lint.problems:
        _build(lint)
    if lint.problems:
        sys.exit(1)


# ---- the sections


def _timed(name: str, run: Callable[[Section], None]) -> Section:
    print(f"\n==== {name} {'=' * (70 - len(name))}", flush=True)
    section = Section(name)
    begin = time.monotonic()
    run(section)
    section.seconds = time.monotonic() - begin
    return section


def _lint(section: Section) -> None:
    section.problems += check_sources()


def _build(section: Section) -> None:
    if not building.install(building.TESTED):
        section.problems.append(building.TESTED.folder.name)
    section.problems += [build.folder.name for build in OTHER_BUILDS if not building.make(build)]
    section.problems += aarch64.make()


def _is_installed(build: Section) -> bool:
    return building.TESTED.folder.name not in build.problems


def _run_tests(section: Section) -> None:
    folders = [Path(folder) for folder in FOLDERS[section.name]]
    alone = [Path(file) for file in ALONE if any(Path(file).is_relative_to(f) for f in folders)]
    beside = [f"--ignore={path}" for path in alone]
    _pytest(section, [*_workers(section.name), *beside, *folders])
    if alone:
        _pytest(section, alone)


def _workers(name: str) -> list[str]:
    order = ["--no-loadscope-reorder"] if name in LONGEST_FIRST else []
    return ["-n", str(WORKERS), "--dist", "loadfile", *order]


def _pytest(section: Section, arguments: Sequence[str | Path]) -> None:
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "outcomes")
        file.touch()
        status = subprocess.run(
            [PYTEST, "-q", f"--outcomes={file}", *arguments], cwd=ROOT, check=False
        ).returncode
        outcomes = [json.loads(line) for line in file.read_text().splitlines()]
    _take(section, outcomes)
    if status != 0 and not (status == FAILED_TESTS and section.problems):
        words = " ".join(map(str, arguments))
        section.problems.append(f"pytest {words}: exit status {status}")


def _take(section: Section, outcomes: Sequence[dict[str, Any]]) -> None:
    """Add the outcomes of one run of pytest: a test has three phases, of which each may fail."""
    worst: dict[str, str] = {}
    for phase in outcomes:
        test, outcome = phase["test"], phase["outcome"]
        section.durations[test] = section.durations.get(test, 0.0) + phase["seconds"]
        order = ("passed", "skipped", "failed")
        worst[test] = max(worst.get(test, "passed"), outcome, key=order.index)
        if outcome == "skipped":
            section.skipped[test] = phase.get("reason", "")
    for test, outcome in worst.items():
        section.counts[outcome] = section.counts.get(outcome, 0) + 1
        if outcome == "failed":
            section.problems.append(test)


# ---- the end


def summary(sections: Sequence[Section]) -> Iterator[str]:
    """Return the table, the slowest tests, and last what failed."""
    yield f"\n==== all {'=' * 67}"
    yield f"{'section':12} {'seconds':>8} {'passed':>7} {'failed':>7} {'skipped':>8}"
    for section in sections:
        counts = [section.counts.get(outcome, 0) for outcome in ("passed", "failed", "skipped")]
        passed, failed, missed = counts if section.counts else ("-", "-", "-")
        verdict = "  FAILED" if section.problems else ""
        row = f"{section.name:12} {section.seconds:8.1f} {passed:>7} {failed:>7} {missed:>8}"
        yield row + verdict
    yield f"{'all':12} {sum(section.seconds for section in sections):8.1f}"
    durations = {k: v for section in sections for k, v in section.durations.items()}
    slowest = sorted(durations, key=durations.__getitem__, reverse=True)[:SLOWEST]
    if slowest:
        yield "\nthe slowest tests:"
        yield from (f"{durations[test]:8.1f} s  {test}" for test in slowest)
    yield from _steps(sections)
    skipped = {k: v for section in sections for k, v in section.skipped.items()}
    if skipped:
        yield "\nskipped:"
        yield from (f"  {test}: {reason}" for test, reason in skipped.items())
    problems = [(section.name, text) for section in sections for text in section.problems]
    yield "\nfailed:" if problems else "\nnothing failed"
    yield from (f"  {name}: {text}" for name, text in problems)


def _steps(sections: Sequence[Section]) -> Iterator[str]:
    """Return how long each file of STEPS took, and each of its tests."""
    files: dict[str, dict[str, float]] = {}
    for section in sections:
        for test, seconds in section.durations.items():
            if test.startswith(STEPS):
                file, *_, step = test.split("::")
                files.setdefault(file, {})[step] = seconds
    for file, steps in files.items():
        yield f"\n{file}: {sum(steps.values()):.1f} s"
        yield from (f"{seconds:8.1f} s  {step}" for step, seconds in steps.items())
