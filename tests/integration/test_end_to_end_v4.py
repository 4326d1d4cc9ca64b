# SPDX-License-Identifier: Apache-2.0
"""Two processes, one of them at least a program of the 4.0 interface: c_tests/traffic4.c.

What there is between programs of the 1.0 interface and Python: test_end_to_end.py.
"""

import itertools
from pathlib import Path

import pytest
from integration.test_end_to_end import FAULTS, Pairs, named, numbered
from support.c_collector import build_directories
from support.programs import OTHER_ROLE, TIMEOUT

from libmemif_py import Interface

LANGUAGES = ("v1", "v4", "python")
PAIRS = [pair for pair in itertools.product(LANGUAGES, LANGUAGES) if "v4" in pair]
VERSIONS = (256, 512)
MODES = list(itertools.product(("polling", "interrupt"), repeat=2))
MANY = {"v1": 100_000, "v4": 100_000, "python": 20_000}


@pytest.fixture
def builds(pytestconfig) -> list[Path]:
    return [build.path for build in build_directories(pytestconfig)]


@pytest.fixture
def stage(tmp_path, builds) -> Pairs:
    return Pairs(tmp_path, builds[0])


pairings = pytest.mark.parametrize("pair", PAIRS, ids=named)
versions = pytest.mark.parametrize("version", VERSIONS)


def test_a_million_packets_arrive_once_in_order_and_unchanged(stage):
    stage.exchange(("v4", "v4"), 1_000_000, modes=("polling", "interrupt"), version=512)


@pairings
@versions
@pytest.mark.parametrize("modes", MODES, ids="-".join)
def test_every_packet_arrives_once_in_order_and_unchanged(stage, pair, version, modes):
    packets = min(MANY[language] for language in pair)
    stage.exchange(pair, packets, modes=modes, version=version)


@pytest.mark.parametrize("rings", [(1, 4), (4, 1), (3, 2)], ids=["1to4", "4to1", "3to2"])
@pairings
@versions
def test_each_direction_has_its_own_number_of_queues(stage, rings, pair, version):
    stage.exchange(pair, 5_000, "-l", 8, rings=rings, version=version)


@pytest.mark.parametrize("sizes", ["jumbo", "huge"])
@pairings
@versions
def test_packets_may_take_many_buffers(stage, sizes, pair, version):
    stage.exchange(pair, 5_000, "-S", sizes, version=version)


# A chain may be longer than any burst: it is received in pieces.
@pytest.mark.parametrize(
    ("buffer_size", "log2_ring_size"), [(128, 10), (1500, 6), (9000, 4), (65535, 4)]
)
@pytest.mark.parametrize("pair", [("v4", "python"), ("python", "v4")], ids=named)
@versions
def test_buffers_may_be_shorter_or_longer_than_packets(
    stage, buffer_size, log2_ring_size, pair, version
):
    options = ("-b", buffer_size, "-l", log2_ring_size, "-S", "huge")
    stage.exchange(pair, 2_000, *options, version=version)


@pytest.mark.parametrize("log2_ring_size", [1, 3])
@pairings
@versions
def test_a_ring_may_have_few_slots(stage, log2_ring_size, pair, version):
    stage.exchange(pair, 5_000, "-l", log2_ring_size, version=version)


@pairings
@versions
@pytest.mark.parametrize("echo_role", ["master", "slave"])
def test_packets_sent_back_arrive_as_they_were_sent(stage, pair, version, echo_role):
    echo_language, sender_language = pair
    # As slave, the sender makes the rings at the far end short: what comes in has to wait there.
    short = ("-l", 5) if echo_role == "master" else ()
    sender_options = ("-x", "-n", 10_000, "-N", 10_000, "-S", "jumbo", *short)
    sender_role = OTHER_ROLE[echo_role]
    sides = {
        echo_role: (echo_language, echo_role, "-e"),
        sender_role: (sender_language, sender_role, *sender_options),
    }
    with (
        stage.traffic(*sides["master"], version=version) as master,
        stage.traffic(*sides["slave"], version=version) as slave,
    ):
        sender = master if sender_role == "master" else slave
        assert sender.result()["received"] == [10_000]
        master.end()
        slave.end()


