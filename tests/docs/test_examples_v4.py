# SPDX-License-Identifier: Apache-2.0
"""The examples of the 4.0 API, with interfaces of Python: a responder, a loop, a bridge."""

import contextlib
import re
from collections.abc import Iterator

import pytest
from support.bridges import CONNECTED, DISCONNECTED, RING_SIZE, wait_until_bridged
from support.c_collector import build_directories
from support.packets import TIMEOUT, ping_all_sizes, pinger
from support.programs import OTHER_ROLE, Launcher, Program, end_by_signal

from libmemif_py import Interface

roles = pytest.mark.parametrize("role", OTHER_ROLE)
versions = pytest.mark.parametrize("version", [256, 512])


@pytest.fixture
def launcher(tmp_path, pytestconfig) -> Launcher:
    return Launcher(tmp_path, build_directories(pytestconfig)[0].path)


@contextlib.contextmanager
def responder_and_us(
    launcher: Launcher, role: str, *arguments: str | int, **settings
) -> Iterator[tuple[Program, Interface]]:
    """A responder in this role, and an interface of ours in the other."""
    with contextlib.ExitStack() as stack:
        if role == "master":
            program = stack.enter_context(launcher.responder_v4(role, *arguments))
        interface = stack.enter_context(
            Interface(launcher.socket, role=OTHER_ROLE[role], **settings)
        )
        if role == "slave":
            program = stack.enter_context(launcher.responder_v4(role, *arguments))
        interface.wait_connected(TIMEOUT)
        yield program, interface


@pytest.mark.parametrize(
    ("role", "options"),
    [
        ("master", ()),
        ("slave", ()),
        ("slave", ("-c",)),
        ("slave", ("-H", 128)),
        ("slave", ("-H", 128, "-c")),
    ],
)
@versions
def test_every_ping_is_answered_also_after_the_ring_has_wrapped(launcher, role, options, version):
    if version == 256 and "-H" in options:
        options = options[2:]  # there headroom is an error
    settings = {"version": version, "s2m_rings": 3, "m2s_rings": 3}
    with responder_and_us(launcher, role, *options, "-q", 3, **settings) as (program, interface):
        assert program.line() == CONNECTED
        for queue in range(3):
            asker = pinger(interface, queue=queue)
            ping_all_sizes(asker)
            assert asker.load(2 * RING_SIZE, 1_000, window=128).lost == 0


@roles
def test_a_responder_takes_on_a_new_peer(launcher, role):
    with contextlib.ExitStack() as stack:
        program = None
        for _ in range(3):
            if program is None and role == "master":
                program = stack.enter_context(launcher.responder_v4(role))
            with Interface(launcher.socket, role=OTHER_ROLE[role]) as interface:
                if program is None:
                    program = stack.enter_context(launcher.responder_v4(role))
                assert program.line() == CONNECTED
                interface.wait_connected(TIMEOUT)
                ping_all_sizes(pinger(interface))
            assert program.line() == DISCONNECTED


@versions
@pytest.mark.parametrize(
    "options",
    [(), ("-x", 1), ("-x", 65535, "-b", 512), ("-l", 3, "-b", 1500), ("-l", 1, "-x", 64)],
    ids=lambda options: " ".join(map(str, options)) or "plain",
)
def test_a_loop_loses_and_changes_nothing(launcher, version, options):
    with launcher.program("loopback4", "-n", 10_000, *options, version=version) as program:
        assert (program.wait(), program.errors) == (0, "")
        lines = program.rest().splitlines()
    assert len(lines) == 2
    for line in lines:
        assert "10000 packets sent, 10000 received" in line


def test_a_loop_that_cannot_be_says_so(launcher):
    with launcher.program("loopback4", "-l", 1, "-x", 9000) as program:
        assert program.wait() == 1
        assert "does not fit" in program.errors


@contextlib.contextmanager
def bridge_and_us(
    launcher: Launcher, a_role: str, b_role: str, queues: int, version: int
) -> Iterator[tuple[Program, Interface, Interface]]:
    """A bridge whose sides have these roles, and an interface of ours at either end."""
    settings = {"s2m_rings": queues, "m2s_rings": queues}
    roles_of = dict(zip(launcher.sides, (a_role, b_role), strict=True))
    ids = {path: i for i, path in enumerate(launcher.sides)}
    ours: dict[str, Interface] = {}
    with contextlib.ExitStack() as stack:

        def open_ours(bridge_role: str) -> None:
            for path, role in roles_of.items():
                if role == bridge_role:
                    own = Interface(path, role=OTHER_ROLE[role], id=ids[path], **settings)
                    ours[path] = stack.enter_context(own)

        open_ours("slave")
        bridge = stack.enter_context(
            launcher.bridge(*roles_of.items(), "-q", queues, version=version)
        )
        open_ours("master")
        wait_until_bridged(bridge, queues)
        yield bridge, *(ours[path] for path in launcher.sides)


