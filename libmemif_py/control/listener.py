# SPDX-License-Identifier: Apache-2.0
"""The master interfaces that share one socket path, and the peers that connect there."""

from __future__ import annotations

from .. import errors
from .actions import ProtocolError
from .link import LISTENER_CLOSED, MasterLink
from .native import WARNING
from .peers import KnownPeers
from .sockets import AdoptedSocket, ListeningSocket
from .steps import Steps
from .system import reason_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from . import link
    from .channel import Channel
    from .endpoint import Endpoint
    from .sockets import Access

    class Hub(link.Hub, Protocol):
        """What a listener uses of the hub."""

        def set_deadline(self, owner: Any, seconds: float) -> None:
            """Have `owner.timed_out()` called after so many seconds."""

        def add_link(self, link: link.Link, patience: float) -> None:
            """Watch a new link, for so many seconds until it is up."""


# What a peer may take of us before it is connected. A listener keeps at most MAX_UNNAMED
# connections that have not named their interface yet; for one more, the oldest has to go. A
# connection that has named its interface is the only one of that interface. Either has the
# `handshake_timeout` of the settings, in all, to get connected.
MAX_UNNAMED = 256
# After an accept that failed, as for want of descriptors, a listener tries again so much later.
SHORT_PAUSE = 0.05


class Listener:
    """The listening socket of one path. Owns the socket; the hub owns links and interfaces."""

    def __init__(
        self, hub: Hub, path: bytes, access: Access | None, adopted_fd: int | None = None
    ) -> None:
        """Bind and listen, or use a socket that somebody else has bound."""
        self.hub = hub
        self.closed = False
        self.path = path
        self.access = access
        self.endpoints: dict[int, Endpoint] = {}
        self._unnamed: list[MasterLink] = []
        self.known = KnownPeers()
        self._socket = (
            ListeningSocket(path, hub.native.lib, access)
            if adopted_fd is None
            else AdoptedSocket(adopted_fd, hub.native.lib)
        )

    def start(self) -> None:
        """Have the hub watch. Raises MemifError."""
        self.hub.watch(self._socket.fileno(), self)

    def add(self, endpoint: Endpoint) -> None:
        """Answer for one more interface.

        Raises InterfaceIdError when its id is taken, ArgumentError when it wants another mode or
        owner of the socket than there is.
        """
        number, access = endpoint.settings.interface_id, endpoint.settings.access
        other = self.endpoints.get(number)
        path = self.path.decode("utf-8", "replace")
        if access is not None and access != self.access:
            text = (
                f"{path!r} is open already, with another mode or owner: give all masters the same"
            )
            raise errors.ArgumentError(text)
        if other is not None:
            where = other.settings.made_at
            text = (
                f"interface id {number} is in use on {path!r} by another interface of this "
                f"process{where and ', made at ' + where}: close that one first, or choose another "
                "id"
            )
            raise errors.InterfaceIdError(text)
        self.endpoints[number] = endpoint

    def on_ready(self, _events: int) -> None:
        """Accept one connection, unless there is no interface yet, or none any more."""
        if not self._is_open():
            return
        try:
            accepted = self._socket.accept()
        except BlockingIOError:
            return
        except OSError as error:
            self._note(error)
            with Steps() as steps:
                steps.take(self.hub.unwatch, self._socket.fileno())
                steps.take(self._pause)
            return
        self._begin(accepted)

    def _note(self, error: OSError) -> None:
        """Why no peer can connect, for interfaces that wait for one."""
        self.hub.native.debug(reason_of(error), depth=2, level=WARNING)
        for endpoint in self.endpoints.values():
            if endpoint.link is None:
                endpoint.last_error = reason_of(error)

    def _is_open(self) -> bool:
        """To be asked again after whatever releases the lock."""
        return bool(self.endpoints) and not self.closed

    def _pause(self) -> None:
        if not self.closed:
            self.hub.set_deadline(self, SHORT_PAUSE)

    def timed_out(self) -> None:
        """The pause after a failed accept, or a failure to watch, is over."""
        if self.closed:
            return
        try:
            self.start()
        except errors.MemifError:
            self._pause()
            raise

    def _begin(self, accepted: Channel) -> None:
        with Steps() as steps:
            self._unnamed = [link for link in self._unnamed if link.is_unnamed()]
            if len(self._unnamed) >= MAX_UNNAMED:
                oldest = self._unnamed.pop(0)
                steps.take(oldest.disconnect, "too many connections wait for their handshake")
            steps.take(self._greet, accepted)

    def _greet(self, accepted: Channel) -> None:
        if not self._is_open():
            accepted.close()
            return
        try:
            expected = self._expected(accepted)
            limits = self._limits(expected)
            link = MasterLink(self.hub, accepted, self.find, self.known, limits, expected)
        except BaseException as error:
            with Steps(error) as steps:
                steps.take(accepted.close)
        self._unnamed.append(link)
        self.hub.add_link(link, self._patience())
        link.start()

    def _patience(self) -> float:
        """As we do not know which interface is meant, the longest of any."""
        return max(e.settings.handshake_timeout for e in self.endpoints.values())

    def _expected(self, accepted: Channel) -> int | None:
        """The interface whose number of rings HELLO will say; None: as many as the protocol has."""
        if not self.known.is_anybody_told():
            return None
        promised = {link.expected for link in self._unnamed}
        possible = [
            number
            for number, endpoint in self.endpoints.items()
            if endpoint.link is None and number not in promised
        ]
        return self.known.expected(accepted.identity(), possible)

    def _limits(self, expected: int | None) -> dict[str, int]:
        """HELLO is sent before we know which interface is meant: what any of them allows.

        The numbers of rings are those of the interface that is expected, see peers.py.
        """
        settings = [endpoint.settings for endpoint in self.endpoints.values()]
        limits = {
            "min_version": min(s.min_version for s in settings),
            "max_version": max(s.max_version for s in settings),
        }
        if expected is not None:
            meant = self.endpoints[expected].settings
            limits["num_s2m_rings"] = meant.num_s2m_rings
            limits["num_m2s_rings"] = meant.num_m2s_rings
        return limits

    def fileno(self) -> int:
        """The listening socket's descriptor."""
        return self._socket.fileno()

    def find(self, interface_id: int) -> Endpoint:
        """The interface that a peer asks for. Raises ProtocolError."""
        endpoint = self.endpoints.get(interface_id)
        if endpoint is None:
            for waiting in self.endpoints.values():
                if waiting.link is None:
                    waiting.last_error = f"a peer asked for interface id {interface_id}"
            raise ProtocolError("ID", f"no interface with id {interface_id}")
        if endpoint.link is not None:
            raise ProtocolError("ALRCONN", f"interface {interface_id} is connected")
        return endpoint

    def close(self) -> None:
        """Stop listening; disconnect the peers that have not named an interface."""
        self.closed = True
        with Steps() as steps:
            steps.take(self.hub.cancel_deadline, self)
            for link in self._unnamed:
                if link.is_unnamed():
                    steps.take(link.disconnect, LISTENER_CLOSED)
            steps.take(self.hub.unwatch, self._socket.fileno())
            steps.take(self._socket.close)

    def abandon(self) -> None:
        """See Hub.abandon."""
        self._socket.abandon()
