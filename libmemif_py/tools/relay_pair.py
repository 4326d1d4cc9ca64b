# SPDX-License-Identifier: Apache-2.0
"""A slave and a master that `memif relay` joins: their two connections, until both have ended."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libmemif_py import errors
from libmemif_py.control import actions, channel, reactor, regions, relay, system, wire
from libmemif_py.control.actions import ProtocolError
from libmemif_py.control.endpoint import Settings
from libmemif_py.control.relay import MASTER, SLAVE
from libmemif_py.control.steps import Steps

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

HANDSHAKE_TIMEOUT = Settings.handshake_timeout
"""Seconds that both ends have, together, from the moment when there are two."""
_GLANCE = 0.1
"""Nothing signals that somebody listens, so it is tried so often."""
# What an end is told of a failure that is not its own. Details stay here.
_NOBODY = "nobody listens behind the relay"
_FAILED = "the relay cannot set the connection up"
STOPPED = "relay stopped"
_NOT_THERE = (FileNotFoundError, ConnectionRefusedError)


@dataclass(frozen=True)
class Terms:
    """What all pairs of a relay have in common."""

    target: str
    """The socket of the masters."""
    patience: float
    """Seconds that a slave is kept while nobody listens there."""
    taken_id: int | None
    given_id: int | None
    unsealed: str
    """One of regions.UNSEALED."""


class Pair:
    """Owns the slave's connection, and makes and owns that to the master."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        terms: Terms,
        slave: channel.Channel,
        over: Callable[[Pair], None],
        say: Callable[[Pair, str], None],
    ) -> None:
        """`over` is called once, when all is closed. `say` gets what a user wants to know."""
        self._loop = loop
        self._terms = terms
        self._over = over
        self._say = say
        self._machine = relay.Relay(terms.taken_id, terms.given_id)
        self._channels = {SLAVE: slave}
        self._messages: dict[str, channel.UntrustedMessage] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._give_up = loop.time() + terms.patience
        self._was_told = False
        self._closed = False

        self.number = 0
        """Of the relay's, for lines about this pair; 0 as long as it has none."""

    @property
    def is_joined(self) -> bool:
        """Whether packets may flow."""
        return self._machine.state == relay.CONNECTED

    def start(self) -> None:
        """Listen to the slave, and look for its master."""
        self._listen_to(SLAVE)
        self._reach()

    def stop(self, reason: str = STOPPED) -> None:
        """End both connections, and tell both ends why."""
        if not self._closed:
            self._end_both(reason)

    # ---- the way to the master ----

    def _reach(self) -> None:
        self._timer = None
        try:
            master = channel.connect(os.fsencode(self._terms.target), reactor.lib)
        except BlockingIOError:
            self._later(_GLANCE, self._reach)  # its queue of connections is full
        except OSError as error:
            self._unreached(error)
        else:
            self._reached(master)

    def _unreached(self, error: OSError) -> None:
        is_not_there = isinstance(error, _NOT_THERE)
        reason = f"{self._terms.target}: {system.reason_of(error)}"
        if is_not_there and self._loop.time() < self._give_up:
            if not self._was_told:
                self._was_told = True
                self._tell(f"a slave waits for {reason}")
            self._later(_GLANCE, self._reach)
        elif self._was_told:
            self._end_both(_NOBODY)
        else:
            self._fail(reason, _NOBODY if is_not_there else _FAILED)

    def _reached(self, master: channel.Channel) -> None:
        self._channels[MASTER] = master
        if master.peer[0] == os.getpid():
            self._fail(
                f"{self._terms.target} is the relay's own socket", "the relay leads to itself"
            )
            return
        self._listen_to(MASTER)
        self._later(HANDSHAKE_TIMEOUT, self._timed_out)

    def _timed_out(self) -> None:
        self._timer = None
        self._fail("handshake timed out", "handshake timed out")

    def _later(self, seconds: float, step: Callable[[], None]) -> None:
        self._timer = self._loop.call_later(seconds, step)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    # ---- messages ----

    def _listen_to(self, end: str) -> None:
        self._loop.add_reader(self._channels[end].fileno(), self._on_ready, end)

    def _on_ready(self, end: str) -> None:
        """Take one message; more will make the socket ready again."""
        try:
            data, fds = self._channels[end].receive()
        except BlockingIOError:
            return
        except channel.FdsWaiting as message:
            self._receive_untrusted(end, message.data)
        except OSError as error:
            self._lost(end, f"control socket: {system.reason_of(error)}")
        else:
            self._receive(end, data, fds)

    def _receive(self, end: str, data: bytes, fds: list[int]) -> None:
        if not data:
            channel.close_fds(fds)
            self._lost(end, "closed the connection")
            return
        try:
            answers = self._machine.receive(end, data, fds)
        except ProtocolError as error:
            channel.close_fds(error.fds)
            self._refuse(end, error)
            return
        self._perform(answers)
        if self._machine.state == relay.CLOSED and not self._closed:
            self._tell_of_end(end, answers)
            self._close()

    def _perform(self, answers: list[actions.Action]) -> None:
        for action in answers:
            if type(action) is relay.Pass:
                self._pass(action)
            elif type(action) is actions.Established and not self._closed:
                self._joined()

    def _pass(self, action: relay.Pass) -> None:
        """Send a message on. To an end that has gone: what it said last is still to be read."""
        to = self._channels.get(action.to)
        try:
            if action.fd is not None:
                self._check_descriptor(action)
            if to is not None and not self._closed:
                to.send(action.data, action.fd)
        except (BrokenPipeError, ConnectionResetError):
            return
        except errors.MemifError as error:
            self._refuse(SLAVE, ProtocolError(error.code, str(error)))
        except OSError as error:
            if not self._closed and self._machine.state != relay.CLOSED:
                self._fail(f"the {action.to}: {system.reason_of(error)}", _FAILED)
        finally:
            if action.fd is not None:
                channel.close_fds([action.fd])

    def _check_descriptor(self, action: relay.Pass) -> None:
        """The master sees us and not the slave, so we check what it would. Raises MemifError."""
        if isinstance(action.message, wire.AddRegion):
            peer = self._channels[SLAVE].peer
            regions.check_peer_region(action.fd, action.message.size, peer, self._terms.unsealed)
        else:
            channel.check_eventfd(action.fd)

    # ---- descriptors of a slave that is not trusted ----

    def _receive_untrusted(self, end: str, data: bytes) -> None:
        kind = self._machine.wanted_fd(end, data)
        of = self._channels[end]
        if kind is None:
            of.record(False, data, -1)
            self._refuse(end, ProtocolError("MFMSG", "a message with descriptors, expected none"))
            return
        lib = reactor.lib
        if kind is wire.AddRing:
            wanted = lib.MIF_FD_EVENTFD
        elif self._terms.unsealed == "always":
            wanted = lib.MIF_FD_ANY
        else:
            wanted = lib.MIF_FD_MEMORY
        try:
            message = channel.UntrustedMessage(of, wanted, reactor.native.check)
        except (errors.MemifError, OSError) as error:
            self._fail(str(error), _FAILED)
            return
        self._loop.remove_reader(of.fileno())
        self._messages[end] = message
        self._loop.add_reader(message.fileno(), self._received_untrusted, end, kind)

    def _received_untrusted(self, end: str, kind: type[wire.Message]) -> None:
        message = self._messages[end]
        try:
            data, fds, count = message.answer()
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(end, f"control socket: {system.reason_of(error)}")
            return
        self._end_untrusted(end)
        self._listen_to(end)
        if not data or len(fds) == count:
            self._receive(end, data, fds)
        else:
            self._refuse(end, self._unfit(kind, count))

    def _unfit(self, kind: type[wire.Message], count: int) -> ProtocolError:
        """Why a message has come without its descriptor."""
        if count != 1:
            return ProtocolError("MFMSG", f"{kind.label} with {count} fds, expected 1")
        if kind is wire.AddRing:
            return ProtocolError("BAD_FD", "the fd of a ring is no eventfd")
        text = regions.can_shrink(self._channels[SLAVE].peer, self._terms.unsealed)
        return ProtocolError("MAXREG", text)

    def _end_untrusted(self, end: str) -> None:
        message = self._messages.pop(end, None)
        if message is not None:
            self._loop.remove_reader(message.fileno())
            message.close()

    # ---- what becomes of it ----

    def _joined(self) -> None:
        self._cancel_timer()
        machine = self._machine
        ids = machine.interface_ids
        shown_id = f"id {ids[SLAVE]}"
        if ids[SLAVE] != ids[MASTER]:
            shown_id += f" as {ids[MASTER]}"
        rings = f"{len(machine.offer.s2m)}+{len(machine.offer.m2s)} rings"
        self._tell(f"{self._shown(SLAVE)}, {self._shown(MASTER)}")
        self._tell(f"joined: {shown_id}, protocol {machine.version}, {rings}")

    def _shown(self, end: str) -> str:
        names = [self._machine.names[end], self._machine.if_names[end]]
        name = " ".join(wire.printable(name) for name in names if name)
        return f"{end} {name or 'without a name'} (pid {self._channels[end].peer[0]})"

    def _tell_of_end(self, end: str, answers: list[actions.Action]) -> None:
        for closed in answers:
            if type(closed) is actions.Closed and not self._only_looked(end):
                reason = wire.printable(closed.reason) or f"code {closed.code}"
                self._tell(f"the {end} disconnected: {reason}")

    def _lost(self, end: str, what: str) -> None:
        """An end has gone."""
        if not self._only_looked(end):
            self._tell(f"the {end} {what}")
        self._perform(self._machine.left(end))
        self._close()

    def _only_looked(self, end: str) -> bool:
        """A slave that has asked for nothing only wanted to see who is there."""
        return end == SLAVE and self._machine.version == 0

    def _refuse(self, end: str, error: ProtocolError) -> None:
        self._tell(f"refused the {end}: {error.reason}")
        self._perform(self._machine.refuse(end, error))
        self._close()

    def _fail(self, reason: str, told: str) -> None:
        self._tell(reason)
        self._end_both(told)

    def _end_both(self, told: str) -> None:
        self._perform(self._machine.disconnect(told))
        self._close()

    def _tell(self, text: str) -> None:
        self._say(self, text)

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._cancel_timer()
        with Steps() as steps:
            for end, of in self._channels.items():
                steps.take(self._end_untrusted, end)
                steps.take(self._loop.remove_reader, of.fileno())
                steps.take(of.close)
            steps.take(self._over, self)
