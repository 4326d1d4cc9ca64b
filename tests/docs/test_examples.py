# SPDX-License-Identifier: Apache-2.0
"""The example programs: three ICMP responders in C, pinged by Python, and the demonstration."""

import contextlib
import os
import queue
import signal
import struct
import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from support.access import wait_for_error
from support.c_collector import build_directories
from support.packets import (
    HEADERS,
    TIMEOUT,
    US,
    EchoReply,
    Host,
    PacketError,
    checksum,
    echo_request,
    ping_all_sizes,
    pinger,
    read_arp_reply,
    read_echo_reply,
    responder_ip,
)
from support.programs import Launcher, Program, wait_until_listening

from libmemif_py import Interface

EXAMPLES = Path(__file__).parents[2] / "examples"
OTHER_ROLE = {"master": "slave", "slave": "master"}
RING_SIZE = 1024
# As a slave it wants both its queues, as a master it takes one as well.
QUEUES = {"icmp_responder": 1, "icmp_responder2": 1, "icmp_responder3": 2}
RESPONDERS = tuple(QUEUES)

roles = pytest.mark.parametrize("role", ["master", "slave"])
programs = pytest.mark.parametrize("name", RESPONDERS)


@pytest.fixture
def launcher(tmp_path, pytestconfig) -> Launcher:
    return Launcher(tmp_path, build_directories(pytestconfig)[0].path)


def rings_for(program_name: str) -> dict[str, int]:
    queues = QUEUES[program_name]
    return {"s2m_rings": queues, "m2s_rings": queues}


@contextlib.contextmanager
def responder_and_us(launcher: Launcher, program_name: str, role: str, **settings):
    """A responder in this role, and an interface of ours in the other."""
    rings = rings_for(program_name)
    other = OTHER_ROLE[role]
    with contextlib.ExitStack() as stack:
        if role == "master":
            program = stack.enter_context(launcher.responder(program_name, role))
        interface = stack.enter_context(Interface(launcher.socket, role=other, **rings, **settings))
        if role == "slave":
            program = stack.enter_context(launcher.responder(program_name, role))
        interface.wait_connected(TIMEOUT)
        yield program, interface


# ---- answers ----


@programs
@roles
@pytest.mark.parametrize("version", [256, 512])
def test_every_ping_is_answered_also_after_the_ring_has_wrapped(launcher, name, role, version):
    with responder_and_us(launcher, name, role, version=version) as (_, interface):
        asker = pinger(interface)
        ping_all_sizes(asker)
        assert asker.load(3 * RING_SIZE, 1000, window=128).lost == 0


@roles
def test_icmp_responder3_serves_both_its_queues(launcher, role):
    with responder_and_us(launcher, "icmp_responder3", role) as (_, interface):
        for queue in (0, 1, 0, 1):  # the first is polled, the second wakes a thread
            asker = pinger(interface, queue=queue)
            ping_all_sizes(asker)
            assert asker.load(3 * RING_SIZE, 100, window=128).lost == 0


def test_icmp_responder2_answers_on_the_queue_that_it_is_told(launcher):
    with (
        Interface(launcher.socket, role="master", s2m_rings=2, m2s_rings=2) as interface,
        launcher.example("icmp_responder2", 1),
    ):
        interface.wait_connected(TIMEOUT)
        interface.send(request(1))
        assert reply(interface, queue=1).sequence == 1


@roles
def test_a_responder_speaks_ip_without_ethernet(launcher, role):
    other = OTHER_ROLE[role]
    own_option = ["-m"] if role == "master" else []
    with contextlib.ExitStack() as stack:
        if role == "slave":
            interface = stack.enter_context(Interface(launcher.socket, role=other, mode="ip"))
        stack.enter_context(launcher.example("icmp_responder2", "-t", "ip", *own_option))
        if role == "master":
            wait_until_listening(launcher.socket)
            interface = stack.enter_context(Interface(launcher.socket, role=other, mode="ip"))
        interface.wait_connected(TIMEOUT)
        ethernet = request(1)[:14]
        interface.send(request(1)[14:])
        answer = interface.recv(TIMEOUT)
        frame = US.mac + ethernet[:6] + ethernet[12:] + answer
        assert read_echo_reply(frame, US).sequence == 1


RESPONDER = Host(bytes.fromhex("02fe00000000"), responder_ip())


def request(sequence: int) -> bytes:
    return echo_request(US, RESPONDER, 7, sequence, b"payload")


