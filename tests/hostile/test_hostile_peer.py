# SPDX-License-Identifier: Apache-2.0
"""A peer that cheats, through the whole library; what it can do to the rings alone is in
c_tests/hostile."""

import os
import re
import subprocess
import sys

import pytest
from support.raw_slave import BUFFER, SLOTS, RawSlave

from libmemif_py import Interface, errors
from libmemif_py.control import channel, wire

MOST = 0xFFFFFFFF
UNTRUSTED = (1, 54321, 54321)


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
        ({"length": BUFFER, "offset": MOST - BUFFER}, b"descriptor out of range"),
        (
            {"length": MOST, "offset": MOST},
            b"packet of 4294967295 bytes or more, expected at most 65535",
        ),
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


HUGE = 1 << 33  # bytes of a region of which nearly no page is ever there


@pytest.mark.parametrize(
    ("options", "good", "bad"),
    [({}, 65535, 65536), ({}, 65535, MOST), ({"max_packet": 70_000}, 70_000, 70_001),
     ({"max_packet": 1}, 1, 2)],
)  # fmt: skip
@pytest.mark.parametrize("receive", ["recv", "recv_burst", "rx_burst"])
def test_a_packet_that_is_longer_than_accepted_is_not_touched_and_ends_its_connection(
    tmp_path, options, good, bad, receive
):
    with (
        Interface(tmp_path / "limited", role="master", **options) as master,
        RawSlave(tmp_path / "limited", size=HUGE) as peer,
    ):
        assert isinstance(peer.connect(), wire.Connected)
        peer.send(1, length=good, offset=0)
        assert len(master.recv(40)) == good
        peer.send(1, length=bad, offset=0)
        with pytest.raises((TimeoutError, ConnectionError)):
            getattr(master, receive)(timeout=0)
        last = peer.hear()
        assert isinstance(last, wire.Disconnect)
        assert last.reason.decode() == f"packet of {bad} bytes or more, expected at most {good}"


def test_a_chain_that_is_longer_than_accepted_ends_its_connection(tmp_path):
    with (
        Interface(tmp_path / "limited", role="master", max_packet=3 * BUFFER) as master,
        RawSlave(tmp_path / "limited") as peer,
    ):
        assert isinstance(peer.connect(), wire.Connected)
        peer.send_chain(3)
        assert len(master.recv(40)) == 3 * BUFFER
        peer.send_chain(4)
        assert peer_hears(peer, master).reason == (
            b"packet of 1024 bytes or more, expected at most 768"
        )


def test_the_limit_is_no_less_than_a_slaves_own_buffers(tmp_path):
    with pytest.raises(errors.ArgumentError, match="max_packet 2047, expected 2048 to 4294967295"):
        Interface(tmp_path / "limited", max_packet=2047)
    with pytest.raises(errors.ArgumentError, match="max_packet 0, expected 1 to 4294967295"):
        Interface(tmp_path / "limited", role="master", max_packet=0)


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
from libmemif_py import Interface
from libmemif_py.control import wire
from support.raw_slave import RawSlave

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
    tests = os.path.dirname(os.path.dirname(__file__))
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
        assert re.fullmatch(r"the fd of a ring is no eventfd but pipe:\[\d+\]", reason)
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


def test_an_untrusted_peer_cannot_hold_a_sender_up(tmp_path, master, other, monkeypatch):
    monkeypatch.setattr(channel, "_peer_of", lambda _sock: UNTRUSTED)
    with RawSlave(tmp_path / "socket") as peer:
        assert isinstance(peer.connect(), wire.Connected)
        os.eventfd_write(peer.efds[1], 2**64 - 2)
        for efd in peer.efds:
            os.set_blocking(efd, True)
        for _ in range(SLOTS):
            master.send(b"into a full counter", 40)
        nothing_comes(master)
        exchange(other)