@pytest.mark.parametrize("b_role", OTHER_ROLE)
@pytest.mark.parametrize("a_role", OTHER_ROLE)
@versions
def test_a_bridge_passes_packets_of_all_sizes_both_ways(launcher, a_role, b_role, version):
    queues = 2
    with bridge_and_us(launcher, a_role, b_role, queues, version) as (_, a, b):
        for one, other in ((a, b), (b, a)):
            other.wait_connected(TIMEOUT)
            for queue in range(queues):
                for size in (1, 64, 2048, 2049, 9000, 65535):
                    packets = [bytes([i, queue]) * (size // 2) + b"!" for i in range(20)]
                    packets = [packet[:size] for packet in packets]
                    one.send_burst(packets, TIMEOUT, queue=queue)
                    assert receive(other, 20, queue) == packets


def receive(interface: Interface, count: int, queue: int = 0) -> list[bytes]:
    packets: list[bytes] = []
    while len(packets) < count:
        packets += interface.recv_burst(timeout=TIMEOUT, queue=queue)
    return packets


@pytest.mark.parametrize("b_role", OTHER_ROLE)
@pytest.mark.parametrize("a_role", OTHER_ROLE)
def test_two_bridges_in_a_row_lead_to_a_responder(launcher, a_role, b_role):
    queues = 2
    first, second, third = (f"{launcher.socket}.{i}" for i in range(3))
    settings = {"s2m_rings": queues, "m2s_rings": queues}

    def ends(path: str, role: str) -> tuple[tuple[str, str], tuple[str, str]]:
        return (path, role), (path, OTHER_ROLE[role])

    left, left_peer = ends(first, a_role)
    middle, middle_peer = ends(second, b_role)
    right, right_peer = ends(third, a_role)
    with contextlib.ExitStack() as stack:
        # A socket is made by its master, and slaves look for it every 2 s: masters come first.
        order = {
            "pinger": lambda: Interface(left_peer[0], role=left_peer[1], **settings),
            "bridge 1": lambda: launcher.bridge(left, middle, "-q", queues),
            "bridge 2": lambda: launcher.bridge(right, middle_peer, "-q", queues),
            "responder": lambda: launcher.responder_v4(
                right_peer[1], "-q", queues, path=right_peer[0]
            ),
        }
        started = {name: stack.enter_context(start()) for name, start in order.items()}
        assert started["responder"].line() == CONNECTED
        for name in ("bridge 1", "bridge 2"):
            wait_until_bridged(started[name], queues)
        for queue in range(queues):
            asker = pinger(started["pinger"], queue=queue)
            ping_all_sizes(asker)
            assert asker.load(3 * RING_SIZE, 100, window=32).lost == 0


@pytest.mark.parametrize("b_role", OTHER_ROLE)
@versions
def test_packets_that_come_before_the_other_side_wait_for_it(launcher, b_role, version):
    a_path, b_path = launcher.sides
    packets = [bytes([i]) * 100 for i in range(32)]
    with contextlib.ExitStack() as stack:
        b_settings = {"role": OTHER_ROLE[b_role], "id": 1}
        a = stack.enter_context(Interface(a_path, role="master"))
        bridge = stack.enter_context(
            launcher.bridge((a_path, "slave"), (b_path, b_role), version=version)
        )
        assert bridge.line() == "a connected: 1 queues in, 1 out"
        rounds = 20 if b_role == "master" else 2  # a slave looks for its master every 2 s
        for _ in range(rounds):
            a.send_burst(packets, TIMEOUT)
            with Interface(b_path, **b_settings) as b:
                assert receive(b, len(packets)) == packets
                assert bridge.line() == "b connected: 1 queues in, 1 out"
            assert bridge.line() == "b disconnected"
        end_by_signal(bridge)
        assert f"a to b: {rounds * len(packets)} packets, 0 dropped" in bridge.rest()


def test_a_bridge_whose_receiver_is_too_slow_drops_and_counts(launcher):
    with bridge_and_us(launcher, "master", "slave", 1, 512) as (bridge, a, b):
        b.wait_connected(TIMEOUT)
        # Nobody empties the ring to b. The last ring of these may still be before the bridge.
        a.send_burst([b"packet"] * 5 * RING_SIZE, TIMEOUT)
        end_by_signal(bridge)
        counts = re.search(r"a to b: (\d+) packets, (\d+) dropped", bridge.rest())
        forwarded, dropped = map(int, counts.groups())
        assert forwarded == RING_SIZE
        assert 3 * RING_SIZE <= dropped <= 4 * RING_SIZE
