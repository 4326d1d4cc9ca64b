# SPDX-License-Identifier: Apache-2.0
"""A control connection from its beginning to its end: who is counted, traced, named and closed."""

import errno
import mmap
import os
import posix
import socket
import struct

import pytest

from libmemif_py.control import channel, reactor, sockets
from libmemif_py.control.wire import MESSAGE_SIZE

LONGER = bytes(range(MESSAGE_SIZE + 72))


class Core:
    """What a channel asks of the core, done at once and noted."""

    def __init__(self):
        self.untrusted = 0
        self.closed = []

    def mif_untrusted_begin(self):
        self.untrusted += 1

    def mif_untrusted_end(self):
        self.untrusted -= 1

    def mif_untrusted_close(self, fd):
        os.close(fd)
        self.closed.append(fd)


@pytest.fixture
def core():
    return Core()


@pytest.fixture
def ends():
    """Those of one connection: a channel's, and a peer's that does not wait."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


@pytest.fixture
def one(ends, core):
    return channel.Channel(ends[0], core, b"path", is_accepted=True)


@pytest.fixture
def peer(ends):
    return ends[1]


@pytest.fixture
def distrust(monkeypatch):
    """Comes before `one`."""
    monkeypatch.setattr(channel, "is_trusted", lambda _peer: False)


def open_fds():
    return sorted(os.listdir("/proc/self/fd"))


# ---- the end ----


def test_the_socket_of_a_trusted_peer_is_closed_here(one, core, peer):
    assert core.untrusted == 0
    one.close()
    one.close()
    assert peer.recv(1) == b""
    assert (core.closed, core.untrusted) == ([], 0)


@pytest.mark.usefixtures("distrust")
def test_the_socket_of_an_untrusted_peer_is_left_to_a_thread_once(one, core, peer):
    fd = one.fileno()
    assert core.untrusted == 1
    one.close()
    one.close()
    assert peer.recv(1) == b""
    assert (core.closed, core.untrusted) == ([fd], 0)


def test_a_connection_on_descriptor_0_is_closed_too(ends, core):
    """As of a program that has closed its standard input."""
    ours, theirs = ends
    kept = os.dup(0)
    try:
        os.dup2(ours.fileno(), 0)
        ours.close()
        channel.Channel(socket.socket(fileno=0), core).close()
        assert theirs.recv(1) == b""
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def test_the_last_message_arrives_whatever_was_not_read(one, peer):
    peer.send(b"unread")
    one.send(b"last")
    one.close()
    assert [peer.recv(10), peer.recv(10)] == [b"last", b""]


@pytest.mark.usefixtures("distrust")
def test_descriptors_that_were_not_read_do_not_keep_a_connection_from_its_end(one, core, peer):
    socket.send_fds(peer, [b"unread"], [peer.fileno()])
    fd = one.fileno()
    one.close()
    assert core.closed == [fd]


def test_a_socket_of_a_trusted_peer_ends_without_a_reset(one, peer):
    """It lingers no more, but what was sent on it arrives."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with socket.create_connection(listening.getsockname()) as sending:
            sending.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("2i", 1, 3600))
            sending.send(b"on its way")
            socket.send_fds(peer, [b"message"], [sending.fileno()])
        taking, _ = listening.accept()
    with taking:
        _, fds = one.receive()
        channel.close_fds(fds)
        assert [taking.recv(20), taking.recv(20)] == [b"on its way", b""]


# ---- what passes ----


def test_a_trace_has_each_message_and_one_end(ends, core, monkeypatch):
    told = []
    monkeypatch.setattr(channel, "trace", lambda of, *what: told.append((of, *what)))
    one = channel.Channel(ends[0], core, b"path", is_accepted=True)
    assert (one.path, one.is_accepted) == (b"path", True)
    one.send(b"hello")
    one.send(b"memory", ends[1].fileno())
    socket.send_fds(ends[1], [b"answer"], [ends[1].fileno()])
    channel.close_fds(one.receive()[1])
    one.close()
    one.close()
    assert told == [
        (one, True, b"hello", 0),
        (one, True, b"memory", 1),
        (one, False, b"answer", 1),
        (one, True, b"", 0),
    ]


@pytest.mark.parametrize("is_trusted", [True, False])
def test_a_longer_message_is_taken_up_to_its_first_byte_too_many(
    ends, core, monkeypatch, is_trusted
):
    monkeypatch.setattr(channel, "is_trusted", lambda _peer: is_trusted)
    one = channel.Channel(ends[0], core)
    ends[1].send(LONGER)
    assert one.receive() == (LONGER[: MESSAGE_SIZE + 1], [])


@pytest.mark.usefixtures("distrust")
def test_a_message_with_descriptors_of_an_untrusted_peer_stays_where_it_is(one, peer):
    socket.send_fds(peer, [LONGER], [peer.fileno()])
    before = open_fds()
    for _ in range(2):
        with pytest.raises(channel.FdsWaiting) as waiting:
            one.receive()
        assert waiting.value.data == LONGER[: MESSAGE_SIZE + 1]
    assert open_fds() == before


def test_no_socket_of_ours_waits(tmp_path):
    """Whoever waits holds the lock of the whole control plane."""
    path = bytes(tmp_path / "socket")
    listening = sockets.ListeningSocket(path, reactor.lib)
    connected = channel.connect(path, reactor.lib)
    accepted = listening.accept()
    try:
        blocking = {end: os.get_blocking(end.fileno()) for end in (listening, connected, accepted)}
        assert not any(blocking.values())
    finally:
        for end in (connected, accepted, listening):
            end.close()


# ---- who it is ----


def test_a_process_is_known_by_its_pidfds_where_these_have_an_inode_of_their_own(one):
    pidfd, of_any = os.pidfd_open(os.getpid()), os.eventfd(0)
    found, shared = os.fstat(pidfd), os.fstat(of_any)
    os.close(pidfd)
    os.close(of_any)
    has_its_own = (found.st_dev, found.st_ino) != (shared.st_dev, shared.st_ino)
    by_time = f"pid {os.getpid()} started "
    assert one.identity().startswith(f"pidfd {found.st_ino}" if has_its_own else by_time)


def test_an_inode_that_others_have_too_is_nobodys_name(one, monkeypatch):
    """As before Linux 6.9."""
    monkeypatch.setattr(channel, "_is_same_file", lambda *_: True)
    assert one.identity().startswith(f"pid {os.getpid()} started ")


def test_a_process_is_named_where_pidfds_cannot_be_compared(one, monkeypatch):
    def fail(*_):
        raise OSError(errno.EMFILE, "out of descriptors")

    monkeypatch.setattr(posix, "eventfd", fail)
    before = open_fds()
    assert one.identity().startswith(f"pid {os.getpid()} started ")
    assert open_fds() == before


def test_a_process_that_grows_keeps_its_name(one, monkeypatch):
    monkeypatch.setattr(channel, "_SO_PEERPIDFD", 0x7FFF)  # as before Linux 6.5
    before = one.identity()
    with mmap.mmap(-1, 1 << 26):
        assert one.identity() == before
