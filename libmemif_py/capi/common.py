# SPDX-License-Identifier: Apache-2.0
"""What both C APIs need of Python: callbacks, details, settings, error codes."""

from __future__ import annotations

from .. import errors
from ..control.endpoint import Settings
from ..control.lock import LOCK
from ..control.native import Native
from ..control.sockets import Access

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..control.endpoint import Endpoint
    from ..control.hub import Hub

# Zero means the default.
_NUMBERS = ("num_s2m_rings", "num_m2s_rings", "buffer_size", "log2_ring_size")


# By the numbers of memif_ext_unsealed_t.
_UNSEALED = ("trusted", "never", "always")
# What memif_ext_options_t has: numbers of its own, and times in milliseconds by their settings.
_OPTIONS = ("socket_mode", "socket_uid", "socket_gid", "unsealed", "max_packet")
_TIMES = {"timeout_ms": "handshake_timeout", "retry_ms": "retry_interval"}


class Program:
    """The program's callbacks for one interface (an Observer)."""

    admits: Callable[[Endpoint, tuple[int, int, int]], bool] | None = None

    def __init__(
        self, native: Native, on_connect: Any, on_disconnect: Any, ctx: Any, options: Any = None
    ) -> None:
        """C pointers; NULL callbacks are not called."""
        self._native = native
        self._on_connect = on_connect
        self._on_disconnect = on_disconnect
        self._ctx = ctx
        if options and options.allow:
            self._allow = options.allow
            self.admits = self._admits

    def _admits(self, _endpoint: Endpoint, peer: tuple[int, int, int]) -> bool:
        """Call memif_ext_options_t.allow."""
        return self._allow(self._native.ffi.new("memif_ext_peer_t *", peer), self._ctx) == 1

    def connected(self, endpoint: Endpoint, handle: Any) -> None:
        """Call on_connect."""
        self._call("on_connect", self._on_connect, handle)

    def disconnected(self, endpoint: Endpoint, reason: str) -> None:
        """Call on_disconnect."""
        self._call("on_disconnect", self._on_disconnect, endpoint.handle)

    def abandoned(self) -> None:
        """A forked child of a C program gets errors; nothing is closed there."""

    def _call(self, name: str, callback: Any, handle: Any) -> None:
        if callback == self._native.ffi.NULL:
            return
        answer = callback(handle, self._ctx)
        if answer != 0:
            self._native.debug(f"{name} returned {answer}")


class Packer:
    """Lays strings and arrays out in a caller's buffer, never past its end."""

    def __init__(self, ffi: Any, buf: Any, size: int) -> None:
        """`size` bytes at `buf`."""
        self._ffi = ffi
        self._buf = buf
        self._size = size
        self._used = 0
        self.overflow = False

    def string(self, text: bytes) -> Any:
        """A NUL-terminated copy, or NULL when there is no room."""
        where = self._take(len(text) + 1, 1)
        if where != self._ffi.NULL:
            self._ffi.memmove(where, text + b"\0", len(text) + 1)
        return self._ffi.cast("uint8_t *", where)

    def array(self, kind: str, count: int) -> Any:
        """Room for so many structures, or NULL."""
        where = self._take(self._ffi.sizeof(kind) * count, self._ffi.alignof(kind))
        return self._ffi.cast(f"{kind} *", where)

    def _take(self, size: int, align: int) -> Any:
        address = int(self._ffi.cast("uintptr_t", self._buf)) + self._used
        start = self._used + -address % align
        if self.overflow or start + size > self._size:
            self.overflow = True
            return self._ffi.NULL
        self._used = start + size
        return self._buf + start