def reply(interface: Interface, queue: int = 0) -> EchoReply:
    return read_echo_reply(interface.recv(TIMEOUT, queue=queue), US)


def changed(packet: bytes, at: int, value: int) -> bytes:
    return packet[:at] + bytes([value]) + packet[at + 1 :]


UNANSWERED = {
    "to another address": echo_request(
        US, Host(RESPONDER.mac, IPv4Address("192.168.1.3")), 7, 1, b"payload"
    ),
    "a reply": changed(changed(request(1), 34, 0), 36, request(1)[36] + 8),
    "cut off": request(1)[:-1],
    "a wrong IP checksum": changed(request(1), 24, request(1)[24] ^ 1),
    "another IP version": changed(request(1), 14, 0x65),
    "another ethertype": changed(request(1), 12, 0x86),
    "a single byte": b"\0",
    "no ARP request": US.mac * 2 + b"\x08\x06" + bytes(28),
}


@pytest.mark.parametrize("kind", UNANSWERED)
def test_what_is_no_request_gets_no_answer_and_does_no_harm(launcher, kind):
    with responder_and_us(launcher, "icmp_responder2", "slave") as (_, interface):
        interface.send_burst([UNANSWERED[kind], request(2)])
        assert reply(interface).sequence == 2


# ---- icmp_responder and its commands ----


def test_help_names_the_versions_and_every_command(launcher):
    with launcher.example("icmp_responder") as program:
        program.write("help\nexit\n")
        assert program.wait() == 0
        text = program.rest()
    assert "libmemif version: 1.0\nmemif version: 256\n" in text
    names = ("help", "exit", "conn", "del", "show", "ip-set", "rx-mode")
    assert [name for name in names if f"\t{name} " not in text] == []
    assert program.errors == ""


@roles
def test_show_tells_what_is_known_of_both_sides(launcher, role):
    with responder_and_us(launcher, "icmp_responder", role, name="ours") as (program, interface):
        assert program.line() == "memif connected!"
        program.write("show\n")
        lines = program.lines_until("link: up")
        assert interface.details().remote_name == "memif0"
    text = "\n".join(line.strip() for line in lines)
    wanted = (
        "interface index: 0",
        "interface ip: 192.168.1.2",
        "interface name: memif0",
        "app name: ICMP_Responder",
        "remote interface name: ours",
        "remote app name: libmemif_py",
        "id: 0",
        f"role: {role}",
        "mode: ethernet",
        f"socket filename: {launcher.socket}",
        "queue id: 0, ring size: 1024, buffer size: 2048",
    )
    assert [line for line in wanted if line not in text] == []


def test_del_disconnects_and_conn_connects_again(launcher):
    # Each connection by its own event: that the one before is still up is no news.
    connections = queue.SimpleQueue()
    with (
        Interface(launcher.socket, role="master", on_connect=connections.put) as interface,
        launcher.responder("icmp_responder", "slave") as program,
    ):
        for _ in range(3):
            connections.get(timeout=TIMEOUT)
            assert program.line() == "memif connected!"
            program.write("del 0\n")
            assert program.line() == "memif disconnected!"
            program.write("show\nconn 0\n")
            assert program.line() == "MEMIF DETAILS"
            assert set(program.line()) == {"="}
        connections.get(timeout=TIMEOUT)
        ping_all_sizes(pinger(interface))


def test_many_interfaces_share_a_program(launcher):
    with (
        launcher.example("icmp_responder") as program,
        contextlib.ExitStack() as stack,
    ):
        interfaces = {
            index: stack.enter_context(Interface(launcher.socket, role="master", id=index))
            for index in (0, 3, 7)
        }
        program.write("conn 0\nconn 3 0\nconn 7\n")
        for index, interface in interfaces.items():
            interface.wait_connected(TIMEOUT)
            ping_all_sizes(pinger(interface, responder_ip(index)))


def test_ip_set_changes_the_address_that_is_answered_for(launcher):
    with responder_and_us(launcher, "icmp_responder", "slave") as (program, interface):
        program.write("ip-set 0 10.1.2.3\nshow\n")
        program.lines_until("link: up")
        ping_all_sizes(pinger(interface, IPv4Address("10.1.2.3")))
        new = Host(RESPONDER.mac, IPv4Address("10.1.2.3"))
        interface.send_burst([request(1), echo_request(US, new, 7, 2, b"payload")])
        assert reply(interface).sequence == 2  # and nobody answered to the old address


