# SPDX-License-Identifier: Apache-2.0
"""Runs the fuzzing targets of fuzz/ for a short time; for a long one: ./bootstrap fuzz."""

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
SHORT = {
    "packet": ["-max_total_time=10"],
    "entry": ["-max_total_time=10"],
    "differential": ["-runs=0"],  # of new inputs
}
LONGEST_INPUT = 600
EXECUTED = "stat::number_of_executed_units:"


@pytest.fixture
def long_run(pytestconfig):
    """The options that end a long run, or None."""
    seconds, runs = pytestconfig.getoption("--fuzz-seconds"), pytestconfig.getoption("--fuzz-runs")
    if seconds is None and runs is None:
        return None
    fast = ["-use_counters=0"] if pytestconfig.getoption("--fuzz-fast") else []
    return [f"-max_total_time={seconds}" if runs is None else f"-runs={runs}", *fast]


def run_fuzzer(command, corpora, options, artifacts):
    """Run a libFuzzer program and return how many inputs it ran; what it found is the failure's
    text."""
    # Entropy costs a third of the time, and finds no more code here.
    options = [*options, "-entropic=0", f"-max_len={LONGEST_INPUT}", "-print_final_stats=1"]
    result = subprocess.run(
        [*command, *options, f"-artifact_prefix={artifacts}/", *corpora],
        env=os.environ | SANITIZER_OPTIONS,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    lines = result.stderr.splitlines()
    if result.returncode == 0:
        return next(int(line.split()[1]) for line in lines if line.startswith(EXECUTED))
    tail = "\n".join(lines[-80:])
    found = [path for path in artifacts.iterdir() if path.is_file()]
    for path in found:
        kept = shutil.copy(path, FOUND / path.name)
        tail += f"\nagain with: {' '.join(map(str, command))} {kept}\nbytes: {path.read_bytes()!r}"
    pytest.fail(f"exit status {result.returncode}\n{tail}")


def count(target, executed, capsys):
    """Add to how many inputs all long runs of a target have executed."""
    tally = FOUND / f"{target}.executed"
    total = executed + (int(tally.read_text()) if tally.exists() else 0)
    tally.write_text(f"{total}\n")
    with capsys.disabled():
        print(f"\n{target}: {executed} inputs, {total} in all")


def folders(*places):
    for place in (FOUND, *places):
        place.mkdir(parents=True, exist_ok=True)
    return places


@pytest.mark.parametrize("target", corpus.TARGETS)
def test_no_input_breaks_the_data_path(target, long_run, tmp_path, capsys):
    """Of packet and entry: no peer and no order of calls. Of differential: its variants agree."""
    program = BUILD / "fuzz" / f"fuzz_{target}"
    assert program.exists(), f"{program} does not exist: ./bootstrap test builds it"
    own = FOUND / target if long_run else tmp_path / "corpus"
    begin = tmp_path / "begin"
    own, artifacts = folders(own, tmp_path / "artifacts")
    corpus.unpack(corpus.archive_of(target), begin)
    options = long_run or SHORT[target]
    executed = run_fuzzer([program], [own, begin], options, artifacts)
    assert executed >= len(list(begin.iterdir()))
    if long_run:
        count(target, executed, capsys)


states = Counter()


@settings(deadline=None, max_examples=1000)
@given(st.binary(max_size=LONGEST_INPUT))
def run_protocol(data):
    states[protocol.run(data)[-1]] += 1


def test_no_bytes_break_the_handshakes():
    run_protocol()
    assert len(states) > 1, f"every input ended in the same state: {states}"


@pytest.mark.parametrize("is_master", [0, 1])
def test_an_input_can_be_what_an_honest_peer_sends(is_master):
    """Or none would get beyond the first messages."""
    expected_and_accepted = b"\x21"
    states = protocol.run(bytes([0x14, is_master]) + 100 * expected_and_accepted)
    assert states[-2:] == ["CONNECTED", "CLOSED"]


def test_no_bytes_break_the_handshakes_for_long(long_run, tmp_path, capsys):
    """Under atheris, where the time was asked for; hypothesis alone otherwise."""
    if long_run is None:
        return
    own, artifacts = folders(FOUND / "protocol", tmp_path / "artifacts")
    program = [sys.executable, FUZZ / "protocol.py"]
    count("protocol", run_fuzzer(program, [own], long_run, artifacts), capsys)