# To a master its own buffer size says how many entries a packet may take at most.
@pytest.mark.parametrize(
    ("buffer_size", "headroom", "log2_ring_size", "mode"),
    [
        (2048, 0, 10, "interrupt"),
        (2048, 128, 10, "polling"),
        (2048, 1, 5, "interrupt"),
        (65535, 1000, 3, "interrupt"),
        (700, 50, 4, "polling"),
    ],
)
@pytest.mark.parametrize("master", LANGUAGES)
def test_a_slave_sends_buffers_back_without_a_copy(
    stage, master, buffer_size, headroom, log2_ring_size, mode
):
    packets = ("-x", "-n", 10_000, "-N", 10_000, "-S", "jumbo", "-w", 500)
    rings = ("-q", "2,2", "-l", log2_ring_size)
    master_options = (*packets, *rings, "-b", buffer_size - headroom)
    slave_options = ("-e", *rings, "-b", buffer_size, "-H", headroom, "-p", mode)
    with (
        stage.traffic(master, "master", *master_options, version=512) as sender,
        stage.traffic("v4", "slave", *slave_options, version=512) as echo,
    ):
        assert sender.result()["received"] == [10_000, 10_000]
        sender.end()
        echo.end()
        result = echo.result()
        assert result["sent"] == [10_000, 10_000]
        assert result["moved"] == 20_000


# The program writes over the headroom of what it receives, before it looks at any packet.
@pytest.mark.parametrize(("buffer_size", "headroom"), [(2048, 1), (1024, 200), (4096, 4000)])
@pytest.mark.parametrize("master", LANGUAGES)
def test_headroom_is_free_and_packets_lie_behind_it(stage, master, buffer_size, headroom):
    packets = ("-n", 5_000, "-N", 5_000, "-S", "huge")
    slave_options = ("-b", buffer_size, "-H", headroom)
    with (
        stage.traffic(master, "master", *packets, "-b", buffer_size - headroom, version=512) as one,
        stage.traffic("v4", "slave", *packets, *slave_options, version=512) as other,
    ):
        assert one.result()["fault"] == ""
        assert other.result()["fault"] == ""
        one.end()
        other.end()


@pairings
def test_a_socket_name_may_be_abstract(stage, pair):
    stage.socket = f"@{stage.folder}"
    stage.exchange(pair, 1_000)
    assert not Path(stage.socket).exists()


@pairings
def test_a_slave_that_comes_first_finds_its_master_later(stage, pair):
    options = ("-n", 1_000, "-N", 1_000)
    with (
        stage.traffic(pair[1], "slave", *options) as slave,
        stage.traffic(pair[0], "master", *options) as master,
    ):
        assert master.result()["received"] == [1_000]
        assert slave.result()["received"] == [1_000]
        slave.end()
        master.end()


@pytest.mark.parametrize("role", ["master", "slave"])
@pytest.mark.parametrize(("survivor", "killed"), PAIRS)
def test_a_killed_peer_may_come_back_and_costs_no_descriptor(stage, role, survivor, killed):
    counts = []
    with stage.traffic(survivor, role, "-c") as side:
        for _ in range(3):
            with stage.traffic(killed, OTHER_ROLE[role], "-c", "-n", 5_000, "-N", 5_000) as other:
                # It goes on sending and receiving until it is killed, at the end of this block.
                assert other.result()["fault"] == ""
                counts.append(len(side.descriptors()))
        side.end()
    assert counts == counts[:1] * 3


@pytest.mark.parametrize(("restriction", "expected"), [(None, 512), (512, 512), (256, 256)])
@pytest.mark.parametrize("pair", [("v4", "python"), ("python", "v4")], ids=named)
def test_the_highest_version_in_common_is_used(stage, pair, restriction, expected):
    restrictions = {"v4": restriction, "python": None}
    options = ("-n", 10, "-N", 10)
    with (
        stage.traffic(pair[0], "master", *options, version=restrictions[pair[0]]) as master,
        stage.traffic(pair[1], "slave", *options, version=restrictions[pair[1]]) as slave,
    ):
        python_side = master if pair[0] == "python" else slave
        assert python_side.result()["version"] == expected


@versions
@pytest.mark.parametrize("modes", [("polling", "interrupt"), ("interrupt", "polling")])
def test_every_build_of_the_library_carries_packets_of_all_sizes(tmp_path, builds, version, modes):
    for number, build in enumerate(builds):
        folder = tmp_path / str(number)
        folder.mkdir()
        options = ("-S", "huge", "-l", 7)
        stage = Pairs(folder, build)
        stage.exchange(("v4", "v4"), 5_000, *options, rings=(2, 3), modes=modes, version=version)


# ---- the checks themselves ----


@pytest.mark.parametrize("name", FAULTS)
def test_the_program_finds(stage, name):
    packets, complaint = FAULTS[name]
    with (
        stage.traffic("v4", "master", "-N", 4) as master,
        Interface(stage.socket) as slave,
    ):
        assert slave.send_burst(packets, TIMEOUT) == len(packets)
        assert complaint in master.fault()


def test_the_program_finds_that_packets_are_missing(stage):
    with (
        stage.traffic("v4", "master", "-N", 3) as master,
        Interface(stage.socket) as slave,
    ):
        slave.send_burst(numbered(0, 1), TIMEOUT)
        master.end_input()
        assert "stopped before" in master.fault()
