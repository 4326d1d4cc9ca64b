# SPDX-License-Identifier: Apache-2.0
"""A peer with more queues than its master: refused at first, then told how many there are.

Peers that are told no number at first keep DPDK's client from crashing; those that keep to the
number of HELLO connect at their second attempt.
"""

import contextlib
import itertools
import json
import os
import socket
import struct
import sys

import pytest
from support.c_collector import build_directories
from support.fakelink import recordings
from support.packets import ping_all_sizes, pinger
from support.programs import TIMEOUT, Launcher, Program, wait_until_listening
from support.raw_slave import RawSlave

from libmemif_py import Interface
from libmemif_py.control import channel, reactor, wire
from libmemif_py.control.peers import MOST_PEERS, KnownPeers

MOST = wire.MAX_RING_INDEX
VPP = b"VPP 26.06-release"


@pytest.fixture
def path(tmp_path) -> str:
    return str(tmp_path / "m.sock")


class Slave(RawSlave):
    """Says INIT and offers its rings, as many as HELLO allows unless it is a stubborn one."""

    def __init__(self, path, interface_id=0, s2m=4, m2s=4, name=VPP, stubborn=False):
        super().__init__(path, interface_id)
        self.wanted = {True: s2m, False: m2s}
        self.name, self.stubborn = name, stubborn
        self.hello = None

    def attempt(self):
        """Connects; the answer to its last message."""
        self.greeted()
        return self.offer()

    def greeted(self):
        self.socket.connect(self.path)
        self.hello = self.hear()
        self.lay_out()

    def offer(self):
        answer = self.ask(wire.Init(wire.VERSION_2, self.id, 0, b"", self.name))
        if isinstance(answer, wire.Ack):
            answer = self.ask(wire.AddRegion(0, os.fstat(self.memfd).st_size), self.memfd)
        most = {True: self.hello.max_s2m_ring + 1, False: self.hello.max_m2s_ring + 1}
        for s2m in (True, False):
            count = self.wanted[s2m] if self.stubborn else min(self.wanted[s2m], most[s2m])
            for index in range(count):
                if isinstance(answer, wire.Ack):
                    answer = self.ask(self.ring(s2m, index), self.efds[s2m])
        if isinstance(answer, wire.Ack):
            answer = self.ask(wire.Connect(b"memif1/0"))
        return answer

    def ring(self, s2m, index):
        """Only the first one of a direction ever carries packets."""
        where = 0 if s2m else 128 + 16 * 8
        return wire.AddRing(s2m, index, 0, where, 3, 0)


def attempt(path, *arguments, **settings):
    """The number of rings in HELLO, and how it ended."""
    with Slave(path, *arguments, **settings) as slave:
        answer = slave.attempt()
        numbers = slave.hello.max_s2m_ring + 1, slave.hello.max_m2s_ring + 1
        reason = answer.reason.decode() if isinstance(answer, wire.Disconnect) else None
        return numbers, reason