@roles
def test_rx_mode_may_change_while_packets_come(launcher, role):
    with responder_and_us(launcher, "icmp_responder", role) as (program, interface):
        asker = pinger(interface)
        for mode in ("polling", "interrupt", "polling", "interrupt"):
            program.write(f"rx-mode 0 0 {mode}\n")
            assert asker.load(2 * RING_SIZE, 100, window=64).lost == 0


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("nonsense", "unknown command: nonsense"),
        ("conn", "usage: conn"),
        ("conn x", "usage: conn"),
        ("conn 0 2", "usage: conn"),
        ("del 5", "no connection has index 5"),
        ("ip-set 0 1.2.3", "usage: ip-set"),
        ("ip-set 0 1.2.3.4", "no connection has index 0"),
        ("rx-mode 0 0 sometimes", "usage: rx-mode"),
        ("rx-mode 0 0 polling", "no connection has index 0"),
        ("x" * 1000, "line too long"),
    ],
)
def test_a_wrong_command_is_complained_of_and_nothing_else_happens(launcher, line, complaint):
    with launcher.example("icmp_responder") as program:
        program.write(f"{line}\nexit\n")
        assert program.wait() == 0
        assert complaint in program.errors


def test_exit_disconnects_and_ends_well(launcher):
    with (
        Interface(launcher.socket, role="master") as interface,
        launcher.example("icmp_responder") as program,
    ):
        program.write("conn 0\n")
        interface.wait_connected(TIMEOUT)
        assert program.line() == "memif connected!"  # a master is up before its slave
        program.write("exit\n")
        assert (program.wait(), program.errors) == (0, "")
        assert program.rest() == "memif disconnected!\n"
        wait_for_error(interface, "disconnected by the peer")


# ---- ends of input, and signals ----


def from_file(folder: Path) -> Path:
    commands = folder / "commands"
    commands.write_text("conn 0")  # without an end of line
    return commands


@pytest.mark.parametrize("source", ["pipe", "file"])
def test_after_the_last_command_pings_are_still_answered(launcher, source):
    with Interface(launcher.socket, role="master") as interface, contextlib.ExitStack() as stack:
        if source == "pipe":
            program = stack.enter_context(launcher.example("icmp_responder"))
            program.write("conn 0")
            program.end_input()
        else:
            stdin = stack.enter_context(from_file(launcher.folder).open("rb"))
            program = stack.enter_context(launcher.example("icmp_responder", stdin=stdin))
        interface.wait_connected(TIMEOUT)
        ping_all_sizes(pinger(interface))
        program.send_signal(signal.SIGINT)
        assert (program.wait(), program.errors) == (0, "")


def test_without_any_input_it_waits_for_a_signal(launcher):
    with (
        Path(os.devnull).open("rb") as stdin,
        launcher.example("icmp_responder", stdin=stdin) as it,
    ):
        it.wait_until_it_catches(signal.SIGTERM)
        it.send_signal(signal.SIGTERM)
        assert (it.wait(), it.errors) == (0, "")


@programs
@roles
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_connected_program_and_leaves_nothing(launcher, name, role, number):
    own_option = ["-m"] if role == "master" else []
    arguments = [] if name == "icmp_responder" else own_option
    with contextlib.ExitStack() as stack:
        if role == "slave":
            master = Interface(launcher.socket, role="master", **rings_for(name))
            interface = stack.enter_context(master)
        program = stack.enter_context(launcher.example(name, *arguments))
        if name == "icmp_responder":
            program.write(f"conn 0 {int(role == 'master')}\n")
        if role == "master":
            wait_until_listening(launcher.socket)
            interface = stack.enter_context(Interface(launcher.socket))
        interface.wait_connected(TIMEOUT)
        assert program.line() == "memif connected!"
        program.send_signal(number)
        assert (program.wait(), program.errors) == (0, "")
        assert program.rest() == "memif disconnected!\n"
        if role == "master":
            assert not Path(launcher.socket).exists()


@programs
def test_a_program_that_cannot_listen_says_why(launcher, name):
    Path(launcher.socket).write_text("no socket")
    with launcher.example(name, *([] if name == "icmp_responder" else ["-m"])) as program:
        if name == "icmp_responder":
            program.write("conn 0 1\nexit\n")
        assert program.wait() == (0 if name == "icmp_responder" else 1)
        assert "socket" in program.errors
    assert Path(launcher.socket).read_text() == "no socket"


