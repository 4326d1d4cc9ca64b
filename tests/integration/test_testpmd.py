# SPDX-License-Identifier: Apache-2.0
"""The library, from C and from Python, against dpdk-testpmd: DPDK's own memif driver."""

import contextlib
from pathlib import Path

import pytest
from support.bridges import CONNECTED, wait_until_bridged
from support.c_collector import build_directories
from support.packets import TIMEOUT, ping_all_sizes, pinger
from support.testpmd_peers import (
    DEVICES,
    Peers,
    own_role,
    ping_through,
    wait_for_links,
    wait_until_down,
)
from testpmd import Testpmd

from libmemif_py import Interface, Timeout

DRIVER_LOG = ["--log-level=pmd.net.memif,debug"]

SECRET, OTHER_SECRET, LONG_SECRET = "right", "other", "twenty-three-letters-long"[:23]

LANGUAGES = ("v1", "v4", "python")
devices = pytest.mark.parametrize("device", DEVICES)


@pytest.fixture
def peers(tmp_path, pytestconfig) -> Peers:
    return Peers(tmp_path, build_directories(pytestconfig)[0].path)


@devices
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("queues", [1, 4])
def test_every_packet_comes_back_unchanged(peers, device, language, queues):
    # 60 to 9000 bytes, the longest in chains of five buffers.
    options = ("-x", "-n", 20_000, "-N", 20_000, "-S", "jumbo", "-q", f"{queues},{queues}")

    def ours():
        return peers.traffic(language, own_role(device), *options)

    loop = ("--port-topology=loop", f"--rxq={queues}", f"--txq={queues}")
    with peers.in_order(device, ours, peers.testpmd(device, "io", *loop)) as (side, testpmd):
        testpmd.command("start")
        assert side.result()["received"] == [20_000] * queues
        testpmd.command("stop")
        side.end()


def test_a_client_with_more_queues_than_we_have_is_refused_and_lives(peers):
    """HELLO leaves the number to it: DPDK 22.11 that takes ours does not survive the others."""
    arguments = ("--port-topology=loop", "--rxq=4", "--txq=4")
    with Interface(peers.socket, role="master") as ours:
        with peers.testpmd("client", "txonly", *arguments) as testpmd:
            with pytest.raises(Timeout, match="ring"):
                ours.wait_connected(3)
            testpmd.command("show port info 0")
        with Interface(peers.socket) as good:
            good.wait_connected(TIMEOUT)
            good.send(b"packet")
            assert ours.recv(TIMEOUT) == b"packet"


@pytest.mark.parametrize(
    ("language", "device", "options"),
    [
        ("v1", "server", ()),
        ("v1", "client", ()),
        ("v4", "server", ()),
        ("v4", "server", ("-H", 100)),
        ("v4", "client", ()),
    ],
)
def test_buffers_and_rings_may_be_small(peers, language, device, options):
    small = ("-x", "-n", 5_000, "-N", 5_000, "-S", "jumbo", "-w", 8, "-b", 512, "-l", 8)
    testpmd = peers.testpmd(device, "io", "--port-topology=loop", bsize="512", rsize="8")

    def ours():
        return peers.traffic(language, own_role(device), *small, *options)

    with peers.in_order(device, ours, testpmd) as (side, _):
        testpmd.command("start")
        assert side.result()["received"] == [5_000]
        testpmd.command("stop")
        side.end()


def test_buffers_may_be_longer_than_mbufs_where_testpmd_knows_it(peers):
    options = ("-x", "-n", 5_000, "-N", 5_000, "-S", "jumbo", "-b", 4096)
    testpmd = peers.testpmd("server", "io", "--port-topology=loop", bsize="4096")

    def ours():
        return peers.traffic("v4", own_role("server"), *options)

    with peers.in_order("server", ours, testpmd) as (side, _):
        testpmd.command("start")
        assert side.result()["received"] == [5_000]
        testpmd.command("stop")
        side.end()


# What testpmd sends, packet by packet: lengths of the segments. After chains come single buffers
# again, in slots that were part of a chain. A ring always has room for a whole number of these
# chains: of one that finds room for a part only, DPDK 22.11 sends a part.
SEGMENTS = ["64", "1514", "2000,2000", "64", "2000,2000,2000,2000", "1500,1500", "64"]


@devices
def test_whatever_testpmd_sends_is_received(peers, device):
    testpmd = peers.testpmd(device, "txonly")
    with peers.in_order(device, lambda: peers.interface(device), testpmd) as (interface, _):
        wait_for_links(testpmd)
        for segments in SEGMENTS:
            size = sum(map(int, segments.split(",")))
            testpmd.command(f"set txpkts {segments}")
            testpmd.command("start")
            before = receive(interface, 2_000, size)
            testpmd.command("stop")
            # The counter holds what went into the ring; what found it full does not count.
            sent = testpmd.stats()["tx_packets"]
            assert before + receive(interface, sent - before, size) == sent
            with pytest.raises(Timeout):
                interface.recv(0)
            testpmd.command("clear port stats all")


