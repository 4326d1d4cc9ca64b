# SPDX-License-Identifier: Apache-2.0
"""The benchmark programs measure what they say they measure."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from results import Measurement, Results, Series, summarise
from runner import Bench, ProgramError, read_records
from sections import received
from support.c_collector import build_directories

# Payloads, sizes and bursts take turns, so that a packet that is taken for one of another case
# cannot go unnoticed.
CASES = "64:1:head,9000:32:copied,64:256:head,1500:1:copied,9000:1:copied,64:32:head"
# Longer than any end waits for the other one before it goes on.
PAUSE = 0.15
BETWEEN_PAUSES = 0.01


@pytest.fixture
def bench(pytestconfig):
    plain = next(build for build in build_directories(pytestconfig) if not build.label)
    processors = sorted(os.sched_getaffinity(0))
    return Bench(plain.path, (processors[0], processors[-1]))


@contextmanager
def program(bench: Bench, name: str, *arguments: object) -> Iterator[subprocess.Popen]:
    """One program, ended in any case."""
    command = [bench.program(name), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def results_with_pauses(leading: subprocess.Popen, echo: int) -> list[dict]:
    """What the leading end prints while the other one stands still most of the time."""
    while leading.poll() is None:
        for number, seconds in ((signal.SIGSTOP, PAUSE), (signal.SIGCONT, BETWEEN_PAUSES)):
            with suppress(ProcessLookupError):
                os.kill(echo, number)
            with suppress(subprocess.TimeoutExpired):
                leading.wait(seconds)
    assert leading.returncode == 0
    return [r for r in read_records(leading.stdout.read()) if r["role"] == "both"]


def assert_complete(records: list[dict]) -> None:
    assert [f"{r['size']}:{r['burst']}:{r['payload']}" for r in records] == CASES.split(",")
    assert [(r["lost"], r["disordered"]) for r in records] == [(0, 0)] * len(records)


@pytest.mark.parametrize("api", ["v1", "v4"])
@pytest.mark.parametrize("options", [[], ["--interrupt"]], ids=["polling", "interrupt"])
def test_every_packet_is_answered(bench, api, options):
    leading = ["--samples", 50, "--warm", 5, *options]
    (record,) = bench.run_pair(f"latency_{api}", ["--echo", *options], leading)
    assert record["samples"] == 50
    assert 0 < record["min"] <= record["median"] <= record["p99"] <= record["p999"]


@pytest.mark.parametrize("api", ["v1", "v4"])
@pytest.mark.parametrize("protocol", [256, 512])
def test_every_pattern_is_measured_in_parts(bench, api, protocol):
    records = bench.run(
        *(f"calls_{api}", "--rounds", 1, "--slice", 200, "--protocol", protocol),
        *("--size", 1500, "--payload", "copied", "--mode", "polling", "--to", "slave"),
    )
    assert [record["pattern"] for record in records] == [
        *("1 each", "1 x 256", "4 each", "32 each", "32 x 8", "256 each"),
    ]
    for record in records:
        assert record["ns"] > 0
        assert set(record["parts"]) == {"alloc", "write", "tx", "rx", "read", "free"}


@pytest.mark.parametrize("name", ["bare", "throughput_v1", "throughput_v4", "calls_v1", "calls_v4"])
def test_payloads_are_copied_by_the_c_library_only(bench, name):
    """What a compiler puts in its place is faster or slower, and not the same everywhere."""
    command = ["objdump", "--disassemble", "--no-show-raw-insn", bench.program(name)]
    code = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "memcpy" in code
    assert "rep movs" not in code


def test_an_argument_that_makes_no_sense_is_told(bench):
    with pytest.raises(ProgramError, match="SIZE:BURST"):
        bench.run("throughput_v1", "--role", "send", "--socket", "x", "--cases", "63")
    with pytest.raises(ProgramError, match="no such option"):
        bench.run("bare", "--whatever")


def test_cases_stay_apart_however_long_the_bare_echo_pauses(bench):
    common = ["--cpu", bench.cpus[0], "--cpu2", bench.cpus[1], "--warm", 1, "--count", 1]
    arguments = ["--what", "throughput", "--echo", "--rings", 2, "--cases", CASES, *common]
    with program(bench, "bare", *arguments) as leading:
        assert_complete(results_with_pauses(leading, only_child(leading)))


def only_child(process: subprocess.Popen) -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (found := children.read_text().split()):
        os.sched_yield()
    return int(found[0])


@pytest.mark.parametrize("api", ["v1", "v4"])
def test_cases_stay_apart_however_long_the_echo_pauses(bench, tmp_path, api):
    name, socket = f"throughput_{api}", tmp_path / "socket"
    common = ["--socket", socket, "--rings", 2, "--cases", CASES, "--warm", 1, "--count", 1]
    with program(bench, name, "--role", "echo", "--master", *common) as echo:
        while not socket.exists():
            os.sched_yield()
        with program(bench, name, "--role", "both", *common) as leading:
            assert_complete(results_with_pauses(leading, echo.pid))


def ends(lost: int = 0, **shares: float) -> list[dict]:
    """What the two ends of one case print, by role the share of the processor that each had."""
    case = {"rings": 1, "size": 64, "burst": 1, "payload": "head", "lost": lost, "disordered": 0}
    return [{**case, "role": role, "share": share} for role, share in shares.items()]


def test_the_end_that_had_less_of_its_processor_counts():
    (record,) = received(ends(echo=0.5, both=0.99))
    assert (record["role"], record["share"]) == ("both", 0.5)
    (record,) = received(ends(receive=0.99))
    assert record["share"] == 0.0


def test_a_lost_packet_is_no_result():
    with pytest.raises(ProgramError, match="7 packets lost"):
        received(ends(lost=7, echo=1.0, both=1.0))


@pytest.mark.parametrize(("shares", "marked"), [([1, 1, 0.5], False), ([1, 0.5, 0.5], True)])
def test_numbers_from_a_machine_in_use_are_left_out_or_marked(shares, marked):
    rounds = [
        {"round": i, "subject": "bare", "rate": share, "share": share}
        for i, share in enumerate(shares)
    ]
    series = Results(rounds, (), "rate").get((), "bare")
    assert series.disturbed == marked
    assert len(series.values()) == (3 if marked else 2)


def test_a_ratio_needs_a_round_in_which_both_had_their_processors():
    def series(*shares: float) -> Series:
        values = {i: Measurement(share, share == 1, True) for i, share in enumerate(shares)}
        return Series(values)

    assert series(1, 1, 0.1).ratio_to(series(0.5, 1, 1)) == 1
    assert series(1, 0.1).ratio_to(series(0.1, 1)) is None


def test_calls_are_compared_with_a_limit_that_knows_no_direction():
    key = ("protocol", "mode", "to", "burst")
    common = {"protocol": 512, "burst": 1, "round": 0}
    records = [
        {**common, "subject": "bare", "ns": 10.0},
        {**common, "subject": "bare", "ns": 1.0, "protocol": 256},
        {**common, "subject": "ours 1.0", "ns": 25.0, "mode": "polling", "to": "slave"},
    ]
    summaries = summarise(Results(records, key, "ns"), key, "bare")
    ratios = {summary["subject"]: summary["ratio to bare"] for summary in summaries}
    assert ratios == {"bare": 1.0, "ours 1.0": 2.5}
