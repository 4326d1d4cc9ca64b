# SPDX-License-Identifier: Apache-2.0
"""An interface as the control plane keeps it: its settings, its handle, its current link.

An endpoint owns its handle from open to close. A link (link.py) owns what belongs to one
connection, and the endpoint names its link for as long as that lives.
"""

from __future__ import annotations

import time

from .. import errors
from .shown import show
from .wire import (
    MAX_LOG2_RING_SIZE,
    MAX_RING_INDEX,
    MODE_PUNT_INJECT,
    NAME_SIZE,
    SECRET_SIZE,
    UINT16_MAX,
    VERSION_1,
    VERSION_2,
    printable,
    up_to_nul,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from .handshake import MasterHandshake, SlaveHandshake
    from .native import Native
    from .sockets import Access

    class Hub(Protocol):
        """What an interface, and its owner, use of the hub."""

        native: Native
        pointer: Any
        closed: bool

        def attempt(self, endpoint: Endpoint) -> None:
            """Try to connect a slave now; on failure again later."""

        def request(self, endpoint: Endpoint) -> None:
            """Connect a slave now."""

        def retry_later(self, endpoint: Endpoint) -> None:
            """A slave lost its link."""

        def remove(self, endpoint: Endpoint) -> None:
            """Disconnect and end an interface."""

        def forget(self, endpoint: Endpoint) -> None:
            """An interface that was removed has no link any more."""

    class Link(Protocol):
        """What an interface, and its owner, use of its link."""

        @property
        def machine(self) -> MasterHandshake | SlaveHandshake:
            """What it has agreed with the peer."""
            ...

        peer: tuple[int, int, int]
        up: bool
        closing: bool

        @property
        def regions(self) -> list[Any]:
            """Those that are mapped: memory.Region."""
            ...

        def rx_efds(self) -> list[int]:
            """The eventfds of our receive queues, by queue id."""
            ...

        def rings(self, is_tx: bool) -> list[int]:
            """The sizes, in slots, of our receive or transmit rings, by queue id."""
            ...

        def disconnect(self, reason: str) -> None:
            """End the connection and tell the peer why."""

    class Observer(Protocol):
        """Who is told. Called without the control lock; may call anything."""

        admits: Callable[[Endpoint, tuple[int, int, int]], bool] | None
        """Whether to connect with a peer (pid, uid, gid), good in all other respects; None: yes."""

        def connected(self, endpoint: Endpoint, handle: Any) -> None:
            """The link of this handle is up, or over already: another thread may have ended it."""

        def disconnected(self, endpoint: Endpoint, reason: str) -> None:
            """The link is over; its queues work until this returns."""

        def abandoned(self) -> None:
            """This process is a fork of the one that the interface belongs to. Must not raise."""


MAX_RINGS = MAX_RING_INDEX + 1
# What must lie between two numbers, in the order in which it is checked.
_RANGES = {
    "interface_id": ("interface id", 0, 2**32 - 1),
    "mode": ("mode", 0, MODE_PUNT_INJECT),
    "num_s2m_rings": ("number of S2M rings", 1, MAX_RINGS),
    "num_m2s_rings": ("number of M2S rings", 1, MAX_RINGS),
    "buffer_size": ("buffer size", 1, UINT16_MAX),
}
# Texts, and the bytes that the protocol has for them.
_TEXTS = {"if_name": NAME_SIZE, "app_name": NAME_SIZE, "secret": SECRET_SIZE}


class Settings:
    """What an interface wants from a connection: each setting, with its default.

    The machines of handshake.py read it. Sizes are in bytes, names and the secret end at a NUL
    byte.
    """

    path: bytes = b"/run/vpp/memif.sock"
    is_master: bool = False
    interface_id: int = 0
    if_name: bytes = b""
    app_name: bytes = b""
    secret: bytes = b""
    mode: int = 0
    num_s2m_rings: int = 1
    num_m2s_rings: int = 1
    buffer_size: int = 2048
    log2_ring_size: int = 10
    min_version: int = VERSION_1
    max_version: int = VERSION_2
    access: Access | None = None
    """For the socket file of a master."""
    unsealed: str = "trusted"
    """One of regions.UNSEALED."""
    handshake_timeout: float = 10.0
    """Until a peer is connected, in seconds."""
    retry_interval: float | None = None
    """Between a slave's attempts to connect, in seconds; None: as the hub says."""
    max_packet: int = UINT16_MAX
    """For what is received. A slave takes whatever fits one of its buffers."""
    made_at: str = ""
    """File and line of a Python program, for messages."""

    def __init__(self, **values: Any) -> None:
        """Settings by name. Raises ArgumentError, RingSizeError."""
        for name, value in values.items():
            if name not in Settings.__annotations__:
                raise TypeError(f"there is no setting {name!r}")
            setattr(self, name, value)
        for name, size in _TEXTS.items():
            setattr(self, name, up_to_nul(getattr(self, name)[:size]))
        for name, limits in _RANGES.items():
            _check_range(getattr(self, name), *limits)
        self._check_ring_size()
        # A slave's buffers are its own choice, and what fits one is no danger.
        _check_range(
            self.max_packet, "max_packet", 1 if self.is_master else self.buffer_size, 2**32 - 1
        )
        self.access = self.access or None
        if self.access and not self.is_master:
            raise errors.ArgumentError(
                "a slave makes no socket file: mode and owner are a master's"
            )

    def _check_ring_size(self) -> None:
        if not 0 <= self.log2_ring_size <= MAX_LOG2_RING_SIZE:
            text = f"log2 ring size {self.log2_ring_size}, expected 0 to {MAX_LOG2_RING_SIZE}"
            raise errors.RingSizeError(text)


def _check_range(value: int, what: str, low: int, high: int) -> None:
    if not low <= value <= high:
        raise errors.ArgumentError(f"{what} {value}, expected {low} to {high}")


class Endpoint:
    """One interface of ours, connected or not. Use Hub.add and Hub.remove."""

    def __init__(self, hub: Hub, settings: Settings, observer: Observer) -> None:
        """Not yet open: see Hub.add."""
        self.hub = hub
        self.settings = settings
        self.observer = observer
        self.handle: Any = hub.native.ffi.NULL
        self.interrupt: Any = hub.native.ffi.NULL
        self.private_ctx: Any = hub.native.ffi.NULL
        self.link: Link | None = None
        self.removed = False
        self._last_error = ""
        # Of the peer that is or was connected last: they stay when the link is over.
        self.remote_name = b""
        self.remote_if_name = b""
        self.queues = (0, 0)
        """How many receive and transmit queues the link has or had."""
        self.links = 0
        """How many links were up."""
        self.since = 0
        """When the link came up, or the last one ended: time.monotonic_ns()."""
        self._was_up = False

    @property
    def connected(self) -> bool:
        """True from before `connected` is called until `disconnected` has returned."""
        return self.link is not None and self.link.up

    @property
    def last_error(self) -> str:
        """Why the last link ended, or why there is none; "" while there is one."""
        return self._last_error

    @last_error.setter
    def last_error(self, reason: str) -> None:
        if reason != self._last_error:  # a slave without a master has the same with each attempt
            self._last_error = reason
            show(self)

    def describe(self) -> str:
        """For debug lines."""
        settings = self.settings
        role = "master" if settings.is_master else "slave"
        name, path = printable(settings.if_name) or "-", printable(settings.path)
        return f"{role} {name} id {settings.interface_id} on {path}"

    def open(self, interrupt: Any, private_ctx: Any) -> None:
        """Take a handle. Both arguments are C pointers, for the interrupt callback."""
        native = self.hub.native
        handle = native.ffi.new("void **")
        code = native.lib.mif_connection_open(handle, self.hub.pointer, interrupt, private_ctx)
        native.check(code, "new handle")
        native.lib.mif_connection_limit(handle[0], self.settings.max_packet)
        self.private_ctx = private_ctx
        self.handle = handle[0]
        self.interrupt = interrupt
        show(self)

    def close(self) -> None:
        """Give the handle back. The link must be gone before."""
        self.hub.native.lib.mif_connection_close(self.handle)
        self.handle = self.hub.native.ffi.NULL

    def abandon(self) -> None:
        """See Hub.abandon."""
        self.removed = True
        self.link = None
        self.handle = self.hub.native.ffi.NULL
        self.observer.abandoned()

    def linked(self, link: Link) -> None:
        """A link found its interface."""
        self.link = link
        show(self)

    def established(self, link: Link) -> None:
        """The link is up."""
        self.queues = (len(link.rings(False)), len(link.rings(True)))
        self.links += 1
        self._was_up = True
        self.since = time.monotonic_ns()
        self.remote_name = link.machine.remote_name
        self.remote_if_name = link.machine.remote_if_name
        self._last_error = ""
        show(self)

    def timed_out(self) -> None:
        """A slave's deadline to connect, or to connect again."""
        self.hub.attempt(self)

    def unlinked(self, reason: str) -> None:
        """The link is gone, with all it owned."""
        self.link = None
        self._last_error = reason
        if self._was_up:
            self.since = time.monotonic_ns()
        self._was_up = False
        show(self)
        if self.removed:
            self.hub.forget(self)
        elif not self.settings.is_master:
            self.hub.retry_later(self)
