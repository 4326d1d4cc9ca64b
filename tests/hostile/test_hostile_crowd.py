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
from support.attack import TARGETS, SharedTarget, Target, shared_targets
from support.raw_peer import ClosedError, Slave, memfd

LIMIT = 256  # of connections to one socket that have not named an interface


@pytest.fixture(scope="module", params=TARGETS)
def shared(request, tmp_path_factory) -> Iterator[SharedTarget]:
    yield from shared_targets(request, tmp_path_factory)


@pytest.fixture
def target(request, shared) -> Iterator[Target]:
    yield from shared.targets(request.session)


@contextlib.contextmanager
def crowd(target: Target, count: int) -> Iterator[list[Slave]]:
    """So many peers that connect and say nothing."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(target.slave()) for _ in range(count)]


def all_are_open(peers: list[Slave]) -> bool:
    return all(peer.is_open() for peer in peers)


def test_a_silent_peer_delays_nobody(target):
    with crowd(target, 32) as silent:
        for peer in silent:
            peer.to("greeted")
        for version in (256, 512):
            target.good_slave(version)
        assert all_are_open(silent)
    target.check()


def test_a_flood_ends_at_a_limit_and_a_good_peer_gets_in(target):
    with crowd(target, LIMIT + 64) as silent:
        target.good_slave()
        dropped = [peer for peer in silent if peer.to("greeted") and not peer.is_open()]
        assert len(dropped) > 64 - 1
        assert dropped == silent[: len(dropped)]  # the oldest
        assert {peer.ending() for peer in dropped} == {
            "too many connections wait for their handshake"
        }
        assert all_are_open(silent[len(dropped) :])
        sockets = "socket:[]"  # the last good peer's may still be there
        assert target.program.holdings()[sockets] <= target.before[sockets] + LIMIT + 1
    target.check()
    target.good_slave()


def test_a_peer_that_reads_nothing_delays_nobody(target):
    """Each has said all that it can say at once; the answers lie in its socket."""
    with crowd(target, 16) as deaf:
        for peer in deaf[1:]:
            peer.send(p.init(number=2))
        deaf[0].send(p.init())
        fd = deaf[0].keep(memfd(4096))
        for index in range(32):
            deaf[0].send(p.add_region(index, 4096), [fd])
        with target.slave() as watcher:
            watcher.to("greeted")  # the one thread of the target is not stuck
        target.flow.check()
        deaf[0].close()
        while deaf[1].receive()[0] != p.DISCONNECT:
            pass
    target.check()
    target.good_slave()


def test_a_peer_whose_socket_takes_no_more_is_let_go(target):
    with target.slave() as deaf:
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        deaf.to("accepted")
        fd = deaf.keep(memfd(4096))
        deaf.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            for index in range(1 << 16):
                socket.send_fds(deaf.socket, [p.add_region(index % 256, 4096)], [fd])
        target.flow.check()
        assert deaf.ending()
    target.check()
    target.good_slave()


def test_a_peer_that_leaves_at_any_moment_leaves_nothing_behind(target):
    for state in p.SLAVE_STATES:
        for _ in range(5):
            with target.slave() as peer:
                peer.to(state)
    with contextlib.ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(target.slave()).close()
    target.check()
    target.good_slave()


def test_a_message_that_waits_at_the_end_leaves_nothing_behind(target):
    """The target closes on the first; the others come with fds that nobody takes."""
    with target.slave() as peer:
        peer.to("greeted")
        fds = [peer.keep(fd) for fd in os.pipe()]
        for _ in range(16):
            peer.send(p.message(p.ACK), fds)
        assert "ACK" in peer.ending()
    target.check()


def test_a_silent_master_delays_nobody(target):
    with target.master() as silent:
        for version in (256, 512):
            target.good_slave(version)
        target.flow.check()
        assert silent.is_open()
    target.check()
    target.good_master()


def test_a_slave_comes_again_by_itself(target):
    """In the 4.0 API it does when it was given a timer; this one is told to."""
    with target.master() as peer:
        peer.send(p.message(p.ACK))
        assert peer.ending()
    if target.kind.startswith("v4"):
        with target.master().to("connected") as again:
            assert again.exchange(b"again") == b"again"
    else:
        with target.listening.accept().to("connected") as again:
            assert again.exchange(b"again") == b"again"
    target.check()


def test_a_target_without_free_fds_serves_again_when_there_are_some(target):
    held = len(target.program.descriptors())
    limits = resource.prlimit(target.program.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(target.program.pid, resource.RLIMIT_NOFILE, (held + 8, limits[1]))
    try:
        with crowd(target, 32):
            target.flow.check()
        with target.slave() as peer:
            peer.to("accepted")
            fd = peer.keep(memfd(4096))
            peer.send(p.add_region(0, 4096), [fd] * 200)
            assert "did not fit the process's limit" in peer.ending()
    finally:
        resource.prlimit(target.program.pid, resource.RLIMIT_NOFILE, limits)
    target.check()
    target.good_slave()


def test_whoever_says_nothing_is_let_go_after_a_time(request, tmp_path):
    """All targets at once, for it takes ten seconds."""
    with contextlib.ExitStack() as stack:
        waiting = []
        for kind in TARGETS:
            folder = tmp_path / kind
            folder.mkdir()
            target = stack.enter_context(Target(kind, folder, request.config))
            peers = [target.slave().to("greeted"), target.slave().to("region"), target.master()]
            waiting += [(target, stack.enter_context(peer)) for peer in peers]
        for _, peer in waiting:
            select.select([peer.socket], [], [], p.TIMEOUT)
            with contextlib.suppress(ClosedError):
                assert peer.ending() == "handshake timed out"
        for target in {target for target, _ in waiting}:
            target.check()
            target.good_slave()
            target.end_in_peace()
