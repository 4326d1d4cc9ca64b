# SPDX-License-Identifier: Apache-2.0
"""What the data path costs in instructions does not grow unnoticed, and bursts stay out of the
kernel.

Counts, unlike times, are the same on every run. After a change that is meant to cost:
./bootstrap bench --record-instructions
"""

import instructions
import pytest
from c_collector import build_directories
from instructions import Cost, Origin
from runner import Bench

GCC, CLANG = Origin("x86_64", "gcc 12.2.0"), Origin("x86_64", "clang 14.0.6")


@pytest.fixture(scope="module")
def build(pytestconfig):
    return next(build for build in build_directories(pytestconfig) if not build.label).path


@pytest.fixture(scope="module")
def costs(build):
    return instructions.measure(Bench(build))


def test_no_call_takes_more_instructions_than_recorded(build, costs):
    recorded_on, recorded = instructions.read_record()
    here = instructions.origin_of(build)
    if here.machine != recorded_on.machine:
        pytest.skip(f"counts are recorded for {recorded_on.machine}, this is {here.machine}")
    measured = instructions.instructions_of(costs)
    allowed = recorded_on.tolerance(here)
    found = instructions.differences(recorded, measured, allowed)
    advice = f"meant to be so? {instructions.RECORD_COMMAND}"
    assert not found, "\n".join([*found, advice])


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


def test_another_compiler_may_take_more():
    assert compare(100.0, 125.0, GCC.tolerance(CLANG)) == []
    assert compare(100.0, 125.1, GCC.tolerance(CLANG)) != []
    assert compare(100.0, 105.1, GCC.tolerance(GCC)) != []


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
