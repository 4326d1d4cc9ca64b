# SPDX-License-Identifier: Apache-2.0
"""The command `memif`: its subcommands as processes, against each other and dpdk-testpmd."""

import contextlib
import io
import itertools
import json
import os
import pty
import random
import re
import signal
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from click.testing import CliRunner
from scapy.utils import PcapNgReader, PcapReader
from support.builds import run
from support.programs import TIMEOUT, Program, wait_until_listening
from testpmd import Testpmd, memif_vdev

from libmemif_py import Interface
from libmemif_py.tools.cli import cli
from libmemif_py.tools.formats import decode, pcapng
from libmemif_py.tools.formats.icmp import (
    Host,
    answer,
    answer_ip,
    ip_echo_request,
    is_arp,
    read_ip_echo_reply,
)

MEMIF = [sys.executable, "-P", "-m", "libmemif_py.tools"]
COMMANDS = ["bench", "bridge", "dump", "info", "ping", "play", "respond", "top"]
ADDRESS = "10.0.0.2"
OTHER = {"master": "slave", "slave": "master"}
roles = pytest.mark.parametrize("role", ["slave", "master"])


class Shell:
    """Starts `memif` in a folder of the test's own."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack):
        self.folder = folder
        self.socket = str(folder / "m.sock")
        self._stack = stack
        self._numbers = itertools.count()

    def start(self, *words: object, **options) -> Program:
        errors = self.folder / f"errors{next(self._numbers)}"
        program = Program([*MEMIF, *map(str, words)], errors, **options)
        return self._stack.enter_context(program)

    def run(self, *words: object, status: int = 0, **options) -> subprocess.CompletedProcess[str]:
        return run([*MEMIF, *map(str, words)], status=status, cwd=self.folder, **options)

    def side(self, command: str, *words: object, role: str = "slave") -> Program:
        """A command on the socket. A master listens before this returns."""
        program = self.start(command, *words, "-S", self.socket, "--role", role)
        if role == "master":
            wait_until_listening(self.socket)
        return program


@pytest.fixture
def shell(tmp_path) -> Iterator[Shell]:
    with contextlib.ExitStack() as stack:
        yield Shell(tmp_path, stack)


def interrupt(program: Program) -> tuple[str, str]:
    """End it by Ctrl+C; its output and what it said."""
    program.send_signal(signal.SIGINT)
    assert program.wait() == 130
    assert "Traceback" not in program.errors
    return program.rest(), program.errors


def packets(count: int, most: int = 3000, seed: int = 1) -> list[bytes]:
    dice = random.Random(seed)  # noqa: S311
    return [dice.randbytes(dice.randint(1, most)) for _ in range(count)]


def write_capture(path: Path, frames: list[bytes]) -> Path:
    with path.open("wb") as file:
        kind = pcapng.PcapWriter if path.suffix == ".pcap" else pcapng.PcapngWriter
        writer = kind(file)
        for number, frame in enumerate(frames):
            writer.write(frame, number)
    return path


def capture(path: Path) -> list[bytes]:
    """As scapy reads it."""
    reader = PcapReader if path.suffix == ".pcap" else PcapNgReader
    with reader(str(path)) as records:
        return [bytes(record) for record in records]


def icmpecho(shell: Shell) -> Testpmd:
    vdev = memif_vdev("server", shell.socket)
    return Testpmd(shell.folder, [vdev], ["--forward-mode=icmpecho", "--no-flush-rx"])


def ping_testpmd(shell: Shell, testpmd: Testpmd) -> str:
    """Five pings. DPDK must not forward when its peer leaves: it unmaps the rings regardless."""
    testpmd.command("start")
    ping = shell.side("ping", ADDRESS, "-i", 0.2)
    while "icmp_seq=5" not in ping.line():
        pass
    testpmd.command("stop")
    output, _ = interrupt(ping)
    while testpmd.link_is_up():
        pass
    return output


# ---- ping and respond ----


@roles
@pytest.mark.parametrize("protocol", ["256", "512"])
def test_respond_answers_ping(shell, role, protocol):
    responder = shell.side("respond", ADDRESS, "--protocol", protocol, role=OTHER[role])
    options = ["-c", 5, "-i", 0, "-s", 1472, "--json", "-S", shell.socket, "--role", role]
    ping = shell.start("ping", ADDRESS, *options)  # as master it may be done before it is found
    assert ping.wait() == 0
    result = json.loads(ping.rest())
    wanted = {"transmitted": 5, "received": 5, "duplicates": 0, "wrong": 0, "loss_percent": 0.0}
    assert result.items() >= wanted.items()
    assert result["rtt_min_ms"] <= result["rtt_avg_ms"] <= result["rtt_max_ms"]
    counts, _ = interrupt(responder)
    assert counts == "6 received, 6 answered, 0 dropped\n"


def test_ping_prints_what_ping_prints(shell):
    shell.side("respond", ADDRESS, role="master")
    lines = shell.run("ping", ADDRESS, "-S", shell.socket, "-c", 2, "-i", 0).stdout.splitlines()
    assert lines[0] == "PING 10.0.0.2 from 10.0.0.1: 56 data bytes"
    assert lines[1].startswith("64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=")
    assert lines[-2].startswith("2 packets transmitted, 2 received, 0% packet loss, time ")
    assert lines[-1].startswith("rtt min/avg/max/mdev = ")


def test_ping_of_an_address_that_nobody_has_ends_with_1(shell):
    shell.side("respond", ADDRESS, role="master")
    words = ["ping", "10.0.0.3", "-S", shell.socket, "-W", 0.2, "--timeout", 0.2]
    result = shell.run(*words, status=1)
    assert "10.0.0.3 does not answer ARP" in result.stderr


def test_ping_counts_what_is_not_answered(shell):
    """The other end knows ARP only."""
    host = Host(b"\x02\0\0\0\0\x09", IPv4Address(ADDRESS))
    with Interface(shell.socket, role="master") as ours:
        ping = shell.side("ping", ADDRESS, "-c", 2, "-i", 0.01, "-W", 0.1)
        while not is_arp(frame := ours.recv(TIMEOUT)):
            pass
        ours.send(answer(frame, host))
        assert ping.wait() == 1
    assert "2 packets transmitted, 0 received, 100% packet loss" in ping.rest()


@roles
def test_ping_speaks_ip_without_ethernet(shell, role):
    responder = shell.side("respond", ADDRESS, "--mode", "ip", role=OTHER[role])
    options = ["-c", 3, "-i", 0, "-s", 3000, "--mode", "ip", "--json", "-S", shell.socket]
    ping = shell.start("ping", ADDRESS, *options, "--role", role)
    assert ping.wait() == 0
    assert json.loads(ping.rest())["received"] == 3
    assert interrupt(responder)[0] == "3 received, 3 answered, 0 dropped\n"


def test_ping_in_mode_ip_answers_pings_too(shell):
    ours = IPv4Address("10.0.0.1")
    with Interface(shell.socket, role="master", mode="ip") as other:
        ping = shell.side("ping", ADDRESS, "-c", 1, "-W", TIMEOUT, "--mode", "ip")
        request = other.recv(TIMEOUT)
        other.send(ip_echo_request(IPv4Address(ADDRESS), ours, 9, 1, b"are you there"))
        reply = read_ip_echo_reply(other.recv(TIMEOUT), IPv4Address(ADDRESS))
        assert (reply.source, reply.payload) == (ours, b"are you there")
        other.send(answer_ip(request, IPv4Address(ADDRESS)))
        assert ping.wait() == 0


class LateHost:
    """Answers ARP when the test wants it to, and pings at once."""

    def __init__(self, interface: Interface, mac: bytes = b"\x02\0\0\0\0\x09"):
        self.interface = interface
        self.host = Host(mac, IPv4Address(ADDRESS))

    def next(self) -> bytes:
        return self.interface.recv(TIMEOUT)

    def answer(self, frame: bytes) -> None:
        reply = answer(frame, self.host)
        assert reply is not None
        self.interface.send(reply, TIMEOUT)


def test_ping_ends_by_count_and_patience_when_nobody_answers_arp(shell):
    """Not by --timeout, which would be an hour here."""
    with Interface(shell.socket, role="master"):
        words = ("-c", 3, "-i", 0.05, "-W", 0.1, "--timeout", 3600)
        result = shell.run("ping", ADDRESS, "-S", shell.socket, *words, status=1)
    assert "3 packets transmitted, 0 received, 100% packet loss" in result.stdout
    assert f"{ADDRESS} does not answer ARP" in result.stderr


def test_requests_wait_for_arp_no_longer_than_their_patience(shell):
    with Interface(shell.socket, role="master") as ours:
        host = LateHost(ours)
        ping = shell.side("ping", ADDRESS, "-c", 2, "-i", 0.01, "-W", TIMEOUT)
        asked = [host.next() for _ in range(3)]  # for each request, and again after a second
        assert all(is_arp(frame) for frame in asked)
        host.answer(asked[0])
        for _ in range(2):
            host.answer(host.next())
        assert ping.wait() == 0
    assert "2 packets transmitted, 2 received" in ping.rest()


def test_what_arp_answers_too_late_for_is_not_sent(shell):
    with Interface(shell.socket, role="master") as ours:
        host = LateHost(ours)
        ping = shell.side("ping", ADDRESS, "-i", 0.5, "-W", 0.2)
        host.next()
        second = host.next()
        host.answer(second)
        request = host.next()
        while is_arp(request):
            request = host.next()
        sequence = int.from_bytes(request[40:42], "big")
        assert sequence > 1
        host.answer(request)
        assert ping.line().startswith("PING")
        assert f"icmp_seq={sequence} " in ping.line()
        interrupt(ping)


def test_ping_gives_up_when_arp_is_never_answered_and_there_is_no_count(shell):
    with Interface(shell.socket, role="master"):
        words = ("-i", 3600, "-W", 0.1, "--timeout", 1)
        result = shell.run("ping", ADDRESS, "-S", shell.socket, *words, status=1)
    assert f"{ADDRESS} does not answer ARP" in result.stderr


def test_ping_finds_a_host_again_that_comes_back_with_another_mac(shell):
    with Interface(shell.socket, role="master") as ours:
        ping = shell.side("ping", ADDRESS, "-i", 0.05, "-W", 0.2)
        for mac in (b"\x02\0\0\0\0\x09", b"\x02\0\0\0\0\x0a"):
            host = LateHost(ours, mac)
            while not is_arp(frame := host.next()):
                pass
            host.answer(frame)
            while host.next()[:6] != mac:  # never answered, so it asks again
                pass
        interrupt(ping)


def wait_for_words(program: Program, text: str, times: int = 1) -> None:
    """There is no event to wait for."""
    end = time.monotonic() + TIMEOUT
    while program.errors.count(text) < times:
        assert time.monotonic() < end, program.errors
        time.sleep(0.01)


@pytest.mark.parametrize("mode", ["ethernet", "ip"])
def test_ping_survives_a_restart_of_its_peer_and_says_so(shell, mode):
    words = ("--mode", mode, "-S", shell.socket)
    first = shell.start("respond", ADDRESS, *words)
    wait_until_listening(shell.socket)
    ping = shell.start("ping", ADDRESS, "-i", 0.05, "-W", TIMEOUT, *words)
    assert ping.line().startswith("PING")
    assert " time=" in ping.line()
    interrupt(first)
    wait_for_words(ping, "disconnected by the peer")
    shell.start("respond", ADDRESS, *words)
    while ping.errors.count("connected to libmemif_py") < 2:
        assert " time=" in ping.line()
    for _ in range(3):
        assert " time=" in ping.line()
    output, errors = interrupt(ping)
    assert errors.index("disconnected") < errors.rindex("connected to libmemif_py")
    sent, received = map(int, re.findall(r"(\d+) packets transmitted, (\d+) received", output)[0])
    assert sent > received > 3


def test_the_status_of_ping_says_whether_answers_came_also_when_the_peer_left(shell):
    first = shell.side("respond", ADDRESS, role="master")
    ping = shell.side("ping", ADDRESS, "-c", 8, "-i", 0.2, "-W", 1)
    assert ping.line().startswith("PING")
    assert " time=" in ping.line()
    interrupt(first)
    assert ping.wait() == 0
    assert "8 packets transmitted" in ping.rest()


def test_ping_shows_its_statistics_when_it_is_interrupted(shell):
    shell.side("respond", ADDRESS, role="master")
    ping = shell.side("ping", ADDRESS)
    assert ping.line().startswith("PING")
    assert "icmp_seq=1" in ping.line()
    output, _ = interrupt(ping)
    assert "1 received, 0% packet loss" in output


def test_testpmd_answers_ping(shell):
    with icmpecho(shell) as testpmd:
        output = ping_testpmd(shell, testpmd)
    sent, received = map(int, re.findall(r"(\d+) packets transmitted, (\d+) received", output)[0])
    assert sent >= received >= 5


def test_secrets_must_match_and_are_not_shown(shell):
    (shell.folder / "secret").write_text("right\n")
    with Interface(shell.socket, role="master", secret="right") as ours:  # noqa: S106
        dump = shell.side("dump", "-c", 1, "--secret-file", shell.folder / "secret")
        ours.send(bytes(60), TIMEOUT)
        assert dump.wait() == 0
        words = ["ping", ADDRESS, "-S", shell.socket, "--timeout", 1]
        environment = {**os.environ, "MEMIF_SECRET": "wrong"}
        result = shell.run(*words, status=1, env=environment)
    assert "secret" in result.stderr
    assert "wrong" not in result.stderr
    too_long = {**os.environ, "MEMIF_SECRET": "long" * 10}
    result = shell.run(*words, status=2, env=too_long)
    assert "MEMIF_SECRET holds 40 bytes, expected at most 24" in result.stderr
    assert "longlong" not in result.stderr


# ---- info ----


def test_info_says_who_listens(shell):
    with Interface(shell.socket, role="master", s2m_rings=3, m2s_rings=2):
        found = json.loads(shell.run("info", shell.socket, "--json").stdout)
        text = shell.run("info", shell.socket).stdout
    assert found.pop("program")
    assert found["pid"] == os.getpid()
    assert (found["min_version"], found["max_version"]) == (256, 512)
    assert found["uid"] == os.geteuid()
    assert f"process   {os.getpid()} " in text
    assert "protocol  256 (1.0) to 512 (2.0)" in text


def test_info_of_testpmd(shell):
    with icmpecho(shell) as testpmd:
        found = json.loads(shell.run("info", shell.socket, "--json").stdout)
        assert found["pid"] == testpmd.pid
        assert found["name"].startswith("DPDK")
        assert (found["min_version"], found["max_version"]) == (512, 512)
        # It was looked at only: it goes on.
        ping_testpmd(shell, testpmd)


def test_info_shows_no_control_characters_of_a_peer(shell):
    import socket

    from libmemif_py.control import wire

    hello = wire.Hello(b"\x1b[2Jevil\n", 512, 512, 255, 0, 0, 14)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(shell.socket)
        listening.listen()
        info = shell.start("info", shell.socket)
        peer, _ = listening.accept()
        with peer:
            peer.send(wire.encode(hello, 512))
            assert info.wait() == 0
    assert "name      \\x1b[2Jevil\\x0a\n" in info.rest()


@pytest.mark.parametrize("said", [b"", b"x", bytes(128), b"\1" + bytes(127), b"\xff" * 200])
def test_info_of_what_is_no_master_ends_with_1(shell, said):
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(shell.socket)
        listening.listen()
        info = shell.start("info", shell.socket)
        peer, _ = listening.accept()
        with peer:
            if said:
                peer.send(said)
        assert info.wait() == 1
    assert info.errors.startswith(f"memif: {shell.socket}: ")
    assert info.errors.count("\n") == 1


# ---- captures ----


@pytest.mark.parametrize("suffix", ["pcap", "pcapng"])
@roles
def test_what_is_played_is_dumped_byte_for_byte(shell, suffix, role):
    frames = packets(1000, most=9000)
    source = write_capture(shell.folder / f"source.{suffix}", frames)
    target = shell.folder / f"target.{suffix}"
    first = ("dump", "-w", target, "-c", 2 * len(frames))
    second = ("play", source, "--loop", 2, "--json")
    if role == "slave":
        dump = shell.side(*first, role="master")
        play = shell.side(*second, role="slave")
    else:
        dump = shell.side(*first, role="slave")
        play = shell.side(*second, role="master")
    assert (play.wait(), dump.wait()) == (0, 0)
    assert json.loads(play.rest())["packets"] == 2 * len(frames)
    assert capture(target) == frames * 2


def test_dump_writes_to_stdout_and_keeps_what_snaplen_says(shell):
    frames = packets(50, most=1500)
    source = write_capture(shell.folder / "source.pcap", frames)
    dump = shell.side("dump", "-w", "-", "-s", 100, "-c", len(frames), role="master")
    shell.run("play", source, "-S", shell.socket)
    assert dump.wait() == 0
    output = dump._process.stdout.read()
    records = list(pcapng.read(io.BytesIO(output)))
    assert [record.data for record in records] == [frame[:100] for frame in frames]
    assert [record.length for record in records] == [len(frame) for frame in frames]
    # The line that says that the peer left may come before or after it.
    assert "50 packets captured" in dump.errors.splitlines()


def test_dump_shows_a_line_for_each_packet(shell):
    arp = bytes.fromhex(
        "ffffffffffff02fe0a000001080600010800060400 01 02fe0a000001 0a000001 000000000000 0a000002"
    )
    with Interface(shell.socket, role="master") as ours:
        dump = shell.side("dump", "-x", "-c", 1)
        ours.send(arp, TIMEOUT)
        assert dump.wait() == 0
    lines = dump.rest().splitlines()
    assert lines[0].endswith(" ARP, Request who-has 10.0.0.2 tell 10.0.0.1, length 28")
    assert lines[1] == "\t0x0000:  ffff ffff ffff 02fe 0a00 0001 0806 0001  ................"


def test_dump_takes_all_queues(shell):
    with Interface(shell.socket, role="master", s2m_rings=3, m2s_rings=3) as ours:
        dump = shell.side("dump", "-c", 3, "--queues", 3)
        for queue in range(3):
            ours.send(bytes(60), TIMEOUT, queue=queue)
        assert dump.wait() == 0
    assert dump.rest().count("\n") == 3


def test_play_keeps_to_a_rate_and_says_when_nobody_receives(shell):
    source = write_capture(shell.folder / "source.pcapng", packets(40, most=60))
    with Interface(shell.socket, role="master"):
        words = ("play", source, "-S", shell.socket, "--timeout", 1)
        result = shell.run(*words, "--ring-size", 16, status=1)
        assert "the ring stays full for 1 s" in result.stderr
        assert result.stdout.startswith("16 packets sent")
    dump = shell.side("dump", "-c", 40, role="master")
    result = json.loads(
        shell.run("play", source, "-S", shell.socket, "--rate", 200, "--json").stdout
    )
    assert result["packets_per_second"] < 220
    assert dump.wait() == 0


def test_play_counts_what_is_left_in_packets(shell):
    source = write_capture(shell.folder / "source.pcapng", [bytes(9000)] * 3)
    with Interface(shell.socket, role="master"):
        result = shell.run("play", source, "-S", shell.socket, status=1)
    assert "3 packets were left in the ring by the other end" in result.stderr


BAD_CAPTURES = {
    b"": "begins with nothing",
    b"GIF89a": "begins with 47 49 46 38",
    struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1): "no packets",
    struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 105): "no packets",
    struct.pack(
        "<IHHiIIIIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1, 0, 0, 9, 9
    ): "ends within packet 1",
    struct.pack("<IHHiIIIIIIIB", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 9, 0, 0, 1, 1, 1): "link type 9",
    struct.pack("<IIIHHq", 0x0A0D0D0A, 28, 7, 1, 0, -1): "byte order 07 00 00 00",
    struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 27): "28 before and 27 behind",
}


@pytest.mark.parametrize(("content", "said"), BAD_CAPTURES.items())
def test_play_says_what_is_wrong_with_a_file(shell, content, said):
    (shell.folder / "bad").write_bytes(content)
    with Interface(shell.socket, role="master"):
        result = shell.run("play", "bad", "-S", shell.socket, status=2)
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_broken_captures_never_surprise_the_reader():
    dice = random.Random(7)  # noqa: S311
    for kind in (pcapng.PcapWriter, pcapng.PcapngWriter):
        file = io.BytesIO()
        writer = kind(file)
        for frame in packets(5, most=100):
            writer.write(frame, 10**18)
        whole = file.getvalue()
        for _ in range(3000):
            broken = bytearray(whole[: dice.randint(0, len(whole))])
            for _ in range(dice.randint(0, 4) if broken else 0):
                broken[dice.randrange(len(broken))] = dice.randrange(256)
            with contextlib.suppress(pcapng.CaptureError):
                list(pcapng.read(io.BytesIO(bytes(broken))))


def test_both_byte_orders_and_all_packet_blocks_are_read():
    def block(kind: int, body: bytes) -> bytes:
        length = struct.pack(">I", len(body) + 12)
        return struct.pack(">I", kind) + length + body + length

    section = block(0x0A0D0D0A, struct.pack(">IHHq", 0x1A2B3C4D, 1, 0, -1))
    interface = block(1, struct.pack(">HHI", 1, 0, 0) + struct.pack(">HHBxxx", 9, 1, 3))
    enhanced = block(6, struct.pack(">IIIII", 0, 0, 1500, 3, 9) + b"abc\0")
    simple = block(3, struct.pack(">I", 3) + b"def\0")
    old = block(2, struct.pack(">HHIIII", 0, 0, 0, 2500, 3, 3) + b"ghi\0")
    unknown = block(0xBAD, b"skip")
    file = io.BytesIO(section + interface + unknown + enhanced + simple + old)
    records = [(record.data, record.time_ns, record.length) for record in pcapng.read(file)]
    assert records == [(b"abc", 1_500_000_000, 9), (b"def", 0, 3), (b"ghi", 2_500_000_000, 3)]


def test_no_packet_is_too_broken_for_a_line():
    from scapy.layers.inet import ICMP, IP, TCP, UDP
    from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
    from scapy.layers.l2 import ARP, Dot1Q, Ether

    ends = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
    ip, ip6 = IP(src="1.1.1.1", dst="2.2.2.2"), IPv6(src="::1", dst="::2")
    lines = {
        "IP 1.1.1.1.20 > 2.2.2.2.80: Flags [S], seq 0, win 8192, length 0": ip / TCP(),
        "IP 1.1.1.1.53 > 2.2.2.2.53: UDP, length 2": ip / UDP() / b"ab",
        "IP 1.1.1.1 > 2.2.2.2: ICMP echo request, id 1, seq 2, length 8": ip / ICMP(id=1, seq=2),
        "IP6 ::1 > ::2: ICMP6, echo request, id 3, seq 4, length 8": ip6
        / ICMPv6EchoRequest(id=3, seq=4),
        "ARP, Reply 1.1.1.1 is-at 02:00:00:00:00:01, length 28": ARP(
            op=2, psrc="1.1.1.1", hwsrc=ends["src"], hwdst=ends["dst"], pdst="2.2.2.2"
        ),
    }
    dice = random.Random(3)  # noqa: S311
    for expected, layer in lines.items():
        frame = bytes(Ether(**ends) / layer)
        assert decode.line(frame) == expected
        tagged = decode.line(bytes(Ether(**ends) / Dot1Q(vlan=7) / layer), link_level=True)
        assert ", vlan 7, " in tagged
        assert tagged.endswith(expected)
        for end in range(len(frame)):
            assert decode.line(frame[:end])
            decode.ip_line(frame[14:end])
        for _ in range(2000):
            broken = bytearray(frame)
            broken[dice.randrange(12, len(broken))] = dice.randrange(256)
            assert "\n" not in decode.line(bytes(broken), link_level=True)


# ---- bridge ----


def test_a_bridge_joins_two_slaves_and_records(shell):
    record = shell.folder / "record.pcapng"
    sockets = [str(shell.folder / name) for name in ("a.sock", "b.sock")]
    bridge = shell.start("bridge", *sockets, "-w", record)
    for path in sockets:
        wait_until_listening(path)
    responder = shell.start("respond", ADDRESS, "-S", sockets[0], "--role", "slave")
    words = ("-c", 20, "-i", 0, "-s", 3000, "--json")
    ping = json.loads(shell.run("ping", ADDRESS, "-S", sockets[1], *words).stdout)
    assert ping["received"] == 20
    interrupt(responder)
    output, _ = interrupt(bridge)
    assert "Traceback" not in output
    # ARP may have been asked more than once while the responder came.
    assert [len(frame) for frame in capture(record)][-40:] == [3042] * 40


def test_a_bridge_passes_every_byte_on_queues_of_their_own(shell):
    frames = packets(2000, most=4000)
    paths = [str(shell.folder / name) for name in ("a.sock", "b.sock")]
    bridge = shell.start("bridge", f"{paths[0]},queues=2", f"{paths[1]},queues=2")
    for path in paths:
        wait_until_listening(path)
    with (
        Interface(paths[0], s2m_rings=2, m2s_rings=2) as left,
        Interface(paths[1], s2m_rings=2, m2s_rings=2) as right,
    ):
        wait_for_words(bridge, "connected to", times=2)  # our ends are, before those of the bridge
        for number, frame in enumerate(frames):
            left.send(frame, TIMEOUT, queue=number % 2)
            assert right.recv(TIMEOUT, queue=number % 2) == frame
            right.send(frame, TIMEOUT, queue=number % 2)
            assert left.recv(TIMEOUT, queue=number % 2) == frame
    output, _ = interrupt(bridge)
    assert output.count("2000 received, 2000 sent, 0 dropped") == 2


@contextlib.contextmanager
def namespace() -> Iterator[list[str]]:
    """A network namespace; what runs a command in it."""
    name = f"memif-{uuid.uuid4().hex[:8]}"
    run(["ip", "netns", "add", name])
    try:
        inside = ["ip", "netns", "exec", name]
        run([*inside, "ip", "link", "set", "lo", "up"])
        yield inside
    finally:
        run(["ip", "netns", "delete", name])


KERNEL_PING = """
import socket, struct, sys
from libmemif_py.tools.formats.icmp import checksum
sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
sock.settimeout(1)
request = struct.pack("!BBHHH", 8, 0, 0, 77, 1) + b"kernel"
request = request[:2] + checksum(request).to_bytes(2, "big") + request[4:]
for _ in range(60):
    try:
        sock.sendto(request, (sys.argv[1], 0))
        reply = sock.recv(2048)[20:]
        if reply[:1] == b"\\0" and reply[4:] == request[4:]:
            sys.exit(0)
    except OSError:
        pass
