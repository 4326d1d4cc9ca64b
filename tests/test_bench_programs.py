# SPDX-License-Identifier: Apache-2.0
"""The benchmark programs move packets and lose none."""

import pytest
from c_collector import build_directories
from runner import Bench, ProgramError

CASES = "64:1:head,64:32:head,1500:32:copied,9000:4:copied"
SHORT = ("--warm", 1, "--count", 2)


@pytest.fixture
def bench(pytestconfig):
    plain = next(build for build in build_directories(pytestconfig) if not build.label)
    return Bench(plain.path)


@pytest.mark.parametrize("generation", ["1", "4"])
@pytest.mark.parametrize("rings", [1, 4])
def test_what_is_echoed_comes_back_whole_and_in_order(bench, generation, rings):
    common = ["--cases", CASES, "--rings", rings, *SHORT]
    records = bench.run_pair(
        f"throughput{generation}", [*common, "--role", "echo"], [*common, "--role", "both"]
    )
    assert [(r["size"], r["burst"]) for r in records] == [(64, 1), (64, 32), (1500, 32), (9000, 4)]
    assert {(record["lost"], record["disordered"]) for record in records} == {(0, 0)}


def test_the_bare_ring_echoes_whole_and_in_order(bench):
    arguments = ["--what", "throughput", "--echo", "--rings", 2, "--cases", CASES, *SHORT]
    records = bench.run("bare", *arguments)
    assert [(r["size"], r["burst"]) for r in records] == [(64, 1), (64, 32), (1500, 32), (9000, 4)]
    assert {(record["lost"], record["disordered"]) for record in records} == {(0, 0)}


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
