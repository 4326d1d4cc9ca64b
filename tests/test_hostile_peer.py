# SPDX-License-Identifier: Apache-2.0
"""A peer that cheats, through the whole library; what it can do to the rings alone is in
c_tests/test_hostile.c."""

import os
import re
import subprocess
import sys

import pytest
from rawslave import BUFFER, SLOTS, RawSlave

from libmemif_py import Interface, channel, wire

MOST = 0xFFFFFFFF
STRANGER = (1, 54321, 54321)


@pytest.fixture
def master(tmp_path):
    with Interface(tmp_path / "socket", role="master") as interface:
        yield interface


@pytest.fixture
def other(tmp_path, master):
    """Another connection of the same process, on the same socket."""
    with (
        Interface(tmp_path / "socket", role="master", id=1) as one,
        Interface(tmp_path / "socket", id=1) as end,
    ):
        yield one, end


def exchange(pair):
    one, end = pair
    one.send(b"there", 40)
    assert end.recv(40) == b"there"
    end.send(b"back", 40)
    assert one.recv(40) == b"back"


@pytest.mark.parametrize(
    ("descriptor", "reason"),
    [
        ({"region": 1}, b"descriptor out of range"),
        ({"region": 0xFFFF}, b"descriptor out of range"),
        ({"offset": MOST}, b"descriptor out of range"),
        ({"length": MOST}, b"descriptor out of range"),
        ({"length": MOST, "offset": MOST}, b"descriptor out of range"),
    ],
)
def test_a_bad_descriptor_ends_its_connection_with_a_reason_and_no_other(
    tmp_path, master, other, descriptor, reason
):
    with RawSlave(tmp_path / "socket") as peer:
        assert isinstance(peer.connect(), wire.Connected)
        exchange(other)
        peer.send(3, **descriptor)
        assert [len(packet) for packet in (master.recv(40), master.recv(40))] == [BUFFER, BUFFER]
        last = peer_hears(peer, master)
        assert isinstance(last, wire.Disconnect)
        assert last.reason == reason
    exchange(other)
    with RawSlave(tmp_path / "socket") as peer:
        assert isinstance(peer.connect(), wire.Connected)
        peer.send(1)
        assert len(master.recv(40)) == BUFFER


def nothing_comes(master):
    with pytest.raises((TimeoutError, ConnectionError)):
        master.recv(0)


def peer_hears(peer, master):
    """What the peer is told once the application has asked for the packet that is none."""
    nothing_comes(master)
    return peer.hear()


def test_an_index_out_of_range_ends_its_connection_with_a_reason(tmp_path, master, other):
    with RawSlave(tmp_path / "socket") as peer:
        assert isinstance(peer.connect(), wire.Connected)
        peer.send(1)
        assert len(master.recv(40)) == BUFFER
        peer.send(SLOTS + 1)
        last = peer_hears(peer, master)
        assert isinstance(last, wire.Disconnect)
        assert last.reason == b"ring index out of range"
    exchange(other)


PIPE = """
import os, sys
sys.path[:0] = sys.argv[2:]
from libmemif_py import Interface, wire
from rawslave import RawSlave

with Interface(sys.argv[1], role="master") as master:
    reader, writer = os.pipe()
    os.close(reader)
    with RawSlave(sys.argv[1], efds=[writer, os.eventfd(0)]) as peer:
        print(peer.connect().reason.decode())
    reader, writer = os.pipe()
    os.close(reader)
    with RawSlave(sys.argv[1], efds=[os.eventfd(0), writer]) as peer:
        print(peer.connect().reason.decode())
    with RawSlave(sys.argv[1]) as peer:
        print(type(peer.connect()).__name__)
"""


def test_a_pipe_is_no_eventfd(tmp_path):
    """Without the check its first wake-up would end the process with SIGPIPE, as in C it would."""
    tests = os.path.dirname(__file__)
    result = subprocess.run(
        [sys.executable, "-c", PIPE, tmp_path / "socket", tests],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    first, second, third = result.stdout.splitlines()
    for reason in (first, second):
        assert re.fullmatch(r"the fd of a ring is pipe:\[\d+\], expected an eventfd", reason)
    assert third == "Connected", result.stderr


@pytest.mark.parametrize("kind", ["file", "socket", "device"])
def test_only_an_eventfd_is_taken_for_one(tmp_path, master, kind):
    if kind == "file":
        fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    elif kind == "device":
        fd = os.open("/dev/zero", os.O_RDWR)
    else:
        import socket

        one, two = socket.socketpair()
        fd = one.detach()
        two.close()
    with RawSlave(tmp_path / "socket", efds=[fd, os.eventfd(0)]) as peer:
        assert peer.connect().reason.startswith(b"the fd of a ring is ")
    if kind == "file":
        assert (tmp_path / "file").stat().st_size == 0


def test_a_stranger_cannot_hold_a_sender_up(tmp_path, master, other, monkeypatch):
    monkeypatch.setattr(channel, "_peer_of", lambda _sock: STRANGER)
    with RawSlave(tmp_path / "socket") as peer:
        assert isinstance(peer.connect(), wire.Connected)
        os.eventfd_write(peer.efds[1], 2**64 - 2)
        for efd in peer.efds:
            os.set_blocking(efd, True)
        for _ in range(SLOTS):
            master.send(b"into a full counter", 40)
        nothing_comes(master)
        exchange(other)
