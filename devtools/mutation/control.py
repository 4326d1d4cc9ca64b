# SPDX-License-Identifier: Apache-2.0
"""Do the tests notice? Changes the control plane in one place at a time, and runs the tests of the
line that is changed.

    ./bootstrap coverage                  tells which tests run which line
    ./bootstrap mutate --control [MODULE...]

A module is named like control/link.py; without one, all of control/ are changed. The tests run on
copies of this checkout, with its .venv and its build (with -Dtests=true), in build-mutation/. What
became of each mutant is in build-mutation/results/, and a run goes on where the last one ended;
`--anew` begins again. Those that nobody noticed are printed at the end, but for those that
control_equivalent.toml explains.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import functools
import json
import queue
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import coverage
from control_mutants import Mutant, mutants

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build-mutation"
RESULTS = FOLDER / "results"
WORKER = Path(__file__).with_name("control_worker.py")
EQUIVALENT = Path(__file__).with_name("control_equivalent.toml")
MEASURED = ROOT / "build-coverage" / "data" / "all"
PACKAGE = "libmemif_py"
# In this order they run, and of each folder not more than so many for one mutant.
FOLDERS = {"tests/unit/": 30, "c_tests/": 15, "tests/integration/": 5, "tests/hostile/": 3}
FEW = 8
# Whole or not at all: it takes seconds, and reads the sources of these modules.
PROOF = "tests/proofs/test_handshake.py::test_all_claims_hold_in_every_state"
PROVED = tuple(f"control/{name}.py" for name in ("wire", "actions", "offer", "handshake"))
TIMEOUT = 60.0
OPTIONS = (
    *("-x", "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist"),
    *("--c-build-dir=build", "--hypothesis-seed=0", "-o", "faulthandler_timeout=0"),
    # The worker has loaded hypothesis.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)
NOT_COPIED = ("build-*", ".git", "*_cache", ".hypothesis", "dist")
NO_TESTS_COLLECTED = 5
# By exit status of pytest, which has 2 for an error in what it imports. None is the timeout.
VERDICTS = {0: "survived", 1: "killed", 2: "killed", None: "timeout", NO_TESTS_COLLECTED: "no test"}


class TestsByLine:
    """Which tests run a line of a module, as ./bootstrap coverage found out."""

    def __init__(self, module: str) -> None:
        """Read what was measured of a module, such as control/link.py."""
        data = coverage.CoverageData(str(MEASURED))
        data.read()
        self._contexts = data.contexts_by_lineno(f"{PACKAGE}/{module}")
        self._sizes = _sizes()
        contexts = (context for found in self._contexts.values() for context in found)
        self._runs = Counter(test_of(context) for context in contexts)

    def select(self, first: int, last: int | None = None) -> list[str]:
        """Return tests of some lines, or of all from the first.

        The folders that are quick come first, and in each the tests that are about this module,
        which run the least of others.
        """
        lines = [n for n in self._contexts if first <= n and (last is None or n <= last)]
        found = {test_of(context) for line in lines for context in self._contexts[line]}
        found = {test for test in found if is_there(test, ROOT)}
        ranked = sorted(found, key=lambda test: (-self._runs[test] / self._sizes[test], test))
        chosen = []
        for folder, limit in FOLDERS.items():
            chosen += spread([test for test in ranked if test.startswith(folder)], limit)
        return chosen


def _sizes() -> dict[str, int]:
    """Return how much of the package each test runs."""
    sizes: dict[str, int] = {}
    with contextlib.closing(sqlite3.connect(MEASURED)) as connection:
        counts = "select context, count(*) from arc join context on context.id = context_id"
        for context, count in connection.execute(f"{counts} group by context_id"):
            test = test_of(context)
            sizes[test] = sizes.get(test, 0) + count
    return sizes


def test_of(context: str) -> str:
    """Return the test in a context; that of a child ends with a phase, such as (call)."""
    test = context.rpartition("|")[2]
    name, space, phase = test.rpartition(" ")
    return name if space and phase in ("(call)", "(setup)", "(teardown)") else test


def is_there(test: str, root: Path) -> bool:
    """Say whether a test that was measured still is where it was. One that is not ends pytest."""
    file, _, name = test.partition("[")[0].partition("::")
    if not file.endswith(".py"):  # C tests may be in a header that others include
        return (root / file).is_file()
    return name.rpartition("::")[2] in _text_of(root / file)


@functools.cache
def _text_of(file: Path) -> str:
    return file.read_text() if file.is_file() else ""


def spread(tests: list[str], limit: int) -> list[str]:
    """Return so many, from as many functions as there are: first one of each, then more."""
    numbers: dict[str, int] = {}
    ranked = []
    for test in tests:
        function = test.partition("[")[0]
        numbers[function] = numbers.get(function, 0) + 1
        ranked.append((numbers[function], test))
    return [test for _, test in sorted(ranked, key=lambda pair: pair[0])[:limit]]


def _packages(checkout: Path) -> Path:
    (found,) = checkout.glob(".venv/lib/python*/site-packages")
    return found


def _not_copied(folder: str, names: list[str]) -> set[str]:
    """Of the packages our own is enough: the others stay where they are."""
    if Path(folder) == _packages(ROOT):
        return set(names) - {PACKAGE}
    return {name for pattern in NOT_COPIED for name in fnmatch.filter(names, pattern)}


class Checkout:
    """A copy of this one, for one mutant at a time."""

    def __init__(self, number: int) -> None:
        """Copy, and start what runs pytest."""
        self._folder = FOLDER / f"checkout{number}"
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.copytree(ROOT, self._folder, symlinks=True, ignore=_not_copied)
        packages = _packages(self._folder)
        (packages / "others.pth").write_text(f"{_packages(ROOT)}\n")
        for script in self._folder.glob(".venv/bin/memif*"):
            script.write_text(script.read_text().replace(f"{ROOT}/", f"{self._folder}/"))
        self._packages = [folder / PACKAGE for folder in (packages, self._folder / "build")]
        self._packages.append(self._folder / PACKAGE)
        python = self._folder / ".venv" / "bin" / "python"
        self._process = subprocess.Popen(
            [python, "-P", WORKER, self._folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=self._folder,
        )
        # Popen makes what it is told to make.
        self._requests = cast("IO[bytes]", self._process.stdin)
        self._answers = cast("IO[bytes]", self._process.stdout)

    def run(self, module: str, text: str, tests: list[str]) -> dict[str, Any]:
        """Run these tests with this text of a module."""
        files = [package / module for package in self._packages]
        before = files[0].read_text()
        try:
            for file in files:
                file.write_text(text)
            request = {"arguments": [*OPTIONS, *tests], "timeout": TIMEOUT}
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
            return json.loads(self._answers.readline())
        finally:
            for file in files:
                file.write_text(before)

    def close(self) -> None:
        """End what runs pytest."""
        self._requests.close()
        self._process.wait()


Results = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Job:
    """A mutant, and what can notice it."""

    module: str
    mutant: Mutant
    tests: list[str]
    key: str
    """What stays when other lines move."""


def jobs(modules: list[str]) -> Iterator[Job]:
    """Return the mutants of these modules."""
    numbers: dict[str, int] = {}
    for module in modules:
        by_line = TestsByLine(module)
        for mutant in mutants((ROOT / PACKAGE / module).read_text()):
            # What runs at import belongs to no test, so those of the whole module may notice it.
            last = mutant.last if mutant.in_function else None
            tests = by_line.select(mutant.first if mutant.in_function else 1, last)
            if module in PROVED:
                tests.append(PROOF)
            key = f"{module}: {mutant.where}: {mutant.old} => {mutant.new}"
            numbers[key] = numbers.get(key, 0) + 1
            key += f" #{numbers[key]}" if numbers[key] > 1 else ""
            yield Job(module, mutant, tests, key)


def work(
    checkout: Checkout, waiting: queue.SimpleQueue[Job], results: Results, kills: Counter[str]
) -> None:
    """Run jobs until there is none, each with those tests first that have noticed the most."""
    while True:
        try:
            job = waiting.get_nowait()
        except queue.Empty:
            return
        answer: dict[str, Any] = {"status": NO_TESTS_COLLECTED, "output": ""}
        # Most are noticed by the first few, and the others take long to be collected.
        ranked = sorted(job.tests, key=lambda test: -kills[test])
        for tests in filter(None, (ranked[:FEW], ranked[FEW:])):
            answer = checkout.run(job.module, job.mutant.text, tests)
            if answer["status"] != 0:
                break
        result = {
            "key": job.key,
            "line": job.mutant.first,
            "verdict": VERDICTS.get(answer["status"], "error"),
            "status": answer["status"],
            "tests": len(job.tests),
            "said": [x for x in answer["output"].splitlines() if x.startswith(("FAILED", "ERROR"))]
            or answer["output"].splitlines()[-3:],
        }
        results[job.key] = result
        kills.update(test for test in job.tests if f"FAILED {test}" in answer["output"])
        with _results_file(job.module).open("a") as file:
            file.write(json.dumps(result) + "\n")


def known(module: str) -> Results:
    """Return the results of earlier runs."""
    file = _results_file(module)
    lines = file.read_text().splitlines() if file.exists() else []
    return {result["key"]: result for result in map(json.loads, lines)}


def _results_file(module: str) -> Path:
    return RESULTS / (module.replace("/", "-") + ".jsonl")


def equivalent() -> dict[str, str]:
    """Return why nobody can notice them, by key."""
    entries = tomllib.loads(EQUIVALENT.read_text())["equivalent"]
    return {entry["mutant"]: entry["why"] for entry in entries}


def report(module: str, results: Results, explained: dict[str, str]) -> None:
    """Print how many there are of each kind, and those that nobody noticed."""
    counts: dict[str, int] = {}
    unnoticed = []
    for result in results.values():
        verdict = result["verdict"]
        if verdict in ("survived", "no test"):
            verdict = "equivalent" if result["key"] in explained else verdict
            if verdict != "equivalent":
                unnoticed.append(result)
        counts[verdict] = counts.get(verdict, 0) + 1
    parts = ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items()))
    print(f"{module}: {len(results)} mutants: {parts}", flush=True)
    for result in sorted(unnoticed, key=lambda result: result["line"]):
        change = result["key"].partition(": ")[2]
        print(f"    {result['verdict']}: line {result['line']}: {change}", flush=True)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Formatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="such as control/link.py")
    parser.add_argument("--anew", action="store_true", help="forget the results of earlier runs")
    parser.add_argument("--again", action="store_true", help="run once more what was not noticed")
    parser.add_argument("--match", default="", help="only mutants whose text has this pattern")
    parser.add_argument("--jobs", type=int, default=2, help="checkouts; default %(default)s")
    args = parser.parse_args()
    package = ROOT / PACKAGE
    every = sorted(str(p.relative_to(package)) for p in (package / "control").glob("*.py"))
    modules = args.modules or every
    if not MEASURED.exists():
        sys.exit(f"{MEASURED} is missing: run ./bootstrap coverage first")
    if args.anew:
        for module in modules:
            _results_file(module).unlink(missing_ok=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    checkouts = [Checkout(number) for number in range(args.jobs)]
    explained = equivalent()
    for module in modules:
        results = known(module)
        todo = [job for job in jobs([module]) if re.search(args.match, job.key)]
        results = {job.key: results[job.key] for job in todo if job.key in results}
        if args.again:
            noticed = ("killed", "timeout")
            results = {
                k: r for k, r in results.items() if r["verdict"] in noticed or k in explained
            }
        kills: Counter[str] = Counter()
        waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
        for job in todo:
            if job.key not in results:
                waiting.put(job)
        threads = [
            threading.Thread(target=work, args=(checkout, waiting, results, kills))
            for checkout in checkouts
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        report(module, results, explained)
    for checkout in checkouts:
        checkout.close()


_Formatter = argparse.RawDescriptionHelpFormatter

if __name__ == "__main__":
    main()