def in_a_child(function):
    """What it returns, by way of JSON; None if it fails."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, json.dumps(function()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as file:
        answer = file.read()
    os.waitpid(child, 0)
    return json.loads(answer or "null")


def wait_until_left(interface):
    """There is no event to wait for that does not belong to the interface itself."""
    while interface.connected:
        with contextlib.suppress(TimeoutError):
            interface.wait_connected(0.01)


# ---- the rule ----


def test_who_keeps_to_hello_connects_at_its_second_attempt(path):
    with Interface(path, role="master", s2m_rings=2, m2s_rings=3) as ours:
        numbers, reason = attempt(path)
        assert numbers == (MOST + 1, MOST + 1)
        assert reason == (
            "S2M ring index 2, at most 2 rings allowed: packets on more would be lost"
        )
        while not (error := ours.details().last_error):
            pass
        assert error == f"{reason}; {VPP.decode()} will be told so when it tries again"
        with Slave(path) as slave:
            assert isinstance(slave.attempt(), wire.Connected)
            ours.wait_connected(TIMEOUT)
            details = ours.details()
            assert (len(details.rx_rings), len(details.tx_rings)) == (2, 3)
            assert details.last_error == ""
        wait_until_left(ours)
        assert attempt(path) == ((2, 3), None)


@pytest.mark.parametrize(("s2m", "m2s"), [(4, 1), (1, 4)])
def test_either_direction_may_be_too_many(path, s2m, m2s):
    with Interface(path, role="master"):
        _, reason = attempt(path, s2m=s2m, m2s=m2s)
        assert f"{'S2M' if s2m > 1 else 'M2S'} ring index 1, at most 1 rings allowed" in reason
        assert attempt(path, s2m=s2m, m2s=m2s) == ((1, 1), None)


@pytest.mark.parametrize("name", [b"DPDK 22.11.11", b"DPDK 24.11.2"])
def test_dpdk_is_never_told_a_number_of_ours(path, name):
    with Interface(path, role="master") as ours:
        for _ in range(3):
            numbers, reason = attempt(path, name=name, stubborn=True)
            assert numbers == (MOST + 1, MOST + 1)
            assert "at most 1 rings allowed" in reason
        while not (error := ours.details().last_error):
            pass
        assert error == reason


def test_who_does_not_keep_to_hello_is_refused_each_time(path):
    with Interface(path, role="master"):
        for expected in ((MOST + 1, MOST + 1), (1, 1), (1, 1)):
            numbers, reason = attempt(path, stubborn=True)
            assert numbers == expected
            assert "at most 1 rings allowed" in reason


def test_another_process_is_told_nothing(path):
    with Interface(path, role="master"):
        attempt(path)
        numbers, reason = in_a_child(lambda: attempt(path))
        assert numbers == [MOST + 1, MOST + 1]
        assert reason
        assert attempt(path) == ((1, 1), None)


def test_a_master_that_starts_again_has_forgotten(path):
    for _ in range(2):
        with Interface(path, role="master"):
            assert attempt(path)[0] == (MOST + 1, MOST + 1)
            assert attempt(path)[0] == (1, 1)


# ---- several interfaces on one path ----


def test_several_interfaces_are_told_their_own_numbers(path):
    """All connections of a round are made before any of them says INIT, as VPP does it."""
    accepted = {0: 1, 1: 3, 2: 8}
    with contextlib.ExitStack() as stack:
        ours = {
            number: stack.enter_context(
                Interface(path, role="master", id=number, s2m_rings=rings, m2s_rings=rings)
            )
            for number, rings in accepted.items()
        }
        connected = []
        for round_ in range(2):
            slaves = [Slave(path, number) for number in accepted if not ours[number].connected]
            for slave in slaves:
                stack.enter_context(slave)
                slave.greeted()
            for slave in slaves:
                if isinstance(slave.offer(), wire.Connected):
                    connected.append((round_, slave.id))
                    ours[slave.id].wait_connected(TIMEOUT)
        assert connected == [(0, 2), (1, 0), (1, 1)]
        rings = {number: len(one.details().rx_rings) for number, one in ours.items()}
        assert rings == {0: 1, 1: 3, 2: 4}


def test_an_interface_that_is_connected_is_not_expected(path):
    with (
        Interface(path, role="master", id=0) as few,
        Interface(path, role="master", id=1, s2m_rings=8, m2s_rings=8) as many,
    ):
        attempt(path, 0)
        with Slave(path, 0) as slave:
            assert isinstance(slave.attempt(), wire.Connected)
            few.wait_connected(TIMEOUT)
            assert attempt(path, 1) == ((MOST + 1, MOST + 1), None)
            wait_until_left(many)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_turns_in_any_order_are_guessed_from_the_second_on(order):
    known = KnownPeers()
    for number in order:
        assert known.expected("peer", order) is None
        known.tried("peer", VPP, number)
    assert known.offered_too_many("peer")
    for number in order * 3:
        assert known.expected("peer", range(3)) == number
        known.tried("peer", VPP, number)


# ---- who it is ----


def test_the_number_of_peers_in_memory_is_bounded():
    known = KnownPeers()
    for number in range(MOST_PEERS + 1):
        known.tried(f"peer {number}", VPP, 0)
        assert known.offered_too_many(f"peer {number}")
    assert known.expected("peer 0", [0]) is None
    assert not known.offered_too_many("peer 0")
    assert known.expected("peer 1", [0]) == 0


def test_who_cannot_be_told_from_others_is_not_remembered():
    known = KnownPeers()
    known.tried(None, VPP, 0)
    assert not known.offered_too_many(None)
    assert not known.is_anybody_told()
    assert known.expected(None, [0]) is None


def test_who_cannot_be_told_from_others_takes_nobodys_place():
    known = KnownPeers()
    for number in range(MOST_PEERS):
        known.tried(f"peer {number}", VPP, 0)
    known.tried(None, VPP, 0)
    assert known.offered_too_many("peer 0")


@pytest.mark.parametrize("names", [(b"DPDK 22.11.11", VPP), (VPP, b"DPDK 22.11.11")])
def test_a_process_that_was_dpdk_once_is_told_nothing(names):
    """Both may be in one process, and what it was told before may be for the other one."""
    known = KnownPeers()
    for number, name in enumerate(names):
        known.tried("peer", name, number)
        known.offered_too_many("peer")
    assert not known.offered_too_many("peer")
    assert known.expected("peer", [0, 1]) is None


@contextlib.contextmanager
def accepted():
    """A channel whose peer is this process."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind("")
        listening.listen()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
            peer.connect(listening.getsockname())
            sock, _ = listening.accept()
            with sock:
                yield channel.Channel(sock, reactor.lib)


