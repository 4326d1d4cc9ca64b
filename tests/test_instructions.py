# SPDX-License-Identifier: Apache-2.0
"""What the burst functions cost, in instructions and system calls, counted by callgrind."""

import instructions
import pytest
from c_collector import build_directories
from runner import Bench


@pytest.fixture(scope="module")
def bench(pytestconfig):
    plain = next(build for build in build_directories(pytestconfig) if not build.label)
    return Bench(plain.path)


@pytest.fixture(scope="module")
def costs(bench):
    return instructions.measure(bench)


def test_no_call_takes_more_instructions_than_recorded(bench, costs):
    recorded_with, recorded = instructions.read_record()
    compiler = instructions.compiler(bench.build)
    allowed = instructions.tolerance(recorded_with, compiler)
    grown = instructions.growths(recorded, instructions.instructions_of(costs), allowed)
    assert not grown, (
        f"more than {allowed:.0%} over the record (made with {recorded_with}, now {compiler}):\n"
        + "\n".join(grown)
        + f"\nIf that is meant: {instructions.RECORD_COMMAND}"
    )


def test_every_case_is_recorded(costs):
    _, recorded = instructions.read_record()
    assert recorded.keys() == costs.keys(), f"to record: {instructions.RECORD_COMMAND}"


def test_no_call_enters_the_kernel_while_the_peer_polls(costs):
    polling = {name: cost.system_calls for name, cost in costs.items() if "polling" in name}
    assert polling
    assert not {name: calls for name, calls in polling.items() if any(calls.values())}


def test_only_sending_enters_the_kernel_once_a_burst_when_the_peer_sleeps(costs):
    others = {name: cost.system_calls for name, cost in costs.items() if "interrupt" in name}
    assert others
    for name, calls in others.items():
        assert calls["tx"] == 1, name
        assert calls["alloc"] == calls["free"] == 0, name
        assert calls["rx"] <= 1, name


def test_a_growth_is_told_with_its_case_and_numbers():
    recorded = {"a": {"tx": 20.0, "rx": 30.0}, "gone": {"tx": 1.0}}
    measured = {"a": {"tx": 20.9, "rx": 31.6}, "new": {"tx": 9.0}}
    grown = instructions.growths(recorded, measured, 0.05)
    assert grown == ["a: rx takes 31.60 instructions a packet, recorded were 30.00 (+5.3%)"]


def test_another_compiler_is_allowed_more():
    assert instructions.tolerance("gcc 12.2.0", "gcc 12.2.0") == 0.05
    assert instructions.tolerance("gcc 12.2.0", "gcc 14.2.0") == 0.25
