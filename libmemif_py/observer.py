# SPDX-License-Identifier: Apache-2.0
"""Takes what the control plane reports to an interface's queues and to the program."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .control import reactor
from .control.steps import Steps
from .details import Peer

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from .control.endpoint import Endpoint
    from .receiving import Receiver
    from .state import State

    class Observed(Protocol):
        """What the program's callbacks get."""

        def counters(self) -> object:
            """Read the counters, and keep them for the time after the end."""


class Observer:
    """Implements control.endpoint.Observer for one interface. Called on the library's thread."""

    def __init__(
        self,
        interface: Observed,
        state: State,
        receiver: Receiver,
        *,
        allow: Callable[[Peer], bool] | None,
        on_connect: Callable[[Any], object] | None,
        on_disconnect: Callable[[Any, str], object] | None,
    ) -> None:
        """The callbacks are described at Interface."""
        self._interface = interface
        self._state = state
        self._receiver = receiver
        self._allow = allow
        self.on_connect = on_connect
        self.on_disconnect = on_disconnect
        self.admits = self._admits if allow is not None else None

    def _admits(self, endpoint: Endpoint, peer: tuple[int, int, int]) -> bool:
        """Ask the program. The peer does not hear of its exceptions."""
        self._state.endpoint = endpoint  # a link may come about before `reactor.add` has returned
        try:
            answer: Any = self._allow(Peer(*peer)) if self._allow is not None else True
            if answer is not True and answer is not False:
                raise TypeError(f"allow returned {type(answer).__name__}, expected True or False")
        except BaseException as error:  # any exception refuses the peer
            sys.excepthook(type(error), error, error.__traceback__)
            return False
        return answer

    def connected(self, endpoint: Endpoint, _handle: Any) -> None:
        """The link is up."""
        state = self._state
        state.endpoint = endpoint
        with state.changed:
            link = endpoint.link
            # Another thread may end the link now. Its end was reported, or will be.
            if link is None or link.closing:
                return
            state.up = True
            state.number = int(reactor.ffi.cast("uintptr_t", endpoint.handle))
            self._receiver.link_up(endpoint, link.rx_efds())
            state.changed.notify_all()
        _tell(self.on_connect, self._interface)

    def disconnected(self, _endpoint: Endpoint, reason: str) -> None:
        """The link is over. Its rings are unmapped when this returns."""
        state = self._state
        with Steps() as steps:
            with state.changed:
                steps.take(self._receiver.keep_the_rest)
                was_up, state.up = state.up, False
                state.number = 0
                steps.take(self._receiver.detach)
                state.changed.notify_all()
                if state.closing:
                    steps.take(self.end)
            steps.take(self._interface.counters)  # the last ones, if the interface is being closed
            if was_up:
                _tell(self.on_disconnect, self._interface, reason)

    def end(self) -> None:
        """Nothing comes any more: wake all who wait. Under `State.changed`."""
        self._state.closed = True
        self._state.changed.notify_all()
        self._receiver.wake()

    def abandoned(self) -> None:
        """This process is a fork of the one that the interface belongs to."""
        self._state.up = False
        self._state.number = 0
        self._receiver.abandon()


def _tell(callback: Callable | None, *arguments: object) -> None:
    """Call back into the program. Its exceptions are shown; the link goes on."""
    try:
        if callback is not None:
            callback(*arguments)
    except Exception:
        sys.excepthook(*sys.exc_info())
