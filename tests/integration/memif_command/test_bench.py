# SPDX-License-Identifier: Apache-2.0
"""`memif bench` measures."""

import datetime
import json
import platform
import re
import sys
import tomllib
from pathlib import Path

import click
import pytest
from support.builds import ROOT

from libmemif_py import Interface
from libmemif_py.tools import picture
from libmemif_py.tools.extras import install_command
from libmemif_py.tools.measurement import Result


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


def test_bench_without_an_echo_ends_with_1_and_says_why(shell):
    with Interface(shell.socket, role="master"):
        words = ("--seconds", 0.2, "--plot", "no.svg")
        result = shell.run("bench", "latency", "-S", shell.socket, *words, status=1)
    assert (
        "64 bytes: none of 1 packets came back: the other end does not send them" in result.stderr
    )
    assert "start `memif bench macswap` there" in result.stderr
    assert not (shell.folder / "no.svg").exists()


def test_bench_says_what_a_peer_does_not_do(shell):
    with Interface(shell.socket, role="master"):
        words = ("-S", shell.socket, "--seconds", 0.2)
        result = shell.run("bench", "rxonly", *words, status=1)
    assert "64 bytes: the other end sends no packets" in result.stderr


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({}, "no packet was sent: the other end takes none"),
        ({"tx_packets": 3}, "none of 3 packets came back: the other end does not send them back"),
        ({"tx_packets": 3, "rx_packets": 2}, "none of 3 packets came back, but 2 others"),
    ],
)
def test_the_reason_for_no_round_trip_says_what_came(counts, said):
    result = Result("latency", 64, 1, seconds=1.0, **counts)
    assert not result.has_worked
    assert result.why_idle().startswith(said)


def test_a_full_ring_is_a_lost_round_trip(shell):
    with Interface(shell.socket, role="master", s2m_rings=1):
        words = ("--seconds", 2, "--ring-size", 1, "--json")
        result = shell.run("bench", "latency", "-S", shell.socket, *words, status=1)
    [measured] = json.loads(result.stdout)
    assert measured["tx_packets"] == 1
    assert measured["lost"] >= 2


# ---- pictures ----


def texts(picture: Path) -> list[str]:
    """The words of an SVG file. matplotlib writes each as a comment beside its outlines."""
    return re.findall(r"<!-- (.*) -->", picture.read_text())


def test_the_picture_of_latency_is_a_curve_to_the_slowest(shell):
    shell.side("bench", "macswap", "--seconds", 60, role="master")
    words = ("--seconds", 0.3, "--size", "64,1500", "--plot", "latency.svg", "--json")
    before = datetime.date.today()
    measured = json.loads(shell.run("bench", "latency", "-S", shell.socket, *words).stdout)
    said = texts(shell.folder / "latency.svg")
    assert {"percentile of the round trips", "round trip, microseconds"} <= set(said)
    assert {"0 %", "50 %", "90 %", "99 %"} <= set(said)
    for one in measured:
        (label,) = (text for text in said if text.startswith(f"{one['size']} bytes: "))
        fastest, slowest = re.fullmatch(r".*: ([\d.]+) to ([\d.]+) us", label).groups()
        assert float(fastest) == pytest.approx(one["rtt_us"]["min"], abs=0.06)
        assert float(slowest) == pytest.approx(one["rtt_us"]["max"], rel=1e-3)
    assert any("this end slave, other end master libmemif_py" in text for text in said)
    (caption,) = (text for text in said if text.startswith(f"{platform.node()}, "))
    assert str(before) in caption or str(datetime.date.today()) in caption


def test_the_picture_of_rates_has_the_bursts_that_were_measured(shell):
    shell.side("bench", "rxonly", "--seconds", 60, role="master")
    words = ("--seconds", 0.1, "--burst", "1,24", "--plot", "rate.svg")
    shell.run("bench", "txonly", "-S", shell.socket, *words)
    said = texts(shell.folder / "rate.svg")
    assert {"1", "24", "packets in a burst", "million packets per second"} <= set(said)


@pytest.mark.parametrize(
    "samples", [[7.0], [3.0, 2.0, 1.0], [float(n) for n in range(10_000, 0, -1)]]
)
def test_a_curve_goes_from_the_fastest_to_the_slowest(samples):
    shares, times = picture._curve(samples)
    assert (times[0], times[-1]) == (min(samples), max(samples))
    assert times == sorted(times)
    assert (shares[0], shares[-1]) == (1, len(samples))
    for share, time in zip(shares, times, strict=True):
        assert share == len(samples) / sum(sample >= time for sample in samples)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("x.foo", "--plot x.foo: expected a file that ends with one of: "),
        ("x", "--plot x: expected a file that ends with one of: "),
        ("x.pgf", "--plot x.pgf: expected a file that ends with one of: "),  # needs TeX
        ("no/x.svg", "--plot no/x.svg: expected a file that can be written"),
    ],
)
def test_a_picture_that_cannot_be_drawn_is_refused_before_the_measurement(shell, path, said):
    """Nobody listens, so a measurement would not even begin."""
    words = ("-S", shell.socket, "--plot", path, "--wait", "forever")
    result = shell.run("bench", "latency", *words, status=2)
    assert said in " ".join(result.stderr.split())


def test_a_picture_that_the_disk_has_no_room_for_is_named_after_the_figures(shell):
    shell.side("bench", "rxonly", "--seconds", 60, role="master")
    (shell.folder / "full.svg").symlink_to("/dev/full")
    words = ("-S", shell.socket, "--seconds", 0.1, "--plot", "full.svg")
    result = shell.run("bench", "txonly", *words, status=1)
    assert "tx M/s" in result.stdout
    assert result.stderr.endswith("memif: --plot full.svg: No space left on device\n")


def test_matplotlib_has_nothing_to_say_of_a_picture(shell):
    shell.side("bench", "rxonly", "--seconds", 60, role="master")
    words = ("-S", shell.socket, "--seconds", 0.1, "--plot", "rate.eps")
    (line,) = shell.run("bench", "txonly", *words).stderr.splitlines()
    assert line.startswith("connected to ")


def test_without_matplotlib_a_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(click.UsageError) as raised:
        picture.check("x.svg")
    assert raised.value.message == (
        f"--plot needs matplotlib. Install it: {install_command('matplotlib')}"
    )


def test_the_extra_plot_has_what_pictures_need():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"]["plot"] == ["matplotlib>=3.8"]
