# SPDX-License-Identifier: Apache-2.0
"""Descriptors of a user whom nobody trusts hold nobody up, stay nowhere, and end no service.

Files on FUSE whose close waits for ever or fails, sockets whose last close waits for an hour, and
all else that can be sent, before a peer has named an interface and afterwards. What would be waited
for never comes, so whoever is seen to go on did not wait.
"""

import contextlib
import os
import posix
import resource
import socket
import tempfile
from collections.abc import Iterator

import pytest
from support.attack import (
    SOMEBODY,
    SharedTarget,
    Target,
    UntrustedUser,
    shared_targets,
    untrusted_user_of,
)

from libmemif_py import Interface, Timeout
from libmemif_py.control import channel, reactor, sockets, trust, wire

TARGETS = ["v1", "v4", "python"]


@pytest.fixture(scope="module", params=TARGETS)
def shared(request, tmp_path_factory) -> Iterator[SharedTarget]:
    yield from shared_targets(request, tmp_path_factory)


@pytest.fixture
def target(request, shared) -> Iterator[Target]:
    for target in shared.targets(request.session):
        yield target
        target.mappings = max(target.mappings, target.program.mappings())  # stacks, see below


@pytest.fixture
def messages(pytestconfig) -> int:
    return pytestconfig.getoption("--untrusted-messages")


@pytest.fixture
def untrusted(target, tmp_path) -> Iterator[UntrustedUser]:
    with untrusted_user_of(target, tmp_path / "untrusted.errors") as program:
        yield program


each_state = pytest.mark.parametrize("state", ["unnamed", "named"])


@pytest.mark.parametrize("fds", [1, 253])
@pytest.mark.parametrize("kind", ["fuse", "fuse-eio", "pipe", "epoll", "memfd"])
@each_state
def test_no_descriptor_holds_anybody_up(target, untrusted, state, kind, fds):
    for _ in range(3):
        untrusted.order("attack", state, kind, fds)
        target.check()
        target.good_slave()


@pytest.mark.parametrize("fds", [1, 20])
@each_state
def test_sockets_that_linger_for_an_hour_hold_nobody_up(target, untrusted, state, fds):
    for _ in range(3):
        assert untrusted.order("begin", state) == "begun"
        # So that the last reference is in the message.
        with target.program.stopped():
            assert untrusted.order("fire", "lingering", fds) == "fired"
        target.check()
        target.good_slave()


def test_behind_empty_messages_descriptors_hold_nobody_up(target, untrusted):
    assert untrusted.order("begin", "unnamed") == "begun"
    with target.program.stopped():
        assert untrusted.order("fire", "lingering", 1, "behind", 2) == "fired"
    target.check()
    target.good_slave()


@each_state
def test_of_many_descriptors_of_all_kinds_nothing_stays(target, untrusted, state, messages):
    mappings = []
    for _ in range(2):
        assert untrusted.order("flood", state, messages) == "done"
        target.check()
        target.good_slave()
        mappings.append(target.program.mappings())
    # Some stacks of threads that have ended are kept for later ones.
    assert mappings[1] < mappings[0] + messages / 10


@each_state
def test_near_the_limit_of_descriptors_an_untrusted_user_takes_none(target, untrusted, state):
    limit = resource.prlimit(target.program.pid, resource.RLIMIT_NOFILE)
    few = len(target.program.descriptors()) + 40
    resource.prlimit(target.program.pid, resource.RLIMIT_NOFILE, (few, limit[1]))
    try:
        for kind in ("memfd", "fuse", "pipe"):
            untrusted.order("attack", state, kind, 253)
            target.check()
            target.good_slave()
    finally:
        resource.prlimit(target.program.pid, resource.RLIMIT_NOFILE, limit)


# ---- parts ----


def test_who_is_trusted(monkeypatch):
    monkeypatch.setattr(posix, "geteuid", lambda: SOMEBODY)
    assert [trust.is_trusted((1, uid, 1)) for uid in (0, SOMEBODY, 1)] == [True, True, False]
    monkeypatch.setattr(posix, "geteuid", lambda: 65534)  # as in a rootless container
    assert [trust.is_trusted((1, uid, 1)) for uid in (0, 65534)] == [True, False]


def test_each_descriptor_is_closed_whatever_became_of_the_one_before():
    good = [os.eventfd(0), os.eventfd(0)]
    channel.close_fds([good[0], 1 << 20, good[1]])
    for fd in good:
        with pytest.raises(OSError):
            os.fstat(fd)


def test_a_connection_to_somebody_elses_listener_passes_nothing_but_what_is_sent(tmp_path):
    path = str(tmp_path / "socket")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer,
    ):
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        listening.bind(path)
        listening.listen()
        peer.connect(path)
        adopted = sockets.AdoptedSocket(listening.fileno(), reactor.lib)
        accepted = adopted.accept()
        with tempfile.TemporaryFile() as file:
            socket.send_fds(peer, [b"x"], [file.fileno()] * 253)
        _, fds = accepted.receive()
        channel.close_fds(fds)
        assert len(fds) == 253
        accepted.close()
        adopted.close()


def test_a_slave_takes_no_descriptors_of_a_master_that_it_does_not_trust(tmp_path, monkeypatch):
    monkeypatch.setattr(channel, "_peer_of", lambda _sock: (1, SOMEBODY, SOMEBODY))
    path = str(tmp_path / "socket")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening,
        tempfile.TemporaryFile() as file,
    ):
        listening.bind(path)
        listening.listen()
        with Interface(path) as slave:
            accepted, _ = listening.accept()
            with accepted:
                accepted.settimeout(60)
                hello = wire.Hello(b"evil", 256, 512, 255, 255, 255, 14)
                socket.send_fds(accepted, [wire.encode(hello, 512)], [file.fileno()])
                # Of a message that is not taken the kernel tells by a reset, often first.
                with contextlib.suppress(ConnectionResetError):
                    answer = wire.decode(accepted.recv(wire.MESSAGE_SIZE), 512)
                    assert answer.reason == b"a message with descriptors, expected none"
                    assert accepted.recv(1) == b""
            with pytest.raises(Timeout, match="a message with descriptors, expected none"):
                slave.wait_connected(0)
