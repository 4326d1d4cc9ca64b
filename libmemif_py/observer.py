# SPDX-License-Identifier: Apache-2.0
"""Takes what the control plane reports to an interface's queues and to the program."""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any

from .control import log, reactor
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
        """The callbacks are described at Interface, which owns this."""
        self._interface = weakref.ref(interface)
        self._state = state
        self._receiver = receiver
        self._allow = allow
        self.on_connect = on_connect
        self.on_disconnect = on_disconnect

    def admits(self, endpoint: Endpoint, peer: tuple[int, int, int]) -> bool:
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
        with state.lock:
            link = endpoint.link
            # Another thread may end the link now. Its end was reported, or will be.
            if link is None or link.closing:
                return
            state.up = True
            state.number = int(reactor.ffi.cast("uintptr_t", endpoint.handle))
            self._receiver.link_up(endpoint, link.rx_efds())
            state.tell()
        self._tell(self.on_connect)

    def disconnected(self, _endpoint: Endpoint, reason: str) -> None:
        """The link is over. Its rings are unmapped when this returns."""
        state = self._state
        with Steps() as steps:
            with state.lock:
                steps.take(self._receiver.keep_the_rest)
                was_up, state.up = state.up, False
                state.number = 0
                steps.take(self._receiver.detach)
                state.tell()
                if state.closing:
                    steps.take(self.end)
            interface = self._interface()
            if interface is not None:
                steps.take(interface.counters)  # the last ones, if the interface is being closed
            if was_up:
                self._tell(self.on_disconnect, reason)

    def end(self) -> None:
        """Nothing comes any more: wake all who wait. Under `State.lock`."""
        self._state.closed = True
        self._state.tell()
        self._receiver.wake()

    def abandoned(self) -> None:
        """This process is a fork of the one that the interface belongs to."""
        self._state.up = False
        self._state.number = 0
        self._receiver.abandon()

    def close(self) -> None:
        """The last step of an interface: nothing comes any more, and the descriptors close."""
        with self._state.lock, Steps() as steps:
            steps.take(self.end)
            steps.take(self._receiver.close)

    def _tell(self, callback: Callable[..., object] | None, *arguments: object) -> None:
        """Call back into the program. Its exceptions are shown; the link goes on."""
        if callback is None:
            return  # this thread must not be the one that drops the interface
        interface = self._interface()
        try:
            if interface is not None:
                log.hand_on()  # what led to this call, before it
                callback(interface, *arguments)
        except Exception as error:
            sys.excepthook(type(error), error, error.__traceback__)


class Reports:
    """Passes what the control plane reports to an Observer, which it does not keep alive.

    The control plane must not keep an interface alive that the program has dropped, nor what its
    callbacks refer to, which often is the interface.
    """

    def __init__(self, observer: Observer, *, asks: bool) -> None:
        """`asks`: whether the program wants to be asked about peers."""
        self._observer = weakref.ref(observer)
        self.admits: Callable[[Endpoint, tuple[int, int, int]], bool] | None = (
            self._admits if asks else None
        )

    def _admits(self, endpoint: Endpoint, peer: tuple[int, int, int]) -> bool:
        """An interface that is gone admits nobody."""
        observer = self._observer()
        return observer is not None and observer.admits(endpoint, peer)

    def connected(self, endpoint: Endpoint, handle: Any) -> None:
        """The link is up."""
        observer = self._observer()
        if observer is not None:
            observer.connected(endpoint, handle)

    def disconnected(self, endpoint: Endpoint, reason: str) -> None:
        """The link is over."""
        observer = self._observer()
        if observer is not None:
            observer.disconnected(endpoint, reason)

    def abandoned(self) -> None:
        """This process is a fork."""
        observer = self._observer()
        if observer is not None:
            observer.abandoned()
