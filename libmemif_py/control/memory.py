# SPDX-License-Identifier: Apache-2.0
"""What a link shares with its peer: regions, and the queues and eventfds on them.

A slave makes them, a master takes those of its peer. The program can provide regions in place of
ours (`External`): as slave it provides region 1, as master it maps those above 0.
"""

from __future__ import annotations

import posix

from .. import errors
from . import regions, system
from .channel import check_eventfd, close_fds
from .shown import may_keep, show_rings
from .steps import Steps
from .wire import VERSION_1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Protocol

    from .actions import Prepare, TakeRegion
    from .channel import Channel
    from .endpoint import Endpoint
    from .lock import Unlocked, Users
    from .native import Native
    from .wire import AddRing

    class External(Protocol):
        """The program's memory in place of ours.

        What it adds or maps is given back with `delete`, once for each. All may call back into
        the control plane, and are called without the control lock.
        """

        def provides(self) -> bool:
            """As slave: the program has buffers of its own."""
            ...

        def maps(self) -> bool:
            """As master: the program maps regions itself."""
            ...

        def add(self, size: int, context: Any) -> tuple[Any, int]:
            """Address and fd of at least `size` bytes, both the program's. Raises MemifError."""
            ...

        def map(self, size: int, fd: int, context: Any) -> Any:
            """The address at which the program mapped a peer's region. Raises MemifError."""
            ...

        def offsets(self, count: int, context: Any) -> list[int] | None:
            """Where each of `count` buffers lies in the region; None: one after the other."""
            ...

        def delete(self, address: Any, size: int, fd: int, context: Any) -> None:
            """The connection is over."""

    class Hub(Protocol):
        """What the memory of a link uses of the hub."""

        native: Native
        external: External | None
        program_posts: bool
        users: Users

        def unlocked(self) -> Unlocked:
            """For the time of a callback into the program."""
            ...

    class Link(Protocol):
        """What the memory of a link uses of the link."""

        channel: Channel
        closing: bool

        @property
        def hub(self) -> Hub:
            """The hub."""
            ...

        @property
        def owner(self) -> Endpoint:
            """Its interface."""
            ...


# The program provides one region for all buffers.
_ANY_SIZE = 1 << 63


class LinkEndedError(Exception):
    """The link has ended while the program was asked for something. All is undone."""


class Region:
    """One region of a link, for details and for the end.

    `fd` is open and ours until the link ends, unless `borrowed`: then it is the program's.
    `external` memory was provided or mapped by the program, at `address`.
    """

    __slots__ = ("address", "borrowed", "external", "fd", "index", "size")

    def __init__(self, index: int, size: int, fd: int) -> None:
        """Ordinary memory, mapped by the core."""
        self.index = index
        self.size = size
        self.fd = fd
        self.external = False
        self.borrowed = False
        self.address: Any = None