class Api:
    """The functions that C calls, and what they need."""

    name: bytes
    shows_no_secret_as_empty = True  # in details; otherwise as NULL

    def __init__(self, ffi: Any, lib: Any) -> None:
        """`ffi` and `lib` of the embedded module."""
        self.native = Native(ffi, lib, self.name)
        self.ffi = ffi
        self.lib = lib

    def find(self, handle: Any) -> Endpoint:
        """The interface of a handle. Raises NoConnectionError."""
        raise NotImplementedError

    def delete(self, handle: Any) -> None:
        """memif_delete."""
        endpoint = self.find(handle)
        endpoint.hub.remove(endpoint)

    def peer(self, handle: Any, answer: Any) -> None:
        """memif_ext_get_peer."""
        with LOCK:
            endpoint = self.find(handle)
            if not endpoint.connected or endpoint.link is None:
                raise errors.Disconnected("there is no peer")
            answer.pid, answer.uid, answer.gid = endpoint.link.peer

    def last_error(self, handle: Any, text: Any, size: int) -> None:
        """memif_ext_get_last_error."""
        reason = self.find(handle).last_error.encode()
        part = reason[: size - 1].decode(errors="ignore").encode()  # no half of a character
        self.ffi.memmove(text, part + b"\0", len(part) + 1)
        if part != reason:
            raise errors.DetailsSizeError("the reason does not fit the buffer")

    def options(self, options: Any) -> dict[str, Any]:
        """The settings in memif_ext_options_t. Raises ArgumentError."""
        lib, asked = self.lib, options.set if options else 0
        known = {
            name: getattr(lib, f"MEMIF_EXT_SET_{name.upper()}") for name in (*_OPTIONS, *_TIMES)
        }
        if asked & ~sum(known.values()):
            raise errors.ArgumentError(f"options.set 0x{asked:x} has an unknown bit")
        values = {name: getattr(options, name) for name, bit in known.items() if asked & bit}
        found: dict[str, Any] = {}
        if "max_packet" in values:
            found["max_packet"] = values["max_packet"]
        for name, setting in _TIMES.items():
            if name in values:
                _check_range(values[name], name, 1, 2**31 - 1)
                found[setting] = values[name] / 1000
        if "unsealed" in values:
            _check_range(values["unsealed"], "unsealed", 0, len(_UNSEALED) - 1)
            found["unsealed"] = _UNSEALED[values["unsealed"]]
        if "socket_mode" in values:
            _check_range(values["socket_mode"], "socket_mode", 0, 0o777)
        found["access"] = Access(*(values.get(f"socket_{of}", -1) for of in ("mode", "uid", "gid")))
        return found

    def settings(self, args: Any, options: Any, **others: Any) -> Settings:
        """What both kinds of memif_conn_args_t say, the options, and `others`.

        Raises MemifError.
        """
        if self.lib.mif_unsealed_never():
            others["unsealed"] = "never"
        others = self.options(options) | others
        version = self.lib.mif_protocol_wish()
        if version:
            others |= {"min_version": version, "max_version": version}
        return Settings(
            is_master=bool(args.is_master),
            interface_id=args.interface_id,
            if_name=self.ffi.buffer(args.interface_name)[:],
            secret=self.ffi.buffer(args.secret)[:],
            **{name: value for name in _NUMBERS if (value := getattr(args, name))},
            **others,
        )

    def details(self, handle: Any, md: Any, buf: Any, size: int) -> None:
        """memif_get_details. Under the control lock: the link must not end meanwhile."""
        packer = Packer(self.ffi, buf, size)
        with LOCK:
            self.fill_details(self.find(handle), md, packer)
        if packer.overflow:
            raise errors.DetailsSizeError("the details do not fit the buffer")

    def fill_details(self, endpoint: Endpoint, md: Any, packer: Packer) -> None:
        """Fill in the API's kind of memif_details_t. What does not fit is left out."""
        raise NotImplementedError

    def describe(self, endpoint: Endpoint, md: Any, packer: Packer) -> None:
        """Fill in what both kinds of memif_details_t hold, all but arrays and the path."""
        settings = endpoint.settings
        self.ffi.memmove(md, bytes(self.ffi.sizeof(md[0])), self.ffi.sizeof(md[0]))
        md.id = settings.interface_id
        md.role = 0 if settings.is_master else 1
        md.mode = settings.mode
        md.link_up_down = 1 if endpoint.connected else 0
        md.if_name = packer.string(settings.if_name)
        md.inst_name = packer.string(settings.app_name)
        md.remote_if_name = packer.string(endpoint.remote_if_name)
        md.remote_inst_name = packer.string(endpoint.remote_name)
        if settings.secret or self.shows_no_secret_as_empty:
            md.secret = packer.string(settings.secret)

    def describe_queues(
        self, endpoint: Endpoint, md: Any, packer: Packer, describe: Callable[[Any], dict[str, Any]]
    ) -> None:
        """Fill in the queue arrays; `describe` gives more fields of a struct mif_queue_state."""
        state = self.ffi.new("struct mif_queue_state *")
        link = endpoint.link
        for direction in ("rx", "tx"):
            is_tx = direction == "tx"
            sizes = link.rings(is_tx) if link is not None and link.up else []
            array = packer.array("memif_queue_details_t", len(sizes))
            if array == self.ffi.NULL:
                return
            setattr(md, f"{direction}_queues", array)
            # The field has 8 bits, a connection may have 256 queues.
            setattr(md, f"{direction}_queues_num", min(len(sizes), 255))
            for qid, ring_size in enumerate(sizes):
                self.lib.mif_queue_look(endpoint.handle, qid, is_tx, state)
                array[qid] = {
                    "qid": qid,
                    "ring_size": ring_size,
                    "buffer_size": min(state.buffer_size, 2**16 - 1),
                } | describe(state)


def _check_range(value: int, what: str, low: int, high: int) -> None:
    if not low <= value <= high:
        raise errors.ArgumentError(f"options.{what} {value}, expected {low} to {high}")


def guarded(api: Api, name: str, function: Callable[..., object]) -> Callable[..., int]:
    """Turns the outcome of `function` into a core error code. No exception leaves."""

    def call(*args: Any) -> int:
        try:
            function(*args)
        except BaseException as error:
            _report(api, name, error)
            return api.native.code_of(error)
        return 0

    return call


def _report(api: Api, name: str, error: BaseException) -> None:
    if not api.lib.mif_debug_on:
        return
    api.native.debug(f"memif_{name}: {error}", depth=2)
    if not isinstance(error, (errors.MemifError, OSError)):
        import traceback

        traceback.print_exception(error)


def install(api: Api, functions: dict[str, Callable[..., object]]) -> None:
    """Have C's mif_python_NAME call the function of that name."""
    both: dict[str, Callable[..., object]] = {
        "last_error": api.last_error,
        "peer": api.peer,
    }
    for name, function in (functions | both).items():
        export = api.ffi.def_extern(name=f"mif_python_{name}", error=api.native.codes["SYSCALL"])
        export(guarded(api, name, function))
    if api.lib.mif_embed_in_python_program():
        # The program is Python itself: once it ends, calls into the interpreter hang or crash.
        import atexit

        atexit.register(api.lib.mif_embed_closing)


def on_event(hub: Hub | None, fd: int, events: int) -> None:
    """A descriptor of the control plane is ready; its hub may be gone already."""
    if hub is not None:
        hub.on_event(fd, events)
