# SPDX-License-Identifier: Apache-2.0
"""Two processes and all that goes between them, byte by byte.

The programs are c_tests/peers/traffic_v1.c and tests/support/traffic.py. Either plays either role.
Each checks what comes from the other, so a test has little more to do than to choose, to start, and
to look at the exit status.
"""

import itertools
import select
import subprocess
import sys
from pathlib import Path

import pytest
from support import traffic
from support.c_collector import build_directories
from support.programs import OTHER_ROLE, TIMEOUT
from support.traffic_pairs import Pairs

from libmemif_py import Interface

LANGUAGES = ("v1", "v4", "python")
PAIRS = list(itertools.product(LANGUAGES, LANGUAGES))
VERSIONS = (256, 512)
MODES = list(itertools.product(("polling", "interrupt"), repeat=2))
MANY = {"v1": 1_000_000, "python": 200_000}
# With v4 on a side, and in most modes.
FEWER = {"v1": 100_000, "v4": 100_000, "python": 10_000}


@pytest.fixture
def builds(pytestconfig) -> list[Path]:
    return [build.path for build in build_directories(pytestconfig)]


@pytest.fixture
def launcher(tmp_path, builds) -> Pairs:
    return Pairs(tmp_path, builds[0])


def named(pair: tuple[str, str]) -> str:
    return "{}_master-{}_slave".format(*pair)


pairings = pytest.mark.parametrize("pair", PAIRS, ids=named)
versions = pytest.mark.parametrize("version", VERSIONS)


@pairings
@versions
@pytest.mark.parametrize("modes", MODES, ids="-".join)
def test_every_packet_arrives_once_in_order_and_unchanged(launcher, pair, version, modes):
    many = MANY if modes == ("polling", "interrupt") and "v4" not in pair else FEWER
    packets = min(many[language] for language in pair)
    launcher.exchange(pair, packets, modes=modes, version=version)


def test_a_million_packets_arrive_between_programs_of_v4(launcher):
    launcher.exchange(("v4", "v4"), 1_000_000, modes=("polling", "interrupt"), version=512)


@pytest.mark.parametrize("rings", [(1, 4), (4, 1), (3, 2)], ids=["1to4", "4to1", "3to2"])
@pytest.mark.parametrize("pair", [p for p in PAIRS if p != ("python", "python")], ids=named)
@versions
def test_each_direction_has_its_own_number_of_queues(launcher, rings, pair, version):
    launcher.exchange(pair, 10_000, "-l", 8, rings=rings, version=version)


@pytest.mark.parametrize("sizes", ["jumbo", "huge"])
@pairings
@versions
def test_packets_may_take_many_buffers(launcher, sizes, pair, version):
    launcher.exchange(pair, 5_000, "-S", sizes, version=version)


# A chain may be longer than any burst: it is received in pieces.
@pytest.mark.parametrize(
    ("buffer_size", "log2_ring_size"), [(128, 10), (1500, 6), (9000, 4), (65535, 4)]
)
@pytest.mark.parametrize("pair", [("v1", "python"), ("v4", "python"), ("python", "v4")], ids=named)
@versions
def test_buffers_may_be_shorter_or_longer_than_packets(
    launcher, buffer_size, log2_ring_size, pair, version
):
    options = ("-b", buffer_size, "-l", log2_ring_size, "-S", "huge")
    launcher.exchange(pair, 2_000, *options, version=version)


@pytest.mark.parametrize("log2_ring_size", [1, 3])
@pairings
@versions
def test_a_ring_may_have_few_slots(launcher, log2_ring_size, pair, version):
    launcher.exchange(pair, 500, "-l", log2_ring_size, version=version)


def test_a_ring_may_have_a_single_slot(launcher):
    # Only in version 512: in 256 a slot stays empty. To C programs a size of 0 is the default.
    launcher.exchange(("python", "python"), 5_000, "-l", 0, version=512)


