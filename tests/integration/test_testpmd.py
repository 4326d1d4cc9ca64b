# SPDX-License-Identifier: Apache-2.0
"""The library, from C and from Python, against dpdk-testpmd: DPDK's own memif driver."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.c_collector import build_directories
from support.packets import TIMEOUT, Pinger, ping_all_sizes, pinger, responder_ip
from support.programs import Stage
from testpmd import Testpmd, memif_vdev

from libmemif_py import Interface, Timeout

# The role of testpmd, and the keys of its device.
DEVICES = {
    "server": ("server", {}),
    "client": ("client", {}),
    "client_zero_copy": ("client", {"zero_copy": "yes"}),
}
OWN_ROLE = {"server": "slave", "client": "master"}
# Packets that come before the start of forwarding are packets like others.
FORWARDING = ["--no-flush-rx"]
DRIVER_LOG = ["--log-level=pmd.net.memif,debug"]

SECRET, OTHER_SECRET, LONG_SECRET = "right", "other", "twenty-three-letters-long"[:23]

devices = pytest.mark.parametrize("device", DEVICES)


class Peers(Stage):
    """Our programs, and testpmd in their folder."""

    def testpmd(
        self, device: str, mode: str, *arguments: str, ports: int = 1, eal_args=(), **keys: str
    ) -> Testpmd:
        """A testpmd with so many interfaces, ids from 0 on.

        Only the last one exports its packets' memory: DPDK 22.11 closes the descriptor of that
        memory once it has sent it, and then has none for another interface.
        """
        role, export = DEVICES[device]
        abstract = "yes" if self.socket.startswith("@") else "no"
        vdevs = [
            memif_vdev(
                role,
                self.socket_of(device, port).removeprefix("@"),
                port,
                socket_abstract=abstract,
                **(export if port == ports - 1 else {}),
                **keys,
            )
            for port in range(ports)
        ]
        one_file = ["--single-file-segments"] if export else []
        arguments = [f"--forward-mode={mode}", *FORWARDING, *arguments]
        return Testpmd(self.folder, vdevs, arguments, [*one_file, *eal_args])

    def socket_of(self, device: str, port: int) -> str:
        """A server has all its ports on one socket; our masters are processes of their own."""
        return self.socket if device == "server" or port == 0 else f"{self.socket}{port}"

    @contextlib.contextmanager
    def in_order(self, device: str, ours, testpmd: Testpmd, ports: int = 1) -> Iterator[tuple]:
        """Start whichever is the master first: testpmd looks for its server only once.

        Forwarding ends before we leave, and testpmd after it has noticed: DPDK unmaps the rings of
        a peer that left without regard to a core that forwards on them, or to a port that closes.
        """
        if device == "server":
            with testpmd:
                with ours() as own:
                    yield own, testpmd
                    testpmd.command("stop")
                wait_until_down(testpmd, ports)
        else:
            with ours() as own, testpmd:
                yield own, testpmd
                testpmd.command("stop")

    def interface(self, device: str, **settings) -> Interface:
        return Interface(self.socket, role=OWN_ROLE[DEVICES[device][0]], **settings)

    def responder_behind(self, device: str, name: str = "icmp_responder"):
        """A responder for port 1."""
        role = OWN_ROLE[DEVICES[device][0]]
        return self.responder(name, role, index=1, path=self.socket_of(device, 1))


@pytest.fixture
def peers(tmp_path, pytestconfig) -> Peers:
    return Peers(tmp_path, build_directories(pytestconfig)[0].path)


def wait_for_links(testpmd: Testpmd, ports: int = 1) -> None:
    for port in range(ports):
        testpmd.wait_for_link(port=port)


def wait_until_down(testpmd: Testpmd, ports: int = 1) -> None:
    end = time.monotonic() + TIMEOUT
    while any(testpmd.link_is_up(port) for port in range(ports)):
        assert time.monotonic() < end


def ping_through(interface: Interface, queue: int = 0) -> Pinger:
    """Ping the responder behind the other port."""
    asker = pinger(interface, responder_ip(1), queue)
    # A packet for a port that has not begun to receive is lost.
    asker.resolve(attempts=30)
    ping_all_sizes(asker)
    return asker


# ---- every byte ----


@devices
@pytest.mark.parametrize("language", ["v1", "python"])
@pytest.mark.parametrize("queues", [1, 4])
def test_every_packet_comes_back_unchanged(peers, device, language, queues):
    # 60 to 9000 bytes, the longest in chains of five buffers.
    options = ("-x", "-n", 20_000, "-N", 20_000, "-S", "jumbo", "-q", f"{queues},{queues}")
    role = OWN_ROLE[DEVICES[device][0]]

    def ours():
        return peers.traffic(language, role, *options)

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


@pytest.mark.parametrize("device", ["server", "client"])
def test_buffers_and_rings_may_be_small(peers, device):
    options = ("-x", "-n", 5_000, "-N", 5_000, "-S", "jumbo", "-w", 8, "-b", 512, "-l", 8)
    role = OWN_ROLE[DEVICES[device][0]]
    testpmd = peers.testpmd(device, "io", "--port-topology=loop", bsize="512", rsize="8")
    with peers.in_order(device, lambda: peers.traffic("v1", role, *options), testpmd) as (side, _):
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
    role = OWN_ROLE[DEVICES[device][0]]

    def ours():
        return peers.traffic(language, role, "-n", 50_000, "-S", "1000")

    with peers.in_order(device, ours, peers.testpmd(device, "rxonly")) as (side, testpmd):
        testpmd.command("start")
        stats = testpmd.wait_for_stats(lambda stats: stats["rx_packets"] >= 50_000)
        assert (stats["rx_packets"], stats["rx_bytes"]) == (50_000, 50_000 * 1000)
        assert side.result()["sent"] == [50_000]
        testpmd.command("stop")
        side.end()


# ---- ping ----


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


# ---- refusals ----


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


# ---- restarts ----


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
