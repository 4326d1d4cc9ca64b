# SPDX-License-Identifier: Apache-2.0
"""The hub: the interfaces of one group, their listeners and timers, one event at a time.

Every public method runs under the control lock, one for the process, so the control plane is
single-threaded in effect. Observers are called with the lock released: they may call back in, from
their own or other threads, so after each such call the state is looked at afresh.
"""

from __future__ import annotations

import _thread
import time

from .. import errors
from . import channel, places, sockets, system
from .actions import ProtocolError
from .endpoint import Endpoint
from .link import Link, MasterLink, SlaveLink
from .peers import KnownPeers
from .steps import Steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..capi.v4 import External
    from .endpoint import Observer, Settings
    from .native import Native

# What a peer may take of us before it is connected. A listener keeps at most MAX_STRANGERS
# connections that have not named their interface yet, beyond that the oldest has to go; named, it
# is the only one of that interface. Either has HANDSHAKE_TIMEOUT seconds in all to get connected.
MAX_STRANGERS = 256
HANDSHAKE_TIMEOUT = 10.0
# A slave that found nobody, or lost its master.
RETRY_INTERVAL = 2.0
# A listener that ran out of descriptors, or a master whose queue is full: try again soon.
SHORT_PAUSE = 0.05
# How long a master waits for another process that is making the socket of the same path.
TURN_PATIENCE = 1.0
# How often a hub that closes looks whether the callbacks of other threads have returned, and a
# master whether it is its turn.
_GLANCE = 0.001


class ControlLock:
    """A re-entrant lock that can be let go of entirely around a callback."""

    def __init__(self) -> None:
        """Unlocked."""
        self._lock = _thread.RLock()

    def __enter__(self) -> None:
        """Wait for the lock."""
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        """Undo one enter."""
        self._lock.release()

    def start_over(self) -> bool:
        """In a forked child, where a thread that is gone may hold it; True if none did.

        Where the one thread of the child holds it itself, it goes on doing so.
        """
        if self._lock.acquire(blocking=False):
            self._lock.release()
            return not self._lock._is_owned()
        self._lock._at_fork_reinit()
        return False

    def unlocked(self) -> Unlocked:
        """A context in which this thread holds the lock not at all."""
        return Unlocked(self._lock)


class Unlocked:
    """See ControlLock.unlocked."""

    def __init__(self, lock: _thread.RLock) -> None:
        """For one use."""
        self._lock = lock
        self._state: Any = None

    def __enter__(self) -> None:
        """Let go, however often the lock was taken."""
        self._state = self._lock._release_save()

    def __exit__(self, *_: object) -> None:
        """Take the lock as often again."""
        self._lock._acquire_restore(self._state)


LOCK = ControlLock()


class Ending:
    """See Hub.ending. Under the control lock, which its callbacks let go of."""

    def __init__(self, counts: dict[int, int]) -> None:
        """`counts` by thread."""
        self._counts = counts

    def __enter__(self) -> None:
        """One more, perhaps inside another."""
        me = _thread.get_ident()
        self._counts[me] = self._counts.get(me, 0) + 1

    def __exit__(self, *_: object) -> None:
        """Undo one enter."""
        me = _thread.get_ident()
        self._counts[me] -= 1
        if self._counts[me] == 0:
            del self._counts[me]


