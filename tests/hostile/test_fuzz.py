# SPDX-License-Identifier: Apache-2.0
"""Runs the fuzzing targets of fuzz/ for a short time; for a long one: ./bootstrap fuzz SECONDS."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import corpus
import protocol
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.c_collector import SANITIZER_OPTIONS

ROOT = Path(__file__).parents[2]
FUZZ = ROOT / "fuzz"
BUILD = ROOT / "build-fuzz"
FOUND = BUILD / "found"
SHORT = 10  # seconds, for each target in C
LONGEST_INPUT = 600
STATISTICS = ("DONE", "stat::number_of_executed_units")


@pytest.fixture
def seconds(pytestconfig):
    return pytestconfig.getoption("--fuzz-seconds")


def run_fuzzer(command, corpora, seconds, artifacts, capsys):
    """Run a libFuzzer program; what it found is the failure's text."""
    options = [f"-max_total_time={seconds}", f"-max_len={LONGEST_INPUT}", "-print_final_stats=1"]
    result = subprocess.run(
        [*command, *options, f"-artifact_prefix={artifacts}/", *corpora],
        env=os.environ | SANITIZER_OPTIONS,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=2 * seconds + 300,
        check=False,
    )
    lines = result.stderr.splitlines()
    with capsys.disabled():
        print(*(line for line in lines if any(word in line for word in STATISTICS)), sep="\n")
    if result.returncode == 0:
        return
    tail = "\n".join(lines[-80:])
    found = [path for path in artifacts.iterdir() if path.is_file()]
    for path in found:
        kept = shutil.copy(path, FOUND / path.name)
        tail += f"\nagain with: {' '.join(map(str, command))} {kept}\nbytes: {path.read_bytes()!r}"
    pytest.fail(f"exit status {result.returncode}\n{tail}")


@pytest.mark.parametrize("face", corpus.TARGETS)
def test_no_peer_and_no_order_of_calls_breaks_the_rings(face, seconds, tmp_path, capsys):
    program = BUILD / "fuzz" / f"fuzz_{face}"
    assert program.exists(), f"{program} does not exist: ./bootstrap test builds it"
    long_run = seconds is not None
    own = FOUND / face if long_run else tmp_path / "corpus"
    artifacts = tmp_path / "artifacts"
    for folder in (own, artifacts, FOUND):
        folder.mkdir(parents=True, exist_ok=True)
    begin = tmp_path / "begin"
    corpus.unpack(corpus.archive_of(face), begin)
    run_fuzzer([program], [own, begin], seconds // 3 if long_run else SHORT, artifacts, capsys)


states = Counter()


@settings(deadline=None, max_examples=1000)
@given(st.binary(max_size=LONGEST_INPUT))
def run_protocol(data):
    states[protocol.run(data)] += 1


def test_no_bytes_break_the_handshakes():
    run_protocol()
    assert len(states) > 1, f"every input ended in the same state: {states}"


def test_no_bytes_break_the_handshakes_for_long(seconds, tmp_path, capsys):
    """Under atheris, where the time was asked for; hypothesis alone otherwise."""
    if seconds is None:
        return
    own, artifacts = FOUND / "protocol", tmp_path / "artifacts"
    for folder in (own, artifacts):
        folder.mkdir(parents=True, exist_ok=True)
    program = [sys.executable, FUZZ / "protocol.py"]
    run_fuzzer(program, [own], seconds // 3, artifacts, capsys)
