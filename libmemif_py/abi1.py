# SPDX-License-Identifier: Apache-2.0
"""Behind the 1.0 C interface: arguments in, control plane called, exceptions out as error codes."""

from __future__ import annotations

from . import errors
from .endpoint import DEFAULT_PATH, Endpoint, Settings
from .hub import Hub
from .native import Native
from .wire import NAME_SIZE, VERSION_1, VERSION_2, up_to_nul

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Program:
    """The application's callbacks for one interface (an Observer)."""

    def __init__(self, native: Native, on_connect: Any, on_disconnect: Any, ctx: Any) -> None:
        """C pointers; NULL callbacks are not called."""
        self._native = native
        self._on_connect = on_connect
        self._on_disconnect = on_disconnect
        self._ctx = ctx

    def connected(self, endpoint: Endpoint) -> None:
        """Call on_connect."""
        self._call("on_connect", self._on_connect, endpoint.handle)

    def disconnected(self, endpoint: Endpoint, _reason: str) -> None:
        """Call on_disconnect."""
        self._call("on_disconnect", self._on_disconnect, endpoint.handle)

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


class Api1:
    """The functions that api1.c calls, and their state: the one hub."""

    def __init__(self, ffi: Any, lib: Any) -> None:
        """Nothing is open yet."""
        self.native = Native(ffi, lib)
        self.ffi = ffi
        self.lib = lib
        self.hub: Hub | None = None

    def init(self, app_name: Any) -> None:
        """memif_init."""
        self.native.check(self.lib.mif_api1_hub_open(), "hub")
        try:
            name = self.ffi.string(app_name, NAME_SIZE - 1)  # peers may want a NUL behind it
            self.hub = Hub(self.native, self.lib.mif_api1_hub(), name)
        except BaseException:
            self.lib.mif_api1_hub_close()
            raise

    def cleanup(self) -> None:
        """memif_cleanup."""
        hub, self.hub = self.hub, None
        if hub is not None:
            try:
                hub.close()
            finally:
                self.lib.mif_api1_hub_close()

    def create(
        self, handle: Any, args: Any, on_connect: Any, on_disconnect: Any, interrupt: Any, ctx: Any
    ) -> None:
        """memif_create."""
        program = Program(self.native, on_connect, on_disconnect, ctx)
        endpoint = self._hub().add(self._settings(args), program, interrupt, ctx)
        handle[0] = endpoint.handle

    def delete(self, handle: Any) -> None:
        """memif_delete."""
        hub = self._hub()
        hub.remove(hub.find(handle))

    def control(self, _hub: int, fd: int, events: int) -> None:
        """A control fd is ready."""
        self._hub().control(fd, events)

    def details(self, handle: Any, md: Any, buf: Any, size: int) -> None:
        """memif_get_details."""
        endpoint = self._hub().find(handle)
        settings, link = endpoint.settings, endpoint.link if endpoint.connected else None
        self.ffi.memmove(md, bytes(self.ffi.sizeof(md[0])), self.ffi.sizeof(md[0]))
        packer = Packer(self.ffi, buf, size)
        md.id = settings.interface_id
        md.role = 0 if settings.is_master else 1
        md.mode = settings.mode
        md.link_up_down = 1 if link else 0
        md.if_name = packer.string(settings.if_name)
        md.inst_name = packer.string(settings.app_name)
        md.remote_if_name = packer.string(link.machine.remote_if_name if link else b"")
        md.remote_inst_name = packer.string(link.machine.remote_name if link else b"")
        md.secret = packer.string(settings.secret)
        md.socket_filename = packer.string(settings.path)
        for direction in ("rx", "tx"):
            rings = link.rings(direction == "tx") if link else []
            self._queues(packer, md, direction, rings, settings.buffer_size)
        if packer.overflow:
            raise errors.make("NOBUF_DET", f"details do not fit {size} bytes")

    def _queues(
        self, packer: Packer, md: Any, direction: str, ring_sizes: list[int], buffer_size: int
    ) -> None:
        array = packer.array("memif_queue_details_t", len(ring_sizes))
        if array == self.ffi.NULL:
            return
        setattr(md, f"{direction}_queues", array)
        setattr(md, f"{direction}_queues_num", len(ring_sizes))
        for qid, ring_size in enumerate(ring_sizes):
            array[qid] = {"qid": qid, "ring_size": ring_size, "buffer_size": buffer_size}

    def _hub(self) -> Hub:
        if self.hub is None:
            raise errors.ArgumentError("memif_init was not called")
        return self.hub

    def _settings(self, args: Any) -> Settings:
        """Zero and NULL mean the default."""
        given = {
            "num_s2m_rings": args.num_s2m_rings,
            "num_m2s_rings": args.num_m2s_rings,
            "buffer_size": args.buffer_size,
            "log2_ring_size": args.log2_ring_size,
            "app_name": up_to_nul(self.ffi.buffer(args.instance_name)[:]),
        }
        given = {name: value for name, value in given.items() if value}
        path = args.socket_filename
        return Settings(
            path=DEFAULT_PATH if path == self.ffi.NULL else self.ffi.string(path) or DEFAULT_PATH,
            is_master=bool(args.is_master),
            interface_id=args.interface_id,
            if_name=self.ffi.buffer(args.interface_name)[:],
            secret=self.ffi.buffer(args.secret)[:],
            mode=self.lib.mif_api1_mode(args),
            **({"app_name": self._hub().app_name} | given | self._versions()),
        )

    def _versions(self) -> dict[str, int]:
        wish = self.lib.mif_protocol_wish()
        return {"min_version": wish or VERSION_1, "max_version": wish or VERSION_2}


def guarded(api: Api1, function: Callable) -> Callable:
    """Turns the outcome of `function` into a core error code. No exception leaves."""

    def call(*args: Any) -> int:
        try:
            function(*args)
        except BaseException as error:
            _report(api, function.__name__, error)
            return api.native.code_of(error)
        return 0

    return call


def _report(api: Api1, name: str, error: BaseException) -> None:
    if not api.lib.mif_debug_on:
        return
    api.native.debug(f"memif_{name}: {error}", depth=2)
    if not isinstance(error, (errors.MemifError, OSError)):
        import traceback

        traceback.print_exception(error)


def install(ffi: Any, lib: Any) -> None:
    """Connect the C functions to this control plane."""
    api = Api1(ffi, lib)
    for name in ("init", "cleanup", "create", "delete", "control", "details"):
        function = guarded(api, getattr(api, name))
        ffi.def_extern(name=f"mif_python_{name}", error=api.native.codes["SYSCALL"])(function)
    if lib.mif_embed_hosted():
        # The host is Python: once it ends, calls into it hang or crash.
        import atexit

        atexit.register(lib.mif_embed_closing)
