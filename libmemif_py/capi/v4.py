# SPDX-License-Identifier: Apache-2.0
"""What the 4.0 C API calls: unpacks arguments and calls the control plane."""

from __future__ import annotations

from .. import errors
from ..control.hub import Hub
from ..control.lock import LOCK
from ..control.steps import Steps
from . import common
from .external import ExternalRegions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..control.endpoint import Endpoint


class ApiV4(common.Api):
    """The functions that capi/v4/api.c calls, and their state: a hub for each socket."""

    name = b"4.0"
    shows_no_secret_as_empty = False

    def __init__(self, ffi: Any, lib: Any) -> None:
        """No socket yet."""
        super().__init__(ffi, lib)
        self.hubs: dict[int, Hub] = {}

    # ---- sockets ----

    def open(self, sock: Any, first: int, interval: int) -> None:
        """memif_create_socket."""
        hub = Hub(
            self.native,
            self.ffi.addressof(sock.poller),
            self.ffi.string(sock.app_name),
            retry_interval=_seconds(interval),
            attempts_in_add=True,
            program_posts=True,
            external=ExternalRegions(self.native, sock),
        )
        hub.set_retry(_seconds(first), _seconds(interval))
        self.hubs[self._key(sock)] = hub

    def close(self, sock: Any) -> None:
        """memif_delete_socket."""
        with LOCK:
            hub = self._hub(sock)
            if hub.in_use():
                raise errors.ArgumentError("the socket still has interfaces, delete them first")
            with Steps() as steps:
                steps.take(hub.close)
                del self.hubs[self._key(sock)]
                sock.is_over = True

    def set_timer(self, sock: Any, first: int, interval: int) -> None:
        """memif_set_connection_request_timer."""
        self._hub(sock).set_retry(_seconds(first), _seconds(interval))

    def listener(self, sock: Any, fd: Any) -> None:
        """memif_get_listener_fd."""
        fd[0] = self._hub(sock).listener_fd(self.ffi.string(sock.path))

    def adopt_listener(self, sock: Any, fd: int) -> None:
        """memif_set_listener_fd."""
        self._hub(sock).adopt_listener(fd)

    # ---- interfaces ----

    def create(
        self,
        sock: Any,
        handle: Any,
        args: Any,
        on_connect: Any,
        on_disconnect: Any,
        interrupt: Any,
        ctx: Any,
        options: Any,
    ) -> None:
        """memif_create, memif_ext_create."""
        hub = self._hub(sock)
        settings = self.settings(
            args,
            options,
            path=self.ffi.string(sock.path),
            app_name=hub.app_name,
            mode=self.lib.mif_v4_mode(args),
        )
        program = common.Program(self.native, on_connect, on_disconnect, ctx, options)
        handle[0] = hub.add(settings, program, interrupt, ctx).handle

    def request(self, handle: Any) -> None:
        """memif_request_connection."""
        endpoint = self.find(handle)
        endpoint.hub.request(endpoint)

    def on_event(self, pointer: int, fd: int, events: int) -> None:
        """A descriptor of the control plane is ready."""
        common.on_event(self.hubs.get(pointer), fd, events)

    def fill_details(self, endpoint: Endpoint, md: Any, packer: common.Packer) -> None:
        """See Api."""
        self.describe(endpoint, md, packer)
        md.socket_path = packer.string(endpoint.settings.path)
        md.error = packer.string(endpoint.last_error.encode())
        self._describe_regions(endpoint, md, packer)
        self.describe_queues(endpoint, md, packer, _queue_state)

    def find(self, handle: Any) -> Endpoint:
        """The interface of a handle."""
        for hub in list(self.hubs.values()):
            try:
                return hub.find(handle)
            except errors.NoConnectionError:
                continue
        raise errors.NoConnectionError("the handle names no interface")

    def _describe_regions(self, endpoint: Endpoint, md: Any, packer: common.Packer) -> None:
        link = endpoint.link
        regions = link.regions if link is not None and link.up else []
        array = packer.array("memif_region_details_t", len(regions))
        if array == self.ffi.NULL:
            return
        md.regions = array
        md.regions_num = min(len(regions), 255)
        base, size = self.ffi.new("void **"), self.ffi.new("uint64_t *")
        for i, region in enumerate(regions):
            self.lib.mif_region_look(endpoint.handle, region.index, base, size)
            array[i] = {
                "index": region.index,
                "addr": base[0],
                "size": min(size[0], 2**32 - 1),
                "fd": region.fd,
                "is_external": int(region.external),
            }

    def _hub(self, sock: Any) -> Hub:
        hub = self.hubs.get(self._key(sock))
        if hub is None:  # another thread deletes the socket right now
            raise errors.ArgumentError("the socket is being deleted")
        return hub

    def _key(self, sock: Any) -> int:
        return int(self.ffi.cast("uintptr_t", sock))


def _seconds(microseconds: int) -> float | None:
    """None for zero: such a timer is off."""
    return microseconds / 1e6 if microseconds > 0 else None


def _queue_state(state: Any) -> dict[str, int]:
    return {
        "region": state.region & 0xFF,
        "flags": state.polling,
        "head": state.head,
        "tail": state.tail,
    }


def install(ffi: Any, lib: Any) -> None:
    """Connect the C functions to this control plane."""
    api = ApiV4(ffi, lib)
    common.install(
        api,
        {
            "open": api.open,
            "close": api.close,
            "set_timer": api.set_timer,
            "listener": api.listener,
            "adopt_listener": api.adopt_listener,
            "create": api.create,
            "request": api.request,
            "delete": api.delete,
            "control": api.on_event,
            "details": api.details,
        },
    )
