# SPDX-License-Identifier: Apache-2.0
"""`memif bench` measures."""

import json

from libmemif_py import Interface


def test_bench_measures_rates_at_both_ends(shell):
    receiver = shell.side("bench", "rxonly", "--seconds", 60, "--json", role="master")
    words = ("--seconds", 0.3, "--burst", "1,64", "--size", "64,3000", "--json")
    sent = json.loads(shell.run("bench", "txonly", "-S", shell.socket, *words).stdout)
    assert [(one["size"], one["burst"]) for one in sent] == [
        (64, 1), (64, 64), (3000, 1), (3000, 64),
    ]  # fmt: skip
    assert all(one["tx_packets"] > 0 for one in sent)
    assert receiver.wait() == 0
    [received] = json.loads(receiver.rest())
    total = sum(one["tx_packets"] for one in sent)
    # What lies in the ring at the end is lost.
    assert total - 1024 <= received["rx_packets"] <= total


def test_bench_measures_latency(shell):
    shell.side("bench", "macswap", "--seconds", 60, role="master")
    words = ("--seconds", 0.3, "--json", "--size", 100)
    [result] = json.loads(shell.run("bench", "latency", "-S", shell.socket, *words).stdout)
    found = result["rtt_us"]
    assert 0 < found["min"] <= found["p50"] <= found["p99"] <= found["max"]
    assert result["lost"] == 0


def test_bench_without_an_echo_ends_with_1(shell):
    with Interface(shell.socket, role="master"):
        words = ("--seconds", 0.2)
        shell.run("bench", "latency", "-S", shell.socket, *words, status=1)
