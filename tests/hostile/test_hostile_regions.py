# SPDX-License-Identifier: Apache-2.0
"""Whatever memory a peer offers, and wherever it says its rings lie, the target reads no byte of it
that may go away. See support/attack.py for what is looked at after each attack."""

import contextlib
import ctypes
import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import raw_peer as p
from support.attack import TARGETS, SharedTarget, Target, shared_targets
from support.raw_peer import M2S, S2M, Layout, Slave, memfd

from libmemif_py import errors
from libmemif_py.control import regions

versions = pytest.mark.parametrize("version", [256, 512])
SIZE = Layout(512).size
NOBODY = 65534
PAGE = mmap.PAGESIZE
HUGE = 2 << 20
F_SEAL_FUTURE_WRITE = 0x10


@pytest.fixture(scope="module", params=TARGETS)
def shared(request, tmp_path_factory) -> Iterator[SharedTarget]:
    yield from shared_targets(request, tmp_path_factory)


@pytest.fixture
def target(request, shared) -> Iterator[Target]:
    yield from shared.targets(request.session)


def seal(fd: int, seals: int) -> int:
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


# ---- rings ----


def wide(version: int) -> int:
    """The highest value of the offset, and one."""
    return 1 << (64 if version == 256 else 32)


# What is wrong with the S2M ring: offset and log2 size, for a region of `size` bytes.
BAD_PLACES = {
    "at the end": lambda size, v: (size, 4),
    "far outside": lambda size, v: (size * 16, 4),
    "a little over the end": lambda size, v: (size - Layout(v).ring_size + 64, 4),
    "with room for the header only": lambda size, v: (size - 128, 4),
    "too large for the region": lambda size, v: (0, 14),
    "one byte on": lambda size, v: (1, 4),
    "four bytes on": lambda size, v: (4, 4),
    "at the highest offset": lambda size, v: (wide(v) - 1, 4),
    "over the highest offset": lambda size, v: (wide(v) - 64, 4),
    "at half of all offsets": lambda size, v: (wide(v) // 2, 4),
    "where no cookie is": lambda size, v: (64, 4),
}


@versions
@pytest.mark.parametrize("place", BAD_PLACES.values(), ids=BAD_PLACES)
@pytest.mark.parametrize("direction", [S2M, M2S], ids=["S2M", "M2S"])
def test_a_ring_may_not_lie(target, place, direction, version):
    with target.slave(version).to("region") as peer:
        offset, log2 = place(peer.layout.size, version)
        peer.send(p.add_ring(version, direction, 0, 0, offset, log2), [peer.keep(p.eventfd())])
        peer.expect(p.ACK)
        peer.send(p.connect())
        reason = peer.ending()
    assert reason
    assert target.said(reason)
    target.check()
    target.good_slave(version)


@versions
@pytest.mark.parametrize("region", [1, 255, 256, 65535])
def test_a_ring_may_not_lie_in_a_region_that_is_not_there(target, region, version):
    with target.slave(version).to("region") as peer:
        peer.ask(p.add_ring(version, S2M, 0, region, 0), [peer.keep(p.eventfd())])
        peer.send(p.connect())
        assert "never added" in peer.ending()
    target.check()


@versions
@pytest.mark.parametrize("direction", [S2M, M2S], ids=["S2M", "M2S"])
def test_rings_may_not_have_gaps(target, direction, version):
    with target.slave(version).to("region") as peer:
        peer.ask(p.add_ring(version, direction, 1), [peer.keep(p.eventfd())])
        peer.send(p.connect())
        assert "missing" in peer.ending()
    target.check()


@versions
@pytest.mark.parametrize("log2", [0, 1, 14])
def test_a_ring_may_lie_at_the_very_end(target, log2, version):
    layout = Layout(version, 1, 0, log2)
    with target.slave(version).to("accepted") as peer:
        size = layout.ring_size + 64
        fd = peer.keep(memfd(size))
        os.pwrite(fd, struct.pack("<I", p.COOKIES[version]), 64)
        peer.ask(p.add_region(0, size), [fd])
        peer.send(p.add_ring(version, S2M, 0, 0, 64, log2), [peer.keep(p.eventfd())])
        if version == 256 and log2 == 0:
            assert "log2 ring size 0" in peer.ending()
        else:
            peer.expect(p.ACK)
            peer.send(p.connect())
            peer.expect(p.CONNECTED)
    target.check()
    target.good_slave(version)


@versions
@pytest.mark.parametrize("shift", [0, 64, 128, 192])
def test_rings_that_overlap_harm_their_owner_only(target, shift, version):
    """Nothing forbids it. What is read from them is checked whoever wrote it."""
    with target.slave(version).to("region") as peer:
        ring = peer.rings[S2M]
        struct.pack_into("<I", peer.memory, shift, p.COOKIES[version])
        for direction, offset in ((S2M, 0), (M2S, shift)):
            peer.ask(p.add_ring(version, direction, 0, 0, offset), [ring.efd])
        peer.send(p.connect())
        peer.expect(p.CONNECTED)
        for number in range(64):
            ring.put(p.HEAD, number)
            ring.signal()
    target.check()
    target.good_slave(version)


# ---- the eventfds of rings ----


def bad_eventfds(peer: Slave) -> dict[str, int]:
    """Each would be written to, or read from, in the middle of a burst."""
    out, into = os.pipe()
    peer.keep(into)
    os.close(out)  # a write raises SIGPIPE
    other = [peer.keep(fd) for fd in os.pipe()]
    made = {
        "pipe that nobody reads": into,
        "pipe to read from": other[0],
        "file": peer.keep(os.open(__file__, os.O_RDWR)),
        "directory": peer.keep(os.open("/", os.O_RDONLY)),
        "memfd": peer.keep(memfd(4096)),
        "device": peer.keep(os.open("/dev/zero", os.O_RDWR)),
        "control channel": peer.socket.fileno(),
    }
    return made


BAD_EVENTFDS = ["pipe that nobody reads", "pipe to read from", "file", "directory", "memfd"]
BAD_EVENTFDS += ["device", "control channel"]


@pytest.mark.parametrize("direction", [S2M, M2S], ids=["S2M", "M2S"])
@pytest.mark.parametrize("kind", BAD_EVENTFDS)
def test_a_ring_comes_with_an_eventfd_and_nothing_else(target, kind, direction):
    with target.slave().to("region") as peer:
        peer.send(p.add_ring(512, direction), [bad_eventfds(peer)[kind]])
        assert "eventfd" in peer.ending()
    target.check()
    target.good_slave()


@versions
def test_an_eventfd_that_is_made_blocking_holds_no_receiver_up(target, version):
    """Its last burst finds neither a packet nor a signal, and goes on to the good connection."""
    with target.slave(version).to("connected") as peer:
        for ring in peer.rings.values():
            os.set_blocking(ring.efd, True)
        for _ in range(3):
            assert peer.exchange(b"packet") == b"packet"
            target.flow.check()
    target.check()
    target.good_slave(version)


# ---- memory ----


def connect_with(target: Target, fd: int, version: int = 512) -> contextlib.AbstractContextManager:
    """A slave that has everything in the memory of an fd."""
    peer = target.slave(version).to("accepted")
    peer.use(peer.keep(fd))
    return peer


def serves(peer: Slave) -> bool:
    return peer.to("connected").exchange(b"memory") == b"memory"


def test_memory_that_was_not_sealed_is_sealed_when_it_is_taken(target):
    with connect_with(target, memfd(SIZE)) as peer:
        fd = peer.fds[0]
        assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
        assert serves(peer)
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
        assert serves(peer)
    target.check()


@pytest.mark.parametrize("when", ["region", "rings"])
def test_memory_that_was_taken_cannot_shrink_before_it_is_used(target, when):
    with target.slave().to(when) as peer:
        with pytest.raises(PermissionError):
            os.ftruncate(peer.fds[0], PAGE)
        assert serves(peer)
    target.check()


def test_memory_may_grow(target):
    with connect_with(target, memfd(SIZE)) as peer:
        os.ftruncate(peer.fds[0], 4 * SIZE)
        assert serves(peer)
    target.check()


def test_holes_in_memory_are_zeroes(target):
    fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    with connect_with(target, memfd(SIZE)) as peer:
        assert serves(peer)
        keep_size, punch_hole = 1, 2
        whole = ctypes.c_long(0), ctypes.c_long(SIZE)
        assert fallocate(peer.fds[0], keep_size | punch_hole, *whole) == 0
        peer.rings[S2M].signal()
        target.flow.check()
    target.check()
    target.good_slave()


def read_only(size: int, seals: int) -> int:
    fd = seal(memfd(size), seals)
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    os.close(fd)
    return again


UNFIT = {
    "read-only": lambda: read_only(SIZE, fcntl.F_SEAL_SHRINK),
    "read-only and not sealed": lambda: read_only(SIZE, fcntl.F_SEAL_GROW),
    "sealed against writing": lambda: seal(memfd(SIZE), fcntl.F_SEAL_WRITE),
    "sealed against future writing": lambda: seal(memfd(SIZE), F_SEAL_FUTURE_WRITE),
    "empty": lambda: memfd(0),
    "shorter by a byte": lambda: memfd(SIZE - 1),
    "directory": lambda: os.open("/", os.O_RDONLY),
    "eventfd": p.eventfd,
    "device": lambda: os.open("/dev/zero", os.O_RDWR),
}


@pytest.mark.parametrize("make", UNFIT.values(), ids=UNFIT)
def test_memory_is_refused_that_cannot_be_used(target, make):
    with target.slave().to("accepted") as peer:
        peer.send(p.add_region(0, SIZE), [peer.keep(make())])
        reason = peer.ending()
    assert "region" in reason
    assert target.said(reason)
    target.check()
    target.good_slave()


def file_on_disk(folder: Path) -> int:
    fd = os.open(folder / "region", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.ftruncate(fd, SIZE)
    return fd


# Memory that can shrink all the same.
LOOSE = {
    "memfd without seals": lambda _: memfd(SIZE, 0),
    "memfd sealed against seals": lambda _: seal(memfd(SIZE), fcntl.F_SEAL_SEAL),
    "file": file_on_disk,
}


@pytest.mark.parametrize("make", LOOSE.values(), ids=LOOSE)
def test_memory_that_can_shrink_is_taken_from_our_own_user(target, make, tmp_path):
    with connect_with(target, make(tmp_path)) as peer:
        assert serves(peer)
    target.check()


@pytest.mark.parametrize("make", LOOSE.values(), ids=LOOSE)
def test_memory_that_can_shrink_is_not_taken_from_others(make, tmp_path):
    fd = make(tmp_path)
    try:
        regions.check_peer_region(fd, SIZE, (1, os.geteuid(), 1))
        with pytest.raises(errors.RegionLimitError, match=f"can shrink.*user {NOBODY}"):
            regions.check_peer_region(fd, SIZE, (1, NOBODY, 1))
    finally:
        os.close(fd)


def test_every_region_may_be_the_same_memory(target):
    with connect_with(target, memfd(SIZE)) as peer:
        for index in range(255, 0, -1):
            peer.ask(p.add_region(index, PAGE), [peer.fds[0]])
        assert serves(peer)
    target.check()
    target.good_slave()


@pytest.mark.parametrize("exponent", [46, 50, 62])
def test_memory_beyond_the_address_space_is_refused(target, exponent):
    size = 1 << exponent
    with target.slave().to("accepted") as peer:
        fd = peer.keep(memfd(size))
        for index in range(4):
            peer.send(p.add_region(index, size), [fd])
        reason = peer.ending()
        mapped = peer.seen.count(p.ACK) - 1  # one was for INIT
        assert f"region {mapped} of {size} bytes" in reason
    target.check()
    target.good_slave()


# ---- huge pages ----


def huge_memfd(size: int) -> int:
    return memfd(size, os.MFD_ALLOW_SEALING | os.MFD_HUGETLB | os.MFD_HUGE_2MB)


def has_free_huge_pages() -> bool:
    free = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")
    return free.exists() and int(free.read_text()) > 0


def test_huge_pages_are_mapped_or_refused(target):
    """Without free pages no mapping comes about: then the offer is all that can be made."""
    with target.slave().to("accepted") as peer:
        fd = peer.keep(huge_memfd(HUGE))
        if has_free_huge_pages():
            peer.use(fd, HUGE)
            assert serves(peer)
        else:
            peer.send(p.add_region(0, HUGE), [fd])
            assert f"region 0 of {HUGE} bytes" in peer.ending()
    target.check()
    target.good_slave()


@pytest.mark.parametrize("size", [PAGE, HUGE - 1, HUGE + PAGE])
def test_a_part_of_a_huge_page_is_refused(target, size):
    """It would be mapped as a whole, and could not be unmapped."""
    with target.slave().to("accepted") as peer:
        peer.send(p.add_region(0, size), [peer.keep(huge_memfd(2 * HUGE))])
        assert f"expected a multiple of {HUGE}" in peer.ending()
    target.check()


def test_huge_pages_are_not_taken_from_others():
    fd = huge_memfd(HUGE)
    try:
        regions.check_peer_region(fd, HUGE, (1, os.geteuid(), 1))
        with pytest.raises(errors.RegionLimitError, match=f"huge pages, user {NOBODY}"):
            regions.check_peer_region(fd, HUGE, (1, NOBODY, 1))
    finally:
        os.close(fd)


# ---- what our slave offers ----


@versions
def test_what_a_slave_offers_cannot_shrink(target, version):
    with target.master(version).to("asked") as peer:
        for fd in [fd for fd in peer.fds if "memfd" in os.readlink(f"/proc/self/fd/{fd}")]:
            with pytest.raises(PermissionError):
                os.ftruncate(fd, 0)
        peer.to("connected")
        assert peer.exchange(b"memory") == b"memory"
    target.check()


@versions
def test_an_eventfd_that_a_master_makes_blocking_holds_no_receiver_up(target, version):
    with target.master(version).to("connected") as peer:
        assert peer.exchange(b"packet") == b"packet"
        for direction in (S2M, M2S):
            os.set_blocking(peer.ring(direction).efd, True)
        for _ in range(3):
            assert peer.exchange(b"packet") == b"packet"
            target.flow.check()
    target.check()
    target.good_master(version)
