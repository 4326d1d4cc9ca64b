# SPDX-License-Identifier: Apache-2.0
"""What a peer had sent when a link ended is received, whoever ended it and however.

C programs receive it in `on_disconnect`, where the queues still work (c_tests/peers/drain.c);
Python programs at any time afterwards.
"""

import asyncio
import contextlib
import select
import signal
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.builds import SUPPORT
from support.c_collector import build_directories
from support.leaving_peer import packet
from support.programs import OTHER_ROLE, TIMEOUT, Program, Side, c_program, wait_until_listening

from libmemif_py import Interface, Timeout, backlog, errors
from libmemif_py.adapters.scapy import MemifSocket
from libmemif_py.aio import AsyncInterface, create_memif_endpoint
from libmemif_py.control import reactor

COUNT = 60  # of 1, 1, 1, 1, 2 and 5 slots
QUEUES = 2
EVERYTHING = [packet(number) for number in range(COUNT)]

each_api = pytest.mark.parametrize("api", ["v1", "v4"])
each_version = pytest.mark.parametrize("version", [256, 512])
each_role = pytest.mark.parametrize("role", ["master", "slave"])
each_mode = pytest.mark.parametrize("mode", ["polling", "interrupt"])


@pytest.fixture(scope="module")
def build(pytestconfig):
    return next(build for build in build_directories(pytestconfig) if not build.label).path


class EndsLauncher:
    """A socket, and who meets there."""

    def __init__(self, folder: Path, build: Path, version: int):
        self.folder, self._build = folder, build
        self.socket = str(folder / "memif.sock")
        self._environment = {"LIBMEMIF_PROTOCOL": str(version)}

    def drain(self, api: str, role: str, mode: str, *options: str) -> Side:
        command = [c_program(self._build, "drain", api), "-s", self.socket, "-r", role, "-m", mode]
        command += ["-q", str(QUEUES), *options]
        return Side(command, self.folder / "drain.errors", self._environment)

    def leaving_peer(self, role: str, queues: int = QUEUES, count: int = COUNT) -> Program:
        command = [sys.executable, SUPPORT / "leaving_peer.py", self.socket, role]
        return Program(
            [*command, str(queues), str(count)],
            self.folder / "leaving_peer.errors",
            self._environment,
        )

    @contextlib.contextmanager
    def leaving_master(self) -> Iterator[Program]:
        """A slave that finds no master would try again after seconds only."""
        with self.leaving_peer("master") as peer:
            wait_until_listening(self.socket)
            yield peer


@pytest.fixture
def launcher(tmp_path, build, version):
    return EndsLauncher(tmp_path, build, version)


def leave(peer: Program, how: str) -> None:
    if how == "is killed":
        peer.send_signal(signal.SIGKILL)
    else:
        peer.write("\n")


# ---- C programs ----


@each_api
@pytest.mark.parametrize(
    "how", ["it closes", "is killed", "deleted here", "cleaned up here", "it waits in threads"]
)
@each_mode
@each_role
@each_version
def test_a_program_receives_all_in_on_disconnect(launcher, api, role, mode, how):
    threads = ["-t"] if how == "it waits in threads" else []
    with contextlib.ExitStack() as both:
        if role == "slave":
            peer = both.enter_context(launcher.leaving_master())
        receiver = both.enter_context(launcher.drain(api, role, mode, *threads))
        if role == "master":
            peer = both.enter_context(launcher.leaving_peer("slave"))
        assert receiver.line() == "up"
        assert peer.line() == "sent"
        if how.endswith("here"):
            receiver.write("cleanup\n" if how == "cleaned up here" else "delete\n")
        else:
            leave(peer, how)
        joined = QUEUES if threads else 0
        assert receiver.line() == f"drained {QUEUES * COUNT} joined {joined}"
        if not how.endswith("here"):
            receiver.write("delete\n")
        assert (receiver.wait(), receiver.errors) == (0, "")


