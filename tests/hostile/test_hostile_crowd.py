# SPDX-License-Identifier: Apache-2.0
"""Peers that come in numbers, say nothing, or listen to nothing hold nobody else up.

What did not wait is told by order: the peers that would have been waited for are still there.
"""

import contextlib
import os
import resource
import select
import socket
from collections.abc import Iterator

import pytest
from support import raw_peer as p
from support.attack import VICTIMS, Scene, Stage, stages
from support.raw_peer import ClosedError, Slave, memfd

LIMIT = 256  # of connections to one socket that have not named an interface


@pytest.fixture(scope="module", params=VICTIMS)
def stage(request, tmp_path_factory) -> Iterator[Stage]:
    yield from stages(request, tmp_path_factory)


@pytest.fixture
def scene(request, stage) -> Iterator[Scene]:
    yield from stage.scenes(request.session)


@contextlib.contextmanager
def crowd(scene: Scene, count: int) -> Iterator[list[Slave]]:
    """So many peers that connect and say nothing."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(scene.slave()) for _ in range(count)]


def all_are_open(peers: list[Slave]) -> bool:
    return all(peer.is_open() for peer in peers)


def test_a_silent_peer_delays_nobody(scene):
    with crowd(scene, 32) as silent:
        for peer in silent:
            peer.to("greeted")
        for version in (256, 512):
            scene.good_slave(version)
        assert all_are_open(silent)
    scene.check()


def test_a_flood_ends_at_a_limit_and_a_good_peer_gets_in(scene):
    with crowd(scene, LIMIT + 64) as silent:
        scene.good_slave()
        dropped = [peer for peer in silent if peer.to("greeted") and not peer.is_open()]
        assert len(dropped) > 64 - 1
        assert dropped == silent[: len(dropped)]  # the oldest
        assert {peer.ending() for peer in dropped} == {
            "too many connections wait for their handshake"
        }
        assert all_are_open(silent[len(dropped) :])
        sockets = "socket:[]"  # the last good peer's may still be there
        assert scene.program.holdings()[sockets] <= scene.before[sockets] + LIMIT + 1
    scene.check()
    scene.good_slave()


def test_a_peer_that_reads_nothing_delays_nobody(scene):
    """Each has said all that it can say at once; the answers lie in its socket."""
    with crowd(scene, 16) as deaf:
        for peer in deaf[1:]:
            peer.send(p.init(number=2))
        deaf[0].send(p.init())
        fd = deaf[0].keep(memfd(4096))
        for index in range(32):
            deaf[0].send(p.add_region(index, 4096), [fd])
        with scene.slave() as watcher:
            watcher.to("greeted")  # the one thread of the victim is not stuck
        scene.flow.check()
        deaf[0].close()
        while deaf[1].receive()[0] != p.DISCONNECT:
            pass
    scene.check()
    scene.good_slave()


def test_a_peer_whose_socket_takes_no_more_is_let_go(scene):
    with scene.slave() as deaf:
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        deaf.to("accepted")
        fd = deaf.keep(memfd(4096))
        deaf.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            for index in range(1 << 16):
                socket.send_fds(deaf.socket, [p.add_region(index % 256, 4096)], [fd])
        scene.flow.check()
        assert deaf.ending()
    scene.check()
    scene.good_slave()


def test_a_peer_that_leaves_at_any_moment_leaves_nothing_behind(scene):
    for state in p.SLAVE_STATES:
        for _ in range(5):
            with scene.slave() as peer:
                peer.to(state)
    with contextlib.ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(scene.slave()).close()
    scene.check()
    scene.good_slave()


def test_a_message_that_waits_at_the_end_leaves_nothing_behind(scene):
    """The victim closes on the first; the others come with fds that nobody takes."""
    with scene.slave() as peer:
        peer.to("greeted")
        fds = [peer.keep(fd) for fd in os.pipe()]
        for _ in range(16):
            peer.send(p.message(p.ACK), fds)
        assert "ACK" in peer.ending()
    scene.check()


def test_a_silent_master_delays_nobody(scene):
    with scene.master() as silent:
        for version in (256, 512):
            scene.good_slave(version)
        scene.flow.check()
        assert silent.is_open()
    scene.check()
    scene.good_master()


def test_a_slave_comes_again_by_itself(scene):
    """In the 4.0 interface it does when it was given a timer; this one is told to."""
    with scene.master() as peer:
        peer.send(p.message(p.ACK))
        assert peer.ending()
    if scene.kind.startswith("v4"):
        with scene.master().to("connected") as again:
            assert again.exchange(b"again") == b"again"
    else:
        with scene.listening.accept().to("connected") as again:
            assert again.exchange(b"again") == b"again"
    scene.check()


def test_a_victim_without_free_fds_serves_again_when_there_are_some(scene):
    held = len(scene.program.descriptors())
    limits = resource.prlimit(scene.program.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(scene.program.pid, resource.RLIMIT_NOFILE, (held + 8, limits[1]))
    try:
        with crowd(scene, 32):
            scene.flow.check()
        with scene.slave() as peer:
            peer.to("accepted")
            fd = peer.keep(memfd(4096))
            peer.send(p.add_region(0, 4096), [fd] * 200)
            assert "did not fit the process's limit" in peer.ending()
    finally:
        resource.prlimit(scene.program.pid, resource.RLIMIT_NOFILE, limits)
    scene.check()
    scene.good_slave()


def test_whoever_says_nothing_is_let_go_after_a_time(request, tmp_path):
    """All victims at once, for it takes ten seconds."""
    with contextlib.ExitStack() as stack:
        waiting = []
        for kind in VICTIMS:
            folder = tmp_path / kind
            folder.mkdir()
            scene = stack.enter_context(Scene(kind, folder, request.config))
            peers = [scene.slave().to("greeted"), scene.slave().to("region"), scene.master()]
            waiting += [(scene, stack.enter_context(peer)) for peer in peers]
        for _, peer in waiting:
            select.select([peer.socket], [], [], p.TIMEOUT)
            with contextlib.suppress(ClosedError):
                assert peer.ending() == "handshake timed out"
        for scene in {scene for scene, _ in waiting}:
            scene.check()
            scene.good_slave()
            scene.end_in_peace()
