# SPDX-License-Identifier: Apache-2.0
"""Shared memory: where a slave puts its rings and buffers, and which memory of a peer we accept.

Our memory and the peer's is sealed against shrinking. If the file of a mapping became shorter, the
next access would end the process with SIGBUS.
"""

from __future__ import annotations

import fcntl
import posix

from .. import errors
from . import system
from .trust import is_trusted
from .wire import VERSION_1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

RING_HEADER = 128
_DESCRIPTOR = {VERSION_1: 32}
_DESCRIPTOR_2 = 16
_ALIGN = 64
# Descriptors of version 512 have 32 bits for an offset. We use half of that range.
MAX_BUFFER_REGION = 1 << 31
# Bytes behind each buffer, for programs that reserve a headroom in it: when DPDK sends, it ignores
# the length of a posted buffer and writes past its end by that headroom.
TAILROOM = 128
UNSEALED = ("trusted", "never", "always")


class Place:
    """Where one queue of a slave lies: its ring, and its buffers slot by slot."""

    __slots__ = ("buffer_offset", "buffer_region", "offset", "region")

    def __init__(self, region: int, offset: int, buffer_region: int, buffer_offset: int) -> None:
        """All in bytes from the start of the region."""
        self.region = region
        self.offset = offset
        self.buffer_region = buffer_region
        self.buffer_offset = buffer_offset


class Layout:
    """A slave's memory: sizes of its regions, and the places of its S2M and M2S queues."""

    def __init__(
        self,
        version: int,
        num_s2m: int,
        num_m2s: int,
        log2_ring_size: int,
        buffer_size: int,
        *,
        tailroom: int = 0,
        max_buffer_region: int = MAX_BUFFER_REGION,
    ) -> None:
        """Rings first, one after the other, then buffers.

        Version 256 has everything in region 0, as its peers expect. Version 512 has the buffers in
        regions of their own, none longer than `max_buffer_region` bytes. Behind each buffer are
        `tailroom` unused bytes.
        """
        count = num_s2m + num_m2s
        descriptor = _DESCRIPTOR.get(version, _DESCRIPTOR_2)
        ring = _aligned(RING_HEADER + (descriptor << log2_ring_size))
        buffers = (buffer_size + tailroom) << log2_ring_size
        self.sizes = [ring * count]
        places = []
        for i in range(count):
            if version != VERSION_1 and (i == 0 or self.sizes[-1] + buffers > max_buffer_region):
                self.sizes.append(0)
            places.append(Place(0, ring * i, len(self.sizes) - 1, self.sizes[-1]))
            self.sizes[-1] += buffers
        self.s2m = places[:num_s2m]
        self.m2s = places[num_s2m:]


def _aligned(size: int) -> int:
    return (size + _ALIGN - 1) & ~(_ALIGN - 1)


def create(size: int, name: str) -> int:
    """A memfd of `size` bytes that cannot shrink. The caller owns it. Raises OSError."""
    fd = system.memfd_create(name, posix.MFD_CLOEXEC | posix.MFD_ALLOW_SEALING)
    try:
        system.ftruncate(fd, size)
        system.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    except BaseException:
        posix.close(fd)
        raise
    return fd


def check_peer_region(fd: int, size: int, peer: Sequence[int], unsealed: str = "trusted") -> None:
    """Raise RegionLimitError unless `size` bytes of the peer's `fd` can be mapped and stay there.

    `unsealed`, one of UNSEALED, says whether memory that can go away is accepted from a peer
    (pid, uid, gid): memory that cannot be sealed, as DPDK exports it, and huge pages.
    """
    sealed, huge = _seal_against_shrinking(fd), _huge_page_size(fd)
    if not (sealed or _may_be_unsealed(peer, unsealed)):
        raise errors.RegionLimitError(can_shrink(peer, unsealed))
    if huge and not _may_be_unsealed(peer, unsealed):
        # The peer can punch a hole. The next access fills it, or ends with SIGBUS if it cannot.
        text = f"region of huge pages, user {peer[1]}, policy {unsealed}: expected ordinary ones"
        raise errors.RegionLimitError(text)
    if huge and size % huge:
        # The kernel maps and unmaps whole pages only.
        text = f"region of {size} bytes in huge pages, expected a multiple of {huge}"
        raise errors.RegionLimitError(text)
    # The size counts only after the seal: before it, it could still change.
    available = system.fstat(fd).st_size
    if not 0 < size <= available:
        raise errors.RegionLimitError(f"region of {size} bytes announced, its file has {available}")


def can_shrink(peer: Sequence[int], unsealed: str) -> str:
    """The reason of a refusal."""
    return f"region can shrink, user {peer[1]}, policy {unsealed}: expected a sealed memfd"


def _may_be_unsealed(peer: Sequence[int], unsealed: str) -> bool:
    return unsealed == "always" or (unsealed == "trusted" and is_trusted(peer))


def _huge_page_size(fd: int) -> int:
    """The size of its pages if these are huge, or 0."""
    try:
        system.fcntl(fd, fcntl.F_GET_SEALS)  # only memory has seals, and other files may block us
    except OSError:
        return 0
    unit = system.fstatvfs(fd).f_bsize
    return unit if unit > posix.sysconf("SC_PAGESIZE") else 0


def _seal_against_shrinking(fd: int) -> bool:
    try:
        if system.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK:
            return True
        system.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    except OSError:
        return False
    return True