@each_api
@each_version
def test_threads_that_end_at_the_first_disconnected_are_joined_at_each_end(launcher, api):
    with launcher.drain(api, "master", "polling", "-t") as receiver:
        for _ in range(5):
            with launcher.leaving_peer("slave") as peer:
                assert receiver.line() == "up"
                assert peer.line() == "sent"
                leave(peer, "is killed")
                assert receiver.line() == f"drained {QUEUES * COUNT} joined {QUEUES}"
        receiver.write("delete\n")
        assert (receiver.wait(), receiver.errors) == (0, "")


@contextlib.contextmanager
def cheat(path: str) -> Iterator[Interface]:
    """A slave that has sent on both queues, and spoils the index of ring 0 before it leaves."""
    with Interface(path, name="cheat", s2m_rings=QUEUES, version=512) as interface:
        interface.wait_connected(TIMEOUT)
        for queue in range(QUEUES):
            interface.send_burst(EVERYTHING, TIMEOUT, queue=queue)
        ffi = reactor.ffi
        base, size = ffi.new("void **"), ffi.new("uint64_t *")
        reactor.lib.mif_region_look(interface._endpoint.handle, 0, base, size)
        struct.pack_into("<H", ffi.buffer(base[0], size[0]), 6, 0x7FFF)
        yield interface


@each_api
@pytest.mark.parametrize("version", [512])
def test_a_broken_ring_gives_an_error_and_the_others_deliver(launcher, api):
    with launcher.drain(api, "master", "polling") as receiver:
        with cheat(launcher.socket):
            assert receiver.line() == "up"
        assert receiver.line() == "queue 0 is disconnected in on_disconnect"
        assert receiver.lines_until(f"drained {COUNT} joined 0")[:-1] == []


def test_python_receives_from_the_rings_that_are_whole(tmp_path):
    is_over = threading.Event()
    path = str(tmp_path / "memif.sock")
    with Interface(
        path, role="master", s2m_rings=QUEUES, on_disconnect=lambda *_: is_over.set()
    ) as interface:
        with cheat(path):
            pass
        assert is_over.wait(TIMEOUT)
        with pytest.raises(errors.Disconnected):
            interface.recv(0)
        assert receive_bursts(interface, 1) == EVERYTHING


# ---- Python ----


@contextlib.contextmanager
def left_behind(launcher, role, mode, how):
    """An interface whose peer has left, with all packets not received yet."""
    is_over = threading.Event()
    with contextlib.ExitStack() as both:
        if role == "slave":
            peer = both.enter_context(launcher.leaving_master())
        interface = Interface(
            launcher.socket,
            role=role,
            s2m_rings=QUEUES,
            m2s_rings=QUEUES,
            on_disconnect=lambda *_: is_over.set(),
        )
        both.enter_context(interface)
        for queue in range(QUEUES):
            interface.set_rx_mode(mode, queue=queue)
        if role == "master":
            peer = both.enter_context(launcher.leaving_peer("slave"))
        assert peer.line() == "sent"
        # A master may have sent before its slave has heard that it is connected.
        interface.wait_connected(TIMEOUT)
        if how == "closed here":
            interface.wait_connected(TIMEOUT)  # a master is up before its slave
            interface.close()
        else:
            leave(peer, how)
        assert is_over.wait(TIMEOUT)
        yield interface


def receive_one_by_one(interface, queue):
    packets = []
    while len(packets) < COUNT:
        packets.append(interface.recv(0, queue=queue))
    return packets


def receive_bursts(interface, queue):
    packets = []
    while len(packets) < COUNT:
        packets += interface.recv_burst(7, 0, queue=queue)
    return packets


def receive_without_copies(interface, queue):
    packets = []
    while len(packets) < COUNT:
        with interface.rx_burst(7, 0, queue=queue) as burst:
            assert len(burst) <= 7
            assert [len(packet) for packet in burst] == list(burst.lengths)
            packets += [bytes(packet) for packet in burst]
    return packets


