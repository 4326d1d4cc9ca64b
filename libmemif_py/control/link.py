# SPDX-License-Identifier: Apache-2.0
"""One control connection to one peer, and everything that lives as long as it.

A link gives messages to the state machine of its role and performs the actions that come out. It
owns its channel and its memory (memory.py).

Whatever happens, a link is taken apart in one place, `_take_apart`, in this order: the channel is
no longer watched; the program is told while queues and interrupts still work, so it receives what
the peer had published; interrupts off; queues down, so no burst is inside any more; memory
unmapped; fds closed. The program hears DEL before an fd is closed.
"""

from __future__ import annotations

from .. import errors
from . import actions, regions, system
from .actions import HandshakeMisuse, ProtocolError
from .channel import FdsWaiting, UntrustedMessage, close_fds
from .handshake import MasterHandshake, SlaveHandshake
from .memory import LinkEndedError, Memory
from .native import DEBUG, INFO, WARNING
from .steps import Steps
from .wire import AddRing, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from . import memory
    from .actions import Action
    from .channel import Channel
    from .endpoint import Endpoint
    from .peers import KnownPeers
    from .wire import Message

    class Hub(memory.Hub, Protocol):
        """What a link uses of the hub."""

        app_name: bytes
        closed: bool

        def watch(self, fd: int, handler: Any) -> None:
            """Have `handler.on_ready(events)` called when the fd can be read."""

        def watch_interrupt(self, fd: int, handle: Any, qid: int) -> None:
            """Have the C side call the interrupt callback of the handle."""

        def unwatch(self, fd: int) -> None:
            """Before the fd is closed."""

        def cancel_deadline(self, owner: Any) -> None:
            """The link is up, or over."""

        def denied(self, error: OSError) -> None:
            """A system call failed as no peer makes it fail."""

        def forget_link(self, link: Link) -> None:
            """The link is being taken apart."""


# Only these texts are sent to the peer; what the program found wrong, or failed at, is not
# disclosed.
_FAILED = "cannot set the connection up"
_NOT_ADMITTED = "not admitted by the application"
LISTENER_CLOSED = "listener closed"
_LEFT = "peer closed the connection"
# Actions with a descriptor, which is owned by the code that performs them.
_TAKING = (actions.TakeRegion, actions.TakeRing)


