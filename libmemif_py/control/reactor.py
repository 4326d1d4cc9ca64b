# SPDX-License-Identifier: Apache-2.0
"""Runs the control plane for Python programs: one hub and one thread for the process.

The thread serves handshakes and reconnections while the program computes. It starts with the first
interface, ends with the last, and never touches a packet.

A forked child starts without hub, thread and interfaces. `_start_over` abandons the parent's,
whatever the parent's threads were doing, and makes locks anew. By `generation` an interface that
was inherited is told from one of this process.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import sys
import threading
from collections import deque
from pathlib import Path

from .. import errors
from . import log
from .hub import Hub
from .lock import LOCK
from .native import WARNING, Native
from .steps import Steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .endpoint import Endpoint, Observer, Settings


def _load() -> Any:
    """The extension module. cffi's runtime is that of the environment, or else our own copy."""
    try:
        from .. import _native
    except ModuleNotFoundError as error:
        copy = Path(__file__).parents[1] / "_runtime"
        if error.name != "_cffi_backend" or not copy.is_dir():
            raise
        sys.path.append(str(copy))
        from .. import _native
    return _native


def _load_burst() -> Any:
    """The module _burst. It is in the file of _native, because both need the same core."""
    name = "libmemif_py._burst"
    native = importlib.util.find_spec("libmemif_py._native")
    if native is None or native.origin is None:
        from .. import _native  # says what is missing

        raise ImportError(f"{_native} has no file", name=name)
    spec = importlib.util.spec_from_file_location(name, native.origin)
    if spec is None or spec.loader is None:
        raise ImportError(f"{native.origin} cannot be loaded as an extension module", name=name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[name] = module
    return module


# The first of the compiled modules, because it refuses a subinterpreter in our words.
burst = _load_burst()
_module = _load()
ffi, lib = _module.ffi, _module.lib
lib.mif_debug_init()
native = Native(ffi, lib, b"Python")
native.log = log.keep
native.check(lib.mif_data_path_init(), "set-up of the data path")

# In seconds, until a thread that should end is woken up once more.
_PATIENCE = 0.5

_threads: dict[int, ControlThread] = {}  # by hub
generation = 0  # how many forks led to this process since the import


@ffi.def_extern(name="mif_python_control", error=native.codes["SYSCALL"])  # type: ignore[untyped-decorator]
def _control(pointer: int, fd: int, events: int) -> int:
    thread = _threads.get(pointer)
    if thread is None:
        return 0
    try:
        thread.hub.on_event(fd, events)
    except Exception as error:
        native.debug(f"control: {error!r}", level=WARNING)
        return native.code_of(error)
    return 0


class ControlThread:
    """A hub with the thread that polls it."""

    def __init__(self) -> None:
        """Open the hub and start the thread."""
        self._pointer = lib.mif_native_poller_new()
        if self._pointer == ffi.NULL:
            raise native.error(lib.mif_error_from_errno(ffi.errno), "hub")
        self._key = int(ffi.cast("uintptr_t", self._pointer))
        self.users = 0
        self._stopping = self._abandoned = False
        # Only to use it while it is there. Garbage collection inside it may call `wake`.
        self._pointer_lock = threading.RLock()
        self._error: BaseException | None = None
        try:
            self.hub = Hub(native, self._pointer, b"libmemif_py")
        except BaseException as error:
            with Steps(error) as steps:
                steps.take(lib.mif_poller_free, self._pointer)
        _threads[self._key] = self
        self._thread = threading.Thread(target=self._run, name="memif-control", daemon=True)
        try:
            self._thread.start()
        except BaseException as error:
            with Steps(error) as steps:
                steps.take(self._end)

    def _run(self) -> None:
        """Poll until stopped. The thread itself frees the hub: no thread is inside it then."""
        while not self._stopping:
            code = lib.mif_poller_poll(self._pointer, -1)
            failed = native.failed_call(code)
            if failed.startswith("epoll_wait"):  # and not a handler of an event
                self.hub.poll_failed(failed)
            _end_dropped()
            log.hand_on()
        if self._abandoned:
            return
        try:
            self._end()
        except BaseException as error:
            self._error = error
        log.hand_on()

    def _end(self) -> None:
        with Steps() as steps:
            steps.take(self.hub.close)
            with self._pointer_lock:
                steps.take(lib.mif_poller_close, self._pointer)
                del _threads[self._key]
                pointer, self._pointer = self._pointer, ffi.NULL
                steps.take(lib.mif_poller_free, pointer)

    def stop(self) -> None:
        """End the thread, and with it the hub and its interfaces. May be called on that thread."""
        self._stopping = True
        self.wake()
        if threading.current_thread() is self._thread:
            return
        while self._thread.is_alive():
            self._thread.join(_PATIENCE)
            self.wake()  # should the first have failed
        if self._error is not None:
            raise self._error

    def wake(self) -> None:
        """Have the thread look whether there is something to do."""
        with self._pointer_lock:
            if self._pointer != ffi.NULL:
                lib.mif_poller_cancel(self._pointer)

    def abandon(self, at_rest: bool) -> None:
        """In a forked child: see Hub.abandon. A callback that forked may return to the thread."""
        self._stopping = self._abandoned = True
        self.hub.abandon(at_rest)
        lib.mif_poller_abandon(self._pointer)


_lock = threading.Lock()
_thread: ControlThread | None = None


def add(settings: Settings, observer: Observer) -> Endpoint:
    """A new interface on the process's hub."""
    global _thread  # noqa: PLW0603 - one per process is what this module is for
    if lib.mif_in_forked_child():
        raise errors.ForkedError(
            "this process was forked in a way that Python did not notice, or out of memory: "
            "use os.fork or multiprocessing"
        )
    _end_dropped()  # the new one may have the id of one of them
    with _lock:
        thread = _thread or ControlThread()
        try:
            endpoint = thread.hub.add(settings, observer, ffi.NULL, ffi.NULL)
        except BaseException as error:
            with Steps(error) as steps:
                if thread.users == 0:
                    steps.take(thread.stop)
        thread.users += 1
        if _thread is None:
            _close_at_exit()
        _thread = thread
        return endpoint


@contextlib.contextmanager
def in_our_classes(settings: Settings) -> Iterator[None]:
    """Turns an OSError inside the block into an error of the classes that Interface promises."""
    try:
        yield
    except errors.MemifError:
        raise
    except OSError as error:
        path = settings.path.decode("utf-8", "replace")
        made = native.error(native.code_of(error), f"{path!r}: {error.strerror}")
        if isinstance(made, OSError):
            made.errno = error.errno
        raise made from error


def remove(endpoint: Endpoint) -> None:
    """End an interface, and the thread with the last one."""
    with Steps() as steps:
        steps.take(_end, endpoint)  # it calls back into the program: not in our lock
        steps.take(_release, endpoint.hub)
    log.hand_on()


def _end(endpoint: Endpoint) -> None:
    """Does nothing after our exit handler: handlers that were registered before it run later."""
    try:
        endpoint.hub.remove(endpoint)
    except errors.NoConnectionError:
        if not (endpoint.hub.closed and endpoint.removed):
            raise


def _release(hub: Hub) -> None:
    global _thread  # noqa: PLW0603
    with _lock:
        thread = _thread
        if thread is None or thread.hub is not hub:
            return  # closed at exit
        thread.users -= 1
        if thread.users > 0:
            return
        _thread = None
    thread.stop()


# Interfaces that the program dropped without closing them, each with the last step of its end.
_dropped: deque[tuple[Endpoint, Callable[[], None]]] = deque()
_dropping = threading.RLock()  # held while one of them is being ended


def drop(endpoint: Endpoint, last: Callable[[], None]) -> None:
    """End an interface soon, on the library's thread; then call `last`. For a finalizer.

    A finalizer runs on any thread, at any moment, and that thread may hold any lock. So this waits
    for nothing.
    """
    _dropped.append((endpoint, last))
    thread = _thread
    if thread is not None:
        thread.wake()


def _end_dropped() -> None:
    """Returns when all are ended, also those that another thread is ending.

    Nobody can be told of an error, such as a socket file that cannot be removed, but the debug
    lines. Releases them without the lock: to stop the thread is to wait for it, and it may be here.
    """
    ended = []
    try:
        with Steps() as steps:
            with _dropping:
                while _dropped:
                    endpoint, last = _dropped.popleft()
                    ended.append(endpoint)
                    steps.take(_end, endpoint)
                    steps.take(last)
            for endpoint in ended:
                steps.take(_release, endpoint.hub)
    except Exception as error:
        native.debug(f"end of a dropped interface: {error!r}", level=WARNING)


def _start_over() -> None:
    """In a forked child."""
    global generation, _lock, _dropping, _thread  # noqa: PLW0603
    generation += 1
    at_rest = LOCK.start_over()
    _lock, _dropping = threading.Lock(), threading.RLock()
    _thread = None
    _dropped.clear()
    log.clear()
    inherited = list(_threads.values())
    _threads.clear()
    for thread in inherited:
        thread.abandon(at_rest)
    native.check(lib.mif_start_over(), "start in a forked process")


os.register_at_fork(after_in_child=_start_over)


@atexit.register
def _close_all() -> None:
    """Disconnect all peers, and leave no thread inside C when the interpreter ends."""
    global _thread
    with _lock:
        thread, _thread = _thread, None
    if thread is not None:
        thread.stop()


def _close_at_exit() -> None:
    """Most children of multiprocessing end without atexit handlers, but run their finalizers."""
    process = sys.modules.get("multiprocessing.process")
    if process is None or process.parent_process() is None:
        return
    from multiprocessing.util import Finalize

    Finalize(None, _close_all, exitpriority=0)