class Listener:
    """The master interfaces that share one socket path."""

    def __init__(
        self, hub: Hub, path: bytes, access: sockets.Access | None, adopted_fd: int | None = None
    ) -> None:
        """Bind and listen, or take over what another did."""
        self.hub = hub
        self.closed = False
        self.path = path
        self.access = access
        self.endpoints: dict[int, Endpoint] = {}
        self._strangers: list[MasterLink] = []
        self.known = KnownPeers()
        self._socket = (
            sockets.ListeningSocket(path, hub.native.lib, access)
            if adopted_fd is None
            else sockets.AdoptedSocket(adopted_fd, hub.native.lib)
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
        path = self.path.decode("utf-8", "replace")
        if access is not None and access != self.access:
            text = (
                f"{path!r} is open already, with another mode or owner: give all masters the same"
            )
            raise errors.ArgumentError(text)
        if number in self.endpoints:
            text = f"interface id {number} is in use on {path!r}, choose another"
            raise errors.InterfaceIdError(text)
        self.endpoints[number] = endpoint

    def on_ready(self, _events: int) -> None:
        """Accept one connection; nobody is let in while there is no interface, or none left."""
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
        """Why nobody gets in, for whoever waits for a peer."""
        self.hub.native.debug(error.strerror, depth=2)
        for endpoint in self.endpoints.values():
            if endpoint.link is None:
                endpoint.last_error = error.strerror

    def _is_open(self) -> bool:
        """To be asked again after all that lets go of the lock."""
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

    def _begin(self, accepted: channel.Channel) -> None:
        with Steps() as steps:
            self._strangers = [link for link in self._strangers if link.is_stranger()]
            if len(self._strangers) >= MAX_STRANGERS:
                oldest = self._strangers.pop(0)
                steps.take(oldest.disconnect, "too many connections wait for their handshake")
            steps.take(self._welcome, accepted)

    def _welcome(self, accepted: channel.Channel) -> None:
        if not self._is_open():
            accepted.close()
            return
        try:
            expected = self._expected(accepted)
            link = MasterLink(self.hub, accepted, self, self._limits(expected), expected)
        except BaseException as error:
            with Steps(error) as steps:
                steps.take(accepted.close)
        self._strangers.append(link)
        self.hub.add_link(link, self._patience())
        link.start()

    def _patience(self) -> float:
        """As we do not know which interface is meant, the longest of any."""
        terms = [endpoint.settings for endpoint in self.endpoints.values()]
        return max(t.handshake_timeout or HANDSHAKE_TIMEOUT for t in terms)

    def _expected(self, accepted: channel.Channel) -> int | None:
        """The interface whose number of rings HELLO will say; None: as many as the protocol has."""
        if not self.known.is_anybody_told():
            return None
        promised = {link.expected for link in self._strangers}
        possible = [
            number
            for number, endpoint in self.endpoints.items()
            if endpoint.link is None and number not in promised
        ]
        return self.known.expected(accepted.identity(), possible)

    def _limits(self, expected: int | None) -> dict[str, int]:
        """HELLO is sent before we know which interface is meant: what any of them allows.

        Rings as those of the interface that is expected, see peers.py.
        """
        terms = [endpoint.settings for endpoint in self.endpoints.values()]
        limits = {
            "min_version": min(t.min_version for t in terms),
            "max_version": max(t.max_version for t in terms),
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
            raise ProtocolError("ID", f"no interface with id {interface_id}")
        if endpoint.link is not None:
            raise ProtocolError("ALRCONN", f"interface {interface_id} is connected")
        return endpoint

    def close(self) -> None:
        """Stop listening; drop who has not named an interface."""
        self.closed = True
        with Steps() as steps:
            steps.take(self.hub.cancel_deadline, self)
            for link in self._strangers:
                if link.is_stranger():
                    steps.take(link.disconnect, "listener closed")
            steps.take(self.hub.unwatch, self._socket.fileno())
            steps.take(self._socket.close)

    def abandon(self) -> None:
        """See Hub.abandon."""
        self._socket.abandon()


class Hub:
    """A group of interfaces on one copy of the core and one C hub."""

    def __init__(
        self,
        native: Native,
        pointer: Any,
        app_name: bytes,
        *,
        retry_interval: float | None = RETRY_INTERVAL,
        eager: bool = False,
        application_posts: bool = False,
        external: External | None = None,
    ) -> None:
        """`pointer` is an open struct mif_poller, the caller's.

        `retry_interval`: seconds until a disconnected slave tries again, None for never. `eager`:
        a slave makes its first attempt inside `add`, not at the next turn of polling.
        `application_posts`: as slave of version 512 the application posts receive buffers itself.
        `external`: the application's own memory for regions.
        """
        self.native = native
        self.app_name = app_name
        self.retry_interval = retry_interval
        self.external = external
        self.pointer = pointer
        self._eager = eager
        self.application_posts = application_posts
        self._adopted_fd: int | None = None
        self._endpoints: dict[Any, Endpoint] = {}
        self._listeners: dict[bytes, Listener] = {}
        self._links: list[Link] = []
        self._handlers: dict[int, Any] = {}
        self._deadlines: dict[Any, float] = {}
        self._armed: float | None = None
        self._endings: dict[int, int] = {}  # of interfaces and links, under way, by thread
        self.closed = False
        timer = native.ffi.new("int *")
        native.check(native.lib.mif_timer_open(timer), "timer")
        self._timer = timer[0]
        try:
            with LOCK:
                self.watch(self._timer, self)
        except BaseException as error:
            with Steps(error) as steps:
                steps.take(channel.close_fds, [self._timer])

    def unlocked(self) -> Unlocked:
        """For the time of a callback into the application."""
        return LOCK.unlocked()

    # ---- interfaces ----

    def add(
        self, settings: Settings, observer: Observer, interrupt: Any, private_ctx: Any
    ) -> Endpoint:
        """A new interface: a master listens at once, a slave makes its first attempt.

        An `eager` hub makes the attempt here, any other at its next turn of polling.
        Raises MemifError, OSError; nothing is left behind then.
        """
        with LOCK:
            self._check_open()
            places.check(settings.path)  # a path that can never work is the caller's mistake
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
            if self._eager:
                self.attempt(endpoint)
            else:
                self.set_deadline(endpoint, 0)
        except BaseException as error:
            with Steps(error) as steps:
                steps.take(self.remove, endpoint)

    def in_use(self) -> bool:
        """True while there are interfaces, or one is on its way out: callbacks run meanwhile."""
        return bool(self._endpoints) or bool(self._endings)

    def ending(self) -> Ending:
        """A context in which this thread ends an interface or a link of the hub."""
        return Ending(self._endings)

    def find(self, handle: Any) -> Endpoint:
        """The interface of a handle. Raises NoConnectionError."""
        with LOCK:
            endpoint = self._endpoints.get(handle)
            if endpoint is None:
                raise errors.NoConnectionError("the handle names no interface")
            return endpoint

    def remove(self, endpoint: Endpoint) -> None:
        """Disconnect and end an interface. Raises NoConnectionError if that is under way or done.

        Until the program was told of the end of its link, the handle stays good for all else. Any
        other error is raised when all is done that can be: the interface is gone then as well.
        """
        with LOCK:
            if endpoint.removed:
                raise errors.NoConnectionError("the interface was removed already")
            with self.ending():
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
        """An interface that was removed has no link any more. May be called twice."""
        if self._endpoints.pop(endpoint.handle, None) is not None:
            endpoint.close()

    def _listen(self, endpoint: Endpoint) -> None:
        """Join the listener of the path, or make one when it is our turn to."""
        path = endpoint.settings.path
        deadline = time.monotonic() + TURN_PATIENCE
        while path not in self._listeners:
            try:
                listener = Listener(self, path, endpoint.settings.access, self._adopted_fd)
            except places.TurnTaken:
                if time.monotonic() > deadline:
                    raise
                with self.ending(), self.unlocked():  # a hub that closes waits for us
                    time.sleep(_GLANCE)
                self._check_open()
            else:
                # Known before it is watched, where another thread may want the same, and end it.
                self._listeners[path] = listener
                self._start_listening(listener)
        self._listeners[path].add(endpoint)

    def _start_listening(self, listener: Listener) -> None:
        """Lets go of the lock. What came about meanwhile stays, and is watched a little later."""
        with self.ending():  # a hub that closes waits for it
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
            sockets.AdoptedSocket(fd, self.native.lib).close()  # only to see that it is good
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
        """A slave lost its link, or found nobody."""
        if self.retry_interval is not None:
            self.set_deadline(endpoint, self.retry_interval)

    def attempt(self, endpoint: Endpoint) -> None:
        """Try to connect a slave now; on failure again later."""
        try:
            self._connect(endpoint)
        except BlockingIOError:
            self.set_deadline(endpoint, SHORT_PAUSE)  # the master's queue of connections is full
        except OSError as error:
            self._unreached(endpoint, error)

    def _unreached(self, endpoint: Endpoint, error: OSError) -> None:
        if system.is_denied(error):  # that nobody is there yet is no news
            self.native.debug(error.strerror)
        endpoint.last_error = error.strerror
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
        self.add_link(link, endpoint.settings.handshake_timeout or HANDSHAKE_TIMEOUT)

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
        """A system call failed as no peer makes it fail: nobody connects, whoever it is."""
        self._blame(error.strerror)

    def poll_failed(self, reason: str) -> None:
        """Events cannot be waited for. Not at once again: whatever it is may last."""
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
            if self._handlers.get(fd) is handler:  # not of who has the number by now
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
        """A context for calls in which an application that polls is told of a descriptor.

        Where nobody is told the lock stays held: another thread could close the fd meanwhile.
        """
        return self.unlocked() if self.native.lib.mif_poller_announces(self.pointer) else LOCK

    def unwatch(self, fd: int) -> None:
        """Before the fd is closed. Raises MemifError; nobody watches it any more even so."""
        self._handlers.pop(fd, None)
        with self._telling():
            code = self.native.lib.mif_poller_unwatch(self.pointer, fd)
        self.native.check(code, f"the end of watching fd {fd}")

    def control(self, fd: int, events: int) -> None:
        """Serve a control fd that is ready."""
        with LOCK:
            handler = self._handlers.get(fd)
            if handler is not None:
                handler.on_ready(events)

    # ---- time ----

    def set_deadline(self, owner: Any, seconds: float) -> None:
        """Have `owner.timed_out()` called (an Endpoint: an attempt made) after so many seconds."""
        if self.closed:
            return  # nothing more is to come
        when = time.monotonic() + seconds
        self._deadlines[owner] = when
        if self._armed is None or when < self._armed:
            self._arm()

    def cancel_deadline(self, owner: Any) -> None:
        """Forget it. With nothing left to wait for, the timer is off."""
        if self._deadlines.pop(owner, None) is not None and not self._deadlines:
            self._arm()

    def _arm(self) -> None:
        if self._timer < 0:
            return  # closed, perhaps by what was due
        self._armed = min(self._deadlines.values(), default=None)
        if self._armed is None:
            wait = -1
        else:
            wait = max(0, int((self._armed - time.monotonic()) * 1e6))
        code = self.native.lib.mif_timer_arm(self._timer, wait)
        if code:
            self._armed = None  # so that the next deadline tries again
            raise self.native.error(code, "timer")

    def on_ready(self, _events: int) -> None:
        """The timer fired."""
        self.native.lib.mif_timer_read(self._timer)
        now = time.monotonic()
        try:
            for owner in [o for o, when in self._deadlines.items() if when <= now]:
                # What came before in this loop may have cancelled it.
                if self._deadlines.get(owner, now + 1) <= now:
                    del self._deadlines[owner]
                    self._expire(owner)
        finally:
            self._arm()  # what an error kept from its turn is due at once

    def _expire(self, owner: Any) -> None:
        if isinstance(owner, Endpoint):
            self.attempt(owner)
        else:
            owner.timed_out()

    # ---- the end ----

    def close(self) -> None:
        """Remove every interface and close every fd. The C hub stays the caller's.

        Waits for what other threads are ending: they still need the hub. Raises the first error
        when all is closed.
        """
        with LOCK, self.ending(), Steps() as steps:
            self.closed = True  # callbacks and other threads may still try to add
            for endpoint in list(self._endpoints.values()):
                if not endpoint.removed:
                    steps.take(self.remove, endpoint)
            for link in list(self._links):
                steps.take(link.disconnect, "hub closed")
            while len(self._endings) > 1:
                with self.unlocked():
                    time.sleep(_GLANCE)
            timer, self._timer = self._timer, -1  # its number may be another's soon
            steps.take(self.unwatch, timer)
            steps.take(channel.close_fds, [timer])

    def abandon(self, at_rest: bool) -> None:
        """In a forked child: let go of the parent's interfaces, and leave them as they are.

        Descriptors are closed here, which the parent does not notice, while an open one would keep
        its links alive in the eyes of peers. `at_rest`: no thread was inside the control plane at
        the fork. Otherwise numbers of descriptors may be out of date, and those stay open.
        """
        self.closed = True
        for listener in self._listeners.values():
            listener.abandon()
        for link in self._links:
            link.abandon(at_rest)
        for endpoint in self._endpoints.values():
            endpoint.abandon()
        if at_rest and self._timer >= 0:  # a hub that was closing has none any more
            channel.close_fds([self._timer])
        self._timer = -1
        for kept in (self._listeners, self._endpoints, self._links, self._handlers):
            kept.clear()
        self._deadlines.clear()
