# SPDX-License-Identifier: Apache-2.0
"""What the data path costs in instructions does not grow unnoticed, and bursts stay out of the
kernel.

Counts, unlike times, are the same on every run. After a change that is meant to cost:
./bootstrap bench --record-instructions
"""

import re
import subprocess

import instructions
import pytest
from instructions import Cost, Origin
from runner import Bench
from support.builds import ROOT
from support.c_collector import build_directories

WITH_CLANG = ROOT / "build-clang"


@pytest.fixture(scope="module", params=["gcc", "clang"] if WITH_CLANG.exists() else ["gcc"])
def build(request, pytestconfig):
    """Clang's is there after `./bootstrap test`."""
    if request.param == "clang":
        return WITH_CLANG
    return next(build for build in build_directories(pytestconfig) if not build.label).path


@pytest.fixture(scope="module")
def costs(build):
    return instructions.measure(Bench(build))


def test_no_call_takes_more_instructions_than_recorded(build, costs, capsys):
    here = instructions.origin_of(build)
    baseline = instructions.baseline(instructions.read_record(), here)
    if baseline is None:
        pytest.skip(f"no counts are recorded for {here.machine}")
    what = f"{here}, compared with {baseline.origin}, up to {baseline.allowed:.0%} more"
    if baseline.origin != here:
        with capsys.disabled():
            print(f"\n{what}: {instructions.RECORD_COMMAND} records this compiler")
    measured = instructions.instructions_of(costs)
    found = instructions.differences(baseline.counts, measured, baseline.allowed)
    advice = f"meant to be so? {instructions.RECORD_COMMAND}"
    assert not found, "\n".join([what, *found, advice])


def test_no_burst_enters_the_kernel_while_the_peer_polls(costs):
    polling = {name: cost for name, cost in costs.items() if cost.mode == "polling"}
    assert len(polling) == len(costs) / 2
    assert instructions.needless_system_calls(polling) == []


def test_a_burst_enters_the_kernel_once_at_most(costs):
    interrupt = {name: cost for name, cost in costs.items() if cost.mode == "interrupt"}
    assert len(interrupt) == len(costs) / 2
    assert instructions.needless_system_calls(interrupt) == []
    # Otherwise system calls are not seen at all.
    assert all(cost.system_calls["tx"] == 1 for cost in interrupt.values())


@pytest.mark.parametrize(
    ("face", "direction", "most"),
    [
        ("packet", "s2m", 1240),
        ("packet", "m2s", 1650),
        ("entry", "s2m", 1240),
        ("entry", "m2s", 1510),
    ],
)
def test_a_packet_of_five_buffers_costs_no_more_instructions_than_it_should(
    build, face, direction, most, tmp_path
):
    """The most is a quarter more than with gcc 12."""
    output = tmp_path / "counts"
    counting = ["valgrind", "--tool=callgrind", "--toggle-collect=exchange"]
    program = [build / "bench" / f"core_calls_{face}", direction, "32", "9000"]
    subprocess.run([*counting, f"--callgrind-out-file={output}", *program], check=True)
    total = re.search(r"^summary: (\d+)$", output.read_text(), re.MULTILINE)
    assert 200 < int(total[1]) / 1024 < most


def test_all_that_is_promised_is_measured(costs):
    patterns = ["1 each", "1 x 256", "4 each", "32 each", "32 x 8", "256 each"]
    patterns += [f"{pattern}, room for 256" for pattern in ("1 each", "4 each", "32 each")]
    expected = {
        f"{interface}, protocol {protocol}, to the {end}, {pattern}, {mode}"
        for interface in ("1.0", "4.0")
        for protocol in (256, 512)
        for end in ("master", "slave")
        for pattern in patterns
        for mode in ("polling", "interrupt")
    }
    assert costs.keys() == expected
    assert all(set(c.instructions) == {"alloc", "tx", "rx", "free", "sum"} for c in costs.values())


def compare(was: float, now: float, allowed: float = 0.05) -> list[str]:
    return instructions.differences({"case": {"tx": was}}, {"case": {"tx": now}}, allowed)


def test_a_count_that_grew_is_told():
    assert compare(100.0, 105.0) == []
    assert compare(100.0, 60.0) == []
    assert compare(100.0, 105.1) == ["case, tx: 105.10 instructions a packet, recorded were 100.00"]


@pytest.mark.parametrize(
    ("here", "record", "allowed"),
    [
        ("gcc 12", "gcc 12", 0.05),
        ("gcc 14", "gcc 14", 0.05),
        ("gcc 13", "gcc 12", 0.25),
        ("gcc 16", "gcc 14", 0.25),
        ("gcc 9", "gcc 12", 0.25),
        ("clang 14", "clang 14", 0.05),
        ("clang 19", "clang 14", 0.25),
        ("intel-llvm 13", "gcc 12", 0.25),
    ],
)
def test_counts_are_compared_with_those_of_the_nearest_compiler(here, record, allowed):
    recorded = {origin(name): {"case": {"tx": 1.0}} for name in ("clang 14", "gcc 12", "gcc 14")}
    found = instructions.baseline(recorded, origin(here))
    assert (str(found.origin), found.allowed) == (record, allowed)
    assert instructions.baseline(recorded, Origin("aarch64", "gcc", 12)) is None


def origin(name: str) -> Origin:
    family, generation = name.split()
    return Origin("x86_64", family, int(generation))


def test_another_compiler_may_take_more():
    allowed = instructions.OTHER_COMPILER_TOLERANCE
    assert compare(100.0, 125.0, allowed) == []
    assert compare(100.0, 125.1, allowed) != []


def test_a_record_replaces_that_of_its_compiler_and_keeps_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(instructions, "RECORD", tmp_path / "instructions.json")
    instructions.RECORD.write_text('{"machine": "x86_64", "compilers": {}}')
    for name, count in (("gcc 14", 3.0), ("gcc 9", 1.0), ("clang 14", 2.0), ("gcc 14", 4.0)):
        costs = {"case": Cost({"tx": count}, {})}
        monkeypatch.setattr(instructions, "origin_of", lambda _, name=name: origin(name))
        monkeypatch.setattr(instructions, "measure", lambda _, costs=costs: costs)
        instructions.record(Bench(tmp_path))
    counts = {str(key): value["case"]["tx"] for key, value in instructions.read_record().items()}
    assert list(counts.items()) == [("clang 14", 2.0), ("gcc 9", 1.0), ("gcc 14", 4.0)]


def test_small_counts_may_be_rounded():
    assert compare(0.21, 0.71) == []
    assert compare(0.21, 0.72) != []


def test_what_only_one_side_has_is_told():
    one, other = {"case": {"tx": 1.0}}, {"case": {"tx": 1.0, "rx": 1.0}}
    assert instructions.differences(other, one, 0.05) == ["case, rx: recorded, but not measured"]
    assert instructions.differences(one, other, 0.05) == ["case, rx: measured, but not recorded"]
    assert instructions.differences({}, one, 0.05) == ["case, tx: measured, but not recorded"]


@pytest.mark.parametrize(
    ("mode", "kind", "count", "is_told"),
    [
        ("polling", "tx", 0.01, True),
        ("polling", "rx", 1.0, True),
        ("interrupt", "rx", 1.0, False),
        ("interrupt", "rx", 1.01, True),
        ("interrupt", "free", 1.0, True),
    ],
)
def test_needless_system_calls_are_told(mode, kind, count, is_told):
    system_calls = dict.fromkeys(instructions.KINDS, 0) | {kind: count}
    told = instructions.needless_system_calls({"case": Cost({}, system_calls, mode)})
    assert bool(told) == is_told