@pytest.mark.parametrize(
    "receive",
    [receive_one_by_one, receive_bursts, receive_without_copies],
    ids=lambda receive: receive.__name__,
)
@pytest.mark.parametrize("how", ["it closes", "is killed", "closed here"])
@each_mode
@each_role
@each_version
def test_python_receives_all_after_the_end(launcher, role, mode, how, receive):
    with left_behind(launcher, role, mode, how) as interface:
        for queue in range(QUEUES):
            assert receive(interface, queue) == EVERYTHING
            end = errors.NoConnectionError if how == "closed here" else errors.Disconnected
            with pytest.raises(end):
                interface.recv(0, queue=queue)


@each_version
def test_iteration_ends_after_the_last_packet(launcher, version):
    with left_behind(launcher, "master", "interrupt", "closed here") as interface:
        assert list(interface) == EVERYTHING


@each_version
def test_what_is_left_can_be_received_in_on_disconnect(tmp_path, version):
    received = []

    is_over = threading.Event()

    def drain(interface, _reason):
        with contextlib.suppress(errors.Disconnected):
            while True:
                received.append(interface.recv(0))
        is_over.set()

    path = tmp_path / "memif.sock"
    with Interface(path, role="master", on_disconnect=drain):
        with Interface(path, version=version) as slave:
            slave.wait_connected(TIMEOUT)
            slave.send_burst(EVERYTHING, TIMEOUT)
        assert is_over.wait(TIMEOUT)
    assert received == EVERYTHING


@each_version
def test_packets_of_the_last_link_come_before_those_of_the_next(tmp_path, version):
    path = tmp_path / "memif.sock"
    with Interface(path, role="master") as master:
        for turn in range(3):
            with Interface(path, version=version) as slave:
                slave.wait_connected(TIMEOUT)
                slave.send_burst([b"%d" % turn] * 5, TIMEOUT)
                master.wait_connected(TIMEOUT)
        assert [master.recv(TIMEOUT) for _ in range(15)] == [b"0"] * 5 + [b"1"] * 5 + [b"2"] * 5
        with Interface(path, version=version) as slave:
            slave.send(b"next", TIMEOUT)
            assert master.recv(TIMEOUT) == b"next"
            with pytest.raises(Timeout):
                master.recv(0)


@each_version
def test_a_burst_that_is_open_keeps_its_packets_and_the_rest_follows(tmp_path, version):
    path = tmp_path / "memif.sock"
    with Interface(path, role="master") as master, Interface(path, version=version) as slave:
        slave.wait_connected(TIMEOUT)
        slave.send_burst(EVERYTHING, TIMEOUT)
        with master.rx_burst(10, TIMEOUT) as burst:
            slave.close()
            first = [bytes(packet) for packet in burst]
        assert first == EVERYTHING[: len(first)]
        rest = []
        while len(first) + len(rest) < COUNT:
            rest += master.recv_burst(COUNT, TIMEOUT)
        assert first + rest == EVERYTHING


@pytest.mark.parametrize("how", ["it closes", "is killed"])
@each_role
@each_version
def test_asyncio_receives_all_after_the_end(launcher, role, how, version):
    async def scenario():
        gone = asyncio.Event()
        async with AsyncInterface(
            launcher.socket, role=role, on_disconnect=lambda *_: gone.set()
        ) as interface:
            with launcher.leaving_peer(OTHER_ROLE[role], 1) as peer:
                assert await asyncio.to_thread(peer.line) == "sent"
                leave(peer, how)
                await asyncio.wait_for(gone.wait(), TIMEOUT)
                received = []
                while len(received) < COUNT:
                    received += await asyncio.wait_for(interface.recv_burst(), TIMEOUT)
                return received

    assert asyncio.run(scenario()) == EVERYTHING


@each_version
def test_asyncio_receives_what_was_left_when_it_was_closed(launcher, version):
    async def scenario():
        interface = AsyncInterface(launcher.socket, role="master")
        with launcher.leaving_peer("slave", 1) as peer:
            assert await asyncio.to_thread(peer.line) == "sent"
            interface.close()
            return [packet async for packet in interface]

    assert asyncio.run(scenario()) == EVERYTHING


class Recorder(asyncio.DatagramProtocol):
    """Keeps datagrams and errors in their order."""

    def __init__(self):
        self.events, self.is_over = [], asyncio.Event()

    def datagram_received(self, data, _address):
        self.events.append(data)

    def error_received(self, error):
        self.events.append(type(error))
        self.is_over.set()


