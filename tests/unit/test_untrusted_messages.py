# SPDX-License-Identifier: Apache-2.0
"""How a message with descriptors comes from a peer that is not trusted, and how it does not."""

import contextlib
import errno
import os
import select
import socket
import types

import pytest

from libmemif_py import errors
from libmemif_py.control import channel, reactor

STRANGER = (1, 54321, 54321)
INIT = b"init".ljust(channel.MESSAGE_SIZE, b"\0")
ANY = reactor.lib.MIF_FD_ANY


@pytest.fixture
def ends(monkeypatch):
    """A channel, and the socket of its peer."""
    monkeypatch.setattr(channel, "_peer_of", lambda _sock: STRANGER)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        one = channel.Channel(ours, reactor.lib)
        yield one, theirs
        one.close()


@pytest.fixture
def begin(ends):
    """Begins to receive, by a core that only does `receive`, or by the real one."""
    with contextlib.ExitStack() as stack:

        def begin(receive=None, check=reactor.native.check):
            core = types.SimpleNamespace(mif_untrusted_receive=receive) if receive else reactor.lib
            of = types.SimpleNamespace(_lib=core, fileno=ends[0].fileno, record=ends[0].record)
            return stack.enter_context(contextlib.closing(channel.UntrustedMessage(of, ANY, check)))

        yield begin


def send(peer, fd):
    socket.send_fds(peer, [INIT], [fd])
    os.close(fd)


def answer_of(message):
    assert select.select([message], [], [], 60)[0]
    return message.answer()


def test_a_message_with_descriptors_stays_in_the_socket(ends):
    one, peer = ends
    send(peer, os.eventfd(0))
    for _ in range(2):
        with pytest.raises(channel.FdsWaiting, match="a peer that is not trusted") as caught:
            one.receive()
        assert caught.value.data == INIT


def test_a_trace_has_it_as_a_message_of_the_peers(ends, begin, monkeypatch):
    traced = []
    monkeypatch.setattr(channel, "trace", lambda _, *message: traced.append(message))
    send(ends[1], os.eventfd(0))
    data, fds, count = answer_of(begin())
    channel.close_fds(fds)
    assert (data, len(fds), count) == (INIT, 1, 1)
    assert traced == [(False, INIT, 1)]


def test_the_peers_reset_is_told_as_such(ends, begin):
    one, peer = ends
    one.send(INIT)
    peer.close()  # before it has read
    with pytest.raises(ConnectionResetError, match="recvmsg: Connection reset by peer"):
        answer_of(begin())


def test_a_thread_that_ends_without_an_answer_has_failed(begin):
    """As the one that could not begin a descriptor table of its own."""
    message = begin(lambda *_: 0)
    with pytest.raises(OSError, match="could not be received") as caught:
        answer_of(message)
    assert caught.value.errno == errno.EIO


def test_a_message_that_cannot_be_asked_for_leaves_no_descriptor(begin):
    """The error holds on to the message, so that its socket would stay open as long."""
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(errors.AgainError) as caught:
        begin(lambda *_: reactor.native.codes["AGAIN"])
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert str(caught.value).startswith("descriptors of a peer that is not trusted: ")
