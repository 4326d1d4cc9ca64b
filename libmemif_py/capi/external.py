# SPDX-License-Identifier: Apache-2.0
"""External regions of the 4.0 API: the program's own memory, through its callbacks."""

from __future__ import annotations

from .. import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..control.native import Native


class ExternalRegions:
    """The callbacks of one socket (an External of control/memory.py)."""

    def __init__(self, native: Native, sock: Any) -> None:
        """The callbacks may be registered at any time; each is looked up when it is called."""
        self._native = native
        self._sock = sock

    def provides(self) -> bool:
        """As slave: the program has buffers of its own."""
        return self._sock.add_region != self._native.ffi.NULL

    def maps(self) -> bool:
        """As master: the program maps regions itself."""
        return self._sock.get_region != self._native.ffi.NULL

    def add(self, size: int, context: Any) -> tuple[Any, int]:
        """Address and fd of at least `size` bytes, both the program's. Raises MemifError."""
        ffi = self._native.ffi
        address, fd = ffi.new("void **"), ffi.new("int *", -1)
        code = self._sock.add_region(address, size, fd, context)
        if code != 0 or address[0] == ffi.NULL or fd[0] < 0:
            text = f"the application provided no external region of {size} bytes (code {code})"
            raise errors.NoMemoryError(text)
        return address[0], fd[0]

    def map(self, size: int, fd: int, context: Any) -> Any:
        """The address at which the program mapped a peer's region. Raises MemifError."""
        address = self._sock.get_region(size, fd, context)
        if address == self._native.ffi.NULL:
            raise errors.NoMemoryError(f"the application mapped no region of {size} bytes")
        return address

    def offsets(self, count: int, context: Any) -> list[int] | None:
        """Where each of `count` buffers lies in the region; None: one after the other."""
        if self._sock.buffer_offset == self._native.ffi.NULL:
            return None
        return [self._sock.buffer_offset(context) for _ in range(count)]

    def delete(self, address: Any, size: int, fd: int, context: Any) -> None:
        """The connection is over."""
        if self._sock.del_region == self._native.ffi.NULL:
            return
        code = self._sock.del_region(address, size, fd, context)
        if code != 0:
            self._native.debug(f"the application's delete callback for a region returned {code}")