class Link:
    """What the links of masters and of slaves share: messages in, actions out, and the end."""

    machine: MasterHandshake | SlaveHandshake

    def __init__(self, hub: Hub, channel: Channel) -> None:
        """Own the channel. The hub calls `on_ready` when it can be read."""
        self.hub = hub
        self.native = hub.native
        self.channel = channel
        self.peer = channel.peer
        self.endpoint: Endpoint | None = None
        self._candidate: Endpoint | None = None  # named by a peer that may be refused yet
        self.up = False
        self.closing = False
        self._memory = Memory(self)
        self._untrusted: _UntrustedMessage | None = None
        self._watched_efds: list[int] = []
        self._perform: dict[type[Action], Callable[[Any], list[Action] | None]] = {
            actions.Send: self._send,
            actions.Established: self._established,
            actions.Closed: self._closed_by_peer,
        }

    # ---- what others ask ----

    @property
    def regions(self) -> list[memory.Region]:
        """Those that are mapped."""
        return self._memory.regions

    @property
    def owner(self) -> Endpoint:
        """The interface. For code that runs only when the link has one."""
        if self.endpoint is None:
            raise errors.NoConnectionError("the link has no interface yet")
        return self.endpoint

    def rx_efds(self) -> list[int]:
        """The eventfds of our receive queues, by queue id."""
        return self._memory.rx_efds

    def rings(self, is_tx: bool) -> list[int]:
        """The sizes, in slots, of our receive or transmit rings, by queue id."""
        return self._memory.ring_sizes[is_tx]

    def describe(self) -> str:
        """For debug lines."""
        named = self.endpoint or self._candidate
        return named.describe() if named else "new connection"

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
            self._receive_untrusted(message.data)
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

    def _receive_untrusted(self, data: bytes) -> None:
        """A message of an untrusted peer, with descriptors: receive it if it has to have one."""
        kind = self.machine.wanted_fd(data)
        if kind is None:
            self.channel.record(False, data, -1)
            self._refuse(ProtocolError("MFMSG", "a message with descriptors, expected none"))
            return
        try:
            self._untrusted = _UntrustedMessage(self, kind)
            self.hub.unwatch(self.channel.fileno())
            if not self.closing:
                self.hub.watch(self._untrusted.fileno(), self._untrusted)
        except (errors.MemifError, OSError) as error:
            self.disconnect(f"{_FAILED}: {error}", told=_FAILED)

    def fd_kind(self, kind: type[Message]) -> int:
        """What is good as the descriptor of such a message, an enum mif_fd_kind."""
        lib = self.native.lib
        if kind is AddRing:
            return lib.MIF_FD_EVENTFD
        is_any = self.owner.settings.unsealed == "always"
        return lib.MIF_FD_ANY if is_any else lib.MIF_FD_MEMORY

    def received_untrusted(self, message: _UntrustedMessage) -> None:
        """Its thread has answered. The channel is watched again."""
        try:
            data, fds, count = message.answer()
        except BlockingIOError:
            return
        except OSError as error:
            self.disconnect(f"control socket: {error.strerror}")
            return
        try:
            self._end_untrusted()
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
            self._refuse(self._unfit(message.kind, count))

    def _unfit(self, kind: type[Message], count: int) -> ProtocolError:
        """Why a message has come without its descriptor."""
        if count != 1:
            return ProtocolError("MFMSG", f"{kind.label} with {count} fds, expected 1")
        if kind is AddRing:
            return ProtocolError("BAD_FD", "the fd of a ring is no eventfd")
        text = regions.can_shrink(self.peer, self.owner.settings.unsealed)
        return ProtocolError("MAXREG", text)

    def _end_untrusted(self) -> None:
        message, self._untrusted = self._untrusted, None
        if message is not None:
            with Steps() as steps:
                steps.take(self.hub.unwatch, message.fileno())
                steps.take(message.close)

    def timed_out(self) -> None:
        """The handshake took too long."""
        self.disconnect("handshake timed out")

    def _ended(self) -> None:
        """The channel has no more to read: the peer left, or the data path found it cheating."""
        lib, endpoint = self.native.lib, self.endpoint
        fault = lib.mif_connection_fault(endpoint.handle) if endpoint is not None else None
        if fault:
            self.disconnect(self.native.ffi.string(fault).decode())
        else:
            self.close(_LEFT)

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

    def _execute(self, answers: list[Action]) -> None:
        """Perform actions in order; after a failure, own and close the fds of the rest.

        To perform one may be a step of the machine, whose answers come next.
        """
        pending = list(answers)
        try:
            while pending and not self.closing:
                action = pending.pop(0)
                pending[:0] = self._perform[type(action)](action) or ()
        except LinkEndedError:
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
        endpoint = self.owner
        admits = endpoint.observer.admits
        if admits is None:
            return
        admitted = False
        try:
            with self.hub.unlocked():
                admitted = admits(endpoint, self.peer)
        finally:
            if not admitted:
                self.disconnect(_NOT_ADMITTED)

    def _established(self, _action: actions.Established) -> None:
        """The handshake is through: open the queues and tell the program."""
        endpoint = self.owner
        handle = endpoint.handle
        self.hub.cancel_deadline(self)
        self.native.check(
            self.native.lib.mif_connection_up(handle, self.channel.fileno()), "queues"
        )
        self._watch_interrupts()
        if self.closing:
            return
        self.up = True
        endpoint.established(self)
        self._memory.show_rings()
        version = self.machine.version
        self.native.debug(f"{self.describe()}: connected, protocol version {version}", level=INFO)
        with self.hub.unlocked():
            endpoint.observer.connected(endpoint, handle)

    def _watch_interrupts(self) -> None:
        if self.owner.interrupt == self.native.ffi.NULL:
            return
        for qid, efd in enumerate(self.rx_efds()):
            # Noted first: the program hears of the fd, and may delete the interface right there.
            self._watched_efds.append(efd)
            self.hub.watch_interrupt(efd, self.owner.handle, qid)
            if self.closing:
                return

    # ---- the end ----

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
        """End the connection and send the peer nothing."""
        if self.closing:
            return
        self.closing = True
        self.native.debug(f"{self.describe()}: {reason}", depth=2, level=self._level_of_end(reason))
        with self.hub.users:
            self._take_apart(reason)

    def _level_of_end(self, reason: str) -> int:
        """The end of a link, or a refusal; one that repeats, or our own doing, is a detail."""
        named = self.endpoint or self._candidate
        if self.up:
            return INFO
        is_known = named is not None and (named.removed or named.last_error == reason)
        is_own = self.hub.closed or reason in (_LEFT, LISTENER_CLOSED)
        return DEBUG if is_known or is_own else WARNING

    def _take_apart(self, reason: str) -> None:
        hub, endpoint = self.hub, self.endpoint
        with Steps() as steps:
            steps.take(hub.cancel_deadline, self)
            hub.forget_link(self)
            steps.take(hub.unwatch, self.channel.fileno())
            steps.take(self._end_untrusted)
            if endpoint is not None:
                steps.take(self._leave, endpoint, reason)
            steps.take(self._memory.close_eventfds)
            steps.take(self.channel.close)
            if endpoint is not None:
                steps.take(endpoint.unlinked, reason)

    def _leave(self, endpoint: Endpoint, reason: str) -> None:
        """Until `disconnected` returns, all queues work, for all threads, and `up` stays True.

        Whatever comes of that, no queue and no memory stays behind.
        """
        with Steps() as steps:
            if self.up:
                steps.take(self._tell_of_end, endpoint, reason)
            self.up = False
            for efd in self._watched_efds:
                steps.take(self.hub.unwatch, efd)
            steps.take(self._memory.release)

    def _tell_of_end(self, endpoint: Endpoint, reason: str) -> None:
        with self.hub.unlocked():
            endpoint.observer.disconnected(endpoint, reason)

    def abandon(self, at_rest: bool) -> None:
        """See Hub.abandon."""
        self.closing = True
        self.up = False
        self.channel.abandon()
        if self._untrusted is not None:
            self._untrusted.close()
        self._memory.abandon(at_rest)


