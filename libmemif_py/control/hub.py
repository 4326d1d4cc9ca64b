# SPDX-License-Identifier: Apache-2.0
"""The hub: the interfaces of one group, their listeners and timers, one event at a time.

Every public method takes the control lock (lock.py), so only one thread at a time changes the
control plane. Observers are called with the lock released: they may call back in, from their own or
other threads, so after each such call the state is looked at afresh.
"""

from __future__ import annotations

import time

from .. import errors
from . import channel, socket_path, sockets, system
from .endpoint import Endpoint
from .link import Link, SlaveLink
from .listener import SHORT_PAUSE, Listener
from .lock import LOCK, ControlLock, Unlocked, Users
from .native import DEBUG, WARNING
from .steps import Steps
from .timer import Deadlines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .endpoint import Observer, Settings
    from .memory import External
    from .native import Native

# A slave that found no master, or lost its master.
RETRY_INTERVAL = 2.0
# How long a master waits for another process that is making the socket of the same path.
TURN_PATIENCE = 1.0
# How often a hub that closes looks whether the callbacks of other threads have returned, and a
# master whether it is its turn.
_GLANCE = 0.001


class Hub:
    """A group of interfaces on one copy of the core and one poller."""

    def __init__(
        self,
        native: Native,
        pointer: Any,
        app_name: bytes,
        *,
        retry_interval: float | None = RETRY_INTERVAL,
        attempts_in_add: bool = False,
        program_posts: bool = False,
        external: External | None = None,
    ) -> None:
        """`pointer` is an open struct mif_poller, the caller's.

        `retry_interval`: seconds until a disconnected slave tries again, None for never.
        `attempts_in_add`: a slave makes its first attempt inside `add`, not in the next poll.
        `program_posts`: as slave of version 512 the program posts receive buffers itself.
        `external`: the program's own memory for regions.
        """
        self.native = native
        self.app_name = app_name
        self.retry_interval = retry_interval
        self.external = external
        self.pointer = pointer
        self._attempts_in_add = attempts_in_add
        self.program_posts = program_posts
        self._adopted_fd: int | None = None
        self._endpoints: dict[Any, Endpoint] = {}
        self._listeners: dict[bytes, Listener] = {}
        self._links: list[Link] = []
        self._handlers: dict[int, Any] = {}
        self.users = Users()
        """The threads that need the hub: `close` waits for them."""
        self.closed = False
        self._deadlines = Deadlines(native)
        try:
            with LOCK:
                self.watch(self._deadlines.fileno(), self._deadlines)
        except BaseException as error:
            with Steps(error) as steps:
                steps.take(channel.close_fds, [self._deadlines.detach()])
        with LOCK:
            native.lib.mif_segment_open(native.api)

    def unlocked(self) -> Unlocked:
        """For the time of a callback into the program."""
        return LOCK.unlocked()

    # ---- interfaces ----

    def add(
        self, settings: Settings, observer: Observer, interrupt: Any, private_ctx: Any
    ) -> Endpoint:
        """A new interface. A master listens from now on.

        A slave makes its first attempt here if the hub `attempts_in_add`, otherwise in the next
        poll. Raises MemifError, OSError; nothing is left behind then.
        """
        with LOCK:
            self._check_open()
            socket_path.check(settings.path)  # a path that can never work is the caller's mistake
            endpoint = Endpoint(self, settings, observer)
            endpoint.open(interrupt, private_ctx)
            try:
                if settings.is_master:
                    self._listen(endpoint)
            except BaseException as error:
                with Steps(error) as steps:
                    steps.take(endpoint.close)
            self._endpoints[endpoint.handle] = endpoint
            if not settings.is_master:
                self._first_attempt(endpoint)
            return endpoint

    def _check_open(self) -> None:
        if self.closed:
            raise errors.ArgumentError("the socket is being deleted")

    def _first_attempt(self, endpoint: Endpoint) -> None:
        try:
            if self._attempts_in_add:
                self.attempt(endpoint)
            else:
                self.set_deadline(endpoint, 0)
        except BaseException as error:
            with Steps(error) as steps:
                steps.take(self.remove, endpoint)

    def in_use(self) -> bool:
        """True while there are interfaces, or a thread is ending one, whose callbacks may run."""
        return bool(self._endpoints) or bool(self.users)

    def find(self, handle: Any) -> Endpoint:
        """The interface of a handle. Raises NoConnectionError."""
        with LOCK:
            endpoint = self._endpoints.get(handle)
            if endpoint is None:
                raise errors.NoConnectionError("the handle names no interface")
            return endpoint

    def remove(self, endpoint: Endpoint) -> None:
        """Disconnect and end an interface. Raises NoConnectionError if that is under way or done.

        Until the program was told of the end of the link, the handle stays valid for other calls.
        Any other error is raised when everything else is done: the interface is gone then as well.
        """
        with LOCK:
            if endpoint.removed:
                raise errors.NoConnectionError("the interface was removed already")
            with self.users:
                self._end(endpoint)

    def _end(self, endpoint: Endpoint) -> None:
        endpoint.removed = True
        with Steps() as steps:
            steps.take(self.cancel_deadline, endpoint)
            if endpoint.settings.is_master:
                steps.take(self._stop_listening, endpoint)
            if endpoint.link is None:
                steps.take(self.forget, endpoint)
            else:
                steps.take(endpoint.link.disconnect, "interface deleted")

    def forget(self, endpoint: Endpoint) -> None:
        """An interface that was removed has no link any more: close it. May be called twice."""
        if self._endpoints.pop(endpoint.handle, None) is not None:
            endpoint.close()

    def _listen(self, endpoint: Endpoint) -> None:
        """Join the listener of the path, or wait for our turn and make one."""
        path = endpoint.settings.path
        deadline = time.monotonic() + TURN_PATIENCE
        while path not in self._listeners:
            try:
                listener = Listener(self, path, endpoint.settings.access, self._adopted_fd)
            except socket_path.TurnTaken:
                if time.monotonic() > deadline:
                    raise
                with self.users, self.unlocked():  # a hub that closes waits for us
                    time.sleep(_GLANCE)
                self._check_open()
            else:
                # Noted before it is watched: `watch` may release the lock, and another thread may
                # then join this listener, and end it.
                self._listeners[path] = listener
                self._start_listening(listener)
        self._listeners[path].add(endpoint)

    def _start_listening(self, listener: Listener) -> None:
        """Releases the lock. If interfaces join meanwhile and it fails, they are watched later."""
        with self.users:  # a hub that closes waits for it
            try:
                listener.start()
                self._check_open()
            except BaseException as error:
                with Steps(error) as steps:
                    if listener.endpoints:
                        steps.take(self.set_deadline, listener, SHORT_PAUSE)
                    elif not listener.closed:
                        steps.take(self._drop, listener)

    def _drop(self, listener: Listener) -> None:
        del self._listeners[listener.path]
        listener.close()

    def _stop_listening(self, endpoint: Endpoint) -> None:
        listener = self._listeners[endpoint.settings.path]
        del listener.endpoints[endpoint.settings.interface_id]
        if not listener.endpoints:
            self._drop(listener)

    def adopt_listener(self, fd: int) -> None:
        """Listen on a socket that somebody else has bound; it stays theirs.

        Raises AlreadyError when masters are listening on one of our own, ArgumentError.
        """
        with LOCK:
            self._check_open()
            if self._listeners:
                raise errors.AlreadyError("there is a listening socket already")
            sockets.AdoptedSocket(fd, self.native.lib).close()  # only to check it
            self._adopted_fd = fd

    def listener_fd(self, path: bytes) -> int:
        """The listening socket for a path, or -1."""
        with LOCK:
            if path in self._listeners:
                return self._listeners[path].fileno()
            return -1 if self._adopted_fd is None else self._adopted_fd

    # ---- slaves ----

    def set_retry(self, first: float | None, interval: float | None) -> None:
        """Have disconnected slaves try again after `first` seconds, then at each interval."""
        with LOCK, Steps() as steps:
            self._check_open()
            self.retry_interval = interval
            for endpoint in self._endpoints.values():
                if endpoint.link is None and not endpoint.settings.is_master:
                    steps.take(self.cancel_deadline, endpoint)
                    if (when := first or interval) is not None:
                        steps.take(self.set_deadline, endpoint, when)

    def retry_later(self, endpoint: Endpoint) -> None:
        """A slave lost its link, or found no master."""
        interval = endpoint.settings.retry_interval or self.retry_interval
        if interval is not None:
            self.set_deadline(endpoint, interval)

    def attempt(self, endpoint: Endpoint) -> None:
        """Try to connect a slave now; on failure again later."""
        try:
            self._connect(endpoint)
        except BlockingIOError:
            self.set_deadline(endpoint, SHORT_PAUSE)  # the master's queue of connections is full
        except OSError as error:
            self._unreached(endpoint, error)

    def _unreached(self, endpoint: Endpoint, error: OSError) -> None:
        reason = system.reason_of(error)
        if reason != endpoint.last_error:  # not again with each attempt
            # A master that is not there yet is normal.
            level = WARNING if system.is_denied(error) else DEBUG
            self.native.debug(f"{endpoint.describe()}: {reason}", level=level)
        endpoint.last_error = reason
        self.retry_later(endpoint)

    def request(self, endpoint: Endpoint) -> None:
        """Connect a slave now. Raises AlreadyConnectedError, ArgumentError, OSError."""
        with LOCK:
            if endpoint.settings.is_master:
                raise errors.ArgumentError("a master cannot request a connection, it listens")
            if endpoint.link is not None:
                raise errors.AlreadyConnectedError("the interface has a connection already")
            self.cancel_deadline(endpoint)
            try:
                self._connect(endpoint)
            except OSError as error:
                self._unreached(endpoint, error)
                raise

    def _connect(self, endpoint: Endpoint) -> None:
        connected = channel.connect(endpoint.settings.path, self.native.lib)
        try:
            link = SlaveLink(self, connected, endpoint)
        except BaseException as error:
            with Steps(error) as steps:
                steps.take(connected.close)
        endpoint.linked(link)
        self.add_link(link, endpoint.settings.handshake_timeout)

    # ---- links ----

    def add_link(self, link: Link, patience: float) -> None:
        """Watch a new link's channel, for so many seconds until it is up.

        Raises MemifError; the link is closed then.
        """
        self._links.append(link)
        try:
            self.watch(link.channel.fileno(), link)
            self.set_deadline(link, patience)
        except errors.MemifError as error:
            with Steps(error) as steps:
                steps.take(link.disconnect, str(error))

    def denied(self, error: OSError) -> None:
        """A system call failed for a reason of our own process, so no peer can connect."""
        self._blame(system.reason_of(error))

    def poll_failed(self, reason: str) -> None:
        """Events cannot be waited for. Pause before the next try: the cause may last."""
        with LOCK:
            self._blame(reason)
        time.sleep(SHORT_PAUSE)

    def _blame(self, reason: str) -> None:
        for endpoint in self._endpoints.values():
            if not endpoint.connected:
                endpoint.last_error = reason

    def forget_link(self, link: Link) -> None:
        """The link is being taken apart."""
        if link in self._links:
            self._links.remove(link)

    # ---- fds ----

    def watch(self, fd: int, handler: Any) -> None:
        """Have `handler.on_ready(events)` called when the fd can be read. Raises MemifError."""
        self._handlers[fd] = handler
        code = self._watch(fd, self.native.lib.MIF_WATCH_CONTROL, self.native.ffi.NULL, 0)
        if code:
            if self._handlers.get(fd) is handler:  # and not one that has this number by now
                del self._handlers[fd]
            raise self.native.error(code, f"watching fd {fd}")

    def watch_interrupt(self, fd: int, handle: Any, qid: int) -> None:
        """Have the C side call the endpoint's interrupt callback. Raises MemifError."""
        code = self._watch(fd, self.native.lib.MIF_WATCH_INTERRUPT, handle, qid)
        self.native.check(code, f"watching the eventfd of queue {qid}")

    def _watch(self, fd: int, kind: int, handle: Any, qid: int) -> int:
        with self._telling():
            return self.native.lib.mif_poller_watch(self.pointer, fd, kind, handle, qid)

    def _telling(self) -> Unlocked | ControlLock:
        """A context for calls in which a program that polls itself is told of a descriptor.

        In a program that is not told, the lock stays held: another thread could close the fd
        meanwhile.
        """
        return self.unlocked() if self.native.lib.mif_poller_announces(self.pointer) else LOCK

    def unwatch(self, fd: int) -> None:
        """Before the fd is closed. Raises MemifError; it is not watched any more even so."""
        self._handlers.pop(fd, None)
        with self._telling():
            code = self.native.lib.mif_poller_unwatch(self.pointer, fd)
        self.native.check(code, f"the end of watching fd {fd}")

    def on_event(self, fd: int, events: int) -> None:
        """A descriptor that is watched is ready."""
        with LOCK:
            handler = self._handlers.get(fd)
            if handler is not None:
                handler.on_ready(events)

    # ---- time ----

    def set_deadline(self, owner: Any, seconds: float) -> None:
        """Have `owner.timed_out()` called after so many seconds. Raises MemifError."""
        if not self.closed:  # nothing more is to come then
            self._deadlines.set(owner, seconds)

    def cancel_deadline(self, owner: Any) -> None:
        """Forget it. Raises MemifError."""
        self._deadlines.cancel(owner)

    # ---- the end ----

    def close(self) -> None:
        """Remove every interface and close every fd. The poller stays the caller's.

        Waits for other threads that need the hub (`users`). Raises the first error when all is
        closed.
        """
        with LOCK, self.users, Steps() as steps:
            self.closed = True  # callbacks and other threads may still try to add
            for endpoint in list(self._endpoints.values()):
                if not endpoint.removed:
                    steps.take(self.remove, endpoint)
            for link in list(self._links):
                steps.take(link.disconnect, "hub closed")
            while len(self.users) > 1:
                with self.unlocked():
                    time.sleep(_GLANCE)
            timer = self._deadlines.detach()  # its number may be another's soon
            if timer >= 0:  # not in a child of a callback, see `abandon`
                steps.take(self.unwatch, timer)
                steps.take(channel.close_fds, [timer])
                self.native.lib.mif_segment_close()

    def abandon(self, at_rest: bool) -> None:
        """In a forked child: drop the parent's interfaces without ending them.

        Descriptors are closed here. The parent does not notice that, while an open copy would keep
        its links alive for their peers. `at_rest`: no thread was inside the control plane at the
        fork. Otherwise our numbers of descriptors may be out of date, and those stay open.
        """
        self.closed = True
        for listener in self._listeners.values():
            listener.abandon()
        for link in self._links:
            link.abandon(at_rest)
        for endpoint in self._endpoints.values():
            endpoint.abandon()
        timer = self._deadlines.detach()
        if at_rest and timer >= 0:  # a hub that was closing has none any more
            channel.close_fds([timer])
        for kept in (self._listeners, self._endpoints, self._links, self._handlers):
            kept.clear()
        self._deadlines.clear()