@pytest.mark.parametrize(("echo_language", "sender_language"), PAIRS)
@versions
@pytest.mark.parametrize("echo_role", ["master", "slave"])
def test_packets_sent_back_arrive_as_they_were_sent(
    launcher, echo_language, sender_language, version, echo_role
):
    # As slave, the sender makes the rings at the far end short: what comes in has to wait there.
    short = ("-l", 5) if echo_role == "master" else ()
    sender_options = ("-x", "-n", 10_000, "-N", 10_000, "-S", "jumbo", *short)
    sender_role = OTHER_ROLE[echo_role]
    sides = {
        echo_role: (echo_language, echo_role, "-e"),
        sender_role: (sender_language, sender_role, *sender_options),
    }
    with (
        launcher.traffic(*sides["master"], version=version) as master,
        launcher.traffic(*sides["slave"], version=version) as slave,
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
    launcher, master, buffer_size, headroom, log2_ring_size, mode
):
    packets = ("-x", "-n", 10_000, "-N", 10_000, "-S", "jumbo", "-w", 500)
    rings = ("-q", "2,2", "-l", log2_ring_size)
    master_options = (*packets, *rings, "-b", buffer_size - headroom)
    slave_options = ("-e", *rings, "-b", buffer_size, "-H", headroom, "-p", mode)
    with (
        launcher.traffic(master, "master", *master_options, version=512) as sender,
        launcher.traffic("v4", "slave", *slave_options, version=512) as echo,
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
def test_headroom_is_free_and_packets_lie_behind_it(launcher, master, buffer_size, headroom):
    packets = ("-n", 5_000, "-N", 5_000, "-S", "huge")
    slave_options = ("-b", buffer_size, "-H", headroom)
    with (
        launcher.traffic(
            master, "master", *packets, "-b", buffer_size - headroom, version=512
        ) as one,
        launcher.traffic("v4", "slave", *packets, *slave_options, version=512) as other,
    ):
        assert one.result()["fault"] == ""
        assert other.result()["fault"] == ""
        one.end()
        other.end()


@pairings
def test_a_socket_name_may_be_abstract(launcher, pair):
    launcher.socket = f"@{launcher.folder}"
    launcher.exchange(pair, 1_000)
    assert not Path(launcher.socket).exists()


@pairings
def test_a_slave_that_comes_first_finds_its_master_later(launcher, pair):
    options = ("-n", 1_000, "-N", 1_000)
    with (
        launcher.traffic(pair[1], "slave", *options) as slave,
        launcher.traffic(pair[0], "master", *options) as master,
    ):
        assert master.result()["received"] == [1_000]
        assert slave.result()["received"] == [1_000]
        slave.end()
        master.end()


@pytest.mark.parametrize("role", ["master", "slave"])
@pytest.mark.parametrize(("survivor", "killed"), PAIRS)
def test_a_killed_peer_may_come_back_and_costs_no_descriptor(launcher, role, survivor, killed):
    counts = []
    with launcher.traffic(survivor, role, "-c") as side:
        for _ in range(2):
            with launcher.traffic(
                killed, OTHER_ROLE[role], "-c", "-n", 5_000, "-N", 5_000
            ) as other:
                # It goes on sending and receiving until it is killed, at the end of this block.
                assert other.result()["fault"] == ""
                counts.append(len(side.descriptors()))
        side.end()
    assert counts == counts[:1] * 2


@pytest.mark.parametrize(("restriction", "expected"), [(None, 512), (512, 512), (256, 256)])
@pytest.mark.parametrize("pair", [p for p in PAIRS if p.count("python") == 1], ids=named)
def test_the_highest_version_in_common_is_used(launcher, pair, restriction, expected):
    restrictions = {"v1": restriction, "v4": restriction, "python": None}
    options = ("-n", 10, "-N", 10)
    with (
        launcher.traffic(pair[0], "master", *options, version=restrictions[pair[0]]) as master,
        launcher.traffic(pair[1], "slave", *options, version=restrictions[pair[1]]) as slave,
    ):
        python_side = master if pair[0] == "python" else slave
        assert python_side.result()["version"] == expected


@versions
@pytest.mark.parametrize("modes", [("polling", "interrupt"), ("interrupt", "polling")])
@pytest.mark.parametrize("api", ["v1", "v4"])
def test_every_build_of_the_library_carries_packets_of_all_sizes(
    tmp_path, builds, version, modes, api
):
    for number, build in enumerate(builds):
        folder = tmp_path / str(number)
        folder.mkdir()
        options = ("-S", "huge", "-l", 7)
        launcher = Pairs(folder, build)
        launcher.exchange((api, api), 5_000, *options, rings=(2, 3), modes=modes, version=version)


# ---- the checks themselves ----


def numbered(*numbers: int, **changes: int) -> list[bytes]:
    fields = {"run": 1, "queue": 0, "role": 1, **changes}
    return [
        traffic.make_packet(number, size=traffic.size_of("mixed", number), **fields)
        for number in numbers
    ]


def spoiled(packet: bytes, at: int) -> bytes:
    return packet[:at] + bytes([packet[at] ^ 1]) + packet[at + 1 :]


FAULTS = {
    "a packet lost": (numbered(0, 1, 3), "packet 3 instead of 2"),
    "a packet twice": (numbered(0, 1, 1), "packet 1 instead of 2"),
    "two packets swapped": (numbered(0, 2, 1), "packet 2 instead of 1"),
    "another start": (numbered(1), "packet 1 instead of 0"),
    "one packet more": (numbered(0, 1, 2, 3, 4), "expected"),
    "of another queue": (numbered(0, queue=1), "packet 0"),
    "of another sender": (numbered(0) + numbered(1, run=2), "packet 1"),
    "our own packet": (numbered(0, role=0), "packet 0"),
    "a first byte": ([spoiled(numbered(0)[0], traffic.HEADER.size)], "wrong byte 12 of 60"),
    "a last byte": ([spoiled(numbered(0)[0], 59)], "wrong byte 59 of 60"),
    "a byte too few": ([numbered(0)[0][:-1]], "packet 0"),
    "a byte too many": ([numbered(0)[0] + b"\0"], "packet 0"),
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", FAULTS)
def test_the_programs_find(launcher, language, name):
    packets, complaint = FAULTS[name]
    with (
        launcher.traffic(language, "master", "-N", 4) as master,
        Interface(launcher.socket) as slave,
    ):
        assert slave.send_burst(packets, TIMEOUT) == len(packets)
        assert complaint in master.fault()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_programs_find_that_packets_are_missing(launcher, language):
    with (
        launcher.traffic(language, "master", "-N", 3) as master,
        Interface(launcher.socket) as slave,
    ):
        slave.send_burst(numbered(0, 1), TIMEOUT)
        master.end_input()
        assert "stopped before" in master.fault()


# ---- within one process ----

COMINGS_AND_GOINGS = """
import sys, threading
from libmemif_py import Interface, MemifError

path, rounds = sys.argv[1], int(sys.argv[2])
packets = [bytes(2000)] * 64
stopped = threading.Event()
# Threads take turns so often that every order of events comes up.
sys.setswitchinterval(1e-5)

def keep(call):
    while not stopped.is_set():
        try:
            call()
        except MemifError:
            pass

with Interface(path, role="master") as master:
    threads = [
        threading.Thread(target=keep, args=[lambda: master.recv_burst(256, 0.01)]),
        threading.Thread(target=keep, args=[lambda: master.send_burst(packets, 0.01)]),
    ]
    for thread in threads:
        thread.start()
    for _ in range(rounds):
        with Interface(path) as slave:
            slave.send_burst(packets * 8, 10)
            slave.recv_burst(64, 10)
    stopped.set()
    for thread in threads:
        thread.join()
"""


def test_python_bursts_are_safe_from_a_link_that_goes_down(tmp_path):
    path = tmp_path / "memif.sock"
    command = [sys.executable, "-P", "-c", COMINGS_AND_GOINGS, path, "200"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_queue_that_was_emptied_is_not_ready(tmp_path):
    path = tmp_path / "memif.sock"
    with Interface(path, role="master") as master, Interface(path) as slave:

        def is_ready(seconds):
            return bool(select.select([slave], [], [], seconds)[0])

        def empty():
            with pytest.raises(TimeoutError):
                while True:
                    slave.recv_burst(1, 0)

        slave.wait_connected(TIMEOUT)
        assert is_ready(0)
        empty()
        assert not is_ready(0)
        master.send_burst([b"one", b"two"], TIMEOUT)
        assert is_ready(TIMEOUT)
        empty()
        assert not is_ready(0)