class Memory:
    """Regions, queues and eventfds of one link. The link must have its endpoint by then.

    Owns the eventfds and the regions' descriptors, and, through the endpoint's handle, the mapped
    regions and the queues.
    """

    def __init__(self, link: Link) -> None:
        """Nothing yet."""
        self._link = link
        self._hub = link.hub
        self._native = link.hub.native
        self.regions: list[Region] = []
        self.rx_efds: list[int] = []
        """The eventfds of our receive queues, by queue id."""
        self.ring_sizes: tuple[list[int], list[int]] = ([], [])
        """In slots, of our receive and our transmit rings, by queue id."""
        self._efds: list[int] = []
        self._efds_of_rings: dict[tuple[bool, int], int] = {}
        self._places: list[tuple[bool, int, int, int]] = []
        """Direction, queue id, region and offset of each ring."""

    # ---- a master's ----

    def take_region(self, action: TakeRegion) -> None:
        """Own, check and map a region of the peer's. Raises MemifError, OSError, LinkEndedError."""
        region = Region(action.index, action.size, action.fd)
        external = self._hub.external
        if region.index > 0 and external is not None and external.maps():
            self._take_external(region, external)
            return
        self.regions.append(region)
        self._check_peer_region(region)
        self._map(region)

    def _check_peer_region(self, region: Region) -> None:
        unsealed = self._link.owner.settings.unsealed
        regions.check_peer_region(region.fd, region.size, self._link.channel.peer, unsealed)

    def _take_external(self, region: Region, external: External) -> None:
        """The fd stays open while the program maps it, whatever becomes of the link."""
        with self._hub.users:  # the hub is needed until the region was kept or given back
            try:
                self._check_peer_region(region)
                _check_external_size(region.size)
                with self._hub.unlocked():
                    region.address = external.map(region.size, region.fd, self._context())
            except BaseException as error:
                with Steps(error) as steps:
                    steps.take(close_fds, [region.fd])
            self._keep(region)
        self._adopt(region)

    def take_ring(self, ring: AddRing, efd: int) -> None:
        """Own and check the eventfd of a ring of the peer's. Raises MemifError, OSError."""
        self._efds.append(efd)
        check_eventfd(efd)
        # A burst drains it without knowing whether it was signalled, and must not wait there.
        system.set_blocking(efd, False)
        self._efds_of_rings[ring.s2m, ring.index] = efd

    def use_rings(self, version: int, rings: Mapping[int, AddRing]) -> None:
        """Queues on the rings of one direction, all of which were taken. Raises MemifError."""
        for index, ring in sorted(rings.items()):
            self._add_queue(
                is_tx=not ring.s2m,
                qid=index,
                efd=self._efds_of_rings[ring.s2m, index],
                version=version,
                region=ring.region,
                offset=ring.offset,
                log2_ring_size=ring.log2_ring_size,
            )

    # ---- a slave's ----

    def create(self, wanted: Prepare) -> tuple[list[Any], list[Any], list[Any]]:
        """Make regions and queues; returns what SlaveHandshake.offer takes.

        Raises MemifError, OSError, LinkEndedError.
        """
        is_external = self._is_external()
        tailroom = self._tailroom(wanted.version)
        layout = regions.Layout(
            wanted.version,
            wanted.num_s2m,
            wanted.num_m2s,
            wanted.log2_ring_size,
            self._link.owner.settings.buffer_size,
            tailroom=tailroom,
            max_buffer_region=_ANY_SIZE if is_external else regions.MAX_BUFFER_REGION,
        )
        if is_external:
            self._create_external(wanted.version, layout)
        else:
            self._create_regions(layout.sizes)
        s2m = self._create_queues(wanted, layout.s2m, tailroom, is_tx=True)
        m2s = self._create_queues(wanted, layout.m2s, tailroom, is_tx=False)
        return [(region.size, region.fd) for region in self.regions], s2m, m2s

    @property
    def _external(self) -> External:
        """For code that only programs with such memory reach."""
        if self._hub.external is None:
            raise errors.ArgumentError("the program has no memory of its own for regions")
        return self._hub.external

    def _is_external(self) -> bool:
        return self._hub.external is not None and self._hub.external.provides()

    def _tailroom(self, version: int) -> int:
        """Behind each buffer: where the program may have a headroom in it."""
        may_have_headroom = self._hub.program_posts and version != VERSION_1
        return regions.TAILROOM if may_have_headroom and not self._is_external() else 0

    def _create_regions(self, sizes: Sequence[int]) -> None:
        for index, size in enumerate(sizes):
            region = Region(index, size, regions.create(size, f"memif region {index}"))
            self.regions.append(region)
            self._map(region)

    def _create_external(self, version: int, layout: regions.Layout) -> None:
        """Region 0 with the rings is ours, region 1 with the buffers the program's."""
        if version == VERSION_1:
            raise errors.ProtocolMismatchError("external regions need protocol version 512")
        size = layout.sizes[1]
        _check_external_size(size)
        self._create_regions(layout.sizes[:1])
        with self._hub.users:  # as in _take_external
            with self._hub.unlocked():
                address, fd = self._external.add(size, self._context())
            region = Region(1, size, fd)
            region.address, region.borrowed = address, True
            self._keep(region)
        self._adopt(region)

    def _create_queues(
        self, wanted: Prepare, places: Sequence[regions.Place], tailroom: int, *, is_tx: bool
    ) -> list[tuple[int, int, int]]:
        """The queues of one direction: the region, offset and eventfd of each."""
        made = []
        for qid, place in enumerate(places):
            efd = system.eventfd(0, posix.EFD_CLOEXEC | posix.EFD_NONBLOCK)
            self._efds.append(efd)  # at once: what follows may fail
            self._add_queue(
                is_tx=is_tx,
                qid=qid,
                efd=efd,
                version=wanted.version,
                region=place.region,
                offset=place.offset,
                log2_ring_size=wanted.log2_ring_size,
                post_at_start=not self._hub.program_posts,
                buffer_offsets=self._buffer_offsets(wanted.log2_ring_size),
                buffer_region=place.buffer_region,
                buffer_offset=place.buffer_offset,
                tailroom=tailroom,
            )
            made.append((place.region, place.offset, efd))
        return made

    def _buffer_offsets(self, log2_ring_size: int) -> Any:
        """As the program lays its buffers out; NULL: one after the other."""
        ffi = self._native.ffi
        if not self._is_external():
            return ffi.NULL
        with self._hub.users, self._hub.unlocked():
            offsets = self._external.offsets(1 << log2_ring_size, self._context())
        self._check_alive()
        return ffi.NULL if offsets is None else ffi.new("uint32_t[]", offsets)

    # ---- both ----

    def _add_queue(
        self, *, is_tx: bool, qid: int, efd: int, log2_ring_size: int, **others: Any
    ) -> None:
        """Names and values are those of struct mif_queue_config."""
        settings = self._link.owner.settings
        config = {
            "is_slave": not settings.is_master,
            "is_tx": is_tx,
            "qid": qid,
            "efd": efd,
            "untrusted": not self._link.channel.is_trusted,
            "log2_ring_size": log2_ring_size,
            "buffer_size": settings.buffer_size,
        } | others
        native, handle = self._native, self._link.owner.handle
        struct = native.ffi.new("struct mif_queue_config *", config)
        code = native.lib.mif_connection_add_queue(handle, struct)
        native.check(code, f"{'tx' if is_tx else 'rx'} queue {qid}")
        self.ring_sizes[is_tx].append(1 << log2_ring_size)
        self._places.append((is_tx, qid, config["region"], config["offset"]))
        if not is_tx:
            self.rx_efds.append(efd)

    def _map(self, region: Region) -> None:
        """Have the core map it."""
        handle = self._link.owner.handle
        code = self._native.lib.mif_connection_map(handle, region.index, region.fd, region.size)
        self._native.check(code, f"region {region.index} of {region.size} bytes")

    def _adopt(self, region: Region) -> None:
        """Have the core use what the program has mapped."""
        code = self._native.lib.mif_connection_adopt(
            self._link.owner.handle, region.index, region.address, region.size
        )
        self._native.check(code, f"external region {region.index} of {region.size} bytes")

    def _keep(self, region: Region) -> None:
        """Own a region of the program's; if the link is over, give it back at once."""
        region.external = True
        self.regions.append(region)
        if self._link.closing:
            self._give_regions_back()
        self._check_alive()

    def _check_alive(self) -> None:
        """After a callback, during which the lock was released. Raises LinkEndedError."""
        if self._link.closing:
            raise LinkEndedError

    def _context(self) -> Any:
        return self._link.owner.private_ctx

    # ---- the end ----

    def close_region_fds(self) -> None:
        """All is mapped. The mappings stay; only details still could show the descriptors.

        Those of rings stay open for `show_rings`, if the process has descriptors to spare.
        """
        if self._hub.external is not None:
            return  # the program sees them in details, and is given them back at the end
        rings = {region for _, _, region, _ in self._places}
        is_shown = self._native.lib.mif_segment_is_open()
        closed = [
            region
            for region in self.regions
            if not (is_shown and region.index in rings and may_keep(region.fd))
        ]
        close_fds([region.fd for region in closed])
        for region in closed:
            region.fd = -1

    def show_rings(self) -> None:
        """Tell other processes where the rings are, so that they can see how full these are."""
        fds = {region.index: region.fd for region in self.regions}
        rings = [(is_tx, qid, fds[index], offset) for is_tx, qid, index, offset in self._places]
        show_rings(self._link.owner, rings)

    def release(self) -> None:
        """No burst enters a queue any more, and none is inside: unmap, and give regions back.

        Raises the first error when all is done.
        """
        with Steps() as steps:
            self._native.lib.mif_connection_down(self._link.owner.handle)
            steps.take(self._unmap)
            steps.take(self._give_regions_back)

    def _unmap(self) -> None:
        code = self._native.lib.mif_connection_release(self._link.owner.handle)
        self._native.check(code, "regions")

    def _give_regions_back(self) -> None:
        kept, self.regions = self.regions, []
        with Steps() as steps:
            for region in kept:
                if region.address is not None:
                    steps.take(self._give_back, region)
            steps.take(close_fds, [r.fd for r in kept if r.fd >= 0 and not r.borrowed])

    def _give_back(self, region: Region) -> None:
        external, context = self._external, self._context()
        with self._hub.unlocked():
            external.delete(region.address, region.size, region.fd, context)

    def close_eventfds(self) -> None:
        """The last of it: signals of queues that are down need them no more."""
        efds, self._efds = self._efds, []
        close_fds(efds)

    def abandon(self, at_rest: bool) -> None:
        """See Hub.abandon."""
        if at_rest:
            borrowed = (region.fd for region in self.regions if region.borrowed)
            fds = {*self._efds, *(region.fd for region in self.regions)} - {-1, *borrowed}
            close_fds(list(fds))
        self._efds = []
        self.regions = []


def _check_external_size(size: int) -> None:
    """The program's callbacks count in 32 bits."""
    if size >= 1 << 32:
        text = f"external region of {size} bytes, expected less than 4 GiB"
        raise errors.RegionLimitError(text)