def own_identity():
    with accepted() as one:
        return one.identity()


@pytest.fixture(params=["as it is", "before Linux 6.5", "before Linux 6.9"])
def kernel(request, monkeypatch):
    if request.param == "before Linux 6.5":
        monkeypatch.setattr(channel, "_SO_PEERPIDFD", 0x7FFF)
    elif request.param == "before Linux 6.9":
        monkeypatch.setattr(channel, "_is_same_file", lambda *_: True)


@pytest.mark.usefixtures("kernel")
def test_a_process_has_one_identity_and_no_other_has_it():
    before = len(os.listdir("/proc/self/fd"))
    with accepted() as first, accepted() as second:
        identity = first.identity()
        assert identity
        assert second.identity() == identity
    other = in_a_child(own_identity)
    assert other
    assert other != identity
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_process_that_is_not_seen_has_no_identity(monkeypatch):
    """One of another PID namespace has number 0."""
    monkeypatch.setattr(channel, "_SO_PEERPIDFD", 0x7FFF)
    monkeypatch.setattr(channel, "_peer_of", lambda _sock: (0, 0, 0))
    with accepted() as one:
        assert one.identity() is None


MASTER = """
import sys
from libmemif_py import Interface
with Interface(sys.argv[1], role="master") as ours:
    print("listening", flush=True)
    while not ours.details().last_error:
        pass
    print(ours.details().last_error, flush=True)
    ours.wait_connected(None if sys.stdin.readline() else 0)
    print(ours.peer.pid, len(ours.details().rx_rings), flush=True)
    sys.stdin.readline()
"""


def test_a_process_of_another_pid_namespace_is_known_where_the_kernel_tells_it(path, tmp_path):
    """We see the master, it does not see us. Needs root."""
    command = ["unshare", "--pid", "--fork", sys.executable, "-P", "-c", MASTER, path]
    with Program(command, tmp_path / "errors") as master:
        assert master.line() == "listening"
        _, reason = attempt(path)
        error = master.line()
        if own_identity().startswith("pidfd"):
            assert error.startswith(f"{reason}; ")
            with Slave(path) as slave:
                assert isinstance(slave.attempt(), wire.Connected)
                master.write("\n")
                assert master.line() == "0 1"
        else:
            assert error == reason
            assert attempt(path) == ((MOST + 1, MOST + 1), reason)