sys.exit(1)
"""


def ask_from_the_kernel(inside: list[str], address: str) -> None:
    run([*inside, sys.executable, "-P", "-c", KERNEL_PING, address], timeout=120)


def test_the_kernel_pings_through_a_tap(shell):
    with namespace() as inside:
        words = [*MEMIF, "bridge", shell.socket, "tap:mt0"]
        with Program([*inside, *words], shell.folder / "errors") as bridge:
            wait_until_listening(shell.socket)
            run([*inside, "ip", "addr", "add", "10.0.0.1/24", "dev", "mt0"])
            responder = shell.side("respond", ADDRESS)
            ask_from_the_kernel(inside, ADDRESS)
            interrupt(responder)
            interrupt(bridge)
        assert run([*inside, "ip", "link", "show", "mt0"], status=None).returncode == 1


def test_the_kernel_pings_through_a_network_interface(shell):
    with namespace() as inside:
        pair = ["ip", "link", "add", "ve0", "type", "veth", "peer", "name", "ve1"]
        run([*inside, *pair])
        for name in ("ve0", "ve1"):
            run([*inside, "ip", "link", "set", name, "up"])
        run([*inside, "ip", "addr", "add", "10.0.0.1/24", "dev", "ve0"])
        words = [*MEMIF, "bridge", shell.socket, "if:ve1", "--json"]
        with Program([*inside, *words], shell.folder / "errors") as bridge:
            wait_until_listening(shell.socket)
            responder = shell.side("respond", ADDRESS)
            ask_from_the_kernel(inside, ADDRESS)
            interrupt(responder)
            output, _ = interrupt(bridge)
    ports = json.loads(output)
    assert ports[1]["sent"] >= 2


# ---- bench and top ----


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


def test_top_counts_and_shows_what_lies_in_the_rings(shell):
    with Interface(shell.socket, role="master") as ours:
        top = shell.start("top", shell.socket, "--packets", "keep", "--json", "-d", 0.1)
        ours.send_burst([bytes(60)] * 2 + [bytes(9000)], TIMEOUT)
        rx, tx = json.loads(top.line())
        while rx["ring_fill"] != 7:
            rx, tx = json.loads(top.line())
        assert rx["ring_packets"] == 3
        assert (rx["direction"], rx["ring_size"], rx["connected"]) == ("rx", 1024, True)
        assert (tx["direction"], tx["ring_fill"]) == ("tx", 0)
        interrupt(top)


def test_top_shows_a_table(shell):
    with Interface(shell.socket, role="master"):
        output = shell.run("top", shell.socket, "-n", 1, "--timeout", TIMEOUT).stdout
    assert "connected to libmemif_py" in output
    assert "rx 0" in output


# ---- a peer that goes and comes back ----


@pytest.mark.parametrize("command", ["respond", "dump", "bridge", "play", "top"])
def test_a_command_goes_on_when_its_peer_comes_back_and_says_so(shell, command):
    source = write_capture(shell.folder / "source.pcap", [bytes(60)])
    slave = ("-S", shell.socket, "--role", "slave")
    program = shell.start(
        *{
            "respond": ("respond", ADDRESS, *slave),
            "dump": ("dump", *slave),
            "bridge": ("bridge", f"{shell.socket},role=slave", shell.folder / "b.sock"),
            "play": ("play", source, "--loop", 0, "--rate", 100, "--timeout", TIMEOUT, *slave),
            "top": ("top", shell.socket, "--json", "-d", 0.05),
        }[command]
    )

    def top_shows(connected: bool) -> None:
        while command == "top" and json.loads(program.line())[0]["connected"] is not connected:
            pass

    for round_ in (1, 2):
        with Interface(shell.socket, role="master") as ours:
            ours.wait_connected(TIMEOUT)
            top_shows(True)
            if command == "play":
                assert ours.recv(TIMEOUT) == bytes(60)
            elif command == "dump":
                ours.send(bytes(60), TIMEOUT)
                assert program.line()
        top_shows(False)
        if command != "top":
            wait_for_words(program, "disconnected by the peer", times=round_)
    interrupt(program)


# ---- the end ----


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "words",
    [
        ("respond", ADDRESS), ("dump", "--role", "master"), ("bench", "rxonly", "--role", "master"),
        ("ping", ADDRESS, "--role", "master", "--timeout", 0), ("bridge",), ("top",),
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_every_command_ends_in_peace_while_it_waits(shell, words, number):
    if words[0] == "bridge":
        words = (*words, shell.socket, f"{shell.socket},id=1")
    elif words[0] == "top":
        words = (*words, f"{shell.socket},role=master")
    else:
        words = (*words, "-S", shell.socket)
    program = shell.start(*words)
    wait_until_listening(shell.socket)
    program.send_signal(number)
    assert program.wait() == 128 + number
    assert "Traceback" not in program.errors
    assert not Path(shell.socket).exists()


def test_play_ends_in_peace(shell):
    source = write_capture(shell.folder / "source.pcap", packets(10))
    dump = shell.side("dump", role="master")
    play = shell.side("play", source, "--loop", 0, "--rate", 100)
    assert dump.line()
    output, _ = interrupt(play)
    assert "packets sent" in output


def test_info_ends_in_peace(shell):
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(shell.socket)
        listening.listen()
        info = shell.start("info", shell.socket)
        peer, _ = listening.accept()
        with peer:
            interrupt(info)


def test_a_reader_that_leaves_ends_dump_quietly(shell):
    with Interface(shell.socket, role="master") as ours:
        dump = shell.side("dump")
        ours.send(bytes(60), TIMEOUT)
        dump.line()
        dump._process.stdout.close()
        with contextlib.suppress(OSError):
            while dump._process.poll() is None:
                ours.send(bytes(60), 0.1)
        assert dump.wait() == 1
    assert "Traceback" not in dump.errors


# ---- usage ----


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_by_examples(command):
    result = CliRunner().invoke(cli, [command, "--help"])
    assert result.exit_code == 0
    assert "Examples" in result.output
    assert f"memif {command} " in result.output


USAGE = {
    "nonsense": "unknown command 'nonsense', expected one of: bench, bridge",
    "ping": "Missing argument 'ADDR'",
    "ping 1.2.3": "'1.2.3', expected an IPv4 address such as 192.168.1.2",
    "ping 1.2.3.4 --ring-size 1000": "'1000', expected a power of two from 1 to 16384",
    "ping 1.2.3.4 --mac 01:00:00:00:00:00": "'01:00:00:00:00:00', expected a MAC address",
    "ping 1.2.3.4 --queues 257": "257 is not in the range 1<=x<=256",
    "ping 1.2.3.4 --secret-file /nonexistent": "expected a file that can be read",
    "ping 1.2.3.4 --mode ip --mac 02:00:00:00:00:01": "--mac: packets have no MAC addresses",
    "dump --format pcap": "--format pcap is for a file: name one with -w",
    "dump -w /nonexistent/file": "expected a file that can be written",
    "play /nonexistent": "does not exist",
    "bridge a": "Missing argument 'B'",
    "bridge a a": "both sides are 'a', expected two",
    "bridge a tap:": "'tap:', expected tap:NAME with a name of 1 to 15 bytes",
    "bridge a,id=x b": "'a,id=x', id: 'x' is not a valid integer",
    "bridge a,color=red b": "'a,color=red' has 'color', expected one of: role, id",
    "bench txonly --burst 0": "'0', expected numbers from 1 to 4096",
    "bench txonly --size 10": "'10', expected numbers from 24 to 65535",
    f"info {'x' * 5000}": "has 5000 bytes, expected 1 to 4095",
    f"dump -S {'x' * 5000}": "has 5000 bytes, expected 1 to 4095",
}


@pytest.mark.parametrize(("line", "said"), USAGE.items())
def test_wrong_usage_gets_the_value_and_what_was_expected(line, said):
    result = CliRunner().invoke(cli, line.split())
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_what_is_not_there_ends_with_1(shell):
    result = shell.run("info", "nothing", status=1)
    assert result.stderr == (
        "memif: nothing: there is no such socket: start the master first, or correct the path\n"
    )
    result = shell.run("dump", "-S", "nothing", "--timeout", 0.1, status=1)
    assert "no link on nothing (id 0, slave) within 0.1 s" in result.stderr
    result = shell.run("dump", "-S", "no/folder", "--role", "master", status=1)
    assert result.stderr.startswith("memif: no/folder: no folder 'no', make it first")


def test_a_capture_is_not_written_to_a_terminal(shell):
    terminal, program_side = pty.openpty()
    try:
        command = [*MEMIF, "dump", "-S", shell.socket, "-w", "-"]
        result = subprocess.run(
            command, stdout=program_side, stderr=subprocess.PIPE, timeout=60, check=False
        )
    finally:
        os.close(program_side)
        os.close(terminal)
    assert result.returncode == 2
    assert b"terminal" in result.stderr


def test_version_says_what_is_spoken(shell):
    output = shell.run("--version").stdout
    assert output.startswith("libmemif-py ")
    assert "1.0 (libmemif.so.0), 4.0 (libmemif4/libmemif.so)" in output
    assert "256 (1.0), 512 (2.0)" in output
