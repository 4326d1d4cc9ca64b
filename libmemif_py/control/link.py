# SPDX-License-Identifier: Apache-2.0
"""One control connection and everything that lives as long as it: the shell of a actions.

A link owns its channel, the eventfds of its queues and, through the endpoint's handle, the mapped
regions and queues. Whatever happens it is taken apart in one place, `_take_apart`, in this order:
the channel is no longer watched, the application is told while queues and interrupts still work (it
receives what the peer had published), interrupts off, queues down (no burst inside any more),
memory unmapped, fds closed. The application hears DEL before an fd is closed.
"""

from __future__ import annotations

import os

from .. import errors
from . import actions, regions, system
from .actions import HandshakeMisuse, ProtocolError
from .channel import Elsewhere, FdsWaiting, check_eventfd, close_fds
from .handshake import MasterHandshake, SlaveHandshake
from .steps import Steps
from .wire import VERSION_1, AddRing, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .channel import Channel
    from .endpoint import Endpoint
    from .handshake import MasterSettings
    from .hub import Hub, Listener


class Region:
    """One region of a link, for details and for the end.

    `fd` is open and ours until the link ends, unless `borrowed`: then it is the application's.
    `external` memory was provided or mapped by the application.
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


class _OverError(Exception):
    """The link has ended while the application was asked for something."""


class Link:
    """What master and slave links share: messages in, actions out, and the end."""

    machine: MasterHandshake | SlaveHandshake

    def __init__(self, hub: Hub, channel: Channel) -> None:
        """Own the channel. The hub calls `on_ready` when it can be read."""
        self.hub = hub
        self.native = hub.native
        self.channel = channel
        self.peer = channel.peer
        self.endpoint: Endpoint | None = None
        self.up = False
        self.closing = False
        self.regions: list[Region] = []
        self._elsewhere: _Elsewhere | None = None
        self._efds: list[int] = []
        self._watched_efds: list[int] = []
        self._ring_sizes: tuple[list[int], list[int]] = ([], [])
        self._perform: dict[type, Callable] = {
            actions.Send: self._send,
            actions.Established: self._established,
            actions.Closed: self._closed_by_peer,
        }

    # ---- events ----

    def on_ready(self, _events: int) -> None:
        """Take one message; more will make the socket ready again."""
        if self.closing:
            return
        try:
            data, fds = self.channel.receive()
        except BlockingIOError:
            return
        except FdsWaiting as message:
            self._receive_elsewhere(message.data)
            return
        except OSError as error:
            if system.is_denied(error):
                self.hub.denied(error)
            self.disconnect(f"control socket: {error.strerror}")
            return
        if data:
            self._receive(data, fds)
        else:
            close_fds(fds)
            self._ended()

    def _receive_elsewhere(self, data: bytes) -> None:
        """A message with descriptors of a peer that is not trusted, if it has to have one."""
        kind = self.machine.wanted_fd(data)
        if kind is None:
            error = ProtocolError("MFMSG", "a message with descriptors, expected none")
            self._refuse(error)
            return
        try:
            self._elsewhere = _Elsewhere(self, kind)
            self.hub.unwatch(self.channel.fileno())
            if not self.closing:
                self.hub.watch(self._elsewhere.fileno(), self._elsewhere)
        except (errors.MemifError, OSError) as error:
            self.disconnect(f"{_FAILED}: {error}", told=_FAILED)

    def fd_kind(self, kind: type) -> int:
        """What is good as the descriptor of such a message, an enum mif_fd_kind."""
        lib = self.native.lib
        if kind is AddRing:
            return lib.MIF_FD_EVENTFD
        is_any = self.endpoint.settings.unsealed == "always"
        return lib.MIF_FD_ANY if is_any else lib.MIF_FD_MEMORY

    def received_elsewhere(self, elsewhere: _Elsewhere) -> None:
        """There is an answer."""
        try:
            data, fds, count = elsewhere.answer()
        except BlockingIOError:
            return
        except OSError as error:
            self.disconnect(f"control socket: {error.strerror}")
            return
        try:
            self._end_elsewhere()
            if not self.closing:
                self.hub.watch(self.channel.fileno(), self)
        except errors.MemifError as error:
            with Steps() as steps:
                steps.take(close_fds, fds)
                steps.take(self.disconnect, str(error))
            return
        except BaseException as error:
            with Steps(error) as steps:
                steps.take(close_fds, fds)
                steps.take(self.disconnect, f"{_FAILED}: {error}", _FAILED)
        if self.closing:
            close_fds(fds)
        elif not data:
            close_fds(fds)
            self._ended()
        elif len(fds) == count:
            self._receive(data, fds)
        else:
            self._refuse(self._unfit(elsewhere.kind, count))

    def _unfit(self, kind: type, count: int) -> ProtocolError:
        """Why a message has come without its descriptor."""
        if count != 1:
            return ProtocolError("MFMSG", f"{kind.label} with {count} fds, expected 1")
        if kind is AddRing:
            return ProtocolError("BAD_FD", "the fd of a ring is no eventfd")
        text = regions.can_shrink(self.peer, self.endpoint.settings.unsealed)
        return ProtocolError("MAXREG", text)

    def _end_elsewhere(self) -> None:
        elsewhere, self._elsewhere = self._elsewhere, None
        if elsewhere is not None:
            with Steps() as steps:
                steps.take(self.hub.unwatch, elsewhere.fileno())
                steps.take(elsewhere.close)

    def timed_out(self) -> None:
        """The handshake took too long."""
        self.disconnect("handshake timed out")

    def _ended(self) -> None:
        """The channel has no more to read: the peer left, or the data path found it cheating."""
        fault = (
            self.native.lib.mif_connection_fault(self.endpoint.handle) if self.endpoint else None
        )
        if fault:
            self.disconnect(self.native.ffi.string(fault).decode())
        else:
            self.close("peer closed the connection")

    def _receive(self, data: bytes, fds: list[int]) -> None:
        try:
            answers = self.machine.receive(data, fds)
        except ProtocolError as error:
            close_fds(error.fds)
            self._refuse(error)
            return
        except HandshakeMisuse:
            close_fds(fds)
            self.disconnect("unexpected message")
            return
        self._execute(answers)

    def _execute(self, answers: list[actions.Action]) -> None:
        """Perform actions in order; after a failure, own and close the fds of the rest.

        To perform one may be a step of the machine, whose answers come next.
        """
        pending = list(answers)
        try:
            while pending and not self.closing:
                action = pending.pop(0)
                pending[:0] = self._perform[type(action)](action) or ()
        except _OverError:
            return  # all that was to be undone is
        except ProtocolError as error:
            self._refuse(error)
        except errors.CallbackError as error:
            self.disconnect(str(error))
            raise  # the program's own failure, so its call into the library fails
        except errors.MemifError as error:
            self.disconnect(str(error))
        except Exception as error:
            # Whatever it was, it ends this connection and nothing else.
            if system.is_denied(error):
                self.hub.denied(error)
            self.disconnect(f"{_FAILED}: {error}", told=_FAILED)
        finally:
            close_fds([a.fd for a in pending if isinstance(a, _TAKING)])

    # ---- actions ----

    def _send(self, action: actions.Send) -> None:
        self.channel.send(action.data, action.fd)

    def _closed_by_peer(self, action: actions.Closed) -> None:
        reason = printable(action.reason) or f"code {action.code}"
        self.close(f"disconnected by the peer: {reason}")

    def _ask_program(self) -> None:
        """Whether it wants this peer. The interface is taken meanwhile: no other peer gets it."""
        endpoint, admits = self.endpoint, self.endpoint.observer.admits
        if admits is None:
            return
        admitted = False
        try:
            with self.hub.unlocked():
                admitted = admits(endpoint, self.peer)
        finally:
            if not admitted:
                self.disconnect(_NOT_ADMITTED)

    # ---- up ----

    def _established(self, _action: actions.Established) -> None:
        """The handshake is through: open the queues and tell the application."""
        endpoint = self.endpoint
        handle = endpoint.handle
        self.hub.cancel_deadline(self)
        self.native.check(
            self.native.lib.mif_connection_up(handle, self.channel.fileno()), "queues"
        )
        self._watch_interrupts()
        if self.closing:
            return
        self.up = True
        endpoint.last_error = ""
        endpoint.remote_name = self.machine.remote_name
        endpoint.remote_if_name = self.machine.remote_if_name
        self.native.debug(f"{self.describe()}: connected, protocol version {self.machine.version}")
        with self.hub.unlocked():
            endpoint.observer.connected(endpoint, handle)

    def _watch_interrupts(self) -> None:
        if self.endpoint.interrupt == self.native.ffi.NULL:
            return
        for qid, efd in enumerate(self.rx_efds()):
            # Noted first: the program hears of the fd, and may delete the interface right there.
            self._watched_efds.append(efd)
            self.hub.watch_interrupt(efd, self.endpoint.handle, qid)
            if self.closing:
                return

    def rx_efds(self) -> list[int]:
        """The eventfds of our receive queues, by queue id."""
        raise NotImplementedError

    def rings(self, is_tx: bool) -> list[int]:
        """The sizes, in slots, of our receive or transmit rings, by queue id."""
        return self._ring_sizes[is_tx]

    def _add_queues(self, configs: list[dict]) -> None:
        native = self.native
        for values in configs:
            config = native.ffi.new("struct mif_queue_config *", values)
            code = native.lib.mif_connection_add_queue(self.endpoint.handle, config)
            native.check(code, f"{'tx' if values['is_tx'] else 'rx'} queue {values['qid']}")
            self._ring_sizes[values["is_tx"]].append(1 << values["log2_ring_size"])

    def _is_wary(self) -> bool:
        """Whether the peer might use an eventfd to hold us up."""
        return not self.channel.is_trusted

    # ---- down ----

    def disconnect(self, reason: str, told: str | None = None) -> None:
        """End the connection and tell the peer why, or what is `told` instead."""
        self._refuse(ProtocolError("DISCONNECT", told or reason), reason)

    def _refuse(self, error: ProtocolError, reason: str | None = None) -> None:
        try:
            for action in self.machine.refuse(error):
                self.channel.send(action.data)
        except OSError:
            pass  # the peer is gone or does not read: it will see the socket close
        self.close(reason or error.reason)

    def close(self, reason: str) -> None:
        """End the connection without a word to the peer."""
        if self.closing:
            return
        self.closing = True
        self.native.debug(f"{self.describe()}: {reason}", depth=2)
        with self.hub.ending():
            self._take_apart(reason)

    def _take_apart(self, reason: str) -> None:
        hub, endpoint = self.hub, self.endpoint
        with Steps() as steps:
            steps.take(hub.cancel_deadline, self)
            hub.forget_link(self)
            steps.take(hub.unwatch, self.channel.fileno())
            steps.take(self._end_elsewhere)
            if endpoint is not None:
                steps.take(self._leave, endpoint, reason)
            steps.take(close_fds, self._efds)
            self._efds = []
            steps.take(self.channel.close)
            if endpoint is not None:
                steps.take(endpoint.unlinked, reason)

    def _leave(self, endpoint: Endpoint, reason: str) -> None:
        """Until `disconnected` returns all queues work, for all threads, and the link counts as up.

        Whatever comes of that, no queue and no memory stays behind.
        """
        with Steps() as steps:
            if self.up:
                steps.take(self._tell_of_end, endpoint, reason)
            self.up = False
            for efd in self._watched_efds:
                steps.take(self.hub.unwatch, efd)
            self.native.lib.mif_connection_down(endpoint.handle)
            steps.take(self._release, endpoint)
            steps.take(self._give_regions_back, endpoint)

    def _tell_of_end(self, endpoint: Endpoint, reason: str) -> None:
        with self.hub.unlocked():
            endpoint.observer.disconnected(endpoint, reason)

    def _release(self, endpoint: Endpoint) -> None:
        self.native.check(self.native.lib.mif_connection_release(endpoint.handle), "regions")

    def abandon(self, at_rest: bool) -> None:
        """See Hub.abandon."""
        self.closing = True
        self.up = False
        self.channel.abandon()
        if self._elsewhere is not None:
            self._elsewhere.close()
        if at_rest:
            borrowed = (region.fd for region in self.regions if region.borrowed)
            fds = {*self._efds, *(region.fd for region in self.regions)} - {-1, *borrowed}
            close_fds(list(fds))
        self._efds = []
        self.regions = []

    # ---- regions ----

    def _check_external_size(self, size: int) -> None:
        """The application's callbacks count in 32 bits."""
        if size >= 1 << 32:
            text = f"external region of {size} bytes, expected less than 4 GiB"
            raise errors.RegionLimitError(text)

    def _map(self, region: Region) -> None:
        """Have the core map it."""
        code = self.native.lib.mif_connection_map(
            self.endpoint.handle, region.index, region.fd, region.size
        )
        self.native.check(code, f"region {region.index} of {region.size} bytes")

    def _adopt(self, region: Region) -> None:
        """Have the core use what the application has mapped."""
        code = self.native.lib.mif_connection_adopt(
            self.endpoint.handle, region.index, region.address, region.size
        )
        self.native.check(code, f"external region {region.index} of {region.size} bytes")

    def _keep(self, region: Region) -> None:
        """Own a region of the application's; at once its own again if the link is over."""
        region.external = True
        self.regions.append(region)
        if self.closing:
            self._give_regions_back(self.endpoint)
        self._check_alive()

    def _check_alive(self) -> None:
        """After a callback, which had the lock released. Raises _OverError."""
        if self.closing:
            raise _OverError

    def _close_region_fds(self) -> None:
        """The mappings stay; only details still could show the fds."""
        if self.hub.external is not None:
            return  # the application sees them in details, and is given them back at the end
        close_fds([region.fd for region in self.regions])
        for region in self.regions:
            region.fd = -1

    def _give_regions_back(self, endpoint: Endpoint) -> None:
        regions_, self.regions = self.regions, []
        with Steps() as steps:
            for region in regions_:
                if region.address is not None:
                    steps.take(self._give_back, region, endpoint)
            steps.take(close_fds, [r.fd for r in regions_ if r.fd >= 0 and not r.borrowed])

    def _give_back(self, region: Region, endpoint: Endpoint) -> None:
        with self.hub.unlocked():
            self.hub.external.delete(region.address, region.size, region.fd, endpoint.private_ctx)

    def describe(self) -> str:
        """For debug lines."""
        if self.endpoint is None:
            return "new connection"
        settings = self.endpoint.settings
        role = "master" if settings.is_master else "slave"
        return f"{role} {printable(settings.if_name) or '-'} id {settings.interface_id}"


