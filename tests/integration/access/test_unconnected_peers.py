# SPDX-License-Identifier: Apache-2.0
"""What a peer learns and takes up before it is connected."""

import contextlib
import socket
from pathlib import Path

import pytest
from support.access import open_descriptors
from support.programs import TIMEOUT

from libmemif_py import Interface, errors
from libmemif_py.control import wire


def hello_on(path: Path) -> wire.Hello:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
        peer.settimeout(TIMEOUT)
        peer.connect(str(path))
        return wire.decode(peer.recv(wire.MESSAGE_SIZE), wire.VERSION_2)


def rings(hello: wire.Hello) -> tuple[int, int]:
    return hello.max_s2m_ring + 1, hello.max_m2s_ring + 1


def test_hello_leaves_the_number_of_rings_to_the_peer_and_more_than_ours_are_refused(path):
    with Interface(path, role="master", s2m_rings=3, m2s_rings=1):
        assert rings(hello_on(path)) == (256, 256)
        with (
            Interface(path, s2m_rings=4) as slave,
            pytest.raises(errors.MemifError, match="rings"),
        ):
            slave.wait_connected(1)


def test_a_peer_that_says_nothing_is_let_go_after_the_time_that_was_set(path):
    with (
        Interface(path, role="master", handshake_timeout=0.05),
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer,
    ):
        peer.settimeout(TIMEOUT)
        peer.connect(str(path))
        peer.recv(wire.MESSAGE_SIZE)
        heard = wire.decode(peer.recv(wire.MESSAGE_SIZE), wire.VERSION_2)
    assert heard == wire.Disconnect(0, b"handshake timed out")


def test_of_too_many_unconnected_peers_the_oldest_has_to_go(path):
    before = open_descriptors()
    with contextlib.ExitStack() as stack, Interface(path, role="master") as master:
        peers = []
        for _ in range(256 + 1):
            peer = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            peer.settimeout(TIMEOUT)
            peer.connect(str(path))
            peer.recv(wire.MESSAGE_SIZE)
            peers.append(peer)
        heard = wire.decode(peers[0].recv(wire.MESSAGE_SIZE), wire.VERSION_2)
        assert heard.reason == b"too many connections wait for their handshake"
        peers[1].setblocking(False)
        with pytest.raises(BlockingIOError):
            peers[1].recv(wire.MESSAGE_SIZE)
        with Interface(path) as slave:  # and who means it is served
            slave.wait_connected(TIMEOUT)
            master.wait_connected(TIMEOUT)
    assert open_descriptors() == before
