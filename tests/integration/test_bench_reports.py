# SPDX-License-Identifier: Apache-2.0
"""What the benchmark says besides numbers: what was measured, when, and what failed."""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import origin
import pytest
from responders import PROGRAMS, ROLES
from runner import SONAMES, Bench, Library
from sections import APIS, QUICK, latency_round
from support.c_collector import build_directories

import bench as bench_program

SHORT = replace(QUICK, samples=100)


@pytest.fixture
def bench(pytestconfig) -> Bench:
    plain = next(build for build in build_directories(pytestconfig) if not build.label)
    processors = sorted(os.sched_getaffinity(0))
    return Bench(plain.path, (processors[0], processors[-1]))


@pytest.fixture
def broken(tmp_path) -> Library:
    """A library under which no program starts."""
    for soname in SONAMES.values():
        (tmp_path / soname).write_text("not a library")
    return Library("broken", tmp_path)


def test_a_note_names_the_library_of_the_run_that_failed(bench, broken):
    notes: list[str] = []
    records = latency_round(bench, [Library("ours"), broken], SHORT, 0, notes.append)
    measured = {(record["subject"], record["mode"]) for record in records}
    assert measured == {
        (subject, mode)
        for subject in ("bare", "ours 1.0", "ours 4.0")
        for mode in ("polling", "interrupt")
    }
    assert [note.partition(": ")[0] for note in notes] == [
        f"broken {api}, round trip, {mode}"
        for mode in ("polling", "interrupt")
        for api in APIS.values()
    ]


def test_each_library_has_a_commit_or_a_hash_and_a_date(broken):
    ours, *others = origin.origins([Library("ours"), broken], 0.0)
    assert ours["date"] == "1970-01-01"
    assert re.fullmatch(r"[0-9a-f]{12,}(-dirty)?|unknown", ours["commit"])
    wanted = hashlib.sha256(b"not a library").hexdigest()[:12]
    assert [other["commit"] for other in others] == [wanted] * 2
    assert [Path(other["library"]).name for other in others] == list(SONAMES.values())


def test_a_tree_without_git_has_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr(origin, "ROOT", tmp_path)
    assert origin.commit() == "unknown"


def test_the_file_and_the_pictures_tell_commit_date_and_machine(bench, tmp_path):
    options = ["--only", "latency", "--quick", "--rounds", "1", "--build", str(bench.build)]
    arguments = [sys.executable, bench_program.__file__, *options, "--output", str(tmp_path)]
    before = time.time()
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    written = json.loads((tmp_path / "bench.json").read_text())
    days = {time.strftime("%Y-%m-%d", time.gmtime(at)) for at in (before, time.time())}
    (ours,) = written["origins"]
    assert (ours["library"], ours["commit"]) == ("ours", origin.commit())
    assert ours["date"] in days
    assert written["kernel"] == os.uname().release
    assert ours["commit"] in done.stdout
    run = SimpleNamespace(
        options=SimpleNamespace(quick=False),
        libraries=[Library("ours")],
        plan=SHORT,
        start=before,
    )
    assert f"commit {ours['commit']}, " in bench_program.Run.caption(run)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_flood_counts_the_answers_of_an_example(bench, program, role):
    cases = ((64, 1), (1500, 32), (62, 256))
    text = ",".join(f"{size}:{burst}:copied" for size, burst in cases)
    arguments = ["--cases", text, "--warm", 1, "--count", 3]
    records = bench.run_flood(f"flood_{PROGRAMS[program]}", arguments, program, role)
    assert tuple((record["size"], record["burst"]) for record in records) == cases
    assert all(record["answers"] > 0 for record in records)
    assert [record["disordered"] for record in records] == [0] * len(cases)