# All that the peer hears: what the program found wrong, or failed of, is not for it.
_FAILED = "cannot set the connection up"
_NOT_ADMITTED = "not admitted by the application"
# The application provides one region for all buffers.
_ANY_SIZE = 1 << 63

_TAKING = (actions.TakeRegion, actions.TakeRing)


class _Elsewhere(Elsewhere):
    """Of a link, for the hub to watch."""

    def __init__(self, link: Link, kind: type) -> None:
        super().__init__(link.channel, link.fd_kind(kind), link.native.check)
        self._link = link
        self.kind = kind

    def on_ready(self, _events: int) -> None:
        self._link.received_elsewhere(self)


class MasterLink(Link):
    """A connection that was accepted; it has no endpoint before INIT names one."""

    def __init__(
        self,
        hub: Hub,
        channel: Channel,
        listener: Listener,
        limits: dict[str, int],
        expected: int | None,
    ) -> None:
        """`listener` is who accepted the channel.

        `limits` are those of HELLO, as MasterHandshake has them, `expected` is the interface that
        they were made for, None for any.
        """
        super().__init__(hub, channel)
        self._listener = listener
        self.expected = expected
        self._candidate: Endpoint | None = None
        self._s2m: dict[int, tuple[AddRing, int]] = {}
        self._m2s: dict[int, tuple[AddRing, int]] = {}
        self.machine = MasterHandshake(hub.app_name, self._terms, **limits)
        self._perform |= {
            actions.Select: self._select,
            actions.TakeRegion: self._take_region,
            actions.TakeRing: self._take_ring,
            actions.Establish: self._establish,
        }

    def is_stranger(self) -> bool:
        """True before INIT has named an interface."""
        return self.endpoint is None and not self.closing

    def start(self) -> None:
        """Say HELLO, unless the application closed the listener when it heard of the channel."""
        if not self.closing:
            self._execute(self.machine.start())

    def _terms(self, interface_id: int) -> MasterSettings:
        self._candidate = self._listener.find(interface_id)
        return self._candidate.settings

    def _select(self, _action: actions.Select) -> None:
        self.endpoint = self._candidate
        self.endpoint.linked(self)
        self._listener.known.tried(
            self.channel.identity(),
            self.machine.remote_name,
            self.endpoint.settings.interface_id,
        )
        self._ask_program()

    def _take_region(self, action: actions.TakeRegion) -> None:
        region = Region(action.index, action.size, action.fd)
        external = self.hub.external
        if region.index > 0 and external is not None and external.maps():
            self._take_external(region)
            return
        self.regions.append(region)
        self._check_peer_region(region)
        self._map(region)

    def _check_peer_region(self, region: Region) -> None:
        unsealed = self.endpoint.settings.unsealed
        regions.check_peer_region(region.fd, region.size, self.peer, unsealed)

    def _take_external(self, region: Region) -> None:
        """The fd stays open while the application maps it, whatever becomes of the link."""
        with self.hub.ending():  # the hub is needed until the region was kept or given back
            try:
                self._check_peer_region(region)
                self._check_external_size(region.size)
                with self.hub.unlocked():
                    region.address = self.hub.external.map(
                        region.size, region.fd, self.endpoint.private_ctx
                    )
            except BaseException as error:
                with Steps(error) as steps:
                    steps.take(close_fds, [region.fd])
            self._keep(region)
        self._adopt(region)

    def _take_ring(self, action: actions.TakeRing) -> None:
        self._efds.append(action.fd)
        check_eventfd(action.fd)
        # A burst drains it without knowing whether it was signalled, and must not wait there.
        system.set_blocking(action.fd, False)
        rings = self._s2m if action.ring.s2m else self._m2s
        rings[action.ring.index] = (action.ring, action.fd)

    def _establish(self, _action: actions.Establish) -> list[actions.Action]:
        self._add_queues([self._queue(*self._s2m[i], is_tx=False) for i in sorted(self._s2m)])
        self._add_queues([self._queue(*self._m2s[i], is_tx=True) for i in sorted(self._m2s)])
        self._close_region_fds()
        return self.machine.accept()

    def _queue(self, ring: AddRing, efd: int, *, is_tx: bool) -> dict:
        return {
            "version": self.machine.version,
            "is_slave": 0,
            "is_tx": is_tx,
            "qid": ring.index,
            "region": ring.region,
            "offset": ring.offset,
            "log2_ring_size": ring.log2_ring_size,
            "efd": efd,
            "untrusted": self._is_wary(),
            "buffer_size": self.endpoint.settings.buffer_size,
        }

    def _refuse(self, error: ProtocolError, reason: str | None = None) -> None:
        if error.code == "MAXRING" and self._listener.known.offered_too_many(
            self.channel.identity()
        ):
            name = printable(self.machine.remote_name) or "the peer"
            reason = f"{error.reason}; {name} will be told so when it tries again"
        super()._refuse(error, reason)

    def _take_apart(self, reason: str) -> None:
        if self.endpoint is None and self._candidate is not None:
            self._candidate.last_error = reason  # a peer that was refused by name
        super()._take_apart(reason)

    def rx_efds(self) -> list[int]:
        """The slave sends on S2M rings."""
        return [self._s2m[i][1] for i in sorted(self._s2m)]