def receive(interface: Interface, count: int, size: int) -> int:
    received = 0
    while received < count:
        packets = interface.recv_burst(timeout=TIMEOUT)
        assert {len(packet) for packet in packets} == {size}
        received += len(packets)
    return received


@devices
@pytest.mark.parametrize("language", ["v1", "python"])
def test_whatever_we_send_is_received(peers, device, language):
    def ours():
        return peers.traffic(language, own_role(device), "-n", 50_000, "-S", "1000")

    with peers.in_order(device, ours, peers.testpmd(device, "rxonly")) as (side, testpmd):
        testpmd.command("start")
        stats = testpmd.wait_for_stats(lambda stats: stats["rx_packets"] >= 50_000)
        assert (stats["rx_packets"], stats["rx_bytes"]) == (50_000, 50_000 * 1000)
        assert side.result()["sent"] == [50_000]
        testpmd.command("stop")
        side.end()


@pytest.mark.parametrize(
    ("device", "abstract", "queues"),
    [
        ("server", False, 4),
        ("server", True, 1),
        ("client", False, 1),
        ("client", True, 4),
        ("client_zero_copy", True, 1),
    ],
)
def test_testpmd_answers_our_pings(peers, device, abstract, queues):
    if abstract:
        peers.socket = f"@{peers.socket}"

    def ours():
        return peers.interface(device, s2m_rings=queues, m2s_rings=queues)

    testpmd = peers.testpmd(device, "icmpecho", f"--rxq={queues}", f"--txq={queues}")
    with peers.in_order(device, ours, testpmd) as (interface, _):
        testpmd.command("start")
        for queue in range(queues):
            asker = pinger(interface, queue=queue)
            ping_all_sizes(asker)
            # More than the rings have slots.
            assert asker.load(3_000, 100, window=128).lost == 0


@pytest.mark.parametrize(
    ("device", "program", "queues"),
    [
        ("server", "icmp_responder", 1),
        ("client", "icmp_responder2", 1),
        ("client_zero_copy", "icmp_responder3", 2),
        ("server", "icmp_responder3", 2),
    ],
)
def test_our_responders_answer_through_testpmd(peers, device, program, queues):
    @contextlib.contextmanager
    def ours():
        settings = {"s2m_rings": queues, "m2s_rings": queues}
        with (
            peers.responder_behind(device, program) as responder,
            peers.interface(device, **settings) as interface,
        ):
            yield responder, interface

    queue_numbers = (f"--rxq={queues}", f"--txq={queues}")
    testpmd = peers.testpmd(device, "io", *queue_numbers, ports=2)
    with peers.in_order(device, ours, testpmd, ports=2) as ((responder, interface), _):
        testpmd.command("start")
        interface.wait_connected(TIMEOUT)
        assert responder.line() == "memif connected!"
        for queue in range(queues):
            asker = ping_through(interface, queue)
            assert asker.load(3_000, 100, window=128).lost == 0


@pytest.mark.parametrize(
    ("device", "options"),
    [
        ("server", ()),
        ("server", ("-H", 64)),
        ("server", ("-H", 128)),
        ("server", ("-c",)),
        ("client", ()),
        ("client_zero_copy", ()),
    ],
)
def test_a_responder_answers_through_testpmd(peers, device, options):
    queues = 2
    arguments = (*options, "-q", queues)
    path = peers.socket_of(device, 1)

    @contextlib.contextmanager
    def ours():
        with (
            peers.responder_v4(own_role(device), *arguments, index=1, path=path) as responder,
            peers.interface(device, s2m_rings=queues, m2s_rings=queues) as interface,
        ):
            yield responder, interface

    testpmd = peers.testpmd(device, "io", f"--rxq={queues}", f"--txq={queues}", ports=2)
    with peers.in_order(device, ours, testpmd, ports=2) as ((responder, interface), _):
        testpmd.command("start")
        interface.wait_connected(TIMEOUT)
        assert responder.line() == CONNECTED
        for queue in range(queues):
            asker = ping_through(interface, queue)
            assert asker.load(3_000, 1_000, window=128).lost == 0


