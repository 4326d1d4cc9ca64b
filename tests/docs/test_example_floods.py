# SPDX-License-Identifier: Apache-2.0
"""The example programs under a flood, and the packets that their short way must not get wrong."""

import contextlib
import time
from collections.abc import Iterator

import pytest
from support.bridges import wait_until_bridged
from support.c_collector import build_directories
from support.packets import (
    TIMEOUT,
    US,
    Host,
    PacketError,
    checksum,
    echo_request,
    ping_all_sizes,
    pinger,
    read_echo_reply,
    responder_ip,
)
from support.programs import OTHER_ROLE, Launcher

from libmemif_py import Interface

# icmp_responder3 polls its first queue, so that only its second one is woken.
QUEUES = {"icmp_responder": 0, "icmp_responder2": 0, "icmp_responder3": 1, "icmp_responder4": 0}
WINDOW = 100
RESPONDER = Host(bytes.fromhex("02fe00000000"), responder_ip())
IP, ICMP, PAYLOAD = 14, 34, 42

roles = pytest.mark.parametrize("role", OTHER_ROLE)
programs = pytest.mark.parametrize("name", QUEUES)
versions = pytest.mark.parametrize("version", [256, 512])


@pytest.fixture
def launcher(tmp_path, pytestconfig) -> Launcher:
    return Launcher(tmp_path, build_directories(pytestconfig)[0].path)


@contextlib.contextmanager
def asker_of(launcher: Launcher, name: str, role: str, version: int) -> Iterator[Interface]:
    """An interface of ours that is connected to a responder."""
    rings = QUEUES[name] + 1
    settings = {"role": OTHER_ROLE[role], "s2m_rings": rings, "m2s_rings": rings}
    start = launcher.responder_v4 if name == "icmp_responder4" else launcher.responder
    arguments = (role,) if name == "icmp_responder4" else (name, role)
    with contextlib.ExitStack() as stack:
        if role == "master":
            stack.enter_context(start(*arguments))
        interface = Interface(launcher.socket, version=version, **settings)
        stack.enter_context(interface)
        if role == "slave":
            stack.enter_context(start(*arguments))
        interface.wait_connected(TIMEOUT)
        yield interface


def flood_until_some_are_not_signalled(
    sender: Interface, receiver: Interface, packet: bytes, queue: int = 0
) -> None:
    """Send packets one by one until one was sent without a signal. All of them arrive."""
    end = time.monotonic() + TIMEOUT
    sent = received = 0
    while True:
        sender.send(packet, TIMEOUT, queue=queue)
        sent += 1
        # A responder drops answers for which there is no room, so few are under way.
        if sent - received == WINDOW:
            received += len(receiver.recv_burst(timeout=TIMEOUT, queue=queue))
        if sent % WINDOW == 0 and sender.counters().tx[queue].interrupts < sent:
            break
        assert time.monotonic() < end, f"{sent} packets, each with a signal"
    while received < sent:
        received += len(receiver.recv_burst(timeout=TIMEOUT, queue=queue))
    assert received == sent


@programs
@roles
@versions
def test_a_busy_peer_need_not_signal_every_packet(launcher, name, role, version):
    queue = QUEUES[name]
    with asker_of(launcher, name, role, version) as interface:
        request = echo_request(US, RESPONDER, 7, 1, b"payload")
        flood_until_some_are_not_signalled(interface, interface, request, queue)
        # Each of these finds it asleep again, or about to be.
        asker = pinger(interface, queue=queue)
        for sequence in range(100):
            asker.ping(sequence, 64)


@versions
def test_a_busy_peer_of_a_bridge_need_not_signal_every_packet(launcher, version):
    a, b = launcher.sides
    with (
        Interface(a, role="master") as one,
        Interface(b, role="master", id=1) as other,
        launcher.bridge((a, "slave"), (b, "slave"), version=version) as bridge,
    ):
        wait_until_bridged(bridge, 1)
        for sender, receiver in ((one, other), (other, one)):
            flood_until_some_are_not_signalled(sender, receiver, b"packet")
        for sender, receiver in ((one, other), (other, one)) * 50:
            sender.send(b"packet", TIMEOUT)
            assert receiver.recv(TIMEOUT) == b"packet"


@programs
@roles
@versions
def test_long_pings_between_short_ones_are_all_answered(launcher, name, role, version):
    queue = QUEUES[name]
    payloads = [bytes([i]) * size for i, size in enumerate((1, 9000, 9000, 1, 1, 2500, 40, 0))]
    requests = [echo_request(US, RESPONDER, 7, i, p) for i, p in enumerate(payloads)]
    with asker_of(launcher, name, role, version) as interface:
        for _ in range(100):
            interface.send_burst(requests, TIMEOUT, queue=queue)
            answers = [interface.recv(TIMEOUT, queue=queue) for _ in requests]
            replies = [read_echo_reply(answer, US) for answer in answers]
            assert [reply.payload for reply in replies] == payloads
        ping_all_sizes(pinger(interface, queue=queue))


@programs
@roles
@versions
def test_a_wrong_checksum_of_a_message_stays_wrong(launcher, name, role, version):
    good = echo_request(US, RESPONDER, 7, 1, b"payload")
    bad = good[:-1] + b"?"
    with asker_of(launcher, name, role, version) as interface:
        interface.send_burst([bad, good], TIMEOUT, queue=QUEUES[name])
        answers = [interface.recv(TIMEOUT, queue=QUEUES[name]) for _ in range(2)]
    with pytest.raises(PacketError, match="wrong ICMP checksum"):
        read_echo_reply(answers[0], US)
    assert read_echo_reply(answers[1], US).payload == b"payload"


@pytest.mark.parametrize("words", [1, 10])
@programs
@roles
@versions
def test_ip_options_are_not_repeated(launcher, name, role, version, words):
    plain = echo_request(US, RESPONDER, 7, 1, b"payload")
    header = bytearray(plain[IP:ICMP] + bytes(4 * words))  # options of which each is the end
    header[0] += words
    header[2:4] = (len(header) + len(plain) - ICMP).to_bytes(2, "big")
    header[10:12] = bytes(2)
    header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
    with asker_of(launcher, name, role, version) as interface:
        interface.send(plain[:IP] + bytes(header) + plain[ICMP:], TIMEOUT, queue=QUEUES[name])
        answer = interface.recv(TIMEOUT, queue=QUEUES[name])
    assert len(answer) == len(plain)
    assert read_echo_reply(answer, US).payload == b"payload"


@pytest.mark.parametrize("checksum_before", [0x0000, 0xF7FE, 0xF7FF, 0xF800, 0xFFFF])
@programs
@versions
def test_the_checksum_is_right_where_it_carries(launcher, name, version, checksum_before):
    empty = echo_request(US, RESPONDER, 0, 0, bytes(2))
    # The last two bytes make the checksum: 0 and ffff are both zero in its sum.
    filler = (0xFFFF - 0x0800 - checksum_before) % 0xFFFF
    request = empty[:PAYLOAD] + filler.to_bytes(2, "big")
    request = request[: ICMP + 2] + checksum_before.to_bytes(2, "big") + request[ICMP + 4 :]
    with asker_of(launcher, name, "slave", version) as interface:
        interface.send(request, TIMEOUT, queue=QUEUES[name])
        answer = interface.recv(TIMEOUT, queue=QUEUES[name])
    assert checksum(answer[ICMP:]) == 0