class _UntrustedMessage(UntrustedMessage):
    """Of a link, for the hub to watch. `kind` is the class of the message."""

    def __init__(self, link: Link, kind: type[Message]) -> None:
        super().__init__(link.channel, link.fd_kind(kind), link.native.check)
        self._link = link
        self.kind = kind

    def on_ready(self, _events: int) -> None:
        self._link.received_untrusted(self)


class MasterLink(Link):
    """A connection that was accepted; it has no endpoint before INIT names one."""

    def __init__(
        self,
        hub: Hub,
        channel: Channel,
        find: Callable[[int], Endpoint],
        known: KnownPeers,
        limits: dict[str, int],
        expected: int | None,
    ) -> None:
        """`find` returns the endpoint of an id, or raises ProtocolError. `known` is the listener's.

        `limits` are those of HELLO, as MasterHandshake has them. `expected` is the interface that
        they were made for, None for any.
        """
        super().__init__(hub, channel)
        self._find_endpoint = find
        self._known = known
        self.expected = expected
        self.machine = self._master = MasterHandshake(hub.app_name, self._find, **limits)
        self._perform |= {
            actions.Select: self._select,
            actions.TakeRegion: self._memory.take_region,
            actions.TakeRing: self._take_ring,
            actions.Establish: self._establish,
        }

    def is_unnamed(self) -> bool:
        """True before INIT has named an interface."""
        return self.endpoint is None and not self.closing

    def start(self) -> None:
        """Say HELLO, unless the program closed the listener when it heard of the channel."""
        if not self.closing:
            self._execute(self._master.start())

    def _find(self, interface_id: int) -> Any:
        self._candidate = self._find_endpoint(interface_id)
        return self._candidate.settings

    def _select(self, _action: actions.Select) -> None:
        self.endpoint = self._candidate
        self.owner.linked(self)
        self._known.tried(
            self.channel.identity(),
            self.machine.remote_name,
            self.owner.settings.interface_id,
        )
        self._ask_program()

    def _take_ring(self, action: actions.TakeRing) -> None:
        self._memory.take_ring(action.ring, action.fd)

    def _establish(self, _action: actions.Establish) -> list[Action]:
        self._memory.use_rings(self._master.version, self._master.s2m)
        self._memory.use_rings(self._master.version, self._master.m2s)
        self._memory.close_region_fds()
        return self._master.accept()

    def _refuse(self, error: ProtocolError, reason: str | None = None) -> None:
        if error.code == "MAXRING" and self._known.offered_too_many(self.channel.identity()):
            name = printable(self.machine.remote_name) or "the peer"
            reason = f"{error.reason}; {name} will be told so when it tries again"
        super()._refuse(error, reason)

    def _take_apart(self, reason: str) -> None:
        if self.endpoint is None and self._candidate is not None:
            self._candidate.last_error = reason  # a peer that was refused by name
        super()._take_apart(reason)


class SlaveLink(Link):
    """A connection that we made for an endpoint."""

    def __init__(self, hub: Hub, channel: Channel, endpoint: Endpoint) -> None:
        """The endpoint has no other link."""
        super().__init__(hub, channel)
        self.endpoint = endpoint
        self.machine = self._slave = SlaveHandshake(endpoint.settings)
        self._perform[actions.Prepare] = self._prepare

    def _prepare(self, action: actions.Prepare) -> list[Action]:
        self._ask_program()  # before INIT, which contains the secret
        if self.closing:
            return []
        return self._slave.offer(*self._memory.create(action))

    def _established(self, action: actions.Established) -> None:
        self._memory.close_region_fds()
        super()._established(action)