# ---- real peers ----


class RecordedVpp(RawSlave):
    """What a real VPP slave with 3 S2M and 2 M2S rings said, up to the rings that HELLO allows."""

    def __init__(self, path, interface_id):
        super().__init__(path, interface_id)
        (self.recording,) = [r for r in recordings() if r.name.startswith("vpp-slave-3-2-queues")]

    def attempt(self):
        self.socket.connect(self.path)
        hello = self.hear()
        most = {True: hello.max_s2m_ring, False: hello.max_m2s_ring}
        for data, fds in self.recording.sent_by("slave"):
            message = wire.decode(data, wire.VERSION_2)
            if isinstance(message, wire.AddRing) and message.index > most[message.s2m]:
                continue
            if isinstance(message, wire.Disconnect):
                break
            self.socket.sendmsg([data], [self.ancillary(message)] if fds else [])
            if not isinstance(answer := self.hear(), wire.Ack):
                return answer
        raise AssertionError("no CONNECT in the recording")

    def ancillary(self, message):
        if isinstance(message, wire.AddRegion):
            os.ftruncate(self.memfd, message.size)
            for ring in self.recording.messages("slave"):
                if isinstance(ring, wire.AddRing):
                    os.pwrite(self.memfd, struct.pack("<I", wire.COOKIE_2), ring.offset)
        fd = self.memfd if isinstance(message, wire.AddRegion) else self.efds[0]
        return socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd)


@pytest.mark.parametrize(("s2m", "m2s"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_a_recorded_vpp_with_more_queues_connects_at_its_second_attempt(path, s2m, m2s):
    with (
        RecordedVpp(path, 0) as first,
        RecordedVpp(path, 0) as second,
        Interface(path, role="master", s2m_rings=s2m, m2s_rings=m2s) as ours,
    ):
        answer = first.attempt()
        assert isinstance(answer, wire.Disconnect)
        assert b"rings allowed" in answer.reason
        assert isinstance(second.attempt(), wire.Connected)
        ours.wait_connected(TIMEOUT)
        details = ours.details()
        assert (len(details.rx_rings), len(details.tx_rings)) == (s2m, m2s)
        assert details.remote_app_name.startswith("VPP")


@pytest.fixture
def launcher(tmp_path, pytestconfig) -> Launcher:
    return Launcher(tmp_path, build_directories(pytestconfig)[0].path)


@pytest.mark.parametrize("name", ["icmp_responder", "icmp_responder4"])
def test_a_c_slave_with_more_queues_connects_and_answers(launcher, name):
    with Interface(launcher.socket, role="master") as ours:
        words = ("-q", 4)
        with launcher.example(name, *words) as program:
            if name == "icmp_responder":
                program.write("conn 0\n")
            ours.wait_connected(TIMEOUT)
            ping_all_sizes(pinger(ours))


@pytest.mark.parametrize("name", ["icmp_responder2", "icmp_responder4"])
def test_a_python_slave_with_more_queues_connects_to_a_c_master(launcher, name):
    with launcher.example(name, "-m"):
        wait_until_listening(launcher.socket)
        with Interface(launcher.socket, s2m_rings=4, m2s_rings=4) as ours:
            ours.wait_connected(TIMEOUT)
            assert len(ours.details().tx_rings) == 1


def test_both_ends_in_python(path):
    with (
        Interface(path, role="master") as master,
        Interface(path, s2m_rings=4, m2s_rings=4) as slave,
    ):
        slave.wait_connected(TIMEOUT)
        slave.send(b"packet")
        assert master.recv(TIMEOUT) == b"packet"