@pytest.mark.parametrize("is_paused", [False, True])
@pytest.mark.parametrize("how", ["it closes", "is killed"])
@each_version
def test_a_protocol_hears_of_the_end_behind_the_last_datagram(launcher, how, is_paused, version):
    async def scenario():
        transport, protocol = await create_memif_endpoint(Recorder, launcher.socket, role="master")
        transport.pause_reading()
        with launcher.leaving_peer("slave", 1) as peer:
            assert await asyncio.to_thread(peer.line) == "sent"
            if not is_paused:
                transport.resume_reading()
            leave(peer, how)
            while transport.get_extra_info("interface").connected:
                await asyncio.sleep(0.01)
            transport.resume_reading()
            await asyncio.wait_for(protocol.is_over.wait(), TIMEOUT)
        transport.close()
        return protocol.events

    assert asyncio.run(scenario()) == [*EVERYTHING, errors.Disconnected]


@each_version
def test_a_socket_of_scapy_receives_all_after_the_end(launcher, version):
    with left_behind(launcher, "master", "interrupt", "it closes") as interface:
        sock = MemifSocket(interface)
        received = []
        while (data := sock.recv_raw(65535)[1]) is not None:
            received.append(data)
        assert received == EVERYTHING


@each_version
def test_what_is_left_makes_the_descriptor_readable_until_it_is_taken(launcher, version):
    with left_behind(launcher, "slave", "interrupt", "is killed") as interface:
        received = []
        while select.select([interface.fileno()], [], [], 0)[0]:
            with contextlib.suppress(errors.Disconnected):
                received.append(interface.recv(0))
        assert received == EVERYTHING


def test_what_is_kept_of_several_links_has_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(backlog, "MOST_KEPT", 3500)
    path = tmp_path / "memif.sock"
    gone = threading.Semaphore(0)
    with Interface(path, role="master", on_disconnect=lambda *_: gone.release()) as master:
        for number in range(3):
            with Interface(path) as slave:
                slave.wait_connected(TIMEOUT)
                slave.send_burst([bytes([number]) * 1000] * 2, TIMEOUT)
            assert gone.acquire(timeout=TIMEOUT)
        assert [packet[0] for packet in master.recv_burst(9, 0)] == [0, 0, 1]


def test_a_protocol_that_paused_holds_no_packets(tmp_path):
    path = str(tmp_path / "memif.sock")

    async def scenario():
        transport, protocol = await create_memif_endpoint(Recorder, path, role="master")
        transport.pause_reading()
        for number in range(3):
            with Interface(path) as slave:
                await asyncio.to_thread(slave.wait_connected, TIMEOUT)
                slave.send(bytes([number]), TIMEOUT)
            while transport.get_extra_info("interface").connected:
                await asyncio.sleep(0.001)
        await asyncio.sleep(0)
        assert not transport._received
        transport.resume_reading()
        await asyncio.wait_for(protocol.is_over.wait(), TIMEOUT)
        transport.close()
        return protocol.events

    assert asyncio.run(scenario()) == [b"\0", b"\1", b"\2", errors.Disconnected]


# ---- what stays ----


@each_role
def test_the_names_of_the_peer_stay(tmp_path, role):
    path = tmp_path / "memif.sock"
    with Interface(path, role=role) as staying:
        assert (staying.details().remote_name, staying.details().remote_app_name) == ("", "")
        with Interface(path, role=OTHER_ROLE[role], name="leaving", app_name="test") as leaving:
            leaving.wait_connected(TIMEOUT)
            staying.wait_connected(TIMEOUT)
        with pytest.raises(errors.Disconnected):
            staying.recv(0.2)
        details = staying.details()
        # A master greets for all of its interfaces.
        app_name = "test" if role == "master" else "libmemif_py"
        names = (details.remote_name, details.remote_app_name)
        assert (details.connected, names) == (False, ("leaving", app_name))
        assert (details.rx_rings, details.version, staying.peer) == ((), 0, None)
