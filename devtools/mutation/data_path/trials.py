# SPDX-License-Identifier: Apache-2.0
"""The tests, each in a process of its own, and which of them notice a mutant."""

from __future__ import annotations

import contextlib
import math
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data_path.scratch import REACHED, ROOT

_SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
    "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=1",
}
_PATIENCE = 6  # seconds, for a test that waits for what does not come
_QUICK = ("core", "hostile")
_THROUGH_PYTHON = ("v1", "v4")
_TARGETS = ("packet", "entry")


@dataclass(frozen=True)
class Test:
    """A test of a C program, or the replay of a corpus."""

    program: Path
    case: str
    arguments: tuple[Path, ...] = ()

    def __str__(self) -> str:
        """Name program and test."""
        return f"{self.program.name} {self.case}"


def find_tests(build: Path, *, through_python: bool) -> list[Test]:
    """List the tests of a build: of the data path alone, or those with an interpreter as well."""
    found = []
    for folder in _THROUGH_PYTHON if through_python else _QUICK:
        for program in sorted((build / "c_tests" / folder).glob("test_*")):
            if program.is_file():
                listed = subprocess.run([program, "--list"], stdout=subprocess.PIPE, check=True)
                found += [Test(program, case) for case in listed.stdout.decode().split()]
    if not through_python:
        found += [_replay(build, target) for target in _TARGETS]
    return found


def _replay(build: Path, target: str) -> Test:
    inputs = build / f"corpus-{target}"
    corpus = ROOT / "fuzz" / "corpus.py"
    subprocess.run([str(sys.executable), str(corpus), "unpack", target, str(inputs)], check=True)
    replay = build / "c_tests" / "hostile" / f"replay_{target}"
    return Test(replay, "the corpus", tuple(sorted(inputs.iterdir())))


@dataclass(frozen=True)
class Trial:
    """How a run of a test ended."""

    passed: bool
    seconds: float
    """Of processor time: how busy the machine is does not count."""


def run(test: Test, mutant: int, seconds: float) -> Trial:
    """Run a test with a mutant on. One that takes more processor time, or waits for long, fails."""
    own = {"CK_FORK": "no", "CK_RUN_CASE": test.case, "MUTANT": str(mutant)}
    with tempfile.TemporaryDirectory(prefix="mutant") as folder:
        process = subprocess.Popen(
            [test.program, *test.arguments],
            cwd=folder,
            env={**os.environ, **_SANITIZERS, **own, "TMPDIR": folder},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        most = math.ceil(seconds)
        resource.prlimit(process.pid, resource.RLIMIT_CPU, (most, most))
        late = threading.Timer(_PATIENCE + 3 * seconds, _end_session, [process.pid])
        late.start()
        _, process.returncode, usage = os.wait4(process.pid, 0)
        late.cancel()
        _end_session(process.pid)
    return Trial(process.returncode == 0, usage.ru_utime + usage.ru_stime)


def _end_session(leader: int) -> None:
    """Nothing that a mutant started outlives it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


@dataclass(frozen=True)
class Survey:
    """What each test reaches, and how long it takes without a mutant."""

    seconds: Mapping[Test, float]
    reached: Mapping[Test, frozenset[int]]
    noticed: Counter[Test] = field(default_factory=Counter)

    def reaching(self, mutant: int) -> list[Test]:
        """Those that reach a mutant; first the quick ones, and those that have noticed many."""
        tests = [test for test, numbers in self.reached.items() if mutant in numbers]
        return sorted(tests, key=lambda test: self.seconds[test] / (1 + self.noticed[test]))

    def noticed_by(self, mutant: int, budget: float) -> Test | None:
        """Return the first test that fails with a mutant; without those beyond the budget."""
        for test in self.reaching(mutant):
            budget -= self.seconds[test]
            if budget < 0:
                break
            if not run(test, mutant, 0.3 + 5 * self.seconds[test]).passed:
                self.noticed[test] += 1
                return test
        return None


def survey(tests: Iterable[Test], numbers: int, longest: float) -> Survey:
    """Run the tests without a mutant. One that fails, or takes too long, is left out, and named."""
    seconds, reached = {}, {}
    os.environ["MUTANTS_REACHED"] = str(REACHED)
    for test in tests:
        trial = run(test, 0, 10 * longest + 1)
        if not trial.passed or trial.seconds > longest:
            why = f"takes {trial.seconds:.1f} s" if trial.passed else "fails"
            print(f"left out: {test}: {why}", flush=True)
            continue
        REACHED.write_bytes(bytes(numbers))
        _ = run(test, -1, 10 * longest + 1)
        marks = REACHED.read_bytes()
        seconds[test] = trial.seconds
        reached[test] = frozenset(i for i, mark in enumerate(marks) if mark)
    return Survey(seconds, reached)
