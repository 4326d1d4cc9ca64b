# SPDX-License-Identifier: Apache-2.0
"""The socket of a control connection: how it begins, whose it is, what comes on it, its end."""

import contextlib
import errno
import os
import resource
import socket
import subprocess
import sys
import types

import pytest
from support.children import in_child

from libmemif_py import errors
from libmemif_py.control import channel, reactor, system

OWN = (os.getpid(), 0, 0)
STRANGER = (1, 54321, 54321)


@pytest.fixture
def ends(monkeypatch):
    """A channel, and the socket of its peer, which is trusted."""
    monkeypatch.setattr(channel, "_peer_of", lambda _sock: OWN)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield channel.Channel(ours, reactor.lib), theirs


# ---- how it begins ----


def test_a_master_may_pad_its_abstract_name_to_the_length_of_an_address():
    name = b"memif-%d" % os.getpid()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind((b"\0" + name).ljust(108, b"\0"))
        listening.listen()
        channel.connect(b"@" + name, reactor.lib).close()


# ---- whose it is ----


class Kernel(socket.socket):
    """Gives out a copy of `pidfd` as that of the peer."""

    pidfd = -1

    def getsockopt(self, *arguments):
        return os.dup(self.pidfd)


@pytest.mark.parametrize(
    ("pidfd", "name"),
    [(os.eventfd, "pid "), (lambda _: os.memfd_create("of its own"), "pidfd ")],
    ids=["that shares its inode with eventfds", "that has an inode of its own"],
)
def test_a_process_is_named_by_a_pidfd(monkeypatch, pidfd, name):
    """Unless all processes would be named alike, as before Linux 6.9."""
    monkeypatch.setattr(channel, "_peer_of", lambda _sock: OWN)
    with Kernel(socket.AF_UNIX, socket.SOCK_SEQPACKET) as ours:
        ours.pidfd = pidfd(0)
        assert channel.Channel(ours, reactor.lib).identity().startswith(name)
        os.close(ours.pidfd)


def test_a_process_that_ends_while_it_is_looked_at_has_no_identity(monkeypatch):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    original = system.open

    def opened(*arguments):
        fd = original(*arguments)
        child.communicate(b"\n")
        return fd

    monkeypatch.setattr(system, "open", opened)
    assert channel._started(child.pid) is None


# ---- what comes on it ----


def test_a_program_that_is_started_does_not_get_what_peers_have_sent(ends):
    one, peer = ends
    fd = os.eventfd(0)
    socket.send_fds(peer, [b"x"], [fd])
    os.close(fd)
    _, (received,) = one.receive()
    assert not os.get_inheritable(received)
    os.close(received)


def test_credentials_that_come_with_a_message_are_no_descriptors(ends):
    """Otherwise our standard input would be closed as a descriptor of root's."""
    one, peer = ends
    with socket.socket(fileno=os.dup(one.fileno())) as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    peer.send(b"x")
    assert one.receive() == (b"x", [])


def test_of_descriptors_that_do_not_all_fit_the_limit_none_is_kept(ends):
    one, peer = ends
    fds = [os.eventfd(0), os.eventfd(0)]
    socket.send_fds(peer, [b"x"], fds)
    first = os.dup(fds[0])
    os.close(first)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (first + 1, limit[1]))
    try:
        with pytest.raises(OSError, match="did not fit") as caught:
            one.receive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert caught.value.errno == errno.EMFILE
    with pytest.raises(OSError):
        os.fstat(first)
    channel.close_fds(fds)


def test_without_proc_an_eventfd_is_told_from_a_file(monkeypatch, tmp_path):
    """As also where readlink is denied."""

    def refuse(_):
        raise FileNotFoundError

    monkeypatch.setattr(system, "readlink", refuse)
    fd = os.eventfd(0)
    channel.check_eventfd(fd)
    os.close(fd)
    with (
        open(tmp_path / "file", "w") as file,
        pytest.raises(errors.BadFileError, match="no eventfd but a file of type 0o100000"),
    ):
        channel.check_eventfd(file.fileno())


def test_a_socket_that_may_not_be_told_to_stop_lingering_is_closed_all_the_same(monkeypatch):
    """As under a seccomp filter."""

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(system.Socket, "setsockopt", refuse)
    pair = [end.detach() for end in socket.socketpair()]
    channel.close_fds(pair)
    for fd in pair:
        with pytest.raises(OSError):
            os.fstat(fd)


# ---- its end ----


def test_when_a_connection_is_closed_the_peer_can_send_no_more(ends, monkeypatch):
    """What came behind the last message that is read would be dropped by the kernel."""
    one, peer = ends
    refused = []

    def sends(_, is_ours, data, fds):
        with contextlib.suppress(BrokenPipeError):
            peer.send(b"late")
            return
        refused.append((is_ours, data, fds))

    monkeypatch.setattr(channel, "trace", sends)
    one.close()
    assert refused == [(True, b"", 0)]


@pytest.mark.parametrize(("peer", "handed"), [(OWN, []), (STRANGER, [0])])
def test_a_forked_child_closes_its_copy_once(ends, monkeypatch, peer, handed):
    """Number 0 is free for it where a program has no standard input. A stranger's may hang."""
    monkeypatch.setattr(channel, "_peer_of", lambda _sock: peer)

    def abandons():
        core, given = types.SimpleNamespace(mif_untrusted_begin=lambda: None), []
        core.mif_untrusted_close = given.append
        os.dup2(ends[0].fileno(), 0)
        one = channel.Channel(socket.socket(fileno=0), core)
        one.abandon()
        one.abandon()
        return one.fileno(), given

    assert in_child(abandons) == (-1, handed)