class SlaveLink(Link):
    """A connection that we made for an endpoint."""

    def __init__(self, hub: Hub, channel: Channel, endpoint: Endpoint) -> None:
        """The endpoint has no other link."""
        super().__init__(hub, channel)
        self.endpoint = endpoint
        self._m2s_efds: list[int] = []
        self.machine = SlaveHandshake(endpoint.settings)
        self._perform[actions.Prepare] = self._prepare

    def _prepare(self, action: actions.Prepare) -> list[actions.Action]:
        self._ask_program()  # before INIT, which contains the secret
        if self.closing:
            return []
        layout = regions.Layout(
            action.version,
            action.num_s2m,
            action.num_m2s,
            action.log2_ring_size,
            self.endpoint.settings.buffer_size,
            tailroom=self._tailroom(action.version),
            max_buffer_region=_ANY_SIZE if self._uses_external() else regions.MAX_BUFFER_REGION,
        )
        if self._uses_external():
            self._create_external(action.version, layout)
        else:
            self._create_regions(layout.sizes)
        s2m = self._create_queues(action, layout.s2m, is_tx=True)
        m2s = self._create_queues(action, layout.m2s, is_tx=False)
        self._m2s_efds = [efd for _, _, efd in m2s]
        return self.machine.offer([(r.size, r.fd) for r in self.regions], s2m, m2s)

    def _create_regions(self, sizes: list[int]) -> None:
        for index, size in enumerate(sizes):
            region = Region(index, size, regions.create(size, f"memif region {index}"))
            self.regions.append(region)
            self._map(region)

    def _uses_external(self) -> bool:
        return self.hub.external is not None and self.hub.external.provides()

    def _tailroom(self, version: int) -> int:
        """Behind each buffer: where the application may have a headroom in it."""
        may_have_headroom = self.hub.application_posts and version != VERSION_1
        return regions.TAILROOM if may_have_headroom and not self._uses_external() else 0

    def _create_external(self, version: int, layout: regions.Layout) -> None:
        """Region 0 with the rings is ours, region 1 with the buffers the application's."""
        if version == VERSION_1:
            raise errors.ProtocolMismatchError("external regions need protocol version 512")
        size = layout.sizes[1]
        self._check_external_size(size)
        self._create_regions(layout.sizes[:1])
        with self.hub.ending():  # as in MasterLink._take_external
            with self.hub.unlocked():
                address, fd = self.hub.external.add(size, self.endpoint.private_ctx)
            region = Region(1, size, fd)
            region.address, region.borrowed = address, True
            self._keep(region)
        self._adopt(region)

    def _buffer_offsets(self, log2_ring_size: int) -> Any:
        """As the application lays its buffers out; NULL: one after the other."""
        ffi = self.native.ffi
        if not self._uses_external():
            return ffi.NULL
        with self.hub.ending(), self.hub.unlocked():
            offsets = self.hub.external.offsets(1 << log2_ring_size, self.endpoint.private_ctx)
        self._check_alive()
        return ffi.NULL if offsets is None else ffi.new("uint32_t[]", offsets)

    def _create_queues(
        self, action: actions.Prepare, places: list[regions.Place], *, is_tx: bool
    ) -> list[tuple[int, int, int]]:
        efds = []
        for _ in places:
            efds.append(system.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
            self._efds.append(efds[-1])  # at once: the next one may fail
        self._add_queues(
            [
                self._queue(action, place, qid, efd, is_tx)
                for qid, (place, efd) in enumerate(zip(places, efds, strict=True))
            ]
        )
        return [(p.region, p.offset, efd) for p, efd in zip(places, efds, strict=True)]

    def _queue(
        self, action: actions.Prepare, place: regions.Place, qid: int, efd: int, is_tx: bool
    ) -> dict:
        return {
            "version": action.version,
            "is_slave": 1,
            "post_at_start": not self.hub.application_posts,
            "buffer_offsets": self._buffer_offsets(action.log2_ring_size),
            "is_tx": is_tx,
            "qid": qid,
            "region": place.region,
            "offset": place.offset,
            "log2_ring_size": action.log2_ring_size,
            "efd": efd,
            "untrusted": self._is_wary(),
            "buffer_region": place.buffer_region,
            "buffer_offset": place.buffer_offset,
            "tailroom": self._tailroom(action.version),
            "buffer_size": self.endpoint.settings.buffer_size,
        }

    def _established(self, action: actions.Established) -> None:
        self._close_region_fds()
        super()._established(action)

    def rx_efds(self) -> list[int]:
        """The master sends on M2S rings."""
        return self._m2s_efds
