# SPDX-License-Identifier: Apache-2.0
"""The benchmark programs measure what they say they measure."""

import pytest
from c_collector import build_directories
from runner import Bench, ProgramError


@pytest.fixture
def bench(pytestconfig):
    plain = next(build for build in build_directories(pytestconfig) if not build.label)
    return Bench(plain.path)


@pytest.mark.parametrize("generation", ["1", "4"])
@pytest.mark.parametrize("options", [[], ["--interrupt"]], ids=["polling", "interrupt"])
def test_every_packet_is_answered(bench, generation, options):
    leading = ["--samples", 50, "--warm", 5, *options]
    (record,) = bench.run_pair(f"latency{generation}", ["--echo", *options], leading)
    assert record["samples"] == 50
    assert 0 < record["min"] <= record["median"] <= record["p99"] <= record["p999"]


@pytest.mark.parametrize("generation", ["1", "4"])
@pytest.mark.parametrize("protocol", [256, 512])
def test_every_pattern_is_measured_in_parts(bench, generation, protocol):
    records = bench.run(
        *(f"calls{generation}", "--rounds", 1, "--slice", 200, "--protocol", protocol),
        *("--size", 1500, "--payload", "copied", "--mode", "polling", "--to", "slave"),
    )
    assert [record["pattern"] for record in records] == [
        *("1 each", "1 x 256", "4 each", "32 each", "32 x 8", "256 each"),
    ]
    for record in records:
        assert record["ns"] > 0
        assert set(record["parts"]) == {"alloc", "write", "tx", "rx", "read", "free"}


def test_an_argument_that_makes_no_sense_is_told(bench):
    with pytest.raises(ProgramError, match="SIZE:BURST"):
        bench.run("throughput1", "--role", "send", "--socket", "x", "--cases", "63")
    with pytest.raises(ProgramError, match="no such option"):
        bench.run("bare", "--whatever")