@pytest.mark.parametrize("device", ["server", "client"])
@pytest.mark.parametrize("role", ["master", "slave"])
def test_a_bridge_leads_to_testpmd(peers, device, role):
    queues = 2
    path, _ = peers.sides

    def ours():
        return peers.bridge((peers.socket, own_role(device)), (path, role), "-q", queues)

    testpmd = peers.testpmd(device, "icmpecho", f"--rxq={queues}", f"--txq={queues}")
    settings = {"id": 1, "s2m_rings": queues, "m2s_rings": queues}
    with contextlib.ExitStack() as stack:
        if role == "slave":
            interface = stack.enter_context(Interface(path, role="master", **settings))
        bridge, testpmd = stack.enter_context(peers.in_order(device, ours, testpmd))
        testpmd.command("start")
        if role == "master":
            interface = stack.enter_context(Interface(path, **settings))
        wait_until_bridged(bridge, queues)
        interface.wait_connected(TIMEOUT)
        for queue in range(queues):
            asker = pinger(interface, queue=queue)
            asker.resolve(attempts=30)
            ping_all_sizes(asker)
            assert asker.load(3_000, 100, window=128).lost == 0


@pytest.mark.parametrize(
    ("secret", "reason"), [("other", "Incorrect secret"), (None, "Secret required")]
)
def test_a_server_refuses_our_wrong_secret_and_we_say_so(peers, secret, reason):
    with (
        peers.testpmd("server", "icmpecho", secret=SECRET),
        peers.interface("server", secret=secret) as interface,
    ):
        with pytest.raises(Timeout, match=reason):
            interface.wait_connected(1)
        assert reason in interface.details().last_error


def test_a_client_with_a_wrong_secret_is_refused_and_both_say_so(peers):
    testpmd = peers.testpmd("client", "icmpecho", secret=OTHER_SECRET, eal_args=DRIVER_LOG)
    with peers.interface("client", secret=SECRET) as interface, testpmd:
        assert not testpmd.link_is_up()
        with pytest.raises(Timeout, match="incorrect secret"):
            interface.wait_connected(0)
    assert "Disconnect received: incorrect secret" in testpmd.transcript


@pytest.mark.parametrize("device", ["server", "client"])
def test_the_right_secret_connects(peers, device):
    testpmd = peers.testpmd(device, "icmpecho", secret=LONG_SECRET)

    def ours():
        return peers.interface(device, secret=LONG_SECRET)

    with peers.in_order(device, ours, testpmd) as (interface, _):
        interface.wait_connected(TIMEOUT)


def test_an_interface_of_version_256_says_why_it_does_not_connect(peers):
    with (
        peers.testpmd("server", "icmpecho"),
        peers.interface("server", version=256) as interface,
        pytest.raises(Timeout, match="peer speaks versions 512 to 512, we speak 256 to 256"),
    ):
        interface.wait_connected(1)


@devices
def test_testpmd_may_come_back(peers, device):
    counts = []
    with peers.responder_behind(device) as responder, peers.interface(device) as interface:
        for _ in range(3):
            with peers.testpmd(device, "io", ports=2) as testpmd:
                testpmd.command("start")
                interface.wait_connected(TIMEOUT)
                responder.lines_until("memif connected!")
                ping_through(interface)
                counts.append(len(responder.descriptors()))
    assert counts == counts[:1] * 3


@devices
def test_testpmd_may_be_killed_and_come_back(peers, device):
    counts = []
    with peers.responder_behind(device) as responder, peers.interface(device) as interface:
        for _ in range(3):
            with contextlib.suppress(Killed), peers.testpmd(device, "io", ports=2) as testpmd:
                testpmd.command("start")
                interface.wait_connected(TIMEOUT)
                responder.lines_until("memif connected!")
                ping_through(interface)
                counts.append(len(responder.descriptors()))
                raise Killed  # which is what the harness does after an error
            if device == "server":
                # DPDK does not listen where the socket of its predecessor still lies.
                Path(peers.socket).unlink()
    assert counts == counts[:1] * 3


class Killed(Exception):
    """To leave the block of a testpmd without a word to it."""


# Not with zero-copy: DPDK 22.11 closes the memory that it exports with the first connection.
@pytest.mark.parametrize("device", ["server", "client"])
def test_we_may_come_back(peers, device):
    testpmd = peers.testpmd(device, "io", ports=2)
    with contextlib.ExitStack() as stack:
        for number in range(3):
            with (
                peers.responder_behind(device) as responder,
                peers.interface(device) as interface,
            ):
                if number == 0:
                    stack.enter_context(testpmd)
                elif device == "client":
                    look_for_servers_again(testpmd)
                testpmd.command("start")
                interface.wait_connected(TIMEOUT)
                responder.lines_until("memif connected!")
                ping_through(interface)
                testpmd.command("stop")
            wait_until_down(testpmd, 2)


def look_for_servers_again(testpmd: Testpmd) -> None:
    testpmd.command("port stop all")
    testpmd.command("port start all")
