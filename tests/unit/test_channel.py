# SPDX-License-Identifier: Apache-2.0
"""What a control connection takes from a peer."""

import mmap
import os
import socket
import types

import pytest
from support.rig import rig_and_peer

from libmemif_py import errors
from libmemif_py.control import channel, wire
from libmemif_py.control.lock import LOCK


def test_an_eventfd_is_taken():
    fd = os.eventfd(0)
    channel.check_eventfd(fd)
    os.close(fd)


def test_a_reason_that_is_cut_still_says_what_is_wrong_with_a_descriptor(tmp_path):
    """The name of a file may be longer than the reason that fits a message."""
    folder = tmp_path / ("long" * 50)
    folder.mkdir()
    fd = os.open(folder, os.O_RDONLY)
    with pytest.raises(errors.BadFileError) as caught:
        channel.check_eventfd(fd)
    os.close(fd)
    data = wire.encode(wire.Disconnect(1, str(caught.value).encode()), wire.VERSION_2)
    told = wire.decode(data, wire.VERSION_2).reason
    assert b"the fd of a ring is no eventfd but /" in told


@pytest.mark.parametrize(
    "data",
    [b"", bytes(wire.MESSAGE_SIZE), wire.encode(wire.AddRegion(0, 4096), wire.VERSION_2)],
    ids=["no message", "a message of zeroes", "ADD_REGION before INIT"],
)
def test_a_descriptor_that_is_not_expected_is_closed_with_the_connection(tmp_path, data):
    with rig_and_peer(tmp_path) as (rig, peer):
        rig.welcome(peer)
        fd = os.eventfd(0)
        socket.send_fds(peer, [data], [fd])
        os.close(fd)
        rig.poll(lambda: not rig.hub._links)


def test_a_peer_that_says_nothing_is_told_that_it_took_too_long(tmp_path):
    with rig_and_peer(tmp_path) as (rig, peer):
        link = rig.welcome(peer)
        with LOCK:
            link.timed_out()
        assert not rig.hub._links
        peer.recv(wire.MESSAGE_SIZE)
        last = wire.decode(peer.recv(wire.MESSAGE_SIZE), wire.VERSION_2)
        assert last.reason == b"handshake timed out"


@pytest.mark.parametrize("beyond", [0, mmap.PAGESIZE])
def test_a_region_that_is_too_long_for_a_program_with_its_own_memory_is_refused(tmp_path, beyond):
    """Its callbacks count in 32 bits: it would map the length without its upper half."""
    mapped = []
    external = types.SimpleNamespace(
        maps=lambda: True, map=lambda *arguments: mapped.append(arguments)
    )
    with rig_and_peer(tmp_path, external) as (rig, peer):
        rig.add(True)
        peer.connect(rig.path)
        size = (1 << 32) + beyond
        fd = os.memfd_create("region", os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, size)
        peer.send(wire.encode(wire.Init(wire.VERSION_2, 0, 0, b"", b"peer"), wire.VERSION_2))
        region = wire.encode(wire.AddRegion(1, size), wire.VERSION_2)
        socket.send_fds(peer, [region], [fd])
        os.close(fd)
        rig.poll(lambda: rig.hub._links)
        rig.poll(lambda: not rig.hub._links)
        answers = iter(lambda: peer.recv(wire.MESSAGE_SIZE), b"")
        *_, last = (wire.decode(data, wire.VERSION_2) for data in answers)
        assert last.reason.endswith(b"expected less than 4 GiB")
        assert mapped == []