@programs
def test_options_are_explained_and_checked(launcher, name):
    with launcher.example(name, "-h") as program:
        assert program.wait() == 0
        assert program.rest().startswith(f"usage: {name} ")
    with launcher.example(name, "-t", "token-ring") as program:
        assert program.wait() == 1
        assert f"usage: {name} " in program.errors


# ---- the packets of the Python examples ----


def test_the_checksum_is_that_of_the_internet():
    # The example of RFC 1071, section 3: the sum is ddf2.
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2
    assert checksum(b"") == checksum(bytes(4)) == 0xFFFF
    assert checksum(b"\xff\xff") == 0
    assert checksum(b"\x12") == 0xFFFF - 0x1200


def echo_reply() -> bytes:
    """What a responder should answer to request(1), put together by hand."""
    icmp = struct.pack("!BBHHH", 0, 0, 0, 7, 1) + b"payload"
    icmp = icmp[:2] + struct.pack("!H", checksum(icmp)) + icmp[4:]
    addresses = RESPONDER.ip.packed + US.ip.packed
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(icmp), 0, 0, 64, 1, 0) + addresses
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    return US.mac + RESPONDER.mac + b"\x08\x00" + ip + icmp


def test_a_right_reply_is_read():
    wanted = EchoReply(RESPONDER.ip, US.ip, 64, 7, 1, b"payload")
    assert read_echo_reply(echo_reply(), US) == wanted
    assert read_echo_reply(echo_reply() + bytes(11), US) == wanted  # padding of ethernet


@pytest.mark.parametrize("at", range(len(echo_reply())))
def test_no_byte_of_a_reply_may_be_wrong(at):
    frame = changed(echo_reply(), at, echo_reply()[at] ^ 0x10)
    if 6 <= at < 12:
        return  # who answers is told by ARP, not by the source of the frame
    with pytest.raises(PacketError):
        read_echo_reply(frame, US)


@pytest.mark.parametrize("length", range(HEADERS + 7))
def test_a_reply_that_was_cut_off_is_refused(length):
    with pytest.raises(PacketError):
        read_echo_reply(echo_reply()[:length], US)


def test_an_arp_reply_must_be_for_us():
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2)
    right = arp + RESPONDER.mac + RESPONDER.ip.packed + US.mac + US.ip.packed
    ethernet = US.mac + RESPONDER.mac + b"\x08\x06"
    assert read_arp_reply(ethernet + right, US) == RESPONDER
    for at in (*range(0, 6), *range(12, 14 + 14), *range(14 + 18, 14 + 28)):
        frame = ethernet + right
        with pytest.raises(PacketError):
            read_arp_reply(changed(frame, at, frame[at] ^ 1), US)


# ---- the demonstration ----


def demo(tmp_path: Path) -> Program:
    environment = {"TMPDIR": str(tmp_path)}
    return Program([sys.executable, EXAMPLES / "demo.py"], tmp_path / "errors", environment)


def test_the_demonstration_pings_both_ways_and_loses_nothing(tmp_path):
    with demo(tmp_path) as program:
        assert (program.wait(), program.errors) == (0, "")
        text = program.rest()
    assert text.count("5 packets transmitted, 5 received, 0% packet loss") == 2
    assert text.count("answers per second, 0 lost") == 2
    assert text.count("64 bytes from 192.168.1.2: icmp_seq=") == 10
    assert list(tmp_path.iterdir()) == [tmp_path / "errors"]


def test_the_demonstration_can_be_stopped_at_any_time(tmp_path):
    with demo(tmp_path) as program:
        while "PING" not in program.line():
            pass
        program.send_signal(signal.SIGINT)
        assert (program.wait(), program.errors) == (128 + signal.SIGINT, "")
        assert not program.left_processes_behind()
    assert list(tmp_path.iterdir()) == [tmp_path / "errors"]


def test_the_demonstration_says_what_is_missing(tmp_path):
    # Another prefix, and with it no responder.
    code = (
        "import sys, runpy; sys.prefix = sys.argv[1]; sys.path.insert(0, sys.argv[2]); "
        "runpy.run_path(sys.argv[2] + '/demo.py', run_name='__main__')"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", code, tmp_path, EXAMPLES],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert result.returncode == 1
    assert f"{tmp_path}/bin/icmp_responder is missing" in result.stderr
    assert "./bootstrap demo" in result.stderr
