# SPDX-License-Identifier: Apache-2.0
"""`memif ping` asks, waits, counts, and says what it found."""

import json
import os
import re
from ipaddress import IPv4Address

import pytest
from support.memif_command import (
    ADDRESS,
    OTHER,
    icmpecho,
    interrupt,
    ping_testpmd,
    roles,
    wait_for_words,
)
from support.programs import TIMEOUT, wait_until_listening

from libmemif_py import Interface
from libmemif_py.tools.formats.icmp import Host, answer, is_arp


def test_ping_prints_what_ping_prints(shell):
    shell.side("respond", ADDRESS, role="master")
    lines = shell.run("ping", ADDRESS, "-S", shell.socket, "-c", 2, "-i", 0).stdout.splitlines()
    assert lines[0] == "PING 10.0.0.2 from 10.0.0.1: 56 data bytes"
    assert lines[1].startswith("64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=")
    assert lines[-2].startswith("2 packets transmitted, 2 received, 0% packet loss, time ")
    assert lines[-1].startswith("rtt min/avg/max/mdev = ")


def test_ping_of_an_address_that_nobody_has_ends_with_1(shell):
    shell.side("respond", ADDRESS, role="master")
    words = ["ping", "10.0.0.3", "-S", shell.socket, "-W", 0.2, "--wait", 0.2]
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
    """Not by --wait, which would be an hour here."""
    with Interface(shell.socket, role="master"):
        words = ("-c", 3, "-i", 0.05, "-W", 0.1, "--wait", 3600)
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
        interrupt(ping, 0)


def test_ping_gives_up_when_arp_is_never_answered_and_there_is_no_count(shell):
    with Interface(shell.socket, role="master"):
        words = ("-i", 3600, "-W", 0.1, "--wait", 1)
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
        interrupt(ping, 1)


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
    output, errors = interrupt(ping, 0)
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
    output, _ = interrupt(ping, 0)
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
        words = ["ping", ADDRESS, "-S", shell.socket, "--wait", 1]
        environment = {**os.environ, "MEMIF_SECRET": "wrong"}
        result = shell.run(*words, status=1, env=environment)
    assert "secret" in result.stderr
    assert "wrong" not in result.stderr
    too_long = {**os.environ, "MEMIF_SECRET": "long" * 10}
    result = shell.run(*words, status=2, env=too_long)
    assert "MEMIF_SECRET holds 40 bytes, expected at most 24" in result.stderr
    assert "longlong" not in result.stderr


def test_arp_is_asked_once_a_second_and_once_for_each_request(shell):
    """Both are due at the same time when requests are a second apart."""
    with Interface(shell.socket, role="master") as ours:
        shell.run("ping", ADDRESS, "-S", shell.socket, "-c", 3, "-i", 1, "-W", 0.5, status=1)
        assert len(ours.recv_burst(100, TIMEOUT)) == 3
