# SPDX-License-Identifier: Apache-2.0
"""The C side as the control plane sees it: a cffi module's `ffi` and `lib`, and small wrappers.

The control plane runs on either of two modules with the same core: the one embedded in libmemif.so
or the package's own extension. It gets a Native and imports neither.
"""

from __future__ import annotations

import sys

from .. import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

# The levels of Python's logging, which a C program does not import.
DEBUG, INFO, WARNING = 10, 20, 30


class Native:
    """`ffi` and `lib` of one copy of the core, and its error codes by name."""

    def __init__(self, ffi: Any, lib: Any, api: bytes) -> None:
        """Read the error codes once. `api` tells other processes who uses this copy."""
        self.ffi = ffi
        self.lib = lib
        self.api = api
        self.names: list[str] = []
        while (name := lib.mif_error_name(len(self.names))) != ffi.NULL:
            self.names.append(ffi.string(name).decode())
        self.codes = {name: code for code, name in enumerate(self.names)}
        self.log: Callable[[int, str, FrameType], None] | None = None
        """Gets each debug line with its level, while locks are held. C programs have none."""

    def code_of(self, error: BaseException) -> int:
        """The core code for an exception of any kind."""
        if isinstance(error, errors.MemifError):
            return self.codes[error.code]
        if isinstance(error, MemoryError):
            return self.codes["NOMEM"]
        if isinstance(error, OSError) and error.errno:
            return self.lib.mif_error_from_errno(error.errno)
        return self.codes["SYSCALL"]

    def error(self, code: int, what: str) -> errors.MemifError:
        """The exception for a code that this thread has just got, with the call that failed."""
        text = self.failed_call(code) or self.ffi.string(self.lib.mif_error_text(code)).decode()
        name = self.names[code] if 0 <= code < len(self.names) else "SYSCALL"
        return errors.make(name, f"{what}: {text}")

    def failed_call(self, code: int) -> str:
        """The system call behind a code that this thread has just got, and why; "" if none was."""
        failed = self.lib.mif_failed_call(code)
        return "" if failed == self.ffi.NULL else self.ffi.string(failed).decode()

    def check(self, code: int, what: str) -> None:
        """Raise unless the core reports success."""
        if code:
            raise self.error(code, what)

    def debug(self, text: str, depth: int = 1, level: int = DEBUG) -> None:
        """Print a debug line in the caller's name, if debug lines are on, and log it."""
        if self.log is None and not self.lib.mif_debug_on:
            return
        frame = sys._getframe(depth)
        if self.log is not None:
            self.log(level, text, frame)
        if not self.lib.mif_debug_on:
            return
        file = "libmemif_py/" + frame.f_code.co_filename.rpartition("/libmemif_py/")[2]
        function = frame.f_code.co_name
        line = text.encode("utf-8", "backslashreplace")
        self.lib.mif_debug_line(file.encode(), function.encode(), frame.f_lineno, line)
